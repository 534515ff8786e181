//! The configuration as an operator meets it: the example, the errors, the exit codes.

use std::collections::{BTreeMap, BTreeSet};

use hookward::config::Config;
use hookward::config::environment::Environment;
use tempfile::TempDir;

use crate::support::child::{file, hookward};

const GOOD: &str = "[gateway]\nlisten = \"127.0.0.1:0\"\n[[source]]\nname = \"stripe\"\npath = \"/in\"\nprovider = \"stripe\"\nsecrets = [{ env = \"SECRET\" }]\nallow = \"any\"\nupstream = \"http://127.0.0.1:1/\"\n";

fn example() -> String {
    std::fs::read_to_string("config.example.toml").expect("the example")
}

/// The same with the two tables that are commented out put in force.
fn whole_example() -> String {
    let text = example().replace("\n# [store]\n", "\n[store]\n").replace("\n# url = ", "\nurl = ");
    text.replace("\n# [sender]\n", "\n[sender]\n")
}

fn effective(text: &str) -> String {
    match Config::parse("config.example.toml", text, &Environment::default()) {
        Ok(config) => config.effective,
        Err(faults) => panic!("{faults:#?}"),
    }
}

/// The example's keys by table, those that are commented out among them: `(key, the line that sets it, active)`.
fn keys(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut keys: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut table = String::new();
    for line in text.lines() {
        let bare = line.strip_prefix("# ").unwrap_or(line);
        if let Some(name) = line.strip_prefix('[') {
            table = name.trim_matches(['[', ']']).to_owned();
        } else if let Some((key, _)) = bare.split_once(" = ")
            && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        {
            keys.entry(table.clone()).or_default().insert(key.to_owned());
        }
    }
    keys
}

#[test]
fn the_example_shows_every_key_that_the_program_reads() {
    let known = hookward::config::known_keys();
    let shown = keys(&whole_example());
    for table in ["gateway", "source", "network", "dedup", "store", "delivery", "sender", "egress", "admin", "log"] {
        let known: BTreeSet<String> = known[table].iter().map(|key| (*key).to_owned()).collect();
        assert_eq!(shown.get(table), Some(&known), "[{table}]");
    }
}

#[test]
fn what_the_example_calls_a_default_is_one() {
    let text = whole_example();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // The commented keys that have a default, set to what the example says. What stays commented has none.
    let spelt_out: Vec<String> = text
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(set)
                if set
                    .split(" = ")
                    .next()
                    .is_some_and(|key| key.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
                    && !line.contains("no default") =>
            {
                set.to_owned()
            }
            _ => line.to_owned(),
        })
        .map(|line| if line.starts_with("workers = ") { format!("workers = {cores}") } else { line })
        .collect();
    let spelt_out = spelt_out.join("\n");
    assert!(spelt_out.contains("\nmax_body = \"1MiB\"\n") && spelt_out.contains("\nlevel = \"info\"\n"));
    assert_eq!(effective(&spelt_out), effective(&text));
}

#[test]
fn the_example_runs_as_it_is() {
    let check = hookward(&["check", "-c", "config.example.toml"]).output().expect("the program");
    let text = String::from_utf8(check.stdout).expect("text");
    assert!(check.status.success(), "{text}");
    assert!(text.contains("a literal secret is for trials only"), "{text}");
    assert!(text.contains("config.example.toml is good: 1 source"), "{text}");
    let folder = TempDir::new().expect("a folder");
    // Only its ports are changed: the real ones may be taken where the tests run.
    let text = example()
        .replace("127.0.0.1:8080", "127.0.0.1:0")
        .replace("# listen = \"127.0.0.1:9090\"", "listen = \"127.0.0.1:0\"");
    let mut serving = crate::support::child::Serving::with_file(&file(&folder, "h.toml", &text));
    let admin = serving.address("admin");
    let health = hookward(&["health", &format!("http://{admin}/readyz")]).status().expect("the program");
    assert!(health.success());
}

#[test]
fn a_bad_file_ends_with_78_and_says_where() {
    let folder = TempDir::new().expect("a folder");
    for (text, wanted) in [
        (
            GOOD.replace("listen = \"127.0.0.1:0\"", "listen = 8080"),
            ":2:10: [gateway]: listen: 8080 is not a string, put it in quotes",
        ),
        (GOOD.replace("allow", "alow"), ":8:1: source \"stripe\": unknown key `alow`, did you mean `allow`?"),
        (
            GOOD.replace("SECRET", "ABSENT"),
            ":7:20: source \"stripe\": secrets: env: the environment has no variable ABSENT",
        ),
        (
            GOOD.replace("env = \"SECRET\"", "file = \"/nonexistent\""),
            "file: cannot read /nonexistent: No such file or directory",
        ),
        (GOOD.replace("\"any\"", "[\"10.0.0.0/33\"]"), "allow: \"10.0.0.0/33\" is not an address or a network"),
        (GOOD.replace("\"any\"", "[]"), "allow: an empty list names nobody"),
        (GOOD.replace("[gateway]", "[gateway"), ":1:9: "),
        (format!("{GOOD}[[source]]\nname = \"two\"\npath = \"/in\"\n"), "path: \"/in\" is taken by the source at"),
        (format!("{GOOD}[dedup]\nstore = \"etcd\"\n"), "store: \"etcd\" is not known, write \"memory\""),
        (
            format!("{GOOD}[gateway.tls]\ncert_file = \"/nonexistent\"\n"),
            "[gateway.tls]: cert_file: cannot read /nonexistent",
        ),
        (String::new(), "`source` is missing"),
    ] {
        let path = file(&folder, "h.toml", &text);
        for command in ["check", "serve"] {
            let output = hookward(&[command, "-c", path.to_str().expect("a path")])
                .env("SECRET", "0123456789abcdef")
                .output()
                .expect("the program");
            let said = String::from_utf8(output.stderr).expect("text");
            assert_eq!(output.status.code(), Some(78), "{said}");
            assert!(said.contains(wanted), "wanted {wanted}\n{said}");
            assert!(
                said.lines().next().is_some_and(|line| line.starts_with(&format!("error: {}:", path.display()))),
                "{said}"
            );
        }
    }
    let absent = hookward(&["check", "-c", "/nonexistent/h.toml"]).output().expect("the program");
    assert_eq!(absent.status.code(), Some(78));
}

#[test]
fn without_a_file_it_says_what_to_do() {
    let folder = TempDir::new().expect("a folder");
    let output = hookward(&["serve"]).current_dir(&folder).output().expect("the program");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(said.contains("name one with -c FILE") && said.contains("hookward demo"), "{said}");
    let both = hookward(&["serve", "-c", "x.toml", "--provider", "stripe"]).output().expect("the program");
    assert_eq!(both.status.code(), Some(2));
}

#[test]
fn the_effective_configuration_shows_no_secret() {
    let folder = TempDir::new().expect("a folder");
    let path = file(&folder, "h.toml", GOOD);
    let output = hookward(&["config", "effective", "-c", path.to_str().expect("a path")])
        .env("SECRET", "not-to-be-shown-0123")
        .output()
        .expect("the program");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(
        text.contains("secrets = [{ env = \"SECRET\", id = \"1\" }]") && !text.contains("not-to-be-shown"),
        "{text}"
    );
    // What it prints is a configuration itself.
    let again = file(&folder, "effective.toml", &text);
    let output = hookward(&["config", "effective", "-c", again.to_str().expect("a path")])
        .env("SECRET", "not-to-be-shown-0123")
        .output()
        .expect("the program");
    assert_eq!(String::from_utf8(output.stdout).expect("text"), text);
}

#[test]
fn providers_are_listed_and_shown() {
    let list = hookward(&["providers"]).output().expect("the program");
    let list = String::from_utf8(list.stdout).expect("text");
    for line in ["stripe ", "vgs ", "aws-sns ", "twilio "] {
        assert_eq!(list.lines().filter(|known| known.starts_with(line)).count(), 1, "{line}\n{list}");
    }
    let show = hookward(&["providers", "show", "standardwebhooks"]).output().expect("the program");
    assert!(String::from_utf8(show.stdout).expect("text").contains("provider = \"standard-webhooks\""));
    let unknown = hookward(&["providers", "show", "strip"]).output().expect("the program");
    assert!(String::from_utf8(unknown.stderr).expect("text").contains("did you mean \"stripe\"?"));
}
