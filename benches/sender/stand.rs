//! The measurements, each on a store and a sender of its own.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::cost::Cpu;
use crate::engine::{Engine, Place};
use crate::event::{BATCH, Request, Shape, kind};
use crate::journal::{Journal, quantile};
use crate::load::Load;
use crate::program::{Level, Program};
use crate::services::postgres::Postgres;
use crate::upstream::{Health, Upstream};

/// Not measured: connections are opened, caches and pools fill.
const WARM_UP: Duration = Duration::from_secs(1);

/// What is left after the last event was sent takes no longer, or is missing.
const LAST_ARRIVAL: Duration = Duration::from_secs(10);

/// No sender here does more in a second.
const FASTEST: f64 = 100_000.0;

/// A drain that is slower than this is given up.
const SLOWEST: f64 = 100.0;

/// The rate of a drain is taken over this part of what waits: what is left at the end is another matter.
const MEASURED: f64 = 0.8;

/// Of every ten endpoints, those whose latency is taken: they are well, whoever else is dead.
const WATCHED: usize = 9;

/// What all measurements share.
pub struct Stand {
    folder: TempDir,
    server: Postgres,
    seconds: Duration,
}

/// What came of 64 connections that send as fast as they are answered.
pub struct Full {
    pub accepted_per_second: f64,
    /// NaN where nobody asked for anything.
    pub delivered_per_second: f64,
    /// Medians and 99th percentiles, in milliseconds.
    pub answer: [f64; 2],
    pub cpu: Cpu,
}

/// What came of a steady rate. Medians and 99th percentiles, in milliseconds.
pub struct Steady {
    pub rate: f64,
    pub answer: [f64; 2],
    /// NaN where events have no ids of their own.
    pub arrival: [f64; 2],
    pub answer_to_arrival: [f64; 2],
    pub cpu: Cpu,
}

/// What came of a backlog.
pub struct Drained {
    pub per_second: f64,
    pub cpu: Cpu,
    /// The largest, and at the end: in bytes.
    pub rss: [u64; 2],
}

/// Who is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    Nobody,
    /// One endpoint, which wants everything.
    One,
    /// So many, each with a type of its own. Of every ten so many are dead: those that listen and never answer, and
    /// those whose port is closed, by turns.
    Crowd {
        endpoints: usize,
        dead: usize,
    },
}

impl Audience {
    fn kinds(self) -> usize {
        match self {
            Self::Nobody | Self::One => 1,
            Self::Crowd { endpoints, .. } => endpoints,
        }
    }

    /// How the one is that an event goes to.
    fn health(self, number: usize) -> Health {
        let Self::Crowd { endpoints, dead } = self else { return Health::Well };
        let (row, place) = (number % endpoints / 10, number % endpoints % 10);
        match (place < 10 - dead, (row + place) % 2) {
            (true, _) => Health::Well,
            (false, 0) => Health::Silent,
            (false, _) => Health::Refusing,
        }
    }

    fn is_watched(self, number: usize) -> bool {
        matches!(self, Self::One) || number % self.kinds() % 10 < WATCHED
    }
}

/// A sender with its endpoints.
struct Scene {
    program: Program,
    journal: Arc<Journal>,
    _endpoints: [Upstream; 3],
    _folder: TempDir,
}

impl Stand {
    /// Everything is in a new folder within `folder`, but PostgreSQL, which is where the tests have it.
    pub fn new(folder: &Path, seconds: Duration) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("hookward-sender-").tempdir_in(folder)?;
        Ok(Self { folder, server: Postgres::start(), seconds })
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Events as fast as they are accepted.
    pub async fn full(&self, engine: Engine, audience: Audience, shape: Shape, level: Level) -> anyhow::Result<Full> {
        let events = (self.seconds + WARM_UP).as_secs_f64() * FASTEST;
        let scene = self.set(engine, audience, level, events as usize).await?;
        let Scene { program, journal, .. } = &scene;
        let running = scene.load(audience, shape).closed();
        sleep(WARM_UP).await;
        let (begin, first, had) = (program.mark(), journal.answers(), journal.arrivals());
        sleep(self.seconds).await;
        let (end, answers, arrivals) = (program.mark(), journal.answers() - first, journal.arrivals() - had);
        drop(running);
        complain(journal);
        ensure!(answers > 0, "nothing was accepted");
        let accepted = if shape == Shape::Batch { answers * BATCH } else { answers };
        let elapsed = (end.at - begin.at).as_secs_f64();
        let delivered_per_second = if audience == Audience::Nobody { f64::NAN } else { arrivals as f64 / elapsed };
        Ok(Full {
            accepted_per_second: accepted as f64 / elapsed,
            delivered_per_second,
            answer: halves(&mut journal.latencies(first, |_| true).to_answer),
            cpu: Cpu::between(begin, end, accepted),
        })
    }

    /// So many events a second.
    pub async fn steady(
        &self,
        engine: Engine,
        audience: Audience,
        shape: Shape,
        level: Level,
        rate: f64,
    ) -> anyhow::Result<Steady> {
        // Everybody has had something before it counts.
        let warm_up = WARM_UP.max(Duration::from_secs_f64(audience.kinds() as f64 / rate));
        let first = (rate * warm_up.as_secs_f64()) as usize;
        let count = first + (rate * self.seconds.as_secs_f64()) as usize;
        let scene = self.set(engine, audience, level, count).await?;
        let Scene { program, journal, .. } = &scene;
        let running = scene.load(audience, shape).steady(rate, count);
        sleep(warm_up).await;
        let begin = program.mark();
        sleep(self.seconds).await;
        let end = program.mark();
        let deliverable = (0..count).filter(|number| audience.health(*number) == Health::Well).count();
        if !journal.wait_for(deliverable, LAST_ARRIVAL).await {
            eprintln!("error: {} of {deliverable} events arrived", journal.arrivals());
        }
        drop(running);
        complain(journal);
        let mut all = journal.latencies(first, |number| audience.is_watched(number));
        Ok(Steady {
            rate,
            answer: halves(&mut all.to_answer),
            arrival: halves(&mut all.to_arrival),
            answer_to_arrival: halves(&mut all.answer_to_arrival),
            cpu: Cpu::between(begin, end, count - first),
        })
    }

    /// `count` events for one endpoint that wait when the sender starts.
    pub async fn drain(&self, engine: Engine, count: usize, level: Level) -> anyhow::Result<Drained> {
        let folder = tempfile::tempdir_in(self.folder())?;
        let place = Place::new(engine, folder.path(), &self.server).await?;
        let start = || Program::start(folder.path(), &place.url(), place.process(), level);
        let journal = Arc::new(Journal::new(count));
        let endpoint = Upstream::start(Health::Well, &journal).await?;
        let id = start()?.register(&endpoint.url(), None).await?;
        place.fill(count, &id).await.context("cannot fill the store")?;
        let program = start()?;
        let (begin, had) = (program.mark(), journal.arrivals());
        let within = LAST_ARRIVAL + Duration::from_secs_f64(count as f64 / SLOWEST);
        ensure!(journal.wait_for(count, within).await, "{} of {count} events were delivered", journal.arrivals());
        // What came of the last ones is written down.
        sleep(WARM_UP).await;
        let end = program.mark();
        complain(&journal);
        Ok(Drained {
            per_second: journal.arrival_rate((count as f64 * MEASURED) as usize),
            cpu: Cpu::between(begin, end, count - had),
            rss: [program.peak_rss(), program.rss()],
        })
    }

    /// A new sender that tells `audience`.
    async fn set(&self, engine: Engine, audience: Audience, level: Level, events: usize) -> anyhow::Result<Scene> {
        let folder = tempfile::tempdir_in(self.folder())?;
        let place = Place::new(engine, folder.path(), &self.server).await?;
        let journal = Arc::new(Journal::new(events));
        let program = Program::start(folder.path(), &place.url(), place.process(), level)?;
        let [well, refusing, silent] = [Health::Well, Health::Refusing, Health::Silent];
        let endpoints = [
            Upstream::start(well, &journal).await?,
            Upstream::start(refusing, &journal).await?,
            Upstream::start(silent, &journal).await?,
        ];
        match audience {
            Audience::Nobody => {}
            Audience::One => drop(program.register(&endpoints[0].url(), None).await?),
            Audience::Crowd { endpoints: count, .. } => {
                let begin = Instant::now();
                for number in 0..count {
                    let url = match audience.health(number) {
                        Health::Well => endpoints[0].url(),
                        Health::Refusing => endpoints[1].url(),
                        Health::Silent => endpoints[2].url(),
                    };
                    program.register(&url, Some(kind(number))).await?;
                }
                eprintln!("registered {count} endpoints in {:.1?}", begin.elapsed());
            }
        }
        Ok(Scene { program, journal, _endpoints: endpoints, _folder: folder })
    }
}

impl Scene {
    fn load(&self, audience: Audience, shape: Shape) -> Load {
        let port = self.program.port;
        let (request, journal) = (Request::new(port, shape), Arc::clone(&self.journal));
        Load { port, request, sources: audience.kinds(), journal }
    }
}

fn complain(journal: &Journal) {
    for fault in journal.faults() {
        eprintln!("error: {fault}");
    }
}

fn halves(times: &mut [Duration]) -> [f64; 2] {
    [quantile(times, 0.5), quantile(times, 0.99)]
}
