//! What an operator should know of a source, and nothing refuses.

use std::time::Duration;

use crate::clock::UnixMillis;
use crate::document::{Fault, Reader};
use crate::gateway::Settings;
use crate::gateway::allow::Allow;
use crate::gateway::lists::{List, Refresh};
use crate::gateway::routing::{Branch, Conditions, To};
use crate::gateway::source::{Mode, Proof, Source, Upstream};
use crate::quantity::format_duration;
use crate::signature::addresses::Addresses;
use crate::signature::coverage::BodyCoverage;
use crate::signature::profile::{Profile, ReplayGuard};
use crate::signature::{Alternative, Scheme};

/// The warnings about one source, each with the number or the word to write.
pub fn of_source(reader: &Reader<'_>, source: &Source, profile: &Profile, settings: &Settings) -> Vec<Fault> {
    let mut warnings = Vec::new();
    let mut warn = |key: &str, text: String| {
        let text = format!("source \"{}\": {text}", source.name);
        warnings.push(Fault { place: reader.place_of(key), text });
    };
    let delivery = &profile.delivery;
    let tolerance = profile.scheme.tolerance().filter(|_| matches!(source.proof, Proof::Signature(_)));

    if let (Some(tolerance), Some(span)) = (tolerance, delivery.retry_span)
        && delivery.frozen_timestamp
        && tolerance < span
    {
        warn(
            "tolerance",
            format!(
                "retries carry the first attempt's timestamp and go on for {}: those after {} are rejected; write tolerance = \"{}\" to accept them all",
                format_duration(span),
                format_duration(tolerance),
                format_duration(hours_above(span)),
            ),
        );
    }
    if source.public_url.is_none() && profile.scheme.signs_url() {
        let text = "the URL is signed and public_url is not set: it is taken from each request, so a message that was signed for another host can be sent here with its name; write public_url = \"https://…\" as the provider has it";
        warn("provider", text.to_owned());
    }
    match &source.dedup {
        None => {
            if let Some(tolerance) = tolerance.filter(|_| signs_timestamp(&profile.scheme)) {
                let window = format_duration(tolerance);
                warn(
                    "dedup",
                    format!(
                        "without dedup a captured request can be replayed for {window}, and every retry is forwarded"
                    ),
                );
            } else {
                warn(
                    "dedup",
                    "without dedup a captured request can be replayed at any time, and every retry is forwarded".into(),
                );
            }
        }
        Some(policy) => {
            if let Some(span) = delivery.retry_span.filter(|span| policy.ttl < *span) {
                let text = format!(
                    "dedup_ttl = \"{}\" is shorter than the time over which the provider retries ({}): a late retry would be forwarded again; write dedup_ttl = \"{}\"",
                    format_duration(policy.ttl),
                    format_duration(span),
                    format_duration(hours_above(span)),
                );
                warn("dedup_ttl", text);
            }
            if let Some(tolerance) = tolerance.filter(|tolerance| policy.ttl < 2 * *tolerance) {
                let text = format!(
                    "dedup_ttl = \"{}\" is shorter than the tolerance both ways: a captured request could be replayed in between; write dedup_ttl = \"{}\"",
                    format_duration(policy.ttl),
                    format_duration(2 * tolerance + Duration::from_secs(60)),
                );
                warn("dedup_ttl", text);
            }
        }
    }
    if matches!(source.allow, Allow::Any) && !profile.addresses.are_unknown() && !signs_bodies(source) {
        warn(
            "allow",
            "its messages are not signed, or not whole, and the provider publishes its addresses: allow = \"provider\" would keep others out".into(),
        );
    }
    let longest = source.upstreams().map(|upstream| upstream.timeout).max().unwrap_or_default();
    if let Mode::Proxy = &source.mode
        && let Some(timeout) = delivery.timeout.filter(|timeout| longest >= *timeout)
    {
        let text = format!(
            "upstream_timeout = \"{}\" is not below the {} that the provider waits: it would give up first and send again",
            format_duration(longest),
            format_duration(timeout),
        );
        warn("upstream_timeout", text);
    }
    if source.max_body > settings.max_buffered {
        warn("max_body", "max_body is above [gateway] max_buffered: bodies between the two are answered 503".into());
    }
    if let Some(learning) = &source.learning {
        let text = format!(
            "{} is not there: everything is refused until the provider brings the secret, and until then whoever knows the URL could plant one",
            learning.file.display()
        );
        warn("secrets", text);
    }
    if !source.enforce {
        warn("enforce", "enforce = false: what is rejected is forwarded all the same".into());
    }
    warnings
}

/// What `hookward check` says of a source, a line each: how long a captured request could be sent again, how long its
/// provider tries again, and how long we do.
pub fn about(source: &Source, profile: &Profile, settings: &Settings) -> Vec<String> {
    let mut lines = vec![replay_window(source)];
    let remembered = source.dedup.as_ref().map(|policy| policy.ttl);
    lines.push(match (profile.delivery.retry_span, remembered) {
        (Some(span), Some(ttl)) if span <= ttl => format!(
            "the provider tries again for {}, within the {} that events are remembered",
            format_duration(span),
            format_duration(ttl)
        ),
        (Some(span), _) => format!("the provider tries again for {}", format_duration(span)),
        (None, Some(ttl)) => format!(
            "how long the provider tries again is not known; events are remembered for {}",
            format_duration(ttl)
        ),
        (None, None) => "how long the provider tries again is not known".to_owned(),
    });
    match &source.allow {
        Allow::Any if !profile.addresses.are_unknown() => {
            lines.push(
                "it hears everybody; allow = \"provider\" would let in only whom the provider publishes".to_owned(),
            );
        }
        Allow::Any | Allow::Only(_) => {}
        Allow::Provider(list) => lines.push(whom_it_lets_in(list, &settings.refresh)),
    }
    lines.extend(challenges(source, profile));
    if let Mode::Store { schedule, .. } = &source.mode {
        let several = source.otherwise.upstreams().len();
        let to = match several {
            2.. if source.routes.is_empty() => format!(" to each of {several} upstreams"),
            _ => String::new(),
        };
        lines.push(format!(
            "events are answered once they are stored; delivery{to} is tried for {}, and then is a dead letter",
            format_duration(schedule.span())
        ));
    }
    if source.url_token.is_some() {
        let slash = if source.path.ends_with('/') { "" } else { "/" };
        lines.push(format!("requests come to {}{slash} and its token: whoever knows that can send", source.path));
    }
    lines.extend(routes(source));
    lines
}

/// Which challenges the gateway answers, and what the others lack.
fn challenges(source: &Source, profile: &Profile) -> Vec<String> {
    let answered: Vec<&str> = source.challenges.names().collect();
    let lacking = profile.challenges.iter().filter_map(|challenge| {
        let lacks = challenge.lacks(source.challenges.means());
        let learned = challenge.learns() && source.learning.is_none();
        let text = format!("challenge {} is not answered: the source lacks {}", challenge.name, lacks.join(" and "));
        (!lacks.is_empty() && !learned).then_some(text)
    });
    let mut lines: Vec<String> = lacking.collect();
    if !answered.is_empty() {
        lines.insert(0, format!("answered here and never forwarded: {}", answered.join(", ")));
    }
    lines
}

/// How many networks a source lets in whose addresses are its provider's, from when, and whether they are refreshed.
fn whom_it_lets_in(list: &List, refresh: &Refresh) -> String {
    let Addresses { snapshot, published, refresh: origins } = &list.addresses;
    let from: Vec<String> = origins.iter().map(ToString::to_string).collect();
    let from = from.join("; ");
    if snapshot.is_empty() {
        return format!(
            "it lets nobody in, and answers 503, until the provider's addresses are fetched for the first time from {from}"
        );
    }
    let day = list.read.map_or("of an unknown day".to_owned(), |read| {
        let text = UnixMillis(read.0.saturating_mul(1000)).to_string();
        format!("of {}", text.split('T').next().unwrap_or_default())
    });
    let then = match (list.every(refresh), published) {
        (Some(every), _) => format!("and asks every {} for today's: {from}", format_duration(every)),
        (None, _) if !origins.is_empty() => "which nobody refreshes: [network] refresh is \"off\"".to_owned(),
        (None, Some(page)) => format!("which nobody refreshes: there is no list to fetch, only a page to read, {page}"),
        (None, None) => "which nobody refreshes: there is no list to fetch".to_owned(),
    };
    let plural = if snapshot.len() == 1 { "network" } else { "networks" };
    format!("it lets in {} {plural} of the provider, {day}, {then}", snapshot.len())
}

/// Which events go where, a line each.
fn routes(source: &Source) -> Vec<String> {
    if source.routes.is_empty() && source.otherwise.name.is_none() {
        return Vec::new();
    }
    let way = |branch: &Branch| match &branch.to {
        To::Nowhere => "acknowledged, and forwarded nowhere".to_owned(),
        To::Upstreams { upstreams, rendering } => {
            let shown: Vec<_> = upstreams.iter().map(Upstream::shown).collect();
            let shape = rendering.as_ref().map(|rendering| format!(", as {} message", rendering.template.name()));
            format!("to {}{}", shown.join(" and "), shape.unwrap_or_default())
        }
    };
    let name = |branch: &Branch| branch.name.as_ref().map_or(String::new(), |name| format!("route \"{name}\": "));
    let mut lines = Vec::new();
    for route in &source.routes {
        lines.push(format!("{}{} {}", name(&route.branch), conditions(&route.when), way(&route.branch)));
    }
    let rest = if source.routes.is_empty() { "every event" } else { "every other event" };
    lines.push(format!("{}{rest} {}", name(&source.otherwise), way(&source.otherwise)));
    lines.extend(unsigned(source));
    lines
}

fn conditions(when: &Conditions) -> String {
    let types = (!when.types.is_empty()).then(|| when.types.join(" or "));
    let json = when.json.iter().map(|(pointer, texts)| format!("{pointer} is {}", texts.join(" or ")));
    let all: Vec<String> = types.into_iter().chain(json).collect();
    all.join(", ")
}

/// What routes go by that no signature covers.
fn unsigned(source: &Source) -> Option<String> {
    let Proof::Signature(verifier) = &source.proof else { return None };
    let scheme = verifier.scheme();
    let by_type = source.routes.iter().any(|route| !route.when.types.is_empty());
    let by_json = source.routes.iter().any(|route| !route.when.json.is_empty());
    let places = scheme.unsigned_types().into_iter().filter(|_| by_type).map(ToString::to_string);
    let partial = |alternative: &Alternative| alternative.coverage().body == BodyCoverage::Partial;
    let body = (by_json && scheme.alternatives().iter().any(partial)).then(|| "all of the JSON".to_owned());
    let places: Vec<String> = places.chain(body).collect();
    (!places.is_empty()).then(|| {
        format!(
            "routes go by what is not signed ({}): whoever captures a request can send it another way",
            places.join(", ")
        )
    })
}

/// How long a captured request of this source could be sent again.
fn replay_window(source: &Source) -> String {
    let scheme = match &source.proof {
        Proof::Signature(verifier) => verifier.scheme(),
        Proof::Elsewhere(_) => {
            return "nothing is signed: only addresses, credentials and what nobody knows of its URL keep strangers out"
                .into();
        }
    };
    let signed = signs_timestamp(scheme);
    let remembered = match &source.dedup {
        None => "not remembered (dedup = \"off\")".to_owned(),
        Some(policy) => format!("remembered for {}", format_duration(policy.ttl)),
    };
    let guard = source.dedup.as_ref().map(|policy| policy.replay_guard);
    let bound = scheme
        .alternatives()
        .iter()
        .all(|alternative| alternative.ids().iter().all(|place| alternative.covers_id_at(place)));
    match scheme.tolerance() {
        Some(tolerance) if signed => {
            format!(
                "a captured request is refused after {} (signed timestamp); events are {remembered}",
                format_duration(tolerance)
            )
        }
        Some(_) if !bound && guard != Some(ReplayGuard::Enforce) => format!(
            "the timestamp is not signed: a captured body can be sent again with a new one; events are {remembered}; replay_guard = \"enforce\" would refuse it"
        ),
        Some(_) => format!(
            "the timestamp is not signed: a captured request is kept out only by dedup; events are {remembered}"
        ),
        None if !bound && guard != Some(ReplayGuard::Enforce) => format!(
            "there is no timestamp, and the event id is not signed: a captured body can be sent again under another id; events are {remembered}; replay_guard = \"enforce\" would refuse it"
        ),
        None => format!("there is no timestamp: a captured request is kept out only by dedup; events are {remembered}"),
    }
}

/// True if who sends a message has signed all of it.
fn signs_bodies(source: &Source) -> bool {
    match &source.proof {
        Proof::Signature(verifier) => {
            let alternatives = verifier.scheme().alternatives();
            alternatives.iter().all(|alternative| alternative.coverage().body != BodyCoverage::Partial)
        }
        Proof::Elsewhere(_) => false,
    }
}

/// True if a captured message cannot be given another time.
fn signs_timestamp(scheme: &Scheme) -> bool {
    scheme.alternatives().iter().all(|alternative| alternative.coverage().timestamp)
}

/// The next whole hour above a span, and one more for the deliveries themselves.
fn hours_above(span: Duration) -> Duration {
    const HOUR: u64 = 3600;
    Duration::from_secs((span.as_secs() / HOUR + 1) * HOUR)
}
