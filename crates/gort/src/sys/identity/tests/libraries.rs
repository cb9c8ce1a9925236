//! Thread-locals of libraries that are loaded while blocks exist.

use super::{Block, alone};
use std::ffi::{CString, c_int, c_void};
use std::ptr;

/// A library with a thread-local, loaded now.
struct Library {
    handle: *mut c_void,
    counter: extern "C" fn() -> *mut c_int,
}

impl Library {
    /// Compiles one with the C compiler that links this test.
    fn load(name: &str, model: &str) -> Library {
        let path = std::env::temp_dir().join(format!("gort-{name}-{}.so", std::process::id()));
        let source = path.with_extension("c");
        std::fs::write(&source, "__thread int counter = 41; int *the_counter(void) { return &counter; }").unwrap();
        let status = std::process::Command::new("cc")
            .args(["-shared", "-fPIC", model, "-o"])
            .args([&path, &source])
            .status()
            .expect("the C compiler that also links Rust programs");
        assert!(status.success());
        let text = CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: a library without initialisers.
        let handle = unsafe { libc::dlopen(text.as_ptr(), libc::RTLD_NOW) };
        assert!(!handle.is_null());
        // SAFETY: the library's function, of this type.
        let counter = unsafe {
            std::mem::transmute::<*mut c_void, extern "C" fn() -> *mut c_int>(libc::dlsym(
                handle,
                c"the_counter".as_ptr(),
            ))
        };
        for file in [path, source] {
            std::fs::remove_file(file).unwrap();
        }
        Library { handle, counter }
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        // SAFETY: loaded in `load`; nothing of it is used any more.
        unsafe { libc::dlclose(self.handle) };
    }
}

#[test]
fn thread_locals_of_libraries_loaded_later_are_new_for_the_next_user() {
    // The loader writes into every block, and other tests compare theirs.
    if alone(module_path!(), "thread_locals_of_libraries_loaded_later_are_new_for_the_next_user") {
        return;
    }
    let old = Block::new();
    for model in ["-ftls-model=global-dynamic", "-ftls-model=initial-exec"] {
        let library = Library::load("late", model);
        let new = Block::new();
        let counter = library.counter;
        for block in [&old, &new] {
            for _ in 0..100 {
                // SAFETY: the block's own counter.
                block.run(|| unsafe { assert_eq!(ptr::replace(counter(), 42), 41) });
                // SAFETY: as above.
                block.run(|| unsafe { assert_eq!(*counter(), 42) });
                block.end();
                block.reset();
            }
        }
    }
}
