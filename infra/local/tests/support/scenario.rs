//! An application on the engine: its snapshots, its executions, their records and their notifications.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sfn::types::{ExecutionStatus, HistoryEvent};
use engine::Engine;
use engine::faults::{Fault, FaultId, FaultKind, Faults, Times};
use engine::lock;
use engine::msf::{Behaviour, SeededSnapshot, ServiceError};
use jiff::{SignedDuration, Timestamp};
use local::follow;
use local::report::{self, Record};
use serde_json::{Value, json};
use simulation::fault_plan::error;
use stack::{ACCOUNT, REGION};

use super::{Execution, engine, eventually, follower_check, message_about, names_in};

/// An application with snapshots, and a queue that receives its notifications.
pub struct Scenario<'a> {
    pub engine: &'a Engine,
    pub application: String,
    sfn: aws_sdk_sfn::Client,
    sqs: aws_sdk_sqs::Client,
    queue_url: String,
}

impl Scenario<'static> {
    /// A running application with this name, on the shared engine of the test file.
    pub async fn new(application: &str) -> Self {
        Scenario::on(engine().await, application).await
    }
}

impl<'a> Scenario<'a> {
    pub async fn on(engine: &'a Engine, application: &str) -> Self {
        let scenario = Self::without_application(engine, application).await;
        let role = "arn:aws:iam::123456789012:role/flink";
        let create = json!({ "RuntimeEnvironment": "FLINK-1_20", "ServiceExecutionRole": role });
        scenario.flink("CreateApplication", create);
        scenario.flink("StartApplication", json!({}));
        scenario.until_application_is("RUNNING").await;
        scenario
    }

    /// A scenario without an application. It still has a queue that would receive its notifications.
    pub async fn without_application(engine: &'a Engine, application: &str) -> Self {
        let config = engine.connection().sdk_config();
        let sqs = aws_sdk_sqs::Client::new(&config);
        // The filter is the one that an operator would use.
        let queue = format!("{application}-notifications");
        let create = sqs.create_queue().queue_name(&queue);
        // A message that a test has received does not become visible again, however long the test takes.
        let create = create.attributes("VisibilityTimeout".into(), "43200");
        let created = create.send().await.unwrap();
        let filter = json!({ "application_name": [application] });
        aws_sdk_sns::Client::new(&config)
            .subscribe()
            .topic_arn(&engine.connection().topic_arn)
            .protocol("sqs")
            .endpoint(format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}"))
            .attributes("FilterPolicy", filter.to_string())
            .send()
            .await
            .unwrap();
        Self {
            engine,
            application: application.to_owned(),
            sfn: aws_sdk_sfn::Client::new(&config),
            sqs,
            queue_url: created.queue_url.unwrap(),
        }
    }

    fn flink(&self, operation: &str, request: Value) -> Value {
        self.try_flink(operation, request).unwrap()
    }

    fn try_flink(&self, operation: &str, mut request: Value) -> Result<Value, ServiceError> {
        request["ApplicationName"] = self.application.as_str().into();
        let mut emulator = lock(self.engine.proxy().emulator());
        emulator.call(operation, request.to_string().as_bytes(), Timestamp::now())
    }

    pub async fn stop_application(&self) {
        self.flink("StopApplication", json!({ "Force": true }));
        self.until_application_is("READY").await;
    }

    /// Deletes the application, and waits until it is gone.
    pub async fn delete_application(&self) {
        let created = self.detail()["CreateTimestamp"].take();
        self.flink("DeleteApplication", json!({ "CreateTimestamp": created }));
        eventually("the end of the application", async || {
            self.try_flink("DescribeApplication", json!({}))
                .err()
                .map(|_| ())
        })
        .await;
    }

    async fn until_application_is(&self, status: &str) {
        let is_so = async || (self.detail()["ApplicationStatus"] == status).then_some(());
        eventually(status, is_so).await;
    }

    fn detail(&self) -> Value {
        self.flink("DescribeApplication", json!({}))["ApplicationDetail"].take()
    }

    pub async fn set_snapshots_enabled(&self, enabled: bool) {
        let change = json!({ "SnapshotsEnabledUpdate": enabled });
        self.update("ApplicationSnapshotConfigurationUpdate", change)
            .await;
    }

    pub async fn encrypt(&self, key_arn: &str) {
        let change = json!({ "KeyTypeUpdate": "CUSTOMER_MANAGED_KEY", "KeyIdUpdate": key_arn });
        self.update("ApplicationEncryptionConfigurationUpdate", change)
            .await;
    }

    async fn update(&self, section: &str, change: Value) {
        let update = json!({
            "CurrentApplicationVersionId": self.detail()["ApplicationVersionId"],
            "ApplicationConfigurationUpdate": { section: change },
        });
        self.flink("UpdateApplication", update);
        self.until_application_is("RUNNING").await;
    }

    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        let mut emulator = lock(self.engine.proxy().emulator());
        change(emulator.behaviour(&self.application));
    }

    /// Adds managed READY snapshots of earlier days. Returns their names, oldest first.
    pub fn seed(&self, days: i32) -> Vec<String> {
        self.seed_each(SignedDuration::from_hours(24), days)
    }

    /// Adds a full quota of managed READY snapshots, one for each hour.
    pub fn seed_thousand(&self) {
        self.seed_each(SignedDuration::from_hours(1), 1_000);
    }

    fn seed_each(&self, interval: SignedDuration, count: i32) -> Vec<String> {
        let now = Timestamp::now();
        let snapshots = (1..=count).rev();
        let snapshots = snapshots.map(|number| SeededSnapshot::managed(now - interval * number));
        let snapshots: Vec<SeededSnapshot> = snapshots.collect();
        let names = snapshots.iter().map(|s| s.name.clone()).collect();
        let mut emulator = lock(self.engine.proxy().emulator());
        emulator.seed(&self.application, snapshots);
        names
    }

    /// The names of the application's snapshots, oldest first, without those that are DELETING.
    pub fn names(&self) -> Vec<String> {
        let mut emulator = lock(self.engine.proxy().emulator());
        let snapshots = emulator.snapshots(&self.application, Timestamp::now());
        let mut snapshots = snapshots.iter().rev().collect::<Vec<_>>();
        snapshots.retain(|snapshot| snapshot["SnapshotStatus"] != "DELETING");
        let names = snapshots.iter().map(|it| it["SnapshotName"].as_str());
        names.map(|name| name.unwrap().to_owned()).collect()
    }

    pub fn faults(&self) -> &'a Faults {
        self.engine.proxy().faults()
    }

    pub fn inject(
        &self,
        function: &str,
        operation: &str,
        times: Times,
        kind: FaultKind,
    ) -> FaultId {
        self.faults().inject(Fault {
            function: function.to_owned(),
            operation: operation.to_owned(),
            application: Some(self.application.clone()),
            times,
            kind,
        })
    }

    /// Injects a fault into one call, after this number of calls without one.
    pub fn inject_after(
        &self,
        skipped: u32,
        function: &str,
        operation: &str,
        kind: FaultKind,
    ) -> FaultId {
        let no_fault = FaultKind::Delay(Duration::ZERO);
        self.inject(function, operation, Times::Count(skipped), no_fault);
        self.inject(function, operation, Times::Count(1), kind)
    }

    pub fn deny(&self, function: &str, operation: &str) -> FaultId {
        let message = format!("not authorized to perform: {operation}");
        let denied = error("AccessDeniedException", 400, &message);
        self.inject(function, operation, Times::Always, denied)
    }

    /// Starts an execution with this input, to which the application's name is added. Returns its ARN. Its name is the
    /// application's name with a number.
    pub async fn start(&self, mut input: Value, number: u32) -> String {
        if input["application_name"].is_null() {
            input["application_name"] = self.application.as_str().into();
        }
        let name = format!("{}-{number}", self.application);
        follow::start_execution(&self.sfn, self.engine.connection(), &name, &input)
            .await
            .unwrap()
    }

    /// Runs an execution until it ends. It polls its snapshot every second.
    pub async fn execute(&self, mut input: Value) -> Execution {
        if input["poll_interval_seconds"].is_null() {
            input["poll_interval_seconds"] = 1.into();
        }
        let number = Timestamp::now().subsec_nanosecond().cast_unsigned();
        let arn = self.start(input, number).await;
        self.end_of(&arn).await
    }

    /// Runs an execution, and asserts that it succeeds with this outcome. Returns the execution and its record.
    pub async fn succeed(&self, outcome: &str, input: Value) -> (Execution, Record) {
        let done = self.execute(input).await;
        assert_eq!(done.status, ExecutionStatus::Succeeded);
        let record = self.record(&done).await;
        assert_eq!(record["outcome"], outcome, "{record:?}");
        (done, record)
    }

    /// Starts an execution, and stops it while it waits for its snapshot.
    pub async fn abort(&self) -> Execution {
        let input = json!({ "poll_interval_seconds": 300 });
        let arn = self.start(input, 1).await;
        self.until_state(&arn, "WaitForSnapshot").await;
        let stop = self.sfn.stop_execution().execution_arn(&arn);
        stop.send().await.unwrap();
        self.end_of(&arn).await
    }

    pub async fn redrive(&self, execution: &Execution) -> Execution {
        let redrive = self.sfn.redrive_execution().execution_arn(&execution.arn);
        redrive.send().await.unwrap();
        self.end_of(&execution.arn).await
    }

    /// Waits until an execution has ended, and compares its history with the follower.
    pub async fn end_of(&self, arn: &str) -> Execution {
        let execution = self.ended(arn).await;
        let started = Timestamp::from_millisecond(execution.run_id).unwrap();
        // The members of the context object `$$` that the definition reads.
        let context = json!({ "Execution": { "Id": arn, "StartTime": format!("{started:.3}") } });
        follower_check::assert_follower_agrees(
            &execution.history,
            &self.definition().await,
            &context,
        );
        execution
    }

    pub async fn ended(&self, arn: &str) -> Execution {
        let described = eventually("the end of the execution", async || {
            let describe = self.sfn.describe_execution().execution_arn(arn);
            let described = describe.send().await.unwrap();
            (described.status != ExecutionStatus::Running).then_some(described)
        })
        .await;
        let microseconds = (described.start_date.as_nanos() + 500).div_euclid(1_000);
        Execution {
            arn: arn.to_owned(),
            status: described.status,
            history: self.history(arn).await,
            run_id: i64::try_from(microseconds.div_euclid(1_000)).unwrap(),
        }
    }

    pub async fn until_state(&self, arn: &str, state: &str) {
        eventually(state, async || {
            let history = self.history(arn).await;
            let mut entered = history
                .iter()
                .filter_map(|event| event.state_entered_event_details());
            let last = entered.next_back()?;
            (last.name() == state).then_some(())
        })
        .await;
    }

    pub async fn history(&self, arn: &str) -> Vec<HistoryEvent> {
        follow::history(&self.sfn, arn).await.unwrap()
    }

    pub async fn definition(&self) -> Value {
        let machine = &self.engine.connection().state_machine_arn;
        let describe = self.sfn.describe_state_machine().state_machine_arn(machine);
        serde_json::from_str(describe.send().await.unwrap().definition()).unwrap()
    }

    /// Waits for the audit record of an execution that has ended, until the record is marked as notified. If the last
    /// step of a successful run is repeated, it writes the record again, but sends no second notification.
    pub async fn record(&self, execution: &Execution) -> Record {
        self.record_under(&self.application, execution).await
    }

    pub async fn record_under(&self, app_name: &str, execution: &Execution) -> Record {
        let wanted = match execution.status {
            ExecutionStatus::Succeeded => None,
            ref status => Some(status.as_str().to_owned()),
        };
        eventually("the record, marked as notified", async || {
            let record = self.row(app_name, execution.run_id).await?;
            let outcome = record.get("outcome")?.as_str()?.to_owned();
            let expected = wanted.clone().unwrap_or_else(|| outcome.clone());
            let announced = record.get("notified").is_some_and(|notified| {
                notified["outcome"] == outcome.as_str()
                    && (wanted.is_none()
                        || record.get("finished_at") == Some(&notified["finished_at"]))
            });
            (outcome == expected && announced).then_some(record)
        })
        .await
    }

    pub async fn row(&self, app_name: &str, run_id: i64) -> Option<Record> {
        let names = self.engine.connection();
        report::get(&names.sdk_config(), &names.table, app_name, run_id)
            .await
            .unwrap()
    }

    pub async fn row_count(&self) -> i32 {
        let name = self.application.clone();
        let query = aws_sdk_dynamodb::Client::new(&self.engine.connection().sdk_config()).query();
        let rows = query
            .table_name(&self.engine.connection().table)
            .key_condition_expression("app_name = :name")
            .expression_attribute_values(":name", AttributeValue::S(name));
        rows.send().await.unwrap().count
    }

    /// Asserts that the run has taken one snapshot and deleted two of three old ones, and that it has one record, which
    /// shows this.
    pub async fn assert_pruned(&self, done: &Execution, old: &[String], row: &str) {
        assert_eq!(done.status, ExecutionStatus::Succeeded, "{row}");
        let own = done.snapshot_name();
        assert_eq!(self.names(), [old[2].clone(), own.clone()], "{row}");
        let record = self.record(done).await;
        assert_eq!(self.row_count().await, 1, "{row}");
        assert_eq!(record["outcome"], "SUCCEEDED", "{row}");
        assert_eq!(record["new_snapshot_name"], own, "{row}");
        let mut deleted = names_in(&record["snapshots_deleted"]);
        deleted.sort_unstable();
        assert_eq!(deleted, old[..2], "{row}");
        assert_eq!(record["snapshots_deleted_count"], 2, "{row}");
        assert_eq!(record["snapshots_failed_to_be_deleted_count"], 0, "{row}");
        for attribute in ["held_back", "failed_state", "error_name", "error_message"] {
            assert!(!record.contains_key(attribute), "{row}: {attribute}");
        }
    }

    /// The only notification that the subscriber of the application has received: subject and record.
    pub async fn notification(&self) -> (String, Value) {
        self.notifications(1).await.remove(0)
    }

    /// The notifications that the subscriber of the application has received, in order: subject and record. Waits for
    /// this number of them.
    pub async fn notifications(&self, count: usize) -> Vec<(String, Value)> {
        let mut received = Vec::new();
        let what = format!("{count} notifications of {}", self.application);
        eventually(&what, async || {
            let receive = self.sqs.receive_message().queue_url(&self.queue_url);
            let got = receive.max_number_of_messages(10).send().await.unwrap();
            for message in got.messages.unwrap_or_default() {
                let envelope: Value = serde_json::from_str(&message.body.unwrap()).unwrap();
                let record = serde_json::from_str(envelope["Message"].as_str().unwrap()).unwrap();
                received.push((envelope["Subject"].as_str().unwrap().to_owned(), record));
            }
            (received.len() >= count).then_some(())
        })
        .await;
        assert_eq!(received.len(), count, "{received:#?}");
        received
    }

    /// Waits for the lines with metrics in the log that are about an execution.
    pub async fn metrics(&self, execution: &Execution) -> Vec<Value> {
        eventually("the metrics", async || {
            let logs = self.engine.logs("record-and-notify", &execution.arn).await;
            let metrics: Vec<Value> = logs
                .unwrap()
                .iter()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok())
                .filter(|line| {
                    line["_aws"].is_object() && line["ExecutionArn"] == execution.arn.as_str()
                })
                .collect();
            (!metrics.is_empty()).then_some(metrics)
        })
        .await
    }

    /// The message in the failure destination that has the event of an execution.
    pub async fn undelivered(&self, execution: &Execution) -> Value {
        let queue_url = &self.engine.connection().failure_queue_url;
        message_about(self.engine, queue_url, &execution.arn).await
    }
}
