//! Goroutines with a name, a stack size, a panic policy.

use super::JoinHandle;
use super::task::{self, Attributes};
use crate::context::Context;
use crate::stack::slab;
use std::io;
use std::panic::Location;

/// Settings for a goroutine, as [`std::thread::Builder`].
///
/// # Examples
/// ```
/// let handle = gort::Builder::new()
///     .name("parser".into())
///     .stack_size(1 << 20)
///     .spawn(|| gort::current().name().map(str::to_owned))?;
/// assert_eq!(handle.join().unwrap().as_deref(), Some("parser"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Default)]
#[must_use = "a builder does nothing until it spawns"]
pub struct Builder {
    name: Option<String>,
    stack_size: Option<usize>,
    abort_on_panic: Option<bool>,
    context: Option<Context>,
}

impl Builder {
    /// Default settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// Names the goroutine, for panic messages and dumps. Costs one allocation.
    pub fn name(mut self, name: String) -> Self {
        self.name = Some(name);
        self
    }

    /// Asks for a stack of `bytes` of address space, rounded up to a power of two, guard included; memory is used only where the stack is touched.
    ///
    /// The default is 256 KiB, or `GORT_STACK_SIZE`; in bound mode it is 512 KiB at least, of which 128 are the guard. A goroutine with another size
    /// gets its stack when it is spawned, not when it first runs, so that [`spawn`](Self::spawn) can say if there is no room for it.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = Some(bytes);
        self
    }

    /// Ends the process if the goroutine panics (after the report), or not; the default is the runtime's policy (`GORT_PANIC`).
    pub fn abort_on_panic(mut self, abort: bool) -> Self {
        self.abort_on_panic = Some(abort);
        self
    }

    /// Gives the goroutine an ambient context of its own, instead of the caller's, which it inherits otherwise. With
    /// [`background`](crate::context::background) it has none.
    ///
    /// # Examples
    /// ```
    /// use gort::context::background;
    /// let (ctx, cancel) = background().with_cancel();
    /// cancel.cancel();
    /// ctx.run(|| {
    ///     let child = gort::go(|| gort::context::current().err().is_some());
    ///     assert!(child.join().unwrap());
    ///     let free = gort::Builder::new().context(background()).spawn(|| gort::context::current().err().is_some());
    ///     assert!(!free.unwrap().join().unwrap());
    /// });
    /// ```
    pub fn context(mut self, context: Context) -> Self {
        self.context = Some(context);
        self
    }

    /// Starts the goroutine.
    ///
    /// # Errors
    /// `OutOfMemory` if there is no memory for another stack, `InvalidInput` if the stack size is beyond 1 GiB. Both say what to do. One with
    /// [`ShuttingDown`](crate::runtime::ShuttingDown) inside while the runtime is being shut down.
    #[track_caller]
    pub fn spawn<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let attributes = self.into_attributes()?;
        // SAFETY: closure and result are 'static.
        let (g, name) = unsafe { task::spawn(attributes, f, Location::caller()) }?;
        Ok(JoinHandle::new(g, name))
    }

    pub(super) fn into_attributes(self) -> io::Result<Attributes> {
        crate::sched::start::ensure();
        let stack_class = match self.stack_size {
            None => None,
            Some(bytes) => Some(slab::class_for(bytes).ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!("a stack of {bytes} bytes was asked for, the most is {} (1 GiB)", 1 << 30),
                )
            })?),
        };
        // The default size by another name.
        let stack_class = stack_class.filter(|&class| class != crate::sched::stack_class());
        let name = self.name.map(Into::into);
        Ok(Attributes { name, stack_class, abort_on_panic: self.abort_on_panic, scope: 0, context: self.context })
    }
}
