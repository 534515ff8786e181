//! What `hookward providers show` says of sending as a provider does.

use crate::quantity::format_duration;
use crate::schedule::{Schedule, Waits};
use crate::signature::emission::{
    AuthorizationKind, Emission, Exhausted, Policy, SecretPolicy, SecretScope, SecretView, Success, TimestampPolicy,
};
use crate::signature::preset::Preset;

/// A label and what it says, one for each line.
pub fn describe(preset: &Preset) -> Vec<(&'static str, String)> {
    let emission = &preset.profile.emission;
    if let Err(why) = preset.can_emit() {
        return vec![("sent", format!("not by us: {why}"))];
    }
    let mut lines = vec![("sent", schedule(&emission.schedule)), ("", attempt(emission))];
    lines.push(("in the end", end(&emission.policy)));
    lines.push(("its secret", secret(emission.policy.secret)));
    lines.extend(limits(&emission.policy).map(|limits| ("its endpoints", limits)));
    let names: Vec<&str> = emission.event_types.iter().map(|kind| kind.name.as_str()).collect();
    match names.as_slice() {
        [] => {}
        [first, second, third, rest @ ..] if rest.len() > 3 => {
            lines.push(("its events", format!("{first}, {second}, {third} and {} more", rest.len())));
        }
        all => lines.push(("its events", all.join(", "))),
    }
    if !emission.templates.is_empty() {
        let names: Vec<&str> = emission.templates.keys().map(String::as_str).collect();
        lines.push(("its templates", names.join(", ")));
    }
    lines
}

fn schedule(schedule: &Schedule) -> String {
    let jitter = if schedule.jitter > 0.0 { ", or a little longer" } else { "" };
    match &schedule.waits {
        Waits::List(waits) => {
            let waits: Vec<String> = waits.iter().map(|wait| format_duration(*wait)).collect();
            format!("{} times, waiting {}{jitter}", waits.len() + 1, waits.join(", "))
        }
        Waits::Exponential { initial, factor, max } => format!(
            "for {}, waiting {} and then {factor} times as long each time, {} at most{jitter}",
            format_duration(schedule.window),
            format_duration(*initial),
            format_duration(*max)
        ),
    }
}

fn attempt(emission: &Emission) -> String {
    let success = match &emission.success {
        Success::Any2xx => "any 2xx is success".to_owned(),
        Success::Only(statuses) => {
            let statuses: Vec<&str> = statuses.iter().map(http::StatusCode::as_str).collect();
            format!("only {} is success", statuses.join(", "))
        }
    };
    let time = match emission.timestamp {
        TimestampPolicy::Fresh => "",
        TimestampPolicy::Frozen => ", each with the first attempt's timestamp",
    };
    format!("{} for each, {success}{time}", format_duration(emission.timeout))
}

fn end(policy: &Policy) -> String {
    let end = match (policy.exhausted, policy.recreate) {
        (Exhausted::Fail, _) => "a delivery has failed",
        (Exhausted::Cancel, _) => "a delivery is cancelled",
        (Exhausted::Disable, false) => "a delivery has failed, and its endpoint is switched off",
        (Exhausted::Disable, true) => "a delivery has failed, and its endpoint is switched off for good",
    };
    let gone = if policy.heeds_gone { "410 switches an endpoint off" } else { "410 is a failure like any other" };
    format!("{end}; {gone}")
}

fn secret(policy: SecretPolicy) -> String {
    let whose = match policy.scope {
        SecretScope::Endpoint => "one for each endpoint",
        SecretScope::Account => "one for an account",
    };
    let made = if policy.given { "brought by its owner" } else { "made by us unless it is brought" };
    let view = match policy.view {
        SecretView::Never => "never shown",
        SecretView::Once => "shown once",
        SecretView::Always => "shown whenever its owner asks",
    };
    format!("{whose}, {made}, {view}")
}

/// What is not as everywhere.
fn limits(policy: &Policy) -> Option<String> {
    let mut limits = Vec::new();
    if !policy.ports.is_empty() {
        let ports: Vec<String> = policy.ports.iter().map(ToString::to_string).collect();
        limits.push(format!("port {} only", ports.join(", ")));
    }
    if !policy.extra_headers {
        limits.push("no headers of their own".to_owned());
    }
    if policy.authorization.len() < AuthorizationKind::WORDS.len() {
        limits.push(format!("authorization {}", policy.authorization_words().join(", ")));
    }
    if policy.creation_test.is_some() {
        limits.push("take a test before they are registered".to_owned());
    }
    (!limits.is_empty()).then(|| limits.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(slug: &str) -> String {
        let lines = describe(Preset::find(slug).expect("a preset"));
        lines.into_iter().map(|(label, text)| format!("{label}: {text}\n")).collect()
    }

    #[test]
    fn what_a_provider_does_otherwise_is_said() {
        assert_eq!(
            said("vgs"),
            "sent: 8 times, waiting 5s, 5m, 30m, 2h, 5h, 10h, 10h\n\
             : 15s for each, only 200 is success, each with the first attempt's timestamp\n\
             in the end: a delivery is cancelled; 410 is a failure like any other\n\
             its secret: one for each endpoint, made by us unless it is brought, shown once\n\
             its events: route.created, route.updated, route.delete and 18 more\n"
        );
        let cyberark = said("cyberark-vaas");
        for part in [
            "sent: for 1d, waiting 30s and then 2 times as long each time, 1h at most, or a little longer\n",
            "switched off for good; 410 is",
            "one for each endpoint, brought by its owner, never shown\n",
            "its endpoints: port 443 only; no headers of their own; authorization bearer, basic, splunk; take a test",
            "its events: CertificateExpiration\n",
        ] {
            assert!(cyberark.contains(part), "{cyberark}");
        }
        assert!(said("vinsight").contains("one for an account, made by us unless it is brought, shown whenever"));
        assert_eq!(said("discord"), "sent: not by us: it is signed with a private key\n");
    }
}
