//! Presets: what each provider promises, as TOML data embedded in the binary.

use std::sync::LazyLock;

use super::profile::Profile;
use crate::document::{Faults, Reader, Table, nearest};

/// One line for each file in `presets/`.
const FILES: [(&str, &str); 75] = [
    ("adyen-payments", include_str!("../../presets/adyen-payments.toml")),
    ("adyen-platform", include_str!("../../presets/adyen-platform.toml")),
    ("airtable", include_str!("../../presets/airtable.toml")),
    ("alipay", include_str!("../../presets/alipay.toml")),
    ("aws-sns", include_str!("../../presets/aws-sns.toml")),
    ("bitbucket", include_str!("../../presets/bitbucket.toml")),
    ("box", include_str!("../../presets/box.toml")),
    ("clerk", include_str!("../../presets/clerk.toml")),
    ("cloudinary-sha1", include_str!("../../presets/cloudinary-sha1.toml")),
    ("coinbase-commerce", include_str!("../../presets/coinbase-commerce.toml")),
    ("contentful", include_str!("../../presets/contentful.toml")),
    ("crypto-pay", include_str!("../../presets/crypto-pay.toml")),
    ("cyberark-vaas", include_str!("../../presets/cyberark-vaas.toml")),
    ("cyberark-vaas-timestamped", include_str!("../../presets/cyberark-vaas-timestamped.toml")),
    ("discord", include_str!("../../presets/discord.toml")),
    ("docusign", include_str!("../../presets/docusign.toml")),
    ("dropbox-sign", include_str!("../../presets/dropbox-sign.toml")),
    ("easypost", include_str!("../../presets/easypost.toml")),
    ("fingerprint", include_str!("../../presets/fingerprint.toml")),
    ("fondy", include_str!("../../presets/fondy.toml")),
    ("getstream", include_str!("../../presets/getstream.toml")),
    ("github", include_str!("../../presets/github.toml")),
    ("github-copilot", include_str!("../../presets/github-copilot.toml")),
    ("gitlab", include_str!("../../presets/gitlab.toml")),
    ("gocardless", include_str!("../../presets/gocardless.toml")),
    ("google-pubsub", include_str!("../../presets/google-pubsub.toml")),
    ("heroku", include_str!("../../presets/heroku.toml")),
    ("hubspot", include_str!("../../presets/hubspot.toml")),
    ("hubspot-v1", include_str!("../../presets/hubspot-v1.toml")),
    ("hubspot-v3", include_str!("../../presets/hubspot-v3.toml")),
    ("kick", include_str!("../../presets/kick.toml")),
    ("line", include_str!("../../presets/line.toml")),
    ("linear", include_str!("../../presets/linear.toml")),
    ("livekit", include_str!("../../presets/livekit.toml")),
    ("mailchannels", include_str!("../../presets/mailchannels.toml")),
    ("mailgun", include_str!("../../presets/mailgun.toml")),
    ("mercadopago", include_str!("../../presets/mercadopago.toml")),
    ("messagebird-jwt", include_str!("../../presets/messagebird-jwt.toml")),
    ("meta-whatsapp", include_str!("../../presets/meta-whatsapp.toml")),
    ("mux", include_str!("../../presets/mux.toml")),
    ("notion", include_str!("../../presets/notion.toml")),
    ("openai", include_str!("../../presets/openai.toml")),
    ("paddle", include_str!("../../presets/paddle.toml")),
    ("paytm", include_str!("../../presets/paytm.toml")),
    ("plaid", include_str!("../../presets/plaid.toml")),
    ("plivo-v2", include_str!("../../presets/plivo-v2.toml")),
    ("polar", include_str!("../../presets/polar.toml")),
    ("postmark", include_str!("../../presets/postmark.toml")),
    ("razorpay", include_str!("../../presets/razorpay.toml")),
    ("resend", include_str!("../../presets/resend.toml")),
    ("retell", include_str!("../../presets/retell.toml")),
    ("robokassa", include_str!("../../presets/robokassa.toml")),
    ("sanity", include_str!("../../presets/sanity.toml")),
    ("sendgrid", include_str!("../../presets/sendgrid.toml")),
    ("shopify", include_str!("../../presets/shopify.toml")),
    ("slack", include_str!("../../presets/slack.toml")),
    ("square", include_str!("../../presets/square.toml")),
    ("standard-webhooks", include_str!("../../presets/standard-webhooks.toml")),
    ("stripe", include_str!("../../presets/stripe.toml")),
    ("svix", include_str!("../../presets/svix.toml")),
    ("telnyx", include_str!("../../presets/telnyx.toml")),
    ("twilio", include_str!("../../presets/twilio.toml")),
    ("twitch", include_str!("../../presets/twitch.toml")),
    ("vantastatus", include_str!("../../presets/vantastatus.toml")),
    ("vercel", include_str!("../../presets/vercel.toml")),
    ("vgs", include_str!("../../presets/vgs.toml")),
    ("vgs-timestamped", include_str!("../../presets/vgs-timestamped.toml")),
    ("vinsight", include_str!("../../presets/vinsight.toml")),
    ("vinsight-prose", include_str!("../../presets/vinsight-prose.toml")),
    ("vonage", include_str!("../../presets/vonage.toml")),
    ("vpn-enterprise", include_str!("../../presets/vpn-enterprise.toml")),
    ("wechat-official-account", include_str!("../../presets/wechat-official-account.toml")),
    ("workos", include_str!("../../presets/workos.toml")),
    ("worldline", include_str!("../../presets/worldline.toml")),
    ("zoom", include_str!("../../presets/zoom.toml")),
];

static PRESETS: LazyLock<Vec<Preset>> = LazyLock::new(|| {
    let presets = FILES.iter().map(|(slug, text)| Preset::read(slug, text));
    presets.collect::<Result<_, _>>().unwrap_or_else(|wrong| panic!("an embedded preset is broken: {wrong}"))
});

/// A provider as its preset describes it.
#[derive(Debug, Clone)]
pub struct Preset {
    /// Its name in configuration: kebab-case, stable.
    pub slug: String,
    /// Other names that go on working.
    pub aliases: Vec<String>,
    /// What people call it.
    pub name: String,
    /// Where its webhooks are described.
    pub docs: String,
    /// The day the description was read.
    pub read: String,
    /// How sure we are of it.
    pub confidence: Confidence,
    /// Whose verdict on real requests it passes, where there is one.
    pub confirmed_by: Option<String>,
    /// Where the operator finds the secret.
    pub secret_hint: String,
    /// What an operator should know before relying on it.
    pub notes: Vec<String>,
    /// Its document, with what it extends below it: an operator's keys are laid over this.
    pub document: Table,
    /// What the document says.
    pub profile: Profile,
}

/// Where a preset's facts come from, the surest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confidence {
    /// Requests that the provider's own library signed or confirmed pass.
    Sdk,
    /// The provider's documentation, with an example or sample code that comes out.
    VendorDoc,
    /// Somebody else's code for it.
    Code,
    /// The description that this product was built from, with sample code or a vector that comes out.
    Seed,
    /// The description leaves bytes open; this is one reading of it.
    Unverified,
}

impl Confidence {
    const WORDS: [(&'static str, Self); 5] = [
        ("sdk", Self::Sdk),
        ("vendor-doc", Self::VendorDoc),
        ("code", Self::Code),
        ("seed", Self::Seed),
        ("unverified", Self::Unverified),
    ];

    /// The word of the preset language.
    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(_, confidence)| *confidence == self).map_or("", |(word, _)| word)
    }
}

impl Preset {
    /// Every preset, by slug.
    pub fn all() -> &'static [Self] {
        &PRESETS
    }

    /// The preset with this slug or alias.
    ///
    /// # Errors
    /// A fragment that names the nearest one, or where they are listed.
    pub fn find(name: &str) -> Result<&'static Self, String> {
        let names = |preset: &'static Self| preset.aliases.iter().chain([&preset.slug]);
        if let Some(preset) = PRESETS.iter().find(|preset| names(preset).any(|known| known == name)) {
            return Ok(preset);
        }
        Err(match nearest(name, PRESETS.iter().flat_map(names).map(String::as_str)) {
            Some(near) => format!("\"{name}\" is not a provider, did you mean \"{near}\"?"),
            None => format!("\"{name}\" is not a provider, `hookward providers` lists them"),
        })
    }

    fn read(slug: &str, text: &str) -> Result<Self, String> {
        let faults = Faults::default();
        let document = load(slug, text, &faults);
        let reader = Reader::new(&document, "", &faults);
        let text = |key| match reader.text(key) {
            Some(text) => text.value.to_owned(),
            None => {
                reader.missing(key, "\"…\"");
                String::new()
            }
        };
        let (name, docs, read, secret_hint) = (text("name"), text("docs"), text("read"), text("secret_hint"));
        let confidence = reader.choice("confidence", &Confidence::WORDS);
        let confirmed_by = reader.text("confirmed_by").map(|text| text.value.to_owned());
        if confidence == Some(Confidence::Sdk) && confirmed_by.is_none() {
            reader.missing("confirmed_by", "\"npm:package@version function\"");
        }
        let texts = |key| reader.texts(key).unwrap_or_default().iter().map(|text| text.value.to_owned()).collect();
        let (aliases, notes) = (texts("aliases"), texts("notes"));
        reader.has("extends");
        let profile = Profile::read(&reader, &document, &Table::empty(document.place.clone()));
        reader.finish();
        match (profile, confidence, faults.into_sorted().first()) {
            (Some(profile), Some(confidence), None) => Ok(Self {
                slug: slug.to_owned(),
                aliases,
                name,
                docs,
                read,
                confidence,
                confirmed_by,
                secret_hint,
                notes,
                document,
                profile,
            }),
            (_, _, fault) => Err(fault.map_or_else(|| format!("{slug}: incomplete"), ToString::to_string)),
        }
    }
}

/// A preset's document, laid over the one that it extends. Aliases and notes are not inherited.
fn load(slug: &str, text: &str, faults: &Faults) -> Table {
    let document = Table::parse(&format!("presets/{slug}.toml"), text, faults);
    let Some(base) = Reader::new(&document, "", faults).text("extends") else {
        return document;
    };
    let Some((base, text)) = FILES.iter().find(|(slug, _)| *slug == base.value) else {
        faults.add(base.place, "extends: no such preset");
        return document;
    };
    let mut base = load(base, text, faults);
    base.take("aliases");
    base.take("notes");
    base.overlay(&document)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_embedded_and_sound() {
        let mut slugs: Vec<String> = std::fs::read_dir("presets")
            .expect("the presets")
            .map(|entry| entry.expect("a file").path().file_stem().expect("a name").to_string_lossy().into_owned())
            .collect();
        slugs.sort();
        let embedded: Vec<&str> = Preset::all().iter().map(|preset| preset.slug.as_str()).collect();
        assert_eq!(embedded, slugs);
    }

    #[test]
    fn names_are_found_by_slug_and_alias_and_told_apart() {
        assert_eq!(Preset::find("standardwebhooks").map(|preset| preset.slug.as_str()), Ok("standard-webhooks"));
        assert_eq!(
            Preset::find("strip").err().as_deref(),
            Some("\"strip\" is not a provider, did you mean \"stripe\"?")
        );
        let mut names: Vec<&String> =
            Preset::all().iter().flat_map(|preset| preset.aliases.iter().chain([&preset.slug])).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count, "two presets share a name");
    }

    #[test]
    fn the_span_of_a_schedule_is_the_sum_of_its_waits_within_its_window() {
        let span = |slug| Preset::find(slug).expect("a preset").profile.delivery.retry_span.map(|span| span.as_secs());
        assert_eq!(span("vgs"), Some(99_305));
        assert_eq!(span("vantastatus"), Some(4_860));
        assert_eq!(span("vpn-enterprise"), Some(259_200));
    }
}
