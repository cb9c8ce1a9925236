//! `wc`: lines, words and bytes of standard input. Whoever types has all the time in the world: waiting for a terminal or a pipe costs no thread, so a ticker
//! beside it says how far it is.
//!
//! `cargo run --release --example wc < Cargo.toml`, or `yes | head -c 3G | cargo run --release --example wc`

use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

static BYTES: AtomicU64 = AtomicU64::new(0);

#[gort::main]
fn main() -> io::Result<()> {
    gort::go(|| {
        for _ in gort::chan::tick(Duration::from_secs(1)).iter() {
            eprintln!("{} bytes so far", BYTES.load(Relaxed));
        }
    });
    let (mut lines, mut words, mut in_word) = (0_u64, 0_u64, false);
    let mut input = gort::io::stdin().lock();
    let mut piece = vec![0; 64 << 10];
    loop {
        let count = input.read(&mut piece)?;
        if count == 0 {
            break;
        }
        BYTES.fetch_add(count as u64, Relaxed);
        for byte in &piece[..count] {
            lines += u64::from(*byte == b'\n');
            let is_space = byte.is_ascii_whitespace();
            words += u64::from(in_word && is_space);
            in_word = !is_space;
        }
    }
    words += u64::from(in_word);
    println!("{lines} {words} {}", BYTES.load(Relaxed));
    Ok(())
}
