//! How a source's messages are proved: its provider's scheme or its own, with secrets and parameters.

use super::gateway::positive;
use super::secrets::NamedSecret;
use crate::document::{Node, Place, Reader, Table, Value};
use crate::gateway::allow::Allow;
use crate::gateway::source::Proof;
use crate::signature::Verifier;
use crate::signature::place::Params;
use crate::signature::preset::Preset;
use crate::signature::profile::Profile;

/// What is known of the provider, with the operator's own `[source.signature]`, `.timestamp` and `.event` on top.
pub fn read_profile(reader: &Reader<'_>, preset: Option<&Preset>) -> Option<Profile> {
    let mut over = Table::empty(reader.place());
    for key in ["signature", "timestamp", "event"] {
        if let Some(value @ Value { node: Node::Table(_), .. }) = reader.value(key) {
            over.set(key, value.clone());
        } else if let Some(value) = reader.value(key) {
            if key != "signature" || value.node != Node::Text("none".into()) {
                reader.wrong_kind(key, value, "a table, or \"none\" for the signature");
            } else if preset.is_none() {
                // Whoever sends this signs nothing; else it is the source that wants no signature.
                over.set(key, value.clone());
            }
        }
    }
    let own = ["signature", "timestamp", "event"].iter().any(|key| over.value(key).is_some());
    for key in ["any_of", "first_of", "together"] {
        if let Some(value) = reader.value(key).filter(|_| preset.is_some()) {
            reader.fault(value.place.clone(), format!("{key}: only a scheme of your own has alternatives of its own"));
        }
    }
    let profile = match preset {
        Some(preset) if !own => Some(preset.profile.clone()),
        _ if reader.has("provider") && preset.is_none() => None,
        _ if preset.is_none() && over.value("signature").is_none() => {
            reader.missing("provider", "\"stripe\"; `hookward providers` lists them");
            None
        }
        _ => {
            let mut own = Table::empty(reader.place());
            for key in ["any_of", "first_of", "together"] {
                if let Some(value) = reader.value(key).filter(|_| preset.is_none()) {
                    own.set(key, value.clone());
                }
            }
            let document = preset.map_or(&own, |preset| &preset.document);
            Profile::read(&Reader::new(document, "", reader.faults()), document, &over)
        }
    };
    let tolerance = positive(reader, "tolerance");
    if tolerance.is_some_and(|tolerance| tolerance.subsec_nanos() > 0) {
        reader.fault(
            reader.place_of("tolerance"),
            "tolerance: timestamps are whole seconds, and so is this, for example \"5m\"",
        );
    }
    let profile = profile?;
    let Some(tolerance) = tolerance else {
        return Some(profile);
    };
    if !profile.scheme.has_timestamp() {
        reader.fault(reader.place_of("tolerance"), "tolerance: this provider has no timestamp to which it could apply");
    }
    Some(Profile { scheme: profile.scheme.with_tolerance(tolerance), ..profile })
}

/// `params = { audience = "…", issuers = ["…"] }`: what the scheme wants to know beside secrets.
pub fn read_params(reader: &Reader<'_>, profile: Option<&Profile>) -> Params {
    let mut params = Vec::new();
    let wanted = profile.map(Profile::params).unwrap_or_default();
    if let Some(inner) = reader.table("params") {
        for (name, value) in inner.as_table().entries() {
            if profile.is_some() && !wanted.iter().any(|(known, _)| *known == name) {
                let known: Vec<&str> = wanted.iter().map(|(known, _)| *known).collect();
                let hint =
                    if known.is_empty() { "it has none".to_owned() } else { format!("it has {}", known.join(", ")) };
                inner.fault(value.place.clone(), format!("the provider's scheme has no parameter \"{name}\", {hint}"));
            }
            let text = |value: &Value| match &value.node {
                Node::Text(text) if !text.is_empty() => Some(text.clone()),
                _ => None,
            };
            let values: Option<Vec<String>> = match &value.node {
                Node::List(items) => items.iter().map(text).collect(),
                _ => text(value).map(|text| vec![text]),
            };
            match values.filter(|values| !values.is_empty()) {
                Some(values) => params.push((name.to_owned(), values)),
                None => inner.wrong_kind(name, value, "a text, or a list of them"),
            }
        }
    }
    for (name, _) in
        wanted.iter().filter(|(name, optional)| !optional && !params.iter().any(|(known, _)| known == name))
    {
        let text = format!("params: `{name}` is missing, for example params = {{ {name} = \"…\" }}");
        reader.fault(reader.place_of("params"), text);
    }
    Params::new(params)
}

/// What a verifier is made from beside its scheme.
pub struct Keys {
    pub named: Vec<NamedSecret>,
    /// True where the provider is still to bring the only one.
    pub awaited: bool,
    pub params: Params,
    pub max_body: u64,
}

/// What proves a message: its signature, or, where the file says so or the provider signs nothing, something else.
/// `knows_more` is true where senders must know a credential or the end of the URL.
pub fn read_proof(
    reader: &Reader<'_>,
    profile: &Profile,
    keys: Keys,
    allow: &Option<Allow>,
    knows_more: bool,
) -> Option<Proof> {
    let says_none = matches!(reader.value("signature"), Some(Value { node: Node::Text(_), .. }));
    if says_none || profile.scheme.signs_nothing() {
        let place = if says_none { reader.place_of("signature") } else { reader.place_of("provider") };
        if reader.has("secrets") {
            let text = match says_none {
                true => "signature: \"none\" and secrets exclude each other",
                false => "secrets: this provider signs nothing, leave them out and write url_token or authorization",
            };
            reader.fault(if says_none { place } else { reader.place_of("secrets") }, text);
            return None;
        }
        if !profile.scheme.is_optional() {
            reader.fault(place, "signature: this provider signs every request, nothing else may replace that");
            return None;
        }
        if !knows_more && matches!(allow, Some(Allow::Any)) {
            let text = match says_none {
                true => "signature: \"none\" lets anybody in",
                false => "provider: it signs nothing, so anybody could send in its name",
            };
            reader.fault(place, format!("{text}, add url_token, authorization or a list of addresses in allow"));
            return None;
        }
        return Some(Proof::Elsewhere(profile.scheme.clone()));
    }
    let Keys { named, awaited, params, max_body } = keys;
    if !reader.has("secrets") && !profile.scheme.has_remote_keys() {
        match reader.place() {
            Place::Flag(_) => reader
                .fault(Place::Flag("--secret-env"), "no secret is named, give --secret-env NAME or --secret-file FILE"),
            Place::File { .. } => reader.missing("secrets", "[{ env = \"STRIPE_SECRET\" }]"),
        }
        return None;
    }
    if named.is_empty() && !awaited && reader.has("secrets") {
        if matches!(reader.value("secrets"), Some(Value { node: Node::List(items), .. }) if items.is_empty()) {
            reader.fault(
                reader.place_of("secrets"),
                "secrets: an empty list verifies nothing, for example [{ env = \"STRIPE_SECRET\" }]",
            );
        }
        return None;
    }
    let secrets: Vec<_> = named.iter().map(|named| (named.name.clone(), named.secret.clone())).collect();
    let max_inflated = usize::try_from(max_body).unwrap_or(usize::MAX);
    match Verifier::new(profile.scheme.clone(), &secrets, params, max_inflated) {
        Ok(verifier) => Some(Proof::Signature(verifier)),
        Err((index, why)) => {
            reader.fault(
                named[index].place.clone(),
                format!("secrets: the secret of {{ {} }} {why}", named[index].origin),
            );
            None
        }
    }
}
