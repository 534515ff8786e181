//! `hookward verify --case`: judges recorded requests, JSON lines in, JSON lines out.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::material::Material;
use super::{FAILURE, USAGE, print};
use crate::clock::UnixTime;
use crate::rejection::Rejection;
use crate::signature::preset::Preset;
use crate::signature::request::{Head, PublicUrl};
use crate::signature::{KeySet, Verifier};

/// The most bytes that a body may have without its `Content-Encoding`.
const MAX_BODY: usize = 1 << 20;

/// A recorded request. What the format has beyond this is not read.
#[derive(Debug, Deserialize)]
struct Case {
    provider: String,
    /// One secret or several, as the operator would paste them; or an object of keys and parameters.
    secret: Value,
    /// POST where there is none.
    method: Option<String>,
    /// The whole URL that the provider called.
    url: Option<String>,
    /// In order; names in any case.
    headers: Vec<(String, String)>,
    /// The exact body, in base64.
    body_b64: String,
    /// Unix seconds at which the request is judged.
    now: i64,
}

#[derive(Debug, Serialize)]
#[serde(tag = "verdict", rename_all = "lowercase")]
enum Verdict {
    Accept { event_id: Option<String> },
    Reject { reason: &'static str, detail: String },
    Error { reason: String },
}

/// Judges every line of `file`. 0 if all are accepted, 1 if one is not.
pub fn run(file: &Path) -> u8 {
    let lines: Box<dyn BufRead> = if file == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        match File::open(file) {
            Ok(file) => Box::new(BufReader::new(file)),
            Err(error) => {
                eprintln!("error: cannot read {}: {error}", file.display());
                return USAGE;
            }
        }
    };
    let mut all_accepted = true;
    for line in lines.split(b'\n') {
        let verdict = match line {
            Ok(line) if line.trim_ascii().is_empty() => continue,
            Ok(line) => judge(&line).unwrap_or_else(|reason| Verdict::Error { reason }),
            Err(error) => {
                eprintln!("error: cannot read {}: {error}", file.display());
                return FAILURE;
            }
        };
        all_accepted &= matches!(verdict, Verdict::Accept { .. });
        let text = serde_json::to_string(&verdict).expect("a verdict is plain data");
        print(&format!("{text}\n"));
    }
    if all_accepted { 0 } else { FAILURE }
}

/// Signature, credential and time; an event id that is missing refuses nothing here.
fn judge(line: &[u8]) -> Result<Verdict, String> {
    let case: Case = serde_json::from_slice(line).map_err(|error| format!("not a recorded request: {error}"))?;
    let preset = Preset::find(&case.provider)?;
    let scheme = preset.profile.scheme.clone();
    let material = Material::read(case.secret, &scheme)?;
    let verifier = Verifier::new(scheme.clone(), &material.secrets, material.params, MAX_BODY)
        .map_err(|(index, why)| format!("secret {} {why}", index + 1))?;
    if material.secrets.is_empty() && !scheme.has_remote_keys() {
        return Err("there is no secret".into());
    }
    let body = STANDARD.decode(&case.body_b64).map_err(|error| format!("body_b64: {error}"))?;
    let mut headers = HeaderMap::new();
    for (name, value) in &case.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("\"{name}\" is not a header's name"))?;
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| format!("the value of {name} is not one"))?;
        headers.append(name, value);
    }
    let method = case.method.as_deref().unwrap_or("POST");
    let head = Head { method, url: PublicUrl::split(case.url.as_deref().unwrap_or_default()), headers: &headers };
    let fetched = |url: &str| match material.documents.iter().find(|(known, _)| known == url) {
        Some((_, document)) => KeySet::fetched(&scheme, document.as_bytes()).map_err(|_| Rejection::KeysUnavailable),
        None => Err(Rejection::KeysUnavailable),
    };
    let judge = |claimed| {
        let keys = verifier.key_url(&claimed, head, &body)?.map(|url| fetched(&url)).transpose()?;
        let authentic = verifier.verify(&claimed, head, &body, UnixTime(case.now), keys.as_ref())?;
        Ok(authentic.id.map(|id| id.text.into_owned()))
    };
    Ok(match verifier.inspect(head).and_then(judge) {
        Ok(event_id) => Verdict::Accept { event_id },
        Err(rejection) => Verdict::Reject { reason: rejection.reason().as_str(), detail: rejection.to_string() },
    })
}
