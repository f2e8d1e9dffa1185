//! The single endpoint for all services. For each call, the proxy finds out which function makes it. It refuses calls
//! that the function's role does not allow, and requests from web pages. It injects faults for tests. Unless a fault
//! stops a call, the proxy passes the call on to the emulator of Managed Flink or to MiniStack.
//!
//! Each function process calls an address of its own, `<endpoint>/_caller/<function>/<process id>`. Every other caller
//! is a client. Permissions and faults apply only to functions.

mod answer;
mod call;
mod caller;

use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Error, Result};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use axum::serve::ListenerExt;
use axum::{Json, Router};
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use self::answer::{JSON_1_1, error_response, response_with, with_request_id};
use self::call::{Call, Service, access, classify, may_change_roles, uses_of_key};
pub use self::caller::CALLER_PREFIX;
use self::caller::{caller, refuse_web_page};
use crate::Connection;
use crate::faults::{FaultKind, Faults};
use crate::lock;
use crate::ministack::Upstream;
use crate::msf::{Emulator, ServiceError};
use crate::permissions::{Access, Permissions};

/// The largest request body. It is enough for the upload of a function's package; the bodies of other requests are at
/// most 6 MB, the limit of Lambda.
const BODY_LIMIT: usize = 64 * 1024 * 1024;
/// The path at which the proxy serves the [`Connection`].
pub(crate) const CONNECTION_PATH: &str = "/_names";

/// A port on 127.0.0.1 that is reserved for the proxy, before the proxy serves it.
pub(crate) struct BoundListener {
    listener: TcpListener,
    port: u16,
}

/// A running proxy. It serves until it is dropped.
pub struct Proxy {
    services: Arc<ProxyState>,
    server: JoinHandle<std::io::Result<()>>,
}

struct ProxyState {
    port: u16,
    connection: Connection,
    emulator: Arc<Mutex<Emulator>>,
    faults: Faults,
    permissions: Permissions,
    /// Whether a client has made a call that may change roles, directly or through CloudFormation. It is never reset to
    /// false, because CloudFormation goes on to change the stack after it has answered the call.
    roles_may_have_changed: AtomicBool,
    ministack: Upstream,
}

impl BoundListener {
    pub(crate) async fn new(port: Option<u16>) -> Result<Self> {
        let wanted = port.unwrap_or(0);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, wanted)).await;
        let listener = listener.map_err(|error| {
            let hint = hint(error.kind());
            Error::from(error).context(format!("port {wanted} of 127.0.0.1 cannot be used{hint}"))
        })?;
        let port = listener.local_addr()?.port();
        Ok(Self { listener, port })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The beginning of `AWS_ENDPOINT_URL` for a process of the function. The process appends its id.
    pub(crate) fn endpoint_of(&self, function: &str) -> String {
        format!("{}{CALLER_PREFIX}{function}", self.endpoint())
    }

    pub(crate) fn serve(
        self,
        connection: Connection,
        permissions: Permissions,
        emulator: Emulator,
        ministack: Upstream,
    ) -> Proxy {
        let services = Arc::new(ProxyState {
            port: self.port,
            connection,
            emulator: Arc::new(Mutex::new(emulator)),
            faults: Faults::default(),
            permissions,
            roles_may_have_changed: AtomicBool::new(false),
            ministack,
        });
        let app = Router::new().fallback(serve).with_state(services.clone());
        // Without this, a small response waits 40 ms for the client's acknowledgement.
        let listener = self
            .listener
            .tap_io(|connection| drop(connection.set_nodelay(true)));
        let server = tokio::spawn(async move { axum::serve(listener, app).await });
        Proxy { services, server }
    }
}

impl Proxy {
    pub fn faults(&self) -> &Faults {
        &self.services.faults
    }

    pub fn permissions(&self) -> &Permissions {
        &self.services.permissions
    }

    pub fn emulator(&self) -> &Mutex<Emulator> {
        &self.services.emulator
    }

    /// Stops the proxy and waits until its port is free.
    pub(crate) async fn stop(mut self) {
        self.server.abort();
        // The only error is that the task was aborted.
        let _ = (&mut self.server).await;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(State(services): State<Arc<ProxyState>>, request: Request) -> Response<Body> {
    let (mut head, body) = request.into_parts();
    if let Err(reason) = refuse_web_page(services.port, &head.headers) {
        return response_with(StatusCode::FORBIDDEN, reason, "text/plain");
    }
    if head.uri.path() == CONNECTION_PATH {
        return Json(&services.connection).into_response();
    }
    let Ok(body) = axum::body::to_bytes(body, BODY_LIMIT).await else {
        return response_with(StatusCode::PAYLOAD_TOO_LARGE, Vec::new(), "text/plain");
    };
    let body = Vec::from(body);
    let caller = match caller(&head.uri) {
        Ok(caller) => caller.map(|(caller, rest)| {
            head.uri = rest;
            caller
        }),
        Err(reason) => return response_with(StatusCode::BAD_REQUEST, reason, "text/plain"),
    };
    let call = classify(&head.headers, &body);
    let access = access(&call, &head.headers, &body);
    let Some(caller) = caller else {
        if may_change_roles(&access) {
            services
                .roles_may_have_changed
                .store(true, Ordering::Relaxed);
        }
        return services.dispatch(&call, &head, body).await;
    };
    if let Err(error) = services.update_roles().await {
        return internal_failure(&call, &head, &error);
    }
    let key_uses = services.key_uses(&call, &access.resource);
    let mut accesses = std::iter::once(&access).chain(&key_uses);
    let checked = accesses.try_for_each(|it| services.permissions.check(&caller.function, it));
    if let Err(message) = checked {
        let (status, code) = match call.service {
            Service::Query => (403, "AuthorizationError"),
            _ => (400, "AccessDeniedException"),
        };
        let denied = ServiceError::new(code, status, message);
        return error_response(call.service, &denied, &head.headers);
    }
    let faults = &services.faults;
    let fault = faults.take(&caller.function, &call.operation, &body);
    let call_service = |body| services.dispatch(&call, &head, body);
    match fault {
        None => call_service(body).await,
        Some(FaultKind::Delay(delay)) => {
            tokio::time::sleep(delay).await;
            call_service(body).await
        }
        Some(FaultKind::Error(error)) => error_response(call.service, &error, &head.headers),
        Some(FaultKind::NotJson) => {
            let page = "<html><body>A proxy was here.</body></html>";
            response_with(StatusCode::OK, page, "text/html")
        }
        Some(FaultKind::DropBefore) => drop_connection(),
        Some(FaultKind::DropAfter) => {
            call_service(body).await;
            drop_connection()
        }
        Some(FaultKind::KillBefore) => {
            caller.kill();
            drop_connection()
        }
        Some(FaultKind::KillAfter) => {
            call_service(body).await;
            caller.kill();
            drop_connection()
        }
    }
}

fn hint(cause: ErrorKind) -> &'static str {
    match cause {
        ErrorKind::AddrInUse => {
            " (a program listens on it, perhaps another engine; choose another port)"
        }
        ErrorKind::PermissionDenied => {
            " (this user may not listen on it; choose a port from 1024 on)"
        }
        _ => "",
    }
}

/// Closes the connection without a response: unwinding ends the task that serves the connection, which drops the
/// socket. It does not panic, because a panic would print a message.
fn drop_connection() -> ! {
    std::panic::resume_unwind(Box::new("a fault dropped the connection"))
}

impl ProxyState {
    /// The uses of the application's key that a call causes, if the call takes a snapshot of an application with a
    /// customer managed key.
    fn key_uses(&self, call: &Call, application_arn: &str) -> Vec<Access> {
        if call.service != Service::Flink || call.operation != "CreateApplicationSnapshot" {
            return Vec::new();
        }
        let key_arn = lock(&self.emulator).key_of(application_arn);
        key_arn.map_or_else(Vec::new, |key| uses_of_key(&key, application_arn).into())
    }

    /// Reads the policies of the roles again, if a client may have changed them.
    async fn update_roles(&self) -> Result<()> {
        if self.roles_may_have_changed.load(Ordering::Relaxed) {
            self.permissions.update(self.ministack.policies().await?)?;
        }
        Ok(())
    }

    async fn dispatch(&self, call: &Call, head: &Parts, body: Vec<u8>) -> Response<Body> {
        if call.service == Service::Flink {
            self.flink(&call.operation, head, &body)
        } else {
            self.pass_on(call, head, body).await
        }
    }

    fn flink(&self, operation: &str, head: &Parts, body: &[u8]) -> Response<Body> {
        let mut emulator = lock(&self.emulator);
        match emulator.call(operation, body, Timestamp::now()) {
            Ok(output) => {
                with_request_id(response_with(StatusCode::OK, output.to_string(), JSON_1_1))
            }
            Err(error) => error_response(Service::Flink, &error, &head.headers),
        }
    }

    async fn pass_on(&self, call: &Call, head: &Parts, body: Vec<u8>) -> Response<Body> {
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let forward = self
            .ministack
            .forward(head.method.clone(), path, &head.headers, body);
        let answer = forward.await;
        answer.unwrap_or_else(|error| internal_failure(call, head, &error))
    }
}

/// The response to a call if MiniStack does not answer.
fn internal_failure(call: &Call, head: &Parts, error: &Error) -> Response<Body> {
    let failure = ServiceError::new("InternalFailure", 500, format!("MiniStack: {error:#}"));
    error_response(call.service, &failure, &head.headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_error_for_a_port_that_cannot_be_bound_has_a_hint_about_the_cause() {
        let taken = BoundListener::new(None).await.unwrap();
        let error = BoundListener::new(Some(taken.port())).await.err().unwrap();
        let message = format!("{error:#}");
        let fact = format!("port {} of 127.0.0.1 cannot be used", taken.port());
        assert!(message.starts_with(&fact), "{message}");
        assert!(message.contains("perhaps another engine"), "{message}");
        // A test cannot know which ports its user may not use.
        assert!(hint(ErrorKind::PermissionDenied).contains("may not listen"));
        assert_eq!(hint(ErrorKind::AddrNotAvailable), "");
    }
}
