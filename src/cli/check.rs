//! `hookward check`: everything wrong with a file, and what to know about each source.

use std::path::PathBuf;

use super::origin::{Shown, load_file};
use super::print;

/// Prints what there is to say. 0 if the file is good, 78 if it is not.
pub fn run(path: Option<PathBuf>) -> u8 {
    let (origin, config) = match load_file(path) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let shown = origin.path().map(Shown::of).unwrap_or_default();
    for warning in &config.warnings {
        print(&format!("warning: {}", shown.with_line(warning)));
    }
    for (source, line) in &config.about {
        print(&format!("source \"{source}\": {line}\n"));
    }
    for line in config.sender.iter().flat_map(|sender| sender.about(&config.egress)) {
        print(&format!("sender: {line}\n"));
    }
    let name = origin.path().map(|path| path.display().to_string()).unwrap_or_default();
    let plural = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let sources = plural(config.gateway.sources.len(), "source");
    let warnings = plural(config.warnings.len(), "warning");
    let what = match (&config.sender, config.listen) {
        (Some(_), Some(_)) => format!("{sources} and a sender"),
        (Some(_), None) => "a sender".to_owned(),
        (None, _) => sources,
    };
    print(&format!("{name} is good: {what}, {warnings}\n"));
    0
}
