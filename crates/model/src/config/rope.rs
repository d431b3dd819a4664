//! Rotary frequencies (Su et al. 2021) as `transformers` computes them, for the scalings `default`, `linear`, `llama3`.

use super::fields::Fields;
use super::{Family, HEAD_DIM_MAX, POSITION_MAX};
use crate::ModelError;
use serde_json::Value;

const TYPES: &str = "default, linear, llama3";

/// The frequencies of one kind of layer: pair j of a head turns by position · inv_freq[j].
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// [half]: half the turned dimensions of a head.
    pub inv_freq: Vec<f32>,
}

/// The ropes of full and of sliding layers, from `rope_parameters` (5.x) or from `rope_theta` and its kin (4.x).
pub(super) fn resolve(family: Family, f: Fields, head_dim: usize) -> Result<[Rope; 2], ModelError> {
    let parameters = f.object("rope_parameters")?;
    let by_layer = parameters.is_some_and(|p| p.contains_key("full_attention") || p.contains_key("sliding_attention"));
    let theta = number_or(f, "rope_theta", family.theta())?;
    let share = number_or(f, "partial_rotary_factor", 1.0)?;
    if let (Some(map), true) = (parameters, by_layer) {
        let outer = Fields { at: "rope_parameters.", map, ..f };
        let one = |key, at, theta| {
            let Some(map) = outer.object(key)? else {
                return Err(ModelError::ConfigMissing { path: f.path.into(), field: format!("rope_parameters.{key}") });
            };
            scaled(Fields { at, map, ..f }, theta, share, head_dim)
        };
        return Ok([
            one("full_attention", "rope_parameters.full_attention.", theta)?,
            one("sliding_attention", "rope_parameters.sliding_attention.", family.theta_local())?,
        ]);
    }
    let full = match (parameters, f.object("rope_scaling")?) {
        (Some(map), _) => scaled(Fields { at: "rope_parameters.", map, ..f }, theta, share, head_dim)?,
        (None, Some(map)) => scaled(Fields { at: "rope_scaling.", map, ..f }, theta, share, head_dim)?,
        (None, None) => Rope { inv_freq: plain(f, theta, share, head_dim)? },
    };
    // Gemma 3's local layers have a base of their own and no scaling; elsewhere all layers are alike.
    let sliding = match family {
        Family::Gemma3 => {
            let theta = number_or(f, "rope_local_base_freq", family.theta_local())?;
            Rope { inv_freq: plain(f, theta, share, head_dim)? }
        }
        _ => full.clone(),
    };
    Ok([full, sliding])
}

/// One `rope_parameters` or `rope_scaling` object.
fn scaled(f: Fields, theta: f64, share: f64, head_dim: usize) -> Result<Rope, ModelError> {
    let theta = number_or(f, "rope_theta", theta)?;
    let share = number_or(f, "partial_rotary_factor", share)?;
    // 4.x's older name is `type`.
    let key = if f.has("rope_type") { "rope_type" } else { "type" };
    let kind = f.text(key)?.unwrap_or("default");
    let mut inv = frequencies(f, theta, share, head_dim)?;
    match kind {
        "default" => {}
        "linear" => {
            let factor = required(f, "factor")?;
            inv.iter_mut().for_each(|w| *w /= factor);
        }
        "llama3" => llama3(f, &mut inv)?,
        other => return Err(f.unsupported(key, &Value::from(other), TYPES)),
    }
    Ok(Rope { inv_freq: inv.into_iter().map(|w| w as f32).collect() })
}

/// Llama 3.1: long waves are stretched by `factor`, short ones kept, those between are blended.
fn llama3(f: Fields, inv: &mut [f64]) -> Result<(), ModelError> {
    let factor = required(f, "factor")?;
    let (low, high) = (required(f, "low_freq_factor")?, required(f, "high_freq_factor")?);
    if high <= low {
        let value = f.get("high_freq_factor").unwrap_or(&Value::Null);
        return Err(f.wrong("high_freq_factor", &format!("more than low_freq_factor = {low}"), value));
    }
    let old = f.required_size("original_max_position_embeddings", POSITION_MAX)? as f64;
    for w in inv {
        let wave = std::f64::consts::TAU / *w;
        if wave > old / low {
            *w /= factor;
        } else if wave >= old / high {
            let smooth = (old / wave - low) / (high - low);
            *w = (1.0 - smooth) * *w / factor + smooth * *w;
        }
    }
    Ok(())
}

fn plain(f: Fields, theta: f64, share: f64, head_dim: usize) -> Result<Vec<f32>, ModelError> {
    Ok(frequencies(f, theta, share, head_dim)?.into_iter().map(|w| w as f32).collect())
}

/// θ^(−2j/dim) over the turned dimensions dim = ⌊head_dim · share⌋.
fn frequencies(f: Fields, theta: f64, share: f64, head_dim: usize) -> Result<Vec<f64>, ModelError> {
    let dim = (head_dim.min(HEAD_DIM_MAX) as f64 * share.min(1.0)) as usize;
    if dim == 0 || !dim.is_multiple_of(2) {
        let expected = format!("an even number of turned dimensions of {head_dim}");
        return Err(f.wrong("partial_rotary_factor", &expected, &Value::from(share)));
    }
    Ok((0..dim).step_by(2).map(|i| 1.0 / theta.powf(i as f64 / dim as f64)).collect())
}

fn number_or(f: Fields, key: &str, default: f64) -> Result<f64, ModelError> {
    let (low, high) = if key == "partial_rotary_factor" { (1e-3, 1.0) } else { (1.0, 1e15) };
    Ok(f.number(key, low, high)?.unwrap_or(default))
}

fn required(f: Fields, key: &str) -> Result<f64, ModelError> {
    let missing = || ModelError::ConfigMissing { path: f.path.into(), field: format!("{}{key}", f.at) };
    f.number(key, 1e-3, 1e6)?.ok_or_else(missing)
}
