//! How long a run waits for an application that is busy for a while, and what it does if a snapshot fails. Both are
//! also tested with the definition of the last release.

use std::time::Duration;

use engine::msf::Behaviour;
use serde_json::{Map, Value, json};

use simulation::backend::{Backend, lock};
use simulation::clock::{Clock, in_virtual_time};
use simulation::executions::{Status, arn};
use simulation::fault_plan::FaultPlan;
use simulation::releases::FIRST_DEFINITION;
use simulation::services::{APPLICATION, application, own_name};
use simulation::state_machine::DEFINITION;
use simulation::world::World;

use crate::fixture::{self, four_snapshots, start};

const MINUTE: Duration = Duration::from_mins(1);

/// A run with this definition, and an application with four snapshots that takes another one in 20 seconds.
struct Scene {
    world: World,
    arn: String,
}

impl Scene {
    fn begin(definition: &Value, input: &Value) -> Self {
        let behaviour = Behaviour::with_snapshots_of(Duration::from_secs(20));
        let flink = application(start(), behaviour, true, four_snapshots());
        let backend = Backend::new(Clock::of_runtime(start()), flink, FaultPlan::none());
        let scene = Self {
            world: World::without_sockets(backend),
            arn: arn("run"),
        };
        let mut whole = fixture::input();
        let fields = input.as_object().unwrap().clone();
        whole.as_object_mut().unwrap().extend(fields);
        scene
            .world
            .create_execution_with_definition(definition, &scene.arn, &whole);
        scene
    }

    fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        let mut services = lock(&self.world.backend.services);
        change(services.flink.behaviour(APPLICATION));
    }

    /// Makes the application busy for a while.
    fn be_busy(&self, duration: Duration) {
        self.behave(|behaviour| behaviour.status = Some("UPDATING".to_owned()));
        let world = self.world.clone();
        tokio::spawn(async move {
            tokio::time::sleep(duration).await;
            let mut services = lock(&world.backend.services);
            services.flink.behaviour(APPLICATION).status = None;
        });
    }

    /// Runs until the run ends, and waits until its event is handled. Returns how long the run took.
    async fn finish(&self) -> Duration {
        let start = tokio::time::Instant::now();
        self.world.run_to_end(&self.arn).await;
        let took = start.elapsed();
        tokio::time::sleep(MINUTE).await;
        let invariants = lock(&self.world.backend.invariants);
        assert_eq!(invariants.violations, [""; 0]);
        took
    }

    /// As [`Self::finish`], but the application becomes busy for a while as soon as the run waits for its snapshot.
    async fn finish_busy_after_the_creation(&self, duration: Duration) -> Duration {
        let finish = self.finish();
        let interrupt = async {
            while self.state() != "WaitForSnapshot" {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            self.be_busy(duration);
        };
        tokio::join!(finish, interrupt).0
    }

    fn state(&self) -> String {
        self.world.with(&self.arn, |run| run.follower.state.clone())
    }

    /// The error with which the run has failed, and the state in which it failed.
    fn failure(&self) -> (String, String) {
        match self.world.status(&self.arn) {
            Status::Failed(error, _) => (error, self.state()),
            other => panic!("{other:?}"),
        }
    }

    fn record(&self) -> Map<String, Value> {
        lock(&self.world.backend.services).rows(&self.arn).remove(0)
    }

    /// The name of the snapshot of an attempt. `number` is 0 for the first attempt.
    fn attempt(&self, number: i64) -> String {
        let started = self.world.with(&self.arn, |run| run.started);
        own_name(&(started.as_millisecond() + number).into())
    }

    fn created(&self) -> Vec<String> {
        let invariants = lock(&self.world.backend.invariants);
        invariants.creations.keys().cloned().collect()
    }

    fn task_errors(&self) -> Vec<String> {
        let services = lock(&self.world.backend.services);
        let events = services.histories[&self.arn].iter();
        let errors = events.filter_map(|event| event["taskFailedEventDetails"]["error"].as_str());
        errors.map(str::to_owned).collect()
    }
}

#[test]
fn a_run_waits_for_an_application_that_is_busy_for_twenty_minutes() {
    in_virtual_time(async {
        let scene = Scene::begin(&DEFINITION, &json!({}));
        scene.be_busy(20 * MINUTE);
        let took = scene.finish().await;
        assert_eq!(scene.record()["outcome"], "SUCCEEDED");
        assert_eq!(scene.record()["snapshots_deleted_count"], 2);
        assert!(took >= 20 * MINUTE && took < 26 * MINUTE, "{took:?}");
        assert_eq!(scene.task_errors(), [""; 0]);
        assert_eq!(scene.created(), [scene.attempt(0)]);
    });
}

#[test]
fn a_run_whose_application_is_busy_for_two_hours_fails_after_one() {
    in_virtual_time(async {
        for (input, timeout) in [
            (json!({}), Duration::from_hours(1)),
            (json!({ "application_timeout_seconds": 600 }), 10 * MINUTE),
            (json!({ "application_timeout_seconds": 0 }), Duration::ZERO),
        ] {
            let scene = Scene::begin(&DEFINITION, &input);
            scene.be_busy(Duration::from_hours(2));
            let took = scene.finish().await;
            let expected = ("ApplicationBusy".to_owned(), "CreateSnapshot".to_owned());
            assert_eq!(scene.failure(), expected);
            assert!(took >= timeout && took < timeout + MINUTE, "{took:?}");
            assert_eq!(scene.record()["error_name"], "ApplicationBusy");
            assert_eq!(scene.record()["failed_state"], "CreateSnapshot");

            // A redrive checks the application once more.
            scene.world.redrive(&scene.arn);
            let took = scene.finish().await;
            assert_eq!(scene.failure(), expected);
            assert!(took < MINUTE, "{took:?}");

            tokio::time::sleep(Duration::from_hours(2)).await;
            scene.world.redrive(&scene.arn);
            scene.finish().await;
            assert_eq!(scene.record()["outcome"], "SUCCEEDED");
        }
    });
}

#[test]
fn a_run_waits_before_it_prunes_until_the_application_is_running_again() {
    in_virtual_time(async {
        let scene = Scene::begin(&DEFINITION, &json!({}));
        let took = scene.finish_busy_after_the_creation(20 * MINUTE).await;
        assert_eq!(scene.record()["outcome"], "SUCCEEDED");
        assert_eq!(scene.record()["snapshots_deleted_count"], 2);
        assert!(took >= 20 * MINUTE && took < 26 * MINUTE, "{took:?}");

        let scene = Scene::begin(&DEFINITION, &json!({}));
        let busy = Duration::from_hours(2);
        let took = scene.finish_busy_after_the_creation(busy).await;
        assert_eq!(scene.record()["outcome"], "PRUNE_INCOMPLETE");
        let cause = &scene.record()["held_back"]["cause"];
        assert_eq!(cause, "APPLICATION_NOT_RUNNING");
        let hour = Duration::from_hours(1);
        assert!(took >= hour && took < hour + 2 * MINUTE, "{took:?}");
    });
}

#[test]
fn a_snapshot_that_fails_gets_another_attempt() {
    in_virtual_time(async {
        for (good, attempts) in [(0, 1), (1, 2), (1, 5), (4, 5)] {
            let scene = Scene::begin(&DEFINITION, &json!({ "snapshot_attempts": attempts }));
            scene.behave(|behaviour| behaviour.snapshots_fail = good > 0);
            let succeed = async {
                while good > 0 && !scene.created().contains(&scene.attempt(good - 1)) {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                scene.behave(|behaviour| behaviour.snapshots_fail = false);
            };
            tokio::join!(scene.finish(), succeed);
            assert_eq!(
                scene.record()["outcome"],
                "SUCCEEDED",
                "{good} of {attempts}"
            );
            assert_eq!(scene.record()["new_snapshot_name"], scene.attempt(good));
            assert_eq!(scene.record()["snapshots_deleted_count"], 2);
            let all: Vec<String> = (0..=good).map(|number| scene.attempt(number)).collect();
            assert_eq!(scene.created(), all);
        }
    });
}

#[test]
fn a_run_whose_attempts_all_fail_is_recorded_with_the_last_snapshot() {
    in_virtual_time(async {
        for attempts in 1..=5 {
            let scene = Scene::begin(&DEFINITION, &json!({ "snapshot_attempts": attempts }));
            scene.behave(|behaviour| behaviour.snapshots_fail = true);
            scene.finish().await;
            let expected = ("SnapshotFailed".to_owned(), "DescribeSnapshot".to_owned());
            assert_eq!(scene.failure(), expected);
            let last = scene.attempt(attempts - 1);
            assert_eq!(scene.record()["new_snapshot_name"], last);
            assert_eq!(scene.created().len(), usize::try_from(attempts).unwrap());
        }
    });
}

#[test]
fn a_run_that_meets_the_snapshot_of_an_earlier_run_is_skipped() {
    in_virtual_time(async {
        let scene = Scene::begin(&DEFINITION, &json!({}));
        scene.behave(|behaviour| {
            let lifecycle = behaviour.lifecycle.as_mut().unwrap();
            lifecycle.snapshot = Duration::from_mins(90);
        });
        let next = arn("next");
        let later = async {
            tokio::time::sleep(Duration::from_hours(1)).await;
            let input = json!({ "application_name": APPLICATION });
            scene.world.create_execution(&next, &input);
            scene.world.run_to_end(&next).await;
        };
        tokio::join!(scene.finish(), later);
        assert_eq!(scene.record()["outcome"], "SUCCEEDED");
        let Status::Succeeded(output) = scene.world.status(&next) else {
            panic!("{:?}", scene.world.status(&next));
        };
        assert_eq!(output["outcome"], "SKIPPED");
        let rows = lock(&scene.world.backend.services).rows(&next);
        let reason = rows[0]["skip_reason"].as_str().unwrap();
        assert!(reason.contains(&scene.attempt(0)), "{reason}");
    });
}

#[test]
fn an_execution_with_the_definition_of_the_last_release_behaves_as_in_that_release() {
    in_virtual_time(async {
        // The Task is retried while the application is busy.
        let scene = Scene::begin(&FIRST_DEFINITION, &json!({}));
        scene.be_busy(5 * MINUTE);
        scene.finish().await;
        assert_eq!(scene.record()["outcome"], "SUCCEEDED");
        let errors = scene.task_errors();
        assert!(errors.len() > 2, "{errors:?}");
        assert!(
            errors.iter().all(|error| error == "ApplicationBusy"),
            "{errors:?}"
        );

        let scene = Scene::begin(&FIRST_DEFINITION, &json!({}));
        scene.be_busy(Duration::from_hours(1));
        let took = scene.finish().await;
        let expected = ("ApplicationBusy".to_owned(), "CreateSnapshot".to_owned());
        assert_eq!(scene.failure(), expected);
        assert!(took < Duration::from_mins(30), "{took:?}");

        // A failed snapshot fails the run.
        let scene = Scene::begin(&FIRST_DEFINITION, &json!({}));
        scene.behave(|behaviour| behaviour.snapshots_fail = true);
        scene.finish().await;
        let expected = ("SnapshotFailed".to_owned(), "DescribeSnapshot".to_owned());
        assert_eq!(scene.failure(), expected);
        assert_eq!(scene.created(), [scene.attempt(0)]);

        // While the application is busy, the run deletes nothing.
        let scene = Scene::begin(&FIRST_DEFINITION, &json!({}));
        let took = scene.finish_busy_after_the_creation(20 * MINUTE).await;
        assert_eq!(scene.record()["outcome"], "PRUNE_INCOMPLETE");
        assert!(took < 2 * MINUTE, "{took:?}");
    });
}
