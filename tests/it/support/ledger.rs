//! Whether everyone got what was promised: each event that was answered, with one id and one body, and nothing else.

use std::collections::HashMap;

use hyper::body::Bytes;
use serde_json::Value;

use super::upstream::{Arrived, Upstream};

/// What was promised: the number that each event carries, by its id.
pub type Promised = HashMap<String, usize>;

/// The id of an event as it arrived, by Standard Webhooks or by VantaStatus.
fn id_of(arrived: &Arrived) -> String {
    match arrived.header("webhook-id") {
        "" => json_of(arrived)["id"].as_str().expect("an id").to_owned(),
        id => id.to_owned(),
    }
}

fn json_of(arrived: &Arrived) -> Value {
    serde_json::from_slice(&arrived.body).expect("JSON")
}

/// True once every event was taken by so many endpoints, each of which gets it in a body of its own.
pub fn is_settled(upstream: &Upstream, endpoints: usize, promised: &Promised) -> bool {
    upstream.taken() >= endpoints * promised.len()
}

/// Checks everything that came to `path`, and returns how many requests that were.
pub fn check(upstream: &Upstream, path: &str, promised: &Promised) -> usize {
    let mut bodies: HashMap<String, Bytes> = HashMap::new();
    let arrived = upstream.arrived();
    let arrived: Vec<&Arrived> = arrived.iter().filter(|arrived| arrived.target == path).collect();
    for arrived in &arrived {
        let id = id_of(arrived);
        let first = bodies.entry(id.clone()).or_insert_with(|| arrived.body.clone());
        assert_eq!(*first, arrived.body, "{id} has another body the second time");
        let number = promised.get(&id).unwrap_or_else(|| panic!("nobody was told that {id} is kept"));
        assert_eq!(json_of(arrived)["data"]["number"], *number, "{id} says what another event says");
    }
    let lost: Vec<&String> = promised.keys().filter(|id| !bodies.contains_key(*id)).collect();
    assert!(lost.is_empty(), "{} of {} are lost at {path}: {lost:?}", lost.len(), promised.len());
    arrived.len()
}
