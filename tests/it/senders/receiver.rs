//! A receiver that remembers who connected and what was asked, byte for byte, and may speak TLS.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookward::egress::Resolver;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What it answers to each request.
#[derive(Debug, Clone, Copy)]
pub enum Answer {
    Whole(&'static str),
    /// This, and then one byte after the other without an end.
    Dribbled(&'static str),
}

pub const OK: Answer = Answer::Whole("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");

/// A request, and who made it.
#[derive(Debug, Clone)]
pub struct Asked {
    pub peer: SocketAddr,
    pub head: String,
    pub body: String,
}

pub struct Receiver {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Receiver {
    pub async fn start(answer: Answer, tls: Option<ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::new(Mutex::default());
        let (acceptor, theirs) = (tls.map(|config| TlsAcceptor::from(Arc::new(config))), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((stream, peer)) = listener.accept().await {
                let (acceptor, asked) = (acceptor.clone(), Arc::clone(&theirs));
                tokio::spawn(async move {
                    match acceptor {
                        None => converse(stream, peer, answer, &asked).await,
                        Some(acceptor) => match acceptor.accept(stream).await {
                            Ok(stream) => converse(stream, peer, answer, &asked).await,
                            Err(_) => None,
                        },
                    }
                });
            }
        });
        Self { address, asked }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no panic").clone()
    }

    /// Names that all mean this receiver.
    pub fn names(&self) -> Resolver {
        let address = self.address;
        Resolver::Fixed(Arc::new(move |_, _| Ok(vec![address])))
    }
}

/// Answers one request after the other until the other side ends the connection.
async fn converse(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: SocketAddr,
    answer: Answer,
    asked: &Mutex<Vec<Asked>>,
) -> Option<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8(head).ok()?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())?;
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        let body = String::from_utf8(body).ok()?;
        asked.lock().expect("no panic").push(Asked { peer, head, body });
        match answer {
            Answer::Whole(text) => stream.write_all(text.as_bytes()).await.ok()?,
            Answer::Dribbled(text) => {
                stream.write_all(text.as_bytes()).await.ok()?;
                loop {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    stream.write_all(b"x").await.ok()?;
                }
            }
        }
    }
}

/// Who vouches for receivers, as PEM, and what one called `hooks.example.com` shows.
pub struct Certified {
    pub ca: String,
    certificate: String,
    key: String,
}

impl Certified {
    pub fn new() -> Self {
        hookward::egress::install_crypto();
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate");
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["hooks.example.com".to_owned()]).expect("parameters");
        let certificate = params.signed_by(&key, &ca).expect("a certificate").pem();
        Self { ca: ca.pem(), certificate, key: key.serialize_pem() }
    }

    /// One that nobody but itself vouches for.
    pub fn self_signed() -> Self {
        hookward::egress::install_crypto();
        let made = rcgen::generate_simple_self_signed(["hooks.example.com".to_owned()]).expect("a certificate");
        Self { ca: made.cert.pem(), certificate: made.cert.pem(), key: made.signing_key.serialize_pem() }
    }

    /// A server that shows it, and speaks these versions.
    pub fn server(&self, versions: &[&'static SupportedProtocolVersion]) -> ServerConfig {
        let certificate = CertificateDer::from_pem_slice(self.certificate.as_bytes()).expect("PEM");
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("PEM");
        let builder = ServerConfig::builder_with_protocol_versions(versions).with_no_client_auth();
        builder.with_single_cert(vec![certificate], key).expect("a certificate with its key")
    }
}
