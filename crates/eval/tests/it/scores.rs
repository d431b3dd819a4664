//! Scores equal those of sacreBLEU, rouge_score and scikit-learn (fixtures/scores).

use crate::support::fixture;
use eval::score::classes::{self, Counts, Match};
use eval::score::{chrf, rouge};
use eval::stats::mcnemar;
use serde_json::Value;

const TOLERANCE: f64 = 1e-9;

fn expected() -> Value {
    serde_json::from_slice(&std::fs::read(fixture("scores/expected.json")).expect("the fixture")).expect("JSON")
}

fn near(got: f64, want: &Value, what: &str) {
    let want = want.as_f64().expect("a number");
    assert!((got - want).abs() < TOLERANCE, "{what}: {got}, not {want}");
}

#[test]
fn chrf_is_sacrebleus() {
    let all = expected();
    let mut sums = [0.0; chrf::WIDTH];
    for pair in all["pairs"].as_array().expect("pairs") {
        let (answer, reference) = (pair["answer"].as_str().expect("text"), pair["reference"].as_str().expect("text"));
        let of_pair = chrf::statistics(answer, reference);
        near(chrf::score(&of_pair), &pair["chrf"], answer);
        sums.iter_mut().zip(of_pair).for_each(|(sum, x)| *sum += x);
    }
    near(chrf::score(&sums), &all["chrf_corpus"], "corpus");
}

#[test]
fn rouge_is_googles() {
    let mut compared = 0;
    for pair in expected()["pairs"].as_array().expect("pairs") {
        let Some(want) = pair["rouge"].as_array() else { continue };
        let answer = pair["answer"].as_str().expect("text");
        let got = rouge::rouge(answer, pair["reference"].as_str().expect("text"));
        got.iter().zip(want).for_each(|(got, want)| near(*got, want, answer));
        compared += 1;
    }
    assert_eq!(compared, 9);
}

#[test]
fn f1_is_scikit_learns() {
    let c = &expected()["classification"];
    let list = |key: &str| -> Vec<String> {
        c[key].as_array().expect("a list").iter().map(|v| v.as_str().expect("text").to_owned()).collect()
    };
    let labels = list("labels");
    let mut counts = vec![0.0; 3 * labels.len()];
    let mut hits = 0.0;
    let (truth, given) = (list("truth"), list("given"));
    for (truth, given) in truth.iter().zip(&given) {
        let of = |label: &str| classes::named(label, &labels, Match::Whole);
        classes::add(&mut counts, of(truth), of(given));
        hits += f64::from(truth == given);
    }
    let f1 = Counts { counts: &counts };
    near(f1.macro_f1(), &c["macro_f1"], "macro");
    near(f1.micro_f1(), &c["micro_f1"], "micro");
    near(hits / truth.len() as f64, &c["accuracy"], "accuracy");
}

#[test]
fn mcnemar_is_scipys_binomial_test() {
    for row in expected()["mcnemar_exact"].as_array().expect("rows") {
        let of = |i: usize| row[i].as_u64().expect("a count");
        near(mcnemar(of(0), of(1)), &row[2], &row.to_string());
        near(mcnemar(of(1), of(0)), &row[2], &row.to_string());
    }
    assert_eq!(mcnemar(0, 0), 1.0);
    // 2⁻²⁰⁰⁰ alone is no f64.
    assert!(mcnemar(900, 1100) < 1e-4 && mcnemar(900, 1100) > 1e-6);
}
