//! Claim, commit, release: the same on every store. A new one is a line at the end of this file, and one in `Subject`.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use hookward::clock::UnixMillis;
use hookward::database::postgres::{Limits, Postgres, parse_url};
use hookward::database::sqlite::Sqlite;
use hookward::dedup::{
    Answer, Claim, ClaimKeys, Dedup, DedupKey, Denial, Failure, KeyMaker, Lease, Memory, PostgresDedup, Redis,
    RedisUrl, Remote, SqliteDedup, Standing, StoreClaim,
};
use http::{HeaderMap, StatusCode};
use tempfile::TempDir;
use tokio::runtime::Handle;

use crate::support::NOW;
use crate::support::client::PATIENCE;
use crate::support::services::{shared_postgres, shared_redis};

const LEASE: Duration = Duration::from_secs(30);
const TTL: Duration = Duration::from_secs(3600);
const SECOND: i64 = 1000;

const GRANTED: StoreClaim = StoreClaim::Granted { possible_duplicate: false };
const DOUBTED: StoreClaim = StoreClaim::Granted { possible_duplicate: true };
const COMMITTED: StoreClaim = StoreClaim::Committed { fingerprint: 7 };

/// A store under test. Times are milliseconds since the test began.
enum Subject {
    /// Its tokens are its own affair: here they name the lease that they got.
    Memory(Dedup, Mutex<HashMap<u64, Lease>>),
    Remote(Box<Remote>),
    File {
        remote: Box<Remote>,
        _folder: TempDir,
    },
}

impl Subject {
    async fn memory(_: &str) -> Self {
        Self::Memory(Dedup::Memory(Memory::new(10_000)), Mutex::default())
    }

    async fn redis(test: &str) -> Self {
        let url = RedisUrl::parse(&shared_redis().url()).expect("a URL");
        Self::connected(Remote::Redis(Box::new(Redis::new(&url, test)))).await
    }

    async fn sqlite(_: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let database = Sqlite::open(&folder.path().join("hookward.db")).expect("a new file");
        let remote = Box::new(Remote::Sqlite(SqliteDedup::new(database)));
        Self::File { remote, _folder: folder }
    }

    async fn postgres(_: &str) -> Self {
        let config = parse_url(&shared_postgres().database().await).expect("a URL");
        let limits = Limits { connect: PATIENCE, answer: PATIENCE };
        let database = Postgres::new(config, limits, Handle::current()).expect("no TLS");
        Self::connected(Remote::Postgres(PostgresDedup::new(&database))).await
    }

    async fn connected(remote: Remote) -> Self {
        remote.probe().await.expect("a server");
        Self::Remote(Box::new(remote))
    }

    async fn claim(&self, keys: ClaimKeys, token: u64, at: i64) -> StoreClaim {
        match self {
            Self::Memory(dedup, leases) => match dedup.claim(keys, LEASE, monotonic(at)) {
                Claim::Granted(lease) => {
                    let possible_duplicate = lease.possible_duplicate;
                    leases.lock().unwrap().insert(token, lease);
                    StoreClaim::Granted { possible_duplicate }
                }
                Claim::Denied(Denial::Committed { conflict }) => {
                    StoreClaim::Committed { fingerprint: if conflict { !keys.fingerprint } else { keys.fingerprint } }
                }
                Claim::Denied(Denial::InFlight(_)) => StoreClaim::InFlight,
                other => panic!("{other:?}"),
            },
            Self::Remote(remote) | Self::File { remote, .. } => {
                remote.claim(keys, token, LEASE, wall(at)).await.expect("a store that answers")
            }
        }
    }

    async fn commit(&self, keys: ClaimKeys, token: u64, at: i64) {
        match self {
            Self::Memory(dedup, leases) => {
                let lease = leases.lock().unwrap().remove(&token).expect("a lease");
                dedup.commit(lease, TTL, &answer(200), monotonic(at)).await;
            }
            Self::Remote(remote) | Self::File { remote, .. } => {
                remote.commit(keys, TTL, wall(at)).await.expect("a store that answers")
            }
        }
    }

    async fn release(&self, keys: ClaimKeys, token: u64, failure: Failure, at: i64) {
        match self {
            Self::Memory(dedup, leases) => {
                let lease = leases.lock().unwrap().remove(&token).expect("a lease");
                dedup.release(lease, failure, TTL, &answer(500), monotonic(at)).await;
            }
            Self::Remote(remote) | Self::File { remote, .. } => {
                remote.release(keys, token, failure, TTL, wall(at)).await.expect("a store that answers");
            }
        }
    }

    async fn standing(&self, key: DedupKey, at: i64) -> Standing {
        match self {
            Self::Memory(..) => panic!("memory tells its copies by itself"),
            Self::Remote(remote) | Self::File { remote, .. } => {
                remote.standing(key, wall(at)).await.expect("a store that answers")
            }
        }
    }
}

fn monotonic(at: i64) -> Duration {
    Duration::from_millis(at.try_into().expect("after the beginning"))
}

fn wall(at: i64) -> UnixMillis {
    UnixMillis(NOW * 1000 + at)
}

fn answer(status: u16) -> Answer {
    Answer { status: StatusCode::from_u16(status).expect("a status"), headers: HeaderMap::new(), body: "".into() }
}

fn key(parts: &[&str]) -> DedupKey {
    let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
    KeyMaker::shared().key(&parts)
}

fn keys(id: &str) -> ClaimKeys {
    ClaimKeys { key: key(&["source", id]), guard: None, fingerprint: 7 }
}

fn guarded(id: &str) -> ClaimKeys {
    ClaimKeys { guard: Some(key(&["guard", "body"])), ..keys(id) }
}

async fn one_claimer_has_an_event_and_the_next_does_not(store: Subject) {
    assert_eq!(store.claim(keys("a"), 1, 0).await, GRANTED);
    assert_eq!(store.claim(keys("a"), 2, 0).await, StoreClaim::InFlight);
    assert_eq!(store.claim(keys("b"), 3, 0).await, GRANTED);
}

async fn a_committed_event_is_remembered_until_its_time_is_over(store: Subject) {
    store.claim(keys("a"), 1, 0).await;
    store.commit(keys("a"), 1, SECOND).await;
    assert_eq!(store.claim(keys("a"), 2, SECOND).await, COMMITTED);
    assert_eq!(store.claim(keys("a"), 2, 3601 * SECOND - 1).await, COMMITTED);
    assert_eq!(store.claim(keys("a"), 2, 3601 * SECOND).await, GRANTED);
}

async fn another_body_under_a_known_id_shows(store: Subject) {
    store.claim(keys("a"), 1, 0).await;
    store.commit(keys("a"), 1, 0).await;
    let other = ClaimKeys { fingerprint: 8, ..keys("a") };
    let StoreClaim::Committed { fingerprint } = store.claim(other, 2, 0).await else { panic!("it is committed") };
    assert_ne!(fingerprint, other.fingerprint);
}

async fn two_sources_do_not_share_an_id(store: Subject) {
    store.claim(keys("a"), 1, 0).await;
    store.commit(keys("a"), 1, 0).await;
    let other = ClaimKeys { key: key(&["another source", "a"]), ..keys("a") };
    assert_eq!(store.claim(other, 2, 0).await, GRANTED);
}

async fn a_released_event_can_be_claimed_again(store: Subject) {
    store.claim(keys("a"), 1, 0).await;
    store.release(keys("a"), 1, Failure::Definite, SECOND).await;
    assert_eq!(store.claim(keys("a"), 2, SECOND).await, GRANTED);
}

async fn an_ambiguous_failure_marks_what_follows(store: Subject) {
    store.claim(keys("a"), 1, 0).await;
    store.release(keys("a"), 1, Failure::Ambiguous, 0).await;
    assert_eq!(store.claim(keys("a"), 2, SECOND).await, DOUBTED);
    store.release(keys("a"), 2, Failure::Definite, SECOND).await;
    assert_eq!(store.claim(keys("a"), 3, 2 * SECOND).await, DOUBTED, "a definite failure does not end the doubt");
    store.release(keys("a"), 3, Failure::Definite, 2 * SECOND).await;
    assert_eq!(store.claim(keys("a"), 4, 2 * 3602 * SECOND).await, GRANTED, "time does");
}

async fn an_expired_lease_is_stolen(store: Subject) {
    store.claim(keys("a"), 1, 0).await;
    assert_eq!(store.claim(keys("a"), 2, 30 * SECOND - 1).await, StoreClaim::InFlight);
    assert_eq!(store.claim(keys("a"), 2, 30 * SECOND).await, DOUBTED);
    assert_eq!(store.claim(keys("a"), 3, 31 * SECOND).await, StoreClaim::InFlight);
}

async fn a_late_success_counts_and_the_thief_cannot_undo_it(store: Subject) {
    store.claim(keys("a"), 1, 0).await;
    store.claim(keys("a"), 2, 30 * SECOND).await;
    store.commit(keys("a"), 1, 31 * SECOND).await;
    store.release(keys("a"), 2, Failure::Ambiguous, 32 * SECOND).await;
    assert_eq!(store.claim(keys("a"), 3, 33 * SECOND).await, COMMITTED);
}

async fn a_late_release_does_not_end_the_thiefs_claim(store: Subject) {
    store.claim(keys("a"), 1, 0).await;
    store.claim(keys("a"), 2, 30 * SECOND).await;
    store.release(keys("a"), 1, Failure::Definite, 31 * SECOND).await;
    assert_eq!(store.claim(keys("a"), 3, 32 * SECOND).await, StoreClaim::InFlight);
}

async fn a_guard_marks_a_known_body_under_another_id(store: Subject) {
    assert_eq!(store.claim(guarded("a"), 1, 0).await, GRANTED);
    store.commit(guarded("a"), 1, 0).await;
    assert_eq!(store.claim(guarded("b"), 2, 3600 * SECOND - 1).await, DOUBTED);
    assert_eq!(store.claim(guarded("c"), 3, 3600 * SECOND).await, GRANTED, "its time is over");
}

async fn a_guard_marks_a_body_that_may_have_arrived(store: Subject) {
    store.claim(guarded("a"), 1, 0).await;
    store.release(guarded("a"), 1, Failure::Ambiguous, 0).await;
    assert_eq!(store.claim(guarded("b"), 2, 0).await, DOUBTED);
    store.release(guarded("b"), 2, Failure::Definite, 0).await;
    assert_eq!(store.claim(keys("c"), 3, 0).await, GRANTED, "without a guard nothing is known");
}

async fn of_many_claimers_one_is_granted(store: Subject) {
    let claims = claims_at_once(&store, 200).await;
    assert_eq!(claims.iter().filter(|claim| **claim == GRANTED).count(), 1);
    assert_eq!(claims.iter().filter(|claim| **claim == StoreClaim::InFlight).count(), 199);
}

/// So many claims of one event at once.
async fn claims_at_once(store: &Subject, count: u64) -> Vec<StoreClaim> {
    let mut claims: Vec<_> = (0..count).map(|token| Box::pin(store.claim(keys("a"), token, 0))).collect();
    let mut done = vec![None; claims.len()];
    std::future::poll_fn(|context| {
        for (claim, done) in claims.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(answer) = claim.as_mut().poll(context)
            {
                *done = Some(answer);
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

async fn the_same_token_may_ask_again(store: Subject) {
    assert_eq!(store.claim(keys("a"), 1, 0).await, GRANTED);
    assert_eq!(store.claim(keys("a"), 1, SECOND).await, GRANTED);
    assert_eq!(store.claim(keys("a"), 2, 31 * SECOND).await, DOUBTED, "its lease began with the second time");
    assert_eq!(store.claim(keys("a"), 2, 32 * SECOND).await, DOUBTED, "and the doubt is not forgotten");
}

async fn a_release_needs_the_token(store: Subject) {
    store.claim(guarded("a"), 1, 0).await;
    for failure in [Failure::Definite, Failure::Ambiguous] {
        store.release(keys("a"), 2, failure, 0).await;
        assert_eq!(store.claim(keys("a"), 3, 0).await, StoreClaim::InFlight);
    }
    store.commit(keys("a"), 1, 0).await;
    store.release(keys("a"), 1, Failure::Definite, 0).await;
    assert_eq!(store.claim(keys("a"), 3, 0).await, COMMITTED, "what is committed stays");
}

async fn a_success_counts_where_no_claim_is_known(store: Subject) {
    store.commit(keys("a"), 1, 0).await;
    assert_eq!(store.claim(keys("a"), 2, 0).await, COMMITTED);
}

async fn a_doubt_counts_where_no_claim_is_known(store: Subject) {
    store.release(guarded("a"), 1, Failure::Definite, 0).await;
    assert_eq!(store.claim(guarded("b"), 2, 0).await, GRANTED, "a definite failure leaves none");
    store.release(guarded("a"), 1, Failure::Ambiguous, 0).await;
    assert_eq!(store.claim(keys("a"), 3, 0).await, DOUBTED);
    assert_eq!(store.claim(guarded("c"), 4, 0).await, DOUBTED, "nor of its body");
}

async fn a_commit_that_comes_late_does_not_shorten_a_memory(store: Subject) {
    store.commit(keys("a"), 1, 60 * SECOND).await;
    store.commit(keys("a"), 2, 0).await;
    assert_eq!(store.claim(keys("a"), 3, 3660 * SECOND - 1).await, COMMITTED);
}

async fn the_standing_of_an_event_is_told(store: Subject) {
    let standing = |at| store.standing(keys("a").key, at);
    assert_eq!(standing(0).await, Standing::Absent);
    store.claim(keys("a"), 1, 0).await;
    assert_eq!(standing(30 * SECOND - 1).await, Standing::InFlight);
    assert_eq!(standing(30 * SECOND).await, Standing::Attempted, "its owner may have forwarded it");
    store.release(keys("a"), 1, Failure::Definite, 0).await;
    assert_eq!(standing(0).await, Standing::Absent);
    store.claim(keys("a"), 2, 0).await;
    store.release(keys("a"), 2, Failure::Ambiguous, 0).await;
    assert_eq!(standing(3600 * SECOND - 1).await, Standing::Attempted);
    assert_eq!(standing(3600 * SECOND).await, Standing::Absent);
    store.claim(keys("a"), 3, 0).await;
    store.commit(keys("a"), 3, 0).await;
    assert_eq!(standing(3600 * SECOND - 1).await, Standing::Committed);
    assert_eq!(standing(3600 * SECOND).await, Standing::Absent);
}

macro_rules! run {
    ($store:ident: $($case:ident)*) => {$(
        #[tokio::test]
        async fn $case() {
            super::$case(super::Subject::$store(stringify!($case)).await).await;
        }
    )*};
}

/// What holds of every store.
macro_rules! suite {
    ($store:ident) => {
        run! { $store:
            one_claimer_has_an_event_and_the_next_does_not
            a_committed_event_is_remembered_until_its_time_is_over
            another_body_under_a_known_id_shows
            two_sources_do_not_share_an_id
            a_released_event_can_be_claimed_again
            an_ambiguous_failure_marks_what_follows
            an_expired_lease_is_stolen
            a_late_success_counts_and_the_thief_cannot_undo_it
            a_late_release_does_not_end_the_thiefs_claim
            a_guard_marks_a_known_body_under_another_id
            a_guard_marks_a_body_that_may_have_arrived
        }
    };
}

/// What holds of every store that gateways share.
macro_rules! shared_suite {
    ($store:ident) => {
        mod $store {
            suite! { $store }
            run! { $store:
                of_many_claimers_one_is_granted
                the_same_token_may_ask_again
                a_release_needs_the_token
                a_success_counts_where_no_claim_is_known
                a_doubt_counts_where_no_claim_is_known
                a_commit_that_comes_late_does_not_shorten_a_memory
                the_standing_of_an_event_is_told
            }
        }
    };
}

mod memory {
    suite! { memory }
}

shared_suite! { sqlite }
shared_suite! { postgres }
shared_suite! { redis }
