//! `[[source.route]]`: other ways for some of a source's events.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::environment::Environment;
use super::upstream::{Ends, Wanted};
use crate::delivery::rendering::Rendering;
use crate::document::{Fault, Node, Reader, Value, nearest};
use crate::gateway::routing::{Branch, Conditions, SourceRoute, To};
use crate::name::matches;
use crate::signature::json::Pointer;
use crate::signature::preset::Preset;
use crate::signature::profile::Profile;
use crate::template::Template;

/// What a route has of its source.
pub struct Context<'c> {
    pub source: &'c str,
    pub preset: Option<&'c Preset>,
    pub profile: &'c Profile,
    pub stores: bool,
    pub connect_timeout: Duration,
    pub timeout: Duration,
    pub environment: &'c Environment,
}

/// A source's routes.
pub struct Routes {
    pub routes: Vec<SourceRoute>,
    /// The last one, where it takes everything.
    pub otherwise: Option<Branch>,
}

/// Reads them all, in their order.
pub fn read(source: &Reader<'_>, context: &Context<'_>, warnings: &mut Vec<Fault>) -> Routes {
    let (mut routes, mut otherwise): (Vec<SourceRoute>, Option<Branch>) = (Vec::new(), None);
    for (index, reader) in source.tables("route").into_iter().enumerate() {
        let name = reader.text("name").map_or_else(|| (index + 1).to_string(), |name| name.value.to_owned());
        let label = format!("source \"{}\": route \"{name}\"", context.source);
        reader.relabel(label);
        check_name(&reader, &name, &routes);
        let when = read_conditions(&reader, context);
        let to = read_to(&reader, context, warnings);
        let place = reader.place();
        let fault = |text: String| source.fault(place.clone(), format!("route \"{name}\": {text}"));
        reader.finish();
        if otherwise.is_some() {
            fault("nothing reaches it, the one before it takes every event".into());
        }
        let (Some(when), Some(to)) = (when, to) else { continue };
        let branch = Branch { name: Some(name.clone()), to };
        if when.types.is_empty() && when.json.is_empty() {
            otherwise = Some(branch);
            continue;
        }
        if let Some(first) = routes.iter().find(|first| first.when.cover(&when)) {
            let first = first.branch.name.as_deref().unwrap_or_default();
            fault(format!("nothing reaches it, route \"{first}\" takes all of its events"));
        }
        routes.push(SourceRoute { when, branch });
    }
    Routes { routes, otherwise }
}

impl Conditions {
    /// True if every event that meets `other` meets these.
    fn cover(&self, other: &Self) -> bool {
        let type_is = |pattern: &String| self.types.iter().any(|known| matches(known, pattern));
        let types = self.types.is_empty() || (!other.types.is_empty() && other.types.iter().all(type_is));
        let json = self.json.iter().all(|(pointer, texts)| {
            let narrower =
                |known: &(Pointer, Vec<String>)| known.0 == *pointer && known.1.iter().all(|text| texts.contains(text));
            other.json.iter().any(narrower)
        });
        types && json
    }
}

fn check_name(reader: &Reader<'_>, name: &str, others: &[SourceRoute]) {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let place = reader.place_of("name");
    if !(1..=64).contains(&name.len()) || !name.chars().all(plain) {
        reader.fault(place, "name: it is not 1 to 64 letters, digits, '-', '_' and '.'");
    } else if others.iter().any(|other| other.branch.name.as_deref() == Some(name)) {
        reader.fault(place, format!("name: there is another route \"{name}\""));
    }
}

/// Which events it is for; `None` if there is a fault in it.
fn read_conditions(reader: &Reader<'_>, context: &Context<'_>) -> Option<Conditions> {
    let before = reader.faults().count();
    let types = match reader.value("type") {
        None => Vec::new(),
        Some(Value { node: Node::List(_), .. }) => reader.texts("type").unwrap_or_default(),
        Some(_) => reader.text("type").into_iter().collect(),
    };
    if reader.has("type") {
        let place = reader.place_of("type");
        if !context.profile.scheme.has_event_type() {
            let text = "type: where this provider says it is not known, write event = { type = { json = \"/type\" } } in the source";
            reader.fault(place, text);
        } else if types.is_empty() && reader.faults().count() == before {
            reader.fault(place, "type: an empty list matches nothing, leave it out to want any type");
        }
    }
    for text in &types {
        if text.value.strip_suffix('*').unwrap_or(text.value).contains('*') || text.value.is_empty() {
            let wrong = "is not a type, or what types begin with and '*', for example \"invoice.*\"";
            reader.fault(text.place.clone(), format!("type: \"{}\" {wrong}", text.value));
        }
    }
    let mut json = Vec::new();
    let wanted = reader.table("json");
    for (key, value) in wanted.iter().flat_map(|wanted| wanted.as_table().entries()) {
        let pointer = Pointer::parse(key);
        let texts = read_texts(value);
        match (pointer, texts) {
            (Ok(pointer), Some(texts)) => json.push((pointer, texts)),
            (Err(wrong), _) => reader.fault(value.place.clone(), format!("json: {wrong}")),
            (_, None) => {
                let wrong =
                    format!("json: what should stand at {key} is a text, a number, a boolean, or a list of them");
                reader.fault(value.place.clone(), wrong);
            }
        }
    }
    let types = types.iter().map(|text| text.value.to_owned()).collect();
    (reader.faults().count() == before).then_some(Conditions { types, json })
}

/// The texts of one value or of a list of values, at least one.
fn read_texts(value: &Value) -> Option<Vec<String>> {
    let text = |value: &Value| match &value.node {
        Node::Text(text) => Some(text.clone()),
        Node::Integer(number) => Some(number.to_string()),
        Node::Boolean(yes) => Some(yes.to_string()),
        Node::Other("a fraction" | "a number out of range", text) => Some(text.clone()),
        _ => None,
    };
    match &value.node {
        Node::List(items) if items.is_empty() => None,
        Node::List(items) => items.iter().map(text).collect(),
        _ => text(value).map(|text| vec![text]),
    }
}

/// Where it leads; `None` if there is a fault in it.
fn read_to(reader: &Reader<'_>, context: &Context<'_>, warnings: &mut Vec<Fault>) -> Option<To> {
    const WAY: [&str; 7] =
        ["upstream", "upstream_timeout", "upstream_connect_timeout", "ca_file", "template", "metadata", "data"];
    let before = reader.faults().count();
    let rendering = read_rendering(reader, context, warnings);
    let renders = reader.has("template");
    let wanted = Wanted { stores: context.stores, renders, environment: context.environment };
    let upstreams = Ends::read(reader, wanted).upstreams(context.connect_timeout, context.timeout);
    if reader.boolean("drop") == Some(true) {
        for key in WAY.into_iter().filter(|key| reader.has(key)) {
            reader.fault(reader.place_of(key), format!("{key}: what is dropped goes nowhere, leave it out"));
        }
        return (reader.faults().count() == before).then_some(To::Nowhere);
    }
    if !reader.has("upstream") {
        reader.missing("upstream", "\"http://127.0.0.1:3000/webhooks\"; or drop = true");
    }
    (reader.faults().count() == before && !upstreams.is_empty()).then_some(To::Upstreams { upstreams, rendering })
}

/// `template`, with what it is told: `None` where events arrive as they came, or if there is a fault in it.
fn read_rendering(reader: &Reader<'_>, context: &Context<'_>, warnings: &mut Vec<Fault>) -> Option<Arc<Rendering>> {
    let mut metadata = BTreeMap::new();
    let table = reader.table("metadata");
    for (key, value) in table.iter().flat_map(|table| table.as_table().entries()) {
        match &value.node {
            Node::Text(text) => drop(metadata.insert(key.to_owned(), text.clone())),
            _ => reader.wrong_kind(&format!("metadata: {key}"), value, "a string, put it in quotes"),
        }
    }
    let data = reader.parse("data", Pointer::parse);
    let Some(value) = reader.value("template") else {
        for key in ["metadata", "data"].into_iter().filter(|key| reader.has(key)) {
            reader.fault(reader.place_of(key), format!("{key}: it is for a template, and there is none"));
        }
        return None;
    };
    let template = match &value.node {
        Node::Text(name) => match named(name, context.preset) {
            Ok(template) => Some(template),
            Err(wrong) => {
                reader.fault(value.place.clone(), format!("template: {wrong}"));
                None
            }
        },
        Node::Table(table) => from_file(&reader.inner("template", table), warnings),
        _ => {
            reader.wrong_kind("template", value, "a template's name, or { file = \"./pager.json.jinja\" }");
            None
        }
    };
    Some(Arc::new(Rendering {
        template: template?,
        scheme: context.profile.scheme.clone(),
        data: data.or_else(|| context.preset.and_then(Preset::data)),
        metadata,
        source: context.source.to_owned(),
    }))
}

/// The provider's template of this name goes before the general one.
fn named(name: &str, preset: Option<&Preset>) -> Result<Template, String> {
    let of_preset = preset.into_iter().flat_map(|preset| preset.profile.emission.templates.values());
    let known: Vec<&Template> = of_preset.chain(Template::general()).collect();
    if let Some(template) = known.iter().find(|known| known.name() == name) {
        return Ok((*template).clone());
    }
    let hint = match nearest(name, known.iter().map(|known| known.name())) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => "write { file = \"…\" } for one of your own".to_owned(),
    };
    Err(format!("there is no template \"{name}\", {hint}"))
}

/// An operator's own, called as its file is.
fn from_file(reader: &Reader<'_>, warnings: &mut Vec<Fault>) -> Option<Template> {
    let template = reader.parse("file", |file| {
        let text = std::fs::read_to_string(file).map_err(|error| format!("cannot read {file}: {error}"))?;
        let name = Path::new(file).file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        let name = name.split('.').next().filter(|name| !name.is_empty() && !name.contains(' ')).unwrap_or("own");
        Template::compile(name, &text).map_err(|wrong| format!("{file}: {wrong}"))
    });
    if !reader.has("file") {
        reader.missing("file", "\"/etc/hookward/pager.json.jinja\"");
    }
    if let Some(Err(wrong)) = template.as_ref().map(Template::try_out) {
        let text = format!("template: on an event whose data is {{\"id\": \"sample\"}} it fails: {wrong}");
        warnings.push(Fault { place: reader.place_of("file"), text });
    }
    template
}
