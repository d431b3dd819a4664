//! Positions and ticks.

use super::Scale;

/// Ascending round numbers from 0 to at least `most`, about `wanted` steps.
pub fn round_steps(most: f64, wanted: usize) -> Vec<f64> {
    if !most.is_finite() || most <= 0.0 {
        return vec![0.0];
    }
    let raw = most / wanted.max(1) as f64;
    let power = 10f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|s| *s >= raw * 0.999).unwrap_or(raw);
    let steps = (most / step).ceil().min(100.0) as usize;
    (0..=steps).map(|i| i as f64 * step).filter(|x| x.is_finite()).collect()
}

/// Where a value stands on a scale, in the scale's own unit. Below 1 a log scale is linear, so that it has a place for 0.
pub fn position(scale: Scale, x: f64) -> f64 {
    match scale {
        Scale::Linear => x,
        Scale::Log if x < 1.0 => x - 1.0,
        Scale::Log => x.log2(),
    }
}

/// Round values within a domain, at most `most` of them.
pub fn ticks(scale: Scale, (low, high): (f64, f64), most: usize) -> Vec<f64> {
    let most = most.max(2);
    match scale {
        Scale::Linear => {
            let steps = round_steps(high - low, most.saturating_sub(1).max(1));
            let step = steps.get(1).copied().unwrap_or(1.0);
            let first = (low / step).ceil();
            (0..most).map(|i| (first + i as f64) * step).filter(|x| *x <= high + step * 1e-9).collect()
        }
        Scale::Log => {
            let mut chosen = decades((low, high), &[1.0]);
            for leading in [&[1.0, 3.0][..], &[1.0, 2.0, 5.0]] {
                let finer = decades((low, high), leading);
                if finer.len() <= most {
                    chosen = finer;
                }
            }
            let every = chosen.len().div_ceil(most).max(1);
            chosen.into_iter().step_by(every).collect()
        }
    }
}

fn decades((low, high): (f64, f64), leading: &[f64]) -> Vec<f64> {
    let mut values = if low <= 0.0 { vec![0.0] } else { Vec::new() };
    // f64 has 309 decades.
    for power in 0..309 {
        let decade = 10f64.powi(power);
        if decade > high {
            break;
        }
        values.extend(leading.iter().map(|m| m * decade).filter(|x| *x >= low && *x <= high));
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(round_steps(2040.0, 3), [0.0, 1000.0, 2000.0, 3000.0]);
        assert_eq!(round_steps(0.0, 3), [0.0]);
        assert_eq!(round_steps(3.0, 3), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(ticks(Scale::Log, (0.0, 30_000.0), 8), [0.0, 1.0, 10.0, 100.0, 1000.0, 10_000.0]);
        assert_eq!(ticks(Scale::Log, (3.0, 40.0), 8), [5.0, 10.0, 20.0]);
        assert_eq!(ticks(Scale::Log, (1.0, 1e300), 6).len(), 6);
        assert_eq!(ticks(Scale::Linear, (0.0, 1.0), 6), [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]);
        assert_eq!([0.0, 1.0, 8.0].map(|x| position(Scale::Log, x)), [-1.0, 0.0, 3.0]);
    }
}
