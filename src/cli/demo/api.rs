//! The sender's API, asked as an app and its customers ask it.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Request};
use http_body_util::Full;
use serde_json::Value;

use crate::egress::{Pool, Target};

const WITHIN: Duration = Duration::from_secs(10);

/// The API of the demo's sender.
#[derive(Debug)]
pub struct Api {
    address: SocketAddr,
    target: Target,
    pool: Pool,
    token: String,
}

impl Api {
    pub fn new(address: SocketAddr, token: String) -> Self {
        let target = Target { host: address.ip().to_string(), port: address.port(), tls: false };
        Self { address, pool: Pool::new(target.clone(), None, WITHIN), target, token }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.ask(Method::GET, path, String::new()).await
    }

    pub async fn post(&self, path: &str, body: String) -> anyhow::Result<Value> {
        self.ask(Method::POST, path, body).await
    }

    async fn ask(&self, method: Method, path: &str, body: String) -> anyhow::Result<Value> {
        let request = Request::builder()
            .method(&method)
            .uri(path)
            .header(HOST, self.target.host_header())
            .header(AUTHORIZATION, format!("Bearer {}", self.token))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))?;
        let answer = self.pool.exchange(request, WITHIN).await?;
        if !answer.status().is_success() {
            let text = String::from_utf8_lossy(answer.body());
            anyhow::bail!("the sender answered {method} {path} with {}: {text}", answer.status());
        }
        Ok(serde_json::from_slice(answer.body())?)
    }
}
