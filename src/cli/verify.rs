//! `hookward verify --provider`: judges one raw request, and says why.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;

use super::raw_request::RawRequest;
use super::secret_args::{Chosen, SecretArgs};
use super::{FAILURE, USAGE, case, print};
use crate::clock::{Clock, UnixTime};
use crate::rejection::Rejection;
use crate::signature::diagnosis::{Refused, diagnose};
use crate::signature::explain::Explanation;
use crate::signature::request::{Head, PublicUrl};
use crate::signature::timestamp::TimeUnit;
use crate::signature::{Authentic, Verifier};

/// A body may have so many bytes without its `Content-Encoding`.
const MAX_INFLATED: usize = 64 << 20;

/// A piece is shown up to this many characters.
const SHOWN: usize = 300;

#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// File of recorded requests, one JSON object a line, one verdict a line; - reads them from standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["provider", "secret_env", "secret_file", "params", "url", "now", "explain"])]
    pub case: Option<PathBuf>,
    /// A provider's name, or a TOML file with a preset of your own
    #[arg(long, value_name = "NAME|FILE", required_unless_present = "case")]
    provider: Option<String>,
    #[command(flatten)]
    secrets: SecretArgs,
    /// The URL that the provider was given, where it is signed; the default is what the request says, as https
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Judge the request as of this moment
    #[arg(long, value_name = "UNIX")]
    now: Option<i64>,
    /// Show what was signed, what was compared, and what is likely wrong
    #[arg(long)]
    explain: bool,
    /// With --explain: show what the signature should be. Whoever sees it can send that message in the provider's name
    #[arg(long, requires = "explain")]
    show_computed: bool,
}

/// Judges the request on standard input, or the recorded ones. 0 if all are accepted, 1 if one is not.
pub fn run(args: &VerifyArgs) -> u8 {
    if let Some(file) = &args.case {
        return case::run(file);
    }
    match judge(args) {
        Ok((text, accepted)) => {
            print(&text);
            if accepted { 0 } else { FAILURE }
        }
        Err(wrong) => {
            eprintln!("error: {wrong}");
            USAGE
        }
    }
}

fn judge(args: &VerifyArgs) -> Result<(String, bool), String> {
    let chosen = args.secrets.read(args.provider.as_deref().unwrap_or_default())?;
    let scheme = &chosen.preset.profile.scheme;
    if scheme.signs_nothing() {
        return Err(format!("{} signs nothing, so there is nothing to verify", chosen.preset.name));
    }
    if chosen.secrets.is_empty() {
        let way_out = if scheme.has_remote_keys() {
            "give the document with the keys by --secret-file, nothing is fetched here"
        } else {
            "give one by --secret-env or --secret-file"
        };
        return Err(format!("there is no secret, {way_out}"));
    }
    let missing =
        scheme.params().into_iter().find(|(name, optional)| !optional && chosen.params.values(name).is_empty());
    if let Some((name, _)) = missing {
        return Err(format!("the scheme wants to know `{name}`, give --param {name}=…"));
    }
    let verifier = Verifier::new(scheme.clone(), &chosen.secrets, chosen.params.clone(), MAX_INFLATED)
        .map_err(|(index, why)| format!("the secret {} {why}", chosen.secrets[index].0))?;
    let request = RawRequest::from_stdin()?;
    let url = request.url(args.url.as_deref());
    let head = Head { method: &request.method, url: PublicUrl::split(&url), headers: &request.headers };
    let now = args.now.map_or_else(|| Clock::System.now(), UnixTime);
    let judged = verifier.inspect(head).and_then(|claimed| verifier.verify(&claimed, head, &request.body, now, None));
    let mut text = String::new();
    let report = Report { chosen: &chosen, verifier: &verifier, head, body: &request.body, now, url: &url };
    report.write(&mut text, &judged, args).map_err(|error| error.to_string())?;
    Ok((text, judged.is_ok()))
}

/// One judged request, for the terminal.
struct Report<'r> {
    chosen: &'r Chosen,
    verifier: &'r Verifier,
    head: Head<'r>,
    body: &'r [u8],
    now: UnixTime,
    url: &'r str,
}

impl Report<'_> {
    fn write(
        &self,
        text: &mut String,
        judged: &Result<Authentic<'_>, Rejection>,
        args: &VerifyArgs,
    ) -> std::fmt::Result {
        match judged {
            Ok(authentic) => {
                let id = authentic.id.as_ref().map_or("none".to_owned(), |id| {
                    format!("{} ({})", id.text, if id.signed { "signed" } else { "not signed" })
                });
                let key = self.verifier.key_names().nth(authentic.key).unwrap_or_default();
                let scheme = self.verifier.scheme();
                let kind = scheme.event_type(Some(authentic.alternative), self.head, self.body);
                let kind = kind.map(|kind| format!(", type {kind}")).unwrap_or_default();
                writeln!(text, "accepted: signed with {key}, event id {id}{kind}")?;
                if args.explain && authentic.key > 0 {
                    let first = self.verifier.key_names().next().unwrap_or_default();
                    writeln!(
                        text,
                        "\n  It is {key} that matches, and not {first}, the first one given: if these are the secrets of two\n  environments, the sender is in the other one."
                    )?;
                }
            }
            Err(rejection) => writeln!(text, "rejected: {} ({rejection})", rejection.reason().as_str())?,
        }
        if !args.explain {
            if judged.is_err() {
                writeln!(text, "\n--explain shows what was signed and what is likely wrong.")?;
            }
            return Ok(());
        }
        for explanation in self.verifier.explain(self.head, self.body) {
            self.write_explanation(text, &explanation, args.show_computed)?;
        }
        if let Err(rejection) = judged {
            self.write_findings(text, rejection)?;
        }
        Ok(())
    }

    fn write_explanation(&self, text: &mut String, explanation: &Explanation, show_computed: bool) -> std::fmt::Result {
        let name =
            explanation.alternative.as_ref().map(|name| format!(" (alternative \"{name}\")")).unwrap_or_default();
        writeln!(text, "\n{}{name}: {} in {}", self.chosen.preset.name, explanation.computation, explanation.place)?;
        let plural = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        let compared = plural(explanation.candidates.len(), "signature");
        writeln!(text, "  compared    {compared} with {}", plural(self.chosen.secrets.len(), "secret"))?;
        if let Some((written, time)) = &explanation.timestamp {
            let age = self.now.seconds_since(*time);
            let apart =
                if age >= 0 { format!("{age} s before now") } else { format!("{} s after now", age.unsigned_abs()) };
            writeln!(text, "  timestamp   {written}, which is {}, {apart}", TimeUnit::Iso8601.format(*time))?;
        }
        if self.chosen.preset.profile.scheme.signs_url() {
            writeln!(text, "  URL         {}", self.url)?;
        }
        if let Some(claims) = &explanation.claims {
            writeln!(text, "  claims      {}", shown(claims.as_bytes()))?;
        }
        if !explanation.pieces.is_empty() {
            let length: usize = explanation.pieces.iter().map(|piece| piece.bytes.len()).sum();
            writeln!(text, "  signed      {length} bytes:")?;
            let width = explanation.pieces.iter().map(|piece| label(piece).chars().count()).max().unwrap_or(0).min(36);
            for piece in &explanation.pieces {
                let note = if piece.piece.is_some() { format!("   from {}", piece.from) } else { String::new() };
                writeln!(text, "    {:<width$}  {}{note}", label(piece), shown(&piece.bytes))?;
            }
        }
        if show_computed {
            for (key, computed) in &explanation.computed {
                writeln!(text, "  computed    {} with {key}", String::from_utf8_lossy(computed.expose()))?;
            }
        }
        if let Some(stopped) = &explanation.stopped {
            writeln!(text, "  stopped     {stopped}")?;
        }
        Ok(())
    }

    fn write_findings(&self, text: &mut String, rejection: &Rejection) -> std::fmt::Result {
        let refused = Refused {
            scheme: &self.chosen.preset.profile.scheme,
            provider: &self.chosen.preset.slug,
            secrets: &self.chosen.secrets,
            params: &self.chosen.params,
            head: self.head,
            body: self.body,
            now: self.now,
            rejection,
        };
        let findings = diagnose(&refused);
        if findings.is_empty() {
            return Ok(());
        }
        writeln!(text, "\nlikely cause")?;
        for (place, finding) in findings.iter().enumerate() {
            writeln!(text, "  {}. {} ({})", place + 1, finding.detail, finding.cause)?;
        }
        Ok(())
    }
}

fn label(piece: &crate::signature::explain::TracedPiece) -> String {
    piece.piece.as_ref().map_or("literal".to_owned(), |piece| format!("{{{piece}}}"))
}

/// Bytes as one line of text.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut line: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    line = line.replace("\\\"", "\"").replace("\\'", "'");
    if text.chars().nth(SHOWN).is_some() {
        let _ = write!(line, " … ({} bytes in all)", bytes.len());
    }
    line
}
