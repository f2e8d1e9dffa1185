"""Judges redrive.py, the module that starts MiniStack: redrives, timeouts and stops by boto3 against the real server.

Each answer is compared with botocore's model of it. The Tasks put a question into a queue and wait for its answer, so
that each check decides what a Task answers, and when. Needs the packages of ministack.txt, and starts its own server.

Exit code 0 if all is well, 1 with the reason otherwise.
"""

import contextlib
import datetime
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

# No __pycache__ in the source folders.
sys.dont_write_bytecode = True
from boto3_judge import Judgement, check_members, check_shape, demand  # noqa: E402

MODULE = Path(__file__).resolve().parents[2] / "engine/python/redrive.py"
REGION, ACCOUNT = "eu-central-1", "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/machine"
POLL_SECONDS = 0.02
PATIENCE_SECONDS = 30
# A second of a wait, or of a machine's timeout, lasts 10 ms.
SCALE = 0.01
LONG = 1_000_000
# Characters of a failure that are shown.
SHOWN = 2_000

# status: redriveStatus, redriveStatusReason
REDRIVE_STATUS = {
    "RUNNING": ("NOT_REDRIVABLE", "Execution is RUNNING and cannot be redriven"),
    "SUCCEEDED": ("NOT_REDRIVABLE", "Execution is SUCCEEDED and cannot be redriven"),
    "FAILED": ("REDRIVABLE", None),
    "ABORTED": ("REDRIVABLE", None),
    "TIMED_OUT": ("REDRIVABLE", None),
}

# Required members that MiniStack leaves out of its events.
LEFT_OUT = {
    "taskScheduledEventDetails": {"region": REGION, "parameters": "{}"},
    "taskSucceededEventDetails": {"resourceType": "sqs"},
    "taskFailedEventDetails": {"resourceType": "sqs"},
}

# The server as it is, but that an execution whose name is `held-` and a type of event goes no further after such an
# event until a client has stopped it. The server ends with this process.
SERVER = """
import os, sys, threading, time
import ministack.app
sys.dont_write_bytecode = True
import redrive
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
going_on = redrive.going_on
def held():
    execution, redrives = redrive.ATTEMPT.get()
    kinds = lambda: [event["type"] for event in execution["events"]]
    if execution["name"] == f"held-{kinds()[-1]}" and not redrives:
        while "ExecutionAborted" not in kinds():
            time.sleep(0.005)
    return going_on()
redrive.going_on = held
redrive.main()
"""

WITH = {"region_name": REGION, "aws_access_key_id": ACCOUNT, "aws_secret_access_key": "local"}
STATES = SQS = EVENTS = None
RAW = {}


def connect(endpoint):
    """Makes the clients, and looks at the answers of Step Functions as they came."""
    global STATES, SQS, EVENTS
    config = Config(parameter_validation=True, retries={"total_max_attempts": 1})
    names = ("stepfunctions", "sqs", "events")
    STATES, SQS, EVENTS = (
        boto3.client(name, endpoint_url=endpoint, config=config, **WITH) for name in names
    )
    STATES.meta.events.register(
        "before-parse.sfn", lambda response_dict, **_: RAW.update(response_dict)
    )


def wait_for(what, look):
    """Looks until the look is good; returns what it saw."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        found = look()
        if found:
            return found
        time.sleep(POLL_SECONDS)
    raise Judgement(f"{what}: not within {PATIENCE_SECONDS} s")


def equal(found, expected, what):
    demand(found == expected, f"{what}: {found!r} instead of {expected!r}")


def method_of(operation):
    return getattr(STATES, re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower())


def call(operation, **members):
    """Calls, checks the answer's shape, and returns it without its metadata."""
    answer = dict(method_of(operation)(**members))
    metadata = answer.pop("ResponseMetadata")
    equal(metadata["HTTPStatusCode"], 200, operation)
    shape = STATES.meta.service_model.operation_model(operation).output_shape
    raw = json.loads(RAW.pop("body"))
    if operation == "GetExecutionHistory":
        for event in answer["events"]:
            for details in LEFT_OUT.keys() & event.keys():
                event[details] = LEFT_OUT[details] | event[details]
    for item in (raw, *raw.get("executions", [])):
        demand(None not in item.values(), f"{operation}: a null in {item}")
    check_shape(answer, shape, operation)
    check_members(raw, shape, f"{operation} on the wire")
    return answer


def refused(operation, code, contains, **members):
    """Expects the modelled exception of that name, with a message."""
    try:
        method_of(operation)(**members)
    except getattr(STATES.exceptions, code) as error:
        equal(error.response["ResponseMetadata"]["HTTPStatusCode"], 400, f"{operation}: {code}")
        message = error.response["message"]
        demand(contains in message, f"{operation}: {message!r} does not say {contains!r}")
    else:
        raise Judgement(f"{operation}: success instead of {code}")


def machine(states, name, kind="STANDARD", **fields):
    """A state machine that starts at the first of the states."""
    definition = {"StartAt": next(iter(states)), "States": states, **fields}
    created = call(
        "CreateStateMachine", name=name, definition=json.dumps(definition), roleArn=ROLE, type=kind
    )
    return created["stateMachineArn"]


def begin(states, name, data=None, execution=None, **fields):
    """An execution of a new state machine."""
    arn = machine(states, name, **fields)
    members = {"name": execution} if execution else {}
    started = call(
        "StartExecution",
        stateMachineArn=arn,
        input=json.dumps(data or {}, ensure_ascii=False),
        **members,
    )
    return started["executionArn"]


def describe(arn):
    """A description, whose part on redrives fits its status."""
    found = call("DescribeExecution", executionArn=arn)
    status = found["status"]
    equal(
        (found["redriveStatus"], found.get("redriveStatusReason")), REDRIVE_STATUS[status], status
    )
    demand("output" not in found or status == "SUCCEEDED", f"{status} with an output")
    equal("redriveDate" in found, found["redriveCount"] > 0, f"redriveDate of {found}")
    return found


def end(arn, status):
    """The description of an execution once it has ended so."""
    found = wait_for(f"end of {arn}", lambda: (d := describe(arn))["status"] != "RUNNING" and d)
    equal(found["status"], status, f"{found.get('error')} {found.get('cause')}")
    return found


def output(arn):
    return json.loads(end(arn, "SUCCEEDED")["output"])


def history(arn):
    """The events of an execution, in order and with nothing missing."""
    events = call("GetExecutionHistory", executionArn=arn, maxResults=1000)["events"]
    equal([event["id"] for event in events], list(range(1, len(events) + 1)), "ids of the events")
    times = [event["timestamp"] for event in events]
    demand(times == sorted(times), "the events are not in the order of time")
    return events


def story(arn):
    """The types of the events, with the names of states."""
    told = []
    for event in history(arn):
        details = (
            event.get("stateEnteredEventDetails") or event.get("stateExitedEventDetails") or {}
        )
        told.append(f"{event['type']} {details.get('name', '')}".strip())
    return told


def redrive(arn, **members):
    return call("RedriveExecution", executionArn=arn, **members)["redriveDate"]


def stop(arn):
    call("StopExecution", executionArn=arn, error="Stopped", cause="by hand")
    found = describe(arn)
    equal((found["status"], found["error"], found["cause"]), ("ABORTED", "Stopped", "by hand"), arn)


class Questions:
    """A queue of what Tasks ask."""

    def __init__(self, name):
        self.url = SQS.create_queue(QueueName=name)["QueueUrl"]

    def task(self, **fields):
        """A Task that asks, with what it sees, and waits for the answer."""
        body = {
            "token.$": "$$.Task.Token",
            "input.$": "$",
            "execution.$": "$$.Execution",
            "state.$": "$$.State",
        }
        return {
            "Type": "Task",
            "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
            "Parameters": {"QueueUrl": self.url, "MessageBody": body},
            **(fields or {"End": True}),
        }

    def received(self, seconds=0):
        """What has been asked and not yet been received."""
        asked = SQS.receive_message(
            QueueUrl=self.url, MaxNumberOfMessages=10, WaitTimeSeconds=seconds
        )
        for message in asked.get("Messages", []):
            SQS.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"]) for message in asked.get("Messages", [])]

    def next(self, count):
        """The next questions, by their inputs, and no more than so many."""
        asked = []
        wait_for(
            f"{count} questions", lambda: asked.extend(self.received(1)) or len(asked) >= count
        )
        asked.sort(key=lambda question: json.dumps(question["input"]))
        equal(len(asked), count, f"questions {[question['input'] for question in asked]}")
        return asked

    def one(self):
        return self.next(1)[0]

    def demand_none(self):
        equal(self.received(), [], "questions that nobody should ask")


def answer(question, value=None):
    call("SendTaskSuccess", taskToken=question["token"], output=json.dumps(value))


def fail(question, cause="by hand"):
    call("SendTaskFailure", taskToken=question["token"], error="Refused", cause=cause)


def passing(following=None, **fields):
    return {"Type": "Pass", **({"Next": following} if following else {"End": True}), **fields}


def judge_a_failed_task():
    asked = Questions("task")
    states = {
        "First": passing("Ask", Result={"a": 1}),
        "Ask": asked.task(Next="Last", ResultPath="$.answer"),
        "Last": passing(),
    }
    arn = begin(states, "task", {"given": True})
    first = asked.one()
    equal(first["execution"]["RedriveCount"], 0, "RedriveCount from the start")
    demand("RedriveTime" not in first["execution"], "a RedriveTime before any redrive")
    fail(first)
    found = end(arn, "FAILED")
    equal((found["error"], found["cause"]), ("Refused", "by hand"), "error")

    date = redrive(arn)
    second = asked.one()
    running = describe(arn)
    equal(
        (running["status"], running["redriveCount"], running["redriveDate"]),
        ("RUNNING", 1, date),
        "redriven",
    )
    equal({"error", "cause", "stopDate"} & running.keys(), set(), "what the failure has left")
    equal(second["input"], {"a": 1}, "the failed state's input")
    equal(second["state"], first["state"], "$$.State of a state that is not entered anew")
    equal(second["execution"]["RedriveCount"], 1, "RedriveCount")
    told = second["execution"].pop("RedriveTime")
    told = datetime.datetime.fromisoformat(told.replace("Z", "+00:00"))
    demand(
        abs(told - date) < datetime.timedelta(milliseconds=1),
        f"RedriveTime {told} instead of {date}",
    )
    equal(second["execution"] | {"RedriveCount": 0}, first["execution"], "the rest of $$.Execution")
    equal(second["execution"]["Input"], {"given": True}, "$$.Execution.Input")
    equal(second["execution"]["RoleArn"], ROLE, "$$.Execution.RoleArn")
    answer(second, 7)
    equal(output(arn), {"a": 1, "answer": 7}, "output")
    asked.demand_none()
    equal(
        story(arn),
        [
            "ExecutionStarted",
            "PassStateEntered First",
            "PassStateExited First",
            "TaskStateEntered Ask",
            "TaskScheduled",
            "TaskStarted",
            "TaskFailed",
            "ExecutionFailed",
            "ExecutionRedriven",
            "TaskScheduled",
            "TaskStarted",
            "TaskSucceeded",
            "TaskStateExited Ask",
            "PassStateEntered Last",
            "PassStateExited Last",
            "ExecutionSucceeded",
        ],
        "history",
    )
    redriven = history(arn)[8]["executionRedrivenEventDetails"]
    equal(redriven, {"redriveCount": 1}, "details of ExecutionRedriven")
    listed = call("ListExecutions", stateMachineArn=found["stateMachineArn"])["executions"]
    equal(
        [(one["redriveCount"], one["redriveDate"]) for one in listed], [(1, date)], "ListExecutions"
    )


def judge_a_fail_state():
    arn = begin({"Stop": {"Type": "Fail", "Error": "E", "Cause": "C"}}, "fail-state")
    end(arn, "FAILED")
    listed = call("ListExecutions", stateMachineArn=describe(arn)["stateMachineArn"])["executions"]
    equal(
        ("redriveDate" in listed[0], listed[0]["redriveCount"]),
        (False, 0),
        "ListExecutions before a redrive",
    )
    for count in (1, 2):
        redrive(arn)
        found = end(arn, "FAILED")
        equal(
            (found["redriveCount"], found["error"], found["cause"]),
            (count, "E", "C"),
            "a Fail state fails again",
        )
    entered = [event for event in story(arn) if event == "FailStateEntered Stop"]
    equal(len(entered), 3, "entries of the Fail state")


def judge_the_definition():
    asked = Questions("definition")

    def states(version):
        return {"Ask": asked.task(Next="Last"), "Last": passing(Result={"version": version})}

    arn = begin(states(1), "definition")
    fail(asked.one())
    of = end(arn, "FAILED")["stateMachineArn"]
    changed = {"StartAt": "Last", "States": {"Last": states(2)["Last"]}}
    call("UpdateStateMachine", stateMachineArn=of, definition=json.dumps(changed))
    redrive(arn)
    answer(asked.one())
    equal(output(arn), {"version": 1}, "a redrive goes by the definition of the start")


def judge_variables():
    asked = Questions("variables")
    body = "{% {'token': $states.context.Task.Token, 'input': $states.input} %}"
    states = {
        "Set": passing("Ask", Assign={"x": 7}),
        "Ask": {
            "Type": "Task",
            "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
            "Arguments": {"QueueUrl": asked.url, "MessageBody": body},
            "Next": "Get",
        },
        "Get": passing(Output="{% $x %}"),
    }
    arn = begin(states, "variables", QueryLanguage="JSONata")
    fail(asked.one())
    end(arn, "FAILED")
    redrive(arn)
    answer(asked.one())
    equal(output(arn), 7, "a variable that was set before the redrive")


def judge_refusals():
    missing = f"arn:aws:states:{REGION}:{ACCOUNT}:execution:none:none"
    refused("RedriveExecution", "ExecutionDoesNotExist", missing, executionArn=missing)
    asked = Questions("refusals")
    arn = begin({"Ask": asked.task()}, "refusals")
    question = asked.one()
    for status in ("RUNNING", "SUCCEEDED"):
        refused(
            "RedriveExecution",
            "ExecutionNotRedrivable",
            REDRIVE_STATUS[status][1],
            executionArn=arn,
        )
        if status == "RUNNING":
            answer(question)
            end(arn, "SUCCEEDED")
    equal((describe(arn)["redriveCount"], len(story(arn))), (0, 7), "a refusal changes nothing")

    of = machine({"Stop": {"Type": "Fail", "Error": "E"}}, "express", kind="EXPRESS")
    arn = call("StartExecution", stateMachineArn=of)["executionArn"]
    look = lambda: call("DescribeExecution", executionArn=arn)  # noqa: E731
    found = wait_for("end", lambda: (d := look())["status"] != "RUNNING" and d)
    equal(
        (found["status"], found["redriveStatus"]),
        ("FAILED", "NOT_REDRIVABLE"),
        "an Express execution",
    )
    refused("RedriveExecution", "ExecutionNotRedrivable", "FAILED", executionArn=arn)


def judge_client_tokens():
    asked = Questions("tokens")
    arn = begin({"Ask": asked.task()}, "tokens")
    fail(asked.one())
    end(arn, "FAILED")
    date = redrive(arn, clientToken="first")
    question = asked.one()
    equal(redrive(arn, clientToken="first"), date, "the answer to a repeated token")
    fail(question)
    equal(end(arn, "FAILED")["redriveCount"], 1, "redrives")
    equal(redrive(arn, clientToken="first"), date, "the answer to a repeated token after the end")
    equal(describe(arn)["status"], "FAILED", "a repeated token redrives nothing")
    demand(redrive(arn, clientToken="second") > date, "another token redrives again")
    answer(asked.one())
    equal((output(arn), describe(arn)["redriveCount"]), (None, 2), "the second redrive")
    asked.demand_none()


def judge_a_stop_in_a_task():
    for late, name in ((answer, "late-answer"), (fail, "late-failure")):
        asked = Questions(name)
        retry = [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1, "MaxAttempts": 9}]
        states = {"Ask": asked.task(Next="Last", Retry=retry), "Last": passing()}
        arn = begin(states, name)
        old = asked.one()
        stop(arn)
        told = story(arn)
        equal(told[-2:], ["TaskStarted", "ExecutionAborted"], "the end of the history")
        redrive(arn)
        new = asked.one()
        # The thread of the first attempt wakes up while the second is under way.
        late(old, "late")
        answer(new, "new")
        equal(output(arn), "new", "output")
        rest = [
            "TaskSucceeded",
            "TaskStateExited Ask",
            "PassStateEntered Last",
            "PassStateExited Last",
        ]
        expected = [*told, "ExecutionRedriven", "TaskScheduled", "TaskStarted", *rest, "ExecutionSucceeded"]
        equal(story(arn), expected, f"history with a {name}")
        asked.demand_none()

        arn = call("StartExecution", stateMachineArn=describe(arn)["stateMachineArn"])[
            "executionArn"
        ]
        old = asked.one()
        stop(arn)
        told = story(arn)
        late(old, "late")
        # By the end of another execution the thread of the stopped one has woken up.
        judge_the_end_of_another(asked, describe(arn)["stateMachineArn"])
        equal(
            (describe(arn)["status"], story(arn)),
            ("ABORTED", told),
            f"a stopped execution with a {name}",
        )


def judge_the_end_of_another(asked, of):
    """Runs another execution to its end."""
    arn = call("StartExecution", stateMachineArn=of)["executionArn"]
    answer(asked.one())
    end(arn, "SUCCEEDED")


def judge_a_stop_in_a_wait():
    arn = begin(
        {"Wait": {"Type": "Wait", "Seconds": LONG, "Next": "Last"}, "Last": passing()}, "wait"
    )
    entered = ["ExecutionStarted", "WaitStateEntered Wait"]
    wait_for("the Wait", lambda: story(arn) == entered)
    stop(arn)
    redrive(arn)
    equal(story(arn), [*entered, "ExecutionAborted", "ExecutionRedriven"], "history")
    stop(arn)
    equal(describe(arn)["redriveCount"], 1, "redrives")


def judge_a_stop_between_states():
    states = {"First": passing("Last", Result={"a": 1}), "Last": passing()}
    between = ["PassStateEntered First", "PassStateExited First"]
    rest = ["PassStateEntered Last", "PassStateExited Last", "ExecutionSucceeded"]
    for held, before, after in (
        ("ExecutionStarted", [], [*between, *rest]),
        ("PassStateExited", between, rest),
    ):
        arn = begin(states, held, execution=f"held-{held}")
        told = ["ExecutionStarted", *before]
        wait_for(held, lambda arn=arn, told=told: story(arn) == told)
        stop(arn)
        equal(story(arn), [*told, "ExecutionAborted"], "history of the stopped")
        redrive(arn)
        equal(output(arn), {"a": 1}, "output")
        equal(
            story(arn),
            [*told, "ExecutionAborted", "ExecutionRedriven", *after],
            f"history after {held}",
        )


def judge_timeouts():
    asked = Questions("timeout")
    fork = {"StartAt": "Ask", "States": {"Ask": asked.task()}}
    waits = {"Type": "Wait", "Seconds": LONG, "End": True}
    seconds = 50 * SCALE
    in_time = begin({"Ask": asked.task()}, "in-time", TimeoutSeconds=200)
    answer(asked.one())
    end(in_time, "SUCCEEDED")
    told = story(in_time)
    stopped, resumed = (
        begin({"Ask": asked.task()}, f"stopped-{n}", TimeoutSeconds=200) for n in (1, 2)
    )
    asked.next(2)
    stop(stopped)
    stop(resumed)
    resumed_at = redrive(resumed)
    asked.one()
    for name, state, is_asking in (
        ("Task", asked.task(Next="Last"), True),
        ("Wait", waits, False),
        (
            "Map",
            {"Type": "Map", "ItemsPath": "$.items", "ItemProcessor": fork, "Next": "Last"},
            True,
        ),
        ("Parallel", {"Type": "Parallel", "Branches": [fork], "Next": "Last"}, True),
    ):
        arn = begin(
            {name: state, "Last": passing()}, f"timeout-{name}", {"items": [1]}, TimeoutSeconds=50
        )
        old = asked.one() if is_asking else None
        found = end(arn, "TIMED_OUT")
        equal({"error", "cause"} & found.keys(), set(), "AWS gives a timeout no error")
        took = (found["stopDate"] - found["startDate"]).total_seconds()
        demand(seconds <= took < seconds + 5, f"{name}: {took} s instead of {seconds} s")
        equal(history(arn)[-1]["executionTimedOutEventDetails"], {}, "details of the last event")
        before = story(arn)

        date = redrive(arn)
        if is_asking:
            asked.one()
            answer(old, "late")
        found = end(arn, "TIMED_OUT")
        took = (found["stopDate"] - date).total_seconds()
        demand(seconds <= took < seconds + 5, f"redriven {name}: {took} s instead of {seconds} s")
        again = ["TaskScheduled", "TaskStarted"] if is_asking else []
        equal(
            story(arn),
            [*before, "ExecutionRedriven", *again, "ExecutionTimedOut"],
            f"history of {name}",
        )
    equal(
        (describe(in_time)["status"], story(in_time)),
        ("SUCCEEDED", told),
        "an execution that ended in time",
    )
    equal(
        (describe(stopped)["status"], story(stopped)[-1]),
        ("ABORTED", "ExecutionAborted"),
        "one that was stopped",
    )
    took = (end(resumed, "TIMED_OUT")["stopDate"] - resumed_at).total_seconds()
    demand(
        took >= 200 * SCALE,
        f"{took} s instead of {200 * SCALE} s: the timer of the attempt before the redrive",
    )
    asked.demand_none()


def judge_a_map():
    asked = Questions("map")
    inner = {"StartAt": "Prepare", "States": {"Prepare": passing("Ask"), "Ask": asked.task()}}
    states = {"Map": {"Type": "Map", "ItemsPath": "$.items", "ItemProcessor": inner, "End": True}}
    arn = begin(states, "map", {"items": [0, 1, 2, 3]})
    for attempt, fails, expected in (
        (0, {1, 3}, [0, 1, 2, 3]),
        (1, {3}, [1, 3]),
        (2, set(), [3]),
    ):
        questions = asked.next(len(expected))
        equal(
            [question["input"] for question in questions],
            expected,
            f"iterations of attempt {attempt}",
        )
        for question in questions:
            equal(question["execution"]["RedriveCount"], attempt, "RedriveCount in an iteration")
            number = question["input"]
            fail(question) if number in fails else answer(question, [number, attempt])
        if fails:
            equal(end(arn, "FAILED")["error"], "Refused", "error")
            redrive(arn)
    equal(output(arn), [[0, 0], [1, 1], [2, 0], [3, 2]], "results of all attempts in order")
    told = story(arn)
    for event, count in (
        ("MapStateEntered Map", 1),
        ("PassStateEntered Prepare", 4),
        ("TaskStateEntered Ask", 4),
    ):
        equal(told.count(event), count, event)
    asked.demand_none()


def judge_a_stopped_map():
    asked = Questions("stopped-map")
    inner = {"StartAt": "Ask", "States": {"Ask": asked.task()}}
    arn = begin(
        {"Map": {"Type": "Map", "ItemProcessor": inner, "End": True}}, "stopped-map", [0, 1]
    )
    zero, one = asked.next(2)
    answer(zero, "before")
    wait_for("the first iteration", lambda: "TaskStateExited Ask" in story(arn))
    stop(arn)
    answer(one, "late")
    redrive(arn)
    question = asked.one()
    equal(question["input"], 1, "the iteration that was aborted")
    answer(question, "after")
    equal(output(arn), ["before", "after"], "output")
    asked.demand_none()


def judge_nested_branches():
    asked = Questions("nested")
    ask = {"StartAt": "Ask", "States": {"Ask": asked.task()}}
    inner = {"Type": "Map", "ItemProcessor": ask, "End": True}
    branches = [
        {"StartAt": "Inner", "States": {"Inner": inner}},
        {"StartAt": "Done", "States": {"Done": passing()}},
    ]
    outer = {
        "StartAt": "Fork",
        "States": {"Fork": {"Type": "Parallel", "Branches": branches, "End": True}},
    }
    arn = begin(
        {"Outer": {"Type": "Map", "ItemProcessor": outer, "End": True}}, "nested", [[1, 2], [3, 4]]
    )
    for question in asked.next(4):
        fail(question) if question["input"] == 3 else answer(question, -question["input"])
    end(arn, "FAILED")
    redrive(arn)
    question = asked.one()
    equal(question["input"], 3, "what is asked again")
    answer(question, -3)
    equal(output(arn), [[[-1, -2], [1, 2]], [[-3, -4], [3, 4]]], "output")
    equal(story(arn).count("PassStateEntered Done"), 2, "entries of a branch that succeeded")
    asked.demand_none()


def judge_the_retry_of_a_map():
    asked = Questions("retry")
    inner = {"StartAt": "Ask", "States": {"Ask": asked.task()}}
    retry = [{"ErrorEquals": ["Refused"], "IntervalSeconds": 1, "MaxAttempts": 1}]
    arn = begin(
        {"Map": {"Type": "Map", "ItemProcessor": inner, "Retry": retry, "End": True}},
        "retry",
        [0, 1],
    )
    for attempt in ("first", "retried"):
        zero, one = asked.next(2)
        answer(zero, attempt)
        fail(one)
    end(arn, "FAILED")
    redrive(arn)
    fail(asked.one())
    zero, one = asked.next(2)
    answer(zero, "zero of the redrive's retry")
    answer(one, "one of it")
    equal(
        output(arn), ["zero of the redrive's retry", "one of it"], "a redrive counts retries from 0"
    )
    asked.demand_none()


def judge_the_limit_of_data():
    double = passing(Parameters={"a.$": "$.text", "b.$": "$.text"})
    for size, status in ((131_000, "SUCCEEDED"), (131_072, "FAILED")):
        found = end(
            begin({"Double": double}, f"double-{size}", {"text": "é" * (size // 2)}), status
        )
        equal(
            found.get("error"),
            "States.DataLimitExceeded" if status == "FAILED" else None,
            f"{size} bytes twice",
        )

    inner = {"StartAt": "One", "States": {"One": passing()}}
    items = ["x" * 100_000, "y" * 100_000]
    states = {
        "Map": {
            "Type": "Map",
            "ItemProcessor": inner,
            "ItemSelector": {"a.$": "$$.Map.Item.Value", "b.$": "$$.Map.Item.Value"},
            "End": True,
        }
    }
    arn = begin(states, "large-map", items)
    for runs in (2, 4):
        equal(end(arn, "FAILED")["error"], "States.DataLimitExceeded", "error")
        equal(story(arn).count("PassStateEntered One"), runs, "iterations, all of which run again")
        if runs == 2:
            redrive(arn)


def judge_nested_starts():
    asked = Questions("child")
    child = machine({"Ask": asked.task()}, "child")
    name = "StepFunctions.ExecutionAlreadyExistsException"
    catch = [{"ErrorEquals": [name], "Next": "Known", "ResultPath": "$.error"}]
    start = {
        "Type": "Task",
        "Resource": "arn:aws:states:::states:startExecution",
        "Parameters": {"StateMachineArn": child, "Name": "same", "Input.$": "$.input"},
        "Catch": catch,
        "End": True,
    }
    of = machine({"Start": start, "Known": passing()}, "parent")

    def parent(number):
        data = json.dumps({"input": {"number": number}})
        return output(call("StartExecution", stateMachineArn=of, input=data)["executionArn"])

    first = parent(1)
    question = asked.one()
    equal(parent(1)["ExecutionArn"], first["ExecutionArn"], "a start with the same name and input")
    equal(parent(2)["error"]["Error"], name, "a start with the same name and another input")
    answer(question)
    end(first["ExecutionArn"], "SUCCEEDED")
    equal(parent(1)["error"]["Error"], name, "a start with the name of an execution that ended")
    asked.demand_none()

    same = {"stateMachineArn": child, "name": "other", "input": '{"a": 1}'}
    started = call("StartExecution", **same)
    equal(call("StartExecution", **same), started, "a repeated start")
    refused("StartExecution", "ExecutionAlreadyExists", "other", **same | {"input": "{}"})
    answer(asked.one())
    end(started["executionArn"], "SUCCEEDED")
    refused("StartExecution", "ExecutionAlreadyExists", "other", **same)
    asked.demand_none()

    start["Parameters"]["StateMachineArn"] = child.replace("child", "none")
    found = end(begin({"Start": start, "Known": passing()}, "orphan", {"input": {}}), "FAILED")
    equal(
        found["error"], "StepFunctions.StateMachineDoesNotExistException", "a start of no machine"
    )


def judge_events():
    bus = Questions("bus")
    EVENTS.put_rule(Name="changes", EventPattern=json.dumps({"source": ["aws.states"]}))
    queue = f"arn:aws:sqs:{REGION}:{ACCOUNT}:bus"
    EVENTS.put_targets(Rule="changes", Targets=[{"Id": "queue", "Arn": queue}])
    asked = Questions("events")
    arn = begin({"Ask": asked.task()}, "events", TimeoutSeconds=200)
    fail(asked.one())
    end(arn, "FAILED")
    dates = [None, redrive(arn)]
    asked.one()
    end(arn, "TIMED_OUT")
    dates.append(redrive(arn))
    asked.one()
    stop(arn)
    dates.append(redrive(arn))
    answer(asked.one())
    end(arn, "SUCCEEDED")
    found = []
    wait_for("8 events", lambda: found.extend(bus.received(1)) or len(found) >= 8)
    expected = [
        (0, "RUNNING", None, None),
        (0, "FAILED", "Refused", "by hand"),
        (1, "RUNNING", None, None),
        (1, "TIMED_OUT", None, None),
        (2, "RUNNING", None, None),
        (2, "ABORTED", "Stopped", "by hand"),
        (3, "RUNNING", None, None),
        (3, "SUCCEEDED", None, None),
    ]
    members = ("redriveCount", "status", "error", "cause")
    details = [event["detail"] for event in found]
    equal([tuple(detail[member] for member in members) for detail in details], expected, "events")
    for detail in details:
        date = dates[detail["redriveCount"]]
        equal(
            detail["redriveDate"],
            date and round(date.timestamp() * 1000),
            "redriveDate in milliseconds",
        )
        redrivable = (detail["redriveStatus"], detail["redriveStatusReason"])
        equal(redrivable, REDRIVE_STATUS[detail["status"]], detail["status"])
        equal(
            detail["stopDate"] is None,
            detail["status"] == "RUNNING",
            f"stopDate of {detail['status']}",
        )
    EVENTS.remove_targets(Rule="changes", Ids=["queue"])


def judge_versions():
    with tempfile.TemporaryDirectory() as folder:
        other = Path(folder) / "ministack-9.9.9.dist-info"
        other.mkdir()
        (other / "METADATA").write_text("Metadata-Version: 2.1\nName: ministack\nVersion: 9.9.9\n")
        for options, path, found in (([], folder, "9.9.9"), (["-S"], "", "no version")):
            ended = subprocess.run(
                [sys.executable, *options, MODULE],
                env=os.environ | {"PYTHONPATH": path, "BIND_HOST": "127.0.0.1"},
                capture_output=True,
                text=True,
                timeout=PATIENCE_SECONDS,
            )
            equal(
                (ended.returncode, ended.stdout, ended.stderr.count("\n")), (1, "", 1), ended.stderr
            )
            for said in (found, "1.5.33", "ministack.txt"):
                demand(said in ended.stderr, f"{ended.stderr!r} does not say {said!r}")


CHECKS = [
    ("a redrive resumes at the Task that failed, with its input", judge_a_failed_task),
    ("a Fail state fails again", judge_a_fail_state),
    ("a redrive goes by the definition that the execution began with", judge_the_definition),
    ("a redrive keeps variables", judge_variables),
    ("what cannot be redriven is refused with modelled errors", judge_refusals),
    ("a client token redrives once", judge_client_tokens),
    ("a stop ends a Task at once, and late answers change nothing", judge_a_stop_in_a_task),
    ("a stop ends a Wait at once", judge_a_stop_in_a_wait),
    (
        "a stop before the first state or between two resumes at the next",
        judge_a_stop_between_states,
    ),
    ("a machine's timeout ends each attempt in time, whatever it does", judge_timeouts),
    ("only the failed iterations of a Map run again", judge_a_map),
    ("only the aborted iterations of a stopped Map run again", judge_a_stopped_map),
    ("only the failed branches run again in a Map in a Parallel in a Map", judge_nested_branches),
    ("a retry of a Map runs every iteration again", judge_the_retry_of_a_map),
    ("a state's data has a limit", judge_the_limit_of_data),
    ("a start of a name in use is repeated or refused by AWS's name", judge_nested_starts),
    ("events tell of redrives", judge_events),
    ("another version of MiniStack is refused", judge_versions),
]


@contextlib.contextmanager
def server():
    """Runs the server on a free port of the loopback interface; what it printed is shown if a check fails."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "SFN_WAIT_SCALE": str(SCALE),
        "MINISTACK_REGION": REGION,
        "PYTHONPATH": str(MODULE.parent),
    }
    with tempfile.TemporaryFile("w+") as printed:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVER],
            env=os.environ | settings,
            stdin=subprocess.PIPE,
            stdout=printed,
            stderr=subprocess.STDOUT,
        )

        def is_up():
            demand(process.poll() is None, "the server ended")
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        try:
            wait_for("the server", is_up)
            yield f"http://127.0.0.1:{port}"
        except BaseException:
            printed.seek(0)
            print(*printed.readlines()[-40:], sep="", file=sys.stderr)
            raise
        finally:
            process.kill()
            process.wait()


def main():
    with server() as endpoint:
        connect(endpoint)
        for sentence, check in CHECKS:
            began = time.monotonic()
            check()
            print(f"ok   {sentence} ({time.monotonic() - began:.1f} s)", flush=True)
    print(f"{len(CHECKS)} checks passed")


if __name__ == "__main__":
    try:
        main()
    except (Judgement, ClientError) as fault:
        print(f"FAIL {str(fault)[:SHOWN]}")
        sys.exit(1)
