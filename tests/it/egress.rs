//! The way out to endpoints: what is dialled, by what TLS, from where, through which proxy, and what is kept of answers.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hookward::egress::{Bind, Exchange, ExchangeError, Exit, Guard, Pool, Proxy, Remote, Resolver, Roots, Url};
use hookward::network::parse_net;
use http::Request;
use http_body_util::Full;
use hyper::body::Bytes;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// What a server saw: who connected, what was asked, and how many connections have ended.
#[derive(Debug, Clone, Default)]
struct Seen {
    peers: Arc<Mutex<Vec<SocketAddr>>>,
    heads: Arc<Mutex<Vec<String>>>,
    ended: Arc<AtomicUsize>,
}

impl Seen {
    fn connections(&self) -> usize {
        self.peers.lock().expect("no panic").len()
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().expect("no panic").clone()
    }
}

/// An endpoint on all of this machine's IPv4 addresses that answers every request with the same bytes.
struct Endpoint {
    port: u16,
    seen: Seen,
}

impl Endpoint {
    async fn start(answer: impl Into<Vec<u8>>, tls: Option<ServerConfig>) -> Self {
        hookward::egress::install_crypto();
        let listener = TcpListener::bind("0.0.0.0:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (seen, answer) = (Seen::default(), Arc::new(answer.into()));
        let acceptor = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
        let theirs = seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, peer)) = listener.accept().await {
                theirs.peers.lock().expect("no panic").push(peer);
                let (seen, answer, acceptor) = (theirs.clone(), Arc::clone(&answer), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => converse(stream, &answer, &seen).await,
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                converse(stream, &answer, &seen).await;
                            }
                        }
                    }
                    seen.ended.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        Self { port, seen }
    }
}

/// Answers one request after the other until the other side ends the connection.
async fn converse(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &[u8], seen: &Seen) {
    while let Some(head) = read_head(&mut stream).await {
        seen.heads.lock().expect("no panic").push(head);
        if stream.write_all(answer).await.is_err() || !answer.windows(14).any(|part| part == b"Content-Length") {
            return;
        }
    }
}

async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

/// A certificate authority.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate"))
    }

    fn roots(&self) -> Roots {
        hookward::egress::install_crypto();
        Roots::from_pem(self.0.pem().as_bytes()).expect("roots")
    }

    /// Certificate and key for `name`, as PEM.
    fn leaf(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        (params.signed_by(&key, &self.0).expect("a certificate").pem(), key.serialize_pem())
    }

    /// A server called `name`, that wants a certificate of `clients` if there is one.
    fn server(&self, name: &str, clients: Option<&Authority>) -> ServerConfig {
        server(self.leaf(name), clients)
    }
}

fn server((certificate, key): (String, String), clients: Option<&Authority>) -> ServerConfig {
    hookward::egress::install_crypto();
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM");
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
    let builder = match clients {
        None => ServerConfig::builder().with_no_client_auth(),
        Some(clients) => {
            let mut roots = RootCertStore::empty();
            roots.add(clients.0.der().clone()).expect("a certificate");
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().expect("a verifier");
            ServerConfig::builder().with_client_cert_verifier(verifier)
        }
    };
    builder.with_single_cert(vec![certificate], key).expect("a certificate with its key")
}

/// A way out on which every name means what `names` says, and `allow` may be reached.
fn exit(allow: &str, roots: Roots, names: impl Fn(u16) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static) -> Exit {
    let guard =
        Guard { allow: vec![parse_net(allow).expect("a network")].into(), plain_http: true, ..Guard::default() };
    let resolver = Resolver::Fixed(Arc::new(move |_: &str, port| names(port)));
    Exit { resolver, ..Exit::guarded(guard, roots, Duration::from_secs(5)) }
}

/// The same where every name means 127.0.0.1, which is allowed.
fn local(roots: Roots) -> Exit {
    exit("127.0.0.0/8", roots, |port| Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))]))
}

fn pool(exit: &Exit, url: &str) -> Pool {
    Pool::through(exit.clone(), Url::parse(url).expect("a URL").target)
}

async fn get(pool: &Pool) -> Result<Exchange, ExchangeError> {
    let request = Request::get("/").header("host", "hook.example").body(Full::new(Bytes::new())).expect("a request");
    pool.exchange(request, Duration::from_secs(5)).await
}

fn said(error: &ExchangeError) -> String {
    format!("{error}: {}", std::error::Error::source(error).map(ToString::to_string).unwrap_or_default())
}

#[tokio::test]
async fn a_name_that_comes_to_mean_another_address_is_not_dialled() {
    let endpoint = Endpoint::start("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", None).await;
    let asked = AtomicUsize::new(0);
    let exit = exit("127.0.0.2", Authority::new().roots(), move |port| {
        let last = if asked.fetch_add(1, Ordering::SeqCst) == 0 { 2 } else { 1 };
        Ok(vec![SocketAddr::from(([127, 0, 0, last], port))])
    });
    let url = format!("http://rebind.example.com:{}/", endpoint.port);
    assert!(exit.guard.as_ref().expect("a guard").parse(&url).is_ok());
    let pool = pool(&exit, &url);
    assert_eq!(get(&pool).await.expect("an answer").status(), 200);
    let error = get(&pool).await.expect_err("another address");
    assert!(matches!(error, ExchangeError::Refused { .. }) && !error.is_ambiguous(), "{error:?}");
    assert_eq!(
        said(&error),
        format!(
            "not sent to rebind.example.com:{}: 127.0.0.1 is loopback (RFC 1122), which [egress] allow does not name",
            endpoint.port
        )
    );
    assert_eq!(endpoint.seen.connections(), 1);
}

#[tokio::test]
async fn no_address_is_dialled_if_one_is_forbidden() {
    let endpoint = Endpoint::start(OK, None).await;
    let exit = exit("127.0.0.2", Authority::new().roots(), |port| {
        Ok([2, 1].map(|last| SocketAddr::from(([127, 0, 0, last], port))).to_vec())
    });
    let error = get(&pool(&exit, &format!("http://both.example.com:{}/", endpoint.port))).await.expect_err("refused");
    assert!(matches!(error, ExchangeError::Refused { .. }), "{error:?}");
    for literal in ["127.0.0.1", "[::ffff:127.0.0.1]"] {
        let error = get(&pool(&exit, &format!("http://{literal}:{}/", endpoint.port))).await.expect_err("refused");
        assert!(matches!(error, ExchangeError::Refused { .. }), "{error:?}");
    }
    assert_eq!(endpoint.seen.connections(), 0);
}

#[tokio::test]
async fn a_name_that_is_gone_is_told_from_a_resolver_that_is_silent() {
    let error = |kind: io::ErrorKind| async move {
        let exit = exit("127.0.0.1", Authority::new().roots(), move |_| Err(kind.into()));
        get(&pool(&exit, "http://gone.example.com/")).await.expect_err("no address")
    };
    assert!(matches!(error(io::ErrorKind::NotFound).await, ExchangeError::UnknownName { .. }));
    let silent = error(io::ErrorKind::TimedOut).await;
    assert!(matches!(silent, ExchangeError::Resolve { .. }) && silent.is_timeout(), "{silent:?}");
    let exit = exit("127.0.0.1", Authority::new().roots(), |_| Ok(Vec::new()));
    let error = get(&pool(&exit, "http://empty.example.com/")).await.expect_err("no address");
    assert!(matches!(error, ExchangeError::UnknownName { .. }), "{error:?}");
}

#[tokio::test]
async fn only_certificates_that_somebody_vouches_for_are_taken() {
    let (ours, other) = (Authority::new(), Authority::new());
    let both = ours.roots().and_pem(other.0.pem().as_bytes()).expect("roots");
    let endpoint = Endpoint::start(OK, Some(other.server("hook.example.com", None))).await;
    let url = format!("https://hook.example.com:{}/", endpoint.port);
    assert_eq!(get(&pool(&local(both.clone()), &url)).await.expect("an answer").status(), 200);

    let alone = {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["hook.example.com".to_owned()]).expect("parameters");
        (params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
    };
    let self_signed = Endpoint::start(OK, Some(server(alone, None))).await;
    for (roots, url) in [
        (ours.roots(), url.clone()),
        (both.clone(), url.replace("hook.", "other.")),
        (both.clone(), format!("https://hook.example.com:{}/", self_signed.port)),
    ] {
        let error = get(&pool(&local(roots), &url)).await.expect_err("no trust");
        assert!(matches!(error, ExchangeError::Tls { .. }) && !error.is_ambiguous(), "{error:?}");
        assert!(said(&error).starts_with("no tls with ") && said(&error).contains("certificate"), "{}", said(&error));
    }
    assert_eq!((endpoint.seen.heads().len(), self_signed.seen.heads().len()), (1, 0));
    // Without anything to check it by, nothing is sent in the clear.
    let error = get(&pool(&Exit { roots: None, ..local(both) }, &url)).await.expect_err("no roots");
    assert!(matches!(error, ExchangeError::Tls { .. }), "{error:?}");
}

#[tokio::test]
async fn tls_below_1_2_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut hello = [0; 4096];
        let _ = stream.read(&mut hello).await;
        // A ServerHello of TLS 1.1: version, random, no session, TLS_RSA_WITH_AES_128_CBC_SHA, no compression.
        let mut record = vec![22, 3, 2, 0, 42, 2, 0, 0, 38, 3, 2];
        record.extend([7; 32]);
        record.extend([0, 0, 0x2f, 0]);
        let _ = stream.write_all(&record).await;
        let _ = stream.read(&mut hello).await;
    });
    let url = format!("https://old.example.com:{port}/");
    let error = get(&pool(&local(Authority::new().roots()), &url)).await.expect_err("too old");
    assert!(matches!(error, ExchangeError::Tls { .. }), "{error:?}");
    assert!(said(&error).to_lowercase().contains("tls"), "{}", said(&error));
}

#[tokio::test]
async fn a_certificate_of_our_own_is_shown_to_those_who_ask() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let endpoint = Endpoint::start(OK, Some(servers.server("hook.example.com", Some(&clients)))).await;
    let url = format!("https://hook.example.com:{}/", endpoint.port);
    let (certificate, key) = clients.leaf("sender");
    let showing = servers.roots().showing(certificate.as_bytes(), key.as_bytes()).expect("an identity");
    assert_eq!(get(&pool(&local(showing), &url)).await.expect("an answer").status(), 200);

    let (certificate, key) = servers.leaf("sender");
    let unknown = servers.roots().showing(certificate.as_bytes(), key.as_bytes()).expect("an identity");
    for roots in [servers.roots(), unknown] {
        let error = get(&pool(&local(roots), &url)).await.expect_err("turned away");
        assert!(matches!(error, ExchangeError::Tls { .. }) && !error.is_ambiguous(), "{error:?}");
    }
    assert_eq!(endpoint.seen.heads().len(), 1);
    assert!(
        servers
            .roots()
            .showing(certificate.as_bytes(), KeyPair::generate().expect("a key").serialize_pem().as_bytes())
            .is_err()
    );
}

#[tokio::test]
async fn connections_come_from_the_address_that_was_named() {
    let endpoint = Endpoint::start(OK, None).await;
    let bind = Bind::new(&["127.0.0.9".parse::<IpAddr>().expect("an address")]).expect("one");
    let exit = Exit { bind, ..local(Authority::new().roots()) };
    get(&pool(&exit, &format!("http://hook.example.com:{}/", endpoint.port))).await.expect("an answer");
    let peers = endpoint.seen.peers.lock().expect("no panic").clone();
    assert_eq!(peers.iter().map(|peer| peer.ip().to_string()).collect::<Vec<_>>(), ["127.0.0.9"]);

    let resolver =
        Resolver::Fixed(Arc::new(|_: &str, port| Ok(vec![SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], port))])));
    let guard =
        Guard { allow: vec![parse_net("::1").expect("a network")].into(), plain_http: true, ..Guard::default() };
    let six = Exit { resolver, guard: Some(Arc::new(guard)), ..exit };
    let error = get(&pool(&six, &format!("http://six.example.com:{}/", endpoint.port))).await.expect_err("no source");
    assert!(said(&error).contains("[egress] bind names no IPv6 address"), "{}", said(&error));
}

#[tokio::test]
async fn an_address_that_is_silent_leaves_time_for_the_next() {
    let endpoint = Endpoint::start(OK, None).await;
    // A listener whose queue is full does not answer.
    let silent = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    silent.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
    silent.listen(0).expect("a queue");
    let full = silent.local_addr().expect("an address").as_socket().expect("IPv4");
    let filling: Vec<_> = (0..4).map(|_| tokio::spawn(TcpStream::connect(full))).collect();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let open = endpoint.port;
    let exit = Exit {
        connect_timeout: Duration::from_millis(600),
        ..exit("127.0.0.0/8", Authority::new().roots(), move |_| {
            Ok(vec![full, SocketAddr::from(([127, 0, 0, 1], open))])
        })
    };
    let begun = Instant::now();
    assert_eq!(get(&pool(&exit, "http://hook.example.com/")).await.expect("an answer").status(), 200);
    assert!(begun.elapsed() < Duration::from_millis(600), "{:?}", begun.elapsed());
    filling.into_iter().for_each(|task| task.abort());
}

/// A proxy that leads every tunnel to `port`, or answers `refusal` instead.
async fn proxy(port: u16, refusal: Option<&'static str>) -> (SocketAddr, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let seen = Seen::default();
    let theirs = seen.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, peer)) = listener.accept().await {
            theirs.peers.lock().expect("no panic").push(peer);
            let Some(head) = read_head(&mut stream).await else { continue };
            theirs.heads.lock().expect("no panic").push(head);
            if let Some(refusal) = refusal {
                let _ = stream.write_all(format!("HTTP/1.1 {refusal}\r\nContent-Length: 0\r\n\r\n").as_bytes()).await;
                continue;
            }
            tokio::spawn(async move {
                let mut onward = TcpStream::connect(("127.0.0.1", port)).await?;
                stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
                copy_bidirectional(&mut stream, &mut onward).await
            });
        }
    });
    (address, seen)
}

/// A way out through a proxy at `place`: names are none of its own business.
fn through(place: &str, roots: Roots) -> Exit {
    let proxy = Proxy::parse(&format!("http://{place}")).expect("a proxy");
    let resolver = Resolver::Fixed(Arc::new(|host: &str, _| panic!("the proxy resolves {host}")));
    let guard = Guard { plain_http: true, ..Guard::default() };
    Exit { proxy: Some(Arc::new(proxy)), resolver, ..Exit::guarded(guard, roots, Duration::from_secs(5)) }
}

#[tokio::test]
async fn a_proxy_is_asked_for_a_tunnel_by_both_schemes() {
    let authority = Authority::new();
    let clear = Endpoint::start(OK, None).await;
    let tls = Endpoint::start(OK, Some(authority.server("hook.example.com", None))).await;
    let basic = "Proxy-Authorization: Basic dXNlcjpwOnc=\r\n";
    for (endpoint, scheme, user, authorization) in [
        (&clear, "http", "", ""),
        (&clear, "http", "user:p%3aw@", basic),
        (&tls, "https", "", ""),
        (&tls, "https", "user:p%3Aw@", basic),
    ] {
        let (address, seen) = proxy(endpoint.port, None).await;
        let exit = through(&format!("{user}{address}"), authority.roots());
        assert!(exit.limits().is_some_and(|text| text.contains("resolved by the proxy")));
        let answer = get(&pool(&exit, &format!("{scheme}://hook.example.com/"))).await.expect("an answer");
        assert_eq!((answer.status().as_u16(), &answer.body()[..]), (200, &b"ok"[..]));
        assert_eq!(answer.extensions().get(), Some(&Remote { address, truncated: false }));
        let port = if scheme == "http" { 80 } else { 443 };
        let place = format!("hook.example.com:{port}");
        assert_eq!(seen.heads(), [format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n{authorization}\r\n")]);
    }
    assert!(clear.seen.heads().iter().chain(&tls.seen.heads()).all(|head| !head.contains("Proxy-Authorization")));
}

#[tokio::test]
async fn what_the_proxy_fails_at_is_told_from_what_it_says_of_the_target() {
    let roots = Authority::new().roots();
    let exchange = |refusal| {
        let roots = roots.clone();
        async move {
            let (address, _) = proxy(1, Some(refusal)).await;
            get(&pool(&through(&address.to_string(), roots), "https://hook.example.com/")).await.expect_err("no tunnel")
        }
    };
    for refusal in ["407 Who", "500 Oops", "400 What", "302 There"] {
        let error = exchange(refusal).await;
        assert!(matches!(error, ExchangeError::Proxy { .. }) && !error.is_ambiguous(), "{error:?}");
        assert!(said(&error).contains(&format!("the proxy answered {}", &refusal[..3])), "{}", said(&error));
    }
    for refusal in ["403 Forbidden", "502 Bad Gateway", "503 Service Unavailable", "504 Gateway Timeout"] {
        let error = exchange(refusal).await;
        assert!(matches!(error, ExchangeError::Connect { .. }) && !error.is_ambiguous(), "{error:?}");
    }
    let down = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let error =
        get(&pool(&through(&down.to_string(), roots), "https://hook.example.com/")).await.expect_err("no proxy");
    assert!(matches!(error, ExchangeError::Proxy { .. }), "{error:?}");
}

#[tokio::test]
async fn addresses_in_a_url_are_judged_before_a_proxy_is_asked() {
    let (address, seen) = proxy(1, None).await;
    let exit = through(&address.to_string(), Authority::new().roots());
    for url in ["https://169.254.169.254/", "https://[::1]/", "https://127.1/", "https://localhost/"] {
        let error = get(&pool(&exit, url)).await.expect_err("refused");
        assert!(matches!(error, ExchangeError::Refused { .. }), "{error:?}");
    }
    assert_eq!(seen.connections(), 0);
}

/// X-10 of `docs/seeds.md`.
#[tokio::test]
async fn of_a_long_answer_the_head_is_kept() {
    const KEPT: usize = 16 << 10;
    for (length, sent, kept, truncated, connections) in [
        (0, 0, 0, false, 1),
        (KEPT, KEPT, KEPT, false, 1),
        (KEPT + 1, KEPT + 1, KEPT, true, 1),
        (64 << 10, 64 << 10, KEPT, true, 1),
        ((64 << 10) + 1, (64 << 10) + 1, KEPT, true, 2),
        (1 << 20, 1 << 20, KEPT, true, 2),
        // It says that there is more than there is.
        (100, 50, 50, true, 2),
    ] {
        let head = format!("HTTP/1.1 500 Oops\r\nContent-Length: {length}\r\n\r\n");
        let endpoint = Endpoint::start([head.into_bytes(), vec![b'x'; sent]].concat(), None).await;
        let pool = pool(&local(Authority::new().roots()), &format!("http://hook.example.com:{}/", endpoint.port));
        for _ in 0..2 {
            let request = Request::get("/").body(Full::new(Bytes::new())).expect("a request");
            let within = if sent < length { Duration::from_millis(100) } else { Duration::from_secs(5) };
            let answer = pool.exchange(request, within).await.expect("an answer");
            assert_eq!((answer.status().as_u16(), answer.body().len()), (500, kept), "{length}");
            let address = SocketAddr::from(([127, 0, 0, 1], endpoint.port));
            assert_eq!(answer.extensions().get(), Some(&Remote { address, truncated }), "{length}");
        }
        assert_eq!(endpoint.seen.connections(), connections, "{length}");
    }
}

#[tokio::test]
async fn idle_connections_are_closed() {
    let endpoint = Endpoint::start(OK, None).await;
    let pool = pool(&local(Authority::new().roots()), &format!("http://hook.example.com:{}/", endpoint.port));
    get(&pool).await.expect("an answer");
    pool.close_idle();
    get(&pool).await.expect("an answer");
    assert_eq!(endpoint.seen.connections(), 1, "it was not idle for long");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(5)).await;
    pool.close_idle();
    tokio::time::resume();
    let begun = Instant::now();
    while endpoint.seen.ended.load(Ordering::SeqCst) == 0 {
        assert!(begun.elapsed() < Duration::from_secs(5), "it is still open");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn an_operators_own_upstream_is_not_judged() {
    let endpoint = Endpoint::start(OK, None).await;
    let url = Url::parse(&format!("http://127.0.0.1:{}/", endpoint.port)).expect("a URL");
    let answer = get(&Pool::new(url.target, None, Duration::from_secs(1))).await.expect("an answer");
    assert_eq!((answer.status().as_u16(), answer.extensions().get::<Remote>()), (200, None));
}
