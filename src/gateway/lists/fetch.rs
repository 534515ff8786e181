//! Asks a provider for its list.

use std::time::Duration;

use http::StatusCode;
use ipnet::IpNet;
use tokio::time::{Instant, timeout};

use super::floor::judge;
use crate::egress::{Answers, Exit, Pool, Resolver, Roots, Url};
use crate::network::Networks;
use crate::signature::addresses::{Form, Origin};

/// A list has some KiB; the longest we know has half of this.
const MAX_DOCUMENT: usize = 1 << 20;

/// How long a document or a name may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long all of a list may take.
pub const WHOLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Why there is no new list. A fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// There was no answer, or none that is meant to be a list.
    Unreachable(String),
    /// What came is no list that could be believed.
    Refused(String),
}

/// The list that is published at `origins`, all of them together.
///
/// # Errors
/// Why there is none: if one of them cannot be had, or read, none counts.
pub async fn fetch(origins: &[Origin], roots: Option<Roots>, resolver: Resolver) -> Result<Networks, Failure> {
    let whole = async {
        let mut nets = Vec::new();
        for origin in origins {
            nets.extend(match origin {
                Origin::Document { url, form } => document(url, form, roots.clone(), &resolver).await?,
                Origin::Name(name) => addresses(name, &resolver).await?,
            });
        }
        judge(nets).map_err(Failure::Refused)
    };
    match timeout(WHOLE_TIMEOUT, whole).await {
        Ok(fetched) => fetched,
        Err(_) => Err(Failure::Unreachable(format!("it took more than {} s", WHOLE_TIMEOUT.as_secs()))),
    }
}

/// What a document has: 200, at most [`MAX_DOCUMENT`] bytes, no redirects.
async fn document(url: &str, form: &Form, roots: Option<Roots>, resolver: &Resolver) -> Result<Vec<IpNet>, Failure> {
    // A query is nobody's business: it may have a token in it.
    let shown = url.split('?').next().unwrap_or_default();
    let unreachable = |why: String| Failure::Unreachable(format!("{shown}: {why}"));
    let refused = |why: String| Failure::Refused(format!("{shown}: {why}"));
    let roots = roots.map_or_else(Roots::system, Ok).map_err(|error| unreachable(error.to_string()))?;
    let parsed = Url::parse(url).map_err(|_| unreachable("it is no URL that could be asked".to_owned()))?;
    let request = parsed.get("application/json, text/plain, */*").map_err(|error| unreachable(error.to_string()))?;
    let exit = Exit::unguarded(Some(roots), TIMEOUT);
    let exit = Exit { resolver: resolver.clone(), answers: Answers::Whole(MAX_DOCUMENT), ..exit };
    let answer = Pool::through(exit, parsed.target).exchange(request, TIMEOUT).await;
    let answer = answer.map_err(|error| unreachable(format!("{:#}", anyhow::Error::new(error))))?;
    if answer.status() != StatusCode::OK {
        return Err(unreachable(format!("it was answered {}", answer.status())));
    }
    let body = answer.into_body();
    if body.is_empty() {
        return Err(refused(format!("the answer has no body, one above {MAX_DOCUMENT} bytes, or one without an end")));
    }
    form.read(&body).map_err(refused)
}

/// The addresses of `name`, each a network of its own.
async fn addresses(name: &str, resolver: &Resolver) -> Result<Vec<IpNet>, Failure> {
    let found = resolver.resolve(name, 443, Instant::now() + TIMEOUT).await;
    let found = found.map_err(|error| Failure::Unreachable(format!("cannot resolve {name}: {error}")))?;
    let mut nets: Vec<IpNet> = found.into_iter().map(|address| address.ip().to_canonical().into()).collect();
    // A resolver has them in another order each time.
    nets.sort_unstable();
    nets.dedup();
    if nets.is_empty() { Err(Failure::Refused(format!("{name} has no address"))) } else { Ok(nets) }
}
