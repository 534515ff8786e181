//! A message that has what a scheme reads and cannot fill in itself, made from the scheme as its preset writes it.

use hookward::document::{Node, Table, Value};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value as Json, json};

/// Stands in each body that is not made by the signer, and no scheme reads it for itself.
pub const MARKER: &str = "marker";

/// What stands wherever a scheme only wants that something does.
const TEXT: &str = "7914";

/// The name of the secret that signs.
pub const KEY_ID: &str = "main";

/// A message before it is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    pub url: String,
    pub headers: HeaderMap,
    pub body: String,
}

/// A place as a preset writes it: `{ json = "/id" }` is `("json", "/id")`.
type Place = (String, String);

/// The tables of each way of signing that a document has, what they share below their own.
pub fn alternatives(document: &Table) -> Vec<Table> {
    let own = ["any_of", "first_of"].into_iter().find_map(|key| list(document, key));
    let own: Vec<&Table> = own.unwrap_or_default().iter().filter_map(as_table).collect();
    match own.is_empty() {
        true => vec![document.clone()],
        false => own.into_iter().map(|own| document.overlay(own)).collect(),
    }
}

impl Sample {
    /// For the way of signing that `parts` describes, with what a provider's message would have.
    pub fn of(parts: &Table) -> Self {
        let signature = table(parts, "signature").expect("a signature");
        let mut draft = Draft::default();
        let filled_in = filled_in(parts, signature);
        draft.meet(signature, &filled_in);
        draft.name_key(signature);
        draft.list_headers(signature);
        // What nothing else is wanted of.
        for place in texts(signature).iter().flat_map(|template| places(template)) {
            draft.put(&place, TEXT, &filled_in);
        }
        let (is_form, each) = (is_form(parts, signature), text(signature, "for_each"));
        let with_query = ["{url}", "{url.query}", "{url.target}"];
        let signs_query =
            texts(signature).iter().any(|template| with_query.iter().any(|piece| template.contains(piece)));
        draft.finish(is_form, signs_query, each)
    }
}

/// What a message has so far.
#[derive(Debug, Default)]
struct Draft {
    headers: HeaderMap,
    query: Vec<(String, String)>,
    form: Vec<(String, String)>,
    /// By pointers; where items are signed one by one, into an item.
    json: Vec<(String, String)>,
}

impl Draft {
    /// Puts `value` at `place`, unless something is there or the signer writes there.
    fn put(&mut self, place: &Place, value: &str, filled_in: &[Place]) {
        if filled_in.contains(place) {
            return;
        }
        let (kind, name) = place;
        let pairs = match kind.as_str() {
            "header" => {
                let name: HeaderName = name.parse().expect("a header's name");
                self.headers.entry(name).or_insert(HeaderValue::try_from(value).expect("a header"));
                return;
            }
            "query" => &mut self.query,
            "form" => &mut self.form,
            "json" => &mut self.json,
            _ => return,
        };
        if pairs.iter().all(|(known, _)| known != name) {
            pairs.push((name.clone(), value.to_owned()));
        }
    }

    /// Meets the conditions of the alternative, and those beside the signature that want only something to be there.
    fn meet(&mut self, signature: &Table, filled_in: &[Place]) {
        let required: Vec<&Table> = tables(signature, "requires");
        for condition in tables(signature, "when") {
            let Some(place) = place(condition) else { continue };
            // What the message must say of itself there only its sender knows.
            if required.iter().all(|required| self::place(required).as_ref() != Some(&place)) {
                let is = condition.value("is").and_then(first_text);
                self.put(&place, is.as_deref().unwrap_or(TEXT), filled_in);
            }
        }
        for condition in required {
            let (Some(place), is) = (place(condition), condition.value("is").and_then(first_text)) else { continue };
            let param = is.as_deref().and_then(|is| is.strip_prefix("{param.")?.strip_suffix('}'));
            match (param, is.is_some()) {
                (Some(name), _) => self.put(&place, &format!("our-{}", name.trim_end_matches('?')), filled_in),
                (None, true) => {}
                (None, false) => self.put(&place, TEXT, filled_in),
            }
        }
    }

    /// Says which key signed, and where the provider publishes it.
    fn name_key(&mut self, signature: &Table) {
        if let Some(place) = table(signature, "key_id").and_then(place) {
            self.put(&place, KEY_ID, &[]);
        }
        if let Some((keys, place)) = table(signature, "keys").and_then(|keys| Some((keys, place(keys)?))) {
            let host = keys.value("hosts").and_then(first_text).expect("a host").replace("{region}", "eu-west-1");
            let (begins, ends) = (text(keys, "path_begins"), text(keys, "path_ends"));
            let url = format!("https://{host}{}1{}", begins.as_deref().unwrap_or("/"), ends.unwrap_or_default());
            self.put(&place, &url, &[]);
        }
    }

    /// Names the headers that are signed where the message itself says which.
    fn list_headers(&mut self, signature: &Table) {
        let pieces = table(signature, "pieces").map(Table::entries).into_iter().flatten();
        for fields in pieces.filter_map(|(_, piece)| as_table(piece)) {
            let names = table(fields, "from").and_then(|from| table(from, "headers")).and_then(place);
            let Some(place) = names else { continue };
            let required = list(fields, "required").unwrap_or_default().iter().filter_map(first_text);
            let names: Vec<String> = required.collect();
            self.put(&place, &names.join(&text(fields, "separator").unwrap_or_else(|| ",".into())), &[]);
        }
    }

    fn finish(self, is_form: bool, signs_query: bool, each: Option<String>) -> Sample {
        let pairs = |pairs: &[(String, String)]| {
            pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
        };
        let mut query = self.query;
        query.push(("tenant".into(), "Ab12".into()));
        let mut url = "https://hooks.example.com/in/source".to_owned();
        // A form and a query beside it are two lists of fields.
        if !is_form || signs_query {
            url = format!("{url}?{}", pairs(&query));
        }
        let body = if is_form {
            let mut form = vec![("note".to_owned(), MARKER.to_owned())];
            form.extend(self.form);
            pairs(&form)
        } else {
            let mut whole = json!({ "note": MARKER });
            let mut item = if each.is_some() { json!({}) } else { whole.clone() };
            for (pointer, value) in &self.json {
                *reach(&mut item, pointer) = json!(value);
            }
            match each {
                Some(pointer) => *reach(&mut whole, &pointer) = json!([item]),
                None => whole = item,
            }
            whole.to_string()
        };
        Sample { url, headers: self.headers, body }
    }
}

/// The value at `pointer`, made on the way: a number is the place in a list.
fn reach<'v>(whole: &'v mut Json, pointer: &str) -> &'v mut Json {
    pointer.split('/').skip(1).fold(whole, |value, step| {
        if let Ok(index) = step.parse::<usize>() {
            if !value.is_array() {
                *value = json!([]);
            }
            let items = value.as_array_mut().expect("a list");
            items.resize(items.len().max(index + 1), json!({}));
            return &mut items[index];
        }
        if !value.is_object() {
            *value = json!({});
        }
        &mut value[step.replace("~1", "/").replace("~0", "~")]
    })
}

/// Where the signer writes the signature, the time and the id.
fn filled_in(parts: &Table, signature: &Table) -> Vec<Place> {
    let mut places: Vec<Place> = place(signature).into_iter().collect();
    places.extend(table(parts, "timestamp").and_then(place));
    if let Some(id) = table(parts, "event").and_then(|event| event.value("id")) {
        let ids = match &id.node {
            Node::List(ids) => ids.iter().filter_map(as_table).collect(),
            _ => as_table(id).into_iter().collect::<Vec<_>>(),
        };
        // Only in a header does it write one.
        places.extend(ids.into_iter().filter_map(place).filter(|(kind, _)| kind == "header"));
    }
    places
}

/// True where the message is a form.
fn is_form(parts: &Table, signature: &Table) -> bool {
    let fields = table(signature, "pieces").map(Table::entries).into_iter().flatten();
    let mut from = fields.filter_map(|(_, piece)| text(as_table(piece)?, "from"));
    filled_in(parts, signature).iter().any(|(kind, _)| kind == "form")
        || from.any(|from| from == "form")
        || texts(signature).iter().flat_map(|template| places(template)).any(|(kind, _)| kind == "form")
        || text(signature, "algorithm").as_deref() == Some("bespoke:paytm")
}

/// The places that a template's pieces read: `{json/id|lower}.{body}` reads `("json", "/id")`.
fn places(template: &str) -> Vec<Place> {
    let pieces = template.split('{').filter_map(|text| text.split_once('}'));
    let names = pieces.map(|(piece, _)| piece.split('|').next().unwrap_or_default().trim().trim_end_matches('?'));
    let place = |name: &str| match name.strip_prefix("json").filter(|pointer| pointer.starts_with('/')) {
        Some(pointer) => Some(("json".to_owned(), pointer.to_owned())),
        None => name.split_once('.').map(|(kind, name)| normal(kind, name)),
    };
    names.filter_map(place).collect()
}

/// The place that a table names.
fn place(table: &Table) -> Option<Place> {
    let kinds = ["header", "query", "form", "json"];
    kinds.iter().find_map(|kind| Some(normal(kind, &table.value(kind).and_then(first_text)?)))
}

/// Headers have one name in any case.
fn normal(kind: &str, name: &str) -> Place {
    let name = if kind == "header" { name.to_ascii_lowercase() } else { name.to_owned() };
    (kind.to_owned(), name)
}

/// Every text of a table, at any depth.
fn texts(table: &Table) -> Vec<String> {
    fn gather(value: &Value, found: &mut Vec<String>) {
        match &value.node {
            Node::Text(text) => found.push(text.clone()),
            Node::List(items) => items.iter().for_each(|item| gather(item, found)),
            Node::Table(table) => table.entries().for_each(|(_, value)| gather(value, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    table.entries().for_each(|(_, value)| gather(value, &mut found));
    found
}

/// True where a signature may stand alone at its place, without anything around it.
pub fn may_be_bare(parts: &Table) -> bool {
    let forms = table(parts, "signature").and_then(|signature| list(signature, "value")).unwrap_or_default();
    forms.iter().any(|form| first_text(form).as_deref() == Some("{signature}"))
}

/// The text of a value, or the first of its list.
fn first_text(value: &Value) -> Option<String> {
    match &value.node {
        Node::Text(text) => Some(text.clone()),
        Node::List(items) => items.iter().find_map(first_text),
        _ => None,
    }
}

pub fn table<'t>(document: &'t Table, key: &str) -> Option<&'t Table> {
    as_table(document.value(key)?)
}

/// The text at `key`, or the first of the list there.
pub fn text(table: &Table, key: &str) -> Option<String> {
    first_text(table.value(key)?)
}

fn as_table(value: &Value) -> Option<&Table> {
    match &value.node {
        Node::Table(table) => Some(table),
        _ => None,
    }
}

fn list<'t>(table: &'t Table, key: &str) -> Option<&'t [Value]> {
    match &table.value(key)?.node {
        Node::List(items) => Some(items),
        _ => None,
    }
}

fn tables<'t>(table: &'t Table, key: &str) -> Vec<&'t Table> {
    list(table, key).unwrap_or_default().iter().filter_map(as_table).collect()
}

#[test]
fn places_are_read_from_templates_as_presets_write_them() {
    let place = |kind: &str, name: &str| (kind.to_owned(), name.to_owned());
    let read = places("[id:{query.data.id|lower};]{header.X-Id?}.{json/a/b}{{{form.c}}}{body|sha256}{timestamp}");
    let expected = [place("query", "data.id"), place("header", "x-id"), place("json", "/a/b"), place("form", "c")];
    assert_eq!(read, expected);
    let mut value = json!({ "kept": 1 });
    *reach(&mut value, "/value/0/state") = json!("x");
    assert_eq!(value, json!({ "kept": 1, "value": [{ "state": "x" }] }));
}
