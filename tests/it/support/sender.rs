//! A provider that keeps its connection open, and tries again until its event is accepted.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Request;
use super::client::PATIENCE;

/// One keep-alive connection.
pub struct Sender(TcpStream);

impl Sender {
    pub async fn connect(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.expect("a listener"))
    }

    /// Sends a request, and returns the status that it is answered.
    pub async fn send(&mut self, request: &Request) -> u16 {
        timeout(PATIENCE, self.exchange(request)).await.expect("an answer in time")
    }

    /// Sends a request until it is answered 2xx, so many times at most. False if it never is.
    pub async fn insist(&mut self, request: &Request, tries: usize) -> bool {
        for _ in 0..tries {
            if (200..300).contains(&self.send(request).await) {
                return true;
            }
        }
        false
    }

    /// The same with a pause after each refusal.
    pub async fn insist_every(&mut self, pause: Duration, request: &Request, tries: usize) -> bool {
        for _ in 0..tries {
            if self.insist(request, 1).await {
                return true;
            }
            tokio::time::sleep(pause).await;
        }
        false
    }

    async fn exchange(&mut self, request: &Request) -> u16 {
        let request = String::from_utf8(request.bytes()).expect("text").replace("Connection: close\r\n", "");
        self.0.write_all(request.as_bytes()).await.expect("a connection");
        let mut answer = Vec::new();
        loop {
            let mut piece = [0; 1024];
            let length = self.0.read(&mut piece).await.expect("a connection");
            assert_ne!(length, 0, "the gateway hung up");
            answer.extend_from_slice(&piece[..length]);
            let text = String::from_utf8_lossy(&answer).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let lengths =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= lengths.unwrap_or(0) {
                return head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
            }
        }
    }
}
