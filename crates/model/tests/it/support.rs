//! Fixtures as the tests read them.

use model::adapters::{AdapterPlan, BiasTraining, InitWeights, LoraPlan, Targets, plan_from};
use model::{AdaPlan, Batch, Engine, IGNORE, Limits, ModelConfig, Span, State, StepKey};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use weights::Checkpoint;

pub const KEY: StepKey = StepKey { seed: 0, step: 1, micro: 0 };

/// What the reference calls an ignored label.
const NO_LABEL: i64 = -100;

pub fn fixtures() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures")).to_owned()
}

pub fn examples() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples")).to_owned()
}

pub fn model_dir(name: &str) -> PathBuf {
    fixtures().join("models").join(name)
}

/// One safetensors file.
pub struct File(Checkpoint);

impl File {
    pub fn open(path: &Path) -> File {
        File(Checkpoint::open_file(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())))
    }

    pub fn fixture(path: &str) -> File {
        File::open(&fixtures().join(path))
    }

    pub fn f32(&self, name: &str) -> Vec<f32> {
        self.0.get(name).expect(name).to_f32().expect(name)
    }

    pub fn bytes(&self, name: &str) -> Vec<u8> {
        self.0.get(name).expect(name).bytes.to_vec()
    }

    pub fn integers(&self, name: &str) -> Vec<i64> {
        let view = self.0.get(name).expect(name);
        let width = view.bytes.len() / view.elements();
        let one = |b: &[u8]| match width {
            4 => i64::from(i32::from_le_bytes(b.try_into().expect("4 bytes"))),
            _ => i64::from_le_bytes(b.try_into().expect("8 bytes")),
        };
        view.bytes.chunks_exact(width).map(one).collect()
    }

    pub fn shape(&self, name: &str) -> Vec<usize> {
        self.0.get(name).expect(name).shape.to_vec()
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    /// The rest of each name that starts with `prefix`.
    pub fn under(&self, prefix: &str) -> Vec<String> {
        self.0.names().filter_map(|n| n.strip_prefix(prefix)).map(ToOwned::to_owned).collect()
    }
}

/// Padded rows [B, T], packed.
#[derive(Clone, Debug, Default)]
pub struct Packed {
    pub ids: Vec<u32>,
    pub targets: Vec<i32>,
    pub cu: Vec<usize>,
    /// Where in [B, T] each token was.
    pub at: Vec<usize>,
}

impl Packed {
    /// `prefix.input_ids`, `.attention_mask`, `.labels`, of the given rows.
    pub fn read(file: &File, prefix: &str, rows: std::ops::Range<usize>) -> Packed {
        let t = file.shape(&format!("{prefix}input_ids"))[1];
        let [ids, mask, labels] =
            ["input_ids", "attention_mask", "labels"].map(|n| file.integers(&format!("{prefix}{n}")));
        let mut p = Packed { cu: vec![0], ..Packed::default() };
        for row in rows {
            let kept: Vec<usize> = (row * t..(row + 1) * t).filter(|i| mask[*i] == 1).collect();
            for (n, &i) in kept.iter().enumerate() {
                p.ids.push(ids[i] as u32);
                let label = kept.get(n + 1).map_or(NO_LABEL, |next| labels[*next]);
                p.targets.push(target(label));
                p.at.push(i);
            }
            p.cu.push(p.ids.len());
        }
        p
    }

    pub fn all(file: &File, prefix: &str) -> Packed {
        let rows = file.shape(&format!("{prefix}input_ids"))[0];
        Packed::read(file, prefix, 0..rows)
    }

    pub fn batch(&self) -> Batch<'_> {
        Batch { ids: &self.ids, targets: &self.targets, cu: &self.cu }
    }

    pub fn target_count(&self) -> usize {
        self.targets.iter().filter(|t| **t != IGNORE).count()
    }

    /// The packed tokens' rows of a reference tensor [B, T, cols].
    pub fn pick(&self, reference: &[f32], cols: usize) -> Vec<f32> {
        self.at.iter().flat_map(|i| reference[i * cols..(i + 1) * cols].iter().copied()).collect()
    }
}

pub fn target(label: i64) -> i32 {
    if label == NO_LABEL { IGNORE } else { label as i32 }
}

/// The plan that continues the adapter in `dir`.
pub fn continued(dir: &Path) -> AdapterPlan {
    lora(plan_from(dir, 0).unwrap_or_else(|e| panic!("{}: {e}", dir.display())))
}

/// A fresh adapter of rank 4 on the given modules.
pub fn fresh(targets: &[&str]) -> LoraPlan {
    LoraPlan {
        r: 4,
        alpha: 8.0,
        dropout: 0.0,
        rslora: false,
        dora: false,
        ada: None,
        full: false,
        targets: match targets {
            [] => Targets::AllLinear,
            names => Targets::Names(names.iter().map(|n| (*n).to_owned()).collect()),
        },
        exclude: Vec::new(),
        layers: None,
        rank_pattern: Vec::new(),
        alpha_pattern: Vec::new(),
        modules_to_save: Vec::new(),
        ensure_weight_tying: false,
        bias: BiasTraining::None,
        init: InitWeights::Kaiming,
        lr_ratio: 1.0,
        start_from: None,
        other_base: false,
        seed: 0,
        base_name: "base".into(),
    }
}

/// AdaLoRA, from rank 4 to 2.
pub fn ranks() -> AdaPlan {
    let (warmup, last) = (Span::Steps(1), Span::Steps(2));
    AdaPlan { target_r: 2, warmup, last, every: Some(1), beta1: 0.85, beta2: 0.85, orthogonality: 0.5 }
}

pub fn lora(plan: LoraPlan) -> AdapterPlan {
    AdapterPlan::Lora(Box::new(plan))
}

/// Room enough for the fixtures, on one thread.
pub fn limits() -> Limits {
    Limits {
        tokens_max: 64,
        seq_len_max: 64,
        memory: Some(1 << 30),
        threads: Some(1),
        precision: model::Precision::F32,
        quantize: model::Quantize::None,
        optimizer: model::Optimizer::AdamW,
        beside: 0,
    }
}

pub fn load(dir: &Path, plan: &AdapterPlan) -> Engine {
    Engine::load(dir, plan, &limits()).unwrap_or_else(|e| panic!("{}: {e}", dir.display()))
}

/// (name, gradient) of every parameter.
pub fn gradients(engine: &Engine) -> Vec<(String, Vec<f32>)> {
    tensors(engine, State::Grad)
}

pub fn tensors(engine: &Engine, state: State) -> Vec<(String, Vec<f32>)> {
    engine.export(state).expect("export").into_iter().map(|t| (t.name, t.values)).collect()
}

pub fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|v| v.to_bits()).collect()
}

pub fn peak(x: &[f32]) -> f32 {
    x.iter().fold(0.0, |m, v| m.max(v.abs()))
}

pub fn worst(got: &[f32], want: &[f32]) -> f32 {
    assert_eq!(got.len(), want.len());
    got.iter().zip(want).fold(0.0, |m, (g, w)| if g.is_nan() { f32::NAN } else { m.max((g - w).abs()) })
}

/// |got − want| ≤ tolerance, everywhere.
#[track_caller]
pub fn close(what: &str, got: &[f32], want: &[f32], tolerance: f32) {
    let d = worst(got, want);
    assert!(d <= tolerance, "{what}: off by {d:e}, accepted {tolerance:e}");
}

/// The oracle's rule for gradients: 3e-5 of the tensor's peak, and 1e-8.
#[track_caller]
pub fn close_gradient(what: &str, got: &[f32], want: &[f32]) {
    close(what, got, want, 3e-5 * peak(want) + 1e-8);
}

/// A file of tensors: (name, type, shape, bytes).
pub fn safetensors(tensors: &[(String, &str, Vec<usize>, Vec<u8>)]) -> Vec<u8> {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, dtype, shape, bytes) in tensors {
        let offsets = [data.len(), data.len() + bytes.len()];
        header.insert(name.clone(), serde_json::json!({"dtype": dtype, "shape": shape, "data_offsets": offsets}));
        data.extend(bytes);
    }
    let header = serde_json::Value::Object(header).to_string();
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat()
}

/// A model of odd sizes with random weights in `dir`.
pub fn write_model(dir: &Path, family: &str, edit: Value) {
    let mut config = json!({
        "model_type": family, "vocab_size": 37, "hidden_size": 20, "intermediate_size": 27, "head_dim": 6,
        "num_hidden_layers": 3, "num_attention_heads": 6, "num_key_value_heads": 2, "max_position_embeddings": 64,
        "tie_word_embeddings": false,
    });
    config.as_object_mut().expect("an object").extend(edit.as_object().expect("an object").clone());
    let text = config.to_string();
    std::fs::write(dir.join("config.json"), &text).expect("write");
    let c = ModelConfig::from_json(dir, text.as_bytes()).expect("config");
    let mut list: Vec<(String, Vec<usize>, Vec<f32>)> = Vec::new();
    let mut add = |name: String, shape: Vec<usize>, scale: f32, offset: f32| {
        let seed = list.len() as u64;
        let values = (0..shape.iter().product()).map(|i| offset + scale * noise(seed, i)).collect();
        list.push((name, shape, values));
    };
    use model::adapters::{Bias, Shape};
    for m in c.modules() {
        let weight = format!("{}.weight", m.module);
        match m.shape {
            Shape::Linear { n_out, n_in, bias } => {
                add(weight, vec![n_out, n_in], 0.5, 0.0);
                if bias == Bias::Present {
                    add(format!("{}.bias", m.module), vec![n_out], 0.3, 0.0);
                }
            }
            Shape::Embedding { vocab, hidden } | Shape::Head { vocab, hidden } => {
                add(weight, vec![vocab, hidden], 0.7, 0.0)
            }
            Shape::Gain { dim } => add(weight, vec![dim], 0.3, 1.0 - c.norm_offset),
        }
    }
    let list: Vec<_> = list.iter().map(|(n, s, v)| (n.clone(), s.clone(), v.as_slice())).collect();
    let bytes = weights::safetensors_bytes(&list, &Default::default()).expect("bytes");
    std::fs::write(dir.join("model.safetensors"), bytes).expect("write");
}

/// A number in −1..1 for each index (a fixed multiplicative hash).
pub fn noise(seed: u64, i: usize) -> f32 {
    let x = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(seed.wrapping_mul(0xd1b5_4a32_d192_ed03));
    let x = (x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((x >> 40) as f64 / f64::from(1u32 << 23) - 1.0) as f32
}
