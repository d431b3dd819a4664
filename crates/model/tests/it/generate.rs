//! Generation over a cache against whole passes, and against itself.

use crate::support::*;
use model::adapters::{AdapterPlan, InitWeights};
use model::{
    Batch, Decoding, Engine, IGNORE, Limits, LoraPlan, ModelError, Precision, Progress, Quantize, State, sample,
};

const MODELS: [&str; 9] =
    ["llama", "llama_tied", "llama_rope3", "qwen2", "qwen3", "mistral", "gemma2", "gemma3", "phi3"];

/// Of logits in f32, as elsewhere.
const LOGITS: f32 = 5e-5;

fn go_on(_: Progress) -> bool {
    true
}

/// Prompts of these lengths, of whatever tokens.
fn prompts(lengths: &[usize]) -> Vec<Vec<u32>> {
    let prompt = |(i, n): (usize, &usize)| (0..*n).map(|t| ((t * t * 7 + 31 * i + 3 * t + 5) % 500) as u32).collect();
    lengths.iter().enumerate().map(prompt).collect()
}

fn answers(engine: &mut Engine, prompts: &[Vec<u32>], how: &Decoding) -> Vec<Vec<u32>> {
    engine.generate(prompts, how, &mut go_on).expect("answers")
}

fn one_by_one(engine: &mut Engine, prompts: &[Vec<u32>], how: &Decoding) -> Vec<Vec<u32>> {
    prompts.iter().flat_map(|p| answers(engine, std::slice::from_ref(p), how)).collect()
}

/// Logits of the last token, from a pass of the whole text.
fn last_logits(engine: &mut Engine, ids: &[u32]) -> Vec<f32> {
    let logits = engine.logits(Batch { ids, targets: &vec![IGNORE; ids.len()], cu: &[0, ids.len()] }).expect("logits");
    logits[(ids.len() - 1) * engine.config().vocab..].to_vec()
}

/// Each token of the answers is the likeliest by a pass of the text before it, or within `tolerance` of that.
fn check_greedy(what: &str, engine: &mut Engine, prompts: &[Vec<u32>], answers: &[Vec<u32>], tolerance: f32) {
    for (prompt, answer) in prompts.iter().zip(answers) {
        for i in 0..answer.len() {
            let logits = last_logits(engine, &[prompt, &answer[..i]].concat());
            let best = logits.iter().copied().fold(f32::MIN, f32::max);
            let chosen = logits[answer[i] as usize];
            assert!(
                best - chosen <= tolerance,
                "{what}: prompt of {}, token {i}: {chosen}, the likeliest has {best}",
                prompt.len()
            );
        }
    }
}

/// Makes an adapter that does something: B starts as zero.
fn stir(engine: &mut Engine) {
    let mut values = engine.export(State::Value).expect("export");
    for (i, t) in values.iter_mut().enumerate().filter(|(_, t)| t.name.contains("lora_B")) {
        t.values.iter_mut().enumerate().for_each(|(j, v)| *v = ((i * 31 + j * 17) % 13) as f32 / 26.0 - 0.2);
    }
    engine.import(State::Value, &values).expect("import");
}

fn greedy(tokens_max: usize) -> Decoding {
    Decoding::greedy(tokens_max, Vec::new())
}

// --- against whole passes -----------------------------------------------------------------------------

/// Windows of these models are both longer and shorter than the texts; answers cross blocks of the cache.
#[test]
fn greedy_answers_are_the_likeliest_of_whole_passes() {
    let prompts = prompts(&[1, 3, 7, 17, 30]);
    for name in MODELS {
        let mut engine = load(&model_dir(name), &AdapterPlan::None);
        let answers = answers(&mut engine, &prompts, &greedy(30));
        assert!(answers.iter().all(|a| a.len() == 30));
        check_greedy(name, &mut engine, &prompts, &answers, LOGITS);
    }
}

/// What the reference wrote from this prompt.
#[test]
fn the_most_likely_story_is_the_known_one() {
    let golden: serde_json::Value =
        serde_json::from_slice(&std::fs::read(examples().join("models/stories260K/golden.json")).expect("golden.json"))
            .expect("golden.json");
    let ids = |name: &str| -> Vec<u32> {
        golden[name].as_array().expect(name).iter().map(|i| i.as_u64().expect("an id") as u32).collect()
    };
    let (prompt, story) = (ids("prompt_ids"), ids("greedy_ids"));
    let mut engine = stories(1 << 30, &AdapterPlan::None);
    let answer = answers(&mut engine, std::slice::from_ref(&prompt), &greedy(story.len() - prompt.len()));
    assert_eq!([prompt, answer.concat()].concat(), story);
}

#[test]
fn every_method_generates_what_it_computes() {
    let methods = [
        ("lora", fresh(&[])),
        ("dora", LoraPlan { dora: true, ..fresh(&[]) }),
        ("adalora", LoraPlan { ada: Some(ranks()), ..fresh(&[]) }),
        ("pissa", LoraPlan { init: InitWeights::Pissa, ..fresh(&[]) }),
        ("dropout", LoraPlan { dropout: 0.5, ..fresh(&[]) }),
        ("embedding", fresh(&["embed_tokens", "q_proj"])),
        ("head", LoraPlan { modules_to_save: vec!["lm_head".into()], ..fresh(&["v_proj"]) }),
        ("full", LoraPlan { full: true, modules_to_save: vec![String::new()], ..fresh(&[]) }),
    ];
    let prompts = prompts(&[2, 20, 9]);
    for (name, plan) in methods {
        for model in ["llama", "gemma3"] {
            let whole = name == "full" && model == "gemma3";
            let plan = LoraPlan { ensure_weight_tying: whole, ..plan.clone() };
            if model == "gemma3" && name == "head" {
                continue;
            }
            let mut engine = load(&model_dir(model), &lora(plan));
            stir(&mut engine);
            let answers = answers(&mut engine, &prompts, &greedy(12));
            check_greedy(&format!("{model} {name}"), &mut engine, &prompts, &answers, LOGITS);
            assert_eq!(answers, one_by_one(&mut engine, &prompts, &greedy(12)), "{model} {name}");
        }
    }
}

/// In bf16, attention of single rows is in f32 and that of whole passes is not: rounding is what they may differ by.
#[test]
fn bf16_and_four_bits_generate_too() {
    let prompts = prompts(&[2, 20, 9]);
    for (precision, quantize, tolerance) in [
        (Precision::Bf16, Quantize::None, 0.05),
        (Precision::F32, Quantize::Nf4 { double: true }, LOGITS),
        (Precision::Bf16, Quantize::Nf4 { double: false }, 0.05),
    ] {
        for model in ["llama", "gemma2", "phi3"] {
            let what = format!("{model} {precision:?} {quantize:?}");
            let limits = Limits { precision, quantize, ..limits() };
            let mut engine = Engine::load(&model_dir(model), &lora(fresh(&[])), &limits).expect("a model");
            stir(&mut engine);
            let answers = answers(&mut engine, &prompts, &greedy(12));
            check_greedy(&what, &mut engine, &prompts, &answers, tolerance);
            assert_eq!(answers, one_by_one(&mut engine, &prompts, &greedy(12)), "{what}");
        }
    }
}

// --- against itself -----------------------------------------------------------------------------------

/// Neither company nor threads nor the size of passes change an answer, drawn or not.
#[test]
fn an_answer_depends_on_its_prompt_alone() {
    let prompts = prompts(&[5, 1, 40, 16, 17, 3, 12, 33, 8, 2]);
    let drawn = Decoding { temperature: 1.5, top_k: 50, top_p: 0.95, repetition_penalty: 1.2, seed: 3, ..greedy(20) };
    for model in MODELS {
        for precision in [Precision::F32, Precision::Bf16] {
            let load = |tokens_max, threads| {
                let limits = Limits { tokens_max, precision, threads: Some(threads), ..limits() };
                Engine::load(&model_dir(model), &AdapterPlan::None, &limits).expect("a model")
            };
            for how in [&greedy(20), &drawn] {
                let want = answers(&mut load(64, 1), &prompts, how);
                for (tokens_max, threads) in [(40, 1), (64, 2), (300, 3)] {
                    let got = answers(&mut load(tokens_max, threads), &prompts, how);
                    assert_eq!(got, want, "{model}: passes of {tokens_max} on {threads} threads");
                }
                // One by one each is the first prompt, so that chance is another's.
                if how.temperature == 0.0 {
                    assert_eq!(one_by_one(&mut load(64, 2), &prompts, how), want, "{model}");
                }
            }
        }
    }
}

#[test]
fn what_is_drawn_depends_on_seed_and_prompt() {
    let mut engine = load(&model_dir("llama"), &AdapterPlan::None);
    let prompts = vec![vec![5, 6, 7]; 4];
    let how = |seed| Decoding { temperature: 1.0, seed, ..greedy(16) };
    let first = answers(&mut engine, &prompts, &how(1));
    assert_eq!(first, answers(&mut engine, &prompts, &how(1)));
    assert_eq!(first[..2], answers(&mut engine, &prompts[..2], &how(1)));
    assert_ne!(first, answers(&mut engine, &prompts, &how(2)));
    assert!((1..4).all(|i| first[i] != first[0]));
    assert!(one_by_one(&mut engine, &prompts, &greedy(16)).windows(2).all(|w| w[0] == w[1]));
}

/// First tokens of many answers to one prompt, and second ones after the likeliest first, against softmax of the logits.
#[test]
fn drawn_tokens_have_their_probabilities() {
    const N: usize = 4000;
    let mut engine = load(&model_dir("qwen3"), &AdapterPlan::None);
    let prompt = vec![3u32, 141, 59, 26];
    let how = Decoding { temperature: 0.7, top_k: 12, seed: 11, ..greedy(2) };
    let answers = answers(&mut engine, &vec![prompt.clone(); N], &how);
    let mut check = |text: &[u32], drawn: Vec<u32>| {
        let logits = last_logits(&mut engine, text);
        let mut order: Vec<usize> = (0..logits.len()).collect();
        order.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]));
        let weights: Vec<f64> = order[..12].iter().map(|i| (f64::from(logits[*i]) / 0.7).exp()).collect();
        let (all, n) = (weights.iter().sum::<f64>(), drawn.len() as f64);
        let mut square = 0.0;
        for (token, weight) in order.iter().zip(weights) {
            let (got, want) = (drawn.iter().filter(|d| **d as usize == *token).count() as f64, n * weight / all);
            square += (got - want).powi(2) / want;
        }
        assert!(drawn.iter().all(|d| order[..12].contains(&(*d as usize))));
        // χ² of 11 degrees: above 31.3 once in a thousand.
        assert!(square < 31.3, "χ² of {square} for {n} draws");
    };
    check(&prompt, answers.iter().map(|a| a[0]).collect());
    let first = answers[0][0];
    let second: Vec<u32> = answers.iter().filter(|a| a[0] == first).map(|a| a[1]).collect();
    assert!(second.len() > 200, "{}", second.len());
    check(&[prompt.clone(), vec![first]].concat(), second);
}

#[test]
fn answers_end_before_a_stop() {
    let mut engine = load(&model_dir("llama"), &AdapterPlan::None);
    let prompts = prompts(&[4, 9, 2]);
    let whole = answers(&mut engine, &prompts, &greedy(24));
    let stops = vec![whole[0][5], whole[1][0], 499];
    let got = answers(&mut engine, &prompts, &Decoding::greedy(24, stops.clone()));
    for (got, whole) in got.iter().zip(&whole) {
        let end = whole.iter().position(|id| stops.contains(id)).unwrap_or(whole.len());
        assert_eq!(got, &whole[..end]);
    }
    assert!(got[0].len() <= 5 && got[1].is_empty());
}

#[test]
fn a_no_leaves_answers_as_long_as_they_are() {
    let mut engine = load(&model_dir("llama"), &AdapterPlan::None);
    // Three prompts fit a pass of 64 tokens; the others come in the pass after it.
    let prompts = prompts(&[20, 20, 20, 20, 20]);
    let whole = answers(&mut engine, &prompts, &greedy(10));
    let mut seen = Vec::new();
    let got = engine.generate(&prompts, &greedy(10), &mut |p| {
        seen.push(p);
        seen.len() < 5
    });
    let got = got.expect("answers");
    let of = |done, running, waiting, tokens| Progress { done, running, waiting, tokens };
    assert_eq!(seen, [of(0, 0, 5, 0), of(0, 3, 2, 3), of(0, 5, 0, 5), of(0, 5, 0, 10), of(0, 5, 0, 15)]);
    assert_eq!(got, whole.iter().map(|a| a[..3].to_vec()).collect::<Vec<_>>());
    let none = engine.generate(&prompts, &greedy(10), &mut |_| false).expect("answers");
    assert!(none.iter().all(Vec::is_empty) && none.len() == 5);
    assert!(engine.generate(&[], &greedy(10), &mut go_on).expect("answers").is_empty());
}

#[test]
fn own_texts_are_the_seeds() {
    let mut engine = stories(1 << 30, &AdapterPlan::None);
    let mut write = |firsts: &[u32], tokens, seed| sample(&mut engine, firsts, &[2], tokens, seed, &mut || true);
    let texts = write(&[1, 1, 1], 40, 5).expect("texts");
    assert_eq!(texts, write(&[1, 1, 1], 40, 5).expect("texts"));
    assert_ne!(texts, write(&[1, 1, 1], 40, 6).expect("texts"));
    assert!(texts.iter().all(|t| t[0] == 1 && t.len() <= 40 && !t.contains(&2)) && texts[0] != texts[1]);
    assert_eq!(write(&[1, 7], 1, 5).expect("texts"), [[1], [7]]);
}

// --- limits and memory --------------------------------------------------------------------------------

fn stories(memory: u64, plan: &AdapterPlan) -> Engine {
    let limits = Limits { tokens_max: 512, seq_len_max: 512, memory: Some(memory), ..limits() };
    Engine::load(&examples().join("models/stories260K"), plan, &limits).expect("stories260K")
}

#[test]
fn prompts_that_cannot_be_are_refused() {
    let limits = Limits { tokens_max: 24, ..limits() };
    let mut engine = Engine::load(&model_dir("llama"), &AdapterPlan::None, &limits).expect("a model");
    let vocab = engine.config().vocab as u32;
    let mut refused = |prompts: &[Vec<u32>], how: &Decoding| {
        engine.generate(prompts, how, &mut |_| panic!("a pass")).expect_err("refused").to_string()
    };
    assert_eq!(refused(&[vec![1], vec![]], &greedy(4)), "prompt 1 has no tokens to go on from");
    let outside = format!("prompt 0, token 1: id {vocab} is outside the vocabulary of {vocab}");
    assert_eq!(refused(&[vec![1, vocab]], &greedy(4)), outside);
    assert_eq!(
        refused(&[vec![1; 20], vec![1; 21]], &greedy(44)),
        "prompt 1 has 21 tokens, and there is room for 20: shorten it, ask for fewer than 44 tokens, or raise \
         seq_len_max (64)"
    );
    assert_eq!(
        refused(&[vec![1; 25]], &greedy(4)),
        "prompt 0 has 25 tokens, and there is room for 24: shorten it, raise the tokens of a pass (24)"
    );
    let how = Decoding { top_p: 2.0, ..greedy(4) };
    assert_eq!(refused(&[vec![1]], &how), "top_p must be above 0 and at most 1, got 2");
    // The longest that is allowed, to the last position.
    assert_eq!(answers(&mut engine, &[vec![1; 20]], &greedy(44))[0].len(), 44);
}

/// With little memory texts wait for each other, and in the end one does not fit; what is held never passes the limit.
#[test]
fn memory_decides_how_many_are_written_at_once() {
    let prompts: Vec<Vec<u32>> = (0..12).map(|i| vec![1 + i; 10 + i as usize]).collect();
    let how = greedy(100);
    let plenty = stories(1 << 30, &AdapterPlan::None);
    // Keys and values of a text: 5 layers, twice 4 heads of 8, up to 128 tokens.
    let (least, text) = (plenty.memory().total, 5 * 2 * 32 * 4 * 128u64);
    let want = answers(&mut { plenty }, &prompts, &how);
    for fitting in [1u64, 3, 12] {
        let mut engine = stories(least + fitting * text, &AdapterPlan::None);
        assert_eq!(engine.memory().total, least);
        let mut most = 0;
        let mut got = None;
        let seen = allocation_counter::measure(|| {
            let generated = engine.generate(&prompts, &how, &mut |p| {
                most = most.max(p.running);
                true
            });
            got = Some(generated.expect("answers"));
        });
        assert_eq!(got, Some(want.clone()));
        // Texts of up to 112 tokens take less than 128.
        assert!(most as u64 >= fitting && most as u64 <= fitting + fitting / 3, "{most} at once, room for {fitting}");
        // The kernels' own memory, ids and places are of the program's share.
        assert!(seen.bytes_max < fitting * text + (1 << 20), "{} bytes for {fitting} texts", seen.bytes_max);
    }
}

#[test]
fn a_text_that_does_not_fit_says_what_would() {
    let total = stories(1 << 30, &AdapterPlan::None).memory().total;
    let token = 5 * 2 * 32 * 4u64;
    // Room for 71 tokens, which are four blocks of 16.
    let mut engine = stories(total + 71 * token, &AdapterPlan::None);
    assert_eq!(engine.memory().limit - engine.memory().total, 71 * token);
    let error = engine.generate(&[vec![1; 10]], &greedy(60), &mut go_on).expect_err("too long");
    let ModelError::DoesNotFit { need, limit, fits } = &error else { panic!("{error}") };
    assert_eq!((*need, *limit), (total + 80 * token, total + 71 * token));
    assert_eq!(fits, "a text of at most 64 tokens, with its prompt, would fit");
    assert_eq!(answers(&mut engine, &[vec![1; 10]], &greedy(55))[0].len(), 55);
}

/// What layers keep for passes back makes way for the cache, and steps afterwards are as they would have been.
#[test]
fn training_goes_on_as_if_nothing_had_been_written() {
    let plan = lora(fresh(&[]));
    let batch = Packed {
        ids: (0..300).map(|i| i * 37 % 512).collect(),
        targets: (0..300).map(|i| i * 11 % 512).collect(),
        cu: vec![0, 120, 300],
        at: Vec::new(),
    };
    let gradient = |engine: &mut Engine| {
        engine.zero_grad().expect("zero");
        let loss = engine.accumulate(batch.batch(), 1.0, KEY).expect("accumulate");
        let bits: Vec<Vec<u32>> = gradients(engine).iter().map(|(_, g)| bits(g)).collect();
        (loss.to_bits(), bits)
    };
    let plenty = stories(1 << 30, &plan);
    let total = plenty.memory().total;
    let prompts: Vec<Vec<u32>> = (0..20).map(|i| vec![1, i]).collect();
    let mut plenty = { plenty };
    let want = (answers(&mut plenty, &prompts, &greedy(60)), gradient(&mut plenty));
    let mut tight = stories(total, &plan);
    assert!(tight.memory().layers_kept > 1 && tight.memory().total == tight.memory().limit);
    let before = gradient(&mut tight);
    assert_eq!((answers(&mut tight, &prompts, &greedy(60)), gradient(&mut tight)), want);
    assert_eq!(before, want.1);
}

/// Layers that are read from the file each pass give the same answers.
#[test]
fn streamed_layers_generate_too() {
    let dir = examples().join("models/stories260K");
    let plan = AdapterPlan::None;
    let prompts: Vec<Vec<u32>> = (0..5).map(|i| vec![1, 30 + i]).collect();
    let of = |memory| -> (usize, Vec<Vec<u32>>) {
        let limits = Limits { memory: Some(memory), ..limits() };
        let mut engine = Engine::load(&dir, &plan, &limits).expect("stories260K");
        (engine.memory().layers_streamed, answers(&mut engine, &prompts, &greedy(30)))
    };
    let (none, want) = of(1 << 30);
    let limits = Limits { memory: Some(0), ..limits() };
    let least = model::outline(&dir, &plan, &limits).expect("outline").memory;
    // Room for two texts of 32 tokens.
    let (streamed, got) = of(least.total + 2 * 5 * 2 * 32 * 4 * 32);
    assert!(none == 0 && streamed == least.layers_streamed && streamed >= 3);
    assert_eq!(got, want);
}

/// An adapter that makes infinities of everything.
#[test]
fn what_is_no_number_is_an_error() {
    let mut engine = load(&model_dir("llama"), &lora(fresh(&["q_proj"])));
    let mut values = engine.export(State::Value).expect("export");
    values.iter_mut().for_each(|t| t.values.fill(f32::NAN));
    engine.import(State::Value, &values).expect("import");
    let error = engine.generate(&prompts(&[3, 5]), &greedy(4), &mut go_on).expect_err("no numbers");
    assert_eq!(error.to_string(), "prompt 0: the model's logits for token 0 of the answer are no numbers");
}
