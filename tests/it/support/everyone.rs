//! A configuration with a source for every provider.

use std::fmt::Write;

use hookward::signature::preset::Preset;
use hookward::signature::secret::SecretForm;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256};

/// A source for every provider, and the variables that their secrets are in.
pub struct Everyone {
    /// The `[[source]]` tables.
    pub sources: String,
    pub environment: Vec<(&'static str, String)>,
}

impl Everyone {
    /// All of them at `/in/` and their slug, in front of `upstream`.
    pub fn in_front_of(upstream: &str) -> Self {
        let public_key = |algorithm| KeyPair::generate_for(algorithm).expect("a key").public_key_pem();
        let environment = vec![
            ("EVERYONE_TEXT", "a-secret-of-32-bytes-0123456789a".to_owned()),
            ("EVERYONE_AES", "0123456789abcdef".to_owned()),
            ("EVERYONE_HEX", "44782DEF547AAA06C910C43932B1EB0C".to_owned()),
            ("EVERYONE_BASE64", "MDEyMzQ1Njc4OWFiY2RlZg==".to_owned()),
            ("EVERYONE_WHSEC", "whsec_MDEyMzQ1Njc4OWFiY2RlZg==".to_owned()),
            ("EVERYONE_RSA", public_key(&PKCS_RSA_SHA256)),
            ("EVERYONE_ECDSA", public_key(&PKCS_ECDSA_P256_SHA256)),
            ("EVERYONE_ED25519", public_key(&PKCS_ED25519)),
        ];
        let mut sources = String::new();
        for preset in Preset::all() {
            source(&mut sources, preset, upstream);
        }
        Self { sources, environment }
    }
}

fn source(text: &mut String, preset: &Preset, upstream: &str) {
    let (slug, scheme) = (&preset.slug, &preset.profile.scheme);
    let _ = writeln!(text, "[[source]]\nname = \"{slug}\"\npath = \"/in/{slug}\"\nprovider = \"{slug}\"");
    if scheme.signs_nothing() {
        text.push_str("url_token = { env = \"EVERYONE_TEXT\" }\n");
    } else if !scheme.has_remote_keys() {
        let _ = writeln!(text, "secrets = [{{ env = \"{}\" }}]", variable(preset));
    }
    let wanted = preset.profile.params().into_iter().filter(|(_, optional)| !optional);
    let params: Vec<String> = wanted.map(|(name, _)| format!("{name} = \"our-{name}\"")).collect();
    let _ = writeln!(text, "params = {{ {} }}", params.join(", "));
    if scheme.signs_url() {
        let _ = writeln!(text, "public_url = \"https://hooks.example.com/in/{slug}\"");
    }
    let _ = writeln!(text, "allow = \"any\"\nupstream = \"{upstream}/{slug}\"\n");
}

/// The variable with a secret that the preset can read.
fn variable(preset: &Preset) -> &'static str {
    let scheme = &preset.profile.scheme;
    let computation = scheme.alternatives()[0].computation();
    let is = |words: &[&str]| words.iter().any(|word| computation.contains(word));
    match scheme.secret_form() {
        _ if is(&["rsa", "RS256", "RS512"]) => "EVERYONE_RSA",
        _ if is(&["ecdsa", "ES256"]) => "EVERYONE_ECDSA",
        _ if is(&["ed25519", "EdDSA", "http-message"]) => "EVERYONE_ED25519",
        // A merchant key is an AES-128 key.
        _ if is(&["paytm"]) => "EVERYONE_AES",
        SecretForm::Hex => "EVERYONE_HEX",
        SecretForm::Base64 => "EVERYONE_BASE64",
        SecretForm::Whsec => "EVERYONE_WHSEC",
        _ => "EVERYONE_TEXT",
    }
}
