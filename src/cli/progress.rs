//! How far a long command has come, on standard error.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// In place on a terminal, so often.
const ON_TERMINAL: Duration = Duration::from_millis(100);
/// In lines of a log, so often.
const IN_LINES: Duration = Duration::from_secs(3);

/// What is told while it goes on.
#[derive(Debug)]
pub struct Progress {
    what: &'static str,
    total: Option<usize>,
    in_place: bool,
    said: Instant,
    /// True while there is something on the line that the next words replace.
    dirty: bool,
}

impl Progress {
    /// Of `total`, where that is known.
    pub fn new(what: &'static str, total: Option<usize>) -> Self {
        Self { what, total, in_place: std::io::stderr().is_terminal(), said: Instant::now(), dirty: false }
    }

    /// So many so far.
    pub fn show(&mut self, count: usize) {
        if let Some(text) = self.text(count, Instant::now()) {
            let _ = std::io::stderr().write_all(text.as_bytes());
        }
    }

    /// What there is to say of `count` at `now`; `None` if it was said only just.
    fn text(&mut self, count: usize, now: Instant) -> Option<String> {
        let every = if self.in_place { ON_TERMINAL } else { IN_LINES };
        if now.duration_since(self.said) < every {
            return None;
        }
        self.said = now;
        self.dirty = self.in_place;
        let of = self.total.map(|total| format!(" of {total}")).unwrap_or_default();
        let (begin, end) = if self.in_place { ("\r", "") } else { ("", "\n") };
        Some(format!("{begin}{}: {count}{of}{end}", self.what))
    }

    /// Makes room for what is said next.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.dirty) {
            eprint!("\r\u{1b}[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(in_place: bool, total: Option<usize>) -> Progress {
        Progress { what: "Retried", total, in_place, said: Instant::now(), dirty: false }
    }

    #[test]
    fn lines_come_every_few_seconds() {
        let mut progress = progress(false, None);
        let begun = progress.said;
        assert_eq!(progress.text(10, begun + IN_LINES - Duration::from_millis(1)), None);
        assert_eq!(progress.text(10, begun + IN_LINES), Some("Retried: 10\n".into()));
        assert_eq!(progress.text(11, begun + IN_LINES), None);
        assert_eq!(progress.text(20, begun + 2 * IN_LINES), Some("Retried: 20\n".into()));
    }

    #[test]
    fn on_a_terminal_a_line_is_written_over() {
        let mut progress = progress(true, Some(40));
        let begun = progress.said;
        assert_eq!(progress.text(10, begun + ON_TERMINAL), Some("\rRetried: 10 of 40".into()));
        assert!(progress.dirty);
        progress.dirty = false;
    }
}
