//! From the numbers of a model to spots: labels of its configuration, BIO and its kin, word pieces.

use crate::finding::NAMES;
use measures::Spot;
use measures::quality::tokens::is_ideograph;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ops::Range;

/// What a model says of a token, by the index of its output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels(Vec<Tag>);

/// A label, taken apart. Kinds that are not looked for are outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    Outside,
    /// The first token of a name, or its only one.
    Begin(&'static str),
    /// A later token; of a name of another kind, or after none, a first one.
    Inside(&'static str),
}

/// A token of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    pub at: Range<usize>,
    /// The word that it is part of, as the tokenizer counts them.
    pub word: Option<u32>,
}

#[derive(Debug, thiserror::Error)]
pub enum LabelsError {
    #[error("not a model's configuration: {0}")]
    Json(#[from] serde_json::Error),
    #[error("id2label: {got:?}; expected the numbers from 0 on")]
    Numbers { got: String },
    #[error("id2label: none of {}; expected labels of persons, organisations or places, such as B-PER", got.join(", "))]
    NoneKnown { got: Vec<String> },
}

const RULE: &str = "ner";

/// What [`NAMES`] are called in common sets of labels, English and Chinese, in small letters.
const LABELS: [&[&str]; NAMES.len()] = [
    &["per", "person", "pers", "name", "nr", "人名"],
    &["org", "organization", "organisation", "corp", "company", "government", "nt", "机构", "组织"],
    &["loc", "location", "place", "gpe", "fac", "facility", "address", "scene", "ns", "地名", "地点"],
];

impl Labels {
    /// From the text of a model's `config.json`.
    ///
    /// # Errors
    /// No `id2label`, gaps in its numbers, or no label that is looked for.
    pub fn from_config(json: &str) -> Result<Self, LabelsError> {
        #[derive(Deserialize)]
        struct Config {
            id2label: BTreeMap<String, String>,
        }
        let config: Config = serde_json::from_str(json)?;
        let mut labels = vec![None; config.id2label.len()];
        for (id, label) in &config.id2label {
            let place = id.parse::<usize>().ok().and_then(|id| labels.get_mut(id));
            *place.ok_or_else(|| LabelsError::Numbers { got: id.clone() })? = Some(Tag::of(label));
        }
        let tags: Vec<Tag> = labels.into_iter().map(|tag| tag.unwrap_or(Tag::Outside)).collect();
        match tags.iter().any(|tag| *tag != Tag::Outside) {
            true => Ok(Self(tags)),
            false => Err(LabelsError::NoneKnown { got: config.id2label.into_values().collect() }),
        }
    }

    /// How many numbers a model has for each token.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

impl Tag {
    /// `B-PER`, `I-ORG`, `S_LOC`, `E-LOC`, or `PER` alone.
    fn of(label: &str) -> Self {
        let lower = label.to_lowercase();
        let (prefix, name) = match lower.split_once(['-', '_']) {
            Some((prefix, name)) if prefix.len() == 1 => (prefix, name),
            _ => ("i", lower.as_str()),
        };
        let kind = LABELS.iter().position(|labels| labels.contains(&name)).map(|at| NAMES[at]);
        match (kind, prefix) {
            (None, _) => Self::Outside,
            (Some(kind), "b" | "s" | "u") => Self::Begin(kind),
            (Some(kind), _) => Self::Inside(kind),
        }
    }
}

/// The names in a text. `logits` has a row of [`Labels::count`] numbers for each piece.
///
/// The pieces of a word of letters count as one, by the mean of what is said of them; a name is as sure as the mean of its words.
pub fn spots(text: &str, labels: &Labels, pieces: &[Piece], logits: &[f32]) -> Vec<Spot> {
    let rows = logits.chunks_exact(labels.count()).map(shares);
    let pieces: Vec<(&Piece, Vec<f32>)> = pieces.iter().zip(rows).filter(|(piece, _)| !piece.at.is_empty()).collect();
    let mut names: Vec<Name> = Vec::new();
    let mut open = false;
    for word in pieces.chunk_by(|a, b| are_one(text, a.0, b.0)) {
        let (tag, share) = labels.likeliest(word);
        let at = word[0].0.at.start..word[word.len() - 1].0.at.end;
        open = match (tag, names.last_mut()) {
            (Tag::Outside, _) => false,
            (Tag::Inside(kind), Some(name)) if open && name.kind == kind => {
                name.at.end = at.end;
                name.shares.push(share);
                true
            }
            (Tag::Begin(kind) | Tag::Inside(kind), _) => {
                names.push(Name { kind, at, shares: vec![share] });
                true
            }
        };
    }
    names.into_iter().filter_map(|name| name.spot(text)).collect()
}

struct Name {
    kind: &'static str,
    at: Range<usize>,
    shares: Vec<f32>,
}

impl Name {
    /// Without the punctuation that some tokenizers leave at words.
    fn spot(self, text: &str) -> Option<Spot> {
        let said = text.get(self.at.clone())?;
        let inner = said.trim_matches(|c: char| !c.is_alphanumeric() && c != '.');
        let start = self.at.start + (inner.as_ptr() as usize - said.as_ptr() as usize);
        let confidence = self.shares.iter().sum::<f32>() / self.shares.len() as f32;
        let at = start..start + inner.len();
        (!inner.is_empty()).then_some(Spot { kind: self.kind, rule: RULE, at, confidence })
    }
}

impl Labels {
    fn likeliest(&self, word: &[(&Piece, Vec<f32>)]) -> (Tag, f32) {
        let mean = |label: usize| word.iter().map(|(_, shares)| shares[label]).sum::<f32>() / word.len() as f32;
        let best =
            (0..self.0.len()).map(|label| (self.0[label], mean(label))).reduce(|a, b| if b.1 > a.1 { b } else { a });
        best.unwrap_or((Tag::Outside, 0.0))
    }
}

/// Some tokenizers take a whole Chinese sentence for a word; names end inside it.
fn are_one(text: &str, a: &Piece, b: &Piece) -> bool {
    let joined = |piece: &Piece| text.get(piece.at.clone()).is_some_and(|text| text.chars().any(is_ideograph));
    a.word.is_some() && a.word == b.word && !joined(a) && !joined(b)
}

/// Softmax.
fn shares(logits: &[f32]) -> Vec<f32> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = logits.iter().map(|logit| (logit - most).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}
