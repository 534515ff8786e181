//! The sender's half of a preset: what a provider sends beside its signature, and how it goes on when nobody takes it.

mod envelope;
mod event_type;
mod header;
mod members;
mod policy;
mod words;

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING};
use http::{HeaderName, HeaderValue, StatusCode};
use zeroize::Zeroizing;

use super::Scheme;
use super::encoding::{BASE64URL, encode_hex};
use super::secret::{Secret, SecretForm};
use crate::clock::UnixMillis;
use crate::document::{Node, Reader, Value};
use crate::quantity::parse_duration;
use crate::schedule::{Schedule, Waits};
use crate::template::Template;

pub use envelope::{Envelope, EventFacts};
pub use event_type::{EventType, Grouping};
pub use header::{AttemptFacts, EmittedHeader};
pub use policy::{AuthorizationKind, Exhausted, Policy, SecretPolicy, SecretScope, SecretView};

/// How a provider's webhooks are sent, beside how they are signed.
#[derive(Debug, Clone, PartialEq)]
pub struct Emission {
    pub envelope: Envelope,
    pub content_type: HeaderValue,
    /// Beside those of the signature.
    pub headers: Vec<EmittedHeader>,
    pub timestamp: TimestampPolicy,
    pub success: Success,
    /// For one attempt, from the name's resolution to the end of the answer.
    pub timeout: Duration,
    pub schedule: Schedule,
    pub secret: SecretShape,
    pub policy: Policy,
    /// The events that the provider has.
    pub event_types: Vec<EventType>,
    /// Its events in the shape of chat tools, for webhooks that name one, by name.
    pub templates: BTreeMap<String, Template>,
}

/// Which moment a retry says that it was signed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampPolicy {
    /// Its own.
    Fresh,
    /// The first attempt's.
    Frozen,
}

/// Which answers say that an endpoint has an event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Success {
    #[default]
    Any2xx,
    /// Each of them is 2xx.
    Only(Vec<StatusCode>),
}

/// How a secret is written that we make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretShape {
    /// What stands in front.
    pub prefix: String,
    /// Random bytes, 16 to 64.
    pub bytes: usize,
    pub form: SecretText,
}

/// How random bytes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretText {
    Hex,
    Base64,
    Base64Url,
}

/// What a provider says of how it delivers; what it leaves open is `None` here, and standard in its [`Emission`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryFacts {
    /// How long it waits for our answer, where it says so.
    pub timeout: Option<Duration>,
    /// From the first attempt to the last, where it says so.
    pub retry_span: Option<Duration>,
    /// True if a retry carries the first attempt's timestamp.
    pub frozen_timestamp: bool,
}

impl Success {
    /// True if `status` is one of them.
    pub fn contains(&self, status: StatusCode) -> bool {
        match self {
            Self::Any2xx => status.is_success(),
            Self::Only(statuses) => statuses.contains(&status),
        }
    }
}

impl SecretShape {
    /// A new secret, as its owner is to be shown it. `fill` fills all it is given with random bytes.
    pub fn generate(&self, fill: impl FnOnce(&mut [u8])) -> Secret {
        let mut random = Zeroizing::new(vec![0; self.bytes]);
        fill(&mut random);
        let text = match self.form {
            SecretText::Hex => encode_hex(&random),
            SecretText::Base64 => STANDARD.encode(&*random),
            SecretText::Base64Url => BASE64URL.encode(&*random),
        };
        Secret::new([self.prefix.as_bytes(), Zeroizing::new(text).as_bytes()].concat())
    }

    /// What a scheme takes whose secret is in `form`.
    fn standard(form: SecretForm) -> Self {
        let (prefix, bytes, form) = match form {
            SecretForm::Whsec => ("whsec_", 24, SecretText::Base64),
            SecretForm::Base64 => ("", 32, SecretText::Base64),
            SecretForm::Hex | SecretForm::Utf8 | SecretForm::Digest(_) | SecretForm::Nfkd | SecretForm::Reversed => {
                ("", 32, SecretText::Hex)
            }
        };
        Self { prefix: prefix.to_owned(), bytes, form }
    }

    fn read(reader: &Reader<'_>, standard: Self) -> Self {
        Self {
            prefix: reader.text("prefix").map_or(standard.prefix, |text| text.value.to_owned()),
            bytes: reader.integer("bytes", 16, 64).and_then(|bytes| bytes.try_into().ok()).unwrap_or(standard.bytes),
            form: reader.choice("form", &SecretText::WORDS).unwrap_or(standard.form),
        }
    }
}

impl SecretText {
    const WORDS: [(&'static str, Self); 3] =
        [("hex", Self::Hex), ("base64", Self::Base64), ("base64url", Self::Base64Url)];
}

/// Standard Webhooks, "Retries" (read 2026-11-21); the jitter is ours.
fn standard_schedule() -> Schedule {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    let waits = [5, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR]
        .map(Duration::from_secs);
    Schedule { window: 2 * waits.iter().sum::<Duration>(), waits: Waits::List(waits.to_vec()), jitter: 0.1 }
}

impl Emission {
    /// What is meant where a preset says nothing.
    pub fn standard(scheme: &Scheme) -> Self {
        Self {
            envelope: Envelope::default(),
            content_type: HeaderValue::from_static("application/json"),
            headers: Vec::new(),
            timestamp: TimestampPolicy::Fresh,
            success: Success::default(),
            timeout: Duration::from_secs(15),
            schedule: standard_schedule(),
            secret: SecretShape::standard(scheme.secret_form()),
            policy: Policy::default(),
            event_types: Vec::new(),
            templates: BTreeMap::new(),
        }
    }

    /// Reads `[sender]` of a preset with this scheme, and what of it the provider says itself.
    pub fn read(reader: Option<Reader<'_>>, scheme: &Scheme) -> (Self, DeliveryFacts) {
        let standard = Self::standard(scheme);
        let mut facts = DeliveryFacts { timeout: None, retry_span: None, frozen_timestamp: false };
        let Some(reader) = reader else { return (standard, facts) };
        let own_envelope = reader.parse("envelope", Envelope::parse);
        let content_type = reader.parse("content_type", |text| {
            HeaderValue::from_str(text).map_err(|_| format!("\"{text}\" cannot stand in a header"))
        });
        facts.timeout = reader.parse("timeout", |text| match parse_duration(text)? {
            Duration::ZERO => Err(format!("\"{text}\" leaves no time at all, for example \"15s\"")),
            timeout => Ok(timeout),
        });
        let words = [("fresh", TimestampPolicy::Fresh), ("frozen", TimestampPolicy::Frozen)];
        let timestamp = reader.choice("timestamp", &words).unwrap_or(standard.timestamp);
        facts.frozen_timestamp = timestamp == TimestampPolicy::Frozen;
        let mut schedule = standard.schedule;
        if let Some(retry) = reader.table("retry") {
            let says_when = ["delays", "initial", "factor", "max", "window"].into_iter().any(|key| retry.has(key));
            schedule = Schedule::read(retry, schedule);
            facts.retry_span = says_when.then(|| schedule.span());
        }
        let (mut secret, mut whose) = (standard.secret, standard.policy.secret);
        if let Some(inner) = reader.table("secret") {
            (secret, whose) = (SecretShape::read(&inner, secret), SecretPolicy::read(&inner));
            inner.finish();
        }
        let emission = Self {
            envelope: own_envelope.unwrap_or(standard.envelope),
            content_type: content_type.unwrap_or(standard.content_type),
            headers: reader.table("headers").map(read_headers).unwrap_or_default(),
            timestamp,
            success: read_success(&reader).unwrap_or(standard.success),
            timeout: facts.timeout.unwrap_or(standard.timeout),
            schedule,
            secret,
            policy: Policy::read(&reader, whose),
            event_types: EventType::read_all(&reader),
            templates: reader.table("templates").map(read_templates).unwrap_or_default(),
        };
        emission.check(&reader, scheme);
        reader.finish();
        (emission, facts)
    }

    /// What each part says must hold together.
    fn check(&self, reader: &Reader<'_>, scheme: &Scheme) {
        let json = self.content_type.as_bytes().ends_with(b"json");
        if json && serde_json::from_slice::<serde::de::IgnoredAny>(&self.envelope.render(&SAMPLE)).is_err() {
            reader.fault(reader.place_of("envelope"), "envelope: it does not come out as JSON");
        }
        let policy = &self.policy;
        if policy.secret.given && policy.secret.scope == SecretScope::Account {
            reader.fault(reader.place_of("secret"), "secret: an account's secret is made by us, leave source out");
        }
        if policy.secret.view == SecretView::Never && !policy.secret.given {
            let text = "secret: what we make and nobody sees is of no use, write source = \"given\" or another view";
            reader.fault(reader.place_of("secret"), text);
        }
        if policy.recreate && policy.exhausted != Exhausted::Disable {
            reader.fault(reader.place_of("reenable"), "reenable: it goes with exhausted = \"disable\"");
        }
        let sample = self.secret.generate(|random| random.fill(7));
        if let Err(why) = scheme.secret_form().derive(&sample) {
            reader.fault(reader.place_of("secret"), format!("secret: what it makes {why}"));
        }
    }
}

/// An event as any other.
pub(super) const SAMPLE: EventFacts<'static> = EventFacts {
    id: "wh_evt_sample",
    kind: "sample.created",
    timestamp: UnixMillis(1_760_000_000_000),
    data: b"{\"id\":\"sample\"}",
    account: "default",
    endpoint: "wh_sample",
};

fn read_headers(reader: Reader<'_>) -> Vec<EmittedHeader> {
    const FRAMING: [HeaderName; 4] = [HOST, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING];
    let mut headers = Vec::new();
    for (name, value) in reader.as_table().entries() {
        let Value { node: Node::Text(text), place } = value else {
            reader.wrong_kind(name, value, "a string, put it in quotes");
            continue;
        };
        let header = match HeaderName::from_bytes(name.as_bytes()) {
            Err(_) => Err(format!("\"{name}\" is not a header's name")),
            Ok(known) if FRAMING.contains(&known) => Err("this header is not a preset's to set".into()),
            Ok(name) => EmittedHeader::parse(name, text),
        };
        match header {
            Ok(header) => headers.push(header),
            Err(wrong) => reader.fault(place.clone(), format!("{name}: {wrong}")),
        }
    }
    headers
}

fn read_templates(reader: Reader<'_>) -> BTreeMap<String, Template> {
    let mut templates = BTreeMap::new();
    for (name, value) in reader.as_table().entries() {
        let Value { node: Node::Text(text), place } = value else {
            reader.wrong_kind(name, value, "a string, put it in quotes");
            continue;
        };
        let good = Template::compile(name, text).and_then(|template| template.try_out().map(|_| template));
        match good {
            Ok(template) => {
                templates.insert(name.to_owned(), template);
            }
            Err(wrong) => reader.fault(place.clone(), format!("{name}: {wrong}")),
        }
    }
    templates
}

/// `success = [200]`.
fn read_success(reader: &Reader<'_>) -> Option<Success> {
    let value = reader.value("success")?;
    let status = |value: &Value| match value.node {
        Node::Integer(status @ 200..=299) => StatusCode::from_u16(status.try_into().ok()?).ok(),
        _ => None,
    };
    let statuses = match &value.node {
        Node::List(items) => items.iter().map(status).collect::<Option<Vec<_>>>().filter(|all| !all.is_empty()),
        _ => None,
    };
    if statuses.is_none() {
        reader.wrong_kind("success", value, "a list of statuses from 200 to 299, leave it out for all of them");
    }
    statuses.map(Success::Only)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Faults, Table};

    /// What `[sender]` with these lines says of a scheme with an HMAC, and what is wrong with it.
    fn read(lines: &str) -> (Emission, DeliveryFacts, Vec<String>) {
        let faults = Faults::default();
        let text = format!("{lines}\n[signature]\nalgorithm = \"hmac-sha256\"\nheader = \"X-S\"");
        let table = Table::parse("t.toml", &format!("[sender]\n{text}"), &faults);
        let root = Reader::new(&table, "", &faults);
        let scheme = Scheme::read(&table, &Table::empty(table.place.clone()), &faults).expect("a scheme");
        let (emission, facts) = Emission::read(root.table("sender"), &scheme);
        (emission, facts, faults.into_sorted().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_is_not_said_is_standard() {
        let (emission, facts, faults) = read("");
        assert_eq!(faults, [""; 0]);
        assert_eq!(facts, DeliveryFacts { timeout: None, retry_span: None, frozen_timestamp: false });
        assert_eq!((emission.timeout, emission.schedule.jitter), (Duration::from_secs(15), 0.1));
        assert_eq!(emission.schedule.span(), Duration::from_secs(272_105));
        assert!(emission.success.contains(StatusCode::NO_CONTENT) && !emission.success.contains(StatusCode::FOUND));
    }

    #[test]
    fn every_word_is_read() {
        let (emission, facts, faults) = read(
            "envelope = '{\"id\":{event.id}}'\ncontent_type = \"application/cloudevents+json\"\nheaders = { X-Event = \"{event.type}\" }\ntimestamp = \"frozen\"\nsuccess = [200, 202]\ntimeout = \"9s\"\nretry = { window = \"1d\", jitter = 0 }\nsecret = { prefix = \"whsec_\", bytes = 16, form = \"base64url\" }\ntemplates = { chat = \"{{ type }}\" }",
        );
        assert_eq!(faults, [""; 0]);
        assert_eq!(facts.retry_span, Some(Duration::from_secs(86_400)));
        assert_eq!((facts.timeout, facts.frozen_timestamp), (Some(Duration::from_secs(9)), true));
        assert_eq!((emission.headers.len(), emission.headers[0].name.as_str()), (1, "x-event"));
        assert_eq!(emission.templates["chat"].try_out().as_deref(), Ok(&b"\"sample.created\""[..]));
        let success =
            [200, 201, 202].map(|status| emission.success.contains(StatusCode::from_u16(status).expect("one")));
        assert_eq!(success, [true, false, true]);
        let secret = emission.secret.generate(|random| random.fill(0xff));
        assert_eq!(secret.expose(), b"whsec______________________w");
        assert_eq!((emission.policy, emission.event_types), (Policy::default(), Vec::new()));
    }

    #[test]
    fn what_endpoints_may_be_is_said_too() {
        let (emission, _, faults) = read(
            "exhausted = \"disable\"\nreenable = \"recreate\"\ngone = \"retry\"\nextra_headers = \"deny\"\nauthorization = [\"bearer\", \"basic\"]\nports = [443]\ncreation_test = ' {\"a\": 1} '\nsecret = { scope = \"account\", view = \"always\" }\nevent_type = [{ name = \"a.b\", grouping = \"exp_repeat\", fields = [\"x\"], example = '{\"x\": 1}' }]",
        );
        assert_eq!(faults, [""; 0]);
        let secret = SecretPolicy { scope: SecretScope::Account, given: false, view: SecretView::Always };
        let policy = Policy {
            secret,
            exhausted: Exhausted::Disable,
            recreate: true,
            heeds_gone: false,
            extra_headers: false,
            authorization: [AuthorizationKind::Bearer, AuthorizationKind::Basic].into(),
            ports: vec![443],
            creation_test: Some("{\"a\": 1}".into()),
        };
        assert_eq!(emission.policy, policy);
        let kind = &emission.event_types[0];
        assert_eq!((kind.name.as_str(), kind.grouping, kind.fields.len()), ("a.b", Grouping::ExpRepeat, 1));
    }

    #[test]
    fn a_fault_says_where_and_what_would_be_right() {
        for (line, fault) in [
            ("envelope = \"{event.name}\"", "t.toml:2:12: [sender]: envelope: there is no {event.name}"),
            ("envelope = '{\"a\":{event.data}'", "t.toml:2:12: [sender]: envelope: it does not come out as JSON"),
            ("success = [404]", "t.toml:2:11: [sender]: success: a list is not a list of statuses from 200 to 299"),
            ("success = []", "t.toml:2:11: [sender]: success: a list"),
            ("headers = { Host = \"x\" }", "t.toml:2:20: [sender.headers]: Host: this header is not a preset's to set"),
            ("headers = { \"a b\" = \"x\" }", "t.toml:2:21: [sender.headers]: a b: \"a b\" is not a header's name"),
            ("headers = { X = \"{x}\" }", "t.toml:2:17: [sender.headers]: X: there is no {x}"),
            ("secret = { bytes = 8 }", "t.toml:2:20: [sender.secret]: bytes: 8 is not a whole number from 16 to 64"),
            (
                "secret = { view = \"never\" }",
                "t.toml:2:10: [sender]: secret: what we make and nobody sees is of no use",
            ),
            ("authorization = []", "t.toml:2:17: [sender]: authorization: it lists nothing"),
            ("reenable = \"recreate\"", "t.toml:2:12: [sender]: reenable: it goes with exhausted = \"disable\""),
            ("ports = [0]", "t.toml:2:9: [sender]: ports: a list is not a list of ports from 1 to 65535"),
            ("authorization = [\"digest\"]", "t.toml:2:18: [sender]: authorization: \"digest\" is not known, write"),
            ("creation_test = '{'", "t.toml:2:17: [sender]: creation_test: it is not JSON"),
            ("event_type = [{ name = \"a b\" }]", "t.toml:2:24: [sender.event_type]: name: it is not an event type"),
            (
                "templates = { a = \"{{ dat }}\" }",
                "t.toml:2:19: [sender.templates]: a: line 1: there is no `dat`, did you mean `data`?",
            ),
            ("templates = { a = \"{{ id }}]\" }", "t.toml:2:19: [sender.templates]: a: it does not come out as JSON"),
            ("templates = { a = 1 }", "t.toml:2:19: [sender.templates]: a: 1 is not a string"),
            ("envelop = \"\"", "t.toml:2:1: [sender]: unknown key `envelop`, did you mean `envelope`?"),
        ] {
            let faults = read(line).2;
            assert!(faults[0].starts_with(fault), "{faults:?}");
        }
    }
}
