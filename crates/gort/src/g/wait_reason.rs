//! Why a goroutine is parked, in the words of Go's dumps where Go has one.

/// The object of one that receives from something else than a channel.
pub(crate) const NO_CHANNEL: usize = 0;

/// What a parked goroutine waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum WaitReason {
    /// Nothing: the goroutine runs or is about to.
    None,
    /// `gort::park`.
    Park,
    /// `gort::sleep`.
    Sleep,
    /// A descriptor to become readable (or a connection to arrive).
    Read,
    /// A descriptor to become writable (or a connection to be made).
    Write,
    /// Another reader of the same descriptor.
    ReadLock,
    /// Another writer of the same descriptor.
    WriteLock,
    /// `close` of a descriptor that others use.
    Close,
    /// The kernel to carry out an operation on a file.
    Disk,
    /// `JoinHandle::join`.
    Join,
    /// The end of a `scope`.
    Scope,
    /// A change of the number of Ps.
    Resize,
    /// The end of everybody else, in `runtime::shutdown`.
    Shutdown,
    /// A blocking section on another thread (`blocking_send`); of a goroutine that is in one itself: of no class.
    Blocking,
    /// A permit of a blocking class; of a goroutine in a section: its class.
    BlockingClass,
    /// Room in a channel, or a receiver.
    ChanSend,
    /// A value from a channel.
    ChanRecv,
    /// One of several things.
    Select,
    /// For ever: a `select!` without arms.
    SelectNoCases,
    /// A mutex.
    Mutex,
    /// The reading side of a read-write lock.
    RwLockRead,
    /// The writing side of a read-write lock.
    RwLockWrite,
    /// A condition variable.
    Condvar,
    /// Somebody else's initialisation.
    Once,
    /// The other parties of a barrier.
    Barrier,
    /// A wait group.
    WaitGroup,
    /// Permits of a semaphore.
    Semaphore,
    /// A notification.
    Notify,
    /// The end of a context.
    Context,
}

impl WaitReason {
    const ALL: [Self; 29] = [
        Self::None,
        Self::Park,
        Self::Sleep,
        Self::Read,
        Self::Write,
        Self::ReadLock,
        Self::WriteLock,
        Self::Close,
        Self::Disk,
        Self::Join,
        Self::Scope,
        Self::Resize,
        Self::Shutdown,
        Self::Blocking,
        Self::BlockingClass,
        Self::ChanSend,
        Self::ChanRecv,
        Self::Select,
        Self::SelectNoCases,
        Self::Mutex,
        Self::RwLockRead,
        Self::RwLockWrite,
        Self::Condvar,
        Self::Once,
        Self::Barrier,
        Self::WaitGroup,
        Self::Semaphore,
        Self::Notify,
        Self::Context,
    ];

    /// The reason stored as `raw`; unknown numbers read as [`WaitReason::None`].
    pub(crate) fn from_raw(raw: u8) -> Self {
        Self::ALL.get(usize::from(raw)).copied().unwrap_or(Self::None)
    }

    /// It is something that other goroutines do, or let go of, and of which it can be known who could.
    pub(crate) fn is_for_others(self) -> bool {
        use WaitReason::{Join, Mutex, RwLockRead, RwLockWrite, Scope};
        matches!(self, Join | Scope | Mutex | RwLockRead | RwLockWrite) || self.is_for_channels()
    }

    /// It is for channels, or what can be received from in their place.
    pub(crate) fn is_for_channels(self) -> bool {
        self.is_for_channel() || self.is_choice()
    }

    /// The object is the address of a channel, or [`NO_CHANNEL`].
    pub(crate) fn is_for_channel(self) -> bool {
        matches!(self, Self::ChanSend | Self::ChanRecv)
    }

    /// The object is the address of a [`Choice`](super::Choice).
    pub(crate) fn is_choice(self) -> bool {
        matches!(self, Self::Select | Self::SelectNoCases)
    }

    /// The words a dump prints.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::None => "waiting",
            Self::Park => "park",
            Self::Sleep => "sleep",
            Self::Read => "IO wait, read",
            Self::Write => "IO wait, write",
            Self::ReadLock => "IO wait, another reader",
            Self::WriteLock => "IO wait, another writer",
            Self::Close => "IO wait, close",
            Self::Disk => "IO wait, disk",
            Self::Join => "join",
            Self::Scope => "scope wait",
            Self::Resize => "procs resize",
            Self::Shutdown => "runtime shutdown",
            Self::Blocking => "blocking section",
            Self::BlockingClass => "blocking class",
            Self::ChanSend => "chan send",
            Self::ChanRecv => "chan receive",
            Self::Select => "select",
            Self::SelectNoCases => "select (no cases)",
            Self::Mutex => "sync.Mutex.Lock",
            Self::RwLockRead => "sync.RWMutex.RLock",
            Self::RwLockWrite => "sync.RWMutex.Lock",
            Self::Condvar => "sync.Cond.Wait",
            Self::Once => "sync.Once.Do",
            Self::Barrier => "barrier wait",
            Self::WaitGroup => "sync.WaitGroup.Wait",
            Self::Semaphore => "semacquire",
            Self::Notify => "notify wait",
            Self::Context => "context wait",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::WaitReason;

    #[test]
    fn every_reason_survives_its_number() {
        for (raw, reason) in WaitReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, raw);
            assert_eq!(WaitReason::from_raw(raw as u8), reason);
        }
        assert_eq!(WaitReason::from_raw(200), WaitReason::None);
    }
}
