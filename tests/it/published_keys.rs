//! Keys that a provider publishes are fetched by the gateway, kept, and asked for no more often than they must be.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hookward::clock::{Clock, UnixTime};
use hookward::signature::place::Params;
use hookward::signature::preset::Preset;
use hookward::signature::secret::Secret;
use hookward::signature::{Message, Signed};
use http::HeaderMap;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};
use tempfile::TempDir;

use crate::support::child::{Serving, file, hookward};
use crate::support::tls_site::TlsSite;
use crate::support::{Request, Upstream, client};

/// A server of key documents.
struct KeyServer {
    site: TlsSite,
    asked: Arc<AtomicUsize>,
    up: Arc<AtomicBool>,
}

impl KeyServer {
    async fn start(document: String) -> Self {
        let (asked, up) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(true)));
        let (counter, is_up) = (Arc::clone(&asked), Arc::clone(&up));
        let site = TlsSite::start(&["localhost"], move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{document}", document.len());
            let answer = is_up.load(Ordering::SeqCst).then(|| answer.into_bytes());
            async { answer }
        });
        Self { site: site.await, asked, up }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn jwks(pair: &KeyPair, kid: &str) -> String {
    let point = pair.der_bytes();
    let (x, y) = (&point[1..33], &point[33..65]);
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    format!(
        r#"{{"keys":[{{"kty":"EC","crv":"P-256","kid":"{kid}","alg":"ES256","use":"sig","x":"{}","y":"{}"}}]}}"#,
        encode(x),
        encode(y)
    )
}

const SCHEME: &str = "[signature]\nalgorithm = \"jwt\"\nalgorithms = [\"ES256\"]\nheader = \"X-Token\"\nrequires = [{ claim = \"body\", is = \"{body|sha256}\" }]\n";

fn signed(pair: &KeyPair, body: &str) -> Signed {
    let preset = Preset::from_file("own", "own.toml", SCHEME).unwrap_or_else(|faults| panic!("{faults:?}"));
    let (headers, timestamp) = (HeaderMap::new(), UnixTime(Clock::System.now().0));
    let message = Message { id: "", timestamp, method: "POST", url: "", headers: &headers, body: body.as_bytes() };
    let secret = Secret::new(pair.serialize_pem().into_bytes());
    preset.profile.scheme.sign(message, &[secret], &Params::default()).expect("a usable key")
}

fn request(signed: &Signed) -> Request {
    Request::post("/in").body(&signed.body).header("x-token", signed.headers["x-token"].to_str().expect("text"))
}

/// The same token, which says that another key signed it.
fn with_key_id(signed: &Signed, kid: &str) -> Request {
    let token = signed.headers["x-token"].to_str().expect("text");
    let (_, rest) = token.split_once('.').expect("a token");
    let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"ES256","kid":"{kid}"}}"#));
    Request::post("/in").body(&signed.body).header("x-token", &format!("{header}.{rest}"))
}

fn serving(folder: &TempDir, keys: &KeyServer, upstream: &Upstream) -> Serving {
    let own = SCHEME.replace("[signature]", "[source.signature]");
    let text = format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n[[source]]\nname = \"own\"\npath = \"/in\"\nallow = \"any\"\nupstream = \"{}/\"\n{own}keys = {{ url = \"https://localhost:{}/keys\" }}\n",
        upstream.url(),
        keys.site.address.port()
    );
    let config = file(folder, "hookward.toml", &text);
    let roots = file(folder, "roots.pem", &keys.site.certificate);
    let mut command = hookward(&["serve", "-c", config.to_str().expect("a path")]);
    Serving::start(command.env("SSL_CERT_FILE", roots))
}

#[tokio::test]
async fn published_keys_are_fetched_once_and_kept() {
    let (pair, other) = (
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key"),
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key"),
    );
    let keys = KeyServer::start(jwks(&pair, "one")).await;
    let (folder, upstream) = (tempfile::tempdir().expect("a folder"), Upstream::start().await);
    let mut gateway = serving(&folder, &keys, &upstream);
    let address = gateway.address("gateway");

    let first = client::send(address, request(&signed(&pair, "{\"n\":1}"))).await;
    assert_eq!(first.status, 200, "{}", first.text());
    assert_eq!(upstream.only().header("hookward-verified"), "custom;key=fetched");
    assert_eq!(client::send(address, request(&signed(&other, "{\"n\":2}"))).await.status, 401);
    assert_eq!(keys.asked(), 1);

    // A key that the document does not have is asked for again, and not again for every such message.
    for _ in 0..3 {
        assert_eq!(client::send(address, with_key_id(&signed(&pair, "{\"n\":3}"), "two")).await.status, 401);
    }
    assert_eq!(keys.asked(), 1, "it was asked just now");

    keys.up.store(false, Ordering::SeqCst);
    assert_eq!(
        client::send(address, request(&signed(&pair, "{\"n\":4}"))).await.status,
        200,
        "the last good ones are kept"
    );
    gateway.signal("TERM");
    gateway.end();
}

#[tokio::test]
async fn without_keys_the_sender_is_asked_to_come_back() {
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
    let keys = KeyServer::start(jwks(&pair, "one")).await;
    keys.up.store(false, Ordering::SeqCst);
    let (folder, upstream) = (tempfile::tempdir().expect("a folder"), Upstream::start().await);
    let mut gateway = serving(&folder, &keys, &upstream);
    let address = gateway.address("gateway");
    for _ in 0..3 {
        let reply = client::send(address, request(&signed(&pair, "{\"n\":1}"))).await;
        assert_eq!((reply.status, reply.header("retry-after")), (503, Some("5")));
    }
    assert_eq!(keys.asked(), 1, "and not for every message");
    assert!(upstream.arrived().is_empty());
    gateway.signal("TERM");
    gateway.end();
}

#[tokio::test]
async fn a_page_that_is_no_key_document_is_not_kept() {
    let keys = KeyServer::start("<html>maintenance</html>".to_owned()).await;
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
    let (folder, upstream) = (tempfile::tempdir().expect("a folder"), Upstream::start().await);
    let mut gateway = serving(&folder, &keys, &upstream);
    let address = gateway.address("gateway");
    let reply = client::send(address, request(&signed(&pair, "{}"))).await;
    assert_eq!(reply.status, 503, "{}", reply.text());
    gateway.wait_for(&["what is there is not a public key"]);
    gateway.signal("TERM");
    gateway.end();
}
