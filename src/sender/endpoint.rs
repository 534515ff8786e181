//! An endpoint: where a customer wants which events, and how.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::resource::ResourceFilter;
use super::secret::Secrets;
use crate::name::matches;
use crate::quantity::{format_duration, parse_duration};
use crate::schedule::{Schedule, Waits};
use crate::signature::emission::AuthorizationKind;

/// An endpoint as the directory keeps it. The document is sealed as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    pub id: String,
    pub account: String,
    pub settings: Settings,
    /// Its own; none where its account has them, or nothing is signed.
    pub secrets: Secrets,
    /// Set where it was disabled other than by its owner.
    pub disabled: Option<Disabled>,
    pub created_at: i64,
    pub updated_at: i64,
}

/// What a customer decides about an endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub url: String,
    /// Patterns; `None` for every event.
    pub events: Option<Vec<String>>,
    pub description: String,
    pub active: bool,
    pub provider: String,
    /// Documents of earlier versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    pub group_id: Option<String>,
    pub headers: BTreeMap<String, String>,
    pub authorization: Option<Authorization>,
    pub filter: BTreeMap<String, Value>,
    #[serde(default)]
    pub resources: Vec<ResourceFilter>,
    pub retry: Option<Retry>,
    pub timeout: Option<String>,
    pub success: Option<Vec<u16>>,
    pub rate_limit: Option<RateLimit>,
    pub max_in_flight: Option<u32>,
    pub ordering: Ordering,
    pub disable_after: Option<String>,
    pub tls: Option<Tls>,
    pub metadata: BTreeMap<String, String>,
}

/// Why an endpoint gets nothing although its owner wants it to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disabled {
    pub reason: DisabledReason,
    pub at: i64,
    /// True if nobody switches it on again.
    #[serde(default)]
    pub permanent: bool,
}

/// Why an endpoint was disabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DisabledReason {
    /// It has failed for too long.
    Failing,
    /// It answered 410.
    Gone,
    /// It took nothing of an event in all its attempts, which ends it where its provider says so.
    Exhausted,
}

/// The `Authorization` header of each delivery.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Authorization {
    /// `Authorization: Bearer <token>`
    Bearer { token: String },
    /// `Authorization: Basic …`
    Basic { username: String, password: String },
    /// `Authorization: Splunk <token>`
    Splunk { token: String },
    /// The header's value as it is.
    Custom { value: String },
}

/// When a delivery is tried again: a list of waits, or growing ones.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// The wait after each failed attempt, such as `["5s", "5m", "2h"]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(["5s", "5m", "2h"]))]
    pub delays: Option<Vec<String>>,
    /// The first wait, where waits grow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial: Option<String>,
    /// How many times as long each wait is as the one before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factor: Option<f64>,
    /// The longest wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<String>,
    /// No attempt begins later than this after the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// How much longer a wait may get by chance, as a part of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter: Option<f64>,
}

/// How many deliveries an endpoint gets.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    pub per_second: f64,
    /// At once, after a pause. Default: one second's worth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
}

/// In which order deliveries are made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ordering {
    /// Several at once, each when it is due.
    #[default]
    None,
    /// One at a time, in the order in which events were accepted. One that fails holds up those behind it.
    Fifo,
}

/// Whom an endpoint trusts and who vouches for it, each as PEM.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Our certificate and those above it, for endpoints that ask for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// Its private key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The authority that vouches for the endpoint, in place of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
}

/// What stands where a secret would.
pub const MASK: &str = "***masked***";

macro_rules! redacted {
    ($($name:ident),*) => {$(
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(redacted)"))
            }
        }
    )*};
}
redacted!(Authorization, Tls);

impl Authorization {
    /// As its provider allows it or not.
    pub fn kind(&self) -> AuthorizationKind {
        match self {
            Self::Bearer { .. } => AuthorizationKind::Bearer,
            Self::Basic { .. } => AuthorizationKind::Basic,
            Self::Splunk { .. } => AuthorizationKind::Splunk,
            Self::Custom { .. } => AuthorizationKind::Custom,
        }
    }
}

impl Endpoint {
    /// True if it gets events now.
    pub fn is_active(&self) -> bool {
        self.settings.active && self.disabled.is_none()
    }

    /// True if it asked for events of this type.
    pub fn wants(&self, kind: &str) -> bool {
        let Some(patterns) = &self.settings.events else { return true };
        patterns.iter().any(|pattern| matches(pattern, kind))
    }

    /// The word for its state.
    pub fn status(&self) -> Status {
        match (&self.disabled, self.settings.active) {
            (Some(Disabled { permanent: true, .. }), _) => Status::DisabledPermanent,
            (_, false) => Status::Inactive,
            (None, true) => Status::Active,
            (Some(Disabled { reason: DisabledReason::Failing | DisabledReason::Exhausted, .. }), true) => {
                Status::DisabledFailing
            }
            (Some(Disabled { reason: DisabledReason::Gone, .. }), true) => Status::DisabledGone,
        }
    }
}

/// Whether an endpoint gets events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It does.
    Active,
    /// Its owner switched it off.
    Inactive,
    /// It failed for too long and was switched off.
    DisabledFailing,
    /// It answered 410 Gone and was switched off.
    DisabledGone,
    /// It failed and was switched off, and its provider switches none on again: another one can be registered.
    DisabledPermanent,
}

/// A list longer than this is a mistake.
const MOST_DELAYS: usize = 64;

/// No delivery is tried for longer.
const MOST_WINDOW: Duration = Duration::from_secs(30 * 24 * 3600);

impl Retry {
    /// The schedule that it says, with `standard` for what it does not.
    ///
    /// # Errors
    /// What is wrong with it: the key, and a fragment.
    pub fn schedule(&self, standard: &Schedule) -> Result<Schedule, (&'static str, String)> {
        let duration = |key: &'static str, text: &Option<String>| match text {
            Some(text) => positive(text).map(Some).map_err(|wrong| (key, wrong)),
            None => Ok(None),
        };
        let (initial, max, window) =
            (duration("initial", &self.initial)?, duration("max", &self.max)?, duration("window", &self.window)?);
        let grows = initial.is_some() || max.is_some() || self.factor.is_some();
        let jitter = match self.jitter {
            Some(jitter) if (0.0..=1.0).contains(&jitter) => jitter,
            Some(_) => return Err(("jitter", "it is not from 0 to 1".into())),
            None => standard.jitter,
        };
        let waits = match &self.delays {
            Some(_) if grows => return Err(("delays", "a list says it all, leave initial, factor and max out".into())),
            Some(delays) if delays.len() > MOST_DELAYS => {
                return Err(("delays", format!("there are more than {MOST_DELAYS}")));
            }
            Some(delays) => {
                let delays: Result<Vec<_>, _> = delays.iter().map(|text| parse_duration(text)).collect();
                Waits::List(delays.map_err(|wrong| ("delays", wrong))?)
            }
            None if grows => {
                let initial = initial.unwrap_or(Duration::from_secs(5));
                let factor = self.factor.unwrap_or(2.0);
                if !(1.0..=100.0).contains(&factor) {
                    return Err(("factor", "it is not from 1 to 100".into()));
                }
                let max = max.unwrap_or(Duration::from_secs(3600).max(initial));
                if max < initial {
                    return Err(("max", "it is shorter than initial".into()));
                }
                Waits::Exponential { initial, factor, max }
            }
            None => standard.waits.clone(),
        };
        let own = match (&waits, self.delays.is_some()) {
            // A list ends by itself, unless the endpoint asks for time.
            (Waits::List(waits), true) => {
                waits.iter().sum::<Duration>().saturating_mul(2).max(Duration::from_secs(3600))
            }
            _ => standard.window,
        };
        if window.is_some_and(|window| window > MOST_WINDOW) {
            let text =
                format!("it is longer than {}, for which a delivery is tried at most", format_duration(MOST_WINDOW));
            return Err(("window", text));
        }
        let window = window.unwrap_or(own).min(MOST_WINDOW);
        Ok(Schedule { waits, window, jitter })
    }
}

/// A duration that leaves some time.
pub fn positive(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err(format!("\"{text}\" leaves no time at all, for example \"15s\"")),
        duration => Ok(duration),
    }
}

/// As the API says it.
pub fn describe(schedule: &Schedule) -> Retry {
    let window = Some(format_duration(schedule.window));
    let jitter = Some(schedule.jitter);
    match &schedule.waits {
        Waits::List(waits) => Retry {
            delays: Some(waits.iter().map(|wait| format_duration(*wait)).collect()),
            window,
            jitter,
            ..Retry::default()
        },
        Waits::Exponential { initial, factor, max } => Retry {
            initial: Some(format_duration(*initial)),
            factor: Some(*factor),
            max: Some(format_duration(*max)),
            window,
            jitter,
            ..Retry::default()
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_is_a_list_or_grows() {
        let standard = Schedule { waits: Waits::List(vec![Duration::from_secs(5)]), window: MOST_WINDOW, jitter: 0.1 };
        let read = |text: &str| serde_json::from_str::<Retry>(text).expect("a retry").schedule(&standard);
        let list = read("{\"delays\": [\"1m\", \"1h\"], \"jitter\": 0}").expect("good");
        assert_eq!(list.window, Duration::from_secs(2 * 3660));
        assert_eq!(read("{}"), Ok(standard.clone()));
        assert!(matches!(read("{\"initial\": \"1s\"}").expect("good").waits, Waits::Exponential { .. }));
        for (bad, key) in [
            ("{\"delays\": [\"1m\"], \"initial\": \"1s\"}", "delays"),
            ("{\"delays\": [\"soon\"]}", "delays"),
            ("{\"jitter\": 1.5}", "jitter"),
            ("{\"window\": \"0s\"}", "window"),
            ("{\"window\": \"31d\"}", "window"),
            ("{\"factor\": 0.5}", "factor"),
            ("{\"initial\": \"2h\", \"max\": \"1h\"}", "max"),
        ] {
            assert_eq!(read(bad).expect_err(bad).0, key, "{bad}");
        }
    }
}
