//! Holds `docs/seeds.md` against the tests that it names, and against the list of all promises.

use std::collections::HashMap;
use std::fs;

/// A row of the page: which promises it is about, and the functions that it names, each with its file.
struct Row {
    items: Vec<String>,
    tests: Vec<(String, String)>,
}

/// `VGS-01, VGS-20…39` in full, of all that there are.
fn items(cell: &str, all: &[String]) -> Vec<String> {
    let mut items = Vec::new();
    for part in cell.split(',').map(str::trim) {
        match part.split_once('…') {
            Some((first, last)) => {
                let (seed, first) = first.split_once('-').unwrap_or_else(|| panic!("{part}"));
                let numbers = first.parse::<u32>().expect(part)..=last.parse().expect(part);
                items.extend(numbers.map(|number| format!("{seed}-{number:02}")));
            }
            None => items.push(part.to_owned()),
        }
    }
    for item in &items {
        assert!(all.contains(item), "there is no {item}");
    }
    items
}

/// `` `senders/vgs.rs`: `first`, `second`; `telling/crashes.rs`: `third` ``
fn tests(cell: &str) -> Vec<(String, String)> {
    let mut tests = Vec::new();
    for file in cell.split(';') {
        let (file, names) = file.split_once(':').unwrap_or_else(|| panic!("no test: {cell}"));
        let file = file.trim().trim_matches('`');
        tests.extend(names.split(',').map(|name| (file.to_owned(), name.trim().trim_matches('`').to_owned())));
    }
    tests
}

#[test]
fn every_promise_is_on_the_page_with_a_test_that_carries_its_number() {
    let all = fs::read_to_string("tests/vectors/seed-items.txt").expect("the list");
    let all: Vec<String> = all.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
    let page = fs::read_to_string("docs/seeds.md").expect("the page");
    let mut rows = Vec::new();
    for line in page.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let &[numbers, promise, keeps, named] = &cells[..] else { panic!("not four cells: {line}") };
        if numbers != "item" {
            assert!(!promise.is_empty() && !keeps.is_empty(), "{line}");
            rows.push(Row { items: items(numbers, &all), tests: tests(named) });
        }
    }
    let mut sources: HashMap<String, String> = HashMap::new();
    for row in &rows {
        let mut texts = String::new();
        for (file, name) in &row.tests {
            let source = sources.entry(file.clone()).or_insert_with(|| {
                fs::read_to_string(format!("tests/it/{file}")).unwrap_or_else(|error| panic!("{file}: {error}"))
            });
            assert!(source.contains(&format!("fn {name}(")), "{file} has no {name}");
            texts.push_str(source);
        }
        for item in &row.items {
            let carried = texts
                .match_indices(item.as_str())
                .any(|(at, _)| !texts[at + item.len()..].starts_with(|next: char| next.is_ascii_digit()));
            assert!(carried, "{item} does not occur in {:?}", row.tests);
        }
    }
    for item in &all {
        let found = rows.iter().filter(|row| row.items.contains(item)).count();
        assert_eq!(found, 1, "{item} stands in {found} rows");
    }
}
