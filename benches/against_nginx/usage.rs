//! What a process and its descendants use, as `/proc` has it.

use std::fs;
use std::time::Duration;

/// The CPU time of all threads that are alive. What an ended thread has used is not in it: no peer ends one while it
/// is measured.
///
/// The scheduler's own account in nanoseconds, where `stat` counts ticks of 10 ms.
pub fn cpu_time(process: u32) -> Duration {
    tree(process).into_iter().flat_map(threads).filter_map(|path| run_time(&path)).sum()
}

/// The most memory that each process ever had resident, added up, in bytes.
pub fn peak_rss(process: u32) -> u64 {
    tree(process).into_iter().filter_map(|id| memory(id, "VmHWM:")).sum()
}

/// The memory that is resident now, in bytes.
pub fn rss(process: u32) -> u64 {
    tree(process).into_iter().filter_map(|id| memory(id, "VmRSS:")).sum()
}

/// The process, its children and theirs.
fn tree(root: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = numbers("/proc").filter_map(|id| Some((id, parent(id)?))).collect();
    let mut tree = vec![root];
    let mut next = 0;
    while let Some(&process) = tree.get(next) {
        tree.extend(parents.iter().filter(|(_, parent)| *parent == process).map(|(id, _)| *id));
        next += 1;
    }
    tree
}

fn parent(process: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name before it is in brackets and may have brackets in it. Then come state and parent.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// The folders of a process's threads.
fn threads(process: u32) -> impl Iterator<Item = String> {
    let folder = format!("/proc/{process}/task");
    numbers(&folder).map(move |thread| format!("{folder}/{thread}"))
}

/// The entries of a folder that are numbers.
fn numbers(folder: &str) -> impl Iterator<Item = u32> + use<> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn run_time(thread: &str) -> Option<Duration> {
    let text = fs::read_to_string(format!("{thread}/schedstat")).ok()?;
    text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

fn memory(process: u32, key: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(key))?;
    let kib: u64 = value.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib << 10)
}
