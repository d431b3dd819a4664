//! Weight files: safetensors checkpoints (single or sharded, mapped) and PEFT adapters. Trusts no byte of a file
//! and computes nothing but type conversions.

// ---- CONTRACT (bodies to come; may live in modules, keep the paths) -----------------------------
// pub enum Dtype { F32, F16, BF16, F64, I64, I32, I8, U8, Bool, … }
// pub struct View<'a> { pub name: &str, pub dtype, pub shape: &[usize], pub bytes: &'a [u8] }   View::to_f32() -> Result<Vec<f32>, WeightsError>; View::floats() -> Floats<'a> {F32(&[f32]), F16(&[f16]), Bf16(&[bf16])} zero-copy when aligned
// pub struct Checkpoint;  Checkpoint::open(dir) (model.safetensors or the index's shards; every shard checked), Checkpoint::open_file(path)
//     names() sorted, get(name) -> Result<View, WeightsError::Missing>, contains(name), metadata(), bytes_total(), files()
// pub fn write_safetensors(out: &mut dyn io::Write, tensors: &[(String, Vec<usize>, &[f32])], metadata: &BTreeMap<String,String>) -> io::Result<()>   deterministic bytes, as the safetensors crate orders them
// pub mod peft { pub struct AdapterConfig (every field of the reference's adapter_config.json, defaults, unknown ones kept), read(dir), to_json() = indent 2, sorted keys;
//                pub fn open(dir) -> Result<(AdapterConfig, Checkpoint), WeightsError> }   // pickle (.bin, .pt) is never opened: refused by name
// pub fn sha256_checkpoint(dir) -> hash of the weights and config, for the identity of the base (streamed)
