//! The measurements, each on a store and a gateway of its own.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::cost::Cpu;
use crate::engine::{Engine, Place};
use crate::event::{MAX_SOURCES, Request};
use crate::gateway::Gateway;
use crate::journal::{Journal, quantile};
use crate::load::Load;
use crate::services::postgres::Postgres;
use crate::upstream::{Health, Upstream};

/// Not measured: connections are opened, caches and pools fill, circuits open.
const WARM_UP: Duration = Duration::from_secs(1);

/// What is left after the last event was sent takes no longer, or is missing.
const LAST_ARRIVAL: Duration = Duration::from_secs(10);

/// No gateway here does more in a second.
const FASTEST: f64 = 100_000.0;

/// A drain that is slower than this is given up.
const SLOWEST: f64 = 500.0;

/// The rate of a drain is taken over this part of the backlog, so that it is that of a long one ...
const MEASURED_PART: usize = 10;
/// ... and over no fewer than this.
const MEASURED_LEAST: usize = 1000;

/// Sources of which the latency is taken where others are dead.
const WATCHED: usize = MAX_SOURCES / 2;

/// What all measurements share.
pub struct Stand {
    folder: TempDir,
    server: Postgres,
    seconds: Duration,
}

/// What came of 64 connections that send as fast as they are answered.
pub struct Full {
    pub accepted_per_second: f64,
    pub delivered_per_second: f64,
    /// In milliseconds.
    pub answer: [f64; 2],
    pub cpu: Cpu,
}

/// What came of a steady rate. Medians and 99th percentiles, in milliseconds.
pub struct Steady {
    pub rate: f64,
    pub answer: [f64; 2],
    pub arrival: [f64; 2],
    pub answer_to_arrival: [f64; 2],
    pub cpu: Cpu,
}

/// What came of a backlog.
pub struct Drained {
    pub per_second: f64,
    pub cpu: Cpu,
    /// Of a gateway that has not begun, the largest, and at the end: in bytes.
    pub rss: [u64; 3],
}

impl Stand {
    /// Everything is in a new folder within `folder`, but PostgreSQL, which is where the tests have it.
    pub fn new(folder: &Path, seconds: Duration) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("hookward-deliveries-").tempdir_in(folder)?;
        Ok(Self { folder, server: Postgres::start(), seconds })
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn server(&self) -> &Postgres {
        &self.server
    }

    /// Events as fast as they are accepted; the upstream is well or refuses.
    pub async fn full(&self, engine: Engine, health: Health) -> anyhow::Result<Full> {
        let folder = tempfile::tempdir_in(self.folder())?;
        let place = Place::new(engine, folder.path(), &self.server).await?;
        let events = (self.seconds + WARM_UP).as_secs_f64() * FASTEST;
        let journal = Arc::new(Journal::new(events as usize));
        let upstream = Upstream::start(health, &journal).await?;
        let gateway = Gateway::start(folder.path(), &place.url(), place.process(), &[upstream.url()])?;
        let load = load(&gateway, 1, &journal);
        let running = load.closed();
        sleep(WARM_UP).await;
        let (begin, first, had) = (gateway.mark(), journal.answers(), journal.arrivals());
        sleep(self.seconds).await;
        let (end, answers, arrivals) = (gateway.mark(), journal.answers() - first, journal.arrivals() - had);
        drop(running);
        complain(&journal);
        ensure!(answers > 0, "nothing was accepted");
        let elapsed = (end.at - begin.at).as_secs_f64();
        Ok(Full {
            accepted_per_second: answers as f64 / elapsed,
            delivered_per_second: arrivals as f64 / elapsed,
            answer: halves(&mut journal.latencies(first, |_| true).to_answer),
            cpu: Cpu::between(begin, end, answers),
        })
    }

    /// So many events a second to one upstream that is well.
    pub async fn steady(&self, engine: Engine, rate: f64) -> anyhow::Result<Steady> {
        self.at_rate(engine, rate, &[Health::Well], |_| true).await
    }

    /// So many events a second to ten upstreams, of which some are dead. What is measured is those that never are.
    pub async fn beside_dead(&self, engine: Engine, rate: f64, dead: usize) -> anyhow::Result<Steady> {
        let health = |source: usize| match source {
            well if well < MAX_SOURCES - dead => Health::Well,
            odd if odd % 2 == 1 => Health::Refusing,
            _ => Health::Silent,
        };
        let upstreams: Vec<Health> = (0..MAX_SOURCES).map(health).collect();
        self.at_rate(engine, rate, &upstreams, |number| number % MAX_SOURCES < WATCHED).await
    }

    async fn at_rate(
        &self,
        engine: Engine,
        rate: f64,
        health: &[Health],
        watched: impl Fn(usize) -> bool,
    ) -> anyhow::Result<Steady> {
        let folder = tempfile::tempdir_in(self.folder())?;
        let place = Place::new(engine, folder.path(), &self.server).await?;
        let warm_up = (rate * WARM_UP.as_secs_f64()) as usize;
        let count = warm_up + (rate * self.seconds.as_secs_f64()) as usize;
        let journal = Arc::new(Journal::new(count));
        let mut upstreams = Vec::new();
        for health in health {
            upstreams.push(Upstream::start(*health, &journal).await?);
        }
        let urls: Vec<String> = upstreams.iter().map(Upstream::url).collect();
        let gateway = Gateway::start(folder.path(), &place.url(), place.process(), &urls)?;
        let load = load(&gateway, urls.len(), &journal);
        let running = load.steady(rate, count);
        sleep(WARM_UP).await;
        let begin = gateway.mark();
        sleep(self.seconds).await;
        let end = gateway.mark();
        let deliverable = (0..count).filter(|number| health[number % health.len()] == Health::Well).count();
        journal.wait_for(deliverable, LAST_ARRIVAL).await;
        drop(running);
        complain(&journal);
        let mut all = journal.latencies(warm_up, watched);
        if all.missing > 0 {
            eprintln!("error: {} events did not arrive", all.missing);
        }
        Ok(Steady {
            rate,
            answer: halves(&mut all.to_answer),
            arrival: halves(&mut all.to_arrival),
            answer_to_arrival: halves(&mut all.answer_to_arrival),
            cpu: Cpu::between(begin, end, count - warm_up),
        })
    }

    /// `count` events that wait when the gateway starts.
    pub async fn drain(&self, engine: Engine, count: usize) -> anyhow::Result<Drained> {
        let folder = tempfile::tempdir_in(self.folder())?;
        let idle = {
            let url = format!("sqlite:{}", folder.path().join("idle.db").display());
            let gateway = Gateway::start(folder.path(), &url, None, &["http://127.0.0.1:9/in".into()])?;
            sleep(WARM_UP / 2).await;
            gateway.rss()
        };
        let place = Place::new(engine, folder.path(), &self.server).await?;
        let journal = Arc::new(Journal::new(count));
        let upstream = Upstream::start(Health::Well, &journal).await?;
        let begin = Instant::now();
        place.fill(count, &upstream.url()).await.context("cannot fill the store")?;
        eprintln!("filled {} with {count} events in {:.1?}", engine.name(), begin.elapsed());
        let gateway = Gateway::start(folder.path(), &place.url(), place.process(), &[upstream.url()])?;
        let (begin, had) = (gateway.mark(), journal.arrivals());
        let within = LAST_ARRIVAL + Duration::from_secs_f64(count as f64 / SLOWEST);
        ensure!(journal.wait_for(count, within).await, "{} of {count} events were delivered", journal.arrivals());
        // What came of the last ones is written down.
        sleep(WARM_UP).await;
        let end = gateway.mark();
        complain(&journal);
        Ok(Drained {
            per_second: journal.arrival_rate((count / MEASURED_PART).max(MEASURED_LEAST)),
            cpu: Cpu::between(begin, end, count - had),
            rss: [idle, gateway.peak_rss(), gateway.rss()],
        })
    }
}

fn load(gateway: &Gateway, sources: usize, journal: &Arc<Journal>) -> Load {
    let (port, request, journal) = (gateway.port, Request::new(gateway.port), Arc::clone(journal));
    Load { port, request, sources, journal }
}

fn complain(journal: &Journal) {
    for fault in journal.faults() {
        eprintln!("error: {fault}");
    }
}

fn halves(times: &mut [Duration]) -> [f64; 2] {
    [quantile(times, 0.5), quantile(times, 0.99)]
}
