//! `[admin]`: where metrics, health and the API are served, and to whom.

use std::net::SocketAddr;
use std::sync::Arc;

use super::environment::Environment;
use super::{gateway, secrets};
use crate::access::{Role, Token, Tokens};
use crate::document::{Fault, Reader};

/// `[admin]`.
#[derive(Debug, Clone)]
pub struct AdminConfig {
    pub listen: SocketAddr,
    /// Who may use the API; nobody if there are none.
    pub tokens: Tokens,
    /// Each token as the file has it, without its secret.
    pub described: Vec<String>,
}

impl AdminConfig {
    /// Reads the table.
    pub fn read(reader: Reader<'_>, environment: &Environment, warnings: &mut Vec<Fault>) -> Self {
        let listen = reader.parse("listen", gateway::parse_listen).unwrap_or(gateway::DEFAULT_ADMIN);
        let (tokens, described) = read_tokens(&reader, environment, warnings, |_| Some(Scope::NoAccounts));
        reader.finish();
        Self { listen, tokens, described }
    }
}

/// What a token acts on.
pub enum Scope {
    /// There are no accounts here.
    NoAccounts,
    /// Whichever the request names.
    AnyAccount,
    Account(Arc<str>),
}

/// Reads `tokens = [{ name = "ops", env = "…", role = "admin" }]`; `scope` reads what else each has.
pub fn read_tokens(
    parent: &Reader<'_>,
    environment: &Environment,
    warnings: &mut Vec<Fault>,
    scope: impl Fn(&Reader<'_>) -> Option<Scope>,
) -> (Tokens, Vec<String>) {
    let (mut tokens, mut described) = (Vec::<Token>::new(), Vec::new());
    for reader in parent.tables("tokens") {
        let name = reader.parse("name", parse_name);
        let role = reader.choice("role", &Role::WORDS);
        for (key, example) in [("name", "\"ops\""), ("role", "\"admin\", \"manage\", \"publish\" or \"read\"")] {
            if !reader.has(key) {
                reader.missing(key, example);
            }
        }
        let secret = secrets::read(&reader, environment, warnings);
        let scope = scope(&reader);
        if let (Some(name), Some(role), Some((secret, origin, place)), Some(scope)) = (name, role, secret, scope) {
            let mut token = Token::new(name, role, &secret);
            let mut account = String::new();
            match scope {
                Scope::NoAccounts => {}
                Scope::AnyAccount => account = ", account = \"*\"".into(),
                Scope::Account(own) => {
                    account = format!(", account = \"{own}\"");
                    token = token.for_account(own);
                }
            }
            if !secret.expose().iter().all(u8::is_ascii_graphic) {
                reader.fault(place, "the token has blanks or other characters that no header carries");
            } else if tokens.iter().any(|other| other.name == token.name) {
                reader.fault(reader.place_of("name"), format!("name: \"{}\" is another token's", token.name));
            } else if let Some(other) = tokens.iter().find(|other| other.is_same_secret(&token)) {
                reader.fault(place, format!("it is the same secret as the token \"{}\"", other.name));
            } else {
                described.push(format!(
                    "{{ name = \"{}\", {origin}, role = \"{}\"{account} }}",
                    token.name,
                    role.as_str()
                ));
                tokens.push(token);
            }
        }
        reader.finish();
    }
    (Tokens::new(tokens), described)
}

fn parse_name(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !text.is_empty() && text.len() <= 64 && text.chars().all(plain) {
        Ok(text.to_owned())
    } else {
        Err(format!("\"{text}\" is not made of 1 to 64 letters, digits, '-', '_' and '.', for example \"ops\""))
    }
}
