//! What the sender does: events told, delivered, and told beside endpoints that are dead.
//!
//! `cargo bench --bench sender` takes less than three minutes: one round of short measurements. For figures to rely on,
//! `-- --rounds 3 --seconds 10`.
//!
//! The real program on a real disk, with SQLite and with a PostgreSQL that flushes. Load and endpoints share one thread
//! of this process, and everything shares the machine: rates are those of a machine that does all of it at once. What
//! else runs on it moves them, so stores take turns within a round, and what counts is the median.

#[path = "deliveries/cost.rs"]
mod cost;
#[path = "deliveries/disk.rs"]
mod disk;
#[path = "deliveries/engine.rs"]
mod engine;
#[path = "sender/event.rs"]
mod event;
#[path = "deliveries/journal.rs"]
mod journal;
#[path = "deliveries/load.rs"]
mod load;
#[path = "against_nginx/process.rs"]
mod process;
#[path = "sender/program.rs"]
mod program;
#[path = "deliveries/services.rs"]
mod services;
#[path = "sender/stand.rs"]
mod stand;
#[path = "deliveries/table.rs"]
mod table;
#[path = "deliveries/upstream.rs"]
mod upstream;
#[path = "against_nginx/usage.rs"]
mod usage;
#[path = "against_nginx/wire.rs"]
mod wire;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use cost::Cpu;
use engine::Engine;
use event::{MAX_KINDS, Shape};
use program::Level;
use stand::{Audience, Drained, Full, Stand, Steady};
use table::Table;

/// Of ten endpoints, those that are dead.
const DEAD: [usize; 2] = [0, 1];

/// Measures what the sender does.
#[derive(Debug, Parser)]
struct Plan {
    /// How often each thing is measured
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Seconds that each measurement takes, after a warm-up
    #[arg(long, default_value = "2", value_parser = parse_seconds)]
    seconds: Duration,
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Part::value_variants().to_vec())]
    parts: Vec<Part>,
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Engine::ALL)]
    stores: Vec<Engine>,
    /// Endpoints among which some are dead
    #[arg(long, default_value_t = 1000, value_parser = parse_endpoints)]
    endpoints: usize,
    /// Events in the backlog
    #[arg(long, default_value_t = 10_000)]
    backlog: usize,
    /// Events a second where the rate is steady; half of what can be accepted and delivered if it is not given
    #[arg(long)]
    rate: Option<f64>,
    /// The folder that files are in meanwhile
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    folder: PathBuf,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Events as fast as they are accepted
    Publish,
    /// A backlog, and a steady rate: what a delivered event costs
    Deliver,
    /// A steady rate to many endpoints, some of them dead: how long an event takes to the others
    Dead,
    /// Events in batches of 100, as fast as they are accepted
    Batch,
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=600.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("not a number from 0.1 to 600".into()),
    }
}

fn parse_endpoints(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(endpoints) if (10..=MAX_KINDS).contains(&endpoints) && endpoints % 10 == 0 => Ok(endpoints),
        _ => Err(format!("not a multiple of 10 from 10 to {MAX_KINDS}")),
    }
}

impl Plan {
    fn has(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }

    /// The stores that are measured, the other way round in every second round: what goes first finds the machine in
    /// another state.
    fn stores_in_round(&self, round: u32) -> Vec<Engine> {
        let mut stores = self.stores.clone();
        if round % 2 == 1 {
            stores.reverse();
        }
        stores
    }
}

fn main() -> ExitCode {
    let plan = Plan::parse();
    if !plan.bench {
        eprintln!("Nothing is measured without --bench, which `cargo bench` gives");
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(measure(&plan))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(plan: &Plan) -> anyhow::Result<()> {
    let stand = Stand::new(&plan.folder, plan.seconds)?;
    let flush = disk::flush_time(stand.folder())?;
    let mut tables = Tables::new();
    for round in 0..plan.rounds {
        eprintln!("round {}/{}", round + 1, plan.rounds);
        for engine in plan.stores_in_round(round) {
            tables.measure(plan, &stand, engine).await?;
        }
    }
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mut text = format!("{cores} cores; 4 KiB are on the disk after {:.0} us, median\n", flush.as_secs_f64() * 1e6);
    text += &tables.render();
    // A reader that has gone away is no failure of ours.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(())
}

/// All that was measured.
struct Tables {
    publish: Table,
    backlog: Table,
    steady: Table,
    dead: Table,
    batch: Table,
}

impl Tables {
    fn new() -> Self {
        Self {
            publish: Table::new("64 connections, 1 KiB, as fast as it is accepted", FULL),
            backlog: Table::new("A backlog for one endpoint when the sender starts", BACKLOG),
            steady: Table::new("A steady rate, all delivered to one endpoint", STEADY),
            dead: Table::new("A steady rate to many endpoints; times are those of nine in ten that are well", STEADY),
            batch: Table::new("64 connections, batches of 100, as fast as they are accepted", FULL),
        }
    }

    async fn measure(&mut self, plan: &Plan, stand: &Stand, engine: Engine) -> anyhow::Result<()> {
        let name = engine.name();
        let nobody = stand.full(engine, Audience::Nobody, Shape::One, Level::Info).await?;
        note_full(&mut self.publish, format!("{name}, nobody asked"), &nobody);
        if plan.has(Part::Publish) {
            for (shape, word) in [(Shape::One, "one endpoint"), (Shape::OneWithId, "one endpoint, own ids")] {
                let full = stand.full(engine, Audience::One, shape, Level::Info).await?;
                note_full(&mut self.publish, format!("{name}, {word}"), &full);
            }
        }
        if plan.has(Part::Deliver) || plan.has(Part::Dead) {
            let drained = stand.drain(engine, plan.backlog, Level::Info).await?;
            note_drained(&mut self.backlog, format!("{name}, log info"), &drained);
            // An event is accepted and delivered: half of what is left for one where both take their time.
            let both = 1.0 / (1.0 / nobody.accepted_per_second + 1.0 / drained.per_second);
            self.at_rate(plan, stand, engine, plan.rate.unwrap_or(both / 2.0)).await?;
        }
        if plan.has(Part::Batch) {
            for (audience, word) in [(Audience::Nobody, "nobody asked"), (Audience::One, "one endpoint")] {
                let full = stand.full(engine, audience, Shape::Batch, Level::Info).await?;
                note_full(&mut self.batch, format!("{name}, {word}"), &full);
            }
        }
        Ok(())
    }

    async fn at_rate(&mut self, plan: &Plan, stand: &Stand, engine: Engine, rate: f64) -> anyhow::Result<()> {
        let name = engine.name();
        if plan.has(Part::Deliver) {
            let drained = stand.drain(engine, plan.backlog, Level::Warn).await?;
            note_drained(&mut self.backlog, format!("{name}, log warn"), &drained);
            for (shape, level, word) in [
                (Shape::One, Level::Info, "log info"),
                (Shape::One, Level::Warn, "log warn"),
                (Shape::OneWithId, Level::Info, "log info, own ids"),
            ] {
                let steady = stand.steady(engine, Audience::One, shape, level, rate).await?;
                note_steady(&mut self.steady, format!("{name}, {word}"), &steady);
            }
        }
        for dead in DEAD.into_iter().filter(|_| plan.has(Part::Dead)) {
            let crowd = Audience::Crowd { endpoints: plan.endpoints, dead };
            let steady = stand.steady(engine, crowd, Shape::OneWithId, Level::Info, rate).await?;
            note_steady(&mut self.dead, dying(engine, dead), &steady);
        }
        Ok(())
    }

    fn render(&self) -> String {
        let tables = [&self.publish, &self.backlog, &self.steady, &self.dead, &self.batch];
        let mut text: String = tables.into_iter().map(Table::render).collect();
        for engine in Engine::ALL {
            let median = |dead, column| self.dead.median(&dying(engine, dead), column);
            let [none, some] = DEAD;
            for (word, column) in [("p50", ARRIVAL), ("p99", ARRIVAL + 1)] {
                if let (Some(alone), Some(beside)) = (median(none, column), median(some, column)) {
                    let (name, ratio) = (engine.name(), beside / alone);
                    text += &format!("\n{name}: beside the dead {ratio:.2} times the {word} of arrival\n");
                }
            }
        }
        text
    }
}

const FULL: &[table::Column] = &[
    ("accepted/s", 0),
    ("delivered/s", 0),
    ("answer p50 ms", 2),
    ("p99 ms", 2),
    ("CPU us/accepted", 1),
    ("PostgreSQL's", 1),
    ("together", 1),
];

const BACKLOG: &[table::Column] = &[
    ("delivered/s", 0),
    ("CPU us/delivered", 1),
    ("PostgreSQL's", 1),
    ("together", 1),
    ("RSS peak MiB", 1),
    ("after MiB", 1),
];

/// Times are from the sending of a request; the last ones from its answer.
const STEADY: &[table::Column] = &[
    ("events/s", 0),
    ("answer p50 ms", 2),
    ("p99 ms", 2),
    ("arrival p50 ms", 2),
    ("p99 ms", 2),
    ("answer to arrival p50 ms", 2),
    ("p99 ms", 2),
    ("CPU us/event", 1),
    ("PostgreSQL's", 1),
    ("together", 1),
];

/// Where in it the median of arrivals stands, and after it the 99th percentile.
const ARRIVAL: usize = 3;

fn note_full(table: &mut Table, name: String, full: &Full) {
    let Full { accepted_per_second, delivered_per_second, answer, cpu } = *full;
    table.add(name, [&[accepted_per_second, delivered_per_second][..], &answer, &columns(cpu)].concat());
}

fn note_drained(table: &mut Table, name: String, drained: &Drained) {
    let Drained { per_second, cpu, rss } = *drained;
    let rss = rss.map(|bytes| bytes as f64 / f64::from(1 << 20));
    table.add(name, [&[per_second][..], &columns(cpu), &rss].concat());
}

fn note_steady(table: &mut Table, name: String, steady: &Steady) {
    let Steady { rate, answer, arrival, answer_to_arrival, cpu } = *steady;
    table.add(name, [&[rate][..], &answer, &arrival, &answer_to_arrival, &columns(cpu)].concat());
}

/// The program's, the server's and the sum.
fn columns(Cpu { program, server }: Cpu) -> [f64; 3] {
    [program, server, if server.is_nan() { program } else { program + server }]
}

fn dying(engine: Engine, dead: usize) -> String {
    format!("{}, {} % dead", engine.name(), dead * 10)
}
