//! Log lines on standard output: JSON, or for people where it is a terminal.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// A line waits no longer than this before it is written.
const FLUSH_EVERY: Duration = Duration::from_millis(50);

/// More than this is written at once.
const FLUSH_ABOVE: usize = 32 * 1024;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people on a terminal, else JSON.
    Auto,
    Human,
    Json,
}

impl Format {
    /// The words of the configuration.
    pub const WORDS: [(&'static str, Self); 3] = [("auto", Self::Auto), ("human", Self::Human), ("json", Self::Json)];
}

/// The words for the least severe line that is written.
pub const LEVELS: [(&str, Level); 4] =
    [("error", Level::ERROR), ("warn", Level::WARN), ("info", Level::INFO), ("debug", Level::DEBUG)];

/// Starts logging for the rest of the process. Calling it again changes nothing.
pub fn start(level: Level, format: Format) {
    let human = match format {
        Format::Auto => io::stdout().is_terminal(),
        Format::Human => true,
        Format::Json => false,
    };
    let builder = tracing_subscriber::fmt().with_max_level(level).with_target(false).with_writer(Lines);
    let started = if human {
        builder.with_ansi(io::stdout().is_terminal()).compact().try_init()
    } else {
        builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
    };
    if started.is_ok() {
        let flusher = std::thread::Builder::new().name("log".into()).spawn(|| {
            loop {
                std::thread::sleep(FLUSH_EVERY);
                flush();
            }
        });
        if flusher.is_err() {
            // Without its thread each line is written at once.
            BUFFER.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner).unbuffered = true;
        }
    }
}

/// Writes what waits. Called before the process ends.
pub fn flush() {
    BUFFER.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner).flush();
}

static BUFFER: OnceLock<Mutex<Buffer>> = OnceLock::new();

#[derive(Debug, Default)]
struct Buffer {
    waiting: Vec<u8>,
    unbuffered: bool,
}

impl Buffer {
    fn flush(&mut self) {
        if !self.waiting.is_empty() {
            // Nobody can be told that the log cannot be written.
            let _ = io::stdout().write_all(&self.waiting);
            let _ = io::stdout().flush();
            self.waiting.clear();
        }
    }
}

/// Gathers lines, so that a busy gateway does not make a system call for each.
struct Lines;

/// One line on its way: warnings and errors are written at once.
struct Line {
    urgent: bool,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { urgent: false }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Line {
        Line { urgent: *meta.level() <= Level::WARN }
    }
}

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut buffer = BUFFER.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
        buffer.waiting.extend_from_slice(line);
        if self.urgent || buffer.unbuffered || buffer.waiting.len() > FLUSH_ABOVE {
            buffer.flush();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
