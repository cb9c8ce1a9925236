use super::*;
use crate::sys::stackmem;
use std::cell::{Cell, RefCell};
use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU32;

mod leftovers;
mod libraries;

pub(crate) fn identity() -> &'static Identity {
    static IDENTITY: OnceLock<Identity> = OnceLock::new();
    IDENTITY.get_or_init(|| probe().unwrap())
}

/// Runs the calling test in a process of its own and gives true when that has passed; false in that process, where the test is to go on.
pub(crate) fn alone(module: &str, test: &str) -> bool {
    const VARIABLE: &str = "GORT_TEST_ALONE";
    if std::env::var_os(VARIABLE).is_some() {
        return false;
    }
    let (_crate, module) = module.split_once("::").unwrap();
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", "--test-threads=1"])
        .arg(format!("{module}::{test}"))
        .env(VARIABLE, "1")
        .output()
        .unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    true
}

/// A block in memory of its own.
pub(crate) struct Block {
    base: usize,
    pub(crate) tp: usize,
}

const BYTES: usize = 256 << 10;

impl Block {
    pub(crate) fn new() -> Block {
        let base = stackmem::reserve(BYTES, BYTES).unwrap();
        let tp = base + BYTES / 2;
        // SAFETY: fresh memory, large enough on both sides; a test's own thread.
        unsafe { identity().make(tp) }.unwrap();
        // SAFETY: made just now; `drop` takes it off the list again.
        unsafe { identity().enlist(tp) };
        Block { base, tp }
    }

    /// Runs `f` as this block's thread.
    pub(crate) fn run<F: FnOnce()>(&self, f: F) {
        unsafe extern "C" fn call<F: FnOnce()>(f: *mut ()) {
            // SAFETY: `run` passes an `Option<F>` that outlives the call.
            let f = unsafe { &mut *f.cast::<Option<F>>() };
            f.take().unwrap()();
        }
        let mut f = Some(f);
        let own = thread_pointer();
        // SAFETY: the block is made, and this test's thread alone uses it; a panic in `f` aborts.
        unsafe {
            identity().lend_malloc(own, self.tp);
            call_with_thread_pointer(self.tp, std::hint::black_box(call::<F>), (&raw mut f).cast());
            identity().return_malloc(self.tp, own);
        }
    }

    /// Ends its thread.
    fn end(&self) {
        // SAFETY: runs as the block's thread, as the last thing.
        self.run(|| unsafe { identity().run_destructors() });
    }

    fn reset(&self) {
        // SAFETY: the block has ended.
        unsafe { identity().reset(self.tp) };
    }

    fn errno(&self) -> i32 {
        let mut errno = 0;
        // SAFETY: reads the block's own.
        self.run(|| errno = unsafe { *libc::__errno_location() });
        errno
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: `new` has put it there.
        unsafe { identity().delist(self.tp) };
        stackmem::release(self.base, BYTES);
    }
}

#[test]
fn the_probe_succeeds_here_and_finds_glibcs_malloc_words() {
    assert!(identity().has_malloc_words(), "{}", identity().malloc_reason());
}

#[test]
fn the_probe_is_not_misled_by_signal_handlers() {
    if alone(module_path!(), "the_probe_is_not_misled_by_signal_handlers") {
        return;
    }
    static HANDLED: AtomicU32 = AtomicU32::new(0);
    extern "C" fn handler(_: c_int) {
        HANDLED.fetch_add(1, Relaxed);
        // SAFETY: the errno of whatever was interrupted. Handlers should put it back, and many do not.
        unsafe { *libc::__errno_location() = 4711 };
    }
    // SAFETY: a handler for a signal that nothing else uses here.
    unsafe { libc::signal(libc::SIGWINCH, handler as *const () as usize) };
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Relaxed) {
                // SAFETY: to this process, which handles it.
                unsafe { libc::kill(libc::getpid(), libc::SIGWINCH) };
            }
        });
        let probed: Vec<_> = (0..20).map(|_| probe().map(|identity| identity.has_malloc_words())).collect();
        done.store(true, Relaxed);
        assert!(probed.iter().all(|probed| matches!(probed, Ok(true))), "{probed:?}");
    });
    assert_ne!(HANDLED.load(Relaxed), 0);
}

#[test]
fn thread_ids_of_blocks_are_unique_and_above_all_of_the_kernels() {
    let (first, second) = (next_tid(), next_tid());
    assert_ne!(first, second);
    for tid in [first, second] {
        assert!((FIRST_TID..TID_LIMIT).contains(&tid));
    }
}

#[test]
fn a_block_has_thread_locals_of_its_own_with_their_initial_values() {
    thread_local!(static VALUE: Cell<u64> = const { Cell::new(7) });
    thread_local!(static LAZY: RefCell<Vec<u32>> = RefCell::new(vec![1, 2, 3]));
    VALUE.set(8);
    LAZY.with_borrow_mut(Vec::clear);
    let (one, other) = (Block::new(), Block::new());
    for block in [&one, &other] {
        block.run(|| {
            assert_eq!(VALUE.get(), 7);
            assert_eq!(LAZY.with_borrow(Vec::clone), [1, 2, 3]);
            VALUE.set(9);
        });
    }
    assert_eq!(VALUE.get(), 8);
    one.run(|| assert_eq!(VALUE.get(), 9));
    one.end();
    other.end();
}

#[test]
fn a_block_is_a_thread_of_its_own_to_std_wherever_it_runs() {
    let block = Block::new();
    let own = std::thread::current().id();
    let mut first = None;
    block.run(|| first = Some(std::thread::current().id()));
    assert_ne!(first, Some(own));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            block.run(|| {
                assert_eq!(first, Some(std::thread::current().id()));
                let caught = std::panic::catch_unwind(|| std::panic::resume_unwind(Box::new(4711)));
                assert_eq!(*caught.unwrap_err().downcast::<i32>().unwrap(), 4711);
                assert!(!std::thread::panicking());
            });
        });
    });
    block.end();
}

#[test]
fn destructors_of_thread_locals_run_once_at_the_end_and_again_for_the_next_user() {
    static DROPPED: AtomicU32 = AtomicU32::new(0);
    struct Counted;
    impl Drop for Counted {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Relaxed);
        }
    }
    thread_local!(static COUNTED: Counted = const { Counted });
    let block = Block::new();
    for round in 1..=100 {
        block.run(|| COUNTED.with(|_| ()));
        assert_eq!(DROPPED.load(Relaxed), round - 1);
        block.end();
        assert_eq!(DROPPED.load(Relaxed), round);
        block.reset();
    }
}

/// A pthread key that is deleted in the end.
struct Key(libc::pthread_key_t);

impl Key {
    fn new(destructor: unsafe extern "C" fn(*mut c_void)) -> Key {
        let mut key = 0;
        // SAFETY: a new key.
        assert_eq!(unsafe { libc::pthread_key_create(&mut key, Some(destructor)) }, 0);
        Key(key)
    }

    fn set(&self, value: *const c_void) {
        // SAFETY: the key exists; its destructor takes what the tests set.
        assert_eq!(unsafe { libc::pthread_setspecific(self.0, value) }, 0);
    }

    fn get(&self) -> *mut c_void {
        // SAFETY: the key exists.
        unsafe { libc::pthread_getspecific(self.0) }
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        // SAFETY: created in `new`, deleted once.
        unsafe { libc::pthread_key_delete(self.0) };
    }
}

#[test]
fn destructors_of_pthread_keys_run_in_rounds_and_only_for_keys_that_still_exist() {
    static RUNS: [AtomicU32; 2] = [const { AtomicU32::new(0) }; 2];
    static AGAIN: OnceLock<Key> = OnceLock::new();
    unsafe extern "C" fn once(_: *mut c_void) {
        RUNS[0].fetch_add(1, Relaxed);
    }
    unsafe extern "C" fn stubborn(value: *mut c_void) {
        RUNS[1].fetch_add(1, Relaxed);
        AGAIN.get().unwrap().set(value);
    }
    unsafe extern "C" fn never(_: *mut c_void) {
        unreachable!("the key was deleted");
    }
    // More than fit into the record itself.
    let many: Vec<Key> = (0..40).map(|_| Key::new(once)).collect();
    let again = AGAIN.get_or_init(|| Key::new(stubborn));
    let deleted = Key::new(never);
    let block = Block::new();
    let value = ptr::from_ref(&RUNS).cast();
    for round in 1..=3 {
        block.run(|| {
            many.iter().for_each(|key| key.set(value));
            again.set(value);
            if round == 1 {
                deleted.set(value);
            }
        });
        assert!(many.iter().all(|key| key.get().is_null()), "keys of a block are not the thread's");
        if round == 1 {
            // SAFETY: deleted here instead of at the end.
            unsafe { libc::pthread_key_delete(deleted.0) };
        }
        block.end();
        assert_eq!(RUNS[0].load(Relaxed), 40 * round);
        assert_eq!(RUNS[1].load(Relaxed), 4 * round, "as often as POSIX says, then no more");
        block.run(|| assert!(many.iter().chain([again]).all(|key| key.get().is_null())));
        block.reset();
    }
    std::mem::forget(deleted);
}

#[test]
fn a_thread_local_first_used_by_a_keys_destructor_is_dropped_too() {
    static DROPPED: AtomicU32 = AtomicU32::new(0);
    struct Counted;
    impl Drop for Counted {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Relaxed);
        }
    }
    thread_local!(static COUNTED: Counted = const { Counted });
    unsafe extern "C" fn late(_: *mut c_void) {
        COUNTED.with(|_| ());
    }
    let (key, block) = (Key::new(late), Block::new());
    block.run(|| key.set(ptr::from_ref(&key).cast()));
    block.end();
    assert_eq!(DROPPED.load(Relaxed), 1);
}

#[test]
fn a_destructor_registered_after_the_end_never_meets_the_next_users_values() {
    struct Watched(Cell<u32>);
    impl Drop for Watched {
        fn drop(&mut self) {
            assert_eq!(self.0.get(), 7, "dropped with another goroutine's value");
        }
    }
    thread_local!(static WATCHED: Watched = const { Watched(Cell::new(0)) });
    let block = Block::new();
    block.end();
    block.run(|| WATCHED.with(|watched| watched.0.set(7)));
    block.reset();
    block.end();
    // Told again, the end does run it.
    block.run(|| WATCHED.with(|watched| watched.0.set(7)));
    block.end();
    block.run(|| assert!(WATCHED.try_with(|_| ()).is_err(), "destroyed"));
}

#[test]
fn a_reset_block_is_as_new_a_hundred_thousand_times() {
    thread_local!(static VALUE: Cell<u64> = const { Cell::new(7) });
    thread_local!(static ZERO: Cell<[u64; 8]> = const { Cell::new([0; 8]) });
    let block = Block::new();
    // The static thread-locals as they are before the first use.
    let words = identity().bytes_below_tp() / 8;
    // SAFETY: the block's own memory, which nobody writes while it is read.
    let read = || unsafe { std::slice::from_raw_parts((block.tp - words * 8) as *const u64, words) }.to_vec();
    let new = read();
    for round in 0..100_000 {
        block.run(|| {
            assert_eq!(VALUE.replace(round), 7);
            assert_eq!(ZERO.replace([round; 8]), [0; 8]);
            // SAFETY: the block's errno.
            unsafe { assert_eq!(ptr::replace(libc::__errno_location(), 4711), 0) };
        });
        if round % 1000 == 0 {
            block.end();
        }
        block.reset();
    }
    assert_eq!(read(), new);
}

#[test]
fn making_many_blocks_and_using_each_once_works() {
    for round in 0..1000 {
        let block = Block::new();
        block.run(|| assert_eq!(vec![round; 100].iter().sum::<usize>(), round * 100));
        block.end();
    }
}

#[test]
fn errno_is_the_blocks_own_and_cleared_by_a_reset() {
    let block = Block::new();
    // SAFETY: the errno of whoever runs it.
    let set = |errno| unsafe { *libc::__errno_location() = errno };
    set(1);
    block.run(|| set(2));
    // SAFETY: as above.
    assert_eq!(unsafe { *libc::__errno_location() }, 1);
    assert_eq!(block.errno(), 2);
    block.reset();
    assert_eq!(block.errno(), 0);
}

#[test]
fn a_locale_set_by_one_goroutine_is_not_the_next_ones() {
    let block = Block::new();
    // SAFETY: valid masks and names. The object is leaked: the block's next user must not depend on it being freed.
    let other = unsafe { libc::newlocale(libc::LC_ALL_MASK, c"C.UTF-8".as_ptr(), ptr::null_mut()) };
    assert!(!other.is_null());
    let locale = || {
        let mut locale = ptr::null_mut();
        // SAFETY: asks which locale is set.
        block.run(|| locale = unsafe { libc::uselocale(ptr::null_mut()) });
        locale
    };
    let new = locale();
    // SAFETY: sets the block's locale.
    block.run(|| assert!(!unsafe { libc::uselocale(other) }.is_null()));
    assert_eq!(locale(), other);
    block.end();
    block.reset();
    assert_eq!(locale(), new);
    // SAFETY: this thread never had another.
    assert_eq!(unsafe { libc::uselocale(ptr::null_mut()) }, new);
}

#[test]
fn the_resolvers_state_is_the_blocks_own_and_closed_at_its_end() {
    unsafe extern "C" {
        fn __res_state() -> *mut c_void;
        fn __res_init() -> c_int;
    }
    let block = Block::new();
    let (mut state, record) = (0, block.tp..block.tp + identity().bytes_above_tp());
    // SAFETY: reads the configuration into the block's state.
    block.run(|| unsafe {
        assert_eq!(__res_init(), 0);
        state = __res_state() as usize;
    });
    assert!(record.contains(&state));
    // SAFETY: this thread's.
    assert_ne!(unsafe { __res_state() } as usize, state);
    // SAFETY: `options` of the state.
    let options = || unsafe { *((state + 8) as *const u64) };
    assert_ne!(options(), 0);
    block.end();
    assert_eq!(options(), 0);
}

#[test]
fn a_recursive_mutex_tells_two_blocks_of_one_thread_apart() {
    let mut attributes = MaybeUninit::uninit();
    let mut mutex = MaybeUninit::<libc::pthread_mutex_t>::uninit();
    // SAFETY: initialises both.
    unsafe {
        libc::pthread_mutexattr_init(attributes.as_mut_ptr());
        libc::pthread_mutexattr_settype(attributes.as_mut_ptr(), libc::PTHREAD_MUTEX_RECURSIVE);
        libc::pthread_mutex_init(mutex.as_mut_ptr(), attributes.as_ptr());
    }
    let mutex = mutex.as_mut_ptr();
    let (one, other) = (Block::new(), Block::new());
    // SAFETY: the mutex above, in all of these.
    unsafe {
        one.run(|| assert_eq!(libc::pthread_mutex_lock(mutex), 0));
        other.run(|| assert_eq!(libc::pthread_mutex_trylock(mutex), libc::EBUSY));
        one.run(|| assert_eq!(libc::pthread_mutex_trylock(mutex), 0));
        one.run(|| assert_eq!((libc::pthread_mutex_unlock(mutex), libc::pthread_mutex_unlock(mutex)), (0, 0)));
        other.run(|| assert_eq!(libc::pthread_mutex_trylock(mutex), 0));
        other.run(|| assert_eq!(libc::pthread_mutex_unlock(mutex), 0));
    }
}

#[test]
fn what_a_block_frees_goes_to_the_cache_of_the_thread_it_runs_on() {
    let block = Block::new();
    identity().warm_malloc();
    let mut freed = 0;
    // SAFETY: allocates and frees.
    block.run(|| unsafe {
        let chunk = std::hint::black_box(libc::malloc(std::hint::black_box(888)));
        freed = chunk as usize;
        libc::free(chunk);
    });
    // SAFETY: as above.
    let again = unsafe {
        let again = std::hint::black_box(libc::malloc(std::hint::black_box(888)));
        libc::free(again);
        again as usize
    };
    assert_eq!(again, freed);
}

#[test]
fn the_current_cpu_is_known_without_a_registered_rseq_area() {
    let block = Block::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // SAFETY: zeros are a valid set; the kernel fills it in, and later binds this thread to one of its members.
            unsafe {
                let mut allowed: libc::cpu_set_t = std::mem::zeroed();
                assert_eq!(libc::sched_getaffinity(0, size_of_val(&allowed), &mut allowed), 0);
                let last = (0..1024).rfind(|&cpu| libc::CPU_ISSET(cpu, &allowed)).unwrap();
                let mut only: libc::cpu_set_t = std::mem::zeroed();
                libc::CPU_SET(last, &mut only);
                assert_eq!(libc::sched_setaffinity(0, size_of_val(&only), &only), 0);
                block.run(|| assert_eq!(libc::sched_getcpu(), last as i32));
            }
        });
    });
}

#[test]
fn a_block_is_a_detached_thread_to_libc() {
    let block = Block::new();
    block.run(|| {
        // SAFETY: asks about the current thread, which is the block's.
        unsafe {
            let me = libc::pthread_self();
            // As a detached thread is told: that it is itself, since glibc 2.43.
            assert!([libc::EINVAL, libc::EDEADLK].contains(&libc::pthread_join(me, ptr::null_mut())));
            assert_eq!(libc::pthread_detach(me), libc::EINVAL);
            assert_eq!(libc::pthread_kill(me, 0), 0);
        }
    });
}
