//! Made-up histories: the metrics that the runs and the AWS services of a stack send to CloudWatch.

use record_and_notify::metrics::emf_line;
use serde_json::{Value, json};
use stack::template::{Deployment, TEMPLATE, Template};

use crate::cloudwatch::{Alarm, HOUR, MINUTE, Sent, State, metric};

pub(crate) fn deployed(parameters: &[(&str, &str)]) -> Template {
    let nobody = [("NotificationEmail", "none"), ("AlarmEmail", "none")];
    let deployment = Deployment::with(&[&nobody[..], parameters].concat());
    Template::read(TEMPLATE, deployment).unwrap()
}

pub(crate) fn alarms(template: &Template) -> Vec<(&str, Alarm)> {
    let ids = template.of_type("AWS::CloudWatch::Alarm").unwrap();
    let alarms = ids.into_iter();
    let alarms = alarms.map(|id| (id, Alarm::read(&template.properties(id).unwrap())));
    alarms.collect()
}

/// How a run ends.
#[derive(Clone, Copy)]
pub(crate) enum End {
    Succeeded,
    Skipped,
    /// The limit `max_deletions_per_run` stopped all deletions.
    HeldBack,
    Failed,
    /// A run of mode PRUNE that succeeded.
    Pruned,
    /// A run of mode PLAN.
    Planned,
}

impl End {
    /// The fields of the record that depend on how the run ended.
    fn fields(self) -> Value {
        match self {
            Self::Succeeded => json!({
                "outcome": "SUCCEEDED", "mode": "RUN", "snapshot_seconds": 61, "snapshots_total": 30
            }),
            Self::Skipped => {
                json!({ "outcome": "SKIPPED", "mode": "RUN", "skip_reason": "READY" })
            }
            Self::HeldBack => json!({
                "outcome": "PRUNE_INCOMPLETE", "mode": "RUN", "snapshot_seconds": 61,
                "held_back": {
                    "cause": "MAX_DELETIONS_PER_RUN", "deletions_wanted": 26, "message": "26 of 25."
                }
            }),
            Self::Failed => json!({ "outcome": "FAILED", "failed_state": "CreateSnapshot" }),
            Self::Pruned => json!({ "outcome": "SUCCEEDED", "mode": "PRUNE" }),
            Self::Planned => json!({ "outcome": "PLANNED", "mode": "PLAN" }),
        }
    }
}

pub(crate) struct History<'a> {
    template: &'a Template,
    sent: Sent,
}

impl<'a> History<'a> {
    pub(crate) fn of(template: &'a Template) -> Self {
        Self {
            template,
            sent: Sent::default(),
        }
    }

    /// Adds a run, with the metrics that record-and-notify prints for its record.
    pub(crate) fn run(&mut self, ended_at: i64, end: End) {
        self.record(ended_at, &end.fields());
        if matches!(end, End::Failed) {
            self.execution(ended_at, "ExecutionsFailed");
        }
    }

    /// Adds runs at an interval, from a time until before another.
    pub(crate) fn runs(&mut self, from: i64, until: i64, every: i64, end: End) {
        let mut at = from;
        while at < until {
            // Each run starts at another minute of the schedule's window, and its snapshot takes another time.
            self.run(at + (at / every) % 14 * MINUTE, end);
            at += every;
        }
    }

    /// Adds a run that sees this number of snapshots at its end.
    pub(crate) fn snapshots(&mut self, ended_at: i64, total: i32) {
        let mut fields = End::Succeeded.fields();
        fields["snapshots_total"] = total.into();
        self.record(ended_at, &fields);
    }

    fn record(&mut self, ended_at: i64, fields: &Value) {
        let mut record = json!({
            "app_name": "orders", "snapshot_manager_run_id": ended_at * 1_000, "execution_arn": "arn",
            "started_at": ended_at * 1_000, "finished_at": ended_at * 1_000,
        });
        let all = record.as_object_mut().unwrap();
        all.extend(fields.as_object().unwrap().clone());
        let line = emf_line(&serde_json::from_value(record).unwrap());
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        for directive in line["_aws"]["CloudWatchMetrics"].as_array().unwrap() {
            let dimensions = directive["Dimensions"][0].as_array().unwrap();
            let dimensions: Vec<(&str, &str)> = dimensions
                .iter()
                .map(|name| name.as_str().unwrap())
                .map(|name| (name, line[name].as_str().unwrap()))
                .collect();
            for defined in directive["Metrics"].as_array().unwrap() {
                let name = text(&defined["Name"]);
                let value = line[&name].as_f64().unwrap();
                let name = metric(&text(&directive["Namespace"]), &name, &dimensions);
                self.sent.put(name, ended_at, value);
            }
        }
    }

    /// Adds the end of an execution, as Step Functions counts it.
    pub(crate) fn execution(&mut self, at: i64, name: &str) {
        let machine = self.template.arn_of("StateMachine").unwrap();
        let name = metric("AWS/States", name, &[("StateMachineArn", &machine)]);
        self.sent.put(name, at, 1.0);
    }

    /// Adds a message that is visible in a queue from a time until another.
    pub(crate) fn message(&mut self, queue: &str, from: i64, until: i64) {
        let queue = self.template.name_of(queue).unwrap();
        let name = "ApproximateNumberOfMessagesVisible";
        let name = metric("AWS/SQS", name, &[("QueueName", &queue)]);
        let mut at = from;
        while at < until + HOUR {
            let visible = if at < until { 1.0 } else { 0.0 };
            self.sent.put(name.clone(), at, visible);
            at += MINUTE;
        }
    }

    pub(crate) fn errors(&mut self, function: &str, at: i64, count: u32) {
        let function = self.template.name_of(function).unwrap();
        let name = metric("AWS/Lambda", "Errors", &[("FunctionName", &function)]);
        self.sent.put(name, at, count.into());
    }

    pub(crate) fn alarm(&self, id: &str) -> Alarm {
        Alarm::read(&self.template.properties(id).unwrap())
    }

    /// Evaluates an alarm from a time until another. Returns when it enters and when it leaves the state ALARM.
    pub(crate) fn alarm_times(
        &self,
        id: &str,
        from: i64,
        until: i64,
        extra: usize,
    ) -> Vec<(i64, Option<i64>)> {
        let changes = self.alarm(id).play(&self.sent, from, until, extra);
        let starts = changes.iter().enumerate();
        let starts = starts.filter(|(_, (_, state))| *state == State::Alarm);
        starts
            .map(|(index, (start, _))| (*start, changes.get(index + 1).map(|(end, _)| *end)))
            .collect()
    }
}
