//! std::fs as the oracle: the same random operations give the same results.

use crate::support::{Draws, Scratch, rounds};
use gort::fs as ours;
use std::fs as theirs;
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What came of an operation; errors by kind and number.
type Outcome = Result<String, (io::ErrorKind, Option<i32>)>;

fn outcome<T: std::fmt::Debug>(result: io::Result<T>) -> Outcome {
    result.map(|value| format!("{value:?}")).map_err(|error| (error.kind(), error.raw_os_error()))
}

/// One step of a sequence. What it needs is drawn beforehand, so that both sides get the same.
#[derive(Clone, Debug)]
enum Step {
    Open(usize, u8),
    Close,
    Clone,
    Swap,
    Read(usize),
    ReadAt(usize, u64),
    ReadExactAt(usize, u64),
    ReadVectored(usize),
    ReadToEnd,
    ReadToString,
    Write(Vec<u8>),
    WriteAt(Vec<u8>, u64),
    WriteVectored(Vec<u8>),
    Seek(SeekFrom),
    SetLen(u64),
    Sync(bool),
    Metadata,
    SetMode(u32),
    Lock(u8),
    PathRead(usize),
    PathText(usize),
    PathWrite(usize, Vec<u8>),
    PathMetadata(usize),
    PathLink(usize),
    PathExists(usize),
    PathMode(usize, u32),
    Copy(usize, usize),
    Rename(usize, usize),
    HardLink(usize, usize),
    Symlink(usize, usize),
    Remove(usize),
    RemoveDir(usize),
    RemoveAll(usize),
    CreateDir(usize),
    CreateDirAll(usize),
    ReadDir(usize),
    Canonicalize(usize),
}

const NAMES: [&str; 10] = ["a", "b", "c", "d", "dir", "dir/a", "dir/b", "dir/sub", "a/under", "nul\0"];

fn draw(draws: &mut Draws) -> Step {
    let name = draws.below(NAMES.len());
    let other = draws.below(NAMES.len());
    let count = draws.below(6000);
    let offset = match draws.below(20) {
        0 => u64::MAX,
        1 => i64::MAX as u64,
        2 => 1 << 63,
        _ => draws.below(20_000) as u64,
    };
    let bytes = draws.bytes(count);
    let seek = match draws.below(3) {
        0 => SeekFrom::Start(offset.min(30_000)),
        1 => SeekFrom::Current(draws.below(3000) as i64 - 1500),
        _ => SeekFrom::End(draws.below(3000) as i64 - 1500),
    };
    match draws.below(60) {
        0..=8 => Step::Open(name, draws.next() as u8),
        9 => Step::Close,
        10 | 11 => Step::Clone,
        12 | 13 => Step::Swap,
        14..=17 => Step::Read(count),
        18 | 19 => Step::ReadAt(count, offset),
        20 => Step::ReadExactAt(count, offset),
        21 => Step::ReadVectored(count),
        22 => Step::ReadToEnd,
        23 => Step::ReadToString,
        24..=28 => Step::Write(bytes),
        29 | 30 => Step::WriteAt(bytes, offset.min(40_000)),
        31 | 32 => Step::WriteVectored(bytes),
        33..=35 => Step::Seek(seek),
        36 => Step::SetLen(if offset > 1 << 40 { offset } else { offset / 2 }),
        37 => Step::Sync(offset.is_multiple_of(2)),
        38 => Step::Metadata,
        39 => Step::SetMode(0o600 | (offset & 0o77) as u32),
        40 => Step::Lock(offset as u8),
        41 => Step::PathRead(name),
        42 => Step::PathText(name),
        43 => Step::PathWrite(name, bytes),
        44 => Step::PathMetadata(name),
        45 => Step::PathLink(name),
        46 => Step::PathExists(name),
        47 => Step::PathMode(name, 0o700 | (offset & 0o77) as u32),
        48 | 49 => Step::Copy(name, other),
        50 => Step::Rename(name, other),
        51 => Step::HardLink(name, other),
        52 => Step::Symlink(name, other),
        53 => Step::Remove(name),
        54 => Step::RemoveDir(name),
        55 => Step::RemoveAll(name),
        56 => Step::CreateDir(name),
        57 => Step::CreateDirAll(name),
        58 => Step::ReadDir(name),
        _ => Step::Canonicalize(name),
    }
}

/// The same steps for both modules: they have the same names.
macro_rules! side {
    ($name:ident, $fs:ident, $symlink:path) => {
        #[derive(Default)]
        struct $name {
            root: PathBuf,
            file: Option<$fs::File>,
            clone: Option<$fs::File>,
        }

        impl $name {
            fn new(root: &Path) -> Self {
                Self { root: root.to_owned(), ..Self::default() }
            }

            fn at(&self, name: usize) -> PathBuf {
                self.root.join(NAMES[name])
            }

            fn with_file<T: std::fmt::Debug>(&mut self, f: impl FnOnce(&mut $fs::File) -> io::Result<T>) -> Outcome {
                match &mut self.file {
                    Some(file) => outcome(f(file)),
                    None => Ok("no file".into()),
                }
            }

            fn open(&mut self, name: usize, how: u8) -> Outcome {
                let mut options = $fs::OpenOptions::new();
                options.read(how & 1 != 0).write(how & 2 != 0).append(how & 28 == 4);
                options.create(how & 32 != 0).truncate(how & 192 == 64).create_new(how & 192 == 192).mode(0o640);
                outcome(options.open(self.at(name)).map(|file| {
                    self.file = Some(file);
                    self.clone = None;
                }))
            }

            fn run(&mut self, step: Step) -> Outcome {
                match step {
                    Step::Open(name, how) => self.open(name, how),
                    Step::Close => {
                        self.file = self.clone.take();
                        Ok(String::new())
                    }
                    Step::Clone => match self.file.as_ref().map(|file| file.try_clone()) {
                        Some(clone) => outcome(clone.map(|clone| self.clone = Some(clone))),
                        None => Ok("no file".into()),
                    },
                    Step::Swap => {
                        if self.clone.is_some() {
                            std::mem::swap(&mut self.file, &mut self.clone);
                        }
                        Ok(String::new())
                    }
                    Step::Read(count) => self.with_file(|file| {
                        let mut buf = vec![0; count];
                        let count = file.read(&mut buf)?;
                        Ok((count, buf))
                    }),
                    Step::ReadAt(count, at) => self.with_file(|file| {
                        let mut buf = vec![0; count];
                        let count = file.read_at(&mut buf, at)?;
                        Ok((count, buf))
                    }),
                    Step::ReadExactAt(count, at) => self.with_file(|file| {
                        let mut buf = vec![0; count];
                        file.read_exact_at(&mut buf, at)?;
                        Ok(buf)
                    }),
                    Step::ReadVectored(count) => self.with_file(|file| {
                        let (mut head, mut tail) = (vec![0; count / 3], vec![0; count]);
                        let count =
                            file.read_vectored(&mut [IoSliceMut::new(&mut head), IoSliceMut::new(&mut tail)])?;
                        Ok((count, head, tail))
                    }),
                    Step::ReadToEnd => self.with_file(|file| {
                        let mut all = vec![7];
                        let count = file.read_to_end(&mut all)?;
                        Ok((count, all))
                    }),
                    Step::ReadToString => self.with_file(|file| {
                        let mut all = String::from("7");
                        let count = file.read_to_string(&mut all)?;
                        Ok((count, all))
                    }),
                    Step::Write(bytes) => self.with_file(|file| file.write(&bytes)),
                    Step::WriteAt(bytes, at) => self.with_file(|file| file.write_at(&bytes, at)),
                    Step::WriteVectored(bytes) => self.with_file(|file| {
                        let (head, tail) = bytes.split_at(bytes.len() / 3);
                        file.write_vectored(&[IoSlice::new(head), IoSlice::new(tail)])
                    }),
                    Step::Seek(to) => self.with_file(|file| file.seek(to)),
                    Step::SetLen(size) => self.with_file(|file| file.set_len(size)),
                    Step::Sync(true) => self.with_file(|file| file.sync_all()),
                    Step::Sync(false) => self.with_file(|file| file.sync_data()),
                    Step::Metadata => self.with_file(|file| file.metadata().map(|metadata| facts(&metadata))),
                    Step::SetMode(mode) => {
                        self.with_file(|file| file.set_permissions(theirs::Permissions::from_mode(mode)))
                    }
                    Step::Lock(how) => match &self.file {
                        None => Ok("no file".into()),
                        Some(file) => Ok(match how % 4 {
                            0 => format!("{:?}", file.try_lock()),
                            1 => format!("{:?}", file.try_lock_shared()),
                            2 => format!("{:?}", outcome(file.lock_shared())),
                            _ => format!("{:?}", outcome(file.unlock())),
                        }),
                    },
                    Step::PathRead(name) => outcome($fs::read(self.at(name))),
                    Step::PathText(name) => outcome($fs::read_to_string(self.at(name))),
                    Step::PathWrite(name, bytes) => outcome($fs::write(self.at(name), bytes)),
                    Step::PathMetadata(name) => {
                        let both = (outcome($fs::metadata(self.at(name)).map(|it| facts(&it))), {
                            outcome($fs::symlink_metadata(self.at(name)).map(|it| facts(&it)))
                        });
                        Ok(format!("{both:?}"))
                    }
                    Step::PathLink(name) => outcome($fs::read_link(self.at(name)).map(|to| relative(&to, &self.root))),
                    Step::PathExists(name) => outcome($fs::exists(self.at(name))),
                    Step::PathMode(name, mode) => {
                        outcome($fs::set_permissions(self.at(name), theirs::Permissions::from_mode(mode)))
                    }
                    Step::Copy(from, to) => outcome($fs::copy(self.at(from), self.at(to))),
                    Step::Rename(from, to) => outcome($fs::rename(self.at(from), self.at(to))),
                    Step::HardLink(from, to) => outcome($fs::hard_link(self.at(from), self.at(to))),
                    Step::Symlink(from, to) => outcome($symlink(self.at(from), self.at(to))),
                    Step::Remove(name) => outcome($fs::remove_file(self.at(name))),
                    Step::RemoveDir(name) => outcome($fs::remove_dir(self.at(name))),
                    Step::RemoveAll(name) => outcome($fs::remove_dir_all(self.at(name))),
                    Step::CreateDir(name) => outcome($fs::create_dir(self.at(name))),
                    Step::CreateDirAll(name) => outcome($fs::create_dir_all(self.at(name))),
                    Step::ReadDir(name) => outcome($fs::read_dir(self.at(name)).and_then(|entries| {
                        let mut all = Vec::new();
                        for entry in entries {
                            let entry = entry?;
                            let facts = (entry.file_type()?.is_dir(), facts(&entry.metadata()?));
                            all.push((entry.file_name(), relative(&entry.path(), &self.root), facts));
                        }
                        all.sort();
                        Ok(all)
                    })),
                    Step::Canonicalize(name) => {
                        outcome($fs::canonicalize(self.at(name)).map(|path| relative(&path, &self.root)))
                    }
                }
            }
        }
    };
}

/// What is the same on both sides.
fn facts(metadata: &theirs::Metadata) -> (u64, u32, u64) {
    let len = if metadata.is_file() { metadata.len() } else { 0 };
    (len, metadata.mode(), if metadata.is_file() { metadata.nlink() } else { 0 })
}

fn relative(path: &Path, root: &Path) -> PathBuf {
    path.strip_prefix(root.canonicalize().unwrap()).or(path.strip_prefix(root)).unwrap_or(path).to_owned()
}

side!(Ours, ours, ours::symlink);
side!(Theirs, theirs, std::os::unix::fs::symlink);

/// FS-06: the same random steps with `gort::fs` and `std::fs`, each in a folder of its own, end with the same results and errors.
#[gort::test(procs = [1, 2])]
fn the_same_random_operations_give_what_std_gives() {
    gort::scope(|s| {
        for seed in 1..=4 {
            s.spawn(move || compare(seed, rounds(4000)));
        }
    });
}

fn compare(seed: u64, steps: usize) {
    let (here, there) = (Scratch::new(), Scratch::new());
    let mut draws = Draws::new(seed);
    let (mut ours, mut theirs) = (Ours::new(here.path()), Theirs::new(there.path()));
    for number in 0..steps {
        let step = draw(&mut draws);
        let expected = theirs.run(step.clone());
        let got = ours.run(step.clone());
        assert!(got == expected, "seed {seed}, step {number}, {step:?}:\n ours {got:?}\n std's {expected:?}");
    }
}

/// Two goroutines write at the cursor of one open file, by clones: each piece is whole, and all are there.
#[gort::test(procs = [1, 2, 4])]
fn pieces_written_at_a_shared_cursor_stay_whole() {
    let scratch = Scratch::new();
    let path = scratch.path().join("shared");
    let file = ours::File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    let count = rounds(2000);
    const PIECE: usize = 700;
    gort::scope(|s| {
        for letter in [b'a', b'b'] {
            let mut file = file.try_clone().unwrap();
            s.spawn(move || (0..count).for_each(|_| assert_eq!(file.write(&[letter; PIECE]).unwrap(), PIECE)));
        }
    });
    let all = theirs::read(&path).unwrap();
    assert_eq!(all.len(), 2 * count * PIECE);
    for piece in all.chunks(PIECE) {
        assert!(piece.iter().all(|byte| *byte == piece[0]), "a piece is torn");
    }
    assert_eq!(all.iter().filter(|byte| **byte == b'a').count(), count * PIECE);

    // And read in the same way: each piece once.
    (&file).rewind().unwrap();
    let read: Vec<_> = gort::scope(|s| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let mut file = file.try_clone().unwrap();
                s.spawn(move || {
                    let (mut pieces, mut piece) = (Vec::new(), [0; PIECE]);
                    while file.read(&mut piece).unwrap() == PIECE {
                        assert!(piece.iter().all(|byte| *byte == piece[0]));
                        pieces.push(piece[0]);
                    }
                    pieces
                })
            })
            .collect();
        readers.into_iter().flat_map(|reader| reader.join().unwrap()).collect()
    });
    assert_eq!(read.len(), 2 * count);
    assert_eq!(read.iter().filter(|letter| **letter == b'a').count(), count);
}

/// FS-06: 64 goroutines on 64 files do what one thread does with std.
#[gort::test(procs = [2])]
fn sixty_four_goroutines_on_sixty_four_files() {
    let scratch = Scratch::new();
    gort::scope(|s| {
        for n in 0..64_u8 {
            let dir = scratch.path().join(format!("{n}"));
            s.spawn(move || {
                ours::create_dir(&dir).unwrap();
                let (one, two) = (dir.join("one"), dir.join("two"));
                let text = vec![n; 10_000 + usize::from(n)];
                ours::write(&one, &text).unwrap();
                let mut log = ours::OpenOptions::new().append(true).open(&one).unwrap();
                log.write_all(b"end").unwrap();
                assert_eq!(ours::copy(&one, &two).unwrap(), text.len() as u64 + 3);
                ours::rename(&two, dir.join("three")).unwrap();
                let mut names: Vec<_> = ours::read_dir(&dir).unwrap().map(|it| it.unwrap().file_name()).collect();
                names.sort();
                assert_eq!(names, ["one", "three"]);
                let mut file = ours::File::open(dir.join("three")).unwrap();
                assert_eq!(file.seek(SeekFrom::End(-3)).unwrap(), text.len() as u64);
                let mut end = String::new();
                file.read_to_string(&mut end).unwrap();
                assert_eq!(end, "end");
            });
        }
    });
    for n in 0..64_u8 {
        let mut expected = vec![n; 10_000 + usize::from(n)];
        expected.extend(b"end");
        assert!(theirs::read(scratch.path().join(format!("{n}/three"))).unwrap() == expected);
    }
}
