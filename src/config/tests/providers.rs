//! Providers from files of the operator's own.

use std::time::Duration;

use super::{Config, environment, faults, with};

#[test]
fn a_source_has_a_provider_from_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let scheme = "[signature]\nalgorithm = \"hmac-sha256\"\nheader = \"X-Acme\"\nsigns = \"{timestamp}.{body}\"\n[timestamp]\nheader = \"X-Acme-Time\"\ntolerance = \"5m\"\n";
    let acme = own(&folder, "acme.toml", &format!("{scheme}[network]\nallow = [\"203.0.113.0/24\"]\n"));
    let text = with(&format!("provider = \"{acme}\"")).replace("\"any\"", "\"provider\"");
    let config = Config::parse("h.toml", &text, &environment()).expect("a good file");
    let source = &config.gateway.sources[0];
    assert_eq!(source.provider, "acme");
    assert_eq!(source.verified_by[0], "acme;key=1");
    assert!(source.allow.admit("203.0.113.9".parse().expect("an address")).is_ok());
    assert!(source.allow.admit("203.0.114.9".parse().expect("an address")).is_err());
    assert!(config.effective.contains(&format!("provider = \"{acme}\"\n")), "{}", config.effective);
    let line = ("stripe".to_owned(), format!("its provider is \"acme\", from {acme}"));
    assert!(config.about.contains(&line), "{:?}", config.about);

    // Keys of the source win over the file's, as over a preset's.
    let own_header = format!("{text}signature = {{ header = \"X-Other\" }}\n");
    let config = Config::parse("h.toml", &own_header, &environment()).expect("a good file");
    let shown = format!("{:?}", config.gateway.sources[0].proof);
    assert!(shown.contains("x-other") && shown.contains("x-acme-time") && !shown.contains("\"x-acme\""), "{shown}");

    own(&folder, "acme.toml", &scheme.replace("{timestamp}.{body}", "{timestamp}.{boddy}"));
    let found = faults(&text);
    assert!(found[0].starts_with(&format!("{acme}:4:9: [signature]: signs: ")), "{found:#?}");
    assert_eq!(found.len(), 1, "{found:#?}");
    own(&folder, "acme.toml", scheme);
    assert!(faults(&text)[0].contains("allow: acme publishes no addresses"), "{:?}", faults(&text));
    for (path, wanted) in [
        ("nowhere/acme.toml", "source \"stripe\": provider: cannot read nowhere/acme.toml: No such file"),
        ("./acm\u{e9}.toml", "provider: a provider is called as its file is, and \"acm\u{e9}\" is not"),
        ("./.toml", "\".toml\" is not 1 to 64"),
        ("/", "\"\" is not 1 to 64"),
        ("acme-.toml", "\"acme-\" is not 1 to 64"),
    ] {
        let found = faults(&with(&format!("provider = \"{path}\"")));
        assert!(found[0].contains(wanted), "{path}: {found:#?}");
    }
}

/// A sender with `lines`.
fn sending(lines: &str) -> String {
    format!("[store]\nurl = \"sqlite:h.db\"\n[sender]\ntokens = []\n{lines}\n")
}

/// A file of an operator's own provider, in a folder.
fn own(folder: &tempfile::TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, text).expect("a writable folder");
    path.display().to_string()
}

#[test]
fn a_sender_has_providers_of_its_operators_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let acme = own(&folder, "acme.toml", "extends = \"vgs\"\naliases = [\"acme-hooks\"]\n[sender]\ntimeout = \"3s\"\n");
    let config = |lines: &str| Config::parse("h.toml", &sending(lines), &environment()).expect("a good file");
    let good = config(&format!("providers = [\"{acme}\"]\nprovider = \"acme-hooks\""));
    let sender = good.sender.as_ref().expect("a sender");
    assert_eq!(sender.provider, "acme");
    assert_eq!(sender.emitters.find("acme").expect("it is there").emission.timeout, Duration::from_secs(3));
    assert!(good.effective.contains(&format!("providers = [\"{acme}\"]\nprovider = \"acme\"\n")), "{}", good.effective);
    let about = sender.about(&good.egress);
    let wanted = format!("webhooks may have provider \"acme\", from {acme}: a delivery is tried for ");
    assert!(about.iter().any(|line| line.starts_with(&wanted)), "{about:?}");
    assert!(config("").sender.expect("a sender").emitters.find("acme").is_err());

    // What is read again on SIGHUP must say the same.
    let again = config(&format!("providers = [\"{acme}\"]\nprovider = \"acme\""));
    assert_eq!(again.fixed().differences(&good.fixed()), [""; 0]);
    own(&folder, "acme.toml", "extends = \"vgs\"\n[sender]\ntimeout = \"4s\"\n");
    let again = config(&format!("providers = [\"{acme}\"]\nprovider = \"acme\""));
    assert_eq!(again.fixed().differences(&good.fixed()), ["[sender]"]);
}

#[test]
fn a_provider_that_a_sender_cannot_have_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let acme = own(&folder, "acme.toml", "extends = \"vgs\"\n");
    let stripe = own(&folder, "stripe.toml", "extends = \"vgs\"\n");
    let alias = own(&folder, "svix-like.toml", "extends = \"vgs\"\naliases = [\"acme\"]\n");
    let mute = own(&folder, "mute.toml", "extends = \"sendgrid\"\n");
    let loud = own(&folder, "Acme_2.toml", "extends = \"vgs\"\n");
    let broken =
        own(&folder, "broken.toml", "name = \"Broken\"\n\n[signature]\nalgorithm = \"hmac-sha3\"\nheder = \"X\"\n");
    for (lines, wanted) in [
        (
            format!("providers = [\"{stripe}\"]"),
            format!("h.toml:5:14: [sender]: providers: {stripe}: \"stripe\" is a provider already, call it otherwise"),
        ),
        (
            format!("providers = [\"{acme}\", \"{alias}\"]"),
            format!("providers: {alias}: \"acme\" is a provider already"),
        ),
        (format!("providers = [\"{acme}\", \"{acme}\"]"), format!("providers: {acme}: \"acme\" is a provider already")),
        (
            format!("providers = [\"{mute}\"]"),
            format!("providers: {mute}: \"mute\" cannot be sent: it is signed with a private key"),
        ),
        (format!("providers = [\"{loud}\"]"), "\"Acme_2\" is not 1 to 64 of a-z, 0-9 and '-'".into()),
        (format!("providers = [\"{broken}\"]"), format!("{broken}:4:13: [signature]: algorithm: \"hmac-sha3\"")),
        (format!("providers = [\"{broken}\"]"), format!("{broken}:5:1: [signature]: unknown key `heder`")),
        ("providers = [\"nowhere/acme.toml\"]".into(), "providers: cannot read nowhere/acme.toml: No such file".into()),
        (
            "providers = [\"acme\"]".into(),
            "providers: \"acme\" is not the path of a file, for example \"acme.toml\"".into(),
        ),
        (
            format!("providers = [\"{acme}\"]\nprovider = \"acm\""),
            "provider: \"acm\" is not a provider, did you mean \"acme\"?".into(),
        ),
        (
            format!("providers = [\"{acme}\"]\nprovider = \"{acme}\""),
            "is a file: name it in providers, and write \"acme\" here".into(),
        ),
    ] {
        let found = faults(&sending(&lines));
        assert!(found.iter().any(|fault| fault.contains(&wanted)), "{lines}\n wanted {wanted}\n found {found:#?}");
    }
}
