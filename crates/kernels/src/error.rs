/// What a backend can refuse.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    #[error("{what}: needs {need} elements, the buffer holds {have}")]
    TooSmall { what: &'static str, need: usize, have: usize },
    #[error("cannot allocate {bytes} bytes for {what}")]
    OutOfMemory { what: &'static str, bytes: usize },
    #[error("{what}: index {index} is outside 0..{limit}")]
    Index { what: &'static str, index: i64, limit: usize },
}
