//! Finds out who makes a call. If the path is the address of a function's process, that process makes the call;
//! otherwise, a client does. Requests from web pages are refused.

use axum::http::{HeaderMap, Uri, header};
use rustix::process::{Pid, Signal, kill_process};

use crate::functions::FUNCTIONS;

/// The beginning of the path of every function process. `_caller` is not a valid name of an S3 bucket, so no path of S3
/// begins like this.
pub const CALLER_PREFIX: &str = "/_caller/";

/// A function's process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) function: String,
    process: i32,
}

impl Caller {
    pub(super) fn kill(&self) {
        if let Some(process) = Pid::from_raw(self.process) {
            // An error means that the process has ended.
            let _ = kill_process(process, Signal::KILL);
        }
    }
}

/// Returns the function process to whose address a URI belongs, and the rest of the URI. Returns `None` if a client
/// makes the call.
///
/// A path that begins with [`CALLER_PREFIX`] but belongs to no function is an error. If it were not, its caller would
/// have the permissions of a client. The error is the text of the response.
pub(super) fn caller(uri: &Uri) -> Result<Option<(Caller, Uri)>, String> {
    if !format!("{}/", uri.path()).starts_with(CALLER_PREFIX) {
        return Ok(None);
    }
    let called = process(uri).ok_or_else(|| format!("no function has the address {uri}"))?;
    Ok(Some(called))
}

fn process(uri: &Uri) -> Option<(Caller, Uri)> {
    let rest = uri.path().strip_prefix(CALLER_PREFIX)?;
    let (function, rest) = rest.split_once('/')?;
    let (process, rest) = rest.split_once('/').unwrap_or((rest, ""));
    let is_function = FUNCTIONS.contains(&function);
    let caller = Caller {
        function: function.to_owned(),
        process: process
            .parse()
            .ok()
            .filter(|id: &i32| is_function && *id > 0)?,
    };
    let query = uri
        .query()
        .map_or(String::new(), |query| format!("?{query}"));
    Some((caller, format!("/{rest}{query}").parse().ok()?))
}

/// Refuses a request from a web page. The error is the text of the response.
///
/// Clients of AWS send neither of the two browser headers. A browser sends `Origin` with every request, except for a
/// simple read. It sends `Sec-Fetch-Site` with reads too, with the value `none` if a person typed the address. A page
/// can have a host name that resolves to 127.0.0.1. When such a page reads, the browser sends no header that gives it
/// away, but the `Host` header has that name.
pub(super) fn refuse_web_page(port: u16, headers: &HeaderMap) -> Result<(), String> {
    if let Some(origin) = headers.get(header::ORIGIN) {
        return Err(format!(
            "requests from web pages are refused; this one has the origin {origin:?}"
        ));
    }
    let site = headers.get("sec-fetch-site");
    if let Some(site) = site.filter(|site| !matches!(site.as_bytes(), b"none" | b"same-origin")) {
        return Err(format!(
            "requests from web pages are refused; this one comes from a page that is {site:?}"
        ));
    }
    let host = headers.get(header::HOST).and_then(|it| it.to_str().ok());
    let host = host.unwrap_or_default();
    let name = host.strip_suffix(&format!(":{port}"));
    // Clients leave out port 80, the default of HTTP.
    let name = name.or((port == 80).then_some(host));
    // Clients of S3 put the name of the bucket before the host name.
    match name {
        Some("127.0.0.1" | "localhost") => Ok(()),
        Some(name) if name.ends_with(".localhost") => Ok(()),
        _ => Err(format!(
            "requests with the name of another host are refused; this one has {host:?}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_from_web_pages_and_to_other_hosts_are_refused() {
        for (port, headers, allowed) in [
            (7, &[("host", "127.0.0.1:7")][..], true),
            (7, &[("host", "localhost:7")], true),
            (7, &[("host", "bucket.localhost:7")], true),
            (
                7,
                &[("host", "127.0.0.1:7"), ("sec-fetch-site", "none")],
                true,
            ),
            (80, &[("host", "127.0.0.1")], true),
            (7, &[], false),
            (7, &[("host", "127.0.0.1")], false),
            (7, &[("host", "127.0.0.1:8")], false),
            (7, &[("host", "evil.example:7")], false),
            (80, &[("host", "evil.example")], false),
            (7, &[("host", "evillocalhost:7")], false),
            (7, &[("host", "127.0.0.1:7"), ("origin", "null")], false),
            (
                7,
                &[("host", "127.0.0.1:7"), ("origin", "http://evil.example")],
                false,
            ),
            (
                7,
                &[("host", "127.0.0.1:7"), ("sec-fetch-site", "same-site")],
                false,
            ),
            (
                7,
                &[("host", "127.0.0.1:7"), ("sec-fetch-site", "cross-site")],
                false,
            ),
        ] {
            let map: HeaderMap = headers
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect();
            assert_eq!(
                refuse_web_page(port, &map).is_ok(),
                allowed,
                "{port} {headers:?}"
            );
        }
    }

    #[test]
    fn the_path_tells_which_function_process_calls() {
        let called = |address: &'static str| {
            let called = caller(&Uri::from_static(address)).map_err(|_| ());
            let shown =
                |(it, rest): (Caller, Uri)| format!("{} {} {rest}", it.function, it.process);
            called.map(|called| called.map(shown))
        };
        for (address, expected) in [
            (
                "/_caller/create-snapshot/7/a?b=c",
                Ok(Some("create-snapshot 7 /a?b=c")),
            ),
            (
                "/_caller/create-snapshot/7",
                Ok(Some("create-snapshot 7 /")),
            ),
            ("/_caller/create-snapshot/x/", Err(())),
            ("/_caller/create-snapshot/-1/", Err(())),
            ("/_caller/create-snapshot/", Err(())),
            ("/_caller/create-snapshot", Err(())),
            ("/_caller/other/7/", Err(())),
            ("/_caller/", Err(())),
            ("/_caller", Err(())),
            ("/_callers/7", Ok(None)),
            ("/bucket/_caller/7", Ok(None)),
            ("/", Ok(None)),
        ] {
            let called = called(address);
            let called = called.as_ref().map(Option::as_deref);
            assert_eq!(called.ok(), expected.ok(), "{address}");
        }
    }
}
