/// What a model, an adapter or a step can refuse.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error(transparent)]
    Kernel(#[from] kernels::KernelError),
}
