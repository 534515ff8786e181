//! A stream of events, a JSON object a line. A line that cannot be emitted is named, and the rest goes on.

use std::io::BufRead;

use serde_json::Value;

use super::client::Client;
use crate::cli::operator::Failure;
use crate::cli::progress::Progress;
use crate::cli::{FAILURE, print};

/// A line that is an event, as far as can be seen.
struct Line {
    number: usize,
    text: String,
}

/// What came of all of them.
#[derive(Default)]
struct Tally {
    emitted: usize,
    duplicates: usize,
    refused: usize,
}

/// Emits what standard input has, `size` events in one request. 1 if some were refused.
pub async fn emit(client: &Client, size: usize) -> Result<u8, Failure> {
    let (mut tally, mut progress) = (Tally::default(), Progress::new("Emitted", None));
    let mut batch: Vec<Line> = Vec::with_capacity(size);
    for (at, text) in std::io::stdin().lock().lines().enumerate() {
        let number = at + 1;
        let text = text.map_err(|error| Failure::new(format!("line {number}: cannot read it: {error}")))?;
        if text.trim().is_empty() {
            continue;
        }
        if !serde_json::from_str::<Value>(&text).is_ok_and(|value| value.is_object()) {
            tally.refuse(&mut progress, number, "it is not a JSON object, for example {\"type\": \"a\", \"data\": {}}");
            continue;
        }
        batch.push(Line { number, text });
        if batch.len() == size {
            send(client, &mut batch, &mut tally, &mut progress).await?;
        }
    }
    send(client, &mut batch, &mut tally, &mut progress).await?;
    drop(progress);
    let Tally { emitted, duplicates, refused } = tally;
    let events = |count: usize| format!("{count} event{}", if count == 1 { "" } else { "s" });
    let mut line = format!("Emitted {}", events(emitted));
    if duplicates > 0 {
        line.push_str(&format!(", {duplicates} had been emitted before"));
    }
    if refused > 0 {
        line.push_str(&format!(", {refused} refused"));
    }
    print(&format!("{line}\n"));
    Ok(if refused == 0 { 0 } else { FAILURE })
}

/// Emits a batch. One line that the sender refuses is taken out, and the others are sent again.
async fn send(
    client: &Client,
    batch: &mut Vec<Line>,
    tally: &mut Tally,
    progress: &mut Progress,
) -> Result<(), Failure> {
    while !batch.is_empty() {
        let texts: Vec<String> = batch.iter().map(|line| line.text.clone()).collect();
        match client.publish_batch(&texts).await? {
            Ok(answer) => {
                for (line, item) in batch.drain(..).zip(answer["events"].as_array().into_iter().flatten()) {
                    match (&item["event"]["duplicate"], item["detail"].as_str()) {
                        (_, Some(detail)) => tally.refuse(progress, line.number, detail),
                        (Value::Bool(true), None) => tally.duplicates += 1,
                        _ => tally.emitted += 1,
                    }
                }
            }
            Err(refused) => match place(&refused.problem).filter(|(at, _)| *at < batch.len()) {
                Some((at, detail)) => {
                    let line = batch.remove(at);
                    tally.refuse(progress, line.number, &detail);
                }
                None => {
                    let first = batch.first().map_or(0, |line| line.number);
                    let failure = client.explain(&refused);
                    let text =
                        format!("from line {first} on: {}; {} events were emitted before", failure.text, tally.emitted);
                    return Err(Failure { text, ..failure });
                }
            },
        }
        progress.show(tally.emitted);
    }
    Ok(())
}

/// Which event of a batch is wrong, and why.
fn place(problem: &Value) -> Option<(usize, String)> {
    let error = problem["errors"].as_array()?.first()?;
    let rest = error["pointer"].as_str()?.strip_prefix("/events/")?;
    let (at, field) = rest.split_once('/').unwrap_or((rest, ""));
    let detail = error["detail"].as_str()?;
    let text = if field.is_empty() { detail.to_owned() } else { format!("{}: {detail}", field.replace('/', ".")) };
    Some((at.parse().ok()?, text))
}

impl Tally {
    fn refuse(&mut self, progress: &mut Progress, number: usize, why: &str) {
        self.refused += 1;
        progress.clear();
        eprintln!("line {number}: {why}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_line_that_is_wrong_is_found() {
        let problem = json!({"errors": [{"pointer": "/events/3/type", "detail": "it is no type"}]});
        assert_eq!(place(&problem), Some((3, "type: it is no type".into())));
        assert_eq!(place(&json!({"errors": [{"pointer": "/events/0", "detail": "x"}]})), Some((0, "x".into())));
        for other in [json!({}), json!({"errors": []}), json!({"errors": [{"pointer": "/events", "detail": "x"}]})] {
            assert_eq!(place(&other), None);
        }
    }
}
