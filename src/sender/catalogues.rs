//! What customers do with event types, groups and their account's settings.

use std::sync::Arc;

use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::{Answer, RequestKey};
use super::catalogue::{AccountSettings, EventType, Group, GroupInput, check_event_type};
use super::destination::names_of;
use super::directory::{Account, Copy};
use super::refusal::{Code, Refusal};
use super::{Sender, name};
use crate::signature::emission::Grouping;
use crate::store::{Change, Record, RecordKind};

/// Event types and groups of an account are no more than this.
const MOST: usize = 1000;

/// One event type.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventTypeAnswer {
    /// Always true.
    pub success: bool,
    pub event_type: EventType,
}

/// All event types that an account may emit.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventTypeList {
    /// Always true.
    pub success: bool,
    pub event_types: Vec<EventType>,
    pub total: u64,
}

/// One group.
#[derive(Debug, Serialize, ToSchema)]
pub struct GroupAnswer {
    /// Always true.
    pub success: bool,
    pub group: Group,
}

/// All groups of an account.
#[derive(Debug, Serialize, ToSchema)]
pub struct GroupList {
    /// Always true.
    pub success: bool,
    pub groups: Vec<Group>,
    pub total: u64,
}

/// Something that is gone.
#[derive(Debug, Serialize, ToSchema)]
pub struct Gone {
    /// Always true.
    pub success: bool,
    pub message: &'static str,
}

/// What holds for an account.
#[derive(Debug, Serialize, ToSchema)]
pub struct AccountAnswer {
    /// Always true.
    pub success: bool,
    pub account: AccountView,
}

/// See [`AccountAnswer`].
#[derive(Debug, Serialize, ToSchema)]
pub struct AccountView {
    pub id: String,
    /// How many webhooks it has.
    pub webhooks: u64,
    /// How many it may have.
    pub max_webhooks: u32,
    pub notifications_enabled: bool,
    /// The provider of webhooks that name none.
    pub default_provider: String,
    pub strict_event_types: bool,
    /// What was set for this account; the rest is as the configuration has it.
    pub settings: AccountSettings,
}

/// What customers should know of this sender.
#[derive(Debug, Serialize, ToSchema)]
pub struct Meta {
    /// Always true.
    pub success: bool,
    pub version: &'static str,
    /// From where deliveries come; empty where that is not known.
    pub egress_ips: Vec<String>,
    /// What `provider` of a webhook may be.
    pub providers: Vec<String>,
    /// What `template` of a webhook may be; its provider may have more.
    pub templates: Vec<String>,
}

impl Sender {
    /// What an account may emit, by name.
    ///
    /// # Errors
    /// If the store cannot be asked.
    pub async fn event_types(&self, account: &str) -> Result<EventTypeList, Refusal> {
        self.directory.refresh().await?;
        let copy = self.directory.read();
        let known = copy.account(account);
        let mut all: Vec<EventType> = self.all_types(known).map(|kind| EventType::clone(kind)).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(EventTypeList { success: true, total: all.len() as u64, event_types: all })
    }

    /// One of them.
    ///
    /// # Errors
    /// If there is none, or the store cannot be asked.
    pub async fn find_event_type(&self, account: &str, kind: &str) -> Result<EventTypeAnswer, Refusal> {
        self.directory.refresh().await?;
        let copy = self.directory.read();
        let found =
            self.event_type(copy.account(account), kind).ok_or_else(|| Refusal::not_found("event type", kind))?;
        Ok(EventTypeAnswer { success: true, event_type: EventType::clone(found) })
    }

    /// Makes a new one.
    ///
    /// # Errors
    /// If there is one of this name, or what is wrong with it.
    pub async fn create_event_type(
        &self,
        account: &Arc<str>,
        kind: EventType,
        key: Option<RequestKey>,
    ) -> Result<Answer, Refusal> {
        check_event_type(&kind)?;
        let decided = self.directory.change(|copy| {
            let known = copy.account(account);
            if self.knows(known, &kind.name) {
                return Err(Refusal::new(Code::AlreadyExists, format!("there is an event type \"{}\"", kind.name)));
            }
            limit(known.event_types.len(), "event types")?;
            let answer = Answer::new(StatusCode::CREATED, &EventTypeAnswer { success: true, event_type: kind.clone() });
            let record = self.directory.record(RecordKind::EventType, account, &kind.name, &kind);
            let idempotent = key.map(|key| answer.keep(key, &self.vault, self.clock.millis()));
            Ok((Change { records: vec![record], idempotent, ..self.no_change() }, answer))
        });
        self.outcome(decided.await?, key)
    }

    /// Makes or replaces the one called `name`.
    ///
    /// # Errors
    /// If the configuration has it, or what is wrong with it.
    pub async fn put_event_type(
        &self,
        account: &Arc<str>,
        name: &str,
        kind: EventType,
    ) -> Result<EventTypeAnswer, Refusal> {
        check_event_type(&kind)?;
        if kind.name != name {
            return Err(Refusal::field("/name", format!("it is not \"{name}\", as the path has it")));
        }
        let decided = self.directory.change(|copy| {
            self.refuse_configured(name)?;
            let known = copy.account(account);
            if !known.event_types.contains_key(name) {
                limit(known.event_types.len(), "event types")?;
            }
            let record = self.directory.record(RecordKind::EventType, account, name, &kind);
            Ok((Change { records: vec![record], ..self.no_change() }, ()))
        });
        decided.await?;
        Ok(EventTypeAnswer { success: true, event_type: kind })
    }

    /// Removes one. Webhooks may go on asking for it.
    ///
    /// # Errors
    /// If there is none, or the configuration has it.
    pub async fn delete_event_type(&self, account: &Arc<str>, name: &str) -> Result<Gone, Refusal> {
        self.directory.refresh().await?;
        let decided = self.directory.change(|copy| {
            self.refuse_configured(name)?;
            if !copy.account(account).event_types.contains_key(name) {
                return Err(Refusal::not_found("event type", name));
            }
            Ok((Change { records: vec![gone(RecordKind::EventType, account, name)], ..self.no_change() }, ()))
        });
        decided.await?;
        Ok(Gone { success: true, message: "Event type deleted successfully" })
    }

    /// The groups of an account, the oldest first.
    ///
    /// # Errors
    /// If the store cannot be asked.
    pub async fn groups(&self, account: &str) -> Result<GroupList, Refusal> {
        self.directory.refresh().await?;
        let copy = self.directory.read();
        let groups: Vec<Group> = copy.account(account).groups.values().map(|group| Group::clone(group)).collect();
        Ok(GroupList { success: true, total: groups.len() as u64, groups })
    }

    /// One of them.
    ///
    /// # Errors
    /// If there is none, or the store cannot be asked.
    pub async fn group(&self, account: &str, id: &str) -> Result<GroupAnswer, Refusal> {
        self.directory.refresh().await?;
        let copy = self.directory.read();
        let group = find_group(&copy, account, id)?;
        Ok(GroupAnswer { success: true, group: Group::clone(group) })
    }

    /// Makes a new one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn create_group(
        &self,
        account: &Arc<str>,
        input: GroupInput,
        key: Option<RequestKey>,
    ) -> Result<Answer, Refusal> {
        let now = self.clock.millis();
        let group = input.into_group(name::new_id(name::GROUP, now))?;
        let decided = self.directory.change(|copy| {
            let known = copy.account(account);
            limit(known.groups.len(), "groups")?;
            free_name(known, &group)?;
            let answer = Answer::new(StatusCode::CREATED, &GroupAnswer { success: true, group: group.clone() });
            let record = self.directory.record(RecordKind::Group, account, &group.id, &group);
            let idempotent = key.map(|key| answer.keep(key, &self.vault, now));
            Ok((Change { records: vec![record], idempotent, ..self.no_change() }, answer))
        });
        self.outcome(decided.await?, key)
    }

    /// Replaces one.
    ///
    /// # Errors
    /// If there is none, or what is wrong with it.
    pub async fn put_group(&self, account: &Arc<str>, id: &str, input: GroupInput) -> Result<GroupAnswer, Refusal> {
        self.directory.refresh().await?;
        let group = input.into_group(id.to_owned())?;
        let decided = self.directory.change(|copy| {
            find_group(copy, account, id)?;
            free_name(copy.account(account), &group)?;
            let record = self.directory.record(RecordKind::Group, account, id, &group);
            Ok((Change { records: vec![record], ..self.no_change() }, ()))
        });
        decided.await?;
        Ok(GroupAnswer { success: true, group })
    }

    /// Removes one that no webhook belongs to.
    ///
    /// # Errors
    /// If there is none, or it is in use.
    pub async fn delete_group(&self, account: &Arc<str>, id: &str) -> Result<Gone, Refusal> {
        self.directory.refresh().await?;
        let decided = self.directory.change(|copy| {
            find_group(copy, account, id)?;
            let known = copy.account(account);
            let member = known.endpoints.values().find(|known| known.endpoint.settings.group_id.as_deref() == Some(id));
            if let Some(member) = member {
                let detail = format!("webhook \"{}\" belongs to it: take it out first", member.id);
                return Err(Refusal::new(Code::Conflict, detail));
            }
            Ok((Change { records: vec![gone(RecordKind::Group, account, id)], ..self.no_change() }, ()))
        });
        decided.await?;
        Ok(Gone { success: true, message: "Group deleted successfully" })
    }

    /// What holds for an account.
    ///
    /// # Errors
    /// If the store cannot be asked.
    pub async fn account(&self, name: &str) -> Result<AccountAnswer, Refusal> {
        self.directory.refresh().await?;
        let copy = self.directory.read();
        let known = copy.account(name);
        let settings = known.settings.clone();
        let account = AccountView {
            id: name.to_owned(),
            webhooks: known.endpoints.len() as u64,
            max_webhooks: settings.max_webhooks.unwrap_or(self.settings.max_webhooks),
            notifications_enabled: settings.notifications_enabled != Some(false),
            default_provider: settings.default_provider.clone().unwrap_or_else(|| self.settings.provider.clone()),
            strict_event_types: settings.strict_event_types.unwrap_or(self.settings.strict_event_types),
            settings,
        };
        Ok(AccountAnswer { success: true, account })
    }

    /// Refuses to show an account what it is not enabled for.
    ///
    /// # Errors
    /// Whom to ask.
    pub fn check_enabled(&self, account: &str) -> Result<(), Refusal> {
        self.directory.read().account(account).check_enabled(account)
    }

    /// Decides what holds for an account.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn put_account(&self, name: &Arc<str>, settings: AccountSettings) -> Result<AccountAnswer, Refusal> {
        settings.check(self.emitters())?;
        let decided = self.directory.change(|_| {
            let record = self.directory.record(RecordKind::Account, name, "settings", &settings);
            Ok((Change { records: vec![record], ..self.no_change() }, ()))
        });
        decided.await?;
        self.account(name).await
    }

    /// What customers should know of this sender.
    pub fn meta(&self) -> Meta {
        Meta {
            success: true,
            version: env!("CARGO_PKG_VERSION"),
            egress_ips: self.settings.egress_ips.iter().map(ToString::to_string).collect(),
            providers: self.emitters().all().map(|emitter| emitter.slug.clone()).collect(),
            templates: names_of(self.directory.builder().templates()),
        }
    }

    /// True if an account may emit events of this type where types must be known.
    pub(super) fn knows(&self, account: &Account, kind: &str) -> bool {
        self.event_type(account, kind).is_some()
    }

    pub(super) fn event_type<'a>(&'a self, account: &'a Account, kind: &str) -> Option<&'a Arc<EventType>> {
        self.all_types(account).find(|known| known.name == kind)
    }

    /// How an account, or the configuration, has events of this type told, if either declares it.
    pub(super) fn declared_grouping(&self, account: &Account, kind: &str) -> Option<Grouping> {
        let own = account.event_types.get(kind).or_else(|| self.configured(kind));
        own.map(|declared| declared.grouping)
    }

    pub(super) fn type_names<'a>(&'a self, account: &'a Account) -> impl Iterator<Item = &'a str> {
        self.all_types(account).map(|kind| kind.name.as_str())
    }

    /// The account's own, the configuration's and those of its provider: of several with one name the first.
    fn all_types<'a>(&'a self, account: &'a Account) -> impl Iterator<Item = &'a Arc<EventType>> {
        let configured = &self.settings.event_types;
        let provider = account.settings.default_provider.as_ref().unwrap_or(&self.settings.provider);
        // One that a later configuration does not have has no types either.
        let emitter = self.directory.builder().emitters().find(provider).ok();
        let provided = emitter.into_iter().flat_map(|emitter| &emitter.event_types);
        let own = |kind: &EventType| account.event_types.contains_key(&kind.name);
        let known = configured.iter().filter(move |kind| !own(kind));
        let provided = provided
            .filter(move |kind| !own(kind) && !configured.iter().any(|configured| configured.name == kind.name));
        account.event_types.values().chain(known).chain(provided)
    }

    fn configured(&self, name: &str) -> Option<&Arc<EventType>> {
        self.settings.event_types.iter().find(|kind| kind.name == name)
    }

    fn refuse_configured(&self, name: &str) -> Result<(), Refusal> {
        match self.configured(name) {
            Some(_) => {
                let detail = format!("\"{name}\" stands in the configuration and is changed there");
                Err(Refusal::new(Code::Conflict, detail))
            }
            None => Ok(()),
        }
    }
}

fn find_group<'c>(copy: &'c Copy, account: &str, id: &str) -> Result<&'c Arc<Group>, Refusal> {
    copy.account(account).groups.get(id).ok_or_else(|| Refusal::not_found("group", id))
}

fn free_name(account: &Account, group: &Group) -> Result<(), Refusal> {
    match account.groups.values().find(|other| other.name == group.name && other.id != group.id) {
        Some(_) => Err(Refusal::new(Code::AlreadyExists, format!("there is a group called \"{}\"", group.name))),
        None => Ok(()),
    }
}

fn limit(count: usize, what: &str) -> Result<(), Refusal> {
    if count < MOST {
        return Ok(());
    }
    Err(Refusal::new(Code::LimitReached, format!("there are {MOST} {what}, which is all that an account may have")))
}

fn gone(kind: RecordKind, account: &Arc<str>, id: &str) -> Record {
    Record { kind, account: Arc::clone(account), id: id.into(), document: None }
}
