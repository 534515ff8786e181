//! Who gets an event, and with which body. Pure: what it decides is kept in one step with the event.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::bodies::Bodies;
use super::catalogue::{Group, has_all};
use super::destination::Known;
use super::directory::Account;
use super::endpoint::Ordering;
use super::event::{Content, Event, SkipReason, Suppressed};
use super::refusal::Refusal;
use super::resource::asked_for;
use crate::clock::UnixMillis;
use crate::signature::emission::Grouping;
use crate::store::{Begin, Counted, Id, Message, Owed, Trigger};

/// What an event comes to.
#[derive(Debug)]
pub struct Fanout {
    /// The event's own body, which has all there is to make any other.
    pub message: Message,
    /// What endpoints get whose provider writes it otherwise.
    pub variants: Vec<Bytes>,
    pub owed: Vec<Owed>,
    /// What is owed if this is the 1st, 10th, 100th … of such events.
    pub counted: Vec<Counted>,
    /// Who gets it.
    pub chosen: Vec<Arc<str>>,
    /// Who counts such events, and gets some of them.
    pub grouped: Vec<Arc<str>>,
    pub suppressed: Vec<Suppressed>,
    /// Whose template fails on it, and why.
    pub failed: Vec<(Arc<str>, String)>,
}

impl Fanout {
    /// Who gets it, or may.
    pub fn told(&self) -> impl Iterator<Item = &Arc<str>> {
        self.chosen.iter().chain(&self.grouped)
    }
}

/// The window of events that are counted (VGS, "Webhook Grouping", read 2026-11-21).
const WINDOW: Duration = Duration::from_secs(5 * 60);

/// Decides who gets `event` of the account called `name`. `declared` is how the account or the configuration has events
/// of its type told; where neither says so, it is as each endpoint's provider has it.
///
/// # Errors
/// If it names a group or an endpoint that is not there.
pub fn fan_out(
    event: &Event,
    name: &str,
    account: &Account,
    declared: Option<Grouping>,
    now: UnixMillis,
) -> Result<Fanout, Refusal> {
    let mut bodies = Bodies::of(event, name);
    let (mut owed, mut chosen, mut suppressed, mut failed) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut counted, mut grouped) = (Vec::new(), Vec::new());
    let enabled = account.settings.notifications_enabled != Some(false);
    for known in candidates(event, account)? {
        let id: Arc<str> = Arc::clone(&known.id);
        let settings = &known.endpoint.settings;
        let reason = if !enabled {
            Some(SkipReason::NotEnabled)
        } else if !known.endpoint.is_active() {
            Some(SkipReason::Disabled)
        } else if !asked_for(&settings.resources, &event.kind, event.resource.as_ref())
            || !has_all(bodies.value(event), &settings.filter)
        {
            Some(SkipReason::Filtered)
        } else if let Content::Raw { content_type, .. } = &event.content
            && !known.takes_raw(content_type)
        {
            Some(SkipReason::ContentTypeDenied)
        } else {
            None
        };
        let grouping = declared.unwrap_or_else(|| known.emitter.grouping(&event.kind));
        if reason.is_none()
            && grouping == Grouping::ExpRepeat
            && let Some(body) = bodies.around_occurrence(event, known)
        {
            let ordered = settings.ordering == Ordering::Fifo;
            let owed = Owed { ordered, ..Owed::due(Arc::clone(&id), now) };
            counted.push(Counted { destination: Arc::clone(&id), of: event.counted_as(), window: WINDOW, body, owed });
            grouped.push(id);
            continue;
        }
        // One that is skipped can be recovered, or tried out, and then has its provider's body like any other.
        let (variant, reason) = match (bodies.variant(event, known), reason) {
            (Ok(variant), reason) => (variant, reason),
            // Its body is made when it is recovered.
            (Err(_), Some(reason)) => (0, Some(reason)),
            (Err(why), None) => {
                failed.push((Arc::clone(&id), why));
                (0, Some(SkipReason::TemplateFailed))
            }
        };
        let begin = reason.map_or(Begin::Due, |reason| Begin::Skipped(reason.as_str()));
        owed.push(Owed {
            id: Id::new(now),
            destination: Arc::clone(&id),
            variant,
            ordered: settings.ordering == Ordering::Fifo,
            trigger: Trigger::Event,
            begin,
        });
        match reason {
            None => chosen.push(id),
            Some(reason) => suppressed.push(Suppressed { webhook_id: id.to_string(), reason }),
        }
    }
    let (message, variants) = bodies.into_parts();
    Ok(Fanout { message, variants, owed, counted, chosen, grouped, suppressed, failed })
}

/// Those who asked for it, or were named.
fn candidates<'a>(event: &Event, account: &'a Account) -> Result<Vec<&'a Arc<Known>>, Refusal> {
    if let Some(ids) = &event.only {
        let find = |(at, id): (usize, &String)| {
            let found = account.endpoints.get(id.as_str());
            found.ok_or_else(|| Refusal::field(format!("/webhook_ids/{at}"), format!("there is no webhook \"{id}\"")))
        };
        let mut found: Vec<&Arc<Known>> = ids.iter().enumerate().map(find).collect::<Result<_, _>>()?;
        found.sort_by(|a, b| a.id.cmp(&b.id));
        found.dedup_by(|a, b| a.id == b.id);
        return Ok(found);
    }
    let named = match &event.group {
        Some(name) => match account.group(name) {
            Some(group) => Some(group),
            None => return Err(Refusal::field("/group", format!("there is no group \"{name}\""))),
        },
        None => None,
    };
    // Looked at once, and only where somebody asks for what the data says.
    let value = account.groups.values().any(|group| !group.matches.is_empty()).then(|| event.value()).flatten();
    let in_group = |group: &Group| match named {
        Some(named) => named.id == group.id,
        None => !group.matches.is_empty() && has_all(value.as_ref(), &group.matches),
    };
    let wanted = account.endpoints.values().filter(|known| {
        let settings = &known.endpoint.settings;
        let group = settings.group_id.as_ref().and_then(|id| account.groups.get(id));
        known.endpoint.wants(&event.kind) && group.is_none_or(|group| in_group(group))
    });
    Ok(wanted.collect())
}
