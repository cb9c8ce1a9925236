//! Whether a result is what it must be: a figure for anything else is worthless.

use std::fmt;

/// What is wrong with a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong(String);

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Wrong {}

/// Compares a count.
///
/// # Errors
/// If it is another one.
pub fn expect(what: &str, got: u64, expected: u64) -> Result<(), Wrong> {
    if got == expected { Ok(()) } else { Err(Wrong(format!("{what}: {got} instead of {expected}"))) }
}

/// What came out of a channel, without keeping it: a count, a sum, and a sum of scrambled values. One value lost and another one doubled leave
/// the count; what they do to the one sum they hardly do to the other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    count: u64,
    sum: u64,
    scrambled: u64,
}

impl Tally {
    /// Notes a value.
    pub fn add(&mut self, value: u64) {
        let scrambled = value.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.count += 1;
        self.sum = self.sum.wrapping_add(value);
        self.scrambled = self.scrambled.wrapping_add(scrambled ^ scrambled >> 31);
    }

    /// What several receivers have had.
    pub fn of_all(tallies: impl IntoIterator<Item = Tally>) -> Tally {
        tallies.into_iter().fold(Tally::default(), |a, b| Tally {
            count: a.count + b.count,
            sum: a.sum.wrapping_add(b.sum),
            scrambled: a.scrambled.wrapping_add(b.scrambled),
        })
    }

    /// Whether the values were 0 to `count` - 1, each once, in whatever order.
    ///
    /// # Errors
    /// If not.
    pub fn expect_each_once(self, count: u64) -> Result<(), Wrong> {
        expect("values received", self.count, count)?;
        let mut right = Tally::default();
        (0..count).for_each(|value| right.add(value));
        if self == right { Ok(()) } else { Err(Wrong("values were lost, and others received twice".into())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(values: &[u64]) -> Tally {
        let mut tally = Tally::default();
        values.iter().for_each(|&value| tally.add(value));
        tally
    }

    #[test]
    fn order_and_receiver_do_not_matter() {
        let all = Tally::of_all([tally(&[3, 0]), tally(&[]), tally(&[1, 2])]);
        assert_eq!(all.expect_each_once(4), Ok(()));
    }

    #[test]
    fn what_is_lost_or_doubled_is_found_even_if_the_sum_is_right() {
        assert_eq!(tally(&[0, 1]).expect_each_once(3).unwrap_err().to_string(), "values received: 2 instead of 3");
        let doubled = tally(&[0, 3, 3, 0]);
        assert_eq!(doubled.sum, tally(&[0, 1, 2, 3]).sum);
        assert!(doubled.expect_each_once(4).unwrap_err().to_string().contains("twice"));
    }
}
