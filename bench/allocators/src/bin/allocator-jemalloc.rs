//! See the library.

use gort_bench_allocators::Either;
use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Either<Jemalloc> = Either::new(Jemalloc);

fn main() -> std::process::ExitCode {
    gort_bench_allocators::run()
}
