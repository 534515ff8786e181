mod providers;
mod routes;

use super::*;

const GOOD: &str = r#"
[gateway]
listen = "127.0.0.1:0"

[[source]]
name = "stripe"
path = "/in/stripe"
provider = "stripe"
secrets = [{ env = "SECRET" }]
allow = "any"
upstream = "http://127.0.0.1:3000/webhooks"
"#;

fn environment() -> Environment {
    Environment::from([("SECRET", "0123456789abcdef0123"), ("EMPTY", ""), ("UNEXPANDED", "${SECRET}")])
}

fn faults(text: &str) -> Vec<String> {
    match Config::parse("h.toml", text, &environment()) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.iter().map(ToString::to_string).collect(),
    }
}

fn warnings(text: &str) -> Vec<String> {
    let config = Config::parse("h.toml", text, &environment()).expect("a good file");
    config.warnings.iter().map(ToString::to_string).collect()
}

/// The good file with one line of its source replaced by another, or added where it has none.
fn with(line: &str) -> String {
    let key = line.split(" =").next().unwrap_or(line);
    let lines = GOOD.lines().filter(|known| known.split(" =").next() != Some(key));
    format!("{}\n{line}\n", lines.collect::<Vec<_>>().join("\n"))
}

#[test]
fn the_good_file_is_good() {
    assert_eq!(faults(GOOD), [""; 0]);
    assert_eq!(warnings(GOOD), [""; 0]);
}

#[test]
fn each_fault_names_its_place_and_the_way_out() {
    for (line, wanted) in [
        (
            "tolerance = \"5 min\"",
            "h.toml:12:13: source \"stripe\": tolerance: \"5 min\" is not a duration, for example \"5m\"",
        ),
        ("tolerence = \"5m\"", "h.toml:12:1: source \"stripe\": unknown key `tolerence`, did you mean `tolerance`?"),
        ("allow = []", "h.toml:11:9: source \"stripe\": allow: an empty list names nobody"),
        ("allow = [\"10.1.2.3/8\"]", "allow: \"10.1.2.3/8\" has bits behind its prefix, write \"10.0.0.0/8\""),
        ("allow = [\"10.0.0/8\"]", "allow: \"10.0.0/8\" is not an address or a network"),
        ("allow = \"all\"", "allow: \"all\" is neither \"provider\" nor \"any\""),
        ("provider = \"strpe\"", "provider: \"strpe\" is not a provider, did you mean \"stripe\"?"),
        ("secrets = [{ env = \"EMPTY\" }]", "the secret of { env = \"EMPTY\" } is empty"),
        (
            "secrets = [{ env = \"UNEXPANDED\" }]",
            "the secret of { env = \"UNEXPANDED\" } is a variable's name that nobody expanded",
        ),
        ("secrets = [{ env = \"ABSENT\" }]", "env: the environment has no variable ABSENT"),
        ("secrets = [{ file = \"/nonexistent/x\" }]", "file: cannot read /nonexistent/x: No such file or directory"),
        ("secrets = [{ env = \"SECRET\", file = \"x\" }]", "name the secret by one of env, file or literal"),
        ("secrets = []", "secrets: an empty list verifies nothing"),
        ("secrets = \"whsec_x\"", "secrets: a string is not a list of tables"),
        ("upstream = \"127.0.0.1:3000\"", "upstream: \"127.0.0.1:3000\" is not a"),
        ("upstream = \"http://app/x?y\"", "upstream: \"http://app/x?y\" has a query"),
        ("path = \"in\"", "path: \"in\" does not begin with a slash"),
        ("path = \"/a/../b\"", "path: \"/a/../b\" is not a plain path"),
        ("path = \"/a?b\"", "has a query or a fragment"),
        ("name = \"My Stripe\"", "name: \"My Stripe\" is not 1 to 64 of a-z"),
        ("max_body = 1048576", "max_body: 1048576 is not a string, put it in quotes"),
        ("max_body = \"1 MB\"", "max_body: \"1 MB\" is not a size, for example \"1MiB\""),
        ("accepted = 302", "accepted: 302 is not a whole number from 200 to 299"),
        ("enforce = \"no\"", "enforce: a string is not a boolean"),
        ("dedup = \"of\"", "dedup: \"of\" is not known, did you mean \"off\"?"),
        ("lease = \"1s\"", "lease: it must be longer than upstream_timeout"),
        ("upstream_timeout = \"0s\"", "leaves no time at all"),
        ("max_body = \"0B\"", "leaves no room at all"),
        ("tolerance = \"500ms\"", "timestamps are whole seconds"),
        ("allow = [\"::ffff:0:0/96\"]", "is every address, write allow = \"any\""),
        ("signature = \"none\"", "signature: \"none\" and secrets exclude each other"),
        ("signature = \"off\"", "signature: a string is not a table, or \"none\" for the signature"),
        ("mode = \"store\"", "mode: \"store\" needs a [store], for example url ="),
        ("mode = \"stor\"", "mode: \"stor\" is not known, did you mean \"store\"?"),
        ("upstream = [\"http://a/\", \"http://b/\"]", "upstream: several are for mode = \"store\""),
        ("retry = { delays = [\"1m\"] }", "retry: it is for mode = \"store\""),
        ("max_in_flight = 3", "max_in_flight: it is for mode = \"store\""),
        ("ca_file = \"/x\"", "ca_file: the upstream is plain http://"),
        ("pass_headers = [\"x-foo\"]", "pass_headers: \"x-foo\" is not one of those that are dropped: x-original-url"),
    ] {
        let found = faults(&with(line));
        assert!(found.iter().any(|fault| fault.contains(wanted)), "{line}\n wanted {wanted}\n found {found:#?}");
        assert!(found.iter().all(|fault| fault.starts_with("h.toml:")), "{found:#?}");
    }
}

#[test]
fn every_fault_is_found_in_one_run() {
    let text = "[gateway]\nlisten = 8080\nworker = 2\n[[source]]\nname = \"a\"\npath = \"/a\"\n[[source]]\nname = \"a\"\npath = \"/a\"\nprovider = \"githb\"\n";
    let found = faults(text);
    for wanted in [
        "h.toml:2:10: [gateway]: listen: 8080 is not a string",
        "h.toml:3:1: [gateway]: unknown key `worker`, did you mean `workers`?",
        "source \"a\": `provider` is missing",
        "source \"a\": `upstream` is missing",
        "h.toml:8:8: source \"a\": name: \"a\" is taken by the source at h.toml:5:8",
        "h.toml:9:8: source \"a\": path: \"/a\" is taken by the source at h.toml:6:8",
        "h.toml:10:12: source \"a\": provider: \"githb\" is not a provider, did you mean \"github\"?",
    ] {
        assert!(found.iter().any(|fault| fault.contains(wanted)), "wanted {wanted}\n found {found:#?}");
    }
}

#[test]
fn what_is_not_toml_says_where() {
    let found = faults("[gateway\nlisten = \"127.0.0.1:0\"\n");
    assert!(found[0].starts_with("h.toml:1:"), "{found:#?}");
    assert!(faults("").iter().any(|fault| fault.contains("`source` is missing")));
}

/// A source that stores its events, with one line more.
fn storing(line: &str) -> String {
    with(&format!("mode = \"store\"\n{line}\n[store]\nurl = \"sqlite:/tmp/hookward.db\""))
}

#[test]
fn a_source_that_stores_says_how_it_delivers() {
    let text = storing("retry = { delays = [\"1m\", \"5m\"], window = \"4h\", jitter = 0 }\nmax_in_flight = 3");
    let text =
        text.replace("upstream = \"http://127.0.0.1:3000/webhooks\"", "upstream = [\"http://a/\", \"http://b/x\"]");
    assert_eq!(faults(&text), [""; 0]);
    let config = Config::parse("h.toml", &text, &environment()).expect("a good file");
    for line in [
        "mode = \"store\"",
        "upstream = [\"http://a:80/\", \"http://b:80/x\"]",
        "retry = { delays = [\"1m\", \"5m\"], window = \"4h\", jitter = 0.0 }",
        "max_in_flight = 3",
        "lease = \"35s\"",
        "url = \"sqlite:/tmp/hookward.db\"",
        "retention = \"30d\"",
    ] {
        assert!(config.effective.contains(line), "{line} is not in\n{}", config.effective);
    }
}

#[test]
fn a_bad_way_of_delivering_says_so() {
    for (line, wanted) in [
        ("retry = { delays = [] }", "retry: delays: it has 1 to 64 waits"),
        ("retry = { delays = [\"soon\"] }", "retry: delays: \"soon\" is not a duration"),
        ("retry = { delays = [\"1m\"], factor = 2 }", "retry: factor: delays says it all"),
        ("retry = { factor = 2.5, jitter = 1.5 }", "retry: jitter: 1.5 is not a number from 0 to 1"),
        ("retry = { factor = 0.5 }", "retry: factor: 0.5 is not a number from 1 to 100"),
        ("retry = { initial = \"2h\", max = \"1h\" }", "retry: max: it is shorter than initial"),
        ("retry = { windw = \"1h\" }", "unknown key `windw`, did you mean `window`?"),
        ("store_down = \"fail_open\"", "store_down: with mode = \"store\" there is nothing to fall back on"),
        ("max_in_flight = 0", "max_in_flight: 0 is not a whole number from 1"),
    ] {
        let found = faults(&storing(line));
        assert!(found.iter().any(|fault| fault.contains(wanted)), "{line}\n wanted {wanted}\n found {found:#?}");
    }
    let twice = storing("").replace("\"http://127.0.0.1:3000/webhooks\"", "[\"http://a\", \"http://a/\"]");
    assert!(
        faults(&twice).iter().any(|fault| fault.contains("\"http://a:80/\" is there twice")),
        "{:?}",
        faults(&twice)
    );
}

#[test]
fn stores_are_named_by_url_and_their_passwords_are_not_shown() {
    let with_store = |url: &str| format!("{}\n[store]\nurl = {url}\n", GOOD);
    for (url, wanted) in [
        ("\"hookward.db\"", "[store]: url: this is not the URL of a store, for example"),
        ("\"sqlite:/no/such/folder/x.db\"", "[store]: url: there is no folder for /no/such/folder/x.db"),
        ("\"postgres://u:topsecret@h:x/d\"", "[store]: url: not a PostgreSQL URL"),
        ("{ env = \"ABSENT\" }", "the environment has no variable ABSENT"),
    ] {
        let found = faults(&with_store(url));
        assert!(found.iter().any(|fault| fault.contains(wanted)), "{url}\n wanted {wanted}\n found {found:#?}");
        assert!(!format!("{found:?}").contains("topsecret"), "{found:?}");
    }
    let text = with_store("\"postgres://u:topsecret@db.internal/d\"");
    let config = Config::parse("h.toml", &text, &environment()).expect("a good file");
    assert!(config.effective.contains("url = \"postgres://u:***@db.internal/d\""), "{}", config.effective);
    let said = warnings(&text).join("\n");
    assert!(said.contains("password in it") && said.contains("?sslmode=require"), "{said}");
    let named = format!("{GOOD}\n[dedup]\nstore = {{ env = \"DATABASE\" }}\n");
    let environment = Environment::from([
        ("SECRET", "0123456789abcdef0123"),
        ("DATABASE", "postgres://u:topsecret@db.internal/d?sslmode=require"),
    ]);
    let config = Config::parse("h.toml", &named, &environment).expect("a good file");
    assert_eq!(config.warnings, []);
}

#[test]
fn a_source_without_a_signature_needs_another_door() {
    let unsigned = |rest: &str| {
        let text = with("signature = \"none\"")
            .replace("secrets = [{ env = \"SECRET\" }]\n", "")
            .replace("stripe", "cyberark-vaas");
        faults(&format!("{text}{rest}"))
    };
    assert!(unsigned("")[0].contains("lets anybody in"), "{:?}", unsigned(""));
    // VAN-72: addresses alone never stand for a signature that the provider promises.
    let vanta =
        with("signature = \"none\"").replace("secrets = [{ env = \"SECRET\" }]\n", "").replace("stripe", "vantastatus");
    let found = faults(&vanta.replace("allow = \"any\"", "allow = \"provider\""));
    assert!(found[0].contains("signs every request"), "{found:?}");
    assert_eq!(unsigned("authorization = { scheme = \"bearer\", env = \"SECRET\" }\n"), [""; 0]);
    assert!(unsigned("authorization = { scheme = \"basic\", env = \"SECRET\" }\n")[0].contains("user:password"));
    let other = unsigned("authorization = { scheme = \"digest\", env = \"SECRET\" }\n");
    assert!(other.iter().any(|fault| fault.contains("write \"bearer\" or")), "{other:?}");
}

#[test]
fn an_operators_keys_win_over_the_presets_one_by_one() {
    let text = format!("{GOOD}signature = {{ header = \"X-Mine\" }}\ntolerance = \"10s\"\n");
    let config = Config::parse("h.toml", &text, &environment()).expect("a good file");
    assert!(config.effective.contains("tolerance = \"10s\""), "{}", config.effective);
    let broken = faults(&format!("{GOOD}signature = {{ encoding = \"hx\" }}\n"));
    assert!(broken[0].contains("encoding: \"hx\" is not known"), "{broken:?}");
}

#[test]
fn a_scheme_of_ones_own_needs_no_preset() {
    let own = "signature = { algorithm = \"hmac-sha256\", header = \"X-Sig\", value = \"v1={signature}\", signs = \"{body}\" }\n";
    let text = format!("{}{own}", GOOD.replace("provider = \"stripe\"\n", ""));
    assert_eq!(faults(&text), [""; 0]);
    let effective = |text: &str| Config::parse("h.toml", text, &environment()).expect("a good file").effective;
    assert_eq!(effective(&effective(&text)), effective(&text), "what is in force can be read again");
    assert!(faults(&text.replace("{body}", "{body}.{timestamp}"))[0].contains("[signature]"));
    assert!(faults(&text.replace("{body}", "fixed"))[0].contains("signs nothing of the message"));
}

#[test]
fn replay_and_retry_windows_are_warned_of_with_the_number_to_write() {
    let vgs = GOOD.replace("stripe", "vgs").replace("allow = \"any\"", "allow = \"provider\"");
    let found = warnings(&vgs);
    assert!(
        found.iter().any(|warning| warning.contains("go on for 27h35m5s") && warning.contains("tolerance = \"28h\"")),
        "{found:?}"
    );
    assert_eq!(warnings(&format!("{vgs}tolerance = \"28h\"\ndedup_ttl = \"57h\"\n")), [""; 0]);
    assert!(warnings(&with("dedup_ttl = \"1h\""))[0].contains("write dedup_ttl = \"73h\""));
    assert!(warnings(&with("dedup = \"off\""))[0].contains("can be replayed for 5m"));
    let vanta = with("dedup = \"off\"").replace("stripe", "vantastatus");
    assert!(
        warnings(&vanta).iter().any(|warning| warning.contains("can be replayed at any time")),
        "its time is not signed"
    );
    // Who signs nothing is only known by where it comes from.
    let known_by_address = |provider: &str| {
        warnings(&GOOD.replace("stripe", provider)).iter().any(|warning| warning.contains("would keep others out"))
    };
    assert_eq!(["gitlab", "stripe", "shopify"].map(known_by_address), [true, false, false]);
    let nobody = faults(&with("allow = \"provider\"").replace("stripe", "shopify"));
    assert!(nobody[0].contains("allow: Shopify publishes no addresses"), "{nobody:?}");
    assert!(
        warnings(&with("secrets = [{ literal = \"short\" }]")).iter().any(|warning| warning.contains("only 5 bytes"))
    );
}

#[test]
fn a_running_program_keeps_what_it_stands_on() {
    let parse = |text: &str| Config::parse("h.toml", text, &environment()).expect("a good file");
    let running = parse(GOOD);
    assert_eq!(parse(&with("max_body = \"2MiB\"")).fixed().differences(&running.fixed()), [""; 0]);
    let other = parse(&format!("{}\n[dedup]\nmax_entries = 5\n", GOOD.replace("127.0.0.1:0", "127.0.0.1:1")));
    assert_eq!(other.fixed().differences(&running.fixed()), ["gateway.listen", "[dedup]"]);
}

#[test]
fn a_dedup_store_is_a_word_or_a_url_and_its_password_stays_hidden() {
    let with_dedup = |rest: &str| format!("{GOOD}[dedup]\n{rest}\n");
    for (line, wanted) in [
        ("store = \"memry\"", "[dedup]: store: \"memry\" is not known, did you mean \"memory\"?"),
        ("store = \"redis://\"", "[dedup]: store: this is not the URL of a Redis"),
        ("store = \"redis://:hush@cache/x\"", "store: this is not the URL of a Redis"),
        ("store = \"redis:cache\"", "store: the URL of a Redis begins with redis:// or rediss://"),
        ("store = \"rediss://cache/#insecure\"", "store: the URL of a Redis has no query and no fragment"),
        ("store = \"mysql://:hush@db\"", "store: it is neither \"memory\" nor a URL"),
        ("timeout = \"0s\"", "timeout: \"0s\" leaves no time at all"),
        ("prefix = \"a b\"", "prefix: \"a b\" is not made of up to 64 letters"),
    ] {
        let found = faults(&with_dedup(line));
        assert!(found.len() == 1 && found[0].contains(wanted), "{line}\n wanted {wanted}\n found {found:#?}");
        assert!(found.iter().all(|fault| !fault.contains("hush")), "{found:#?}");
    }
    let text = with_dedup("store = \"rediss://app:hush@cache:6380/2\"\ntimeout = \"1s\"\nprefix = \"blue\"");
    let config = Config::parse("h.toml", &text, &environment()).expect("a good file");
    let shown = format!("{config:?}{}", config.effective);
    assert!(shown.contains("store = \"rediss://app:***@cache:6380/2\"") && !shown.contains("hush"), "{shown}");
    let found = faults(&with("store_down = \"fail\""));
    assert!(found[0].contains("write \"fail_closed\" or \"fail_open\""), "{found:?}");
}

#[test]
fn secrets_are_never_shown() {
    let text = with("secrets = [{ literal = \"super-secret-value-1\" }, { env = \"SECRET\", id = \"new\" }]");
    let config = Config::parse("h.toml", &text, &environment()).expect("a good file");
    let shown = format!("{config:?}{}", config.effective);
    assert!(!shown.contains("super-secret") && !shown.contains("0123456789abcdef"), "{shown}");
    assert!(shown.contains("{ env = \"SECRET\", id = \"new\" }"));
}

#[test]
fn faults_in_flags_name_the_flag() {
    let flags = Sidecar { provider: Some("stripe".into()), tolerance: Some("5".into()), ..Sidecar::default() };
    let found = Config::from_flags(&flags, &environment()).expect_err("faults");
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(
        found
            .iter()
            .any(|fault| fault.starts_with("--tolerance: source \"stripe\": tolerance: \"5\" is not a duration")),
        "{found:?}"
    );
    assert!(found.iter().any(|fault| fault.contains("--upstream is missing, for example")), "{found:?}");
    let flags = Sidecar {
        provider: Some("stripe".into()),
        secret_env: vec!["SECRET".into()],
        upstream: Some("http://127.0.0.1:3000".into()),
        allow: vec!["203.0.113.0/24".into(), "2001:db8::1".into()],
        ..Sidecar::default()
    };
    let config = Config::from_flags(&flags, &environment()).expect("good flags");
    assert_eq!(config.gateway.sources[0].path, "/");
    assert!(config.effective.contains("allow = [\"203.0.113.0/24\", \"2001:db8::1\"]"), "{}", config.effective);
}

#[test]
fn what_a_handshake_needs_is_named_and_shown_by_its_origin() {
    let flags = Sidecar {
        provider: Some("meta".into()),
        secret_env: vec!["SECRET".into()],
        verify_token_env: Some("SECRET".into()),
        upstream: Some("http://127.0.0.1:3000".into()),
        ..Sidecar::default()
    };
    let config = Config::from_flags(&flags, &environment()).expect("good flags");
    assert!(config.effective.contains("verify_token = { env = \"SECRET\" }"), "{}", config.effective);
    let without = Sidecar { verify_token_env: Some("NONE".into()), ..flags };
    let found = Config::from_flags(&without, &environment()).expect_err("a fault");
    assert!(found[0].to_string().starts_with("--verify-token-env: "), "{found:?}");

    let text = with("secrets = [{ file = \"/nonexistent/asana\", learn = true }]").replace("stripe", "asana");
    let config = Config::parse("h.toml", &text, &environment()).expect("a good file");
    let wanted = "secrets = [{ file = \"/nonexistent/asana\", learn = true, id = \"1\" }]";
    assert!(config.effective.contains(wanted), "{}", config.effective);
    assert!(faults(&text.replace(", learn = true", ""))[0].contains("cannot read /nonexistent/asana"));
}

#[test]
fn a_secret_that_is_still_to_come_has_a_name_and_a_file_of_its_own() {
    let learning = |secret: &str| with(&format!("secrets = [{{ {secret}, learn = true }}]")).replace("stripe", "asana");
    for id in ["a b", "\\u00e9", "a\\nb", ""] {
        let found = faults(&learning(&format!("file = \"/nonexistent/asana\", id = \"{id}\"")));
        assert!(found[0].contains("id: it is not made of letters"), "{found:?}");
    }
    for file in ["", "/nonexistent/"] {
        let found = faults(&learning(&format!("file = \"{file}\"")));
        assert!(found[0].contains("is no file, for example"), "{found:?}");
    }
    let one = learning("file = \"/nonexistent/asana\"");
    let source = one.find("[[source]]").expect("a source");
    let other = one[source..].replace("name = \"asana\"", "name = \"other\"").replace("/in/asana", "/in/other");
    let found = faults(&format!("{one}\n{other}"));
    assert!(found[0].contains("secrets: learn: the source \"asana\" is to keep its secret in that file"), "{found:?}");
    assert_eq!(faults(&format!("{one}\n{}", other.replace("/nonexistent/asana", "/nonexistent/other"))), [""; 0]);
}

#[test]
fn parameters_of_challenges_are_shown_where_nothing_is_signed() {
    let folder = tempfile::tempdir().expect("a folder");
    let provider = folder.path().join("own.toml");
    let text = "signature = \"none\"\n[[challenge]]\nname = \"c\"\nmethod = \"GET\"\nwhen = [{ query = \"k\", is = \"{param.key}\" }]\n";
    std::fs::write(&provider, text).expect("a file");
    let text = format!(
        "[[source]]\nname = \"s\"\npath = \"/s\"\nprovider = \"{}\"\nallow = [\"203.0.113.0/24\"]\nparams = {{ key = \"pk\" }}\nupstream = \"http://127.0.0.1:3000\"\n",
        provider.display()
    );
    let effective = Config::parse("h.toml", &text, &environment()).unwrap_or_else(|why| panic!("{why:#?}")).effective;
    assert!(effective.contains("params = { key = [\"pk\"] }"), "{effective}");
    assert_eq!(faults(&effective), [""; 0]);
}

#[test]
fn an_operators_event_id_replaces_the_presets() {
    let event_id = |event: &str| {
        let text = format!("{}event = {event}\n", GOOD.replace("stripe", "github"));
        let config = Config::parse("h.toml", &text, &environment());
        config.map(|config| match &config.gateway.sources[0].proof {
            crate::gateway::source::Proof::Signature(verifier) => {
                verifier.scheme().alternatives()[0].ids().iter().map(ToString::to_string).collect::<Vec<_>>()
            }
            crate::gateway::source::Proof::Elsewhere(_) => Vec::new(),
        })
    };
    assert_eq!(event_id("{ id = { json = \"/id\" } }").expect("good"), ["JSON /id"]);
    let both = event_id("{ id = { header = \"x-id\", json = \"/id\" } }").expect_err("both at once");
    assert!(both[0].text.contains("for both, write a list"), "{both:?}");
}

#[test]
fn a_secret_pasted_in_the_wrong_place_is_not_repeated() {
    for line in ["secrets = [{ env = \"whsec_c2VjcmV0\" }]", "secrets = [{ env = \"c2VjcmV0+/=\" }]"] {
        let found = faults(&with(line));
        assert!(found[0].contains("this is not a variable's name") && !found[0].contains("c2VjcmV0"), "{found:?}");
    }
    let twice = faults(&with("secrets = [{ env = \"SECRET\", id = \"2\" }, { env = \"SECRET\" }]"));
    assert!(twice[0].contains("id: \"2\" is another secret's"), "{twice:?}");
    for id in ["a b", "", "a\\nb", "é"] {
        let found = faults(&with(&format!("secrets = [{{ env = \"SECRET\", id = \"{id}\" }}]")));
        assert!(found[0].contains("id: it is not made of letters"), "{found:?}");
    }
}

/// The good file with `tokens` in `[admin]`.
fn with_tokens(tokens: &str) -> String {
    format!("{GOOD}[admin]\ntokens = [{tokens}]\n")
}

#[test]
fn a_token_has_a_name_a_role_and_a_secret_of_its_own() {
    for (tokens, wanted) in [
        ("{ env = \"SECRET\", role = \"admin\" }", "[admin.tokens]: `name` is missing, for example \"ops\""),
        ("{ env = \"SECRET\", name = \"a\" }", "[admin.tokens]: `role` is missing, for example \"admin\", \"manage\""),
        ("{ name = \"a\", role = \"root\", env = \"SECRET\" }", "role: \"root\" is not known, write \"admin\" or"),
        ("{ name = \"a b\", role = \"read\", env = \"SECRET\" }", "name: \"a b\" is not made of 1 to 64 letters"),
        ("{ name = \"a\", role = \"read\" }", "name the secret by one of env, file or literal"),
        ("{ name = \"a\", role = \"read\", env = \"EMPTY\" }", "the secret of { env = \"EMPTY\" } is empty"),
        ("{ name = \"a\", role = \"read\", literal = \"hush 12345678901\" }", "the token has blanks or other"),
        (
            "{ name = \"a\", role = \"read\", env = \"SECRET\" }, { name = \"b\", role = \"read\", env = \"SECRET\" }",
            "it is the same secret as the token \"a\"",
        ),
        (
            "{ name = \"a\", role = \"read\", env = \"SECRET\" }, { name = \"a\", role = \"read\", literal = \"hush-12345678901\" }",
            "name: \"a\" is another token's",
        ),
    ] {
        let found = faults(&with_tokens(tokens));
        assert!(found.iter().any(|fault| fault.contains(wanted)), "{tokens}\n wanted {wanted}\n found {found:#?}");
        assert!(found.iter().all(|fault| !fault.contains("hush")), "{found:#?}");
    }
}

#[test]
fn tokens_are_masked_and_short_ones_warned_of() {
    let text = with_tokens("{ name = \"ops\", role = \"manage\", literal = \"hush\" }");
    let config = Config::parse("h.toml", &text, &environment()).expect("a good file");
    let shown = format!("{config:?}{}", config.effective);
    assert!(shown.contains("tokens = [{ name = \"ops\", literal = \"…\", role = \"manage\" }]"), "{shown}");
    assert!(!shown.contains("hush"), "{shown}");
    assert!(warnings(&text).iter().any(|warning| warning.contains("the secret has only 4 bytes")));
    assert_eq!(warnings(&with_tokens("{ name = \"ops\", role = \"manage\", env = \"SECRET\" }")), [""; 0]);
}

/// A sender whose `templates` are these tables.
fn with_templates(list: &str) -> String {
    format!(
        "[store]\nurl = \"sqlite:/tmp/hookward.db\"\n[sender]\ntokens = [{{ name = \"app\", env = \"SECRET\", role = \"admin\" }}]\ntemplates = [\n{list}]\n"
    )
}

#[test]
fn templates_are_read_from_their_files_and_refused_where_they_are_wrong() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let good = file("good", "{\"text\": {{ type }}}");
    let list = format!("{{ name = \"pager\", file = \"{good}\" }}");
    let config = Config::parse("h.toml", &with_templates(&list), &environment()).expect("a good file");
    assert_eq!(config.warnings, []);
    let shown = config.sender.expect("a sender").describe();
    assert!(shown.contains(&format!("templates = [{list}]")), "{shown}");

    let (typo, blank) = (file("typo", "\n{{ dta }}"), file("blank", "{% if data.a %}1{% endif %}"));
    for (list, wanted) in [
        (format!("{{ file = \"{good}\" }}"), "h.toml:6:1: [sender.templates]: `name` is missing".to_owned()),
        ("{ name = \"a\" }".to_owned(), "h.toml:6:1: [sender.templates]: `file` is missing".to_owned()),
        (format!("{{ name = \"a b\", file = \"{good}\" }}"), "name: it is not a name".to_owned()),
        (format!("{list}, {list}"), "name: there is another template \"pager\"".to_owned()),
        ("{ name = \"a\", file = \"/nonexistent\" }".to_owned(), "file: cannot read /nonexistent: No such".to_owned()),
        (
            format!("{{ name = \"a\", file = \"{typo}\" }}"),
            format!("file: {typo}: line 2: there is no `dta`, did you mean `data`?"),
        ),
    ] {
        let found = faults(&with_templates(&list));
        assert!(found.len() == 1 && found[0].contains(&wanted), "{list}\n wanted {wanted}\n found {found:#?}");
    }
    let said = warnings(&with_templates(&format!("{{ name = \"a\", file = \"{blank}\" }}")));
    assert!(said.len() == 1 && said[0].contains("it comes out empty"), "{said:#?}");
}
