//! `hookward emit`: publishes to a sender, one event or a stream of them.

mod client;
mod lines;

use std::io::Read;

use clap::Args;
use serde_json::{Map, Value};

use super::operator::{Failure, run as run_to_end};
use super::print;
use client::Client;

/// Arguments of `hookward emit`.
#[derive(Debug, Args)]
pub struct EmitArgs {
    /// The event's type, such as invoice.paid; - reads events from standard input, a JSON object a line
    #[arg(value_name = "TYPE")]
    kind: String,
    /// The event's data: JSON, @FILE for a file's, - for standard input's
    #[arg(long, value_name = "JSON", conflicts_with = "raw")]
    data: Option<String>,
    /// The whole body in place of data: text, @FILE or -
    #[arg(long, value_name = "TEXT")]
    raw: Option<String>,
    /// What --raw is
    #[arg(long, value_name = "TYPE", requires = "raw")]
    content_type: Option<String>,
    /// The event's id: the same id with the same content is emitted once
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// The group that it is for
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// Only for this webhook; may be repeated
    #[arg(long, value_name = "ID")]
    webhook: Vec<String>,
    /// Events in one request, when they come from standard input
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u8).range(1..=100))]
    batch: u8,
    #[command(flatten)]
    to: SenderArgs,
}

/// Which sender.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Where to send it")]
pub struct SenderArgs {
    /// The sender's API [default: $HOOKWARD_SENDER_URL, else http://127.0.0.1:8081]
    #[arg(long, value_name = "URL")]
    sender: Option<String>,
    /// Variable that holds one of the sender's tokens
    #[arg(long, value_name = "NAME", default_value = "HOOKWARD_TOKEN")]
    token_env: String,
    /// The account to act for, with a token that may act for any
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
}

/// Emits. 0 if all of it is on the sender's disk.
pub fn run(args: &EmitArgs) -> u8 {
    run_to_end(async {
        let client = Client::new(&args.to)?;
        if args.kind == "-" {
            if args.data.is_some() || args.raw.is_some() || args.id.is_some() {
                return Err(Failure::usage("- reads whole events: type, data and id stand in each line"));
            }
            return lines::emit(&client, usize::from(args.batch)).await;
        }
        let answer = client.publish(&event(args)?).await?;
        print(&format!("{}\n", one_line(&answer)));
        Ok(0)
    })
}

/// The event that the arguments describe.
fn event(args: &EmitArgs) -> Result<String, Failure> {
    let mut fields = Map::new();
    let mut add = |name: &str, value: Option<&String>| {
        if let Some(value) = value {
            fields.insert(name.into(), Value::String(value.clone()));
        }
    };
    add("type", Some(&args.kind));
    add("id", args.id.as_ref());
    add("group", args.group.as_ref());
    add("content_type", args.content_type.as_ref());
    if let Some(raw) = &args.raw {
        add("raw", Some(&content("--raw", raw)?));
    }
    if !args.webhook.is_empty() {
        fields.insert("webhook_ids".into(), args.webhook.clone().into());
    }
    let mut text = Value::Object(fields).to_string();
    if let Some(data) = &args.data {
        let data = content("--data", data)?;
        serde_json::from_str::<serde::de::IgnoredAny>(&data).map_err(|error| {
            Failure::usage(format!("--data is not JSON: {error}; put it in quotes: '{{\"id\": 1}}'"))
        })?;
        // As it was written: the bytes that are given are the bytes that are sent.
        text.pop();
        text.push_str(&format!(",\"data\":{data}}}"));
    } else if args.raw.is_none() {
        return Err(Failure::usage("say what happened: --data JSON, for example --data '{\"id\": 1}', or --raw TEXT"));
    }
    Ok(text)
}

/// What an argument says, or what the file that it names does.
fn content(flag: &str, text: &str) -> Result<String, Failure> {
    if text == "-" {
        let mut read = String::new();
        let cannot = |error| Failure::new(format!("{flag}: cannot read standard input: {error}"));
        std::io::stdin().read_to_string(&mut read).map_err(cannot)?;
        return Ok(read);
    }
    match text.strip_prefix('@') {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| Failure::usage(format!("{flag}: cannot read {path}: {error}"))),
        None => Ok(text.to_owned()),
    }
}

/// What became of one event, for a person.
fn one_line(answer: &Value) -> String {
    let event = &answer["event"];
    let id = event["id"].as_str().unwrap_or_default();
    if event["duplicate"] == true {
        return format!("{id}: was emitted before, nothing is delivered again");
    }
    let count = |field: &str| event[field].as_array().map_or(0, Vec::len);
    let (webhooks, suppressed) = (count("webhook_ids"), count("suppressed"));
    let mut line = format!("{id}: for {webhooks} webhook{}", if webhooks == 1 { "" } else { "s" });
    if suppressed > 0 {
        line.push_str(&format!(", {suppressed} asked for it and do not get it"));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use serde_json::json;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: EmitArgs,
    }

    fn text(line: &[&str]) -> Result<String, String> {
        let line = Line::try_parse_from([&["emit"], line].concat()).map_err(|error| error.to_string())?;
        event(&line.args).map_err(|failure| failure.text)
    }

    #[test]
    fn data_goes_out_as_it_was_given() {
        let event = text(&["invoice.paid", "--data", "{ \"z\":1.0 }", "--id", "e1", "--webhook", "wh_1"]);
        assert_eq!(
            event.as_deref(),
            Ok("{\"id\":\"e1\",\"type\":\"invoice.paid\",\"webhook_ids\":[\"wh_1\"],\"data\":{ \"z\":1.0 }}")
        );
        assert!(text(&["a", "--raw", "x", "--content-type", "text/plain"]).is_ok());
    }

    #[test]
    fn what_is_missing_is_said() {
        assert!(text(&["a"]).is_err_and(|wrong| wrong.contains("--data")));
        assert!(text(&["a", "--data", "{"]).is_err_and(|wrong| wrong.contains("not JSON")));
        assert!(text(&["a", "--data", "@/no/such/file"]).is_err_and(|wrong| wrong.contains("/no/such/file")));
        assert!(text(&["a", "--data", "1", "--raw", "x"]).is_err());
    }

    #[test]
    fn an_answer_is_a_line() {
        let line = |event: Value| one_line(&json!({ "event": event }));
        assert_eq!(line(json!({"id": "e", "webhook_ids": ["a"], "suppressed": []})), "e: for 1 webhook");
        assert_eq!(
            line(json!({"id": "e", "webhook_ids": [], "suppressed": [1, 2]})),
            "e: for 0 webhooks, 2 asked for it and do not get it"
        );
        assert!(line(json!({"id": "e", "duplicate": true})).contains("before"));
    }
}
