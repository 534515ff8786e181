//! Schemes whose signatures would bind nothing: each is refused where it is written.

use hookward::config::Config;
use hookward::config::environment::Environment;

/// A source of this signature, one secret of which is `secret`.
fn source(secret: &str, rest: &str) -> String {
    format!(
        "[[source]]\nname = \"s\"\npath = \"/in\"\nallow = \"any\"\nupstream = \"http://127.0.0.1:1/\"\nsecrets = [{{ literal = \"\"\"{secret}\"\"\" }}]\n{rest}"
    )
}

#[test]
fn schemes_that_bind_nothing_are_refused_where_they_are_written() {
    const PLAIN: &str = "0123456789abcdef0123";
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAebVWLo/mVPlAeLES6KmLp5AfhTrmlb7X4OORC60ElmQ=\n-----END PUBLIC KEY-----";
    const HMAC: &str = "[source.signature]\nalgorithm = \"hmac-sha256\"\nheader = \"X-Sig\"\n";
    const TOKEN: &str =
        "[source.signature]\nalgorithm = \"jwt\"\nalgorithms = [\"HS256\"]\nheader = \"Authorization\"\n";
    const BOUND: &str = "requires = [{ claim = \"payload_hash\", is = \"{body|sha256}\" }";
    const TIME: &str = "[source.timestamp]\nheader = \"X-Ts\"\ntolerance = \"5m\"\n";
    let unbound = "nothing that is signed has {body}";
    let side_by_side = "two pieces of signs stand side by side";
    let hmac = |rest: &str| format!("{HMAC}{rest}");
    let token = |rest: &str| format!("{TOKEN}{rest}");
    // The secret, the rest of the source, what stands where the fault is, and what the fault says.
    let rows: Vec<(&str, String, &str, &str)> = vec![
        (
            PLAIN,
            hmac(&format!(
                "signs = \"{{timestamp}}\"\nrequires = [{{ header = \"X-Digest\", is = \"{{body|sha256}}\" }}]\n{TIME}"
            )),
            "\"{timestamp}\"",
            unbound,
        ),
        (
            PLAIN,
            hmac(
                "signs = \"{header.X-Digest}\"\nrequires = [{ header = \"X-Digest\", is = [\"{body|sha256}\", \"UNSIGNED-PAYLOAD\"] }]\n",
            ),
            "\"{header.X-Digest}\"",
            unbound,
        ),
        (
            PLAIN,
            hmac("signs = \"{header.X-Digest}\"\nrequires = [{ header = \"X-Digest\" }]\n"),
            "\"{header.X-Digest}\"",
            unbound,
        ),
        (
            PLAIN,
            hmac("signs = \"{fields}\"\n[source.signature.pieces]\nfields = { from = \"form\", join = \"&\" }\n"),
            "\"{fields}\"",
            unbound,
        ),
        (
            PLAIN,
            hmac(
                "signs = \"{fields}\"\n[source.signature.pieces]\nfields = { from = \"json\", each = \"{name}={value}\", join = \"&\", skip_empty = true }\n",
            ),
            "\"{fields}\"",
            unbound,
        ),
        (
            PLAIN,
            hmac(
                "signs = \"{fields}\"\n[source.signature.pieces]\nfields = { from = \"json\", each = \"{name}={value}\", join = \"&\", except = [\"amount\"] }\n",
            ),
            "\"{fields}\"",
            unbound,
        ),
        (
            PLAIN,
            hmac(
                "signs = \"{fields}\"\ndocument = { form = \"payload\" }\n[source.signature.pieces]\nfields = { from = \"json\", each = \"{name}={value}\", join = \"&\" }\n",
            ),
            "\"{fields}\"",
            unbound,
        ),
        (PLAIN, hmac("signs = \"{body|crc32}\"\n"), "\"{body|crc32}\"", unbound),
        (PLAIN, hmac("signs = \"{body|sha256|crc32}\"\n"), "\"{body|sha256|crc32}\"", unbound),
        (PLAIN, hmac("signs = \"{body|lower}\"\n"), "\"{body|lower}\"", unbound),
        (PUBLIC, hmac("signs = \"{body}\"\n"), "\"\"\"-----", "is a public key, which anybody may know"),
        (PUBLIC, token(&format!("{BOUND}]\n")), "\"\"\"-----", "is a public key, which anybody may know"),
        (
            PLAIN,
            hmac("signs = \"{both}.{body}\"\n[source.signature.pieces]\nboth = \"{header.x-a}{header.x-b}\"\n"),
            "\"{both}.{body}\"",
            side_by_side,
        ),
        (
            PLAIN,
            hmac("signs = \"[{header.x-a}][{header.x-b}].{body}\"\n"),
            "\"[{header.x-a}][{header.x-b}].{body}\"",
            side_by_side,
        ),
        (
            PLAIN,
            hmac("signs = \"{own}.{header.x-a}\"\n[source.signature.pieces]\nown = \"{body}\"\n"),
            "\"{own}.{header.x-a}\"",
            "{body} must be the last piece of signs",
        ),
        (
            PLAIN,
            hmac(
                "signs = \"{fields}\"\n[source.signature.pieces]\nfields = { from = \"form\", each = \"{name}={value}\" }\n",
            ),
            "\"{fields}\"",
            "the fields have nothing between them",
        ),
        (
            PLAIN,
            token(&format!("key_id = {{ header = \"X-Kid\" }}\n{BOUND}]\n")),
            "{ header = \"X-Kid\" }",
            "key_id: a token says it itself, leave it out",
        ),
        (
            PLAIN,
            token(&format!("unseparated = true\n{BOUND}]\n")),
            "true\nrequires",
            "unseparated: a token says it itself, leave it out",
        ),
        (
            PLAIN,
            token(&format!("{BOUND}, {{ claim = \"iss\", is = [] }}]\n")),
            "[] }]",
            "is: an empty list matches nothing",
        ),
        (
            PLAIN,
            "[source.signature]\nalgorithm = \"equal\"\nheader = \"X-Sig\"\nsigns = \"{body}\"\n".into(),
            "\"{body}\"",
            "signs: \"equal\" compares the secret itself, nothing is signed, leave it out",
        ),
        (PLAIN, hmac("sings = \"{body}\"\n"), "sings", "unknown key `sings`"),
        (PLAIN, hmac("signs = \"{body}\"\ntolerance = \"5m\"\n"), "tolerance", "unknown key `tolerance`"),
        (PLAIN, hmac("requires = [{ header = \"X-A\", iz = \"a\" }]\n"), "iz", "unknown key `iz`"),
        (
            PLAIN,
            "provider = \"stripe\"\n[source.signature]\nsings = \"{body}\"\n".into(),
            "sings",
            "unknown key `sings`",
        ),
    ];
    let mut wrong = Vec::new();
    for (secret, rest, at, said) in rows {
        let text = source(secret, &rest);
        let before = &text[..text.find(at).unwrap_or_else(|| panic!("{at} is not in {text}"))];
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        let place = format!("h.toml:{}:{}: ", before.matches('\n').count() + 1, before.len() - line_start + 1);
        let faults = match Config::parse("h.toml", &text, &Environment::default()) {
            Ok(_) => Vec::new(),
            Err(faults) => faults.iter().map(ToString::to_string).collect(),
        };
        if !faults.iter().any(|fault| fault.starts_with(&place) && fault.contains(said)) {
            wrong.push(format!("{rest}\nwanted {place}{said}\nfound {faults:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
