//! The servers that one process of a function talks to: Lambda's Runtime API, and AWS over TLS.

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

/// The certificates of Debian and Ubuntu; Fedora and Amazon Linux; openSUSE; Alpine and macOS.
const SYSTEM_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// A new certificate for localhost, and clients' trust in it.
pub(super) struct Tls {
    acceptor: TlsAcceptor,
    /// Files for `SSL_CERT_FILE`: this certificate alone, and with those of the system, as on Lambda.
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

/// The servers of one process. They stop when this is dropped.
pub(super) struct Servers {
    pub(super) runtime_api: String,
    pub(super) endpoint: String,
    work: Arc<Work>,
    /// When the function first asked for work, once it has done all of it; or the error of an invocation.
    outcome: UnboundedReceiver<Result<Instant>>,
    _tasks: JoinSet<io::Result<()>>,
}

struct Work {
    payloads: Vec<Value>,
    requests: AtomicUsize,
    first_request: OnceLock<Instant>,
    outcome: UnboundedSender<Result<Instant>>,
    /// The URL of the engine, which answers the calls of AWS.
    engine: String,
    client: reqwest::Client,
    calls: AtomicUsize,
}

impl Servers {
    /// Serves the payloads, one invocation each, and passes calls of AWS on to the engine.
    pub(super) async fn start(payloads: Vec<Value>, engine: String, tls: &Tls) -> Result<Self> {
        let (sender, outcome) = unbounded_channel();
        let work = Arc::new(Work {
            payloads,
            requests: AtomicUsize::new(0),
            first_request: OnceLock::new(),
            outcome: sender,
            engine,
            client: reqwest::Client::builder().no_proxy().build()?,
            calls: AtomicUsize::new(0),
        });
        let app = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/bench/{end}", post(end))
            .fallback(pass_on)
            .with_state(work.clone());
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
            work,
            outcome,
            _tasks: tasks,
        })
    }

    /// Waits until all work is done. Returns when the function first asked for work, and the number of its AWS calls.
    pub(super) async fn finished(&mut self) -> Result<(Instant, usize)> {
        let outcome = self.outcome.recv().await;
        let first_request = outcome.context("the servers have stopped")??;
        Ok((first_request, self.work.calls.load(Ordering::Relaxed)))
    }
}

async fn next(State(work): State<Arc<Work>>) -> ([(&'static str, &'static str); 2], String) {
    let first_request = *work.first_request.get_or_init(Instant::now);
    let request = work.requests.fetch_add(1, Ordering::Relaxed);
    let Some(payload) = work.payloads.get(request) else {
        let _ = work.outcome.send(Ok(first_request));
        return std::future::pending().await;
    };
    let headers = [
        ("lambda-runtime-aws-request-id", "bench"),
        // The year 2100.
        ("lambda-runtime-deadline-ms", "4102444800000"),
    ];
    (headers, payload.to_string())
}

async fn end(State(work): State<Arc<Work>>, Path(end): Path<String>, body: String) -> StatusCode {
    if end != "response" {
        let _ = work.outcome.send(Err(Error::msg(body)));
    }
    StatusCode::ACCEPTED
}

async fn pass_on(
    State(work): State<Arc<Work>>,
    method: Method,
    uri: Uri,
    mut headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, HeaderMap, Bytes), (StatusCode, String)> {
    work.calls.fetch_add(1, Ordering::Relaxed);
    // The engine refuses calls to other hosts.
    headers.remove(header::HOST);
    let failed = |error: reqwest::Error| (StatusCode::BAD_GATEWAY, error.to_string());
    let call = work.client.request(method, format!("{}{uri}", work.engine));
    let answer = call.headers(headers).body(body).send();
    let answer = answer.await.map_err(failed)?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    Ok((status, headers, answer.bytes().await.map_err(failed)?))
}

/// Decrypts connections and passes them on to a server without TLS.
async fn decrypt(tcp: TcpListener, tls: TlsAcceptor, server: SocketAddr) -> io::Result<()> {
    loop {
        let (connection, _) = tcp.accept().await?;
        let mut plain = TcpStream::connect(server).await?;
        // Without this, small answers wait 40 ms for the client's acknowledgement.
        connection.set_nodelay(true)?;
        plain.set_nodelay(true)?;
        // A client that does not trust the certificate reports that itself.
        if let Ok(mut secured) = tls.accept(connection).await {
            tokio::spawn(async move { copy_bidirectional(&mut secured, &mut plain).await });
        }
    }
}
