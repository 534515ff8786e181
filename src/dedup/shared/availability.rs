//! Whether a shared store can be asked: a breaker, and a bound on what is asked at once.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::timeout;
use tracing::{info, warn};

use crate::database::StoreError;

/// More operations than this are not under way at once: what a slow store has not done yet must not pile up here.
const MAX_OPERATIONS: usize = 1024;

/// So many failures in a row, and the store is not asked any more until a probe succeeds.
const FAILURES: u32 = 5;

/// Why an operation came to nothing.
#[derive(Debug)]
pub enum Unavailable {
    /// The store was not asked at all.
    NotAsked,
    /// It was asked, and may have done it.
    Asked,
}

/// How a store does.
#[derive(Debug)]
pub struct Availability {
    store: &'static str,
    timeout: Duration,
    up: watch::Sender<bool>,
    failures_in_a_row: AtomicU32,
    errors: AtomicU64,
    operations: Semaphore,
    changed: Notify,
}

impl Availability {
    /// Of a store that nobody has reached yet. `timeout` is for each operation.
    pub fn new(store: &'static str, timeout: Duration) -> Self {
        Self {
            store,
            timeout,
            up: watch::Sender::new(false),
            failures_in_a_row: AtomicU32::new(0),
            errors: AtomicU64::new(0),
            operations: Semaphore::new(MAX_OPERATIONS),
            changed: Notify::new(),
        }
    }

    /// Does one operation, if the store is up, and takes note of how that went.
    ///
    /// Where the connection turns out to be broken, it is done once more on the next one, if there is one in time:
    /// every operation may be repeated.
    pub async fn ask<T, F>(&self, operation: impl Fn() -> F) -> Result<T, Unavailable>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        self.ask_once(async {
            match operation().await {
                Err(error @ StoreError::Unreachable { .. }) => {
                    self.failed(&error);
                    // It cannot be closed: its other end is here.
                    let _ = self.up.subscribe().wait_for(|up| *up).await;
                    operation().await
                }
                answered => answered,
            }
        })
        .await
    }

    /// The same without a second try: for who makes the connections, and would wait for itself.
    pub async fn ask_once<T>(&self, operation: impl Future<Output = Result<T, StoreError>>) -> Result<T, Unavailable> {
        let Some(_permit) = self.operations.try_acquire().ok().filter(|_| self.is_up()) else {
            return Err(Unavailable::NotAsked);
        };
        match timeout(self.timeout, operation).await.unwrap_or_else(|_| Err(self.too_late(self.timeout))) {
            Ok(answer) => {
                self.failures_in_a_row.store(0, Ordering::Relaxed);
                Ok(answer)
            }
            Err(error) => {
                self.failed(&error);
                Err(Unavailable::Asked)
            }
        }
    }

    /// True if the store is asked.
    pub fn is_up(&self) -> bool {
        *self.up.borrow()
    }

    /// How many operations failed.
    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// A probe succeeded.
    pub fn set_up(&self) {
        self.failures_in_a_row.store(0, Ordering::Relaxed);
        if !self.up.send_replace(true) {
            info!(store = self.store, "Dedup store is in service");
        }
    }

    /// The store is not asked until a probe succeeds. Said once.
    pub fn set_down(&self, error: &StoreError) {
        if self.up.send_replace(false) {
            warn!(%error, "Dedup store is out of service: sources answer as their store_down says");
            self.changed.notify_one();
        }
    }

    /// Waits for the store to go down, or for as long as `within`.
    pub async fn watch(&self, within: Duration) {
        let _ = timeout(within, self.changed.notified()).await;
    }

    /// Has the watcher look at once.
    pub fn wake(&self) {
        self.changed.notify_one();
    }

    /// The error of what took longer than it may.
    pub fn too_late(&self, within: Duration) -> StoreError {
        StoreError::Timeout { store: self.store, within_ms: u64::try_from(within.as_millis()).unwrap_or(u64::MAX) }
    }

    fn failed(&self, error: &StoreError) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        let failures = self.failures_in_a_row.fetch_add(1, Ordering::Relaxed) + 1;
        let broken = matches!(error, StoreError::Unreachable { .. });
        if broken || failures >= FAILURES {
            self.set_down(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATE: Duration = Duration::from_millis(50);

    fn refused() -> StoreError {
        StoreError::Failed { store: "test", cause: "no".into() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_fails_again_and_again_is_not_asked_any_more() {
        let availability = Availability::new("test", LATE);
        availability.set_up();
        for _ in 0..FAILURES {
            assert!(availability.is_up());
            assert!(matches!(availability.ask(std::future::pending::<Result<(), _>>).await, Err(Unavailable::Asked)));
        }
        assert!(matches!(availability.ask(|| async { Ok(1) }).await, Err(Unavailable::NotAsked)));
        availability.set_up();
        assert!(matches!(availability.ask(|| async { Ok(1) }).await, Ok(1)));
        assert_eq!(availability.errors(), u64::from(FAILURES));
    }

    #[tokio::test]
    async fn a_success_in_between_starts_the_count_again() {
        let availability = Availability::new("test", LATE);
        availability.set_up();
        for _ in 0..3 * FAILURES {
            assert!(availability.ask(|| async { Err::<(), _>(refused()) }).await.is_err());
            assert!(availability.ask(|| async { Ok(()) }).await.is_ok());
        }
        assert!(availability.is_up());
    }

    fn broken() -> StoreError {
        StoreError::Unreachable { store: "test", cause: "reset".into() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_broken_connection_is_enough() {
        let availability = Availability::new("test", LATE);
        availability.set_up();
        assert!(availability.ask(|| async { Err::<(), _>(broken()) }).await.is_err());
        assert!(!availability.is_up());
    }

    #[tokio::test(start_paused = true)]
    async fn what_met_a_broken_connection_is_done_on_the_next() {
        let availability = Availability::new("test", LATE);
        availability.set_up();
        let tries = AtomicU32::new(0);
        let asked = availability
            .ask(|| async { if tries.fetch_add(1, Ordering::Relaxed) == 0 { Err(broken()) } else { Ok(7) } });
        let (answer, ()) = tokio::join!(asked, async {
            availability.watch(LATE).await;
            availability.set_up();
        });
        assert!(matches!(answer, Ok(7)));
        assert_eq!(tries.into_inner(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_under_way_is_bounded() {
        let availability = Availability::new("test", LATE);
        availability.set_up();
        let all = (0..=MAX_OPERATIONS).map(|_| availability.ask(std::future::pending::<Result<(), _>>));
        let mut all: Vec<_> = all.map(Box::pin).collect();
        let mut last = all.pop().expect("one more than may be");
        for operation in &mut all {
            assert!(poll(operation.as_mut()).await.is_none());
        }
        assert!(matches!(poll(last.as_mut()).await, Some(Err(Unavailable::NotAsked))));
    }

    async fn poll<F: Future>(mut future: std::pin::Pin<&mut F>) -> Option<F::Output> {
        std::future::poll_fn(|context| match future.as_mut().poll(context) {
            std::task::Poll::Ready(output) => std::task::Poll::Ready(Some(output)),
            std::task::Poll::Pending => std::task::Poll::Ready(None),
        })
        .await
    }
}
