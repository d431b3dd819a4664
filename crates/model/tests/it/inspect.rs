//! What an adapter changes, against the merged weights; and the same adapter with fewer ranks.

use crate::support::*;
use model::adapters::plan_from;
use model::{Engine, Keep, OtherBase, Tensor, inspect, shrink};
use std::path::{Path, PathBuf};

const CASES: [(&str, &str); 8] = [
    ("llama", "lora_all"),
    ("llama", "lora_pattern"),
    ("llama", "lora_rslora"),
    ("llama", "lora_embed"),
    ("llama", "lora_save"),
    ("qwen2", "lora_bias"),
    ("qwen2", "lora_all"),
    ("qwen2", "adalora"),
];

fn adapter(model: &str, case: &str) -> PathBuf {
    fixtures().join("peft").join(model).join(case).join("final")
}

/// Base weights, and those with the adapter in `dir` folded in.
fn merged(model: &str, dir: &Path) -> Vec<Tensor> {
    load(&model_dir(model), &continued(dir)).merged().expect("merged")
}

fn difference(x: &Tensor, y: &Tensor) -> f64 {
    x.values.iter().zip(&y.values).map(|(x, y)| f64::from(x - y).powi(2)).sum::<f64>().sqrt()
}

fn named<'a>(list: &'a [Tensor], module: &str) -> &'a Tensor {
    list.iter().find(|t| t.name == format!("{module}.weight")).unwrap_or_else(|| panic!("{module}"))
}

/// The adapter that `shrink` makes, in a folder.
fn shrunk(dir: &Path, keep: Keep, out: &Path) -> model::Smaller {
    let smaller = shrink(dir, keep).expect("shrinks");
    let tensors: Vec<_> = smaller.tensors.iter().map(|(n, s, v)| (n.clone(), s.clone(), v.as_slice())).collect();
    let bytes = weights::safetensors_bytes(&tensors, &Default::default()).expect("bytes");
    std::fs::write(out.join("adapter_model.safetensors"), bytes).expect("write");
    std::fs::write(out.join("adapter_config.json"), &smaller.config).expect("write");
    smaller
}

#[test]
fn a_change_is_as_large_as_what_merging_adds() {
    for (model, case) in CASES.iter().filter(|(_, case)| *case != "adalora") {
        let base = load(&model_dir(model), &model::AdapterPlan::None).merged().expect("base");
        let with = merged(model, &adapter(model, case));
        let changes = inspect(&adapter(model, case), Some(&model_dir(model)), OtherBase::Refused).expect("inspects");
        assert!(changes.len() >= 2, "{model}/{case}");
        for c in &changes {
            // A tied head that is adapted becomes a matrix of its own.
            let (w, v) = (base.iter().find(|t| t.name == format!("{}.weight", c.module)), named(&with, &c.module));
            let Some(w) = w else { continue };
            let (norm, size) = (difference(v, w), w.values.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt());
            // Merged weights are f32, so small changes of large numbers are rounded.
            assert!((c.norm - norm).abs() <= 1e-3 * norm + 1e-5, "{model}/{case} {}: {} {norm}", c.module, c.norm);
            assert!((c.relative.expect("a base") - c.norm / size).abs() < 1e-6);
            assert_eq!(c.singular.len(), c.rank);
            assert!(c.effective_rank > 0.99 && c.effective_rank <= c.rank as f64 + 1e-9, "{}", c.effective_rank);
        }
    }
}

#[test]
fn a_fresh_adapter_changes_nothing() {
    for case in ["lora_all", "adalora"] {
        let dir = fixtures().join("peft/llama").join(case).join("init");
        let changes = inspect(&dir, None, OtherBase::Refused).expect("inspects");
        assert!(changes.iter().all(|c| c.norm == 0.0 && c.effective_rank == 0.0 && c.relative.is_none()), "{case}");
    }
}

/// With as many ranks as there are, the same logits; with fewer, what is lost is what the values say.
#[test]
fn fewer_ranks_lose_what_their_singular_values_say() {
    for (model, case) in CASES {
        let (dir, out) = (adapter(model, case), tempfile::tempdir().expect("a folder"));
        let file = File::fixture(&format!("peft/{model}/{case}/case.safetensors"));
        let probe = Packed::all(&File::fixture(&format!("peft/{model}/data.safetensors")), "probe.");
        let smaller = shrunk(&dir, Keep::Rank(1000), out.path());
        assert_eq!(smaller.lost, 0.0);
        let mut engine = load(&model_dir(model), &continued(out.path()));
        let want = probe.pick(&file.f32("final_logits"), engine.config().vocab);
        close(&format!("{model}/{case}"), &engine.logits(probe.batch()).expect("logits"), &want, 5e-5);

        let whole = engine.merged().expect("merged");
        let changes = inspect(&dir, None, OtherBase::Refused).expect("inspects");
        let smaller = shrunk(&dir, Keep::Rank(1), out.path());
        let less = merged(model, out.path());
        for (m, c) in smaller.modules.iter().zip(&changes) {
            assert_eq!((&m.module, m.before, m.after), (&c.module, c.rank, c.rank.min(1)));
            let rest = c.singular[m.after..].iter().map(|s| s * s).sum::<f64>().sqrt();
            assert!((m.lost - rest / c.norm).abs() < 1e-12, "{}: {} {rest}", m.module, m.lost);
            let gone = difference(named(&whole, &m.module), named(&less, &m.module));
            assert!((gone - rest).abs() <= 1e-3 * rest + 2e-5, "{model}/{case} {}: {gone} {rest}", m.module);
        }
    }
}

#[test]
fn a_share_of_energy_keeps_as_few_ranks_as_hold_it() {
    let dir = adapter("llama", "lora_all");
    let out = tempfile::tempdir().expect("a folder");
    let changes = inspect(&dir, None, OtherBase::Refused).expect("inspects");
    for share in [0.5, 0.9, 0.99, 1.0] {
        let smaller = shrunk(&dir, Keep::Energy(share), out.path());
        for (m, c) in smaller.modules.iter().zip(&changes) {
            let held = |k: usize| c.singular[..k].iter().map(|s| s * s).sum::<f64>() / c.norm.powi(2);
            assert!(
                held(m.after) >= share - 1e-12 && (m.after == 1 || held(m.after - 1) < share),
                "{share} {}",
                m.module
            );
        }
        // Ranks that differ are written as patterns, which are read as they were meant.
        let engine = Engine::load(&model_dir("llama"), &continued(out.path()), &limits()).expect("loads");
        for p in engine.params().iter().filter(|p| p.name.ends_with("lora_A.weight")) {
            let m = smaller.modules.iter().find(|m| p.name.contains(&format!("{}.", m.module))).expect("a module");
            assert_eq!(p.shape[0], m.after, "{}", p.name);
        }
        assert!(plan_from(out.path(), 0).expect("a plan").alpha > 0.0);
    }
}
