//! The one address that clients and functions know. It knows which function calls, refuses what the function's role does
//! not allow and what comes from elsewhere, lets faults happen, and passes the call on: to our Managed Flink, or to
//! `MiniStack`.
//!
//! A function's own address is `<endpoint>/_caller/<function>/<process id>`; who calls under none of these is a client. What a
//! function is allowed is judged, what a client does is not.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Response, StatusCode, Uri, header};
use axum::response::IntoResponse;
use axum::serve::ListenerExt;
use axum::{Json, Router};
use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::engine::Names;
use crate::faults::{Faults, Kind};
use crate::functions::FUNCTIONS;
use crate::ministack::Upstream;
use crate::msf::{self, Emulator};
use crate::permissions::{Access, Permissions};
use crate::stack::ACCOUNT;

/// No service behind the proxy takes more than Lambda's 6 MB, but a function's package may be larger.
const BODY_LIMIT: usize = 64 * 1024 * 1024;
/// The content type of Managed Flink's protocol.
const JSON_1_1: &str = "application/x-amz-json-1.1";
/// Begins the path of a function's own address. No bucket has such a name.
pub(crate) const CALLER: &str = "/_caller/";
/// Where a client finds the names of what is deployed.
pub(crate) const NAMES: &str = "/_names";

/// A port on 127.0.0.1 that is not served yet.
pub(crate) struct Bound {
    listener: TcpListener,
    port: u16,
}

/// A proxy that is served until this is dropped.
pub struct Proxy {
    services: Arc<Services>,
    server: JoinHandle<std::io::Result<()>>,
}

struct Services {
    port: u16,
    names: Names,
    emulator: Arc<Mutex<Emulator>>,
    faults: Faults,
    permissions: Permissions,
    ministack: Upstream,
}

/// The service that a request is for, which also says how its errors are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    Flink,
    /// Another service of the JSON protocol.
    Json,
    /// A service of the query protocol.
    Query,
    /// Anything else, such as S3 and Lambda.
    Other,
}

#[derive(Debug, PartialEq, Eq)]
struct Call {
    service: Service,
    operation: String,
}

/// A function's process.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Caller {
    function: String,
    process: i32,
}

impl Bound {
    /// Takes the port, or a free one.
    pub(crate) async fn new(port: Option<u16>) -> Result<Self, String> {
        let wanted = port.unwrap_or(0);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, wanted)).await;
        let listener = listener.map_err(|error| {
            format!("port {wanted} of 127.0.0.1: {error}. Another engine may be running; choose another port")
        })?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let port = address.port();
        Ok(Self { listener, port })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What a client sets as `AWS_ENDPOINT_URL`.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What a process of the function has as `AWS_ENDPOINT_URL`, without the process.
    pub(crate) fn endpoint_of(&self, function: &str) -> String {
        format!("{}{CALLER}{function}", self.endpoint())
    }

    pub(crate) fn serve(
        self,
        names: Names,
        permissions: Permissions,
        emulator: Emulator,
        ministack: Upstream,
    ) -> Proxy {
        let services = Arc::new(Services {
            port: self.port,
            names,
            emulator: Arc::new(Mutex::new(emulator)),
            faults: Faults::default(),
            permissions,
            ministack,
        });
        let app = Router::new().fallback(serve).with_state(services.clone());
        // Without this, small answers wait 40 ms for the client's acknowledgement.
        let listener = self
            .listener
            .tap_io(|connection| drop(connection.set_nodelay(true)));
        let server = tokio::spawn(async move { axum::serve(listener, app).await });
        Proxy { services, server }
    }
}

impl Proxy {
    /// Faults for tests.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.services.faults
    }

    /// What each function may do.
    #[must_use]
    pub fn permissions(&self) -> &Permissions {
        &self.services.permissions
    }

    /// Managed Flink.
    #[must_use]
    pub fn emulator(&self) -> &Mutex<Emulator> {
        &self.services.emulator
    }

    /// Ends it, and waits until the port is free.
    pub(crate) async fn stop(mut self) {
        self.server.abort();
        // An error says that it was aborted.
        let _ = (&mut self.server).await;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(State(services): State<Arc<Services>>, request: Request) -> Response<Body> {
    let (mut head, body) = request.into_parts();
    if let Err(foreign) = services.guard(&head.headers) {
        return respond(StatusCode::FORBIDDEN, foreign, "text/plain");
    }
    if head.uri.path() == NAMES {
        return Json(&services.names).into_response();
    }
    let Ok(body) = axum::body::to_bytes(body, BODY_LIMIT).await else {
        return respond(StatusCode::PAYLOAD_TOO_LARGE, Vec::new(), "text/plain");
    };
    let body = Vec::from(body);
    let caller = match caller(&head.uri) {
        Some((caller, rest)) => {
            head.uri = rest;
            Some(caller)
        }
        None => None,
    };
    let call = classify(&head.headers, &body);
    let Some(caller) = caller else {
        return services.dispatch(&call, &head, body).await;
    };
    let access = access(&call, &head.headers, &body);
    if let Err(message) = services.permissions.check(&caller.function, &access) {
        let (status, code) = match call.service {
            Service::Query => (StatusCode::FORBIDDEN, "AuthorizationError"),
            _ => (StatusCode::BAD_REQUEST, "AccessDeniedException"),
        };
        return error_of(call.service, status, code, &message, &head.headers);
    }
    let function = Some(caller.function.as_str());
    let fault = services.faults.take(function, &call.operation, &body);
    let effect = |body| services.dispatch(&call, &head, body);
    match fault {
        None => effect(body).await,
        Some(Kind::Delay(delay)) => {
            tokio::time::sleep(delay).await;
            effect(body).await
        }
        Some(Kind::Error {
            code,
            message,
            status,
        }) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
            error_of(call.service, status, &code, &message, &head.headers)
        }
        Some(Kind::NotJson) => {
            let page = "<html><body>A proxy was here.</body></html>";
            respond(StatusCode::OK, page, "text/html")
        }
        Some(Kind::DropBefore) => drop_connection(),
        Some(Kind::DropAfter) => {
            effect(body).await;
            drop_connection()
        }
        Some(Kind::KillBefore) => {
            caller.kill();
            drop_connection()
        }
        Some(Kind::KillAfter) => {
            effect(body).await;
            caller.kill();
            drop_connection()
        }
    }
}

/// Closes the connection without an answer: the task that serves it unwinds, and the socket with it.
/// A panic would do the same, and print.
fn drop_connection() -> ! {
    std::panic::resume_unwind(Box::new("a fault dropped the connection"))
}

impl Caller {
    /// An error means that the process has ended.
    fn kill(&self) {
        if let Some(process) = Pid::from_raw(self.process) {
            let _ = kill_process(process, Signal::KILL);
        }
    }
}

impl Services {
    /// Refuses what a page in a browser sends: it has an origin, or reaches us under a name of its own.
    fn guard(&self, headers: &HeaderMap) -> Result<(), String> {
        if let Some(origin) = headers.get(header::ORIGIN) {
            return Err(format!("calls of pages are refused, here of {origin:?}"));
        }
        let host = headers.get(header::HOST).and_then(|it| it.to_str().ok());
        let host = host.unwrap_or_default();
        let name = host.strip_suffix(&format!(":{}", self.port));
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

    async fn dispatch(&self, call: &Call, head: &Parts, body: Vec<u8>) -> Response<Body> {
        if call.service == Service::Flink {
            self.flink(&call.operation, head, &body)
        } else {
            self.pass_on(call, head, body).await
        }
    }

    fn flink(&self, operation: &str, head: &Parts, body: &[u8]) -> Response<Body> {
        let mut emulator = self.emulator.lock().unwrap_or_else(PoisonError::into_inner);
        match emulator.call(operation, body, Timestamp::now()) {
            Ok(output) => with_request_id(respond(StatusCode::OK, output.to_string(), JSON_1_1)),
            Err(error) => error_of(
                Service::Flink,
                StatusCode::from_u16(error.http_status).unwrap_or(StatusCode::BAD_REQUEST),
                &error.code,
                &error.message,
                &head.headers,
            ),
        }
    }

    async fn pass_on(&self, call: &Call, head: &Parts, body: Vec<u8>) -> Response<Body> {
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let passed = self
            .ministack
            .forward(head.method.clone(), path, &head.headers, body);
        passed.await.unwrap_or_else(|error| {
            let message = format!("MiniStack: {error}");
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            error_of(
                call.service,
                status,
                "InternalFailure",
                &message,
                &head.headers,
            )
        })
    }
}

/// Whose own address a call has, and the rest of the address.
fn caller(uri: &Uri) -> Option<(Caller, Uri)> {
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

/// The service and operation of a request.
fn classify(headers: &HeaderMap, body: &[u8]) -> Call {
    let call = |service, operation: &str| Call {
        service,
        operation: operation.to_owned(),
    };
    let target = headers
        .get("x-amz-target")
        .and_then(|target| target.to_str().ok())
        .and_then(|target| target.rsplit_once('.'));
    match target {
        Some(("KinesisAnalytics_20180523", operation)) => call(Service::Flink, operation),
        Some((_, operation)) => call(Service::Json, operation),
        None => match query_action(headers, body) {
            Some(operation) => call(Service::Query, operation),
            None => call(Service::Other, ""),
        },
    }
}

/// The operation of a request of the query protocol. Names of operations need no decoding.
fn query_action<'a>(headers: &HeaderMap, body: &'a [u8]) -> Option<&'a str> {
    let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    if !kind.starts_with("application/x-www-form-urlencoded") {
        return None;
    }
    let form = std::str::from_utf8(body).ok()?;
    form.split('&')
        .find_map(|field| field.strip_prefix("Action="))
}

/// What a call does, in IAM's words. IAM has the name for a service for which calls are signed. What
/// names no resource here is done to all.
fn access(call: &Call, headers: &HeaderMap, body: &[u8]) -> Access {
    let (region, service) = signed_for(headers).unwrap_or_default();
    let input: Value = serde_json::from_slice(body).unwrap_or_default();
    let field = |name: &str| input[name].as_str().map(str::to_owned);
    let arn = |rest: &str| format!("arn:aws:{service}:{region}:{ACCOUNT}:{rest}");
    let resource = match service {
        "kinesisanalytics" => {
            field("ApplicationName").map(|name| arn(&format!("application/{name}")))
        }
        "dynamodb" => field("TableName").map(|name| arn(&format!("table/{name}"))),
        "states" => field("executionArn").or_else(|| field("stateMachineArn")),
        "sqs" => field("QueueUrl").and_then(|url| Some(arn(url.rsplit_once('/')?.1))),
        "sns" => form_urlencoded::parse(body)
            .find_map(|(name, value)| (name == "TopicArn").then(|| value.into_owned())),
        _ => None,
    };
    Access {
        action: format!("{service}:{}", call.operation),
        resource: resource.unwrap_or_else(|| arn("*")),
        leading_keys: leading_keys(&input["Key"]),
    }
}

/// The partition key of the item that a call of `DynamoDB` is about, the context key `dynamodb:LeadingKeys`. The key
/// schema is not looked at: of our table the partition key is the only text.
fn leading_keys(key: &Value) -> Vec<String> {
    let attributes = key.as_object().into_iter().flatten();
    attributes
        .filter_map(|(_, value)| value["S"].as_str().map(str::to_owned))
        .collect()
}

/// Region and service in the scope of a request's signature.
fn signed_for(headers: &HeaderMap) -> Option<(&str, &str)> {
    let authorization = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (_, credential) = authorization.split_once("Credential=")?;
    let mut scope = credential.split('/').skip(2);
    Some((scope.next()?, scope.next()?))
}

/// An error as the service writes it, in the version of the protocol that the request has.
fn error_of(
    service: Service,
    status: StatusCode,
    code: &str,
    message: &str,
    request: &HeaderMap,
) -> Response<Body> {
    if service == Service::Query {
        return respond(status, query_error(status, code, message), "text/xml");
    }
    let body = match service {
        Service::Flink => msf::error_body(code, message),
        _ => json!({"__type": code, "message": message}),
    };
    let mut response = with_request_id(respond(status, body.to_string(), JSON_1_1));
    let headers = response.headers_mut();
    if let Ok(code) = code.parse() {
        headers.insert("x-amzn-errortype", code);
    }
    if let Some(kind) = request.get(header::CONTENT_TYPE) {
        headers.insert(header::CONTENT_TYPE, kind.clone());
    }
    response
}

fn respond(status: StatusCode, body: impl Into<Body>, kind: &'static str) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let kind = header::HeaderValue::from_static(kind);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn with_request_id(mut response: Response<Body>) -> Response<Body> {
    if let Ok(id) = Uuid::new_v4().to_string().parse() {
        response.headers_mut().insert("x-amzn-requestid", id);
    }
    response
}

fn query_error(status: StatusCode, code: &str, message: &str) -> String {
    let fault = if status.is_server_error() {
        "Receiver"
    } else {
        "Sender"
    };
    let text = |text: &str| {
        text.replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
    };
    format!(
        "<ErrorResponse><Error><Type>{fault}</Type><Code>{}</Code><Message>{}</Message></Error><RequestId>{}</RequestId></ErrorResponse>",
        text(code),
        text(message),
        Uuid::new_v4()
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn a_request_is_classified_by_target_and_form() {
        let form = (
            "content-type",
            "application/x-www-form-urlencoded; charset=utf-8",
        );
        let target = |target| vec![("x-amz-target", target)];
        let publish = "Version=2010-03-31&Action=Publish&Message=x";
        for (pairs, body, service, operation) in [
            (
                target("KinesisAnalytics_20180523.CreateApplicationSnapshot"),
                "",
                Service::Flink,
                "CreateApplicationSnapshot",
            ),
            (
                target("DynamoDB_20120810.UpdateItem"),
                "",
                Service::Json,
                "UpdateItem",
            ),
            (vec![form], publish, Service::Query, "Publish"),
            (vec![], "Action=Publish", Service::Other, ""),
        ] {
            let call = classify(&headers(&pairs), body.as_bytes());
            let operation = operation.to_owned();
            assert_eq!(call, Call { service, operation }, "{pairs:?}");
        }
    }

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

    #[test]
    fn a_call_is_an_action_on_a_resource_in_iams_words() {
        let signed = |service: &str| {
            let value = format!(
                "AWS4-HMAC-SHA256 Credential=k/20261122/r/{service}/aws4_request, SignedHeaders=host"
            );
            headers(&[("authorization", &value)])
        };
        for (service, operation, body, resource) in [
            (
                "kinesisanalytics",
                "DescribeApplication",
                r#"{"ApplicationName":"a"}"#,
                "arn:aws:kinesisanalytics:r:123456789012:application/a",
            ),
            (
                "dynamodb",
                "UpdateItem",
                r#"{"TableName":"t"}"#,
                "arn:aws:dynamodb:r:123456789012:table/t",
            ),
            (
                "states",
                "GetExecutionHistory",
                r#"{"executionArn":"arn:e"}"#,
                "arn:e",
            ),
            (
                "sqs",
                "SendMessage",
                r#"{"QueueUrl":"http://x/1/q"}"#,
                "arn:aws:sqs:r:123456789012:q",
            ),
            (
                "sns",
                "Publish",
                "Action=Publish&TopicArn=arn%3Aaws%3Asns%3Ar%3A1%3At",
                "arn:aws:sns:r:1:t",
            ),
            (
                "kinesisanalytics",
                "ListApplications",
                "{}",
                "arn:aws:kinesisanalytics:r:123456789012:*",
            ),
            ("other", "Do", "not JSON", "arn:aws:other:r:123456789012:*"),
        ] {
            let call = Call {
                service: Service::Json,
                operation: operation.to_owned(),
            };
            let expected = Access {
                action: format!("{service}:{operation}"),
                resource: resource.to_owned(),
                leading_keys: Vec::new(),
            };
            assert_eq!(access(&call, &signed(service), body.as_bytes()), expected);
        }
        let call = Call {
            service: Service::Json,
            operation: "UpdateItem".to_owned(),
        };
        let body = r#"{"TableName":"t","Key":{"app_name":{"S":"orders"},"run":{"N":"1"}}}"#;
        let update = access(&call, &signed("dynamodb"), body.as_bytes());
        assert_eq!(update.leading_keys, ["orders"]);
    }

    #[test]
    fn errors_of_the_query_protocol_are_escaped_xml() {
        let xml = query_error(StatusCode::SERVICE_UNAVAILABLE, "Throttling", "a < b & c");
        assert!(
            xml.contains(
                "<Type>Receiver</Type><Code>Throttling</Code><Message>a &lt; b &amp; c</Message>"
            ),
            "{xml}"
        );
    }
}
