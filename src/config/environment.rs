//! The environment as it was when the program started. Nothing else reads it.

use std::collections::HashMap;
use std::ffi::OsString;

/// Environment variables by name.
#[derive(Debug, Clone, Default)]
pub struct Environment(HashMap<String, OsString>);

impl Environment {
    /// This process's.
    pub fn system() -> Self {
        Self(std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value))).collect())
    }

    /// The bytes of a variable.
    pub fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        self.0.get(name).map(|value| value.clone().into_encoded_bytes())
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(variables: [(&str, &str); N]) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect())
    }
}
