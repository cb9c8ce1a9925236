//! Small tools that everything above uses and that know nothing of goroutines.

pub(crate) mod late;
pub(crate) mod lock;
pub(crate) mod rng;
pub(crate) mod word;
