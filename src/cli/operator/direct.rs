//! Opens a store without a server.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use super::{DirectArgs, Failure};
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
pub async fn open(args: &DirectArgs) -> Result<Arc<Store>, Failure> {
    let url = match (&args.config, &args.store) {
        (_, Some(url)) => DatabaseUrl::parse(url).map_err(|wrong| Failure::usage(format!("--store: {wrong}")))?,
        (Some(file), None) => store_of(file)?,
        (None, None) => return Err(Failure::usage("name the store with -c FILE or --store URL")),
    };
    let store = match &url {
        DatabaseUrl::Sqlite(path) => Store::Sqlite(open_file(path).await?),
        DatabaseUrl::Postgres(url) => {
            let config = parse_url(url).map_err(|wrong| Failure::usage(format!("--store: {wrong}")))?;
            let database = Postgres::new(config, LIMITS, Handle::current()).map_err(Failure::new)?;
            Store::Postgres(Box::new(PostgresStore::new(&database)))
        }
    };
    Ok(Arc::new(store))
}

/// The store that a configuration names.
///
/// TODO: look it up once there is `[store]`.
fn store_of(file: &Path) -> Result<DatabaseUrl, Failure> {
    Err(Failure::usage(format!("{} cannot be asked for its store yet, name the store with --store", file.display())))
}

/// Opens a file that is there: a new one would be empty, and not what was meant.
async fn open_file(path: &Path) -> Result<SqliteStore, Failure> {
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
    SqliteStore::open(database).await.map_err(|error| Failure::new(error.to_string()))
}
