/// What a backend can refuse.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    #[error("{what}: needs {need} elements, the buffer holds {have}")]
    TooSmall { what: &'static str, need: usize, have: usize },
    #[error("cannot allocate {bytes} bytes for {what}")]
    OutOfMemory { what: &'static str, bytes: usize },
    #[error("{what}: index {index} is outside 0..{limit}")]
    Index { what: &'static str, index: i64, limit: usize },
    #[error("{what}: {got} values, expected {expected}")]
    Length { what: &'static str, expected: usize, got: usize },
    #[error("{what}: value {at} is not finite")]
    NotFinite { what: &'static str, at: usize },
    #[error("{what}: {got} values; a block has a power of two of them, at least 2")]
    Block { what: &'static str, got: usize },
    #[error("a weight that is held packed cannot be filled again")]
    HeldPacked,
    #[error("{what}: rows of {cols} overlap when they start {ld} apart")]
    Overlap { what: &'static str, cols: usize, ld: usize },
    #[error("sequence bounds must not fall: entry {at} is {value} after {before}")]
    Bounds { at: usize, value: usize, before: usize },
    #[error("a context has at least one token and begins with a block of the cache: {start}..{end}")]
    Context { start: usize, end: usize },
    #[error("{q_heads} query heads cannot share {kv_heads} key heads")]
    Heads { q_heads: usize, kv_heads: usize },
    #[error("rope turns {turned} dimensions of heads that have {dim}")]
    Rotary { turned: usize, dim: usize },
    #[error("dropout of {p}: must be at least 0 and below 1")]
    Dropout { p: f32 },
    #[error("cannot start {threads} threads: {reason}")]
    Threads { threads: usize, reason: String },
}
