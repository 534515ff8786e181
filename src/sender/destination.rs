//! From an endpoint to a destination that deliveries go to, and what of its settings is in force.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, StatusCode};
use tokio::time::Instant;

use super::catalogue::check_pointers;
use super::checks::{
    check_policy, check_rate, check_texts, check_url, rate, read_headers, read_statuses, trusting, write_authorization,
};
use super::directory::Account;
use super::emitter::{Emitter, Emitters};
use super::endpoint::{Endpoint, Ordering, Retry, Settings, describe, positive};
use super::refusal::{Code, Refusal};
use super::resource::check_filters;
use super::secret::Secrets;
use super::webhook::{InForce, masked};
use crate::clock::UnixMillis;
use crate::delivery::destination::{Destination, Way};
use crate::delivery::signing::{Signing, TimedSecret};
use crate::egress::{Exit, Guard, Pool, Refused};
use crate::quantity::format_duration;
use crate::schedule::Schedule;
use crate::signature::emission::{Exhausted, Policy, SecretScope, Success};
use crate::signature::secret::Secret;
use crate::store::Consequence;
use crate::telemetry::metrics::DeliveryMetrics;
use crate::template::Template;

/// No attempt takes longer.
const MAX_TIMEOUT: Duration = Duration::from_secs(60);

/// How much longer than an attempt its lease lasts.
const LEASE_MARGIN: Duration = Duration::from_secs(10);

/// How long a name may take at creation; one that does not come out by then is judged when it is dialled.
const NAME_TIMEOUT: Duration = Duration::from_secs(2);

/// Makes destinations of endpoints.
#[derive(Debug)]
pub struct Builder {
    emitters: Emitters,
    exit: Exit,
    disable_after: Option<Duration>,
    max_in_flight: usize,
    /// The operator's.
    templates: Vec<Template>,
    metrics: Arc<DeliveryMetrics>,
}

/// An endpoint that is in force, and what deliveries to it need.
#[derive(Debug)]
pub struct Known {
    pub id: Arc<str>,
    pub endpoint: Endpoint,
    pub emitter: Arc<Emitter>,
    /// What its bodies are made by, if not its provider's envelope; why there is none, if it names one that is gone.
    pub template: Option<Result<Template, String>>,
    /// What is in the way where there is none: an endpoint can be kept that a later configuration does not allow.
    pub destination: Result<Arc<Destination>, Refusal>,
    in_force: InForce,
}

impl Known {
    /// What of its settings is in force, wherever it was said.
    pub fn in_force(&self) -> &InForce {
        &self.in_force
    }

    /// True if its bodies are those that events are kept with, whatever they are.
    pub fn has_standard_body(&self) -> bool {
        self.template.is_none() && self.emitter.has_standard_body && self.emitter.emission.policy.extra_headers
    }

    /// True if it may be sent a body of an app's own that is `content_type`: where a provider sends no headers but its
    /// own, it sends no other content type either.
    pub fn takes_raw(&self, content_type: &str) -> bool {
        let emission = &self.emitter.emission;
        emission.policy.extra_headers || emission.content_type == content_type
    }

    /// Says that it is not sent such a body.
    pub fn denied(&self, content_type: &str) -> Refusal {
        let Emitter { slug, emission, .. } = &*self.emitter;
        let own = emission.content_type.to_str().unwrap_or_default();
        let detail = format!(
            "the event is {content_type}, and {slug}, as which webhook \"{}\" is sent, has only {own}",
            self.id
        );
        Refusal::new(Code::ContentTypeDenied, detail)
    }

    /// Says that there is no body for it, since its template fails.
    pub fn failed(&self, why: &str) -> Refusal {
        let name = self.endpoint.settings.template.as_deref().unwrap_or_default();
        let detail = format!("the template \"{name}\" of webhook \"{}\" fails on this event: {why}", self.id);
        Refusal::new(Code::TemplateFailed, detail)
    }
}

impl Builder {
    /// Destinations by way of `exit`. What an endpoint does not say of itself is as here.
    pub fn new(
        emitters: Emitters,
        exit: Exit,
        disable_after: Option<Duration>,
        max_in_flight: usize,
        templates: Vec<Template>,
        metrics: Arc<DeliveryMetrics>,
    ) -> Self {
        Self { emitters, exit, disable_after, max_in_flight, templates, metrics }
    }

    /// The template that a webhook of this provider means by `name`: the operator's, else the provider's, else one for
    /// any event.
    fn template(&self, name: &str, emitter: &Emitter) -> Result<Template, String> {
        let all = || self.templates.iter().chain(emitter.emission.templates.values()).chain(Template::general());
        let found = all().find(|template| template.name() == name).cloned();
        found.ok_or_else(|| format!("there is no template \"{name}\", only {}", names_of(all()).join(", ")))
    }

    /// Those that webhooks of any provider can name.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        self.templates.iter().chain(Template::general())
    }

    /// What a webhook's provider may be.
    pub fn emitters(&self) -> &Emitters {
        &self.emitters
    }

    /// What an endpoint of this provider may be. What the operator excepts wins.
    fn guard(&self, policy: &Policy) -> Guard {
        let guard = self.exit.guard.as_deref().cloned().unwrap_or_default();
        Guard { ports: policy.ports.clone(), ..guard }
    }

    /// Refuses a URL that may not be reached: by how it is written, and by what its name comes to now. It is judged
    /// again whenever it is dialled, since a name may come to something else by then.
    ///
    /// # Errors
    /// Why not; without the address, which a stranger could be asking for.
    pub async fn check_address(&self, settings: &Settings) -> Result<(), Refusal> {
        let guard = self.guard(&self.emitters.find(&settings.provider)?.emission.policy);
        let url = check_url(&guard, settings)?;
        if self.exit.proxy.is_some() || url.target.host.parse::<IpAddr>().is_ok() {
            return Ok(());
        }
        let until = Instant::now() + NAME_TIMEOUT;
        let looked = self.exit.resolver.resolve(&url.target.host, url.target.port, until).await;
        let Ok(addresses) = looked else { return Ok(()) };
        guard.permits_all(&addresses).map_err(|refused| {
            let text = match refused {
                Refused::Port { .. } => refused.to_string(),
                _ => format!(
                    "{} comes to an address that is not public, and [egress] allow does not name it",
                    url.target.host
                ),
            };
            Refusal::field_as(Code::AddressNotAllowed, "/url", text)
        })
    }

    /// What an endpoint of `account` comes to, if all that it says can be used.
    ///
    /// # Errors
    /// The first field that cannot.
    pub fn check(&self, endpoint: &Endpoint, account: &Account) -> Result<Known, Refusal> {
        let settings = &endpoint.settings;
        check_texts(settings)?;
        check_policy(settings, self.emitters.find(&settings.provider)?)?;
        if let Some(group) = &settings.group_id
            && !account.groups.contains_key(group)
        {
            return Err(Refusal::field("/group_id", format!("there is no group \"{group}\"")));
        }
        check_pointers(&settings.filter).map_err(|refusal| refusal.within("/filter"))?;
        check_filters(&settings.resources)?;
        if let Some(limit) = settings.rate_limit {
            check_rate(limit)?;
        }
        let known = self.known(endpoint.clone(), account);
        known.destination.as_ref().map_err(Clone::clone)?;
        if let Some(Err(wrong)) = &known.template {
            return Err(Refusal::field("/template", wrong));
        }
        Ok(known)
    }

    /// The same for one that is kept already: what cannot be used any more stands in its destination's place.
    pub fn known(&self, endpoint: Endpoint, account: &Account) -> Known {
        let emitter = self.emitters.find(&endpoint.settings.provider).unwrap_or_else(|_| Emitters::standard());
        let template = endpoint.settings.template.as_deref().map(|name| self.template(name, emitter));
        let id: Arc<str> = endpoint.id.as_str().into();
        let (mut in_force, destination) = match self.terms(&endpoint.settings, emitter, account) {
            Ok(terms) => {
                let in_force = terms.in_force(secrets_of(&endpoint, account, emitter).current());
                (in_force, self.destination(&id, &endpoint, account, terms).map(Arc::new))
            }
            Err(refusal) => (self.nothing_in_force(endpoint.secrets.current()), Err(refusal)),
        };
        in_force.in_the_way = destination.as_ref().err().map(|wrong| format!("nothing can be delivered: {wrong}"));
        Known { id, endpoint, emitter: Arc::clone(emitter), template, destination, in_force }
    }

    fn destination(
        &self,
        id: &Arc<str>,
        endpoint: &Endpoint,
        account: &Account,
        terms: Terms,
    ) -> Result<Destination, Refusal> {
        let settings = &endpoint.settings;
        let emitter = self.emitters.find(&settings.provider)?;
        let policy = &emitter.emission.policy;
        let guard = self.guard(policy);
        let url = check_url(&guard, settings)?;
        let signs = !emitter.scheme.is_optional();
        if signs && policy.secret.scope == SecretScope::Endpoint && endpoint.secrets.current().is_none() {
            let text = "it has none to sign with, since its account had one for it: POST …/rotate-secret makes one";
            return Err(Refusal::field("/secret", text));
        }
        let exit = Exit { guard: Some(Arc::new(guard)), ..self.exit.clone() };
        let exit = match &settings.tls {
            Some(tls) => trusting(&exit, tls)?,
            None => exit,
        };
        let secret = |known: &super::secret::TimedSecret| TimedSecret {
            secret: Secret::new(known.secret.as_bytes().to_vec()),
            until: known.until.map(UnixMillis),
        };
        let signing = Signing {
            endpoint: Arc::clone(id),
            account: endpoint.account.as_str().into(),
            scheme: Arc::clone(&emitter.scheme),
            emission: Arc::clone(&emitter.emission),
            // A template's messages are JSON, whatever its provider sends.
            content_type: match settings.template {
                Some(_) => HeaderValue::from_static("application/json"),
                None => emitter.emission.content_type.clone(),
            },
            secrets: secrets_of(endpoint, account, emitter).iter().map(secret).collect(),
            headers: read_headers(settings)?,
            authorization: settings.authorization.as_ref().map(write_authorization).transpose()?,
            success: Some(terms.success),
            heeds_gone: policy.heeds_gone,
        };
        Ok(Destination {
            name: Arc::clone(id),
            source: super::SOURCE.into(),
            pool: Pool::through(exit, url.target.clone()),
            url,
            timeout: terms.timeout,
            lease: terms.timeout + LEASE_MARGIN,
            schedule: terms.schedule,
            exhausted: consequence(policy.exhausted),
            limit: terms.max_in_flight,
            ordered: settings.ordering == Ordering::Fifo,
            rate: settings.rate_limit.map(rate),
            metrics: Arc::clone(&self.metrics),
            way: Way::Sign(Box::new(signing)),
            routed: false,
        })
    }

    /// What is in force of what endpoint, group, account and provider say, the nearest first.
    fn terms(&self, settings: &Settings, emitter: &Emitter, account: &Account) -> Result<Terms, Refusal> {
        let group = settings.group_id.as_ref().and_then(|id| account.groups.get(id));
        let emission = &emitter.emission;
        let retry = |retry: &Option<Retry>, standard: &Schedule| match retry {
            Some(retry) => {
                retry.schedule(standard).map_err(|(key, wrong)| Refusal::field(format!("/retry/{key}"), wrong))
            }
            None => Ok(standard.clone()),
        };
        let schedule = retry(&account.settings.retry, &emission.schedule)?;
        let schedule = retry(&group.and_then(|group| group.retry.clone()), &schedule)?;
        let schedule = retry(&settings.retry, &schedule)?;
        let said = settings.timeout.as_ref();
        let said = said.or(group.and_then(|group| group.timeout.as_ref())).or(account.settings.timeout.as_ref());
        let timeout = match said {
            Some(text) => positive(text).map_err(|wrong| Refusal::field("/timeout", wrong))?,
            None => emission.timeout,
        };
        if timeout > MAX_TIMEOUT {
            let text =
                format!("it is longer than {}, which is as long as an attempt may take", format_duration(MAX_TIMEOUT));
            return Err(Refusal::field("/timeout", text));
        }
        let success = match &settings.success {
            Some(statuses) => Success::Only(read_statuses(statuses)?),
            None => emission.success.clone(),
        };
        let max_in_flight = match (settings.ordering, settings.max_in_flight) {
            (_, Some(most)) if !(1..=1000).contains(&most) => {
                return Err(Refusal::field("/max_in_flight", "it is not from 1 to 1000"));
            }
            (Ordering::Fifo, _) => 1,
            (Ordering::None, Some(most)) => most as usize,
            (Ordering::None, None) => self.max_in_flight,
        };
        let disable_after = match settings.disable_after.as_deref() {
            None => self.disable_after,
            Some("never") => None,
            Some(text) => Some(positive(text).map_err(|wrong| Refusal::field("/disable_after", wrong))?),
        };
        Ok(Terms { schedule, timeout, success, max_in_flight, disable_after })
    }

    fn nothing_in_force(&self, secret: Option<&str>) -> InForce {
        let disable_after = self.disable_after;
        InForce {
            secret: masked(secret.unwrap_or_default()),
            retry: Retry::default(),
            timeout: String::new(),
            success: Vec::new(),
            max_in_flight: 0,
            disable_after,
            in_the_way: None,
        }
    }
}

/// What its deliveries are signed with. One that was registered before its provider had accounts share a secret keeps its
/// own, which is the one that its receiver knows.
pub fn secrets_of<'a>(endpoint: &'a Endpoint, account: &'a Account, emitter: &Emitter) -> &'a Secrets {
    match emitter.emission.policy.secret.scope {
        SecretScope::Account if endpoint.secrets.current().is_none() => account.secrets(&emitter.slug),
        SecretScope::Account | SecretScope::Endpoint => &endpoint.secrets,
    }
}

fn consequence(exhausted: Exhausted) -> Consequence {
    match exhausted {
        Exhausted::Fail => Consequence::Fail,
        Exhausted::Cancel => Consequence::Cancel,
        Exhausted::Disable => Consequence::Disable,
    }
}

/// The names of templates, each once.
pub fn names_of<'a>(templates: impl Iterator<Item = &'a Template>) -> Vec<String> {
    let mut names: Vec<String> = templates.map(|template| template.name().to_owned()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// How deliveries to an endpoint are made.
struct Terms {
    schedule: Schedule,
    timeout: Duration,
    success: Success,
    max_in_flight: usize,
    disable_after: Option<Duration>,
}

impl Terms {
    fn in_force(&self, secret: Option<&str>) -> InForce {
        InForce {
            secret: masked(secret.unwrap_or_default()),
            retry: describe(&self.schedule),
            timeout: format_duration(self.timeout),
            success: match &self.success {
                Success::Any2xx => Vec::new(),
                Success::Only(statuses) => statuses.iter().map(StatusCode::as_u16).collect(),
            },
            max_in_flight: u32::try_from(self.max_in_flight).unwrap_or(u32::MAX),
            disable_after: self.disable_after,
            in_the_way: None,
        }
    }
}
