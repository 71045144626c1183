//! A minimal HTTP/2 client that can send what client libraries refuse to send.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// A connection on which the test sends frames.
pub(crate) struct Connection(TcpStream);

impl Connection {
    /// Connects, and sends the preface and empty settings.
    pub(crate) fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut connection = Self(stream);
        connection.send(PREFACE).unwrap();
        connection.send(&frame(SETTINGS, 0, 0, &[])).unwrap();
        connection
    }

    /// Fails if the server has closed the connection.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.write_all(bytes)
    }

    /// Reads the next frame, and acknowledges settings. `None` if the server has closed the connection.
    pub(crate) fn next_frame(&mut self, timeout: Duration) -> Option<Frame> {
        self.0.set_read_timeout(Some(timeout)).unwrap();
        let mut head = [0; 9];
        if let Err(error) = self.0.read_exact(&mut head) {
            assert!(
                !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
                "neither a frame nor the end of the connection within {timeout:?}"
            );
            return None;
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let next = Frame { kind: head[3], flags: head[4], stream, payload };
        if (next.kind, next.flags) == (SETTINGS, 0) {
            self.send(&frame(SETTINGS, ACK, 0, &[])).ok();
        }
        Some(next)
    }

    /// Reads until the server closes the connection. Returns the error code of the last GOAWAY.
    pub(crate) fn goaway_code(&mut self, timeout: Duration) -> Option<u32> {
        let mut code = None;
        while let Some(frame) = self.next_frame(timeout) {
            if frame.kind == GOAWAY {
                code = Some(u32::from_be_bytes(frame.payload[4..8].try_into().unwrap()));
            }
        }
        code
    }
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The header block of a gRPC call: literal fields without indexing (RFC 7541, 6.2.2).
pub(crate) fn grpc_header_block(path: &str, extra: &[(&str, &str)]) -> Vec<u8> {
    let fields = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "localhost")];
    let fixed_fields = [("content-type", "application/grpc"), ("te", "trailers")];
    let mut block = Vec::new();
    for (name, value) in fields.iter().chain(&fixed_fields).chain(extra) {
        block.push(0);
        for text in [name, value] {
            put_length(&mut block, text.len());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// Appends the length of a string without Huffman coding: an integer with a prefix of seven bits (RFC 7541, 5.1).
fn put_length(block: &mut Vec<u8>, length: usize) {
    if length < 127 {
        block.push(length as u8);
        return;
    }
    block.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        block.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    block.push(rest as u8);
}
