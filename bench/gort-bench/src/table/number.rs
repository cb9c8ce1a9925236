//! Numbers for people: three digits that mean something.

/// A figure.
pub fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => thousands(value),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 || size == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

/// A ratio: two digits after the point, more where there would be none left.
pub fn ratio(value: f64) -> String {
    if value < 0.1 { format!("{value:.4}") } else { format!("{value:.2}") }
}

fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 { format!("-{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_keep_three_digits() {
        let told: Vec<_> = [0.0, 0.012, 0.5, 3.178, 63.14, 312.9, 999.9, 9239.8, 182_345.0, 1_000_000.0]
            .into_iter()
            .map(number)
            .collect();
        assert_eq!(told, ["0.00", "0.0120", "0.50", "3.18", "63.1", "313", "1000", "9,240", "182,345", "1,000,000"]);
    }

    #[test]
    fn small_ratios_do_not_become_nothing() {
        assert_eq!([ratio(1.0), ratio(0.17), ratio(0.0021)], ["1.00", "0.17", "0.0021"]);
    }
}
