//! A small run to begin with, and what is asked of finished ones.

use data::{
    BadRows, Choose, DataPlan, LengthPlan, LossOn, MixPlan, OverLength, Packing, ReplayPlan, Shares, Source, TaskPlan,
    Template, TextPlan, Valid,
};
use model::{AdapterPlan, BiasTraining, InitWeights, LoraPlan, Targets};
use runfs::RealFs;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;
use train::{Event, Plan, Precision, RunLength, Schedule, Summary, TrainError, TrainPlan, Warmup};

pub fn repository(path: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(path)
}

const ROWS: &[(&str, &str)] = &[
    ("Once upon a time", "there was a little girl"),
    ("The dog ran", "to the park"),
    ("Tom was sad", "because he lost his ball"),
    ("She saw a big", "red bird in the tree"),
    ("They like to play", "with the cat"),
    ("Mom said", "it is time to go home and sleep"),
    ("The sun", "was hot"),
    ("He had a toy", "car and it was very fast and very red"),
    ("One day", "a boy named Tim went to the sea"),
    ("Lily and Ben", "are friends"),
    ("The bear", "was hungry"),
];
const VALID_ROWS: &[(&str, &str)] =
    &[("The cat", "sat on the mat"), ("Tim and Sue", "went to the park to play"), ("It was", "a sunny day")];

/// A folder with a training and a validation file, and a plan for them: 11 rows in batches of 3, so that the fourth
/// step of an epoch is a smaller one.
pub struct Bench {
    pub temp: TempDir,
    pub plan: Plan,
}

pub fn bench() -> Bench {
    let temp = tempfile::tempdir().unwrap();
    let train = temp.path().join("train.jsonl");
    let valid = temp.path().join("valid.jsonl");
    fs::write(&train, rows(ROWS)).unwrap();
    fs::write(&valid, rows(VALID_ROWS)).unwrap();
    let model = repository("examples/models/stories260K");
    let plan = Plan {
        quantize: model::Quantize::None,
        quantize_cache: None,
        eval: None,
        data: DataPlan {
            train: vec![source(&train)],
            valid: Some(Valid::Source(vec![source(&valid)])),
            unseen: Vec::new(),
            text: TextPlan {
                model_dir: model.clone(),
                template: Template::Plain("{prompt} {completion}".into()),
                loss_on: LossOn::All,
                record_bytes_max: 1 << 20,
            },
            lengths: LengthPlan { seq_len_max: 64, over: OverLength::Refuse, packing: Packing::Examples },
            bad_rows: BadRows::Stop,
            mix: None,
            replay: None,
        },
        ewc: Vec::new(),
        adapter: AdapterPlan::Lora(Box::new(lora())),
        train: TrainPlan {
            length: RunLength::Steps(7),
            batch: 3,
            micro_tokens: Some(40),
            optimizer: model::Optimizer::AdamW,
            lr: 1e-2,
            schedule: Schedule::Cosine,
            warmup: Warmup::Steps(2),
            weight_decay: 0.01,
            betas: (0.9, 0.999),
            eps: 1e-8,
            clip: Some(1.0),
            seed: 7,
            precision: Precision::F32,
            checkpoint_every: 3,
            checkpoints_keep: 2,
            eval_every: Some(2),
            early_stop: None,
            on_overfit: train::OnOverfit::Stop,
            memory: None,
            threads: Some(1),
        },
        out: temp.path().join("out"),
        model,
    };
    Bench { temp, plan }
}

fn rows(rows: &[(&str, &str)]) -> String {
    rows.iter().map(|(p, c)| format!("{}\n", serde_json::json!({"prompt": p, "completion": c}))).collect()
}

pub fn source(path: &Path) -> Source {
    Source { path: path.to_owned(), format: None, columns: BTreeMap::new(), tags: BTreeMap::new(), task: None }
}

pub fn lora() -> LoraPlan {
    LoraPlan {
        r: 4,
        alpha: 8.0,
        dropout: 0.0,
        rslora: false,
        dora: false,
        ada: None,
        full: false,
        targets: Targets::AllLinear,
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
        seed: 7,
        base_name: "stories260K".into(),
    }
}

impl Bench {
    pub fn out(&self) -> &Path {
        &self.plan.out
    }

    pub fn lora_mut(&mut self) -> &mut LoraPlan {
        match &mut self.plan.adapter {
            AdapterPlan::Lora(lora) => lora,
            AdapterPlan::None => panic!("the bench's plan is a LoRA plan"),
        }
    }

    /// The model itself is trained, all of it.
    pub fn train_whole(&mut self) {
        let lora = self.lora_mut();
        (lora.full, lora.ensure_weight_tying, lora.modules_to_save) = (true, true, vec![String::new()]);
        lora.targets = Targets::Names(Vec::new());
    }

    /// The first five training rows are one task and the others another, in even shares, with a replay of rows from a file
    /// of its own; the validation rows are of the first.
    pub fn mix(&mut self, choose: Choose) {
        let file = |name: &str, text: String| {
            let path = self.temp.path().join(name);
            fs::write(&path, text).unwrap();
            source(&path)
        };
        let task = |source: Source, name: &str| Source { task: Some(name.into()), ..source };
        let replayed: Vec<(String, String)> =
            (0..24).map(|i| (format!("It was day {i} and"), "the cat saw a bird ".repeat(1 + i % 3))).collect();
        let replayed: Vec<(&str, &str)> = replayed.iter().map(|(p, c)| (p.as_str(), c.as_str())).collect();
        let data = &mut self.plan.data;
        data.train = vec![
            task(file("short.jsonl", rows(&ROWS[..5])), "short"),
            task(file("long.jsonl", rows(&ROWS[5..])), "long"),
        ];
        data.valid = Some(Valid::Source(vec![task(file("held.jsonl", rows(VALID_ROWS)), "short")]));
        let plan = |name: &str| TaskPlan { name: name.into(), cap: None };
        data.mix = Some(MixPlan {
            tasks: vec![plan("short"), plan("long")],
            shares: Shares::Weights(vec![1.0, 1.0]),
            uses: None,
        });
        let sources = vec![file("general.jsonl", rows(&replayed))];
        data.replay = Some(ReplayPlan { sources, earlier: None, written: None, share: 0.3, choose, buffer: Some(12) });
    }

    pub fn write_train(&self, text: &str) {
        fs::write(self.temp.path().join("train.jsonl"), text).unwrap();
    }

    pub fn run(&self) -> Result<Summary, TrainError> {
        self.run_with(&AtomicBool::new(false), &mut |_| {})
    }

    pub fn run_with(&self, stop: &AtomicBool, on: &mut dyn FnMut(Event)) -> Result<Summary, TrainError> {
        train::run(&self.plan, &RealFs, stop, on)
    }

    /// Runs, raising the stop flag when `at` says so, and expects the interruption.
    pub fn run_interrupted(&self, at: impl Fn(&Event) -> bool) -> u64 {
        let stop = AtomicBool::new(false);
        let result = self.run_with(&stop, &mut |e| {
            if at(&e) {
                stop.store(true, Ordering::Relaxed);
            }
        });
        match result {
            Err(TrainError::Interrupted { step }) => step,
            other => panic!("expected an interruption, got {other:?}"),
        }
    }

    /// Runs to the end, keeping a copy of the folder as a kill at `at` would leave it.
    pub fn run_imaged(&self, at: impl Fn(&Event) -> Option<String>) -> Vec<(String, PathBuf)> {
        let mut images = Vec::new();
        self.run_with(&AtomicBool::new(false), &mut |e| {
            if let Some(name) = at(&e) {
                let image = self.temp.path().join(format!("image-{}", images.len()));
                copy_dir(self.out(), &image);
                images.push((name, image));
            }
        })
        .unwrap();
        images
    }
}

pub fn resume(dir: &Path) -> Result<Summary, TrainError> {
    train::resume(dir, &RealFs, &AtomicBool::new(false), &mut |_| {})
}

pub fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// What the promise covers: adapter, best adapter, the last step's checkpoint, metrics.jsonl; by relative path.
pub fn promised(out: &Path, last_step: u64) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    files.insert("metrics.jsonl".to_owned(), fs::read(out.join("metrics.jsonl")).unwrap());
    let results = ["adapter", "model", "adapter-plain", "best", "best-plain"];
    let dirs = results.into_iter().filter(|dir| out.join(dir).exists()).map(ToOwned::to_owned);
    for dir in dirs.chain([format!("checkpoints/step-{last_step:08}")]) {
        for entry in fs::read_dir(out.join(&dir)).unwrap() {
            let entry = entry.unwrap();
            files.insert(format!("{dir}/{}", entry.file_name().display()), fs::read(entry.path()).unwrap());
        }
    }
    files
}

#[track_caller]
pub fn assert_same(a: &BTreeMap<String, Vec<u8>>, b: &BTreeMap<String, Vec<u8>>, what: &str) {
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>(), "{what}");
    for (name, bytes) in a {
        assert!(
            bytes == &b[name],
            "{what}: {name} differs:\n{}\n---\n{}",
            String::from_utf8_lossy(bytes),
            String::from_utf8_lossy(&b[name])
        );
    }
}

pub fn json_lines(path: &Path) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

/// The losses of the training steps in metrics.jsonl.
pub fn step_losses(out: &Path) -> Vec<f64> {
    json_lines(&out.join("metrics.jsonl")).iter().filter_map(|l| l["loss"].as_f64()).collect()
}
