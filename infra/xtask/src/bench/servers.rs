//! The two servers that one process of a function talks to: the Runtime API of Lambda, and an HTTPS endpoint for AWS.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use anyhow::{Context, Error, Result};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

/// Where systems keep their certificates: Debian and Ubuntu; Fedora and Amazon Linux; openSUSE; Alpine and macOS.
const SYSTEM_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// A new certificate for localhost, and trust stores that contain it.
pub(super) struct Tls {
    acceptor: TlsAcceptor,
    /// Two files for `SSL_CERT_FILE`: one with this certificate alone, and one that also has the certificates of the
    /// system, as on Lambda.
    pub(super) trust_stores: [PathBuf; 2],
    _folder: TempDir,
}

impl Tls {
    pub(super) fn new() -> Result<Self> {
        let names = ["localhost".to_owned()];
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names)?;
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], signing_key.into())?;
        let mut bundles = SYSTEM_BUNDLES.iter();
        let system = bundles.find_map(|path| std::fs::read_to_string(path).ok());
        let folder = tempfile::tempdir()?;
        let trust_stores = ["one-ca.pem", "all-cas.pem"].map(|name| folder.path().join(name));
        std::fs::write(&trust_stores[0], cert.pem())?;
        let all = system.unwrap_or_default() + "\n" + &cert.pem();
        std::fs::write(&trust_stores[1], all)?;
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            trust_stores,
            _folder: folder,
        })
    }
}

/// The servers for one process. They stop when this value is dropped.
pub(super) struct Servers {
    /// The address of the Runtime API, for `AWS_LAMBDA_RUNTIME_API`.
    pub(super) runtime_api: String,
    /// The HTTPS endpoint, for `AWS_ENDPOINT_URL`.
    pub(super) endpoint: String,
    shared: Arc<Shared>,
    /// When the function first asked for an invocation. It is sent after the function has finished all invocations, or
    /// an error if an invocation fails.
    outcome: UnboundedReceiver<Result<Instant>>,
    _tasks: JoinSet<io::Result<()>>,
}

/// What the servers share.
struct Shared {
    payloads: Vec<Value>,
    /// How often the function has asked for an invocation.
    requests: AtomicUsize,
    first_request: OnceLock<Instant>,
    outcome: UnboundedSender<Result<Instant>>,
    /// The URL of the engine, to which the AWS calls are passed on.
    engine: String,
    client: reqwest::Client,
    /// How many AWS calls the function has made.
    calls: AtomicUsize,
}

impl Servers {
    /// Starts the servers. They serve one invocation for each payload, and pass AWS calls on to the engine.
    pub(super) async fn start(payloads: Vec<Value>, engine: String, tls: &Tls) -> Result<Self> {
        let (sender, outcome) = unbounded_channel();
        let shared = Arc::new(Shared {
            payloads,
            requests: AtomicUsize::new(0),
            first_request: OnceLock::new(),
            outcome: sender,
            engine,
            client: reqwest::Client::builder().no_proxy().build()?,
            calls: AtomicUsize::new(0),
        });
        let app = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next_invocation))
            .route(
                "/2018-06-01/runtime/invocation/bench/{end}",
                post(end_invocation),
            )
            .fallback(pass_on)
            .with_state(shared.clone());
        let plain = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let secured = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = plain.local_addr()?;
        let endpoint = format!("https://localhost:{}", secured.local_addr()?.port());
        let plain = plain.tap_io(|connection| drop(connection.set_nodelay(true)));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(plain, app).await });
        tasks.spawn(decrypt(secured, tls.acceptor.clone(), address));
        Ok(Self {
            runtime_api: address.to_string(),
            endpoint,
            shared,
            outcome,
            _tasks: tasks,
        })
    }

    /// Waits until all invocations have ended. Returns when the function first asked for one, and how many AWS calls it
    /// made.
    pub(super) async fn finished(&mut self) -> Result<(Instant, usize)> {
        let outcome = self.outcome.recv().await;
        let first_request = outcome.context("the servers have stopped")??;
        Ok((first_request, self.shared.calls.load(Ordering::Relaxed)))
    }
}

async fn next_invocation(
    State(shared): State<Arc<Shared>>,
) -> ([(&'static str, &'static str); 2], String) {
    let first_request = *shared.first_request.get_or_init(Instant::now);
    let request = shared.requests.fetch_add(1, Ordering::Relaxed);
    let Some(payload) = shared.payloads.get(request) else {
        let _ = shared.outcome.send(Ok(first_request));
        return std::future::pending().await;
    };
    let headers = [
        ("lambda-runtime-aws-request-id", "bench"),
        // A time in the year 2100.
        ("lambda-runtime-deadline-ms", "4102444800000"),
    ];
    (headers, payload.to_string())
}

async fn end_invocation(
    State(shared): State<Arc<Shared>>,
    Path(end): Path<String>,
    body: String,
) -> StatusCode {
    if end != "response" {
        let _ = shared.outcome.send(Err(Error::msg(body)));
    }
    StatusCode::ACCEPTED
}

async fn pass_on(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    mut headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, HeaderMap, Bytes), (StatusCode, String)> {
    shared.calls.fetch_add(1, Ordering::Relaxed);
    // The engine refuses a call with the name of another host.
    headers.remove(header::HOST);
    let failed = |error: reqwest::Error| (StatusCode::BAD_GATEWAY, error.to_string());
    let call = shared
        .client
        .request(method, format!("{}{uri}", shared.engine));
    let answer = call.headers(headers).body(body).send();
    let answer = answer.await.map_err(failed)?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    Ok((status, headers, answer.bytes().await.map_err(failed)?))
}

/// Accepts TLS connections, and passes their decrypted content on to a server without TLS.
async fn decrypt(tcp: TcpListener, tls: TlsAcceptor, server: SocketAddr) -> io::Result<()> {
    loop {
        let (connection, _) = tcp.accept().await?;
        let mut plain = TcpStream::connect(server).await?;
        // Without this, a small response waits 40 ms for the client's acknowledgement.
        connection.set_nodelay(true)?;
        plain.set_nodelay(true)?;
        // If the handshake fails, for example because the client does not trust the certificate, the client reports it.
        if let Ok(mut secured) = tls.accept(connection).await {
            tokio::spawn(async move { copy_bidirectional(&mut secured, &mut plain).await });
        }
    }
}
