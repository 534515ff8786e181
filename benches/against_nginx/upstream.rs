//! The service that the proxies forward to: it answers everything with 200, as cheaply as it can.

use std::io;
use std::net::Ipv4Addr;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::wire::Reader;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n";

/// Answers until the process ends.
pub fn run(port: u16) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            // A proxy that is ended leaves its connections broken.
            tokio::spawn(async { serve(stream).await.ok() });
        }
    })
}

async fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (reading, mut writing) = stream.split();
    let mut requests = Reader::new(reading);
    while requests.next().await?.is_some() {
        writing.write_all(ANSWER).await?;
    }
    Ok(())
}
