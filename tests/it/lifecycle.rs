//! Start, reload, drain, TLS, health and logs of the running program.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use tempfile::TempDir;

use crate::support::child::{Serving, file, hookward};
use crate::support::client::{converse, parse};
use crate::support::upstream::Act;
use crate::support::{Request, Upstream, signed};

/// The time by the machine's clock, which a child process lives by.
fn now() -> i64 {
    hookward::clock::Clock::System.now().0
}

fn config(upstream: &Upstream, gateway: &str, source: &str) -> String {
    format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\nworkers = 2\n{gateway}\n[[source]]\nname = \"stripe\"\npath = \"/in\"\nprovider = \"stripe\"\nsecrets = [{{ env = \"SECRET\" }}]\nallow = \"any\"\nupstream = \"{}/app\"\n{source}\n[admin]\nlisten = \"127.0.0.1:0\"\n",
        upstream.url()
    )
}

fn event(id: &str) -> Request {
    signed("stripe", "", &format!(r#"{{"id":"{id}"}}"#), now())
}

async fn status(address: SocketAddr, request: Request) -> u16 {
    crate::support::client::send(address, request).await.status
}

async fn get(address: SocketAddr, target: &str) -> (u16, String) {
    let reply = crate::support::client::send(address, Request::post(target).method("GET")).await;
    (reply.status, reply.text())
}

#[tokio::test]
async fn health_and_metrics_are_served_and_nothing_secret_is_logged() {
    let upstream = Upstream::start().await;
    let folder = TempDir::new().expect("a folder");
    let mut serving = Serving::with_file(&file(&folder, "h.toml", &config(&upstream, "", "")));
    let gateway = serving.address("gateway");
    let admin = serving.address("admin");
    assert_eq!(get(admin, "/livez").await, (200, "ok\n".into()));
    assert_eq!(get(admin, "/readyz").await, (200, "ok\n".into()));
    assert_eq!(get(admin, "/").await.0, 404);
    assert_eq!(status(admin, Request::post("/metrics")).await, 405);

    let request = event("evt_1").target("/in?token=query-secret").header("Authorization", "Bearer header-secret");
    let tag = request.value("stripe-signature").to_owned();
    assert_eq!(status(gateway, request).await, 200);
    assert_eq!(status(gateway, event("evt_2").body(b"body-secret")).await, 401);
    let metrics = get(admin, "/metrics").await.1;
    for line in [
        r#"hookward_gateway_requests_total{source="stripe",outcome="forwarded",reason=""} 1"#,
        r#"hookward_gateway_requests_total{source="stripe",outcome="rejected",reason="signature_mismatch"} 1"#,
        r#"hookward_gateway_request_duration_seconds_count{source="stripe"} 2"#,
        r#"hookward_upstream_duration_seconds_count{source="stripe"} 1"#,
        "hookward_build_info{version=",
        "hookward_dedup_evictions_total 0",
        "hookward_config_last_reload_successful 1",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    let accepted = serving.wait_for(&["Answered webhook"]);
    assert!(accepted.contains(r#""outcome":"forwarded""#) && accepted.contains(r#""event.id":"evt_1""#), "{accepted}");
    let rejected = serving.wait_for(&["Rejected request"]);
    assert!(rejected.contains(r#""reason":"signature_mismatch""#), "{rejected}");
    serving.signal("TERM");
    let (ended, log) = serving.end();
    assert!(ended.success());
    let everything = format!("{log:?}{metrics}");
    for secret in [crate::support::SECRET, &tag, "query-secret", "header-secret", "body-secret"] {
        assert!(!everything.contains(secret), "{secret} is in\n{everything}");
    }
}

#[tokio::test]
async fn a_reload_changes_what_it_may_and_a_bad_file_changes_nothing() {
    let upstream = Upstream::start().await;
    let folder = TempDir::new().expect("a folder");
    let write = |text: &str| file(&folder, "h.toml", text);
    let path = write(&config(&upstream, "", "max_body = \"100B\""));
    let mut serving = Serving::with_file(&path);
    let gateway = serving.address("gateway");
    let admin = serving.address("admin");
    let large = || event(&"x".repeat(200));
    assert_eq!(status(gateway, large()).await, 413);

    write(&config(&upstream, "", "max_body = \"1KiB\""));
    serving.signal("HUP");
    serving.wait_for(&["Took over the configuration"]);
    assert_eq!(status(gateway, large()).await, 200);

    write(&config(&upstream, "", "max_body = \"1 KiB\""));
    serving.signal("HUP");
    let refused = serving.wait_for(&["not taken over"]);
    assert!(refused.contains("h.toml:12:12") && refused.contains("is not a size"), "{refused}");
    assert_eq!(status(gateway, event(&"y".repeat(200))).await, 200);
    assert!(get(admin, "/metrics").await.1.contains("hookward_config_last_reload_successful 0"));

    write(
        &config(&upstream, "", "")
            .replace("workers = 2", "workers = 1")
            .replace("[admin]", "[dedup]\nmax_entries = 9\n[admin]"),
    );
    serving.signal("HUP");
    let refused = serving.wait_for(&["only with a restart"]);
    assert!(refused.contains("gateway.workers, [dedup]"), "{refused}");

    // CYB-03: an allowlist that changed is in force without a restart.
    write(&config(&upstream, "", "").replace("\"any\"", "[\"192.0.2.1\"]"));
    serving.signal("HUP");
    serving.wait_for(&["Took over the configuration"]);
    assert_eq!(status(gateway, event("evt_9")).await, 403);
    assert!(get(admin, "/metrics").await.1.contains("hookward_config_last_reload_successful 1"));
}

#[tokio::test]
async fn secrets_in_files_are_read_again() {
    let upstream = Upstream::start().await;
    let folder = TempDir::new().expect("a folder");
    let secret = file(&folder, "secret", "an-older-secret-0123456789\n");
    let named = format!("secrets = [{{ file = \"{}\" }}]", secret.display());
    let text = config(&upstream, "", "").replace("secrets = [{ env = \"SECRET\" }]", &named);
    let mut serving = Serving::with_file(&file(&folder, "h.toml", &text));
    let gateway = serving.address("gateway");
    assert_eq!(status(gateway, event("evt_1")).await, 401);
    file(&folder, "secret", &format!("{}\n", crate::support::SECRET));
    serving.signal("HUP");
    serving.wait_for(&["Took over the configuration"]);
    assert_eq!(status(gateway, event("evt_1")).await, 200);
}

#[tokio::test]
async fn draining_finishes_what_has_begun() {
    let upstream = Upstream::start().await;
    upstream.plan([Act::Hold(200)]);
    let folder = TempDir::new().expect("a folder");
    let mut serving = Serving::with_file(&file(&folder, "h.toml", &config(&upstream, "", "")));
    let gateway = serving.address("gateway");
    let admin = serving.address("admin");
    let begun = tokio::spawn(async move { status(gateway, event("evt_1")).await });
    upstream.wait_for(1).await;
    serving.signal("TERM");
    serving.wait_for(&["Draining"]);
    while get(admin, "/readyz").await.0 == 200 {
        tokio::task::yield_now().await;
    }
    assert_eq!(get(admin, "/livez").await.0, 200);
    while TcpStream::connect(gateway).is_ok() {
        tokio::task::yield_now().await;
    }
    upstream.release();
    assert_eq!(begun.await.expect("an answer"), 200);
    let (ended, log) = serving.end();
    assert_eq!(ended.code(), Some(0), "{log:#?}");
    assert!(log.iter().any(|line| line.contains("Drained")), "{log:#?}");
}

#[tokio::test]
async fn a_drain_has_an_end_and_a_second_signal_ends_at_once() {
    for (drain_timeout, second, wanted) in [("50ms", false, "Ended before everything"), ("1h", true, "Ended at once")] {
        let upstream = Upstream::start().await;
        upstream.plan([Act::Hold(200)]);
        let folder = TempDir::new().expect("a folder");
        let text = config(&upstream, &format!("drain_timeout = \"{drain_timeout}\""), "");
        let mut serving = Serving::with_file(&file(&folder, "h.toml", &text));
        let gateway = serving.address("gateway");
        let stream = std::thread::spawn(move || {
            let mut stream = TcpStream::connect(gateway).expect("a listener");
            stream.write_all(&event("evt_1").bytes()).expect("a connection");
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            parse(&answer)
        });
        upstream.wait_for(1).await;
        serving.signal("TERM");
        serving.wait_for(&["Draining"]);
        if second {
            serving.signal("INT");
        }
        serving.wait_for(&[wanted]);
        let (ended, _) = serving.end();
        assert_eq!(ended.code(), Some(1));
        assert_eq!(stream.join().expect("a thread"), None, "nobody was told that it was accepted");
    }
}

/// A certificate authority with a certificate for `localhost`, as PEM: authority, certificate, key.
fn certificates() -> (String, String, String) {
    let mut authority = CertificateParams::new(Vec::new()).expect("parameters");
    authority.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority =
        CertifiedIssuer::self_signed(authority, KeyPair::generate().expect("a key")).expect("a certificate");
    let key = KeyPair::generate().expect("a key");
    let leaf = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
    let leaf = leaf.signed_by(&key, &authority).expect("a certificate");
    (authority.pem(), leaf.pem(), key.serialize_pem())
}

/// Writes a certificate with its key, and returns the line of `[gateway]` that names them.
fn tls_line(folder: &TempDir, certificate: &str, key: &str) -> String {
    let (certificate, key) = (file(folder, "tls.crt", certificate), file(folder, "tls.key", key));
    format!("tls = {{ cert_file = \"{}\", key_file = \"{}\" }}", certificate.display(), key.display())
}

fn trusting(authority: &str) -> tokio_rustls::TlsConnector {
    hookward::egress::install_crypto();
    let mut roots = rustls::RootCertStore::empty();
    let certificate = rustls::pki_types::CertificateDer::from_pem_slice(authority.as_bytes()).expect("PEM");
    roots.add(certificate).expect("a certificate");
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Arc::new(config).into()
}

async fn status_by_tls(address: SocketAddr, authority: &str, request: Request) -> Result<u16, std::io::Error> {
    let stream = tokio::net::TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").expect("a name");
    let stream = trusting(authority).connect(name, stream).await?;
    Ok(converse(stream, &request.bytes()).await.expect("an answer").status)
}

#[tokio::test]
async fn tls_is_spoken_and_new_certificates_are_taken_over() {
    let upstream = Upstream::start().await;
    let folder = TempDir::new().expect("a folder");
    let (old_authority, certificate, key) = certificates();
    let tls = tls_line(&folder, &certificate, &key);
    let mut serving = Serving::with_file(&file(&folder, "h.toml", &config(&upstream, &tls, "")));
    let gateway = serving.address("gateway");
    assert_eq!(status_by_tls(gateway, &old_authority, event("evt_1")).await.expect("TLS"), 200);
    assert_eq!(upstream.only().header("x-forwarded-proto"), "https");

    let (new_authority, certificate, key) = certificates();
    file(&folder, "tls.crt", &certificate);
    serving.signal("HUP");
    let refused = serving.wait_for(&["not taken over"]);
    assert!(refused.contains("certificate and key cannot be used together"), "{refused}");
    assert_eq!(status_by_tls(gateway, &old_authority, event("evt_2")).await.expect("TLS"), 200);

    file(&folder, "tls.key", &key);
    serving.signal("HUP");
    serving.wait_for(&["Took over the configuration"]);
    assert_eq!(status_by_tls(gateway, &new_authority, event("evt_3")).await.expect("TLS"), 200);
    assert!(status_by_tls(gateway, &old_authority, event("evt_4")).await.is_err());
}

#[tokio::test]
async fn an_upstream_by_tls_must_be_vouched_for() {
    let behind = Upstream::start().await;
    let (authority, certificate, key) = certificates();
    // A second gateway stands in for an app that speaks TLS.
    let folder = TempDir::new().expect("a folder");
    let tls = tls_line(&folder, &certificate, &key);
    let mut app = Serving::with_file(&file(&folder, "app.toml", &config(&behind, &tls, "")));
    let port = app.address("gateway").port();
    let ca_file = file(&folder, "ca.pem", &authority);
    for (ca_file, wanted) in [(Some(ca_file), 200), (None, 502)] {
        let upstream = format!("upstream = \"https://localhost:{port}/in\"");
        let ca_file = ca_file.map(|path| format!("ca_file = \"{}\"\n", path.display())).unwrap_or_default();
        let text = config(&behind, "", &ca_file).replace(&format!("upstream = \"{}/app\"", behind.url()), &upstream);
        let mut serving = Serving::with_file(&file(&folder, "h.toml", &text));
        let gateway = serving.address("gateway");
        assert_eq!(status(gateway, event(&format!("evt_{wanted}"))).await, wanted);
    }
    assert_eq!(behind.arrived().len(), 1);
}

#[tokio::test]
async fn the_sidecar_form_needs_no_file() {
    let upstream = Upstream::start().await;
    let mut command = hookward(&["serve", "--provider", "stripe", "--secret-env", "SECRET", "--listen", "127.0.0.1:0"]);
    command.env("SECRET", crate::support::SECRET).env("HOOKWARD_UPSTREAM", format!("{}/app", upstream.url()));
    let mut serving = Serving::start(&mut command);
    serving.wait_for(&["accepted from any address"]);
    let gateway = serving.address("gateway");
    assert_eq!(status(gateway, event("evt_1").target("/")).await, 200);
    assert_eq!(status(gateway, event("evt_1").target("/in")).await, 404);
    assert_eq!(upstream.only().target, "/app");
}

#[tokio::test]
async fn a_taken_port_is_said_and_ends_the_program() {
    let sidecar = |listen: &str| {
        let flags = ["serve", "--provider", "stripe", "--secret-env", "SECRET", "--upstream", "http://127.0.0.1:1"];
        let mut command = hookward(&flags);
        command.args(["--listen", listen]).env("SECRET", crate::support::SECRET);
        command
    };
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address");
    let output = sidecar(&address.to_string()).output().expect("the program");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(said.contains(&format!("cannot listen on {address} for the gateway")), "{said}");
    // A second gateway would take half of the connections and remember other events.
    let mut first = Serving::start(&mut sidecar("127.0.0.1:0"));
    let address = first.address("gateway").to_string();
    assert_eq!(sidecar(&address).output().expect("the program").status.code(), Some(1));
    let health = hookward(&["health", "http://127.0.0.1:1/readyz"]).output().expect("the program");
    assert_eq!(health.status.code(), Some(1));
}

#[tokio::test]
async fn a_log_that_nobody_reads_holds_up_no_webhook() {
    let upstream = Upstream::start().await;
    let folder = TempDir::new().expect("a folder");
    let path = file(&folder, "h.toml", &config(&upstream, "", ""));
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("an address");
    let text = std::fs::read_to_string(&path).expect("text").replacen("127.0.0.1:0", &port.to_string(), 1);
    file(&folder, "h.toml", &text);
    let mut command = hookward(&["serve", "-c", path.to_str().expect("a path")]);
    let mut child = command
        .env("SECRET", crate::support::SECRET)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("the program");
    while TcpStream::connect(port).is_err() {
        tokio::task::yield_now().await;
    }
    // A pipe holds 64 KiB; these lines are several times that.
    for number in 0..1500 {
        assert_eq!(status(port, event(&format!("evt_{number}_{}", "x".repeat(200)))).await, 200, "{number}");
    }
    let stop = std::process::Command::new("sh").args(["-c", &format!("kill -s TERM {}", child.id())]).status();
    assert!(stop.expect("a shell").success());
    assert!(child.wait().expect("its end").success());
}

#[test]
fn flags_are_never_ignored() {
    let folder = TempDir::new().expect("a folder");
    file(&folder, "hookward.toml", "");
    let alone = hookward(&["serve", "--allow", "203.0.113.0/24"]).current_dir(&folder).output().expect("the program");
    assert_eq!(alone.status.code(), Some(78));
    let said = String::from_utf8(alone.stderr).expect("text");
    assert!(said.contains("--provider is missing"), "{said}");
    let both = hookward(&["serve", "-c", "hookward.toml", "--allow", "any"])
        .current_dir(&folder)
        .output()
        .expect("the program");
    assert_eq!(both.status.code(), Some(2));
}

#[tokio::test]
async fn an_upstream_that_fails_is_logged_also_where_only_warnings_are() {
    let upstream = Upstream::start().await;
    upstream.plan([Act::Answer(500)]);
    let folder = TempDir::new().expect("a folder");
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("an address");
    let text = config(&upstream, "", "").replacen("127.0.0.1:0", &port.to_string(), 1);
    let mut serving = Serving::with_file(&file(&folder, "h.toml", &format!("{text}[log]\nlevel = \"warn\"\n")));
    while TcpStream::connect(port).is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!(status(port, event("evt_1")).await, 500);
    let line = serving.wait_for(&["did not take webhook"]);
    assert!(line.contains(r#""reason":"upstream_status""#), "{line}");
}
