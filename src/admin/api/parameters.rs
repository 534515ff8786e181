//! Parameters of a request, by name: from its query, or from its body.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::admin::problem::Problem;
use crate::clock::UnixMillis;
use crate::document::{choose, nearest};
use crate::store::{DeliveryFilter, EventFilter, Id, MAX_PAGE, State};

/// How long a page is unless it was asked for.
const PAGE: u32 = 100;

/// What was given. Each name that is asked for becomes a known one; the others are refused.
#[derive(Debug)]
pub struct Parameters {
    /// What the API calls one of them.
    kind: &'static str,
    given: BTreeMap<String, String>,
    asked: Vec<&'static str>,
}

impl Parameters {
    /// Those of a query. A plus sign is one: blanks are written `%20`.
    pub fn of_query(query: Option<&str>) -> Result<Self, Problem> {
        let kind = "query parameter";
        let mut given = BTreeMap::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decode = |text| percent_decode_str(text).decode_utf8().map(String::from);
            let (Ok(name), Ok(value)) = (decode(name), decode(value)) else {
                return Err(Problem::bad("the query is not UTF-8 in percent-encoding, for example ?source=stripe"));
            };
            if given.contains_key(&name) {
                return Err(Problem::bad(format!("{kind} \"{name}\" is given more than once")));
            }
            given.insert(name, value);
        }
        Ok(Self { kind, given, asked: Vec::new() })
    }

    /// Those of a body: a JSON object of strings and numbers, or nothing at all. What is null counts as absent.
    pub fn of_body(body: &[u8]) -> Result<Self, Problem> {
        let kind = "body field";
        let wrong = || Problem::bad("the body is not a JSON object, for example {\"source\": \"stripe\"}");
        let mut given = BTreeMap::new();
        if !body.trim_ascii().is_empty() {
            let Ok(Value::Object(fields)) = serde_json::from_slice(body) else { return Err(wrong()) };
            for (name, value) in fields {
                let value = match value {
                    Value::Null => continue,
                    Value::String(text) => text,
                    Value::Number(number) => number.to_string(),
                    _ => return Err(Problem::bad(format!("{kind} \"{name}\" is neither a string nor a number"))),
                };
                given.insert(name, value);
            }
        }
        Ok(Self { kind, given, asked: Vec::new() })
    }

    /// A string.
    pub fn text(&mut self, name: &'static str) -> Option<String> {
        self.asked.push(name);
        self.given.remove(name)
    }

    /// A string, turned into something better. `parse` says what is wrong as a fragment.
    fn parse<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        parse(&text).map(Some).map_err(|wrong| Problem::bad(format!("{} \"{name}\": {wrong}", self.kind)))
    }

    /// Refuses what nobody asked for.
    pub fn finish(self) -> Result<(), Problem> {
        let Some(name) = self.given.keys().next() else { return Ok(()) };
        let hint = match (nearest(name, self.asked.iter().copied()), self.asked.is_empty()) {
            (Some(near), _) => format!("did you mean \"{near}\"?"),
            (None, true) => "there is none here".to_owned(),
            (None, false) => format!("known are {}", self.asked.join(", ")),
        };
        Err(Problem::bad(format!("unknown {} \"{name}\", {hint}", self.kind)))
    }

    /// All of them make a filter of events.
    pub fn event_filter(mut self) -> Result<EventFilter, Problem> {
        let filter = EventFilter {
            source: self.text("source"),
            event_id: self.text("event_id"),
            since: self.parse("since", str::parse::<UnixMillis>)?,
            until: self.parse("until", str::parse::<UnixMillis>)?,
            after: self.parse("after", id)?,
            limit: self.parse("limit", limit)?.unwrap_or(PAGE),
        };
        self.finish()?;
        Ok(filter)
    }

    /// All of them make a filter of deliveries, of `page` at most unless they say otherwise.
    pub fn delivery_filter(mut self, page: u32) -> Result<DeliveryFilter, Problem> {
        let filter = DeliveryFilter {
            state: self.parse("state", |text| choose(text, &State::WORDS))?,
            source: self.text("source"),
            destination: self.text("destination"),
            event: self.parse("event", id)?,
            since: self.parse("since", str::parse::<UnixMillis>)?,
            until: self.parse("until", str::parse::<UnixMillis>)?,
            after: self.parse("after", id)?,
            limit: self.parse("limit", limit)?.unwrap_or(page),
        };
        self.finish()?;
        Ok(filter)
    }

    /// The same for a list.
    pub fn delivery_list(self) -> Result<DeliveryFilter, Problem> {
        self.delivery_filter(PAGE)
    }
}

/// An id of ours.
pub fn id(text: &str) -> Result<Id, String> {
    text.parse().map_err(|wrong| format!("{wrong}, for example \"0199c82cc0a01b7d3f5e6a7b8c9d0e1f\""))
}

fn limit(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| (1..=MAX_PAGE).contains(number));
    number.ok_or_else(|| format!("\"{text}\" is not a whole number from 1 to {MAX_PAGE}, for example \"100\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(query: &str) -> Result<EventFilter, String> {
        let read = Parameters::of_query(Some(query)).and_then(Parameters::event_filter);
        read.map_err(|problem| problem.detail)
    }

    fn deliveries(body: &str) -> Result<DeliveryFilter, String> {
        let read = Parameters::of_body(body.as_bytes()).and_then(Parameters::delivery_list);
        read.map_err(|problem| problem.detail)
    }

    #[test]
    fn a_query_becomes_a_filter() {
        let filter = events("source=stripe&event_id=a%20b&since=2025-10-09T10:53:20+02:00&limit=5").expect("good");
        let wanted = EventFilter {
            source: Some("stripe".into()),
            event_id: Some("a b".into()),
            since: Some(UnixMillis(1_760_000_000_000)),
            limit: 5,
            ..EventFilter::default()
        };
        assert_eq!(filter, wanted);
        assert_eq!(events(""), Ok(EventFilter { limit: PAGE, ..EventFilter::default() }));
    }

    #[test]
    fn a_body_becomes_a_filter() {
        let filter = deliveries("{\"state\": \"dead\", \"limit\": 7, \"source\": null}").expect("good");
        assert_eq!(filter, DeliveryFilter { state: Some(State::Dead), limit: 7, ..DeliveryFilter::default() });
        assert_eq!(deliveries(" "), Ok(DeliveryFilter { limit: PAGE, ..DeliveryFilter::default() }));
    }

    #[test]
    fn what_cannot_be_used_is_named_with_an_example() {
        for (query, wanted) in [
            ("since=yesterday", "query parameter \"since\": \"yesterday\" is not a time, for example \"2026-"),
            ("after=12", "query parameter \"after\": \"12\" is not an id: 32 hexadecimal digits, for example \"0199"),
            ("limit=0", "query parameter \"limit\": \"0\" is not a whole number from 1 to 1000, for example \"100\""),
            ("limit=1001", "\"1001\" is not a whole number"),
            ("sinc=1", "unknown query parameter \"sinc\", did you mean \"since\"?"),
            ("state=dead", "unknown query parameter \"state\", known are source, event_id"),
            ("source=a&source=b", "query parameter \"source\" is given more than once"),
            ("source=%ff", "the query is not UTF-8"),
        ] {
            let found = events(query).expect_err(query);
            assert!(found.contains(wanted), "{query}\n wanted {wanted}\n found {found}");
        }
        for (body, wanted) in [
            ("[]", "the body is not a JSON object"),
            ("{\"state\": \"ded\"}", "body field \"state\": \"ded\" is not known, did you mean \"dead\"?"),
            ("{\"sources\": \"x\"}", "unknown body field \"sources\", did you mean \"source\"?"),
            ("{\"source\": [1]}", "body field \"source\" is neither a string nor a number"),
        ] {
            let found = deliveries(body).expect_err(body);
            assert!(found.contains(wanted), "{body}\n wanted {wanted}\n found {found}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_query_breaks_it(query in "[ -~é]{0,60}") {
            let _ = (events(&query), deliveries(&query));
        }
    }
}
