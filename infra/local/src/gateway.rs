//! One endpoint for everything: it is Lambda, routes Managed Flink to the emulator and the rest to
//! moto, and is where faults happen.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Response, StatusCode, header};
use axum::serve::ListenerExt;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::executions::Executions;
use crate::faults::{Faults, Kind, percent_decoded};
use crate::lambda::{
    FailedEvent, Lambda, LambdaSettings, caller, error_payload, error_response, function_name,
    request_id, respond,
};
use crate::moto::{Moto, Refused, Upstream};
use crate::msf::{self, Emulator};
use crate::permissions::{Access, Permissions};

/// What passes between states, in bytes (256 KiB, quotas of Step Functions).
const STATE_DATA_LIMIT: usize = 262_144;
/// No service behind the gateway takes more than Lambda's 6 MB, so more is a mistake.
const BODY_LIMIT: usize = 16 * 1024 * 1024;
/// The content type of Managed Flink's protocol.
const JSON_1_1: &str = "application/x-amz-json-1.1";
/// The caller whose role the state machine has. moto does not tell which machine calls.
pub const STATE_MACHINE: &str = "state-machine";
/// The access key of moto's Step Functions.
const STEP_FUNCTIONS_KEY: &str = "Credential=ak/";

/// What a gateway needs.
pub struct GatewaySettings {
    /// The port on 127.0.0.1; `None` for a free one.
    pub port: Option<u16>,
    /// The only region.
    pub region: String,
    /// The only account; moto's is `123456789012`.
    pub account: String,
    /// The interpreter that has moto.
    pub python: PathBuf,
    /// For moto's log and the functions' `logs/<function>.log`; created when missing.
    pub folder: PathBuf,
    /// Managed Flink.
    pub emulator: Arc<Mutex<Emulator>>,
    /// Waits before the second and the third attempt at an event.
    pub retry_delays: [Duration; 2],
}

/// A running gateway with its moto and its Lambda. Dropping it ends all three, as does our death.
pub struct Gateway {
    port: u16,
    moto: Option<Moto>,
    services: Arc<Services>,
    server: JoinHandle<std::io::Result<()>>,
}

struct Services {
    lambda: Arc<Lambda>,
    executions: Arc<Executions>,
    emulator: Arc<Mutex<Emulator>>,
    faults: Faults,
    permissions: Arc<Permissions>,
    moto: Upstream,
    /// Held during a call of DynamoDB, whose writes are atomic: moto's are seen half done.
    table: tokio::sync::Mutex<()>,
    account: String,
}

/// The service that a request is for, which also says how its errors are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    Flink,
    StepFunctions,
    Lambda,
    /// Another service of the JSON protocol.
    Json,
    /// A service of the query protocol.
    Query,
    /// Anything else, such as moto's own API.
    Other,
}

#[derive(Debug, PartialEq, Eq)]
struct Call {
    service: Service,
    operation: String,
}

impl Gateway {
    /// Starts moto, Lambda and the endpoint. Functions and the failure rule are added afterwards.
    ///
    /// # Errors
    /// A text for people: the port is taken, the folder cannot be written, moto does not start.
    pub async fn start(settings: GatewaySettings) -> Result<Self, String> {
        let logs = settings.folder.join("logs");
        std::fs::create_dir_all(&logs).map_err(|error| format!("{}: {error}", logs.display()))?;
        let wanted = settings.port.unwrap_or(0);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, wanted)).await;
        let listener = listener.map_err(|error| {
            format!("port {wanted} of 127.0.0.1: {error}. Another engine may be running; choose another port")
        })?;
        let port = listener
            .local_addr()
            .map_err(|error| error.to_string())?
            .port();
        let (region, account) = (&settings.region, &settings.account);
        let moto = Moto::start(&settings.python, &settings.folder, port, region).await?;
        let permissions = Arc::new(Permissions::default());
        let (failures, failed) = mpsc::unbounded_channel();
        tokio::spawn(deliver_failures(
            failed,
            moto.upstream(),
            permissions.clone(),
        ));
        let lambda = Arc::new(Lambda::new(LambdaSettings {
            endpoint: format!("http://127.0.0.1:{port}"),
            region: region.clone(),
            account: account.clone(),
            logs,
            retry_delays: settings.retry_delays,
            failures,
        }));
        let executions = Executions::new(moto.upstream(), lambda.clone(), region, account);
        let services = Arc::new(Services {
            lambda,
            executions: Arc::new(executions),
            emulator: settings.emulator,
            faults: Faults::default(),
            permissions,
            moto: moto.upstream(),
            table: tokio::sync::Mutex::default(),
            account: account.clone(),
        });
        let app = Router::new().fallback(serve).with_state(services.clone());
        // Without this, small answers wait 40 ms for the client's acknowledgement.
        let listener = listener.tap_io(|connection| drop(connection.set_nodelay(true)));
        let server = tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(Self {
            port,
            moto: Some(moto),
            services,
            server,
        })
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What a client sets as `AWS_ENDPOINT_URL`.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Lambda: functions, invocations, logs.
    pub fn lambda(&self) -> &Lambda {
        &self.services.lambda
    }

    /// Executions: the failure rule.
    pub fn executions(&self) -> &Executions {
        &self.services.executions
    }

    /// Faults for tests.
    pub fn faults(&self) -> &Faults {
        &self.services.faults
    }

    /// What each function, and the state machine, may do.
    pub fn permissions(&self) -> &Permissions {
        &self.services.permissions
    }

    /// Managed Flink.
    pub fn emulator(&self) -> &Mutex<Emulator> {
        &self.services.emulator
    }

    /// The process id of moto.
    pub fn moto_pid(&self) -> Option<u32> {
        self.moto.as_ref().and_then(Moto::pid)
    }

    /// Ends the functions, moto and the endpoint, and waits until their processes are gone.
    pub async fn stop(mut self) {
        self.services.executions.abort();
        self.services.lambda.stop().await;
        if let Some(moto) = self.moto.take() {
            moto.stop().await;
        }
        self.server.abort();
        // An error says that it was aborted, and only now is the port free.
        let _ = (&mut self.server).await;
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.services.executions.abort();
        self.services.lambda.abort();
        self.server.abort();
    }
}

async fn serve(State(services): State<Arc<Services>>, request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, BODY_LIMIT).await else {
        return respond(StatusCode::PAYLOAD_TOO_LARGE, Vec::new(), &[]);
    };
    let body = Vec::from(body);
    let path = head.uri.path();
    // A function's process must always be able to reach its runtime: no faults here.
    if let Some((process, path)) = runtime_call(path) {
        return services
            .lambda
            .serve_runtime(process, &head.method, path, body)
            .await;
    }

    let call = classify(&head.method, path, &head.headers, &body);
    let caller = caller(&head.headers);
    let role = match &caller {
        Some((function, _)) => Some(function.as_str()),
        None => is_step_functions(&head.headers).then_some(STATE_MACHINE),
    };
    if let Some(role) = role
        && let Err(message) = services.permissions.check(
            role,
            &access(&call, &head.headers, path, &body, &services.account),
        )
    {
        let (status, code) = match call.service {
            Service::Query => (StatusCode::FORBIDDEN, "AuthorizationError"),
            Service::Lambda => (StatusCode::FORBIDDEN, "AccessDeniedException"),
            _ => (StatusCode::BAD_REQUEST, "AccessDeniedException"),
        };
        return error_of(call.service, status, code, &message, &head.headers);
    }
    let process = caller.as_ref().map(|(_, process)| *process);
    let invoked = (call.service == Service::Lambda).then(|| function_name(invoked(path)));
    let function = invoked.or_else(|| caller.map(|(function, _)| function));
    let fault = services
        .faults
        .take(function.as_deref(), &call.operation, &body);
    let effect = |body| services.dispatch(&call, &head, body);
    // Step Functions' own client would raise this; moto makes States.Runtime of it, which nothing retries.
    let lost = || {
        if call.service == Service::Lambda && is_step_functions(&head.headers) {
            error_response(StatusCode::BAD_GATEWAY, "SdkClientException", "no answer")
        } else {
            drop_connection()
        }
    };
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
        Some(Kind::NotJson) => respond(
            StatusCode::OK,
            b"<html><body>A proxy was here.</body></html>".to_vec(),
            &[("content-type", "text/html")],
        ),
        Some(Kind::DropBefore) => lost(),
        Some(Kind::DropAfter) => {
            effect(body).await;
            lost()
        }
        Some(Kind::Twice) => {
            let first = effect(body.clone()).await;
            effect(body).await;
            first
        }
        Some(Kind::TwiceAtOnce) => tokio::join!(effect(body.clone()), effect(body)).0,
        Some(Kind::KillBefore) => {
            services.kill(process).await;
            lost()
        }
        Some(Kind::KillAfter) => {
            effect(body).await;
            services.kill(process).await;
            lost()
        }
    }
}

/// Closes the connection without an answer: the task that serves it unwinds, and the socket with it.
/// A panic would do the same, and print.
fn drop_connection() -> ! {
    std::panic::resume_unwind(Box::new("a fault dropped the connection"))
}

impl Services {
    async fn kill(&self, process: Option<u64>) {
        if let Some(process) = process {
            self.lambda.kill(process).await;
        }
    }

    async fn dispatch(&self, call: &Call, head: &Parts, body: Vec<u8>) -> Response<Body> {
        match call.service {
            Service::Flink => self.flink(&call.operation, head, &body),
            Service::Lambda => {
                let target = invoked(head.uri.path());
                let answer = self.lambda.serve_invoke(target, &head.headers, body).await;
                if is_step_functions(&head.headers) {
                    within_state_limit(answer).await
                } else {
                    answer
                }
            }
            Service::StepFunctions => match self.executions.serve(&call.operation, &body).await {
                Some(answer) => answer,
                None => self.pass_on(head, body).await,
            },
            Service::Json if signed_for(&head.headers).is_some_and(|it| it.1 == "dynamodb") => {
                let _alone = self.table.lock().await;
                self.pass_on(head, body).await
            }
            Service::Json | Service::Query | Service::Other => self.pass_on(head, body).await,
        }
    }

    fn flink(&self, operation: &str, head: &Parts, body: &[u8]) -> Response<Body> {
        let mut emulator = self.emulator.lock().unwrap_or_else(PoisonError::into_inner);
        match emulator.call(operation, body, Timestamp::now()) {
            Ok(output) => respond(
                StatusCode::OK,
                output.to_string().into_bytes(),
                &[
                    ("content-type", JSON_1_1),
                    ("x-amzn-requestid", &request_id()),
                ],
            ),
            Err(error) => error_of(
                Service::Flink,
                StatusCode::from_u16(error.http_status).unwrap_or(StatusCode::BAD_REQUEST),
                &error.code,
                &error.message,
                &head.headers,
            ),
        }
    }

    async fn pass_on(&self, head: &Parts, body: Vec<u8>) -> Response<Body> {
        let path = head
            .uri
            .path_and_query()
            .map_or("/", |path_and_query| path_and_query.as_str());
        let passed = self
            .moto
            .forward(head.method.clone(), path, &head.headers, body);
        passed.await.unwrap_or_else(|error| {
            let Refused { status, body } = Refused::unreachable(&error);
            respond(status, body, &[("content-type", "application/json")])
        })
    }
}

/// Sends the records of events that no attempt could handle to their functions' failure destinations,
/// as far as the functions' roles let them.
async fn deliver_failures(
    mut failed: mpsc::UnboundedReceiver<FailedEvent>,
    moto: Upstream,
    permissions: Arc<Permissions>,
) {
    while let Some(event) = failed.recv().await {
        let access = Access {
            action: "sqs:SendMessage".to_owned(),
            resource: event.destination,
            context: Vec::new(),
        };
        if permissions.check(&event.function, &access).is_ok() {
            let record = event.record.to_string();
            moto.send_message(&access.resource, &record, &[]).await;
        }
    }
}

/// Answers a function's output that no state may have as the error which then fails the state.
/// AWS cannot retry or catch it with `States.ALL`; moto can.
async fn within_state_limit(answer: Response<Body>) -> Response<Body> {
    let (mut head, body) = answer.into_parts();
    let payload = match axum::body::to_bytes(body, BODY_LIMIT).await {
        Ok(payload) if payload.len() <= STATE_DATA_LIMIT => {
            return Response::from_parts(head, Body::from(payload));
        }
        Ok(payload) => payload,
        Err(_) => drop_connection(),
    };
    let message = format!(
        "The function returned {} bytes, which exceeds the maximum number of bytes service limit ({STATE_DATA_LIMIT}).",
        payload.len()
    );
    let unhandled = header::HeaderValue::from_static("Unhandled");
    head.headers.insert("x-amz-function-error", unhandled);
    let error = error_payload("States.DataLimitExceeded", &message);
    Response::from_parts(head, Body::from(error))
}

/// The service and operation of a request.
fn classify(method: &Method, path: &str, headers: &HeaderMap, body: &[u8]) -> Call {
    let call = |service, operation: &str| Call {
        service,
        operation: operation.to_owned(),
    };
    if *method == Method::POST && !invoked(path).is_empty() {
        return call(Service::Lambda, "Invoke");
    }
    let target = headers
        .get("x-amz-target")
        .and_then(|target| target.to_str().ok())
        .and_then(|target| target.rsplit_once('.'));
    match target {
        Some(("KinesisAnalytics_20180523", operation)) => call(Service::Flink, operation),
        Some(("AWSStepFunctions", operation)) => call(Service::StepFunctions, operation),
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

/// The function, as it is written, in the path of an Invoke; otherwise empty.
fn invoked(path: &str) -> &str {
    path.strip_prefix("/2015-03-31/functions/")
        .and_then(|path| path.strip_suffix("/invocations"))
        .filter(|function| !function.contains('/'))
        .unwrap_or_default()
}

/// Process and path of a call of the Runtime API.
fn runtime_call(path: &str) -> Option<(u64, &str)> {
    let path = path.strip_prefix("/runtime/")?;
    let (process, _) = path.split_once('/')?;
    Some((process.parse().ok()?, &path[process.len()..]))
}

/// What a call does, in IAM's words. IAM has the name for a service for which calls are signed. What
/// names no resource here is done to all.
fn access(call: &Call, headers: &HeaderMap, path: &str, body: &[u8], account: &str) -> Access {
    let (region, service) = signed_for(headers).unwrap_or_default();
    let operation = match (service, call.operation.as_str()) {
        ("lambda", "Invoke") => "InvokeFunction",
        (_, operation) => operation,
    };
    let input: Value = serde_json::from_slice(body).unwrap_or_default();
    let field = |name: &str| input[name].as_str().map(str::to_owned);
    let arn = |rest: &str| format!("arn:aws:{service}:{region}:{account}:{rest}");
    let resource = match service {
        "kinesisanalytics" => {
            field("ApplicationName").map(|name| arn(&format!("application/{name}")))
        }
        "dynamodb" => field("TableName").map(|name| arn(&format!("table/{name}"))),
        "states" => field("executionArn").or_else(|| field("stateMachineArn")),
        "sqs" => field("QueueUrl").and_then(|url| Some(arn(url.rsplit_once('/')?.1))),
        "sns" => form_urlencoded::parse(body)
            .find_map(|(name, value)| (name == "TopicArn").then(|| value.into_owned())),
        "lambda" => {
            let target = percent_decoded(invoked(path));
            if target.starts_with("arn:") {
                Some(target)
            } else {
                Some(arn(&format!("function:{}", function_name(&target))))
            }
        }
        _ => None,
    };
    Access {
        action: format!("{service}:{operation}"),
        resource: resource.unwrap_or_else(|| arn("*")),
        context: leading_key(&input).into_iter().collect(),
    }
}

/// The partition key of the row that a call is about, as a condition asks for it.
fn leading_key(input: &Value) -> Option<(String, Vec<String>)> {
    let key = input["Key"][PARTITION_KEY]["S"].as_str()?;
    Some(("dynamodb:LeadingKeys".to_owned(), vec![key.to_owned()]))
}

/// The partition key of the only table.
const PARTITION_KEY: &str = "app_name";

/// Region and service in the scope of a request's signature.
fn signed_for(headers: &HeaderMap) -> Option<(&str, &str)> {
    let authorization = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (_, credential) = authorization.split_once("Credential=")?;
    let mut scope = credential.split('/').skip(2);
    Some((scope.next()?, scope.next()?))
}

fn is_step_functions(headers: &HeaderMap) -> bool {
    headers
        .get(header::AUTHORIZATION)
        .and_then(|authorization| authorization.to_str().ok())
        .is_some_and(|authorization| authorization.contains(STEP_FUNCTIONS_KEY))
}

/// An error as the service writes it, in the version of the protocol that the request has.
fn error_of(
    service: Service,
    status: StatusCode,
    code: &str,
    message: &str,
    request: &HeaderMap,
) -> Response<Body> {
    match service {
        Service::Lambda => error_response(status, code, message),
        Service::Query => respond(
            status,
            query_error(status, code, message).into_bytes(),
            &[("content-type", "text/xml")],
        ),
        Service::Flink | Service::StepFunctions | Service::Json | Service::Other => {
            let body = match service {
                Service::Flink => msf::error_body(code, message),
                _ => json!({"__type": code, "message": message}),
            };
            let mut response = respond(
                status,
                body.to_string().into_bytes(),
                &[
                    ("content-type", JSON_1_1),
                    ("x-amzn-requestid", &request_id()),
                    ("x-amzn-errortype", code),
                ],
            );
            if let Some(kind) = request.get(header::CONTENT_TYPE) {
                let headers = response.headers_mut();
                headers.insert(header::CONTENT_TYPE, kind.clone());
            }
            response
        }
    }
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
        request_id()
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
    fn a_request_is_classified_by_target_path_and_form() {
        let form = (
            "content-type",
            "application/x-www-form-urlencoded; charset=utf-8",
        );
        let target = |target| vec![("x-amz-target", target)];
        let invoke = "/2015-03-31/functions/arn%3Aaws%3Alambda/invocations";
        for (path, pairs, body, service, operation) in [
            (
                "/",
                target("KinesisAnalytics_20180523.CreateApplicationSnapshot"),
                "",
                Service::Flink,
                "CreateApplicationSnapshot",
            ),
            (
                "/",
                target("AWSStepFunctions.RedriveExecution"),
                "",
                Service::StepFunctions,
                "RedriveExecution",
            ),
            (
                "/",
                target("DynamoDB_20120810.UpdateItem"),
                "",
                Service::Json,
                "UpdateItem",
            ),
            (
                "/",
                target("AmazonSQS.SendMessage"),
                "",
                Service::Json,
                "SendMessage",
            ),
            (
                "/",
                vec![form],
                "Version=2010-03-31&Action=Publish&Message=x",
                Service::Query,
                "Publish",
            ),
            ("/", vec![], "Action=Publish", Service::Other, ""),
            (invoke, vec![], "{}", Service::Lambda, "Invoke"),
            (
                "/2015-03-31/functions/f/configuration",
                vec![],
                "",
                Service::Other,
                "",
            ),
            ("/moto-api/config", vec![], "{}", Service::Other, ""),
        ] {
            let call = classify(&Method::POST, path, &headers(&pairs), body.as_bytes());
            let expected = Call {
                service,
                operation: operation.to_owned(),
            };
            assert_eq!(call, expected, "{path} {pairs:?}");
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
        let lambda = "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aother%3A2%3Afunction%3Af%3Alive/invocations";
        for (service, operation, path, body, action, resource) in [
            (
                "kinesisanalytics",
                "DescribeApplication",
                "/",
                r#"{"ApplicationName":"a"}"#,
                "kinesisanalytics:DescribeApplication",
                "arn:aws:kinesisanalytics:r:1:application/a",
            ),
            (
                "dynamodb",
                "UpdateItem",
                "/",
                r#"{"TableName":"t"}"#,
                "dynamodb:UpdateItem",
                "arn:aws:dynamodb:r:1:table/t",
            ),
            (
                "states",
                "GetExecutionHistory",
                "/",
                r#"{"executionArn":"arn:e"}"#,
                "states:GetExecutionHistory",
                "arn:e",
            ),
            (
                "sqs",
                "SendMessage",
                "/",
                r#"{"QueueUrl":"http://x/1/q"}"#,
                "sqs:SendMessage",
                "arn:aws:sqs:r:1:q",
            ),
            (
                "sns",
                "Publish",
                "/",
                "Action=Publish&TopicArn=arn%3Aaws%3Asns%3Ar%3A1%3At",
                "sns:Publish",
                "arn:aws:sns:r:1:t",
            ),
            (
                "lambda",
                "Invoke",
                "/2015-03-31/functions/f/invocations",
                "{}",
                "lambda:InvokeFunction",
                "arn:aws:lambda:r:1:function:f",
            ),
            (
                "lambda",
                "Invoke",
                lambda,
                "{}",
                "lambda:InvokeFunction",
                "arn:aws:lambda:other:2:function:f:live",
            ),
            (
                "kinesisanalytics",
                "ListApplications",
                "/",
                "{}",
                "kinesisanalytics:ListApplications",
                "arn:aws:kinesisanalytics:r:1:*",
            ),
            (
                "other",
                "Do",
                "/",
                "not JSON",
                "other:Do",
                "arn:aws:other:r:1:*",
            ),
        ] {
            let call = Call {
                service: Service::Json,
                operation: operation.to_owned(),
            };
            let expected = Access {
                action: action.to_owned(),
                resource: resource.to_owned(),
                context: Vec::new(),
            };
            assert_eq!(
                access(&call, &signed(service), path, body.as_bytes(), "1"),
                expected
            );
        }
    }

    #[test]
    fn the_runtime_path_tells_the_process() {
        let next = "/2018-06-01/runtime/invocation/next";
        assert_eq!(runtime_call(&format!("/runtime/7{next}")), Some((7, next)));
        assert_eq!(runtime_call("/runtime/x/next"), None);
        assert_eq!(runtime_call("/"), None);
    }

    #[test]
    fn only_motos_step_functions_are_held_to_the_state_limit() {
        let signed = |key: &str| {
            let value =
                format!("AWS4-HMAC-SHA256 Credential={key}/20261122/us-east-1/lambda/aws4_request");
            is_step_functions(&headers(&[("authorization", value.as_str())]))
        };
        assert!(signed("ak"));
        assert!(!signed("akia"));
        assert!(!signed("LOCAL-f-1"));
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
