//! What an attempt means: for the delivery, and for its destination.

use std::io;
use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};

use super::destination::Way;
use super::health::Sign;
use crate::clock::UnixMillis;
use crate::egress::{Exchange, ExchangeError};

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The destination has it.
    Taken,
    /// The endpoint wants nothing any more.
    Gone,
    /// Anything else that the destination is to answer for.
    Failed {
        /// True if the destination may have it all the same.
        ambiguous: bool,
        /// What it asked for.
        retry_after: Option<Duration>,
        sign: Sign,
    },
    /// Something of ours was in the way: the attempt does not count.
    Ours,
}

/// Judges an attempt on `way` that ended at `now`.
pub fn judge(exchanged: &Result<Exchange, ExchangeError>, way: &Way, now: UnixMillis) -> Finding {
    match exchanged {
        Ok(answer) if is_success(way, answer.status()) => Finding::Taken,
        Ok(answer) if is_gone(way, answer.status()) => Finding::Gone,
        Ok(answer) => Finding::Failed {
            ambiguous: false,
            retry_after: retry_after(answer.headers(), now).filter(|_| may_ask(way, answer.status())),
            sign: if in_trouble(answer.status()) { Sign::Trouble } else { Sign::Well },
        },
        Err(error) if is_ours(error) => Finding::Ours,
        Err(error) => Finding::Failed { ambiguous: error.is_ambiguous(), retry_after: None, sign: Sign::Trouble },
    }
}

fn is_success(way: &Way, status: StatusCode) -> bool {
    match way {
        Way::Forward | Way::Render(_) => status.is_success(),
        Way::Sign(signing) => signing.is_success(status),
    }
}

fn is_gone(way: &Way, status: StatusCode) -> bool {
    matches!(way, Way::Sign(signing) if signing.heeds_gone && status == StatusCode::GONE)
}

/// True if the answer may ask for time: an operator's any that fails, a stranger's only one that says that it is too much.
fn may_ask(way: &Way, status: StatusCode) -> bool {
    match way {
        Way::Forward | Way::Render(_) => true,
        Way::Sign(_) => [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&status),
    }
}

/// True for an answer that says more of its sender than of what was sent.
fn in_trouble(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::REQUEST_TIMEOUT
}

/// True if no other destination could have been reached either: names are not resolved, the proxy is not there, files or
/// ports have run out. A name that does not exist and an address that is forbidden are the destination's affair.
fn is_ours(error: &ExchangeError) -> bool {
    const OURS: [io::ErrorKind; 4] = [
        io::ErrorKind::AddrNotAvailable,
        io::ErrorKind::NetworkDown,
        io::ErrorKind::OutOfMemory,
        io::ErrorKind::PermissionDenied,
    ];
    /// ENFILE and EMFILE, which std has no kind for.
    const NO_FILES: [i32; 2] = [23, 24];
    match error {
        ExchangeError::Resolve { .. } | ExchangeError::Proxy { .. } => true,
        ExchangeError::Connect { cause, .. } => {
            OURS.contains(&cause.kind()) || cause.raw_os_error().is_some_and(|code| NO_FILES.contains(&code))
        }
        _ => false,
    }
}

/// `Retry-After`, in seconds or as a date (RFC 9110, 10.2.3). `None` if it is absent or neither.
fn retry_after(headers: &HeaderMap, now: UnixMillis) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(UnixMillis(date.timestamp().as_millisecond()).since(now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::signing::Signing;
    use crate::egress::{Refused, Target};
    use crate::signature::preset::Preset;
    use bytes::Bytes;
    use http::Response;
    use std::sync::Arc;

    const NOW: UnixMillis = UnixMillis(784_111_777_000);

    fn answered(status: u16, asked: &str) -> Finding {
        let answer =
            Response::builder().status(status).header(RETRY_AFTER, asked).body(Bytes::new()).expect("an answer");
        judge(&Ok(answer), &Way::Forward, NOW)
    }

    fn refused(kind: io::ErrorKind) -> Finding {
        let target = Target { host: "h".into(), port: 1, tls: false };
        judge(&Err(ExchangeError::Connect { target, cause: kind.into() }), &Way::Forward, NOW)
    }

    #[test]
    fn only_2xx_is_taken() {
        assert_eq!(answered(200, ""), Finding::Taken);
        assert_eq!(answered(299, ""), Finding::Taken);
        for status in [301, 304, 400, 404, 410, 500] {
            assert!(matches!(answered(status, ""), Finding::Failed { ambiguous: false, .. }), "{status}");
        }
    }

    #[test]
    fn an_answer_in_trouble_is_told_from_one_that_refuses() {
        let sign = |status| match answered(status, "") {
            Finding::Failed { sign, .. } => sign,
            other => panic!("{other:?}"),
        };
        assert_eq!([500, 503, 429, 408].map(sign), [Sign::Trouble; 4]);
        assert_eq!([400, 404, 302].map(sign), [Sign::Well; 3]);
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let asked = |text| match answered(503, text) {
            Finding::Failed { retry_after, .. } => retry_after,
            other => panic!("{other:?}"),
        };
        assert_eq!(asked("120"), Some(Duration::from_secs(120)));
        assert_eq!(asked("Sun, 06 Nov 1994 08:51:37 GMT"), Some(Duration::from_secs(120)));
        assert_eq!(asked("Sun, 06 Nov 1994 08:49:00 GMT"), Some(Duration::ZERO), "in the past");
        for bad in ["", "soon", "-5", "1.5"] {
            assert_eq!(asked(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_in_our_way_is_not_the_destinations_fault() {
        assert_eq!(refused(io::ErrorKind::AddrNotAvailable), Finding::Ours);
        assert!(matches!(refused(io::ErrorKind::ConnectionRefused), Finding::Failed { ambiguous: false, .. }));
        let no_files = io::Error::from_raw_os_error(24);
        let target = Target { host: "h".into(), port: 1, tls: false };
        assert_eq!(judge(&Err(ExchangeError::Connect { target, cause: no_files }), &Way::Forward, NOW), Finding::Ours);
    }

    #[test]
    fn what_the_guard_stops_is_the_destinations_fault_and_the_proxys_is_ours() {
        let target = || Target { host: "h".into(), port: 1, tls: true };
        let cause = || io::Error::other("x");
        let failed = Finding::Failed { ambiguous: false, retry_after: None, sign: Sign::Trouble };
        for (error, finding) in [
            (ExchangeError::Refused { target: target(), why: Refused::PlainHttp }, failed.clone()),
            (ExchangeError::UnknownName { target: target(), cause: cause() }, failed.clone()),
            (ExchangeError::Tls { target: target(), cause: cause() }, failed),
            (ExchangeError::Resolve { target: target(), cause: cause() }, Finding::Ours),
            (ExchangeError::Proxy { proxy: target(), cause: cause() }, Finding::Ours),
        ] {
            let text = error.to_string();
            assert_eq!(judge(&Err(error), &Way::Forward, NOW), finding, "{text}");
        }
    }

    fn endpoint(slug: &str, heeds_gone: bool) -> Way {
        let preset = Preset::find(slug).expect("a preset");
        Way::Sign(Box::new(Signing {
            endpoint: "wh_1".into(),
            account: "default".into(),
            scheme: Arc::new(preset.profile.scheme.clone()),
            emission: Arc::new(preset.profile.emission.clone()),
            content_type: preset.profile.emission.content_type.clone(),
            secrets: Vec::new(),
            headers: HeaderMap::new(),
            authorization: None,
            success: None,
            heeds_gone,
        }))
    }

    fn answered_by(way: &Way, status: u16) -> Finding {
        let answer = Response::builder().status(status).header(RETRY_AFTER, "60").body(Bytes::new());
        judge(&Ok(answer.expect("an answer")), way, NOW)
    }

    #[test]
    fn an_endpoint_has_it_if_its_provider_would_think_so() {
        let (any, only_200) = (endpoint("standard-webhooks", true), endpoint("vgs", true));
        for (status, by_any, by_vgs) in
            [(200, true, true), (204, true, false), (302, false, false), (400, false, false)]
        {
            let taken = |way| answered_by(way, status) == Finding::Taken;
            assert_eq!((taken(&any), taken(&only_200)), (by_any, by_vgs), "{status}");
        }
    }

    #[test]
    fn an_endpoint_that_is_gone_is_told_from_one_that_fails() {
        assert_eq!(answered_by(&endpoint("svix", true), 410), Finding::Gone);
        for way in [endpoint("svix", false), Way::Forward] {
            assert!(matches!(answered_by(&way, 410), Finding::Failed { .. }));
        }
    }

    #[test]
    fn an_endpoint_may_ask_for_time_only_where_it_says_that_it_is_too_much() {
        let asked = |way, status| match answered_by(way, status) {
            Finding::Failed { retry_after, .. } => retry_after.is_some(),
            other => panic!("{other:?}"),
        };
        let endpoint = endpoint("svix", true);
        assert_eq!([429, 503, 500, 404].map(|status| asked(&endpoint, status)), [true, true, false, false]);
        assert_eq!([429, 503, 500, 404].map(|status| asked(&Way::Forward, status)), [true; 4]);
    }
}
