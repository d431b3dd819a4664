//! The quality of the answers over the whole set. Scores are added as whole millionths, so that their order does not matter.

use measures::quality::{Aspect, Quality};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const BINS: usize = 20;
const MILLIONTHS: f64 = 1e6;
/// Parts of the score below it are counted as low.
const LOW_PART: f32 = 0.5;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Qualities {
    rows: u64,
    sum: u64,
    low: u64,
    bins: [u64; BINS],
    parts: [PartSum; Aspect::ALL.len()],
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct PartSum {
    sum: u64,
    low: u64,
}

impl Qualities {
    pub fn add(&mut self, quality: &Quality, low_below: f32) {
        self.rows += 1;
        self.sum += millionths(quality.score);
        self.low += u64::from(quality.score < low_below);
        self.bins[((quality.score * BINS as f32) as usize).min(BINS - 1)] += 1;
        for (sum, (_, part)) in self.parts.iter_mut().zip(&quality.parts) {
            sum.sum += millionths(*part);
            sum.low += u64::from(*part < LOW_PART);
        }
    }

    pub fn merge(&mut self, other: &Qualities) {
        self.rows += other.rows;
        self.sum += other.sum;
        self.low += other.low;
        self.bins.iter_mut().zip(&other.bins).for_each(|(ours, theirs)| *ours += theirs);
        for (ours, theirs) in self.parts.iter_mut().zip(&other.parts) {
            ours.sum += theirs.sum;
            ours.low += theirs.low;
        }
    }

    /// As `scan.json` has it; none where no row has an answer.
    pub fn shown(&self, low_below: f32) -> Option<Value> {
        let mean = |sum: u64| sum as f64 / MILLIONTHS / self.rows as f64;
        let parts = Aspect::ALL.iter().zip(&self.parts);
        let part =
            |(aspect, sum): (&Aspect, &PartSum)| json!({"part": aspect.name(), "mean": mean(sum.sum), "low": sum.low});
        let edges: Vec<f64> = (0..=BINS).map(|i| i as f64 / BINS as f64).collect();
        (self.rows > 0).then(|| {
            json!({
                "mean": mean(self.sum),
                "histogram": {"edges": edges, "counts": self.bins},
                "low": {"threshold": (f64::from(low_below) * MILLIONTHS).round() / MILLIONTHS, "rows": self.low, "share": self.low as f64 / self.rows as f64},
                "parts": parts.map(part).collect::<Vec<_>>(),
            })
        })
    }
}

fn millionths(value: f32) -> u64 {
    (f64::from(value.clamp(0.0, 1.0)) * MILLIONTHS).round() as u64
}
