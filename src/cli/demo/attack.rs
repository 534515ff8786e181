//! What is done to the gateway by hand, and what must come of it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, StatusCode};
use http_body_util::Full;

use super::app::{DemoApp, Mood, Seen};
use super::provider::{Provider, Signed, random_secret};
use super::row::{Outcome, Row, times};
use crate::egress::{Exchange, Pool, Target};
use crate::signature::challenge::Challenge;

const WITHIN: Duration = Duration::from_secs(10);
const COPIES: usize = 5;

/// Larger than the default `max_body`.
const OVERSIZED: usize = (1 << 20) + 1;

/// One thing that can happen to a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attack {
    Replay,
    Tampered,
    OtherAddress,
    WrongSecret,
    Stale,
    Future,
    AtOnce,
    AppFails,
    Oversized,
    Challenge,
}

/// What must come of an attack.
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

impl Attack {
    /// In the order in which they are played.
    pub const ALL: [Self; 10] = [
        Self::Replay,
        Self::Tampered,
        Self::OtherAddress,
        Self::WrongSecret,
        Self::Stale,
        Self::Future,
        Self::AtOnce,
        Self::AppFails,
        Self::Oversized,
        Self::Challenge,
    ];

    /// What the table calls it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Replay => "the same request once more",
            Self::Tampered => "its body changed on the way",
            Self::OtherAddress => "address not on the list",
            Self::WrongSecret => "signed with another secret",
            Self::Stale => "timestamp too old",
            Self::Future => "timestamp in the future",
            Self::AtOnce => "5 copies at once, slow app",
            Self::AppFails => "app fails once, sent again",
            Self::Oversized => "body of more than 1 MiB",
            Self::Challenge => "unsigned test request",
        }
    }

    /// Plays it against the gateway, with what was made of a delivered request.
    pub async fn play(
        self,
        provider: &Provider,
        delivered: &Signed,
        gateway: SocketAddr,
        app: &DemoApp,
    ) -> anyhow::Result<Row> {
        let profile = &provider.preset.profile;
        let tolerance = profile.scheme.tolerance().and_then(|tolerance| i64::try_from(tolerance.as_secs()).ok());
        let line = Line { gateway, path: provider.path(), client: provider.address() };
        let another = || provider.another(delivered, &provider.secret, 0);
        app.set_mood(Mood::Well);
        app.take_seen();
        let (answers, sent, wanted) = match self {
            Self::Replay => (vec![line.send(delivered).await?], delivered.clone(), Wanted::new("duplicate", &[200], 0)),
            Self::Tampered => {
                let body = delivered.body.replacen('e', "E", 1);
                let tampered = Signed { body, ..delivered.clone() };
                (vec![line.send(&tampered).await?], tampered, Wanted::new("rejected", &[401], 0))
            }
            Self::OtherAddress => {
                if profile.addresses.snapshot.is_empty() {
                    return Ok(Row::NotApplicable("it publishes no addresses"));
                }
                let line = Line { client: IpAddr::from([198, 51, 100, 66]), ..line };
                let signed = another();
                (vec![line.send(&signed).await?], signed, Wanted::new("rejected", &[403], 0))
            }
            Self::WrongSecret => {
                let signed = provider.another(delivered, &random_secret("other_"), 0);
                (vec![line.send(&signed).await?], signed, Wanted::new("rejected", &[401], 0))
            }
            Self::Stale | Self::Future => {
                let Some(tolerance) = tolerance else {
                    return Ok(Row::NotApplicable("its messages carry no timestamp"));
                };
                // A few seconds beyond the edge, so that a slow machine does not blur it.
                let offset = if self == Self::Stale { -(tolerance + 1) } else { tolerance + 5 };
                let signed = provider.another(delivered, &provider.secret, offset);
                (vec![line.send(&signed).await?], signed, Wanted::new("rejected", &[401], 0))
            }
            Self::AtOnce => {
                app.set_mood(Mood::Slow);
                let signed = another();
                (line.send_at_once(&signed).await?, signed, Wanted::new("forwarded", &[200; COPIES], 1))
            }
            Self::AppFails => {
                app.set_mood(Mood::FailsOnce);
                let signed = another();
                let answers = vec![line.send(&signed).await?, line.send(&signed).await?];
                (answers, signed, Wanted::new("forwarded", &[500, 200], 2))
            }
            Self::Oversized => {
                let padding = "x".repeat(OVERSIZED);
                let signed = provider.signed(delivered, &provider.secret, format!("{{\"padding\":\"{padding}\"}}"), 0);
                (vec![line.send(&signed).await?], signed, Wanted::new("rejected", &[413], 0))
            }
            Self::Challenge => {
                let unsigned = profile.challenges.iter().filter(|challenge| !challenge.signed);
                let Some(body) = unsigned.filter_map(Challenge::example_body).next() else {
                    return Ok(Row::NotApplicable("it sends none"));
                };
                let mut signed = provider.signed(delivered, &provider.secret, body, 0);
                signed.headers.retain(|(name, _)| !profile.scheme.alternatives()[0].signature_headers().contains(name));
                (vec![line.send(&signed).await?], signed, Wanted::new("answered", &[200], 0))
            }
        };
        Ok(Row::Played(judge(&answers, &app.take_seen(), &sent, delivered, &wanted)))
    }
}

/// Holds what came of an attack against what must.
fn judge(answers: &[Exchange], seen: &[Seen], sent: &Signed, delivered: &Signed, wanted: &Wanted) -> Outcome {
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status().as_u16()).collect();
    let exact = seen.iter().all(|seen| seen.body == sent.body && seen.is_verified());
    let last = answers.last().map_or(StatusCode::OK, Exchange::status);
    let verdict = match (last.is_success(), seen.len()) {
        (true, 0) if sent.body == delivered.body => "duplicate",
        (true, 0) => "answered",
        (true, _) => "forwarded",
        (false, 0) => "rejected",
        (false, _) => "failed",
    };
    let as_wanted = verdict == wanted.verdict && statuses == wanted.statuses && seen.len() == wanted.forwards && exact;
    Outcome {
        verdict: verdict.into(),
        answer: answer_text(answers),
        app: if exact { times(seen.len()) } else { "altered".into() },
        note: None,
        wanted: (!as_wanted).then(|| {
            let Wanted { verdict, statuses, forwards } = wanted;
            format!("{verdict}, {statuses:?}, seen by the app {} as it was sent", times(*forwards))
        }),
    }
}

/// `401 Invalid signature`, `500, then 200`, `5 × 200`.
fn answer_text(answers: &[Exchange]) -> String {
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

/// The way to the gateway, as if from a client's address.
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
