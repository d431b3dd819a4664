//! Personal data and secrets on planted texts: recall, precision, hard negatives, and what redaction leaves.

use measures::Spot;
use measures::pii::{self, FINDING, Redact, Surrogates};
use planted::pii::{Language, Planted, Truth, records};
use std::collections::BTreeMap;

const SEEDS: [u64; 3] = [1, 2024, 77];
const TEXTS: usize = 1000;

fn sure(text: &str) -> Vec<Spot> {
    pii::find(text).into_iter().filter(|spot| spot.confidence >= FINDING).collect()
}

/// Whether a spot is of the value, all of it and no more.
fn is_of(spot: &Spot, truth: &Truth) -> bool {
    spot.kind == truth.kind && spot.at == truth.at
}

fn meets(spot: &Spot, truth: &Truth) -> bool {
    spot.at.start < truth.at.end && truth.at.start < spot.at.end
}

#[derive(Default)]
struct Score {
    truths: usize,
    hit: usize,
    found: usize,
    right: usize,
}

fn judge(records: &[Planted]) -> (BTreeMap<&'static str, Score>, Vec<String>, Vec<String>) {
    let mut scores: BTreeMap<&'static str, Score> = BTreeMap::new();
    let (mut wrong, mut flagged) = (Vec::new(), Vec::new());
    for record in records {
        let spots = sure(&record.text);
        for truth in &record.spans {
            let score = scores.entry(truth.kind).or_default();
            score.truths += 1;
            if spots.iter().any(|spot| is_of(spot, truth)) {
                score.hit += 1;
            } else {
                wrong.push(format!("missed {}: {}", truth.form, record.text));
            }
        }
        for spot in &spots {
            let score = scores.entry(spot.kind).or_default();
            score.found += 1;
            if record.spans.iter().any(|truth| is_of(spot, truth)) {
                score.right += 1;
            } else {
                wrong.push(format!("false {} ({}): {}", spot.rule, &record.text[spot.at.clone()], record.text));
            }
            if let Some(truth) = record.hard_negatives.iter().find(|truth| meets(spot, truth)) {
                flagged.push(format!("{} as {}: {}", truth.form, spot.rule, record.text));
            }
        }
    }
    (scores, wrong, flagged)
}

#[test]
fn every_kind_is_found_and_nothing_else() {
    let mut failures = Vec::new();
    for (language, seed) in [Language::En, Language::Zh].into_iter().flat_map(|l| SEEDS.map(|seed| (l, seed))) {
        let (scores, wrong, flagged) = judge(&records(language, TEXTS, seed));
        let mut low = false;
        for (kind, score) in scores {
            let recall = score.hit as f64 / score.truths.max(1) as f64;
            let precision = score.right as f64 / score.found.max(1) as f64;
            if score.truths == 0 || recall < 0.98 || precision < 0.98 {
                failures.push(format!("{language:?}, seed {seed}, {kind}: recall {recall}, precision {precision}"));
                low = true;
            }
        }
        failures.extend(flagged.into_iter().map(|text| format!("{language:?}, seed {seed}, flagged {text}")));
        failures.extend(wrong.into_iter().filter(|_| low));
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn nothing_is_left_behind_a_mask_or_a_tag() {
    for language in [Language::En, Language::Zh] {
        for record in records(language, TEXTS, 5) {
            let spots = sure(&record.text);
            for mode in [Redact::Mask, Redact::Tag] {
                let out = pii::redact(&record.text, &spots, mode, &mut Surrogates::new(0));
                assert_eq!(sure(&out), [], "seed 5: {} became {out}", record.text);
            }
        }
    }
}

#[test]
fn surrogates_are_all_that_is_found_behind_them() {
    for language in [Language::En, Language::Zh] {
        for record in records(language, TEXTS, 6) {
            let spots = sure(&record.text);
            let out = pii::redact(&record.text, &spots, Redact::Surrogate, &mut Surrogates::new(9));
            for spot in &spots {
                assert!(
                    !out.contains(&record.text[spot.at.clone()]),
                    "seed 6: {spot:?} in {} became {out}",
                    record.text
                );
            }
            // Where each surrogate stands: what is before it does not depend on what follows.
            let mut places = Vec::new();
            for (n, spot) in spots.iter().enumerate() {
                let (before, text) = (&spots[..n], &record.text[..spot.at.start]);
                let start = pii::redact(text, before, Redact::Surrogate, &mut Surrogates::new(9)).len();
                let (with, text) = (&spots[..=n], &record.text[..spot.at.end]);
                let end = pii::redact(text, with, Redact::Surrogate, &mut Surrogates::new(9)).len();
                places.push((spot.kind, start..end));
            }
            for left in sure(&out) {
                let made = places.iter().any(|(kind, at)| *kind == left.kind && *at == left.at);
                assert!(made, "seed 6: {left:?} in {out}, made of {}", record.text);
            }
        }
    }
}
