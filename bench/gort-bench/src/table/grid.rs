//! Cells in columns: the first to the left, the others to the right.

/// Rows of cells.
#[derive(Debug, Default)]
pub struct Grid(Vec<Vec<String>>);

impl Grid {
    /// Without rows.
    pub fn new() -> Grid {
        Grid::default()
    }

    /// One more row.
    pub fn row(&mut self, cells: Vec<String>) {
        self.0.push(cells);
    }

    /// Each row on a line of its own, after `indent`.
    pub fn text(&self, indent: &str) -> String {
        let columns = self.0.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| self.0.iter().filter_map(|row| row.get(column)).map(|cell| chars(cell)).max();
        let widths: Vec<_> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
        let mut text = String::new();
        for row in &self.0 {
            let mut line = indent.to_owned();
            for (i, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let gap = " ".repeat(width - chars(cell));
                match i {
                    0 => line.extend([cell.as_str(), &gap]),
                    _ => line.extend(["  ", &gap, cell]),
                }
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

fn chars(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut grid = Grid::new();
        grid.row(vec!["".into(), "ns".into(), "µs".into()]);
        grid.row(vec!["gort".into(), "4".into(), "1000".into()]);
        grid.row(vec!["go".into(), "5555".into()]);
        assert_eq!(grid.text(" "), "         ns    µs\n gort     4  1000\n go    5555\n");
    }
}
