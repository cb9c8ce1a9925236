//! A pipeline: each stage is a goroutine that receives from the one before and sends to the next; the last stage is spread over several.
//!
//! `cargo run --release --example pipeline`

use gort::chan::{Receiver, bounded};

/// The numbers from 2 on.
fn numbers(up_to: u64) -> Receiver<u64> {
    let (s, r) = bounded(64);
    gort::go(move || {
        for n in 2..=up_to {
            if s.send(n).is_err() {
                return; // nobody wants more
            }
        }
    });
    r
}

/// Those of the numbers that are prime, found by `workers` goroutines.
fn primes(input: &Receiver<u64>, workers: usize) -> Receiver<u64> {
    let (s, r) = bounded(64);
    for _ in 0..workers {
        let (input, s) = (input.clone(), s.clone());
        gort::go(move || {
            for n in input {
                let is_prime = (2..).take_while(|d| d * d <= n).all(|d| n % d != 0);
                if is_prime && s.send(n).is_err() {
                    return;
                }
            }
        });
    }
    // The output ends when the last worker has dropped its sender.
    r
}

#[gort::main]
fn main() {
    let found: Vec<u64> = primes(&numbers(100_000), 8).iter().collect();
    println!("{} primes below 100,000, the largest {:?}", found.len(), found.iter().max());
    assert_eq!(found.len(), 9592);
}
