//! Bars in a terminal, at most 80 columns wide.

use std::time::Duration;

use crate::load::Latencies;
use crate::out::Looks;

use super::number::grouped;

const BAR: usize = 28;
const ROWS: usize = 12;

/// Ways to divide a decade so that the edges are numbers people know (preferred numbers: 1-2-5, E6, E12, E24), coarse to fine.
const SERIES: [&[u64]; 5] = [
    &[10],
    &[10, 20, 50],
    &[10, 15, 22, 33, 47, 68],
    &[10, 12, 15, 18, 22, 27, 33, 39, 47, 56, 68, 82],
    &[10, 11, 12, 13, 15, 16, 18, 20, 22, 24, 27, 30, 33, 36, 39, 43, 47, 51, 56, 62, 68, 75, 82, 91],
];

/// How many requests took how long: the finest division that fits the rows, with the fastest hundredth and the slowest thousandth
/// gathered at the ends (under full load a few lucky requests are faster by orders of magnitude, and nobody asks about them).
pub fn histogram(latencies: &Latencies, looks: Looks) -> String {
    let (Some(low), Some(high), Some(max)) = (latencies.quantile(0.01), latencies.quantile(0.999), latencies.max())
    else {
        return String::new();
    };
    let all = latencies.count();
    let edges = edges(low, high);
    let (first, last) = (edges[0], edges[edges.len() - 1]);
    let mut rows = vec![(format!("under {}", time(first)), 0, Duration::ZERO, first)];
    rows.extend(edges.windows(2).map(|pair| (range(pair[0], pair[1], looks), 0, pair[0], pair[1])));
    rows.push((format!("{} and more", time(last)), 0, last, Duration::MAX));
    for (latency, count) in latencies.each() {
        if let Some(row) = rows.iter_mut().find(|row| latency < row.3) {
            row.1 += count;
        }
    }
    // The ends are only shown if something is there.
    rows.retain(|&(_, count, from, to)| count > 0 || (from != Duration::ZERO && to != Duration::MAX));

    let most = rows.iter().map(|row| row.1).max().unwrap_or(1).max(1);
    let marks =
        [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)].map(|(name, q)| (name, latencies.quantile(q)));
    let mut text = format!("  {}\n", looks.bold(&format!("latency of {} requests", grouped(all))));
    for (label, count, from, to) in rows {
        let bar = looks.bar(&bar(count as f64 / most as f64, looks));
        let gap = " ".repeat(BAR - width(count as f64 / most as f64));
        let here = |at: Option<Duration>| at.is_some_and(|at| from <= at && at < to);
        let mut names: Vec<&str> = marks.iter().filter(|(_, at)| here(*at)).map(|(name, _)| *name).collect();
        if here(Some(max)) {
            names.push("max");
        }
        let line = format!("  {label:>17}  {bar}{gap} {}  {}", share(count, all), looks.dim(&names.join(" ")));
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// One bar for each name, to scale from zero.
pub fn bars(title: &str, values: &[(&str, f64, String)], looks: Looks) -> String {
    let most = values.iter().map(|value| value.1).fold(0.0, f64::max);
    let mut text = format!("  {}\n", looks.bold(title));
    for (name, value, words) in values {
        let share = if most > 0.0 { value / most } else { 0.0 };
        text.push_str(&format!("  {name:>17}  {} {words}\n", looks.bar(&bar(share, looks))));
    }
    text
}

/// Edges of the finest division that covers `low` to `high` in at most `ROWS` rows.
fn edges(low: Duration, high: Duration) -> Vec<Duration> {
    let (low, high) = (low.as_nanos() as u64, high.as_nanos() as u64);
    let cover = |series: &[u64]| {
        let all: Vec<u64> = (0..14).flat_map(|power| series.iter().map(move |m| m * 10_u64.pow(power))).collect();
        let from = all.iter().rposition(|&edge| edge <= low).unwrap_or(0);
        let to = all.iter().position(|&edge| edge > high).unwrap_or(all.len() - 1).max(from + 1);
        all[from..=to].to_vec()
    };
    let fits = SERIES.iter().rev().map(|series| cover(series)).find(|edges| edges.len() <= ROWS + 1);
    fits.unwrap_or_else(|| cover(SERIES[0])).into_iter().map(Duration::from_nanos).collect()
}

fn unit(time: Duration) -> (f64, &'static str) {
    match time.as_nanos() {
        0..1_000 => (1.0, "ns"),
        1_000..1_000_000 => (1e3, "µs"),
        1_000_000..1_000_000_000 => (1e6, "ms"),
        _ => (1e9, "s"),
    }
}

/// An edge has two digits that matter, so the shortest decimal is exact.
fn time(time: Duration) -> String {
    let (scale, unit) = unit(time);
    format!("{} {unit}", time.as_nanos() as f64 / scale)
}

fn range(from: Duration, to: Duration, looks: Looks) -> String {
    let dash = if looks.blocks { "–" } else { "-" };
    let (scale, from_unit) = unit(from);
    let from_number = from.as_nanos() as f64 / scale;
    if from_unit == unit(to).1 {
        format!("{from_number} {dash} {}", time(to))
    } else {
        format!("{from_number} {from_unit} {dash} {}", time(to))
    }
}

fn share(count: u64, all: u64) -> String {
    let percent = count as f64 * 100.0 / all as f64;
    if count > 0 && percent < 0.05 { " <0.1 %".into() } else { format!("{percent:>5.1} %") }
}

/// Eighths of a column.
fn eighths(share: f64) -> usize {
    let eighths = (share.clamp(0.0, 1.0) * (BAR * 8) as f64).round() as usize;
    if share > 0.0 { eighths.max(1) } else { 0 }
}

/// Columns taken.
fn width(share: f64) -> usize {
    eighths(share).div_ceil(8)
}

fn bar(share: f64, looks: Looks) -> String {
    if !looks.blocks {
        return "#".repeat(width(share));
    }
    let eighths = eighths(share);
    let mut bar = "█".repeat(eighths / 8);
    bar.extend(["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"].get(eighths % 8).copied());
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(times_us: impl IntoIterator<Item = u64>) -> Latencies {
        let mut latencies = Latencies::new();
        times_us.into_iter().for_each(|us| latencies.record(Duration::from_micros(us)));
        latencies
    }

    const BLOCKS: Looks = Looks { colour: false, blocks: true };

    #[test]
    fn a_chart_is_readable_at_80_columns_and_accounts_for_every_request() {
        let wide = (0..3000).map(|i| 10 + i * i / 50);
        let narrow = (0..5000).map(|i| 20_000 + i % 900);
        let lonely = [1_u64];
        for times in [wide.collect::<Vec<_>>(), narrow.collect(), lonely.to_vec(), vec![3, 500_000_000]] {
            for looks in [BLOCKS, Looks::PLAIN] {
                let text = histogram(&some(times.clone()), looks);
                assert!(text.lines().count() <= ROWS + 4, "{text}");
                assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
                assert!(text.contains("p50") && text.contains("max"), "{text}");
                let percents: f64 = text
                    .lines()
                    .filter_map(|line| line.split(" %").next()?.rsplit(' ').next()?.parse::<f64>().ok())
                    .sum();
                assert!((percents - 100.0).abs() < 1.0, "{percents} % in {text}");
            }
        }
    }

    #[test]
    fn plain_looks_are_ascii_but_for_units() {
        let text = histogram(&some(1..1000), Looks::PLAIN);
        assert!(text.chars().all(|c| c.is_ascii() || c == 'µ'), "{text}");
        assert!(text.contains('#'));
    }

    #[test]
    fn no_requests_no_chart() {
        assert_eq!(histogram(&Latencies::new(), Looks::PLAIN), "");
    }

    #[test]
    fn bars_are_to_scale() {
        let text = bars("p99", &[("gort", 10.0, "10 ms".into()), ("threads", 20.0, "20 ms".into())], BLOCKS);
        let length = |name: &str| text.lines().find(|l| l.contains(name)).unwrap().matches('█').count();
        assert_eq!(length("threads"), BAR);
        assert_eq!(length("gort"), BAR / 2);
    }
}
