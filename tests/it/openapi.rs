//! The sender's API against its own description: requests that fit it, requests that do not, and chains of them.

use std::env;
use std::path::Path;

use crate::support::api::{Api, TOKEN};
use crate::support::packages::{LOCKS, python};

/// Nobody is there. A proxy resolves names, so nothing that is made up here is asked for anywhere.
const NOWHERE: &str = "proxy = \"http://127.0.0.1:1\"";

const REQUIREMENTS: &str = "schemathesis/requirements.txt";

#[test]
fn nothing_is_answered_that_is_not_described() {
    if python(REQUIREMENTS).is_none() {
        return;
    }
    let api = Api::start(NOWHERE, "max_webhooks = 100000");
    // What holds for the account comes last: else it is not long before it may have no webhook.
    for which in ["--exclude-operation-id", "--include-operation-id"] {
        ask_for_anything(&api, &[which, "putAccount"]);
    }
    api.serving.signal("TERM");
    let (status, log) = api.serving.end();
    assert!(status.success(), "{log:#?}");
}

fn ask_for_anything(api: &Api, arguments: &[&str]) {
    let Some(mut python) = python(REQUIREMENTS) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let own = Path::new(LOCKS).join("schemathesis");
    let examples = if env::var_os("HOOKWARD_LONG").is_some() { "200" } else { "10" };
    let schemathesis =
        python.args(["-m", "schemathesis.cli", "--config-file"]).arg(own.join("schemathesis.toml")).arg("run");
    schemathesis.args([&format!("http://{}/openapi.json", api.address), "--max-examples", examples]).args(arguments);
    // The hooks are read where they lie, and nothing is left beside them.
    schemathesis.env("SCHEMATHESIS_HOOKS", own.join("hooks.py")).env("PYTHONDONTWRITEBYTECODE", "1");
    let output = schemathesis.env("TOKEN", TOKEN).current_dir(&folder).output().expect("a program that has just run");
    // What it says has a line for curl for each request that failed.
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
