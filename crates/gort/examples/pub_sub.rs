//! Publish and subscribe: one goroutine owns the list of subscribers and hears of everything through channels, so nothing is locked.
//!
//! `cargo run --release --example pub_sub`

use gort::chan::{Receiver, Sender, bounded};
use std::sync::Arc;

/// A topic. A subscriber that does not keep up misses messages and holds nobody up.
struct Topic {
    publish: Sender<Arc<str>>,
    subscribe: Sender<Sender<Arc<str>>>,
}

impl Topic {
    fn new() -> Self {
        let (publish, published) = bounded::<Arc<str>>(0);
        let (subscribe, newcomers) = bounded::<Sender<Arc<str>>>(0);
        gort::go(move || {
            let mut subscribers: Vec<Sender<Arc<str>>> = Vec::new();
            loop {
                gort::select! {
                    recv(newcomers) -> newcomer => match newcomer {
                        Ok(newcomer) => subscribers.push(newcomer),
                        Err(_) => return,
                    },
                    recv(published) -> message => match message {
                        // Those who have gone are forgotten.
                        Ok(message) => subscribers.retain(|s| !s.try_send(message.clone()).is_err_and(|e| e.is_disconnected())),
                        Err(_) => return,
                    },
                }
            }
        });
        Self { publish, subscribe }
    }

    fn subscribe(&self) -> Receiver<Arc<str>> {
        let (s, r) = bounded(16);
        self.subscribe.send(s).expect("the topic's goroutine runs as long as the topic");
        r
    }

    fn publish(&self, message: &str) {
        self.publish.send(message.into()).expect("as above");
    }
}

#[gort::main]
fn main() {
    let topic = Topic::new();
    let readers: Vec<_> = (0..3)
        .map(|reader| {
            let messages = topic.subscribe();
            gort::go(move || {
                for message in &messages {
                    println!("reader {reader}: {message}");
                }
                reader
            })
        })
        .collect();
    for message in ["good morning", "good afternoon", "good night"] {
        topic.publish(message);
    }
    drop(topic); // the readers' channels end with it
    for reader in readers {
        reader.join().unwrap();
    }
}
