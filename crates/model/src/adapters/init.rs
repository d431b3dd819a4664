//! The start of an adapter, as PEFT makes it. Each value is a function of (seed, tensor name, index), so a start
//! does not depend on the order in which modules are built.

use super::InitWeights;
use super::slot::mix;

/// A [r, in] of a linear layer. B starts at zero, so ΔW does too.
pub(super) fn linear_a(init: InitWeights, seed: u64, name: &str, r: usize, n_in: usize) -> Vec<f32> {
    match init {
        // kaiming_uniform with a = √5: the bound is √(6 / ((1 + 5)·in)) = 1/√in
        // PiSSA's come from the matrix.
        InitWeights::Kaiming | InitWeights::Pissa => {
            let bound = 1.0 / (n_in as f64).sqrt();
            (0..r * n_in).map(|i| ((2.0 * uniform(seed, name, i) - 1.0) * bound) as f32).collect()
        }
        InitWeights::Gaussian => normal(seed, name, r * n_in, 1.0 / r as f64),
    }
}

/// B [H, r] of an embedding: N(0, 1); its A starts at zero.
pub(super) fn embedding_b(seed: u64, name: &str, hidden: usize, r: usize) -> Vec<f32> {
    normal(seed, name, hidden * r, 1.0)
}

/// Box–Muller on pairs of uniforms.
pub(super) fn normal(seed: u64, name: &str, len: usize, std: f64) -> Vec<f32> {
    let one = |i: usize| {
        let (u, v) = (1.0 - uniform(seed, name, 2 * i), uniform(seed, name, 2 * i + 1));
        ((-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos() * std) as f32
    };
    (0..len).map(one).collect()
}

/// Uniform in [0, 1), 53 bits.
fn uniform(seed: u64, name: &str, index: usize) -> f64 {
    let key = mix(seed ^ place(name));
    (mix(key ^ index as u64) >> 11) as f64 / (1u64 << 53) as f64
}

/// A number for a name (FNV-1a), the same in every build.
pub(super) fn place(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(x: &[f32]) -> (f64, f64) {
        let mean = x.iter().map(|&v| f64::from(v)).sum::<f64>() / x.len() as f64;
        let var = x.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / x.len() as f64;
        (mean, var.sqrt())
    }

    #[test]
    fn starts_have_the_reference_distribution() {
        let (r, n_in) = (16, 4096);
        let a = linear_a(InitWeights::Kaiming, 7, "q.lora_A", r, n_in);
        let bound = 1.0 / (n_in as f32).sqrt();
        assert!(a.iter().all(|v| v.abs() <= bound));
        let (mean, std) = moments(&a);
        assert!(mean.abs() < 2e-4 && (std - f64::from(bound) / 3f64.sqrt()).abs() < 1e-4, "{mean} {std}");
        let (mean, std) = moments(&linear_a(InitWeights::Gaussian, 7, "q.lora_A", r, n_in));
        assert!(mean.abs() < 1e-3 && (std - 1.0 / 16.0).abs() < 1e-3, "{mean} {std}");
        let (mean, std) = moments(&embedding_b(7, "e.lora_embedding_B", n_in, r));
        assert!(mean.abs() < 1e-2 && (std - 1.0).abs() < 1e-2, "{mean} {std}");
    }

    #[test]
    fn a_start_depends_on_seed_and_name_alone() {
        let a = |seed, name| linear_a(InitWeights::Kaiming, seed, name, 2, 8);
        assert_eq!(a(1, "x"), a(1, "x"));
        assert_ne!(a(1, "x"), a(2, "x"));
        assert_ne!(a(1, "x"), a(1, "y"));
    }
}
