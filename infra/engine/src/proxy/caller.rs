//! Who calls: a function's process, by the address that it calls, or else a client; and who may not.

use axum::http::{HeaderMap, Uri, header};
use rustix::process::{Pid, Signal, kill_process};

use crate::functions::FUNCTIONS;

/// Begins the path of a function's own address. No bucket has such a name.
pub const CALLER: &str = "/_caller/";

/// A function's process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) function: String,
    process: i32,
}

impl Caller {
    /// An error means that the process has ended.
    pub(super) fn kill(&self) {
        if let Some(process) = Pid::from_raw(self.process) {
            let _ = kill_process(process, Signal::KILL);
        }
    }
}

/// Whose own address a call has, and the rest of the address.
pub(super) fn caller(uri: &Uri) -> Option<(Caller, Uri)> {
    let rest = uri.path().strip_prefix(CALLER)?;
    let (function, rest) = rest.split_once('/')?;
    let (process, rest) = rest.split_once('/').unwrap_or((rest, ""));
    let known = FUNCTIONS.contains(&function);
    let caller = Caller {
        function: function.to_owned(),
        process: process.parse().ok().filter(|_| known)?,
    };
    let query = uri
        .query()
        .map_or(String::new(), |query| format!("?{query}"));
    Some((caller, format!("/{rest}{query}").parse().ok()?))
}

/// Refuses what a page in a browser sends: it has an origin, or reaches us under a name of its own.
pub(super) fn guard(port: u16, headers: &HeaderMap) -> Result<(), String> {
    if let Some(origin) = headers.get(header::ORIGIN) {
        return Err(format!("calls of pages are refused, here of {origin:?}"));
    }
    let host = headers.get(header::HOST).and_then(|it| it.to_str().ok());
    let host = host.unwrap_or_default();
    let name = host.strip_suffix(&format!(":{port}"));
    // S3's clients put the bucket's name before the host's.
    if name.is_some_and(|name| {
        ["127.0.0.1", "localhost"].contains(&name) || name.ends_with(".localhost")
    }) {
        Ok(())
    } else {
        Err(format!(
            "calls to another host are refused, here to {host:?}"
        ))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    #[test]
    fn a_functions_own_address_says_which_process_calls() {
        let called = |address: &'static str| {
            let (caller, rest) = caller(&Uri::from_static(address))?;
            Some((caller.function, caller.process, rest.to_string()))
        };
        let function = || "create-snapshot".to_owned();
        for (address, expected) in [
            (
                "/_caller/create-snapshot/7/a?b=c",
                Some((function(), 7, "/a?b=c".to_owned())),
            ),
            (
                "/_caller/create-snapshot/7",
                Some((function(), 7, "/".to_owned())),
            ),
            ("/_caller/create-snapshot/x/", None),
            ("/_caller/other/7/", None),
            ("/", None),
        ] {
            assert_eq!(called(address), expected, "{address}");
        }
    }
}
