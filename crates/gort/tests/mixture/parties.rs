//! The parties: what each does again and again.

use crate::common::library::{Library, RUST, Scratch, compile};
use gort::chan::bounded;
use std::cell::{Cell, RefCell};
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::LazyLock;
use std::time::Duration;

pub(crate) struct Party {
    pub(crate) name: &'static str,
    /// Does its thing once. False: it cannot be done here.
    pub(crate) round: fn() -> bool,
    /// Whether it can be done here.
    pub(crate) can_run: fn() -> bool,
}

const fn party(name: &'static str, round: fn() -> bool) -> Party {
    Party { name, round, can_run: || true }
}

pub(crate) static PARTIES: [Party; 9] = [
    party("rounds of 100 goroutines started and joined", churn),
    Party { name: "libraries loaded, used by goroutines, unloaded", round: libraries, can_run: || LIBRARY.is_some() },
    party("times all credentials set", credentials),
    party("children forked and executed", children),
    party("panics, with destructors that park on the way", panics),
    Party { name: "thread-local destructors that park", round: destructors, can_run: are_own },
    party("rounds of memory freed elsewhere", memory),
    party("looks at thread-locals, errno and ids over parks", identity),
    party("calls on stacks of their own, and as the thread", stacks),
];

const ON_PURPOSE: &str = "on purpose";

thread_local! {
    static PLAIN: Cell<usize> = const { Cell::new(0) };
    static SHARED: Rc<Cell<usize>> = Rc::new(Cell::new(0));
    static OWNED: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
    static PARKS: RefCell<Option<Parks>> = const { RefCell::new(None) };
}

/// Parks when it is dropped, and has to find its goroutine unchanged.
struct Parks(usize);

impl Drop for Parks {
    fn drop(&mut self) {
        let panicking = std::thread::panicking();
        PLAIN.set(self.0);
        gort::yield_now();
        assert!(!are_own() || (PLAIN.get(), std::thread::panicking()) == (self.0, panicking));
    }
}

fn join<T>(all: impl IntoIterator<Item = gort::JoinHandle<T>>) {
    for one in all {
        if let Err(payload) = one.join() {
            resume_unwind(payload);
        }
    }
}

/// In bound mode thread-locals are the thread's: what it finds in them is a sibling's.
fn are_own() -> bool {
    gort::runtime::mode() == gort::runtime::Mode::Migrating
}

fn churn() -> bool {
    let all: Vec<_> = (0..100_usize)
        .map(|n| {
            gort::go(move || {
                assert!(
                    !are_own() || OWNED.with_borrow(Vec::is_empty) && PLAIN.get() == 0,
                    "a new goroutine's are new"
                );
                OWNED.with_borrow_mut(|owned| owned.push(n));
                if n.is_multiple_of(3) {
                    gort::yield_now();
                }
                assert!(!are_own() || OWNED.take() == [n]);
            })
        })
        .collect();
    join(all);
    true
}

static LIBRARY: LazyLock<Option<(Scratch, PathBuf)>> = LazyLock::new(|| {
    let scratch = Scratch::new();
    let path = compile(&scratch, "mixture", "rs", RUST, &[])?;
    Some((scratch, path))
});

fn libraries() -> bool {
    let Some((_, path)) = LIBRARY.as_ref() else { return false };
    let library = Library::load(path);
    let (next, dropped) = (library.function(c"next"), library.function(c"dropped"));
    let before = dropped();
    join((0..4).map(|_| {
        gort::go(move || {
            for round in 1..=5 {
                assert!(next() == 41 + round || !are_own());
                gort::yield_now();
            }
        })
    }));
    assert!(dropped() == before + 4 || !are_own(), "a thread-local's destructor did not run");
    library.close();
    true
}

fn credentials() -> bool {
    // SAFETY: these change credentials to what they are.
    unsafe {
        assert_eq!(libc::setgid(libc::getgid()), 0);
        assert_eq!(libc::setuid(libc::getuid()), 0);
        assert_eq!(libc::seteuid(libc::geteuid()), 0);
    }
    gort::sleep(Duration::from_micros(500));
    true
}

fn children() -> bool {
    let mut command = Command::new("cat");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    // SAFETY: the closure does nothing; with one std forks and executes, without one it may not.
    unsafe { command.pre_exec(|| Ok(())) };
    let mut child = command.spawn().expect("cat");
    child.stdin.take().expect("a pipe").write_all(b"hello").expect("room in the pipe");
    let output = gort::blocking(|| child.wait_with_output()).expect("its output");
    assert_eq!((output.stdout.as_slice(), output.status.success()), (&b"hello"[..], true));
    true
}

fn panics() -> bool {
    let panics = (0..4_usize).map(|n| {
        gort::go(move || {
            let _outer = Parks(n);
            let _inner = Parks(n + 10);
            gort::yield_now();
            resume_unwind(Box::new(ON_PURPOSE));
        })
    });
    for one in panics.collect::<Vec<_>>() {
        assert_eq!(one.join().unwrap_err().downcast_ref::<&str>(), Some(&ON_PURPOSE));
    }
    assert!(!are_own() || !std::thread::panicking());
    // Each is reported: not too many, somebody may read the screen.
    gort::sleep(Duration::from_millis(100));
    true
}

fn destructors() -> bool {
    if !are_own() {
        return false;
    }
    join((0..8).map(|n| gort::go(move || PARKS.set(Some(Parks(n))))).collect::<Vec<_>>());
    true
}

fn memory() -> bool {
    let (to_goroutine, blocks) = bounded::<Vec<u8>>(4);
    let (to_thread, others) = bounded::<Vec<u8>>(4);
    let goroutine = gort::go(move || {
        for block in blocks {
            assert!(block.iter().all(|&byte| byte == block[0]));
            to_thread.send(block).expect("the thread listens");
        }
    });
    let thread = std::thread::spawn(move || others.iter().map(|block| block.len()).sum::<usize>());
    let mut all = 0;
    for round in 0..200_usize {
        let bytes = [16, 100, 5000, 200_000][round % 4] + round;
        all += bytes;
        to_goroutine.send(vec![round as u8; bytes]).expect("the goroutine listens");
    }
    drop(to_goroutine);
    join([goroutine]);
    assert_eq!(gort::blocking(|| thread.join()).expect("the thread ends"), all);
    true
}

fn identity() -> bool {
    join(
        (0..8_usize)
            .map(|n| {
                gort::go(move || {
                    let (id, shared) = (std::thread::current().id(), SHARED.with(Rc::clone));
                    // SAFETY: this goroutine's errno, asked for anew each time.
                    let errno = || unsafe { libc::__errno_location() };
                    for round in 0..100_usize {
                        PLAIN.set(n ^ round);
                        shared.set(round);
                        // SAFETY: as above.
                        unsafe { *errno() = (n * 1000 + round) as i32 };
                        gort::yield_now();
                        if are_own() {
                            // SAFETY: as above.
                            assert_eq!(unsafe { *errno() }, (n * 1000 + round) as i32);
                            assert_eq!((PLAIN.get(), SHARED.with(|shared| shared.get())), (n ^ round, round));
                            assert_eq!(std::thread::current().id(), id);
                        }
                    }
                })
            })
            .collect::<Vec<_>>(),
    );
    true
}

fn stacks() -> bool {
    #[inline(never)]
    fn deep(levels: usize) -> usize {
        let frame = std::hint::black_box([levels; 64]);
        if levels == 0 {
            gort::yield_now();
            return 0;
        }
        let below = deep(levels - 1);
        assert!(frame.iter().all(|&word| word == levels));
        below + 1
    }
    join(
        (0..4_usize)
            .map(|n| {
                gort::go(move || {
                    assert_eq!(gort::with_stack(1 << 20, || deep(400)), 400);
                    assert_eq!(gort::host(|| deep(100)), 100);
                    assert_eq!(deep(10 + n), 10 + n);
                })
            })
            .collect::<Vec<_>>(),
    );
    true
}
