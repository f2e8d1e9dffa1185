"""Deploys a stack to MiniStack, as `aws cloudformation package` and `deploy` do on AWS.

Reads one JSON object from standard input:
  stack        the stack's name
  template     the template, a JSON object
  parameters   its parameters: name to value
  functions    logical id of a function to {"name", "binary", "endpoint"}: the path of the binary, and the beginning
               of AWS_ENDPOINT_URL, to which each process appends its id
  definitions  logical id of a state machine to its definition, a string
Prints one JSON object:
  outputs      the stack's outputs: name to value
  resources    the stack's resources: logical id to physical id
  roles        logical id of a function or state machine to {"arn", "policies"} of its deployed role
If the deployment fails, exits with 1 and prints the reason to standard error.

Environment: AWS_ENDPOINT_URL, AWS_DEFAULT_REGION, credentials.
"""

import contextlib
import hashlib
import io
import json
import sys
import time
import zipfile

import boto3
from botocore.exceptions import ClientError

BUCKET = "artifacts"

# Lambda starts this script. `$$` is the id of the process, which `exec` keeps. The proxy reads the function and the
# process from the URL.
BOOTSTRAP = """#!/bin/sh
export AWS_ENDPOINT_URL={endpoint}/$$
exec ./{name}
"""

# botocore is slow to load its models. They are loaded here, before the input is read, while MiniStack starts.
cloudformation, s3, iam, functions, machines = map(
    boto3.client, ("cloudformation", "s3", "iam", "lambda", "stepfunctions")
)


def zip_of(function):
    """Returns the zip of a function. The same content results in the same bytes."""
    with open(function["binary"], "rb") as binary:
        files = {"bootstrap": BOOTSTRAP.format(**function), function["name"]: binary.read()}
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o755 << 16
            archive.writestr(entry, content)
    return package.getvalue()


def upload(content):
    """Uploads content with its hash as the key, so that a change of the content is a change of the stack."""
    key = hashlib.sha256(content).hexdigest()
    s3.put_object(Bucket=BUCKET, Key=key, Body=content)
    return f"s3://{BUCKET}/{key}"


def package(spec):
    """Uploads the artifacts, and the template with their locations. Returns the URL of the template."""
    with contextlib.suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": s3.meta.region_name}
        )
    resources = spec["template"]["Resources"]
    for logical_id, function in spec["functions"].items():
        resources[logical_id]["Properties"]["CodeUri"] = upload(zip_of(function))
    for logical_id, definition in spec["definitions"].items():
        resources[logical_id]["Properties"]["DefinitionUri"] = upload(definition.encode())
    # A template can have up to 1 MB if the request has its URL, but only 51,200 bytes if the request has the template.
    return upload(json.dumps(spec["template"]).encode()).replace("s3://", "https://s3.amazonaws.com/")


def find_stack(name):
    """Returns the description of the stack, or None if the stack does not exist."""
    try:
        return cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError:
        return None


def deploy(spec):
    """Creates or updates the stack, waits until CloudFormation has finished, and returns the stack's description."""
    name = spec["stack"]
    change = cloudformation.update_stack if find_stack(name) else cloudformation.create_stack
    change(
        StackName=name,
        TemplateURL=package(spec),
        Parameters=[
            {"ParameterKey": key, "ParameterValue": value}
            for key, value in spec["parameters"].items()
        ],
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    )
    while (stack := find_stack(name))["StackStatus"].endswith("_IN_PROGRESS"):
        time.sleep(0.02)
    if stack["StackStatus"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        return stack
    events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    reasons = [
        f"{event['LogicalResourceId']}: {event['ResourceStatusReason']}"
        for event in events
        if "FAILED" in event["ResourceStatus"] and "ResourceStatusReason" in event
    ]
    sys.exit("\n".join([f"{stack['StackStatus']}: {stack.get('StackStatusReason')}", *reasons]))


def role(arn):
    """Returns the ARN and the inline policies of a role."""
    name = arn.rpartition("/")[2]
    policies = [
        iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
        for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]
    ]
    return {"arn": arn, "policies": policies}


def main():
    spec = json.load(sys.stdin)
    try:
        stack = deploy(spec)
    except ClientError as error:
        sys.exit(str(error))
    resources = {
        resource["LogicalResourceId"]: resource["PhysicalResourceId"]
        for page in cloudformation.get_paginator("list_stack_resources").paginate(
            StackName=spec["stack"]
        )
        for resource in page["StackResourceSummaries"]
    }
    roles = {
        logical_id: functions.get_function_configuration(FunctionName=resources[logical_id])["Role"]
        for logical_id in spec["functions"]
    } | {
        logical_id: machines.describe_state_machine(stateMachineArn=resources[logical_id])["roleArn"]
        for logical_id in spec["definitions"]
    }
    json.dump(
        {
            "outputs": {
                output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])
            },
            "resources": resources,
            "roles": {logical_id: role(arn) for logical_id, arn in roles.items()},
        },
        sys.stdout,
    )


main()
