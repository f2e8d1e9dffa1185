//! Faults that tests inject: what the proxy does instead of passing a call on, or in addition to it.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use percent_encoding::percent_decode;

use crate::lock;
use crate::msf::ServiceError;

/// A fault, and the calls to which it applies. If several active faults match a call, the one that was injected first
/// applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The function that makes the call.
    pub function: String,
    /// The operation as AWS names it, for example `CreateApplicationSnapshot` or `Publish`.
    pub operation: String,
    /// If given, the fault applies only to calls whose body contains this application name, as a whole token of
    /// `[a-zA-Z0-9_.-]`.
    pub application: Option<String>,
    pub times: Times,
    pub kind: FaultKind,
}

/// To how many calls a fault applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    Count(u32),
    /// To every call, until the fault is cleared.
    Always,
}

/// What happens to a call. "The service" is the one that the call is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The call does not reach the service. The response is this error, in the protocol of the service.
    Error(ServiceError),
    /// The call reaches the service after this time.
    Delay(Duration),
    /// The call does not reach the service. The connection closes without a response.
    DropBefore,
    /// The service carries out the call. The connection closes without a response.
    DropAfter,
    /// The call does not reach the service. The response is an HTML page with status 200, as an HTTP proxy may send it.
    NotJson,
    /// The call does not reach the service. The calling process is killed.
    KillBefore,
    /// The service carries out the call. Then the calling process is killed.
    KillAfter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FaultId(usize);

/// All faults that were injected.
#[derive(Debug, Default)]
pub struct Faults(Mutex<Vec<Injected>>);

#[derive(Debug)]
struct Injected {
    fault: Fault,
    is_active: bool,
    hits: u32,
}

impl Faults {
    /// Adds a fault. It applies from the next call on.
    pub fn inject(&self, fault: Fault) -> FaultId {
        let mut all = self.lock();
        all.push(Injected {
            fault,
            is_active: true,
            hits: 0,
        });
        FaultId(all.len() - 1)
    }

    /// Ends a fault. [`Self::hits`] still returns its count.
    pub fn clear(&self, id: FaultId) {
        if let Some(injected) = self.lock().get_mut(id.0) {
            injected.is_active = false;
        }
    }

    /// To how many calls a fault has applied so far.
    pub fn hits(&self, id: FaultId) -> u32 {
        self.lock().get(id.0).map_or(0, |injected| injected.hits)
    }

    /// Returns the fault that applies to this call, if there is one, and counts the call.
    pub fn take(&self, function: &str, operation: &str, body: &[u8]) -> Option<FaultKind> {
        let mut all = self.lock();
        let hit = all.iter_mut().find(|injected| {
            injected.is_active && injected.fault.matches(function, operation, body)
        })?;
        hit.hits += 1;
        hit.is_active = match hit.fault.times {
            Times::Always => true,
            Times::Count(times) => hit.hits < times,
        };
        Some(hit.fault.kind.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Injected>> {
        lock(&self.0)
    }
}

impl Fault {
    /// Whether the fault applies to a call. A fault with `Count(0)` applies to none.
    fn matches(&self, function: &str, operation: &str, body: &[u8]) -> bool {
        let application = self.application.as_deref();
        self.times != Times::Count(0)
            && self.operation == operation
            && self.function == function
            && application.is_none_or(|application| has_token(body, application))
    }
}

/// Whether a JSON or form-encoded body contains a name as a whole token.
fn has_token(body: &[u8], name: &str) -> bool {
    // A `+`, which encodes a space, is not decoded: names have no spaces, and a `+` ends a token as well.
    let text = percent_decode(body).decode_utf8_lossy();
    without_escapes(&text)
        .split(|c: char| !(c.is_ascii_alphanumeric() || "_.-".contains(c)))
        .any(|token| token == name)
}

/// Replaces JSON's escape sequences by spaces, also those of JSON within strings. Otherwise, the `n` of a line break
/// would become a part of the name that follows it.
fn without_escapes(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut escaped = false;
    for c in text.chars() {
        plain.push(if escaped || c == '\\' { ' ' } else { c });
        escaped = c == '\\';
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(application: Option<&str>, times: Times) -> Fault {
        Fault {
            function: "record".to_owned(),
            operation: "Publish".to_owned(),
            application: application.map(str::to_owned),
            times,
            kind: FaultKind::DropBefore,
        }
    }

    #[test]
    fn an_application_is_matched_as_a_whole_token_only() {
        for (body, expected) in [
            (r#"{"ApplicationName":"orders"}"#, true),
            (r#"{"ApplicationName":"orders-2"}"#, false),
            (r#"{"ApplicationName":"my.orders"}"#, false),
            (
                r#"{"arn":"arn:aws:kinesisanalytics:r:1:application/orders"}"#,
                true,
            ),
            (r#"{"Message":"{\"app_name\":\"orders\"}"}"#, true),
            (r#"{"Message":"failed:\norders is stopped"}"#, true),
            (r#"{"Message":"{\"email\":\"failed:\\norders\"}"}"#, true),
            (
                "Action=Publish&Message=%7B%22app%22%3A%22orders%22%7D",
                true,
            ),
            ("Action=Publish&Subject=Snapshot+orders+failed", true),
            ("Action=Publish&Subject=ordersx", false),
            ("", false),
        ] {
            assert_eq!(has_token(body.as_bytes(), "orders"), expected, "{body}");
        }
    }

    #[test]
    fn a_fault_applies_only_if_function_operation_and_application_match() {
        let one = fault(Some("orders"), Times::Always);
        for (function, operation, body, expected) in [
            ("record", "Publish", "orders", true),
            ("create", "Publish", "orders", false),
            ("record", "UpdateItem", "orders", false),
            ("record", "Publish", "payments", false),
        ] {
            let matched = one.matches(function, operation, body.as_bytes());
            assert_eq!(matched, expected);
        }
        assert!(fault(None, Times::Always).matches("record", "Publish", b""));
    }

    #[test]
    fn the_oldest_active_fault_applies_until_it_is_used_up_or_cleared_and_keeps_its_count() {
        let faults = Faults::default();
        let counted = faults.inject(fault(None, Times::Count(2)));
        faults.inject(fault(None, Times::Count(0)));
        let always = faults.inject(Fault {
            kind: FaultKind::NotJson,
            ..fault(None, Times::Always)
        });
        let hit = || faults.take("record", "Publish", b"");
        let first = [hit(), hit()].map(|kind| kind == Some(FaultKind::DropBefore));
        assert_eq!(first, [true, true]);
        assert_eq!(hit(), Some(FaultKind::NotJson));
        faults.clear(always);
        assert_eq!(hit(), None);
        assert_eq!([counted, always].map(|id| faults.hits(id)), [2, 1]);
    }
}
