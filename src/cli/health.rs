//! `hookward health`: asks a running gateway whether it is ready.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http::header::HOST;
use http_body_util::Full;

use super::{FAILURE, USAGE};
use crate::egress::{Exchange, Pool, Roots, Url};

const WITHIN: Duration = Duration::from_secs(5);

/// 0 if the answer is 2xx, 1 if it is not or there is none.
pub fn run(url: &str) -> u8 {
    let url = match Url::parse(url) {
        Ok(url) => url,
        Err(wrong) => {
            eprintln!("error: {wrong}");
            return USAGE;
        }
    };
    match ask(&url) {
        Ok(answer) if answer.status().is_success() => 0,
        Ok(answer) => {
            eprintln!("{url} answered {}: {}", answer.status(), String::from_utf8_lossy(answer.body()).trim());
            FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            FAILURE
        }
    }
}

fn ask(url: &Url) -> anyhow::Result<Exchange> {
    let roots = if url.target.tls { Some(Roots::system()?) } else { None };
    let path = match &url.query {
        Some(query) => format!("{}?{query}", url.path),
        None => url.path.clone(),
    };
    let request = Request::get(path).header(HOST, url.target.host_header()).body(Full::new(Bytes::new()))?;
    let pool = Pool::new(url.target.clone(), roots, WITHIN);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(pool.exchange(request, WITHIN))?)
}
