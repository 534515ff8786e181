//! A challenge in words, for whoever asks what a provider does.

use std::fmt;

use super::wording::Wording;
use super::{Act, Challenge, Condition, Form, FormBody, When};

/// `url-verification: signed POST with JSON /type "url_verification", answered text {echo}`.
impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signed = if self.signed { "signed" } else { "unsigned" };
        write!(f, "{}: {signed} {}", self.name, self.method)?;
        match &self.when {
            When::Body(_) => write!(f, " with a body of its own")?,
            When::All(conditions) => {
                for (index, condition) in conditions.iter().enumerate() {
                    write!(f, " {} {condition}", if index == 0 { "with" } else { "and" })?;
                }
            }
        }
        if let Some(echo) = &self.echo {
            let mac = self.mac.as_ref().map(|mac| format!(", {} of {}", mac.algorithm.as_str(), mac.signs.as_str()));
            write!(f, "; {{echo}} is {}{}", echo.place, mac.unwrap_or_default())?;
        }
        match &self.act {
            Act::Answer(form) => answered(f, form.as_ref()),
            Act::Visit(visit) => write!(f, "; the URL in {} is visited", visit.place),
            Act::Learn(place, form) => {
                write!(f, "; {place} is the secret from then on")?;
                answered(f, form.as_ref())
            }
        }
    }
}

fn answered(f: &mut fmt::Formatter<'_>, form: Option<&Form>) -> fmt::Result {
    let Some(form) = form else { return Ok(()) };
    write!(f, "; answered {}", form.status.as_u16())?;
    for (name, wording) in &form.headers {
        write!(f, ", {name}: {}", wording.as_str())?;
    }
    match &form.body {
        FormBody::Empty => Ok(()),
        FormBody::Text(wording) | FormBody::Json(wording) => write!(f, ", {}", wording.as_str()),
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.place)?;
        let is: Vec<&str> = self.is.iter().map(Wording::as_str).collect();
        if is.is_empty() { Ok(()) } else { write!(f, " {}", is.join(" or ")) }
    }
}
