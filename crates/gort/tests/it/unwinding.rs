//! Walks of the stack at each instruction of a park, as the signal handler of a profiler makes them whenever it comes.
//!
//! Compiled code has exact rules for every instruction; the assembly of a switch has those that are written there. A rule that is wrong for the
//! length of one instruction leads the walk anywhere: it ends too early, or reads what is no memory.
//!
//! The same steps tell whether the scheduler keeps its rule as it was compiled: between leaving one goroutine and entering the next the thread pointer
//! is a goroutine's that does not run here, so no instruction may reach for a thread-local, which goes by the segment `fs`.

use std::ffi::{c_int, c_void};
use std::process::Command;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};

unsafe extern "C" {
    fn _Unwind_Backtrace(frame: extern "C" fn(*mut c_void, *mut c_void) -> c_int, walk: *mut c_void) -> c_int;
    fn _Unwind_GetIP(frame: *mut c_void) -> usize;
    fn _Unwind_FindEnclosingFunction(ip: *mut c_void) -> *mut c_void;
}

const END_OF_STACK: c_int = 5;
const TRAP_FLAG: i64 = 0x100;
/// Signals until the flag is cleared, wherever the thread is by then: an unoptimized build walks slowly, and looks for work in many instructions.
const STEPS: usize = 20_000;
const MOST_FRAMES: usize = 200;
/// Not `GORT_…`: the runtime would call it unknown.
const CHILD: &str = "UNWINDING_TEST";

static STEPS_LEFT: AtomicUsize = AtomicUsize::new(STEPS);
static STEPPING: AtomicBool = AtomicBool::new(false);
/// The functions beneath all others: of a goroutine, of a thread. Where walks may end.
static OUTERMOST: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];
/// How many walks have ended there.
static ENDED: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];
/// How many have not, and the place of the first.
static LOST: AtomicUsize = AtomicUsize::new(0);
static LOST_AT: AtomicUsize = AtomicUsize::new(0);

/// The thread pointer of the thread that is stepped, and an address on its own stack.
static OF_THREAD: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];
/// Steps on that stack while the thread pointer was another, how many of them were about to use it, and the place of the first.
static IN_WINDOW: AtomicUsize = AtomicUsize::new(0);
static REACHING: AtomicUsize = AtomicUsize::new(0);
static REACHING_AT: AtomicUsize = AtomicUsize::new(0);

#[derive(Default)]
struct Walk {
    frames: usize,
    last_ip: usize,
}

extern "C" fn frame(context: *mut c_void, walk: *mut c_void) -> c_int {
    // SAFETY: the unwinder passes on what `outermost` gave it.
    let walk = unsafe { &mut *walk.cast::<Walk>() };
    // SAFETY: the unwinder's own record of a frame.
    let ip = unsafe { _Unwind_GetIP(context) };
    walk.frames += 1;
    if ip != 0 {
        walk.last_ip = ip;
    }
    c_int::from(walk.frames > MOST_FRAMES)
}

/// The beginning of the function with a rule for the byte before `ip`; 0 if there is none.
fn function_at(ip: usize) -> usize {
    // SAFETY: looks it up.
    unsafe { _Unwind_FindEnclosingFunction(ip as *mut c_void) as usize }
}

/// Walks to the end and says which function is there. 0: the walk has lost its way.
#[inline(never)]
fn outermost() -> usize {
    let mut walk = Walk::default();
    // SAFETY: the function fits what it is given.
    match unsafe { _Unwind_Backtrace(frame, (&raw mut walk).cast()) } {
        END_OF_STACK => function_at(walk.last_ip),
        _ => 0,
    }
}

#[inline(always)]
fn thread_pointer() -> usize {
    let own;
    // SAFETY: the header's first word is its own address.
    unsafe { std::arch::asm!("mov {}, fs:[0]", out(reg) own, options(nostack, readonly, preserves_flags)) };
    own
}

/// Whether the instruction at `ip` uses the segment `fs`: it has that prefix, before or behind others.
fn uses_fs(ip: usize) -> bool {
    const OTHERS: [u8; 9] = [0x66, 0x67, 0xf2, 0xf3, 0x2e, 0x36, 0x3e, 0x26, 0xf0];
    // SAFETY: an instruction that is about to be executed, and ends with another byte than a prefix.
    let mut bytes = (0..15).map(|at| unsafe { *(ip as *const u8).add(at) });
    bytes.find(|byte| !OTHERS.contains(byte)) == Some(0x64)
}

/// Looks at one instruction of the scheduler's window.
fn look(ip: usize, rsp: usize) {
    let [tp, stack] = OF_THREAD.each_ref().map(|it| it.load(SeqCst));
    // The handler has the thread pointer of what it has interrupted.
    if tp == 0 || thread_pointer() == tp || rsp.abs_diff(stack) > 64 << 10 {
        return;
    }
    IN_WINDOW.fetch_add(1, SeqCst);
    if uses_fs(ip) && REACHING.fetch_add(1, SeqCst) == 0 {
        REACHING_AT.store(ip, SeqCst);
    }
}

extern "C" fn step(_: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel's record of what was interrupted.
    let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    let left = STEPS_LEFT.load(SeqCst);
    if left == 0 || !STEPPING.load(SeqCst) {
        registers[libc::REG_EFL as usize] &= !TRAP_FLAG;
        return;
    }
    // Only one thread has the flag.
    STEPS_LEFT.store(left - 1, SeqCst);
    let [ip, rsp] = [libc::REG_RIP, libc::REG_RSP].map(|register| registers[register as usize] as usize);
    look(ip, rsp);
    let end = outermost();
    match OUTERMOST.iter().position(|it| it.load(SeqCst) == end) {
        Some(which) => _ = ENDED[which].fetch_add(1, SeqCst),
        // What the linker has put between (calls of memset, say, go by stubs) has no rules, and walks end there at once.
        None if function_at(ip + 1) == 0 => {}
        None => {
            if LOST.fetch_add(1, SeqCst) == 0 {
                LOST_AT.store(ip, SeqCst);
            }
        }
    }
}

/// From here on each instruction of this thread's is followed by a signal.
#[inline(always)]
fn begin() {
    STEPPING.store(true, SeqCst);
    // SAFETY: sets one flag of the processor's; `step` clears it.
    unsafe { std::arch::asm!("pushfq", "or qword ptr [rsp], 0x100", "popfq", "nop") };
}

fn play() {
    // SAFETY: all zero is a valid `sigaction`; the handler does what such handlers do.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = step as extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
        assert_eq!(libc::sigaction(libc::SIGTRAP, &raw const action, std::ptr::null_mut()), 0);
    }
    // Room for the handler's frames.
    let start = |body: fn()| gort::Builder::new().stack_size(1 << 20).spawn(body).unwrap();
    start(|| OUTERMOST[0].store(outermost(), SeqCst)).join().unwrap();
    std::thread::spawn(|| OUTERMOST[1].store(outermost(), SeqCst)).join().unwrap();
    let [goroutine, thread] = [&OUTERMOST[0], &OUTERMOST[1]].map(|it| it.load(SeqCst));
    assert!(goroutine != 0 && thread != 0 && goroutine != thread);
    static OVER: AtomicBool = AtomicBool::new(false);
    let other = start(|| {
        while !OVER.load(SeqCst) {
            gort::yield_now();
        }
    });
    let stepped = start(|| {
        gort::host(|| {
            let local = 0_u8;
            OF_THREAD[0].store(thread_pointer(), SeqCst);
            OF_THREAD[1].store(&raw const local as usize, SeqCst);
        });
        // Once without, so that nothing is done for the first time.
        for is_stepped in [false, true] {
            if is_stepped {
                begin();
            }
            gort::yield_now();
            gort::go(|| ()).join().unwrap();
            gort::host(|| ());
            gort::with_stack(256 << 10, || ());
            STEPPING.store(false, SeqCst);
        }
        OVER.store(true, SeqCst);
    });
    stepped.join().unwrap();
    other.join().unwrap();
    let ended = ENDED.each_ref().map(|count| count.load(SeqCst));
    let [lost, window, reaching] = [&LOST, &IN_WINDOW, &REACHING].map(|count| count.load(SeqCst));
    println!(
        "{ended:?} walks ended where they should, {lost} did not; {reaching} of {window} steps in between reached for a thread-local"
    );
    assert_eq!(lost, 0, "the first at {}", place(&LOST_AT));
    assert!(ended.iter().all(|&count| count >= 50), "{ended:?}: of goroutines and of threads");
    assert_eq!(reaching, 0, "the first at {}", place(&REACHING_AT));
    // In bound mode nobody changes the thread pointer.
    let is_migrating = gort::runtime::mode() == gort::runtime::Mode::Migrating;
    assert_eq!(window > 50, is_migrating, "{window} steps in between");
}

/// A place in the code, as a debugger wants it.
fn place(at: &AtomicUsize) -> String {
    let at = at.load(SeqCst);
    format!(
        "{at:#x}, {} bytes into its function ({:#x} before `outermost`)",
        at - function_at(at + 1),
        (outermost as *const () as usize).wrapping_sub(at)
    )
}

/// How this program was started, up to its own arguments: by a dynamic loader that was named, perhaps (`cargo xtask libcs`).
fn this_program() -> Vec<String> {
    let line = std::fs::read_to_string("/proc/self/cmdline").unwrap();
    let words: Vec<&str> = line.split('\0').collect();
    let name = std::env::args().next().unwrap();
    let at = words.iter().position(|word| **word == name).unwrap();
    words[..=at].iter().map(|&word| word.to_owned()).collect()
}

/// A park, a call as the thread and one on another stack, instruction by instruction: every walk ends where the goroutine or the thread begins, and what
/// runs between two goroutines touches no thread-local.
#[test]
fn the_stack_can_be_walked_at_each_instruction_of_a_park() {
    if std::env::var_os(CHILD).is_some() {
        return play();
    }
    let mut this = this_program();
    let output = Command::new(this.remove(0))
        .args(this)
        .args(["--exact", "--nocapture", "unwinding::the_stack_can_be_walked_at_each_instruction_of_a_park"])
        .env(CHILD, "1")
        // One thread, which keeps the flag: whoever is resumed elsewhere is not stepped any more.
        .envs([("GORT_MAXPROCS", "1"), ("GORT_RETAKE", "off")])
        .env_remove("GORT_PERTURB")
        .output()
        .unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains("1 passed"), "{:?}\n{text}", output.status);
    println!("{text}");
}
