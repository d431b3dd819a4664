//! What counts as a word, a sentence and a punctuation mark, in English and Chinese alike.

use unicode_normalization::UnicodeNormalization;

/// Whether a character is a word of its own: Chinese characters, Japanese ones, kana.
pub fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3ffff}')
}

/// Full-width forms as their usual ones (NFKC), which makes `１２％` and `12%` one.
pub fn narrow(text: &str) -> String {
    text.nfkc().collect()
}

/// Words in lower case: runs of letters and digits, and each ideograph. What stands between them is left out.
///
/// On ASCII these are the tokens of the reference implementation of ROUGE (google-research `rouge_score`, no stemmer).
pub fn words(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut word = String::new();
    for c in narrow(text).chars().flat_map(char::to_lowercase) {
        if is_ideograph(c) || !c.is_alphanumeric() {
            if !word.is_empty() {
                out.push(std::mem::take(&mut word));
            }
            if is_ideograph(c) {
                out.push(c.to_string());
            }
        } else {
            word.push(c);
        }
    }
    if !word.is_empty() {
        out.push(word);
    }
    out
}

/// Words as people count them: `isn't` and `3.5` are one, and so is each ideograph.
pub fn count_words(text: &str) -> usize {
    let mut count = 0;
    for run in narrow(text).split_whitespace() {
        let mut in_word = false;
        for c in run.chars() {
            if is_ideograph(c) {
                count += 1;
                in_word = false;
            } else if c.is_alphanumeric() {
                count += usize::from(!in_word);
                in_word = true;
            } else if !matches!(c, '\'' | '’' | '-' | '.' | ',' | '_' | '/' | '@') {
                in_word = false;
            }
        }
    }
    count
}

/// Characters that are no white space.
pub fn count_characters(text: &str) -> usize {
    text.chars().filter(|c| !c.is_whitespace()).count()
}

/// Runs of text that end with `.`, `!`, `?` before a blank or the end, with `。`, `！`, `？`, `…` anywhere, or with a line.
pub fn count_sentences(text: &str) -> usize {
    let chars: Vec<char> = text.chars().collect();
    let (mut count, mut said) = (0, false);
    for (i, c) in chars.iter().enumerate() {
        let next = chars.get(i + 1);
        let ends = match c {
            '。' | '！' | '？' | '…' | '\n' => true,
            '.' | '!' | '?' => next.is_none_or(|n| n.is_whitespace() || matches!(n, '"' | '”' | ')' | '’')),
            _ => false,
        };
        if ends {
            count += usize::from(std::mem::take(&mut said));
        } else {
            said |= c.is_alphanumeric();
        }
    }
    count + usize::from(said)
}

/// Punctuation marks and signs: neither letters nor digits, white space or marks on letters.
pub fn is_punctuation(c: char) -> bool {
    !c.is_alphanumeric() && !c.is_whitespace() && !c.is_control() && !matches!(c, '\u{300}'..='\u{36f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_both_languages() {
        for (text, want) in [
            ("It's 3.5 %!", &["it", "s", "3", "5"][..]),
            ("请Ａ您", &["请", "a", "您"]),
            ("GPT4模型 ok", &["gpt4", "模", "型", "ok"]),
            (" \n", &[]),
        ] {
            assert_eq!(words(text), want, "{text}");
        }
    }

    #[test]
    fn lengths_as_people_count_them() {
        for (text, words, sentences) in [
            ("It isn't 3.5 km.", 4, 1),
            ("One. Two! Three?", 3, 3),
            ("您好！请稍等。", 5, 2),
            ("No end", 2, 1),
            ("- a\n- b\n", 2, 2),
            ("Version 1.2 is out. \"Good.\" He said", 7, 3),
            ("Wait...", 1, 1),
            ("", 0, 0),
        ] {
            assert_eq!((count_words(text), count_sentences(text)), (words, sentences), "{text}");
        }
        assert_eq!(count_characters("a b\n您"), 3);
    }
}
