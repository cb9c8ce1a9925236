//! Tools that run a program with a picture of its threads of their own: valgrind, the sanitizers.
//!
//! They keep a table of threads by thread pointer or by kernel thread, and would take a goroutine that moves for memory gone wild; valgrind (3.19)
//! does not know the instructions for the thread pointer at all. So their presence is asked for before the first of these instructions.
//!
//! Valgrind also has to be told which memory is a stack, or it takes a switch for a frame of megabytes.

use std::arch::asm;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

const RUNNING_ON_VALGRIND: usize = 0x1001;
const STACK_REGISTER: usize = 0x1501;

/// Asks valgrind for something: a sequence of instructions that changes nothing, which it looks for. 0 where there is no valgrind.
fn request(number: usize, first: usize, second: usize) -> usize {
    let arguments = [number, first, second, 0, 0, 0];
    let mut answer = 0_usize;
    // SAFETY: rotates a register by 128 bits in all and exchanges another with itself. Valgrind reads the six words.
    unsafe {
        asm!(
            "rol rdi, 3",
            "rol rdi, 13",
            "rol rdi, 61",
            "rol rdi, 51",
            "xchg rbx, rbx",
            in("rax") &raw const arguments,
            inout("rdx") answer,
            inout("rdi") 0 => _,
            options(nostack),
        );
    }
    answer
}

/// True if this runs under valgrind.
pub(crate) fn has_valgrind() -> bool {
    static ANSWER: AtomicU8 = AtomicU8::new(u8::MAX);
    // Relaxed: a constant, asked for again where it is not seen yet.
    let mut answer = ANSWER.load(Relaxed);
    if answer == u8::MAX {
        answer = u8::from(request(RUNNING_ON_VALGRIND, 0, 0) > 0);
        // Relaxed: as above.
        ANSWER.store(answer, Relaxed);
    }
    answer == 1
}

/// Tells valgrind, if this runs under it, that there is a stack from `low` to `high`.
pub(crate) fn announce_stack(low: usize, high: usize) {
    if has_valgrind() {
        request(STACK_REGISTER, low, high - 1);
    }
}

/// The address of a function, 0 if no object of the program has it: a weak reference. (`dlsym` does not see what an executable keeps to itself, as
/// it does with the sanitizers that are linked into it.)
macro_rules! address_if_linked {
    ($name:literal) => {{
        let address: usize;
        // SAFETY: reads the reference, which the linker or the loader has filled in.
        unsafe {
            std::arch::asm!(
                concat!(".weak ", $name),
                concat!("mov {}, qword ptr [rip + ", $name, "@GOTPCREL]"),
                out(reg) address,
                options(nostack, preserves_flags, readonly),
            );
        }
        address
    }};
}

pub(crate) use address_if_linked;

/// The tool that is in the way of goroutines with thread blocks of their own, if there is one.
pub(crate) fn present() -> Option<&'static str> {
    if has_valgrind() {
        return Some("the program runs under valgrind");
    }
    [
        (address_if_linked!("__asan_init"), "the program is built with AddressSanitizer"),
        (address_if_linked!("__tsan_init"), "the program is built with ThreadSanitizer"),
        (address_if_linked!("__msan_init"), "the program is built with MemorySanitizer"),
        (address_if_linked!("__hwasan_init"), "the program is built with HWAddressSanitizer"),
    ]
    .into_iter()
    .find_map(|(address, what)| (address != 0).then_some(what))
}

#[cfg(test)]
mod tests {
    #[test]
    fn without_valgrind_nobody_answers() {
        // The tests themselves do not run under it.
        assert!(!super::has_valgrind());
        super::announce_stack(4096, 8192);
    }

    #[test]
    fn a_weak_reference_finds_what_is_there_and_nothing_else() {
        assert_eq!(address_if_linked!("malloc"), libc::malloc as *const () as usize);
        assert_eq!(address_if_linked!("a_function_that_nobody_has_written"), 0);
    }
}
