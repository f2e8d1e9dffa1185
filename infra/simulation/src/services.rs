//! The services in memory: Managed Flink, and what the functions call of DynamoDB, SNS and Step
//! Functions. An answer is a function of the calls so far and of the time given with this one.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use engine::msf::{Emulator, error_body};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// One account.
pub struct Services {
    pub flink: Emulator,
    /// The table: a row's attributes as DynamoDB writes them, by application and run id.
    pub table: BTreeMap<(String, i64), Map<String, Value>>,
    /// What the topic has accepted, in order.
    pub published: Vec<Published>,
    /// The history of each execution, by its ARN.
    pub histories: BTreeMap<String, Vec<Value>>,
}

/// A message that the topic has accepted.
#[derive(Clone, Debug)]
pub struct Published {
    pub subject: String,
    /// The `default` text, which is the record.
    pub record: Value,
}

/// An HTTP answer: status and body.
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

    /// Carries a call out. `body` is as [`testkit::replay::read`] has it.
    pub fn answer(&mut self, operation: &str, body: &Value, now: Timestamp) -> Answer {
        match operation {
            "UpdateItem" => self.update_item(body),
            "Publish" => self.publish(body),
            "GetExecutionHistory" => self.history(body),
            _ => match self.flink.call(operation, body.to_string().as_bytes(), now) {
                Ok(answer) => (200, answer.to_string()),
                Err(refusal) => error(
                    operation,
                    refusal.http_status,
                    &refusal.code,
                    &refusal.message,
                ),
            },
        }
    }

    fn update_item(&mut self, request: &Value) -> Answer {
        let key = request["Key"].as_object().unwrap();
        let number = key["snapshot_manager_run_id"]["N"].as_str().unwrap();
        let place = (
            key["app_name"]["S"].as_str().unwrap().to_owned(),
            number.parse().unwrap(),
        );
        let row = self.table.get(&place);
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
        let row = self.table.entry(place).or_insert_with(|| key.clone());
        update(row, request);
        match (request["ReturnValues"].as_str(), before) {
            (Some("ALL_NEW"), _) => (200, json!({ "Attributes": row }).to_string()),
            (Some("ALL_OLD"), Some(row)) => (200, json!({ "Attributes": row }).to_string()),
            _ => (200, "{}".to_owned()),
        }
    }

    fn publish(&mut self, request: &Value) -> Answer {
        let subject = request["Subject"].as_str().unwrap().to_owned();
        let plain = subject.chars().all(|c| !c.is_control());
        if subject.chars().count() >= 100 || !plain {
            return error("Publish", 400, "InvalidParameter", "Subject");
        }
        let message: Value = serde_json::from_str(request["Message"].as_str().unwrap()).unwrap();
        let record = serde_json::from_str(message["default"].as_str().unwrap()).unwrap();
        self.published.push(Published { subject, record });
        let id = self.published.len();
        (
            200,
            format!(
                "<PublishResponse><PublishResult><MessageId>m-{id}</MessageId></PublishResult></PublishResponse>"
            ),
        )
    }

    fn history(&self, request: &Value) -> Answer {
        let arn = request["executionArn"].as_str().unwrap();
        let Some(events) = self.histories.get(arn) else {
            return error(
                "GetExecutionHistory",
                400,
                "ExecutionDoesNotExist",
                "no such execution",
            );
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

/// An error as the operation's service writes it.
pub fn error(operation: &str, status: u16, code: &str, message: &str) -> Answer {
    if operation == "Publish" {
        return (
            status,
            format!(
                "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
            ),
        );
    }
    (status, error_body(code, message).to_string())
}

/// A condition: comparisons, `IN`, `attribute_exists` and `attribute_not_exists`, joined by NOT, AND and OR, in
/// parentheses.
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
        for (function, wanted) in [("attribute_exists", true), ("attribute_not_exists", false)] {
            if self.is_next(function) {
                assert!(self.is_next("("));
                let is_there = self.operand().is_some();
                assert!(self.is_next(")"));
                return is_there == wanted;
            }
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
        let right = self.operand();
        // What is not there equals nothing, and no order holds of it.
        let (Some(left), Some(right)) = (left, right) else {
            return operator == "<>";
        };
        match operator.as_str() {
            "=" => left == right,
            "<>" => left != right,
            "<" => order(&left, &right).is_some_and(Ordering::is_lt),
            "<=" => order(&left, &right).is_some_and(Ordering::is_le),
            ">" => order(&left, &right).is_some_and(Ordering::is_gt),
            ">=" => order(&left, &right).is_some_and(Ordering::is_ge),
            other => panic!("{other} is not emulated"),
        }
    }

    /// A value of the request, or what the row has at a path such as `notified.outcome`.
    fn operand(&mut self) -> Option<Value> {
        let token = self.take();
        if token.starts_with(':') {
            let given = value(self.request, &token);
            assert!(!given.is_null(), "no value {token}");
            return Some(given);
        }
        let mut names = token.split('.');
        let mut found = self.row?.get(&attribute(self.request, names.next()?))?;
        for name in names {
            found = found["M"].get(attribute(self.request, name))?;
        }
        Some(found.clone())
    }

    fn is_next(&mut self, token: &str) -> bool {
        let is = self.tokens.get(self.at).is_some_and(|next| next == token);
        self.at += usize::from(is);
        is
    }

    fn take(&mut self) -> String {
        self.at += 1;
        self.tokens[self.at - 1].clone()
    }
}

/// The order of two numbers, or of two texts.
fn order(left: &Value, right: &Value) -> Option<Ordering> {
    let number = |value: &Value| value["N"].as_str()?.parse::<i64>().ok();
    match (number(left), number(right)) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        _ => Some(left["S"].as_str()?.cmp(right["S"].as_str()?)),
    }
}

/// An attribute's name, behind its placeholder if it has one.
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

/// A row as plain JSON.
pub fn plain(row: &Map<String, Value>) -> Map<String, Value> {
    let attribute = |value: &Value| -> Value {
        let item: serde_dynamo::AttributeValue = attribute_value(value);
        serde_dynamo::from_attribute_value(item).unwrap()
    };
    row.iter()
        .map(|(name, value)| (name.clone(), attribute(value)))
        .collect()
}

fn attribute_value(value: &Value) -> serde_dynamo::AttributeValue {
    use serde_dynamo::AttributeValue as Attribute;
    let (kind, value) = value.as_object().unwrap().iter().next().unwrap();
    match (kind.as_str(), value) {
        ("S", Value::String(text)) => Attribute::S(text.clone()),
        ("N", Value::String(text)) => Attribute::N(text.clone()),
        ("BOOL", Value::Bool(value)) => Attribute::Bool(*value),
        ("L", Value::Array(values)) => Attribute::L(values.iter().map(attribute_value).collect()),
        ("M", Value::Object(values)) => Attribute::M(
            values
                .iter()
                .map(|(name, value)| (name.clone(), attribute_value(value)))
                .collect(),
        ),
        _ => panic!("{kind} is not emulated"),
    }
}

#[test]
fn a_condition_holds_as_in_dynamodb() {
    let request = json!({
        "ExpressionAttributeNames": { "#o": "outcome" },
        "ExpressionAttributeValues": {
            ":one": { "N": "1" }, ":two": { "N": "2" }, ":ten": { "N": "10" },
            ":ok": { "S": "SUCCEEDED" }, ":bad": { "S": "FAILED" },
        },
    });
    let row = json!({
        "count": { "N": "2" }, "outcome": { "S": "FAILED" },
        "notified": { "M": { "outcome": { "S": "ABORTED" } } },
    });
    let row = row.as_object().unwrap();
    for (condition, with_row, without) in [
        ("attribute_not_exists(count)", false, true),
        ("attribute_exists(count)", true, false),
        ("attribute_not_exists(other) AND #o = :bad", true, false),
        ("NOT count = :two", false, true),
        ("count < :ten", true, false),
        ("count < :two OR count <= :one", false, false),
        ("count >= :two AND count > :one", true, false),
        ("#o <> :ok", true, true),
        ("#o IN (:ok, :bad)", true, false),
        (
            "NOT (#o IN (:ok)) AND NOT attribute_exists(other)",
            true,
            true,
        ),
        ("notified.outcome = #o", false, false),
        ("notified.#o <> :bad", true, true),
        (
            "other = :one OR (count = :two AND (#o = :ok OR :one < count))",
            true,
            false,
        ),
    ] {
        let holds = |row| Expression::new(condition, &request, row).holds();
        assert_eq!(holds(Some(row)), with_row, "{condition}");
        assert_eq!(holds(None), without, "{condition}");
    }
}
