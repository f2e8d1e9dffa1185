"""Checks which types in SAM's translation, the argument, cannot have tags, by CloudFormation's schemas in cfn-lint."""

import sys
from pathlib import Path

from cfnlint.schema import PROVIDER_SCHEMA_MANAGER
from samcli.yamlhelper import yaml_parse

# As the page on deployment says under "Required tags".
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
