//! The services in memory: Managed Flink, and the operations of DynamoDB, SNS and Step Functions that the functions
//! call. A response depends only on the calls so far, and on the time of the call.

use contract::is_managed;
use std::collections::BTreeMap;

use engine::msf::{Behaviour, Emulator, Lifecycle, SeededSnapshot, ServiceError, error_body};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use stack::{ACCOUNT, REGION};

pub const APPLICATION: &str = "orders";

pub struct Services {
    pub flink: Emulator,
    /// The rows of the table in the format of DynamoDB, by application and run id.
    pub table: BTreeMap<(String, i64), Map<String, Value>>,
    /// The messages that the topic has accepted, oldest first.
    pub published: Vec<Published>,
    /// The history of each execution, by the ARN of the execution.
    pub histories: BTreeMap<String, Vec<Value>>,
}

/// A message that was published to the topic.
#[derive(Clone, Debug)]
pub struct Published {
    pub subject: String,
    /// The record, which is the `default` text of the message.
    pub record: Value,
}

/// Managed Flink with one application, which was started an hour before `now` and has these snapshots. They are oldest
/// first.
pub fn application(
    now: Timestamp,
    behaviour: Behaviour,
    snapshots_enabled: bool,
    snapshots: impl IntoIterator<Item = SeededSnapshot>,
) -> Emulator {
    let mut flink = Emulator::new(REGION, ACCOUNT, Lifecycle::default());
    *flink.behaviour(APPLICATION) = behaviour;
    let create = json!({
        "ApplicationName": APPLICATION, "RuntimeEnvironment": "FLINK-1_20",
        "ServiceExecutionRole": "arn:aws:iam::123456789012:role/flink",
        "ApplicationConfiguration": {
            "ApplicationSnapshotConfiguration": { "SnapshotsEnabled": snapshots_enabled }
        },
    });
    let start = json!({ "ApplicationName": APPLICATION });
    let earlier = now - SignedDuration::from_hours(1);
    for (operation, request) in [("CreateApplication", create), ("StartApplication", start)] {
        flink
            .call(operation, request.to_string().as_bytes(), earlier)
            .unwrap();
    }
    flink.seed(APPLICATION, snapshots);
    flink
}

/// The name of the snapshot that a run takes, if the run's input does not name it.
pub fn own_name(run_id: &Value) -> String {
    format!("custom_{run_id}")
}

/// The name of the run's own snapshot, from the input of a state.
pub fn own_name_in(state_input: &Value) -> String {
    let run = &state_input["run"];
    let mut names = [
        &state_input["snapshot"]["name"],
        &run["input"]["snapshot_name"],
    ]
    .into_iter();
    let name = names.find_map(Value::as_str);
    name.map_or_else(|| own_name(&run["run_id"]), str::to_owned)
}

/// The managed name that belongs to the run id, from the input of a state. The names of later runs' snapshots are
/// greater.
pub fn managed_name_in(state_input: &Value) -> String {
    let own = own_name_in(state_input);
    if is_managed(&own) {
        own
    } else {
        own_name(&state_input["run"]["run_id"])
    }
}

/// The names of all snapshots that the run may take, from the payload of its first state. If the run's input names the
/// snapshot, that is the only name. Otherwise, there is a name for each attempt.
pub(crate) fn possible_own_names(payload: &Value) -> impl Iterator<Item = String> {
    let started = payload["execution_started_at"].as_str().unwrap();
    let started: Timestamp = started.parse().unwrap();
    let attempts = match payload["definition"].as_u64() {
        Some(3..) => payload["input"]["snapshot_attempts"].as_i64().unwrap_or(2),
        _ => 1,
    };
    let first = started.as_millisecond();
    let given = payload["input"]["snapshot_name"]
        .as_str()
        .map(str::to_owned);
    let attempts = if given.is_some() { 0 } else { attempts };
    let managed = (first..first + attempts).map(|id| own_name(&id.into()));
    given.into_iter().chain(managed)
}

pub fn name(snapshot: &Value) -> &str {
    snapshot["SnapshotName"].as_str().unwrap()
}

pub fn names(snapshots: &[Value]) -> Vec<String> {
    snapshots.iter().map(|s| name(s).to_owned()).collect()
}

/// Whether a call of `UpdateItem` only marks a record as notified.
pub fn is_mark(body: &Value) -> bool {
    body["ExpressionAttributeValues"][":outcome"].is_null()
}

/// An HTTP response: status and body.
pub type Answer = (u16, String);

impl Services {
    pub fn new(flink: Emulator) -> Self {
        Self {
            flink,
            table: BTreeMap::new(),
            published: Vec::new(),
            histories: BTreeMap::new(),
        }
    }

    /// The rows that an execution has written, as plain JSON.
    pub fn rows(&self, execution: &str) -> Vec<Map<String, Value>> {
        let rows = self.table.values().map(plain);
        rows.filter(|row| row["execution_arn"] == execution)
            .collect()
    }

    /// Carries out a call. `body` has the form that [`testkit::replay::decode_request`] returns.
    pub fn answer(&mut self, operation: &str, body: &Value, now: Timestamp) -> Answer {
        match operation {
            "UpdateItem" => self.update_item(body),
            "Publish" => self.publish(body),
            "GetExecutionHistory" => self.history(body),
            _ => match self.flink.call(operation, body.to_string().as_bytes(), now) {
                Ok(answer) => (200, answer.to_string()),
                Err(refused) => error(operation, &refused),
            },
        }
    }

    fn update_item(&mut self, request: &Value) -> Answer {
        let key = request["Key"].as_object().unwrap();
        let application = key["app_name"]["S"].as_str().unwrap();
        let run_id = key["snapshot_manager_run_id"]["N"].as_str().unwrap();
        let key_values = (application.to_owned(), run_id.parse().unwrap());
        let row = self.table.get(&key_values);
        let condition = request["ConditionExpression"].as_str();
        if !condition.is_none_or(|condition| Expression::new(condition, request, row).holds()) {
            let mut body = json!({
                "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
                "message": "The conditional request failed",
            });
            if let Some(row) = row {
                body["Item"] = json!(row);
            }
            return (400, body.to_string());
        }
        let before = row.cloned();
        let row = self.table.entry(key_values).or_insert_with(|| key.clone());
        update(row, request);
        let answer = match (request["ReturnValues"].as_str(), before) {
            (Some("ALL_NEW"), _) => json!({ "Attributes": row }),
            (Some("ALL_OLD"), Some(before)) => json!({ "Attributes": before }),
            _ => json!({}),
        };
        (200, answer.to_string())
    }

    fn publish(&mut self, request: &Value) -> Answer {
        let subject = request["Subject"].as_str().unwrap().to_owned();
        if subject.chars().count() >= 100 || subject.chars().any(char::is_control) {
            let refused = ServiceError::new("InvalidParameter", 400, "Subject");
            return error("Publish", &refused);
        }
        let message: Value = serde_json::from_str(request["Message"].as_str().unwrap()).unwrap();
        let record = serde_json::from_str(message["default"].as_str().unwrap()).unwrap();
        self.published.push(Published { subject, record });
        let id = self.published.len();
        let id = format!("<MessageId>m-{id}</MessageId>");
        let result = format!("<PublishResult>{id}</PublishResult>");
        (200, format!("<PublishResponse>{result}</PublishResponse>"))
    }

    fn history(&self, request: &Value) -> Answer {
        let arn = request["executionArn"].as_str().unwrap();
        let Some(events) = self.histories.get(arn) else {
            let refused = ServiceError::new("ExecutionDoesNotExist", 400, "no such execution");
            return error("GetExecutionHistory", &refused);
        };
        assert_eq!(request["reverseOrder"], true);
        let from: usize = request["nextToken"]
            .as_str()
            .map_or(0, |token| token.parse().unwrap());
        let most = usize::try_from(request["maxResults"].as_u64().unwrap_or(100)).unwrap();
        let page: Vec<&Value> = events.iter().rev().skip(from).take(most).collect();
        let mut answer = json!({ "events": page });
        if from + page.len() < events.len() {
            answer["nextToken"] = (from + page.len()).to_string().into();
        }
        (200, answer.to_string())
    }
}

/// An error response in the format of the operation's service.
pub fn error(operation: &str, error: &ServiceError) -> Answer {
    let (status, code, message) = (error.http_status, &error.code, &error.message);
    if operation != "Publish" {
        return (status, error_body(code, message).to_string());
    }
    let fields = format!("<Type>Sender</Type><Code>{code}</Code><Message>{message}</Message>");
    let error = format!("<ErrorResponse><Error>{fields}</Error></ErrorResponse>");
    (status, error)
}

/// A condition expression of DynamoDB, with the operators that the functions use: `=`, `<`, `<=`, `IN`,
/// `attribute_not_exists`, NOT, AND, OR and parentheses.
struct Expression<'a> {
    tokens: Vec<String>,
    at: usize,
    request: &'a Value,
    row: Option<&'a Map<String, Value>>,
}

impl<'a> Expression<'a> {
    fn new(text: &str, request: &'a Value, row: Option<&'a Map<String, Value>>) -> Self {
        let spaced = text.replace('(', " ( ").replace(')', " ) ");
        let spaced = spaced.replace(',', " , ");
        Self {
            tokens: spaced.split_whitespace().map(str::to_owned).collect(),
            at: 0,
            request,
            row,
        }
    }

    fn holds(mut self) -> bool {
        let holds = self.or();
        assert_eq!(self.at, self.tokens.len(), "{:?}", self.tokens);
        holds
    }

    fn or(&mut self) -> bool {
        let mut holds = self.and();
        while self.is_next("OR") {
            holds |= self.and();
        }
        holds
    }

    fn and(&mut self) -> bool {
        let mut holds = self.not();
        while self.is_next("AND") {
            holds &= self.not();
        }
        holds
    }

    fn not(&mut self) -> bool {
        if self.is_next("NOT") {
            !self.not()
        } else {
            self.term()
        }
    }

    fn term(&mut self) -> bool {
        if self.is_next("(") {
            let holds = self.or();
            assert!(self.is_next(")"));
            return holds;
        }
        if self.is_next("attribute_not_exists") {
            assert!(self.is_next("("));
            let exists = self.operand().is_some();
            assert!(self.is_next(")"));
            return !exists;
        }
        let left = self.operand();
        let operator = self.take();
        if operator == "IN" {
            assert!(self.is_next("("));
            let mut among = Vec::new();
            while among.is_empty() || self.is_next(",") {
                among.push(self.operand());
            }
            assert!(self.is_next(")"));
            return left.is_some() && among.contains(&left);
        }
        // If an attribute is missing, no comparison with it is true.
        let (Some(left), Some(right)) = (left, self.operand()) else {
            return false;
        };
        match operator.as_str() {
            "=" => left == right,
            "<" => number(&left) < number(&right),
            "<=" => number(&left) <= number(&right),
            other => panic!("{other} is not emulated"),
        }
    }

    /// The value of a placeholder in the request, or of an attribute in the row.
    fn operand(&mut self) -> Option<Value> {
        let token = self.take();
        if !token.starts_with(':') {
            return self.row?.get(&token).cloned();
        }
        let value = value(self.request, &token);
        assert!(!value.is_null(), "no value {token}");
        Some(value)
    }

    fn is_next(&mut self, token: &str) -> bool {
        let is_next = self.tokens.get(self.at).is_some_and(|next| next == token);
        self.at += usize::from(is_next);
        is_next
    }

    fn take(&mut self) -> String {
        self.at += 1;
        self.tokens[self.at - 1].clone()
    }
}

fn number(value: &Value) -> i64 {
    value["N"].as_str().unwrap().parse().unwrap()
}

/// The name of an attribute. The expression may have a placeholder for it.
fn attribute(request: &Value, name: &str) -> String {
    let named = request["ExpressionAttributeNames"][name].as_str();
    assert!(named.is_some() || !name.starts_with('#'), "no name {name}");
    named.unwrap_or(name).to_owned()
}

fn value(request: &Value, name: &str) -> Value {
    request["ExpressionAttributeValues"][name].clone()
}

/// Carries out `SET a = :a, … REMOVE b, …`.
fn update(row: &mut Map<String, Value>, request: &Value) {
    let expression = request["UpdateExpression"].as_str().unwrap();
    let (sets, removes) = expression
        .split_once(" REMOVE ")
        .unwrap_or((expression, ""));
    for set in sets.strip_prefix("SET ").unwrap().split(", ") {
        let (name, value_name) = set.split_once(" = ").unwrap();
        row.insert(attribute(request, name), value(request, value_name));
    }
    for name in removes.split(", ").filter(|name| !name.is_empty()) {
        row.remove(&attribute(request, name));
    }
}

fn plain(row: &Map<String, Value>) -> Map<String, Value> {
    let item: serde_dynamo::Item = serde_json::from_value(json!(row)).unwrap();
    serde_dynamo::from_item(item).unwrap()
}

#[test]
fn a_condition_is_true_when_it_is_in_dynamodb() {
    let request = json!({
        "ExpressionAttributeValues": {
            ":one": { "N": "1" }, ":two": { "N": "2" }, ":ten": { "N": "10" },
            ":ok": { "S": "SUCCEEDED" }, ":bad": { "S": "FAILED" },
        },
    });
    let row = json!({ "count": { "N": "2" }, "outcome": { "S": "FAILED" } });
    let row = row.as_object().unwrap();
    for (condition, with_row, without) in [
        ("attribute_not_exists(count)", false, true),
        (
            "attribute_not_exists(other) AND outcome = :bad",
            true,
            false,
        ),
        ("NOT count = :two", false, true),
        ("count < :ten", true, false),
        ("count < :two OR count <= :one", false, false),
        ("outcome IN (:ok, :bad)", true, false),
        (
            "NOT outcome IN (:ok) AND attribute_not_exists(x)",
            true,
            true,
        ),
        (
            "other = :one OR (count = :two AND (:two < :one OR :one < count))",
            true,
            false,
        ),
    ] {
        let holds = |row| Expression::new(condition, &request, row).holds();
        assert_eq!(holds(Some(row)), with_row, "{condition}");
        assert_eq!(holds(None), without, "{condition}");
    }
}
