//! What may be repeated of a stranger's request.

/// What a value must look like to be repeated, or signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `A-Z a-z 0-9 - . _ ~ + / =`.
    Token,
    /// Hex of either case.
    Hex,
    /// A host's name: labels of letters, digits and dashes.
    Host,
    /// Visible ASCII and spaces, but nothing that could begin a tag, a quotation, a reference or a template.
    Text,
}

impl Shape {
    /// The words of the preset language.
    pub const WORDS: [(&'static str, Self); 4] =
        [("token", Self::Token), ("hex", Self::Hex), ("host", Self::Host), ("text", Self::Text)];

    /// The word of the preset language.
    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(_, shape)| *shape == self).map_or("", |(word, _)| word)
    }

    /// True if `value` has this shape and 1 to `max` bytes.
    pub fn fits(self, value: &[u8], max: usize) -> bool {
        if value.is_empty() || value.len() > max {
            return false;
        }
        match self {
            Self::Token => value.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte)),
            Self::Hex => value.iter().all(u8::is_ascii_hexdigit),
            Self::Host => value.split(|byte| *byte == b'.').all(|label| {
                let plain = label.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
                (1..=63).contains(&label.len()) && plain && !label.starts_with(b"-") && !label.ends_with(b"-")
            }),
            Self::Text => value.iter().all(|byte| (b' '..=b'~').contains(byte) && !b"<>\"'&{}`".contains(byte)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shape_takes_its_own_and_nothing_that_means_more() {
        for (shape, good) in [
            (Shape::Token, "9b4507b3-9040-4669-9ca3-6b94edb50553"),
            (Shape::Token, "aZ09-._~+/="),
            (Shape::Hex, "20f9f8ed05F7"),
            (Shape::Host, "eventgrid.azure.net"),
            (Shape::Text, "Validation: Testing client application reachability; Request-Id: 1"),
        ] {
            assert!(shape.fits(good.as_bytes(), good.len()), "{shape:?} {good}");
            assert!(!shape.fits(good.as_bytes(), good.len() - 1), "{shape:?} {good}: too long");
        }
        for bad in ["", "<script>", "a\r\nb", "a\0", "{\"a\":1}", "\u{e9}", "a\"b", "a&b", "a'b", "`", "a\tb"] {
            for (_, shape) in Shape::WORDS {
                assert!(!shape.fits(bad.as_bytes(), 256), "{shape:?} {bad:?}");
            }
        }
        assert!(!Shape::Token.fits(b"v0:1", 256) && !Shape::Token.fits(b"a b", 256));
        assert!(!Shape::Hex.fits(b"abcg", 256) && !Shape::Hex.fits(b"ab-c", 256));
        for bad in ["a..b", ".a", "-a.b", "a-.b", "a_b", "a:1", "a/b"] {
            assert!(!Shape::Host.fits(bad.as_bytes(), 256), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_that_fits_can_end_a_line_or_begin_a_tag(value in proptest::collection::vec(0u8.., 0..40)) {
            for (_, shape) in Shape::WORDS {
                if shape.fits(&value, 256) {
                    proptest::prop_assert!(value.iter().all(|byte| (b' '..=b'~').contains(byte) && *byte != b'<'));
                }
            }
        }
    }
}
