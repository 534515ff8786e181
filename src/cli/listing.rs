//! Lists, page by page: as tables for people, as JSON lines for programs.

use clap::Args;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::operator::{Failure, Operator};
use super::print;
use super::table::Table;
use crate::operators::Operation;
use crate::store::{Id, MAX_PAGE};

/// How much of a list is printed, and how.
#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    /// How many at most, 1 to 1000
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_PAGE)))]
    limit: u32,
    /// All there are, page after page
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// Begin behind this one, the last of another list
    #[arg(long, value_name = "ID")]
    after: Option<Id>,
    /// Print JSON lines
    #[arg(long)]
    json: bool,
}

/// A page, as a server writes it.
#[derive(Debug, Deserialize)]
pub struct PageText<'a> {
    #[serde(borrow)]
    pub data: Vec<&'a RawValue>,
    pub next: Option<String>,
}

impl<'a> PageText<'a> {
    /// Reads it.
    ///
    /// # Errors
    /// If it is none, and whoever sent it no Hookward.
    pub fn parse(text: &'a str) -> Result<Self, Failure> {
        serde_json::from_str(text).map_err(|error| Failure::new(format!("the answer is not a page of a list: {error}")))
    }

    /// What the next page comes after.
    ///
    /// # Errors
    /// If it is no id.
    pub fn next(&self) -> Result<Option<Id>, Failure> {
        self.next.as_deref().map(|id| id.parse().map_err(Failure::new)).transpose()
    }

    /// Its rows, read.
    pub fn rows(&self) -> Vec<Value> {
        self.data.iter().filter_map(|row| serde_json::from_str(row.get()).ok()).collect()
    }
}

/// Prints a list. `ask` makes the operation for the page after an id, of a length; `cells` makes a table's row.
pub async fn list(
    operator: &Operator,
    args: &ListArgs,
    ask: impl Fn(Option<Id>, u32) -> Operation,
    mut table: Table,
    cells: impl Fn(&Value) -> Vec<String>,
) -> Result<(), Failure> {
    let (mut after, limit) = (args.after, if args.all { MAX_PAGE } else { args.limit });
    loop {
        let text = operator.ask(ask(after, limit)).await?;
        let page = PageText::parse(&text)?;
        if args.json {
            print(&page.data.iter().map(|row| format!("{row}\n")).collect::<String>());
        } else if page.data.is_empty() && after == args.after {
            eprintln!("There are none.");
        } else {
            print(&table.page(&page.rows().iter().map(&cells).collect::<Vec<_>>()));
        }
        let next = page.next()?;
        match next {
            Some(_) if args.all => after = next,
            Some(last) => {
                eprintln!("There are more: --after {last} goes on from here, --all prints them all.");
                return Ok(());
            }
            None => return Ok(()),
        }
    }
}
