"""Checks the proxy with boto3: a call through the proxy has the same response as a call to MiniStack itself.

Environment: AWS_ENDPOINT_URL of the proxy, MINISTACK_URL, AWS_DEFAULT_REGION, credentials, and the names of a deployment:
STATE_MACHINE_ARN, TABLE_NAME, TOPIC_ARN, FAILURE_QUEUE_URL, FUNCTION_NAME.
Exit code: 0 if all checks pass; otherwise 1, with the reason.
"""

import os
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

MACHINE, TABLE, TOPIC, QUEUE, FUNCTION = map(
    os.environ.get, ("STATE_MACHINE_ARN", "TABLE_NAME", "TOPIC_ARN", "FAILURE_QUEUE_URL", "FUNCTION_NAME")
)
KEY = {"app_name": {"S": "judge"}, "snapshot_manager_run_id": {"N": "1"}}

# Calls, in order: the service, the operation, and the members of the request.
CALLS = [
    ("lambda", "list_functions", {}),
    ("lambda", "get_function", {"FunctionName": FUNCTION}),
    ("lambda", "get_function", {"FunctionName": "none"}),
    ("lambda", "invoke", {"FunctionName": FUNCTION, "Payload": b"{}"}),
    ("lambda", "invoke", {"FunctionName": "none"}),
    ("sqs", "list_queues", {}),
    ("sqs", "get_queue_attributes", {"QueueUrl": QUEUE, "AttributeNames": ["All"]}),
    ("sqs", "send_message", {"QueueUrl": QUEUE, "MessageBody": "<&> Ü"}),
    ("sqs", "receive_message", {"QueueUrl": QUEUE, "VisibilityTimeout": 0}),
    ("sqs", "receive_message", {"QueueUrl": f"{QUEUE}-none"}),
    ("sns", "list_topics", {}),
    ("sns", "get_topic_attributes", {"TopicArn": TOPIC}),
    ("sns", "publish", {"TopicArn": TOPIC, "Message": "<&> Ü"}),
    ("sns", "publish", {"TopicArn": f"{TOPIC}-none", "Message": "m"}),
    ("dynamodb", "describe_table", {"TableName": TABLE}),
    ("dynamodb", "put_item", {"TableName": TABLE, "Item": {**KEY, "bytes": {"B": b"\xff\x00"}}}),
    ("dynamodb", "get_item", {"TableName": TABLE, "Key": KEY}),
    ("dynamodb", "get_item", {"TableName": "none", "Key": KEY}),
    ("dynamodb", "delete_item", {"TableName": TABLE, "Key": KEY, "ConditionExpression": "attribute_exists(none)"}),
    ("logs", "describe_log_groups", {}),
    ("logs", "filter_log_events", {"logGroupName": "none"}),
    ("stepfunctions", "list_state_machines", {}),
    ("stepfunctions", "describe_state_machine", {"stateMachineArn": MACHINE}),
    ("stepfunctions", "list_executions", {"stateMachineArn": MACHINE}),
    ("stepfunctions", "describe_execution", {"executionArn": MACHINE.replace(":stateMachine:", ":execution:") + ":none"}),
    ("cloudformation", "list_stacks", {}),
    ("s3", "put_object", {"Bucket": "artifacts", "Key": "a b/ü+%20?&", "Body": b"\xff\x00" * 1_000_000}),
    ("s3", "get_object", {"Bucket": "artifacts", "Key": "a b/ü+%20?&"}),
    ("s3", "get_object", {"Bucket": "artifacts", "Key": "none"}),
]


def client(service, endpoint):
    # Only one attempt, because every response is checked.
    config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
    return boto3.client(service, endpoint_url=endpoint, config=config)


def members(value):
    """Returns a response without the values that differ from call to call, such as ids and times."""
    if hasattr(value, "read"):
        return value.read()
    if isinstance(value, dict):
        return {name: members(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [members(inner) for inner in value]
    return type(value).__name__


def answer(endpoint, service, operation, given):
    try:
        found = getattr(client(service, endpoint), operation)(**given)
    except ClientError as error:
        found = error.response
        refusal = found["Error"]["Code"], found["Error"]["Message"]
    else:
        refusal = None
    status = found.pop("ResponseMetadata")["HTTPStatusCode"]
    return status, refusal, members(found)


def main():
    refused = 0
    for call in CALLS:
        through, direct = (answer(os.environ[url], *call) for url in ("AWS_ENDPOINT_URL", "MINISTACK_URL"))
        if through != direct:
            sys.exit(f"FAIL {call[:2]}: {through} through the proxy, {direct} directly")
        refused += direct[1] is not None
    print(f"{len(CALLS)} calls, {refused} of them refused: the same through the proxy")


main()
