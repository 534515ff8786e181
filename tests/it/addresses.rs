//! With `allow = "provider"` a source lets in whom its provider publishes today, and nothing that a published list could say
//! opens the door to others.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookward::egress::Resolver;
use tempfile::TempDir;

use crate::support::child::{Serving, file, hookward};
use crate::support::client::PATIENCE;
use crate::support::tls_site::TlsSite;
use crate::support::{Gateway, NOW, Request, SECRET, Upstream, client};

const HOUR: i64 = 3600;

/// What the provider's server does.
#[derive(Debug, Clone)]
enum Act {
    Say(Vec<u8>),
    /// A status, with a `Location` of its own.
    Status(u16),
    HangUp,
    Hang,
}

/// A provider's server.
struct Site {
    server: TlsSite,
    acts: Arc<Mutex<HashMap<String, Act>>>,
    /// The heads of all requests.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Site {
    async fn start() -> Self {
        let acts: Arc<Mutex<HashMap<String, Act>>> = Arc::default();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (plan, heads) = (Arc::clone(&acts), Arc::clone(&asked));
        let server = TlsSite::start(&["ranges.example.com", "localhost"], move |head| {
            let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
            heads.lock().expect("no panic").push(head);
            let act = plan.lock().expect("no panic").get(&target).cloned();
            async {
                match act.unwrap_or(Act::Status(404)) {
                    Act::Say(body) => {
                        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                        Some([head.as_bytes(), &body].concat())
                    }
                    Act::Status(status) => {
                        let head = format!("HTTP/1.1 {status} As Told\r\nLocation: /good\r\nContent-Length: 0\r\n\r\n");
                        Some(head.into_bytes())
                    }
                    Act::HangUp => None,
                    Act::Hang => std::future::pending().await,
                }
            }
        });
        Self { server: server.await, acts, asked }
    }

    fn at(&self, target: &str, act: Act) {
        self.acts.lock().expect("no panic").insert(target.to_owned(), act);
    }

    fn say(&self, target: &str, body: impl Into<Vec<u8>>) {
        self.at(target, Act::Say(body.into()));
    }

    /// The heads of the requests for `target`.
    fn asked(&self, target: &str) -> Vec<String> {
        let wanted = format!("GET {target} HTTP/1.1\r\n");
        self.asked.lock().expect("no panic").iter().filter(|head| head.starts_with(&wanted)).cloned().collect()
    }

    /// `ranges.example.com` is this server, and `out.example.com` has these addresses.
    fn resolver(&self, out: &[&str]) -> Resolver {
        let address = self.server.address;
        let out: Vec<IpAddr> = out.iter().map(|text| text.parse().expect("an address")).collect();
        Resolver::Fixed(Arc::new(move |host, port| match host {
            "ranges.example.com" => Ok(vec![address]),
            "out.example.com" => Ok(out.iter().map(|address| SocketAddr::new(*address, port)).collect()),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        }))
    }
}

/// A provider of the operator's own, in `folder`, whose secret is in a header.
fn provider(folder: &TempDir, name: &str, network: &str) -> String {
    let text = format!(
        "[signature]\nalgorithm = \"equal\"\nheader = \"X-Token\"\nunsigned_body = true\n[event]\nid = {{ json = \"/id\" }}\n[network]\n{network}\n"
    );
    file(folder, &format!("{name}.toml"), &text).display().to_string()
}

fn source(name: &str, provider: &str, upstream: &Upstream) -> String {
    format!(
        "[[source]]\nname = \"{name}\"\npath = \"/{name}\"\nprovider = \"{provider}\"\nsecrets = [{{ env = \"SECRET\" }}]\nallow = \"provider\"\nupstream = \"{}/app\"\n",
        upstream.url()
    )
}

/// `network` is the table of that name, `sources` are all of them.
fn config(folder: &TempDir, site: &Site, network: &str, sources: &str) -> String {
    let roots = file(folder, "roots.pem", &site.server.certificate);
    format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\nworkers = 1\nclient_ip = {{ from = \"x-forwarded-for\", trusted_proxies = [\"127.0.0.1\"] }}\n{sources}[network]\nca_file = \"{}\"\n{network}\n",
        roots.display()
    )
}

/// One source, called acme.
async fn gateway(folder: &TempDir, site: &Site, network: &str, of_provider: &str) -> Gateway {
    let upstream = Upstream::start().await;
    let source = source("acme", &provider(folder, "acme", of_provider), &upstream);
    Gateway::with_resolver(&config(folder, site, network, &source), upstream, site.resolver(&["1.1.1.1", "9.9.9.9"]))
}

fn event(path: &str, client: &str) -> Request {
    let body = format!(r#"{{"id":"{client}"}}"#);
    Request::post(path).header("X-Token", SECRET).header("X-Forwarded-For", client).body(body.as_bytes())
}

/// What each of `clients` is answered.
async fn answers<const N: usize>(address: SocketAddr, clients: [&str; N]) -> [u16; N] {
    let mut statuses = [0; N];
    for (status, client) in statuses.iter_mut().zip(clients) {
        *status = client::send(address, event("/acme", client)).await.status;
    }
    statuses
}

fn refreshes(gateway: &Gateway, result: &str) -> f64 {
    gateway.metric(&format!("hookward_gateway_addresses_refreshes_total{{provider=\"acme\",result=\"{result}\"}}"))
}

/// Waits until so many requests for acme's list had this result.
async fn until(gateway: &Gateway, result: &str, times: f64) {
    let waited = async {
        while refreshes(gateway, result) < times {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waited).await.unwrap_or_else(|_| {
        let counts = ["ok", "unchanged", "unreachable", "refused"].map(|result| (result, refreshes(gateway, result)));
        panic!("{result} is not {times}: {counts:?}")
    });
}

/// The list before, and half of it in the new one.
const SNAPSHOT: &str = "allow = [\"8.8.8.0/24\", \"9.9.9.9\"]\n";
const OLD: &str = "8.8.8.8";
const BOTH: &str = "9.9.9.9";
const NEW: &str = "1.1.1.1";
const JSON: &str = "refresh = { url = \"https://ranges.example.com/list?live=1\", json = \"/hooks\" }\n";
const GOOD: &str = r#"{"hooks":["9.9.9.9/32","1.1.1.0/24"],"web":["0.0.0.0/0"]}"#;

#[tokio::test]
async fn a_new_address_comes_in_and_an_old_one_no_longer_whatever_the_form() {
    let site = Site::start().await;
    site.say("/list?live=1", GOOD);
    site.say(
        "/objects",
        r#"[{"cidr":"9.9.9.0/24","for":["hooks"]},{"cidr":"1.1.1.0/24","for":"hooks"},{"cidr":"8.8.8.0/24","for":["web"]}]"#,
    );
    site.say("/lines", "# Ours\n9.9.9.9\n\n1.1.1.0/24 # new\n");
    site.say("/half", "9.9.9.0/24");
    for refresh in [
        JSON,
        "refresh = { url = \"https://ranges.example.com/objects\", json = \"\", field = \"cidr\", only = { for = \"hooks\" } }",
        "refresh = { url = \"https://ranges.example.com/lines\", lines = true }",
        "refresh = { dns = [\"out.example.com\"] }",
        "refresh = [{ url = \"https://ranges.example.com/half\", lines = true }, { dns = [\"out.example.com\"] }]",
    ] {
        let folder = TempDir::new().expect("a folder");
        let gateway = gateway(&folder, &site, "", &format!("{SNAPSHOT}{refresh}")).await;
        until(&gateway, "ok", 1.0).await;
        assert_eq!(answers(gateway.address(), [OLD, BOTH, NEW]).await, [403, 200, 200], "{refresh}");
        assert_eq!(gateway.upstream.arrived().len(), 2);
    }
    let heads = site.asked("/list?live=1");
    let head = heads.first().expect("a request");
    assert!(head.to_lowercase().contains("\r\nhost: ranges.example.com\r\n"), "{head}");
    assert!(head.to_lowercase().contains("\r\nuser-agent: hookward/"), "{head}");
}

#[tokio::test]
async fn what_is_no_list_changes_nothing_and_is_counted() {
    let (site, folder) = (Site::start().await, TempDir::new().expect("a folder"));
    let gateway = gateway(&folder, &site, "", &format!("{SNAPSHOT}{JSON}")).await;
    site.say("/good", GOOD);
    until(&gateway, "unreachable", 1.0).await;

    let many = |count: usize| format!(r#"{{"hooks":[{}]}}"#, vec!["\"1.1.1.1\""; count].join(","));
    let document = |text: &str| Act::Say(text.as_bytes().to_vec());
    let bad = [
        ("refused", document("<html>sign in</html>")),
        ("refused", document("")),
        ("refused", document(r#"{"hooks":[]}"#)),
        ("refused", document(r#"{"web":["1.1.1.1"]}"#)),
        ("refused", document(r#"{"hooks":["1.1.1.1","0.0.0.0/0"]}"#)),
        ("refused", document(r#"{"hooks":["1.1.1.1","::/0"]}"#)),
        ("refused", document(r#"{"hooks":["1.0.0.0/7"]}"#)),
        ("refused", document(r#"{"hooks":["1.1.1.1","10.0.0.0/8"]}"#)),
        ("refused", document(r#"{"hooks":["1.1.1.1","127.0.0.1"]}"#)),
        ("refused", document(r#"{"hooks":["1.1.1.1","fe80::1"]}"#)),
        ("refused", document(r#"{"hooks":["1.1.1.1","one.one.one.one"]}"#)),
        ("refused", document(&many(10_001))),
        ("refused", document(&format!("{}{}", many(1), " ".repeat(1 << 20)))),
        ("unreachable", Act::Status(500)),
        ("unreachable", Act::Status(304)),
        // Where it leads to would be a good list: nobody goes there.
        ("unreachable", Act::Status(302)),
        ("unreachable", Act::HangUp),
    ];
    let mut now = NOW;
    for (result, act) in bad {
        let before = refreshes(&gateway, result);
        let said = format!("{act:.80?}");
        site.at("/list?live=1", act);
        // Beyond the longest wait after a failure.
        now += 2 * HOUR;
        gateway.set_now(now);
        until(&gateway, result, before + 1.0).await;
        assert_eq!(answers(gateway.address(), [OLD, BOTH, NEW]).await, [200, 200, 403], "{said}");
    }
    assert_eq!((refreshes(&gateway, "ok"), refreshes(&gateway, "unchanged")), (0.0, 0.0));
    assert!(site.asked("/good").is_empty());

    site.say("/list?live=1", GOOD);
    gateway.set_now(now + 2 * HOUR);
    until(&gateway, "ok", 1.0).await;
    assert_eq!(answers(gateway.address(), [OLD, BOTH, NEW]).await, [403, 200, 200]);
    // Bad ones leave the last good one in force, and not the first.
    site.at("/list?live=1", Act::Status(500));
    let before = refreshes(&gateway, "unreachable");
    gateway.set_now(now + 10 * HOUR);
    until(&gateway, "unreachable", before + 1.0).await;
    assert_eq!(answers(gateway.address(), [OLD, BOTH, NEW]).await, [403, 200, 200]);
}

#[tokio::test]
async fn a_server_that_hangs_or_is_not_the_providers_keeps_nobody_waiting() {
    let (site, folder) = (Site::start().await, TempDir::new().expect("a folder"));
    site.at("/list?live=1", Act::Hang);
    let hanging = gateway(&folder, &site, "", &format!("{SNAPSHOT}{JSON}")).await;
    let elsewhere = TempDir::new().expect("a folder");
    let stranger = Site::start().await;
    stranger.say("/list?live=1", GOOD);
    // Names lead to a server that another one vouches for.
    let upstream = Upstream::start().await;
    let source = source("acme", &provider(&elsewhere, "acme", &format!("{SNAPSHOT}{JSON}")), &upstream);
    let text = config(&elsewhere, &site, "", &source);
    let misled = Gateway::with_resolver(&text, upstream, stranger.resolver(&[]));
    until(&misled, "unreachable", 1.0).await;
    assert_eq!(answers(misled.address(), [OLD, NEW]).await, [200, 403]);
    assert!(stranger.asked("/list?live=1").is_empty());

    let begun = std::time::Instant::now();
    assert_eq!(answers(hanging.address(), [OLD, BOTH, NEW]).await, [200, 200, 403]);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    until(&hanging, "unreachable", 1.0).await;
}

#[tokio::test]
async fn a_list_is_asked_for_as_often_as_the_configuration_says() {
    let (site, folder) = (Site::start().await, TempDir::new().expect("a folder"));
    site.say("/list?live=1", GOOD);
    let gateway = gateway(&folder, &site, "refresh = \"2h\"", &format!("{SNAPSHOT}{JSON}")).await;
    until(&gateway, "ok", 1.0).await;
    assert_eq!(gateway.metric("hookward_gateway_addresses_networks{provider=\"acme\"}"), 2.0);
    gateway.set_now(NOW + 2 * HOUR - 1);
    assert_eq!(
        gateway.metric("hookward_gateway_addresses_age_seconds{provider=\"acme\"}"),
        (2 * HOUR - 1) as f64,
        "it is not asked for earlier"
    );
    gateway.set_now(NOW + 2 * HOUR + HOUR / 4);
    until(&gateway, "unchanged", 1.0).await;
    assert_eq!(gateway.metric("hookward_gateway_addresses_age_seconds{provider=\"acme\"}"), 0.0);
    assert_eq!(site.asked("/list?live=1").len(), 2);
}

#[tokio::test]
async fn a_list_that_drops_most_of_the_other_counts_alone_after_an_hour() {
    let (site, folder) = (Site::start().await, TempDir::new().expect("a folder"));
    site.say("/list?live=1", r#"{"hooks":["1.1.1.1"]}"#);
    let gateway = gateway(&folder, &site, "", &format!("{SNAPSHOT}{JSON}")).await;
    until(&gateway, "ok", 1.0).await;
    assert_eq!(answers(gateway.address(), [OLD, BOTH, NEW]).await, [200, 200, 200], "both lists count");
    gateway.set_now(NOW + 2 * HOUR);
    until(&gateway, "ok", 2.0).await;
    assert_eq!(answers(gateway.address(), [OLD, BOTH, NEW]).await, [403, 403, 200]);
}

#[tokio::test]
async fn without_a_snapshot_the_provider_is_asked_to_come_back_until_there_is_a_list() {
    let (site, folder) = (Site::start().await, TempDir::new().expect("a folder"));
    let gateway = gateway(&folder, &site, "", JSON).await;
    until(&gateway, "unreachable", 1.0).await;
    let reply = gateway.send(event("/acme", NEW)).await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("5")));
    let label = "source=\"acme\",outcome=\"rejected\",reason=\"addresses_unavailable\"";
    assert_eq!(gateway.metric(&format!("hookward_gateway_requests_total{{{label}}}")), 1.0);
    assert!(gateway.upstream.arrived().is_empty());
    site.say("/list?live=1", GOOD);
    gateway.set_now(NOW + 2 * HOUR);
    until(&gateway, "ok", 1.0).await;
    assert_eq!(answers(gateway.address(), [OLD, NEW]).await, [403, 200]);
}

#[tokio::test]
async fn the_last_good_list_outlives_a_restart_where_there_is_a_file() {
    let (site, folder) = (Site::start().await, TempDir::new().expect("a folder"));
    let kept = folder.path().join("addresses.json");
    let network = format!("file = \"{}\"", kept.display());
    let of_provider = format!("{SNAPSHOT}{JSON}");
    site.say("/list?live=1", GOOD);
    {
        let gateway = gateway(&folder, &site, &network, &of_provider).await;
        until(&gateway, "ok", 1.0).await;
        let written = async {
            while !kept.exists() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, written).await.expect("a file");
    }
    site.at("/list?live=1", Act::Status(500));
    let verdicts = async |of_provider: &str| {
        let gateway = gateway(&folder, &site, &network, of_provider).await;
        answers(gateway.address(), [OLD, BOTH, NEW]).await
    };
    let (kept_is_in_force, snapshot_is) = ([403, 200, 200], [200, 200, 403]);
    assert_eq!(verdicts(&of_provider).await, kept_is_in_force);
    // Had from somewhere else, it would be another list.
    assert_eq!(verdicts(&of_provider.replace("/hooks", "/web")).await, snapshot_is);
    let good = std::fs::read_to_string(&kept).expect("a file");
    for damaged in [&good[..good.len() / 2], "", "[]", &good.replace("1.1.1.0/24", "0.0.0.0/0")] {
        std::fs::write(&kept, damaged).expect("a writable folder");
        assert_eq!(verdicts(&of_provider).await, snapshot_is, "{damaged}");
    }
    // Older than what the program brings along: it was replaced by one that knows better.
    assert!(good.contains("\"fetched\": \"2025-10-09T"), "{good}");
    std::fs::write(&kept, good.replace("2025-10-09T", "2019-12-31T")).expect("a writable folder");
    assert_eq!(verdicts(&of_provider).await, kept_is_in_force, "nobody says how old the snapshot is");
    let read = provider(&folder, "acme", &of_provider);
    let text = std::fs::read_to_string(&read).expect("the provider");
    let upstream = Upstream::start().await;
    std::fs::write(&read, format!("read = \"2020-01-01\"\n{text}")).expect("a writable folder");
    let text = config(&folder, &site, &network, &source("acme", &read, &upstream));
    let gateway = Gateway::with_resolver(&text, upstream, site.resolver(&[]));
    assert_eq!(answers(gateway.address(), [OLD, BOTH, NEW]).await, snapshot_is);
}

#[tokio::test]
async fn nobody_is_asked_where_refreshing_is_off() {
    let (site, folder, other) =
        (Site::start().await, TempDir::new().expect("a folder"), TempDir::new().expect("a folder"));
    let of_provider = format!("{SNAPSHOT}{JSON}");
    let off = gateway(&folder, &site, "refresh = \"off\"", &of_provider).await;
    site.say("/other", "9.9.9.9\n1.1.1.1");
    let on = "refresh = { url = \"https://ranges.example.com/other\", lines = true }";
    let on = gateway(&other, &site, "", &format!("{SNAPSHOT}{on}")).await;
    until(&on, "ok", 1.0).await;
    for gateway in [&off, &on] {
        gateway.set_now(NOW + 24 * HOUR);
    }
    until(&on, "unchanged", 1.0).await;
    assert!(site.asked("/list?live=1").is_empty());
    assert_eq!(answers(off.address(), [OLD, BOTH, NEW]).await, [200, 200, 403]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_keeps_what_is_known_and_fetches_what_is_new() {
    let (site, folder) = (Site::start().await, TempDir::new().expect("a folder"));
    let upstream = Upstream::start().await;
    let here = |target: &str| {
        format!("refresh = {{ url = \"https://localhost:{}{target}\", lines = true }}", site.server.address.port())
    };
    site.say("/acme", "9.9.9.9\n1.1.1.1");
    site.say("/late", "9.9.9.9\n1.1.1.1");
    let acme = source("acme", &provider(&folder, "acme", &format!("{SNAPSHOT}{}", here("/acme"))), &upstream);
    let late = source("late", &provider(&folder, "late", &format!("{SNAPSHOT}{}", here("/late"))), &upstream);
    let write = |network: &str, sources: &str| file(&folder, "h.toml", &config(&folder, &site, network, sources));
    let mut serving = Serving::with_file(&write("", &acme));
    let address = serving.address("gateway");
    let took_over = "Took over a provider's address list";
    let line = serving.wait_for(&[took_over, "\"provider\":\"acme\""]);
    assert!(line.contains("\"added\":1") && line.contains("\"dropped\":1"), "{line}");
    assert_eq!(answers(address, [OLD, BOTH, NEW]).await, [403, 200, 200]);

    site.at("/acme", Act::Status(500));
    write("refresh = \"1h\"", &format!("{acme}{late}"));
    serving.signal("HUP");
    serving.wait_for(&[took_over, "\"provider\":\"late\""]);
    assert_eq!(answers(address, [OLD, BOTH, NEW]).await, [403, 200, 200]);
    assert_eq!(client::send(address, event("/late", NEW)).await.status, 200);
    assert_eq!(client::send(address, event("/late", OLD)).await.status, 403);
    assert_eq!((site.asked("/acme").len(), site.asked("/late").len()), (1, 1));

    // Switched off, it is what the providers' files say again.
    write("refresh = \"off\"", &acme);
    serving.signal("HUP");
    serving.wait_for(&["Took over the configuration"]);
    assert_eq!(answers(address, [OLD, BOTH, NEW]).await, [200, 200, 403]);
    serving.signal("TERM");
    let (_, log) = serving.end();
    assert!(!log.iter().any(|line| line.contains("\"level\":\"ERROR\"")), "{log:#?}");
}

/// What `check` says of a source whose provider is `of_provider`.
fn check(folder: &TempDir, site: &Site, network: &str, of_provider: &str) -> (Option<i32>, String) {
    let upstream = "http://127.0.0.1:3000/app";
    let source = format!(
        "[[source]]\nname = \"acme\"\npath = \"/acme\"\nprovider = \"{}\"\nsecrets = [{{ env = \"SECRET\" }}]\nallow = \"provider\"\nupstream = \"{upstream}\"\n",
        provider(folder, "acme", of_provider)
    );
    let path = file(folder, "h.toml", &config(folder, site, network, &source));
    let output = hookward(&["check", "-c", Path::to_str(&path).expect("a path")]).env("SECRET", SECRET).output();
    let output = output.expect("the program");
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[tokio::test]
async fn check_says_whom_a_source_lets_in() {
    let (site, folder) = (Site::start().await, TempDir::new().expect("a folder"));
    for (network, of_provider, code, wanted) in [
        (
            "",
            format!("{SNAPSHOT}{JSON}"),
            0,
            "source \"acme\": it lets in 2 networks of the provider, of an unknown day, and asks every 6h for today's: https://ranges.example.com/list?live=1 at /hooks",
        ),
        ("refresh = \"90m\"", format!("{SNAPSHOT}{JSON}"), 0, "and asks every 1h30m for today's"),
        ("refresh = \"off\"", format!("{SNAPSHOT}{JSON}"), 0, "which nobody refreshes: [network] refresh is \"off\""),
        ("", SNAPSHOT.to_owned(), 0, "which nobody refreshes: there is no list to fetch"),
        ("", JSON.to_owned(), 0, "it lets nobody in, and answers 503, until the provider's addresses are fetched"),
        (
            "refresh = \"off\"",
            JSON.to_owned(),
            78,
            "are only known to who fetches them, and [network] refresh is \"off\"",
        ),
        ("", String::new(), 78, "publishes no addresses"),
        ("refresh = \"30s\"", JSON.to_owned(), 78, "is more often than anybody changes a list"),
        ("refresh = \"daily\"", JSON.to_owned(), 78, "is not a duration"),
        ("file = \"/\"", JSON.to_owned(), 78, "\"/\" is no file"),
    ] {
        let (found, said) = check(&folder, &site, network, &of_provider);
        assert!(found == Some(code) && said.contains(wanted), "{network}: {wanted}\n{said}");
    }
}

#[test]
fn published_lists_of_presets_stand_the_test_that_fetched_ones_do() {
    // What a preset brings along is no wider than what we would believe its provider.
    for preset in hookward::signature::preset::Preset::all() {
        for net in preset.profile.addresses.snapshot.iter() {
            let least = if net.max_prefix_len() == 32 { 8 } else { 16 };
            let public = hookward::egress::address::forbidden(net.addr()).is_none();
            assert!(net.prefix_len() >= least && public, "{}: {net}", preset.slug);
        }
        if !preset.profile.addresses.are_unknown() {
            assert!(preset.read.len() == 10, "{}: its snapshot is of no day", preset.slug);
        }
    }
}

#[test]
fn a_sidecar_says_where_its_list_is_kept() {
    let flags = ["serve", "--provider", "acme", "--address-refresh", "soon", "--address-file", "/"];
    let output = hookward(&flags).output().expect("the program");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(said.contains("--address-refresh: [network]: refresh: \"soon\" is not a duration"), "{said}");
    assert!(said.contains("--address-file: [network]: file: \"/\" is no file"), "{said}");
}

#[test]
fn the_page_about_it_is_true() {
    let page = std::fs::read_to_string("docs/addresses.md").expect("the page");
    let blocks = |kind: &str| -> Vec<String> {
        let fence = format!("```{kind}\n");
        page.split(&fence).skip(1).filter_map(|part| Some(part.split_once("```")?.0.to_owned())).collect()
    };
    let (files, said) = (blocks("toml"), blocks("text"));
    let folder = TempDir::new().expect("a folder");
    let path = file(&folder, "h.toml", &files[0]);
    let output = hookward(&["check", "-c", Path::to_str(&path).expect("a path")]).env("GITHUB_SECRET", SECRET).output();
    let output = String::from_utf8_lossy(&output.expect("the program").stdout).into_owned();
    assert!(output.contains(&said[0]) && output.contains("is good: 1 source, 0 warnings"), "{}\n{output}", said[0]);
    let own = hookward::signature::preset::Preset::from_file("acme", "acme.toml", &files[1]).expect("a provider");
    assert_eq!(own.profile.addresses.refresh.len(), 1);
    let metrics = hookward::telemetry::metrics::Metrics::new();
    metrics.list("acme").count(hookward::telemetry::outcome::RefreshResult::Ok);
    metrics.set_list_age("acme", Some(1));
    let rendered = metrics.render(hookward::dedup::DedupStats::default()).expect("text");
    let named =
        page.split('`').filter_map(|code| code.split_once('{')).filter(|(name, _)| name.starts_with("hookward_"));
    let named: Vec<&str> = named.map(|(name, _)| name).collect();
    assert_eq!(named.len(), 3);
    for name in named {
        assert!(rendered.contains(&format!("{name}{{provider=\"acme\"")), "{name}\n{rendered}");
    }
}
