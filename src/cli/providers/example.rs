//! What to configure for a provider, and how to try it.

use std::fmt::Write;

use crate::signature::challenge::Challenge;
use crate::signature::preset::Preset;

/// The variable that an example keeps the secret in.
fn variable(preset: &Preset) -> String {
    format!("{}_SECRET", preset.slug.to_uppercase().replace('-', "_"))
}

/// The variable that an example keeps the last part of the URL in.
fn token_variable(preset: &Preset) -> String {
    format!("{}_URL_TOKEN", preset.slug.to_uppercase().replace('-', "_"))
}

/// A source, as TOML. `named` is how the configuration calls the provider.
pub fn source(preset: &Preset, named: &str) -> String {
    let (slug, scheme) = (&preset.slug, &preset.profile.scheme);
    let allow = if preset.profile.addresses.are_unknown() { "any" } else { "provider" };
    let challenges = &preset.profile.challenges;
    let mut text = format!("[[source]]\nname = \"{slug}\"\npath = \"/in/{slug}\"\nprovider = \"{named}\"\n");
    if scheme.signs_nothing() {
        let _ = writeln!(text, "url_token = {{ env = \"{}\" }}", token_variable(preset));
    } else if challenges.iter().any(Challenge::learns) {
        let _ = writeln!(text, "secrets = [{{ file = \"/var/lib/hookward/{slug}-secret\", learn = true }}]");
    } else if !scheme.has_remote_keys() {
        let _ = writeln!(text, "secrets = [{{ env = \"{}\" }}]", variable(preset));
    }
    if challenges.iter().any(Challenge::wants_verify_token) {
        let variable = variable(preset).replace("_SECRET", "_VERIFY_TOKEN");
        let _ = writeln!(text, "verify_token = {{ env = \"{variable}\" }}");
    }
    let params: Vec<String> = preset.profile.params().iter().map(|(name, _)| format!("{name} = \"…\"")).collect();
    if !params.is_empty() {
        let _ = writeln!(text, "params = {{ {} }}", params.join(", "));
    }
    if scheme.signs_url() || challenges.iter().any(Challenge::signs_url) {
        let _ = writeln!(text, "public_url = \"https://hooks.example.com/in/{slug}\"");
    } else if scheme.has_form() {
        text.push_str(
            "# no query in the URL that the provider gets: the fields of its forms are signed, a query is not\n",
        );
    }
    let _ = writeln!(text, "allow = \"{allow}\"\nupstream = \"http://127.0.0.1:3000/webhooks/{slug}\"");
    text
}

/// A line that sends a signed event to a gateway on this machine.
///
/// # Errors
/// Why nobody but the provider can make one, a sentence.
pub fn request(preset: &Preset, named: &str) -> Result<String, &'static str> {
    let (slug, scheme) = (&preset.slug, &preset.profile.scheme);
    if scheme.has_remote_keys() {
        return Err("Only the provider can sign for its published keys: try it with one of its own test events.");
    }
    let secret = if scheme.has_public_keys() {
        // The public key is configured; a private one signs.
        " --secret-file private-key.pem".to_owned()
    } else if scheme.signs_nothing() {
        String::new()
    } else {
        format!(" --secret-env {}", variable(preset))
    };
    let params: String = scheme.params().iter().map(|(name, _)| format!(" --param {name}=…")).collect();
    let url = if scheme.signs_url() {
        format!("https://hooks.example.com/in/{slug}")
    } else if scheme.signs_nothing() {
        format!("\"http://127.0.0.1:8080/in/{slug}/${}\"", token_variable(preset))
    } else {
        format!("http://127.0.0.1:8080/in/{slug}")
    };
    let body = if scheme.has_form() { "form.txt" } else { "event.json" };
    let sign = format!("hookward sign --provider {named}{secret}{params} --body {body}");
    let mut text = format!("{sign} \\\n    --url {url} --format curl");
    // What is signed is the public URL; it is this machine that is asked.
    text.push_str(if scheme.signs_url() {
        " | sed 's|https://hooks.example.com/|http://127.0.0.1:8080/|' | sh\n"
    } else {
        " | sh\n"
    });
    Ok(text)
}
