//! Which providers webhooks may have: the embedded presets that can send, and the operator's own.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, OnceLock};

use super::refusal::{Code, Refusal};
use crate::document::nearest;
use crate::signature::Scheme;
use crate::signature::emission::{Emission, EventType, Grouping};
use crate::signature::preset::Preset;
use crate::signature::secret::Secret;

/// A preset that can send. Its parts are shared by all of its endpoints.
#[derive(Debug)]
pub struct Emitter {
    pub slug: String,
    /// Other names that it has.
    pub aliases: Vec<String>,
    pub scheme: Arc<Scheme>,
    pub emission: Arc<Emission>,
    /// The events that it has.
    pub event_types: Vec<Arc<EventType>>,
    /// The names of those that it does not tell each time.
    grouped: Vec<String>,
    /// True if its bodies are the standard ones.
    pub has_standard_body: bool,
}

/// All that a sender's webhooks may have as their provider. A copy costs little.
#[derive(Debug, Clone, Default)]
pub struct Emitters {
    /// Those that are not embedded, in the operator's order.
    own: Vec<Arc<Emitter>>,
}

/// The embedded presets by slug, each as an emitter once somebody asked for it; those that cannot send say why.
static EMBEDDED: LazyLock<BTreeMap<&str, OnceLock<Made>>> =
    LazyLock::new(|| Preset::slugs().map(|slug| (slug, OnceLock::new())).collect());

/// An emitter, or why there is none.
type Made = Result<Arc<Emitter>, String>;

/// The embedded preset as an emitter.
fn embedded(preset: &'static Preset) -> &'static Made {
    EMBEDDED[preset.slug.as_str()].get_or_init(|| Emitter::of(preset).map(Arc::new))
}

impl Emitters {
    /// Adds one of the operator's own.
    ///
    /// # Errors
    /// If it only describes what others send, or a name of it is another's.
    pub fn add(&mut self, preset: &Preset) -> Result<(), String> {
        let emitter = Emitter::of(preset).map_err(|why| format!("\"{}\" cannot be sent: {why}", preset.slug))?;
        for name in emitter.names() {
            let embedded = Preset::find(name).ok().map(|other| other.slug.as_str());
            let own = self.own.iter().find(|other| other.is_called(name)).map(|other| other.slug.as_str());
            if let Some(other) = embedded.or(own) {
                return Err(if name == other {
                    format!("\"{name}\" is a provider already, call it otherwise")
                } else {
                    format!("\"{name}\" is another name of \"{other}\", call it otherwise")
                });
            }
        }
        self.own.push(Arc::new(emitter));
        Ok(())
    }

    /// Every one of them: the embedded ones by name, then the operator's.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Emitter>> {
        Preset::all().filter_map(|preset| embedded(preset).as_ref().ok()).chain(&self.own)
    }

    /// The one that a webhook names.
    ///
    /// # Errors
    /// If there is no such preset, or it only describes what others send.
    pub fn find(&self, provider: &str) -> Result<&Arc<Emitter>, Refusal> {
        if let Some(emitter) = self.own.iter().find(|emitter| emitter.is_called(provider)) {
            return Ok(emitter);
        }
        let own = self.own.iter().flat_map(|emitter| emitter.names());
        let preset = Preset::find(provider).map_err(|wrong| match nearest(provider, own) {
            Some(near) => format!("\"{provider}\" is not a provider, did you mean \"{near}\"?"),
            None => wrong,
        });
        let preset = preset.map_err(|wrong| Refusal::field("/provider", wrong))?;
        embedded(preset).as_ref().map_err(|why| {
            let text = format!("\"{provider}\" cannot be sent: {why}");
            Refusal::field_as(Code::ProviderCannotSend, "/provider", text)
        })
    }

    /// The one of whoever names none.
    pub fn standard() -> &'static Arc<Emitter> {
        let standard = Preset::find("standard-webhooks").expect("it is embedded");
        embedded(standard).as_ref().expect("a test sends as every preset that can")
    }
}

impl Emitter {
    fn of(preset: &Preset) -> Result<Self, String> {
        preset.can_emit()?;
        let emission = &preset.profile.emission;
        let grouped = emission.event_types.iter().filter(|kind| kind.grouping == Grouping::ExpRepeat);
        Ok(Self {
            slug: preset.slug.clone(),
            aliases: preset.aliases.clone(),
            scheme: Arc::new(preset.profile.scheme.clone()),
            event_types: emission.event_types.iter().cloned().map(Arc::new).collect(),
            grouped: grouped.map(|kind| kind.name.clone()).collect(),
            has_standard_body: emission.envelope.is_default(),
            emission: Arc::new(emission.clone()),
        })
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.slug).chain(&self.aliases).map(String::as_str)
    }

    fn is_called(&self, name: &str) -> bool {
        self.names().any(|own| own == name)
    }

    /// How it tells events of this type.
    pub fn grouping(&self, kind: &str) -> Grouping {
        let grouped = self.grouped.iter().any(|grouped| grouped == kind);
        if grouped { Grouping::ExpRepeat } else { Grouping::EverySingle }
    }

    /// A new secret, as its owner is to be shown it.
    ///
    /// # Errors
    /// If the system has no randomness.
    pub fn new_secret(&self) -> Result<String, Refusal> {
        let mut lacking = None;
        let secret = self.emission.secret.generate(|bytes| lacking = getrandom::fill(bytes).err());
        match lacking {
            None => Ok(String::from_utf8_lossy(secret.expose()).into_owned()),
            Some(error) => Err(Refusal::new(Code::Failed, format!("the system has no randomness: {error}"))),
        }
    }

    /// Refuses a secret that it cannot sign with.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_secret(&self, secret: &str) -> Result<(), Refusal> {
        let secret = Secret::new(secret.as_bytes().to_vec());
        let derived = self.scheme.secret_form().derive(&secret);
        derived.map(drop).map_err(|why| Refusal::field("/secret", format!("it {why}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(slug: &str, more: &str) -> Preset {
        let text = format!("{more}\nextends = \"vgs\"\n");
        Preset::from_file(slug, &format!("{slug}.toml"), &text).unwrap_or_else(|faults| panic!("{faults:?}"))
    }

    fn acme() -> Emitters {
        let mut emitters = Emitters::default();
        emitters.add(&own("acme", "aliases = [\"acme-hooks\"]")).expect("it can send");
        emitters
    }

    #[test]
    fn an_own_provider_is_found_beside_the_embedded_ones() {
        let emitters = acme();
        for (name, slug) in
            [("acme", "acme"), ("acme-hooks", "acme"), ("vgs", "vgs"), ("standardwebhooks", "standard-webhooks")]
        {
            assert_eq!(emitters.find(name).expect("it is there").slug, slug);
        }
        assert_eq!(emitters.all().filter(|emitter| emitter.slug == "acme").count(), 1);
        let refused = |name| emitters.find(name).expect_err("it is not there").errors[0].detail.clone();
        assert_eq!(refused("acmee"), "\"acmee\" is not a provider, did you mean \"acme\"?");
        assert_eq!(refused("strip"), "\"strip\" is not a provider, did you mean \"stripe\"?");
        assert_eq!(refused("sendgrid"), "\"sendgrid\" cannot be sent: it is signed with a private key");
        assert!(Emitters::default().find("acme").is_err());
    }

    #[test]
    fn no_two_providers_share_a_name() {
        let refused = |slug, more| acme().add(&own(slug, more)).expect_err("the name is taken");
        assert_eq!(refused("acme", ""), "\"acme\" is a provider already, call it otherwise");
        assert_eq!(refused("acme-hooks", ""), "\"acme-hooks\" is another name of \"acme\", call it otherwise");
        assert_eq!(refused("stripe", ""), "\"stripe\" is a provider already, call it otherwise");
        assert_eq!(
            refused("standardwebhooks", ""),
            "\"standardwebhooks\" is another name of \"standard-webhooks\", call it otherwise"
        );
        assert_eq!(
            refused("other", "aliases = [\"sendgrid\"]"),
            "\"sendgrid\" is a provider already, call it otherwise"
        );
        let mute = Preset::from_file("mute", "mute.toml", "extends = \"sendgrid\"\n").expect("a preset");
        let refused = acme().add(&mute).expect_err("it has no key");
        assert_eq!(refused, "\"mute\" cannot be sent: it is signed with a private key");
    }
}
