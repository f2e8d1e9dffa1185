"""Judges the local MSF emulator by boto3: every operation, every error that can be reached.

Each answer, parsed by botocore with its parameter validation on, is compared with botocore's own
model of it: required members, no unknown ones, types, legal enum values, patterns and lengths.

Environment: AWS_ENDPOINT_URL, AWS_REGION or AWS_DEFAULT_REGION, any credentials.
Preparation by the engine, before the run:
  - life cycles of at most a second or so, and at least 200 ms for snapshots, so that CREATING shows;
  - `judge-full` seeded with 1,000 READY snapshots that have creation timestamps;
  - `judge-downtime` with downtime, `judge-failing` with snapshots that fail.
There may be other applications; those whose names begin with `judge-` must not exist yet.

Exit code 0 if all is well, 1 with the reason otherwise.
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
from botocore.config import Config
from botocore.exceptions import ClientError

ROLE = "arn:aws:iam::123456789012:role/flink"
RUNTIME = "FLINK-1_20"
APPLICATION_QUOTA = 100
SNAPSHOT_QUOTA = 1000
POLL_SECONDS = 0.05
PATIENCE_SECONDS = 60

REGION = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION", "us-east-1")
# One attempt: botocore retries LimitExceededException as throttling.
CLIENT = boto3.client(
    "kinesisanalyticsv2",
    region_name=REGION,
    config=Config(parameter_validation=True, retries={"total_max_attempts": 1}),
)
MODEL = CLIENT.meta.service_model

PYTHON_TYPES = {
    "string": str,
    "integer": int,
    "long": int,
    "boolean": bool,
    "timestamp": datetime.datetime,
    "structure": dict,
    "list": list,
    "map": dict,
}


class Judgement(Exception):
    """What the emulator did wrong."""


def demand(condition, message):
    if not condition:
        raise Judgement(message)


def check_shape(value, shape, path):
    """Holds a parsed value against botocore's shape for it."""
    expected = PYTHON_TYPES[shape.type_name]
    is_right = isinstance(value, expected) and (expected is bool or not isinstance(value, bool))
    demand(is_right, f"{path}: {value!r} is not {shape.type_name}")
    if shape.type_name == "structure":
        for member in shape.required_members:
            demand(member in value, f"{path}.{member} is required")
        for member, inner in value.items():
            demand(member in shape.members, f"{path}.{member} is not in the model")
            check_shape(inner, shape.members[member], f"{path}.{member}")
    elif shape.type_name == "list":
        for index, inner in enumerate(value):
            check_shape(inner, shape.member, f"{path}[{index}]")
    elif shape.type_name == "map":
        for key, inner in value.items():
            check_shape(key, shape.key, f"{path} key")
            check_shape(inner, shape.value, f"{path}[{key!r}]")
    check_constraints(value, shape, path)


def check_constraints(value, shape, path):
    limits = shape.metadata
    if "min" in limits or "max" in limits:
        size = value if isinstance(value, int) else len(value)
        is_within = limits.get("min", size) <= size <= limits.get("max", size)
        demand(is_within, f"{path}: {value!r} is outside {limits.get('min')}..{limits.get('max')}")
    if "enum" in limits:
        demand(value in limits["enum"], f"{path}: {value!r} is none of {limits['enum']}")
    if "pattern" in limits:
        matches = re.fullmatch(limits["pattern"], value)
        demand(matches, f"{path}: {value!r} does not match {limits['pattern']}")


# The parser drops what the model does not know, so the answer as it came is looked at too.
RAW = {}
CLIENT.meta.events.register(
    f"before-parse.{MODEL.service_id.hyphenize()}",
    lambda response_dict, **_: RAW.update(body=response_dict["body"]),
)


def check_members(raw, shape, path):
    """No member on the wire that the model, and so the parser, does not know."""
    if shape.type_name == "structure":
        for member, inner in raw.items():
            demand(member in shape.members, f"{path}.{member} is not in the model")
            check_members(inner, shape.members[member], f"{path}.{member}")
    elif shape.type_name == "list":
        for index, inner in enumerate(raw):
            check_members(inner, shape.member, f"{path}[{index}]")


def method_of(operation):
    return getattr(CLIENT, re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower())


SUCCEEDED = set()
RAISED = set()


def call(operation, **members):
    """Calls, checks the answer's shape, and returns it without its metadata."""
    answer = dict(method_of(operation)(**members))
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
    """Expects the modelled exception of that name."""
    modelled = {shape.name for shape in MODEL.operation_model(operation).error_shapes}
    demand(code in modelled, f"{operation} has no {code} in the model")
    try:
        method_of(operation)(**members)
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


def passed(line):
    print(f"ok   {line}")


def wait_for(what, look):
    """Looks until the look is good; returns what it saw."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        found = look()
        if found:
            return found
        time.sleep(POLL_SECONDS)
    raise Judgement(f"{what}: not within {PATIENCE_SECONDS} s")


def detail(name):
    return call("DescribeApplication", ApplicationName=name)["ApplicationDetail"]


def wait_status(name, status):
    def look():
        found = detail(name)
        return found if found["ApplicationStatus"] == status else None

    return wait_for(f"{name} {status}", look)


def describe(name, snapshot):
    answer = call("DescribeApplicationSnapshot", ApplicationName=name, SnapshotName=snapshot)
    return answer["SnapshotDetails"]


def wait_snapshot(name, snapshot, status):
    def look():
        found = describe(name, snapshot)
        return found if found["SnapshotStatus"] == status else None

    return wait_for(f"{snapshot} {status}", look)


def exists(operation, **members):
    try:
        call(operation, **members)
    except CLIENT.exceptions.ResourceNotFoundException:
        return False
    return True


def create(name, **members):
    answer = call(
        "CreateApplication",
        ApplicationName=name,
        RuntimeEnvironment=members.pop("RuntimeEnvironment", RUNTIME),
        ServiceExecutionRole=ROLE,
        **members,
    )
    return answer["ApplicationDetail"]


def run(name, **members):
    created = create(name, **members)
    call("StartApplication", ApplicationName=name)
    wait_status(name, "RUNNING")
    return created


def delete(name):
    """Deletes an application; the life cycle may have to let it settle first."""

    def look():
        found = detail(name)
        return found if found["ApplicationStatus"] in ("READY", "RUNNING") else None

    created = wait_for(f"{name} READY or RUNNING", look)["CreateTimestamp"]
    call("DeleteApplication", ApplicationName=name, CreateTimestamp=created)


def every_page(operation, key, size, **members):
    paginator = CLIENT.get_paginator(re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower())
    found = []
    for page in paginator.paginate(PaginationConfig={"PageSize": size}, **members):
        page = {key: value for key, value in page.items() if key != "ResponseMetadata"}
        check_answer(operation, page)
        demand(len(page[key]) <= size, f"{operation}: {len(page[key])} on a page of {size}")
        found += page[key]
    return found


def judge_applications():
    name = "judge-orders"
    created = create(
        name,
        ApplicationDescription="Judged",
        ApplicationMode="STREAMING",
        ApplicationConfiguration={
            "FlinkApplicationConfiguration": {
                "CheckpointConfiguration": {
                    "ConfigurationType": "CUSTOM",
                    "CheckpointInterval": 30000,
                },
                "MonitoringConfiguration": {"ConfigurationType": "CUSTOM", "LogLevel": "WARN"},
                "ParallelismConfiguration": {"ConfigurationType": "CUSTOM", "Parallelism": 3},
            },
            "ApplicationCodeConfiguration": {
                "CodeContentType": "ZIPFILE",
                "CodeContent": {
                    "S3ContentLocation": {"BucketARN": "arn:aws:s3:::code", "FileKey": "a.jar"}
                },
            },
            "EnvironmentProperties": {
                "PropertyGroups": [{"PropertyGroupId": "g", "PropertyMap": {"key": "value"}}]
            },
            "ApplicationSnapshotConfiguration": {"SnapshotsEnabled": True},
            "ApplicationSystemRollbackConfiguration": {"RollbackEnabled": True},
        },
        CloudWatchLoggingOptions=[
            {"LogStreamARN": "arn:aws:logs:us-east-1:123456789012:log-group:g"}
        ],
        Tags=[{"Key": "team", "Value": "data"}],
    )
    demand(created["ApplicationStatus"] == "READY", "a new application is READY")
    demand(created["ApplicationVersionId"] == 1, "a new application has version 1")
    configuration = created["ApplicationConfigurationDescription"]
    snapshots = configuration["ApplicationSnapshotConfigurationDescription"]
    demand(snapshots["SnapshotsEnabled"] is True, "snapshots are enabled as asked")
    flink = configuration["FlinkApplicationConfigurationDescription"]
    parallelism = flink["ParallelismConfigurationDescription"]["Parallelism"]
    demand(parallelism == 3, "parallelism is as asked")
    passed("CreateApplication")
    demand(detail(name) == created, "DescribeApplication shows what CreateApplication answered")
    passed("DescribeApplication")

    refused(
        "CreateApplication",
        "ResourceInUseException",
        "already exists",
        ApplicationName=name,
        RuntimeEnvironment=RUNTIME,
        ServiceExecutionRole=ROLE,
    )
    valid = {
        "ApplicationName": "judge-none",
        "RuntimeEnvironment": RUNTIME,
        "ServiceExecutionRole": ROLE,
    }
    refused(
        "CreateApplication",
        "InvalidArgumentException",
        "ApplicationName",
        **(valid | {"ApplicationName": "a:b"}),
    )
    refused(
        "CreateApplication",
        "InvalidArgumentException",
        "RuntimeEnvironment",
        **(valid | {"RuntimeEnvironment": "FLINK-0"}),
    )
    many = [{"Key": f"k{n}"} for n in range(51)]
    refused("CreateApplication", "TooManyTagsException", Tags=many, **valid)
    enhanced = {"SnapshotsEnabled": True, "SnapshotMode": "ENHANCED_SNAPSHOTS"}
    refused(
        "CreateApplication",
        "UnsupportedOperationException",
        ApplicationConfiguration={"ApplicationSnapshotConfiguration": enhanced},
        **(valid | {"RuntimeEnvironment": "FLINK-1_19"}),
    )
    refused("DescribeApplication", "ResourceNotFoundException", ApplicationName="judge-none")
    refused(
        "DescribeApplication", "InvalidArgumentException", "ApplicationName", ApplicationName="a b"
    )
    return created


def judge_tags(created):
    arn = created["ApplicationARN"]
    call("TagResource", ResourceARN=arn, Tags=[{"Key": "team", "Value": "ml"}, {"Key": "stage"}])
    passed("TagResource")
    tags = call("ListTagsForResource", ResourceARN=arn)["Tags"]
    found = {tag["Key"]: tag["Value"] for tag in tags}
    demand(found == {"team": "ml", "stage": ""}, f"tags are {found}")
    passed("ListTagsForResource")
    missing = arn.replace("judge-orders", "judge-none")
    tag = [{"Key": "k"}]
    refused("TagResource", "ResourceNotFoundException", ResourceARN=missing, Tags=tag)
    refused(
        "TagResource",
        "InvalidArgumentException",
        "ResourceARN",
        ResourceARN="arn:aws:s3:::b",
        Tags=tag,
    )
    many = [{"Key": f"k{n}"} for n in range(49)]
    refused("TagResource", "TooManyTagsException", ResourceARN=arn, Tags=many)
    refused("ListTagsForResource", "ResourceNotFoundException", ResourceARN=missing)
    refused(
        "ListTagsForResource",
        "InvalidArgumentException",
        "ResourceARN",
        ResourceARN="arn:aws:s3:::b",
    )


def judge_start(name):
    refused(
        "CreateApplicationSnapshot",
        "InvalidRequestException",
        "READY",
        ApplicationName=name,
        SnapshotName="custom_0",
    )
    refused("StopApplication", "ResourceInUseException", ApplicationName=name)
    custom = {"ApplicationRestoreType": "RESTORE_FROM_CUSTOM_SNAPSHOT"}

    def restore(**members):
        return {"ApplicationRestoreConfiguration": custom | members}

    refused(
        "StartApplication", "ResourceNotFoundException", "judge-none", ApplicationName="judge-none"
    )
    refused(
        "StartApplication",
        "ResourceNotFoundException",
        "none",
        ApplicationName=name,
        RunConfiguration=restore(SnapshotName="none"),
    )
    refused(
        "StartApplication",
        "InvalidArgumentException",
        "SnapshotName",
        ApplicationName=name,
        RunConfiguration=restore(),
    )
    refused(
        "StartApplication",
        "UnsupportedOperationException",
        ApplicationName=name,
        RunConfiguration=restore(SnapshotArn="arn:aws:x"),
    )
    call(
        "StartApplication",
        ApplicationName=name,
        RunConfiguration={"FlinkRunConfiguration": {"AllowNonRestoredState": True}},
    )
    passed("StartApplication")
    demand(detail(name)["ApplicationStatus"] == "STARTING", "a start takes time")
    refused(
        "CreateApplicationSnapshot",
        "ResourceInUseException",
        "STARTING",
        ApplicationName=name,
        SnapshotName="custom_0",
    )
    started = wait_status(name, "RUNNING")
    shown = started["ApplicationConfigurationDescription"]["RunConfigurationDescription"]
    kind = shown["ApplicationRestoreConfigurationDescription"]["ApplicationRestoreType"]
    demand(kind == "RESTORE_FROM_LATEST_SNAPSHOT", f"restore type is {kind}")
    refused("StartApplication", "ResourceInUseException", "RUNNING", ApplicationName=name)


def judge_snapshots(name):
    first = {"ApplicationName": name, "SnapshotName": "custom_1"}
    second = {"ApplicationName": name, "SnapshotName": "custom_2"}
    missing = {"ApplicationName": name, "SnapshotName": "none"}
    before = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=2)
    call("CreateApplicationSnapshot", **first)
    passed("CreateApplicationSnapshot")
    snapshot = describe(name, "custom_1")
    demand(snapshot["SnapshotStatus"] == "CREATING", "a snapshot takes time")
    stamp = snapshot["SnapshotCreationTimestamp"]
    demand(before <= stamp <= before + datetime.timedelta(minutes=1), f"created at {stamp}")
    demand(stamp.microsecond % 1000 == 0, f"{stamp} is finer than a millisecond")
    refused("CreateApplicationSnapshot", "ResourceInUseException", "custom_1", **second)
    refused(
        "DeleteApplicationSnapshot",
        "ResourceInUseException",
        "CREATING",
        SnapshotCreationTimestamp=stamp,
        **first,
    )
    refused("StopApplication", "ResourceInUseException", "custom_1", ApplicationName=name)
    version = detail(name)["ApplicationVersionId"]
    refused(
        "UpdateApplication",
        "ResourceInUseException",
        "custom_1",
        ApplicationName=name,
        CurrentApplicationVersionId=version,
    )
    refused(
        "UpdateApplication",
        "InvalidRequestException",
        "custom_1",
        ApplicationName=name,
        CurrentApplicationVersionId=version,
        RunConfigurationUpdate={
            "ApplicationRestoreConfiguration": {
                "ApplicationRestoreType": "RESTORE_FROM_CUSTOM_SNAPSHOT",
                "SnapshotName": "custom_1",
            }
        },
    )
    ready = wait_snapshot(name, "custom_1", "READY")
    demand(ready["SnapshotCreationTimestamp"] == stamp, "the timestamp stays")
    demand(ready["ApplicationVersionId"] == 1, "the version is the application's")
    demand(ready["RuntimeEnvironment"] == RUNTIME, "the runtime is the application's")
    passed("DescribeApplicationSnapshot")

    refused("CreateApplicationSnapshot", "ResourceInUseException", "already exists", **first)
    refused(
        "CreateApplicationSnapshot",
        "InvalidArgumentException",
        "SnapshotName",
        ApplicationName=name,
        SnapshotName="a:b",
    )
    refused(
        "CreateApplicationSnapshot",
        "ResourceNotFoundException",
        ApplicationName="judge-none",
        SnapshotName="custom_1",
    )
    refused("DescribeApplicationSnapshot", "ResourceNotFoundException", "does not exist", **missing)
    refused(
        "DescribeApplicationSnapshot",
        "InvalidArgumentException",
        "SnapshotName",
        ApplicationName=name,
        SnapshotName="x" * 257,
    )
    refused(
        "DeleteApplicationSnapshot",
        "ResourceNotFoundException",
        "does not exist",
        SnapshotCreationTimestamp=stamp,
        **missing,
    )
    wrong = stamp + datetime.timedelta(seconds=1)
    refused(
        "DeleteApplicationSnapshot",
        "InvalidArgumentException",
        "SnapshotCreationTimestamp",
        SnapshotCreationTimestamp=wrong,
        **first,
    )
    call("DeleteApplicationSnapshot", SnapshotCreationTimestamp=stamp, **first)
    wait_for("custom_1 gone", lambda: not exists("DescribeApplicationSnapshot", **first))
    passed("DeleteApplicationSnapshot")

    call("CreateApplicationSnapshot", **second)
    wait_snapshot(name, "custom_2", "READY")


def judge_update(name):
    before = detail(name)
    version = before["ApplicationVersionId"]
    refused(
        "UpdateApplication",
        "ResourceNotFoundException",
        ApplicationName="judge-none",
        CurrentApplicationVersionId=1,
    )
    refused(
        "UpdateApplication",
        "InvalidArgumentException",
        "CurrentApplicationVersionId",
        ApplicationName=name,
    )
    refused(
        "UpdateApplication",
        "ConcurrentModificationException",
        ApplicationName=name,
        CurrentApplicationVersionId=version + 1,
    )
    refused(
        "UpdateApplication",
        "ConcurrentModificationException",
        ApplicationName=name,
        ConditionalToken="stale",
    )
    refused(
        "UpdateApplication",
        "UnsupportedOperationException",
        ApplicationName=name,
        CurrentApplicationVersionId=version,
        RuntimeEnvironmentUpdate="FLINK-1_19",
        ApplicationConfigurationUpdate={
            "ApplicationSnapshotConfigurationUpdate": {
                "SnapshotsEnabledUpdate": True,
                "SnapshotModeUpdate": "ENHANCED_SNAPSHOTS",
            }
        },
    )
    answer = call(
        "UpdateApplication",
        ApplicationName=name,
        ConditionalToken=before["ConditionalToken"],
        RunConfigurationUpdate={
            "ApplicationRestoreConfiguration": {
                "ApplicationRestoreType": "RESTORE_FROM_CUSTOM_SNAPSHOT",
                "SnapshotName": "custom_2",
            }
        },
        ApplicationConfigurationUpdate={
            "FlinkApplicationConfigurationUpdate": {
                "ParallelismConfigurationUpdate": {"ParallelismUpdate": 5}
            },
            "ApplicationSnapshotConfigurationUpdate": {"SnapshotsEnabledUpdate": False},
        },
    )
    updated = answer["ApplicationDetail"]
    demand(updated["ApplicationVersionId"] == version + 1, "an update makes a version")
    demand(
        updated["ApplicationStatus"] == "UPDATING", "an update of a running application takes time"
    )
    refused(
        "UpdateApplication",
        "ResourceInUseException",
        "UPDATING",
        ApplicationName=name,
        CurrentApplicationVersionId=version + 1,
    )
    after = wait_status(name, "RUNNING")["ApplicationConfigurationDescription"]
    restore = after["RunConfigurationDescription"]["ApplicationRestoreConfigurationDescription"]
    demand(restore.get("SnapshotName") == "custom_2", f"the restore point is {restore}")
    snapshots = after["ApplicationSnapshotConfigurationDescription"]
    demand(snapshots["SnapshotsEnabled"] is False, "snapshots are disabled")
    passed("UpdateApplication")

    made = [
        s
        for s in every_page(
            "ListApplicationSnapshots", "SnapshotSummaries", 50, ApplicationName=name
        )
        if not s["SnapshotName"].startswith("custom_")
    ]
    demand(len(made) == 1, f"the update took one snapshot, not {made}")
    demand(made[0]["ApplicationVersionId"] == version, "the update's snapshot has the old version")
    refused(
        "CreateApplicationSnapshot",
        "InvalidRequestException",
        "disabled",
        ApplicationName=name,
        SnapshotName="custom_3",
    )
    call(
        "UpdateApplication",
        ApplicationName=name,
        CurrentApplicationVersionId=version + 1,
        ApplicationConfigurationUpdate={
            "ApplicationSnapshotConfigurationUpdate": {"SnapshotsEnabledUpdate": True}
        },
    )
    wait_status(name, "RUNNING")


def judge_stop(name):
    refused("StopApplication", "ResourceNotFoundException", ApplicationName="judge-none")
    refused("StopApplication", "InvalidArgumentException", "ApplicationName", ApplicationName="a b")
    count = len(
        every_page("ListApplicationSnapshots", "SnapshotSummaries", 50, ApplicationName=name)
    )
    call("StopApplication", ApplicationName=name)
    demand(detail(name)["ApplicationStatus"] == "STOPPING", "a stop takes time")
    wait_status(name, "READY")
    found = every_page("ListApplicationSnapshots", "SnapshotSummaries", 50, ApplicationName=name)
    demand(len(found) == count + 1, "a stop takes a snapshot")
    call("StartApplication", ApplicationName=name)
    wait_status(name, "RUNNING")
    call("StopApplication", ApplicationName=name, Force=True)
    demand(detail(name)["ApplicationStatus"] == "FORCE_STOPPING", "a forced stop is shown as one")
    wait_status(name, "READY")
    found = every_page("ListApplicationSnapshots", "SnapshotSummaries", 50, ApplicationName=name)
    demand(len(found) == count + 1, "a forced stop takes no snapshot")
    passed("StopApplication")


def judge_quota_and_pages():
    name = "judge-full"
    run(name)
    for size in (50, 49, 1):
        limit = {"MaxItems": 60, "PageSize": 1} if size == 1 else {"PageSize": size}
        pages = CLIENT.get_paginator("list_application_snapshots").paginate(
            ApplicationName=name, PaginationConfig=limit
        )
        found = pages.build_full_result()["SnapshotSummaries"]
        names = {snapshot["SnapshotName"] for snapshot in found}
        expected = 60 if size == 1 else SNAPSHOT_QUOTA
        demand(
            len(found) == len(names) == expected,
            f"pages of {size}: {len(found)} entries, {len(names)} names, not {expected}: "
            f"seed {name} with {SNAPSHOT_QUOTA} snapshots first",
        )
    first = call("ListApplicationSnapshots", ApplicationName=name)
    demand(len(first["SnapshotSummaries"]) == 50, "a page has 50 by default")
    shown = first["SnapshotSummaries"][10]
    call(
        "DeleteApplicationSnapshot",
        ApplicationName=name,
        SnapshotName=shown["SnapshotName"],
        SnapshotCreationTimestamp=shown["SnapshotCreationTimestamp"],
    )
    gone = {"ApplicationName": name, "SnapshotName": shown["SnapshotName"]}
    refused(
        "CreateApplicationSnapshot",
        "LimitExceededException",
        str(SNAPSHOT_QUOTA),
        ApplicationName=name,
        SnapshotName="custom_1",
    )
    wait_for("deletion", lambda: not exists("DescribeApplicationSnapshot", **gone))
    seen = {snapshot["SnapshotName"] for snapshot in first["SnapshotSummaries"]}
    token = first.get("NextToken")
    while token:
        page = call("ListApplicationSnapshots", ApplicationName=name, NextToken=token)
        seen |= {snapshot["SnapshotName"] for snapshot in page["SnapshotSummaries"]}
        token = page.get("NextToken")
    demand(len(seen) == SNAPSHOT_QUOTA, "a deletion between two pages hides no other snapshot")
    passed("ListApplicationSnapshots")

    call("CreateApplicationSnapshot", ApplicationName=name, SnapshotName="custom_1")
    wait_snapshot(name, "custom_1", "READY")
    refused(
        "CreateApplicationSnapshot",
        "LimitExceededException",
        ApplicationName=name,
        SnapshotName="custom_2",
    )
    call("StopApplication", ApplicationName=name)
    wait_status(name, "READY")
    found = every_page("ListApplicationSnapshots", "SnapshotSummaries", 50, ApplicationName=name)
    demand(len(found) == SNAPSHOT_QUOTA + 1, "a stop takes its snapshot beyond the quota")
    passed("StopApplication beyond the quota")
    refused(
        "ListApplicationSnapshots",
        "InvalidArgumentException",
        "NextToken",
        ApplicationName=name,
        NextToken="none",
    )
    refused(
        "ListApplicationSnapshots",
        "InvalidArgumentException",
        "NextToken",
        ApplicationName="judge-orders",
        NextToken=first["NextToken"],
    )
    refused(
        "ListApplicationSnapshots",
        "InvalidArgumentException",
        "Limit",
        ApplicationName=name,
        Limit=51,
    )
    refused(
        "ListApplicationSnapshots",
        "InvalidArgumentException",
        "does not exist",
        ApplicationName="judge-none",
    )


def judge_behaviours():
    run("judge-downtime")
    refused(
        "CreateApplicationSnapshot",
        "InvalidApplicationConfigurationException",
        "currently experiencing downtime",
        ApplicationName="judge-downtime",
        SnapshotName="custom_1",
    )
    run("judge-failing")
    call("CreateApplicationSnapshot", ApplicationName="judge-failing", SnapshotName="custom_1")
    failed = wait_snapshot("judge-failing", "custom_1", "FAILED")
    call(
        "DeleteApplicationSnapshot",
        ApplicationName="judge-failing",
        SnapshotName="custom_1",
        SnapshotCreationTimestamp=failed["SnapshotCreationTimestamp"],
    )
    passed("a FAILED snapshot is shown and can be deleted")


def judge_enhanced():
    name = "judge-enhanced"
    enhanced = {"SnapshotsEnabled": True, "SnapshotMode": "ENHANCED_SNAPSHOTS"}
    run(name, ApplicationConfiguration={"ApplicationSnapshotConfiguration": enhanced})
    snapshot = {"ApplicationName": name, "SnapshotName": "custom_1"}
    code = "UnsupportedOperationException"
    refused("CreateApplicationSnapshot", code, **snapshot)
    refused("DescribeApplicationSnapshot", code, **snapshot)
    refused("ListApplicationSnapshots", code, ApplicationName=name)
    refused("DeleteApplicationSnapshot", code, SnapshotCreationTimestamp=0, **snapshot)


def judge_listing():
    fill = []
    while True:
        name = f"judge-fill-{len(fill)}"
        try:
            create(name)
        except CLIENT.exceptions.LimitExceededException as error:
            check_error("CreateApplication", "LimitExceededException", "", error.response)
            break
        fill.append(name)
        demand(len(fill) <= APPLICATION_QUOTA, f"no limit at {APPLICATION_QUOTA} applications")
    passed("CreateApplication: LimitExceededException")
    for size in (50, 7):
        found = [
            a["ApplicationName"]
            for a in every_page("ListApplications", "ApplicationSummaries", size)
        ]
        demand(
            len(found) == len(set(found)) == APPLICATION_QUOTA,
            f"{len(found)} applications are listed",
        )
        demand(set(fill) <= set(found), "every application is listed")
    call("ListApplications", Limit=1)
    passed("ListApplications")
    refused("ListApplications", "InvalidRequestException", "Limit", Limit=51)
    refused("ListApplications", "InvalidRequestException", "NextToken", NextToken="none")


def judge_deletion(created):
    name = created["ApplicationName"]
    stamp = created["CreateTimestamp"]
    arn = created["ApplicationARN"]
    refused(
        "DeleteApplication",
        "ResourceNotFoundException",
        ApplicationName="judge-none",
        CreateTimestamp=stamp,
    )
    refused(
        "DeleteApplication",
        "InvalidArgumentException",
        "CreateTimestamp",
        ApplicationName=name,
        CreateTimestamp=stamp + datetime.timedelta(seconds=1),
    )
    call("DeleteApplication", ApplicationName=name, CreateTimestamp=stamp)
    demand(detail(name)["ApplicationStatus"] == "DELETING", "a deletion takes time")
    refused(
        "DeleteApplication",
        "ResourceInUseException",
        "DELETING",
        ApplicationName=name,
        CreateTimestamp=stamp,
    )
    refused(
        "TagResource", "ResourceInUseException", "DELETING", ResourceARN=arn, Tags=[{"Key": "k"}]
    )
    wait_for(f"{name} gone", lambda: not exists("DescribeApplication", ApplicationName=name))
    passed("DeleteApplication")
    listed = every_page("ListApplications", "ApplicationSummaries", 50)
    rest = [a["ApplicationName"] for a in listed if a["ApplicationName"].startswith("judge-")]
    for other in rest:
        delete(other)
    for other in rest:
        wait_for(f"{other} gone", lambda: not exists("DescribeApplication", ApplicationName=other))


def judge_protocol():
    """What boto3 would not send."""
    rows = [
        ("DescribeApplication", b"{", "SerializationException"),
        ("DescribeApplication", b'{"ApplicationName": 7}', "SerializationException"),
        ("DescribeApplication", b"{}", "InvalidArgumentException"),
        ("DescribeNothing", b"{}", "UnknownOperationException"),
    ]
    for operation, body, code in rows:
        request = urllib.request.Request(
            os.environ["AWS_ENDPOINT_URL"],
            data=body,
            headers={
                "Content-Type": "application/x-amz-json-1.1",
                "X-Amz-Target": f"KinesisAnalytics_20180523.{operation}",
            },
        )
        try:
            urllib.request.urlopen(request)
        except urllib.error.HTTPError as error:
            answer = json.loads(error.read())
            demand(error.code == 400, f"{operation} {body}: HTTP {error.code}")
            demand(answer["__type"] == code, f"{operation} {body}: {answer}")
            demand(error.headers["x-amzn-errortype"] == code, f"{operation}: no x-amzn-errortype")
        else:
            raise Judgement(f"{operation} {body}: success instead of {code}")
        passed(f"{operation} {body.decode()}: {code}")


def main():
    created = judge_applications()
    name = created["ApplicationName"]
    judge_tags(created)
    judge_start(name)
    judge_snapshots(name)
    judge_update(name)
    judge_stop(name)
    judge_quota_and_pages()
    judge_behaviours()
    judge_enhanced()
    judge_listing()
    judge_deletion(created)
    judge_protocol()
    print(f"{len(SUCCEEDED)} operations, {len(RAISED)} kinds of refusal: all as in the model")


if __name__ == "__main__":
    try:
        main()
    except (Judgement, ClientError) as fault:
        print(f"FAIL {fault}")
        sys.exit(1)
