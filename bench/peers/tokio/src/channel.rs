//! What the channels have in common.

/// Why a channel is not to be sent to or received from any more.
pub type Gone = &'static str;

/// A channel of bounded capacity, for numbers.
pub trait Channel: 'static {
    type Sender: Clone + Send + Sync + 'static;
    type Receiver: Send + 'static;

    fn bounded(capacity: usize) -> (Self::Sender, Self::Receiver);
    fn send(sender: &Self::Sender, value: u64) -> impl Future<Output = Result<(), Gone>> + Send;
    fn recv(receiver: &mut Self::Receiver) -> impl Future<Output = Result<u64, Gone>> + Send;
}

/// One from which several may receive.
pub trait Shared: Channel<Receiver: Clone> {}

/// tokio's.
pub struct Own;

impl Channel for Own {
    type Sender = tokio::sync::mpsc::Sender<u64>;
    type Receiver = tokio::sync::mpsc::Receiver<u64>;

    fn bounded(capacity: usize) -> (Self::Sender, Self::Receiver) {
        // There is none without capacity.
        tokio::sync::mpsc::channel(capacity.max(1))
    }

    async fn send(sender: &Self::Sender, value: u64) -> Result<(), Gone> {
        sender.send(value).await.map_err(|_| "the receiver is gone")
    }

    async fn recv(receiver: &mut Self::Receiver) -> Result<u64, Gone> {
        receiver.recv().await.ok_or("the senders are gone")
    }
}

pub struct Flume;

impl Channel for Flume {
    type Sender = flume::Sender<u64>;
    type Receiver = flume::Receiver<u64>;

    fn bounded(capacity: usize) -> (Self::Sender, Self::Receiver) {
        flume::bounded(capacity)
    }

    async fn send(sender: &Self::Sender, value: u64) -> Result<(), Gone> {
        sender.send_async(value).await.map_err(|_| "the receivers are gone")
    }

    async fn recv(receiver: &mut Self::Receiver) -> Result<u64, Gone> {
        receiver.recv_async().await.map_err(|_| "the senders are gone")
    }
}

impl Shared for Flume {}

pub struct Kanal;

impl Channel for Kanal {
    type Sender = kanal::AsyncSender<u64>;
    type Receiver = kanal::AsyncReceiver<u64>;

    fn bounded(capacity: usize) -> (Self::Sender, Self::Receiver) {
        kanal::bounded_async(capacity)
    }

    async fn send(sender: &Self::Sender, value: u64) -> Result<(), Gone> {
        sender.send(value).await.map_err(|_| "the receivers are gone")
    }

    async fn recv(receiver: &mut Self::Receiver) -> Result<u64, Gone> {
        receiver.recv().await.map_err(|_| "the senders are gone")
    }
}

impl Shared for Kanal {}
