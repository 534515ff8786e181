//! Opens a store without a server.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use super::{DirectArgs, Failure};
use crate::cli::BAD_CONFIG;
use crate::config::Config;
use crate::config::environment::Environment;
use crate::database::postgres::{Limits, Postgres, parse_url};
use crate::database::sqlite::{OpenError, Sqlite};
use crate::database::url::DatabaseUrl;
use crate::store::{PostgresStore, SqliteStore, Store};

/// A person waits for it.
const LIMITS: Limits = Limits { connect: Duration::from_secs(5), answer: Duration::from_secs(60) };

/// Opens the store that is meant.
///
/// # Errors
/// What is wrong with its URL, or why it cannot be opened.
pub fn open(args: &DirectArgs) -> Result<Arc<Store>, Failure> {
    let url = match (&args.config, &args.store) {
        (_, Some(url)) => DatabaseUrl::parse(url).map_err(|wrong| Failure::usage(format!("--store: {wrong}")))?,
        (Some(file), None) => store_of(file)?,
        (None, None) => return Err(Failure::usage("name the store with -c FILE or --store URL")),
    };
    let store = match &url {
        DatabaseUrl::Sqlite(path) => Store::Sqlite(open_file(path)?),
        DatabaseUrl::Postgres(url) => {
            let config = parse_url(url).map_err(|wrong| Failure::usage(format!("--store: {wrong}")))?;
            let database = Postgres::new(config, LIMITS, Handle::current()).map_err(Failure::new)?;
            Store::Postgres(Box::new(PostgresStore::new(&database)))
        }
    };
    Ok(Arc::new(store))
}

/// The store that a configuration names.
fn store_of(file: &Path) -> Result<DatabaseUrl, Failure> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|error| Failure::new(format!("cannot read {name}: {error}")))?;
    match Config::store_of(&name, &text, &Environment::system()) {
        Ok(Some(store)) => Ok(store.url),
        Ok(None) => Err(Failure::new(format!("{name} has no [store]"))),
        Err(faults) => {
            let text = faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
            Err(Failure { exit: BAD_CONFIG, ..Failure::new(text) })
        }
    }
}

/// Opens a file that is there: a new one would be empty, and not what was meant.
fn open_file(path: &Path) -> Result<SqliteStore, Failure> {
    if !path.is_file() {
        return Err(Failure::new(format!("there is no file {}", path.display())));
    }
    let database = Sqlite::open(path).map_err(|error| match error {
        OpenError::InUse(path) => Failure::new(format!(
            "{} is in use by another process: ask the server that has it, with --admin URL in place of the store",
            path.display()
        )),
        error => Failure::new(format!("{:#}", anyhow::Error::new(error))),
    })?;
    Ok(SqliteStore::new(database))
}
