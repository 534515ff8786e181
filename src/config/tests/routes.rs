//! Routes of a source, and the end of its URL.

use super::{Config, GOOD, environment, faults, warnings, with};
use crate::config::environment::Environment;

/// The good file with routes in its source.
fn routed(routes: &str) -> String {
    format!("{GOOD}{routes}\n")
}

fn about(text: &str) -> Vec<String> {
    let config = Config::parse("h.toml", text, &environment()).unwrap_or_else(|faults| panic!("{faults:#?}"));
    config.about.into_iter().map(|(_, line)| line).collect()
}

#[test]
fn each_fault_of_a_route_names_it() {
    for (route, wanted) in [
        ("type = \"a\"", "h.toml:12:1: source \"stripe\": route \"1\": `upstream` is missing, for example"),
        ("type = \"a\"", "or drop = true"),
        (
            "name = \"x\"\ntype = \"a\"\nupstrem = \"http://a/\"",
            "h.toml:15:1: source \"stripe\": route \"x\": unknown key `upstrem`",
        ),
        ("name = \"x y\"\ntype = \"a\"\ndrop = true", "route \"x y\": name: it is not 1 to 64 letters"),
        ("type = \"a\"\ndrop = true\nupstream = \"http://a/\"", "upstream: what is dropped goes nowhere, leave it out"),
        ("type = \"a\"\ndrop = true\ntemplate = \"slack\"", "template: what is dropped goes nowhere, leave it out"),
        ("type = []\ndrop = true", "type: an empty list matches nothing"),
        ("type = \"*.paid\"\ndrop = true", "type: \"*.paid\" is not a type, or what types begin with"),
        ("type = 1\ndrop = true", "type: 1 is not a string"),
        ("json = { group = \"a\" }\ndrop = true", "json: \"group\" is not a JSON pointer"),
        (
            "json = { \"/a\" = [] }\ndrop = true",
            "json: what should stand at /a is a text, a number, a boolean, or a list",
        ),
        ("json = { \"/a\" = { b = 1 } }\ndrop = true", "json: what should stand at /a is a text"),
        (
            "template = \"slak\"\ntype = \"a\"\nupstream = \"http://a/\"",
            "template: there is no template \"slak\", did you mean \"slack\"?",
        ),
        (
            "template = \"pager\"\ntype = \"a\"\nupstream = \"http://a/\"",
            "there is no template \"pager\", write { file = ",
        ),
        ("template = { file = \"nowhere\" }\ntype = \"a\"\nupstream = \"http://a/\"", "file: cannot read nowhere"),
        ("template = { }\ntype = \"a\"\nupstream = \"http://a/\"", "`file` is missing"),
        (
            "metadata = { a = \"b\" }\ntype = \"a\"\nupstream = \"http://a/\"",
            "metadata: it is for a template, and there is none",
        ),
        ("data = \"/a\"\ntype = \"a\"\nupstream = \"http://a/\"", "data: it is for a template, and there is none"),
        (
            "metadata = { a = 1 }\ntemplate = \"slack\"\ntype = \"a\"\nupstream = \"http://a/\"",
            "metadata: a: 1 is not a string",
        ),
        ("type = \"a\"\nupstream = \"http://a/?b\"", "upstream: \"http://a/?b\" has a query"),
        ("type = \"a\"\nupstream = [\"http://a/\", \"http://b/\"]", "upstream: several are for mode = \"store\""),
        (
            "type = \"a\"\nupstream = { env = \"SECRET\" }",
            "upstream: what { env = \"SECRET\" } has is not a URL of http:// or https://",
        ),
        (
            "type = \"a\"\nupstream = { literal = \"http://a/\" }",
            "literal: a URL that is no secret is written as it is",
        ),
        (
            "type = \"a\"\nupstream = { env = \"NOWHERE\" }",
            "source \"stripe\": route \"1\": upstream: env: the environment has no variable NOWHERE",
        ),
        (
            "drop = true",
            "h.toml:11:12: source \"stripe\": upstream: nothing reaches it, the last route takes every event",
        ),
    ] {
        let found = faults(&routed(&format!("[[source.route]]\n{route}")));
        assert!(found.iter().any(|fault| fault.contains(wanted)), "{route}\n{wanted}\n{found:#?}");
        assert!(!found.iter().any(|fault| fault.contains("0123456789abcdef")), "a secret: {found:#?}");
    }
}

#[test]
fn a_route_that_nothing_reaches_is_a_fault() {
    let two = |first: &str, second: &str| {
        routed(&format!(
            "[[source.route]]\nname = \"first\"\ndrop = true\n{first}\n[[source.route]]\ndrop = true\n{second}"
        ))
    };
    let never = "route \"2\": nothing reaches it, route \"first\" takes all of its events";
    for (first, second, reached) in [
        ("type = \"a.*\"", "type = \"a.b\"", false),
        ("type = \"a.*\"", "type = [\"a.b\", \"a.c.*\"]", false),
        ("type = \"a.*\"", "type = [\"a.b\", \"b\"]", true),
        ("type = \"a.b\"", "type = \"a.*\"", true),
        ("type = \"*\"", "type = \"a\"", false),
        ("type = \"a\"", "json = { \"/x\" = 1 }", true),
        ("json = { \"/x\" = [1, 2] }", "type = \"a\"\njson = { \"/x\" = 1 }", false),
        ("json = { \"/x\" = 1 }", "json = { \"/x\" = [1, 2] }", true),
        ("json = { \"/x\" = 1, \"/y\" = 1 }", "json = { \"/x\" = 1 }", true),
        ("json = { \"/x\" = 1 }", "json = { \"/x\" = 1, \"/y\" = 1 }", false),
    ] {
        let found = faults(&two(first, second));
        assert_eq!(found.is_empty(), reached, "{first} | {second}: {found:#?}");
        assert!(reached || found[0].contains(never), "{found:#?}");
    }
    let after = with("upstream = \"http://a/\"").replace("upstream = \"http://a/\"\n", "");
    let found = faults(&format!("{after}[[source.route]]\ndrop = true\n[[source.route]]\ntype = \"a\"\ndrop = true\n"));
    assert!(found[0].contains("route \"2\": nothing reaches it, the one before it takes every event"), "{found:#?}");
    let alike = two("type = \"a\"", "type = \"b\"\nname = \"first\"");
    assert!(faults(&alike)[0].contains("name: there is another route \"first\""), "{:#?}", faults(&alike));
}

#[test]
fn a_source_needs_somewhere_to_go() {
    let without = with("upstream = \"http://a/\"").replace("upstream = \"http://a/\"\n", "");
    assert!(faults(&without)[0].contains("`upstream` is missing"));
    let some = format!("{without}[[source.route]]\ntype = \"a\"\nupstream = \"http://a/\"\n");
    assert!(faults(&some)[0].contains("`upstream` is missing"), "{:#?}", faults(&some));
    let all = format!("{some}[[source.route]]\nupstream = \"http://b/\"\n");
    assert_eq!(faults(&all), [""; 0]);
}

#[test]
fn a_type_wants_a_provider_that_has_one() {
    let text = routed("[[source.route]]\ntype = \"a\"\ndrop = true").replace("\"stripe\"", "\"affirm\"");
    let wanted =
        "type: where this provider says it is not known, write event = { type = { json = \"/type\" } } in the source";
    assert!(faults(&text)[0].contains(wanted), "{:#?}", faults(&text));
    let own = text.replace("allow =", "event = { type = { json = \"/event/type\" } }\nallow =");
    assert_eq!(faults(&own), [""; 0]);
}

#[test]
fn what_goes_where_is_said() {
    let text = routed(
        "[[source.route]]\nname = \"paid\"\ntype = [\"invoice.paid\", \"charge.*\"]\njson = { \"/livemode\" = true, \"/n\" = [1, 2.5] }\ntemplate = \"slack\"\nupstream = { env = \"URL\" }\n[[source.route]]\njson = { \"/livemode\" = false }\ndrop = true",
    );
    let environment =
        Environment::from([("SECRET", "0123456789abcdef0123"), ("URL", "https://hooks.slack.com/x/y/z?sig=1")]);
    let config = Config::parse("h.toml", &text, &environment).unwrap_or_else(|faults| panic!("{faults:#?}"));
    let about: Vec<&str> = config.about.iter().map(|(_, line)| line.as_str()).collect();
    for wanted in [
        "route \"paid\": invoice.paid or charge.*, /livemode is true, /n is 1 or 2.5 to env:URL, as slack message",
        "route \"2\": /livemode is false acknowledged, and forwarded nowhere",
        "every other event to http://127.0.0.1:3000/webhooks",
    ] {
        assert!(about.contains(&wanted), "{wanted}\n{about:#?}");
    }
    assert!(!config.effective.contains("hooks.slack.com"), "{}", config.effective);
    assert!(config.effective.contains("upstream = { env = \"URL\" }"), "{}", config.effective);
}

#[test]
fn what_is_not_signed_and_decides_is_said() {
    let unsigned = "routes go by what is not signed (header x-github-event)";
    let text = |routes: &str| routed(routes).replace("\"stripe\"", "\"github\"");
    let said = |routes: &str| about(&text(routes)).iter().any(|line| line.contains(unsigned));
    assert!(said("[[source.route]]\ntype = \"push\"\ndrop = true"));
    assert!(!said("[[source.route]]\njson = { \"/a\" = 1 }\ndrop = true"));
}

#[test]
fn the_lease_outlasts_the_slowest_way() {
    let slow = "[[source.route]]\ntype = \"a\"\nupstream = \"http://a/\"\nupstream_timeout = \"40s\"";
    let config = Config::parse("h.toml", &routed(slow), &environment()).expect("a good file");
    let source = &config.gateway.sources[0];
    assert_eq!((source.lease.as_secs(), source.wait.as_secs()), (50, 40));
    let short = routed(slow).replace("allow =", "lease = \"30s\"\nallow =");
    assert!(faults(&short)[0].contains("lease: it must be longer than upstream_timeout"), "{:#?}", faults(&short));
}

#[test]
fn one_url_has_the_same_times_wherever_it_is_stored_for() {
    let text = |mode: &str, timeout: &str| {
        let text = routed(&format!(
            "[[source.route]]\ntype = \"a\"\nupstream = \"http://127.0.0.1:3000/webhooks\"\n{timeout}\n[store]\nurl = \"sqlite:h.db\""
        ));
        text.replace("allow =", &format!("mode = \"{mode}\"\nallow ="))
    };
    let other = "upstream_timeout = \"5s\"";
    let found = faults(&text("store", other));
    assert!(
        found[0].contains("route: http://127.0.0.1:3000/webhooks is there twice, with different timeouts"),
        "{found:#?}"
    );
    assert_eq!(faults(&text("store", "")), [""; 0]);
    assert_eq!(faults(&text("proxy", other)), [""; 0]);
}

#[test]
fn one_url_has_the_same_certificates_wherever_it_is_stored_for() {
    crate::egress::install_crypto();
    let folder = tempfile::tempdir().expect("a folder");
    let ca_file = |name: &str| {
        let path = folder.path().join(name);
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
        std::fs::write(&path, made.cert.pem()).expect("a file");
        format!("ca_file = \"{}\"", path.display())
    };
    let (one, other) = (ca_file("one"), ca_file("other"));
    let found = |of_route: &str| {
        let text = routed(&format!(
            "mode = \"store\"\n{one}\n[[source.route]]\ntype = \"a\"\nupstream = \"https://127.0.0.1:3000/webhooks\"\n{of_route}\n[store]\nurl = \"sqlite:h.db\""
        ));
        faults(&text.replace("http://", "https://"))
    };
    assert_eq!(found(&one), [""; 0]);
    assert!(
        found(&other)[0].contains("is there twice, with different timeouts or certificates"),
        "{:?}",
        found(&other)
    );
}

#[test]
fn an_own_upstream_may_be_a_secret_too() {
    let text = with("upstream = { env = \"URL\" }");
    let environment = |url| Environment::from([("SECRET", "0123456789abcdef0123"), ("URL", url)]);
    let config = Config::parse("h.toml", &text, &environment("https://app.example.com/s3cret")).expect("a good file");
    assert!(config.effective.contains("upstream = { env = \"URL\" }\n") && !config.effective.contains("s3cret"));
    for wrong in ["https://app.example.com/s3cret?a=b", "s3cret-that-is-no-url"] {
        let found = Config::parse("h.toml", &text, &environment(wrong)).expect_err("no upstream");
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert!(
            found[0].contains("upstream: what { env = \"URL\" } has ") && !found.concat().contains("s3cret"),
            "{found:#?}"
        );
    }
}

#[test]
fn a_token_of_a_url_is_long_and_plain() {
    let text = |token: &str| with(&format!("url_token = {token}"));
    assert!(
        about(&text("{ env = \"SECRET\" }"))
            .iter()
            .any(|line| line.contains("requests come to /in/stripe/ and its token"))
    );
    for (token, wanted) in [
        ("{ env = \"UNEXPANDED\" }", "is a variable's name that nobody expanded"),
        ("{ literal = \"0123456789abcde\" }", "the token of { literal = \"…\" } is shorter than 16 bytes"),
        ("{ literal = \"0123456789abcde/\" }", "is not made of letters, digits, '-', '.', '_' and '~'"),
        ("{ env = \"SECRET\", id = \"x\" }", "unknown key `id`"),
        ("\"0123456789abcdef\"", "url_token: a string is not a table"),
    ] {
        let found = faults(&text(token));
        assert!(found.iter().any(|fault| fault.contains(wanted)), "{token}: {found:#?}");
        assert!(!found.concat().contains("0123456789abcde"), "{found:#?}");
    }
}

#[test]
fn who_signs_nothing_is_known_by_something_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("form.toml");
    std::fs::write(&file, "signature = \"none\"\n").expect("a file");
    let bare = |rest: &str| {
        let lines = GOOD.lines().filter(|line| !line.starts_with("secrets") && !line.starts_with("provider"));
        format!("{}\n{rest}\n", lines.collect::<Vec<_>>().join("\n"))
    };
    let of_file = |rest: &str| bare(&format!("provider = \"{}\"\n{rest}", file.display()));
    let anybody =
        "it signs nothing, so anybody could send in its name, add url_token, authorization or a list of addresses";
    assert!(faults(&of_file(""))[0].contains(anybody), "{:#?}", faults(&of_file("")));
    let token = "url_token = { env = \"SECRET\" }";
    for known in [token, "authorization = { scheme = \"bearer\", env = \"SECRET\" }"] {
        assert_eq!(faults(&of_file(known)), [""; 0], "{known}");
    }
    assert_eq!(faults(&of_file("").replace("\"any\"", "[\"192.0.2.1\"]")), [""; 0]);
    let secret = of_file(&format!("{token}\nsecrets = [{{ env = \"SECRET\" }}]"));
    assert!(faults(&secret)[0].contains("secrets: this provider signs nothing, leave them out"));

    // Where no provider is named, it is the sender's own scheme that is none.
    assert_eq!(
        faults(&bare(&format!("signature = \"none\"\n{token}\nevent = {{ id = {{ json = \"/id\" }} }}"))),
        [""; 0]
    );
    assert!(faults(&bare("signature = \"none\""))[0].contains("signature: \"none\" lets anybody in, add url_token"));
    // Who signs every request is not known by its URL alone.
    let signs =
        with("signature = \"none\"").lines().filter(|line| !line.starts_with("secrets")).collect::<Vec<_>>().join("\n");
    let found = faults(&format!("{signs}\n{token}\n"));
    assert!(found[0].contains("this provider signs every request"), "{found:#?}");
    assert!(warnings(&of_file(token)).is_empty());
}

#[test]
fn no_two_sources_have_one_url_once_their_tokens_are_known() {
    let source = |name: &str, path: &str, rest: &str| {
        format!(
            "[[source]]\nname = \"{name}\"\npath = \"{path}\"\nprovider = \"strava\"\nallow = \"any\"\nupstream = \"http://127.0.0.1:3000\"\n{rest}\n"
        )
    };
    let token = "url_token = { env = \"TOKEN\" }";
    let environment = Environment::from([("TOKEN", "0123456789abcdef"), ("USER", "a-user:and-a-password")]);
    let found = |second: &str| {
        let text = source("first", "/in/a", token) + second;
        let found = Config::parse("h.toml", &text, &environment).err().unwrap_or_default();
        found.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    let slash = found(&source("second", "/in/a/", token));
    assert!(slash.contains("url_token: with the token it is the URL of the source \"first\" too"), "{slash}");
    let authorization = "authorization = { scheme = \"basic\", env = \"USER\" }";
    let written = found(&source("second", "/in/a/0123456789abcdef", authorization));
    assert!(written.contains("path: with the token it is the URL of the source \"first\" too"), "{written}");
    assert!(!slash.contains("0123456789abcdef"), "{slash}");
    assert_eq!(found(&source("second", "/in/b", token)), "");
}
