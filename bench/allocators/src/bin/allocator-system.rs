//! See the library.

use gort_bench_allocators::Either;
use std::alloc::System;

#[global_allocator]
static ALLOCATOR: Either<System> = Either::new(System);

fn main() -> std::process::ExitCode {
    gort_bench_allocators::run()
}
