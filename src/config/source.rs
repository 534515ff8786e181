//! `[[source]]`.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode};

use super::environment::Environment;
use super::gateway::{positive, positive_size, read_networks};
use super::provider;
use super::route;
use super::scheme::{Keys, read_params, read_profile, read_proof};
use super::secrets::{self, Secrets};
use super::upstream::{Ends, Wanted, Way};
use super::warnings;
use crate::dedup::StoreDown;
use crate::document::{Fault, Node, Reader, Value, quoted};
use crate::egress::Url;
use crate::gateway::Settings;
use crate::gateway::allow::Allow;
use crate::gateway::learning::Learning;
use crate::gateway::lists::{List, Refresh};
use crate::gateway::routing::{Branch, To};
use crate::gateway::source::{Authorization, AuthorizationScheme, KeyMemory, Proof, REWRITING, Source, Upstream};
use crate::gateway::url_token::UrlToken;
use crate::quantity::parse_duration;
use crate::signature::challenge::{Challenge, Challenges, Means};
use crate::signature::preset::Preset;
use crate::signature::profile::{MissingId, Profile, ReplayGuard, read_methods};

/// What stands for the preset's slug where there is no preset.
const CUSTOM: &str = "custom";

/// What the effective configuration says of a source beyond what the source itself holds.
pub struct Described {
    /// The provider, by name or file; `None` where the scheme is the source's own.
    pub provider: Option<String>,
    /// Each secret's origin with its id; never the secret.
    pub secrets: Vec<String>,
    /// The origin of the verify token.
    pub verify_token: Option<String>,
    /// The origin of the `Authorization` credential.
    pub authorization: Option<String>,
    /// The origin of what the path goes on with.
    pub url_token: Option<String>,
    pub ca_file: Option<String>,
    /// The routes as they are written.
    pub routes: Option<String>,
    /// The operator's own `signature`, `timestamp` and `event`, as written.
    pub scheme: Vec<String>,
    /// What `hookward check` says of it.
    pub about: Vec<String>,
}

/// From here on, faults of this table name the source.
pub fn label(reader: &Reader<'_>) {
    if let Some(Value { node: Node::Text(name), .. }) = reader.value("name") {
        reader.relabel(format!("source \"{name}\""));
    }
}

/// Reads one source. `None` if there is a fault in what must be there.
pub fn read(
    reader: &Reader<'_>,
    settings: &Settings,
    has_store: bool,
    environment: &Environment,
    warnings: &mut Vec<Fault>,
) -> Option<(Source, Described)> {
    let name = required(reader, "name", "\"stripe\"", parse_name);
    let path = required(reader, "path", "\"/in/stripe\"", parse_path);
    let preset = provider::read(reader);
    let preset = preset.as_deref();
    let profile = read_profile(reader, preset);
    let secrets = secrets::read_list(reader, environment, warnings);
    let verify_token = reader.table("verify_token").and_then(|inner| {
        let secret = secrets::read(&inner, environment, warnings);
        inner.finish();
        secret
    });
    let params = read_params(reader, profile.as_ref());
    let public_url = reader.parse("public_url", parse_public_url);
    let authorization =
        reader.table("authorization").and_then(|inner| read_authorization(inner, environment, warnings));
    let url_token = reader.table("url_token").and_then(|inner| read_url_token(inner, environment, warnings));
    let allow = read_allow(reader, preset, &settings.refresh);
    let way = Way::read(reader, has_store);
    let ends = Ends::read(reader, Wanted { stores: way.stores, renders: false, environment });
    // Routes are read once it is known what the provider says.
    if !reader.has("route") && !reader.has("upstream") {
        reader.missing("upstream", UPSTREAM);
    }
    let store_down = reader.choice("store_down", &StoreDown::WORDS).unwrap_or(StoreDown::FailClosed);
    if way.stores && store_down == StoreDown::FailOpen {
        let text = "store_down: with mode = \"store\" there is nothing to fall back on, the provider has to try again";
        reader.fault(reader.place_of("store_down"), text);
    }
    let (lease, wait) = (positive(reader, "lease"), reader.parse("wait", parse_duration));
    let max_body = positive_size(reader, "max_body").unwrap_or(1 << 20);
    let enforce = reader.boolean("enforce").unwrap_or(true);
    let pass_headers = read_pass_headers(reader);
    let accepted =
        reader.integer("accepted", 200, 299).and_then(|status| StatusCode::from_u16(status.try_into().ok()?).ok());
    let methods = read_methods(reader);
    let off = reader.choice("dedup", &[("on", false), ("off", true)]).unwrap_or(false);
    let cross_check = reader.choice("cross_check", &[("off", false), ("enforce", true)]).unwrap_or(false);
    let dedup_ttl = positive(reader, "dedup_ttl");
    let missing_id = reader.choice("missing_id", &MissingId::WORDS);
    let replay_guard = reader.choice("replay_guard", &ReplayGuard::WORDS);

    let profile = profile?;
    let timeout = ends.timeout.unwrap_or_else(|| default_timeout(profile.delivery.timeout));
    let connect_timeout = ends.connect_timeout.unwrap_or(CONNECT_TIMEOUT);
    let routes = {
        let source = name.as_deref().unwrap_or_default();
        let (stores, profile) = (way.stores, &profile);
        let context = route::Context { source, preset, profile, stores, connect_timeout, timeout, environment };
        route::read(reader, &context, warnings)
    };
    let ca_file = ends.ca_file.clone();
    let otherwise = read_otherwise(reader, ends.upstreams(connect_timeout, timeout), routes.otherwise);
    let branches: Vec<&Branch> = routes.routes.iter().map(|route| &route.branch).chain(&otherwise).collect();
    if way.stores {
        check_alike(reader, &branches);
    }
    let timeout =
        branches.into_iter().flat_map(Branch::upstreams).map(|upstream| upstream.timeout).fold(timeout, Duration::max);
    let lease = lease.unwrap_or(timeout + Duration::from_secs(10));
    if lease <= timeout {
        let text =
            "lease: it must be longer than upstream_timeout, else a copy is forwarded while the first is at work";
        reader.fault(reader.place_of("lease"), text);
    }
    let mut dedup = profile.dedup.clone();
    dedup.ttl = dedup_ttl.unwrap_or(dedup.ttl);
    dedup.missing_id = missing_id.unwrap_or(dedup.missing_id);
    dedup.replay_guard = replay_guard.unwrap_or(dedup.replay_guard);
    let slug = preset.map_or(CUSTOM, |preset| preset.slug.as_str());
    let file = reader.text("provider").map(|text| text.value).filter(|name| provider::is_path(name));
    let mut described = Described {
        provider: preset.map(|preset| file.unwrap_or(&preset.slug).to_owned()),
        secrets: describe(&secrets),
        verify_token: verify_token.as_ref().map(|(_, origin, _)| origin.clone()),
        authorization: authorization.as_ref().map(|(_, origin)| origin.clone()),
        url_token: url_token.as_ref().map(|(_, origin)| origin.clone()),
        ca_file,
        routes: reader.value("route").map(Value::to_toml),
        scheme: ["signature", "timestamp", "event", "any_of", "first_of", "together"]
            .into_iter()
            .filter_map(|key| Some(format!("{key} = {}", reader.value(key)?.to_toml())))
            .collect(),
        about: Vec::new(),
    };
    let authorization = authorization.map(|(authorization, _)| authorization);
    let url_token = url_token.map(|(token, _)| token);
    let means = Means {
        key: secrets.named.first().and_then(|first| profile.scheme.secret_form().derive(&first.secret).ok()),
        verify_token: verify_token.map(|(token, ..)| token),
        params: params.clone(),
        url: match (&public_url, &url_token) {
            (Some(url), Some(token)) => Some(token.after(url)),
            _ => public_url.clone(),
        },
        learns: secrets.awaited.is_some(),
    };
    check_challenges(reader, &profile, &secrets);
    let Secrets { named, awaited, .. } = secrets;
    let keys = Keys { named, awaited: awaited.is_some(), params, max_body };
    let knows_more = authorization.is_some() || url_token.is_some() || reader.has("url_token");
    let proof = read_proof(reader, &profile, keys, &allow, knows_more);
    if public_url.is_some() && !profile.scheme.may_sign_url() && !profile.challenges.iter().any(Challenge::signs_url) {
        reader.fault(reader.place_of("public_url"), "public_url: this provider does not sign the URL, leave it out");
    }

    if cross_check && profile.repeats.is_empty() {
        let text = "cross_check: this provider repeats nothing of the body in its headers";
        reader.fault(reader.place_of("cross_check"), text);
    }

    let (name, proof) = (name?, proof?);
    let source = Source {
        verified_by: verified_by(slug, &proof, awaited.as_ref().map(|(_, name)| name.as_str())),
        key_memory: KeyMemory::default(),
        name_header: HeaderValue::try_from(name.as_str()).expect("parse_name takes only visible ASCII"),
        name,
        path: path?,
        url_token,
        public_url,
        provider: slug.to_owned(),
        methods: methods.unwrap_or_else(|| profile.methods.clone()),
        allow: allow?,
        authorization,
        proof,
        dedup: (!off).then_some(dedup),
        challenges: Challenges::new(&profile.challenges, means),
        learning: awaited.map(|(file, name)| Learning::new(file, name)),
        cross_checks: if cross_check { profile.repeats.clone() } else { Vec::new() },
        max_body,
        accepted: accepted.or(profile.accepted),
        accepted_body: profile.accepted_body.clone().into(),
        bare_refusals: profile.bare_refusals,
        enforce,
        lease,
        wait: wait.unwrap_or(timeout),
        store_down,
        mode: way.mode(),
        routes: routes.routes,
        otherwise: otherwise?,
        pass_headers,
    };
    warnings.extend(warnings::of_source(reader, &source, &profile, settings));
    described.about = warnings::about(&source, &profile, settings);
    described.about.extend(file.map(|file| format!("its provider is \"{}\", from {file}", source.provider)));
    Some((source, described))
}

/// How long connecting to an upstream may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// What an upstream may be.
const UPSTREAM: &str = "\"http://127.0.0.1:3000/webhooks\"";

/// Where events go that take no route: to the source's own upstreams, or where its last route leads, which takes all.
fn read_otherwise(reader: &Reader<'_>, upstreams: Vec<Upstream>, last: Option<Branch>) -> Option<Branch> {
    if last.is_none() {
        if reader.has("route") && !reader.has("upstream") {
            reader.missing("upstream", UPSTREAM);
        }
        let to = To::Upstreams { upstreams, rendering: None };
        return reader.has("upstream").then_some(Branch { name: None, to }).filter(|own| !own.upstreams().is_empty());
    }
    for key in ["upstream", "ca_file"].into_iter().filter(|key| reader.has(key)) {
        let text = format!("{key}: nothing reaches it, the last route takes every event: leave out one of the two");
        reader.fault(reader.place_of(key), text);
    }
    last
}

/// Deliveries know an upstream by its URL, so that one URL cannot be given two times.
fn check_alike(reader: &Reader<'_>, branches: &[&Branch]) {
    let plain = branches.iter().filter(|branch| branch.rendering().is_none());
    let mut known: Vec<&Upstream> = Vec::new();
    for upstream in plain.flat_map(|branch| branch.upstreams()) {
        let times = |upstream: &Upstream| (upstream.timeout, upstream.connect_timeout);
        let is_alike = |first: &Upstream| times(first) == times(upstream) && first.roots == upstream.roots;
        match known.iter().find(|first| first.shown() == upstream.shown()) {
            Some(first) if !is_alike(first) => {
                let text = format!(
                    "route: {} is there twice, with different timeouts or certificates: give it the same",
                    upstream.shown()
                );
                reader.fault(reader.place_of("route"), text);
            }
            Some(_) => {}
            None => known.push(upstream),
        }
    }
}

/// `url_token = { env = "JOTFORM_URL_TOKEN" }`, with its origin.
fn read_url_token(
    inner: Reader<'_>,
    environment: &Environment,
    warnings: &mut Vec<Fault>,
) -> Option<(UrlToken, String)> {
    let (secret, origin, place) = secrets::read(&inner, environment, warnings)?;
    match UrlToken::new(secret) {
        Ok(token) => {
            inner.finish();
            Some((token, format!("{{ {origin} }}")))
        }
        Err(why) => {
            inner.fault(place, format!("the token of {{ {origin} }} {why}"));
            None
        }
    }
}

/// Reads a key that must be there.
fn required<T>(
    reader: &Reader<'_>,
    key: &'static str,
    example: &str,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Option<T> {
    if !reader.has(key) {
        reader.missing(key, example);
    }
    reader.parse(key, parse)
}

fn parse_name(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if (1..=64).contains(&text.len()) && text.chars().all(plain) {
        Ok(text.to_owned())
    } else {
        Err(format!("\"{text}\" is not 1 to 64 of a-z, 0-9, '-' and '_', for example \"stripe\""))
    }
}

fn parse_path(text: &str) -> Result<String, String> {
    let wrong = |why: &str| Err(format!("\"{text}\" {why}, for example \"/in/stripe\""));
    if !text.starts_with('/') {
        return wrong("does not begin with a slash");
    }
    if text.contains(['?', '#']) {
        return wrong("has a query or a fragment, which are never matched");
    }
    let segments_are_plain = text.split('/').skip(1).all(|segment| segment != "." && segment != "..");
    let empty_inside = text.len() > 1 && text[1..].split('/').rev().skip(1).any(str::is_empty);
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-._~!$&'()*+,;=:@".contains(c);
    if !segments_are_plain || empty_inside || !text.chars().all(plain) {
        return wrong("is not a plain path");
    }
    Ok(text.to_owned())
}

/// The URL as the provider was given it, without its query.
fn parse_public_url(text: &str) -> Result<String, String> {
    let url = Url::parse(text)?;
    if url.query.is_some() {
        return Err(format!("\"{text}\" has a query, but each request's own is taken"));
    }
    Ok(text.to_owned())
}

fn read_allow(reader: &Reader<'_>, preset: Option<&Preset>, refresh: &Refresh) -> Option<Allow> {
    let Some(value) = reader.value("allow") else {
        reader.missing("allow", "\"provider\" for the published list, \"any\", or [\"203.0.113.0/24\"]");
        return None;
    };
    let Node::Text(word) = &value.node else {
        return read_networks(reader, "allow").map(Allow::Only);
    };
    match (word.as_str(), preset) {
        ("any", _) => Some(Allow::Any),
        ("provider", Some(preset)) if !preset.profile.addresses.are_unknown() => {
            if preset.profile.addresses.snapshot.is_empty() && refresh.every.is_none() {
                let text = format!(
                    "allow: the addresses of {} are only known to who fetches them, and [network] refresh is \"off\"",
                    preset.name
                );
                reader.fault(value.place.clone(), text);
            }
            Some(Allow::Provider(Arc::new(List::of(preset))))
        }
        ("provider", Some(preset)) => {
            let text = format!("allow: {} publishes no addresses, write \"any\" or a list of your own", preset.name);
            reader.fault(value.place.clone(), text);
            None
        }
        ("provider", None) => {
            // An unknown provider is a fault of its own.
            if !reader.has("provider") {
                reader.fault(value.place.clone(), "allow: there is no provider, write \"any\" or a list of your own");
            }
            None
        }
        (other, _) => {
            let text = format!(
                "allow: \"{other}\" is neither \"provider\" nor \"any\"; addresses go in a list, as in [\"203.0.113.0/24\"]"
            );
            reader.fault(value.place.clone(), text);
            None
        }
    }
}

fn read_authorization(
    inner: Reader<'_>,
    environment: &Environment,
    warnings: &mut Vec<Fault>,
) -> Option<(Authorization, String)> {
    let scheme = inner.choice("scheme", &AuthorizationScheme::WORDS);
    if !inner.has("scheme") {
        inner.missing("scheme", "\"bearer\", \"basic\" or \"splunk\"");
    }
    let pass = inner.boolean("pass").unwrap_or(false);
    let secret = secrets::read(&inner, environment, warnings);
    let (scheme, (secret, origin, place)) = (scheme?, secret?);
    if scheme == AuthorizationScheme::Basic && !secret.expose().contains(&b':') {
        inner.fault(place, "the secret of a basic authorization is user:password");
    }
    let word = AuthorizationScheme::WORDS.iter().find(|(_, known)| *known == scheme).map_or("", |(word, _)| word);
    let origin = format!("{{ scheme = \"{word}\", {origin}, pass = {pass} }}");
    inner.finish();
    Some((Authorization::new(scheme, &secret, pass), origin))
}

fn read_pass_headers(reader: &Reader<'_>) -> Vec<HeaderName> {
    let mut names = Vec::new();
    for text in reader.texts("pass_headers").unwrap_or_default() {
        match REWRITING.iter().find(|name| text.value.eq_ignore_ascii_case(name.as_str())) {
            Some(name) => names.push(name.clone()),
            None => {
                let known: Vec<&str> = REWRITING.iter().map(HeaderName::as_str).collect();
                let text_ = format!(
                    "pass_headers: \"{}\" is not one of those that are dropped: {}",
                    text.value,
                    known.join(", ")
                );
                reader.fault(text.place, text_);
            }
        }
    }
    names
}

/// A second less than the provider waits, so that it hears of a slow upstream from us.
fn default_timeout(provider: Option<Duration>) -> Duration {
    const MOST: Duration = Duration::from_secs(25);
    const LEAST: Duration = Duration::from_secs(1);
    provider.map_or(MOST, |provider| provider.saturating_sub(Duration::from_secs(1)).clamp(LEAST, MOST))
}

/// What the file says for challenges that this provider does not have.
fn check_challenges(reader: &Reader<'_>, profile: &Profile, secrets: &Secrets) {
    if reader.has("verify_token") && !profile.challenges.iter().any(Challenge::wants_verify_token) {
        let text = "verify_token: no challenge of this provider has one, leave it out";
        reader.fault(reader.place_of("verify_token"), text);
    }
    if let Some(place) = secrets.learn.clone().filter(|_| !profile.challenges.iter().any(Challenge::learns)) {
        reader.fault(place, "secrets: learn: this provider does not bring its secret in a request");
    }
}

fn verified_by(provider: &str, proof: &Proof, awaited: Option<&str>) -> Vec<HeaderValue> {
    let value =
        |key: &str| HeaderValue::try_from(format!("{provider};key={key}")).expect("slugs and ids are visible ASCII");
    match proof {
        Proof::Signature(verifier) => match awaited {
            Some(name) => vec![value(name)],
            None => verifier.key_names().map(value).collect(),
        },
        Proof::Elsewhere(_) => vec![value("none")],
    }
}

fn describe(secrets: &Secrets) -> Vec<String> {
    let known = secrets.named.iter().map(|named| format!("{{ {}, id = \"{}\" }}", named.origin, named.name));
    let awaited = secrets.awaited.iter().map(|(file, name)| {
        format!("{{ file = {}, learn = true, id = \"{name}\" }}", quoted(&file.display().to_string()))
    });
    known.chain(awaited).collect()
}
