//! Shared libraries made on the spot: a Rust one by `rustc`, a C one by `cc`. Each test program takes what it uses.
#![allow(dead_code)]

use std::ffi::{CStr, CString, c_int, c_void};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A directory that goes with the value.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let path = std::env::temp_dir().join(format!("gort-scratch-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory for scratch files");
        Self(path)
    }

    #[allow(dead_code)]
    pub(crate) fn path(&self) -> &std::path::Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Compiles `source`, a file of this ending; `None` where there is no compiler for it.
pub(crate) fn compile(at: &Scratch, name: &str, ending: &str, source: &str, arguments: &[&str]) -> Option<PathBuf> {
    let (file, library) = (at.0.join(name).with_extension(ending), at.0.join(name).with_extension("so"));
    std::fs::write(&file, source).expect("a scratch file");
    let mut command = match ending {
        "rs" => {
            let mut rustc = Command::new("rustc");
            rustc.args(["--crate-type=cdylib", "--edition=2021", "-Cprefer-dynamic=no"]);
            rustc
        }
        _ => {
            let mut cc = Command::new(if ending == "cpp" { "c++" } else { "cc" });
            cc.args(["-shared", "-fPIC"]);
            cc
        }
    };
    let output = command.args(arguments).arg("-o").arg(&library).arg(&file).output().ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(library)
}

/// A loaded library.
pub(crate) struct Library(usize);

impl Library {
    pub(crate) fn load(path: &Path) -> Self {
        let path = CString::new(path.to_str().expect("a path that is text")).unwrap();
        // SAFETY: these libraries' initialisers do nothing that matters here.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
        // SAFETY: the message of the call before.
        assert!(!handle.is_null(), "{:?}", unsafe { CStr::from_ptr(libc::dlerror()) });
        Self(handle as usize)
    }

    /// A function without arguments that returns an int.
    pub(crate) fn function(&self, name: &CStr) -> extern "C" fn() -> c_int {
        // SAFETY: loaded and not closed.
        let address = unsafe { libc::dlsym(self.0 as *mut c_void, name.as_ptr()) };
        assert!(!address.is_null(), "{name:?}");
        // SAFETY: all functions of these libraries have that type.
        unsafe { std::mem::transmute::<*mut c_void, extern "C" fn() -> c_int>(address) }
    }

    pub(crate) fn close(self) {
        // SAFETY: loaded once; nothing of it is used any more.
        assert_eq!(unsafe { libc::dlclose(self.0 as *mut c_void) }, 0);
    }
}

/// A thread-local of its own, one with a destructor, and a large one; how many destructors have run.
pub(crate) const RUST: &str = r#"
    use std::cell::{Cell, RefCell};
    use std::sync::atomic::{AtomicI32, Ordering::SeqCst};
    static DROPPED: AtomicI32 = AtomicI32::new(0);
    struct Counted(Vec<u8>);
    impl Drop for Counted {
        fn drop(&mut self) { DROPPED.fetch_add(i32::from(self.0[4711]), SeqCst); }
    }
    thread_local! {
        static PLAIN: Cell<i32> = const { Cell::new(41) };
        static COUNTED: RefCell<Option<Counted>> = const { RefCell::new(None) };
        static LARGE: Cell<[u64; 8192]> = const { Cell::new([7; 8192]) };
    }
    #[no_mangle] pub extern "C" fn next() -> i32 {
        COUNTED.with_borrow_mut(|counted| counted.get_or_insert_with(|| Counted(vec![1; 10_000])).0[0] = 2);
        LARGE.with(|large| unsafe { (*large.as_ptr())[4711] += 1 });
        PLAIN.set(PLAIN.get() + 1);
        PLAIN.get()
    }
    #[no_mangle] pub extern "C" fn large() -> i32 { LARGE.with(|large| unsafe { (*large.as_ptr())[4711] as i32 }) }
    #[no_mangle] pub extern "C" fn dropped() -> i32 { DROPPED.load(SeqCst) }
"#;

/// Bytes that malloc has given out and not got back.
#[cfg(target_env = "gnu")]
pub(crate) fn allocated() -> usize {
    // SAFETY: asks.
    let info = unsafe { libc::mallinfo2() };
    info.uordblks + info.hblkhd
}

/// musl's malloc does not say.
#[cfg(not(target_env = "gnu"))]
pub(crate) fn allocated() -> usize {
    0
}
