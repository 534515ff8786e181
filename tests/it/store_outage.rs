//! The store goes away under load and comes back: nothing that was acknowledged is lost, and nothing is sent twice.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::child::Serving;
use crate::support::crowd::{Crowd, wait_until};
use crate::support::services::Postgres;
use crate::support::site::Site;
use crate::support::stored::Stored;
use crate::support::{SECRET, Upstream};

const SENDERS: usize = 8;

/// How long the store may be back before events are accepted again, and before they are delivered.
const BACK: Duration = Duration::from_secs(2);

/// Lets each sender wait a little between two events, so that the load lasts as long as the trouble.
const BETWEEN: Duration = Duration::from_millis(10);

/// Breaks PostgreSQL twice under load, and returns what was accepted.
async fn crash_twice(postgres: &Postgres, site: &Site, upstream: &Upstream) -> usize {
    let serving = site.start_and_wait().await;
    let crowd = Crowd::start(SENDERS, site.address, BETWEEN);
    for _ in 0..2 {
        crowd.go_on(100).await;
        postgres.crash();
        let refused = crowd.answers(503);
        wait_until("503s", || crowd.answers(503) > refused + 20).await;
        postgres.start_again();
        let (begun, arrived) = (Instant::now(), upstream.successes().len());
        crowd.go_on(SENDERS).await;
        wait_until("arrivals", || upstream.successes().len() > arrived).await;
        assert!(begun.elapsed() < BACK, "{:?}", begun.elapsed());
    }
    crowd.go_on(50).await;
    let accepted = crowd.stop().await;
    wait_until("everything accepted to arrive", || upstream.has_all(&accepted)).await;
    serving.signal("TERM");
    let (status, log) = serving.end();
    assert!(status.success(), "{log:#?}");
    let successes = upstream.successes();
    assert_eq!(successes.len(), accepted.len());
    assert!(successes.values().all(|count| *count == 1), "nobody was killed, so there is no need of a repeat");
    accepted.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_crashes_while_it_stores() {
    let (postgres, upstream) = (Postgres::start(), Upstream::start().await);
    let source = format!("mode = \"store\"\nupstream = \"{}/\"", upstream.url());
    let site = Site::new(&source, &format!("[store]\nurl = \"{}\"", postgres.url()));
    let accepted = crash_twice(&postgres, &site, &upstream).await as u64;
    let stats = Stored::open(&postgres.url()).stats().await;
    assert_eq!((stats.events, stats.delivered), (accepted, accepted));
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_crashes_while_it_tells_events_apart() {
    let (postgres, upstream) = (Postgres::start(), Upstream::start().await);
    let source = format!("upstream = \"{}/\"", upstream.url());
    let site = Site::new(&source, &format!("[dedup]\nstore = \"{}\"", postgres.url()));
    crash_twice(&postgres, &site, &upstream).await;
}

/// Runs a command with a small disk of its own mounted at a folder: it is gone when the command is.
fn with_a_disk(folder: &str) -> Command {
    let mut command = Command::new("unshare");
    let mount = "mount -t tmpfs -o size=16m none \"$0\" && exec \"$@\"";
    command.args(["--mount", "--propagation", "private", "sh", "-c", mount, folder]);
    command
}

/// Writes to a file until the disk is full.
fn fill(path: &PathBuf) {
    let mut filler = File::create(path).expect("a file");
    for size in [64 * 1024, 4096, 1] {
        let piece = vec![b'x'; size];
        while filler.write_all(&piece).is_ok() {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_disk_of_sqlite_is_full_for_a_while() {
    let upstream = Upstream::start().await;
    let source = format!("mode = \"store\"\nupstream = \"{}/\"", upstream.url());
    let site = Site::new(&source, "[store]\nurl = \"sqlite:FOLDER/disk/hookward.db\"");
    let disk = site.path("disk");
    fs::create_dir(&disk).expect("a folder");
    let disk = disk.to_str().expect("a plain path");
    if !with_a_disk(disk).arg("true").status().is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: a full disk cannot be tried where nothing may be mounted");
        return;
    }
    let serve = [env!("CARGO_BIN_EXE_hookward"), "serve", "-c", site.config().to_str().expect("a plain path")];
    let serving = Serving::start(with_a_disk(disk).args(serve).env("SECRET", SECRET));
    site.wait_until_it_listens().await;
    let crowd = Crowd::start(SENDERS, site.address, BETWEEN);
    crowd.go_on(100).await;
    // The disk as the program sees it.
    let filler = PathBuf::from(format!("/proc/{}/root{disk}/filler", serving.id()));
    fill(&filler);
    wait_until("503s", || crowd.answers(503) > 50).await;
    let (accepted, refused) = (crowd.accepted(), crowd.answers(503));
    wait_until("more 503s", || crowd.answers(503) > refused + 100).await;
    assert!(crowd.accepted() < accepted + SENDERS, "there is no room for more");
    fs::remove_file(&filler).expect("our file");
    let begun = Instant::now();
    crowd.go_on(SENDERS).await;
    assert!(begun.elapsed() < BACK, "{:?}", begun.elapsed());
    crowd.go_on(50).await;
    let accepted = crowd.stop().await;
    wait_until("everything accepted to arrive", || upstream.has_all(&accepted)).await;
    serving.signal("TERM");
    let (status, log) = serving.end();
    assert!(status.success(), "{log:#?}");
    let successes = upstream.successes();
    assert_eq!(successes.len(), accepted.len(), "nothing else was stored");
    assert!(successes.values().all(|count| *count == 1), "nobody was killed, so there is no need of a repeat");
}
