//! What the demo's senders do, and what must come of it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, StatusCode};
use http_body_util::Full;

use super::app::{DemoApp, Mood, Seen};
use super::sender::{Sender, Signed, random_secret};
use crate::egress::{Exchange, Pool, Target};

const WITHIN: Duration = Duration::from_secs(10);
const COPIES: usize = 5;

/// Larger than the default `max_body`.
const OVERSIZED: usize = (1 << 20) + 1;

/// One thing that can happen to a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    Genuine,
    Replay,
    Tampered,
    WrongSecret,
    Stale,
    Future,
    AtOnce,
    AppFails,
    OtherAddress,
    Oversized,
    Challenge,
}

/// What came of a scenario.
#[derive(Debug)]
pub enum Row {
    /// Why this sender cannot show it.
    NotApplicable(&'static str),
    Played(Outcome),
}

/// What came of a scenario that was played.
#[derive(Debug)]
pub struct Outcome {
    pub verdict: &'static str,
    pub status: String,
    /// What the app saw of it.
    pub app: String,
    pub as_wanted: bool,
    /// What should have come of it, where something else did.
    pub wanted: Option<String>,
}

/// What must come of a scenario.
struct Wanted {
    verdict: &'static str,
    statuses: Vec<u16>,
    /// How many requests reach the app.
    forwards: usize,
}

impl Wanted {
    fn new(verdict: &'static str, statuses: &[u16], forwards: usize) -> Self {
        Self { verdict, statuses: statuses.to_vec(), forwards }
    }
}

impl Scenario {
    /// In the order in which they are played.
    pub const ALL: [Self; 11] = [
        Self::Genuine,
        Self::Replay,
        Self::Tampered,
        Self::WrongSecret,
        Self::Stale,
        Self::Future,
        Self::AtOnce,
        Self::AppFails,
        Self::OtherAddress,
        Self::Oversized,
        Self::Challenge,
    ];

    /// What the table calls it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Genuine => "genuine event",
            Self::Replay => "genuine event, then replayed",
            Self::Tampered => "body changed on the way",
            Self::WrongSecret => "signed with another secret",
            Self::Stale => "timestamp too old",
            Self::Future => "timestamp in the future",
            Self::AtOnce => "5 copies at once, slow app",
            Self::AppFails => "app fails once, sender retries",
            Self::OtherAddress => "address that is not on the list",
            Self::Oversized => "body of more than 1 MiB",
            Self::Challenge => "unsigned test request",
        }
    }

    /// Plays it against the gateway.
    pub async fn play(self, sender: &Sender, gateway: SocketAddr, app: &DemoApp) -> anyhow::Result<Row> {
        let profile = &sender.preset.profile;
        let tolerance = profile.scheme.tolerance().and_then(|tolerance| i64::try_from(tolerance.as_secs()).ok());
        let line = Line { gateway, path: sender.path(), client: sender.address() };
        let genuine = || sender.sign(sender.new_body(), 0);
        app.set_mood(Mood::Well);
        app.take_seen();
        let (answers, sent, wanted) = match self {
            Self::Genuine => {
                let signed = genuine();
                (vec![line.send(&signed).await?], signed, Wanted::new("forwarded", &[200], 1))
            }
            Self::Replay => {
                let signed = genuine();
                let answers = vec![line.send(&signed).await?, line.send(&signed).await?];
                (answers, signed, Wanted::new("duplicate", &[200, 200], 1))
            }
            Self::Tampered => {
                let mut signed = genuine();
                signed.body = signed.body.replacen('e', "E", 1);
                (vec![line.send(&signed).await?], signed, Wanted::new("rejected", &[401], 0))
            }
            Self::WrongSecret => {
                let signed = sender.sign_with(&random_secret("other_"), sender.new_body(), 0);
                (vec![line.send(&signed).await?], signed, Wanted::new("rejected", &[401], 0))
            }
            Self::Stale | Self::Future => {
                let Some(tolerance) = tolerance else {
                    return Ok(Row::NotApplicable("its messages carry no timestamp"));
                };
                // A few seconds beyond the edge, so that a slow machine does not blur it.
                let offset = if self == Self::Stale { -(tolerance + 1) } else { tolerance + 5 };
                let signed = sender.sign(sender.new_body(), offset);
                (vec![line.send(&signed).await?], signed, Wanted::new("rejected", &[401], 0))
            }
            Self::AtOnce => {
                app.set_mood(Mood::Slow);
                let signed = genuine();
                (line.send_at_once(&signed).await?, signed, Wanted::new("forwarded", &[200; COPIES], 1))
            }
            Self::AppFails => {
                app.set_mood(Mood::FailsOnce);
                let signed = genuine();
                let answers = vec![line.send(&signed).await?, line.send(&signed).await?];
                (answers, signed, Wanted::new("forwarded", &[500, 200], 2))
            }
            Self::OtherAddress => {
                if profile.addresses.is_empty() {
                    return Ok(Row::NotApplicable("the provider publishes no addresses"));
                }
                let line = Line { client: IpAddr::from([198, 51, 100, 66]), ..line };
                let signed = genuine();
                (vec![line.send(&signed).await?], signed, Wanted::new("rejected", &[403], 0))
            }
            Self::Oversized => {
                let padding = "x".repeat(OVERSIZED);
                let signed = sender.sign(format!("{{\"padding\":\"{padding}\"}}"), 0);
                (vec![line.send(&signed).await?], signed, Wanted::new("rejected", &[413], 0))
            }
            Self::Challenge => {
                let Some(challenge) = profile.challenge.as_ref().filter(|challenge| !challenge.signed) else {
                    return Ok(Row::NotApplicable("the provider sends none"));
                };
                let mut signed = sender.sign(challenge.text(), 0);
                signed.headers.retain(|(name, _)| !profile.scheme.alternatives()[0].signature_headers().contains(name));
                (vec![line.send(&signed).await?], signed, Wanted::new("answered", &[200], 0))
            }
        };
        Ok(Row::Played(judge(&answers, &app.take_seen(), &sent, &wanted)))
    }
}

/// Holds what came of a scenario against what must.
fn judge(answers: &[Exchange], seen: &[Seen], sent: &Signed, wanted: &Wanted) -> Outcome {
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status().as_u16()).collect();
    let exact = seen.iter().all(|seen| seen.body == sent.body);
    let verified = seen.iter().all(|seen| seen.parts.headers.contains_key("hookward-verified"));
    let as_wanted = statuses == wanted.statuses && seen.len() == wanted.forwards && exact && verified;
    let last = answers.last().map_or(StatusCode::OK, Exchange::status);
    let verdict = match (last.is_success(), seen.len()) {
        (true, 0) => "answered",
        (true, 1) if answers.len() == 2 => "duplicate",
        (true, _) => "forwarded",
        (false, 0) => "rejected",
        (false, _) => "failed",
    };
    let as_wanted = as_wanted && verdict == wanted.verdict;
    Outcome {
        verdict,
        status: status_text(answers),
        app: match (seen.len(), exact) {
            (0, _) => "saw nothing".to_owned(),
            (1, true) => "saw it once, byte for byte".to_owned(),
            (count, true) => format!("saw it {count} times, took it once"),
            (_, false) => "saw other bytes".to_owned(),
        },
        as_wanted,
        wanted: (!as_wanted).then(|| {
            format!(
                "{}, {:?}, {} requests at the app, byte for byte and verified",
                wanted.verdict, wanted.statuses, wanted.forwards
            )
        }),
    }
}

/// `401 Invalid signature`, `500, then 200`, `5 × 200`.
fn status_text(answers: &[Exchange]) -> String {
    let statuses: Vec<String> = answers.iter().map(|answer| answer.status().as_u16().to_string()).collect();
    match answers {
        [one] if !one.status().is_success() => format!("{} {}", statuses[0], String::from_utf8_lossy(one.body())),
        [_, _] => statuses.join(", then "),
        [_, _, ..] if statuses.iter().all(|status| *status == statuses[0]) => {
            format!("{} × {}", statuses.len(), statuses[0])
        }
        _ => statuses.join(", "),
    }
}

/// The way from a sender to the gateway.
struct Line {
    gateway: SocketAddr,
    path: String,
    client: IpAddr,
}

impl Line {
    async fn send(&self, signed: &Signed) -> anyhow::Result<Exchange> {
        let target = Target { host: self.gateway.ip().to_string(), port: self.gateway.port(), tls: false };
        let mut request = Request::post(&self.path)
            .header(HOST, target.host_header())
            .header("x-forwarded-for", HeaderValue::try_from(self.client.to_string())?);
        for (name, value) in &signed.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from(signed.body.clone())))?;
        Ok(Pool::new(target, None, WITHIN).exchange(request, WITHIN).await?)
    }

    async fn send_at_once(&self, signed: &Signed) -> anyhow::Result<Vec<Exchange>> {
        let copies =
            tokio::join!(self.send(signed), self.send(signed), self.send(signed), self.send(signed), self.send(signed));
        let copies: [_; COPIES] = copies.into();
        copies.into_iter().collect()
    }
}
