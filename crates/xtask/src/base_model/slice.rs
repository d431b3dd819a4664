//! A short slice of the base model's training, as CI runs it: the same generators, the same plan, seconds instead of an hour.

use super::init::Shape;
use super::{POSITIONS, Program, Recipe, SEED, Stage, Turns, corpus, train};
use crate::Outcome;
use crate::workspace::Workspace;
use serde_json::Value;
use std::path::Path;

const SLICE: Recipe = Recipe {
    vocabulary: 768,
    shape: |vocabulary| Shape {
        vocabulary,
        hidden: 64,
        intermediate: 128,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        positions: POSITIONS,
    },
    stages: &[Stage { rows: 4_000, shares: corpus::SUMS_FIRST, turns: Turns::One, seed: SEED, steps: 60, lr: "5e-3" }],
    batch: 4,
};

/// The first loss is that of a guess, ln V ± this: the start is neither confident nor broken.
const START_WITHIN: f64 = 0.3;
/// The mean of the last losses is below this. Knowing how frequent each token is does not get there (a test asks for that).
const END_BELOW: f64 = 4.0;
const LAST: usize = 10;

pub fn slice(workspace: &Workspace) -> Outcome {
    let out = workspace.root.join("target/base-model-slice");
    Outcome::of(learns(&out).unwrap_or_else(|why| vec![why]))
}

fn learns(out: &Path) -> Result<Vec<String>, String> {
    if out.exists() {
        std::fs::remove_dir_all(out).map_err(|why| format!("{}: {why}", out.display()))?;
    }
    train(out, &SLICE, &Program::Dev, None)?;
    let metrics = out.join("stage-1/run/metrics.jsonl");
    let text = std::fs::read_to_string(&metrics).map_err(|why| format!("{}: {why}", metrics.display()))?;
    let losses: Vec<f64> = text.lines().filter_map(loss).collect();
    Ok(judge(&losses, SLICE.vocabulary))
}

/// The loss of a step; None for lines about other things.
fn loss(line: &str) -> Option<f64> {
    serde_json::from_str::<Value>(line).ok()?["loss"].as_f64()
}

fn judge(losses: &[f64], vocabulary: usize) -> Vec<String> {
    let (Some(first), true) = (losses.first(), losses.len() > LAST) else {
        return vec![format!("{} steps have a loss, too few to judge", losses.len())];
    };
    let guess = (vocabulary as f64).ln();
    let end = losses[losses.len() - LAST..].iter().sum::<f64>() / LAST as f64;
    let mut problems = Vec::new();
    if (first - guess).abs() > START_WITHIN {
        problems
            .push(format!("the first loss is {first:.3}; {guess:.3} ± {START_WITHIN} was expected of random weights"));
    }
    if end.is_nan() || end >= END_BELOW {
        problems.push(format!("the last {LAST} losses are {end:.3} on average; below {END_BELOW} was expected"));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::super::tokenizer;
    use super::*;

    #[test]
    fn what_does_not_learn_is_found() {
        let steps = |from: f64, to: f64| (0..20).map(|i| if i < 10 { from } else { to }).collect::<Vec<_>>();
        assert_eq!(judge(&steps(6.6, 3.0), 768), Vec::<String>::new());
        assert!(judge(&steps(6.6, 6.5), 768)[0].contains("6.500 on average"));
        assert!(judge(&steps(9.0, 3.0), 768)[0].contains("first loss is 9.000"));
        assert!(judge(&steps(6.6, f64::NAN), 768)[0].contains("NaN"));
        assert!(judge(&[6.6], 768)[0].contains("too few"));
    }

    #[test]
    fn frequencies_alone_do_not_pass() {
        let rows = || corpus::mixed(4_000, corpus::SUMS_FIRST, 1);
        let tokenizer = tokenizer::train(rows().flat_map(|row| [row.prompt, row.answer]), SLICE.vocabulary).unwrap();
        let mut counts = std::collections::HashMap::<u32, f64>::new();
        for row in rows() {
            let answer = tokenizer.encode(row.answer + tokenizer::END, false).unwrap();
            answer.get_ids().iter().for_each(|id| *counts.entry(*id).or_default() += 1.0);
        }
        let all: f64 = counts.values().sum();
        let entropy = -counts.values().map(|count| count / all * (count / all).ln()).sum::<f64>();
        assert!(entropy > END_BELOW, "{entropy}");
    }
}
