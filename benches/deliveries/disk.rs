//! The disk that everything is written to.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long the disk takes to have 4 KiB in `folder`: the median of many times.
pub fn flush_time(folder: &Path) -> io::Result<Duration> {
    const TIMES: usize = 51;
    let mut file = OpenOptions::new().create_new(true).append(true).open(folder.join("flush"))?;
    let mut times = Vec::with_capacity(TIMES);
    for _ in 0..TIMES {
        file.write_all(&[0; 4096])?;
        let begin = Instant::now();
        file.sync_data()?;
        times.push(begin.elapsed());
    }
    times.sort();
    Ok(times[TIMES / 2])
}
