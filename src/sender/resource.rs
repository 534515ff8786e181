//! What events happen to, and which of them an endpoint asks for.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::refusal::Refusal;
use crate::name::matches;

/// An endpoint names no more than this.
const MOST: usize = 1000;

const LONGEST: usize = 256;

/// What an event happened to, such as one vault or one user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    #[schema(example = "vault", max_length = 256)]
    pub kind: String,
    #[schema(example = "tnt_1", max_length = 256)]
    pub id: String,
    /// Such as `sandbox` or `live`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "live", max_length = 256)]
    pub environment: Option<String>,
}

/// Which resources an endpoint asks for. What is absent may be anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResourceFilter {
    /// The events that it is about: a name or `user.*`; absent for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "proxy.upstream_error", max_length = 256)]
    pub event: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "vault", max_length = 256)]
    pub kind: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "tnt_1", max_length = 256)]
    pub id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "live", max_length = 256)]
    pub environment: Option<String>,
}

impl Resource {
    /// Checks it, as it was given.
    ///
    /// # Errors
    /// The field that is wrong, below `/resource`.
    pub fn check(&self) -> Result<(), Refusal> {
        let fields = [("kind", Some(&self.kind)), ("id", Some(&self.id)), ("environment", self.environment.as_ref())];
        check_texts(&fields, "/resource")
    }
}

impl ResourceFilter {
    fn is_about(&self, kind: &str) -> bool {
        self.event.as_ref().is_none_or(|pattern| matches(pattern, kind))
    }

    fn has(&self, resource: &Resource) -> bool {
        self.kind.as_ref().is_none_or(|kind| *kind == resource.kind)
            && self.id.as_ref().is_none_or(|id| *id == resource.id)
            && (self.environment.is_none() || self.environment == resource.environment)
    }
}

/// True if an event of this type, which happened to `resource`, is asked for: where no filter is about it, it is.
pub fn asked_for(filters: &[ResourceFilter], kind: &str, resource: Option<&Resource>) -> bool {
    let mut about = filters.iter().filter(|filter| filter.is_about(kind)).peekable();
    about.peek().is_none() || about.any(|filter| resource.is_some_and(|resource| filter.has(resource)))
}

/// Checks them, as they were given.
///
/// # Errors
/// The field that is wrong, below `/resources`.
pub fn check_filters(filters: &[ResourceFilter]) -> Result<(), Refusal> {
    if filters.len() > MOST {
        return Err(Refusal::field("/resources", format!("there are more than {MOST}")));
    }
    for (at, filter) in filters.iter().enumerate() {
        let ResourceFilter { event, kind, id, environment } = filter;
        let place = format!("/resources/{at}");
        if kind.is_none() && id.is_none() && environment.is_none() {
            return Err(Refusal::field(place, "it names no resource: give kind, id or environment"));
        }
        let fields = [("event", event), ("kind", kind), ("id", id), ("environment", environment)];
        check_texts(&fields.map(|(name, text)| (name, text.as_ref())), &place)?;
    }
    Ok(())
}

fn check_texts(fields: &[(&str, Option<&String>)], place: &str) -> Result<(), Refusal> {
    let wrong = fields.iter().find(|(_, text)| text.is_some_and(|text| text.is_empty() || text.len() > LONGEST));
    wrong.map_or(Ok(()), |(name, _)| {
        Err(Refusal::field(format!("{place}/{name}"), format!("it has 1 to {LONGEST} characters")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn asks(filters: Value, kind: &str, resource: Option<Value>) -> bool {
        let filters: Vec<ResourceFilter> = serde_json::from_value(filters).expect("filters");
        let resource: Option<Resource> = resource.map(|resource| serde_json::from_value(resource).expect("a resource"));
        asked_for(&filters, kind, resource.as_ref())
    }

    #[test]
    fn none_is_all_and_several_are_any_of_them() {
        let vault = |id: &str| Some(json!({ "kind": "vault", "id": id, "environment": "live" }));
        assert!(asks(json!([]), "a", None) && asks(json!([]), "a", vault("1")));
        let two = json!([{ "kind": "vault", "id": "1" }, { "id": "2" }]);
        assert!(asks(two.clone(), "a", vault("1")) && asks(two.clone(), "a", vault("2")));
        assert!(!asks(two.clone(), "a", vault("3")) && !asks(two, "a", None));
        assert!(!asks(json!([{ "environment": "sandbox" }]), "a", vault("1")));
        assert!(asks(json!([{ "environment": "live" }]), "a", vault("1")));
    }

    #[test]
    fn those_of_one_event_say_nothing_of_others() {
        let filters = json!([{ "event": "route.*", "kind": "vault", "id": "1" }]);
        let vault = |id: &str| Some(json!({ "kind": "vault", "id": id }));
        assert!(
            asks(filters.clone(), "route.created", vault("1")) && !asks(filters.clone(), "route.created", vault("2"))
        );
        assert!(asks(filters, "user.logged_in", vault("2")));
    }

    #[test]
    fn one_that_names_nothing_is_refused_where_it_stands() {
        let refused = |filters: Value| {
            let filters: Vec<ResourceFilter> = serde_json::from_value(filters).expect("filters");
            check_filters(&filters).map_err(|refusal| refusal.errors[0].pointer.clone()).err()
        };
        assert_eq!(refused(json!([{ "id": "1" }])), None);
        assert_eq!(refused(json!([{ "id": "1" }, { "event": "a" }])).as_deref(), Some("/resources/1"));
        assert_eq!(refused(json!([{ "kind": "" }])).as_deref(), Some("/resources/0/kind"));
        assert_eq!(refused(json!([{ "id": "x".repeat(257) }])).as_deref(), Some("/resources/0/id"));
    }
}
