//! What PostgreSQL is still to learn.

use std::collections::HashMap;
use std::sync::Arc;

use super::PostgresStore;
use crate::clock::UnixMillis;
use crate::database::StoreError;
use crate::store::*;

type Answer<T> = Result<T, StoreError>;

fn pending<T>() -> Answer<T> {
    Err(StoreError::Failed { store: "postgres", cause: "it does not know how to yet".into() })
}

impl PostgresStore {
    pub(in crate::store) async fn keep(&self, batch: Batch) -> Answer<BatchOutcome> {
        let mut kept = Vec::new();
        for event in batch.events {
            kept.push(self.accept(event).await?);
        }
        Ok(BatchOutcome::Kept(kept))
    }
    pub(in crate::store) async fn owe(
        &self,
        _: Vec<(Id, Owed)>,
        _: UnixMillis,
        _: Option<Idempotent>,
    ) -> Answer<Owing> {
        pending()
    }
    pub(in crate::store) async fn due_now(&self, _: Id, _: String, _: UnixMillis) -> Answer<bool> {
        pending()
    }
    pub(in crate::store) async fn records(&self, _: i64) -> Answer<Records> {
        pending()
    }
    pub(in crate::store) async fn change(&self, _: Change) -> Answer<Changed> {
        pending()
    }
    pub(in crate::store) async fn answered(&self, _: [u8; 16], _: UnixMillis) -> Answer<Option<Replayed>> {
        pending()
    }
    pub(in crate::store) async fn failing(&self) -> Answer<Vec<Failing>> {
        pending()
    }
    pub(in crate::store) async fn tallies(&self, _: Vec<Arc<str>>, _: i64) -> Answer<HashMap<Arc<str>, Tally>> {
        pending()
    }
    pub(in crate::store) async fn sent(&self, _: SentFilter) -> Answer<SentPage<SentRow>> {
        pending()
    }
    pub(in crate::store) async fn sent_delivery(&self, _: String, _: Id) -> Answer<Option<SentDetail>> {
        pending()
    }
    pub(in crate::store) async fn sent_events(&self, _: SentEventFilter) -> Answer<SentPage<SentEvent>> {
        pending()
    }
    pub(in crate::store) async fn sent_event(&self, _: String, _: String) -> Answer<Option<SentEvent>> {
        pending()
    }
    pub(in crate::store) async fn unrecovered(&self, _: Unrecovered) -> Answer<Vec<(Id, Id, u16)>> {
        pending()
    }
}
