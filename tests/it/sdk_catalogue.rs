//! What recorded requests expect is what the libraries of their providers say of them, as they come from npm and PyPI.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;

use serde_json::{Value, json};

use crate::support::packages::{LOCKS, node_in, python};

/// The libraries of one registry behind a program that asks them: `tests/sdk/catalogue/README.md` has its protocol.
struct Judges {
    /// How the `confirmed_by` of a request begins that they gave their verdict on.
    registry: &'static str,
    start: fn() -> Option<Command>,
    /// Fewer adapters than this, and somebody has lost some.
    least: usize,
}

const JUDGES: [Judges; 2] = [
    Judges { registry: "npm:", start: || node_in("catalogue", "verdicts.mjs"), least: 76 },
    Judges { registry: "pypi:", start: python_verdicts, least: 58 },
];

fn python_verdicts() -> Option<Command> {
    let mut python = python("catalogue/requirements.txt")?;
    python.arg(format!("{LOCKS}/catalogue/verdicts.py"));
    Some(python)
}

/// Runs a program that reads these lines, and gives those that it writes.
fn answers(command: &mut Command, lines: &str) -> Vec<String> {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().expect("a program that has just run");
    let mut stdin = child.stdin.take().expect("a pipe");
    let lines = lines.to_owned();
    // It answers while it reads.
    let writing = thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = child.wait_with_output().expect("its end");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    writing.join().expect("no panic").expect("a reader");
    String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect()
}

/// The requests of a provider on which the libraries of a registry have given their verdict.
fn recorded(provider: &str, registry: &str) -> Vec<Value> {
    let file = format!("{}/tests/vectors/{provider}.jsonl", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a recorded request"));
    lines.filter(|line| line["confirmed_by"].as_str().is_some_and(|by| by.contains(registry))).collect()
}

/// A request as it is put to a library, which is not told what is expected of it.
fn question(provider: &str, recorded: &Value) -> Value {
    let mut case = recorded.clone();
    let members = case.as_object_mut().expect("an object");
    for told in ["expect", "confirmed_by"] {
        members.remove(told);
    }
    json!({"provider": provider, "case": case})
}

#[test]
fn libraries_say_of_recorded_requests_what_these_expect() {
    for Judges { registry, start, least } in &JUDGES {
        let Some(mut command) = start() else { continue };
        let Some(mut list) = start() else { continue };
        let providers = answers(list.arg("--providers"), "");
        assert!(providers.len() >= *least, "{registry} {providers:?}");
        let mut asked = Vec::new();
        for provider in &providers {
            asked.extend(recorded(provider, registry).into_iter().map(|recorded| (provider, recorded)));
        }
        let questions: String =
            asked.iter().map(|(provider, recorded)| format!("{}\n", question(provider, recorded))).collect();
        let verdicts = answers(&mut command, &questions);
        assert_eq!(verdicts.len(), asked.len(), "{registry} leaves some unanswered");
        let mut counts: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
        let mut others = Vec::new();
        for ((provider, recorded), verdict) in asked.iter().zip(&verdicts) {
            let verdict: Value = serde_json::from_str(verdict).expect("JSON lines");
            let good = recorded["expect"] == "accept";
            counts.entry(provider).or_default()[usize::from(good)] += 1;
            if verdict["verdict"] != if good { "accept" } else { "reject" } {
                others.push(format!("{registry} {provider} {}: {verdict}", recorded["case"]));
            }
        }
        assert!(others.is_empty(), "{}", others.join("\n"));
        // Two good ones say more than that everything is refused, two bad ones more than that everything is accepted.
        for provider in &providers {
            let [bad, good] = counts.get(provider.as_str()).copied().unwrap_or_default();
            assert!(bad >= 2 && good >= 2, "{registry} {provider}: {good} good requests and {bad} bad ones");
        }
    }
}
