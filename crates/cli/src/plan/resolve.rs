//! What was typed → what is meant: defaults, ranges, absolute paths, and the choices that exclude each other.

use super::error::PlanError;
use super::node::Node;
use super::typed::{
    AdapterFile, AlphaFile, CacheFile, ClipFile, DataFile, EarlyStopFile, EvalFile, EwcFile, OnOverfitFile, OneOrMany,
    Paths, PlanFile, PrecisionFile, QuantizeFile, RanksFile, ReplayFile, SourceFile, TemplateFile, TrainFile,
    UnseenFile, ValidFile,
};
use data::{BadRows, DataPlan, LengthPlan, LossOn, OverLength, Packing, Source, Template, TextPlan, Valid};
use model::adapters::plan_from;
use model::{AdaPlan, AdapterPlan, BiasTraining, InitWeights, LoraPlan, Quantize, Span, Targets};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use train::{
    AskPlan, EarlyStop, EwcOf, EwcPlan, Lambda, OnOverfit, Plan, Precision, RunLength, Schedule, Sought, TrainPlan,
    Warmup,
};

const R: u64 = 8;
const R_MAX: u64 = 4096;
const EPOCHS: f64 = 1.0;
const BATCH: u64 = 16;
const BATCH_MAX: u64 = 1 << 20;
const SEQ_LEN_MAX: u64 = 1024;
const SEQ_LEN_LIMIT: u64 = 1 << 20;
const LR: f64 = 2e-4;
const WARMUP_RATIO: f64 = 0.05;
const BETAS: (f64, f64) = (0.9, 0.999);
const EPS: f64 = 1e-8;
const RANKS_WARMUP: f64 = 0.1;
const RANKS_LAST: f64 = 0.3;
const RANKS_BETA: f64 = 0.85;
const ORTHOGONALITY: f64 = 0.5;
const CLIP: f64 = 1.0;
const CHECKPOINT_EVERY: u64 = 100;
const CHECKPOINTS_KEEP: u64 = 2;
const SHRINKS: u64 = 2;
/// More halvings than a rank has bits.
const SHRINKS_MAX: u64 = 64;
const CHECKPOINTS_KEEP_MAX: u64 = 10_000;
const STEPS_MAX: u64 = 1 << 40;
const LAYERS_MAX: u64 = 100_000;
const THREADS_MAX: u64 = 4096;
const EWC_EXAMPLES: u64 = 200;
const EWC_EXAMPLES_MAX: u64 = 1 << 40;
const EVAL_ROWS_MAX: u64 = 1 << 40;
const RECORD_BYTES_MAX: u64 = 16 << 20;
const RECORD_BYTES_RANGE: RangeInclusive<u64> = 1 << 10..=1 << 30;

/// Where relative paths start.
pub struct Roots<'a> {
    /// Of inputs: the plan's folder, absolute.
    pub inputs: &'a Path,
    /// Of `out` and `quantize_cache`: the current folder.
    pub outputs: &'a Path,
    /// Where quantised bases are kept if nothing else is said; None: nowhere.
    pub cache: Option<&'a Path>,
}

/// The plan as meant, or the first thing that cannot be meant.
pub fn resolve(file: PlanFile, tree: &Node, roots: &Roots<'_>) -> Result<Plan, PlanError> {
    let cx = Cx { tree, roots };
    let model = cx.input(&file.model);
    let seed = cx.whole("train.seed", file.train.seed, 0, 0..=i64::MAX as u64)?;
    let seq_len_max = cx.seq_len_max(&file.train, &model)?;
    let quantize = match (file.quantize.unwrap_or(QuantizeFile::None), file.double_quant) {
        (QuantizeFile::None, Some(false)) => return Err(cx.needs("double_quant", "quantize: nf4")),
        (QuantizeFile::None, _) => Quantize::None,
        (QuantizeFile::Nf4, double) => Quantize::Nf4 { double: double.unwrap_or(true) },
    };
    let quantize_cache = match (file.quantize_cache, quantize) {
        (Some(CacheFile::Off), _) | (None, Quantize::None) => None,
        (Some(CacheFile::In(_)), Quantize::None) => return Err(cx.needs("quantize_cache", "quantize: nf4")),
        (Some(CacheFile::In(dir)), _) => Some(normal(&roots.outputs.join(dir))),
        (None, _) => roots.cache.map(ToOwned::to_owned),
    };
    let adapter = cx.lora(file.adapter, &model, seed)?;
    if adapter.full && quantize != Quantize::None {
        return Err(cx.exclusive("adapter.method: full", "quantize"));
    }
    let train = cx.train(file.train, seed, seq_len_max)?;
    cx.fits_on_overfit(train.on_overfit, &adapter)?;
    Ok(Plan {
        quantize,
        quantize_cache,
        data: cx.data(file.data, file.replay, &model, seq_len_max)?,
        ewc: file.ewc.map_or(Ok(Vec::new()), |parts| cx.ewc(parts.0, &adapter))?,
        adapter: AdapterPlan::Lora(Box::new(adapter)),
        train,
        eval: file.eval.map(|eval| cx.eval(eval)).transpose()?,
        out: normal(&roots.outputs.join(&file.out)),
        model,
    })
}

/// The methods that a plan may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Lora,
    Dora,
    Adalora,
    Full,
}

impl Method {
    fn name(self) -> &'static str {
        match self {
            Method::Lora => "lora",
            Method::Dora => "dora",
            Method::Adalora => "adalora",
            Method::Full => "full",
        }
    }
}

/// An adapter of which nothing is typed: the defaults.
fn fresh(seed: u64) -> LoraPlan {
    LoraPlan {
        r: as_usize(R),
        alpha: 2.0 * R as f64,
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
        ensure_weight_tying: true,
        bias: BiasTraining::None,
        init: InitWeights::Kaiming,
        lr_ratio: 1.0,
        start_from: None,
        other_base: false,
        seed,
        base_name: String::new(),
    }
}

/// `alpha: auto`: the scale is 2 at every rank, as alpha / r of 2 r and as alpha / √r of 2 √r.
fn auto_alpha(r: u64, rslora: bool) -> f64 {
    2.0 * if rslora { (r as f64).sqrt() } else { r as f64 }
}

fn pairs<A, B>(list: Vec<(String, A)>, value: impl Fn(A) -> B) -> Vec<(String, B)> {
    list.into_iter().map(|(key, a)| (key, value(a))).collect()
}

pub(super) struct Cx<'a> {
    pub(super) tree: &'a Node,
    pub(super) roots: &'a Roots<'a>,
}

impl Cx<'_> {
    fn data(
        &self,
        file: DataFile,
        replay: Option<ReplayFile>,
        model: &Path,
        seq_len_max: usize,
    ) -> Result<DataPlan, PlanError> {
        let packing = file.packing.unwrap_or(Packing::Examples);
        if matches!(packing, Packing::BfdSplit | Packing::Wrapped) && self.tree.has("data.over_length") {
            // These two cut every example to fit, so nothing is ever over the length.
            return Err(self.exclusive("data.over_length", "data.packing"));
        }
        let over = match packing {
            Packing::BfdSplit | Packing::Wrapped => OverLength::Split,
            Packing::Examples | Packing::Bfd => file.over_length.unwrap_or(OverLength::Refuse),
        };
        let record_max = file.record_max.map(|s| s.0);
        Ok(DataPlan {
            mix: self.mix(file.mix, &file.train.0)?,
            replay: replay.map(|replay| self.replay(replay, seq_len_max)).transpose()?,
            train: self.sources("data.train", file.train.0)?,
            valid: file.valid.map(|v| self.valid(v)).transpose()?,
            unseen: file.unseen.map_or(Ok(Vec::new()), |files| self.unseen(files))?,
            text: TextPlan {
                model_dir: model.to_owned(),
                template: match file.template.unwrap_or(TemplateFile::Auto) {
                    TemplateFile::Auto => Template::Auto,
                    TemplateFile::Plain(text) => Template::Plain(text),
                    TemplateFile::File(path) => Template::File(self.input(&path)),
                },
                loss_on: file.loss_on.unwrap_or(LossOn::Response),
                record_bytes_max: self.whole("data.record_max", record_max, RECORD_BYTES_MAX, RECORD_BYTES_RANGE)?,
            },
            lengths: LengthPlan { seq_len_max, over, packing },
            bad_rows: match file.quarantine.unwrap_or(false) {
                true => BadRows::Quarantine,
                false => BadRows::Stop,
            },
        })
    }

    fn sources(&self, key: &str, files: Vec<SourceFile>) -> Result<Vec<Source>, PlanError> {
        if files.is_empty() {
            return Err(self.out_of_range(key, "at least one source", "an empty list"));
        }
        files.into_iter().enumerate().map(|(i, file)| self.source(&self.item_key(key, i), file)).collect()
    }

    /// `data.train.0` in a list, `data.train` where one source stands alone.
    pub(super) fn item_key(&self, key: &str, index: usize) -> String {
        let item = format!("{key}.{index}");
        if self.tree.has(&item) { item } else { key.to_owned() }
    }

    pub(super) fn source(&self, key: &str, mut file: SourceFile) -> Result<Source, PlanError> {
        let part = |name: &str| format!("{key}.{name}");
        let task = file.task.take().map(|name| self.task(&part("task"), name)).transpose()?;
        let source = match (file.path, file.dataset_info) {
            (Some(_), Some(_)) => Err(self.exclusive(&part("path"), &part("dataset_info"))),
            (None, None) => Err(self.missing(&part("path"))),
            (Some(_), None) if file.name.is_some() => Err(self.needs(&part("name"), &part("dataset_info"))),
            (Some(path), None) => Ok(Source {
                path: self.input(&path),
                format: file.format,
                columns: file.columns,
                tags: Default::default(),
                task: None,
            }),
            (None, Some(_)) if file.format.is_some() => Err(self.exclusive(&part("format"), &part("dataset_info"))),
            (None, Some(_)) if !file.columns.is_empty() => Err(self.exclusive(&part("columns"), &part("dataset_info"))),
            (None, Some(info)) => {
                let name = file.name.ok_or_else(|| self.missing(&part("name")))?;
                data::dataset_info::resolve(&self.input(&info), &name).map_err(|e| PlanError::DatasetInfo {
                    at: self.tree.place(&part("dataset_info")),
                    source: Box::new(e),
                })
            }
        }?;
        Ok(Source { task, ..source })
    }

    fn valid(&self, files: OneOrMany<ValidFile>) -> Result<Valid, PlanError> {
        let mut sources = Vec::new();
        let many = files.0.len() > 1;
        for (i, file) in files.0.into_iter().enumerate() {
            let key = format!("{}.share", self.item_key("data.valid", i));
            match file.share {
                None => sources.push(file.source()),
                Some(_) if many || file.path.is_some() || file.dataset_info.is_some() => {
                    return Err(self.exclusive(&key, "data.valid.path"));
                }
                // Rows that are held back are of the tasks of their sources.
                Some(_) if file.task.is_some() => return Err(self.exclusive(&key, "data.valid.task")),
                Some(share) => {
                    let share =
                        self.number(&key, Some(share), 0.0, "a share between 0 and 1", |x| x > 0.0 && x < 1.0)?;
                    return Ok(Valid::Share(share));
                }
            }
        }
        self.sources("data.valid", sources).map(Valid::Source)
    }

    fn unseen(&self, files: OneOrMany<UnseenFile>) -> Result<Vec<Source>, PlanError> {
        if !self.tree.has("data.valid") {
            return Err(self.needs("data.unseen", "data.valid"));
        }
        self.sources("data.unseen", files.0.into_iter().map(UnseenFile::source).collect())
    }

    fn lora(&self, file: AdapterFile, model: &Path, seed: u64) -> Result<LoraPlan, PlanError> {
        let method = self.method(file.method.as_deref())?;
        if method == Some(Method::Full) {
            return self.full(file, seed);
        }
        if file.init == Some(InitWeights::Pissa) && method.is_some_and(|m| m != Method::Lora) {
            return Err(self.exclusive("adapter.init: pissa", "adapter.method"));
        }
        let base_name = file.base_name.clone().unwrap_or_else(|| model.display().to_string());
        let start_from = file.start_from.as_ref().map(|p| self.input(p));
        // What is not typed goes on as it was. A folder that cannot be read is refused where it is loaded.
        let old = match start_from.as_deref().map(|dir| plan_from(dir, seed)) {
            Some(Ok(plan)) => plan,
            _ => fresh(seed),
        };
        let was = match &old {
            LoraPlan { dora: true, .. } => Method::Dora,
            LoraPlan { ada: Some(_), .. } => Method::Adalora,
            _ => Method::Lora,
        };
        let method = method.unwrap_or(was);
        if start_from.is_some() && method != was {
            let was = was.name();
            let expected = format!("{was}, as in the adapter that `adapter.start_from` names");
            return Err(self.out_of_range("adapter.method", &expected, method.name()));
        }
        let r = self.whole("adapter.r", file.r, old.r as u64, 1..=R_MAX)?;
        let rslora = file.rslora.unwrap_or(old.rslora);
        let alpha = match file.alpha {
            Some(AlphaFile::Auto) => auto_alpha(r, rslora),
            Some(AlphaFile::At(alpha)) => self.positive("adapter.alpha", Some(alpha), 1.0)?,
            None if as_usize(r) == old.r => old.alpha,
            None => 2.0 * r as f64,
        };
        let rank_pattern = file.rank_pattern.map_or(pairs(old.rank_pattern, |r| r as u64), |p| p.0);
        for (regex, rank) in &rank_pattern {
            self.whole(&format!("adapter.rank_pattern.{regex}"), Some(*rank), R, 1..=R_MAX)?;
        }
        let mut alpha_pattern = file.alpha_pattern.map_or(old.alpha_pattern, |p| p.0);
        for (regex, alpha) in &alpha_pattern {
            self.positive(&format!("adapter.alpha_pattern.{regex}"), Some(*alpha), 1.0)?;
        }
        if matches!(file.alpha, Some(AlphaFile::Auto)) {
            // Behind those that are typed, in the order of the ranks: the first that matches counts, here as there.
            let open = |(regex, _): &&(String, u64)| alpha_pattern.iter().all(|(typed, _)| typed != regex);
            let follow = |(regex, r): &(String, u64)| (regex.clone(), auto_alpha(*r, rslora));
            let following: Vec<_> = rank_pattern.iter().filter(open).map(follow).collect();
            alpha_pattern.extend(following);
        }
        let targets = file.targets.map_or(old.targets, |t| t.0);
        if matches!(&targets, Targets::Names(names) if names.is_empty()) {
            return Err(self.out_of_range("adapter.targets", "at least one name, or all-linear", "an empty list"));
        }
        let layers = match file.layers {
            Some(layers) if layers.is_empty() => {
                return Err(self.out_of_range("adapter.layers", "at least one layer", "an empty list"));
            }
            Some(layers) => Some(
                layers
                    .into_iter()
                    .map(|l| self.whole("adapter.layers", Some(l), 0, 0..=LAYERS_MAX).map(as_usize))
                    .collect::<Result<Vec<usize>, _>>()?,
            ),
            None => old.layers,
        };
        Ok(LoraPlan {
            r: as_usize(r),
            alpha,
            dropout: self.number("adapter.dropout", file.dropout, old.dropout, "from 0 to below 1", |x| {
                (0.0..1.0).contains(&x)
            })?,
            rslora,
            dora: method == Method::Dora,
            full: false,
            ada: self.ranks(file.ranks, method, old.ada, as_usize(r))?,
            targets,
            exclude: file.exclude.unwrap_or(old.exclude),
            layers,
            rank_pattern: rank_pattern.into_iter().map(|(k, r)| (k, as_usize(r))).collect(),
            alpha_pattern,
            modules_to_save: file.modules_to_save.unwrap_or(old.modules_to_save),
            ensure_weight_tying: file.ensure_weight_tying.unwrap_or(old.ensure_weight_tying),
            bias: file.bias.unwrap_or(old.bias),
            init: file.init.unwrap_or(old.init),
            lr_ratio: self.positive("adapter.lr_ratio", file.lr_ratio, 1.0)?,
            start_from,
            other_base: file.other_base.unwrap_or(false),
            seed,
            base_name,
        })
    }

    /// Full fine-tuning: all modules, or those that `adapter.targets` names.
    fn full(&self, file: AdapterFile, seed: u64) -> Result<LoraPlan, PlanError> {
        const OTHERS: [&str; 16] = [
            "r",
            "alpha",
            "dropout",
            "exclude",
            "layers",
            "rank_pattern",
            "alpha_pattern",
            "rslora",
            "bias",
            "init",
            "lr_ratio",
            "modules_to_save",
            "start_from",
            "other_base",
            "base_name",
            "ranks",
        ];
        for key in OTHERS.map(|key| format!("adapter.{key}")) {
            if self.tree.has(&key) {
                return Err(self.exclusive("adapter.method: full", &key));
            }
        }
        let modules = match file.targets.map(|t| t.0) {
            None | Some(Targets::AllLinear) => vec![String::new()],
            Some(Targets::Names(names)) if !names.is_empty() => names,
            Some(_) => {
                let expected =
                    "names of modules such as [mlp, lm_head], or left out for all, with adapter.method: full";
                return Err(self.out_of_range("adapter.targets", expected, "something else"));
            }
        };
        Ok(LoraPlan {
            full: true,
            targets: Targets::Names(Vec::new()),
            modules_to_save: modules,
            ensure_weight_tying: file.ensure_weight_tying.unwrap_or(true),
            ..fresh(seed)
        })
    }

    /// How ranks are spent, with AdaLoRA alone.
    fn ranks(
        &self,
        file: Option<RanksFile>,
        method: Method,
        old: Option<AdaPlan>,
        r: usize,
    ) -> Result<Option<AdaPlan>, PlanError> {
        if method != Method::Adalora {
            return match file {
                None => Ok(None),
                Some(_) => Err(self.needs("adapter.ranks", "adapter.method: adalora")),
            };
        }
        for key in ["adapter.rank_pattern", "adapter.alpha_pattern", "adapter.rslora"] {
            if self.tree.has(key) {
                return Err(self.exclusive(key, "adapter.method: adalora"));
            }
        }
        let file = file.unwrap_or_default();
        let old = old.unwrap_or(AdaPlan {
            target_r: (2 * r / 3).max(1),
            warmup: Span::Share(RANKS_WARMUP),
            last: Span::Share(RANKS_LAST),
            every: None,
            beta1: RANKS_BETA,
            beta2: RANKS_BETA,
            orthogonality: ORTHOGONALITY,
        });
        let betas = file.betas.map(|typed| self.two_shares("adapter.ranks.betas", typed)).transpose()?;
        let (beta1, beta2) = betas.unwrap_or((old.beta1, old.beta2));
        let span = |key: &str, typed: Option<f64>, old: Span| {
            let Some(x) = typed else { return Ok(old) };
            self.share_or_steps(key, Some(x), 0.0).map(|x| if x < 1.0 { Span::Share(x) } else { Span::Steps(x as u64) })
        };
        let target = self.optional_whole("adapter.ranks.target", file.target, 1..=r as u64)?;
        Ok(Some(AdaPlan {
            target_r: target.map_or(old.target_r, as_usize),
            warmup: span("adapter.ranks.warmup", file.warmup, old.warmup)?,
            last: span("adapter.ranks.last", file.last, old.last)?,
            every: self.optional_whole("adapter.ranks.every", file.every, 1..=STEPS_MAX)?.or(old.every),
            beta1,
            beta2,
            orthogonality: self.number(
                "adapter.ranks.orthogonality",
                file.orthogonality,
                old.orthogonality,
                "0 or more",
                |x| x >= 0.0,
            )?,
        }))
    }

    fn method(&self, name: Option<&str>) -> Result<Option<Method>, PlanError> {
        const NAMES: &[&str] = &["lora", "dora", "adalora", "full"];
        let at = || self.tree.place("adapter.method");
        match name {
            None => Ok(None),
            Some("lora") => Ok(Some(Method::Lora)),
            Some("dora") => Ok(Some(Method::Dora)),
            Some("adalora") => Ok(Some(Method::Adalora)),
            Some("full") => Ok(Some(Method::Full)),
            Some(method @ "qlora") => Err(PlanError::MethodNotYet { at: at(), method: method.to_owned() }),
            Some(other) => Err(PlanError::UnknownChoice {
                at: at(),
                key: "adapter.method".into(),
                got: crate::ui::text::visible(other),
                choices: NAMES,
                nearest: super::suggest::nearest(other, NAMES.iter().copied()).map(str::to_owned),
            }),
        }
    }

    /// The default is cut to the model's own limit; a limit that the user states is left for the model to judge, and
    /// so is a model that cannot be read.
    fn seq_len_max(&self, file: &TrainFile, model: &Path) -> Result<usize, PlanError> {
        let default = model::ModelConfig::read(model).map_or(SEQ_LEN_MAX, |c| SEQ_LEN_MAX.min(c.position_max as u64));
        self.whole("train.seq_len_max", file.seq_len_max, default, 2..=SEQ_LEN_LIMIT).map(as_usize)
    }

    fn train(&self, file: TrainFile, seed: u64, seq_len_max: usize) -> Result<TrainPlan, PlanError> {
        let micro = self.optional_whole("train.micro_tokens", file.micro_tokens, 2..=SEQ_LEN_LIMIT)?;
        if let Some(tokens) = micro.filter(|m| as_usize(*m) < seq_len_max) {
            let expected = format!("at least train.seq_len_max ({seq_len_max})");
            return Err(self.out_of_range("train.micro_tokens", &expected, &tokens.to_string()));
        }
        if file.eval_every.is_some() && !self.tree.has("data.valid") {
            return Err(self.needs("train.eval_every", "data.valid"));
        }
        let on_overfit = self.on_overfit(&file)?;
        Ok(TrainPlan {
            length: self.length(&file)?,
            batch: as_usize(self.whole("train.batch", file.batch, BATCH, 1..=BATCH_MAX)?),
            micro_tokens: micro.map(as_usize),
            optimizer: file.optimizer.unwrap_or_default(),
            lr: self.positive("train.lr", file.lr, LR)?,
            schedule: file.schedule.unwrap_or(Schedule::Cosine),
            warmup: self.warmup(file.warmup)?,
            weight_decay: self.number("train.weight_decay", file.weight_decay, 0.0, "0 or more", |x| x >= 0.0)?,
            betas: file.betas.map_or(Ok(BETAS), |typed| self.two_shares("train.betas", typed))?,
            eps: self.positive("train.eps", file.eps, EPS)?,
            clip: match file.clip.unwrap_or(ClipFile::At(CLIP)) {
                ClipFile::None => None,
                ClipFile::At(norm) => Some(self.positive("train.clip", Some(norm), CLIP)?),
            },
            seed,
            precision: match file.precision.unwrap_or(PrecisionFile::Auto) {
                PrecisionFile::F32 => Precision::F32,
                PrecisionFile::Bf16 => Precision::Bf16,
                PrecisionFile::Auto => Precision::fastest(),
            },
            checkpoint_every: self.whole(
                "train.checkpoint_every",
                file.checkpoint_every,
                CHECKPOINT_EVERY,
                1..=STEPS_MAX,
            )?,
            // Fewer than two, and one torn checkpoint would end the run for good.
            checkpoints_keep: as_usize(self.whole(
                "train.checkpoints_keep",
                file.checkpoints_keep,
                CHECKPOINTS_KEEP,
                2..=CHECKPOINTS_KEEP_MAX,
            )?),
            eval_every: self.optional_whole("train.eval_every", file.eval_every, 1..=STEPS_MAX)?,
            on_overfit,
            early_stop: file.early_stop.map(|e| self.early_stop(&e)).transpose()?,
            memory: self.optional_whole("train.memory", file.memory.map(|s| s.0), 1..=1 << 50)?,
            threads: self.optional_whole("train.threads", file.threads, 1..=THREADS_MAX)?.map(as_usize),
        })
    }

    fn length(&self, file: &TrainFile) -> Result<RunLength, PlanError> {
        match (file.steps, file.epochs) {
            (Some(_), Some(_)) => Err(self.exclusive("train.steps", "train.epochs")),
            (Some(steps), None) => self.whole("train.steps", Some(steps), 1, 1..=STEPS_MAX).map(RunLength::Steps),
            (None, epochs) => self.positive("train.epochs", epochs, EPOCHS).map(RunLength::Epochs),
        }
    }

    fn warmup(&self, typed: Option<f64>) -> Result<Warmup, PlanError> {
        let x = self.share_or_steps("train.warmup", typed, WARMUP_RATIO)?;
        Ok(if x < 1.0 { Warmup::Ratio(x) } else { Warmup::Steps(x as u64) })
    }

    fn share_or_steps(&self, key: &str, typed: Option<f64>, default: f64) -> Result<f64, PlanError> {
        self.number(key, typed, default, "a share below 1 or a whole number of steps", |x| {
            (0.0..1.0).contains(&x) || (x >= 1.0 && x.fract() == 0.0 && x <= STEPS_MAX as f64)
        })
    }

    fn two_shares(&self, key: &str, typed: Vec<f64>) -> Result<(f64, f64), PlanError> {
        match typed[..] {
            [b1, b2] if (0.0..1.0).contains(&b1) && (0.0..1.0).contains(&b2) => Ok((b1, b2)),
            _ => Err(self.out_of_range(key, "two numbers from 0 to below 1", &format!("{typed:?}"))),
        }
    }

    fn on_overfit(&self, file: &TrainFile) -> Result<OnOverfit, PlanError> {
        let typed = file.on_overfit.unwrap_or(OnOverfitFile::Stop);
        if file.shrinks.is_some() && typed != OnOverfitFile::ShrinkRank {
            return Err(self.needs("train.shrinks", "train.on_overfit: shrink_rank"));
        }
        if typed != OnOverfitFile::Stop && file.early_stop.is_none() {
            return Err(self.needs("train.on_overfit", "train.early_stop"));
        }
        Ok(match typed {
            OnOverfitFile::Stop => OnOverfit::Stop,
            OnOverfitFile::RaiseDropout => OnOverfit::RaiseDropout,
            OnOverfitFile::ShrinkRank => {
                let times = self.whole("train.shrinks", file.shrinks, SHRINKS, 1..=SHRINKS_MAX)?;
                OnOverfit::ShrinkRank { times: u32::try_from(times).unwrap_or(u32::MAX) }
            }
        })
    }

    /// Going on from the best adapter is for a plain LoRA that nothing else holds.
    fn fits_on_overfit(&self, on_overfit: OnOverfit, adapter: &LoraPlan) -> Result<(), PlanError> {
        let key = "train.on_overfit";
        if on_overfit == OnOverfit::Stop {
            return Ok(());
        }
        if adapter.full || adapter.dora || adapter.ada.is_some() {
            return Err(self.needs(key, "adapter.method: lora"));
        }
        if adapter.init == InitWeights::Pissa {
            return Err(self.exclusive(key, "adapter.init: pissa"));
        }
        if self.tree.has("ewc") { Err(self.exclusive(key, "ewc")) } else { Ok(()) }
    }

    fn early_stop(&self, file: &EarlyStopFile) -> Result<EarlyStop, PlanError> {
        if !self.tree.has("data.valid") {
            return Err(self.needs("train.early_stop", "data.valid"));
        }
        let patience = self.whole("train.early_stop.patience", Some(file.patience), 1, 1..=u64::from(u32::MAX))?;
        Ok(EarlyStop {
            patience: u32::try_from(patience).unwrap_or(u32::MAX),
            min_delta: self.number("train.early_stop.min_delta", file.min_delta, 0.0, "0 or more", |x| x >= 0.0)?,
        })
    }

    fn ewc(&self, files: Vec<EwcFile>, adapter: &LoraPlan) -> Result<Vec<EwcPlan>, PlanError> {
        let one = |(i, file): (usize, EwcFile)| {
            let item = self.item_key("ewc", i);
            let key = |name: &str| format!("{item}.{name}");
            let of = match (file.general, file.run, file.fisher) {
                (Some(_), Some(_), _) => return Err(self.exclusive(&key("general"), &key("run"))),
                (Some(_), _, Some(_)) => return Err(self.exclusive(&key("general"), &key("fisher"))),
                (_, Some(_), Some(_)) => return Err(self.exclusive(&key("run"), &key("fisher"))),
                (None, None, None) => return Err(self.missing(&key("general"))),
                (Some(sources), None, None) => {
                    let mixes = |s: &SourceFile| s.task.is_some() || s.weight.is_some() || s.cap.is_some();
                    if sources.0.iter().any(mixes) {
                        return Err(self.exclusive(&key("general"), "task, weight and cap"));
                    }
                    EwcOf::Base(self.sources(&key("general"), sources.0)?)
                }
                (None, None, Some(path)) => EwcOf::File(self.input(&path)),
                (None, Some(_), None) if adapter.start_from.is_none() => {
                    return Err(self.needs(&key("run"), "adapter.start_from"));
                }
                (None, Some(dir), None) => EwcOf::Run {
                    dir: normal(&self.roots.outputs.join(dir)),
                    decay: self.number(&key("decay"), file.decay, 1.0, "from 0 to 1", |x| (0.0..=1.0).contains(&x))?,
                },
            };
            if file.decay.is_some() && !matches!(of, EwcOf::Run { .. }) {
                return Err(self.needs(&key("decay"), &key("run")));
            }
            Ok(EwcPlan {
                lambda: self.lambda(&key, (file.lambda, file.rise, file.probe_steps), &of)?,
                examples: as_usize(self.whole(&key("examples"), file.examples, EWC_EXAMPLES, 1..=EWC_EXAMPLES_MAX)?),
                of,
            })
        };
        let parts: Vec<EwcPlan> = files.into_iter().enumerate().map(one).collect::<Result<_, _>>()?;
        let mut sought = (0..parts.len()).filter(|i| parts[*i].lambda.sought().is_some());
        match (sought.next(), sought.next()) {
            (Some(one), Some(other)) => {
                let key = |i| format!("{}.rise", self.item_key("ewc", i));
                Err(self.exclusive(&key(one), &key(other)))
            }
            _ => Ok(parts),
        }
    }

    fn lambda(
        &self,
        key: &dyn Fn(&str) -> String,
        (lambda, rise, steps): (Option<f64>, Option<f64>, Option<u64>),
        of: &EwcOf,
    ) -> Result<Lambda, PlanError> {
        if steps.is_some() && rise.is_none() {
            return Err(self.needs(&key("probe_steps"), &key("rise")));
        }
        match (lambda, rise) {
            (Some(_), Some(_)) => Err(self.exclusive(&key("lambda"), &key("rise"))),
            (None, None) => Err(self.neither(&key("lambda"), &key("rise"))),
            (Some(_), None) => self.number(&key("lambda"), lambda, 0.0, "0 or more", |x| x >= 0.0).map(Lambda::Given),
            // A Fisher alone has no rows to measure the rise on.
            (None, Some(_)) if matches!(of, EwcOf::File(_)) => Err(self.needs(&key("rise"), &key("general"))),
            (None, Some(_)) => Ok(Lambda::Sought(Sought {
                rise: self
                    .number(&key("rise"), rise, 0.0, "a share between 0 and 1, such as 0.02", |x| x > 0.0 && x < 1.0)?,
                steps: self.optional_whole(&key("probe_steps"), steps, 1..=STEPS_MAX)?,
                found: None,
            })),
        }
    }

    fn eval(&self, file: EvalFile) -> Result<AskPlan, PlanError> {
        let suites = |key: &str, typed: Option<Paths>| match typed {
            Some(Paths(list)) if list.is_empty() => Err(self.out_of_range(key, "at least one suite", "an empty list")),
            Some(Paths(list)) => Ok(list.iter().map(|path| self.input(path)).collect()),
            None => Ok(Vec::new()),
        };
        if file.task.is_none() && file.general.is_none() {
            return Err(self.missing("eval.task"));
        }
        let require = file.require.unwrap_or_default();
        for condition in &require {
            if let Err(expected) = condition.parse::<eval::Condition>() {
                let expected = expected.trim_start_matches("expected ");
                return Err(self.out_of_range("eval.require", expected, condition));
            }
        }
        Ok(AskPlan {
            task: suites("eval.task", file.task)?,
            general: suites("eval.general", file.general)?,
            require,
            limit: self.optional_whole("eval.limit", file.limit, 1..=EVAL_ROWS_MAX)?,
            language: file.language.unwrap_or_default(),
        })
    }

    fn input(&self, path: &Path) -> PathBuf {
        normal(&self.roots.inputs.join(path))
    }

    pub(super) fn whole(
        &self,
        key: &str,
        typed: Option<u64>,
        default: u64,
        range: RangeInclusive<u64>,
    ) -> Result<u64, PlanError> {
        self.optional_whole(key, typed, range).map(|value| value.unwrap_or(default))
    }

    pub(super) fn optional_whole(
        &self,
        key: &str,
        typed: Option<u64>,
        range: RangeInclusive<u64>,
    ) -> Result<Option<u64>, PlanError> {
        match typed {
            Some(value) if !range.contains(&value) => {
                let expected = format!("from {} to {}", range.start(), range.end());
                Err(self.out_of_range(key, &expected, &value.to_string()))
            }
            other => Ok(other),
        }
    }

    pub(super) fn positive(&self, key: &str, typed: Option<f64>, default: f64) -> Result<f64, PlanError> {
        self.number(key, typed, default, "a number above 0", |x| x > 0.0)
    }

    pub(super) fn number(
        &self,
        key: &str,
        typed: Option<f64>,
        default: f64,
        expected: &str,
        fits: impl Fn(f64) -> bool,
    ) -> Result<f64, PlanError> {
        match typed {
            None => Ok(default),
            Some(x) if x.is_finite() && fits(x) => Ok(x),
            Some(x) => Err(self.out_of_range(key, expected, &x.to_string())),
        }
    }

    pub(super) fn out_of_range(&self, key: &str, expected: &str, got: &str) -> PlanError {
        PlanError::OutOfRange { at: self.tree.place(key), key: key.into(), expected: expected.into(), got: got.into() }
    }

    pub(super) fn exclusive(&self, one: &str, other: &str) -> PlanError {
        PlanError::Exclusive { at: self.tree.place(other), one: one.into(), other: other.into() }
    }

    pub(super) fn missing(&self, key: &str) -> PlanError {
        PlanError::Missing { at: self.tree.place(key), key: key.into() }
    }

    fn neither(&self, key: &str, other: &str) -> PlanError {
        PlanError::Neither { at: self.tree.place(key), key: key.into(), other: other.into() }
    }

    pub(super) fn needs(&self, key: &str, needs: &str) -> PlanError {
        PlanError::Needs { at: self.tree.place(key), key: key.into(), needs: needs.into() }
    }
}

/// Ranges above keep every such number far below what a usize holds on the platforms we build for.
fn as_usize(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// `a/b/../c` → `a/c`, by name alone. Symbolic links are followed by the system when the path is opened, so `..` is only
/// folded when nothing on the way is one; else the path is left as written.
pub(super) fn normal(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.components().collect())
}
