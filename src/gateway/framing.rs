//! Refuses requests that another HTTP implementation could cut up differently.
//!
//! hyper forgives bare line feeds, drops a `Content-Length` that stands beside `Transfer-Encoding`, and loses a
//! fragment, all before anybody else sees the request. So the bytes are followed here as they come in: where each
//! head begins and ends, and how long its body is. What could be understood in two ways ends the connection.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use smallvec::SmallVec;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// So much of a line is kept: enough for the two headers that say how long a body is, and for a chunk's size.
const KEPT: usize = 64;

/// Why a request could be cut up differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Ambiguous {
    #[error("a line ends without a carriage return")]
    BareLineFeed,
    #[error("a header line is folded")]
    Folded,
    #[error("the request's target has a fragment")]
    Fragment,
    #[error("the body's length is said twice, or not plainly")]
    Length,
    #[error("a chunk is not plainly framed")]
    Chunk,
}

/// Follows the framing of one connection's requests.
#[derive(Debug)]
pub struct Framing {
    state: State,
    line: Line,
    length: Option<u64>,
    coding: Option<Coding>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    RequestLine,
    Header,
    /// So many bytes of a body with a length are left.
    Body(u64),
    ChunkSize,
    /// So many bytes of a chunk are left.
    Chunk(u64),
    ChunkEnd,
    Trailer,
    /// The body's coding is not ours to follow: the head is answered 400, and the connection ends with that.
    Unknown,
}

/// What a head says of its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Chunked,
    Unknown,
}

/// The line that is being read, without its end.
#[derive(Debug, Default)]
struct Line {
    kept: SmallVec<[u8; KEPT]>,
    length: usize,
    last: u8,
    has_hash: bool,
}

impl Line {
    fn push(&mut self, bytes: &[u8]) {
        let room = KEPT - self.kept.len();
        self.kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.length += bytes.len();
        self.last = bytes.last().copied().unwrap_or(self.last);
        self.has_hash |= bytes.contains(&b'#');
    }

    /// The line without its carriage return; what is longer than is kept comes cut.
    fn text(&self) -> &[u8] {
        let text = &self.kept[..self.kept.len().min(self.length - 1)];
        text.strip_suffix(b"\r").unwrap_or(text)
    }

    fn is_whole(&self) -> bool {
        self.length <= KEPT
    }

    fn clear(&mut self) {
        self.kept.clear();
        (self.length, self.last, self.has_hash) = (0, 0, false);
    }
}

impl Default for Framing {
    fn default() -> Self {
        Self { state: State::RequestLine, line: Line::default(), length: None, coding: None }
    }
}

impl Framing {
    /// Follows the next bytes of the connection.
    ///
    /// # Errors
    /// Why the request could be cut up differently. The connection is then of no use any more.
    pub fn follow(&mut self, mut bytes: &[u8]) -> Result<(), Ambiguous> {
        while !bytes.is_empty() {
            bytes = match self.state {
                State::Body(left) => self.skip(bytes, left, State::Body, State::RequestLine),
                State::Chunk(left) => self.skip(bytes, left, State::Chunk, State::ChunkEnd),
                State::Unknown => return Ok(()),
                _ => self.take_line(bytes)?,
            };
        }
        Ok(())
    }

    /// Passes over the bytes of a body, and returns what follows it.
    fn skip<'a>(&mut self, bytes: &'a [u8], left: u64, within: fn(u64) -> State, after: State) -> &'a [u8] {
        let length = bytes.len() as u64;
        if length < left {
            self.state = within(left - length);
            return &[];
        }
        self.state = after;
        &bytes[usize::try_from(left).unwrap_or(bytes.len())..]
    }

    /// Takes bytes up to the end of a line, and returns what follows it.
    fn take_line<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Ambiguous> {
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
            self.line.push(bytes);
            return Ok(&[]);
        };
        self.line.push(&bytes[..end]);
        if self.line.last != b'\r' {
            return Err(Ambiguous::BareLineFeed);
        }
        self.state = self.end_line()?;
        self.line.clear();
        Ok(&bytes[end + 1..])
    }

    /// What comes after the line that just ended.
    fn end_line(&mut self) -> Result<State, Ambiguous> {
        let is_empty = self.line.length == 1;
        match self.state {
            // Empty lines between requests are passed over (RFC 9112, 2.2).
            State::RequestLine if is_empty => Ok(State::RequestLine),
            State::RequestLine if self.line.has_hash => Err(Ambiguous::Fragment),
            State::RequestLine => {
                (self.length, self.coding) = (None, None);
                Ok(State::Header)
            }
            State::Header if is_empty => self.body(),
            State::Header => self.header().map(|()| State::Header),
            State::ChunkSize => self.chunk_size(),
            State::ChunkEnd if is_empty => Ok(State::ChunkSize),
            State::ChunkEnd => Err(Ambiguous::Chunk),
            State::Trailer if is_empty => Ok(State::RequestLine),
            State::Trailer | State::Body(_) | State::Chunk(_) | State::Unknown => Ok(self.state),
        }
    }

    fn header(&mut self) -> Result<(), Ambiguous> {
        let text = self.line.text();
        if text.starts_with(b" ") || text.starts_with(b"\t") {
            return Err(Ambiguous::Folded);
        }
        let Some((name, value)) = split_at_colon(text) else { return Ok(()) };
        let value = value.trim_ascii();
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = decimal(value).filter(|_| self.line.is_whole() && self.length.is_none());
            self.length = Some(length.ok_or(Ambiguous::Length)?);
        }
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            // A line that was cut might say something else behind its cut.
            if self.coding.is_some() || !self.line.is_whole() {
                return Err(Ambiguous::Length);
            }
            let chunked = value.eq_ignore_ascii_case(b"chunked");
            self.coding = Some(if chunked { Coding::Chunked } else { Coding::Unknown });
        }
        Ok(())
    }

    /// What the end of a head is followed by.
    fn body(&self) -> Result<State, Ambiguous> {
        match (self.length, self.coding) {
            (Some(_), Some(_)) => Err(Ambiguous::Length),
            (None, Some(Coding::Chunked)) => Ok(State::ChunkSize),
            (None, Some(Coding::Unknown)) => Ok(State::Unknown),
            (Some(length), None) if length > 0 => Ok(State::Body(length)),
            (_, None) => Ok(State::RequestLine),
        }
    }

    fn chunk_size(&self) -> Result<State, Ambiguous> {
        let text = self.line.text();
        let digits = text.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let plain = matches!(text.get(digits), None | Some(b';' | b' ' | b'\t'));
        if digits == 0 || digits > 16 || !plain {
            return Err(Ambiguous::Chunk);
        }
        let size = std::str::from_utf8(&text[..digits]).ok().and_then(|text| u64::from_str_radix(text, 16).ok());
        match size.ok_or(Ambiguous::Chunk)? {
            0 => Ok(State::Trailer),
            size => Ok(State::Chunk(size)),
        }
    }
}

fn split_at_colon(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    Some((&line[..colon], &line[colon + 1..]))
}

/// Digits without a leading zero, but for zero itself.
fn decimal(text: &[u8]) -> Option<u64> {
    let plain = text.iter().all(u8::is_ascii_digit) && (text.len() == 1 || text.first() != Some(&b'0'));
    std::str::from_utf8(text).ok().filter(|_| plain)?.parse().ok()
}

/// A connection whose requests are followed as they are read.
#[derive(Debug)]
pub struct Strict<S> {
    stream: S,
    framing: Framing,
    /// Set where a head was refused: nobody else will hear of that request.
    refused: Arc<AtomicBool>,
}

impl<S> Strict<S> {
    /// Follows `stream`, and sets `refused` if one of its heads is refused.
    pub fn new(stream: S, refused: Arc<AtomicBool>) -> Self {
        Self { stream, framing: Framing::default(), refused }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Strict<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, into))?;
        if let Err(ambiguous) = self.framing.follow(&into.filled()[before..]) {
            let in_head = matches!(self.framing.state, State::RequestLine | State::Header);
            self.refused.store(in_head, Ordering::Relaxed);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, ambiguous)));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Strict<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Follows `bytes` in pieces of every size, which must make no difference.
    fn follow(bytes: &[u8]) -> Result<State, Ambiguous> {
        let in_pieces = |size: usize| {
            let mut framing = Framing::default();
            bytes.chunks(size).try_for_each(|piece| framing.follow(piece)).map(|()| framing.state)
        };
        let whole = in_pieces(bytes.len().max(1));
        for size in 1..bytes.len().min(40) {
            assert_eq!(in_pieces(size), whole, "in pieces of {size}");
        }
        whole
    }

    fn request(headers: &str, body: &str) -> Result<State, Ambiguous> {
        follow(format!("POST /in HTTP/1.1\r\nHost: x\r\n{headers}\r\n{body}").as_bytes())
    }

    #[test]
    fn plain_requests_are_followed_to_their_end() {
        assert_eq!(request("", ""), Ok(State::RequestLine));
        assert_eq!(request("Content-Length: 0\r\n", ""), Ok(State::RequestLine));
        assert_eq!(request("content-length:5 \r\n", "ab\ncd"), Ok(State::RequestLine));
        assert_eq!(request("Content-Length: 5\r\n", "abc"), Ok(State::Body(2)));
        let chunks = "3;ext=\"x\"\r\na\nc\r\nA\r\n0123456789\r\n0\r\nX: y\r\n\r\n";
        assert_eq!(request("Transfer-Encoding: Chunked\r\n", chunks), Ok(State::RequestLine));
        let next = "abcde\r\nPOST /in HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nab";
        assert_eq!(request("Content-Length: 5\r\n", next), Ok(State::Chunk(2)));
        assert_eq!(request(&format!("X-Long: {}\r\n", "y".repeat(5000)), ""), Ok(State::RequestLine));
    }

    #[test]
    fn what_could_be_cut_up_differently_is_refused() {
        assert_eq!(follow(b"POST /in HTTP/1.1\nHost: x\r\n\r\n"), Err(Ambiguous::BareLineFeed));
        assert_eq!(request("X: y\n", ""), Err(Ambiguous::BareLineFeed));
        assert_eq!(request("\n", ""), Err(Ambiguous::BareLineFeed));
        assert_eq!(request("X: y\r\n z\r\n", ""), Err(Ambiguous::Folded));
        assert_eq!(follow(b"POST /in#x HTTP/1.1\r\n"), Err(Ambiguous::Fragment));
        for headers in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            "Content-Length: +5\r\n",
            "Content-Length: 05\r\n",
            "Content-Length: 5, 5\r\n",
            "Content-Length:\r\n",
            "Content-Length: 18446744073709551616\r\n",
            "Content-Length: 5\r\nTransfer-Encoding: identity\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        ] {
            assert_eq!(request(headers, ""), Err(Ambiguous::Length), "{headers}");
        }
        assert_eq!(request("Transfer-Encoding: gzip, chunked\r\n", "what\never"), Ok(State::Unknown));
        for padding in [40, 60, 200] {
            for name in ["Transfer-Encoding", "Content-Length"] {
                let padded = format!("{name}:{}chunked\r\n", " ".repeat(padding));
                assert_eq!(request(&padded, ""), Err(Ambiguous::Length), "{name} {padding}");
            }
        }
        for chunks in ["\r\n", "g\r\n", "0x1\r\n", "-1\r\n", "11111111111111111\r\n", "1\r\nab\r\n"] {
            assert_eq!(request("Transfer-Encoding: chunked\r\n", chunks), Err(Ambiguous::Chunk), "{chunks:?}");
        }
        assert_eq!(request("Transfer-Encoding: chunked\r\n", "1\n"), Err(Ambiguous::BareLineFeed));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_break_it(bytes in proptest::collection::vec(0u8.., 0..300), text in "[A-Z a-z0-9:;#\r\n]{0,200}") {
            let _ = follow(&bytes);
            let _ = follow(text.as_bytes());
            let _ = request("Transfer-Encoding: chunked\r\n", &text);
        }
    }
}
