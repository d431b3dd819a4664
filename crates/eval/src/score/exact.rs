//! Whether an answer is the expected one, less what is said not to matter.

use crate::words::{is_punctuation, narrow};
use serde::{Deserialize, Serialize};

/// What does not matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ignore {
    Case,
    /// White space, all of it.
    Space,
    Punctuation,
    /// Full-width forms are as good as their usual ones (NFKC).
    Width,
}

/// A text without what does not matter, and without white space at its ends.
pub fn normalised(text: &str, ignore: &[Ignore]) -> String {
    let has = |what| ignore.contains(&what);
    let text = if has(Ignore::Width) { narrow(text) } else { text.to_owned() };
    let text = if has(Ignore::Case) { text.to_lowercase() } else { text };
    let dropped =
        |c: &char| (has(Ignore::Space) && c.is_whitespace()) || (has(Ignore::Punctuation) && is_punctuation(*c));
    text.chars().filter(|c| !dropped(c)).collect::<String>().trim().to_owned()
}

/// Whether the answer is one of those accepted.
pub fn exact(answer: &str, accepted: &[String], ignore: &[Ignore]) -> bool {
    let answer = normalised(answer, ignore);
    accepted.iter().any(|text| normalised(text, ignore) == answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_is_ignored_and_nothing_else() {
        use Ignore::*;
        for (answer, accepted, ignore, want) in [
            (" Paris\n", "Paris", &[][..], true),
            ("paris", "Paris", &[], false),
            ("paris", "Paris", &[Case], true),
            ("Par is", "Paris", &[Space], true),
            ("Paris.", "Paris", &[Case], false),
            ("Paris.", "Paris", &[Punctuation], true),
            ("“Paris！”", "Paris", &[Punctuation], true),
            ("ＡＢ１２", "AB12", &[], false),
            ("ＡＢ１２", "AB12", &[Width], true),
            ("北京", "北京。", &[Punctuation], true),
            ("北 京", "北京", &[Punctuation], false),
        ] {
            assert_eq!(exact(answer, &[accepted.to_owned()], ignore), want, "{answer} {ignore:?}");
        }
        assert!(exact("b", &["a".to_owned(), "b".to_owned()], &[]), "any of those accepted");
    }
}
