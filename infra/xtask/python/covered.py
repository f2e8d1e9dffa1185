"""Checks that the deployer's policy covers every resource type in SAM's translation of the template.

Arguments: the translation, the policy. The Sid of each statement names the types that it covers, without `AWS` and
colons, joined by `And`.
"""

import json
import sys
from pathlib import Path

from samcli.yamlhelper import yaml_parse

translation, policy = (Path(argument).read_text(encoding="utf-8") for argument in sys.argv[1:])
statements = json.loads(policy)["Statement"]
covered = {kind for statement in statements for kind in statement["Sid"].split("And")}
types = {resource["Type"] for resource in yaml_parse(translation)["Resources"].values()}
missing = sorted(kind for kind in types if kind.removeprefix("AWS::").replace("::", "") not in covered)
if missing:
    sys.exit(f"Add rows for {missing} to ROWS in infra/stack/tests/deployer.rs.")
