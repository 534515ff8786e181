//! What can be made of a genuine message without its secret: each forgery that an adversarial reading found.
//!
//! A row has one message that is accepted as it is, and a change to it that must be refused. A message that its signer
//! itself should not have made stands in a table of its own.

mod message;

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use hmac::{Hmac, KeyInit, Mac};
use hookward::rejection::Reason;
use hookward::signature::Signed;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use rcgen::{KeyPair, PKCS_ED25519, SigningKey};
use sha2::{Digest, Sha256};

use crate::support::NOW;
use message::{Message, URL, check};

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

/// HubSpot's second version, which no preset has: its signature stands in the header of the first.
const HUBSPOT_V2: &str = r#"
[signature]
algorithm = "sha256"
header = "X-HubSpot-Signature"
encoding = "hex"
signs = "{secret}{method}{url}{body}"
unseparated = true
"#;

const JWS: &str = "[signature]\nalgorithm = \"jws-detached\"\nalgorithms = [\"HS256\"]\nheader = \"X-JWS-Signature\"\n";

fn adyen() -> Message {
    Message::recorded("adyen-payments", "ok-basic")
}

fn sns() -> Message {
    Message::recorded("aws-sns", "ok-basic")
}

fn dropbox() -> Message {
    Message::recorded("dropbox-sign", "ok-basic")
}

fn alipay() -> Message {
    Message::recorded("alipay", "ok-basic")
}

fn contentful() -> Message {
    Message::recorded("contentful", "ok-basic")
}

fn mailgun() -> Message {
    Message::recorded("mailgun", "ok-basic")
}

fn wechat() -> Message {
    Message::recorded("wechat-official-account", "ok-basic")
}

fn mailchannels() -> Message {
    Message::recorded("mailchannels", "ok-basic")
}

fn twilio() -> Message {
    Message::recorded("twilio", "ok-basic")
}

fn robokassa() -> Message {
    Message::recorded("robokassa", "ok-basic")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// Stream's message, deflated on its way: the signature is that of what was there before.
fn deflated() -> Message {
    let mut message = Message::recorded("getstream", "ok-basic").header(CONTENT_ENCODING, "deflate");
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&message.signed.body).expect("memory");
    message.signed.body = encoder.finish().expect("memory");
    message
}

const DROPBOX_BOUNDARY: &str = "------HelloSignBoundary7MA4YWxk";

/// What a forger wants the app to read as the part called `json`.
const DROPBOX_EVIL: &str = r#"{"event":{"event_type":"signature_request_all_signed"}}"#;

/// With a part in front of the end, whose disposition is `disposition`.
fn with_part(message: Message, disposition: &str) -> Message {
    let end = format!("{DROPBOX_BOUNDARY}--");
    let part =
        format!("{DROPBOX_BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{DROPBOX_EVIL}\r\n{end}");
    message.body(&end, &part)
}

/// With everything that was signed beside the content type in the content type.
fn contentful_folded(message: Message, listed: &str) -> Message {
    let signed = ["x-contentful-signed-headers", "x-contentful-timestamp", "x-contentful-topic"];
    let signed: Vec<String> = signed.iter().map(|name| format!(";{name}:{}", message.value(name))).collect();
    let folded = format!("{}{}", message.value("content-type"), signed.concat());
    message
        .header("content-type", &folded)
        .header("x-contentful-signed-headers", listed)
        .header("x-contentful-topic", "ContentManagement.Entry.delete")
}

fn with_signature_params(message: Message, from: &str, to: &str) -> Message {
    let input = message.value("signature-input").replacen(from, to, 1);
    message.header("signature-input", &input)
}

#[test]
fn json_that_two_parsers_read_differently_is_refused() {
    const EVIL: &str = r#""notificationItems":[{"NotificationRequestItem":{"pspReference":"EVIL","success":"true"}}]"#;
    check(vec![
        ("adyen, a second list", adyen(), |genuine| genuine.members(EVIL), Reason::SignatureMalformed),
        (
            "adyen, a second name within an item",
            adyen(),
            |genuine| genuine.body(r#""success":"true""#, r#""success":"true","success":"false""#),
            Reason::SignatureMalformed,
        ),
        ("adyen, called a form", adyen(), |genuine| genuine.kind(FORM), Reason::SignatureMissing),
        ("sns, a second Message", sns(), |genuine| genuine.members(r#""Message":"EVIL""#), Reason::SignatureMalformed),
        (
            "sns, a second TopicArn",
            sns(),
            |genuine| genuine.members(r#""TopicArn":"arn:aws:sns:us-east-1:111:victim""#),
            Reason::SignatureMalformed,
        ),
        (
            "sns, a second Message whose name is escaped",
            sns(),
            |genuine| genuine.members(r#""\u004dessage":"EVIL""#),
            Reason::SignatureMalformed,
        ),
        (
            "sns, a name in another case",
            sns(),
            |genuine| genuine.members(r#""message":"EVIL""#),
            Reason::SignatureMalformed,
        ),
        (
            "sns, bytes behind the JSON",
            sns(),
            |genuine| genuine.behind(r#"{"Message":"EVIL"}"#),
            Reason::SignatureMalformed,
        ),
        (
            "sns, the subject within the id",
            sns(),
            |genuine| {
                genuine
                    .body("  \"Subject\": \"My First Message\",\n", "")
                    .body("bdfb0c7bf324\"", "bdfb0c7bf324\\nSubject\\nMy First Message\"")
            },
            Reason::EventIdInvalid,
        ),
        (
            "dropbox, a second event",
            dropbox(),
            |genuine| {
                let twice = r#"}},"event":{"event_type":"signature_request_all_signed"}}"#;
                let end = genuine.text().find("}}\r\n").expect("the end of the JSON");
                let (before, after) = genuine.text().split_at(end);
                let body = format!("{before}{}{}", &twice[1..], &after[2..]);
                let signed = Signed { body: body.into_bytes(), ..genuine.signed.clone() };
                Message { signed, ..genuine }
            },
            Reason::SignatureMalformed,
        ),
    ]);
}

#[test]
fn a_body_under_another_media_type_is_refused() {
    // The text after `sign_type=`, which is not signed, is a multipart body of the forger's own.
    const PARTS: &str =
        "\r\n--b\r\nContent-Disposition: form-data; name=\"trade_status\"\r\n\r\nTRADE_SUCCESS\r\n--b--\r\n";
    check(vec![
        (
            "alipay, as multipart within sign_type",
            alipay(),
            |genuine| {
                genuine
                    .body("sign_type=RSA2&", "")
                    .behind(format!("&sign_type={PARTS}"))
                    .kind("multipart/form-data; boundary=b")
            },
            Reason::SignatureMissing,
        ),
        (
            "alipay, the same called a form",
            alipay(),
            |genuine| genuine.body("sign_type=RSA2&", "").behind(format!("&sign_type={PARTS}")),
            Reason::SignatureMalformed,
        ),
        ("alipay, without sign_type", alipay(), |genuine| genuine.body("sign_type=RSA2&", ""), Reason::ClaimMismatch),
        (
            "alipay, sign_type twice",
            alipay(),
            |genuine| genuine.behind(format!("&sign_type={PARTS}")),
            Reason::SignatureMalformed,
        ),
        ("alipay, without a type", alipay(), |genuine| genuine.without("content-type"), Reason::SignatureMissing),
        (
            "fondy, as a form",
            Message::recorded("fondy", "ok-basic"),
            |genuine| genuine.members(r#""&order_status=approved&amount=99999999&x=": """#).kind(FORM),
            Reason::SignatureMissing,
        ),
        (
            "fondy, as a form, within what is not signed",
            Message::recorded("fondy", "ok-basic"),
            |genuine| genuine.members(r#""response_signature_string": "&amount=1""#).kind(FORM),
            Reason::SignatureMissing,
        ),
        (
            "paytm, as JSON",
            Message::recorded("paytm", "ok-basic"),
            |genuine| genuine.kind(JSON),
            Reason::SignatureMissing,
        ),
        (
            "paytm, as JSON, with JSON for its first name",
            // An empty first value, so that a first name may be anything that sorts there.
            Message::made("paytm", "znqcqzueNQNbIWbV", "BANKTXNID=&ORDERID=o1&STATUS=TXN_FAILURE"),
            |genuine| genuine.body("BANKTXNID=", "!{\"STATUS\":\"TXN_SUCCESS\",\"z\":\"=").behind("&~\"}").kind(JSON),
            Reason::SignatureMissing,
        ),
        ("twilio, a form called JSON", twilio(), |genuine| genuine.kind(JSON), Reason::SignatureMissing),
        (
            "twilio, a form called multipart",
            twilio(),
            |genuine| genuine.kind("multipart/form-data; boundary=b"),
            Reason::SignatureMissing,
        ),
        (
            "twilio, a form called nothing",
            twilio(),
            |genuine| genuine.without("content-type"),
            Reason::SignatureMissing,
        ),
        ("mailgun, JSON called a form", mailgun(), |genuine| genuine.kind(FORM), Reason::SignatureMissing),
        (
            "mailgun, a form called JSON",
            Message::recorded("mailgun", "ok-legacy-form-encoded"),
            |genuine| genuine.kind(JSON),
            Reason::SignatureMalformed,
        ),
        (
            "dropbox, multipart called a form",
            dropbox(),
            |genuine| genuine.kind(&format!("{FORM}; boundary={}", &DROPBOX_BOUNDARY[2..])),
            Reason::SignatureMissing,
        ),
        (
            "dropbox, another multipart",
            dropbox(),
            |genuine| genuine.kind(&format!("multipart/mixed; boundary={}", &DROPBOX_BOUNDARY[2..])),
            Reason::SignatureMissing,
        ),
    ]);
}

#[test]
fn a_second_part_or_member_is_refused() {
    check(vec![
        (
            "dropbox, a second part",
            dropbox(),
            |genuine| with_part(genuine, "name=\"json\""),
            Reason::SignatureMalformed,
        ),
        (
            "dropbox, a second part without quotes",
            dropbox(),
            |genuine| with_part(genuine, "name=json"),
            Reason::SignatureMalformed,
        ),
        (
            "dropbox, a part in front of the first boundary",
            dropbox(),
            |genuine| genuine.body(DROPBOX_BOUNDARY, &format!("x\r\n{DROPBOX_BOUNDARY}")),
            Reason::SignatureMalformed,
        ),
        (
            "getstream, a second gzip member",
            Message::recorded("getstream", "ok-gzip-body"),
            |genuine| genuine.behind(gzip(br#"{"evil":1}"#)),
            Reason::SignatureMalformed,
        ),
        (
            "getstream, bytes behind gzip",
            Message::recorded("getstream", "ok-gzip-body"),
            |genuine| genuine.behind("EVIL"),
            Reason::SignatureMalformed,
        ),
        ("getstream, bytes behind deflate", deflated(), |genuine| genuine.behind("EVIL"), Reason::SignatureMalformed),
        (
            "getstream, a coding that we do not know",
            deflated(),
            |genuine| genuine.header(CONTENT_ENCODING, "deflate, gzip"),
            Reason::SignatureMalformed,
        ),
    ]);
}

#[test]
fn what_moves_from_one_signed_piece_to_another_is_refused() {
    check(vec![
        (
            "contentful, everything within one header",
            contentful(),
            |genuine| contentful_folded(genuine, "content-type"),
            Reason::SignatureMalformed,
        ),
        (
            "contentful, the same with a time of our own",
            contentful(),
            |genuine| {
                let later = contentful_folded(genuine, "content-type");
                Message { now: 1_790_000_000, ..later.header("x-contentful-timestamp", "1790000000000") }
            },
            Reason::SignatureMalformed,
        ),
        (
            "contentful, everything within one header, the list as it was",
            contentful(),
            |genuine| {
                let listed = genuine.value("x-contentful-signed-headers").to_owned();
                contentful_folded(genuine, &listed)
            },
            Reason::SignatureMalformed,
        ),
        (
            "contentful, a list without the timestamp",
            contentful(),
            |genuine| {
                genuine.header(
                    "x-contentful-signed-headers",
                    "content-type,x-contentful-signed-headers,x-contentful-topic",
                )
            },
            Reason::SignatureMalformed,
        ),
        (
            "contentful, a list of thousands of one",
            contentful(),
            |genuine| {
                let listed =
                    format!("{}{}", genuine.value("x-contentful-signed-headers"), ",content-type".repeat(5000));
                genuine.header("x-contentful-signed-headers", &listed)
            },
            Reason::SignatureMalformed,
        ),
        (
            "contentful, a list of thousands",
            contentful(),
            |mut genuine| {
                let mut listed = genuine.value("x-contentful-signed-headers").to_owned();
                for number in 0..2000 {
                    genuine = genuine.header(format!("x-{number}"), "1");
                    listed.push_str(&format!(",x-{number}"));
                }
                genuine.header("x-contentful-signed-headers", &listed)
            },
            Reason::SignatureMalformed,
        ),
        (
            "mailgun, a digit from the timestamp to the token",
            mailgun(),
            |genuine| genuine.body("\"1760000000\"", "\"176000000\"").body("\"87d1", "\"087d1"),
            Reason::TimestampMalformed,
        ),
        (
            "mailgun, a digit from the token to the timestamp",
            mailgun(),
            |genuine| genuine.body("\"1760000000\"", "\"17600000008\"").body("\"87d1", "\"7d1"),
            Reason::TimestampMalformed,
        ),
        (
            "mailgun's form, a digit from the timestamp to the token",
            Message::recorded("mailgun", "ok-legacy-form-encoded"),
            |genuine| genuine.body("=1760000000&token=87d1", "=176000000&token=087d1"),
            Reason::TimestampMalformed,
        ),
        (
            "wechat, a digit from the timestamp to the nonce",
            wechat(),
            |genuine| genuine.url("=1760000000&nonce=1320562132", "=760000000&nonce=13205621321"),
            Reason::TimestampMalformed,
        ),
        (
            "wechat, a digit from the nonce to the timestamp",
            wechat(),
            |genuine| genuine.url("=1760000000&nonce=1320562132", "=21760000000&nonce=132056213"),
            Reason::TimestampMalformed,
        ),
        (
            "mercadopago, the request's id within the data's",
            Message::recorded("mercadopago", "ok-basic"),
            |genuine| {
                let id = format!("data.id=123456;request-id:{}", genuine.value("x-request-id"));
                genuine.url("data.id=123456", &id).without("x-request-id")
            },
            Reason::SignatureMalformed,
        ),
        (
            "mercadopago, the same percent-encoded",
            Message::recorded("mercadopago", "ok-basic"),
            |genuine| {
                let id = format!("data.id=123456%3Brequest-id%3A{}", genuine.value("x-request-id"));
                genuine.url("data.id=123456", &id).without("x-request-id")
            },
            Reason::SignatureMalformed,
        ),
        (
            "hubspot, the second version as the first",
            Message::made(HUBSPOT_V2, "3a7be4bf-11f032d33f08c3df", r#"{"a":1}"#),
            |genuine| genuine.body("{", &format!("POST{URL}{{")).to("hubspot-v1"),
            Reason::SignatureMismatch,
        ),
    ]);
}

#[test]
fn keys_from_strangers_hosts_are_refused() {
    let hosts: [fn(Message) -> Message; 5] = [
        |genuine| genuine.body("sns.us-east-1.amazonaws.com", "sns.s3.amazonaws.com"),
        |genuine| genuine.body("sns.us-east-1.amazonaws.com", "sns.s3-us-west-2.amazonaws.com"),
        |genuine| genuine.body("sns.us-east-1.amazonaws.com", "sns.s3-accelerate.amazonaws.com"),
        |genuine| genuine.body("sns.us-east-1.amazonaws.com", "sns.execute-api.amazonaws.com"),
        |genuine| genuine.body("sns.us-east-1.amazonaws.com", "sns.us-east-1.amazonaws.com.example"),
    ];
    check(hosts.into_iter().map(|forge| ("sns, a bucket", sns(), forge, Reason::UntrustedKeyUrl)).collect());
}

#[test]
fn parts_of_a_signature_that_are_said_twice_or_not_kept_are_refused() {
    check(vec![
        (
            "mailchannels, a part listed twice",
            mailchannels(),
            |genuine| with_signature_params(genuine, "(\"content-digest\")", "(\"content-digest\" \"content-digest\")"),
            Reason::SignatureMalformed,
        ),
        (
            "mailchannels, an end",
            mailchannels(),
            |genuine| with_signature_params(genuine, ";created", ";expires=1900000000;created"),
            Reason::SignatureMalformed,
        ),
        (
            "mailchannels, the digest not listed",
            mailchannels(),
            |genuine| with_signature_params(genuine, "\"content-digest\"", "\"@method\""),
            Reason::SignatureMalformed,
        ),
        (
            "a token's b64 that is no longer critical",
            jws(r#"{"alg":"HS256","b64":false,"crit":["b64"]}"#),
            |genuine| {
                let token = genuine.value("x-jws-signature");
                let (_, signature) = token.split_once("..").expect("a token");
                let token = format!("{}..{signature}", URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","b64":false}"#));
                genuine.header("x-jws-signature", &token)
            },
            Reason::SignatureMalformed,
        ),
    ]);
}

/// A body that a detached token with this header signs as it is.
fn jws(header: &str) -> Message {
    let (secret, body) = ("0123456789abcdef0123", "{}");
    let header = URL_SAFE_NO_PAD.encode(header);
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key");
    mac.update(format!("{header}.{body}").as_bytes());
    let token = format!("{header}..{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()));
    let signed = Signed { url: URL.into(), headers: HeaderMap::new(), body: body.into() };
    let message = Message { scheme: JWS.into(), secret: secret.into(), method: "POST".into(), signed, now: NOW };
    message.header("x-jws-signature", &token)
}

/// A body whose digest is signed under these parameters.
fn http_message(listed: &[&str], params: &str) -> Message {
    let pair = KeyPair::generate_for(&PKCS_ED25519).expect("a key");
    let digest = format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(b"{}")));
    let quoted: Vec<String> = listed.iter().map(|name| format!("\"{name}\"")).collect();
    let params = format!("({});created={NOW}{params}", quoted.join(" "));
    let lines: Vec<String> = quoted.iter().map(|name| format!("{name}: {digest}\n")).collect();
    let base = format!("{}\"@signature-params\": {params}", lines.concat());
    let signature = STANDARD.encode(pair.sign(base.as_bytes()).expect("a signature"));
    let signed = Signed { url: URL.into(), headers: HeaderMap::new(), body: b"{}".to_vec() };
    let message = Message {
        scheme: "mailchannels".into(),
        secret: pair.public_key_pem(),
        method: "POST".into(),
        signed,
        now: NOW,
    };
    message
        .header("content-digest", &digest)
        .header("signature-input", &format!("sig={params}"))
        .header("signature", &format!("sig=:{signature}:"))
}

/// A body with the first version's signature, which is a plain hash.
fn hubspot_v1(body: &[u8]) -> Message {
    let secret = "3a7be4bf-11f032d33f08c3df";
    let hash: String =
        Sha256::digest([secret.as_bytes(), body].concat()).iter().map(|byte| format!("{byte:02x}")).collect();
    let signed = Signed { url: URL.into(), headers: HeaderMap::new(), body: body.to_vec() };
    let message =
        Message { scheme: "hubspot-v1".into(), secret: secret.into(), method: "POST".into(), signed, now: NOW };
    message.header("x-hubspot-signature", &hash)
}

/// What SHA-256 puts behind a message of this length.
fn padding(length: usize) -> Vec<u8> {
    let mut padding = vec![0x80];
    padding.resize(1 + (119 - length % 64) % 64, 0);
    padding.extend_from_slice(&(8 * u64::try_from(length).expect("a length")).to_be_bytes());
    padding
}

#[test]
fn a_good_signature_does_not_save_what_could_be_read_in_two_ways() {
    let length = "3a7be4bf-11f032d33f08c3df".len() + 2;
    assert_eq!((length + padding(length).len()) % 64, 0);
    // Whoever has the hash of `{}` has this one's too, without the secret.
    let carried_on = [b"{}".to_vec(), padding(length), b",EVIL".to_vec()].concat();
    for (what, good, bad, reason) in [
        (
            "a part listed twice",
            http_message(&["content-digest"], ""),
            http_message(&["content-digest", "content-digest"], ""),
            Reason::SignatureMalformed,
        ),
        (
            "an end that is over",
            http_message(&["content-digest"], ";keyid=\"k\""),
            http_message(&["content-digest"], &format!(";expires={}", NOW - 1000)),
            Reason::SignatureMalformed,
        ),
        (
            "b64 that is not critical",
            jws(r#"{"alg":"HS256","b64":false,"crit":["b64"]}"#),
            jws(r#"{"alg":"HS256","b64":false}"#),
            Reason::SignatureMalformed,
        ),
        ("a hash that was carried on", hubspot_v1(b"{}"), hubspot_v1(&carried_on), Reason::SignatureMismatch),
        ("a body that is not JSON", hubspot_v1(b"{}"), hubspot_v1(b"POSThttps://x/{}"), Reason::SignatureMismatch),
    ] {
        assert_eq!(good.judge(), Ok(()), "{what}");
        assert_eq!(bad.judge(), Err(reason), "{what}");
    }
}

/// What a lax upstream reads in the place of what was checked. Which one is meant stands in each row.
#[test]
fn what_lax_upstreams_read_differently_is_refused() {
    check(vec![
        (
            // Go's encoding/json takes U+017F for an s.
            "sns, a name that differs in how Unicode folds case",
            sns(),
            |genuine| genuine.members(r#""Me\u017f\u017fage":"EVIL""#),
            Reason::SignatureMalformed,
        ),
        (
            // What goes on to the next boundary finds it.
            "dropbox, a part behind the end",
            dropbox(),
            |genuine| {
                let part = format!(
                    "{DROPBOX_BOUNDARY}\r\nContent-Disposition: form-data; name=\"json\"\r\n\r\n{DROPBOX_EVIL}\r\n{DROPBOX_BOUNDARY}--\r\n"
                );
                genuine.behind(part)
            },
            Reason::SignatureMalformed,
        ),
        (
            // Which one counts is anyone's guess.
            "dropbox, two names of one part",
            dropbox(),
            |genuine| with_part(genuine, "name=\"x\"; name=\"json\""),
            Reason::SignatureMalformed,
        ),
        (
            // Python's email allows spaces there.
            "dropbox, a name with spaces around its equals sign",
            dropbox(),
            |genuine| with_part(genuine, "name = \"json\""),
            Reason::SignatureMalformed,
        ),
        (
            // A quoted pair stands for its character, to Python's email too.
            "dropbox, an escaped name",
            dropbox(),
            |genuine| with_part(genuine, "name=\"js\\on\""),
            Reason::SignatureMalformed,
        ),
        (
            // RFC 5987, which Python's email decodes.
            "dropbox, an extended name",
            dropbox(),
            |genuine| with_part(genuine, "name*=utf-8''json"),
            Reason::SignatureMalformed,
        ),
        (
            // Here too.
            "dropbox, two boundaries",
            dropbox(),
            |genuine| {
                let first = format!(
                    "{DROPBOX_BOUNDARY}\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n\r\n--b\r\nContent-Disposition: form-data; name=\"json\"\r\n\r\n{DROPBOX_EVIL}\r\n--b--\r\n{DROPBOX_BOUNDARY}"
                );
                let kind = format!("{}; boundary=b", genuine.value("content-type"));
                genuine.body(DROPBOX_BOUNDARY, &first).kind(&kind)
            },
            Reason::SignatureMalformed,
        ),
        (
            // ASP.NET's forms do not mind case.
            "robokassa, a name in another case",
            robokassa(),
            |genuine| genuine.behind("&outsum=999"),
            Reason::SignatureMalformed,
        ),
        (
            // PHP drops the space.
            "robokassa, a name with a space in front",
            robokassa(),
            |genuine| genuine.behind("&+OutSum=999"),
            Reason::SignatureMalformed,
        ),
        (
            // PHP's $_REQUEST and Java's getParameter have both; the query comes first.
            "robokassa, a query",
            robokassa(),
            |genuine| genuine.query("OutSum=999"),
            Reason::SignatureMalformed,
        ),
        (
            "alipay, a query",
            alipay(),
            |genuine| genuine.query("trade_status=TRADE_SUCCESS"),
            Reason::SignatureMalformed,
        ),
        (
            // Older frameworks split at semicolons too.
            "robokassa, a semicolon",
            robokassa(),
            |genuine| genuine.behind("&x=1;OutSum=999"),
            Reason::SignatureMalformed,
        ),
        (
            "fondy, two types in one",
            Message::recorded("fondy", "ok-basic"),
            |genuine| genuine.kind("application/x-www-form-urlencoded, application/json"),
            Reason::SignatureMissing,
        ),
        (
            "fondy, in another charset",
            Message::recorded("fondy", "ok-basic"),
            |genuine| genuine.kind("application/json; charset=utf-16le"),
            Reason::SignatureMalformed,
        ),
        (
            "fondy, called compressed",
            Message::recorded("fondy", "ok-basic"),
            |genuine| genuine.header(CONTENT_ENCODING, "gzip"),
            Reason::SignatureMalformed,
        ),
        (
            // PHP turns the dot into an underscore.
            "mercadopago, the name that PHP gives",
            Message::recorded("mercadopago", "ok-basic"),
            |genuine| genuine.url("?", "?data_id=9&"),
            Reason::SignatureMalformed,
        ),
    ]);
}

#[test]
fn names_that_nothing_reads_may_differ_in_case_alone() {
    let mailgun = Message::recorded("mailgun", "ok-legacy-form-encoded");
    assert_eq!(mailgun.clone().behind("&from=a&From=b").judge(), Ok(()));
    let taken = mailgun.behind("&Token=a").judge();
    assert_eq!(taken, Err(Reason::SignatureMalformed));
}
