//! Elastic weight consolidation (Kirkpatrick et al. 2017): what weights matter to, measured as a diagonal Fisher, and the
//! penalty (λ/2) Σ F (θ − θ*)² that holds them where they were.
//!
//! Two things can be held. An **adapter** that has learnt one task holds its own tensors while it learns the next. That
//! protects nothing of the **base**: at LoRA's start B is zero, so ∂L/∂A and the Fisher of A are, too. For the base, the
//! Fisher is that of W itself over general data, and the penalty acts on the effective change ΔW of each method without
//! ever forming it. F of a matrix is held as rows × columns, F_ij ≈ R_i C_j / Σ R, where R and C are the exact sums of its
//! rows and columns: the closest such product in I-divergence (Shazeer & Stern 2018 hold second moments so).
//!
//! F is the mean over samples of the squared gradient of a sample's mean loss per supervised token; squaring a mean over
//! samples would underestimate it.

mod decomposed;
mod penalty;
mod sums;

pub use penalty::Anchors;
pub use sums::Sums;

use serde::{Deserialize, Serialize};

/// What a Fisher is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FisherOf {
    /// The tensors that are trained, held where they are now.
    Adapter,
    /// The base's weights that the adapter changes, held where the base has them.
    Base,
}

/// How much weights matter, by name: those of trained tensors as their files have them, or those of the base's tensors.
#[derive(Clone, Debug, PartialEq)]
pub struct Fisher {
    pub of: FisherOf,
    /// Examples that it is the mean over.
    pub samples: u64,
    pub parts: Vec<FisherPart>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct FisherPart {
    pub name: String,
    pub importance: Importance,
    /// What the weights are held at; None: the base's own values.
    pub anchor: Option<Vec<f32>>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Importance {
    /// Of each element, in the order of files.
    Elements { shape: Vec<usize>, values: Vec<f32> },
    /// F_ij = rows[i] · columns[j] / Σ rows
    Outer { rows: Vec<f32>, columns: Vec<f32> },
}

impl Importance {
    /// Factors of F = u vᵀ.
    fn factors(&self) -> (Vec<f32>, Vec<f32>) {
        match self {
            Importance::Elements { values, .. } => (vec![1.0], values.clone()),
            Importance::Outer { rows, columns } => {
                let all: f64 = rows.iter().map(|v| f64::from(*v)).sum();
                let over = if all > 0.0 { 1.0 / all } else { 0.0 };
                (rows.clone(), columns.iter().map(|v| (f64::from(*v) * over) as f32).collect())
            }
        }
    }
}
