//! As much of HTTP/1.1 as the load and the upstream need: heads, and bodies with a Content-Length.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// Larger than any head that is sent here, and large enough to read 64 KiB at once.
const BUFFER: usize = 128 << 10;

/// Reads messages off a connection, one at a time: nobody here pipelines.
pub struct Reader<S> {
    stream: S,
    buffer: Vec<u8>,
}

impl<S: AsyncRead + Unpin> Reader<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, buffer: vec![0; BUFFER] }
    }

    /// Reads one message and gives its head; the body is passed over. `None` where the connection ends before it.
    ///
    /// # Errors
    /// If the connection breaks off within the message, or the head cannot be read.
    pub async fn next(&mut self) -> io::Result<Option<&[u8]>> {
        let mut filled = 0;
        let head = loop {
            match self.stream.read(&mut self.buffer[filled..]).await? {
                0 if filled == 0 => return Ok(None),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => filled += read,
            }
            if let Some(end) = head_len(&self.buffer[..filled]) {
                break end;
            }
        };
        let mut left = (head + content_length(&self.buffer[..head])?).saturating_sub(filled);
        while left > 0 {
            match self.stream.read(&mut self.buffer[head..]).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => left = left.saturating_sub(read),
            }
        }
        Ok(Some(&self.buffer[..head]))
    }
}

/// The length of the head, its empty line included. `None` where it is not all there.
fn head_len(bytes: &[u8]) -> Option<usize> {
    const END: &[u8] = b"\r\n\r\n";
    bytes.windows(END.len()).position(|window| window == END).map(|at| at + END.len())
}

/// In bytes; none stands for no body.
fn content_length(head: &[u8]) -> io::Result<usize> {
    const NAME: &[u8] = b"content-length:";
    let wrong = |why: &'static str| io::Error::new(io::ErrorKind::InvalidData, why);
    for line in head.split(|byte| *byte == b'\n') {
        match line.split_at_checked(NAME.len()) {
            Some((name, value)) if name.eq_ignore_ascii_case(NAME) => {
                let text = str::from_utf8(value.trim_ascii()).map_err(|_| wrong("Content-Length is not text"))?;
                return text.parse().map_err(|_| wrong("Content-Length is not a number"));
            }
            Some((name, _)) if name.eq_ignore_ascii_case(b"transfer-encodi") => {
                return Err(wrong("chunked bodies are not read here"));
            }
            _ => {}
        }
    }
    Ok(0)
}

/// The status of a response's head: 0 where there is none.
pub fn status(head: &[u8]) -> u16 {
    head.get(9..12).and_then(|digits| str::from_utf8(digits).ok()?.parse().ok()).unwrap_or(0)
}
