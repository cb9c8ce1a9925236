use super::*;
use crate::sys::identity::tests::{alone, identity};
use std::ptr;

fn many(class: u8, count: usize) -> Vec<Stack> {
    (0..count).map(|_| take(class, Some(identity())).unwrap()).collect()
}

#[test]
fn twenty_thousand_stacks_are_distinct_usable_and_come_back() {
    let stacks = many(2, 20_000);
    let mut bases: Vec<_> = stacks.iter().map(|stack| stack.base()).collect();
    bases.sort_unstable();
    bases.dedup();
    assert_eq!(bases.len(), stacks.len());
    for stack in &stacks {
        let top = stack.frames_top();
        assert!(top.is_multiple_of(16) && top > stack.limit() && top < stack.tp());
        // SAFETY: the first and the second word of the stack's frames.
        unsafe {
            ((top - 8) as *mut usize).write(stack.tp());
            assert_eq!(((stack.tp()) as *const usize).read(), stack.tp());
        }
    }
    give_back(&stacks);
    assert!(stats().slots_free >= 20_000);
    assert_eq!(take(2, Some(identity())).unwrap(), *stacks.last().unwrap());
    give_back(&stacks[stacks.len() - 1..]);
}

#[test]
fn find_tells_guard_frames_block_and_footer_from_what_is_no_slot() {
    for class in [0, 1, 2, 4, 14] {
        let stack = take(class, Some(identity())).unwrap();
        let marker = std::ptr::from_ref(&class).cast();
        stack.footer().set_goroutine(marker);
        let top = stack.base() + stack.size();
        for (address, guard) in [
            (stack.base(), true),
            (stack.limit() - 1, true),
            (stack.limit(), false),
            (stack.frames_top(), false),
            (stack.tp(), false),
            (top - 1, false),
        ] {
            let place = find(address).unwrap();
            assert_eq!((place.size, place.guard), (stack.size(), guard));
            assert!(ptr::eq(place.footer, stack.footer()));
            assert_eq!(place.footer.goroutine(), marker);
        }
        give_back(&[stack]);
    }
    let local = 0;
    assert!(find(std::ptr::from_ref(&local) as usize).is_none());
    assert!(
        find(0).is_none()
            && find(usize::MAX).is_none()
            && find(find_tells_guard_frames_block_and_footer_from_what_is_no_slot as *const () as usize).is_none()
    );
    // The part of a reservation that is not yet cut belongs to nobody.
    let state = CLASS[4].lock();
    assert!(find(state.end - 1).is_none());
}

#[test]
fn threads_that_take_and_give_back_at_once_never_share_a_stack() {
    std::thread::scope(|scope| {
        for thread in 1..=4_usize {
            scope.spawn(move || {
                for round in 0..2000 {
                    let mut out = [MaybeUninit::uninit(); 8];
                    let count = take_batch(1, Some(identity()), &mut out[..1 + round % 8]);
                    assert!(count > 0);
                    // SAFETY: so many are written.
                    let stacks = unsafe { out[..count].assume_init_ref() };
                    for stack in stacks {
                        stack.footer().set_goroutine(ptr::without_provenance(thread));
                    }
                    std::thread::yield_now();
                    for stack in stacks {
                        assert_eq!(stack.footer().goroutine() as usize, thread);
                    }
                    give_back(stacks);
                }
            });
        }
    });
}

/// Takes stacks until there are no more, and gives how many there were and the error.
fn exhaust(class: u8) -> (usize, io::Error) {
    (0..).find_map(|count| take(class, Some(identity())).err().map(|error| (count, error))).unwrap()
}

#[test]
fn a_limit_on_address_space_is_used_up_in_smaller_pieces_and_then_named() {
    if alone(module_path!(), "a_limit_on_address_space_is_used_up_in_smaller_pieces_and_then_named") {
        return;
    }
    identity();
    let used: usize = std::fs::read_to_string("/proc/self/statm").unwrap().split(' ').next().unwrap().parse().unwrap();
    let limit = libc::rlimit { rlim_cur: (used as u64 * 4096) + (100 << 20), rlim_max: libc::RLIM_INFINITY };
    // SAFETY: limits this process, which exists for this test.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
    let (count, error) = exhaust(4);
    assert!((20..=100).contains(&count), "stacks of 1 MiB in 100 MiB: {count}");
    assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
    let text = error.to_string();
    assert!(text.starts_with("no stack of 1024 KiB for a goroutine: the address space of this process"), "{text}");
    assert!(text.contains("RLIMIT_AS"), "{text}");
    // What stacks have left: mapped at once, so that the answer does not depend on what `malloc` has in store.
    let left = stackmem::reserve(stackmem::HEADROOM / 8 * 7, stackmem::PAGE)
        .expect("the rest of the process has its headroom");
    stackmem::release(left, stackmem::HEADROOM / 8 * 7);
    // SAFETY: as above.
    unsafe { libc::setrlimit(libc::RLIMIT_AS, &libc::rlimit { rlim_cur: libc::RLIM_INFINITY, ..limit }) };
    take(4, Some(identity())).unwrap();
}

#[test]
fn guards_that_cost_memory_maps_stop_well_before_the_process_has_none_left() {
    if alone(module_path!(), "guards_that_cost_memory_maps_stop_well_before_the_process_has_none_left") {
        return;
    }
    stackmem::force_mapped_guards();
    let (count, error) = exhaust(0);
    assert_eq!(count, stackmem::max_map_count() / 8 * 3);
    assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
    assert!(error.to_string().contains("vm.max_map_count"), "{error}");
    // The rest of the process goes on.
    std::thread::spawn(|| vec![0_u8; 64 << 20].len()).join().unwrap();
}

#[test]
fn thousands_of_default_stacks_take_few_memory_maps_and_two_pages_each() {
    if alone(module_path!(), "thousands_of_default_stacks_take_few_memory_maps_and_two_pages_each") {
        return;
    }
    if stackmem::guards() == Guards::Mapped {
        return;
    }
    let number = |file: &str, name: &str| -> usize {
        let text = std::fs::read_to_string(file).unwrap();
        text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok()).unwrap()
    };
    identity();
    let before = number("/proc/self/status", "RssAnon:");
    let count = 20_000;
    let stacks = many(2, count);
    for stack in &stacks {
        // SAFETY: the first frames of a stack that nobody uses.
        unsafe { ((stack.frames_top() - 1024) as *mut u64).write(1) };
    }
    let each = (number("/proc/self/status", "RssAnon:") - before) * 1024 / count;
    assert!((8192..8192 + 700).contains(&each), "{each} bytes each");
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap().lines().count();
    assert!(maps < 100, "{maps} memory maps");
}
