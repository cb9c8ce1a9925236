//! SIGQUIT as a request: "say what everybody is doing".
//!
//! The handler interrupts any thread at any instruction, on whatever thread pointer it has, possibly a goroutine's. So it only does what is safe
//! there: two atomic operations and one raw system call; no errno, no thread-local, no allocation, no lock. It runs on the alternate signal
//! stack if the thread has one (a goroutine's own stack may be nearly full) and interrupted calls are restarted.
//!
//! Not lost: whoever serves the request sleeps on a word with the value it read *before* it looked whether there is a request. The handler
//! first leaves the request, then changes the word, then wakes: either the request is seen, or the word has changed and the sleep ends at once.
//!
//! A disposition that is not the default one belongs to somebody (the program, or a parent that ignores the signal) and stays.

use super::futex;
use std::{
    io,
    mem::MaybeUninit,
    ptr::null_mut,
    sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU32,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
};

/// A SIGQUIT came and nobody has served it.
static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Where the one who serves sleeps.
static WORD: AtomicPtr<AtomicU32> = AtomicPtr::new(null_mut());

/// Makes every SIGQUIT leave a request for [`take_quit_request`], add 1 to `word` (wrapping) and wake one thread that sleeps on it.
///
/// Says whether SIGQUIT is ours: not if somebody else handles or ignores it.
///
/// # Errors
/// None that a caller could provoke.
pub(crate) fn on_quit(word: &'static AtomicU32) -> io::Result<bool> {
    let current = disposition(libc::SIGQUIT)?;
    let ours = handler as extern "C" fn(libc::c_int) as libc::sighandler_t;
    if current != libc::SIG_DFL && current != ours {
        return Ok(false);
    }
    // Release: pairs with the Acquire in `handler`.
    WORD.store(std::ptr::from_ref(word).cast_mut(), Release);
    if current != ours {
        // SAFETY: all zero is a valid sigaction: empty mask, no flags, default handler.
        let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
        action.sa_sigaction = ours;
        action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
        // SAFETY: the action is complete, and its handler is async-signal-safe (see the head of this file).
        if unsafe { libc::sigaction(libc::SIGQUIT, &action, null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(true)
}

/// The calling thread takes no signals but those of its own faults: handlers run on others. libc keeps its own to itself.
pub(crate) fn block_all() {
    let mut all = MaybeUninit::uninit();
    // SAFETY: the first call fills the set, and the second one reads it.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), null_mut());
    }
}

/// Whether a SIGQUIT came since the last call.
pub(crate) fn take_quit_request() -> bool {
    // Acquire: pairs with the Release in `handler`; there is nothing to see but the request itself. The plain look first keeps the
    // word shared between readers.
    REQUESTED.load(Relaxed) && REQUESTED.swap(false, Acquire)
}

fn disposition(signal: libc::c_int) -> io::Result<libc::sighandler_t> {
    let mut current = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: only asks; the answer goes into a live sigaction.
    if unsafe { libc::sigaction(signal, null_mut(), current.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: all zero was valid already, and the call filled it.
    Ok(unsafe { current.assume_init() }.sa_sigaction)
}

extern "C" fn handler(_signal: libc::c_int) {
    // Release: pairs with `take_quit_request`; before the change of the word, see the head of this file.
    REQUESTED.store(true, Release);
    // Acquire: pairs with the Release in `on_quit`.
    let word = WORD.load(Acquire);
    // SAFETY: null, or made from a `&'static AtomicU32` in `on_quit`.
    if let Some(word) = unsafe { word.as_ref() } {
        // AcqRel: Release makes the request visible to whoever reads the new value with Acquire before it sleeps.
        word.fetch_add(1, AcqRel);
        futex::wake(word, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raise_quit() {
        // SAFETY: a handler is installed, so the process goes on.
        assert_eq!(unsafe { libc::raise(libc::SIGQUIT) }, 0);
    }

    /// In a process of its own: dispositions belong to the process, and in this one a runtime may be running.
    #[test]
    fn a_sigquit_wakes_the_sleeper_and_a_foreign_handler_is_left_alone() {
        const INSIDE: &str = "SIGQUIT_TEST_INSIDE";
        if std::env::var_os(INSIDE).is_some() {
            return in_a_process_of_its_own();
        }
        let name = concat!(module_path!(), "::a_sigquit_wakes_the_sleeper_and_a_foreign_handler_is_left_alone");
        let (_crate, name) = name.split_once("::").unwrap();
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(INSIDE, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success() && said.contains("1 passed"), "{child:?}");
    }

    fn in_a_process_of_its_own() {
        static QUIT_WORD: AtomicU32 = AtomicU32::new(u32::MAX);
        extern "C" fn foreign(_signal: libc::c_int) {}

        // A script's background jobs are started with it ignored.
        // SAFETY: the default is everybody's.
        unsafe { libc::signal(libc::SIGQUIT, libc::SIG_DFL) };
        assert!(on_quit(&QUIT_WORD).unwrap());
        assert!(on_quit(&QUIT_WORD).unwrap(), "again is no harm");
        assert!(!take_quit_request());
        let server = std::thread::spawn(|| {
            let mut served = 0;
            while served < 100 {
                // Acquire: pairs with the handler's change of the word.
                let seen = QUIT_WORD.load(Acquire);
                if take_quit_request() {
                    served += 1;
                } else {
                    futex::wait(&QUIT_WORD, seen, None);
                }
            }
        });
        while !server.is_finished() {
            raise_quit();
            std::thread::yield_now();
        }
        server.join().unwrap();
        take_quit_request();

        // SAFETY: `foreign` does nothing.
        let ours = unsafe { libc::signal(libc::SIGQUIT, foreign as extern "C" fn(libc::c_int) as libc::sighandler_t) };
        assert!(!on_quit(&QUIT_WORD).unwrap());
        raise_quit();
        assert!(!take_quit_request(), "the signal went to its owner");
        // SAFETY: what was there before.
        unsafe { libc::signal(libc::SIGQUIT, ours) };
        assert!(on_quit(&QUIT_WORD).unwrap());
    }
}
