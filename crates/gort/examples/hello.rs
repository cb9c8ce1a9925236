//! Ten goroutines that yield, sleep, park and end.

use std::time::Duration;

#[gort::main]
fn main() {
    let handles: Vec<_> = (0..10)
        .map(|n| {
            gort::go(move || {
                for _ in 0..n {
                    gort::yield_now();
                }
                gort::sleep(Duration::from_millis(n));
                n * n
            })
        })
        .collect();
    let sum: u64 = handles.into_iter().map(|handle| handle.join().unwrap()).sum();
    println!("the sum is {sum}; {:?}", gort::runtime::metrics());
}
