"""Checks redrive.py with boto3: this process serves MiniStack with redrive.py, and each response is compared with
botocore's model.

Each Task sends a question to a queue and waits for a reply. So a check decides what a Task returns, and when.
The packages of ministack.txt must be installed. Exit code: 0 if all checks pass; otherwise 1, with the reason.
"""

import asyncio
import datetime
import itertools
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from pathlib import Path

import boto3
import hypercorn.asyncio
from botocore import xform_name
from botocore.config import Config

# No __pycache__ in the source folders.
sys.dont_write_bytecode = True
from boto3_judge import Judgement, check_members, check_shape, demand, wait_for  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]
MODULE = ROOT / "infra/engine/python/redrive.py"
PACKAGES = MODULE.with_name("ministack.txt").resolve(strict=True)
REGION, ACCOUNT = "eu-central-1", "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/machine"
# A second of a wait, or of the timeout of a state machine, lasts 10 ms.
SCALE = 0.01
LISTENER = socket.create_server(("127.0.0.1", 0), backlog=1024)
PORT = str(LISTENER.getsockname()[1])

os.environ |= {"GATEWAY_PORT": PORT, "SFN_WAIT_SCALE": str(SCALE), "MINISTACK_REGION": REGION, "LOG_LEVEL": "WARNING"}
sys.path.append(str(MODULE.parent))
import redrive  # noqa: E402
from ministack.app import app  # noqa: E402

SESSION = boto3.Session(region_name=REGION, aws_access_key_id=ACCOUNT, aws_secret_access_key="local")
OPTIONS = {"endpoint_url": f"http://127.0.0.1:{PORT}", "config": Config(retries={"total_max_attempts": 1})}
STATES, SQS, EVENTS = (SESSION.client(service, **OPTIONS) for service in ("stepfunctions", "sqs", "events"))
# The parser drops members that the model does not have, so the raw response is checked too.
RAW = {}
STATES.meta.events.register("before-parse.sfn", lambda response_dict, **_: RAW.update(response_dict))

NUMBERS = itertools.count()
QUESTIONS, CHANGES = (f"http://127.0.0.1:{PORT}/{ACCOUNT}/{name}" for name in ("questions", "changes"))
ASKED = "TaskScheduled TaskStarted"
LAST = "PassStateEntered:Last PassStateExited:Last ExecutionSucceeded"


def equal(found, expected, what="found"):
    demand(found == expected, f"{what}: {found!r} instead of {expected!r}")


def has(found, **expected):
    """Expects these members, where None means that the member is absent. Returns all members."""
    equal({name: found.get(name) for name in expected}, expected)
    return found


def call(operation, **members):
    """Calls an operation and checks the shape of the response. Returns the response without its metadata."""
    answer = dict(getattr(STATES, xform_name(operation))(**members))
    equal(answer.pop("ResponseMetadata")["HTTPStatusCode"], 200, operation)
    shape = STATES.meta.service_model.operation_model(operation).output_shape
    raw = json.loads(RAW.pop("body"))
    for item in (raw, *raw.get("executions", [])):
        demand(None not in item.values(), f"{operation}: a null in {item}")
    check_shape(answer, shape, operation)
    check_members(raw, shape, f"{operation} on the wire")
    return answer


def refused(operation, code, contains, **members):
    """Expects the modelled exception with this name and with a message."""
    try:
        getattr(STATES, xform_name(operation))(**members)
    except getattr(STATES.exceptions, code) as error:
        has(error.response["ResponseMetadata"], HTTPStatusCode=400)
        demand(contains in error.response["message"], f"{error} does not say {contains!r}")
    else:
        raise Judgement(f"{operation}: success instead of {code}")


def passing(**fields):
    return {"Type": "Pass", **(fields if "Next" in fields else {"End": True, **fields})}


def asking(**fields):
    """Returns a Task that sends a question with its input, and waits for the reply."""
    seen = {"token.$": "$$.Task.Token", "input.$": "$", "execution.$": "$$.Execution", "state.$": "$$.State"}
    resource = "arn:aws:states:::sqs:sendMessage.waitForTaskToken"
    parameters = {"QueueUrl": QUESTIONS, "MessageBody": seen}
    return {"Type": "Task", "Resource": resource, "Parameters": parameters, **(fields or {"End": True})}


def branch(**states):
    return {"StartAt": next(iter(states)), "States": states}


def mapping(**states):
    return {"Type": "Map", "ItemProcessor": branch(**states), "End": True}


WAIT = {"Type": "Wait", "Seconds": 1_000_000, "End": True}
FAIL = {"Type": "Fail", "Error": "E", "Cause": "C"}


def machine(states, kind="STANDARD", **fields):
    members = {"name": f"machine-{next(NUMBERS)}", "definition": json.dumps(branch(**states) | fields), "type": kind}
    return call("CreateStateMachine", roleArn=ROLE, **members)["stateMachineArn"]


def start(of, data=None, **members):
    data = json.dumps(data, ensure_ascii=False)
    return call("StartExecution", stateMachineArn=of, input=data, **members)["executionArn"]


def describe(arn):
    """Returns the description of an execution, and checks that its members about redrives fit its status."""
    found = call("DescribeExecution", executionArn=arn)
    status = found["status"]
    reason = f"Execution is {status} and cannot be redriven" if status in ("RUNNING", "SUCCEEDED") else None
    has(found, redriveStatus="NOT_REDRIVABLE" if reason else "REDRIVABLE", redriveStatusReason=reason)
    demand("output" not in found or status == "SUCCEEDED", f"an output in {found}")
    equal("redriveDate" in found, found["redriveCount"] > 0, f"redriveDate of {found}")
    return found


def end(arn, status, **members):
    """Waits until an execution has ended with this status. Returns its description."""
    wait_for(f"end of {arn}", lambda: describe(arn)["status"] != "RUNNING")
    found = describe(arn)
    equal(found["status"], status, f"{found.get('error')} {found.get('cause')}")
    return has(found, **members)


def output(arn):
    return json.loads(end(arn, "SUCCEEDED")["output"])


def history(arn):
    """Returns the events of an execution, and checks that they are in order and that none is missing."""
    events = call("GetExecutionHistory", executionArn=arn, maxResults=1000)["events"]
    equal([event["id"] for event in events], list(range(1, len(events) + 1)), "ids of the events")
    equal([event["previousEventId"] for event in events[1:]], list(range(1, len(events))))
    times = [event["timestamp"] for event in events]
    demand(times == sorted(times), "the events are not in the order of time")
    return events


def story(arn):
    """Returns the types of the events, with the names of states."""
    events = history(arn)
    states = [event.get("stateEnteredEventDetails", event.get("stateExitedEventDetails")) for event in events]
    names = [f":{state['name']}" if state else "" for state in states]
    return " ".join(event["type"] + name for event, name in zip(events, names, strict=True))


def redriven(arn, **members):
    return call("RedriveExecution", executionArn=arn, **members)["redriveDate"]


def stop(arn):
    call("StopExecution", executionArn=arn, error="Stopped", cause="by hand")
    has(describe(arn), status="ABORTED", error="Stopped", cause="by hand")


def received(count, queue=QUESTIONS):
    """Returns the next messages of a queue. There must be `count` of them, and no more."""
    found, options = [], {"QueueUrl": queue, "MaxNumberOfMessages": 10, "WaitTimeSeconds": min(count, 1)}

    def look():
        for message in SQS.receive_message(**options).get("Messages", []):
            SQS.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
            found.append(json.loads(message["Body"]))
        return len(found) >= count

    wait_for(f"{count} messages", look)
    equal(len(found), count, f"messages {found}")
    return found


def asked():
    return received(1)[0]


def answer(question, value=None):
    call("SendTaskSuccess", taskToken=question["token"], output=json.dumps(value))


def fail(question, cause="by hand"):
    call("SendTaskFailure", taskToken=question["token"], error="Refused", cause=cause)


def reply(*replies):
    """Receives a question with each of these inputs. Replies with a value or with `fail`; None sends no reply."""
    questions = sorted(received(len(replies)), key=lambda question: question["input"])
    equal([question["input"] for question in questions], [given for given, _ in replies])
    for question, (_, value) in zip(questions, replies, strict=True):
        if value is not None:
            fail(question) if value is fail else answer(question, value)
    return questions


def test_a_redrive_resumes_at_the_task_that_failed_with_its_input():
    ask = asking(Next="Last", ResultPath="$.answer")
    of = machine({"First": passing(Next="Ask", Result={"a": 1}), "Ask": ask, "Last": passing()})
    arn = start(of, {"given": True})
    first = asked()
    has(first["execution"], Input={"given": True}, RoleArn=ROLE, RedriveCount=0)
    fail(first)
    end(arn, "FAILED", error="Refused", cause="by hand")
    date = redriven(arn)
    second = asked()
    has(describe(arn), status="RUNNING", redriveCount=1, redriveDate=date, error=None, cause=None, stopDate=None)
    told = datetime.datetime.fromisoformat(second["execution"].pop("RedriveTime").replace("Z", "+00:00"))
    demand(abs(told - date) < datetime.timedelta(milliseconds=1), f"RedriveTime {told} instead of {date}")
    equal(second["execution"], first["execution"] | {"RedriveCount": 1})
    # The state is not entered again.
    has(second, input={"a": 1}, state=first["state"])
    answer(second, 7)
    equal(output(arn), {"a": 1, "answer": 7})
    before = f"ExecutionStarted PassStateEntered:First PassStateExited:First TaskStateEntered:Ask {ASKED} TaskFailed"
    after = f"ExecutionRedriven {ASKED} TaskSucceeded TaskStateExited:Ask {LAST}"
    equal(story(arn), f"{before} ExecutionFailed {after}")
    has(history(arn)[8], executionRedrivenEventDetails={"redriveCount": 1})
    parameters = json.loads(history(arn)[9]["taskScheduledEventDetails"]["parameters"])
    equal(parameters["MessageBody"]["token"], second["token"])
    (listed,) = call("ListExecutions", stateMachineArn=of)["executions"]
    has(listed, redriveCount=1, redriveDate=date)


def test_a_fail_state_fails_again():
    of = machine({"Stop": FAIL})
    arn = start(of)
    for count in range(3):
        if count:
            redriven(arn)
        found = end(arn, "FAILED", redriveCount=count, error="E", cause="C")
        (listed,) = call("ListExecutions", stateMachineArn=of)["executions"]
        has(listed, redriveCount=count, redriveDate=found.get("redriveDate"))
    equal(story(arn).count("FailStateEntered:Stop"), 3)


def test_a_redrive_keeps_variables_and_the_definition_that_the_execution_began_with():
    body = "{% {'token': $states.context.Task.Token} %}"
    ask = asking(Next="Get", Arguments={"QueueUrl": QUESTIONS, "MessageBody": body})
    del ask["Parameters"]
    states = {"Set": passing(Next="Ask", Assign={"x": 7}), "Ask": ask, "Get": passing(Output="{% $x %}")}
    of = machine(states, QueryLanguage="JSONata")
    arn = start(of)
    fail(asked())
    end(arn, "FAILED")
    call("UpdateStateMachine", stateMachineArn=of, definition=json.dumps(branch(Get=passing(Result=8))))
    redriven(arn)
    answer(asked())
    equal(output(arn), 7)


def test_what_cannot_be_redriven_is_refused_with_modelled_errors():
    missing = f"arn:aws:states:{REGION}:{ACCOUNT}:execution:none:none"
    for operation in ("RedriveExecution", "DescribeExecution"):
        refused(operation, "ExecutionDoesNotExist", missing, executionArn=missing)
    arn = start(machine({"Ask": asking()}))
    question = asked()
    for status in ("RUNNING", "SUCCEEDED"):
        reason = f"Execution is {status} and cannot be redriven"
        refused("RedriveExecution", "ExecutionNotRedrivable", reason, executionArn=arn)
        if status == "RUNNING":
            answer(question)
            end(arn, "SUCCEEDED")
    has(describe(arn), redriveCount=0)
    equal(len(history(arn)), 7, "events")
    distributed = mapping(Stop=FAIL)
    distributed["ItemProcessor"]["ProcessorConfig"] = {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    arn = start(machine({"Map": distributed}), [0])
    end(arn, "FAILED")
    (listed,) = call("ListMapRuns", executionArn=arn)["mapRuns"]
    (child,) = call("ListExecutions", mapRunArn=listed["mapRunArn"])["executions"]
    express = start(machine({"Stop": FAIL}, "EXPRESS"))
    for arn in (child["executionArn"], express):
        wait_for("end", lambda: call("DescribeExecution", executionArn=arn)["status"] == "FAILED")  # noqa: B023
        has(call("DescribeExecution", executionArn=arn), redriveStatus="NOT_REDRIVABLE")
        refused("RedriveExecution", "ExecutionNotRedrivable", "FAILED", executionArn=arn)


def test_a_client_token_redrives_once():
    arn = start(machine({"Ask": asking()}))
    fail(asked())
    end(arn, "FAILED")
    date = redriven(arn, clientToken="first")
    question = asked()
    equal(redriven(arn, clientToken="first"), date)
    fail(question)
    end(arn, "FAILED", redriveCount=1)
    equal(redriven(arn, clientToken="first"), date)
    has(describe(arn), status="FAILED")
    demand(redriven(arn, clientToken="second") > date, "another token redrives again")
    answer(asked())
    end(arn, "SUCCEEDED", output="null", redriveCount=2)
    # The last 10 tokens are remembered.
    arn, dates = start(machine({"Stop": FAIL})), []
    for number in range(12):
        end(arn, "FAILED")
        dates.append(redriven(arn, clientToken=str(number)))
    end(arn, "FAILED")
    equal(redriven(arn, clientToken="2"), dates[2])
    demand(redriven(arn, clientToken="1") > dates[-1], "an older token redrives again")


def test_a_stop_ends_a_task_at_once_and_late_answers_change_nothing():
    retry = [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1, "MaxAttempts": 9}]
    of = machine({"Ask": asking(Next="Last", Retry=retry), "Last": passing()})
    redrive_and_rest = f" ExecutionRedriven {ASKED} TaskSucceeded TaskStateExited:Ask {LAST}"
    for late, rest in itertools.product((answer, fail), (redrive_and_rest, "")):
        arn = start(of)
        old = asked()
        stop(arn)
        told = story(arn)
        demand(told.endswith("TaskStarted ExecutionAborted"), told)
        if rest:
            redriven(arn)
        # The thread of the stopped attempt wakes up while another attempt, or another execution, is running.
        other = arn if rest else start(of)
        new = asked()
        late(old, "late")
        answer(new, "new")
        equal(output(other), "new")
        equal(story(arn), told + rest)
        has(describe(arn), status="SUCCEEDED" if rest else "ABORTED")


def test_a_stop_ends_a_wait_at_once():
    arn = start(machine({"Wait": WAIT}))
    entered = "ExecutionStarted WaitStateEntered:Wait"
    wait_for("the Wait", lambda: story(arn) == entered)
    stop(arn)
    redriven(arn)
    equal(story(arn), f"{entered} ExecutionAborted ExecutionRedriven")
    stop(arn)
    has(describe(arn), redriveCount=1)


def test_a_stop_before_the_first_state_or_between_two_resumes_at_the_next():
    of = machine({"First": passing(Next="Last", Result={"a": 1}), "Last": passing()})
    first = " PassStateEntered:First PassStateExited:First"
    for held, before, after in (("ExecutionStarted", "", first), ("PassStateExited", first, "")):
        arn = start(of, name=f"held-{held}")
        wait_for(held, lambda: story(arn) == f"ExecutionStarted{before}")  # noqa: B023
        stop(arn)
        equal(story(arn), f"ExecutionStarted{before} ExecutionAborted")
        redriven(arn)
        equal(output(arn), {"a": 1})
        equal(story(arn), f"ExecutionStarted{before} ExecutionAborted ExecutionRedriven{after} {LAST}")


def test_the_timeout_of_a_machine_ends_each_attempt_in_time_whatever_it_does():
    of = machine({"Ask": asking()}, TimeoutSeconds=200)
    in_time, stopped, resumed = (start(of, number) for number in range(3))
    reply((0, "in time"), (1, None), (2, None))
    end(in_time, "SUCCEEDED")
    stop(stopped)
    stop(resumed)
    over = [(describe(arn), story(arn)) for arn in (in_time, stopped)]
    resumed_at = redriven(resumed)
    asked()
    parallel = {"Type": "Parallel", "Branches": [branch(Ask=asking())], "End": True}
    for state in (asking(), WAIT, mapping(Ask=asking()), parallel):
        arn, late, told = start(machine({"State": state}, TimeoutSeconds=50), [1]), [], None
        for began in (lambda: describe(arn)["startDate"], lambda: redriven(arn)):  # noqa: B023
            since = began()
            questions = received(0 if state is WAIT else 1)
            for question in late:
                answer(question, "late")
            took = (end(arn, "TIMED_OUT", error=None, cause=None)["stopDate"] - since).total_seconds()
            demand(50 * SCALE <= took < 50 * SCALE + 5, f"{took} s instead of {50 * SCALE} s")
            has(history(arn)[-1], executionTimedOutEventDetails={})
            again = f" {ASKED}" if late else ""
            expected = f"{told} ExecutionRedriven{again} ExecutionTimedOut" if told else story(arn)
            equal(story(arn), expected)
            late, told = questions, expected
    equal([(describe(arn), story(arn)) for arn in (in_time, stopped)], over)
    # The timer of the attempt before the redrive would end the execution earlier.
    took = (end(resumed, "TIMED_OUT")["stopDate"] - resumed_at).total_seconds()
    demand(took >= 200 * SCALE, f"{took} s instead of {200 * SCALE} s")


def test_only_the_failed_and_the_aborted_iterations_of_a_map_run_again():
    items = mapping(Prepare=passing(Next="Ask"), Ask=asking()) | {"ItemsPath": "$.items"}
    arn = start(machine({"Map": items}), {"items": [0, 1, 2, 3]})
    reply((0, "a"), (1, fail), (2, "c"), (3, fail))
    end(arn, "FAILED", error="Refused")
    redriven(arn)
    _, old = reply((1, "b"), (3, None))
    wait_for("iteration 1", lambda: story(arn).count("TaskStateExited:Ask") == 3)
    stop(arn)
    answer(old, "late")
    redriven(arn)
    reply((3, fail))
    end(arn, "FAILED", error="Refused")
    redriven(arn)
    (question,) = reply((3, "d"))
    has(question["execution"], RedriveCount=3)
    equal(output(arn), ["a", "b", "c", "d"])
    told = story(arn)
    for event, count in (("MapStateEntered:Map", 1), ("PassStateEntered:Prepare", 4), ("TaskStateEntered:Ask", 4)):
        equal(told.count(event), count, event)


def test_only_the_failed_branches_run_again_in_a_map_in_a_parallel_in_a_map():
    branches = [branch(Inner=mapping(Ask=asking())), branch(Done=passing())]
    outer = mapping(Fork={"Type": "Parallel", "Branches": branches, "End": True})
    arn = start(machine({"Outer": outer}), [[1, 2], [3, 4]])
    reply((1, -1), (2, -2), (3, fail), (4, -4))
    end(arn, "FAILED")
    redriven(arn)
    reply((3, -3))
    equal(output(arn), [[[-1, -2], [1, 2]], [[-3, -4], [3, 4]]])
    equal(story(arn).count("PassStateEntered:Done"), 2)


def test_a_retry_of_a_map_runs_every_iteration_again_and_a_redrive_counts_retries_from_0():
    retry = [{"ErrorEquals": ["Refused"], "IntervalSeconds": 1, "MaxAttempts": 1}]
    arn = start(machine({"Map": mapping(Ask=asking()) | {"Retry": retry}}), [0, 1])
    reply((0, "first"), (1, fail))
    reply((0, "retried"), (1, fail))
    end(arn, "FAILED")
    redriven(arn)
    reply((1, fail))
    reply((0, "zero"), (1, "one"))
    equal(output(arn), ["zero", "one"])


def test_the_data_of_a_state_has_a_limit():
    error = "States.DataLimitExceeded"
    double = machine({"Double": passing(Parameters={"a.$": "$.text", "b.$": "$.text"})})
    end(start(double, {"text": "é" * 65_500}), "SUCCEEDED")
    end(start(double, {"text": "é" * 65_536}), "FAILED", error=error)
    item = "$$.Map.Item.Value"
    doubled = mapping(One=passing()) | {"ItemSelector": {"a.$": item, "b.$": item}}
    arn = start(machine({"Map": doubled}), ["x" * 100_000, "y" * 100_000])
    for runs in (2, 4):
        end(arn, "FAILED", error=error)
        equal(story(arn).count("PassStateEntered:One"), runs, "iterations, all of which run again")
        if runs == 2:
            redriven(arn)


def test_a_start_of_a_name_in_use_is_repeated_or_refused_as_on_aws():
    child = machine({"Ask": asking()})
    error = "StepFunctions.ExecutionAlreadyExistsException"
    nested = {
        "Type": "Task",
        "Resource": "arn:aws:states:::states:startExecution",
        "Parameters": {"StateMachineArn": child, "Name": "same", "Input.$": "$"},
        "Catch": [{"ErrorEquals": [error], "Next": "Known"}],
        "End": True,
    }
    parent = machine({"Start": nested, "Known": passing()})
    first = output(start(parent, {"number": 1}))["ExecutionArn"]
    has(output(start(parent, {"number": 1})), ExecutionArn=first)
    has(output(start(parent, {"number": 2})), Error=error)
    answer(asked())
    end(first, "SUCCEEDED")
    has(output(start(parent, {"number": 1})), Error=error)
    nested["Parameters"]["StateMachineArn"] = f"{child}-none"
    orphan = start(machine({"Start": nested, "Known": passing()}), {})
    end(orphan, "FAILED", error="StepFunctions.StateMachineDoesNotExistException")

    same = {"stateMachineArn": child, "name": "other", "input": '{"a": 1}'}
    started = call("StartExecution", **same)
    equal(call("StartExecution", **same), started)
    refused("StartExecution", "ExecutionAlreadyExists", "other", **same | {"input": "{}"})
    answer(asked())
    end(started["executionArn"], "SUCCEEDED")
    refused("StartExecution", "ExecutionAlreadyExists", "other", **same)


def test_events_tell_of_redrives():
    SQS.create_queue(QueueName="changes")
    EVENTS.put_rule(Name="changes", EventPattern=json.dumps({"source": ["aws.states"]}))
    EVENTS.put_targets(Rule="changes", Targets=[{"Id": "queue", "Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:changes"}])
    arn = start(machine({"Ask": asking()}, TimeoutSeconds=200))
    endings = {
        "FAILED": lambda: fail(asked()),
        "TIMED_OUT": asked,
        "ABORTED": lambda: asked() and stop(arn),
        "SUCCEEDED": lambda: answer(asked()),
    }
    descriptions = []
    for count, (status, bring_about) in enumerate(endings.items()):
        if count:
            redriven(arn)
        descriptions.append(has(describe(arn), status="RUNNING", redriveCount=count))
        bring_about()
        descriptions.append(end(arn, status))
    for event, found in zip(received(8, CHANGES), descriptions, strict=True):
        detail, date = event["detail"], found.get("redriveDate")
        for member in ("status", "error", "cause", "redriveCount", "redriveStatus", "redriveStatusReason"):
            equal(detail[member], found.get(member), member)
        equal(detail["redriveDate"], date and round(date.timestamp() * 1000))
        equal(detail["stopDate"] is None, "stopDate" not in found)
    EVENTS.remove_targets(Rule="changes", Ids=["queue"])


def test_another_version_of_ministack_is_refused():
    with tempfile.TemporaryDirectory() as folder:
        other = Path(folder, "ministack-9.9.9.dist-info")
        other.mkdir()
        (other / "METADATA").write_text("Metadata-Version: 2.1\nName: ministack\nVersion: 9.9.9\n")
        for option, path, found in (("-B", folder, "9.9.9"), ("-S", "", "no version")):
            environment = os.environ | {"PYTHONPATH": path}
            ended = subprocess.run([sys.executable, option, MODULE], env=environment, capture_output=True, text=True)
            equal((ended.returncode, ended.stdout, ended.stderr.count("\n")), (1, "", 1), ended.stderr)
            for said in (found, "1.5.33", f" {PACKAGES.relative_to(ROOT)}\n"):
                demand(said in ended.stderr, f"{ended.stderr!r} does not say {said!r}")


CHECKS = {name: check for name, check in globals().items() if name.startswith("test_")}
ATTEMPT_LOCK = redrive.attempt_lock


def held():
    """Pauses an execution named `held-` and a type of event after that event, until a client stops the execution."""
    execution, redrives = redrive.ATTEMPT.get()
    events = execution["events"]
    if execution["name"] == f"held-{events[-1]['type']}" and not redrives:
        wait_for("a stop", lambda: any(event["type"] == "ExecutionAborted" for event in events))
    return ATTEMPT_LOCK()


def serve():
    """Serves MiniStack until this process ends."""
    redrive.attempt_lock = held
    config = hypercorn.Config()
    config.bind, config.errorlog, config.keep_alive_timeout = [f"fd://{LISTENER.fileno()}"], None, 75
    asyncio.run(hypercorn.asyncio.serve(app, config, shutdown_trigger=asyncio.Event().wait))


def main():
    threading.Thread(target=serve, daemon=True).start()
    SQS.create_queue(QueueName="questions")
    for name, check in CHECKS.items():
        check()
        received(0)
        print(name.removeprefix("test_").replace("_", " "), "... ok", flush=True)
    print(f"{len(CHECKS)} checks passed", flush=True)


if __name__ == "__main__":
    try:
        main()
    except Exception:
        traceback.print_exc()
        os._exit(1)
    # sys.exit would wait for iterations of Maps that get no reply any more.
    os._exit(0)
