//! SQLite: one file, one process, one thread that writes.
//!
//! What concurrent callers want written is done in one transaction and flushed to disk once (group commit), so that
//! durability costs a flush for each group and not for each caller. Nobody is told of success before the flush.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};
use thiserror::Error;
use tokio::sync::oneshot;
use tracing::error;

use super::StoreError;

/// What this program calls it in errors, logs and metrics.
pub const NAME: &str = "sqlite";

/// Every change of the tables, in order; a file remembers how many of them it has seen.
const MIGRATIONS: [&str; 4] = [
    include_str!("../../migrations/sqlite/0001_events.sql"),
    include_str!("../../migrations/sqlite/0002_sender.sql"),
    include_str!("../../migrations/sqlite/0003_exhaustion.sql"),
    include_str!("../../migrations/sqlite/0004_occurrences.sql"),
];

/// No more callers than this share one transaction.
const MAX_GROUP: usize = 1024;

/// No more callers than this wait; beyond it they are refused at once.
const MAX_WAITING: usize = 16 * 1024;

const READERS: usize = 2;

/// How long a reader waits for a lock, which in WAL mode it meets only while the file is opened or closed.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// One database file, open. Dropping it waits for what was begun, and gives the file free.
#[derive(Debug)]
pub struct Sqlite {
    path: PathBuf,
    /// `None` only while it is dropped.
    jobs: Option<Jobs>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Jobs {
    write: SyncSender<Box<dyn Job>>,
    read: SyncSender<Box<dyn Job>>,
}

/// Why a file cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{} is in use by another process; a second server on one SQLite file would lose events", .0.display())]
    InUse(PathBuf),
    /// The lock beside it cannot be made.
    #[error("cannot lock {}", .path.display())]
    Lock {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    /// It cannot be opened as a database.
    #[error("cannot open {}", .path.display())]
    Open {
        path: PathBuf,
        #[source]
        cause: rusqlite::Error,
    },
    /// It was written by a later version.
    #[error("{} has tables of version {found}, this program knows {known}: it was written by a later Hookward", .path.display())]
    Later { path: PathBuf, found: usize, known: usize },
    /// The system gives no thread.
    #[error("cannot start a thread for {}", .path.display())]
    Thread {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
}

/// Whether a caller waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// It outlives the process, not a loss of power: for what can be found out again.
    Process,
    /// It is on the disk.
    Disk,
}

impl Sqlite {
    /// Opens the file, or makes it, and brings its tables up to date. Nobody else can open it until this is dropped.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(path: &Path) -> Result<Arc<Self>, OpenError> {
        let lock = lock(path)?;
        let open = |cause| OpenError::Open { path: path.to_owned(), cause };
        let mut connection = writing(path).map_err(open)?;
        migrate(&mut connection, path)?;
        let (write, jobs) = sync_channel(MAX_WAITING);
        let thread = |cause| OpenError::Thread { path: path.to_owned(), cause };
        let writer = move || {
            write_for_ever(&mut connection, &jobs);
            drop(connection);
            // Only now may another process have the file.
            drop(lock);
        };
        let mut threads = vec![std::thread::Builder::new().name("sqlite-writer".into()).spawn(writer).map_err(thread)?];
        let (read, jobs) = sync_channel(MAX_WAITING);
        let jobs = Arc::new(Mutex::new(jobs));
        for _ in 0..READERS {
            let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(open)?;
            connection.busy_timeout(BUSY_TIMEOUT).map_err(open)?;
            let jobs = Arc::clone(&jobs);
            let reader = move || read_for_ever(&connection, &jobs);
            threads.push(std::thread::Builder::new().name("sqlite-reader".into()).spawn(reader).map_err(thread)?);
        }
        Ok(Arc::new(Self { path: path.to_owned(), jobs: Some(Jobs { write, read }), threads }))
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Does `work` in a transaction that it shares with others, and returns once that is as durable as was asked.
    ///
    /// Work that fails is undone without touching the others'. It is done also if nobody waits for it any more.
    ///
    /// # Errors
    /// If the work or the transaction failed; then nothing of it was written.
    pub async fn write<T: Send + 'static>(
        &self,
        durability: Durability,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.ask(|jobs| &jobs.write, durability, work).await
    }

    /// Reads with `work`, from what was last written.
    ///
    /// # Errors
    /// If the work failed.
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.ask(|jobs| &jobs.read, Durability::Process, work).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        queue: impl FnOnce(&Jobs) -> &SyncSender<Box<dyn Job>>,
        durability: Durability,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Work { work: Some(work), done: None, durability, reply });
        let sent = self.jobs.as_ref().map(|jobs| queue(jobs).try_send(job));
        if !matches!(sent, Some(Ok(()))) {
            return Err(failed("too many callers wait for it"));
        }
        answer.await.unwrap_or_else(|_| Err(failed("its thread has ended")))
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        // Without senders the threads end after the last job.
        self.jobs = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                error!(path = %self.path.display(), "A thread of the database panicked");
            }
        }
    }
}

/// What a caller wants done, and the caller who waits for it.
trait Job: Send {
    fn durability(&self) -> Durability;
    /// Does it.
    fn run(&mut self, connection: &Connection) -> Result<(), StoreError>;
    /// Tells the caller how the transaction ended.
    fn settle(self: Box<Self>, ended: &Result<(), StoreError>);
}

struct Work<F, T> {
    work: Option<F>,
    done: Option<Result<T, StoreError>>,
    durability: Durability,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T: Send, F: FnOnce(&Connection) -> rusqlite::Result<T> + Send> Job for Work<F, T> {
    fn durability(&self) -> Durability {
        self.durability
    }

    fn run(&mut self, connection: &Connection) -> Result<(), StoreError> {
        let Some(work) = self.work.take() else { return Ok(()) };
        let done = work(connection).map_err(|error| store_error(&error));
        let ended = done.as_ref().map(|_| ()).map_err(Clone::clone);
        self.done = Some(done);
        ended
    }

    fn settle(self: Box<Self>, ended: &Result<(), StoreError>) {
        let result = match (self.done, ended) {
            (Some(Err(error)), _) => Err(error),
            (_, Err(error)) => Err(error.clone()),
            (Some(Ok(done)), Ok(())) => Ok(done),
            (None, Ok(())) => Err(failed("it was not asked")),
        };
        // Whoever no longer waits does not want to know.
        let _ = self.reply.send(result);
    }
}

fn write_for_ever(connection: &mut Connection, jobs: &Receiver<Box<dyn Job>>) {
    let mut flushed = None;
    while let Ok(first) = jobs.recv() {
        let mut group = vec![first];
        group.extend(jobs.try_iter().take(MAX_GROUP - 1));
        let durability = group.iter().map(|job| job.durability()).max().unwrap_or(Durability::Disk);
        let ended = set_durability(connection, durability, &mut flushed)
            .map_err(|error| store_error(&error))
            .and_then(|()| transact(connection, &mut group));
        for job in group {
            job.settle(&ended);
        }
    }
}

fn read_for_ever(connection: &Connection, jobs: &Mutex<Receiver<Box<dyn Job>>>) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(mut job) = job else { return };
        let ended = job.run(connection);
        job.settle(&ended);
    }
}

/// In WAL mode, `NORMAL` writes at each commit and flushes at checkpoints, `FULL` flushes at each commit.
fn set_durability(
    connection: &Connection,
    durability: Durability,
    set: &mut Option<Durability>,
) -> rusqlite::Result<()> {
    if *set == Some(durability) {
        return Ok(());
    }
    let word = match durability {
        Durability::Process => "NORMAL",
        Durability::Disk => "FULL",
    };
    connection.pragma_update(None, "synchronous", word)?;
    *set = Some(durability);
    Ok(())
}

/// One transaction for all of them. A job that fails is undone alone, unless the failure took the transaction with it.
fn transact(connection: &mut Connection, group: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
    let wrong = |error| store_error(&error);
    // Dropped without a commit, it is rolled back.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(wrong)?;
    if let [job] = group {
        // Undone alone is undone with the transaction: no copies of its pages are kept.
        job.run(&transaction)?;
        return transaction.commit().map_err(wrong);
    }
    // rusqlite's own savepoints are compiled anew each time.
    let say = |sql| transaction.prepare_cached(sql).and_then(|mut said| said.execute([])).map(drop).map_err(wrong);
    for job in group {
        say("SAVEPOINT job")?;
        match job.run(&transaction) {
            Ok(()) => {}
            // A full disk, for one, ends the whole transaction: there is nothing left to go on with.
            Err(error) if transaction.is_autocommit() => return Err(error),
            Err(_) => say("ROLLBACK TO job")?,
        }
        say("RELEASE job")?;
    }
    transaction.commit().map_err(wrong)
}

/// The lock stands beside the file, since SQLite's own comes and goes with each transaction.
fn lock(path: &Path) -> Result<File, OpenError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".lock");
    let beside = PathBuf::from(beside);
    let cannot = |cause| OpenError::Lock { path: beside.clone(), cause };
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&beside).map_err(cannot)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(path.to_owned())),
        Err(TryLockError::Error(cause)) => Err(cannot(cause)),
    }
}

fn writing(path: &Path) -> rusqlite::Result<Connection> {
    // Made here rather than by SQLite, so that only its owner can read what providers sent.
    let _ = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(128);
    // A plan that is made for what is bound to it is made anew for the next, which costs more than it could gain.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // Before there are tables, or it would take a rewrite of the whole file.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // 16 MiB of pages, whatever the size of the file.
    connection.pragma_update(None, "cache_size", -16 * 1024)?;
    // What a savepoint would take back stands in memory: in a file it would be as many writes again as the log.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // A log that a long reader made grow is cut back.
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    Ok(connection)
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let open = |cause| OpenError::Open { path: path.to_owned(), cause };
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(open)?;
    let found = usize::try_from(found).unwrap_or(usize::MAX);
    if found > MIGRATIONS.len() {
        return Err(OpenError::Later { path: path.to_owned(), found, known: MIGRATIONS.len() });
    }
    for (done, migration) in MIGRATIONS.iter().enumerate().skip(found) {
        let transaction = connection.transaction().map_err(open)?;
        transaction.execute_batch(migration).map_err(open)?;
        transaction.pragma_update(None, "user_version", i64::try_from(done + 1).unwrap_or(i64::MAX)).map_err(open)?;
        transaction.commit().map_err(open)?;
    }
    Ok(())
}

fn failed(cause: &str) -> StoreError {
    StoreError::Failed { store: NAME, cause: cause.to_owned() }
}

fn store_error(error: &rusqlite::Error) -> StoreError {
    let cause = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full { store: NAME, cause },
        Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::ReadOnly) => {
            StoreError::Unreachable { store: NAME, cause }
        }
        _ => StoreError::Failed { store: NAME, cause },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> (tempfile::TempDir, Arc<Sqlite>) {
        let folder = tempfile::tempdir().expect("a folder");
        let database = Sqlite::open(&folder.path().join("test.db")).expect("a new file");
        (folder, database)
    }

    fn remember(key: i64) -> impl FnOnce(&Connection) -> rusqlite::Result<usize> {
        move |connection| connection.execute("INSERT INTO dedup VALUES (?1, 1, 0, 0, 0, 0)", [key.to_be_bytes()])
    }

    async fn count(database: &Sqlite) -> i64 {
        let count = |connection: &Connection| connection.query_row("SELECT count(*) FROM dedup", [], |row| row.get(0));
        database.read(count).await.expect("a count")
    }

    #[tokio::test]
    async fn work_that_fails_is_undone_alone() {
        let (_folder, database) = open();
        let writes: Vec<_> = (0..40)
            .map(|n| {
                let database = Arc::clone(&database);
                // Each key comes twice, after another row of the same caller.
                tokio::spawn(async move {
                    let work = move |connection: &Connection| {
                        remember(1000 + n)(connection)?;
                        remember(n / 2)(connection)
                    };
                    database.write(Durability::Disk, work).await.is_ok()
                })
            })
            .collect();
        let mut good = 0;
        for write in writes {
            good += i64::from(write.await.expect("an end"));
        }
        assert_eq!((good, count(&database).await), (20, 40));
    }

    #[tokio::test]
    async fn a_file_has_one_owner_and_outlives_it() {
        let (folder, database) = open();
        let path = folder.path().join("test.db");
        database.write(Durability::Disk, remember(1)).await.expect("room");
        assert!(matches!(Sqlite::open(&path), Err(OpenError::InUse(_))));
        drop(database);
        let again = Sqlite::open(&path).expect("nobody has it");
        assert_eq!(count(&again).await, 1);
    }

    #[tokio::test]
    async fn a_full_file_refuses_and_goes_on_once_there_is_room() {
        let (_folder, database) = open();
        let limit =
            |pages: i64| move |c: &Connection| c.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()));
        database.write(Durability::Process, limit(20)).await.expect("a pragma");
        let large = |key: i64| {
            move |connection: &Connection| {
                connection.execute(
                    "INSERT INTO events VALUES (?1, 's', NULL, 0, 'POST', NULL, x'', zeroblob(200000), NULL, NULL)",
                    [key.to_be_bytes()],
                )
            }
        };
        let full = database.write(Durability::Disk, large(1)).await;
        assert!(matches!(full, Err(StoreError::Full { .. })), "{full:?}");
        database.write(Durability::Process, limit(10_000)).await.expect("a pragma");
        database.write(Durability::Disk, large(1)).await.expect("room");
    }

    #[test]
    fn a_file_of_a_later_version_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("test.db");
        drop(Sqlite::open(&path).expect("a new file"));
        let connection = Connection::open(&path).expect("a database");
        connection.pragma_update(None, "user_version", 99).expect("a pragma");
        drop(connection);
        let refused = Sqlite::open(&path).expect_err("a later version").to_string();
        let known = MIGRATIONS.len();
        assert!(refused.contains(&format!("version 99, this program knows {known}:")), "{refused}");
    }

    #[test]
    fn a_file_of_an_earlier_version_is_brought_up_to_date() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("test.db");
        let connection = Connection::open(&path).expect("a database");
        connection.execute_batch(MIGRATIONS[0]).expect("tables");
        connection.pragma_update(None, "user_version", 1).expect("a pragma");
        let delivery = "INSERT INTO deliveries VALUES (x'01', x'02', 'a', 3, 2, 4, NULL, 1, 0)";
        connection.execute(delivery, []).expect("a delivery");
        drop(connection);
        drop(Sqlite::open(&path).expect("a file of ours"));
        let connection = Connection::open(&path).expect("a database");
        let row = connection.query_row("SELECT variant, ordered, trigger, kind IS NULL FROM deliveries", [], |row| {
            Ok([row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?, row.get(3)?])
        });
        assert_eq!(row, Ok([0, 0, 0, 1]));
    }

    #[test]
    fn what_is_no_database_says_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("test.db");
        std::fs::write(&path, "not a database, but long enough to look at".repeat(100)).expect("a file");
        assert!(matches!(Sqlite::open(&path), Err(OpenError::Open { .. })));
        assert!(matches!(Sqlite::open(&folder.path().join("no/such/folder.db")), Err(OpenError::Lock { .. })));
    }
}
