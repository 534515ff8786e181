//! The filters and tests that templates have: those of Jinja that make text, and a few of our own. The list is closed, so
//! that each is known to be bounded.

use http::StatusCode;
use minijinja::value::{Rest, ValueKind};
use minijinja::{Environment, Error, Value, filters, tests};

use super::MAX_MADE;
use super::writing::{to_json, too_long};

/// Adds them.
pub fn add_to(engine: &mut Environment<'static>) {
    engine.add_filter("abs", filters::abs);
    engine.add_filter("capitalize", filters::capitalize);
    engine.add_filter("default", default);
    engine.add_filter("dictsort", filters::dictsort);
    engine.add_filter("first", filters::first);
    engine.add_filter("float", filters::float);
    engine.add_filter("int", filters::int);
    engine.add_filter("items", filters::items);
    engine.add_filter("join", join);
    engine.add_filter("json", json);
    engine.add_filter("last", filters::last);
    engine.add_filter("length", filters::length);
    engine.add_filter("list", filters::list);
    engine.add_filter("lower", filters::lower);
    engine.add_filter("map", filters::map);
    engine.add_filter("max", filters::max);
    engine.add_filter("min", filters::min);
    engine.add_filter("mrkdwn", mrkdwn);
    engine.add_filter("reject", filters::reject);
    engine.add_filter("rejectattr", filters::rejectattr);
    engine.add_filter("replace", replace);
    engine.add_filter("reverse", filters::reverse);
    engine.add_filter("round", filters::round);
    engine.add_filter("select", filters::select);
    engine.add_filter("selectattr", filters::selectattr);
    engine.add_filter("sort", filters::sort);
    engine.add_filter("split", filters::split);
    engine.add_filter("status", status);
    engine.add_filter("string", filters::string);
    engine.add_filter("sum", filters::sum);
    engine.add_filter("title", filters::title);
    engine.add_filter("trim", filters::trim);
    engine.add_filter("truncate", truncate);
    engine.add_filter("unique", filters::unique);
    engine.add_filter("upper", filters::upper);

    engine.add_test("boolean", tests::is_boolean);
    engine.add_test("defined", tests::is_defined);
    engine.add_test("endingwith", tests::is_endingwith);
    engine.add_test("eq", tests::is_eq);
    engine.add_test("ge", tests::is_ge);
    engine.add_test("gt", tests::is_gt);
    engine.add_test("in", tests::is_in);
    engine.add_test("integer", tests::is_integer);
    engine.add_test("iterable", tests::is_iterable);
    engine.add_test("le", tests::is_le);
    engine.add_test("lt", tests::is_lt);
    engine.add_test("mapping", tests::is_mapping);
    engine.add_test("ne", tests::is_ne);
    engine.add_test("none", tests::is_none);
    engine.add_test("number", tests::is_number);
    engine.add_test("sequence", tests::is_sequence);
    engine.add_test("startingwith", tests::is_startingwith);
    engine.add_test("string", tests::is_string);
    engine.add_test("undefined", tests::is_undefined);
}

/// `data.name | default("?")`: in place of what is absent or null; with a second argument `true` also of what is empty.
fn default(value: &Value, other: Value, arguments: Rest<Value>) -> Value {
    let also_empty = arguments.first().is_some_and(Value::is_true);
    if value.is_undefined() || value.is_none() || also_empty && !value.is_true() { other } else { value.clone() }
}

/// `data.tags | join(", ")`.
fn join(values: &Value, between: Option<String>) -> Result<String, Error> {
    let between = between.unwrap_or_default();
    let mut joined = String::new();
    if !values.is_undefined() && !values.is_none() {
        for (at, value) in values.try_iter()?.checked().enumerate() {
            if at > 0 {
                joined.push_str(&between);
            }
            joined.push_str(&text_of(&value?)?);
            if joined.len() > MAX_MADE {
                return Err(too_long());
            }
        }
    }
    Ok(joined)
}

/// `data.text | replace("\n", " ")`.
#[expect(clippy::needless_pass_by_value, reason = "what the engine hands over")]
fn replace(value: &Value, old: String, new: String) -> Result<String, Error> {
    let text = text_of(value)?;
    let more = new.len().saturating_sub(old.len()).saturating_mul(text.matches(&old).count());
    if text.len().saturating_add(more) > MAX_MADE {
        return Err(too_long());
    }
    Ok(text.replace(&old, &new))
}

/// `data | json`: the JSON text of a value, to stand in a text.
fn json(value: &Value) -> Result<String, Error> {
    to_json(value)
}

/// `data.text | mrkdwn`: text as Slack's mrkdwn has it, so that nothing in it is a link or calls for a whole channel.
///
/// Source: Slack, "Formatting message text", section "Escaping text" (read 2026-11-22).
fn mrkdwn(value: &Value) -> Result<String, Error> {
    Ok(text_of(value)?.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"))
}

/// `data.last_response_code | status`: `502 Bad Gateway`, or the number alone. Of what is no status there is none.
fn status(value: &Value) -> Value {
    let number = value.as_usize().and_then(|number| u16::try_from(number).ok());
    match number.and_then(|number| StatusCode::from_u16(number).ok()) {
        Some(status) => match status.canonical_reason() {
            Some(phrase) => Value::from(format!("{} {phrase}", status.as_u16())),
            None => Value::from(status.as_str()),
        },
        None => Value::UNDEFINED,
    }
}

/// `data.message | truncate(500)`: at most so many characters, the last of them an ellipsis where there were more.
fn truncate(value: &Value, most: usize) -> Result<Value, Error> {
    if value.is_undefined() || value.is_none() {
        return Ok(value.clone());
    }
    let text = text_of(value)?;
    match text.char_indices().nth(most) {
        None => Ok(Value::from(text)),
        Some(_) => {
            let kept: String = text.chars().take(most.saturating_sub(1)).collect();
            Ok(Value::from(if most == 0 { kept } else { kept + "…" }))
        }
    }
}

/// A value within a text: nothing for what is absent or null, JSON for what is no text.
fn text_of(value: &Value) -> Result<String, Error> {
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => Ok(String::new()),
        ValueKind::String => Ok(value.as_str().unwrap_or_default().to_owned()),
        _ => to_json(value),
    }
}
