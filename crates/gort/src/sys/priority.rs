//! How the kernel treats one thread beside others: its nice value, how long its turns are, and whether it takes the processor from another when it wakes.

use super::raw;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicI32};

/// As the kernel has it (`sched_setattr(2)`), in its first version.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    /// For ordinary threads, since Linux 6.12: the length of a turn, 0 for the usual one.
    runtime: u64,
    deadline: u64,
    period: u64,
}

const BYTES: u32 = size_of::<Attributes>() as u32;
const OTHER: u32 = libc::SCHED_OTHER as u32;
/// As the former, but who wakes waits for a processor that is free, or for the end of somebody's turn (`sched(7)`).
const BATCH: u32 = libc::SCHED_BATCH as u32;
const RESET_ON_FORK: u64 = 1;
const NICEST: i32 = 19;

/// The nice value of threads that nobody has made nice.
static USUAL: AtomicI32 = AtomicI32::new(0);

/// Those of the thread `tid`, or of the calling one, 0; `None` if it is of a real-time kind or the like, or there is none.
fn get(tid: u32) -> Option<Attributes> {
    let mut attributes = Attributes::default();
    let address = (&raw mut attributes) as usize;
    // SAFETY: the kernel writes at most `BYTES` bytes.
    unsafe { raw::syscall4(libc::SYS_sched_getattr, tid as usize, address, BYTES as usize, 0) }.ok()?;
    matches!(attributes.policy, OTHER | BATCH).then_some(attributes)
}

fn set(tid: u32, mut attributes: Attributes) -> bool {
    attributes.size = BYTES;
    attributes.flags &= RESET_ON_FORK;
    // SAFETY: the kernel reads `BYTES` bytes.
    unsafe { raw::syscall3(libc::SYS_sched_setattr, tid as usize, (&raw const attributes) as usize, 0) }.is_ok()
}

/// The thread `tid` of this process, or the calling one, 0, has turns of this length from now on, or of the usual one, 0. Older kernels take no notice.
pub(crate) fn set_turn(tid: u32, turn_ns: u64) {
    if let Some(attributes) = get(tid) {
        set(tid, Attributes { runtime: turn_ns, ..attributes });
    }
}

/// Makes the thread `tid` of this process so much nicer than the calling one, with turns of the usual length.
pub(crate) fn make_nice(tid: u32, by: u8) {
    let Some(own) = get(0) else { return };
    // Relaxed: all threads of ours have the same.
    USUAL.store(own.nice, Relaxed);
    if let Some(attributes) = get(tid) {
        set(tid, Attributes { nice: (own.nice + i32::from(by)).min(NICEST), runtime: 0, ..attributes });
    }
}

/// Undoes [`make_nice`] for the calling thread; false if the kernel does not allow that.
pub(crate) fn make_ordinary() -> bool {
    let usual = USUAL.load(Relaxed);
    match get(0) {
        Some(attributes) if attributes.nice != usual => set(0, Attributes { nice: usual, ..attributes }),
        _ => true,
    }
}

/// Some thread of ours is or was patient, so those that it starts are, too.
static IS_INHERITED: AtomicBool = AtomicBool::new(false);

/// Whether the thread that owns this waits for its turn when it wakes. Not in a process whose threads all do: there nothing is changed.
#[derive(Debug)]
pub(crate) struct Patience {
    is_ours: bool,
    is_patient: bool,
}

impl Patience {
    /// The calling thread's, which keeps it to itself.
    pub(crate) fn new() -> Self {
        Self { is_ours: get(0).is_some_and(|attributes| attributes.policy == OTHER), is_patient: false }
    }

    #[inline]
    pub(crate) fn set(&mut self, is_patient: bool) {
        if self.is_ours && self.is_patient != is_patient {
            self.change(is_patient);
        }
    }

    #[cold]
    fn change(&mut self, is_patient: bool) {
        // Relaxed: it is read by threads that this one starts afterwards.
        IS_INHERITED.store(true, Relaxed);
        self.is_ours = set_policy(if is_patient { BATCH } else { OTHER });
        self.is_patient = is_patient;
    }
}

/// Undoes what the calling thread has inherited from a patient one.
pub(crate) fn be_prompt() {
    if IS_INHERITED.load(Relaxed) {
        set_policy(OTHER);
    }
}

/// False if it is refused, by a filter of system calls say.
fn set_policy(policy: u32) -> bool {
    get(0).is_some_and(|attributes| attributes.policy == policy || set(0, Attributes { policy, ..attributes }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::thread::gettid;

    /// On a thread of its own, which may stay nice.
    fn alone(body: impl FnOnce() + Send + 'static) {
        std::thread::spawn(body).join().unwrap();
    }

    #[test]
    fn a_thread_is_made_nice_by_another_and_may_or_may_not_take_it_back() {
        let (usual, (tell, told)) = (get(0).unwrap().nice, std::sync::mpsc::channel());
        let (go, gone) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            tell.send(gettid()).unwrap();
            gone.recv().unwrap();
            assert_eq!(get(0).unwrap().nice, (usual + 7).min(NICEST));
            let is_ordinary = make_ordinary();
            assert_eq!(is_ordinary, get(0).unwrap().nice == usual);
        });
        make_nice(told.recv().unwrap(), 7);
        go.send(()).unwrap();
        thread.join().unwrap();
        assert_eq!(get(0).unwrap().nice, usual);
    }

    #[test]
    fn turns_leave_everything_else_as_it_is() {
        alone(|| {
            let before = get(0).unwrap();
            set_turn(gettid(), 200_000);
            let after = get(0).unwrap();
            assert_eq!((after.nice, after.policy), (before.nice, before.policy));
            // The kernel may be one that knows nothing of turns.
            assert!(after.runtime == 200_000 || after.runtime == before.runtime, "{after:?}");
            set_turn(0, 0);
            assert_eq!(get(0).unwrap().runtime, before.runtime);
        });
    }

    #[test]
    fn patience_is_inherited_until_somebody_has_none() {
        alone(|| {
            let usual = get(0).unwrap();
            let mut patience = Patience::new();
            patience.set(true);
            assert_eq!(get(0).unwrap().policy, BATCH);
            assert_eq!(get(0).unwrap().nice, usual.nice);
            alone(|| {
                assert_eq!(get(0).unwrap().policy, BATCH);
                // Whose it is not leaves it as it is.
                Patience::new().set(false);
                assert_eq!(get(0).unwrap().policy, BATCH);
                be_prompt();
                assert_eq!(get(0).unwrap().policy, OTHER);
            });
            patience.set(false);
            assert_eq!(get(0).unwrap().policy, usual.policy);
        });
    }

    #[test]
    fn a_thread_that_is_gone_is_nobody() {
        make_nice(u32::MAX >> 4, 5);
        set_turn(u32::MAX >> 4, 100_000);
        assert!(get(u32::MAX >> 4).is_none());
    }
}
