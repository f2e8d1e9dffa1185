#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Behaviour, Emulator, Lifecycle, SeededSnapshot, ServiceError, SnapshotStatus};

const ROLE: &str = "arn:aws:iam::123456789012:role/flink";

/// An emulator and the time at which it is called next.
struct World {
    emulator: Emulator,
    now: Timestamp,
}

impl World {
    fn new() -> Self {
        Self {
            emulator: Emulator::new("eu-west-1", "123456789012", Lifecycle::default()),
            now: Timestamp::from_millisecond(1_763_842_000_123).unwrap(),
        }
    }

    /// With the application `orders` RUNNING.
    fn running() -> Self {
        let mut world = Self::new();
        world.create("orders");
        world.ok("StartApplication", json!({ "ApplicationName": "orders" }));
        world.pass(1);
        world
    }

    fn create(&mut self, name: &str) {
        self.ok("CreateApplication", application(name));
    }

    fn pass(&mut self, seconds: u64) {
        self.now = self.now.checked_add(Duration::from_secs(seconds)).unwrap();
    }

    fn call(&mut self, operation: &str, body: &Value) -> Result<Value, ServiceError> {
        self.emulator
            .call(operation, body.to_string().as_bytes(), self.now)
    }

    #[track_caller]
    #[allow(clippy::needless_pass_by_value, reason = "bodies are written in place")]
    fn ok(&mut self, operation: &str, body: Value) -> Value {
        self.call(operation, &body).unwrap()
    }

    #[track_caller]
    #[allow(clippy::needless_pass_by_value, reason = "bodies are written in place")]
    fn code(&mut self, operation: &str, body: Value) -> String {
        let error = self.call(operation, &body).unwrap_err();
        assert_eq!(error.http_status, 400);
        error.code
    }

    fn behaviour(&mut self) -> &mut Behaviour {
        self.emulator.behaviour("orders")
    }

    fn detail(&mut self) -> Value {
        let body = json!({ "ApplicationName": "orders" });
        self.ok("DescribeApplication", body)["ApplicationDetail"].take()
    }

    fn status(&mut self) -> String {
        text(&self.detail()["ApplicationStatus"])
    }

    fn update(&mut self, mut change: Value) -> Result<Value, ServiceError> {
        change["ApplicationName"] = json!("orders");
        change["CurrentApplicationVersionId"] = self.detail()["ApplicationVersionId"].take();
        self.call("UpdateApplication", &change)
    }

    fn take(&mut self, name: &str) -> Result<Value, ServiceError> {
        self.call("CreateApplicationSnapshot", &snapshot(name))
    }

    fn describe(&mut self, name: &str) -> Result<Value, ServiceError> {
        let mut answer = self.call("DescribeApplicationSnapshot", &snapshot(name))?;
        Ok(answer["SnapshotDetails"].take())
    }

    fn delete(&mut self, name: &str, created_at: &Value) -> Result<Value, ServiceError> {
        let mut body = snapshot(name);
        body["SnapshotCreationTimestamp"] = created_at.clone();
        self.call("DeleteApplicationSnapshot", &body)
    }

    fn page(&mut self, limit: u32, token: &Value) -> Result<(Vec<String>, Value), ServiceError> {
        let body = json!({ "ApplicationName": "orders", "Limit": limit, "NextToken": token });
        let mut page = self.call("ListApplicationSnapshots", &body)?;
        let names = page["SnapshotSummaries"].as_array().unwrap().iter();
        let names = names
            .map(|summary| text(&summary["SnapshotName"]))
            .collect();
        Ok((names, page["NextToken"].take()))
    }

    fn names(&mut self) -> Vec<String> {
        self.names_by(50)
    }

    fn names_by(&mut self, limit: u32) -> Vec<String> {
        let mut names = Vec::new();
        let mut token = Value::Null;
        loop {
            let (page, next) = self.page(limit, &token).unwrap();
            assert!(names.is_empty() || !page.is_empty(), "an empty page");
            assert!(page.iter().all(|name| !names.contains(name)), "{page:?}");
            names.extend(page);
            token = next;
            if token.is_null() {
                return names;
            }
        }
    }

    fn seed(&mut self, count: u32) {
        let seeds = (1..=count).map(|number| SeededSnapshot {
            name: format!("seeded-{number}"),
            status: SnapshotStatus::Ready,
            created_at: Some(created_at(number)),
            version_id: 1,
        });
        self.emulator.seed("orders", seeds);
    }
}

fn created_at(number: u32) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + i64::from(number)).unwrap()
}

fn application(name: &str) -> Value {
    json!({
        "ApplicationName": name,
        "RuntimeEnvironment": "FLINK-1_20",
        "ServiceExecutionRole": ROLE,
    })
}

fn snapshot(name: &str) -> Value {
    json!({ "ApplicationName": "orders", "SnapshotName": name })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn code(result: Result<Value, ServiceError>) -> String {
    result.unwrap_err().code
}

#[test]
fn an_application_starts_updates_and_stops_over_time() {
    let mut world = World::new();
    world.create("orders");
    assert_eq!(world.status(), "READY");
    let body = json!({ "ApplicationName": "orders" });

    world.ok("StartApplication", body.clone());
    assert_eq!(world.status(), "STARTING");
    world.pass(1);
    assert_eq!(world.status(), "RUNNING");

    world.update(json!({})).unwrap();
    world.pass(8);
    assert_eq!(world.status(), "UPDATING");
    world.pass(1);
    assert_eq!(world.status(), "RUNNING");

    world.ok("StopApplication", body.clone());
    world.pass(8);
    assert_eq!(world.status(), "STOPPING");
    world.pass(1);
    assert_eq!(world.status(), "READY");

    let created_at = world.detail()["CreateTimestamp"].take();
    let doomed = json!({ "ApplicationName": "orders", "CreateTimestamp": created_at });
    world.ok("DeleteApplication", doomed);
    assert_eq!(world.status(), "DELETING");
    world.pass(1);
    assert_eq!(
        world.code("DescribeApplication", body),
        "ResourceNotFoundException"
    );
}

#[test]
fn a_forced_stop_takes_no_snapshot_and_fails_the_one_in_progress() {
    let mut world = World::running();
    world.take("custom_1").unwrap();
    let gentle = json!({ "ApplicationName": "orders" });
    assert_eq!(
        world.code("StopApplication", gentle),
        "ResourceInUseException"
    );
    world.ok(
        "StopApplication",
        json!({ "ApplicationName": "orders", "Force": true }),
    );
    assert_eq!(world.status(), "FORCE_STOPPING");
    assert_eq!(
        world.describe("custom_1").unwrap()["SnapshotStatus"],
        "FAILED"
    );
    assert_eq!(world.names(), ["custom_1"]);
    world.pass(1);
    assert_eq!(world.status(), "READY");
}

#[test]
fn the_past_stays_as_it_happened_when_a_call_comes_with_an_earlier_time() {
    let mut world = World::running();
    assert_eq!(world.status(), "RUNNING");
    world.now = world.now.checked_sub(Duration::from_mins(1)).unwrap();
    assert_eq!(world.status(), "RUNNING");
}

#[test]
fn a_snapshot_is_creating_for_as_long_as_the_life_cycle_says_and_then_ready_or_failed() {
    for (fails, outcome) in [(false, "READY"), (true, "FAILED")] {
        let mut world = World::running();
        world.behaviour().snapshots_fail = fails;
        assert_eq!(world.take("custom_1"), Ok(json!({})));
        world.pass(7);
        assert_eq!(
            world.describe("custom_1"),
            Ok(json!({
                "SnapshotName": "custom_1",
                "SnapshotStatus": "CREATING",
                "ApplicationVersionId": 1,
                "SnapshotCreationTimestamp": 1_763_842_001.123,
                "RuntimeEnvironment": "FLINK-1_20",
            }))
        );
        world.pass(1);
        let described = world.describe("custom_1").unwrap();
        assert_eq!(described["SnapshotStatus"], outcome);
    }
}

#[test]
fn a_snapshot_that_takes_for_ever_never_ends() {
    let mut world = World::running();
    world.behaviour().lifecycle = Some(Lifecycle {
        snapshot: Duration::MAX,
        ..Lifecycle::default()
    });
    world.take("custom_1").unwrap();
    world.pass(1_000_000_000);
    assert_eq!(
        world.describe("custom_1").unwrap()["SnapshotStatus"],
        "CREATING"
    );
}

#[test]
fn a_clock_that_is_behind_shows_in_timestamps_and_in_nothing_else() {
    let mut world = World::running();
    world.behaviour().clock_behind = SignedDuration::from_mins(5);
    world.take("custom_1").unwrap();
    let described = world.describe("custom_1").unwrap();
    assert_eq!(
        described["SnapshotCreationTimestamp"],
        json!(1_763_841_701.123)
    );
    world.pass(8);
    assert_eq!(
        world.describe("custom_1").unwrap()["SnapshotStatus"],
        "READY"
    );
}

#[test]
fn a_snapshot_is_refused_with_the_code_of_its_reason() {
    type Prepare = fn(&mut World);
    let pin = |world: &mut World, status: &str| world.behaviour().status = Some(status.to_owned());
    let rows: [(&str, Prepare, &str); 10] = [
        (
            "stopped",
            |w| w.behaviour().status = Some("READY".into()),
            "InvalidRequestException",
        ),
        (
            "disabled",
            |w| {
                let off = json!({ "ApplicationSnapshotConfigurationUpdate": { "SnapshotsEnabledUpdate": false } });
                w.update(json!({ "ApplicationConfigurationUpdate": off }))
                    .unwrap();
                w.pass(9);
            },
            "InvalidRequestException",
        ),
        (
            "downtime",
            |w| w.behaviour().downtime = true,
            "InvalidApplicationConfigurationException",
        ),
        (
            "name taken",
            |w| {
                w.take("custom_1").unwrap();
                w.pass(8);
            },
            "ResourceInUseException",
        ),
        (
            "another one",
            |w| drop(w.take("custom_0").unwrap()),
            "ResourceInUseException",
        ),
        ("quota", |w| w.seed(1000), "LimitExceededException"),
        (
            "quota of its own",
            |w| {
                w.seed(3);
                w.behaviour().snapshot_quota = 3;
            },
            "LimitExceededException",
        ),
        (
            "enhanced",
            |w| {
                let mode = json!({ "SnapshotsEnabledUpdate": true, "SnapshotModeUpdate": "ENHANCED_SNAPSHOTS" });
                let change = json!({ "ApplicationSnapshotConfigurationUpdate": mode });
                w.update(json!({ "ApplicationConfigurationUpdate": change }))
                    .unwrap();
                w.pass(9);
            },
            "UnsupportedOperationException",
        ),
        (
            "no Flink",
            |w| {
                w.update(json!({ "RuntimeEnvironmentUpdate": "SQL-1_0" }))
                    .unwrap();
                w.pass(9);
            },
            "UnsupportedOperationException",
        ),
        (
            "gone",
            |w| w.emulator.applications.clear(),
            "ResourceNotFoundException",
        ),
    ];
    for (reason, prepare, expected) in rows {
        let mut world = World::running();
        prepare(&mut world);
        assert_eq!(code(world.take("custom_1")), expected, "{reason}");
    }
    for status in [
        "STARTING",
        "STOPPING",
        "FORCE_STOPPING",
        "UPDATING",
        "AUTOSCALING",
        "DELETING",
        "MAINTENANCE",
        "ROLLING_BACK",
        "ROLLED_BACK",
        "HIBERNATING",
    ] {
        let mut world = World::running();
        pin(&mut world, status);
        assert_eq!(world.status(), status);
        assert_eq!(
            code(world.take("custom_1")),
            "ResourceInUseException",
            "{status}"
        );
    }
}

#[test]
fn one_snapshot_less_than_the_quota_leaves_room_for_one_more() {
    let mut world = World::running();
    world.seed(999);
    world.take("custom_1").unwrap();
    world.pass(8);
    assert_eq!(code(world.take("custom_2")), "LimitExceededException");
}

#[test]
fn downtime_is_told_in_the_words_by_which_clients_know_it() {
    let mut world = World::running();
    world.behaviour().downtime = true;
    let error = world.take("custom_1").unwrap_err();
    assert!(
        error.message.contains("currently experiencing downtime"),
        "{}",
        error.message
    );
}

#[test]
fn the_service_takes_snapshots_beyond_the_quota_and_they_are_listed() {
    for operation in ["StopApplication", "UpdateApplication"] {
        let mut world = World::running();
        world.seed(1000);
        let body = json!({ "ApplicationName": "orders", "CurrentApplicationVersionId": 1 });
        world.ok(operation, body);
        let names = world.names();
        assert_eq!(names.len(), 1001);
        assert!(names[0].starts_with("service_"), "{}", names[0]);
        let made = world.describe(&names[0]).unwrap();
        assert_eq!(made["SnapshotStatus"], "CREATING");
        assert_eq!(made["ApplicationVersionId"], 1);
    }
}

#[test]
fn with_snapshots_disabled_the_service_takes_none() {
    let mut world = World::new();
    let mut request = application("orders");
    request["ApplicationConfiguration"] =
        json!({ "ApplicationSnapshotConfiguration": { "SnapshotsEnabled": false } });
    world.ok("CreateApplication", request);
    let body = json!({ "ApplicationName": "orders" });
    world.ok("StartApplication", body.clone());
    world.pass(1);
    world.update(json!({})).unwrap();
    world.pass(1);
    world.ok("StopApplication", body);
    world.pass(1);
    assert_eq!(world.status(), "READY");
    assert_eq!(world.names(), [""; 0]);
}

#[test]
fn a_deleted_snapshot_is_listed_until_it_is_gone() {
    let mut world = World::running();
    world.seed(1);
    let created_at = json!(created_at(1).as_second());
    world.delete("seeded-1", &created_at).unwrap();
    let deleting = world.describe("seeded-1").unwrap();
    assert_eq!(deleting["SnapshotStatus"], "DELETING");
    assert_eq!(
        code(world.delete("seeded-1", &created_at)),
        "ResourceInUseException"
    );
    world.pass(1);
    assert_eq!(
        code(world.describe("seeded-1")),
        "ResourceNotFoundException"
    );
    assert_eq!(
        code(world.delete("seeded-1", &created_at)),
        "ResourceNotFoundException"
    );
}

#[test]
fn a_deletion_needs_the_creation_timestamp_to_the_second() {
    let rows = [
        (json!(1_763_842_001.123), None),
        (json!(1_763_842_001), None),
        (json!(1_763_842_001.999), None),
        (json!(1_763_842_000.999), Some("InvalidArgumentException")),
        (json!(1_763_842_002), Some("InvalidArgumentException")),
        (
            json!("2025-11-22T20:06:41Z"),
            Some("SerializationException"),
        ),
        (json!(1e300), Some("SerializationException")),
        (Value::Null, Some("InvalidArgumentException")),
    ];
    for (given, expected) in rows {
        let mut world = World::running();
        world.take("custom_1").unwrap();
        world.pass(8);
        let error = world.delete("custom_1", &given).err();
        let message = error.as_ref().map(|error| error.message.as_str());
        assert!(message.is_none_or(|m| m.contains("SnapshotCreationTimestamp")));
        assert_eq!(error.map(|e| e.code).as_deref(), expected, "{given}");
    }
}

#[test]
fn a_snapshot_in_the_making_or_without_a_timestamp_cannot_be_deleted() {
    let mut world = World::running();
    world.emulator.seed(
        "orders",
        [
            (SnapshotStatus::Creating, Some(1)),
            (SnapshotStatus::Ready, None),
            (SnapshotStatus::Failed, Some(3)),
        ]
        .map(|(status, created)| SeededSnapshot {
            name: format!("seeded-{status:?}"),
            status,
            created_at: created.map(created_at),
            version_id: 7,
        }),
    );
    let at = |number| json!(created_at(number).as_second());
    assert_eq!(
        code(world.delete("seeded-Creating", &at(1))),
        "ResourceInUseException"
    );
    assert_eq!(
        code(world.delete("seeded-Ready", &at(1))),
        "InvalidArgumentException"
    );
    assert_eq!(world.delete("seeded-Failed", &at(3)), Ok(json!({})));
}

#[test]
fn a_refused_deletion_gives_the_error_that_was_asked_for() {
    let mut world = World::running();
    world.seed(2);
    let refusal = ServiceError {
        code: "ThrottlingException".into(),
        message: "Rate exceeded".into(),
        http_status: 429,
    };
    let refused = &mut world.behaviour().deletes_refused;
    refused.insert("seeded-1".into(), refusal.clone());
    let at = |number| json!(created_at(number).as_second());
    assert_eq!(world.delete("seeded-1", &at(1)), Err(refusal));
    assert_eq!(world.delete("seeded-2", &at(2)), Ok(json!({})));
}

#[test]
fn every_page_size_shows_every_snapshot_once_the_newest_first() {
    let mut world = World::running();
    world.seed(120);
    let expected: Vec<_> = (1..=120).rev().map(|n| format!("seeded-{n}")).collect();
    for limit in [1, 7, 40, 50] {
        assert_eq!(world.names_by(limit), expected);
    }
}

#[test]
fn a_snapshot_deleted_or_created_between_two_pages_hides_no_other() {
    for doomed in 1..=9 {
        let mut world = World::running();
        world.seed(9);
        let (first, token) = world.page(4, &Value::Null).unwrap();
        let created_at = json!(created_at(doomed).as_second());
        world
            .delete(&format!("seeded-{doomed}"), &created_at)
            .unwrap();
        world.pass(1);
        world.take("custom_1").unwrap();
        let (second, end) = world.page(50, &token).unwrap();
        assert!(end.is_null());
        let seen: BTreeSet<_> = first.into_iter().chain(second).collect();
        for number in (1..=9).filter(|number| *number != doomed) {
            assert!(
                seen.contains(&format!("seeded-{number}")),
                "{doomed} {number}"
            );
        }
    }
}

#[test]
fn tokens_that_are_positions_skip_one_after_a_deletion_and_repeat_one_after_a_creation() {
    let mut world = World::running();
    world.seed(9);
    world.behaviour().tokens_are_positions = true;
    let (first, token) = world.page(4, &Value::Null).unwrap();
    assert_eq!(first, ["seeded-9", "seeded-8", "seeded-7", "seeded-6"]);
    world
        .delete("seeded-8", &json!(created_at(8).as_second()))
        .unwrap();
    world.pass(1);
    let (second, end) = world.page(50, &token).unwrap();
    assert_eq!(second, ["seeded-4", "seeded-3", "seeded-2", "seeded-1"]);
    assert!(end.is_null());
    world.take("custom_1").unwrap();
    world.behaviour().page_limit = 2;
    let (first, token) = world.page(50, &Value::Null).unwrap();
    assert_eq!(first, ["custom_1", "seeded-9"]);
    world.pass(100);
    world.take("custom_2").unwrap();
    let (second, _) = world.page(50, &token).unwrap();
    assert_eq!(second, ["seeded-9", "seeded-7"]);
}

#[test]
fn a_listing_that_lags_shows_what_was_and_nothing_else_lags() {
    let mut world = World::running();
    world.seed(2);
    world.behaviour().listing_lag = Duration::from_secs(2);
    let listed = |world: &mut World| {
        let list = json!({ "ApplicationName": "orders" });
        let answer = world.call("ListApplicationSnapshots", &list).unwrap();
        let shown = answer["SnapshotSummaries"].as_array().unwrap().iter();
        shown
            .map(|one| (text(&one["SnapshotName"]), text(&one["SnapshotStatus"])))
            .collect::<Vec<_>>()
    };
    let is = |all: &[(&str, &str)]| -> Vec<(String, String)> {
        let all = all.iter();
        all.map(|(name, status)| ((*name).to_owned(), (*status).to_owned()))
            .collect()
    };
    let (one, two) = (("seeded-1", "READY"), ("seeded-2", "READY"));
    world.take("custom_1").unwrap();
    world
        .delete("seeded-1", &json!(created_at(1).as_second()))
        .unwrap();
    assert_eq!(listed(&mut world), is(&[two, one]));
    let truth = |world: &mut World| {
        let describe = json!({ "ApplicationName": "orders", "SnapshotName": "seeded-1" });
        world
            .call("DescribeApplicationSnapshot", &describe)
            .map(|answer| text(&answer["SnapshotDetails"]["SnapshotStatus"]))
    };
    assert_eq!(truth(&mut world).unwrap(), "DELETING");
    world.pass(2);
    assert!(truth(&mut world).is_err());
    let deleting = ("seeded-1", "DELETING");
    assert_eq!(
        listed(&mut world),
        is(&[("custom_1", "CREATING"), two, deleting])
    );
    world.pass(2);
    assert_eq!(listed(&mut world), is(&[("custom_1", "CREATING"), two]));
    world.pass(100);
    assert_eq!(listed(&mut world), is(&[("custom_1", "READY"), two]));
    let now = world.now;
    let states =
        world
            .emulator
            .snapshots_since("orders", now - SignedDuration::from_secs(110), now);
    let newest = states.iter().map(|all| text(&all[0]["SnapshotStatus"]));
    let newest: Vec<_> = newest.collect();
    assert_eq!(newest.last().unwrap(), "READY");
    assert!(newest.contains(&"CREATING".to_owned()));
    assert_eq!(world.emulator.snapshots("orders", now).len(), 2);
}

#[test]
fn a_token_is_good_for_its_own_application_only_until_it_expires() {
    let mut world = World::running();
    world.seed(9);
    let (_, token) = world.page(4, &Value::Null).unwrap();
    let invalid = "InvalidArgumentException";
    for wrong in [
        "",
        "?",
        "0123",
        &text(&token)[..31],
        &format!("{}0", text(&token)),
    ] {
        let error = world.page(4, &json!(wrong)).unwrap_err();
        assert_eq!(error.code, invalid, "{wrong}");
        assert!(error.message.contains("NextToken"));
    }
    world.create("other");
    let elsewhere = json!({ "ApplicationName": "other", "NextToken": token });
    assert_eq!(world.code("ListApplicationSnapshots", elsewhere), invalid);

    world.behaviour().tokens_expired = 1;
    assert!(world.page(4, &Value::Null).is_ok());
    assert_eq!(world.page(4, &token).unwrap_err().code, invalid);
    assert!(world.page(4, &token).is_ok());
}

#[test]
fn seeds_wait_for_their_application_and_go_with_it() {
    let mut world = World::new();
    world.seed(2);
    world.create("orders");
    assert_eq!(world.names(), ["seeded-2", "seeded-1"]);
    let created_at = world.detail()["CreateTimestamp"].take();
    let doomed = json!({ "ApplicationName": "orders", "CreateTimestamp": created_at });
    world.ok("DeleteApplication", doomed);
    world.pass(1);
    world.create("orders");
    assert_eq!(world.names(), [""; 0]);
}

#[test]
fn the_restore_configuration_is_shown_as_started_and_as_updated() {
    let restore = |world: &mut World| {
        let mut detail = world.detail();
        let run = &mut detail["ApplicationConfigurationDescription"]["RunConfigurationDescription"];
        run["ApplicationRestoreConfigurationDescription"].take()
    };
    let set = |restore: Value| json!({ "RunConfigurationUpdate": { "ApplicationRestoreConfiguration": restore } });
    let custom = json!({
        "ApplicationRestoreType": "RESTORE_FROM_CUSTOM_SNAPSHOT",
        "SnapshotName": "seeded-1",
    });
    let latest = json!({ "ApplicationRestoreType": "RESTORE_FROM_LATEST_SNAPSHOT" });
    let skip = json!({ "ApplicationRestoreType": "SKIP_RESTORE_FROM_SNAPSHOT" });

    let mut world = World::new();
    world.create("orders");
    world.seed(1);
    assert_eq!(restore(&mut world), Value::Null);
    let start = json!({
        "ApplicationName": "orders",
        "RunConfiguration": { "ApplicationRestoreConfiguration": custom },
    });
    world.ok("StartApplication", start);
    world.pass(1);
    assert_eq!(restore(&mut world), custom);

    for (change, expected) in [
        (set(latest.clone()), &latest),
        (set(custom.clone()), &custom),
        (json!({}), &custom),
        (set(skip.clone()), &skip),
        (json!({}), &latest),
    ] {
        world.update(change).unwrap();
        world.pass(9);
        assert_eq!(&restore(&mut world), expected);
    }
}

#[test]
fn a_restore_configuration_that_cannot_be_used_is_refused() {
    let custom = "RESTORE_FROM_CUSTOM_SNAPSHOT";
    let rows = [
        (
            json!({ "ApplicationRestoreType": custom, "SnapshotName": "none" }),
            "ResourceNotFoundException",
        ),
        (
            json!({ "ApplicationRestoreType": custom, "SnapshotName": "busy" }),
            "InvalidRequestException",
        ),
        (
            json!({ "ApplicationRestoreType": custom }),
            "InvalidArgumentException",
        ),
        (
            json!({ "ApplicationRestoreType": "NEWEST" }),
            "InvalidArgumentException",
        ),
        (
            json!({ "SnapshotName": "busy" }),
            "InvalidArgumentException",
        ),
        (
            json!({ "ApplicationRestoreType": "SKIP_RESTORE_FROM_SNAPSHOT", "SnapshotName": "busy" }),
            "InvalidArgumentException",
        ),
        (
            json!({ "ApplicationRestoreType": custom, "SnapshotArn": "arn:aws:x" }),
            "UnsupportedOperationException",
        ),
    ];
    for (restore, expected) in rows {
        let mut world = World::new();
        world.create("orders");
        let busy = SeededSnapshot {
            name: "busy".into(),
            status: SnapshotStatus::Creating,
            created_at: None,
            version_id: 1,
        };
        world.emulator.seed("orders", [busy]);
        let run = json!({ "ApplicationRestoreConfiguration": restore });
        let start = json!({ "ApplicationName": "orders", "RunConfiguration": run });
        assert_eq!(world.code("StartApplication", start), expected, "{restore}");
        let update = world.update(json!({ "RunConfigurationUpdate": run }));
        assert_eq!(code(update), expected, "{restore}");
        assert_eq!(world.detail()["ApplicationVersionId"], 1);
    }
}

#[test]
fn an_update_needs_the_current_version_or_token() {
    let mut world = World::running();
    let detail = world.detail();
    let token = &detail["ConditionalToken"];
    let rows = [
        (json!({}), Some("InvalidArgumentException")),
        (
            json!({ "CurrentApplicationVersionId": 2 }),
            Some("ConcurrentModificationException"),
        ),
        (
            json!({ "ConditionalToken": "stale" }),
            Some("ConcurrentModificationException"),
        ),
        (
            json!({ "CurrentApplicationVersionId": 2, "ConditionalToken": token }),
            Some("ConcurrentModificationException"),
        ),
        (
            json!({ "CurrentApplicationVersionId": 0 }),
            Some("InvalidArgumentException"),
        ),
        (
            json!({ "CurrentApplicationVersionId": "1" }),
            Some("SerializationException"),
        ),
        (json!({ "ConditionalToken": token }), None),
    ];
    for (mut body, expected) in rows {
        body["ApplicationName"] = json!("orders");
        let error = world.call("UpdateApplication", &body).err();
        assert_eq!(error.map(|e| e.code).as_deref(), expected, "{body}");
    }
    let updated = world.detail();
    assert_eq!(updated["ApplicationVersionId"], 2);
    assert_eq!(updated["ApplicationVersionUpdatedFrom"], 1);
    assert_ne!(&updated["ConditionalToken"], token);
}

#[test]
fn an_update_is_described_beside_what_was_configured_before() {
    let mut world = World::new();
    let mut request = application("orders");
    request["ApplicationConfiguration"] = json!({
        "FlinkApplicationConfiguration": {
            "ParallelismConfiguration": { "ConfigurationType": "CUSTOM", "Parallelism": 4 },
        },
        "ApplicationCodeConfiguration": {
            "CodeContentType": "ZIPFILE",
            "CodeContent": { "S3ContentLocation": { "BucketARN": "arn:aws:s3:::b", "FileKey": "a.jar" } },
        },
        "EnvironmentProperties": { "PropertyGroups": [
            { "PropertyGroupId": "g", "PropertyMap": { "lastUpdate": "x" } },
        ] },
    });
    world.ok("CreateApplication", request);
    world
        .update(json!({ "ApplicationConfigurationUpdate": {
            "FlinkApplicationConfigurationUpdate": {
                "ParallelismConfigurationUpdate": { "ParallelismPerKPUUpdate": 2 },
            },
            "ApplicationCodeConfigurationUpdate": {
                "CodeContentUpdate": { "S3ContentLocationUpdate": { "FileKeyUpdate": "b.jar" } },
            },
        } }))
        .unwrap();
    let mut detail = world.detail();
    let configuration = detail["ApplicationConfigurationDescription"].take();
    let flink = &configuration["FlinkApplicationConfigurationDescription"];
    assert_eq!(
        flink["ParallelismConfigurationDescription"],
        json!({
            "ConfigurationType": "CUSTOM",
            "Parallelism": 4,
            "ParallelismPerKPU": 2,
            "CurrentParallelism": 4,
            "AutoScalingEnabled": true,
        })
    );
    assert_eq!(
        configuration["ApplicationCodeConfigurationDescription"]["CodeContentDescription"],
        json!({ "S3ApplicationCodeLocationDescription": {
            "BucketARN": "arn:aws:s3:::b",
            "FileKey": "b.jar",
        } })
    );
    assert_eq!(
        configuration["EnvironmentPropertyDescriptions"]["PropertyGroupDescriptions"][0]["PropertyMap"],
        json!({ "lastUpdate": "x" })
    );
}

#[test]
#[allow(clippy::too_many_lines, reason = "rows of a table")]
fn a_malformed_request_is_refused_by_the_name_of_its_member() {
    let long = "x".repeat(129);
    let rows = [
        (
            "ListApplicationSnapshots",
            json!({}),
            "InvalidArgumentException",
            "ApplicationName",
        ),
        (
            "ListApplicationSnapshots",
            json!({ "ApplicationName": null }),
            "InvalidArgumentException",
            "ApplicationName",
        ),
        (
            "ListApplicationSnapshots",
            json!({ "ApplicationName": "" }),
            "InvalidArgumentException",
            "ApplicationName",
        ),
        (
            "ListApplicationSnapshots",
            json!({ "ApplicationName": long }),
            "InvalidArgumentException",
            "ApplicationName",
        ),
        (
            "ListApplicationSnapshots",
            json!({ "ApplicationName": "a:b" }),
            "InvalidArgumentException",
            "ApplicationName",
        ),
        (
            "ListApplicationSnapshots",
            json!({ "ApplicationName": 7 }),
            "SerializationException",
            "ApplicationName",
        ),
        (
            "ListApplicationSnapshots",
            json!({ "ApplicationName": "orders", "Limit": 0 }),
            "InvalidArgumentException",
            "Limit",
        ),
        (
            "ListApplicationSnapshots",
            json!({ "ApplicationName": "orders", "Limit": 51 }),
            "InvalidArgumentException",
            "Limit",
        ),
        (
            "ListApplicationSnapshots",
            json!({ "ApplicationName": "orders", "Limit": 1.5 }),
            "SerializationException",
            "Limit",
        ),
        (
            "ListApplications",
            json!({ "Limit": 51 }),
            "InvalidRequestException",
            "Limit",
        ),
        (
            "ListApplications",
            json!({ "NextToken": "none" }),
            "InvalidRequestException",
            "NextToken",
        ),
        (
            "CreateApplicationSnapshot",
            json!({ "ApplicationName": "orders" }),
            "InvalidArgumentException",
            "SnapshotName",
        ),
        (
            "CreateApplicationSnapshot",
            snapshot("a b"),
            "InvalidArgumentException",
            "SnapshotName",
        ),
        (
            "CreateApplicationSnapshot",
            snapshot(&"x".repeat(257)),
            "InvalidArgumentException",
            "SnapshotName",
        ),
        (
            "StopApplication",
            json!({ "ApplicationName": "orders", "Force": "yes" }),
            "SerializationException",
            "Force",
        ),
        (
            "TagResource",
            json!({ "ResourceARN": "orders", "Tags": [] }),
            "InvalidArgumentException",
            "ResourceARN",
        ),
        (
            "StartApplication",
            json!({ "ApplicationName": "orders", "RunConfiguration": [] }),
            "SerializationException",
            "RunConfiguration",
        ),
        (
            "CreateApplication",
            json!({
                "ApplicationName": "new",
                "RuntimeEnvironment": "FLINK-1_20",
                "ServiceExecutionRole": ROLE,
                "ApplicationConfiguration": { "ApplicationSnapshotConfiguration": { "SnapshotsEnabled": "no" } },
            }),
            "SerializationException",
            "ApplicationConfiguration.ApplicationSnapshotConfiguration.SnapshotsEnabled is not a boolean",
        ),
        (
            "UpdateApplication",
            json!({
                "ApplicationName": "orders",
                "CurrentApplicationVersionId": 1,
                "ApplicationConfigurationUpdate": { "ApplicationSnapshotConfigurationUpdate": {} },
            }),
            "InvalidArgumentException",
            "ApplicationConfigurationUpdate.ApplicationSnapshotConfigurationUpdate.SnapshotsEnabledUpdate is required",
        ),
        (
            "CreateApplication",
            json!({ "ApplicationName": "new", "RuntimeEnvironment": "FLINK-9" }),
            "InvalidArgumentException",
            "RuntimeEnvironment",
        ),
    ];
    for (operation, body, expected, member) in rows {
        let mut world = World::running();
        let error = world.call(operation, &body).unwrap_err();
        assert_eq!(error.code, expected, "{operation} {body}");
        assert!(error.message.starts_with(member), "{}", error.message);
    }
}

#[test]
fn what_is_not_json_and_what_is_not_emulated_is_refused() {
    let mut world = World::new();
    for body in ["", "{", "[]", "\"a\""] {
        let error = (world.emulator)
            .call("ListApplications", body.as_bytes(), world.now)
            .unwrap_err();
        assert_eq!(error.code, "SerializationException", "{body}");
    }
    assert_eq!(
        world.code("RollbackApplication", json!({})),
        "UnknownOperationException"
    );
}

#[test]
fn operations_in_the_wrong_status_are_refused() {
    let rows = [
        ("StartApplication", "RUNNING"),
        ("StopApplication", "READY"),
        ("StopApplication", "STARTING"),
        ("UpdateApplication", "AUTOSCALING"),
        ("DeleteApplication", "STOPPING"),
        ("TagResource", "DELETING"),
        ("DeleteApplicationSnapshot", "DELETING"),
    ];
    for (operation, status) in rows {
        let mut world = World::running();
        let mut body = snapshot("custom_1");
        body["CreateTimestamp"] = world.detail()["CreateTimestamp"].take();
        body["ResourceARN"] = world.detail()["ApplicationARN"].take();
        body["CurrentApplicationVersionId"] = json!(1);
        body["SnapshotCreationTimestamp"] = json!(0);
        body["Tags"] = json!([{ "Key": "team" }]);
        world.behaviour().status = Some(status.to_owned());
        assert_eq!(
            world.code(operation, body),
            "ResourceInUseException",
            "{operation} {status}"
        );
    }
}

#[test]
fn a_hundred_applications_fill_the_account_and_two_pages() {
    let mut world = World::new();
    for number in 0..100 {
        world.create(&format!("app-{number}"));
    }
    assert_eq!(
        world.code("CreateApplication", application("app-100")),
        "LimitExceededException"
    );
    assert_eq!(
        world.code("CreateApplication", application("app-0")),
        "ResourceInUseException"
    );
    let first = world.ok("ListApplications", json!({}));
    let rest = json!({ "NextToken": first["NextToken"] });
    let second = world.ok("ListApplications", rest);
    assert_eq!(second["NextToken"], Value::Null);
    let pages = [&first, &second];
    let names: BTreeSet<_> = (pages.iter())
        .flat_map(|page| page["ApplicationSummaries"].as_array().unwrap())
        .map(|summary| text(&summary["ApplicationName"]))
        .collect();
    assert_eq!(names.len(), 100);
}

#[test]
fn tags_are_kept_replaced_and_limited() {
    let mut world = World::running();
    let arn = world.detail()["ApplicationARN"].take();
    let tag = |tags: Value| json!({ "ResourceARN": arn, "Tags": tags });
    let list = json!({ "ResourceARN": arn });
    assert_eq!(world.ok("ListTagsForResource", list.clone()), json!({}));

    world.ok("TagResource", tag(json!([{ "Key": "team", "Value": "a" }])));
    world.ok(
        "TagResource",
        tag(json!([{ "Key": "team", "Value": "b" }, { "Key": "new" }])),
    );
    let expected =
        json!({ "Tags": [{ "Key": "new", "Value": "" }, { "Key": "team", "Value": "b" }] });
    assert_eq!(world.ok("ListTagsForResource", list), expected);

    let many: Vec<_> = (0..49).map(|n| json!({ "Key": format!("k{n}") })).collect();
    let error = world.call("TagResource", &tag(json!(many))).unwrap_err();
    assert_eq!(error.code, "TooManyTagsException");
    assert_eq!(
        super::error_body(&error.code, &error.message)["message"],
        error.message
    );
    let reserved = tag(json!([{ "Key": "aws:x" }]));
    assert_eq!(
        world.code("TagResource", reserved),
        "InvalidArgumentException"
    );
}

#[test]
fn the_same_calls_at_the_same_times_give_the_same_answers() {
    let history = || {
        let mut world = World::running();
        world.seed(60);
        let mut answers = vec![world.take("custom_1")];
        world.pass(3);
        answers.push(world.take("custom_2"));
        world.pass(5);
        answers.push(world.update(json!({})));
        let (names, token) = world.page(10, &Value::Null).unwrap();
        answers.push(Ok(json!([names, token, world.detail()])));
        answers
    };
    assert_eq!(history(), history());
}

#[test]
fn an_error_carries_its_message_under_the_key_that_the_model_has_for_it() {
    let body = |code: &str| super::error_body(code, "why");
    assert_eq!(
        body("ResourceInUseException"),
        json!({ "__type": "ResourceInUseException", "Message": "why" })
    );
    assert_eq!(
        body("TooManyTagsException"),
        json!({ "__type": "TooManyTagsException", "message": "why" })
    );
}
