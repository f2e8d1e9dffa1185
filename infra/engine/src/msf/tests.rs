use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Answer, Behaviour, Emulator, Lifecycle, SeededSnapshot, ServiceError, SnapshotStatus};

const IN_USE: &str = "ResourceInUseException";
const NOT_FOUND: &str = "ResourceNotFoundException";
const INVALID: &str = "InvalidArgumentException";
const INVALID_REQUEST: &str = "InvalidRequestException";
const QUOTA_REACHED: &str = "LimitExceededException";
const UNSUPPORTED: &str = "UnsupportedOperationException";

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

    /// A world in which the application `orders` is RUNNING.
    fn running() -> Self {
        let mut world = Self::new();
        world.create("orders");
        world.start();
        world
    }

    fn create(&mut self, name: &str) {
        self.ok("CreateApplication", &application(name));
    }

    fn start(&mut self) {
        self.ok("StartApplication", &orders());
        self.lasts("STARTING", 1, "RUNNING");
    }

    fn delete_application(&mut self) {
        let mut doomed = orders();
        doomed["CreateTimestamp"] = self.detail()["CreateTimestamp"].take();
        self.ok("DeleteApplication", &doomed);
    }

    fn pass(&mut self, seconds: u64) {
        self.now = self.now.checked_add(Duration::from_secs(seconds)).unwrap();
    }

    fn call(&mut self, operation: &str, body: &Value) -> Answer {
        let body = body.to_string();
        self.emulator.call(operation, body.as_bytes(), self.now)
    }

    #[track_caller]
    fn ok(&mut self, operation: &str, body: &Value) -> Value {
        self.call(operation, body).unwrap()
    }

    #[track_caller]
    fn code(&mut self, operation: &str, body: &Value) -> String {
        let error = self.call(operation, body).unwrap_err();
        assert_eq!(error.http_status, 400);
        error.code
    }

    fn behaviour(&mut self) -> &mut Behaviour {
        self.emulator.behaviour("orders")
    }

    fn detail(&mut self) -> Value {
        self.ok("DescribeApplication", &orders())["ApplicationDetail"].take()
    }

    fn status(&mut self) -> String {
        let described = self.call("DescribeApplication", &orders());
        described.map_or_else(
            |error| error.code,
            |answer| string_of(&answer["ApplicationDetail"]["ApplicationStatus"]),
        )
    }

    /// Asserts that the application has a status for some seconds, and then another one.
    #[track_caller]
    fn lasts(&mut self, status: &str, seconds: u64, then: &str) {
        assert_eq!(self.status(), status);
        self.pass(seconds - 1);
        assert_eq!(self.status(), status);
        self.pass(1);
        assert_eq!(self.status(), then);
    }

    fn update(&mut self, mut change: Value) -> Answer {
        change["ApplicationName"] = json!("orders");
        change["CurrentApplicationVersionId"] = self.detail()["ApplicationVersionId"].take();
        self.call("UpdateApplication", &change)
    }

    fn take(&mut self, name: &str) -> Answer {
        self.call("CreateApplicationSnapshot", &snapshot(name))
    }

    fn describe(&mut self, name: &str) -> Answer {
        let mut answer = self.call("DescribeApplicationSnapshot", &snapshot(name))?;
        Ok(answer["SnapshotDetails"].take())
    }

    fn snapshot_status(&mut self, name: &str) -> String {
        let described = self.describe(name);
        described.map_or_else(
            |error| error.code,
            |details| string_of(&details["SnapshotStatus"]),
        )
    }

    fn delete(&mut self, name: &str, created_at: &Value) -> Answer {
        let mut body = snapshot(name);
        body["SnapshotCreationTimestamp"] = created_at.clone();
        self.call("DeleteApplicationSnapshot", &body)
    }

    fn delete_seeded(&mut self, number: u32) -> Answer {
        let created_at = json!(created_at(number).as_second());
        self.delete(&format!("seeded-{number}"), &created_at)
    }

    fn page(&mut self, limit: u32, token: &Value) -> Result<(Vec<String>, Value), ServiceError> {
        let body = json!({ "ApplicationName": "orders", "Limit": limit, "NextToken": token });
        let mut page = self.call("ListApplicationSnapshots", &body)?;
        let shown = page["SnapshotSummaries"].as_array().unwrap().iter();
        let names = shown.map(|summary| string_of(&summary["SnapshotName"]));
        Ok((names.collect(), page["NextToken"].take()))
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
        let seeds = (1..=count).map(|number| seeded(number, SnapshotStatus::Ready));
        self.emulator.seed("orders", seeds);
    }
}

fn created_at(number: u32) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + i64::from(number)).unwrap()
}

fn seeded(number: u32, status: SnapshotStatus) -> SeededSnapshot {
    SeededSnapshot::new(&format!("seeded-{number}"), status, created_at(number))
}

fn application(name: &str) -> Value {
    let role = "arn:aws:iam::123456789012:role/flink";
    json!({ "ApplicationName": name, "RuntimeEnvironment": "FLINK-1_20", "ServiceExecutionRole": role })
}

fn orders() -> Value {
    json!({ "ApplicationName": "orders" })
}

fn snapshot(name: &str) -> Value {
    json!({ "ApplicationName": "orders", "SnapshotName": name })
}

fn string_of(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn code(result: Answer) -> String {
    result.unwrap_err().code
}

#[test]
fn an_application_starts_updates_and_stops_over_time() {
    let mut world = World::new();
    world.create("orders");
    assert_eq!(world.status(), "READY");
    world.start();
    world.update(json!({})).unwrap();
    world.lasts("UPDATING", 9, "RUNNING");
    world.ok("StopApplication", &orders());
    world.lasts("STOPPING", 9, "READY");
    world.delete_application();
    world.lasts("DELETING", 1, NOT_FOUND);
}

#[test]
fn a_forced_stop_takes_no_snapshot_and_fails_the_one_in_progress() {
    let mut world = World::running();
    world.take("custom_1").unwrap();
    assert_eq!(world.code("StopApplication", &orders()), IN_USE);
    assert_eq!(code(world.update(json!({}))), IN_USE);
    let forced = json!({ "ApplicationName": "orders", "Force": true });
    world.ok("StopApplication", &forced);
    assert_eq!(world.snapshot_status("custom_1"), "FAILED");
    assert_eq!(world.names(), ["custom_1"]);
    world.lasts("FORCE_STOPPING", 1, "READY");
}

#[test]
fn a_call_with_an_earlier_time_undoes_nothing() {
    let mut world = World::running();
    world.now = world.now.checked_sub(Duration::from_mins(1)).unwrap();
    assert_eq!(world.status(), "RUNNING");
}

#[test]
fn a_snapshot_is_creating_for_the_time_that_the_lifecycle_sets_and_then_ready_or_failed() {
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
        assert_eq!(world.snapshot_status("custom_1"), outcome);
    }
}

#[test]
fn a_snapshot_with_an_endless_duration_stays_creating() {
    let mut world = World::running();
    *world.behaviour() = Behaviour::with_snapshots_of(Duration::MAX);
    world.take("custom_1").unwrap();
    world.pass(1_000_000_000);
    assert_eq!(world.snapshot_status("custom_1"), "CREATING");
}

#[test]
fn a_clock_that_is_behind_affects_only_timestamps() {
    let mut world = World::running();
    world.behaviour().clock_behind = SignedDuration::from_mins(5);
    world.take("custom_1").unwrap();
    let stamp = world.describe("custom_1").unwrap()["SnapshotCreationTimestamp"].take();
    assert_eq!(stamp, json!(1_763_841_701.123));
    world.pass(8);
    assert_eq!(world.snapshot_status("custom_1"), "READY");
}

#[test]
fn operations_in_the_wrong_status_are_refused() {
    let not_running = "STARTING STOPPING FORCE_STOPPING UPDATING AUTOSCALING DELETING \
        MAINTENANCE ROLLING_BACK ROLLED_BACK HIBERNATING";
    for (operation, statuses) in [
        ("CreateApplicationSnapshot", not_running),
        ("StartApplication", "RUNNING"),
        ("StopApplication", "READY STARTING"),
        ("UpdateApplication", "AUTOSCALING"),
        ("DeleteApplication", "STOPPING"),
        ("TagResource", "DELETING"),
        ("DeleteApplicationSnapshot", "DELETING"),
    ] {
        for status in statuses.split(' ') {
            let mut world = World::running();
            let mut body = snapshot("custom_1");
            body["CreateTimestamp"] = world.detail()["CreateTimestamp"].take();
            body["ResourceARN"] = world.detail()["ApplicationARN"].take();
            body["CurrentApplicationVersionId"] = json!(1);
            body["SnapshotCreationTimestamp"] = json!(0);
            body["Tags"] = json!([{ "Key": "team" }]);
            world.behaviour().status = Some(status.to_owned());
            assert_eq!(world.status(), status);
            assert_eq!(world.code(operation, &body), IN_USE, "{operation} {status}");
        }
    }
}

#[test]
fn an_application_with_another_runtime_or_with_enhanced_snapshots_refuses_a_snapshot() {
    let enhanced =
        json!({ "SnapshotsEnabledUpdate": true, "SnapshotModeUpdate": "ENHANCED_SNAPSHOTS" });
    let enhanced = json!({ "ApplicationSnapshotConfigurationUpdate": enhanced });
    for change in [
        json!({ "RuntimeEnvironmentUpdate": "SQL-1_0" }),
        json!({ "ApplicationConfigurationUpdate": enhanced }),
    ] {
        let mut world = World::running();
        world.update(change).unwrap();
        world.pass(9);
        assert_eq!(code(world.take("custom_1")), UNSUPPORTED);
    }
}

#[test]
fn every_listed_snapshot_counts_towards_the_quota() {
    for (own, quota) in [(None, 1000), (Some(3), 3)] {
        let mut world = World::running();
        world.behaviour().snapshot_quota = own;
        world.seed(quota - 1);
        world.take("custom_1").unwrap();
        world.pass(8);
        assert_eq!(code(world.take("custom_2")), QUOTA_REACHED);
        world.delete_seeded(1).unwrap();
        assert_eq!(code(world.take("custom_2")), QUOTA_REACHED);
        world.pass(1);
        world.take("custom_2").unwrap();
    }
}

#[test]
fn the_quota_does_not_apply_to_snapshots_that_the_service_takes() {
    for operation in ["StopApplication", "UpdateApplication"] {
        let mut world = World::running();
        world.seed(1000);
        let body = json!({ "ApplicationName": "orders", "CurrentApplicationVersionId": 1 });
        world.ok(operation, &body);
        let names = world.names();
        assert_eq!(names.len(), 1001);
        assert!(names[0].starts_with("service_"), "{}", names[0]);
        let made = world.describe(&names[0]).unwrap();
        assert_eq!(made["SnapshotStatus"], "CREATING");
        assert_eq!(made["ApplicationVersionId"], 1);
    }
}

#[test]
fn if_snapshots_are_disabled_the_service_takes_none() {
    let mut world = World::new();
    let mut request = application("orders");
    request["ApplicationConfiguration"] =
        json!({ "ApplicationSnapshotConfiguration": { "SnapshotsEnabled": false } });
    world.ok("CreateApplication", &request);
    world.start();
    world.update(json!({})).unwrap();
    world.lasts("UPDATING", 1, "RUNNING");
    world.ok("StopApplication", &orders());
    world.lasts("STOPPING", 1, "READY");
    assert_eq!(world.names(), [""; 0]);
}

#[test]
fn a_deleted_snapshot_is_listed_until_it_is_gone() {
    let mut world = World::running();
    world.seed(1);
    world.delete_seeded(1).unwrap();
    assert_eq!(world.names(), ["seeded-1"]);
    assert_eq!(world.snapshot_status("seeded-1"), "DELETING");
    assert_eq!(code(world.delete_seeded(1)), IN_USE);
    world.pass(1);
    assert_eq!(world.snapshot_status("seeded-1"), NOT_FOUND);
    assert_eq!(code(world.delete_seeded(1)), NOT_FOUND);
}

#[test]
fn a_deletion_needs_the_creation_timestamp_to_the_second() {
    for (given, refused) in [
        (json!(1_763_842_001.123), None),
        (json!(1_763_842_001), None),
        (json!(1_763_842_001.999), None),
        (json!(1_763_842_000.999), Some(INVALID)),
        (json!(1_763_842_002), Some(INVALID)),
    ] {
        let mut world = World::running();
        world.take("custom_1").unwrap();
        world.pass(8);
        let error = world.delete("custom_1", &given).err();
        assert_eq!(error.map(|e| e.code).as_deref(), refused, "{given}");
    }
}

#[test]
fn a_snapshot_that_is_creating_or_has_no_timestamp_cannot_be_deleted() {
    let mut world = World::running();
    let mut undated = seeded(2, SnapshotStatus::Ready);
    undated.created_at = None;
    let (creating, failed) = (SnapshotStatus::Creating, SnapshotStatus::Failed);
    let seeds = [seeded(1, creating), undated, seeded(3, failed)];
    world.emulator.seed("orders", seeds);
    assert_eq!(code(world.delete_seeded(1)), IN_USE);
    assert_eq!(code(world.delete_seeded(2)), INVALID);
    assert_eq!(world.delete_seeded(3), Ok(json!({})));
}

#[test]
fn a_refused_deletion_returns_the_configured_error() {
    let mut world = World::running();
    world.seed(2);
    let refusal = ServiceError::new("ThrottlingException", 429, "Rate exceeded");
    let refused = &mut world.behaviour().deletes_refused;
    refused.insert("seeded-1".into(), refusal.clone());
    assert_eq!(world.delete_seeded(1), Err(refusal));
    assert_eq!(world.delete_seeded(2), Ok(json!({})));
}

#[test]
fn with_every_page_size_each_snapshot_is_listed_once_newest_first() {
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
        world.delete_seeded(doomed).unwrap();
        world.pass(1);
        world.take("custom_1").unwrap();
        let (second, end) = world.page(50, &token).unwrap();
        assert!(end.is_null());
        let seen: BTreeSet<_> = first.into_iter().chain(second).collect();
        for other in (1..=9).filter(|number| *number != doomed) {
            let name = format!("seeded-{other}");
            assert!(seen.contains(&name), "{doomed} {name}");
        }
    }
}

#[test]
fn if_tokens_are_positions_a_deletion_hides_a_snapshot_and_a_creation_repeats_one() {
    let mut world = World::running();
    world.seed(9);
    world.behaviour().tokens_are_positions = true;
    let (first, token) = world.page(4, &Value::Null).unwrap();
    assert_eq!(first, ["seeded-9", "seeded-8", "seeded-7", "seeded-6"]);
    world.delete_seeded(8).unwrap();
    world.pass(1);
    let (second, end) = world.page(50, &token).unwrap();
    assert_eq!(second, ["seeded-4", "seeded-3", "seeded-2", "seeded-1"]);
    assert!(end.is_null());
    world.take("custom_1").unwrap();
    world.behaviour().page_limit = Some(2);
    let (first, token) = world.page(50, &Value::Null).unwrap();
    assert_eq!(first, ["custom_1", "seeded-9"]);
    world.pass(100);
    world.take("custom_2").unwrap();
    let (second, _) = world.page(50, &token).unwrap();
    assert_eq!(second, ["seeded-9", "seeded-7"]);
}

#[test]
fn a_lag_applies_only_to_listings() {
    let mut world = World::running();
    world.seed(2);
    world.behaviour().listing_lag = Duration::from_secs(2);
    let listed = |world: &mut World| {
        let answer = world.ok("ListApplicationSnapshots", &orders());
        let shown = answer["SnapshotSummaries"].as_array().unwrap().iter();
        let shown = shown.map(|one| {
            let status = string_of(&one["SnapshotStatus"]);
            format!("{} {status}", string_of(&one["SnapshotName"]))
        });
        shown.collect::<Vec<_>>()
    };
    let (one, two) = ("seeded-1 READY", "seeded-2 READY");
    world.take("custom_1").unwrap();
    world.delete_seeded(1).unwrap();
    assert_eq!(listed(&mut world), [two, one]);
    assert_eq!(world.snapshot_status("seeded-1"), "DELETING");
    world.pass(2);
    assert_eq!(world.snapshot_status("seeded-1"), NOT_FOUND);
    let (creating, deleting) = ("custom_1 CREATING", "seeded-1 DELETING");
    assert_eq!(listed(&mut world), [creating, two, deleting]);
    world.pass(2);
    assert_eq!(listed(&mut world), [creating, two]);
    world.pass(100);
    assert_eq!(listed(&mut world), ["custom_1 READY", two]);
    let now = world.now;
    let then = now - SignedDuration::from_secs(110);
    let states = world.emulator.states_since("orders", then, now);
    let newest = states
        .iter()
        .map(|all| string_of(&all[0]["SnapshotStatus"]));
    let newest: Vec<_> = newest.collect();
    assert_eq!(newest.last().unwrap(), "READY");
    assert!(newest.contains(&"CREATING".to_owned()));
    assert_eq!(world.emulator.snapshots("orders", now).len(), 2);
}

#[test]
fn a_token_is_valid_only_for_its_own_application_and_until_it_expires() {
    let mut world = World::running();
    world.seed(9);
    let (_, token) = world.page(4, &Value::Null).unwrap();
    let good = string_of(&token);
    for wrong in ["", "?", "0123", &good[..31], &format!("{good}0")] {
        let error = world.page(4, &json!(wrong)).unwrap_err();
        assert_eq!(error.code, INVALID, "{wrong}");
        assert!(error.message.contains("NextToken"));
    }
    world.create("other");
    let elsewhere = json!({ "ApplicationName": "other", "NextToken": token });
    assert_eq!(world.code("ListApplicationSnapshots", &elsewhere), INVALID);

    world.behaviour().tokens_expired = 1;
    assert!(world.page(4, &Value::Null).is_ok());
    assert_eq!(world.page(4, &token).unwrap_err().code, INVALID);
    assert!(world.page(4, &token).is_ok());
}

#[test]
fn an_application_gets_its_seeded_snapshots_when_it_is_created_and_they_are_deleted_with_it() {
    let mut world = World::running();
    world.delete_application();
    world.lasts("DELETING", 1, NOT_FOUND);
    world.seed(2);
    world.create("orders");
    assert_eq!(world.names(), ["seeded-2", "seeded-1"]);
    world.delete_application();
    world.lasts("DELETING", 1, NOT_FOUND);
    world.create("orders");
    assert_eq!(world.names(), [""; 0]);
}

#[test]
fn the_description_shows_the_restore_configuration_of_the_last_start_or_update() {
    let restore = |world: &mut World| {
        let mut detail = world.detail();
        let run = &mut detail["ApplicationConfigurationDescription"]["RunConfigurationDescription"];
        run["ApplicationRestoreConfigurationDescription"].take()
    };
    let run = |restore: &Value| json!({ "ApplicationRestoreConfiguration": restore });
    let mut custom = json!({ "ApplicationRestoreType": "RESTORE_FROM_CUSTOM_SNAPSHOT" });
    custom["SnapshotName"] = json!("seeded-1");
    let latest = json!({ "ApplicationRestoreType": "RESTORE_FROM_LATEST_SNAPSHOT" });
    let skip = json!({ "ApplicationRestoreType": "SKIP_RESTORE_FROM_SNAPSHOT" });
    assert_eq!(restore(&mut World::running()), latest);

    let mut world = World::new();
    world.create("orders");
    world.seed(1);
    assert_eq!(restore(&mut world), Value::Null);
    let start = json!({ "ApplicationName": "orders", "RunConfiguration": run(&custom) });
    world.ok("StartApplication", &start);
    world.pass(1);
    assert_eq!(restore(&mut world), custom);

    for (change, expected) in [
        (Some(&latest), &latest),
        (Some(&custom), &custom),
        (None, &custom),
        (Some(&skip), &skip),
        (None, &latest),
    ] {
        let change = json!({ "RunConfigurationUpdate": change.map(run) });
        world.update(change).unwrap();
        world.pass(9);
        assert_eq!(&restore(&mut world), expected);
    }
}

#[test]
fn a_restore_configuration_that_cannot_be_used_is_refused() {
    let custom = Some("RESTORE_FROM_CUSTOM_SNAPSHOT");
    let skip = Some("SKIP_RESTORE_FROM_SNAPSHOT");
    let busy = Some("seeded-1");
    for (kind, name, arn, expected) in [
        (custom, Some("none"), None, NOT_FOUND),
        (custom, busy, None, INVALID_REQUEST),
        (custom, None, None, INVALID),
        (Some("NEWEST"), None, None, INVALID),
        (None, busy, None, INVALID),
        (skip, busy, None, INVALID),
        (custom, None, Some("arn:aws:x"), UNSUPPORTED),
    ] {
        let mut world = World::new();
        world.create("orders");
        world
            .emulator
            .seed("orders", [seeded(1, SnapshotStatus::Creating)]);
        let restore =
            json!({ "ApplicationRestoreType": kind, "SnapshotName": name, "SnapshotArn": arn });
        let run = json!({ "ApplicationRestoreConfiguration": restore });
        let start = json!({ "ApplicationName": "orders", "RunConfiguration": run });
        assert_eq!(
            world.code("StartApplication", &start),
            expected,
            "{restore}"
        );
        let update = world.update(json!({ "RunConfigurationUpdate": run }));
        assert_eq!(code(update), expected, "{restore}");
        assert_eq!(world.detail()["ApplicationVersionId"], 1);
    }
}

#[test]
fn the_key_of_an_application_can_be_looked_up() {
    let arn = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd";
    for (key, expected) in [
        (json!({ "KeyType": "AWS_OWNED_KEY" }), None),
        (
            json!({ "KeyType": "CUSTOMER_MANAGED_KEY", "KeyId": arn }),
            Some(arn),
        ),
        (
            json!({ "KeyType": "CUSTOMER_MANAGED_KEY", "KeyId": "1234abcd" }),
            Some(arn),
        ),
    ] {
        let mut world = World::new();
        let mut orders = application("orders");
        orders["ApplicationConfiguration"]["ApplicationEncryptionConfiguration"] = key;
        world.ok("CreateApplication", &orders);
        let found = |name: &str| {
            let application = "arn:aws:kinesisanalytics:eu-west-1:123456789012:application";
            world.emulator.key_of(&format!("{application}/{name}"))
        };
        assert_eq!(found("orders").as_deref(), expected);
        assert_eq!(found("others"), None);
    }
}
