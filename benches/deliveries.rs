//! What mode = "store" does: events accepted, delivered, waiting, remembered.
//!
//! `cargo bench --bench deliveries -- --rounds 1 --seconds 2 --parts full,steady,dead,backlog,ids` takes two minutes.
//! With `--full` there are three rounds of longer measurements and larger backlogs, which take most of an hour.
//!
//! The real program on a real disk, with SQLite and with a PostgreSQL that flushes. Load and upstream share one thread
//! of this process, and everything shares the machine: rates are those of a machine that does all of it at once. What
//! else runs on it moves them, so stores take turns within a round, and what counts is the median.

#[path = "deliveries/cost.rs"]
mod cost;
#[path = "deliveries/disk.rs"]
mod disk;
#[path = "deliveries/engine.rs"]
mod engine;
#[path = "deliveries/event.rs"]
mod event;
#[path = "deliveries/gateway.rs"]
mod gateway;
#[path = "deliveries/ids.rs"]
mod ids;
#[path = "deliveries/journal.rs"]
mod journal;
#[path = "deliveries/load.rs"]
mod load;
#[path = "against_nginx/process.rs"]
mod process;
#[path = "deliveries/services.rs"]
mod services;
#[path = "deliveries/stand.rs"]
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

use clap::{Args, Parser, Subcommand, ValueEnum};

use cost::Cpu;
use engine::Engine;
use ids::Place;
use stand::{Drained, Full, Stand, Steady};
use table::Table;
use upstream::Health;

/// The two lengths of a backlog whose rates are compared.
const SHORT: usize = 1000;
const LONG: usize = 100_000;
const LONGEST: usize = 1_000_000;

/// How many ids are remembered.
const IDS: usize = 100_000;
const MOST_IDS: usize = 1_000_000;

/// Destinations that are dead, of ten.
const DEAD: [usize; 2] = [0, 5];

/// Measures what mode = "store" does.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    plan: Plan,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

/// What the program is when it has started itself.
#[derive(Debug, Subcommand)]
enum Role {
    #[command(hide = true)]
    Remember { count: usize },
}

#[derive(Debug, Args)]
struct Plan {
    /// How often each thing is measured; 1, or 3 with --full
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// Seconds that each measurement takes, after a warm-up; 2, or 20 with --full
    #[arg(long, value_parser = parse_seconds)]
    seconds: Option<Duration>,
    /// Events a second where the rate is steady; half of what is delivered under full load if it is not given
    #[arg(long)]
    rate: Option<f64>,
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Part::value_variants().to_vec())]
    parts: Vec<Part>,
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Engine::ALL)]
    stores: Vec<Engine>,
    /// Events in the long backlog; 100000, or 1000000 with --full
    #[arg(long)]
    backlog: Option<usize>,
    /// Ids that are remembered; 100000, or 1000000 with --full
    #[arg(long)]
    ids: Option<usize>,
    /// The folder that files are in meanwhile
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    folder: PathBuf,
    /// Measures for longer, and more of it
    #[arg(long)]
    full: bool,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Events as fast as they are accepted, with deliveries and without
    Full,
    /// A steady rate: how long an event takes to the upstream
    Steady,
    /// The same with ten destinations, some of them dead
    Dead,
    /// How fast what waits is delivered, when little waits and when much does
    Backlog,
    /// Bytes for each remembered id
    Ids,
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=600.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("not a number from 0.1 to 600".into()),
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
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.map_err(anyhow::Error::from).and_then(|runtime| match cli.role {
        Some(Role::Remember { count }) => runtime.block_on(ids::remember(count)),
        None if !cli.bench => {
            eprintln!("Nothing is measured without --bench, which `cargo bench` gives");
            Ok(())
        }
        None => runtime.block_on(measure(&cli.plan)),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(plan: &Plan) -> anyhow::Result<()> {
    let long = if plan.full { LONGEST } else { LONG };
    let long = plan.backlog.unwrap_or(long);
    let seconds = plan.seconds.unwrap_or(Duration::from_secs(if plan.full { 20 } else { 2 }));
    let rounds = plan.rounds.unwrap_or(if plan.full { 3 } else { 1 });
    let stand = Stand::new(&plan.folder, seconds)?;
    let flush = disk::flush_time(stand.folder())?;
    let mut tables = Tables::new();
    for round in 0..rounds {
        eprintln!("round {}/{rounds}", round + 1);
        for engine in plan.stores_in_round(round) {
            tables.under_load(plan, &stand, engine).await?;
        }
        for engine in plan.stores_in_round(round).into_iter().filter(|_| plan.has(Part::Backlog)) {
            for count in [SHORT, long] {
                tables.note_drained(engine, count, &stand.drain(engine, count).await?);
            }
        }
    }
    if plan.has(Part::Ids) {
        let count = plan.ids.unwrap_or(if plan.full { MOST_IDS } else { IDS });
        for place in Place::ALL {
            let bytes = place.bytes_per_id(count, stand.folder(), stand.server()).await?;
            tables.ids.add(format!("{}, {count} ids", place.name()), vec![bytes]);
        }
    }
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mut text = format!("{cores} cores; 4 KiB are on the disk after {:.0} us, median\n", flush.as_secs_f64() * 1e6);
    text += &tables.render(long);
    // A reader that has gone away is no failure of ours.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(())
}

/// All that was measured.
struct Tables {
    full: Table,
    steady: Table,
    dead: Table,
    backlog: Table,
    ids: Table,
}

impl Tables {
    fn new() -> Self {
        Self {
            full: Table::new(
                "64 connections, 1 KiB, as fast as it is accepted",
                &[
                    ("accepted/s", 0),
                    ("delivered/s", 0),
                    ("answer p50 ms", 2),
                    ("p99 ms", 2),
                    ("CPU us/accepted", 1),
                    ("PostgreSQL's", 1),
                ],
            ),
            steady: Table::new("A steady rate, all delivered", STEADY),
            dead: Table::new("Ten destinations, those of which five are always well", STEADY),
            backlog: Table::new(
                "A backlog when the gateway starts",
                &[
                    ("delivered/s at first", 0),
                    ("CPU us/delivered", 1),
                    ("PostgreSQL's", 1),
                    ("RSS idle MiB", 1),
                    ("peak MiB", 1),
                    ("after MiB", 1),
                ],
            ),
            ids: Table::new("Remembered ids", &[("bytes/id", 1)]),
        }
    }

    /// Everything for which events are sent, since the steady rate hangs on the full one.
    async fn under_load(&mut self, plan: &Plan, stand: &Stand, engine: Engine) -> anyhow::Result<()> {
        let name = engine.name();
        if plan.has(Part::Full) {
            self.note_full(format!("{name}, nothing delivered"), &stand.full(engine, Health::Refusing).await?);
        }
        let steady = plan.has(Part::Steady) || plan.has(Part::Dead);
        let mut rate = plan.rate;
        if plan.has(Part::Full) || (steady && rate.is_none()) {
            let full = stand.full(engine, Health::Well).await?;
            rate = rate.or(Some(full.accepted_per_second.min(full.delivered_per_second) / 2.0));
            self.note_full(format!("{name}, delivering"), &full);
        }
        let Some(rate) = rate.filter(|_| steady) else { return Ok(()) };
        if plan.has(Part::Steady) {
            note_steady(&mut self.steady, name.into(), &stand.steady(engine, rate).await?);
        }
        if plan.has(Part::Dead) {
            for dead in DEAD {
                let steady = stand.beside_dead(engine, rate, dead).await?;
                note_steady(&mut self.dead, format!("{name}, {dead} dead"), &steady);
            }
        }
        Ok(())
    }

    fn note_full(&mut self, name: String, full: &Full) {
        let Full { accepted_per_second, delivered_per_second, answer: [p50, p99], cpu } = *full;
        let Cpu { program, server } = cpu;
        self.full.add(name, vec![accepted_per_second, delivered_per_second, p50, p99, program, server]);
    }

    fn note_drained(&mut self, engine: Engine, count: usize, drained: &Drained) {
        let Drained { per_second, cpu: Cpu { program, server }, rss } = *drained;
        let [idle, peak, after] = rss.map(|bytes| bytes as f64 / f64::from(1 << 20));
        self.backlog.add(waiting(engine, count), vec![per_second, program, server, idle, peak, after]);
    }

    fn render(&self, long: usize) -> String {
        let tables = [&self.full, &self.steady, &self.dead, &self.backlog, &self.ids];
        let mut text: String = tables.into_iter().map(Table::render).collect();
        for engine in Engine::ALL {
            let rate = |count| self.backlog.median(&waiting(engine, count), 0);
            if let (Some(short), Some(long_rate)) = (rate(SHORT), rate(long)) {
                let (name, ratio) = (engine.name(), long_rate / short);
                text += &format!("\n{name}: with {long} waiting {ratio:.2} times the rate that it has with {SHORT}\n");
            }
        }
        text
    }
}

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
];

fn note_steady(table: &mut Table, name: String, steady: &Steady) {
    let Steady { rate, answer, arrival, answer_to_arrival, cpu: Cpu { program, server } } = *steady;
    table.add(name, [&[rate][..], &answer, &arrival, &answer_to_arrival, &[program, server]].concat());
}

fn waiting(engine: Engine, count: usize) -> String {
    format!("{}, {count} waiting", engine.name())
}
