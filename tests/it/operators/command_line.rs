//! The commands, as the real program.

use std::process::Output;

use serde_json::{Value, json};

use super::{Consequence, OPS, READER, Server, Verdict, millis};
use crate::support::child::hookward;
use crate::support::services::shared_postgres;

/// What a command printed, and how it ended.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

async fn run(token: Option<&str>, arguments: Vec<String>) -> Ended {
    let token = token.map(str::to_owned);
    let work = move || {
        let mut command = hookward(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        command.envs(token.map(|token| ("HOOKWARD_ADMIN_TOKEN", token))).output().expect("the program")
    };
    let Output { status, stdout, stderr } = tokio::task::spawn_blocking(work).await.expect("no panic");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Ended { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

impl Server {
    /// A command that asks this server.
    async fn run(&self, arguments: &str) -> Ended {
        self.run_as(OPS, arguments).await
    }

    async fn run_as(&self, token: &str, arguments: &str) -> Ended {
        run(Some(token), words(&format!("{arguments} --admin http://{}", self.address))).await
    }

    fn url(&self) -> String {
        format!("sqlite:{}", self.folder.path().join("hookward.db").display())
    }
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_are_tables_for_people_and_lines_for_programs() {
    let server = Server::start().await;
    let dead = server.dead(3).await;
    let shown = server.run("deliveries list --state dead --limit 2").await;
    assert_eq!(shown.code, Some(0), "{shown:?}");
    let rows: Vec<&str> = shown.stdout.lines().collect();
    assert_eq!(rows.len(), 3, "{shown:?}");
    assert!(rows[0].starts_with("ID                                STATE  SOURCE  DESTINATION  EVENT ID"), "{shown:?}");
    assert!(rows[1].starts_with(&format!("{}  dead   stripe  app          evt_2", dead[2])), "{shown:?}");
    assert!(rows[1].ends_with("  1         connection refused"), "{shown:?}");
    assert_eq!(
        shown.stderr,
        format!("There are more: --after {} goes on from here, --all prints them all.\n", dead[1])
    );
    let all = server.run("deliveries list --all --json --source stripe").await;
    let ids: Vec<Value> = lines(&all.stdout).iter().map(|row| row["id"].clone()).collect();
    assert_eq!(ids, [json!(dead[2].to_string()), json!(dead[1].to_string()), json!(dead[0].to_string())]);
    assert_eq!(all.stderr, "");
    let none = server.run("events list --since 1h").await;
    assert_eq!((none.code, &*none.stdout, &*none.stderr), (Some(0), "", "There are none.\n"));
    let one = server.run("events list --event-id evt_1 --since 2025-10-09T08:00:00Z").await;
    assert!(one.stdout.contains("2025-10-09T08:53:21.000Z  POST    13     evt_1\n"), "{one:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_event_or_delivery_is_shown_whole() {
    let server = Server::start().await;
    let dead = server.dead(1).await[0];
    let shown = server.run(&format!("deliveries show {dead}")).await;
    assert!(shown.stdout.contains("state        dead\nreason       exhausted\n"), "{shown:?}");
    assert!(shown.stdout.contains("2025-10-09T09:53:20.000Z  12ms  yes     connection refused\n"), "{shown:?}");
    let json = server.run(&format!("deliveries show {dead} --json")).await;
    let event = lines(&json.stdout)[0]["event"].as_str().expect("an id").to_owned();
    let shown = server.run(&format!("events show {event}")).await;
    assert!(shown.stdout.ends_with("content-type: application/json\n\n{\"paid\":true}\n"), "{shown:?}");
    assert!(shown.stdout.contains(&dead.to_string()), "{shown:?}");
    let absent = server.run("events show 07070707070707070707070707070707").await;
    assert_eq!(
        (absent.code, &*absent.stderr),
        (Some(1), "error: there is no event 07070707070707070707070707070707\n")
    );
    let stats = server.run("store stats").await;
    assert!(
        stats.stdout.contains("dead        1\n") && stats.stdout.contains("DESTINATION  WAITING  DEAD\n"),
        "{stats:?}"
    );
    assert_eq!(lines(&server.run("store stats --json").await.stdout)[0]["dead"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_counts_as_cancelled_says_why() {
    let server = Server::start().await;
    let (_, id) = server.owe("stripe", 0).await;
    let leased = server.lease().await;
    let consequence = Consequence::Cancel;
    server.settle(&leased, Verdict::Dead { possible_duplicate: false, reason: "expired", consequence }).await;
    let listed = server.run("deliveries list --state cancelled").await;
    assert!(listed.stdout.contains(&format!("{id}  cancelled  stripe")), "{listed:?}");
    let shown = server.run(&format!("deliveries show {id}")).await;
    assert!(shown.stdout.contains("state        cancelled\nreason       expired\n"), "{shown:?}");
    let retried = server.run(&format!("deliveries retry {id}")).await;
    assert!(retried.stderr.contains("replay its event if it is wanted all the same"), "{retried:?}");
    assert_eq!(
        (retried.code, &*server.run("deliveries retry --dead").await.stdout),
        (Some(1), "Retried 0 deliveries\n")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_counted_and_then_retried() {
    let server = Server::start().await;
    let dead = server.dead(3).await;
    let counted = server.run("deliveries retry --dead --dry-run --since 2025-10-09T08:53:21Z").await;
    assert_eq!((counted.code, &*counted.stdout), (Some(0), "Would retry 2 deliveries\n"));
    let one = server.run(&format!("deliveries retry {}", dead[0])).await;
    assert_eq!((one.code, &*one.stdout), (Some(0), &*format!("{} is due now\n", dead[0])));
    let rest = server.run("deliveries retry --dead --source stripe --json").await;
    assert_eq!((rest.code, &*rest.stdout, &*rest.stderr), (Some(0), "{\"retried\":2}\n", ""));
    let leased = server.lease().await;
    server.settle(&leased, Verdict::Delivered).await;
    let mixed = server.run(&format!("deliveries retry {} {}", leased.id, dead[2])).await;
    assert_eq!((mixed.code, &*mixed.stdout), (Some(1), &*format!("{} is due now\n", dead[2])), "{mixed:?}");
    assert!(mixed.stderr.contains("was delivered: replay its event"), "{mixed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_replayed_by_id_or_by_time() {
    let server = Server::start().await;
    let mut events = Vec::new();
    for at in 0..20 {
        events.push(server.owe("stripe", at).await.0);
    }
    let one = server.run(&format!("events replay {} --json", events[0])).await;
    assert_eq!(one.code, Some(0), "{one:?}");
    assert_eq!(lines(&one.stdout)[0]["deliveries"][0]["destination"], "app");
    let counted = server.run("events replay --source stripe --dry-run").await;
    assert_eq!(counted.stdout, "Would replay 20 events\n");
    let many = server.run("events replay --since 2025-10-09T08:53:21Z").await;
    assert_eq!((many.code, &*many.stdout), (Some(0), "Replayed 19 events: 19 deliveries\n"), "{many:?}");
    server.owe("old", 30).await;
    let some = server.run("events replay --since 2025-10-09T08:53:39Z").await;
    assert_eq!((some.code, &*some.stdout), (Some(1), "Replayed 1 event: 1 delivery\n"), "{some:?}");
    assert!(some.stderr.contains("source \"old\" has no destination now"), "{some:?}");
    assert!(some.stderr.ends_with("error: 1 event could not be replayed\n"), "{some:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_token_says_which_and_why() {
    let server = Server::start().await;
    let dead = server.dead(1).await[0];
    let wrong = server.run_as("no-token-of-yours", "deliveries list").await;
    assert_eq!(wrong.code, Some(1));
    assert!(wrong.stderr.contains("the token in HOOKWARD_ADMIN_TOKEN is not one that 127.0.0.1:"), "{wrong:?}");
    assert!(!wrong.stderr.contains("no-token-of-yours"), "{wrong:?}");
    let reader = server.run_as(READER, &format!("deliveries retry {dead}")).await;
    assert_eq!(reader.code, Some(1));
    assert!(reader.stderr.contains("has the role read, which may only look"), "{reader:?}");
    let none = run(None, words("deliveries list")).await;
    assert_eq!(none.code, Some(2));
    assert!(none.stderr.contains("the environment has no variable HOOKWARD_ADMIN_TOKEN"), "{none:?}");
    let nobody = run(Some(OPS), words("deliveries list --admin http://127.0.0.1:1")).await;
    assert_eq!(nobody.code, Some(1));
    assert!(nobody.stderr.contains("cannot connect to 127.0.0.1:1: Connection refused"), "{nobody:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_makes_no_sense_is_a_usage_error() {
    for (arguments, wanted) in [
        ("deliveries retry", "hookward deliveries retry [OPTIONS] --dead"),
        ("deliveries retry --source stripe", "hookward deliveries retry [OPTIONS] --dead"),
        ("deliveries retry 12", "\"12\" is not an id: 32 hexadecimal digits"),
        ("deliveries list --state ded", "did you mean \"dead\"?"),
        ("deliveries list --since noon", "\"noon\" is neither how long ago, for example \"2h\""),
        ("deliveries list --limit 0", "0 is not in 1..=1000"),
        ("events replay", "hookward events replay [OPTIONS] <ID>..."),
        ("store check", "name the store with -c FILE or --store URL"),
        ("store stats --store h.db", "--store: this is not the URL of a store"),
        ("store stats --store sqlite:h.db --admin http://h", "cannot be used with"),
    ] {
        let ended = run(Some(OPS), words(arguments)).await;
        assert_eq!(ended.code, Some(2), "{arguments}: {ended:?}");
        assert!(ended.stderr.contains(wanted), "{arguments}\n wanted {wanted}\n found {}", ended.stderr);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_opened_only_while_no_server_has_it() {
    let server = Server::start().await;
    server.dead(2).await;
    let (event, _) = server.owe("old", 5).await;
    let url = server.url();
    for command in ["store check", "store stats", "deliveries list"] {
        let busy = run(None, words(&format!("{command} --store {url}"))).await;
        assert_eq!(busy.code, Some(1), "{busy:?}");
        assert!(busy.stderr.contains("is in use by another process") && busy.stderr.contains("--admin"), "{busy:?}");
    }
    let folder = close(server).await;
    let direct = async |command: &str| run(None, words(&format!("{command} --store {url}"))).await;
    let sound = direct("store check").await;
    assert_eq!((sound.code, &*sound.stdout), (Some(0), "The store is sound; events: 3, deliveries: 3\n"), "{sound:?}");
    assert_eq!(direct("deliveries retry --dead").await.stdout, "Retried 2 deliveries\n");
    assert_eq!(lines(&direct("store stats --json").await.stdout)[0]["waiting"], 3);
    let before = direct(&format!("events replay {event} --json")).await;
    assert_eq!(lines(&before.stdout)[0]["deliveries"][0]["destination"], "app", "where it was owed before");
    let named = direct(&format!("events replay {event} --destination other --json")).await;
    assert_eq!(lines(&named.stdout)[0]["deliveries"][0]["destination"], "other");
    let since = millis(0);
    let listed = direct(&format!("deliveries list --destination other --json --since {since}")).await;
    assert_eq!(listed.code, Some(0), "{listed:?}");
    let absent = run(None, words("store check --store sqlite:/nonexistent/h.db")).await;
    assert_eq!((absent.code, &*absent.stderr), (Some(1), "error: there is no file /nonexistent/h.db\n"));
    drop(folder);
}

/// Ends a server, and waits until its file is free.
async fn close(server: Server) -> tempfile::TempDir {
    let Server { folder, store, listening, .. } = server;
    listening.abort();
    let _ = listening.await;
    drop(store);
    folder
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_store_is_opened_beside_its_servers() {
    let url = shared_postgres().database().await;
    let direct = async |command: &str| run(None, words(&format!("{command} --store {url}"))).await;
    let sound = direct("store check").await;
    assert_eq!((sound.code, &*sound.stdout), (Some(0), "The store is sound; events: 0, deliveries: 0\n"), "{sound:?}");
    assert_eq!(lines(&direct("store stats --json").await.stdout)[0]["engine"], "postgres");
    let retried = direct("deliveries retry --dead").await;
    assert_eq!((retried.code, &*retried.stdout), (Some(0), "Retried 0 deliveries\n"), "{retried:?}");
    let absent = direct("events replay 07070707070707070707070707070707 --destination app").await;
    assert_eq!(absent.code, Some(1), "{absent:?}");
    assert!(absent.stderr.contains("there is no event 0707"), "{absent:?}");
}
