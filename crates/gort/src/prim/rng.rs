//! Random numbers for scheduling decisions: victims of stealing, perturbation, jitter.
//!
//! Small and fast, not secret. The same seed gives the same numbers, which is what lets `GORT_SEED` replay a perturbed run.
//!
//! Source: wyrand (Wang Yi, 2019), the generator Go's runtime uses as `cheaprand` on 64-bit; seeds are spread by splitmix64 (Steele, Lea,
//! Flood 2014), so that neighbouring seeds and indices (one per P) give unrelated sequences. `below` is Lemire's multiply-shift (2016).

use crate::sys::raw;

/// A stream of random numbers, owned by whoever draws from it.
#[derive(Clone, Debug)]
pub(crate) struct Rng {
    state: u64,
}

impl Rng {
    /// The `index`th of a family of unrelated streams.
    pub(crate) const fn stream(seed: u64, index: u64) -> Rng {
        Rng { state: splitmix(splitmix(seed) ^ index.wrapping_mul(0xD1B5_4A32_D192_ED03)) }
    }

    #[inline]
    pub(crate) const fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0xA076_1D64_78BD_642F);
        let product = self.state as u128 * (self.state ^ 0xE703_7ED1_A0B4_28DB) as u128;
        (product >> 64) as u64 ^ product as u64
    }

    #[inline]
    pub(crate) const fn next_u32(&mut self) -> u32 {
        (self.next_u64() >> 32) as u32
    }

    /// A number below `bound`, 0 if `bound` is 0. Its bias, at most `bound / 2^32`, does not matter here.
    #[inline]
    pub(crate) const fn below(&mut self, bound: u32) -> u32 {
        ((self.next_u32() as u64 * bound as u64) >> 32) as u32
    }
}

const fn splitmix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A seed that differs from run to run.
pub(crate) fn entropy() -> u64 {
    let mut seed = [0_u8; 8];
    // SAFETY: the kernel writes at most 8 bytes into `seed`.
    let got = unsafe {
        raw::syscall3(libc::SYS_getrandom, seed.as_mut_ptr() as usize, seed.len(), libc::GRND_NONBLOCK as usize)
    };
    match got {
        Ok(8) => u64::from_ne_bytes(seed),
        // Early at boot, or refused: the time and the process will do, nothing here is secret.
        _ => crate::sys::clock::now_ns() ^ ((std::process::id() as u64) << 40),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_replays_and_another_does_not() {
        let draw = |mut rng: Rng| (0..8).map(|_| rng.next_u64()).collect::<Vec<_>>();
        assert_eq!(draw(Rng::stream(7, 0)), draw(Rng::stream(7, 0)));
        assert_ne!(draw(Rng::stream(7, 0)), draw(Rng::stream(8, 0)));
        assert_ne!(draw(Rng::stream(7, 0)), draw(Rng::stream(7, 1)));
    }

    #[test]
    fn below_stays_below_and_reaches_everything_evenly() {
        let mut rng = Rng::stream(1, 0);
        let mut counts = [0_u32; 7];
        for _ in 0..70_000 {
            counts[rng.below(7) as usize] += 1;
        }
        // The seed is fixed, so this either holds for ever or never: ten standard deviations are about 930.
        assert!(counts.iter().all(|&count| (9_000..11_000).contains(&count)), "{counts:?}");
        assert_eq!(rng.below(0), 0);
        assert_eq!(rng.below(1), 0);
    }

    #[test]
    fn neighbouring_seeds_differ_in_about_half_the_bits() {
        for seed in 0..64 {
            let differing = (Rng::stream(seed, 0).next_u64() ^ Rng::stream(seed + 1, 0).next_u64()).count_ones();
            assert!((12..=52).contains(&differing), "seed {seed}: {differing}");
        }
    }

    #[test]
    fn two_runs_get_two_seeds() {
        assert_ne!(entropy(), entropy());
    }
}
