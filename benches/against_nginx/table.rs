//! What was measured, as a table.

use std::fmt::{self, Write};
use std::time::Duration;

use crate::Scenario;
use crate::peer::Peer;

/// One peer in one scenario of one round.
pub struct Run {
    pub round: u32,
    pub scenario: Scenario,
    pub peer: Peer,
    /// For each request.
    pub cpu: Duration,
    pub requests_per_second: f64,
    /// In bytes.
    pub peak_rss: u64,
    /// What should not have happened.
    pub faults: Vec<String>,
}

/// Hookward before anything has reached it.
pub struct Idle {
    pub peer: Peer,
    /// In bytes.
    pub rss: u64,
    pub start_up: Duration,
}

impl Run {
    /// How much of its core the proxy had in use. Where that is far from 1, it was the load that was slow.
    fn busy(&self) -> f64 {
        self.cpu.as_secs_f64() * self.requests_per_second
    }

    /// Times the CPU time of nginx in the same scenario of the same round.
    fn times_nginx(&self, runs: &[Self]) -> Option<f64> {
        let same = |run: &&Self| run.peer == Peer::Nginx && run.round == self.round && run.scenario == self.scenario;
        runs.iter().find(same).map(|nginx| self.cpu.as_secs_f64() / nginx.cpu.as_secs_f64())
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scenario, peer) = (self.scenario.name(), self.peer.name());
        write!(f, "{scenario:6} {peer:17} {:7.2} us {:7.0}/s", microseconds(self.cpu), self.requests_per_second)?;
        self.faults.iter().try_for_each(|fault| write!(f, "\nerror: {peer}: {fault}"))
    }
}

/// The whole report, in Markdown. `binary` is in bytes.
pub fn render(scenarios: &[Scenario], runs: &[Run], idle: &[Idle], binary: u64) -> String {
    let mut text = String::from(
        "| scenario | peer | CPU us/request, median | x nginx, median [min, max] | requests/s, best | core in use, median \
         | peak RSS MiB |\n|---|---|---|---|---|---|---|\n",
    );
    for &scenario in scenarios {
        for peer in Peer::ALL {
            let of_both: Vec<&Run> = runs.iter().filter(|run| run.scenario == scenario && run.peer == peer).collect();
            text += &row(&of_both, runs);
        }
    }
    text.push('\n');
    // A String takes every character.
    for Idle { peer, rss, start_up } in idle {
        let (peer, rss, start_up) = (peer.name(), mebibytes(*rss), microseconds(*start_up) / 1e3);
        let _ = writeln!(text, "{peer} idle: {rss:.1} MiB resident; start to first answer: {start_up:.1} ms");
    }
    let _ = writeln!(text, "binary: {:.1} MiB", mebibytes(binary));
    text
}

/// One peer in one scenario, over all rounds.
fn row(of_both: &[&Run], runs: &[Run]) -> String {
    let all = |of: &dyn Fn(&Run) -> f64| sorted(of_both.iter().map(|run| of(run)));
    let cpu = all(&|run| microseconds(run.cpu));
    let ratios = all(&|run| run.times_nginx(runs).unwrap_or(f64::NAN));
    let rates = all(&|run| run.requests_per_second);
    let busy = all(&Run::busy);
    let peaks = all(&|run| mebibytes(run.peak_rss));
    format!(
        "| {} | {} | {:.1} | {:.2} [{:.2}, {:.2}] | {:.0} | {:.0} % | {:.1} |\n",
        of_both[0].scenario.name(),
        of_both[0].peer.name(),
        median(&cpu),
        median(&ratios),
        ratios[0],
        ratios[ratios.len() - 1],
        rates[rates.len() - 1],
        100.0 * median(&busy),
        peaks[peaks.len() - 1],
    )
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// Of sorted values, at least one.
fn median(values: &[f64]) -> f64 {
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
