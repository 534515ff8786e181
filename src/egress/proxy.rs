//! A forward proxy of the operator's, spoken to by CONNECT (RFC 9110, 9.3.6).

use std::fmt;
use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{Target, Url};

/// A proxy's answer may have this long a head.
const MAX_HEAD: usize = 8 << 10;

/// More header lines are too many.
const MAX_LINES: usize = 64;

/// `http://[user:password@]host:port`. All targets are reached through it by CONNECT, plain `http://` ones too.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    pub(super) target: Target,
    user: Option<String>,
    /// The value of `Proxy-Authorization`.
    authorization: Option<String>,
}

impl Proxy {
    /// Reads its URL. What is wrong is said without repeating it: there may be a password in it.
    ///
    /// # Errors
    /// A fragment that says what it should look like.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            "the URL of a proxy is http://, maybe user:password@, host and port, for example \"http://proxy.internal:3128\"".to_owned()
        };
        let rest = text.strip_prefix("http://").ok_or_else(wrong)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (user, place) = match rest.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, rest),
        };
        let has_port = place.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let url = Url::read(&format!("http://{place}/")).map_err(|_| wrong())?;
        if !has_port || url.path != "/" || url.query.is_some() {
            return Err(wrong());
        }
        let Some(user) = user else { return Ok(Self { target: url.target, user: None, authorization: None }) };
        let (name, password) = user.split_once(':').ok_or_else(wrong)?;
        let mut credentials: Vec<u8> = percent_decode_str(name).collect();
        if name.is_empty() || credentials.contains(&b':') {
            return Err(wrong());
        }
        credentials.push(b':');
        credentials.extend(percent_decode_str(password));
        let authorization = format!("Basic {}", STANDARD.encode(credentials));
        Ok(Self { target: url.target, user: Some(name.to_owned()), authorization: Some(authorization) })
    }

    /// Asks for a tunnel to `target` and reads the answer's status; after 2xx the stream is the tunnel.
    ///
    /// # Errors
    /// Of the connection; `InvalidData` where the answer is not HTTP/1, or goes on after its head.
    pub(super) async fn ask(
        &self,
        stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
        target: &Target,
    ) -> io::Result<StatusCode> {
        // Target's own Display always has the port, which CONNECT wants.
        let authorization = match &self.authorization {
            Some(value) => format!("Proxy-Authorization: {value}\r\n"),
            None => String::new(),
        };
        let head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{authorization}\r\n");
        stream.write_all(head.as_bytes()).await?;
        let mut answer = Vec::with_capacity(512);
        loop {
            let invalid = |why: &'static str| io::Error::new(io::ErrorKind::InvalidData, why);
            let mut lines = [httparse::EMPTY_HEADER; MAX_LINES];
            let mut response = httparse::Response::new(&mut lines);
            let parsed = response.parse(&answer).map_err(|_| invalid("its answer is not HTTP/1"))?;
            if let httparse::Status::Complete(length) = parsed {
                let status = StatusCode::from_u16(response.code.unwrap_or_default())
                    .map_err(|_| invalid("its answer has no status"))?;
                if status.is_informational() {
                    answer.drain(..length);
                    continue;
                }
                // Whoever is behind the tunnel waits for us to speak first: these bytes would be the proxy's.
                if status.is_success() && length < answer.len() {
                    return Err(invalid("it spoke into the tunnel"));
                }
                return Ok(status);
            }
            if answer.len() > MAX_HEAD {
                return Err(invalid("its answer has too long a head"));
            }
            if stream.read_buf(&mut answer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// True if a proxy's refusal says something of the target: it is not reached, or not allowed. Every other refusal (a
/// wrong password, a proxy in trouble) would meet all targets alike.
pub(super) fn is_about_target(status: StatusCode) -> bool {
    const ABOUT_TARGET: [StatusCode; 6] = [
        StatusCode::FORBIDDEN,
        StatusCode::NOT_FOUND,
        StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS,
        StatusCode::BAD_GATEWAY,
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::GATEWAY_TIMEOUT,
    ];
    ABOUT_TARGET.contains(&status)
}

/// The password is masked.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.user {
            Some(user) => write!(f, "http://{user}:***@{}", self.target),
            None => write!(f, "http://{}", self.target),
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_url_has_a_port_and_maybe_a_password() {
        let proxy = Proxy::parse("http://us%40er:p%3Aw@proxy.internal:3128/").expect("a proxy");
        assert_eq!(proxy.authorization, Some(format!("Basic {}", STANDARD.encode("us@er:p:w"))));
        assert_eq!(
            format!("{proxy} {proxy:?}"),
            "http://us%40er:***@proxy.internal:3128 http://us%40er:***@proxy.internal:3128"
        );
        assert_eq!(Proxy::parse("http://[::1]:3128").map(|proxy| proxy.target.port), Ok(3128));
        for bad in [
            "",
            "proxy:3128",
            "https://proxy:3128",
            "http://proxy",
            "http://proxy:0",
            "http://[::1]",
            "http://proxy:3128/x",
            "http://proxy:3128?x",
            "http://topsecret@proxy:3128",
            "http://:topsecret@proxy:3128",
            "socks5://proxy:1080",
        ] {
            let wrong = Proxy::parse(bad).expect_err(bad);
            assert!(!wrong.contains("topsecret"), "{wrong}");
        }
    }

    async fn answered(answer: &str) -> io::Result<StatusCode> {
        let (mut ours, mut theirs) = tokio::io::duplex(1 << 16);
        theirs.write_all(answer.as_bytes()).await.expect("room");
        let proxy = Proxy::parse("http://u:p@proxy:3128").expect("a proxy");
        let target = Target { host: "2001:db8::1".into(), port: 443, tls: true };
        // The other end stays open but for the answer that breaks off.
        let keep = (!answer.is_empty()).then_some(theirs);
        let status = proxy.ask(&mut ours, &target).await;
        if let Some(mut theirs) = keep {
            let mut asked = [0; 128];
            let count = theirs.read(&mut asked).await?;
            assert_eq!(
                String::from_utf8_lossy(&asked[..count]),
                "CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\nProxy-Authorization: Basic dTpw\r\n\r\n"
            );
        }
        status
    }

    #[tokio::test]
    async fn its_answer_is_read_up_to_its_head() {
        for (answer, status) in [
            ("HTTP/1.1 200 Connection established\r\n\r\n", 200),
            ("HTTP/1.0 200 OK\r\nVia: x\r\n\r\n", 200),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", 200),
            ("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 2\r\n\r\nno", 407),
        ] {
            assert_eq!(answered(answer).await.ok().map(|status| status.as_u16()), Some(status), "{answer}");
        }
        let long = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(MAX_HEAD));
        for bad in ["", "SSH-2.0-x\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", &long] {
            assert!(answered(bad).await.is_err(), "{bad}");
        }
    }
}
