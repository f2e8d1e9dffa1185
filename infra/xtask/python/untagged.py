"""Checks which resource types in SAM's translation of the template cannot have tags.

Argument: the translation. CloudFormation's schemas, which are part of cfn-lint, say whether a type can have tags.
"""

import sys
from pathlib import Path

from cfnlint.schema import PROVIDER_SCHEMA_MANAGER
from samcli.yamlhelper import yaml_parse

# The section "Required tags" of the page on deployment lists the same types.
UNTAGGED = {
    "AWS::IAM::RolePolicy",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Lambda::Permission",
    "AWS::SNS::Subscription",
    "AWS::SQS::QueuePolicy",
    "AWS::Scheduler::Schedule",
}

translation = Path(sys.argv[1]).read_text(encoding="utf-8")
types = {resource["Type"] for resource in yaml_parse(translation)["Resources"].values()}
schemas = {kind: PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema for kind in types}
untagged = {kind for kind, schema in schemas.items() if not schema["tagging"]["taggable"]}
if untagged != UNTAGGED:
    sys.exit(f"Correct {sorted(untagged ^ UNTAGGED)} here and under 'Required tags' in resources/docs/deploy.md.")
