//! Keys that providers publish: fetched when a message wants them, and kept.
//!
//! A document is asked for again once it is old, or when a message names a key that it does not have. What was good is
//! kept for as long as nothing better can be had: a provider whose key server is down goes on being verified.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use tracing::{info, warn};

use super::source::KeyMemory;
use crate::clock::Clock;
use crate::egress::{Pool, Roots, Url};
use crate::rejection::Rejection;
use crate::signature::{KeySet, Scheme};

/// A document is asked for again after this long.
const MAX_AGE: Duration = Duration::from_secs(6 * 3600);

/// Nothing is asked for more often than this, whatever messages say.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// A key document has a few KiB; more than this is none.
const MAX_DOCUMENT: usize = 256 * 1024;

/// How long a message waits for a document.
const TIMEOUT: Duration = Duration::from_secs(5);

/// More documents than this are not kept: their URLs come from strangers.
const MAX_DOCUMENTS: usize = 64;

/// So many URLs under which nothing is known yet are asked in [`WINDOW`], over all sources.
const MAX_FIRST_ASKS: u32 = 20;

const WINDOW: Duration = Duration::from_secs(60);

/// The documents that were fetched, by their URLs. Shared by all workers.
#[derive(Debug, Default)]
pub struct KeyDocuments {
    by_url: Mutex<HashMap<String, Arc<Slot>>>,
    /// When the window began, and how many URLs that messages named were asked in it.
    first_asks: Mutex<(Duration, u32)>,
}

/// One document. Whoever holds `fetching` asks for it; the others wait, or go on with the old one.
#[derive(Debug, Default)]
struct Slot {
    fetching: Arc<tokio::sync::Mutex<()>>,
    state: Mutex<State>,
}

#[derive(Debug, Default, Clone)]
struct State {
    document: Option<Arc<Bytes>>,
    /// When it was fetched, and when it was last asked for, on the monotonic clock.
    fetched: Option<Duration>,
    tried: Option<Duration>,
}

impl State {
    fn is_older(since: Option<Duration>, than: Duration, now: Duration) -> bool {
        since.is_none_or(|since| now.saturating_sub(since) >= than)
    }
}

impl KeyDocuments {
    /// The keys at `url` as `scheme` uses them. `anew` asks again although the document is not old.
    ///
    /// # Errors
    /// `KeysUnavailable` if there never was a good document and none can be had now.
    pub async fn keys(
        &self,
        url: &str,
        anew: bool,
        scheme: &Scheme,
        memory: &KeyMemory,
        clock: &Clock,
    ) -> Result<Arc<KeySet>, Rejection> {
        let slot = self.slot(url).ok_or(Rejection::KeysUnavailable)?;
        let document = self.document(slot, url, anew, scheme, clock).await.ok_or(Rejection::KeysUnavailable)?;
        // Another source's scheme may have found good what this one cannot use.
        memory.keys(&document, || KeySet::fetched(scheme, &document)).map_err(|_| Rejection::KeysUnavailable)
    }

    /// The document at `url`, fetched now if there is need. `None` if there is no good one.
    async fn document(
        &self,
        slot: Arc<Slot>,
        url: &str,
        anew: bool,
        scheme: &Scheme,
        clock: &Clock,
    ) -> Option<Arc<Bytes>> {
        let wants = |state: &State| {
            let now = clock.monotonic();
            (anew || State::is_older(state.fetched, MAX_AGE, now)) && State::is_older(state.tried, RETRY_AFTER, now)
        };
        let before = slot.state();
        if !wants(&before) {
            return before.document;
        }
        let gate = Arc::clone(&slot.fetching);
        let fetching = match (Arc::clone(&gate).try_lock_owned(), &before.document) {
            (Ok(fetching), _) => fetching,
            (Err(_), Some(document)) if !anew => return Some(Arc::clone(document)),
            (Err(_), _) => gate.lock_owned().await,
        };
        let before = slot.state();
        let stranger = before.document.is_none() && scheme.messages_name_keys();
        if !wants(&before) || (stranger && !self.may_ask_first(clock.monotonic())) {
            return before.document;
        }
        // In a task of its own: a client that hangs up must not make the next one begin again.
        slot.tried(clock.monotonic());
        let (task_slot, scheme, clock, url) = (Arc::clone(&slot), scheme.clone(), clock.clone(), url.to_owned());
        let asking = tokio::spawn(async move {
            let _fetching = fetching;
            let fetched = fetch(&url).await.and_then(|document| match KeySet::fetched(&scheme, &document) {
                Ok(_) => Ok(document),
                Err(why) => Err(anyhow::anyhow!("what is there {why}")),
            });
            task_slot.settle(&url, fetched, clock.monotonic())
        });
        asking.await.ok().flatten()
    }

    /// False where strangers have named too many unknown URLs lately.
    fn may_ask_first(&self, now: Duration) -> bool {
        let mut asks = self.first_asks.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_sub(asks.0) >= WINDOW {
            *asks = (now, 0);
        }
        asks.1 += 1;
        asks.1 <= MAX_FIRST_ASKS
    }

    /// Room for the document at `url`. `None` if there is none, and nothing worth less.
    fn slot(&self, url: &str) -> Option<Arc<Slot>> {
        let mut by_url = self.by_url.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = by_url.get(url) {
            return Some(Arc::clone(slot));
        }
        if by_url.len() >= MAX_DOCUMENTS {
            // URLs under which nothing was found, and nobody is looking now; else the one that was fetched longest ago.
            by_url.retain(|_, slot| slot.state().document.is_some() || Arc::strong_count(slot) > 1);
            let idle = by_url.iter().filter(|(_, slot)| Arc::strong_count(slot) == 1);
            let oldest = idle.min_by_key(|(_, slot)| slot.state().fetched).map(|(url, _)| url.clone());
            if by_url.len() >= MAX_DOCUMENTS {
                by_url.remove(&oldest?);
            }
        }
        Some(Arc::clone(by_url.entry(url.to_owned()).or_default()))
    }
}

impl Slot {
    fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes that it is asked for now.
    fn tried(&self, now: Duration) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).tried = Some(now);
    }

    /// Keeps what was fetched, or, where nothing good was, what there is.
    fn settle(&self, url: &str, fetched: anyhow::Result<Bytes>, now: Duration) -> Option<Arc<Bytes>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.tried = Some(now);
        match fetched {
            Ok(document) => {
                info!(%url, bytes = document.len(), "Fetched a provider's keys");
                state.fetched = Some(now);
                if state.document.as_ref().is_none_or(|known| **known != document) {
                    state.document = Some(Arc::new(document));
                }
            }
            Err(why) => {
                let kept = if state.document.is_some() { "the last good ones are kept" } else { "there are none" };
                warn!(%url, "Cannot fetch a provider's keys: {why}; {kept}");
            }
        }
        state.document.clone()
    }
}

/// The document at `url`: 200, at most [`MAX_DOCUMENT`] bytes, no redirects.
async fn fetch(url: &str) -> anyhow::Result<Bytes> {
    let url = Url::parse(url).map_err(anyhow::Error::msg)?;
    let pool = Pool::new(url.target.clone(), Some(Roots::system()?), TIMEOUT);
    let answer = pool.exchange(url.get("application/json, application/x-pem-file, */*")?, TIMEOUT).await?;
    if answer.status() != StatusCode::OK {
        anyhow::bail!("it was answered {}", answer.status());
    }
    let document = answer.into_body();
    if document.is_empty() || document.len() > MAX_DOCUMENT {
        anyhow::bail!("the answer has no body, or one above {MAX_DOCUMENT} bytes");
    }
    Ok(document)
}
