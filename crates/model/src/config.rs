//! `config.json` → the numbers and choices that a decoder needs, for each family, 4.x and 5.x style.

/// The author extends this; every field the blocks need, resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    pub vocab: usize,
    pub hidden: usize,
    pub layers: usize,
    pub position_max: usize,
}
