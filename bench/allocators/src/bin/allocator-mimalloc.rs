//! See the library.

use gort_bench_allocators::Either;
use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: Either<MiMalloc> = Either::new(MiMalloc);

fn main() -> std::process::ExitCode {
    gort_bench_allocators::run()
}
