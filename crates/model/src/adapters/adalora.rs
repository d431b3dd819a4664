//! AdaLoRA (Zhang et al. 2023): ΔW = s·B (E∘A), with a value of E for each row of A and column of B; as training goes on, the
//! ranks that matter least are masked, so that the rest fit a falling budget.

use super::AdaPlan;
use super::params::{ParamId, Params};
use super::slot::product;
use super::state::Adapted;
use crate::ModelError;
use kernels::{Backend, Gemm, Op, Write, mat, mat_mut};
use serde::{Deserialize, Serialize};

/// What PEFT adds to the rank before it divides by it.
pub(super) const RANK_EPS: f64 = 1e-5;
/// The deviation of A's and B's start; E's is 0.
pub(super) const START: f64 = 0.02;

/// A number of steps, or a share of all.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Span {
    Steps(u64),
    Share(f64),
}

impl Span {
    fn of(self, steps: u64) -> u64 {
        match self {
            Span::Steps(n) => n,
            Span::Share(share) => (share * steps as f64).round() as u64,
        }
    }
}

/// When ranks are masked, in steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdaSchedule {
    pub steps: u64,
    /// The first steps, in which every rank stays.
    pub warmup: u64,
    /// The last ones, in which the choice is final.
    pub last: u64,
    pub every: u64,
}

/// Of the stretch between, so often ranks are masked where the plan leaves it open.
const MASKS: u64 = 50;

impl AdaPlan {
    /// The schedule of a run of `steps`; None where they are too few for the plan's first and last ones.
    pub fn schedule(&self, steps: u64) -> Option<AdaSchedule> {
        let (warmup, last) = (self.warmup.of(steps), self.last.of(steps));
        let between = steps.checked_sub(warmup.checked_add(last)?)?;
        let every = self.every.unwrap_or((between / MASKS).max(1));
        (between > every && every > 0).then_some(AdaSchedule { steps, warmup, last, every })
    }
}

/// What is to be done after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allotment {
    /// Importance is still being measured; where there is a budget, ranks beyond it are masked.
    Measure { budget: Option<usize> },
    /// The last choice, which stays.
    Settle { budget: usize },
    /// The choice has been made; what it masks is masked again.
    Keep,
}

impl AdaSchedule {
    /// After `step`, from 1; `first` and `target`: ranks of all modules together at the start and at the end.
    pub fn after(&self, step: u64, first: usize, target: usize) -> Allotment {
        let end = self.steps - self.last;
        let budget = self.budget(step, first, target);
        match step {
            _ if step > end => Allotment::Keep,
            _ if step == end => Allotment::Settle { budget },
            _ if step > self.warmup && step.is_multiple_of(self.every) => Allotment::Measure { budget: Some(budget) },
            _ => Allotment::Measure { budget: None },
        }
    }

    /// Falls with the cube of what is left of the stretch.
    pub fn budget(&self, step: u64, first: usize, target: usize) -> usize {
        let end = self.steps - self.last;
        if step <= self.warmup {
            return first;
        }
        if step > end {
            return target;
        }
        let left = 1.0 - (step - self.warmup) as f64 / (end - self.warmup) as f64;
        ((first as f64 - target as f64) * left.powi(3) + target as f64) as usize
    }
}

/// Adds `weight` times the gradient of the mean of ‖A Aᵀ − I‖ and ‖Bᵀ B − I‖ over all modules; returns that mean.
pub(super) fn regularise<B: Backend>(
    backend: &B,
    params: &mut Params<B>,
    adapted: &[Adapted<B>],
    weight: f64,
) -> Result<f64, ModelError> {
    let sides: Vec<(ParamId, Op)> =
        adapted.iter().filter(|a| a.e.is_some()).flat_map(|a| [(a.a, Op::N), (a.b, Op::T)]).collect();
    let mut sum = 0.0;
    for (id, side) in &sides {
        let p = params.get_mut(*id);
        let (rows, cols) = (p.info.shape[0], p.info.shape[1]);
        // M [r, r] = A Aᵀ − I or Bᵀ B − I
        let (r, long) = if *side == Op::N { (rows, cols) } else { (cols, rows) };
        let other = if *side == Op::N { Op::T } else { Op::N };
        let (mut gram, mut m) = (backend.alloc(r * r)?, vec![0.0; r * r]);
        let x = mat(&p.value, 0, cols);
        backend.gemm(product(r, r, long, *side, other), x, x, mat_mut(&mut gram, 0, r))?;
        backend.download(&gram, 0, &mut m)?;
        (0..r).for_each(|i| m[i * r + i] -= 1.0);
        let norm = m.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        sum += norm;
        if norm == 0.0 {
            continue;
        }
        let factor = (weight / sides.len() as f64 * 2.0 / norm) as f32;
        m.iter_mut().for_each(|v| *v *= factor);
        backend.upload(&mut gram, 0, &m)?;
        let (grad, gram) = (mat_mut(&mut p.grad, 0, cols), mat(&gram, 0, r));
        let g = Gemm { write: Write::Add, ..product(rows, cols, r, Op::N, Op::N) };
        match side {
            Op::N => backend.gemm(g, gram, x, grad)?,
            Op::T => backend.gemm(g, x, gram, grad)?,
        }
    }
    Ok(sum / sides.len().max(1) as f64)
}

/// How much each rank of each module matters: that of its E, and the means of its row of A and its column of B.
pub(super) fn scores<B: Backend>(
    backend: &B,
    params: &Params<B>,
    adapted: &[Adapted<B>],
) -> Result<Vec<Vec<f32>>, ModelError> {
    let entries = |id: ParamId| -> Result<Vec<f32>, ModelError> {
        let p = params.get(id);
        let Some([importance, uncertainty]) = &p.scores else { return Ok(vec![0.0; p.len]) };
        let (mut i, mut u) = (vec![0.0; p.len], vec![0.0; p.len]);
        backend.download(importance, 0, &mut i)?;
        backend.download(uncertainty, 0, &mut u)?;
        i.iter_mut().zip(u).for_each(|(i, u)| *i *= u);
        Ok(i)
    };
    let mean = |sum: f64, n: usize| (sum / n.max(1) as f64) as f32;
    let mut out = Vec::new();
    for a in adapted {
        let Some(e) = a.e else { continue };
        let (e, rows, columns) = (entries(e)?, entries(a.a)?, entries(a.b)?);
        let (n_in, n_out) = (rows.len() / a.r, columns.len() / a.r);
        let row = |i: usize| mean(rows[i * n_in..(i + 1) * n_in].iter().map(|v| f64::from(*v)).sum(), n_in);
        let column = |i: usize| mean(columns[i..].iter().step_by(a.r).map(|v| f64::from(*v)).sum(), n_out);
        out.push((0..a.r).map(|i| e[i] + row(i) + column(i)).collect());
    }
    Ok(out)
}

/// Which ranks stay so that about `budget` do: those above the score of the last one that goes.
pub(super) fn choose(scores: &[Vec<f32>], budget: usize) -> Vec<Vec<bool>> {
    let mut all: Vec<f32> = scores.iter().flatten().copied().collect();
    all.sort_by(f32::total_cmp);
    let gone = all.len().saturating_sub(budget);
    let threshold = gone.checked_sub(1).map(|k| all[k]);
    scores.iter().map(|s| s.iter().map(|v| threshold.is_none_or(|t| *v > t)).collect()).collect()
}

/// Sets the values of E to 0 whose ranks are not kept.
pub(super) fn mask<B: Backend>(
    backend: &B,
    params: &mut Params<B>,
    adapted: &[Adapted<B>],
    kept: &[Vec<bool>],
) -> Result<(), ModelError> {
    for (e, kept) in adapted.iter().filter_map(|a| a.e).zip(kept) {
        let mut values = params.get(e).values(backend)?;
        for (value, _) in values.iter_mut().zip(kept).filter(|(_, kept)| !**kept) {
            *value = 0.0;
        }
        params.set_value(backend, e, &values)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_needs_steps_between_its_ends() {
        let plan = AdaPlan {
            target_r: 3,
            warmup: Span::Share(0.1),
            last: Span::Share(0.3),
            every: None,
            beta1: 0.85,
            beta2: 0.85,
            orthogonality: 0.5,
        };
        let schedule = plan.schedule(1000).expect("enough");
        assert_eq!(schedule, AdaSchedule { steps: 1000, warmup: 100, last: 300, every: 12 });
        for few in [0, 1, 2] {
            assert_eq!(plan.schedule(few), None);
        }
        for steps in 4..300 {
            let s = plan.schedule(steps).unwrap_or_else(|| panic!("{steps} steps"));
            let all: Vec<Allotment> = (1..=steps).map(|step| s.after(step, 84, 42)).collect();
            assert_eq!(all.iter().filter(|a| matches!(a, Allotment::Settle { .. })).count(), 1, "{steps}");
            assert!(all.contains(&Allotment::Settle { budget: 42 }));
        }
        assert_eq!(AdaPlan { warmup: Span::Steps(900), ..plan }.schedule(1000), None);
        assert_eq!(AdaPlan { every: Some(700), ..plan }.schedule(1000), None);
    }

    #[test]
    fn ranks_at_the_threshold_go() {
        let scores = vec![vec![3.0, 1.0, 2.0], vec![2.0, 5.0, 0.5]];
        assert_eq!(choose(&scores, 6), [[true; 3], [true; 3]]);
        assert_eq!(choose(&scores, 4), [[true, false, true], [true, true, false]]);
        // Two share the score of the third that goes.
        assert_eq!(choose(&scores, 3), [[true, false, false], [false, true, false]]);
        assert_eq!(choose(&scores, 0), [[false; 3], [false; 3]]);
    }
}
