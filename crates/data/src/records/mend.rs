//! JSON that other programs write without complaint and strict parsers refuse.

/// JSON text that was mended, and what had to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mended {
    pub text: String,
    /// The gravest of what was found, and the byte at which its first stands.
    pub broken: Broken,
    pub at: usize,
}

/// What was found, the gravest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Broken {
    /// An escape that is half of a surrogate pair; it becomes U+FFFD.
    Surrogate,
    /// A control character in a string, now escaped.
    Control,
    /// A NUL byte; in a string it is escaped, elsewhere taken out.
    Nul,
}

/// The text with control characters escaped and halves of surrogate pairs replaced; None where there are none. Whether that
/// was all is for a parser to say.
pub fn mended(text: &str) -> Option<Mended> {
    let bytes = text.as_bytes();
    let (mut mended, mut copied, mut found) = (String::new(), 0, None);
    let (mut at, mut in_string) = (0, false);
    while at < bytes.len() {
        let (taken, instead) = match bytes[at] {
            b'"' => {
                in_string = !in_string;
                (1, None)
            }
            b'\\' if in_string => match surrogate(bytes, at) {
                Some(Surrogate::Pair) => (12, None),
                Some(Surrogate::Half) => (6, Some(("\\ufffd".to_owned(), Broken::Surrogate))),
                Some(Surrogate::None) | None => (2, None),
            },
            0 if in_string => (1, Some(("\\u0000".to_owned(), Broken::Nul))),
            0 => (1, Some((String::new(), Broken::Nul))),
            control if in_string && control < 0x20 => (1, Some((format!("\\u{control:04x}"), Broken::Control))),
            _ => (1, None),
        };
        if let Some((instead, broken)) = instead {
            mended.push_str(&text[copied..at]);
            mended.push_str(&instead);
            copied = at + taken;
            if found.is_none_or(|(before, _)| broken > before) {
                found = Some((broken, at));
            }
        }
        at += taken;
    }
    let (broken, at) = found?;
    mended.push_str(&text[copied..]);
    Some(Mended { text: mended, broken, at })
}

#[derive(PartialEq, Eq)]
enum Surrogate {
    None,
    Pair,
    Half,
}

/// What the escape at `at` is; None where it is no `\u` escape.
fn surrogate(bytes: &[u8], at: usize) -> Option<Surrogate> {
    Some(match unit(bytes, at)? {
        0xd800..=0xdbff if matches!(unit(bytes, at + 6), Some(0xdc00..=0xdfff)) => Surrogate::Pair,
        0xd800..=0xdfff => Surrogate::Half,
        _ => Surrogate::None,
    })
}

fn unit(bytes: &[u8], at: usize) -> Option<u16> {
    let escape = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(escape).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strict_parsers_refuse() {
        for (text, expect) in [
            ("{\"a\": \"b\\n\\u00e9\\ud83d\\ude00\"}\n\t", None),
            ("\"a\tb\"", Some(("\"a\\u0009b\"", Broken::Control, 2))),
            ("\"a\tb\0\"", Some(("\"a\\u0009b\\u0000\"", Broken::Nul, 4))),
            ("{}\0\0", Some(("{}", Broken::Nul, 2))),
            ("\"\\ud800\"", Some(("\"\\ufffd\"", Broken::Surrogate, 1))),
            ("\"\\ude00\\ud83d\"", Some(("\"\\ufffd\\ufffd\"", Broken::Surrogate, 1))),
            ("\"\\\\ud800\"", None),
            ("\"é\\", None),
            ("\"\\é\t", Some(("\"\\é\\u0009", Broken::Control, 4))),
        ] {
            let got = mended(text);
            let got = got.as_ref().map(|m| (m.text.as_str(), m.broken, m.at));
            assert_eq!(got, expect, "{text:?}");
        }
    }
}
