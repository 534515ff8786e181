//! What a recorded request's `secret` holds: secrets, keys, documents and parameters.

use serde_json::{Map, Value};

use crate::signature::Scheme;
use crate::signature::place::Params;
use crate::signature::secret::Secret;

/// What verifies a recorded request.
#[derive(Debug, Default)]
pub struct Material {
    /// By their names.
    pub secrets: Vec<(String, Secret)>,
    pub params: Params,
    /// Documents that would be fetched, by their URLs.
    pub documents: Vec<(String, String)>,
}

impl Material {
    /// Reads a text, a list of texts of which any may match, or an object: `{primary, secondary}`, `{public_key_pem}`
    /// and its like, `{public_keys: [{key_identifier, key}]}`, `{keys: {id: secret}}`, `{credentials: […]}`,
    /// `{api_key, api_secret}`, `{jwks}`, `{certificates_by_url}`; what `scheme` has as a parameter is one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(secret: Value, scheme: &Scheme) -> Result<Self, String> {
        let mut material = Self::default();
        match secret {
            Value::Object(object) => material.read_object(object, scheme)?,
            secret => material.add_all(secret)?,
        }
        Ok(material)
    }

    /// Adds a secret, or every one of a list, named by its place.
    fn add_all(&mut self, secret: Value) -> Result<(), String> {
        match secret {
            Value::String(secret) => {
                let name = (self.secrets.len() + 1).to_string();
                self.add(name, secret);
                Ok(())
            }
            Value::Array(secrets) => secrets.into_iter().try_for_each(|secret| match secret {
                Value::String(_) => self.add_all(secret),
                _ => Err("a secret in the list is not a string".into()),
            }),
            _ => Err("the secret is neither a string, a list of them, nor an object".into()),
        }
    }

    fn add(&mut self, name: String, secret: String) {
        self.secrets.push((name, Secret::new(secret.into_bytes())));
    }

    fn read_object(&mut self, object: Map<String, Value>, scheme: &Scheme) -> Result<(), String> {
        let (wanted, mut params) = (scheme.params(), Vec::new());
        for (key, value) in object {
            let text = |value: &Value| value.as_str().map(str::to_owned).ok_or(format!("{key} is not a string"));
            match key.as_str() {
                "primary" | "secondary" => self.add(key.clone(), text(&value)?),
                "jwks" => self.add("jwks".into(), value.to_string()),
                "credentials" | "secret" | "secrets" | "api_secret" => self.add_all(value)?,
                "public_keys" => {
                    for entry in value.as_array().into_iter().flatten() {
                        let name = text(&entry["key_identifier"])?;
                        self.add(name, text(&entry["key"])?);
                    }
                }
                "keys" => {
                    for (id, secret) in value.as_object().into_iter().flatten() {
                        self.add(id.clone(), text(secret)?);
                    }
                }
                "certificates_by_url" => {
                    for (url, document) in value.as_object().into_iter().flatten() {
                        self.documents.push((url.clone(), text(document)?));
                    }
                }
                // The preset pins the hosts, not the request.
                "cert_host_pattern" => {}
                name if wanted.iter().any(|(known, _)| *known == name) => match value {
                    Value::Array(values) => {
                        params.push((key.clone(), values.iter().map(text).collect::<Result<_, _>>()?));
                    }
                    value => params.push((key.clone(), vec![text(&value)?])),
                },
                name if name.starts_with("public_key") || name.starts_with("certificate") => self.add_all(value)?,
                // What the scheme does not ask for is the secret under a name of its own, or of no use to it.
                name if name.contains("secret") || name.contains("token") || name.ends_with("_key") => {
                    self.add_all(value)?;
                }
                _ => {}
            }
        }
        self.params = Params::new(params);
        Ok(())
    }
}
