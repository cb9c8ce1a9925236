//! A timer that sends one message, and can be stopped and set anew.

use crate::chan::alarm::Alarm;
use crate::chan::{self, Receiver};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Sends one message, the moment at which it was due, when its time has come. As Go's `time.Timer` since Go 1.23.
///
/// The message is not kept in a buffer: it comes into being when somebody receives it. Therefore [`stop`](Self::stop) and
/// [`reset`](Self::reset) can be relied on: **once one of them has returned, nobody receives a message of the time before**, and there is
/// nothing to drain. A timer that nobody waits for costs nothing while it runs, and making, resetting and stopping one does not touch the
/// scheduler's heaps.
///
/// Dropping the timer does not end it: whoever has a clone of its receiver still gets the message.
///
/// # Examples
/// ```
/// use gort::time::Timer;
/// use std::time::{Duration, Instant};
///
/// let start = Instant::now();
/// let timer = Timer::new(Duration::from_millis(2));
/// let due = timer.c().recv().unwrap();
/// assert!(due >= start + Duration::from_millis(2) && Instant::now() >= due);
/// assert!(!timer.stop(), "it has gone off");
/// ```
#[derive(Debug)]
pub struct Timer {
    alarm: Arc<Alarm>,
    receiver: Receiver<Instant>,
}

impl Timer {
    /// A timer that goes off `duration` from now. One of [`Duration::MAX`] never does.
    #[must_use]
    pub fn new(duration: Duration) -> Self {
        let alarm = Arc::new(Alarm::new(duration, Duration::ZERO));
        Self { receiver: chan::of_alarm(alarm.clone()), alarm }
    }

    /// Where the message comes from. Clones receive from the same timer; each message is received once.
    ///
    /// # Examples
    /// ```
    /// let timer = gort::time::Timer::new(std::time::Duration::from_millis(1));
    /// gort::select! {
    ///     recv(timer.c()) -> due => assert!(due.is_ok()),
    /// }
    /// ```
    #[must_use]
    pub fn c(&self) -> &Receiver<Instant> {
        &self.receiver
    }

    /// Stops the timer. True if that has prevented the message: it had not been received. False if it had, or the timer was stopped before.
    ///
    /// Never blocks.
    ///
    /// # Examples
    /// ```
    /// let timer = gort::time::Timer::new(std::time::Duration::ZERO);
    /// // It is due, and yet nobody will receive it.
    /// assert!(timer.stop() && !timer.stop());
    /// assert!(timer.c().try_recv().is_err());
    /// ```
    pub fn stop(&self) -> bool {
        self.alarm.stop()
    }

    /// Lets the timer go off `duration` from now, whether it is running, stopped or has gone off. The result is that of a
    /// [`stop`](Self::stop) before. Whoever waits for it now waits for the new time. Allocates nothing, never blocks.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// let timer = gort::time::Timer::new(Duration::from_secs(60));
    /// assert!(timer.reset(Duration::from_millis(1)));
    /// timer.c().recv().unwrap();
    /// assert!(!timer.reset(Duration::from_millis(1)));
    /// ```
    pub fn reset(&self, duration: Duration) -> bool {
        self.alarm.reset(duration, Duration::ZERO)
    }
}
