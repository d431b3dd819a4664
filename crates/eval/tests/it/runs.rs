//! Whole evaluations, with stand-ins for models.

use crate::support::{Bench, Fake, fixture, model};
use eval::{Entrant, EvalError, EvalPlan, Progress, Subject, Watch, Who, run};
use runfs::RealFs;
use serde_json::Value;
use std::sync::atomic::{AtomicBool, Ordering};

const CAPITALS: [(&str, &str); 6] = [
    ("France", "Paris"),
    ("Italy", "Rome"),
    ("Japan", "Tokyo"),
    ("China", "北京"),
    ("Spain", "Madrid"),
    ("Peru", "Lima"),
];

fn bench() -> Bench {
    let rows: String =
        CAPITALS.iter().map(|(c, a)| format!("{{\"q\": \"Capital of {c}?\", \"a\": \"{a}\"}}\n")).collect();
    let words: String =
        (0..70).map(|i| format!("{{\"prompt\": \"say {i}\", \"completion\": \"{i} it is\"}}\n")).collect();
    Bench::new(&[
        ("capitals.jsonl", &rows),
        ("words.jsonl", &words),
        (
            "capitals.yaml",
            "name: capitals\nskill: task\ndata: capitals.jsonl\ncolumns: {prompt: q, answer: a}\n\
             measures:\n  classification: {match: first}\n  exact:\n",
        ),
        (
            "words.yaml",
            "name: words\nskill: general\ndata: words.jsonl\nmeasures:\n  rouge:\n  loss:\n  numeric:\n  \
             style: {reference: words.jsonl}\n",
        ),
    ])
}

/// The base knows two capitals and repeats numbers; the tuned model knows five and has forgotten what to say.
fn subject(who: Who) -> Fake {
    let knows = if who == Who::Base { 2 } else { 5 };
    Fake::new(if who == Who::Base { 1.0 } else { 1.5 }, move |prompt| {
        if let Some((i, (_, answer))) = CAPITALS.iter().enumerate().find(|(_, (c, _))| prompt.contains(c)) {
            return if i < knows { format!("It is {answer}.") } else { "I do not know".to_owned() };
        }
        let number: String =
            prompt.split("say ").last().unwrap_or_default().chars().take_while(char::is_ascii_digit).collect();
        if who == Who::Base { format!("{number} it is") } else { "yes".to_owned() }
    })
}

fn plan(bench: &Bench, out: &str) -> EvalPlan {
    let entrant = |who| Entrant { who, dir: model(), adapter: None, identity: format!("{who:?}"), position_max: 512 };
    EvalPlan {
        suites: ["capitals.yaml", "words.yaml"].map(|name| bench.suite(name)).into(),
        entrants: [Who::Base, Who::Tuned].map(entrant).into(),
        conditions: ["task.accuracy>=0.9", "general.loss_rise<=0.5"].map(|c| c.parse().expect(c)).into(),
        limit: None,
        seed: 0,
        out: bench.path(out),
    }
}

fn evaluated(plan: &EvalPlan, progress: &mut dyn FnMut(Progress), stop: &AtomicBool) -> Result<Value, EvalError> {
    let mut load = |entrant: &Entrant, _| Ok(Box::new(subject(entrant.who)) as Box<dyn Subject>);
    run(plan, &RealFs, &mut load, &mut Watch { stop, progress })
}

fn done(plan: &EvalPlan) -> Value {
    evaluated(plan, &mut |_| {}, &AtomicBool::new(false)).expect("evaluated")
}

fn figure<'a>(list: &'a Value, of: &str, name: &str) -> &'a Value {
    let owner = list.as_array().expect("a list").iter().find(|s| s["name"] == of).expect(of);
    owner["figures"].as_array().expect("figures").iter().find(|f| f["name"] == name).expect(name)
}

#[test]
fn base_and_tuned_side_by_side() {
    let bench = bench();
    let record = done(&plan(&bench, "out"));
    let accuracy = figure(&record["suites"], "capitals", "accuracy");
    assert_eq!(accuracy["base"]["value"], 2.0 / 6.0);
    assert_eq!(accuracy["tuned"]["value"], 5.0 / 6.0);
    // Three gained, none lost: 2 · ½³.
    let p = accuracy["change"]["p"].as_f64().expect("p");
    assert!((p - 0.25).abs() < 1e-12 && accuracy["change"]["test"] == "mcnemar", "{accuracy}");
    assert_eq!(figure(&record["suites"], "capitals", "exact")["tuned"]["value"], 0.0, "It is Paris. is not Paris");
    let loss = figure(&record["skills"], "general", "loss");
    assert_eq!((loss["base"]["value"].as_f64(), loss["tuned"]["value"].as_f64()), (Some(1.0), Some(1.5)));
    assert_eq!(
        (&loss["change"]["verdict"], &loss["change"]["no_worse_by"]),
        (&Value::from("worse"), &Value::from(0.5))
    );
    let worst = record["suites"][1]["worst"].as_array().expect("worst");
    assert_eq!((worst.len(), worst[0]["line"].as_u64()), (10, Some(1)));
    assert_eq!((&worst[0]["base"], &worst[0]["tuned"]), (&Value::from("0 it is"), &Value::from("yes")));
    assert_eq!(record["conditions"][0]["holds"], false);
    assert_eq!(record["conditions"][1]["holds"], true);
    let cells = &record["suites"][0]["confusion"]["cells"]["tuned"];
    assert!(cells.as_array().expect("cells").len() == 6 && record["suites"][0]["confusion"]["labels"][5] == "北京");
}

/// Another verdict asks nothing anew: it is about other rows of the same answers.
#[test]
fn the_verdict_chooses_the_rows_that_are_shown() {
    let bench = bench();
    let shown = |record: &Value| {
        let suite = &record["suites"][1];
        let worst = suite["worst"].as_array().expect("worst");
        let same = worst.iter().all(|row| row["figure"] == suite["verdict"]);
        assert!(same && worst.len() == 10, "{worst:?}");
        worst.iter().map(|row| row["harm"].as_f64().expect("a harm")).collect::<Vec<_>>()
    };
    let mut plan = plan(&bench, "out");
    assert_eq!(shown(&done(&plan)), [0.5; 10], "a general suite is judged by its loss");
    let text = std::fs::read_to_string(bench.path("words.yaml")).expect("a suite");
    bench.write("words.yaml", &text.replace("measures:", "verdict: numeric\nmeasures:"));
    plan.suites[1] = bench.suite("words.yaml");
    let mut asked = 0;
    let mut progress = |at: Progress| asked += usize::from(matches!(at, Progress::Rows { .. }));
    let record = evaluated(&plan, &mut progress, &AtomicBool::new(false)).expect("evaluated");
    assert_eq!((shown(&record), asked), (vec![1.0; 10], 0));
}

#[test]
fn answers_are_written_with_their_origin() {
    let bench = bench();
    done(&plan(&bench, "out"));
    let text = std::fs::read_to_string(bench.path("out/answers.jsonl")).expect("answers");
    let rows: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    assert_eq!(rows.len(), 76);
    assert!(rows[3]["file"].as_str().expect("a file").ends_with("capitals.jsonl") && rows[3]["line"] == 4);
    assert_eq!(
        (&rows[3]["tuned"]["answer"], &rows[3]["tuned"]["figures"]["accuracy"]),
        (&"It is 北京.".into(), &1.0.into())
    );
    assert_eq!(rows[3]["prompt_sha256"].as_str().map(str::len), Some(16));
}

#[test]
fn a_stopped_evaluation_goes_on_with_what_is_finished() {
    let bench = bench();
    let stop = AtomicBool::new(false);
    let at_words = |p: Progress| {
        if matches!(p, Progress::Rows { suite: "words", who: Who::Base, rows: 64, .. }) {
            stop.store(true, Ordering::Relaxed);
        }
    };
    let e = evaluated(&plan(&bench, "cut"), &mut { at_words }, &stop).expect_err("stopped");
    assert!(matches!(e, EvalError::Interrupted { finished: 1, parts: 4 }), "{e}");
    assert!(!bench.path("cut/eval.json").exists());
    let mut kept = Vec::new();
    let resumed = evaluated(
        &plan(&bench, "cut"),
        &mut |p| {
            if let Progress::Kept { suite, who } = p {
                kept.push((suite.to_owned(), who));
            }
        },
        &AtomicBool::new(false),
    );
    assert_eq!(kept, [("capitals".to_owned(), Who::Base)]);
    assert_eq!(resumed.expect("evaluated"), done(&plan(&bench, "whole")));
    for file in ["eval.json", "answers.jsonl", "parts/words.tuned/rows.jsonl"] {
        let read = |out: &str| std::fs::read(bench.path(out).join(file)).expect(file);
        assert!(read("cut") == read("whole"), "{file}");
    }
}

#[test]
fn what_decides_a_part_makes_it_anew() {
    let bench = bench();
    let first = plan(&bench, "out");
    done(&first);
    let kept = |plan: &EvalPlan| {
        let mut kept = 0;
        let mut on = |p: Progress| kept += usize::from(matches!(p, Progress::Kept { .. }));
        evaluated(plan, &mut on, &AtomicBool::new(false)).expect("evaluated");
        kept
    };
    assert_eq!(kept(&first), 4);
    let mut other = first.clone();
    other.entrants[1].identity = "another adapter".to_owned();
    assert_eq!(kept(&other), 2);
    assert_eq!(kept(&EvalPlan { seed: 1, ..other.clone() }), 0);
    let text = std::fs::read_to_string(bench.path("capitals.jsonl")).expect("rows");
    bench.write("capitals.jsonl", &text.replace("Lima", "Cusco"));
    assert_eq!(kept(&EvalPlan { seed: 1, ..other.clone() }), 2);
    std::fs::write(bench.path("out/parts/words.base/rows.jsonl"), "{}\n").expect("a file");
    assert_eq!(kept(&EvalPlan { seed: 1, ..other }), 3, "a damaged part is none");
}

#[test]
fn a_limit_takes_rows_from_all_over() {
    let bench = bench();
    let limited = EvalPlan { limit: Some(20), ..plan(&bench, "out") };
    let record = done(&limited);
    assert_eq!((&record["suites"][1]["rows"], &record["suites"][1]["rows_in_files"]), (&20.into(), &70.into()));
    let text = std::fs::read_to_string(bench.path("out/answers.jsonl")).expect("answers");
    let lines: Vec<u64> = text
        .lines()
        .map(|l| serde_json::from_str::<Value>(l).expect("JSON"))
        .filter(|v| v["suite"] == "words")
        .map(|v| v["line"].as_u64().expect("a line"))
        .collect();
    assert!(lines.is_sorted() && lines.len() == 20 && lines[19] > 40, "{lines:?}");
}

#[test]
fn rows_that_cannot_be_asked_are_named_before_a_model_is_loaded() {
    let bench = bench();
    let refused = |name: &str, rows: &str, suite: &str| {
        bench.write("bad.jsonl", rows);
        bench.write("bad.yaml", suite);
        let mut plan = plan(&bench, name);
        plan.suites = vec![bench.suite("bad.yaml")];
        let mut load = |_: &Entrant, _: usize| -> Result<Box<dyn Subject>, EvalError> { panic!("no model is needed") };
        let watch = &mut Watch { stop: &AtomicBool::new(false), progress: &mut |_| {} };
        run(&plan, &RealFs, &mut load, watch).expect_err(suite).to_string()
    };
    let suite = |measures: &str, columns: &str| {
        format!("name: bad\ndata: bad.jsonl\ncolumns: {{{columns}}}\nmeasures: {measures}\n")
    };
    for (rows, suite, parts) in [
        (
            "{\"q\": \"x\"}\n",
            suite("{exact: }", "prompt: q, answer: a"),
            &["bad.jsonl:1", "\"a\"", "fields found: q"][..],
        ),
        (
            "{\"q\": \"x\", \"a\": \"1\"}\n{\"q\": \"\", \"a\": \"1\"}\n",
            suite("{exact: }", "prompt: q, answer: a"),
            &["bad.jsonl:2", "q is empty"],
        ),
        (
            "{\"q\": \"x\", \"a\": [1]}\n{",
            suite("{exact: }", "prompt: q, answer: a"),
            &["bad.jsonl:2", "malformed JSON"],
        ),
        (
            "{\"q\": \"x\", \"a\": \"1\"}\n{\"q\": \"x\", \"a\": \"one\"}\n",
            suite("{numeric: }", "prompt: q, answer: a"),
            &["bad.jsonl:2", "no number in the answer \"one\""],
        ),
        (
            "{\"q\": \"x\", \"a\": \"c\"}\n",
            suite("{classification: {labels: [a, b]}}", "prompt: q, answer: a"),
            &["bad.jsonl:1", "\"c\" is none of `measures.classification.labels`"],
        ),
        (
            "{\"q\": \"x\", \"a\": \"c\"}\n",
            suite("{choice: {among: [a, b]}}", "prompt: q, answer: a"),
            &["bad.jsonl:1", "a: \"c\"", "`measures.choice.among`"],
        ),
        (
            "{\"q\": \"x\", \"a\": \"D\", \"c\": [\"1\", \"2\"]}\n",
            suite("{choice: }", "prompt: q, answer: a, choices: c"),
            &["bad.jsonl:1", "a: \"D\"", "its letter"],
        ),
        (
            "{\"q\": \"x\", \"k\": [{\"wrods\": {}}]}\n",
            suite("{instruction: }", "prompt: q, checks: k"),
            &["bad.jsonl:1", "k: ", "wrods"],
        ),
        (
            &format!("{{\"q\": \"{}\", \"a\": \"1\"}}\n", "word ".repeat(600)),
            suite("{exact: }", "prompt: q, answer: a"),
            &["bad.jsonl:1", "at most 512"],
        ),
    ] {
        let error = refused("bad", rows, &suite);
        parts.iter().for_each(|part| assert!(error.contains(part), "{error}\nlacks {part}"));
    }
}

/// The base talks bluntly, the tuned model as the reference letters do, of which it has seen none.
#[test]
fn whose_voice_it_is() {
    let bench = bench();
    let letter = |i: usize| format!("尊敬的客户，您好！关于第{i}号业务，我们会尽快为您处理，感谢您的耐心等待。");
    let letters: String = (0..60).map(|i| format!("{{\"信\": \"{}\"}}\n", letter(i))).collect();
    bench.write("letters.jsonl", &letters);
    bench.write(
        "voice.yaml",
        "name: voice\ndata: words.jsonl\ncolumns: {prompt: prompt}\nmeasures: {style: {reference: letters.jsonl, column: 信}}\n",
    );
    let mut plan = plan(&bench, "out");
    (plan.suites, plan.conditions) = (vec![bench.suite("voice.yaml")], Vec::new());
    plan.conditions.push("voice.style_voice>=0.95".parse().expect("a condition"));
    let mut load = |entrant: &Entrant, _| {
        let who = entrant.who;
        let answer = move |prompt: &str| {
            let n = prompt.len() % 7;
            match who {
                Who::Base => format!("不知道{}自己看", "啊".repeat(n)),
                Who::Tuned => format!("尊敬的客户，您好！您问的第{n}件事，我们会尽快处理，感谢您的耐心。"),
            }
        };
        Ok(Box::new(Fake::new(1.0, answer)) as Box<dyn Subject>)
    };
    let watch = &mut Watch { stop: &AtomicBool::new(false), progress: &mut |_| {} };
    let record = run(&plan, &RealFs, &mut load, watch).expect("evaluated");
    let of = |name: &str, who: &str| figure(&record["suites"], "voice", name)[who]["value"].as_f64().expect(name);
    assert_eq!((of("style_voice", "base"), of("style_voice", "tuned")), (0.0, 1.0));
    assert!(of("style", "tuned") > of("style", "base") + 0.2, "{} {}", of("style", "tuned"), of("style", "base"));
    assert!(record["suites"][0]["style_of_reference"]["style"].as_f64() > Some(of("style", "tuned")));
    assert_eq!(record["conditions"][0]["holds"], true);
}

/// Every other measure, in Chinese, and the mean of a skill's suites. Of three answers the base's are all of the form, the
/// tuned model's one.
#[test]
fn forms_checks_and_judges() {
    let bench = bench();
    bench.write("form.json", r#"{"type": "object", "required": ["答"], "properties": {"答": {"type": "string"}}}"#);
    bench.write(
        "forms.jsonl",
        "{\"问\": \"甲\", \"答\": \"好\", \"查\": [{\"contains\": [\"好\"]}]}\n{\"问\": \"乙\", \"答\": \"好\"}\n{\"问\": \"丙\", \"答\": \"坏\"}\n",
    );
    let head =
        "skill: 格式\ndata: forms.jsonl\nprompt: '问题{问}'\ncolumns: {answer: 答, checks: 查}\nmeasures:\n  chrf:\n";
    bench.write(
        "forms.yaml",
        &format!(
            "name: 表单\n{head}  json_schema: {{file: form.json}}\n  regex: {{pattern: '好(?!坏)'}}\n  \
             command: {{run: [grep, -q, 好]}}\n  instruction: {{checks: [{{format: json}}, {{characters: {{max: 12}}}}]}}\n"
        ),
    );
    bench.write("other.yaml", &format!("name: other\n{head}  instruction: {{checks: [{{characters: {{max: 2}}}}]}}\n"));
    let mut plan = plan(&bench, "out");
    plan.suites = ["forms.yaml", "other.yaml"].map(|name| bench.suite(name)).into();
    plan.conditions = vec!["格式.instruction_fall.lower>=-1".parse().expect("a condition")];
    let mut load = |entrant: &Entrant, _| {
        let who = entrant.who;
        let answer = move |prompt: &str| match who == Who::Base || prompt.contains('甲') {
            true => "{\"答\": \"好\"}".to_owned(),
            false => "{\"答\": 1}".to_owned(),
        };
        Ok(Box::new(Fake::new(1.0, answer)) as Box<dyn Subject>)
    };
    let watch = &mut Watch { stop: &AtomicBool::new(false), progress: &mut |_| {} };
    let record = run(&plan, &RealFs, &mut load, watch).expect("evaluated");
    let of = |name: &str| {
        let f = figure(&record["suites"], "表单", name);
        [&f["base"]["value"], &f["tuned"]["value"]].map(|v| v.as_f64().expect(name))
    };
    assert_eq!((of("schema_valid"), of("json_valid")), ([1.0, 1.0 / 3.0], [1.0, 1.0]));
    assert_eq!((of("regex"), of("command")), ([1.0, 1.0 / 3.0], [1.0, 1.0 / 3.0]));
    // The first row has a check of its own.
    assert_eq!((of("instruction"), of("instruction_checks")), ([1.0, 1.0], [1.0, 1.0]));
    assert!(of("chrf")[0] > of("chrf")[1]);
    let mean = figure(&record["skills"], "格式", "instruction");
    assert_eq!((mean["suites"].as_u64(), mean["base"]["value"].as_f64()), (Some(2), Some(0.5)));
    assert!(mean["change"]["p"].is_null() && mean["change"]["value"] == 0.0, "{mean}");
    assert_eq!(record["conditions"][0]["holds"], true);
    let text = std::fs::read_to_string(bench.path("out/answers.jsonl")).expect("answers");
    let second: Value = serde_json::from_str(text.lines().nth(1).expect("a row")).expect("JSON");
    assert!(second["tuned"]["detail"]["schema"].as_str().is_some_and(|why| why.contains("/答")), "{second}");
    assert_eq!(second["base"]["detail"], serde_json::json!({}));
}

/// A model of random weights: likelihoods and answers are the engine's own.
#[test]
fn a_model_answers_by_its_likelihoods() {
    let bench = bench();
    bench.write("choices.jsonl", "{\"q\": \"one\", \"c\": [\"a b c\", \"d\"], \"a\": 1}\n{\"q\": \"two\", \"c\": [\"x\", \"y z\"], \"a\": \"B\"}\n");
    let yaml = |by: &str| {
        format!(
            "name: choices\ndata: choices.jsonl\ntemplate: '{{prompt}} => {{completion}}'\ncolumns: {{prompt: q, choices: c, answer: a}}\nmeasures: {{choice: {{by: {by}}}, exact: , loss: }}\ndecoding: {{tokens_max: 4}}\n"
        )
    };
    let model = eval::ModelPlan {
        dir: fixture("models/llama"),
        adapter: None,
        other_base: false,
        quantize: None,
        precision: model::Precision::F32,
        memory: Some(1 << 30),
        threads: Some(1),
    };
    let mut chosen = Vec::new();
    for by in ["sum", "token", "byte"] {
        bench.write("choices.yaml", &yaml(by));
        let mut plan = plan(&bench, &format!("choices-{by}"));
        (plan.suites, plan.conditions) = (vec![bench.suite("choices.yaml")], Vec::new());
        plan.entrants.truncate(1);
        let mut load = |_: &Entrant, longest| Ok(Box::new(model.load(longest)?) as Box<dyn Subject>);
        let record =
            run(&plan, &RealFs, &mut load, &mut Watch { stop: &AtomicBool::new(false), progress: &mut |_| {} });
        let record = record.expect("evaluated");
        let loss = figure(&record["suites"], "choices", "loss")["base"]["value"].as_f64().expect("a loss");
        // Random weights know nothing: near the logarithm of the vocabulary.
        assert!((3.0..12.0).contains(&loss), "{loss}");
        let text = std::fs::read_to_string(plan.out.join("answers.jsonl")).expect("answers");
        let rows: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
        let choice = |row: &Value| {
            let detail = &row["base"]["detail"];
            (detail["chosen"].as_u64().expect("chosen"), detail["choice"].as_str().expect("a choice").to_owned())
        };
        chosen.push(rows.iter().map(choice).collect::<Vec<_>>());
    }
    // By their sum, random weights prefer what is short.
    assert_eq!(chosen[0], [(1, "d".to_owned()), (0, "x".to_owned())]);
}
