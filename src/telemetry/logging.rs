//! Log lines on standard output: JSON, or for people where it is a terminal.

use std::io::{self, IsTerminal, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::{Level, Metadata, warn};
use tracing_subscriber::fmt::MakeWriter;

/// A line waits no longer than this before it is written.
const WRITE_EVERY: Duration = Duration::from_millis(50);

/// More than this is written at once.
const WRITE_ABOVE: usize = 32 * 1024;

/// Lines beyond this are dropped: whoever reads the log has stopped reading, and webhooks go on.
const MOST_WAITING: usize = 1 << 20;

/// The end of the program waits no longer than this for its last lines.
const LAST_WORDS: Duration = Duration::from_secs(1);

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
///
/// # Errors
/// If the thread that writes the lines cannot be started.
pub fn start(level: Level, format: Format) -> io::Result<()> {
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
        std::thread::Builder::new().name("log".into()).spawn(write_for_ever)?;
    }
    Ok(())
}

/// Waits until what was logged so far is written, for a second at most. Called before the process ends.
pub fn flush() {
    let mut buffer = lock();
    buffer.urgent = true;
    SOMETHING.notify_all();
    let written = |buffer: &mut Buffer| !buffer.waiting.is_empty() || buffer.writing;
    // Whoever does not read the log does not hold up the end.
    drop(WRITTEN.wait_timeout_while(buffer, LAST_WORDS, written));
}

/// Lines on their way. Only the thread of the log writes, and never under the lock: a log that nobody reads must not
/// hold up a webhook.
#[derive(Debug)]
struct Buffer {
    waiting: Vec<u8>,
    /// True while the thread writes what it took.
    writing: bool,
    /// True if the thread should not wait for more.
    urgent: bool,
    dropped: u64,
}

static BUFFER: Mutex<Buffer> = Mutex::new(Buffer { waiting: Vec::new(), writing: false, urgent: false, dropped: 0 });
static SOMETHING: Condvar = Condvar::new();
static WRITTEN: Condvar = Condvar::new();

fn lock() -> MutexGuard<'static, Buffer> {
    BUFFER.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write_for_ever() {
    let mut lines = Vec::new();
    loop {
        let waited = SOMETHING.wait_timeout_while(lock(), WRITE_EVERY, |buffer| !buffer.urgent);
        let (mut buffer, _) = waited.unwrap_or_else(PoisonError::into_inner);
        buffer.urgent = false;
        lines.clear();
        std::mem::swap(&mut lines, &mut buffer.waiting);
        let dropped = std::mem::take(&mut buffer.dropped);
        buffer.writing = true;
        drop(buffer);
        if !lines.is_empty() {
            // Nobody can be told that the log cannot be written.
            let _ = io::stdout().write_all(&lines);
            let _ = io::stdout().flush();
        }
        lock().writing = false;
        WRITTEN.notify_all();
        if dropped > 0 {
            warn!(lines = dropped, "Log lines were dropped, they are not read fast enough");
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
        let mut buffer = lock();
        if buffer.waiting.len() + line.len() > MOST_WAITING {
            buffer.dropped += 1;
            return Ok(line.len());
        }
        buffer.waiting.extend_from_slice(line);
        if self.urgent || buffer.waiting.len() > WRITE_ABOVE {
            buffer.urgent = true;
            SOMETHING.notify_all();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
