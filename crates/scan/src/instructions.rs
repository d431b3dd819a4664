//! What the instructions ask for, over the whole set.

use measures::verbs::{Analysis, Diversity, Level};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The sunburst: so many verbs, and so many nouns of each (Wang et al. 2023, figure 2).
const VERBS: usize = 20;
const NOUNS: usize = 4;
/// A level that fewer of the requests have is missing.
const MISSING_SHARE: f64 = 0.02;
/// Pairs from which a verb's usual level is told.
const PAIRS: usize = 20_000;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Instructions(Diversity);

impl Instructions {
    pub fn add(&mut self, analysis: &Analysis) {
        self.0.add(analysis);
    }

    pub fn merge(&mut self, other: Instructions) {
        self.0.merge(other.0);
    }

    /// As `scan.json` has it; none where no instruction was in a language that is read.
    pub fn shown(&self) -> Option<Value> {
        let all = &self.0;
        if all.texts() == 0 {
            return None;
        }
        let pairs = all.top_pairs(PAIRS);
        let mut levels: BTreeMap<&str, BTreeMap<Level, u64>> = BTreeMap::new();
        for (verb, _, level, rows) in &pairs {
            *levels.entry(verb).or_default().entry(*level).or_default() += rows;
        }
        let usual = |verb: &str| levels.get(verb)?.iter().max_by_key(|(_, rows)| **rows).map(|(level, _)| level.name());
        let top = all.sunburst(VERBS, NOUNS).sectors.into_iter().map(|sector| {
            let nouns: Vec<Value> =
                sector.petals.iter().map(|petal| json!({"noun": petal.noun, "rows": petal.count})).collect();
            let language = if sector.verb.is_ascii() { "en" } else { "zh" };
            let level = usual(&sector.verb);
            json!({"verb": sector.verb, "language": language, "level": level, "rows": sector.count, "nouns": nouns})
        });
        let missing =
            Level::ALL.iter().filter(|level| (all.level(**level) as f64) < MISSING_SHARE * all.requests() as f64);
        Some(json!({
            "rows": all.texts(),
            "with_verb": all.requests(),
            "verbs": levels.len(),
            "pairs": all.distinct_pairs(),
            "estimated": all.is_thinned(),
            "entropy": all.entropy_bits(),
            "top_share": all.top_share(),
            "levels": Level::ALL.map(|level| json!({"level": level.name(), "rows": all.level(level)})),
            "top": top.collect::<Vec<_>>(),
            "missing": missing.map(|level| {
                json!({"level": level.name(), "rows": all.level(*level), "verbs": all.unused_verbs(*level)})
            }).collect::<Vec<_>>(),
            "steps": {"counts": all.steps()},
            "constraints": {"counts": all.constraints()},
        }))
    }
}
