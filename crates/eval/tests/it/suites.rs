//! Suites as people write them, and as they get them wrong.

use crate::support::Bench;
use eval::Condition;
use eval::{Role, check_together};

const GOOD: &str = "
name: support
skill: task
data: {path: rows.jsonl}
columns: {prompt: q, answer: a}
template: '{prompt} => {completion}'
decoding: {tokens_max: 8, stop: [\"\\n\"]}
measures:
  exact: {ignore: [case, punctuation]}
  rouge:
  loss:
";

#[test]
fn a_suite_is_read() {
    let bench = Bench::new(&[("support.yaml", GOOD)]);
    let suite = bench.suite("support.yaml");
    assert_eq!((suite.name.as_str(), suite.skill.as_str(), suite.decoding.tokens_max), ("support", "task", 8));
    assert_eq!(suite.data[0].path, bench.path("rows.jsonl"), "relative to the suite");
    let names: Vec<&str> = suite.figures(0).0.iter().map(|f| f.name).collect();
    assert_eq!(names, ["exact", "rouge1", "rouge2", "rougeL", "loss", "perplexity"]);
    assert!(suite.writes() && suite.needs_answers());
}

#[test]
fn the_role_is_said_or_follows_from_the_names() {
    for (names, role) in [
        ("skill: task", Role::Task),
        ("skill: general", Role::General),
        ("skill: general-chat", Role::General),
        ("skill: generals", Role::Task),
        ("skill: general\nrole: task", Role::Task),
        ("skill: task\nrole: general", Role::General),
    ] {
        let bench = Bench::new(&[("support.yaml", &GOOD.replace("skill: task", names))]);
        assert_eq!(bench.suite("support.yaml").role, role, "{names}");
    }
    // Results that were computed before a role and a verdict were given are taken over.
    let general = GOOD.replace("skill: task", "skill: task\nrole: general\nverdict: rouge2");
    let bench = Bench::new(&[("a.yaml", GOOD), ("b.yaml", &general)]);
    assert_eq!(bench.suite("a.yaml").meant, bench.suite("b.yaml").meant);
}

#[test]
fn the_verdict_is_said_or_follows_from_the_measures() {
    let (head, _) = GOOD.split_once("measures:").expect("measures");
    for (skill, measures, figure) in [
        ("task", "  exact:\n  rouge:\n  loss:\n", "exact"),
        ("task", "  rouge:\n  chrf:\n  loss:\n", "rougeL"),
        ("task", "  classification: {labels: [a, b]}\n  loss:\n", "accuracy"),
        ("task", "  exact:\n  command: {run: [judge]}\n", "command"),
        ("task", "  loss:\n", "loss"),
        // What is forgotten shows in the loss before answers change.
        ("general", "  exact:\n  rouge:\n  loss:\n", "loss"),
        ("general", "  exact:\n  rouge:\n", "exact"),
        ("general\nverdict: rouge2", "  exact:\n  rouge:\n  loss:\n", "rouge2"),
        ("task\nverdict: perplexity", "  exact:\n  loss:\n", "perplexity"),
        // Two models add it.
        ("task\nverdict: style_voice", "  style: {reference: texts.txt}\n", "style_voice"),
    ] {
        let skill = head.replace("skill: task", &format!("skill: {skill}"));
        let bench = Bench::new(&[("support.yaml", &format!("{skill}measures:\n{measures}"))]);
        assert_eq!(bench.suite("support.yaml").verdict, figure, "{skill}{measures}");
    }
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    let bench = Bench::new(&[("broken.json", "{\"type\": \"strange\"}")]);
    let with = |from: &str, to: &str| bench.refusal(&GOOD.replace(from, to));
    let measures = |text: &str| {
        let (head, _) = GOOD.split_once("measures:").expect("measures");
        bench.refusal(&format!("{head}measures:\n{text}"))
    };
    for (error, parts) in [
        (with("skill: task", "skil: task"), &["skil", "3"][..]),
        (with("skill: task", "role: tasks"), &["tasks", "3", "general"]),
        (
            with("skill: task", "verdict: accuracy"),
            &[":3:", "`verdict`", "exact, rouge1, rouge2, rougeL, loss, perplexity"],
        ),
        (with("name: support", "name: 'a b'"), &[":2:", "`name`", "letters, digits"]),
        (with("tokens_max: 8", "tokens_max: 0"), &[":7:", "`decoding.tokens_max`", "from 1"]),
        (with("tokens_max: 8", "top_k: 5"), &[":7:", "`decoding`", "temperature"]),
        (with("{path: rows.jsonl}", "{path: rows.jsonl, format: alpaca}"), &[":4:", "`data`", "format"]),
        (with("{prompt: q, answer: a}", "{answer: a}"), &[":5:", "`columns`", "columns.prompt"]),
        (measures(""), &["`measures`", "at least one of classification"]),
        (measures("  exact: {ignore: [colour]}\n"), &["colour"]),
        (measures("  regex: {pattern: '('}\n"), &[":9:", "`measures.regex.pattern`", "regular expression"]),
        (measures("  choice:\n"), &["`measures.choice`", "columns.choices"]),
        (measures("  choice:\n  classification:\n"), &["`measures`", "a suite for each"]),
        (measures("  classification: {labels: [a, A]}\n"), &["`measures.classification.labels`", "twice"]),
        (measures("  numeric: {tolerance: -1}\n"), &["`measures.numeric`", "from 0"]),
        (measures("  instruction:\n"), &["`measures.instruction`", "columns.checks"]),
        (measures("  instruction: {checks: [{words: {min: 3, max: 1}}]}\n"), &["min 3 is above max 1"]),
        (measures("  instruction: {checks: [{wrods: {min: 3}}]}\n"), &["wrods"]),
        (measures("  command: {run: []}\n"), &["`measures.command.run`", "program"]),
        (measures("  command: {run: [x], seconds: 0}\n"), &["`measures.command.seconds`"]),
    ] {
        parts.iter().for_each(|part| assert!(error.contains(part), "{error}\nlacks {part}"));
        assert!(error.contains("refused.yaml"), "{error}");
    }
    bench.write("schema.yaml", &GOOD.replace("rouge:", "json_schema: {file: broken.json}"));
    let error = bench.suite("schema.yaml").schema().err().expect("no schema").to_string();
    assert!(error.contains("schema.yaml:10: `measures.json_schema.file`") && error.contains("broken.json"), "{error}");
}

#[test]
fn names_must_tell_suites_apart() {
    let bench = Bench::new(&[
        ("a.yaml", GOOD),
        ("b.yaml", &GOOD.replace("name: support", "name: task")),
        ("c.yaml", &GOOD.replace("name: support", "name: other")),
    ]);
    let [a, b, c] = ["a.yaml", "b.yaml", "c.yaml"].map(|name| bench.suite(name));
    assert!(check_together(&[a.clone(), c]).is_ok());
    assert!(check_together(&[a.clone(), a.clone()]).is_err());
    let error = check_together(&[a, b]).expect_err("a suite and a skill").to_string();
    assert!(error.contains("\"task\" is a suite and the skill of others"), "{error}");
}

#[test]
fn conditions_are_checked_before_anything_runs() {
    let bench = Bench::new(&[("support.yaml", GOOD)]);
    let suites = [bench.suite("support.yaml")];
    let check =
        |text: &str, models| text.parse::<Condition>().expect(text).check(&suites, models).map_err(|e| e.to_string());
    assert_eq!(check("task.exact>=0.9", 1), Ok(()));
    assert_eq!(check("support.loss_rise.upper<=0.02", 2), Ok(()));
    // A role is meant where no suite and no skill has the name.
    bench.write(
        "rest.yaml",
        &GOOD.replace("name: support", "name: rest\nrole: general").replace("skill: task", "skill: talk"),
    );
    let with_rest = [bench.suite("support.yaml"), bench.suite("rest.yaml")];
    let general: Condition = "general.loss<=2".parse().expect("a condition");
    assert!(general.check(&with_rest, 1).is_ok() && general.check(&with_rest[..1], 1).is_err());
    for (text, models, part) in [
        ("general.loss<1", 1, "there are support, task"),
        ("task.accuracy>0", 1, "it has exact, loss, perplexity, rouge1"),
        ("task.loss_rise<1", 1, "there is one model"),
        ("task.style_voice>0", 2, "has no"),
    ] {
        let error = check(text, models).expect_err(text);
        assert!(error.contains(part), "{error}");
    }
}
