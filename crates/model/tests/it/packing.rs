//! Documents in one row: attention stays inside each, positions restart.

use crate::support::*;
use model::{Batch, IGNORE};

fn packed(f: &File) -> Packed {
    let ids: Vec<u32> = f.integers("input_ids").iter().map(|i| *i as u32).collect();
    let cu: Vec<usize> = f.integers("cu_seqlens").iter().map(|i| *i as usize).collect();
    let labels = f.integers("labels");
    let last = |i: usize| cu.contains(&(i + 1));
    let targets = (0..ids.len()).map(|i| if last(i) { IGNORE } else { target(labels[i + 1]) }).collect();
    Packed { at: (0..ids.len()).collect(), ids, targets, cu }
}

#[test]
fn a_packed_row_is_the_references() {
    for name in ["gemma2", "gemma3", "llama", "mistral", "phi3", "qwen2"] {
        let f = File::fixture(&format!("packing/{name}.safetensors"));
        let mut engine = load(&model_dir(name), &continued(&fixtures().join(format!("forward/{name}_lora"))));
        let rows = packed(&f);
        let logits = engine.logits(rows.batch()).expect("logits");
        close(&format!("{name} logits"), &logits, &f.f32("logits"), 5e-5);
        let n = rows.target_count();
        let loss = engine.accumulate(rows.batch(), 1.0 / n as f32, KEY).expect("accumulate") / n as f64;
        close(&format!("{name} loss"), &[loss as f32], &f.f32("loss"), 1e-5);
        let keys = f.under("grad.");
        let got = gradients(&engine);
        assert!(keys.is_empty() || keys.len() == got.len(), "{name}: parameters");
        for (key, grad) in got.iter().filter(|_| !keys.is_empty()) {
            close_gradient(&format!("{name} {key}"), grad, &f.f32(&format!("grad.{key}")));
        }
    }
}

#[test]
fn a_packed_batch_equals_its_documents_one_by_one() {
    // All targets, and every ninth position at most.
    for (name, every) in [("llama", 1), ("llama", 9), ("gemma3", 1), ("gemma3", 9), ("mistral", 1)] {
        let mut rows = packed(&File::fixture(&format!("packing/{name}.safetensors")));
        rows.targets.iter_mut().enumerate().filter(|(i, _)| i % every > 0).for_each(|(_, t)| *t = IGNORE);
        let mut engine = load(&model_dir(name), &continued(&fixtures().join(format!("forward/{name}_lora"))));
        let together = engine.accumulate(rows.batch(), 0.1, KEY).expect("accumulate");
        let want = gradients(&engine);
        let losses = engine.losses(rows.batch()).expect("losses");
        engine.zero_grad().expect("zero");
        let (mut apart, mut each) = (0.0, Vec::new());
        for d in rows.cu.windows(2) {
            let (ids, targets) = (&rows.ids[d[0]..d[1]], &rows.targets[d[0]..d[1]]);
            let document = Batch { ids, targets, cu: &[0, ids.len()] };
            apart += engine.accumulate(document, 0.1, KEY).expect("accumulate");
            each.extend(engine.losses(document).expect("losses"));
        }
        assert!((together - apart).abs() < 1e-4, "{name}: {together} {apart}");
        close(&format!("{name} losses"), &losses, &each, 1e-5);
        for ((key, got), (_, want)) in gradients(&engine).iter().zip(&want) {
            close_gradient(&format!("{name} {key}"), got, want);
        }
    }
}
