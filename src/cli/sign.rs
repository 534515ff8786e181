//! `hookward sign` and `hookward send`: a message as its provider would sign it.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use clap::{Args, ValueEnum};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use http_body_util::Full;
use serde_json::json;

use super::secret_args::{Chosen, SecretArgs};
use super::{FAILURE, USAGE, print};
use crate::clock::{Clock, UnixTime};
use crate::egress::{Pool, Roots, Url};
use crate::signature::secret::Secret;
use crate::signature::{Message, Signed};

/// How long `send` waits for an answer.
const WITHIN: Duration = Duration::from_secs(30);

/// Bytes of an answer that `send` shows.
const SHOWN: usize = 4096;

#[derive(Debug, Clone, Args)]
pub struct MessageArgs {
    /// A provider's name, or a TOML file with a preset of your own
    #[arg(long, value_name = "NAME|FILE")]
    provider: String,
    #[command(flatten)]
    secrets: SecretArgs,
    /// File with the body; - reads standard input
    #[arg(long, value_name = "FILE")]
    body: PathBuf,
    /// The event's id, where the scheme has one in a header; the default is a new one
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Sign as of this moment
    #[arg(long, value_name = "UNIX")]
    now: Option<i64>,
    /// POST unless said otherwise
    #[arg(long, default_value = "POST")]
    method: Method,
    /// A header to send, as "Name: value"; may be repeated
    #[arg(long = "header", value_name = "HEADER")]
    headers: Vec<String>,
}

#[derive(Debug, Clone, Args)]
pub struct SignArgs {
    #[command(flatten)]
    message: MessageArgs,
    /// Where it will be sent; some providers sign it
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080/")]
    url: String,
    /// What to print
    #[arg(long, value_enum, default_value = "http")]
    format: Format,
}

#[derive(Debug, Clone, Args)]
pub struct SendArgs {
    #[command(flatten)]
    message: MessageArgs,
    /// Where to send it
    url: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// The raw request
    Http,
    /// A curl command
    Curl,
    /// A recorded request for `verify --case`, with the secret in it
    Case,
}

/// Prints a signed message.
pub fn sign(args: &SignArgs) -> u8 {
    match args.message.sign(&args.url).and_then(|prepared| prepared.render(args)) {
        Ok(text) => {
            print_bytes(&text);
            0
        }
        Err(wrong) => usage(&wrong),
    }
}

/// Sends a signed message once, and shows the exchange. 0 if the answer is 2xx.
pub fn send(args: &SendArgs) -> u8 {
    let prepared = match args.message.sign(&args.url) {
        Ok(prepared) => prepared,
        Err(wrong) => return usage(&wrong),
    };
    let url = match Url::parse(&prepared.signed.url) {
        Ok(url) => url,
        Err(wrong) => return usage(&wrong),
    };
    print_bytes(&prepared.head());
    match prepared.exchange(&url) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            FAILURE
        }
    }
}

fn usage(wrong: &str) -> u8 {
    eprintln!("error: {wrong}");
    USAGE
}

fn print_bytes(bytes: &[u8]) {
    use std::io::Write;
    let _ = std::io::stdout().write_all(bytes);
}

/// A message with its signature, ready to go.
struct Prepared {
    chosen: Chosen,
    method: Method,
    signed: Signed,
    /// True if signing left the body as it was given.
    same_body: bool,
    now: UnixTime,
}

impl MessageArgs {
    fn sign(&self, url: &str) -> Result<Prepared, String> {
        let chosen = self.secrets.read(&self.provider)?;
        if chosen.secrets.is_empty() && !chosen.preset.profile.scheme.signs_nothing() {
            return Err("there is no secret to sign with, give one by --secret-env or --secret-file".into());
        }
        let body = read_body(&self.body)?;
        let mut headers = HeaderMap::new();
        for header in &self.headers {
            let wrong = || format!("--header \"{header}\" is not \"Name: value\"");
            let (name, value) = header.split_once(':').ok_or_else(wrong)?;
            let name: HeaderName = name.trim().parse().map_err(|_| wrong())?;
            headers.append(name, HeaderValue::try_from(value.trim()).map_err(|_| wrong())?);
        }
        if !headers.contains_key(CONTENT_TYPE) {
            let json = body.trim_ascii_start().starts_with(b"{") || body.trim_ascii_start().starts_with(b"[");
            let kind = if json { "application/json" } else { "application/x-www-form-urlencoded" };
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        // Refuses what is no plain URL before it is signed or shown.
        if Url::parse(url)?.query.is_some() && !host_and_target(url).1.contains('?') {
            return Err(format!("\"{url}\" has a query and no path before it"));
        }
        let now = self.now.map_or_else(|| Clock::System.now(), UnixTime);
        let id = self.id.clone().unwrap_or_else(|| format!("msg_{:032x}", fastrand::u128(..)));
        let message =
            Message { id: &id, timestamp: now, method: self.method.as_str(), url, headers: &headers, body: &body };
        let secrets: Vec<Secret> = chosen.secrets.iter().map(|(_, secret)| secret.clone()).collect();
        let signed = chosen.preset.profile.scheme.sign(message, &secrets, &chosen.params)?;
        let same_body = signed.body == body;
        Ok(Prepared { chosen, method: self.method.clone(), signed, same_body, now })
    }
}

fn read_body(path: &Path) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().read_to_end(&mut body).map(|_| body)
    } else {
        std::fs::read(path)
    };
    read.map_err(|error| format!("cannot read {}: {error}", path.display()))
}

impl Prepared {
    fn render(&self, args: &SignArgs) -> Result<Vec<u8>, String> {
        match args.format {
            Format::Http => Ok([self.head(), self.signed.body.clone()].concat()),
            Format::Curl => self.curl(&args.message.body),
            Format::Case => self.case(),
        }
    }

    /// Request line and headers, with the blank line.
    fn head(&self) -> Vec<u8> {
        let (host, target) = host_and_target(&self.signed.url);
        let mut head = format!("{} {target} HTTP/1.1\r\nHost: {host}\r\n", self.method).into_bytes();
        for (name, value) in &self.signed.headers {
            head.extend_from_slice(name.as_str().as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(format!("Content-Length: {}\r\n\r\n", self.signed.body.len()).as_bytes());
        head
    }

    fn curl(&self, file: &Path) -> Result<Vec<u8>, String> {
        let mut command = format!("curl -i -g --path-as-is -X {} {}", self.method, quoted(&self.signed.url));
        for (name, value) in &self.signed.headers {
            let value = value.to_str().map_err(|_| format!("the header {name} is not text"))?;
            command.push_str(&format!(" \\\n  -H {}", quoted(&format!("{name}: {value}"))));
        }
        let data = if self.same_body && file != Path::new("-") {
            format!("@{}", file.display())
        } else {
            let text = std::str::from_utf8(&self.signed.body).map_err(|_| "the body is not text, use --format http")?;
            if text.starts_with('@') || text.contains('\0') {
                return Err("curl cannot take this body from its command line, use --format http".into());
            }
            text.to_owned()
        };
        command.push_str(&format!(" \\\n  --data-binary {}\n", quoted(&data)));
        Ok(command.into_bytes())
    }

    fn case(&self) -> Result<Vec<u8>, String> {
        let secret = |secret: &Secret| -> Result<String, String> {
            match self.chosen.preset.profile.scheme.public_key_of(secret) {
                Some(public) => Ok(public),
                None => String::from_utf8(secret.expose().to_vec()).map_err(|_| "the secret is not text".into()),
            }
        };
        let secrets: Vec<String> =
            self.chosen.secrets.iter().map(|(_, text)| secret(text)).collect::<Result<_, _>>()?;
        let headers: Vec<(&str, String)> = self
            .signed
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let case = json!({
            "provider": self.chosen.preset.slug,
            "secret": if secrets.len() == 1 { json!(secrets[0]) } else { json!(secrets) },
            "method": self.method.as_str(),
            "url": self.signed.url,
            "headers": headers,
            "body_b64": STANDARD.encode(&self.signed.body),
            "now": self.now.0,
        });
        Ok(format!("{case}\n").into_bytes())
    }

    /// Sends it and prints the answer.
    fn exchange(&self, url: &Url) -> anyhow::Result<u8> {
        let (_, target) = host_and_target(&self.signed.url);
        let mut request = Request::builder().method(&self.method).uri(target);
        let headers = request.headers_mut().ok_or_else(|| anyhow::anyhow!("the method or the URL is not one"))?;
        *headers = self.signed.headers.clone();
        headers.insert(HOST, url.target.host_header());
        headers.insert(CONTENT_LENGTH, HeaderValue::from(self.signed.body.len()));
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(concat!("hookward/", env!("CARGO_PKG_VERSION"))));
        let request = request.body(Full::new(Bytes::from(self.signed.body.clone())))?;
        let roots = if url.target.tls { Some(Roots::system()?) } else { None };
        let pool = Pool::new(url.target.clone(), roots, WITHIN);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let started = Instant::now();
        let answer = runtime.block_on(pool.exchange(request, WITHIN))?;
        let shown = &answer.body()[..answer.body().len().min(SHOWN)];
        let body = String::from_utf8_lossy(&self.signed.body[..self.signed.body.len().min(SHOWN)]).into_owned();
        print(&format!(
            "{body}\n\n{:?} {} ({} ms)\n",
            answer.version(),
            answer.status(),
            started.elapsed().as_millis()
        ));
        for (name, value) in answer.headers() {
            print(&format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
        }
        print(&format!("\n{}\n", String::from_utf8_lossy(shown)));
        Ok(if answer.status().is_success() { 0 } else { FAILURE })
    }
}

/// A URL's host with its port, and what stands in a request line.
fn host_and_target(url: &str) -> (&str, &str) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    match rest.find(['/', '?']) {
        Some(at) if rest.as_bytes()[at] == b'/' => rest.split_at(at),
        Some(at) => (&rest[..at], "/"),
        None => (rest, "/"),
    }
}

/// A word of a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_safe_from_the_shell() {
        assert_eq!(quoted("a'b $c"), "'a'\\''b $c'");
    }

    #[test]
    fn a_url_is_split_for_the_request_line() {
        assert_eq!(host_and_target("http://h:1/a?b"), ("h:1", "/a?b"));
        assert_eq!(host_and_target("http://h"), ("h", "/"));
    }
}
