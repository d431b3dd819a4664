//! The vote between the languages of Latin letters.

use super::words::{self, DE, EN, FR, IT, LATIN};
use super::{Language, Segment};

/// What speaks for each language of [`LATIN`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Votes([f32; LATIN.len()]);

/// The votes of a whole text, and who won.
pub(super) struct Sum {
    votes: Votes,
    winner: usize,
}

/// A sentence has another language than its text if its own votes say so by this much.
const OWN_MARGIN: f32 = 2.5;
/// A lead above this needs no second opinion.
const CLEAR_MARGIN: f32 = 3.0;
/// The weight of the second opinion, among votes of about 1 a word. On a few words it is often wrong.
const SECOND_OPINION: f32 = 1.1;
const SECOND_OPINION_LEAST: f32 = 0.5;
const SECOND_OPINION_A_WORD: f32 = 0.08;
/// The second opinion reads this many bytes.
const SECOND_OPINION_BYTES: usize = 240;

/// What a text of its language has of votes a word, at least.
const KNOWN_VOTES: f32 = 0.3;

/// Pairs of letters inside of words.
const PAIRS: [(&[u8; 2], usize, f32); 7] = [
    (b"sc", DE, 0.1),
    (b"th", EN, 0.3),
    (b"wh", EN, 0.3),
    (b"lh", words::PT, 0.4),
    (b"nh", words::PT, 0.4),
    (b"ij", words::NL, 0.4),
    (b"aa", words::NL, 0.4),
];

impl Votes {
    /// Lets a word vote; `word` is lowered in place.
    pub(super) fn add_word(&mut self, word: &mut String) {
        let shouted = word.len() > 1 && word.chars().all(|c| !c.is_lowercase());
        if word.is_ascii() {
            word.make_ascii_lowercase();
        } else {
            // One character for one: the dot of a lowered İ is no letter of any list.
            *word = word.chars().map(|c| c.to_lowercase().next().unwrap_or(c)).collect();
        }
        self.add_lowered(word, shouted);
    }

    /// Parts a word at its apostrophes, one after the other, until what is left is known or has none.
    fn add_lowered(&mut self, word: &str, shouted: bool) {
        let (mut rest, mut shouted) = (word, shouted);
        loop {
            let mask = words::languages_of(rest);
            let Some((left, right)) = rest.split_once('\'').filter(|_| mask == 0) else {
                return self.add_part(rest, mask, shouted);
            };
            shouted = false;
            if !self.add_elision(left, right) {
                self.add_part(left, words::languages_of(left), false);
            }
            if is_ending(right) {
                return;
            }
            rest = right;
        }
    }

    /// A word without an apostrophe, or a known one; `mask` is of its languages.
    fn add_part(&mut self, word: &str, mask: u16, shouted: bool) {
        if mask != 0 {
            let shared = match mask.count_ones() {
                1 => 1.0,
                2 => 0.6,
                3 => 0.4,
                _ => 0.25,
            };
            let length = match word.chars().take(4).count() {
                1 => 0.5,
                4 => 1.3,
                _ => 1.0,
            };
            self.0.iter_mut().enumerate().filter(|(i, _)| mask & 1 << i != 0).for_each(|(_, v)| *v += shared * length);
        }
        for c in word.chars().filter(|c| !c.is_ascii()) {
            words::letter_votes(c).iter().for_each(|&(language, vote)| self.0[language] += vote);
        }
        if mask == 0 && !shouted && word.len() >= 5 {
            self.add_shape(word);
        }
    }

    /// English endings after an apostrophe, French and Italian elisions before it: whether `left` was one.
    fn add_elision(&mut self, left: &str, right: &str) -> bool {
        if is_ending(right) {
            self.0[EN] += 0.8;
            return false;
        }
        match left {
            "d" | "n" | "qu" | "j" | "s" | "m" | "t" | "jusqu" | "lorsqu" | "aujourd" => self.0[FR] += 1.0,
            "l" | "c" => {
                self.0[FR] += 0.7;
                self.0[IT] += 0.5;
            }
            "dell" | "all" | "nell" | "dall" | "sull" | "un" | "quell" | "dov" | "com" => self.0[IT] += 1.2,
            _ => return false,
        }
        true
    }

    fn add_shape(&mut self, word: &str) {
        words::ending_votes(word).for_each(|(language, vote)| self.0[language] += vote);
        let has = |pair: &[u8; 2]| word.as_bytes().windows(2).any(|w| w == pair);
        for (pair, language, vote) in PAIRS {
            if has(pair) {
                self.0[language] += vote;
            }
        }
    }

    pub(super) fn add_mark(&mut self, mark: char) {
        words::letter_votes(mark).iter().for_each(|&(language, vote)| self.0[language] += vote);
    }

    /// The first two: who, and with how many votes.
    fn best(&self) -> (usize, f32, f32) {
        let mut best = (0, self.0[0], f32::MIN);
        for (i, &votes) in self.0.iter().enumerate().skip(1) {
            if votes > best.1 {
                best = (i, votes, best.1);
            } else if votes > best.2 {
                best.2 = votes;
            }
        }
        best
    }
}

/// What English has after an apostrophe.
fn is_ending(right: &str) -> bool {
    matches!(right, "s" | "t" | "re" | "ve" | "ll" | "m" | "d")
}

impl Sum {
    /// The language of a sentence of the text.
    pub(super) fn of(&self, sentence: &Votes) -> Language {
        let (own, votes, _) = sentence.best();
        LATIN[if votes - sentence.0[self.winner] >= OWN_MARGIN { own } else { self.winner }]
    }
}

/// Adds up the votes of a text; quotations count less. A close result asks `whichlang`.
pub(super) fn sum(segments: &[Segment], text: &str) -> Sum {
    let mut votes = Votes::default();
    let mut words = 0;
    for segment in segments {
        let weight = if segment.quoted { super::QUOTED } else { 1.0 };
        votes.0.iter_mut().zip(segment.votes.0).for_each(|(sum, vote)| *sum += weight * vote);
        words += segment.counts.words;
    }
    let (winner, first, second) = votes.best();
    if words == 0 || first - second >= CLEAR_MARGIN {
        return Sum { votes, winner };
    }
    let mut end = text.len().min(SECOND_OPINION_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let opinion = of_whichlang(whichlang::detect_language(&text[..end]));
    if let Some(index) = LATIN.iter().position(|language| *language == opinion) {
        let weight = SECOND_OPINION_LEAST + SECOND_OPINION_A_WORD * words as f32;
        votes.0[index] += weight.min(SECOND_OPINION);
    }
    let (winner, ..) = votes.best();
    Sum { votes, winner }
}

/// How sure it is that text of the winner's script is in `language`.
pub(super) fn confidence(language: Language, sum: &Sum, segments: &[Segment]) -> f32 {
    if LATIN.contains(&language) {
        let (_, first, second) = sum.votes.best();
        // Only the second opinion spoke: a name, or a language that is not known here.
        if first <= SECOND_OPINION {
            return 0.35;
        }
        let words: u32 = segments.iter().map(|s| s.counts.words).sum();
        // Long texts without their share of known words are in a language that is not known here.
        let known = (first / (KNOWN_VOTES * words as f32)).min(1.0);
        return known * (1.0 - 0.5 * (-(first - second) / 1.2).exp());
    }
    match language {
        Language::Chinese if segments.iter().map(|s| s.counts.han).sum::<u32>() < 4 => 0.8,
        Language::Chinese | Language::Japanese | Language::Korean => 0.99,
        _ => 0.97,
    }
}

fn of_whichlang(language: whichlang::Lang) -> Language {
    use whichlang::Lang;
    match language {
        Lang::Ara => Language::Arabic,
        Lang::Cmn => Language::Chinese,
        Lang::Deu => Language::German,
        Lang::Eng => Language::English,
        Lang::Fra => Language::French,
        Lang::Hin => Language::Hindi,
        Lang::Ita => Language::Italian,
        Lang::Jpn => Language::Japanese,
        Lang::Kor => Language::Korean,
        Lang::Nld => Language::Dutch,
        Lang::Por => Language::Portuguese,
        Lang::Rus => Language::Russian,
        Lang::Spa => Language::Spanish,
        Lang::Swe => Language::Swedish,
        Lang::Tur => Language::Turkish,
        Lang::Vie => Language::Vietnamese,
    }
}
