//! See the library.

use gort_bench_allocators::Either;
use snmalloc_rs::SnMalloc;

#[global_allocator]
static ALLOCATOR: Either<SnMalloc> = Either::new(SnMalloc);

fn main() -> std::process::ExitCode {
    gort_bench_allocators::run()
}
