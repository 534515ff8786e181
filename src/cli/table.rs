//! Tables for people: aligned, and no wider than what stands in them.

use serde_json::Value;

const GAP: &str = "  ";

/// A table that is printed page by page.
#[derive(Debug)]
pub struct Table {
    head: Vec<&'static str>,
    widths: Vec<usize>,
    headed: bool,
}

impl Table {
    /// One with these columns.
    pub fn new(head: &[&'static str]) -> Self {
        Self { head: head.to_vec(), widths: head.iter().map(|name| name.len()).collect(), headed: false }
    }

    /// The next rows as text, below the head if they are the first.
    pub fn page(&mut self, rows: &[Vec<String>]) -> String {
        let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| plain(cell)).collect()).collect();
        for row in &rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = String::new();
        if !std::mem::replace(&mut self.headed, true) {
            let head: Vec<String> = self.head.iter().map(|name| (*name).to_owned()).collect();
            self.line(&mut text, &head);
        }
        for row in &rows {
            self.line(&mut text, row);
        }
        text
    }

    fn line(&self, text: &mut String, row: &[String]) {
        let cells: Vec<String> = row.iter().zip(&self.widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join(GAP).trim_end());
        text.push('\n');
    }
}

/// What strangers wrote must not steer a terminal.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// A value of a JSON object as a cell; a dash where there is none.
pub fn cell(row: &Value, name: &str) -> String {
    match &row[name] {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Names and values below each other.
pub fn facts(facts: &[(&str, String)]) -> String {
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    facts.iter().map(|(name, value)| format!("{name:<width$}{GAP}{}\n", plain(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_stands_in_them() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let mut table = Table::new(&["ID", "STATE", "LAST"]);
        let first = table.page(&[row(["1", "dead", "500"]), row(["2", "delivered", "-"])]);
        assert_eq!(first, "ID  STATE      LAST\n1   dead       500\n2   delivered  -\n");
        assert_eq!(table.page(&[row(["3", "x", "é\u{1b}[31m"])]), "3   x          é\u{fffd}[31m\n");
    }
}
