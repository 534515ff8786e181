//! Of what repeats an endpoint gets the 1st, 10th, 100th … of each five minutes.

use serde_json::{Value, json};

use super::super::journal::tell;
use crate::support::telling::Teller;
use crate::support::upstream::Arrived;
use crate::support::{NOW, SECRET, Upstream, signed_with};
use crate::telling::id;

/// Publishes so many events, a hundred at a time.
async fn publish(teller: &Teller, kind: &str, resource: Option<&Value>, count: usize) {
    let mut event = json!({"type": kind, "data": {"environment": "LIVE"}});
    if let Some(resource) = resource {
        event["resource"] = resource.clone();
    }
    let mut left = count;
    while left > 0 {
        let now = left.min(100);
        let batch = json!({"events": vec![event.clone(); now]});
        assert_eq!(teller.post("/events/batch", &batch).await.answers(202).json["success"], true);
        left -= now;
    }
}

/// Which occurrences arrived of a type, in order. What arrived at once has none.
fn told(arrived: &[Arrived], kind: &str) -> Vec<u64> {
    let body = |one: &Arrived| serde_json::from_slice::<Value>(&one.body).expect("JSON");
    let of_kind = arrived.iter().map(body).filter(|body| body["event"] == kind);
    let mut told: Vec<u64> = of_kind.map(|body| body["occurrence"].as_u64().expect("a number")).collect();
    told.sort_unstable();
    told
}

/// A receiver, and its webhook of a sender.
async fn webhook(teller: &Teller, rest: Value) -> (Upstream, Value) {
    let receiver = Upstream::start().await;
    let webhook = teller.register(&receiver.url(), rest).await;
    (receiver, webhook)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_grouped_is_told_by_powers_of_ten_and_all_else_each_time() {
    let teller = Teller::start("provider = \"vgs\"").await;
    let (receiver, webhook) = webhook(&teller, json!({})).await;
    let rows = [
        ("VGS-60", "proxy.upstream_error", 1000, vec![1, 10, 100, 1000]),
        ("VGS-41", "alias.reveal_failed", 99, vec![1, 10]),
        ("VGS-41", "record.reveal_failed", 100, vec![1, 10, 100]),
        ("VGS-63", "route.updated", 12, vec![1; 12]),
        ("VGS-63", "user.logged_in", 11, vec![1; 11]),
    ];
    for (_, kind, count, _) in &rows {
        publish(&teller, kind, None, *count).await;
    }
    let wanted = rows.iter().map(|(.., told)| told.len()).sum();
    let log = teller.reach(id(&webhook), "success", wanted).await;
    assert_eq!(log.len(), wanted, "VGS-62: what is not told is no delivery");
    for (item, kind, count, wanted) in rows {
        assert_eq!(told(&receiver.arrived(), kind), wanted, "{item}: {count} of {kind}");
    }
    let counted = teller.metric("hookward_sender_occurrences_total");
    assert!((counted - 1199.0).abs() < 0.5, "VGS-62: {counted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_occurrences_stands_in_the_signed_body() {
    let teller = Teller::start("provider = \"vgs\"").await;
    let (receiver, webhook) = webhook(&teller, json!({"secret": SECRET})).await;
    let data = "{\"upstream_host\":\"a.example\",\"upstream_error\":\"502\",\"environment\":\"LIVE\",\"occurrence\":7}";
    let mut events = Vec::new();
    for _ in 0..10 {
        events.push(tell(&teller, "proxy.upstream_error", data).await);
    }
    teller.reach(id(&webhook), "success", 2).await;
    for (event, number) in [(&events[0], 1), (&events[9], 10)] {
        let body = format!(
            "{{\"id\":\"{event}\",\"event\":\"proxy.upstream_error\",\"occurrence\":{number},\"upstream_host\":\"a.example\",\"upstream_error\":\"502\",\"environment\":\"LIVE\"}}"
        );
        let arrived = receiver.arrived().into_iter().find(|one| one.body == body);
        let arrived = arrived.unwrap_or_else(|| panic!("VGS-61: no {body}"));
        let signed = signed_with(SECRET, "vgs", "", &body, NOW);
        assert_eq!(arrived.header("vgs-signature"), signed.value("vgs-signature"), "VGS-61");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_begins_with_its_first_event_and_is_over_five_minutes_later() {
    const KIND: &str = "proxy.upstream_error";
    let teller = Teller::start("provider = \"vgs\"").await;
    let (receiver, webhook) = webhook(&teller, json!({})).await;
    let mut all = Vec::new();
    for (item, seconds, count, more) in [
        ("VGS-60", 0, 1, vec![1]),
        ("VGS-60", 200, 8, vec![]),
        ("VGS-62", 99, 1, vec![10]),
        ("VGS-62", 1, 1, vec![1]),
        ("VGS-62", 299, 9, vec![10]),
        ("VGS-60", 1, 9, vec![1]),
        ("VGS-60", 3_600, 1, vec![1]),
    ] {
        teller.pass(seconds);
        publish(&teller, KIND, None, count).await;
        all.extend(more);
        all.sort_unstable();
        teller.reach(id(&webhook), "success", all.len()).await;
        assert_eq!(told(&receiver.arrived(), KIND), all, "{item}: {seconds} s later {count}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_forgets_neither_the_count_nor_the_window() {
    const KIND: &str = "alias.reveal_failed";
    let rest = "provider = \"vgs\"";
    let mut teller = Teller::start(rest).await;
    let (receiver, webhook) = webhook(&teller, json!({})).await;
    let mut all = Vec::new();
    for (item, seconds, count, more) in [
        ("VGS-64", 0, 9, vec![1]),
        ("VGS-64", 100, 1, vec![10]),
        ("VGS-64", 199, 89, vec![]),
        ("VGS-64", 1, 1, vec![1]),
    ] {
        teller.pass(seconds);
        publish(&teller, KIND, None, count).await;
        all.extend(more);
        all.sort_unstable();
        teller.reach(id(&webhook), "success", all.len()).await;
        assert_eq!(told(&receiver.arrived(), KIND), all, "{item}: {seconds} s later {count}");
        teller = teller.restart(rest).await.expect("it starts");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_counted_together_is_one_type_of_one_source_for_one_endpoint() {
    const KIND: &str = "proxy.upstream_error";
    let teller = Teller::start("provider = \"vgs\"").await;
    let (first, early) = webhook(&teller, json!({})).await;
    let source = |id: &str, environment: &str| json!({"kind": "vault", "id": id, "environment": environment});
    let (one, two, sandbox) = (source("tnt_1", "live"), source("tnt_2", "live"), source("tnt_1", "sandbox"));
    publish(&teller, KIND, Some(&one), 9).await;
    let (second, late) = webhook(&teller, json!({})).await;
    for (item, kind, resource, count, by_first, by_second) in [
        ("VGS-62", KIND, Some(&one), 1, vec![1, 10], vec![1]),
        ("VGS-62", KIND, Some(&two), 10, vec![1, 1, 10, 10], vec![1, 1, 10]),
        ("VGS-62", KIND, Some(&sandbox), 1, vec![1, 1, 1, 10, 10], vec![1, 1, 1, 10]),
        ("VGS-62", KIND, None, 1, vec![1, 1, 1, 1, 10, 10], vec![1, 1, 1, 1, 10]),
        ("VGS-62", "alias.reveal_failed", Some(&one), 1, vec![1], vec![1]),
        ("VGS-62", KIND, Some(&one), 9, vec![1, 1, 1, 1, 10, 10], vec![1, 1, 1, 1, 10, 10]),
    ] {
        publish(&teller, kind, resource, count).await;
        for (receiver, webhook, wanted) in [(&first, &early, by_first), (&second, &late, by_second)] {
            let succeeded = |all: &[Value]| {
                let done = |one: &&Value| one["status"] == "success" && one["event_type"] == kind;
                all.iter().filter(done).count() == wanted.len()
            };
            teller.deliveries(id(webhook), succeeded).await;
            assert_eq!(told(&receiver.arrived(), kind), wanted, "{item}: {count} of {kind} in {resource:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_account_declares_counts_before_what_the_provider_says() {
    let teller = Teller::start("").await;
    teller.put("/account", &json!({"default_provider": "vgs"})).await.answers(200);
    let (receiver, webhook) = webhook(&teller, json!({})).await;
    for (name, grouping) in [("proxy.upstream_error", "every_single"), ("route.updated", "exp_repeat")] {
        let kind = json!({"name": name, "grouping": grouping});
        teller.put(&format!("/event-types/{name}"), &kind).await.answers(200);
    }
    teller.post("/event-types", &json!({"name": "own.type", "grouping": "exp_repeat"})).await.answers(201);
    let rows = [
        ("VGS-40", "proxy.upstream_error", vec![1; 12]),
        ("VGS-40", "route.updated", vec![1, 10]),
        ("VGS-40", "own.type", vec![1, 10]),
        ("VGS-40", "record.reveal_failed", vec![1, 10]),
    ];
    for (_, kind, _) in &rows {
        publish(&teller, kind, None, 12).await;
    }
    teller.reach(id(&webhook), "success", 18).await;
    for (item, kind, wanted) in rows {
        assert_eq!(told(&receiver.arrived(), kind), wanted, "{item}: {kind}");
    }
    teller.delete("/event-types/proxy.upstream_error").await.answers(200);
    publish(&teller, "proxy.upstream_error", None, 2).await;
    teller.reach(id(&webhook), "success", 19).await;
}
