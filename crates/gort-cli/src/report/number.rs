//! Numbers as people read them.

use std::time::Duration;

/// Thousands set apart: `1,234,567`.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number and what it counts: `1 connection`, `2,000 connections`.
pub fn counted(n: u64, what: &str) -> String {
    format!("{} {what}{}", grouped(n), if n == 1 { "" } else { "s" })
}

/// Three digits and a unit: `13.1 KB`, in steps of a thousand.
pub fn bytes(n: f64) -> String {
    scaled(n, 1000.0, &["bytes", "KB", "MB", "GB", "TB"])
}

/// Three digits and a unit: `950 µs`.
pub fn latency(time: Duration) -> String {
    let ns = time.as_nanos() as f64;
    if ns < 1e3 { format!("{ns:.0} ns") } else { scaled(ns / 1e3, 1000.0, &["µs", "ms", "s"]) }
}

/// Digits that matter: three, without a point from 100 on.
pub fn digits(n: f64) -> String {
    // The bounds are where rounding would add a digit.
    match n.abs() {
        x if x < 9.995 => format!("{n:.2}"),
        x if x < 99.95 => format!("{n:.1}"),
        _ => grouped(n.round().max(0.0) as u64),
    }
}

fn scaled(mut n: f64, step: f64, units: &[&str]) -> String {
    let mut unit = 0;
    while n >= step - 0.5 && unit + 1 < units.len() {
        n /= step;
        unit += 1;
    }
    if unit == 0 && n.fract() == 0.0 {
        format!("{n:.0} {}", units[0])
    } else {
        format!("{} {}", digits(n), units[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        for (n, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(n), text);
        }
    }

    #[test]
    fn three_digits_and_the_right_unit() {
        assert_eq!(bytes(64.0), "64 bytes");
        assert_eq!(bytes(13_104.0), "13.1 KB");
        assert_eq!(bytes(999_700.0), "1.00 MB");
        assert_eq!(latency(Duration::from_nanos(850)), "850 ns");
        assert_eq!(latency(Duration::from_nanos(12_345)), "12.3 µs");
        assert_eq!(latency(Duration::from_micros(950)), "950 µs");
        assert_eq!(latency(Duration::from_micros(1_234)), "1.23 ms");
        assert_eq!(latency(Duration::from_secs(12)), "12.0 s");
        assert_eq!(digits(9.996), "10.0");
    }
}
