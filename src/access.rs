//! Who may ask for what: tokens and their roles.

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, Method};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use crate::signature::secret::Secret;

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Admin,
    /// Everything but tokens.
    Manage,
    /// Emitting events, and nothing else.
    Publish,
    /// Looking.
    Read,
}

impl Role {
    /// The words of the configuration.
    pub const WORDS: [(&'static str, Self); 4] =
        [("admin", Self::Admin), ("manage", Self::Manage), ("publish", Self::Publish), ("read", Self::Read)];

    /// As the configuration has it.
    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(_, role)| *role == self).map_or("", |(word, _)| word)
    }

    /// True if it may make such a request.
    pub fn may(self, permission: Permission) -> bool {
        match self {
            Self::Admin => true,
            Self::Manage => permission != Permission::Administer,
            Self::Publish => permission == Permission::Publish,
            Self::Read => permission == Permission::Read,
        }
    }

    /// True if it may look at, or change, what is kept.
    pub fn may_operate(self, method: &Method) -> bool {
        match self {
            Self::Admin | Self::Manage => true,
            Self::Publish => false,
            Self::Read => *method == Method::GET,
        }
    }
}

/// What a request of the sender's API does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// It looks.
    Read,
    /// It emits events.
    Publish,
    /// It changes what an account has.
    Manage,
    /// It decides what an account may have.
    Administer,
}

/// A token, of which only the digest is kept.
#[derive(Clone)]
pub struct Token {
    /// Who it was given to, for the log.
    pub name: String,
    pub role: Role,
    /// The account that it acts for; `None` for any.
    pub account: Option<Arc<str>>,
    digest: [u8; 32],
}

/// All tokens that a listener knows.
#[derive(Debug, Clone, Default)]
pub struct Tokens(Vec<Token>);

/// Why a request is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// No token is configured: nobody may.
    Closed,
    /// It carries no token, or one that nobody has.
    Unknown,
}

impl Token {
    /// The token that `secret` is, for any account.
    pub fn new(name: String, role: Role, secret: &Secret) -> Self {
        Self { name, role, account: None, digest: Sha256::digest(secret.expose()).into() }
    }

    /// The same for one account.
    #[must_use]
    pub fn for_account(self, account: Arc<str>) -> Self {
        Self { account: Some(account), ..self }
    }

    /// True if both are the same secret.
    pub fn is_same_secret(&self, other: &Self) -> bool {
        self.digest.ct_eq(&other.digest).into()
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Token({}, {})", self.name, self.role.as_str())
    }
}

impl Tokens {
    /// The known tokens. An empty list lets nobody in.
    pub fn new(tokens: Vec<Token>) -> Self {
        Self(tokens)
    }

    /// Those there are.
    pub fn iter(&self) -> impl Iterator<Item = &Token> {
        self.0.iter()
    }

    /// The token that a request carries in its one `Authorization: Bearer`.
    ///
    /// # Errors
    /// See [`Denied`].
    pub fn admit(&self, headers: &HeaderMap) -> Result<&Token, Denied> {
        if self.0.is_empty() {
            return Err(Denied::Closed);
        }
        let mut given = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (given.next(), given.next()) else { return Err(Denied::Unknown) };
        bearer(value.as_bytes()).and_then(|given| self.find(given)).ok_or(Denied::Unknown)
    }

    /// Compares with every token in constant time. Digests are compared, so that the length says nothing either.
    fn find(&self, given: &[u8]) -> Option<&Token> {
        let given: [u8; 32] = Sha256::digest(given).into();
        let (mut found, mut at) = (Choice::from(0), 0);
        for (index, token) in (0_u64..).zip(&self.0) {
            let same = token.digest.ct_eq(&given);
            at = u64::conditional_select(&at, &index, same);
            found |= same;
        }
        self.0.get(usize::try_from(at).ok()?).filter(|_| bool::from(found))
    }
}

/// What follows the scheme, whose case does not matter (RFC 9110, 11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"bearer ";
    let (scheme, given) = value.split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then(|| given.trim_ascii())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn tokens() -> Tokens {
        let token = |name: &str, role, secret: &str| Token::new(name.into(), role, &Secret::new(secret.into()));
        Tokens::new(vec![token("a", Role::Admin, "first-token"), token("b", Role::Read, "second-token")])
    }

    fn admit(tokens: &Tokens, values: &[&str]) -> Result<String, Denied> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).expect("a value"));
        }
        tokens.admit(&headers).map(|token| token.name.clone())
    }

    #[test]
    fn each_token_is_found_and_nothing_else() {
        let tokens = tokens();
        assert_eq!(admit(&tokens, &["Bearer first-token"]), Ok("a".into()));
        assert_eq!(admit(&tokens, &["bearer  second-token"]), Ok("b".into()));
        for bad in ["Bearer first-toke", "Bearer first-token2", "Bearer ", "Bearer", "Basic first-token", "first-token"]
        {
            assert_eq!(admit(&tokens, &[bad]), Err(Denied::Unknown), "{bad}");
        }
        assert_eq!(admit(&tokens, &[]), Err(Denied::Unknown));
        assert_eq!(admit(&tokens, &["Bearer first-token", "Bearer first-token"]), Err(Denied::Unknown), "which one?");
    }

    #[test]
    fn without_tokens_nobody_comes_in() {
        assert_eq!(admit(&Tokens::default(), &["Bearer "]), Err(Denied::Closed));
        assert_eq!(admit(&Tokens::default(), &[]), Err(Denied::Closed));
    }

    #[test]
    fn roles_bound_what_may_be_asked() {
        let may = |role: Role| (role.may_operate(&Method::GET), role.may_operate(&Method::POST));
        assert_eq!(may(Role::Admin), (true, true));
        assert_eq!(may(Role::Manage), (true, true));
        assert_eq!(may(Role::Read), (true, false));
        assert_eq!(may(Role::Publish), (false, false));
        let all = [Permission::Read, Permission::Publish, Permission::Manage, Permission::Administer];
        let may = |role: Role| all.map(|permission| role.may(permission));
        assert_eq!(may(Role::Admin), [true; 4]);
        assert_eq!(may(Role::Manage), [true, true, true, false]);
        assert_eq!(may(Role::Publish), [false, true, false, false]);
        assert_eq!(may(Role::Read), [true, false, false, false]);
    }

    #[test]
    fn a_token_is_never_shown() {
        assert!(!format!("{:?}", tokens()).contains("token\""));
        assert_eq!(format!("{:?}", tokens()), "Tokens([Token(a, admin), Token(b, read)])");
    }
}
