//! The sender's API against its own description: requests that fit it, requests that do not, and chains of them.

use std::env;

use crate::support::api::{Api, TOKEN};
use crate::support::packages::{LOCKS, python};

/// Nobody is there. A proxy resolves names, so nothing that is made up here is asked for anywhere.
const NOWHERE: &str = "proxy = \"http://127.0.0.1:1\"";

#[test]
fn nothing_is_answered_that_is_not_described() {
    let Some(mut python) = python("schemathesis/requirements.txt") else { return };
    let api = Api::start(NOWHERE, "max_webhooks = 100000");
    let folder = tempfile::tempdir().expect("a folder");
    let examples = if env::var_os("HOOKWARD_LONG").is_some() { "200" } else { "10" };
    python.args(["-m", "schemathesis.cli", "--config-file", &format!("{LOCKS}/schemathesis/schemathesis.toml")]);
    python.args(["run", &format!("http://{}/openapi.json", api.address), "--max-examples", examples]);
    let output = python.env("TOKEN", TOKEN).current_dir(&folder).output().expect("a program that has just run");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    api.serving.signal("TERM");
    let (status, log) = api.serving.end();
    assert!(status.success(), "{log:#?}");
}
