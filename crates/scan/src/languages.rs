//! Which languages the texts are in, counted exactly.

use measures::Part;
use measures::language::{self, Han};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Pairs of languages shown.
const PAIRS_MAX: usize = 10;

/// What was said of one text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Said {
    pub han: Option<Han>,
    /// ISO 639-1; None: too little to tell.
    pub language: Option<&'static str>,
    pub mixed: bool,
    pub code: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Languages {
    instruction: Side,
    response: Side,
    text: Side,
    code_rows: u64,
    rows: u64,
    /// Rows with a text in Chinese of either form.
    simplified: u64,
    traditional: u64,
    /// "en zh" → rows whose question is in the one and whose answer is in the other language.
    other: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Side {
    rows: u64,
    counts: BTreeMap<String, u64>,
    unsure: u64,
    mixed: u64,
}

impl Languages {
    pub fn add(&mut self, sides: &[(Part, Said)], other: Option<(&str, &str)>) {
        self.rows += 1;
        self.code_rows += u64::from(sides.iter().any(|(_, said)| said.code));
        let has = |form| sides.iter().any(|(_, said)| said.han == Some(form));
        self.simplified += u64::from(has(Han::Simplified));
        self.traditional += u64::from(has(Han::Traditional));
        for (part, said) in sides {
            let side = match part {
                Part::Instruction => &mut self.instruction,
                Part::Response => &mut self.response,
                Part::Text => &mut self.text,
                Part::System => continue,
            };
            side.rows += 1;
            side.mixed += u64::from(said.mixed);
            match said.language {
                Some(language) => *side.counts.entry(language.to_owned()).or_default() += 1,
                None => side.unsure += 1,
            }
        }
        if let Some((asked, answered)) = other {
            *self.other.entry(format!("{asked} {answered}")).or_default() += 1;
        }
    }

    pub fn merge(&mut self, other: &Languages) {
        self.rows += other.rows;
        self.code_rows += other.code_rows;
        self.simplified += other.simplified;
        self.traditional += other.traditional;
        self.instruction.merge(&other.instruction);
        self.response.merge(&other.response);
        self.text.merge(&other.text);
        other.other.iter().for_each(|(pair, rows)| *self.other.entry(pair.clone()).or_default() += rows);
    }

    /// As `scan.json` has it.
    pub fn shown(&self) -> Value {
        let sides = [("instruction", &self.instruction), ("response", &self.response), ("text", &self.text)];
        let parts = sides.iter().filter(|(_, side)| side.rows > 0).map(|(part, side)| side.shown(part));
        let mut pairs: Vec<(&String, &u64)> = self.other.iter().collect();
        pairs.sort_by_key(|(pair, rows)| (u64::MAX - **rows, *pair));
        let pair = |(pair, rows): &(&String, &u64)| {
            let (asked, answered) = pair.split_once(' ').unwrap_or((pair, ""));
            json!({"instruction": asked, "response": answered, "rows": rows})
        };
        json!({
            "parts": parts.collect::<Vec<_>>(),
            "han": {"simplified": self.simplified, "traditional": self.traditional},
            "code": {"rows": self.code_rows, "share": self.code_rows as f64 / self.rows.max(1) as f64},
            "other_language": {
                "rows": self.other.values().sum::<u64>(),
                "pairs": pairs.iter().take(PAIRS_MAX).map(pair).collect::<Vec<_>>(),
            },
        })
    }
}

impl Side {
    fn merge(&mut self, other: &Side) {
        self.rows += other.rows;
        self.unsure += other.unsure;
        self.mixed += other.mixed;
        other.counts.iter().for_each(|(language, rows)| *self.counts.entry(language.clone()).or_default() += rows);
    }

    fn shown(&self, part: &str) -> Value {
        let mut counts: Vec<(&String, &u64)> = self.counts.iter().collect();
        counts.sort_by_key(|(language, rows)| (u64::MAX - **rows, *language));
        let count = |(language, rows): &(&String, &u64)| json!({"language": language, "rows": rows});
        json!({
            "part": part,
            "rows": self.rows,
            "counts": counts.iter().map(count).collect::<Vec<_>>(),
            "unsure": self.unsure,
            "mixed": self.mixed,
            "entropy": language::entropy(self.counts.values().copied()),
        })
    }
}
