//! The bytes a run needs, known before it starts.

#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct MemoryPlan {
    pub weights: u64,
    pub adapter: u64,
    pub optimiser: u64,
    pub activations: u64,
    pub scratch: u64,
    pub total: u64,
    pub limit: u64,
}
