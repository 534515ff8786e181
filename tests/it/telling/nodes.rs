//! Three senders on one PostgreSQL: whichever of them is asked, all of them know.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use fastrand::Rng;
use hookward::clock::Clock;
use hookward::egress::Resolver;
use hookward::store::State;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::support::crowd::wait_until;
use crate::support::ledger;
use crate::support::node::{Node, post};
use crate::support::publishers::Publishers;
use crate::support::services::shared_postgres;
use crate::support::stored::{Stored, end_leases};
use crate::support::telling::{LOOPBACK, Teller};
use crate::support::upstream::Act;
use crate::support::{Upstream, signed_with};

const KEYS: &str = "keys = [{ env = \"KEY\" }]";

/// How long an attempt of the children takes at most, and how long its lease lasts, in milliseconds.
const ATTEMPT: u64 = 500;
const LEASE: i64 = 10_500;

/// Three senders in this process, and their database. `rest` is added to `[sender]`.
async fn three(rest: &str) -> ([Teller; 3], String) {
    let url = shared_postgres().database().await;
    let rest = format!("{KEYS}\n{rest}");
    let sender = || Teller::on(&url, TempDir::new().expect("a folder"), &rest, LOOPBACK, Resolver::System);
    ([sender(), sender(), sender()], url)
}

fn id(webhook: &Value) -> String {
    webhook["id"].as_str().expect("an id").to_owned()
}

async fn stop(senders: [Teller; 3]) {
    for sender in senders {
        sender.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_any_of_three_answered_is_delivered_though_one_is_killed() {
    const PATHS: [&str; 2] = ["/standard", "/vantastatus"];
    let is_long = std::env::var_os("HOOKWARD_LONG").is_some();
    let (events, kills) = if is_long { (20_000, 30) } else { (400, 2) };
    let seed = std::env::var("HOOKWARD_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("HOOKWARD_SEED={seed}");
    let mut chance = Rng::with_seed(seed);

    let (url, upstream) = (shared_postgres().database().await, Upstream::start().await);
    let nodes = [Node::new(&url), Node::new(&url), Node::new(&url)];
    let mut serving = Vec::new();
    for node in &nodes {
        serving.push(node.start_and_wait().await);
    }
    let retry = json!({"initial": "20ms", "factor": 1.0, "max": "20ms", "window": "1h", "jitter": 0.0});
    for (node, (path, provider)) in nodes.iter().zip(PATHS.into_iter().zip(["standard-webhooks", "vantastatus"])) {
        let timeout = format!("{ATTEMPT}ms");
        let url = format!("{}{path}", upstream.url());
        node.register(&json!({"url": url, "provider": provider, "timeout": timeout, "retry": retry})).await;
    }
    upstream.fail_first(|body| body.iter().rfind(|byte| byte.is_ascii_digit()).is_some_and(|digit| digit % 5 == 0));
    let publishers = Publishers::start(9, nodes.iter().map(|node| node.address).collect(), events);
    for kill in 1..=kills {
        publishers.reach(events * kill / (kills + 1)).await;
        sleep(Duration::from_millis(chance.u64(..20))).await;
        let victim = chance.usize(..3);
        let died_at = Clock::System.millis().0;
        serving.remove(victim).kill();
        if !is_long {
            // What the others had begun by then has ended. Of those leases only the victim's are left.
            sleep(Duration::from_millis(ATTEMPT + 500)).await;
            end_leases(&url, died_at + LEASE).await;
        }
        serving.insert(victim, nodes[victim].start());
    }
    let (broken, repeated) = (publishers.answers(0), publishers.repeated());
    let promised = publishers.finish().await;
    assert_eq!(promised.len(), events, "each has an id of its own");
    wait_until("everything to arrive", || ledger::is_settled(&upstream, PATHS.len(), &promised)).await;
    for (node, serving) in nodes.iter().zip(serving) {
        node.listens().await;
        serving.signal("TERM");
        let (status, log) = serving.end();
        assert!(status.success(), "{log:#?}");
    }
    let arrived: Vec<usize> = PATHS.iter().map(|path| ledger::check(&upstream, path, &promised)).collect();
    println!(
        "{events} events, {kills} kills, {broken} requests without an answer, {repeated} repeated, {arrived:?} arrived"
    );
    let stats = Stored::open(&url).stats().await;
    let rest = stats.waiting + stats.leased + stats.dead + stats.skipped + stats.cancelled;
    let each = (events as u64, 2 * events as u64, 0);
    assert_eq!((stats.events, stats.delivered, rest), each, "each is kept once and owed once to each");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_made_at_one_gets_what_is_told_at_another_right_after() {
    let ((senders, _), receiver) = (three("").await, Upstream::start().await);
    for round in 0..9 {
        let webhook = senders[round % 3].register(&format!("{}/{round}", receiver.url()), json!({})).await;
        let event = senders[(round + 1) % 3].publish("a.b", json!({"round": round})).await;
        let wanted = event["webhook_ids"].as_array().expect("a list");
        assert!(wanted.len() == round + 1 && wanted.contains(&webhook["id"]), "{event}");
        senders[(round + 2) % 3].reach(&id(&webhook), "success", 1).await;
    }
    assert_eq!(receiver.arrived().len(), (1..=9).sum::<usize>(), "nothing comes twice");
    stop(senders).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_deleted_at_one_gets_nothing_from_any() {
    let ((senders, url), receiver) = (three("").await, Upstream::start().await);
    let [a, b, c] = &senders;
    let retry = json!({"retry": {"delays": ["1h", "1h"], "jitter": 0.0}});
    let webhook = a.register(&format!("{}/gone", receiver.url()), retry).await;
    receiver.plan([Act::Answer(500), Act::Hold(500)]);
    b.publish("a.b", json!(1)).await;
    b.reach(&id(&webhook), "retrying", 1).await;
    c.publish("a.b", json!(2)).await;
    receiver.wait_for(2).await;

    assert_eq!(a.delete(&format!("/webhooks/{}", id(&webhook))).await.status, 200);
    for sender in [b, c] {
        assert_eq!(sender.publish("a.b", json!(3)).await["webhook_ids"], json!([]));
        assert_eq!(sender.get(&format!("/webhooks/{}", id(&webhook))).await.status, 404);
    }
    let stored = Stored::open(&url);
    let states = || async {
        let mut states: Vec<State> = stored.deliveries().await.iter().map(|row| row.state).collect();
        states.sort_by_key(|state| *state as u8);
        states
    };
    assert_eq!(states().await, [State::Leased, State::Cancelled], "but for what is under way");
    receiver.release();
    while states().await != [State::Cancelled, State::Cancelled] {
        sleep(Duration::from_millis(20)).await;
    }
    for sender in &senders {
        sender.pass(3 * 3600);
    }
    let other = c.register(&format!("{}/other", receiver.url()), json!({})).await;
    a.publish("a.b", json!(4)).await;
    b.reach(&id(&other), "success", 1).await;
    let arrived: Vec<String> = receiver.arrived().into_iter().map(|arrived| arrived.target).collect();
    assert_eq!(arrived, ["/gone", "/gone", "/other"]);
    stop(senders).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_replaced_at_one_is_signed_with_by_all_right_after() {
    let ((senders, _), receiver) = (three("").await, Upstream::start().await);
    let webhook = id(&senders[0].register(&format!("{}/", receiver.url()), json!({})).await);
    for round in 0..12 {
        let path = format!("/webhooks/{webhook}/rotate-secret");
        let said = senders[round % 3].post(&path, &json!({"overlap_seconds": 0})).await;
        let secret = said.json["secret"].as_str().unwrap_or_else(|| panic!("{said:?}"));
        let event = senders[(round + 1) % 3].publish("a.b", json!({"round": round})).await;
        receiver.wait_for(round + 1).await;
        let arrived = receiver.arrived().pop().expect("it");
        let (id, body) = (event["id"].as_str().expect("an id"), std::str::from_utf8(&arrived.body).expect("text"));
        let wanted = signed_with(secret, "standard-webhooks", id, body, senders[0].now());
        assert_eq!(arrived.header("webhook-signature"), wanted.value("webhook-signature"), "round {round}");
    }
    stop(senders).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_moved_is_delivered_to_by_all_where_it_is_right_after() {
    let ((senders, _), receiver) = (three("").await, Upstream::start().await);
    let webhook = id(&senders[0].register(&receiver.url(), json!({})).await);
    for round in 0..6 {
        let url = format!("{}/{round}", receiver.url());
        let said = senders[round % 3].patch(&format!("/webhooks/{webhook}"), &json!({"url": url})).await;
        assert_eq!(said.status, 200, "{said:?}");
        senders[(round + 1) % 3].publish("a.b", json!({"round": round})).await;
        receiver.wait_for(round + 1).await;
        assert_eq!(receiver.arrived()[round].target, format!("/{round}"));
    }
    stop(senders).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_that_are_asked_at_once_make_no_more_endpoints_than_there_may_be() {
    const MOST: usize = 7;
    let (senders, _) = three("").await;
    let said = senders[0].put("/account", &json!({"max_webhooks": MOST})).await;
    assert_eq!(said.status, 200, "{said:?}");
    let mut asking = JoinSet::new();
    for number in 0..30 {
        let address = senders[number % 3].address();
        asking.spawn(async move {
            let webhook = json!({"url": format!("http://127.0.0.1:9/{number}")});
            loop {
                let said = post(address, "/webhooks", None, &webhook).await.expect("an answer");
                if said.status != 503 {
                    return (said.status, said.code().to_owned());
                }
            }
        });
    }
    let mut answers: HashMap<(u16, String), usize> = HashMap::new();
    for answer in asking.join_all().await {
        *answers.entry(answer).or_default() += 1;
    }
    let wanted = [((201, String::new()), MOST), ((422, "limit_reached".to_owned()), 30 - MOST)];
    assert_eq!(answers, HashMap::from(wanted));
    for sender in &senders {
        assert_eq!(sender.get("/webhooks").await.json["total"], MOST);
    }
    stop(senders).await;
}

/// Makes endpoints that answer so, lets all senders switch them off, and returns their ids.
async fn switch_off(senders: &[Teller; 3], answer: u16, status: &str) -> Vec<String> {
    const ENDPOINTS: usize = 6;
    let receiver = Upstream::start().await;
    // Each is tried twice at most, the second time after days.
    receiver.plan(std::iter::repeat_n(Act::Answer(answer), 2 * ENDPOINTS));
    let retry = json!({"delays": ["6d", "6d"], "window": "30d", "jitter": 0.0});
    let mut webhooks = Vec::new();
    for number in 0..ENDPOINTS {
        let rest = json!({"retry": retry, "events": [format!("{status}.{number}")]});
        webhooks.push(id(&senders[0].register(&receiver.url(), rest).await));
    }
    // At once, so that several of them have something to tell at once.
    let mut telling = JoinSet::new();
    for number in 0..ENDPOINTS {
        let address = senders[number % 3].address();
        let event = json!({"type": format!("{status}.{number}"), "data": {}});
        telling.spawn(async move { post(address, "/events", None, &event).await.expect("an answer").status });
    }
    assert!(telling.join_all().await.iter().all(|status| *status == 202));
    if answer != 410 {
        for webhook in &webhooks {
            senders[1].reach(webhook, "retrying", 1).await;
        }
        for sender in senders {
            sender.pass(6 * 24 * 3600);
        }
    }
    for webhook in &webhooks {
        for sender in senders {
            while sender.get(&format!("/webhooks/{webhook}")).await.json["webhook"]["status"] != status {
                sleep(Duration::from_millis(20)).await;
            }
        }
    }
    webhooks
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_all_of_them_would_switch_off_is_told_of_once() {
    let operations = Upstream::start().await;
    let told = format!("operations = {{ url = \"{}/\", env = \"SECRET\" }}", operations.url());
    let (senders, _) = three(&told).await;
    let mut webhooks = switch_off(&senders, 410, "disabled_gone").await;
    // This takes long enough to show that nothing more comes of the first ones.
    webhooks.extend(switch_off(&senders, 500, "disabled_failing").await);
    wait_until("all notices", || operations.arrived().len() >= webhooks.len()).await;
    let notice = |body: &[u8]| serde_json::from_slice::<Value>(body).expect("JSON");
    let notices: Vec<Value> = operations.arrived().iter().map(|arrived| notice(&arrived.body)).collect();
    let mut of: Vec<&str> =
        notices.iter().map(|notice| notice["data"]["webhook_id"].as_str().expect("an id")).collect();
    of.sort_unstable();
    webhooks.sort_unstable();
    assert_eq!(of, webhooks, "{notices:#?}");
    assert!(notices.iter().all(|notice| notice["type"] == "webhook.disabled"), "{notices:#?}");
    let metric = |sender: &Teller, reason| {
        sender.metric(&format!("hookward_sender_webhooks_disabled_total{{reason=\"{reason}\"}}"))
    };
    let by_all = ["gone", "failing"].map(|reason| senders.iter().map(|sender| metric(sender, reason)).sum::<f64>());
    assert_eq!(by_all, [6.0, 6.0], "whoever did it says so");
    stop(senders).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_are_made_while_all_three_are_busy() {
    let (url, receiver) = (shared_postgres().database().await, Upstream::start().await);
    let nodes = [Node::new(&url), Node::new(&url), Node::new(&url)];
    let mut serving = Vec::new();
    for node in &nodes {
        serving.push(node.start_and_wait().await);
    }
    nodes[0].register(&json!({"url": receiver.url()})).await;
    let publishers = Publishers::start(24, nodes.iter().map(|node| node.address).collect(), 500);
    let (mut slowest, mut made) = (Duration::ZERO, 0);
    for node in nodes.iter().cycle().take(10) {
        let begun = Instant::now();
        // Nobody who changes something waits until there is nothing to tell any more.
        node.register(&json!({"url": receiver.url(), "events": []})).await;
        slowest = slowest.max(begun.elapsed());
        made += usize::from(publishers.answered() < 500);
    }
    println!("{made} made meanwhile, the slowest took {slowest:?}");
    let promised = publishers.finish().await;
    wait_until("everything to arrive", || ledger::is_settled(&receiver, 1, &promised)).await;
    ledger::check(&receiver, "/", &promised);
    drop(serving);
}
