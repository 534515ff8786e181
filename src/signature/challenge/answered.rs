//! The challenges of one source: which of them it answers, and which one a request is.

use http::Method;

use super::{Challenge, Means, Wanted};
use crate::rejection::Rejection;
use crate::signature::algorithm::Algorithm;
use crate::signature::place::Contents;
use crate::signature::request::Head;

/// The challenges that a source answers, with what it gives to them.
#[derive(Debug, Default)]
pub struct Challenges {
    answered: Vec<Challenge>,
    means: Means,
}

/// A challenge that a request turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Met {
    pub name: String,
    /// True where the request was verified first.
    pub signed: bool,
    pub wanted: Wanted,
}

impl Challenges {
    /// Those of a provider's challenges for which `means` are enough.
    pub fn new(all: &[Challenge], means: Means) -> Self {
        let answered = all.iter().filter(|challenge| challenge.lacks(&means).is_empty()).cloned().collect();
        Self { answered, means }
    }

    /// The names of those that are answered.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.answered.iter().map(|challenge| challenge.name.as_str())
    }

    /// What the source gives to them.
    pub fn means(&self) -> &Means {
        &self.means
    }

    /// True if one of them comes unsigned by `method`.
    pub fn come_by(&self, method: &Method) -> bool {
        self.answered.iter().any(|challenge| !challenge.signed && challenge.method == *method)
    }

    /// True if one of them comes unsigned and is told by its body.
    pub fn stand_in_bodies(&self) -> bool {
        self.answered.iter().any(|challenge| !challenge.signed && !challenge.is_in_head())
    }

    /// The one that comes unsigned and is told by this head alone.
    ///
    /// # Errors
    /// What [`Challenge::judge`] says.
    pub fn in_head(&self, head: Head<'_>) -> Result<Option<Met>, Rejection> {
        let contents = Contents { head, body: &[], json: &[] };
        self.find(contents, false, |challenge| !challenge.signed && challenge.is_in_head())
    }

    /// The one that comes unsigned, and is this whole request.
    ///
    /// # Errors
    /// What [`Challenge::judge`] says.
    pub fn unsigned(&self, contents: Contents<'_>) -> Result<Option<Met>, Rejection> {
        self.find(contents, false, |challenge| !challenge.signed)
    }

    /// The one that a request is whose signature is good.
    ///
    /// # Errors
    /// What [`Challenge::judge`] says.
    pub fn genuine(&self, contents: Contents<'_>) -> Result<Option<Met>, Rejection> {
        self.find(contents, true, |challenge| !challenge.learns())
    }

    /// True if a stranger could have had `text` signed by one of them, by `algorithm` and under the source's secret.
    pub fn could_have_signed(&self, algorithm: Algorithm, text: &[u8]) -> bool {
        self.answered.iter().any(|challenge| challenge.could_have_signed(algorithm, text, &self.means))
    }

    /// True if the answer of one of them is signed with the source's secret.
    pub fn are_keyed(&self) -> bool {
        self.answered.iter().any(Challenge::is_keyed)
    }

    /// The first that the request is. One that it is not quite is only said of it if it is no other.
    fn find(
        &self,
        contents: Contents<'_>,
        signed: bool,
        meant: impl Fn(&Challenge) -> bool,
    ) -> Result<Option<Met>, Rejection> {
        let mut refused = None;
        let by_method = |challenge: &&Challenge| challenge.method.as_str() == contents.head.method;
        for challenge in self.answered.iter().filter(by_method).filter(|challenge| meant(challenge)) {
            match challenge.judge(contents, &self.means) {
                Ok(Some(wanted)) => return Ok(Some(Met { name: challenge.name.clone(), signed, wanted })),
                Ok(None) => {}
                Err(rejection) => {
                    refused.get_or_insert(rejection);
                }
            }
        }
        refused.map_or(Ok(None), Err)
    }
}
