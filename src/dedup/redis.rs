//! Dedup in Redis: one key for each event, one script for each verb, so that a verb is one step.
//!
//! A value is `P|until|token|doubt` while somebody has the event (`doubt` is 1 if the upstream may have handled it
//! before), `A|until|fingerprint` after an attempt that broke off, `D|until|fingerprint` once it is done. `until` is
//! what counts; the keys' own expiry comes later and only collects.
//!
//! Each script touches one key. Redis Cluster is not supported: nothing follows a `MOVED`.

mod url;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, FromRedisValue, RedisError, Script, ScriptInvocation};

use super::remote::{Retention, Standing, StoreClaim};
use super::{ClaimKeys, DedupKey, Failure};
use crate::clock::UnixMillis;
use crate::database::StoreError;

pub use url::RedisUrl;

/// For so long after its lease a claim that nobody settled is kept, so that the next attempt is marked.
const DOUBT_LASTS: Duration = Duration::from_secs(24 * 3600);

/// Keys outlive what they say by this much: clocks differ.
const SLACK: Duration = Duration::from_secs(60);

const CLAIM: &str = r"
local now, till, token = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local doubt = '0'
local held = redis.call('GET', KEYS[1])
if held then
  local kind, ends, rest = string.match(held, '^(%a)|(%d+)|(.*)$')
  local valid = tonumber(ends) > now
  if kind == 'D' and valid then return {'D', rest} end
  if kind == 'P' then
    local owner, doubted = string.match(rest, '^(%x+)|(%d)$')
    if owner == token then doubt = doubted
    elseif valid then return {'P', ''}
    else doubt = '1' end
  end
  if kind == 'A' and valid then doubt = '1' end
end
redis.call('SET', KEYS[1], 'P|' .. till .. '|' .. token .. '|' .. doubt, 'PX', ARGV[4])
return {'G', doubt}
";

const COMMIT: &str = r"
local held = redis.call('GET', KEYS[1])
if held then
  local kind, ends = string.match(held, '^(%a)|(%d+)|')
  if kind == 'D' and tonumber(ends) >= tonumber(ARGV[1]) then return 0 end
end
redis.call('SET', KEYS[1], 'D|' .. ARGV[1] .. '|' .. ARGV[2], 'PX', ARGV[3])
return 1
";

const RELEASE: &str = r"
local now, token, doubt = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local held = redis.call('GET', KEYS[1])
if held then
  local kind, ends, rest = string.match(held, '^(%a)|(%d+)|(.*)$')
  if kind == 'P' then
    local owner, doubted = string.match(rest, '^(%x+)|(%d)$')
    if owner ~= token then return 0 end
    if doubted == '1' then doubt = '1' end
  elseif tonumber(ends) > now then return 0 end
end
if doubt == '1' then
  redis.call('SET', KEYS[1], 'A|' .. ARGV[4] .. '|' .. ARGV[5], 'PX', ARGV[6])
else
  redis.call('DEL', KEYS[1])
end
return 1
";

/// A Redis server.
pub struct Redis {
    client: Client,
    prefix: String,
    connection: Mutex<Option<MultiplexedConnection>>,
    claim: Script,
    commit: Script,
    release: Script,
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Redis {
    pub(super) const NAME: &'static str = "Redis";

    /// The server at `url`, not connected yet. `prefix` keeps gateways apart that are not to share their events.
    pub fn new(url: &RedisUrl, prefix: &str) -> Self {
        let client = Client::open(url.connection_info()).expect("RedisUrl was read by the same rules");
        let prefix = if prefix.is_empty() { "hookward:".to_owned() } else { format!("hookward:{prefix}:") };
        Self {
            client,
            prefix,
            connection: Mutex::default(),
            claim: Script::new(CLAIM),
            commit: Script::new(COMMIT),
            release: Script::new(RELEASE),
        }
    }

    pub(super) async fn claim(
        &self,
        keys: ClaimKeys,
        token: u64,
        lease: Duration,
        now: UnixMillis,
    ) -> Result<StoreClaim, StoreError> {
        let mut claim = self.claim.key(self.key(keys.key));
        claim.arg(now.0).arg(now.after(lease).0).arg(hex(token)).arg(millis(lease.saturating_add(DOUBT_LASTS)));
        // Both are written before either is answered.
        let (claimed, guard) =
            tokio::try_join!(self.run::<(String, String)>(&claim), self.standing_of(keys.guard, now))?;
        match (claimed.0.as_str(), claimed.1.as_str()) {
            ("G", doubt) => {
                let known_body = matches!(guard, Standing::Attempted | Standing::Committed);
                Ok(StoreClaim::Granted { possible_duplicate: doubt == "1" || known_body })
            }
            ("P", _) => Ok(StoreClaim::InFlight),
            ("D", fingerprint) => match u64::from_str_radix(fingerprint, 16) {
                Ok(fingerprint) => Ok(StoreClaim::Committed { fingerprint }),
                Err(_) => Err(strange()),
            },
            _ => Err(strange()),
        }
    }

    pub(super) async fn commit(&self, keys: ClaimKeys, ttl: Duration, now: UnixMillis) -> Result<(), StoreError> {
        let commit = |key| {
            let mut commit = self.commit.key(self.key(key));
            commit.arg(now.after(ttl).0).arg(hex(keys.fingerprint)).arg(millis(ttl.saturating_add(SLACK)));
            commit
        };
        let (event, guard) = (commit(keys.key), keys.guard.map(commit));
        tokio::try_join!(self.run::<()>(&event), self.run_some(guard.as_ref()))?;
        Ok(())
    }

    pub(super) async fn release(
        &self,
        keys: ClaimKeys,
        token: u64,
        failure: Failure,
        ttl: Duration,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        let doubt = if failure == Failure::Ambiguous { "1" } else { "0" };
        let release = |key| {
            let mut release = self.release.key(self.key(key));
            release.arg(now.0).arg(hex(token)).arg(doubt);
            release.arg(now.after(ttl).0).arg(hex(keys.fingerprint)).arg(millis(ttl.saturating_add(SLACK)));
            release
        };
        // A guard is never claimed: there is only a doubt to be written.
        let guard = keys.guard.filter(|_| failure == Failure::Ambiguous).map(release);
        let event = release(keys.key);
        tokio::try_join!(self.run::<()>(&event), self.run_some(guard.as_ref()))?;
        Ok(())
    }

    pub(super) async fn standing(&self, key: DedupKey, now: UnixMillis) -> Result<Standing, StoreError> {
        let mut connection = self.connection()?;
        let value: Option<String> = redis::cmd("GET").arg(self.key(key)).query_async(&mut connection).await?;
        let Some(value) = value else { return Ok(Standing::Absent) };
        let mut parts = value.split('|');
        let kind = parts.next();
        let until = parts.next().and_then(|until| until.parse().ok()).ok_or_else(strange)?;
        match (kind, now < UnixMillis(until)) {
            (Some("D"), true) => Ok(Standing::Committed),
            (Some("P"), true) => Ok(Standing::InFlight),
            // Whoever let the lease run out may have forwarded it.
            (Some("A"), true) | (Some("P"), false) => Ok(Standing::Attempted),
            (Some("A" | "D"), false) => Ok(Standing::Absent),
            _ => Err(strange()),
        }
    }

    pub(super) async fn probe(&self) -> Result<(), StoreError> {
        let known = self.slot().clone();
        let mut connection = match known {
            Some(connection) => connection,
            None => {
                // Deadlines are set by who asks.
                let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
                let connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
                *self.slot() = Some(connection.clone());
                connection
            }
        };
        // A write: a replica, a server that is loading and one that is full would all answer a PING.
        let mut write = redis::cmd("SET");
        write.arg(format!("{}probe", self.prefix)).arg("1").arg("PX").arg(60_000);
        Ok(write.query_async::<()>(&mut connection).await?)
    }

    pub(super) fn disconnect(&self) {
        *self.slot() = None;
    }

    pub(super) async fn retention(&self) -> Result<Retention, StoreError> {
        let mut connection = self.connection()?;
        let mut config = redis::cmd("CONFIG");
        config.arg("GET").arg("maxmemory-policy");
        let policy = match config.query_async::<Vec<String>>(&mut connection).await {
            Ok(pair) => pair.into_iter().nth(1),
            // Where services hide CONFIG, INFO says it too.
            Err(_) => {
                let info: String = redis::cmd("INFO").arg("memory").query_async(&mut connection).await?;
                info.lines().find_map(|line| line.strip_prefix("maxmemory_policy:")).map(str::to_owned)
            }
        };
        Ok(match policy {
            None => Retention::Unknown,
            Some(policy) if policy == "noeviction" => Retention::Kept,
            Some(policy) => Retention::MayEvict(format!("maxmemory-policy is {policy}, not noeviction")),
        })
    }

    async fn standing_of(&self, key: Option<DedupKey>, now: UnixMillis) -> Result<Standing, StoreError> {
        match key {
            Some(key) => self.standing(key, now).await,
            None => Ok(Standing::Absent),
        }
    }

    async fn run<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, StoreError> {
        let mut connection = self.connection()?;
        // By its digest; the text is sent where the server does not know it yet.
        Ok(script.invoke_async(&mut connection).await?)
    }

    async fn run_some(&self, script: Option<&ScriptInvocation<'_>>) -> Result<(), StoreError> {
        match script {
            Some(script) => self.run(script).await,
            None => Ok(()),
        }
    }

    fn connection(&self) -> Result<MultiplexedConnection, StoreError> {
        let absent = || StoreError::Unreachable { store: Self::NAME, cause: "there is no connection".into() };
        self.slot().clone().ok_or_else(absent)
    }

    fn slot(&self) -> MutexGuard<'_, Option<MultiplexedConnection>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self, key: DedupKey) -> String {
        format!("{}{:032x}", self.prefix, key.0)
    }
}

fn hex(number: u64) -> String {
    format!("{number:016x}")
}

fn millis(duration: Duration) -> u64 {
    // A century is long enough, and Redis takes it.
    const MOST: u64 = 100 * 365 * 24 * 3600 * 1000;
    u64::try_from(duration.as_millis()).unwrap_or(MOST).clamp(1, MOST)
}

fn strange() -> StoreError {
    StoreError::Failed { store: Redis::NAME, cause: "a key holds what is not ours".into() }
}

impl From<RedisError> for StoreError {
    fn from(error: RedisError) -> Self {
        let (store, cause) = (Redis::NAME, error.to_string());
        if error.is_io_error() || error.is_connection_dropped() {
            Self::Unreachable { store, cause }
        } else if error.code() == Some("OOM") {
            Self::Full { store, cause }
        } else {
            Self::Failed { store, cause }
        }
    }
}
