//! Everything at once on a few channels: goroutines and threads that send and receive in every form, leave, close and panic, are late and are
//! cancelled.
//!
//! Each value is known by a number. Whatever happens to it, it is received at most once and dropped exactly once; one that was sent is
//! received, or dropped with its channel; and what one sender sends into one channel comes in order, as each receiver sees it.
//!
//! One receiver of each channel takes from nothing else, so a sender that waits for one channel always has somebody to wait for.

use crate::support::{Cancellers, Contexts, Dice, rounds};
use gort::chan::{
    Receiver, RecvCtxError, RecvTimeoutError, Select, SendCtxError, SendTimeoutError, Sender, TryRecvError,
    TrySendError, bounded, never,
};
use gort::select;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU8, AtomicUsize};

const CAPACITIES: [usize; 4] = [0, 1, 3, usize::MAX];
const CHANNELS: usize = CAPACITIES.len();
const SENDERS: usize = 8;

/// What has become of the values, by their numbers.
struct Ledger {
    each: usize,
    received: Vec<AtomicU8>,
    dropped: Vec<AtomicU8>,
    given_back: AtomicUsize,
}

struct Value {
    number: usize,
    /// Which of its sender's attempts on this channel it is.
    attempt: usize,
    ledger: Arc<Ledger>,
}

impl Drop for Value {
    fn drop(&mut self) {
        self.ledger.dropped[self.number].fetch_add(1, Relaxed);
    }
}

fn panicking() -> Value {
    resume_unwind(Box::new("a value that panics"))
}

/// Which troubles there are.
#[derive(Clone, Copy, Default)]
struct Troubles {
    receivers_leave: bool,
    someone_closes: bool,
}

struct Party {
    dice: Dice,
    contexts: Contexts,
    ledger: Arc<Ledger>,
    senders: Vec<Sender<Value>>,
    receivers: Vec<Receiver<Value>>,
    /// By sender and channel, the last attempt that was received.
    seen: [[usize; CHANNELS]; SENDERS],
    attempts: [usize; CHANNELS],
    troubles: Troubles,
}

impl Party {
    fn receive(&mut self, value: Value, channel: usize) {
        assert_eq!(self.ledger.received[value.number].fetch_add(1, Relaxed), 0, "received twice");
        let sender = value.number / self.ledger.each;
        let before = std::mem::replace(&mut self.seen[sender][channel], value.attempt);
        assert!(before < value.attempt, "sender {sender}, channel {channel}: {} after {before}", value.attempt);
    }

    /// The value for `channel`, which has its turn.
    fn made_for(&mut self, value: &mut Option<Value>, channel: usize) -> Value {
        let mut value = value.take().expect("one operation at a time");
        self.attempts[channel] += 1;
        value.attempt = self.attempts[channel];
        value
    }

    /// One attempt; what comes back is returned, and whether for good.
    fn attempt(&mut self, value: Value) -> Result<(), (Value, bool)> {
        let (a, b) = (self.dice.roll(CHANNELS), self.dice.roll(CHANNELS));
        let (to_a, to_b) = (self.senders[a].clone(), self.senders[b].clone());
        let mut value = Some(value);
        let back = |value| (value, true);
        match self.dice.roll(11) {
            0 | 1 => to_a.send(self.made_for(&mut value, a)).map_err(|error| back(error.into_inner())),
            2 => to_a.try_send(self.made_for(&mut value, a)).map_err(|error| {
                let is_for_good = matches!(error, TrySendError::Disconnected(_));
                (error.into_inner(), is_for_good)
            }),
            3 => to_a.send_timeout(self.made_for(&mut value, a), self.dice.micros()).map_err(|error| {
                let is_for_good = matches!(error, SendTimeoutError::Disconnected(_));
                (error.into_inner(), is_for_good)
            }),
            4 => select! {
                send(to_a, self.made_for(&mut value, a)) -> sent => sent.map_err(|error| back(error.into_inner())),
                send(to_b, self.made_for(&mut value, b)) -> sent => sent.map_err(|error| back(error.into_inner())),
            },
            // Both sides, if this one receives, too.
            5 | 6 => {
                let from = self.dice.roll(CHANNELS);
                let receiver = self.receivers.get(from).cloned().unwrap_or_else(never);
                let patience = self.dice.micros();
                let received = select! {
                    send(to_a, self.made_for(&mut value, a)) -> sent => return sent.map_err(|error| back(error.into_inner())),
                    recv(receiver) -> received => received.ok(),
                    send(to_b, self.made_for(&mut value, b)) -> sent => return sent.map_err(|error| back(error.into_inner())),
                    default(patience) => None,
                };
                received.into_iter().for_each(|received| self.receive(received, from));
                Err((value.expect("nothing was sent"), false))
            }
            // An expression that panics when it is its turn.
            7 => {
                let patience = self.dice.micros();
                let attempt = catch_unwind(AssertUnwindSafe(|| {
                    select! {
                        send(to_a, panicking()) -> _ => unreachable!("it panics"),
                        send(to_b, self.made_for(&mut value, b)) -> sent => sent.map_err(|error| back(error.into_inner())),
                        default(patience) => Err((value.take().expect("nothing was sent"), false)),
                    }
                }));
                attempt.unwrap_or_else(|_| Err((value.expect("nothing was sent"), false)))
            }
            8 => {
                let ctx = self.contexts.brief(&mut self.dice);
                to_a.send_ctx(self.made_for(&mut value, a), &ctx).map_err(|error| {
                    let is_for_good = matches!(error, SendCtxError::Disconnected(_));
                    (error.into_inner(), is_for_good)
                })
            }
            // The end of a context beside the others.
            9 => {
                let ctx = self.contexts.brief(&mut self.dice);
                select! {
                    send(to_a, self.made_for(&mut value, a)) -> sent => sent.map_err(|error| back(error.into_inner())),
                    recv(ctx.done()) -> _ => Err((value.expect("nothing was sent"), false)),
                    send(to_b, self.made_for(&mut value, b)) -> sent => sent.map_err(|error| back(error.into_inner())),
                }
            }
            _ => {
                let senders = self.senders.clone();
                let mut select = Select::new();
                for s in &senders {
                    select.send(s);
                }
                let operation = select.select();
                let channel = operation.index();
                let value = self.made_for(&mut value, channel);
                operation.send(&senders[channel], value).map_err(|error| back(error.into_inner()))
            }
        }
    }

    fn send_all(mut self, me: usize) {
        for at in 0..self.ledger.each {
            let number = me * self.ledger.each + at;
            let mut value = Value { number, attempt: 0, ledger: self.ledger.clone() };
            while let Err((back, is_for_good)) = self.attempt(value) {
                if is_for_good {
                    self.ledger.given_back.fetch_add(1, Relaxed);
                    break;
                }
                value = back;
            }
            if self.troubles.someone_closes && me == 0 && at % (self.ledger.each / 5) == self.ledger.each / 5 - 1 {
                // Whoever is first; all but the last channel in the end.
                let _ = self.senders[self.dice.roll(CHANNELS - 1)].close();
            }
        }
    }

    /// True: goes away, whatever there is to be received yet.
    fn leaves(&mut self) -> bool {
        self.troubles.receivers_leave && self.dice.roll(self.ledger.each) == 0
    }

    fn receive_from(mut self, channel: usize) {
        let receiver = self.receivers[channel].clone();
        self.receivers.clear();
        while !self.leaves() {
            let received = match self.dice.roll(5) {
                0 => receiver.recv().ok(),
                1 => match receiver.try_recv() {
                    Err(TryRecvError::Empty) => continue,
                    other => other.ok(),
                },
                2 => match receiver.recv_timeout(self.dice.micros()) {
                    Err(RecvTimeoutError::Timeout) => continue,
                    other => other.ok(),
                },
                3 => match receiver.recv_ctx(&self.contexts.brief(&mut self.dice)) {
                    Err(RecvCtxError::Ended(_)) => continue,
                    other => other.ok(),
                },
                _ => receiver.iter().next(),
            };
            let Some(received) = received else { return };
            self.receive(received, channel);
        }
    }

    fn receive_from_all(mut self) {
        let mut receivers = std::mem::take(&mut self.receivers);
        let mut open = CHANNELS;
        while open > 0 && !self.leaves() {
            let patience = self.dice.micros();
            let (channel, received) = match self.dice.roll(5) {
                0 => select! {
                    recv(receivers[0]) -> received => (0, received),
                    recv(receivers[1]) -> received => (1, received),
                    recv(receivers[2]) -> received => (2, received),
                    recv(receivers[3]) -> received => (3, received),
                },
                1 => select! {
                    recv(receivers[3]) -> received => (3, received),
                    recv(receivers[1]) -> received => (1, received),
                    default(patience) => continue,
                },
                2 => {
                    let ctx = self.contexts.brief(&mut self.dice);
                    select! {
                        recv(receivers[0]) -> received => (0, received),
                        recv(ctx.done()) -> _ => continue,
                        recv(receivers[2]) -> received => (2, received),
                        recv(receivers[1]) -> received => (1, received),
                    }
                }
                3 => {
                    let mut select = Select::new();
                    for r in &receivers {
                        select.recv(r);
                    }
                    let operation = select.select();
                    let channel = operation.index();
                    (channel, operation.recv(&receivers[channel]))
                }
                _ => {
                    let mut select = Select::new();
                    for r in &receivers {
                        select.recv(r);
                    }
                    let Ok(channel) = select.ready_timeout(patience) else { continue };
                    match receivers[channel].try_recv() {
                        Ok(received) => (channel, Ok(received)),
                        // Somebody else was faster, or it is the end.
                        Err(_) => continue,
                    }
                }
            };
            match received {
                Ok(received) => self.receive(received, channel),
                Err(_) => {
                    receivers[channel] = never();
                    open -= 1;
                }
            }
        }
    }
}

fn run(troubles: Troubles) {
    let each = rounds(4000);
    let numbers = || (0..SENDERS * each).map(|_| AtomicU8::new(0)).collect();
    let ledger = Arc::new(Ledger { each, received: numbers(), dropped: numbers(), given_back: AtomicUsize::new(0) });
    let (senders, receivers): (Vec<_>, Vec<_>) = CAPACITIES.into_iter().map(bounded).unzip();
    let cancellers = Cancellers::start();
    let party = |number: usize, sends: bool, receives: bool| Party {
        dice: Dice::of(number),
        contexts: cancellers.contexts(),
        ledger: ledger.clone(),
        senders: if sends { senders.clone() } else { Vec::new() },
        receivers: if receives { receivers.clone() } else { Vec::new() },
        seen: [[0; CHANNELS]; SENDERS],
        attempts: [0; CHANNELS],
        troubles,
    };
    let (mut goroutines, mut threads) = (Vec::new(), Vec::new());
    for number in 0..SENDERS {
        // Receivers must be able to leave altogether.
        let party = party(number, true, !troubles.receivers_leave);
        if number % 4 == 3 {
            threads.push(std::thread::spawn(move || party.send_all(number)));
        } else {
            goroutines.push(gort::go(move || party.send_all(number)));
        }
    }
    for channel in 0..CHANNELS {
        let party = party(SENDERS + channel, false, true);
        if channel == 1 {
            threads.push(std::thread::spawn(move || party.receive_from(channel)));
        } else {
            goroutines.push(gort::go(move || party.receive_from(channel)));
        }
    }
    for number in 0..4 {
        let party = party(SENDERS + CHANNELS + number, false, true);
        if number == 3 {
            threads.push(std::thread::spawn(move || party.receive_from_all()));
        } else {
            goroutines.push(gort::go(move || party.receive_from_all()));
        }
    }
    drop((senders, receivers));
    goroutines.into_iter().for_each(|goroutine| goroutine.join().unwrap());
    gort::blocking_send(|| threads.into_iter().for_each(|thread| thread.join().unwrap()));
    cancellers.stop();

    assert!(ledger.dropped.iter().all(|times| times.load(Relaxed) == 1), "dropped once, whatever happened");
    let received = ledger.received.iter().filter(|times| times.load(Relaxed) == 1).count();
    let given_back = ledger.given_back.load(Relaxed);
    if troubles.receivers_leave {
        assert!(received + given_back <= SENDERS * each && received > 0);
    } else {
        assert_eq!(received + given_back, SENDERS * each, "what was not given back was received");
        assert_eq!(given_back > 0, troubles.someone_closes);
    }
}

/// Every value that was sent is received.
#[gort::test(procs = [1, 2, 4], timeout = 120)]
fn nothing_is_lost_or_doubled_whatever_form_is_used() {
    run(Troubles::default());
}

/// The same while channels are closed: what was not given back is received.
#[gort::test(procs = [1, 2, 4], timeout = 120)]
fn nothing_is_lost_or_doubled_while_channels_are_closed() {
    run(Troubles { someone_closes: true, ..Troubles::default() });
}

/// The same while receivers go: what nobody receives is dropped once.
#[gort::test(procs = [1, 2, 4], timeout = 120)]
fn nothing_is_doubled_while_receivers_go_away() {
    run(Troubles { receivers_leave: true, someone_closes: true });
}
