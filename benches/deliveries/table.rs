//! What was measured, as tables.

use std::fmt::Write;

/// What stands in a column, and how many digits of it after the point.
pub type Column = (&'static str, usize);

/// Measurements of one kind: each row was measured in every round.
pub struct Table {
    title: &'static str,
    columns: &'static [Column],
    rows: Vec<Row>,
}

struct Row {
    name: String,
    /// One list for each round.
    values: Vec<Vec<f64>>,
}

impl Table {
    pub fn new(title: &'static str, columns: &'static [Column]) -> Self {
        Self { title, columns, rows: Vec::new() }
    }

    /// Adds what one round gave for a row: a value for each column, NaN for none.
    pub fn add(&mut self, name: String, values: Vec<f64>) {
        let shown = self.columns.iter().zip(&values).filter(|(_, value)| !value.is_nan());
        let shown: Vec<String> = shown.map(|((column, digits), value)| format!("{column} {value:.digits$}")).collect();
        eprintln!("{name}: {}", shown.join(", "));
        match self.rows.iter_mut().find(|row| row.name == name) {
            Some(row) => row.values.push(values),
            None => self.rows.push(Row { name, values: vec![values] }),
        }
    }

    /// The median of a row's values in a column.
    pub fn median(&self, name: &str, column: usize) -> Option<f64> {
        let row = self.rows.iter().find(|row| row.name == name)?;
        Some(median(&row.sorted(column)))
    }

    /// In Markdown: medians, with the least and the most where there was more than one round. Nothing if there is no row.
    pub fn render(&self) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let mut text = format!("\n## {}\n\n|", self.title);
        for (column, _) in self.columns {
            // A String takes every character.
            let _ = write!(text, " | {column}");
        }
        text += " |\n|---";
        text += &"|---".repeat(self.columns.len());
        text += "|\n";
        for row in &self.rows {
            let _ = write!(text, "| {}", row.name);
            for (column, (_, digits)) in self.columns.iter().enumerate() {
                text += " | ";
                text += &cell(&row.sorted(column), *digits);
            }
            text += " |\n";
        }
        text
    }
}

impl Row {
    fn sorted(&self, column: usize) -> Vec<f64> {
        let mut values: Vec<f64> = self.values.iter().map(|values| values[column]).filter(|v| !v.is_nan()).collect();
        values.sort_by(f64::total_cmp);
        values
    }
}

fn cell(sorted: &[f64], digits: usize) -> String {
    match sorted {
        [] => String::new(),
        [only] => format!("{only:.digits$}"),
        [least, .., most] => format!("{:.digits$} [{least:.digits$}, {most:.digits$}]", median(sorted)),
    }
}

/// Of sorted values.
fn median(values: &[f64]) -> f64 {
    match (values, values.len() / 2) {
        ([], _) => f64::NAN,
        (_, middle) if values.len() % 2 == 1 => values[middle],
        (_, middle) => f64::midpoint(values[middle - 1], values[middle]),
    }
}
