/// What data can be refused for: one variant per cause, with file, line, expected and got.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    #[error("interrupted while preparing data")]
    Interrupted,
}
