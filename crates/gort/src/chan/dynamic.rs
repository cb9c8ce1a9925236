//! `Select`: as `select!`, for a number of operations known at run time.

use super::arm::{Arm, Limit, Manner, RecvArm, SendArm, select};
use super::error::{ReadyTimeoutError, RecvError, SelectTimeoutError, SendError, TryReadyError, TrySelectError};
use super::{Receiver, Sender};
use std::fmt;
use std::mem::MaybeUninit;
use std::ptr;
use std::time::{Duration, Instant};

/// An arm that knows which end of a channel it is for.
trait End<'a>: Arm {
    /// Another one for the same end.
    fn fresh(&self) -> Box<dyn End<'a> + 'a>;

    /// Where its receiver is, if it is a `RecvArm`.
    fn receiver(&self) -> *const () {
        ptr::null()
    }

    /// Where its sender is, if it is a `SendArm`.
    fn sender(&self) -> *const () {
        ptr::null()
    }

    /// Completes the operation.
    ///
    /// # Safety
    /// For a `RecvArm<T>` a `MaybeUninit<Result<T, RecvError>>` is at `result`; for a `SendArm<T>` a `Result<(), SendError<T>>`, holding the value
    /// to send as an error.
    unsafe fn complete(&self, result: *mut ());
}

impl<'a, T> End<'a> for RecvArm<'a, T> {
    fn fresh(&self) -> Box<dyn End<'a> + 'a> {
        Box::new(RecvArm::new(self.receiver))
    }

    fn receiver(&self) -> *const () {
        ptr::from_ref(self.receiver).cast()
    }

    unsafe fn complete(&self, result: *mut ()) {
        // SAFETY: the caller's promise.
        unsafe { result.cast::<Result<T, RecvError>>().write(self.take()) };
    }
}

impl<'a, T> End<'a> for SendArm<'a, T> {
    fn fresh(&self) -> Box<dyn End<'a> + 'a> {
        Box::new(SendArm::new(self.sender))
    }

    fn sender(&self) -> *const () {
        ptr::from_ref(self.sender).cast()
    }

    unsafe fn complete(&self, result: *mut ()) {
        // SAFETY: the caller's promise.
        let result = unsafe { &mut *result.cast::<Result<(), SendError<T>>>() };
        if let Err(SendError(value)) = std::mem::replace(result, Ok(())) {
            *result = self.send(value);
        }
    }
}

/// Waits for the first of several operations, added one by one.
///
/// Each operation has a number, in the order in which it was added. One that is selected must be completed with the same end of the channel.
///
/// All are of channels: a `Select` can be cloned, and only one party waits for the end of a goroutine. To wait for the first of many goroutines let
/// each send to one channel, or use [`select!`](crate::select) with its `join` arms.
///
/// # Examples
/// ```
/// use gort::chan::Select;
/// let channels: Vec<_> = (0..3).map(|_| gort::chan::unbounded()).collect();
/// channels[1].0.send("hello").unwrap();
/// let mut select = Select::new();
/// for (_, receiver) in &channels {
///     select.recv(receiver);
/// }
/// let operation = select.select();
/// assert_eq!(operation.index(), 1);
/// assert_eq!(operation.recv(&channels[1].1), Ok("hello"));
/// ```
pub struct Select<'a> {
    ends: Vec<Option<Box<dyn End<'a> + 'a>>>,
    biased: bool,
}

// SAFETY: its operations are references to ends of channels of values that are `Send`, and arms, which are at rest while no method runs: in no
// queue, without value or turn.
unsafe impl Send for Select<'_> {}
// SAFETY: as above; by a shared reference one can clone it, which reads the references, and nothing else.
unsafe impl Sync for Select<'_> {}

impl<'a> Select<'a> {
    /// Without operations yet.
    #[must_use]
    pub fn new() -> Self {
        Self { ends: Vec::new(), biased: false }
    }

    /// One that prefers the operations added first.
    #[must_use]
    pub fn new_biased() -> Self {
        Self { ends: Vec::new(), biased: true }
    }

    /// Adds a send, and says its number. The value comes when it has been selected.
    pub fn send<T: Send>(&mut self, sender: &'a Sender<T>) -> usize {
        self.add(Box::new(SendArm::new(sender)))
    }

    /// Adds a receive, and says its number.
    pub fn recv<T: Send>(&mut self, receiver: &'a Receiver<T>) -> usize {
        self.add(Box::new(RecvArm::new(receiver)))
    }

    fn add(&mut self, end: Box<dyn End<'a> + 'a>) -> usize {
        self.ends.push(Some(end));
        self.ends.len() - 1
    }

    /// Takes an operation out; its number is not used again.
    ///
    /// # Panics
    /// If there is none with this number.
    pub fn remove(&mut self, index: usize) {
        assert!(index < self.ends.len(), "Select::remove: operation {index} was never added");
        assert!(self.ends[index].take().is_some(), "Select::remove: operation {index} has been removed already");
    }

    #[track_caller]
    fn run(&mut self, limit: Limit, news: bool) -> Option<usize> {
        let present = self.ends.iter_mut().enumerate();
        let present = present.filter_map(|(at, end)| Some((at, end.as_deref_mut()? as &mut dyn Arm)));
        let (numbers, arms): (Vec<usize>, Vec<&mut dyn Arm>) = present.unzip();
        select(&arms, limit, Manner { biased: self.biased, news }).map(|won| numbers[won])
    }

    fn selected(&mut self, index: usize) -> SelectedOperation<'a> {
        let fresh = self.ends[index].as_ref().expect("it was selected").fresh();
        let end = self.ends[index].replace(fresh).expect("it was selected");
        SelectedOperation { index, end: Some(end) }
    }

    /// Selects an operation that can go on at once.
    ///
    /// # Errors
    /// None can.
    #[track_caller]
    pub fn try_select(&mut self) -> Result<SelectedOperation<'a>, TrySelectError> {
        let won = self.run(Limit::NotAtAll, false).ok_or(TrySelectError)?;
        Ok(self.selected(won))
    }

    /// Selects an operation, waiting until one can go on; for ever, if there is none.
    #[track_caller]
    pub fn select(&mut self) -> SelectedOperation<'a> {
        let won = self.run(Limit::ForEver, false).expect("without a limit");
        self.selected(won)
    }

    /// As [`select`](Self::select), for `timeout` at most.
    ///
    /// # Errors
    /// None could go on in time.
    #[track_caller]
    pub fn select_timeout(&mut self, timeout: Duration) -> Result<SelectedOperation<'a>, SelectTimeoutError> {
        let won = self.run(Limit::For(timeout), false).ok_or(SelectTimeoutError)?;
        Ok(self.selected(won))
    }

    /// As [`select`](Self::select), until `deadline` at most.
    ///
    /// # Errors
    /// None could go on in time.
    #[track_caller]
    pub fn select_deadline(&mut self, deadline: Instant) -> Result<SelectedOperation<'a>, SelectTimeoutError> {
        let won = self.run(Limit::Until(deadline), false).ok_or(SelectTimeoutError)?;
        Ok(self.selected(won))
    }

    /// The number of an operation that could go on at once. Another party may be faster before it does.
    ///
    /// # Errors
    /// None could.
    #[track_caller]
    pub fn try_ready(&mut self) -> Result<usize, TryReadyError> {
        self.run(Limit::NotAtAll, true).ok_or(TryReadyError)
    }

    /// The number of an operation that could go on, waiting until one could. Another party may be faster before it does.
    #[track_caller]
    pub fn ready(&mut self) -> usize {
        self.run(Limit::ForEver, true).expect("without a limit")
    }

    /// As [`ready`](Self::ready), for `timeout` at most.
    ///
    /// # Errors
    /// None could go on in time.
    #[track_caller]
    pub fn ready_timeout(&mut self, timeout: Duration) -> Result<usize, ReadyTimeoutError> {
        self.run(Limit::For(timeout), true).ok_or(ReadyTimeoutError)
    }

    /// As [`ready`](Self::ready), until `deadline` at most.
    ///
    /// # Errors
    /// None could go on in time.
    #[track_caller]
    pub fn ready_deadline(&mut self, deadline: Instant) -> Result<usize, ReadyTimeoutError> {
        self.run(Limit::Until(deadline), true).ok_or(ReadyTimeoutError)
    }
}

impl Default for Select<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl Clone for Select<'_> {
    fn clone(&self) -> Self {
        Self { ends: self.ends.iter().map(|end| end.as_ref().map(|end| end.fresh())).collect(), biased: self.biased }
    }
}

impl fmt::Debug for Select<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Select { .. }")
    }
}

/// An operation that was selected and has to be completed.
///
/// # Panics
/// If it is dropped without.
#[must_use = "a selected operation must be completed"]
pub struct SelectedOperation<'a> {
    index: usize,
    end: Option<Box<dyn End<'a> + 'a>>,
}

impl<'a> SelectedOperation<'a> {
    /// The number of the operation.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    fn end(&self) -> &(dyn End<'a> + 'a) {
        self.end.as_deref().expect("completing takes the operation away")
    }

    /// Completes a receive.
    ///
    /// # Errors
    /// Nothing will come any more.
    ///
    /// # Panics
    /// If another end than this was selected.
    pub fn recv<T>(mut self, receiver: &Receiver<T>) -> Result<T, RecvError> {
        let selected = self.end().receiver();
        assert!(ptr::eq(selected, ptr::from_ref(receiver).cast()), "passed a receiver that wasn't selected");
        let end = self.end.take().expect("checked");
        let mut result = MaybeUninit::<Result<T, RecvError>>::uninit();
        // SAFETY: only a `RecvArm<U>` says where its receiver is, and at the place of a live `Receiver<T>` there is no other `Receiver<U>`: they
        // have a size. It has written the result.
        unsafe {
            end.complete(result.as_mut_ptr().cast());
            result.assume_init()
        }
    }

    /// Completes a send.
    ///
    /// # Errors
    /// The value, if nobody will receive it.
    ///
    /// # Panics
    /// If another end than this was selected.
    pub fn send<T>(mut self, sender: &Sender<T>, value: T) -> Result<(), SendError<T>> {
        let selected = self.end().sender();
        assert!(ptr::eq(selected, ptr::from_ref(sender).cast()), "passed a sender that wasn't selected");
        let end = self.end.take().expect("checked");
        let mut result = Err(SendError(value));
        // SAFETY: as in `recv`.
        unsafe { end.complete((&raw mut result).cast()) };
        result
    }
}

impl Drop for SelectedOperation<'_> {
    fn drop(&mut self) {
        if self.end.is_some() && !std::thread::panicking() {
            panic!("dropped `SelectedOperation` without completing the operation");
        }
    }
}

impl fmt::Debug for SelectedOperation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SelectedOperation").field("index", &self.index).finish_non_exhaustive()
    }
}
