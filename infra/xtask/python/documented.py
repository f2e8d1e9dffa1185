"""Checks the `sam deploy` command for continuous integration in deploy.md.

Arguments: the template, the page. SAM's own parser reads the command. Each parameter must exist in the template, and
its value must be one that the template allows. A parameter without a default must have a value.
"""

import re
import shlex
import sys
from pathlib import Path

from samcli.cli.types import CfnParameterOverridesType
from samcli.commands.deploy.command import cli
from samcli.yamlhelper import yaml_parse

template, page = (Path(argument).read_text(encoding="utf-8") for argument in sys.argv[1:])
parameters = yaml_parse(template)["Parameters"]
commands = [
    block
    for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    if "--no-confirm-changeset" in block
]
if len(commands) != 1:
    sys.exit(f"{len(commands)} commands with --no-confirm-changeset, not one")
words = shlex.split(commands[0].replace("\\\n", " "), comments=True)
first = words.index("--parameter-overrides")
options, overrides = words[2:first], words[first + 1 :]
known = {name for option in cli.params for name in (*option.opts, *option.secondary_opts)}
unknown = [word for word in options if word.startswith("--") and word not in known]
problems = [f"sam deploy has no {word}" for word in unknown]
given = {}
for override in overrides:
    given |= CfnParameterOverridesType().convert(override, None, None)
    name, value = override.split("=", 1)
    if value != f'"{given.get(name)}"':
        problems.append(f"{override} needs double quotes around its value; SAM reads {given.get(name)}")
for name, value in given.items():
    parameter = parameters.get(name)
    if parameter is None:
        problems.append(f"the template has no {name}")
    elif not re.fullmatch(parameter.get("AllowedPattern", ".*"), value):
        problems.append(f"{name} does not take {value}")
    elif value not in parameter.get("AllowedValues", [value]):
        problems.append(f"{name} does not take {value}")
problems += [
    f"{name} has no value"
    for name, parameter in parameters.items()
    if "Default" not in parameter and name not in given
]
if problems:
    sys.exit("\n".join(problems))
