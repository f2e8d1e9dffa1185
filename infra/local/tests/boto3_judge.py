"""Checks the emulator of Managed Flink with boto3: every operation, and every error that can occur.

botocore parses each response, with parameter validation on. Then the response is compared with botocore's model:
required members, no unknown members, types, enum values, patterns and lengths.

Environment: AWS_ENDPOINT_URL, AWS_REGION or AWS_DEFAULT_REGION, any credentials.
The engine must be prepared before the run:
  - operations in the background take at most about a second, but a snapshot is CREATING for at least three calls
  - `judge-full` has 1,000 READY snapshots with creation timestamps
  - `judge-downtime` has downtime, and the snapshots of `judge-failing` fail
Other applications may exist. Those whose names begin with `judge-` must not exist before the run, and remain after it.

Exit code: 0 if all checks pass; otherwise 1, with the reason.
"""

import datetime
import json
import os
import re
import sys
import time
import urllib.error
import urllib.request

import boto3
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator

ROLE = "arn:aws:iam::123456789012:role/flink"
RUNTIME = "FLINK-1_20"
ORDERS = {"ApplicationName": "judge-orders"}
NONE = {"ApplicationName": "judge-none"}
CODE = {"BucketARN": "arn:aws:s3:::code", "FileKey": "a.jar"}
PROPERTIES = [{"PropertyGroupId": "g", "PropertyMap": {"lastUpdate": "x"}}]
APPLICATION_QUOTA = 100
SNAPSHOT_QUOTA = 1000
POLL_SECONDS = 0.05
PATIENCE_SECONDS = 60

REGION = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION", "us-east-1")
# Only one attempt, because botocore would retry LimitExceededException as throttling.
CLIENT = boto3.client(
    "kinesisanalyticsv2",
    region_name=REGION,
    config=Config(parameter_validation=True, retries={"total_max_attempts": 1}),
)
MODEL = CLIENT.meta.service_model


class Judgement(Exception):
    """A check has failed."""


def demand(condition, message):
    if not condition:
        raise Judgement(message)


def check_shape(value, shape, path):
    """Checks a parsed value against botocore's shape: required members, types and minimums."""
    report = ParamValidator().validate(value, shape)
    demand(not report.has_errors(), f"{path}: {report.generate_report()}")


# The parser drops members that the model does not have, so the raw response is checked too.
RAW = {}
CLIENT.meta.events.register(
    f"before-parse.{MODEL.service_id.hyphenize()}",
    lambda response_dict, **_: RAW.update(body=response_dict["body"]),
)


def check_members(raw, shape, path):
    """Checks a raw value: no member that the model does not have; enum values, patterns and maximums."""
    limits = shape.metadata
    # The validator accepts a boolean as an integer.
    demand(isinstance(raw, bool) == (shape.type_name == "boolean"), f"{path}: {raw!r} is not {shape.type_name}")
    if shape.type_name == "structure":
        for member, inner in raw.items():
            demand(member in shape.members, f"{path}.{member} is not in the model")
            check_members(inner, shape.members[member], f"{path}.{member}")
    elif shape.type_name == "list":
        for index, inner in enumerate(raw):
            check_members(inner, shape.member, f"{path}[{index}]")
    elif shape.type_name == "map":
        for key, inner in raw.items():
            check_members(key, shape.key, f"{path} key")
            check_members(inner, shape.value, f"{path}[{key!r}]")
    if "max" in limits:
        size = raw if isinstance(raw, int) else len(raw)
        demand(size <= limits["max"], f"{path}: {raw!r} is above {limits['max']}")
    if "enum" in limits:
        demand(raw in limits["enum"], f"{path}: {raw!r} is none of {limits['enum']}")
    if "pattern" in limits:
        demand(re.fullmatch(limits["pattern"], raw), f"{path}: {raw!r} does not match {limits['pattern']}")


SUCCEEDED = set()
RAISED = set()


def call(operation, **members):
    """Calls an operation and checks the shape of the response. Returns the response without its metadata."""
    answer = dict(getattr(CLIENT, xform_name(operation))(**members))
    metadata = answer.pop("ResponseMetadata")
    demand(metadata["HTTPStatusCode"] == 200, f"{operation}: {metadata}")
    demand(metadata.get("RequestId"), f"{operation}: no request id")
    check_answer(operation, answer)
    return answer


def check_answer(operation, answer):
    shape = MODEL.operation_model(operation).output_shape
    check_shape(answer, shape, operation)
    check_members(json.loads(RAW.pop("body") or b"{}"), shape, f"{operation} on the wire")
    SUCCEEDED.add(operation)


def refused(operation, code, contains="", **members):
    """Expects the modelled exception with this name, to which `Exception` is appended."""
    code += "Exception"
    modelled = {shape.name for shape in MODEL.operation_model(operation).error_shapes}
    demand(code in modelled, f"{operation} has no {code} in the model")
    try:
        getattr(CLIENT, xform_name(operation))(**members)
    except getattr(CLIENT.exceptions, code) as error:
        check_error(operation, code, contains, error.response)
    except ClientError as error:
        raise Judgement(f"{operation}: {error} instead of {code}") from None
    else:
        raise Judgement(f"{operation}: success instead of {code}")
    print(f"ok   {operation}: {code}")


def check_error(operation, code, contains, response):
    message = response["Error"]["Message"]
    status = response["ResponseMetadata"]["HTTPStatusCode"]
    demand(status == 400, f"{operation}: {code} with HTTP {status}")
    demand(message, f"{operation}: {code} without a message")
    demand(contains in message, f"{operation}: {message!r} does not say {contains!r}")
    known = {"Error", "ResponseMetadata"}
    members = {key: value for key, value in response.items() if key not in known}
    shape = MODEL.shape_for(code)
    for key in shape.members:
        demand(key in members, f"{operation}: {code} has no member {key}")
    RAISED.add((operation, code))


def wait_for(what, look):
    until = time.monotonic() + PATIENCE_SECONDS
    while not look():
        demand(time.monotonic() < until, f"{what}: not within {PATIENCE_SECONDS} s")
        time.sleep(POLL_SECONDS)


def detail(name):
    return call("DescribeApplication", ApplicationName=name)["ApplicationDetail"]


def demand_status(name, status):
    found = detail(name)["ApplicationStatus"]
    demand(found == status, f"{name} is {found}, not {status}")


def wait_status(name, status):
    wait_for(f"{name} {status}", lambda: detail(name)["ApplicationStatus"] == status)


def describe(**snapshot):
    return call("DescribeApplicationSnapshot", **snapshot)["SnapshotDetails"]


def wait_snapshot(status, **snapshot):
    wait_for(f"{snapshot} {status}", lambda: describe(**snapshot)["SnapshotStatus"] == status)
    return describe(**snapshot)


def is_gone(operation, **members):
    try:
        call(operation, **members)
    except CLIENT.exceptions.ResourceNotFoundException:
        return True
    return False


def request(name, **members):
    """Returns a request of CreateApplication."""
    return {"ApplicationName": name, "RuntimeEnvironment": RUNTIME, "ServiceExecutionRole": ROLE} | members


def run(name, **members):
    created = call("CreateApplication", **request(name, **members))["ApplicationDetail"]
    call("StartApplication", ApplicationName=name)
    wait_status(name, "RUNNING")
    return created


def restore(**members):
    """Returns a run configuration, or an update of one."""
    kind = {"ApplicationRestoreType": "RESTORE_FROM_CUSTOM_SNAPSHOT"}
    return {"ApplicationRestoreConfiguration": kind | members}


def every_page(operation, key, size, **members):
    paginator = CLIENT.get_paginator(xform_name(operation))
    found = []
    for page in paginator.paginate(PaginationConfig={"PageSize": size}, **members):
        page = {key: value for key, value in page.items() if key != "ResponseMetadata"}
        check_answer(operation, page)
        demand(len(page[key]) <= size, f"{operation}: {len(page[key])} on a page of {size}")
        found += page[key]
    return found


def judge_applications():
    configuration = {
        "FlinkApplicationConfiguration": {
            "CheckpointConfiguration": {"ConfigurationType": "CUSTOM", "CheckpointInterval": 30000},
            "MonitoringConfiguration": {"ConfigurationType": "CUSTOM", "LogLevel": "WARN"},
            "ParallelismConfiguration": {"ConfigurationType": "CUSTOM", "Parallelism": 3},
        },
        "ApplicationCodeConfiguration": {
            "CodeContentType": "ZIPFILE",
            "CodeContent": {"S3ContentLocation": CODE},
        },
        "EnvironmentProperties": {"PropertyGroups": PROPERTIES},
        "ApplicationSnapshotConfiguration": {"SnapshotsEnabled": True},
        "ApplicationSystemRollbackConfiguration": {"RollbackEnabled": True},
    }
    asked = request(
        "judge-orders",
        ApplicationDescription="Judged",
        ApplicationMode="STREAMING",
        ApplicationConfiguration=configuration,
        CloudWatchLoggingOptions=[{"LogStreamARN": "arn:aws:logs:us-east-1:123456789012:log-group:g"}],
        Tags=[{"Key": "team", "Value": "data"}],
    )
    created = call("CreateApplication", **asked)["ApplicationDetail"]
    demand(detail("judge-orders") == created, "DescribeApplication shows what CreateApplication answered")

    many = [{"Key": f"k{n}"} for n in range(51)]
    refused("CreateApplication", "TooManyTags", **request("judge-none", Tags=many))
    old = request("judge-none", RuntimeEnvironment="FLINK-0")
    refused("CreateApplication", "InvalidArgument", "RuntimeEnvironment", **old)
    refused("DescribeApplication", "ResourceNotFound", **NONE)
    refused("DescribeApplication", "InvalidArgument", "ApplicationName", ApplicationName="a b")


def judge_tags():
    arn = detail("judge-orders")["ApplicationARN"]
    call("TagResource", ResourceARN=arn, Tags=[{"Key": "team", "Value": "ml"}, {"Key": "stage"}])
    tags = call("ListTagsForResource", ResourceARN=arn)["Tags"]
    expected = [{"Key": "stage", "Value": ""}, {"Key": "team", "Value": "ml"}]
    demand(tags == expected, f"tags are {tags}")
    missing = arn.replace("judge-orders", "judge-none")
    for operation, tags in [("TagResource", {"Tags": [{"Key": "k"}]}), ("ListTagsForResource", {})]:
        refused(operation, "ResourceNotFound", ResourceARN=missing, **tags)
        refused(operation, "InvalidArgument", "ResourceARN", ResourceARN="arn:aws:s3:::b", **tags)
    many = [{"Key": f"k{n}"} for n in range(49)]
    refused("TagResource", "TooManyTags", ResourceARN=arn, Tags=many)
    refused("TagResource", "InvalidArgument", "Tags[0].Key", ResourceARN=arn, Tags=[{"Key": "aws:x"}])


def judge_malformed():
    """Sends requests that boto3 would not send: operation, body, expected code, beginning of the message."""
    setting = "ApplicationSnapshotConfiguration"
    snapshot = ORDERS | {"SnapshotName": "custom_1"}
    not_boolean = {"ApplicationConfiguration": {setting: {"SnapshotsEnabled": "no"}}}
    without_member = {"ApplicationConfigurationUpdate": {f"{setting}Update": {}}}
    rows = [
        ("RollbackApplication", {}, "UnknownOperation", "RollbackApplication"),
        ("ListApplications", "", "Serialization", "The request"),
        ("ListApplications", "{", "Serialization", "The request"),
        ("ListApplications", "[]", "Serialization", "The request"),
        ("ListApplications", '"a"', "Serialization", "The request"),
        ("DescribeApplication", {}, "InvalidArgument", "ApplicationName"),
        ("ListApplicationSnapshots", {}, "InvalidArgument", "ApplicationName"),
        ("ListApplicationSnapshots", {"ApplicationName": None}, "InvalidArgument", "ApplicationName"),
        ("ListApplicationSnapshots", {"ApplicationName": ""}, "InvalidArgument", "ApplicationName"),
        ("ListApplicationSnapshots", {"ApplicationName": "x" * 129}, "InvalidArgument", "ApplicationName"),
        ("ListApplicationSnapshots", {"ApplicationName": "a:b"}, "InvalidArgument", "ApplicationName"),
        ("ListApplicationSnapshots", {"ApplicationName": 7}, "Serialization", "ApplicationName"),
        ("ListApplicationSnapshots", ORDERS | {"Limit": 0}, "InvalidArgument", "Limit"),
        ("ListApplicationSnapshots", ORDERS | {"Limit": 1.5}, "Serialization", "Limit"),
        ("CreateApplicationSnapshot", ORDERS, "InvalidArgument", "SnapshotName"),
        ("CreateApplicationSnapshot", ORDERS | {"SnapshotName": "x" * 257}, "InvalidArgument", "SnapshotName"),
        ("StopApplication", ORDERS | {"Force": "yes"}, "Serialization", "Force"),
        ("TagResource", {"ResourceARN": "orders", "Tags": []}, "InvalidArgument", "ResourceARN"),
        ("StartApplication", ORDERS | {"RunConfiguration": []}, "Serialization", "RunConfiguration"),
        ("CreateApplication", {"ApplicationName": "a:b"}, "InvalidArgument", "ApplicationName"),
        (
            "CreateApplication",
            request("judge-none") | not_boolean,
            "Serialization",
            f"ApplicationConfiguration.{setting}.SnapshotsEnabled is not a boolean",
        ),
        (
            "UpdateApplication",
            ORDERS | {"CurrentApplicationVersionId": 1} | without_member,
            "InvalidArgument",
            f"ApplicationConfigurationUpdate.{setting}Update.SnapshotsEnabledUpdate is required",
        ),
    ]
    for number, code in [(0, "InvalidArgument"), ("1", "Serialization")]:
        member = "CurrentApplicationVersionId"
        rows.append(("UpdateApplication", ORDERS | {member: number}, code, member))
    for stamp, code in [("2025-11-22T20:06:41Z", "Serialization"), (1e300, "Serialization"), (None, "InvalidArgument")]:
        member = "SnapshotCreationTimestamp"
        rows.append(("DeleteApplicationSnapshot", snapshot | {member: stamp}, code, member))
    for operation, body, code, beginning in rows:
        body = body if isinstance(body, str) else json.dumps(body)
        check_malformed(operation, body, f"{code}Exception", beginning)


def check_malformed(operation, body, code, beginning):
    headers = {
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": f"KinesisAnalytics_20180523.{operation}",
    }
    sent = urllib.request.Request(os.environ["AWS_ENDPOINT_URL"], body.encode(), headers)
    try:
        urllib.request.urlopen(sent)
    except urllib.error.HTTPError as error:
        answer = json.loads(error.read())
        found = (error.code, answer["__type"], error.headers["x-amzn-errortype"])
        demand(found == (400, code, code), f"{operation} {body}: {found} instead of {code}")
        demand(answer["Message"].startswith(beginning), f"{operation} {body}: {answer} does not begin so")
    else:
        raise Judgement(f"{operation} {body}: success instead of {code}")
    print(f"ok   {operation} {body}: {code}")


def judge_start():
    snapshot = ORDERS | {"SnapshotName": "custom_0"}
    refused("CreateApplicationSnapshot", "InvalidRequest", "READY", **snapshot)
    refused("StopApplication", "ResourceInUse", "READY", **ORDERS)
    refused("StartApplication", "ResourceNotFound", "judge-none", **NONE)
    refused("StartApplication", "InvalidArgument", "SnapshotName", **ORDERS, RunConfiguration=restore())
    by_arn = restore(SnapshotArn="arn:aws:x")
    refused("StartApplication", "UnsupportedOperation", **ORDERS, RunConfiguration=by_arn)
    flink = {"FlinkRunConfiguration": {"AllowNonRestoredState": True}}
    call("StartApplication", **ORDERS, RunConfiguration=flink)
    demand_status("judge-orders", "STARTING")
    refused("CreateApplicationSnapshot", "ResourceInUse", "STARTING", **snapshot)
    wait_status("judge-orders", "RUNNING")
    refused("StartApplication", "ResourceInUse", "RUNNING", **ORDERS)


def judge_snapshots():
    first, second, missing = (ORDERS | {"SnapshotName": name} for name in ("custom_1", "custom_2", "none"))
    before = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=2)
    call("CreateApplicationSnapshot", **first)
    snapshot = describe(**first)
    demand(snapshot["SnapshotStatus"] == "CREATING", "a snapshot takes time")
    stamp = snapshot["SnapshotCreationTimestamp"]
    refused("CreateApplicationSnapshot", "ResourceInUse", "custom_1", **second)
    refused("DeleteApplicationSnapshot", "ResourceInUse", "CREATING", **first, SnapshotCreationTimestamp=stamp)
    demand(before <= stamp <= before + datetime.timedelta(minutes=1), f"created at {stamp}")
    demand(stamp.microsecond % 1000 == 0, f"{stamp} is finer than a millisecond")
    ready = wait_snapshot("READY", **first)
    demand(ready == snapshot | {"SnapshotStatus": "READY"}, f"{snapshot} has become {ready}")

    refused("CreateApplicationSnapshot", "ResourceInUse", "already exists", **first)
    refused("CreateApplicationSnapshot", "InvalidArgument", "SnapshotName", **ORDERS, SnapshotName="a:b")
    refused("CreateApplicationSnapshot", "ResourceNotFound", **NONE, SnapshotName="custom_1")
    refused("DescribeApplicationSnapshot", "ResourceNotFound", "does not exist", **missing)
    refused("DescribeApplicationSnapshot", "InvalidArgument", "SnapshotName", **ORDERS, SnapshotName="x" * 257)
    stamped = {"SnapshotCreationTimestamp": stamp}
    refused("DeleteApplicationSnapshot", "ResourceNotFound", "does not exist", **missing, **stamped)
    wrong = {"SnapshotCreationTimestamp": stamp + datetime.timedelta(seconds=1)}
    refused("DeleteApplicationSnapshot", "InvalidArgument", "SnapshotCreationTimestamp", **first, **wrong)
    call("DeleteApplicationSnapshot", **first, **stamped)
    wait_for("custom_1 gone", lambda: is_gone("DescribeApplicationSnapshot", **first))
    call("CreateApplicationSnapshot", **second)
    wait_snapshot("READY", **second)


def judge_update():
    before = detail("judge-orders")
    version, token = before["ApplicationVersionId"], before["ConditionalToken"]
    current, next_one = ({"CurrentApplicationVersionId": number} for number in (version, version + 1))
    refused("UpdateApplication", "ResourceNotFound", **NONE, **current)
    refused("UpdateApplication", "InvalidArgument", "CurrentApplicationVersionId", **ORDERS)
    for stale in (next_one, {"ConditionalToken": "stale"}, next_one | {"ConditionalToken": token}):
        refused("UpdateApplication", "ConcurrentModification", **ORDERS, **stale)
    enhanced = {"SnapshotsEnabledUpdate": True, "SnapshotModeUpdate": "ENHANCED_SNAPSHOTS"}
    refused(
        "UpdateApplication",
        "UnsupportedOperation",
        **ORDERS,
        **current,
        RuntimeEnvironmentUpdate="FLINK-1_19",
        ApplicationConfigurationUpdate={"ApplicationSnapshotConfigurationUpdate": enhanced},
    )

    def change(is_enabled, **parallelism):
        return {
            "FlinkApplicationConfigurationUpdate": {"ParallelismConfigurationUpdate": parallelism},
            "ApplicationSnapshotConfigurationUpdate": {"SnapshotsEnabledUpdate": is_enabled},
        }

    code = {"CodeContentUpdate": {"S3ContentLocationUpdate": {"FileKeyUpdate": "b.jar"}}}
    answer = call(
        "UpdateApplication",
        **ORDERS,
        ConditionalToken=token,
        RunConfigurationUpdate=restore(SnapshotName="custom_2"),
        ApplicationConfigurationUpdate=change(False, ParallelismPerKPUUpdate=2)
        | {"ApplicationCodeConfigurationUpdate": code},
    )
    demand(answer["ApplicationDetail"]["ApplicationStatus"] == "UPDATING", "an update takes time")
    refused("UpdateApplication", "ResourceInUse", "UPDATING", **ORDERS, **next_one)
    wait_status("judge-orders", "RUNNING")
    after = detail("judge-orders")
    versions = (after["ApplicationVersionId"], after["ApplicationVersionUpdatedFrom"])
    demand(versions == (version + 1, version), f"an update makes a version, not {versions}")
    demand(after["ConditionalToken"] != token, "each version has a token of its own")
    parallelism = {
        "ConfigurationType": "CUSTOM",
        "Parallelism": 3,
        "ParallelismPerKPU": 2,
        "CurrentParallelism": 3,
        "AutoScalingEnabled": True,
    }
    location = {"S3ApplicationCodeLocationDescription": CODE | {"FileKey": "b.jar"}}
    restored = restore(SnapshotName="custom_2")["ApplicationRestoreConfiguration"]
    described = after["ApplicationConfigurationDescription"]
    for section, member, expected in [
        ("FlinkApplication", "ParallelismConfigurationDescription", parallelism),
        ("ApplicationCode", "CodeContentDescription", location),
        ("Run", "ApplicationRestoreConfigurationDescription", restored),
    ]:
        found = described[f"{section}ConfigurationDescription"][member]
        demand(found == expected, f"{member} is {found}, not {expected}")
    properties = described["EnvironmentPropertyDescriptions"]["PropertyGroupDescriptions"]
    demand(properties == PROPERTIES, f"the properties are {properties}")

    refused("CreateApplicationSnapshot", "InvalidRequest", "disabled", **ORDERS, SnapshotName="custom_3")
    enable = change(True, ParallelismUpdate=5)
    call("UpdateApplication", **ORDERS, **next_one, ApplicationConfigurationUpdate=enable)
    wait_status("judge-orders", "RUNNING")
    flink = detail("judge-orders")["ApplicationConfigurationDescription"]["FlinkApplicationConfigurationDescription"]
    found = flink["ParallelismConfigurationDescription"]
    demand(found == parallelism | {"Parallelism": 5, "CurrentParallelism": 5}, f"parallelism is {found}")


def judge_stop():
    refused("StopApplication", "ResourceNotFound", **NONE)
    refused("StopApplication", "InvalidArgument", "ApplicationName", ApplicationName="a b")
    call("StopApplication", **ORDERS)
    demand_status("judge-orders", "STOPPING")
    wait_status("judge-orders", "READY")
    call("StartApplication", **ORDERS)
    wait_status("judge-orders", "RUNNING")
    call("StopApplication", **ORDERS, Force=True)
    demand_status("judge-orders", "FORCE_STOPPING")
    wait_status("judge-orders", "READY")
    found = every_page("ListApplicationSnapshots", "SnapshotSummaries", 50, **ORDERS)
    demand(len(found) == 3, f"custom_2, one of the first update, one of the first stop, not {found}")


def judge_quota_and_pages():
    full = {"ApplicationName": "judge-full"}
    run("judge-full")
    found = every_page("ListApplicationSnapshots", "SnapshotSummaries", 49, **full)
    names = {snapshot["SnapshotName"] for snapshot in found}
    demand(
        len(found) == len(names) == SNAPSHOT_QUOTA,
        f"{len(found)} snapshots, {len(names)} names: seed judge-full with {SNAPSHOT_QUOTA} first",
    )
    first = call("ListApplicationSnapshots", **full)
    demand(len(first["SnapshotSummaries"]) == 50, "a page has 50 by default")
    refused("CreateApplicationSnapshot", "LimitExceeded", str(SNAPSHOT_QUOTA), **full, SnapshotName="custom_1")
    for contains, members in [
        ("NextToken", full | {"NextToken": "none"}),
        ("NextToken", ORDERS | {"NextToken": first["NextToken"]}),
        ("Limit", full | {"Limit": 51}),
        ("does not exist", NONE),
    ]:
        refused("ListApplicationSnapshots", "InvalidArgument", contains, **members)


def judge_behaviours():
    arn = run("judge-downtime")["ApplicationARN"]
    answer = call("ListTagsForResource", ResourceARN=arn)
    demand(answer == {}, f"without tags there is no member, not {answer}")
    down = {"ApplicationName": "judge-downtime", "SnapshotName": "custom_1"}
    refused(
        "CreateApplicationSnapshot",
        "InvalidApplicationConfiguration",
        "currently experiencing downtime",
        **down,
    )
    run("judge-failing")
    failing = {"ApplicationName": "judge-failing"}
    call("CreateApplicationSnapshot", **failing, SnapshotName="custom_1")
    wait_snapshot("FAILED", **failing, SnapshotName="custom_1")
    update = {"CurrentApplicationVersionId": 1, "RunConfigurationUpdate": restore(SnapshotName="custom_1")}
    refused("UpdateApplication", "InvalidRequest", "custom_1", **failing, **update)


def judge_enhanced():
    enhanced = {"SnapshotsEnabled": True, "SnapshotMode": "ENHANCED_SNAPSHOTS"}
    asked = {"ApplicationConfiguration": {"ApplicationSnapshotConfiguration": enhanced}}
    code = "UnsupportedOperation"
    refused("CreateApplication", code, **request("judge-none", RuntimeEnvironment="FLINK-1_19", **asked))
    run("judge-enhanced", **asked)
    application = {"ApplicationName": "judge-enhanced"}
    snapshot = application | {"SnapshotName": "custom_1"}
    refused("CreateApplicationSnapshot", code, **snapshot)
    refused("DescribeApplicationSnapshot", code, **snapshot)
    refused("ListApplicationSnapshots", code, **application)
    refused("DeleteApplicationSnapshot", code, **snapshot, SnapshotCreationTimestamp=0)


def judge_listing():
    def listed(size):
        found = every_page("ListApplications", "ApplicationSummaries", size)
        return sorted(application["ApplicationName"] for application in found)

    names = listed(50)
    for number in range(APPLICATION_QUOTA - len(names)):
        name = f"judge-fill-{number}"
        call("CreateApplication", **request(name))
        names.append(name)
    refused("CreateApplication", "LimitExceeded", str(APPLICATION_QUOTA), **request("judge-none"))
    refused("CreateApplication", "ResourceInUse", "already exists", **request("judge-orders"))
    for size in (50, 7):
        demand(listed(size) == sorted(names), f"pages of {size} have every application once")
    call("ListApplications", Limit=1)
    refused("ListApplications", "InvalidRequest", "Limit", Limit=51)
    refused("ListApplications", "InvalidRequest", "NextToken", NextToken="none")


def judge_deletion():
    created = detail("judge-orders")
    stamp = created["CreateTimestamp"]
    wrong = stamp + datetime.timedelta(seconds=1)
    refused("DeleteApplication", "ResourceNotFound", **NONE, CreateTimestamp=stamp)
    refused("DeleteApplication", "InvalidArgument", "CreateTimestamp", **ORDERS, CreateTimestamp=wrong)
    call("DeleteApplication", **ORDERS, CreateTimestamp=stamp)
    demand_status("judge-orders", "DELETING")
    refused("DeleteApplication", "ResourceInUse", "DELETING", **ORDERS, CreateTimestamp=stamp)
    arn, tags = created["ApplicationARN"], [{"Key": "k"}]
    refused("TagResource", "ResourceInUse", "DELETING", ResourceARN=arn, Tags=tags)
    wait_for("judge-orders gone", lambda: is_gone("DescribeApplication", **ORDERS))


def main():
    judge_applications()
    judge_tags()
    judge_malformed()
    judge_start()
    judge_snapshots()
    judge_update()
    judge_stop()
    judge_quota_and_pages()
    judge_behaviours()
    judge_enhanced()
    judge_listing()
    judge_deletion()
    print(f"{len(SUCCEEDED)} operations, {len(RAISED)} kinds of refusal: all as in the model")


if __name__ == "__main__":
    try:
        main()
    except (Judgement, ClientError) as fault:
        print(f"FAIL {fault}")
        sys.exit(1)
