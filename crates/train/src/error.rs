/// What can end a run, one variant per cause; the command line maps each to an exit code.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    #[error(transparent)]
    Data(#[from] data::DataError),
    #[error(transparent)]
    Model(#[from] model::ModelError),
    #[error("interrupted; state saved at step {step}")]
    Interrupted { step: u64 },
}
