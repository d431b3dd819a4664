//! What the instructions ask for, over the whole set.

use measures::verbs::{Analysis, Diversity};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Steps and constraints are counted one by one up to here; the last bin holds the rest.
const MANY: usize = 8;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Instructions {
    rows: u64,
    diversity: Diversity,
    steps: [u64; MANY],
    constraints: [u64; MANY],
}

impl Instructions {
    pub fn add(&mut self, analysis: &Analysis) {
        self.rows += 1;
        self.steps[(analysis.steps as usize).min(MANY - 1)] += 1;
        self.constraints[(analysis.constraints as usize).min(MANY - 1)] += 1;
        self.diversity.add(analysis);
    }

    pub fn merge(&mut self, other: &Instructions) {
        self.rows += other.rows;
        self.diversity.merge(&other.diversity);
        for (ours, theirs) in [(&mut self.steps, &other.steps), (&mut self.constraints, &other.constraints)] {
            ours.iter_mut().zip(theirs).for_each(|(ours, theirs)| *ours += theirs);
        }
    }
}
