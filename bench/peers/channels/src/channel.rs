//! What the channels have in common.

use gort_bench_wire::check::Tally;

/// Why a channel is not to be sent to or received from any more.
pub type Gone = Box<dyn std::error::Error + Send + Sync>;

/// A channel of bounded capacity, for numbers.
pub trait Channel: 'static {
    type Sender: Clone + Send + 'static;
    type Receiver: Clone + Send + 'static;

    fn bounded(capacity: usize) -> (Self::Sender, Self::Receiver);
    fn send(sender: &Self::Sender, value: u64) -> Result<(), Gone>;
    fn recv(receiver: &Self::Receiver) -> Result<u64, Gone>;
}

/// One that can wait for several at once.
pub trait Select: Channel {
    /// Receives `count` values from two channels.
    fn from_two(count: u64, a: &Self::Receiver, b: &Self::Receiver) -> Result<Tally, Gone>;
}

pub struct Crossbeam;

impl Channel for Crossbeam {
    type Sender = crossbeam_channel::Sender<u64>;
    type Receiver = crossbeam_channel::Receiver<u64>;

    fn bounded(capacity: usize) -> (Self::Sender, Self::Receiver) {
        crossbeam_channel::bounded(capacity)
    }

    fn send(sender: &Self::Sender, value: u64) -> Result<(), Gone> {
        Ok(sender.send(value)?)
    }

    fn recv(receiver: &Self::Receiver) -> Result<u64, Gone> {
        Ok(receiver.recv()?)
    }
}

impl Select for Crossbeam {
    fn from_two(count: u64, a: &Self::Receiver, b: &Self::Receiver) -> Result<Tally, Gone> {
        let mut tally = Tally::default();
        for _ in 0..count {
            crossbeam_channel::select! {
                recv(a) -> n => tally.add(n?),
                recv(b) -> n => tally.add(n?),
            }
        }
        Ok(tally)
    }
}

pub struct Flume;

impl Channel for Flume {
    type Sender = flume::Sender<u64>;
    type Receiver = flume::Receiver<u64>;

    fn bounded(capacity: usize) -> (Self::Sender, Self::Receiver) {
        flume::bounded(capacity)
    }

    fn send(sender: &Self::Sender, value: u64) -> Result<(), Gone> {
        Ok(sender.send(value)?)
    }

    fn recv(receiver: &Self::Receiver) -> Result<u64, Gone> {
        Ok(receiver.recv()?)
    }
}

impl Select for Flume {
    fn from_two(count: u64, a: &Self::Receiver, b: &Self::Receiver) -> Result<Tally, Gone> {
        let mut tally = Tally::default();
        for _ in 0..count {
            tally.add(flume::Selector::new().recv(a, |n| n).recv(b, |n| n).wait()?);
        }
        Ok(tally)
    }
}

pub struct Kanal;

impl Channel for Kanal {
    type Sender = kanal::Sender<u64>;
    type Receiver = kanal::Receiver<u64>;

    fn bounded(capacity: usize) -> (Self::Sender, Self::Receiver) {
        kanal::bounded(capacity)
    }

    fn send(sender: &Self::Sender, value: u64) -> Result<(), Gone> {
        Ok(sender.send(value)?)
    }

    fn recv(receiver: &Self::Receiver) -> Result<u64, Gone> {
        Ok(receiver.recv()?)
    }
}
