//! What a provider leaves to those whose endpoints it delivers to, and what it does with endpoints that fail.

use std::collections::BTreeSet;

use serde_json::value::RawValue;

use crate::document::{Node, Reader, Value};

/// What holds for endpoints of a provider, beside how they are delivered to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    pub secret: SecretPolicy,
    pub exhausted: Exhausted,
    /// True if an endpoint that was switched off because it failed stays so: its owner makes another one.
    pub recreate: bool,
    /// True if 410 says that an endpoint wants nothing any more; else it is a failure like any other.
    pub heeds_gone: bool,
    /// True if owners may add headers of their own.
    pub extra_headers: bool,
    /// The kinds of `Authorization` that owners may have.
    pub authorization: BTreeSet<AuthorizationKind>,
    /// The ports that endpoints may have; any if there are none.
    pub ports: Vec<u16>,
    /// The data of an event that an endpoint must take before it is registered.
    pub creation_test: Option<String>,
}

/// Whose a secret is, who makes it, and who sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretPolicy {
    pub scope: SecretScope,
    /// True if owners bring it, or have none where the signature is optional; else we make it unless they do.
    pub given: bool,
    pub view: SecretView,
}

/// What has one secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretScope {
    /// Each endpoint.
    Endpoint,
    /// Each account: its endpoints share it.
    Account,
}

/// When a secret is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretView {
    /// In no answer.
    Never,
    /// In the answer that makes it.
    Once,
    /// Whenever its owner asks.
    Always,
}

/// What follows from a delivery whose attempts or time are used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exhausted {
    /// It has failed.
    Fail,
    /// It is cancelled.
    Cancel,
    /// It has failed, and its endpoint is switched off.
    Disable,
}

/// A kind of `Authorization` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AuthorizationKind {
    Bearer,
    Basic,
    Splunk,
    Custom,
}

impl AuthorizationKind {
    /// The words of the preset language and of the API.
    pub const WORDS: [(&'static str, Self); 4] =
        [("bearer", Self::Bearer), ("basic", Self::Basic), ("splunk", Self::Splunk), ("custom", Self::Custom)];
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            secret: SecretPolicy { scope: SecretScope::Endpoint, given: false, view: SecretView::Once },
            exhausted: Exhausted::Fail,
            recreate: false,
            heeds_gone: true,
            extra_headers: true,
            authorization: AuthorizationKind::WORDS.map(|(_, kind)| kind).into(),
            ports: Vec::new(),
            creation_test: None,
        }
    }
}

impl Policy {
    /// The kinds of `Authorization` that owners may have, in words.
    pub fn authorization_words(&self) -> Vec<&'static str> {
        let allowed = AuthorizationKind::WORDS.iter().filter(|(_, kind)| self.authorization.contains(kind));
        allowed.map(|(word, _)| *word).collect()
    }

    /// Reads its keys of `[sender]`, but for the secret's.
    pub fn read(reader: &Reader<'_>, secret: SecretPolicy) -> Self {
        let standard = Self::default();
        let exhausted = [("fail", Exhausted::Fail), ("cancel", Exhausted::Cancel), ("disable", Exhausted::Disable)];
        let creation_test = reader.parse("creation_test", |text| match serde_json::from_str::<&RawValue>(text) {
            Ok(data) => Ok(data.get().to_owned()),
            Err(error) => Err(format!("it is not JSON: {error}")),
        });
        Self {
            secret,
            exhausted: reader.choice("exhausted", &exhausted).unwrap_or(standard.exhausted),
            recreate: reader.choice("reenable", &[("allow", false), ("recreate", true)]).unwrap_or(standard.recreate),
            heeds_gone: reader.choice("gone", &[("disable", true), ("retry", false)]).unwrap_or(standard.heeds_gone),
            extra_headers: reader
                .choice("extra_headers", &[("allow", true), ("deny", false)])
                .unwrap_or(standard.extra_headers),
            authorization: read_authorization(reader).unwrap_or(standard.authorization),
            ports: read_ports(reader),
            creation_test,
        }
    }
}

impl SecretPolicy {
    /// Reads its keys of `secret`.
    pub fn read(reader: &Reader<'_>) -> Self {
        let Self { scope, given, view } = Policy::default().secret;
        let scopes = [("endpoint", SecretScope::Endpoint), ("account", SecretScope::Account)];
        let views = [("never", SecretView::Never), ("once", SecretView::Once), ("always", SecretView::Always)];
        Self {
            scope: reader.choice("scope", &scopes).unwrap_or(scope),
            given: reader.choice("source", &[("generated", false), ("given", true)]).unwrap_or(given),
            view: reader.choice("view", &views).unwrap_or(view),
        }
    }
}

fn read_authorization(reader: &Reader<'_>) -> Option<BTreeSet<AuthorizationKind>> {
    let texts = reader.texts("authorization")?;
    if texts.is_empty() {
        let text = "authorization: it lists nothing, leave it out for every kind or write [\"bearer\"]";
        reader.fault(reader.place_of("authorization"), text);
    }
    let mut kinds = BTreeSet::new();
    for text in texts {
        match crate::document::choose(text.value, &AuthorizationKind::WORDS) {
            Ok(kind) => drop(kinds.insert(kind)),
            Err(wrong) => reader.fault(text.place, format!("authorization: {wrong}")),
        }
    }
    Some(kinds)
}

fn read_ports(reader: &Reader<'_>) -> Vec<u16> {
    let Some(value) = reader.value("ports") else { return Vec::new() };
    let port = |value: &Value| match value.node {
        Node::Integer(port) => u16::try_from(port).ok().filter(|port| *port > 0),
        _ => None,
    };
    let ports = match &value.node {
        Node::List(items) => items.iter().map(port).collect::<Option<Vec<_>>>().filter(|all| !all.is_empty()),
        _ => None,
    };
    if ports.is_none() {
        reader.wrong_kind("ports", value, "a list of ports from 1 to 65535, leave it out for all of them");
    }
    ports.unwrap_or_default()
}
