//! Several adapters as one, against sums and mixtures of their changes that are computed here, plainly and in f64.

use crate::support::*;
use model::{AdapterPlan, Combination, Combined, Keep, Mix, ModelError, OtherBase, Part, Signs, Trim, inspect};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use weights::Checkpoint;

/// Module → rows, columns, elements.
type Changes = BTreeMap<String, (usize, usize, Vec<f64>)>;

const EXACT: Mix = Mix::Linear(None);

fn adapter(model: &str, case: &str) -> PathBuf {
    fixtures().join("peft").join(model).join(case).join("final")
}

fn parts(model: &str, cases: &[(&str, f64)]) -> Vec<Part> {
    cases.iter().map(|(case, weight)| Part { dir: adapter(model, case), weight: *weight }).collect()
}

/// s·B A of every module, with AdaLoRA's values; only the scale is what the program says.
fn changes(dir: &Path) -> Changes {
    let file = Checkpoint::open_file(&dir.join("adapter_model.safetensors")).expect("tensors");
    let read = |name: &str| -> (Vec<usize>, Vec<f64>) {
        let view = file.get(name).expect("a tensor");
        (view.shape.to_vec(), view.to_f32().expect("floats").iter().map(|v| f64::from(*v)).collect())
    };
    let mut out = Changes::new();
    for found in inspect(dir, None, OtherBase::Refused).expect("inspects") {
        let path = format!("base_model.model.{}", found.module);
        let ends = [("lora_A.weight", "lora_B.weight"), ("lora_A", "lora_B"), ("lora_embedding_A", "lora_embedding_B")];
        let (a, b) = ends.iter().find(|(a, _)| file.contains(&format!("{path}.{a}"))).expect("a pair");
        let ((a_shape, a), (b_shape, b)) = (read(&format!("{path}.{a}")), read(&format!("{path}.{b}")));
        let (rank, rows, cols) = (a_shape[0], b_shape[0], a_shape[1]);
        let e = match file.contains(&format!("{path}.lora_E")) {
            true => read(&format!("{path}.lora_E")).1,
            false => vec![1.0; rank],
        };
        let one = |x: usize| -> f64 {
            let sum: f64 = (0..rank).map(|k| b[x / cols * rank + k] * e[k] * a[k * cols + x % cols]).sum();
            found.scale * sum
        };
        out.insert(found.module, (rows, cols, (0..rows * cols).map(one).collect()));
    }
    out
}

/// The combination in the folder `out`, and what was said of it.
fn combined(parts: &[Part], mix: Mix, out: &Path) -> Vec<Combined> {
    let combination = Combination::open(parts, mix, Some(1), OtherBase::Refused).unwrap_or_else(|e| panic!("{e}"));
    let (mut said, mut bytes) = (Vec::new(), Vec::new());
    let mut on = |made| {
        said.push(made);
        true
    };
    combination.write(&mut bytes, &mut on).expect("written");
    std::fs::write(out.join("adapter_model.safetensors"), bytes).expect("write");
    std::fs::write(out.join("adapter_config.json"), combination.config()).expect("write");
    said
}

fn size(x: &[f64]) -> f64 {
    x.iter().map(|v| v * v).sum::<f64>().sqrt()
}

fn apart(x: &[f64], y: &[f64]) -> f64 {
    assert_eq!(x.len(), y.len());
    size(&x.iter().zip(y).map(|(x, y)| x - y).collect::<Vec<_>>())
}

/// What `mix` makes of each module's changes, in the adapters' order; those that do not change it give None.
fn plainly(parts: &[Part], mix: impl Fn(&str, &[(f64, Option<Vec<f64>>)]) -> Vec<f64>) -> Changes {
    let all: Vec<(f64, Changes)> = parts.iter().map(|p| (p.weight, changes(&p.dir))).collect();
    let mut out = Changes::new();
    for (module, (rows, cols, _)) in all.iter().flat_map(|(_, c)| c) {
        let these: Vec<_> = all.iter().map(|(w, c)| (*w, c.get(module).map(|(_, _, v)| v.clone()))).collect();
        out.entry(module.clone()).or_insert_with(|| (*rows, *cols, mix(module, &these)));
    }
    out
}

fn sum(changes: &[(f64, Option<Vec<f64>>)]) -> Vec<f64> {
    let there: Vec<(f64, &Vec<f64>)> = changes.iter().filter_map(|(w, c)| Some((*w, c.as_ref()?))).collect();
    (0..there[0].1.len()).map(|i| there.iter().map(|(w, c)| w * c[i]).sum()).collect()
}

fn same(what: &str, got: &Changes, want: &Changes, tolerance: f64) {
    assert_eq!(got.keys().collect::<Vec<_>>(), want.keys().collect::<Vec<_>>(), "{what}");
    for (module, (_, _, w)) in want {
        let off = apart(&got[module].2, w);
        assert!(off <= tolerance * size(w), "{what} {module}: {off} of {}", size(w));
    }
}

/// Ranks, alphas, patterns, rsLoRA, AdaLoRA, and adapters of some modules only.
const MIXED: [(&str, f64); 6] = [
    ("lora_all", 0.7),
    ("lora_pattern", -1.3),
    ("lora_rslora", 0.5),
    ("lora_qv", 2.0),
    ("adalora", 0.9),
    ("qlora", 1.0),
];

#[test]
fn the_sum_is_the_sum_of_changes_and_merges_as_such() {
    let (parts, out) = (parts("llama", &MIXED), tempfile::tempdir().expect("a folder"));
    let said = combined(&parts, EXACT, out.path());
    let want = plainly(&parts, |_, c| sum(c));
    same("exact", &changes(out.path()), &want, 1e-6);
    let ranks: BTreeMap<String, usize> = inspect(out.path(), None, OtherBase::Refused)
        .expect("inspects")
        .into_iter()
        .map(|c| (c.module, c.rank))
        .collect();
    for made in &said {
        let norm = size(&want[&made.module].2);
        assert!((made.norm - norm).abs() < 1e-9 * norm && ranks[&made.module] == made.after, "{made:?}");
        // More ranks than a matrix has rows are none.
        let (rows, cols, _) = want[&made.module];
        assert_eq!(made.after, made.before.min(rows).min(cols), "{made:?}");
        assert!(made.lost < 1e-9, "{made:?}");
    }
    assert!(said.iter().any(|m| m.adapters == 6) && said.iter().any(|m| m.adapters < 6), "{said:?}");

    let base = load(&model_dir("llama"), &AdapterPlan::None).merged().expect("base");
    let with = load(&model_dir("llama"), &continued(out.path())).merged().expect("merged");
    for (w, b) in with.iter().zip(&base) {
        assert_eq!(w.name, b.name);
        let change = w.name.strip_suffix(".weight").and_then(|module| want.get(module)).map(|(_, _, c)| c);
        for (i, (w, b)) in w.values.iter().zip(&b.values).enumerate() {
            let expected = f64::from(*b) + change.map_or(0.0, |c| c[i]);
            assert!((f64::from(*w) - expected).abs() < 1e-6, "{i}: {w} {expected}");
        }
    }
}

/// With fewer ranks, what is lost is what the sum's own singular values say, and no more.
#[test]
fn fewer_ranks_lose_what_the_sums_singular_values_say() {
    let (parts, out) = (parts("llama", &MIXED), tempfile::tempdir().expect("a folder"));
    let want = plainly(&parts, |_, c| sum(c));
    combined(&parts, EXACT, out.path());
    let whole = inspect(out.path(), None, OtherBase::Refused).expect("inspects");
    for keep in [Keep::Rank(3), Keep::Energy(0.9), Keep::Energy(1.0)] {
        let said = combined(&parts, Mix::Linear(Some(keep)), out.path());
        let got = changes(out.path());
        for (made, all) in said.iter().zip(&whole) {
            assert_eq!(made.module, all.module);
            let rest = |k: usize| size(&all.singular[k..]);
            let off = apart(&got[&made.module].2, &want[&made.module].2);
            assert!((off - rest(made.after)).abs() < 1e-5 * all.norm, "{keep:?} {made:?}: {off}");
            assert!((made.lost * made.norm - off).abs() < 1e-5 * all.norm, "{keep:?} {made:?}: {off}");
            match keep {
                Keep::Rank(r) => assert_eq!(made.after, r),
                Keep::Halved { .. } => unreachable!("not among those above"),
                Keep::Energy(share) => {
                    let left = (1.0 - share).sqrt() * all.norm + 1e-6 * all.norm;
                    assert!(rest(made.after) <= left, "{made:?}");
                    assert!(share == 1.0 || made.after == 1 || rest(made.after - 1) > left, "{made:?}");
                }
            }
        }
    }
}

/// Yadav et al.'s three steps by sorting, signs and counts.
fn ties(changes: &[(f64, Option<Vec<f64>>)], density: f64) -> Vec<f64> {
    let trim = |c: &Vec<f64>| -> Vec<f64> {
        let mut order: Vec<usize> = (0..c.len()).collect();
        order.sort_by(|x, y| c[*y].abs().total_cmp(&c[*x].abs()));
        let kept = &order[..(density * c.len() as f64) as usize];
        let mut out = vec![0.0; c.len()];
        kept.iter().for_each(|i| out[*i] = c[*i]);
        out
    };
    elected(&changes.iter().filter_map(|(w, c)| Some((*w, trim(c.as_ref()?)))).collect::<Vec<_>>())
}

fn elected(trimmed: &[(f64, Vec<f64>)]) -> Vec<f64> {
    let one = |i: usize| {
        let total: f64 = trimmed.iter().map(|(_, c)| c[i]).sum();
        let sign = if total >= 0.0 { 1.0 } else { -1.0 };
        let agree: Vec<f64> = trimmed.iter().filter(|(_, c)| c[i] * sign > 0.0).map(|(w, c)| w * c[i]).collect();
        if agree.is_empty() { 0.0 } else { agree.iter().sum::<f64>() / agree.len() as f64 }
    };
    (0..trimmed[0].1.len()).map(one).collect()
}

/// In 0..1: SplitMix64's finaliser over seed, FNV-1a of the module's name, adapter and place.
fn drawn(seed: u64, module: &str, adapter: usize, at: usize) -> f64 {
    let mix = |x: u64| {
        let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    };
    let mut name = 0xcbf2_9ce4_8422_2325u64;
    for byte in module.bytes() {
        name = (name ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let bits = mix(mix(mix(seed ^ name) ^ adapter as u64) ^ at as u64);
    (bits >> 11) as f64 * 2f64.powi(-53)
}

fn dared(module: &str, changes: &[(f64, Option<Vec<f64>>)], seed: u64, density: f64) -> Vec<(f64, Vec<f64>)> {
    let drop = |adapter: usize, c: &Vec<f64>| {
        let one = |(at, v): (usize, &f64)| if drawn(seed, module, adapter, at) < density { v / density } else { 0.0 };
        c.iter().enumerate().map(one).collect()
    };
    changes.iter().enumerate().filter_map(|(n, (w, c))| Some((*w, drop(n, c.as_ref()?)))).collect()
}

fn sparse(trim: Trim, density: f64, signs: Signs, rank: Option<usize>) -> Mix {
    Mix::Sparse { trim, density, signs, rank }
}

#[test]
fn ties_and_dare_are_what_their_papers_say() {
    let parts = parts("llama", &[("lora_all", 0.7), ("lora_pattern", 1.3), ("lora_qv", 1.0)]);
    let out = tempfile::tempdir().expect("a folder");
    let all = Some(1000);
    for density in [0.2, 0.5, 1.0] {
        let check = |what: &str, mix: Mix, want: Changes| {
            let said = combined(&parts, mix, out.path());
            same(&format!("{what} {density}"), &changes(out.path()), &want, 2e-5);
            for made in &said {
                let (rows, cols, w) = &want[&made.module];
                assert!(made.after == *rows.min(cols) && made.lost < 1e-5, "{made:?}");
                assert!((made.norm - size(w)).abs() < 1e-5 * size(w), "{made:?} {}", size(w));
            }
        };
        check("ties", sparse(Trim::Smallest, density, Signs::Elect, all), plainly(&parts, |_, c| ties(c, density)));
        let random = Trim::Random { seed: 7 };
        let want = plainly(&parts, |m, c| elected(&dared(m, c, 7, density)));
        check("dare_ties", sparse(random, density, Signs::Elect, all), want);
        let want = plainly(&parts, |m, c| {
            sum(&dared(m, c, 7, density).into_iter().map(|(w, c)| (w, Some(c))).collect::<Vec<_>>())
        });
        check("dare_linear", sparse(random, density, Signs::Add, all), want);
    }
}

#[test]
fn a_sparse_mixture_in_few_ranks_says_what_that_lost() {
    let parts = parts("llama", &[("lora_all", 1.0), ("lora_rslora", 1.0)]);
    let out = tempfile::tempdir().expect("a folder");
    let want = plainly(&parts, |_, c| ties(c, 0.3));
    let mut before: Vec<f64> = Vec::new();
    for rank in [Some(2), None, Some(20)] {
        let said = combined(&parts, sparse(Trim::Smallest, 0.3, Signs::Elect, rank), out.path());
        let got = changes(out.path());
        for made in &said {
            let (_, _, w) = &want[&made.module];
            let off = apart(&got[&made.module].2, w);
            assert!((made.lost - off / size(w)).abs() < 1e-4 && made.lost > 0.01, "{rank:?} {made:?}: {off}");
            assert_eq!(made.after, rank.unwrap_or(made.before), "{made:?}");
        }
        let lost: Vec<f64> = said.iter().map(|m| m.lost).collect();
        assert!(before.iter().zip(&lost).all(|(before, now)| now < before), "{before:?} {lost:?}");
        before = lost;
    }
}

/// Half stay, as many of one adapter as of another, and not the same ones.
#[test]
fn what_dare_drops_is_chosen_for_each_adapter_and_seed() {
    let out = tempfile::tempdir().expect("a folder");
    let zeros = |seed: u64, cases: &[(&str, f64)]| {
        combined(&parts("llama", cases), sparse(Trim::Random { seed }, 0.5, Signs::Add, Some(1000)), out.path());
        let all = changes(out.path());
        let (rows, cols, c) = &all["model.layers.0.mlp.up_proj"];
        let zero: Vec<bool> = c.iter().map(|v| v.abs() < 1e-7).collect();
        let share = zero.iter().filter(|z| **z).count() as f64 / (rows * cols) as f64;
        (zero, share)
    };
    let (first, share) = zeros(1, &[("lora_all", 1.0)]);
    assert!((share - 0.5).abs() < 0.03, "{share}");
    assert_eq!(zeros(1, &[("lora_all", 1.0)]).0, first);
    let (other, share) = zeros(2, &[("lora_all", 1.0)]);
    assert!(other != first && (share - 0.5).abs() < 0.03, "{share}");
    // Twice the same adapter: an element is gone where both have lost it.
    let (_, share) = zeros(1, &[("lora_all", 1.0), ("lora_all", 1.0)]);
    assert!((share - 0.25).abs() < 0.03, "{share}");
}

#[test]
fn one_adapter_with_all_of_its_elements_is_itself() {
    let out = tempfile::tempdir().expect("a folder");
    let mixes = [
        EXACT,
        Mix::Linear(Some(Keep::Energy(1.0))),
        sparse(Trim::Smallest, 1.0, Signs::Elect, None),
        sparse(Trim::Random { seed: 3 }, 1.0, Signs::Elect, None),
        sparse(Trim::Random { seed: 3 }, 1.0, Signs::Add, None),
    ];
    let cases = ["lora_all", "lora_pattern", "lora_rslora", "lora_embed", "adalora", "qlora"];
    for (case, mix) in cases.iter().flat_map(|case| mixes.map(|mix| (case, mix))) {
        combined(&parts("llama", &[(case, 1.0)]), mix, out.path());
        let mut want = changes(&adapter("llama", case));
        // AdaLoRA may leave a module without any rank.
        want.retain(|_, (_, _, c)| size(c) > 0.0);
        same(&format!("{case} {mix:?}"), &changes(out.path()), &want, 2e-6);
        let file = File::fixture(&format!("peft/llama/{case}/case.safetensors"));
        if *case != "qlora" {
            let probe = Packed::all(&File::fixture("peft/llama/data.safetensors"), "probe.");
            let mut engine = load(&model_dir("llama"), &continued(out.path()));
            let logits = probe.pick(&file.f32("final_logits"), engine.config().vocab);
            close(&format!("{case} {mix:?}"), &engine.logits(probe.batch()).expect("logits"), &logits, 5e-5);
        }
    }
}

/// Embedding and head have their pairs the other way round, and their own matrices beside them.
#[test]
fn embeddings_are_added_to_linear_layers() {
    let parts = parts("llama", &[("lora_embed", 0.5), ("lora_all", 1.0), ("lora_embed", 1.0)]);
    let out = tempfile::tempdir().expect("a folder");
    combined(&parts, EXACT, out.path());
    let want = plainly(&parts, |_, c| sum(c));
    same("embed", &changes(out.path()), &want, 1e-6);
    let base = load(&model_dir("llama"), &AdapterPlan::None).merged().expect("base");
    let with = load(&model_dir("llama"), &continued(out.path())).merged().expect("merged");
    let name = "model.embed_tokens.weight";
    let [base, with] = [&base, &with].map(|list| &list.iter().find(|t| t.name == name).expect("an embedding").values);
    let (rows, cols, change) = &want["model.embed_tokens"];
    for (i, (w, b)) in with.iter().zip(base).enumerate() {
        // [vocabulary, hidden], and the change is [hidden, vocabulary].
        let expected = f64::from(*b) + change[i % rows * cols + i / rows];
        assert!((f64::from(*w) - expected).abs() < 1e-6, "{i}: {w} {expected}");
    }
}

#[test]
fn the_adapters_own_rules_stay_where_they_are_the_same() {
    let out = tempfile::tempdir().expect("a folder");
    let config = || weights::peft::AdapterConfig::read(out.path()).expect("a config");
    combined(&parts("llama", &[("lora_pattern", 1.0), ("lora_pattern", 0.5)]), EXACT, out.path());
    let read = |case| weights::peft::AdapterConfig::read(&adapter("llama", case)).expect("a config");
    let (was, now) = (read("lora_pattern"), config());
    assert_eq!((&now.target_modules, &now.exclude_modules), (&was.target_modules, &was.exclude_modules));
    combined(&parts("llama", &[("lora_pattern", 1.0), ("lora_qv", 0.5)]), EXACT, out.path());
    let now = config();
    let named = now.target_modules.as_ref().and_then(|t| t.as_array()).expect("names");
    assert!(named.iter().all(|n| n.as_str().is_some_and(|n| n.starts_with("model.layers."))), "{named:?}");
    assert_eq!((named.len(), now.exclude_modules, now.use_rslora), (12, None, false));
}

fn refused(parts: &[Part]) -> String {
    match Combination::open(parts, EXACT, Some(1), OtherBase::Refused) {
        Err(ModelError::NotCombined { adapter, why, instead }) => {
            assert!(!instead.is_empty());
            format!("{}: {why}", adapter.display())
        }
        Err(e) => panic!("{e}"),
        Ok(_) => panic!("accepted"),
    }
}

#[test]
fn what_does_not_add_up_is_refused() {
    for (case, says) in [
        ("dora_all", "magnitudes of rows do not add up"),
        ("qdora", "magnitudes of rows do not add up"),
        ("lora_save", "it holds "),
    ] {
        let why = refused(&parts("llama", &[("lora_all", 1.0), (case, 1.0)]));
        assert!(why.contains(says) && why.contains(case), "{why}");
    }
    assert!(refused(&parts("qwen2", &[("lora_all", 1.0), ("lora_bias", 1.0)])).contains("bias whole"));
    let two = [parts("llama", &[("lora_qv", 1.0)]), parts("qwen2", &[("lora_qv", 1.0)])].concat();
    assert!(refused(&two).contains("it names qwen2 as its base, and the first one llama"));
}

/// Name, shape, values → shape, values.
type Edit<'a> = dyn Fn(&str, Vec<usize>, Vec<f32>) -> (Vec<usize>, Vec<f32>) + 'a;

/// Another matrix of the same name, and a copy of the base that differs: a folder edited from a fixture.
#[test]
fn other_shapes_other_copies_and_no_numbers_are_refused() {
    let edited = |case: &str, edit: &Edit| {
        let (from, out) = (adapter("llama", case), tempfile::tempdir().expect("a folder"));
        let file = Checkpoint::open_file(&from.join("adapter_model.safetensors")).expect("tensors");
        let mut list = Vec::new();
        for name in file.names() {
            let view = file.get(name).expect("a tensor");
            let (shape, values) = edit(name, view.shape.to_vec(), view.to_f32().expect("floats"));
            list.push((name.to_owned(), shape, values));
        }
        let tensors: Vec<_> = list.iter().map(|(n, s, v)| (n.clone(), s.clone(), v.as_slice())).collect();
        let bytes = weights::safetensors_bytes(&tensors, &Default::default()).expect("bytes");
        std::fs::write(out.path().join("adapter_model.safetensors"), bytes).expect("write");
        std::fs::copy(from.join("adapter_config.json"), out.path().join("adapter_config.json")).expect("a copy");
        out
    };
    let beside = |case: &str, dir: &Path| {
        [parts("llama", &[(case, 1.0)]), vec![Part { dir: dir.to_owned(), weight: 1.0 }]].concat()
    };
    let wider = edited("lora_qv", &|name, mut shape, mut values| {
        if name.ends_with("layers.1.self_attn.v_proj.lora_B.weight") {
            shape[0] *= 2;
            values.extend(values.clone());
        }
        (shape, values)
    });
    let why = refused(&beside("lora_qv", wider.path()));
    assert!(why.contains("v_proj is 64×64 there and 32×64 in another one"), "{why}");
    let other = edited("lora_embed", &|name, shape, mut values| {
        if name.ends_with("embed_tokens.base_layer.weight") {
            values[3] += 1.0;
        }
        (shape, values)
    });
    let why = refused(&beside("lora_embed", other.path()));
    assert!(why.contains("its copy of model.embed_tokens.weight differs"), "{why}");
    let bad = edited("lora_qv", &|_, shape, mut values| {
        values[0] = f32::NAN;
        (shape, values)
    });
    let combination =
        Combination::open(&beside("lora_qv", bad.path()), EXACT, Some(1), OtherBase::Refused).expect("opens");
    let error = combination.write(&mut Vec::new(), &mut |_| true).expect_err("refused");
    assert!(error.to_string().contains("values that are no numbers"), "{error}");
}

/// Matrices too large for all of their singular values: what is said to be lost is what is lost, and near the least.
#[test]
fn large_matrices_are_brought_back_to_low_rank() {
    let (rows, cols, rank, module) = (200, 160, 6, "model.layers.0.mlp.up_proj");
    let folder = |seed: u64| {
        let noise =
            |n: usize, at: u64| (0..n).map(|i| drawn(seed + at, module, 0, i) as f32 - 0.5).collect::<Vec<f32>>();
        let (a, b, out) = (noise(rank * cols, 1), noise(rows * rank, 2), tempfile::tempdir().expect("a folder"));
        let path = format!("base_model.model.{module}");
        let tensors = [
            (format!("{path}.lora_A.weight"), vec![rank, cols], a.as_slice()),
            (format!("{path}.lora_B.weight"), vec![rows, rank], b.as_slice()),
        ];
        let bytes = weights::safetensors_bytes(&tensors, &Default::default()).expect("bytes");
        std::fs::write(out.path().join("adapter_model.safetensors"), bytes).expect("write");
        let targets = Some(serde_json::json!(["up_proj"]));
        let config = weights::peft::AdapterConfig { r: rank, target_modules: targets, ..Default::default() };
        std::fs::write(out.path().join("adapter_config.json"), config.to_json()).expect("write");
        out
    };
    let (one, two, out) = (folder(1), folder(10), tempfile::tempdir().expect("a folder"));
    let parts = [&one, &two].map(|dir| Part { dir: dir.path().to_owned(), weight: 1.0 });
    let want = plainly(&parts, |_, c| ties(c, 0.4));
    let w = &want[module].2;
    let mut before = 1.0;
    for rank in [4, 12, 60, 160] {
        let said = combined(&parts, sparse(Trim::Smallest, 0.4, Signs::Elect, Some(rank)), out.path());
        let off = apart(&changes(out.path())[module].2, w) / size(w);
        assert!((said[0].lost - off).abs() < 1e-5, "{rank}: {said:?} {off}");
        assert!(off < before, "{rank}: {off} {before}");
        before = off;
    }
    assert!(before < 1e-5, "all ranks: {before}");
    // The best of 12 ranks, by all singular values of what 160 ranks hold.
    let all = inspect(out.path(), None, OtherBase::Refused).expect("inspects");
    let least = size(&all[0].singular[12..]) / all[0].norm;
    let said = combined(&parts, sparse(Trim::Smallest, 0.4, Signs::Elect, Some(12)), out.path());
    assert!(said[0].lost >= least - 1e-6 && said[0].lost < 1.01 * least, "{} {least}", said[0].lost);
}
