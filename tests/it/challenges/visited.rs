//! A URL that a signed challenge names is visited where its preset pins it, and nowhere else.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{KeyPair, PKCS_RSA_SHA256};
use tempfile::TempDir;

use super::{literal, refused};
use crate::support::child::{Serving, file, hookward};
use crate::support::tls_site::TlsSite;
use crate::support::{Gateway, Request, SECRET, Upstream, client};

/// A server that confirms subscriptions.
struct Topic {
    site: TlsSite,
    /// The first line of each request.
    asked: Arc<Mutex<Vec<String>>>,
    answer: Arc<Mutex<&'static str>>,
}

impl Topic {
    async fn start() -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let answer = Arc::new(Mutex::new("200 OK\r\nContent-Length: 0"));
        let (lines, says) = (Arc::clone(&asked), Arc::clone(&answer));
        let site = TlsSite::start(&["127.0.0.1"], move |head| {
            let line = head.lines().next().unwrap_or_default().to_owned();
            lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            let answer = format!("HTTP/1.1 {}\r\n\r\n", says.lock().unwrap_or_else(PoisonError::into_inner));
            async { Some(answer.into_bytes()) }
        });
        Self { site: site.await, asked, answer }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn will_answer(&self, answer: &'static str) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }
}

const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:MyTopic";

/// SNS's handshake at a host of this machine, signed by an HMAC.
fn provider(host: &str) -> String {
    format!(
        "[signature]\nalgorithm = \"hmac-sha256\"\nheader = \"X-Signature\"\n[[challenge]]\nname = \"confirmation\"\nwhen = [{{ json = \"/Type\", is = \"SubscriptionConfirmation\" }}, {{ json = \"/TopicArn\", is = \"{{param.topic_arn}}\" }}]\nvisit = {{ json = \"/SubscribeURL\", hosts = [\"{host}\"], parameter = \"Action=ConfirmSubscription\" }}\n"
    )
}

fn signed(provider: &Path, body: &str) -> Request {
    use hookward::signature::algorithm::{Hash, KeyedHmac};
    assert!(provider.exists());
    let tag = KeyedHmac::new(Hash::Sha256, SECRET.as_bytes()).tag([body.as_bytes()].into_iter());
    let hex: String = tag.iter().map(|byte| format!("{byte:02x}")).collect();
    Request::post("/in").body(body.as_bytes()).header("X-Signature", &hex)
}

fn confirmation(topic: &str, url: &str) -> String {
    format!(r#"{{"Type":"SubscriptionConfirmation","TopicArn":"{topic}","SubscribeURL":"{url}"}}"#)
}

#[tokio::test]
async fn a_subscription_is_confirmed_at_the_pinned_host_alone() {
    let (topic, upstream) = (Topic::start().await, Upstream::start().await);
    let folder: TempDir = tempfile::tempdir().expect("a folder");
    let own = file(&folder, "own.toml", &provider(&topic.site.address.to_string()));
    let text = format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n[[source]]\nname = \"own\"\npath = \"/in\"\nprovider = \"{}\"\nsecrets = [{{ env = \"SECRET\" }}]\nparams = {{ topic_arn = [\"arn:other\", \"{TOPIC}\"] }}\nallow = \"any\"\nupstream = \"{}/\"\n",
        own.display(),
        upstream.url()
    );
    let config = file(&folder, "hookward.toml", &text);
    let roots = file(&folder, "roots.pem", &topic.site.certificate);
    let mut command = hookward(&["serve", "-c", config.to_str().expect("a path")]);
    let mut gateway = Serving::start(command.env("SSL_CERT_FILE", roots).env("SECRET", SECRET));
    let address = gateway.address("gateway");
    let send = async |body: &str| client::send(address, signed(&own, body)).await.status;

    let url = format!("https://{}/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=2336412f37", topic.site.address);
    let wanted = format!("GET /?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=2336412f37 HTTP/1.1");
    assert_eq!(send(&confirmation(TOPIC, &url)).await, 200);
    assert_eq!(topic.asked(), [wanted.as_str()]);
    assert!(upstream.arrived().is_empty());
    let line = gateway.wait_for(&["Answered webhook"]);
    assert!(line.contains("\"challenge\":\"confirmation\"") && !line.contains("2336412f37"), "{line}");

    // Nobody who did not sign has anything visited, and who did not else than what is pinned.
    let unsigned = signed(&own, &confirmation(TOPIC, &url)).without("x-signature");
    assert_eq!(client::send(address, unsigned).await.status, 401);
    for elsewhere in [
        "https://169.254.169.254/latest/meta-data/?Action=ConfirmSubscription".to_owned(),
        format!("http://{}/?Action=ConfirmSubscription", topic.site.address),
        format!("https://localhost:{}/?Action=ConfirmSubscription", topic.site.address.port()),
        format!("https://x@{}/?Action=ConfirmSubscription", topic.site.address),
        format!("https://{}/?Action=Publish", topic.site.address),
    ] {
        assert_eq!(send(&confirmation(TOPIC, &elsewhere)).await, 401, "{elsewhere}");
    }
    assert_eq!(topic.asked().len(), 1);
    assert!(upstream.arrived().is_empty());

    // A redirect is not followed, and what did not work is tried again by its sender.
    for answer in ["302 Found\r\nLocation: https://127.0.0.1/\r\nContent-Length: 0", "500 No\r\nContent-Length: 0"] {
        topic.will_answer(answer);
        assert_eq!(send(&confirmation(TOPIC, &url)).await, 502, "{answer}");
    }
    assert_eq!(topic.asked().len(), 3);
    gateway.wait_for(&["Cannot do what a challenge wants", "challenge_unmet"]);

    // A topic that is not the operator's is no challenge: its message goes to the app like any other.
    assert_eq!(send(&confirmation("arn:stranger", &url)).await, 200);
    assert_eq!((topic.asked().len(), upstream.arrived().len()), (3, 1));
}

/// A message of SNS, signed as version 2 of its signatures is, over these members in this order.
fn of_sns(pair: &RsaKeyPair, members: &[(&str, &str)]) -> Request {
    let text: String = members.iter().map(|(name, value)| format!("{name}\n{value}\n")).collect();
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).expect("a signature");
    let mut body: serde_json::Map<String, serde_json::Value> =
        members.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
    body.insert("SignatureVersion".into(), "2".into());
    body.insert("Signature".into(), STANDARD.encode(signature).into());
    let certificate = "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-1.pem";
    body.insert("SigningCertURL".into(), certificate.into());
    let body = serde_json::Value::Object(body).to_string();
    Request::post("/in").body(body.as_bytes()).header("Content-Type", "text/plain; charset=UTF-8")
}

#[tokio::test]
async fn sns_lets_in_only_the_topics_that_are_named() {
    let pair = KeyPair::generate_for(&PKCS_RSA_SHA256).expect("a key");
    let key = RsaKeyPair::from_pkcs8(&pair.serialize_der()).expect("the same key");
    let secrets = literal(&pair.public_key_pem());
    let gateway = Gateway::start("aws-sns", &format!("{secrets}params = {{ topic_arn = \"{TOPIC}\" }}")).await;
    let notification = |topic: &str, id: &str| {
        let members =
            [("Message", "m"), ("MessageId", id), ("Timestamp", "2025-10-09T08:53:20.000Z"), ("TopicArn", topic)];
        of_sns(&key, &[&members[..], &[("Type", "Notification")]].concat())
    };
    let subscription = |topic: &str, url: &str| {
        let members = [("Message", "m"), ("MessageId", "s"), ("SubscribeURL", url)];
        let rest = [("Timestamp", "2025-10-09T08:53:20.000Z"), ("Token", "t"), ("TopicArn", topic)];
        of_sns(&key, &[&members[..], &rest[..], &[("Type", "SubscriptionConfirmation")]].concat())
    };
    refused(&gateway, notification("arn:aws:sns:us-east-1:666:Theirs", "1"), 401).await;
    refused(&gateway, subscription("arn:aws:sns:us-east-1:666:Theirs", "https://sns.us-east-1.amazonaws.com/"), 401)
        .await;
    for url in [
        "https://169.254.169.254/latest/meta-data/",
        "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe",
        "https://sns.us-east-1.amazonaws.com:8443/?Action=ConfirmSubscription",
        "http://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription",
        "https://s3.us-east-1.amazonaws.com/?Action=ConfirmSubscription",
    ] {
        refused(&gateway, subscription(TOPIC, url), 401).await;
    }
    assert_eq!(gateway.send(notification(TOPIC, "1")).await.status, 200);
    assert_eq!(gateway.upstream.arrived().len(), 1);

    // Where no topic is named, a confirmation is the app's to act on.
    let open = Gateway::start("aws-sns", &secrets).await;
    assert_eq!(open.send(subscription(TOPIC, "https://169.254.169.254/")).await.status, 200);
    assert_eq!(open.send(notification("arn:aws:sns:us-east-1:666:Theirs", "1")).await.status, 200);
    assert_eq!(open.upstream.arrived().len(), 2);
}
