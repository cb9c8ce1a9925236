//! The expansions, compiled and run against a stand-in for the runtime.

// Makes `::gort` this file.
extern crate self as gort;

use std::{
    io,
    process::{ExitCode, Termination},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

mod __private {
    //! The shape that the expansions expect of `gort::__private`.

    use std::{
        process::Termination,
        sync::{Mutex, MutexGuard, PoisonError},
    };

    #[derive(Clone, Debug, Default, PartialEq)]
    pub(crate) struct Options {
        pub(crate) procs: Option<usize>,
        pub(crate) max_threads: Option<usize>,
        pub(crate) stack_size: Option<usize>,
        pub(crate) require_migrating: bool,
        pub(crate) allocator: bool,
    }

    #[derive(Clone, Copy, Debug, PartialEq)]
    pub(crate) struct TestOptions {
        pub(crate) name: &'static str,
        pub(crate) procs: &'static [usize],
        pub(crate) timeout_s: Option<u64>,
    }

    static MAINS: Mutex<Vec<Options>> = Mutex::new(Vec::new());
    static TESTS: Mutex<Vec<TestOptions>> = Mutex::new(Vec::new());

    pub(crate) fn mains() -> MutexGuard<'static, Vec<Options>> {
        MAINS.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn tests() -> MutexGuard<'static, Vec<TestOptions>> {
        TESTS.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn main<T: Termination>(options: Options, body: impl FnOnce() -> T) -> T {
        mains().push(options);
        body()
    }

    pub(crate) fn test<T: Termination>(options: TestOptions, body: fn() -> T) -> T {
        tests().push(options);
        body()
    }
}

mod alloc {
    use std::alloc::{GlobalAlloc, Layout};

    /// Only counts that it is used.
    pub(crate) struct Global<A>(A);

    impl<A> Global<A> {
        pub(crate) const fn new(inner: A) -> Global<A> {
            Global(inner)
        }
    }

    // SAFETY: passes everything on to an allocator.
    unsafe impl<A: GlobalAlloc> GlobalAlloc for Global<A> {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // Relaxed: a counter.
            super::ALLOCATIONS.fetch_add(1, super::Relaxed);
            // SAFETY: the caller's promise.
            unsafe { self.0.alloc(layout) }
        }

        unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
            // SAFETY: the caller's promise.
            unsafe { self.0.dealloc(at, layout) }
        }
    }
}

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

mod with_allocator {
    #[gort_macros::main]
    pub(crate) fn main() {}
}

mod with_everything {
    use std::io;

    const STEP: usize = 2;

    /// A function of the user's that must not be hidden by what the expansion adds.
    fn inner() -> usize {
        7
    }

    #[gort_macros::main(
        allocator = none, require = migrating, procs = STEP + 1, max_threads = 64, stack_size = 1 << 20,
    )]
    #[inline(never)]
    pub(crate) fn main() -> io::Result<()> {
        let number: usize =
            "x".parse().or_else(|_| if inner() == 7 { Ok(1) } else { Err(io::Error::other("hidden")) })?;
        if number == 1 {
            return Err(io::Error::other("from the body"));
        }
        Ok(())
    }
}

mod that_never_returns {
    #[gort_macros::main(allocator = none)]
    pub(crate) fn main() -> ! {
        panic!("on purpose")
    }
}

mod that_returns_something_unnamed {
    use std::process::{ExitCode, Termination};

    #[gort_macros::main(allocator = none)]
    pub(crate) fn main() -> impl Termination {
        ExitCode::from(3)
    }
}

macro_rules! make {
    ($(#[$meta:meta])* $vis:vis fn $name:ident() -> $returns:ty $body:block) => {
        #[gort_macros::test(procs = 1)]
        $(#[$meta])*
        $vis fn $name() -> $returns $body
    };
}

make! {
    /// Pieces of `macro_rules!` come in invisible brackets.
    pub(crate) fn a_test_made_by_a_macro() -> Result<(), String> { Ok(()) }
}

#[gort_macros::test]
fn a_test_with_nothing_said() {
    assert_eq!(
        this("a_test_with_nothing_said"),
        gort::__private::TestOptions { name: "expansion::a_test_with_nothing_said", procs: &[], timeout_s: None }
    );
}

#[gort_macros::test(procs = [1, 2, 4], timeout = "2m")]
fn a_test_with_everything_said() -> io::Result<()> {
    let options = this("a_test_with_everything_said");
    assert_eq!((options.procs, options.timeout_s), (&[1, 2, 4][..], Some(120)));
    Ok(())
}

#[gort_macros::test(procs = 8, timeout = 5)]
#[should_panic(expected = "on purpose")]
fn a_test_that_should_panic() {
    let options = this("a_test_that_should_panic");
    if (options.procs, options.timeout_s) == (&[8][..], Some(5)) {
        panic!("on purpose");
    }
}

/// What the expansion of the test of that name passed on.
fn this(name: &str) -> __private::TestOptions {
    *__private::tests().iter().find(|options| options.name.ends_with(&format!("::{name}"))).unwrap()
}

fn code(outcome: impl Termination) -> ExitCode {
    outcome.report()
}

fn same(one: ExitCode, other: ExitCode) -> bool {
    format!("{one:?}") == format!("{other:?}")
}

#[test]
fn main_without_options_brings_the_allocator() {
    let before = ALLOCATIONS.load(Relaxed);
    drop(std::hint::black_box(Box::new(1)));
    assert!(ALLOCATIONS.load(Relaxed) > before);
    assert!(same(code(with_allocator::main()), ExitCode::SUCCESS));
    let expected = __private::Options { allocator: true, ..Default::default() };
    assert!(__private::mains().contains(&expected));
}

#[test]
fn main_passes_its_options_and_its_result_on() {
    assert!(same(code(with_everything::main()), ExitCode::FAILURE));
    let expected = __private::Options {
        procs: Some(3),
        max_threads: Some(64),
        stack_size: Some(1 << 20),
        require_migrating: true,
        allocator: false,
    };
    assert!(__private::mains().contains(&expected));
}

#[test]
fn main_may_return_whatever_std_allows() {
    assert!(same(code(that_returns_something_unnamed::main()), ExitCode::from(3)));
    assert!(std::panic::catch_unwind(|| code(that_never_returns::main())).is_err());
}
