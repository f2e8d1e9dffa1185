//! Answers of the services, and an invocation with the requests that it sent.

use contract::RecordAndNotifyOutput;
use jiff::Timestamp;
use record_and_notify::{Clients, Config};
use serde_json::{Value, json};
use step::StepError;
use testkit::fixtures::{EXECUTION, RUN_ID};
use testkit::replay::{Answer, Service};

use crate::given::{NOW, redriven_state, too_slow_history, with};

pub(crate) type Reply = (&'static str, Answer);

pub(crate) const TOPIC: &str = "arn:aws:sns:eu-central-1:123456789012:snapshots";

/// The mark of an earlier announcement.
pub(crate) fn notified(outcome: &str, finished_at: i64) -> Value {
    json!({ "notified": { "M": {
        "outcome": { "S": outcome }, "finished_at": { "N": finished_at.to_string() },
        "message_id": { "S": "earlier" }
    }}})
}

/// The record is written, over a row with these marks.
pub(crate) fn written_over(marks: Value) -> Reply {
    let row = json!({ "app_name": { "S": "orders" }, "execution_arn": { "S": EXECUTION } });
    let answer = json!({ "Attributes": with(row, marks) });
    ("UpdateItem", Answer::Ok(answer))
}

pub(crate) fn written() -> Reply {
    written_over(json!({}))
}

/// The condition failed on this row.
pub(crate) fn condition_failed(row: Option<Value>) -> Reply {
    let mut body = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
        "message": "The conditional request failed"
    });
    if let Some(row) = row {
        body["Item"] = row;
    }
    ("UpdateItem", Answer::ErrorBody(400, body))
}

pub(crate) fn accepted() -> Reply {
    let answer = "<PublishResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\">\
                  <PublishResult><MessageId>m-1</MessageId></PublishResult></PublishResponse>";
    ("Publish", Answer::Page(200, answer.to_owned()))
}

pub(crate) fn marked() -> Reply {
    ("UpdateItem", Answer::Ok(json!({})))
}

/// A row is written, the run is announced, the row is marked.
pub(crate) fn announced() -> Vec<Reply> {
    vec![written(), accepted(), marked()]
}

/// The history, newest event first, then the same.
pub(crate) fn announced_after(events: &[Value]) -> Vec<Reply> {
    let history = [history(events)];
    history.into_iter().chain(announced()).collect()
}

pub(crate) fn history(events: &[Value]) -> Reply {
    history_page(events, None)
}

pub(crate) fn history_page(events: &[Value], next: Option<&str>) -> Reply {
    let mut page = json!({ "events": events });
    if let Some(next) = next {
        page["nextToken"] = next.into();
    }
    ("GetExecutionHistory", Answer::Ok(page))
}

/// These answers, after that to the call for the history if the input is an event.
pub(crate) fn answers_to(input: &Value, answers: impl IntoIterator<Item = Reply>) -> Vec<Reply> {
    let history = input.get("detail").map(|_| history(&too_slow_history()));
    history.into_iter().chain(answers).collect()
}

pub(crate) fn config() -> Config {
    Config {
        table_name: "snapshot_manager_status".to_owned(),
        topic_arn: TOPIC.to_owned(),
        application_name: None,
        record_retention_days: None,
    }
}

/// An invocation: what it answered, and what it sent.
pub(crate) struct Invocation {
    answer: Result<RecordAndNotifyOutput, StepError>,
    pub(crate) sent: Vec<(String, Value)>,
}

/// An event, or what a run did, as the last state of an execution without a redrive gives it.
pub(crate) async fn invoke(input: Value, answers: impl IntoIterator<Item = Reply>) -> Invocation {
    invoke_with(config(), input, answers).await
}

pub(crate) async fn invoke_with(
    config: Config,
    input: Value,
    answers: impl IntoIterator<Item = Reply>,
) -> Invocation {
    let input = match input.get("run") {
        Some(_) => redriven_state(0, &input),
        None => input,
    };
    let service = Service::answering(answers);
    handle(&service, Ok(config), input, |_| ()).await
}

/// Invokes the handler with exactly this input. The metrics go to `print`.
pub(crate) async fn handle(
    service: &Service,
    config: Result<Config, String>,
    input: Value,
    print: impl Fn(&str),
) -> Invocation {
    let clients = Clients::new(&service.config());
    let now = Timestamp::from_millisecond(NOW).unwrap();
    let answer = record_and_notify::handle(&clients, &config, input, now, print);
    let answer = Box::pin(answer).await;
    service.assert_done();
    let sent = service.sent();
    Invocation { answer, sent }
}

impl Invocation {
    pub(crate) fn output(&self) -> &RecordAndNotifyOutput {
        self.answer.as_ref().unwrap()
    }

    pub(crate) fn message_id(&self) -> Option<&str> {
        self.output().message_id.as_deref()
    }

    pub(crate) fn error(&self) -> &StepError {
        self.answer.as_ref().unwrap_err()
    }

    /// The first request of this operation.
    pub(crate) fn first(&self, operation: &str) -> &Value {
        let found = self.sent.iter().find(|(sent, _)| sent == operation);
        &found.unwrap_or_else(|| panic!("no {operation} was sent")).1
    }

    pub(crate) fn is_announced(&self) -> bool {
        self.sent.iter().any(|(sent, _)| sent == "Publish")
    }

    /// The row as it is written, as plain JSON.
    pub(crate) fn row(&self) -> Value {
        let update = self.first("UpdateItem");
        let values = update["ExpressionAttributeValues"].as_object().unwrap();
        let names = update["ExpressionAttributeNames"].as_object().unwrap();
        // The other values belong to the condition.
        let values = values
            .iter()
            .map(|(name, value)| (name.strip_prefix(':').unwrap().to_owned(), plain(value)))
            .filter(|(name, _)| names.contains_key(&format!("#{name}")));
        let key = update["Key"].as_object().unwrap();
        let key = key.iter().map(|(name, value)| (name.clone(), plain(value)));
        key.chain(values).collect()
    }

    /// The attributes that the write removes.
    pub(crate) fn removed(&self) -> Vec<&str> {
        let update = self.first("UpdateItem")["UpdateExpression"].as_str();
        let (_, removed) = update.unwrap().split_once(" REMOVE ").unwrap();
        removed.split(", ").collect()
    }

    pub(crate) fn subject(&self) -> &str {
        self.first("Publish")["Subject"].as_str().unwrap()
    }

    /// The message as it is announced: one text for each protocol.
    pub(crate) fn message(&self) -> Value {
        let message = self.first("Publish")["Message"].as_str().unwrap();
        serde_json::from_str(message).unwrap()
    }

    pub(crate) fn email(&self) -> String {
        self.message()["email"].as_str().unwrap().to_owned()
    }

    /// The record in the message, for programs.
    pub(crate) fn announced_record(&self) -> Value {
        serde_json::from_str(self.message()["default"].as_str().unwrap()).unwrap()
    }

    /// An attribute of the message that subscriptions can filter by.
    pub(crate) fn message_attribute(&self, name: &str) -> &Value {
        let parameter = format!("MessageAttributes.{name}.StringValue");
        &self.first("Publish")[parameter]
    }
}

/// An attribute value as plain JSON.
fn plain(attribute: &Value) -> Value {
    let (kind, value) = attribute.as_object().unwrap().iter().next().unwrap();
    match kind.as_str() {
        "S" => value.clone(),
        "N" => serde_json::from_str(value.as_str().unwrap()).unwrap(),
        "L" => value.as_array().unwrap().iter().map(plain).collect(),
        "M" => {
            let fields = value.as_object().unwrap().iter();
            let fields = fields.map(|(name, value)| (name.clone(), plain(value)));
            fields.collect()
        }
        _ => panic!("the record has no {kind}"),
    }
}

/// The last two paragraphs of every e-mail.
pub(crate) fn where_to_look() -> String {
    format!(
        "Execution: https://eu-central-1.console.aws.amazon.com/states/home?region=eu-central-1\
         #/v2/executions/details/{EXECUTION}\n\n\
         Record: app_name orders, snapshot_manager_run_id {RUN_ID}"
    )
}
