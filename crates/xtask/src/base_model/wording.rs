//! Wordings: many ways to ask for the same, and which of them are kept for the final tests.

use planted::random::Random;

/// Rows that a model may learn from, or rows of the final tests. They share no wording and no pair of operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    Learn,
    Test,
}

/// One wording in so many is of the tests.
const TEST_ONE_IN: u64 = 6;

/// Every lead with every frame with every form in its `{x}`. A test's wording is made of phrases that are learnt, in a combination
/// that is not.
pub struct Wording {
    pub leads: &'static [&'static str],
    pub frames: &'static [&'static str],
    pub forms: &'static [&'static str],
}

impl Wording {
    /// A wording of this side of the split, with its holes.
    pub fn pick(&self, split: Split, random: &mut Random) -> String {
        // Each family has wordings on both sides (a test asks for that), so this ends.
        loop {
            let wording = self.wording(random.below(self.len()));
            if side(&wording) == split {
                return wording;
            }
        }
    }

    pub fn len(&self) -> usize {
        self.leads.len() * self.frames.len() * self.forms.len()
    }

    pub fn wording(&self, i: usize) -> String {
        let (lead, i) = (self.leads[i % self.leads.len()], i / self.leads.len());
        let (frame, form) = (self.frames[i % self.frames.len()], self.forms[i / self.frames.len()]);
        format!("{lead}{}", frame.replace("{x}", form))
    }
}

/// By the hash of the wording alone: nothing has to be stored, and no seed moves a wording to the other side.
pub fn side(wording: &str) -> Split {
    if fnv(wording.as_bytes()).is_multiple_of(TEST_ONE_IN) { Split::Test } else { Split::Learn }
}

/// FNV-1a, and a last mixing as its low bits are weak.
pub fn fnv(bytes: &[u8]) -> u64 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h: u64, b| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3));
    Random::new(hash).next_u64()
}

/// Puts texts into holes: `{name}` becomes its value.
pub fn fill(wording: &str, holes: &[(&str, &str)]) -> String {
    holes.iter().fold(wording.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    English,
    Chinese,
}

impl Language {
    pub fn any(random: &mut Random) -> Language {
        if random.below(2) == 0 { Language::English } else { Language::Chinese }
    }

    pub fn of<T>(self, english: T, chinese: T) -> T {
        match self {
            Language::English => english,
            Language::Chinese => chinese,
        }
    }
}
