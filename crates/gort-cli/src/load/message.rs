//! What clients send, and the exchange of one message for its echo.
//!
//! Every message begins with a stamp of its connection and number, so a reply that went to the wrong connection, came twice or
//! was cut is noticed, and goes on with bytes that differ from place to place. A message of up to one piece is one write and one
//! read. A larger one must not be written whole before reading: the echo comes back while it is being sent, and with both
//! directions' socket buffers full, each end would wait for the other for ever. It is sent in pieces, with no more than a few of
//! them on the way, which any kernel's buffers hold.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

/// The unit large messages are sent in.
const PIECE: usize = 16 << 10;
/// Bytes sent but not yet come back, at most.
const ON_THE_WAY: usize = 2 * PIECE;
/// Connection and number, 4 bytes each.
const STAMP: usize = 8;

/// The bytes all messages have in common.
#[derive(Debug, Clone)]
pub struct Pattern(Arc<[u8]>);

impl Pattern {
    /// For messages of `size` bytes.
    pub fn new(size: usize) -> Pattern {
        // A multiplicative hash of the place: no two stretches of the same length are alike.
        Pattern(
            (0..size as u64)
                .map(|place| (place.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8)
                .collect(),
        )
    }
}

/// One connection's message and the room for its echo.
#[derive(Debug)]
pub struct Message {
    /// All of it, of which the first piece is replaced by `first`.
    pattern: Pattern,
    /// The first piece, stamped.
    first: Box<[u8]>,
    echo: Box<[u8]>,
    connection: u32,
    number: u32,
}

impl Message {
    /// For one connection.
    pub fn new(pattern: &Pattern, connection: u32) -> Message {
        let piece = pattern.0.len().min(PIECE);
        Message {
            pattern: pattern.clone(),
            first: pattern.0[..piece].into(),
            echo: vec![0; piece].into(),
            connection,
            number: 0,
        }
    }

    /// Sends the next message and takes its echo.
    ///
    /// # Errors
    /// Those of the stream; `InvalidData` if anything but the message came back, `UnexpectedEof` if it ended too early.
    pub fn exchange(&mut self, stream: &mut (impl Read + Write)) -> io::Result<()> {
        self.stamp();
        let size = self.pattern.0.len();
        let (mut sent, mut back) = (0, 0);
        while back < size {
            while sent < size && sent - back < ON_THE_WAY {
                let piece = self.piece(sent);
                stream.write_all(piece)?;
                sent += piece.len();
            }
            let length = self.piece(back).len();
            self.fill(stream, back, length)?;
            if self.echo[..length] != *self.piece(back) {
                return Err(self.mismatch(back, length));
            }
            back += length;
        }
        Ok(())
    }

    /// `read_exact`, with an error that says what was missing.
    fn fill(&mut self, stream: &mut impl Read, back: usize, length: usize) -> io::Result<()> {
        let mut filled = 0;
        while filled < length {
            match stream.read(&mut self.echo[filled..length]) {
                Ok(0) => return Err(self.early_end(back + filled)),
                Ok(n) => filled += n,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn stamp(&mut self) {
        self.number = self.number.wrapping_add(1);
        let stamp = (u64::from(self.number) | u64::from(self.connection) << 32).to_le_bytes();
        // A message too short for a stamp carries the low bytes of its number.
        let length = STAMP.min(self.first.len());
        self.first[..length].copy_from_slice(&stamp[..length]);
    }

    fn piece(&self, from: usize) -> &[u8] {
        if from == 0 { &self.first } else { &self.pattern.0[from..self.pattern.0.len().min(from + PIECE)] }
    }

    fn mismatch(&self, from: usize, length: usize) -> io::Error {
        let place = self.echo[..length].iter().zip(self.piece(from)).position(|(got, sent)| got != sent).unwrap_or(0);
        let words = format!(
            "byte {} came back as {:#04x} instead of {:#04x} in message {} of connection {}",
            from + place,
            self.echo[place],
            self.piece(from)[place],
            self.number,
            self.connection,
        );
        io::Error::new(ErrorKind::InvalidData, words)
    }

    fn early_end(&self, back: usize) -> io::Error {
        let size = self.pattern.0.len();
        let words = match back {
            0 => "the server closed the connection instead of replying".to_owned(),
            _ => format!("the server closed the connection in the middle of a reply, after {back} of {size} bytes"),
        };
        io::Error::new(ErrorKind::UnexpectedEof, words)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// An echo in memory that can hold only so much, and can spoil a byte.
    struct Mirror {
        held: VecDeque<u8>,
        passed: usize,
        spoil: Option<usize>,
    }

    impl Write for Mirror {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            for &byte in bytes {
                self.held.push_back(if self.spoil == Some(self.passed) { !byte } else { byte });
                self.passed += 1;
            }
            assert!(self.held.len() <= ON_THE_WAY, "{} bytes on the way", self.held.len());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Read for Mirror {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let n = buffer.len().min(self.held.len()).min(1000);
            self.held.drain(..n).zip(buffer).for_each(|(byte, place)| *place = byte);
            Ok(n)
        }
    }

    fn exchange_twice(size: usize, spoil: Option<usize>) -> io::Result<()> {
        let mut mirror = Mirror { held: VecDeque::new(), passed: 0, spoil };
        let mut message = Message::new(&Pattern::new(size), 7);
        message.exchange(&mut mirror)?;
        message.exchange(&mut mirror)
    }

    #[test]
    fn messages_of_any_size_come_back_without_filling_the_buffers() {
        for size in [1, 2, 7, 8, 9, 64, PIECE - 1, PIECE, PIECE + 1, 5 * PIECE + 3] {
            exchange_twice(size, None).unwrap();
        }
    }

    #[test]
    fn a_spoiled_byte_is_noticed_wherever_it_is() {
        for (size, place) in [(1, 0), (64, 63), (64, 64), (64, 100), (3 * PIECE, PIECE), (3 * PIECE, 3 * PIECE - 1)] {
            let e = exchange_twice(size, Some(place)).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::InvalidData);
            assert!(e.to_string().contains(&format!("byte {} ", place % size)), "{e}");
        }
    }

    #[test]
    fn an_early_end_is_an_error_of_its_own() {
        struct Silent;
        impl Read for Silent {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Ok(0)
            }
        }
        impl Write for Silent {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let e = Message::new(&Pattern::new(64), 0).exchange(&mut Silent).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::UnexpectedEof);
        assert!(e.to_string().contains("instead of replying"), "{e}");
    }
}
