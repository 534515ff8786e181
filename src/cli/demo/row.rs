//! The demo's table: no line is longer than a terminal of 80 columns is wide.

use std::fmt;

/// What the columns are.
pub const HEAD: &str = "    what happens                   verdict    answer                 app saw it\n";

/// What came of one thing that happens.
#[derive(Debug)]
pub enum Row {
    /// Why its provider cannot show it.
    NotApplicable(&'static str),
    Played(Outcome),
}

/// What came of something that was played.
#[derive(Debug)]
pub struct Outcome {
    pub verdict: String,
    pub answer: String,
    pub app: String,
    /// What to know of it besides.
    pub note: Option<&'static str>,
    /// What should have come of it, where something else did.
    pub wanted: Option<String>,
}

/// How many verdicts there were.
#[derive(Debug, Default)]
pub struct Tally {
    right: u32,
    wrong: u32,
    not_applicable: u32,
}

impl Tally {
    /// Counts a row, and writes its line.
    pub fn line(&mut self, title: &str, row: Row) -> String {
        match row {
            Row::NotApplicable(why) => {
                self.not_applicable += 1;
                format!("    {title:<31}n/a        {why}\n")
            }
            Row::Played(Outcome { verdict, answer, app, note, wanted }) => {
                let mark = if wanted.is_none() { '✓' } else { '✗' };
                *(if wanted.is_none() { &mut self.right } else { &mut self.wrong }) += 1;
                let line = format!("  {mark} {title:<31}{verdict:<11}{answer:<23}{app}\n");
                let note = note.map(|note| format!("      {note}\n")).unwrap_or_default();
                let wanted = wanted.map(|wanted| format!("      wanted: {wanted}\n")).unwrap_or_default();
                line + &note + &wanted
            }
        }
    }

    /// True if every verdict is what it should be.
    pub fn is_right(&self) -> bool {
        self.wrong == 0
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { right, wrong, not_applicable } = self;
        write!(f, "{right} verdicts as they should be, {wrong} not, {not_applicable} not applicable.")
    }
}

/// How often the app saw something.
pub fn times(count: usize) -> String {
    match count {
        0 => "never".into(),
        1 => "once".into(),
        2 => "twice".into(),
        count => format!("{count} times"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(wanted: Option<&str>) -> Row {
        Row::Played(Outcome {
            verdict: "rejected".into(),
            answer: "401 Invalid signature".into(),
            app: times(0),
            note: None,
            wanted: wanted.map(str::to_owned),
        })
    }

    #[test]
    fn one_verdict_that_is_not_wanted_is_enough() {
        let mut tally = Tally::default();
        assert!(tally.line("as it should be", outcome(None)).starts_with("  ✓ as it should be "));
        assert!(
            tally.line("not to be had", Row::NotApplicable("it sends none")).ends_with(" n/a        it sends none\n")
        );
        assert!(tally.is_right());
        let line = tally.line("not as it should be", outcome(Some("delivered, attempt 1 → 200")));
        assert!(line.starts_with("  ✗ ") && line.ends_with("\n      wanted: delivered, attempt 1 → 200\n"), "{line}");
        assert!(!tally.is_right());
        assert_eq!(tally.to_string(), "1 verdicts as they should be, 1 not, 1 not applicable.");
    }
}
