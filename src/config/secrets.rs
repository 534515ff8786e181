//! Secrets, named in the file and kept elsewhere: in the environment or in files of their own.

use std::fs;
use std::path::PathBuf;

use super::environment::Environment;
use crate::document::{Fault, Place, Reader, quoted};
use crate::signature::secret::Secret;

/// A secret shorter than this can be guessed by machines.
const SHORT: usize = 16;

/// A secret as the file names it.
#[derive(Debug)]
pub struct NamedSecret {
    /// The operator's `id` for it, or its place in the list from 1.
    pub name: String,
    pub secret: Secret,
    pub place: Place,
    /// Where it comes from, as the file says it: `env = "STRIPE_SECRET"`; never the secret.
    pub origin: String,
}

/// The secrets of a source.
#[derive(Debug, Default)]
pub struct Secrets {
    pub named: Vec<NamedSecret>,
    /// The file and the name of the one that its provider is to bring, where that has not happened yet.
    pub awaited: Option<(PathBuf, String)>,
    /// Where `learn` stands.
    pub learn: Option<Place>,
}

/// Reads `secrets = [{ env = "…" }, { file = "…", id = "…" }]`, or `[{ file = "…", learn = true }]`.
pub fn read_list(source: &Reader<'_>, environment: &Environment, warnings: &mut Vec<Fault>) -> Secrets {
    let (mut secrets, mut awaited, mut learn): (Vec<NamedSecret>, _, _) = (Vec::new(), None, None);
    let readers = source.tables("secrets");
    let count = readers.len();
    for (index, reader) in readers.into_iter().enumerate() {
        let (name, place) = match reader.text("id") {
            Some(id) => (id.value.to_owned(), id.place),
            None => ((index + 1).to_string(), reader.place()),
        };
        let name_is_good = check_name(&reader, &name, place, &secrets);
        let learns = reader.boolean("learn").unwrap_or(false);
        if learns {
            let place = reader.place_of("learn");
            if count > 1 || !reader.has("file") {
                reader.fault(place.clone(), "learn: it goes with one file and no other secret, which keeps what comes");
            }
            if let Some(file) = reader.text("file").filter(|file| file.value.is_empty() || file.value.ends_with('/')) {
                reader.fault(
                    file.place,
                    format!("file: \"{}\" is no file, for example \"/var/lib/hookward/acme\"", file.value),
                );
            }
            learn = Some(place);
        }
        let file = reader.text("file").filter(|_| learns).map(|file| PathBuf::from(file.value));
        if let Some(file) = file.filter(|file| matches!(file.try_exists(), Ok(false))) {
            reader.finish();
            awaited = name_is_good.then_some((file, name));
            continue;
        }
        let secret = read(&reader, environment, warnings);
        reader.finish();
        if let (true, Some((secret, origin, place))) = (name_is_good, secret) {
            let origin = if learns { format!("{origin}, learn = true") } else { origin };
            secrets.push(NamedSecret { name, secret, place, origin });
        }
    }
    Secrets { named: secrets, awaited, learn }
}

/// A secret's name goes into a header and into logs: it is plain, and no other secret has it.
fn check_name(reader: &Reader<'_>, name: &str, place: Place, others: &[NamedSecret]) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || !name.chars().all(plain) {
        reader.fault(place, "id: it is not made of letters, digits, '-', '_' and '.'");
        return false;
    }
    if others.iter().any(|other| other.name == name) {
        reader.fault(place, format!("id: \"{name}\" is another secret's, by its id or its place in the list"));
        return false;
    }
    true
}

/// Reads the secret that a table names by `env`, `file` or `literal`, with its origin and place.
pub fn read(
    reader: &Reader<'_>,
    environment: &Environment,
    warnings: &mut Vec<Fault>,
) -> Option<(Secret, String, Place)> {
    let (env, file, literal) = (reader.text("env"), reader.text("file"), reader.text("literal"));
    let (bytes, origin, place) = match (env, file, literal) {
        (Some(name), None, None) if !is_variable(name.value) => {
            // It may well be the secret itself.
            reader.fault(name.place, "env: this is not a variable's name, which is made of letters, digits and '_'");
            return None;
        }
        (Some(name), None, None) => {
            let Some(bytes) = environment.bytes(name.value) else {
                reader.fault(
                    name.place,
                    format!("env: the environment has no variable {}, set it or name another", name.value),
                );
                return None;
            };
            (bytes, format!("env = {}", quoted(name.value)), name.place)
        }
        (None, Some(path), None) => match fs::read(path.value) {
            Ok(bytes) => (without_newline(bytes), format!("file = {}", quoted(path.value)), path.place),
            Err(error) => {
                reader.fault(path.place, format!("file: cannot read {}: {error}", path.value));
                return None;
            }
        },
        (None, None, Some(text)) => {
            let warning = "a literal secret is for trials only, name it by env or file";
            warnings.push(Fault { place: text.place.clone(), text: warning.to_owned() });
            (text.value.as_bytes().to_vec(), "literal = \"…\"".to_owned(), text.place)
        }
        _ => {
            reader.fault(
                reader.place(),
                "name the secret by one of env, file or literal, as in { env = \"STRIPE_SECRET\" }",
            );
            return None;
        }
    };
    match usable(&bytes) {
        Ok(()) => {
            if bytes.len() < SHORT {
                let warning = format!("the secret has only {} bytes, {SHORT} or more are advised", bytes.len());
                warnings.push(Fault { place: place.clone(), text: warning });
            }
            Some((Secret::new(bytes), origin, place))
        }
        Err(why) => {
            reader.fault(place, format!("the secret of {{ {origin} }} {why}"));
            None
        }
    }
}

/// True for what can name a variable and does not look like a pasted secret.
fn is_variable(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.is_empty()
        && name.chars().all(plain)
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.starts_with("whsec_")
}

/// The whole value, but for one newline at its end, which editors and `echo` leave there.
fn without_newline(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.ends_with(b"\n") {
        bytes.pop();
        if bytes.ends_with(b"\r") {
            bytes.pop();
        }
    }
    bytes
}

fn usable(bytes: &[u8]) -> Result<(), &'static str> {
    let trimmed = bytes.trim_ascii();
    if bytes.is_empty() {
        return Err("is empty");
    }
    if trimmed.is_empty() {
        return Err("is blank");
    }
    let unexpanded = |open: &[u8], close: &[u8]| trimmed.starts_with(open) && trimmed.ends_with(close);
    if unexpanded(b"${", b"}") || unexpanded(b"$(", b")") || unexpanded(b"{{", b"}}") {
        return Err("is a variable's name that nobody expanded");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_newline_is_trimmed_and_nothing_else() {
        for (written, secret) in [("s\n", "s"), ("s\r\n", "s"), ("s\n\n", "s\n"), (" s ", " s "), ("s", "s")] {
            assert_eq!(without_newline(written.into()), secret.as_bytes(), "{written:?}");
        }
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        for bad in ["", " ", "\t\n", "${STRIPE_SECRET}", " ${X}", "$(cat x)", "{{ secret }}"] {
            assert!(usable(bad.as_bytes()).is_err(), "{bad:?}");
        }
        for good in ["s", "a${b}c", "$ecret"] {
            assert!(usable(good.as_bytes()).is_ok(), "{good:?}");
        }
    }
}
