"""Deploys a stack on MiniStack, as `aws cloudformation package` and `deploy` do on AWS.

Reads one JSON object from standard input:
  stack        the stack's name
  template     the template, a JSON object
  parameters   its parameters: name to value
  functions    logical id to {"name", "binary", "endpoint"}: the program, and its AWS_ENDPOINT_URL
  definitions  logical id of a state machine to its definition, a string
Prints one:
  outputs      the stack's outputs: name to value
  resources    the stack's resources: logical id to physical id
  roles        logical id of a function or state machine to {"arn", "policies"} of its deployed role
Exits with 1, and the reason on standard error, if the stack is not deployed.

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

# What Lambda starts. By the endpoint, the proxy knows the function and its process.
BOOTSTRAP = """#!/bin/sh
export AWS_ENDPOINT_URL={endpoint}/$$
exec ./{name}
"""

# botocore is slow to read its models. So it reads them before the input, while MiniStack starts.
cloudformation, s3, iam, functions, machines = map(
    boto3.client, ("cloudformation", "s3", "iam", "lambda", "stepfunctions")
)


def zipped(function):
    """The function's package. The same content gives the same bytes."""
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
    """Uploads an artifact under its hash, so that changed content changes the stack."""
    key = hashlib.sha256(content).hexdigest()
    s3.put_object(Bucket=BUCKET, Key=key, Body=content)
    return f"s3://{BUCKET}/{key}"


def package(work):
    """The location of the template, which has those of the artifacts."""
    with contextlib.suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": s3.meta.region_name}
        )
    resources = work["template"]["Resources"]
    for logical_id, function in work["functions"].items():
        resources[logical_id]["Properties"]["CodeUri"] = upload(zipped(function))
    for logical_id, definition in work["definitions"].items():
        resources[logical_id]["Properties"]["DefinitionUri"] = upload(definition.encode())
    # CloudFormation takes a template of up to 1 MB by its location, but only 51,200 bytes in the request.
    return upload(json.dumps(work["template"]).encode()).replace("s3://", "https://s3.amazonaws.com/")


def stack_of(name):
    """The stack, or None if there is none."""
    try:
        return cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError:
        return None


def deploy(work):
    name = work["stack"]
    change = cloudformation.update_stack if stack_of(name) else cloudformation.create_stack
    change(
        StackName=name,
        TemplateURL=package(work),
        Parameters=[
            {"ParameterKey": key, "ParameterValue": value}
            for key, value in work["parameters"].items()
        ],
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    )
    while (stack := stack_of(name))["StackStatus"].endswith("_IN_PROGRESS"):
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
    """A role's ARN and inline policies."""
    name = arn.rpartition("/")[2]
    policies = [
        iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
        for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]
    ]
    return {"arn": arn, "policies": policies}


def main():
    work = json.load(sys.stdin)
    try:
        stack = deploy(work)
    except ClientError as error:
        sys.exit(str(error))
    resources = {
        resource["LogicalResourceId"]: resource["PhysicalResourceId"]
        for page in cloudformation.get_paginator("list_stack_resources").paginate(
            StackName=work["stack"]
        )
        for resource in page["StackResourceSummaries"]
    }
    roles = {
        logical_id: functions.get_function_configuration(FunctionName=resources[logical_id])["Role"]
        for logical_id in work["functions"]
    } | {
        logical_id: machines.describe_state_machine(stateMachineArn=resources[logical_id])["roleArn"]
        for logical_id in work["definitions"]
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
