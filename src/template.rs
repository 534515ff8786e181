//! Templates of messages: an event in the shape that a chat tool takes, in place of its provider's envelope.
//!
//! A template is Jinja whose output is one JSON text. It sees one event and nothing else: no file, no environment, no
//! clock, no chance. So the same event comes out the same, and what it may cost is bounded.

mod filters;
mod writing;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};

use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value};
use serde::de::IgnoredAny;

use crate::clock::UnixMillis;
use crate::document::nearest;
use writing::Limited;

/// No template is longer, in bytes.
pub const MAX_TEXT: usize = 16 << 10;

/// No message is longer, in bytes.
pub const MAX_OUTPUT: usize = 256 << 10;

/// No rendering makes more text on the way, in bytes: what a template keeps for later, joins or cuts.
const MAX_MADE: usize = 4 * MAX_OUTPUT;

/// How many steps a rendering may take. A loop over the most items that 256 KiB of data can have, with three comparisons of
/// each, takes 1.8 million; one within another over so many is ended after a fifth of a second, even where nothing is optimised.
const FUEL: u64 = 2_000_000;

/// How deep loops, conditions and expressions may stand in each other.
const MAX_DEPTH: usize = 64;

/// What a template may name.
const NAMES: [&str; 7] = ["id", "type", "timestamp", "account_id", "webhook_id", "metadata", "data"];

/// A template that can be rendered.
#[derive(Clone)]
pub struct Template(Arc<Compiled>);

struct Compiled {
    name: String,
    text: String,
    environment: Environment<'static>,
    depends_on_endpoint: bool,
}

/// What a template says of an event.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    pub id: &'a str,
    /// The name of its type, such as `invoice.paid`.
    pub kind: &'a str,
    pub timestamp: UnixMillis,
    pub account: &'a str,
    /// Whom it goes to.
    pub endpoint: &'a str,
    /// What is known of whom it goes to.
    pub metadata: &'a BTreeMap<String, String>,
    /// JSON.
    pub data: &'a [u8],
}

/// The engine, without any template.
static ENGINE: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut engine = Environment::empty();
    // What is written into a template is JSON whatever it is called, so this only keeps captured text from being quoted twice.
    engine.set_auto_escape_callback(|_| AutoEscape::Custom("json".into()));
    engine.set_formatter(writing::write);
    engine.set_undefined_behavior(UndefinedBehavior::Chainable);
    engine.set_fuel(Some(FUEL));
    engine.set_recursion_limit(MAX_DEPTH);
    filters::add_to(&mut engine);
    engine
});

/// Templates for any event, whoever tells it.
static GENERAL: LazyLock<[Template; 3]> = LazyLock::new(|| {
    [
        ("jira", include_str!("../templates/jira.json.jinja")),
        ("slack", include_str!("../templates/slack.json.jinja")),
        ("teams", include_str!("../templates/teams.json.jinja")),
    ]
    .map(|(name, text)| Template::compile(name, text).unwrap_or_else(|wrong| panic!("the template {name}: {wrong}")))
});

impl Template {
    /// Those that are there without anybody's doing, by name.
    pub fn general() -> &'static [Self] {
        &*GENERAL
    }

    /// Reads a template.
    ///
    /// # Errors
    /// What is wrong with it, as a fragment: it is too long or no template, or it names what there is not.
    pub fn compile(name: &str, text: &str) -> Result<Self, String> {
        if text.len() > MAX_TEXT {
            return Err(format!("it is longer than {} KiB", MAX_TEXT >> 10));
        }
        let mut environment = ENGINE.clone();
        environment.add_template_owned(name.to_owned(), text.to_owned()).map_err(|error| fragment(&error))?;
        let compiled = environment.get_template(name).map_err(|error| fragment(&error))?;
        let names = compiled.undeclared_variables(false);
        check_names(&names, text)?;
        let depends_on_endpoint = names.contains("webhook_id") || names.contains("metadata");
        let (name, text) = (name.to_owned(), text.to_owned());
        let template = Self(Arc::new(Compiled { name, text, environment, depends_on_endpoint }));
        // Filters and tests that there are not are found on the way that an event without much data takes.
        match template.write(&SAMPLE) {
            Err(error) if is_unknown(error.kind()) => Err(fragment(&error)),
            _ => Ok(template),
        }
    }

    /// By which webhooks name it.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// True where endpoints may get bodies of their own.
    pub fn depends_on_endpoint(&self) -> bool {
        self.0.depends_on_endpoint
    }

    /// The body of an event: JSON without spaces between its parts, otherwise as the template has it.
    ///
    /// # Errors
    /// Why there is none, as a fragment in which nothing of the event stands.
    pub fn render(&self, facts: &Facts<'_>) -> Result<Vec<u8>, String> {
        let text = self.write(facts).map_err(|error| without_data(&error))?;
        match serde_json::from_slice::<IgnoredAny>(&text) {
            Ok(_) => Ok(writing::compact(&text)),
            Err(_) if text.iter().all(u8::is_ascii_whitespace) => Err("it comes out empty".into()),
            Err(error) => Err(format!("it does not come out as JSON: see line {} of what it makes", error.line())),
        }
    }

    /// The same of an event as any other, to see whether a template is any good before there is one.
    ///
    /// # Errors
    /// See [`Self::render`].
    pub fn try_out(&self) -> Result<Vec<u8>, String> {
        self.render(&SAMPLE)
    }

    fn write(&self, facts: &Facts<'_>) -> Result<Vec<u8>, Error> {
        let facts = facts.value()?;
        // An interpreter that is not ours, and numbers that are anybody's: its slices overflow at the ends of what an integer
        // can be. Nothing of a rendering outlives it.
        let written = catch_unwind(AssertUnwindSafe(|| {
            let mut text = Limited::default();
            let template = self.0.environment.get_template(&self.0.name)?;
            template.render_captured_to(facts, &mut text)?;
            Ok(text.into_bytes())
        }));
        written.unwrap_or_else(|_| Err(Error::new(ErrorKind::EvalBlock, "")))
    }
}

/// An event about which nothing is known.
static NOTHING: BTreeMap<String, String> = BTreeMap::new();
const SAMPLE: Facts<'static> = Facts {
    id: "wh_evt_sample",
    kind: "sample.created",
    timestamp: UnixMillis(1_760_000_000_000),
    account: "default",
    endpoint: "wh_sample",
    metadata: &NOTHING,
    data: b"{\"id\":\"sample\"}",
};

impl Facts<'_> {
    fn value(&self) -> Result<Value, Error> {
        let data: Value = serde_json::from_slice(self.data)
            .map_err(|_| Error::new(ErrorKind::CannotDeserialize, "the event's data is not JSON"))?;
        let timestamp = self.timestamp.to_string();
        let texts = [self.id, self.kind, &timestamp, self.account, self.endpoint].map(Value::from);
        let metadata = Value::from_pairs(self.metadata.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        Ok(Value::from_pairs(NAMES.into_iter().zip(texts.into_iter().chain([metadata, data]))))
    }
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        (&self.0.name, &self.0.text) == (&other.0.name, &other.0.text)
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Template({})", self.0.name)
    }
}

/// A name that there is not is found before an event comes.
fn check_names(names: &HashSet<String>, text: &str) -> Result<(), String> {
    let mut unknown: Vec<&String> = names.iter().filter(|name| !NAMES.contains(&name.as_str())).collect();
    unknown.sort();
    let Some(name) = unknown.first() else { return Ok(()) };
    let hint = match nearest(name, NAMES.into_iter()) {
        Some(near) => format!(", did you mean `{near}`?"),
        None => format!(", only {}", NAMES.join(", ")),
    };
    Err(at_line(line_of(text, name), format!("there is no `{name}`{hint}")))
}

fn is_unknown(kind: ErrorKind) -> bool {
    use ErrorKind::{UnknownFilter, UnknownFunction, UnknownMethod, UnknownTest};
    matches!(kind, UnknownFilter | UnknownFunction | UnknownMethod | UnknownTest)
}

/// What is wrong with a template as it is written.
fn fragment(error: &Error) -> String {
    let text = match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    at_line(error.line(), text)
}

/// What went wrong with a template on an event: where, and of which kind, since more could be said by the event.
fn without_data(error: &Error) -> String {
    let text = match error.kind() {
        ErrorKind::OutOfFuel => format!("it takes more than {FUEL} steps"),
        ErrorKind::WriteFailure => {
            format!("it makes more than {} KiB, or {} KiB on the way", MAX_OUTPUT >> 10, MAX_MADE >> 10)
        }
        // There are no blocks, so nothing else is called that.
        ErrorKind::EvalBlock => "the template engine gave up".into(),
        ErrorKind::CannotDeserialize => "the event's data is not JSON".into(),
        kind => kind.to_string(),
    };
    at_line(error.line(), text)
}

fn at_line(line: Option<usize>, text: String) -> String {
    match line {
        Some(line) => format!("line {line}: {text}"),
        None => text,
    }
}

/// The first line that has this name within braces.
fn line_of(text: &str, name: &str) -> Option<usize> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let has = |code: &str| code.split(|c| !is_part(c)).any(|word| word == name);
    let mut line = 1;
    for (at, piece) in text.split("{{").flat_map(|piece| piece.split("{%")).enumerate() {
        let code = piece.split("}}").next().and_then(|code| code.split("%}").next()).unwrap_or_default();
        if at > 0 && has(code) {
            let before = code.find(name).unwrap_or_default();
            return Some(line + code[..before].matches('\n').count());
        }
        line += piece.matches('\n').count();
    }
    None
}

#[cfg(test)]
mod tests;
