//! Why a file was refused: one variant per cause.

use safetensors::Dtype;
use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    #[error("{}: cannot {op}: {source}", path.display())]
    Io { op: &'static str, path: PathBuf, source: io::Error },
    #[error("{}: not a regular file", path.display())]
    NotAFile { path: PathBuf },
    #[error("{}: not a directory", path.display())]
    NotADirectory { path: PathBuf },
    /// The caller said so.
    #[error("interrupted")]
    Interrupted,
    /// A small file (JSON) that is larger than any real one.
    #[error("{}: {got} bytes; such a file has at most {limit}", path.display())]
    FileTooLarge { path: PathBuf, limit: u64, got: u64 },

    // --- which files a directory holds
    #[error("{}: no weights here; expected {expected}", dir.display())]
    NoWeights { dir: PathBuf, expected: &'static str },
    #[error(
        "{}: a pickle file, which can run any code when it is opened, so it is not; convert it to safetensors \
         (load it with transformers or PEFT where it is trusted, and call save_pretrained)",
        path.display()
    )]
    Pickle { path: PathBuf },
    #[error("{}: a Git LFS pointer, not the weights themselves; fetch them with `git lfs pull`", path.display())]
    LfsPointer { path: PathBuf },

    // --- shards
    #[error("{}: not a safetensors index: {why}", path.display())]
    Index { path: PathBuf, why: String },
    #[error("{}: the index names no tensor", path.display())]
    IndexEmpty { path: PathBuf },
    #[error("{}: {got} shards; a checkpoint has at most {limit}", path.display())]
    IndexShards { path: PathBuf, limit: usize, got: usize },
    #[error("{}: shard {shard:?} is not a plain file name ending in .safetensors", path.display())]
    IndexName { path: PathBuf, shard: String },
    #[error("{}: shard {} is missing", index.display(), shard.display())]
    ShardMissing { index: PathBuf, shard: PathBuf },
    #[error("{}: tensor {tensor} is not in {}, where the index says it is", index.display(), shard.display())]
    NotInShard { index: PathBuf, tensor: String, shard: PathBuf },
    #[error("tensor {tensor} is in {} and in {}", first.display(), second.display())]
    InTwoShards { tensor: String, first: PathBuf, second: PathBuf },

    // --- a safetensors header
    #[error("{}: {got} bytes are too short for a safetensors file", path.display())]
    TooShort { path: PathBuf, got: u64 },
    #[error("{}: a header of {got} bytes; the format allows {limit}", path.display())]
    HeaderLength { path: PathBuf, limit: u64, got: u64 },
    #[error("{}: truncated inside its header: that ends at byte {expected}, the file at {got}", path.display())]
    HeaderTruncated { path: PathBuf, expected: u64, got: u64 },
    #[error("{}: the header is not UTF-8 from its byte {at} on", path.display())]
    HeaderUtf8 { path: PathBuf, at: usize },
    #[error("{}: the header is not what the format asks for: {why}", path.display())]
    HeaderJson { path: PathBuf, why: String },
    #[error("{}: tensor {tensor} is listed twice", path.display())]
    ListedTwice { path: PathBuf, tensor: String },
    #[error("{}: tensor {tensor} has the unknown type {got:?}", path.display())]
    UnknownDtype { path: PathBuf, tensor: String, got: String },
    #[error("{}: tensor {tensor} has {got} dimensions; at most {limit} are read", path.display())]
    Rank { path: PathBuf, tensor: String, limit: usize, got: usize },
    #[error("{}: tensor {tensor}: {dtype} × {shape:?} is more than any memory holds", path.display())]
    ShapeOverflow { path: PathBuf, tensor: String, dtype: Dtype, shape: Vec<usize> },
    #[error("{}: tensor {tensor}: {dtype} × {shape:?} does not end on a whole byte", path.display())]
    PartialByte { path: PathBuf, tensor: String, dtype: Dtype, shape: Vec<usize> },
    /// The tensors of a file lie one after another: no hole, no overlap.
    #[error("{}: tensor {tensor} starts at {got}, the one before it ends at {expected}", path.display())]
    Offset { path: PathBuf, tensor: String, expected: u64, got: u64 },
    #[error(
        "{}: tensor {tensor} lies at {begin}..{end}, but {dtype} × {shape:?} takes {expected} bytes",
        path.display()
    )]
    TensorBytes { path: PathBuf, tensor: String, dtype: Dtype, shape: Vec<usize>, expected: u64, begin: u64, end: u64 },
    #[error("{}: its header describes a file of {expected} bytes, it has {got}: truncated or damaged", path.display())]
    FileBytes { path: PathBuf, expected: u64, got: u64 },

    // --- tensors
    #[error("tensor {tensor} is missing from {}", path.display())]
    Missing { path: PathBuf, tensor: String },
    #[error("{}: tensor {tensor} is {got}, not a floating-point type this program computes with", path.display())]
    NotFloat { path: PathBuf, tensor: String, got: Dtype },
    /// A tensor that bitsandbytes saved in 4 bits, or one that belongs to it.
    #[error("{}: tensor {tensor}, in 4 bits: {field} is {got}, expected {expected}", path.display())]
    FourBit { path: PathBuf, tensor: String, field: &'static str, expected: String, got: String },

    #[error("{}: tensor {tensor} has {expected} bytes, {got} were to be read", path.display())]
    ReadLength { path: PathBuf, tensor: String, expected: usize, got: usize },

    // --- writing
    #[error("tensor {tensor} cannot be written: its name is taken")]
    NameTaken { tensor: String },
    #[error("tensor {tensor} cannot be written: its shape is {shape:?}, but it has {got} values")]
    ValueCount { tensor: String, shape: Vec<usize>, got: usize },

    // --- JSON files beside the weights
    #[error("{}: {why}", path.display())]
    Json { path: PathBuf, why: String },
    #[error("{}: peft_type {got} is not supported; LORA is", path.display())]
    PeftType { path: PathBuf, got: String },
    #[error("{}: {field} is {got}, expected {expected}", path.display())]
    AdapterField { path: PathBuf, field: String, expected: String, got: String },
}

impl WeightsError {
    pub(crate) fn io(op: &'static str, path: &std::path::Path, source: io::Error) -> Self {
        WeightsError::Io { op, path: path.to_owned(), source }
    }
}
