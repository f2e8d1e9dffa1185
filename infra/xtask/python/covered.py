"""Checks that the deployer's policy, the second argument, covers each type in SAM's translation, the first.

The Sid of a statement has its types: without `AWS` and colons, with `And` between two.
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
