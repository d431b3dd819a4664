//! Texts and their near duplicates.
//!
//! Half of the texts have one to three copies, each changed in one of the ways of [`Variant`]. The texts themselves have
//! little in common beyond their subject, so what is not listed as a pair is none.

use crate::random::Random;
use crate::texts::{Language, paragraph};

/// How a copy differs from the text it was made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Variant {
    /// The text itself.
    Base,
    Exact,
    /// Spaces at the ends, after commas, and two instead of one.
    Whitespace,
    /// Capitals in English, ASCII punctuation in Chinese.
    CasePunct,
    /// Letters and digits in full width.
    Fullwidth,
    /// Two characters of a hundred are others.
    Typo2,
    /// One word of twenty is missing, in Chinese one character.
    Drop5,
    /// The first four fifths.
    Trunc80,
    /// A line before it and one after it.
    Boilerplate,
    /// Three words of ten are missing.
    Drop30,
    /// Each number is another.
    NumericEdit,
}

/// Whether a copy is a duplicate; of the last two, people judge differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    Base,
    Dup,
    Borderline,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Of the text and all its copies.
    pub group: u32,
    pub variant: Variant,
    pub language: Language,
    pub text: String,
}

/// Positions of a text and a copy of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    pub base: usize,
    pub copy: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Records {
    pub records: Vec<Record>,
    pub pairs: Vec<Pair>,
}

impl Variant {
    pub const ALL: [Self; 11] = [
        Self::Base,
        Self::Exact,
        Self::Whitespace,
        Self::CasePunct,
        Self::Fullwidth,
        Self::Typo2,
        Self::Drop5,
        Self::Trunc80,
        Self::Boilerplate,
        Self::Drop30,
        Self::NumericEdit,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Exact => "exact",
            Self::Whitespace => "whitespace",
            Self::CasePunct => "case_punct",
            Self::Fullwidth => "fullwidth",
            Self::Typo2 => "typo2",
            Self::Drop5 => "drop5",
            Self::Trunc80 => "trunc80",
            Self::Boilerplate => "boilerplate",
            Self::Drop30 => "drop30",
            Self::NumericEdit => "numeric_edit",
        }
    }

    pub fn label(self) -> Label {
        match self {
            Self::Base => Label::Base,
            Self::Drop30 | Self::NumericEdit => Label::Borderline,
            _ => Label::Dup,
        }
    }
}

/// So many English and Chinese texts of two to six sentences with their copies, in no order.
pub fn records(english: usize, chinese: usize, seed: u64) -> Records {
    let mut random = Random::new(seed);
    let mut records = Vec::new();
    for group in 0..english + chinese {
        let language = if group < english { Language::English } else { Language::Chinese };
        let sentences = 2 + random.below(5);
        let text = paragraph(language, &mut random, sentences);
        let copies = if random.below(2) == 0 { 1 + random.below(3) } else { 0 };
        for _ in 0..copies {
            let variant = Variant::ALL[1 + random.below(Variant::ALL.len() - 1)];
            if let Some(text) = vary(&text, language, variant, &mut random) {
                records.push(Record { group: group as u32, variant, language, text });
            }
        }
        records.push(Record { group: group as u32, variant: Variant::Base, language, text });
    }
    random.shuffle(&mut records);
    let mut bases = vec![0; english + chinese];
    for (i, record) in records.iter().enumerate().filter(|(_, r)| r.variant == Variant::Base) {
        bases[record.group as usize] = i;
    }
    let copies = records.iter().enumerate().filter(|(_, r)| r.variant != Variant::Base);
    let pairs = copies.map(|(copy, r)| Pair { base: bases[r.group as usize], copy }).collect();
    Records { records, pairs }
}

/// A copy changed in this way; none where the text has nothing to change.
pub fn vary(text: &str, language: Language, variant: Variant, random: &mut Random) -> Option<String> {
    let varied = match variant {
        Variant::Base => return None,
        Variant::Exact => return Some(text.to_owned()),
        Variant::Whitespace => {
            let wider = text.replace(". ", ".  ").replace(", ", ",  ").replace('，', "， ");
            format!("  {wider} \n")
        }
        Variant::CasePunct if language == Language::English => text.to_uppercase(),
        Variant::CasePunct => text.replace('，', ", ").replace('。', ". ").replace('？', "?"),
        Variant::Fullwidth => text.chars().map(full_width).collect(),
        Variant::Typo2 => typos(text, language, random),
        Variant::Drop5 => drop(text, language, 5, random),
        Variant::Drop30 => drop(text, language, 30, random),
        Variant::Trunc80 => {
            let chars = text.chars().count() * 4 / 5;
            text.chars().take(chars).collect()
        }
        Variant::Boilerplate => match language {
            Language::English => format!("Found this in an old list of ours:\n{text}\n-- sent by the mailing service"),
            Language::Chinese => format!("以下来自旧的清单：\n{text}\n——由邮件服务发送"),
        },
        Variant::NumericEdit => renumber(text, random),
    };
    (varied != text).then_some(varied)
}

fn full_width(c: char) -> char {
    let wide = c.is_ascii_alphanumeric().then(|| char::from_u32(c as u32 + 0xfee0)).flatten();
    wide.unwrap_or(c)
}

fn typos(text: &str, language: Language, random: &mut Random) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    let places: Vec<usize> = (0..chars.len()).filter(|&i| chars[i].is_alphabetic()).collect();
    if places.is_empty() {
        return text.to_owned();
    }
    for _ in 0..(chars.len() / 50).max(1) {
        chars[*random.of(&places)] = match language {
            Language::English => char::from(b'a' + random.below(26) as u8),
            Language::Chinese => *random.of(&['的', '了', '他', '这', '以', '不', '来', '说']),
        };
    }
    chars.into_iter().collect()
}

fn drop(text: &str, language: Language, percent: usize, random: &mut Random) -> String {
    match language {
        Language::English => {
            let words: Vec<&str> = text.split(' ').filter(|_| random.below(100) >= percent).collect();
            words.join(" ")
        }
        Language::Chinese => text.chars().filter(|_| random.below(100) >= percent).collect(),
    }
}

fn renumber(text: &str, random: &mut Random) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for c in text.chars() {
        let digit = c.is_ascii_digit();
        if digit && !inside {
            out.push_str(&(13 + random.below(900)).to_string());
        } else if !digit {
            out.push(c);
        }
        inside = digit;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_records_with_every_kind_of_copy() {
        let made = records(100, 100, 3);
        assert_eq!(made, records(100, 100, 3));
        assert_ne!(made, records(100, 100, 4));
        assert_eq!(made.records.len(), 200 + made.pairs.len());
        for variant in Variant::ALL {
            assert!(made.records.iter().any(|r| r.variant == variant), "{}", variant.name());
        }
        for pair in &made.pairs {
            let (base, copy) = (&made.records[pair.base], &made.records[pair.copy]);
            assert_eq!((base.group, base.variant), (copy.group, Variant::Base));
            assert_eq!(base.text == copy.text, copy.variant == Variant::Exact);
        }
    }

    #[test]
    fn a_copy_is_changed_in_its_way() {
        let text = "In May, 12 ships came in. They left.";
        let cases = [
            (Variant::Exact, text),
            (Variant::Whitespace, "  In May,  12 ships came in.  They left. \n"),
            (Variant::CasePunct, "IN MAY, 12 SHIPS CAME IN. THEY LEFT."),
            (Variant::Fullwidth, "Ｉｎ Ｍａｙ, １２ ｓｈｉｐｓ ｃａｍｅ ｉｎ. Ｔｈｅｙ ｌｅｆｔ."),
            (Variant::Trunc80, "In May, 12 ships came in. Th"),
        ];
        let mut random = Random::new(1);
        for (variant, expected) in cases {
            assert_eq!(vary(text, Language::English, variant, &mut random).as_deref(), Some(expected));
        }
        assert_eq!(vary("No number.", Language::English, Variant::NumericEdit, &mut random), None);
        assert_eq!(vary(text, Language::English, Variant::Base, &mut random), None);
    }
}
