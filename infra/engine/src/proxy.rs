//! The one address of all services. The proxy knows which function calls, refuses what the function's role does not
//! allow and what web pages send, applies faults, and passes the call on: to our Managed Flink, or to MiniStack.
//!
//! A function's own address is `<endpoint>/_caller/<function>/<process id>`. Every other caller is a client. Permissions
//! and faults apply to functions alone.

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

use self::answer::{JSON_1_1, error_of, respond, with_request_id};
use self::call::{Call, Service, access, classify, may_change_roles, uses_of_key};
pub use self::caller::CALLER;
use self::caller::{caller, guard};
use crate::Names;
use crate::faults::{FaultKind, Faults};
use crate::lock;
use crate::ministack::Upstream;
use crate::msf::{Emulator, ServiceError};
use crate::permissions::{Access, Permissions};

/// Enough for a function's package. Other requests have at most the 6 MB of Lambda.
const BODY_LIMIT: usize = 64 * 1024 * 1024;
/// Where a client finds the names of what is deployed.
pub(crate) const NAMES: &str = "/_names";

/// A listener on 127.0.0.1 that does not serve yet.
pub(crate) struct Bound {
    listener: TcpListener,
    port: u16,
}

/// A proxy, which serves until it is dropped.
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
    /// Whether a client has changed roles, or the stack. A stack changes for a while after the call, so this stays.
    are_roles_changed: AtomicBool,
    ministack: Upstream,
}

impl Bound {
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

    /// `AWS_ENDPOINT_URL` for a process of the function, without the process id.
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
            are_roles_changed: AtomicBool::new(false),
            ministack,
        });
        let app = Router::new().fallback(serve).with_state(services.clone());
        // Otherwise small answers wait 40 ms for the client's acknowledgement.
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

    /// Stops it and waits until the port is free.
    pub(crate) async fn stop(mut self) {
        self.server.abort();
        // The error is that it was aborted.
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
    if let Err(reason) = guard(services.port, &head.headers) {
        return respond(StatusCode::FORBIDDEN, reason, "text/plain");
    }
    if head.uri.path() == NAMES {
        return Json(&services.names).into_response();
    }
    let Ok(body) = axum::body::to_bytes(body, BODY_LIMIT).await else {
        return respond(StatusCode::PAYLOAD_TOO_LARGE, Vec::new(), "text/plain");
    };
    let body = Vec::from(body);
    let caller = match caller(&head.uri) {
        Ok(caller) => caller.map(|(caller, rest)| {
            head.uri = rest;
            caller
        }),
        Err(reason) => return respond(StatusCode::BAD_REQUEST, reason, "text/plain"),
    };
    let call = classify(&head.headers, &body);
    let access = access(&call, &head.headers, &body);
    let Some(caller) = caller else {
        if may_change_roles(&access) {
            services.are_roles_changed.store(true, Ordering::Relaxed);
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
        return error_of(call.service, &denied, &head.headers);
    }
    let faults = &services.faults;
    let fault = faults.take(&caller.function, &call.operation, &body);
    let effect = |body| services.dispatch(&call, &head, body);
    match fault {
        None => effect(body).await,
        Some(FaultKind::Delay(delay)) => {
            tokio::time::sleep(delay).await;
            effect(body).await
        }
        Some(FaultKind::Error(error)) => error_of(call.service, &error, &head.headers),
        Some(FaultKind::NotJson) => {
            let page = "<html><body>A proxy was here.</body></html>";
            respond(StatusCode::OK, page, "text/html")
        }
        Some(FaultKind::DropBefore) => drop_connection(),
        Some(FaultKind::DropAfter) => {
            effect(body).await;
            drop_connection()
        }
        Some(FaultKind::KillBefore) => {
            caller.kill();
            drop_connection()
        }
        Some(FaultKind::KillAfter) => {
            effect(body).await;
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

/// Closes the connection without an answer: the task that serves it unwinds and drops the socket. A panic would also
/// print.
fn drop_connection() -> ! {
    std::panic::resume_unwind(Box::new("a fault dropped the connection"))
}

impl Services {
    /// What a call does with the key of the application that is its resource.
    fn key_uses(&self, call: &Call, application_arn: &str) -> Vec<Access> {
        if call.service != Service::Flink || call.operation != "CreateApplicationSnapshot" {
            return Vec::new();
        }
        let key_arn = lock(&self.emulator).key_of(application_arn);
        key_arn.map_or_else(Vec::new, |key| uses_of_key(&key, application_arn).into())
    }

    /// Reads the roles' policies again if a client may have changed them.
    async fn update_roles(&self) -> Result<()> {
        if self.are_roles_changed.load(Ordering::Relaxed) {
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
            Ok(output) => with_request_id(respond(StatusCode::OK, output.to_string(), JSON_1_1)),
            Err(error) => error_of(Service::Flink, &error, &head.headers),
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

/// The answer if MiniStack does not answer.
fn internal_failure(call: &Call, head: &Parts, error: &Error) -> Response<Body> {
    let failure = ServiceError::new("InternalFailure", 500, format!("MiniStack: {error:#}"));
    error_of(call.service, &failure, &head.headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_that_cannot_be_bound_comes_with_a_hint_for_the_cause_that_was_seen() {
        let taken = Bound::new(None).await.unwrap();
        let error = Bound::new(Some(taken.port())).await.err().unwrap();
        let message = format!("{error:#}");
        let fact = format!("port {} of 127.0.0.1 cannot be used", taken.port());
        assert!(message.starts_with(&fact), "{message}");
        assert!(message.contains("perhaps another engine"), "{message}");
        // A test cannot know which ports are forbidden to its user.
        assert!(hint(ErrorKind::PermissionDenied).contains("may not listen"));
        assert_eq!(hint(ErrorKind::AddrNotAvailable), "");
    }
}
