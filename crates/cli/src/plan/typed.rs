//! The plan as typed: one struct a section, every key optional that has a default. Nothing here knows a default or a
//! range; `resolve` does.

use data::{Choose, Format, LossOn, OverLength, Packing};
use model::{BiasTraining, InitWeights};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;
use train::{Optimizer, PageLanguage, Schedule};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "keys and values")]
pub struct PlanFile {
    pub model: PathBuf,
    pub quantize: Option<QuantizeFile>,
    pub double_quant: Option<bool>,
    pub quantize_cache: Option<CacheFile>,
    pub data: DataFile,
    pub replay: Option<ReplayFile>,
    #[serde(default)]
    pub adapter: AdapterFile,
    pub ewc: Option<OneOrMany<EwcFile>>,
    #[serde(default)]
    pub train: TrainFile,
    pub eval: Option<EvalFile>,
    pub out: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "keys and values, such as {task: task.yaml, general: general.yaml}")]
pub struct EvalFile {
    pub task: Option<Paths>,
    pub general: Option<Paths>,
    pub require: Option<Vec<String>>,
    pub limit: Option<u64>,
    pub language: Option<PageLanguage>,
}

/// A file, or a list of them.
#[derive(Debug)]
pub struct Paths(pub Vec<PathBuf>);

impl<'de> Deserialize<'de> for Paths {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Paths;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a suite such as suite.yaml, or a list of them")
            }
            fn visit_str<E: de::Error>(self, s: &str) -> Result<Paths, E> {
                Ok(Paths(vec![s.into()]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Paths, A::Error> {
                let mut paths = Vec::new();
                while let Some(path) = seq.next_element()? {
                    paths.push(path);
                }
                Ok(Paths(paths))
            }
        }
        d.deserialize_any(V)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "keys and values")]
pub struct DataFile {
    pub train: OneOrMany<SourceFile>,
    pub valid: Option<OneOrMany<ValidFile>>,
    pub unseen: Option<OneOrMany<UnseenFile>>,
    pub template: Option<TemplateFile>,
    pub loss_on: Option<LossOn>,
    pub over_length: Option<OverLength>,
    pub packing: Option<Packing>,
    pub quarantine: Option<bool>,
    pub record_max: Option<Size>,
    pub mix: Option<MixFile>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "keys and values, such as {by: weights}")]
pub struct MixFile {
    pub by: Option<MixBy>,
    pub temperature: Option<f64>,
    pub uses: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MixBy {
    Size,
    Weights,
    Temperature,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "keys and values, such as {path: general.jsonl, share: 0.08}")]
pub struct ReplayFile {
    pub path: Option<PathBuf>,
    pub format: Option<Format>,
    #[serde(default)]
    pub columns: BTreeMap<String, String>,
    pub dataset_info: Option<PathBuf>,
    pub name: Option<String>,
    pub run: Option<PathBuf>,
    #[serde(rename = "self")]
    pub written: Option<u64>,
    pub tokens: Option<u64>,
    pub share: Option<f64>,
    pub choose: Option<Choose>,
    pub buffer: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "keys and values, such as {path: train.jsonl}")]
pub struct SourceFile {
    pub path: Option<PathBuf>,
    pub format: Option<Format>,
    #[serde(default)]
    pub columns: BTreeMap<String, String>,
    pub dataset_info: Option<PathBuf>,
    pub name: Option<String>,
    pub task: Option<String>,
    pub weight: Option<f64>,
    pub cap: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "keys and values, such as {path: valid.jsonl} or {share: 0.05}")]
pub struct ValidFile {
    pub share: Option<f64>,
    pub path: Option<PathBuf>,
    pub format: Option<Format>,
    #[serde(default)]
    pub columns: BTreeMap<String, String>,
    pub dataset_info: Option<PathBuf>,
    pub name: Option<String>,
    pub task: Option<String>,
}

impl ValidFile {
    pub fn source(self) -> SourceFile {
        let ValidFile { share: _, path, format, columns, dataset_info, name, task } = self;
        SourceFile { path, format, columns, dataset_info, name, task, weight: None, cap: None }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "keys and values, such as {path: unseen.jsonl}")]
pub struct UnseenFile {
    pub path: Option<PathBuf>,
    pub format: Option<Format>,
    #[serde(default)]
    pub columns: BTreeMap<String, String>,
    pub dataset_info: Option<PathBuf>,
    pub name: Option<String>,
}

impl UnseenFile {
    pub fn source(self) -> SourceFile {
        let UnseenFile { path, format, columns, dataset_info, name } = self;
        SourceFile { path, format, columns, dataset_info, name, task: None, weight: None, cap: None }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "keys and values, such as {general: {path: general.jsonl}, lambda: 1000}")]
pub struct EwcFile {
    pub general: Option<OneOrMany<SourceFile>>,
    pub run: Option<PathBuf>,
    pub fisher: Option<PathBuf>,
    pub lambda: Option<f64>,
    pub rise: Option<f64>,
    pub probe_steps: Option<u64>,
    pub examples: Option<u64>,
    pub decay: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "keys and values")]
pub struct AdapterFile {
    pub method: Option<String>,
    pub r: Option<u64>,
    pub alpha: Option<AlphaFile>,
    pub dropout: Option<f64>,
    pub targets: Option<TargetsFile>,
    pub exclude: Option<Vec<String>>,
    pub layers: Option<Vec<u64>>,
    pub rank_pattern: Option<Ordered<u64>>,
    pub alpha_pattern: Option<Ordered<f64>>,
    pub rslora: Option<bool>,
    pub bias: Option<BiasTraining>,
    pub modules_to_save: Option<Vec<String>>,
    pub ensure_weight_tying: Option<bool>,
    pub init: Option<InitWeights>,
    pub lr_ratio: Option<f64>,
    pub start_from: Option<PathBuf>,
    pub other_base: Option<bool>,
    pub base_name: Option<String>,
    pub ranks: Option<RanksFile>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "keys and values")]
pub struct RanksFile {
    pub target: Option<u64>,
    pub warmup: Option<f64>,
    pub last: Option<f64>,
    pub every: Option<u64>,
    pub betas: Option<Vec<f64>>,
    pub orthogonality: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "keys and values")]
pub struct TrainFile {
    pub steps: Option<u64>,
    pub epochs: Option<f64>,
    pub batch: Option<u64>,
    pub micro_tokens: Option<u64>,
    pub seq_len_max: Option<u64>,
    pub optimizer: Option<Optimizer>,
    pub lr: Option<f64>,
    pub schedule: Option<Schedule>,
    pub warmup: Option<f64>,
    pub weight_decay: Option<f64>,
    pub betas: Option<Vec<f64>>,
    pub eps: Option<f64>,
    pub clip: Option<ClipFile>,
    pub eval_every: Option<u64>,
    pub early_stop: Option<EarlyStopFile>,
    pub on_overfit: Option<OnOverfitFile>,
    pub shrinks: Option<u64>,
    pub checkpoint_every: Option<u64>,
    pub checkpoints_keep: Option<u64>,
    pub seed: Option<u64>,
    pub precision: Option<PrecisionFile>,
    pub memory: Option<Size>,
    pub threads: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnOverfitFile {
    Stop,
    ShrinkRank,
    RaiseDropout,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PrecisionFile {
    F32,
    Bf16,
    Auto,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QuantizeFile {
    None,
    Nf4,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "keys and values, such as {patience: 3}")]
pub struct EarlyStopFile {
    pub patience: u64,
    pub min_delta: Option<f64>,
}

/// One thing, or a list of them.
#[derive(Debug)]
pub struct OneOrMany<T>(pub Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for V<T> {
            type Value = OneOrMany<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list such as [{path: train.jsonl}]")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(de::value::MapAccessDeserializer::new(map)).map(|one| OneOrMany(vec![one]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(OneOrMany(items))
            }
        }
        d.deserialize_any(V(PhantomData))
    }
}

/// Keys and values in the order they were written (the first pattern that matches counts).
#[derive(Debug)]
pub struct Ordered<T>(pub Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Ordered<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for V<T> {
            type Value = Ordered<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("regexes with their values, such as {q_proj: 16}")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Ordered(pairs))
            }
        }
        d.deserialize_map(V(PhantomData))
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileOf {
    file: PathBuf,
}

#[derive(Debug)]
pub enum TemplateFile {
    Auto,
    Plain(String),
    File(PathBuf),
}

impl<'de> Deserialize<'de> for TemplateFile {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = TemplateFile;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("auto, a text with roles such as \"{prompt} => {completion}\", or {file: chat.jinja}")
            }
            fn visit_str<E: de::Error>(self, s: &str) -> Result<TemplateFile, E> {
                match s {
                    "auto" => Ok(TemplateFile::Auto),
                    s if s.contains('{') && s.contains('}') => Ok(TemplateFile::Plain(s.to_owned())),
                    _ => Err(de::Error::invalid_value(de::Unexpected::Str(s), &self)),
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<TemplateFile, A::Error> {
                let of = FileOf::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(TemplateFile::File(of.file))
            }
        }
        d.deserialize_any(V)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RegexOf {
    regex: String,
}

#[derive(Debug)]
pub struct TargetsFile(pub model::Targets);

impl<'de> Deserialize<'de> for TargetsFile {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = TargetsFile;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("all-linear, a list of names such as [q_proj, v_proj], or {regex: \"…\"}")
            }
            fn visit_str<E: de::Error>(self, s: &str) -> Result<TargetsFile, E> {
                match s {
                    "all-linear" => Ok(TargetsFile(model::Targets::AllLinear)),
                    // PEFT reads a lone string as a regex and a list as names; here the two cannot be mixed up.
                    _ => Err(de::Error::invalid_value(de::Unexpected::Str(s), &self)),
                }
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<TargetsFile, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = seq.next_element()? {
                    names.push(name);
                }
                Ok(TargetsFile(model::Targets::Names(names)))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<TargetsFile, A::Error> {
                let of = RegexOf::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(TargetsFile(model::Targets::Regex(of.regex)))
            }
        }
        d.deserialize_any(V)
    }
}

#[derive(Debug)]
pub enum CacheFile {
    Off,
    In(PathBuf),
}

impl<'de> Deserialize<'de> for CacheFile {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl Visitor<'_> for V {
            type Value = CacheFile;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a folder, or off")
            }
            fn visit_str<E: de::Error>(self, s: &str) -> Result<CacheFile, E> {
                match s {
                    "off" => Ok(CacheFile::Off),
                    "" => Err(de::Error::invalid_value(de::Unexpected::Str(s), &self)),
                    dir => Ok(CacheFile::In(dir.into())),
                }
            }
        }
        d.deserialize_any(V)
    }
}

#[derive(Clone, Copy, Debug)]
pub enum AlphaFile {
    Auto,
    At(f64),
}

impl<'de> Deserialize<'de> for AlphaFile {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        word_or_number(d, "a number above 0, or auto", "auto").map(|x| x.map_or(AlphaFile::Auto, AlphaFile::At))
    }
}

#[derive(Clone, Copy, Debug)]
pub enum ClipFile {
    None,
    At(f64),
}

impl<'de> Deserialize<'de> for ClipFile {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        word_or_number(d, "a number above 0, or none", "none").map(|x| x.map_or(ClipFile::None, ClipFile::At))
    }
}

/// A number, or None for `word`.
fn word_or_number<'de, D: Deserializer<'de>>(
    d: D,
    expected: &'static str,
    word: &'static str,
) -> Result<Option<f64>, D::Error> {
    struct V {
        expected: &'static str,
        word: &'static str,
    }
    impl Visitor<'_> for V {
        type Value = Option<f64>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.expected)
        }
        fn visit_f64<E: de::Error>(self, x: f64) -> Result<Option<f64>, E> {
            Ok(Some(x))
        }
        fn visit_i64<E: de::Error>(self, i: i64) -> Result<Option<f64>, E> {
            Ok(Some(i as f64))
        }
        fn visit_str<E: de::Error>(self, s: &str) -> Result<Option<f64>, E> {
            match s == self.word {
                true => Ok(None),
                false => Err(de::Error::invalid_value(de::Unexpected::Str(s), &self)),
            }
        }
    }
    d.deserialize_any(V { expected, word })
}

/// Bytes: `8GiB`, `512MiB`, `8GB`, or a whole number.
#[derive(Clone, Copy, Debug)]
pub struct Size(pub u64);

const SIZE_UNITS: &[(&str, u64)] = &[
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
];

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl Visitor<'_> for V {
            type Value = Size;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as 8GiB or 512MiB")
            }
            fn visit_i64<E: de::Error>(self, i: i64) -> Result<Size, E> {
                u64::try_from(i).map(Size).map_err(|_| de::Error::invalid_value(de::Unexpected::Signed(i), &self))
            }
            fn visit_str<E: de::Error>(self, s: &str) -> Result<Size, E> {
                parse_size(s).map(Size).ok_or_else(|| de::Error::invalid_value(de::Unexpected::Str(s), &self))
            }
        }
        d.deserialize_any(V)
    }
}

fn parse_size(text: &str) -> Option<u64> {
    let (unit, factor) = SIZE_UNITS.iter().find(|(unit, _)| text.ends_with(unit))?;
    let number: f64 = text[..text.len() - unit.len()].trim().parse().ok()?;
    let bytes = number * *factor as f64;
    (number.is_finite() && bytes >= 0.0 && bytes < u64::MAX as f64).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::parse_size;

    #[test]
    fn sizes() {
        for (text, want) in [
            ("8GiB", Some(8 << 30)),
            ("1.5 MiB", Some(3 << 19)),
            ("2GB", Some(2_000_000_000)),
            ("12B", Some(12)),
            ("8", None),
            ("-1GiB", None),
            ("GiB", None),
            ("infGiB", None),
        ] {
            assert_eq!(parse_size(text), want, "{text}");
        }
    }
}
