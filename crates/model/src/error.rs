use std::path::PathBuf;

/// What a model, an adapter or a step can refuse.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error(transparent)]
    Kernel(#[from] kernels::KernelError),
    #[error(transparent)]
    Weights(#[from] weights::WeightsError),

    // --- config.json
    #[error("{}: {source}", path.display())]
    ConfigRead { path: PathBuf, source: std::io::Error },
    #[error("{}: more than {limit} bytes", path.display())]
    ConfigTooLarge { path: PathBuf, limit: u64 },
    #[error("{}:{line}:{column}: {why}", path.display())]
    ConfigParse { path: PathBuf, line: usize, column: usize, why: String },
    #[error("{}: model_type `{name}` is {why}; supported: {supported}", path.display())]
    Architecture { path: PathBuf, name: String, why: &'static str, supported: String },
    #[error("{}: `{field}` is missing", path.display())]
    ConfigMissing { path: PathBuf, field: String },
    #[error("{}: `{field}` must be {expected}, got {got}", path.display())]
    ConfigValue { path: PathBuf, field: String, expected: String, got: String },
    #[error("{}: `{field}` is {got}; supported: {supported}", path.display())]
    ConfigUnsupported { path: PathBuf, field: String, got: String, supported: &'static str },

    // --- limits
    #[error("{field} must be from 1 to {max}, got {got}")]
    Limit { field: &'static str, max: usize, got: usize },
    #[error(
        "sequences of {seq_len_max} tokens: the model was made for at most {position_max} (max_position_embeddings)"
    )]
    SequenceLimit { seq_len_max: usize, position_max: usize },
    #[error("a pass needs {need} bytes of memory, the limit is {limit}; {fits}")]
    DoesNotFit { need: u64, limit: u64, fits: String },
    #[error("the system does not say how much memory is free ({why}); set a memory limit")]
    FreeMemory { why: String },

    // --- batches
    #[error("a batch of {ids} tokens has {targets} targets")]
    TargetCount { ids: usize, targets: usize },
    #[error("a batch of {tokens} tokens: at most {tokens_max} were planned for")]
    TooManyTokens { tokens: usize, tokens_max: usize },
    #[error("token {position}: id {id} is outside the vocabulary of {vocab}")]
    TokenId { position: usize, id: u32, vocab: usize },
    #[error("token {position}: target {target} is outside the vocabulary of {vocab}")]
    TargetId { position: usize, target: i32, vocab: usize },
    #[error("example bounds must rise from 0 to {tokens}: entry {at} is {value}")]
    ExampleBounds { at: usize, value: usize, tokens: usize },
    #[error("example {example} has {tokens} tokens: at most {seq_len_max} were planned for")]
    ExampleTooLong { example: usize, tokens: usize, seq_len_max: usize },
    #[error("nothing below layer {layer} is trained, so the gradient does not reach the embedding")]
    GradientStops { layer: usize },

    // --- generation; prompts are counted from 0
    #[error("{field} must be {expected}, got {got}")]
    Decoding { field: &'static str, expected: String, got: String },
    #[error("prompt {prompt} has no tokens to go on from")]
    EmptyPrompt { prompt: usize },
    #[error("prompt {prompt}, token {position}: id {id} is outside the vocabulary of {vocab}")]
    PromptToken { prompt: usize, position: usize, id: u32, vocab: usize },
    #[error("prompt {prompt} has {tokens} tokens, and there is room for {room}: shorten it, {change}")]
    PromptTooLong { prompt: usize, tokens: usize, room: usize, change: String },
    #[error("prompt {prompt}: the model's logits for token {position} of the answer are no numbers")]
    NoNumber { prompt: usize, position: usize },

    // --- adapters and parameters
    #[error("tensor {tensor}: expected shape {expected:?}, got {got:?}")]
    Shape { tensor: String, expected: Vec<usize>, got: Vec<usize> },
    #[error("tensor {tensor} cannot be quantised: {why}")]
    NotQuantised { tensor: String, why: String },
    #[error("{}: its layers are in 4 bits already", dir.display())]
    QuantisedAlready { dir: PathBuf },
    #[error("tensor {tensor}, in 4 bits: {why}")]
    Damaged { tensor: String, why: String },
    #[error("the thread that reads the layers has ended")]
    ReaderEnded,
    #[error("{module} is in 4 bits in the base, and cannot be trained whole; adapter.modules_to_save names it")]
    WholeInFourBits { module: String },
    #[error("{module} is in 4 bits in the base, which has no exact singular directions to begin with")]
    PrincipalInFourBits { module: String },
    #[error("tensor {tensor} is missing")]
    MissingTensor { tensor: String },
    #[error("tensor {tensor} belongs to nothing in this model")]
    UnknownTensor { tensor: String },
    #[error("{field}: `{pattern}` is no usable regular expression: {why}")]
    Pattern { field: &'static str, pattern: String, why: String },
    #[error("adapter.targets matches none of the model's modules; it was {targets}, and the modules are {modules}")]
    NothingTargeted { targets: String, modules: String },
    #[error("adapter.{field} names `{name}`, which matches none of the model's modules: {modules}")]
    NameMatchesNothing { field: &'static str, name: String, modules: String },
    #[error("{module}: this method adapts the linear layers between embedding and output head alone")]
    LinearOnly { module: String },
    #[error("an example with {targets} targets: a Fisher of the output head is measured on at most {max} at a time")]
    FisherTargets { targets: usize, max: usize },
    #[error("rank {r} for {module}: a rank is from 1 to {max}")]
    Rank { module: String, r: usize, max: usize },
    #[error("adapter {adapter} was trained on another base: its copy of {tensor} differs from this model's")]
    OtherBase { adapter: PathBuf, tensor: String },
    /// By what its folder says, not by its tensors.
    #[error("adapter {adapter} was trained on another base: the weights of {base} are not those it names")]
    TrainedElsewhere { adapter: PathBuf, base: PathBuf },
    #[error("adapter {adapter}: {what} is not supported here")]
    UnsupportedAdapter { adapter: PathBuf, what: String },
    /// `instead`: what to do about it.
    #[error("adapter {adapter} cannot be combined with others: {why}")]
    NotCombined { adapter: PathBuf, why: String, instead: &'static str },
}
