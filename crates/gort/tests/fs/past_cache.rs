//! Past the page cache, where io_uring does not move the cursor by itself: random steps there, by clones, give what std gives.

use crate::support::{Draws, Scratch};
use crate::uring::{Page, has_uring};
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const PAGE: usize = 4096;

/// What a handle does at a cursor.
trait Handle: Read + Write + Seek + Sized {
    fn open(path: &Path, append: bool, flags: i32) -> io::Result<Self>;
    fn again(&self) -> Self;
}

macro_rules! handle {
    ($fs:path) => {
        impl Handle for $fs {
            fn open(path: &Path, append: bool, flags: i32) -> io::Result<Self> {
                Self::options().read(true).write(true).append(append).create(true).custom_flags(flags).open(path)
            }

            fn again(&self) -> Self {
                self.try_clone().unwrap()
            }
        }
    };
}

handle!(gort::fs::File);
handle!(std::fs::File);

/// Two handles of one open file.
struct Side<F> {
    handles: [F; 2],
}

impl<F: Handle> Side<F> {
    fn new(path: &Path, append: bool) -> Self {
        // With the cache where the file system cannot.
        let first = F::open(path, append, libc::O_DIRECT).unwrap_or_else(|_| F::open(path, append, 0).unwrap());
        Self { handles: [first.again(), first] }
    }

    /// The count, the bytes that were read, and where the cursor is after that.
    fn step(&mut self, seed: u64) -> (usize, [u8; 2], u64) {
        let mut draws = Draws::new(seed);
        let file = &mut self.handles[draws.below(2)];
        let letter = draws.next() as u8;
        let mut pages = [letter, letter.wrapping_add(1)].map(|letter| Box::new(Page([letter; PAGE])));
        let [one, two] = &mut pages;
        let count = match draws.below(9) {
            0 | 1 => file.read(&mut one.0),
            2 | 3 => file.read_vectored(&mut [IoSliceMut::new(&mut one.0), IoSliceMut::new(&mut two.0)]),
            4 | 5 => file.write(&one.0),
            6 | 7 => file.write_vectored(&[IoSlice::new(&one.0), IoSlice::new(&two.0)]),
            _ => file.seek(SeekFrom::Start((draws.below(16) * PAGE) as u64)).map(|_| 0),
        };
        let seen = pages.map(|page| {
            assert!(page.0.iter().all(|byte| *byte == page.0[0]), "a page of two");
            page.0[0]
        });
        (count.unwrap(), seen, file.stream_position().unwrap())
    }
}

/// FS-06: the same random steps at the cursor of a file past the page cache, one that is appended to among them, end with the same results, the same
/// cursor and the same file.
#[gort::test(procs = [1, 2])]
fn past_cache_the_cursor_moves_as_std_moves_it() {
    for append in [false, true] {
        let scratch = Scratch::new();
        let (here, there) = (scratch.path().join("ours"), scratch.path().join("theirs"));
        // What is there already is read and overwritten while somebody else waits; what is new is written at once.
        for path in [&here, &there] {
            std::fs::write(path, [7; 64 * PAGE]).unwrap();
        }
        let mut ours = Side::<gort::fs::File>::new(&here, append);
        let mut theirs = Side::<std::fs::File>::new(&there, append);
        has_uring(&ours.handles[0]);
        let mut seeds = Draws::new(7);
        for number in 0..150 {
            let seed = seeds.next();
            let (got, expected) = (ours.step(seed), theirs.step(seed));
            assert_eq!(got, expected, "step {number}, append: {append}");
        }
        assert!(std::fs::read(&here).unwrap() == std::fs::read(&there).unwrap(), "the files differ, append: {append}");
    }
}
