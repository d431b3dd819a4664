//! An adapter folder that another run, or PEFT, left behind, as a plan to continue from.

use super::{AdaPlan, BiasTraining, InitWeights, LoraPlan, Span, Targets};
use crate::ModelError;
use serde_json::Value;
use std::path::Path;
use weights::peft::{ADALORA, AdapterConfig};

/// The plan that an adapter folder describes; training with it continues that adapter.
/// A variant of LoRA that is not implemented is refused by its name.
pub fn plan_from(dir: &Path, seed: u64) -> Result<LoraPlan, ModelError> {
    let c = AdapterConfig::read(dir)?;
    let unsupported = |what: &str| ModelError::UnsupportedAdapter { adapter: dir.to_owned(), what: what.to_owned() };
    if let Some((field, value)) = c.beyond_lora() {
        return Err(unsupported(&format!("{field} = {value}")));
    }
    if names_other_layers(c.layers_pattern.as_ref()) {
        return Err(unsupported("layers_pattern"));
    }
    let targets = match &c.target_modules {
        Some(Value::String(s)) if s == "all-linear" => Targets::AllLinear,
        Some(Value::String(s)) => Targets::Regex(s.clone()),
        Some(list @ Value::Array(_)) => Targets::Names(strings(list).ok_or_else(|| unsupported("target_modules"))?),
        _ => return Err(unsupported("a missing target_modules")),
    };
    let exclude = match &c.exclude_modules {
        None => Vec::new(),
        Some(list) => strings(list).ok_or_else(|| unsupported("exclude_modules as a regular expression"))?,
    };
    let layers = match &c.layers_to_transform {
        None => None,
        Some(Value::Number(n)) => Some(vec![index(n).ok_or_else(|| unsupported("layers_to_transform"))?]),
        Some(Value::Array(list)) => {
            let one = |v: &Value| v.as_number().and_then(index);
            let all: Option<Vec<usize>> = list.iter().map(one).collect();
            Some(all.ok_or_else(|| unsupported("layers_to_transform"))?)
        }
        Some(_) => return Err(unsupported("layers_to_transform")),
    };
    let ada = if c.peft_type == ADALORA { Some(ada_of(&c).map_err(|what| unsupported(&what))?) } else { None };
    let rank_pattern = if ada.is_some() { &Default::default() } else { &c.rank_pattern };
    let rank = |(k, v): (&String, &Value)| Some((k.clone(), usize::try_from(v.as_u64()?).ok()?));
    let alpha = |(k, v): (&String, &Value)| Some((k.clone(), v.as_f64()?));
    let ranks: Option<Vec<_>> = rank_pattern.iter().map(rank).collect();
    let alphas: Option<Vec<_>> = c.alpha_pattern.iter().map(alpha).collect();
    Ok(LoraPlan {
        r: ada.map_or(c.r, |(r, _)| r),
        alpha: c.lora_alpha,
        dropout: c.lora_dropout,
        rslora: c.use_rslora,
        dora: c.use_dora,
        ada: ada.map(|(_, ada)| ada),
        full: false,
        targets,
        exclude,
        layers: layers.filter(|l| !l.is_empty()),
        rank_pattern: ranks.ok_or_else(|| unsupported("rank_pattern"))?,
        alpha_pattern: alphas.ok_or_else(|| unsupported("alpha_pattern"))?,
        modules_to_save: c.modules_to_save.unwrap_or_default(),
        ensure_weight_tying: c.ensure_weight_tying,
        bias: match c.bias.as_str() {
            "none" => BiasTraining::None,
            "all" => BiasTraining::All,
            "lora_only" => BiasTraining::LoraOnly,
            _ => return Err(unsupported("bias")),
        },
        init: if c.init_lora_weights == "gaussian" { InitWeights::Gaussian } else { InitWeights::Kaiming },
        lr_ratio: 1.0,
        start_from: Some(dir.to_owned()),
        other_base: false,
        seed,
        base_name: c.base_model_name_or_path.unwrap_or_default(),
    })
}

/// AdaLoRA's rank at the start, and how it goes on from there; or what of it is not supported.
fn ada_of(c: &AdapterConfig) -> Result<(usize, AdaPlan), String> {
    if !c.rank_pattern.is_empty() {
        return Err("an AdaLoRA adapter that is pruned already (its plain form can be gone on with)".to_owned());
    }
    let number = |key: &str| c.other.get(key).and_then(Value::as_f64).ok_or_else(|| format!("a missing {key}"));
    let whole = |key: &str| c.other.get(key).and_then(Value::as_u64).ok_or_else(|| format!("a missing {key}"));
    let ada = AdaPlan {
        target_r: whole("target_r")? as usize,
        warmup: Span::Steps(whole("tinit")?),
        last: Span::Steps(whole("tfinal")?),
        every: Some(whole("deltaT")?),
        beta1: number("beta1")?,
        beta2: number("beta2")?,
        orthogonality: number("orth_reg_weight")?,
    };
    Ok((whole("init_r")? as usize, ada))
}

/// Layers under another name than `layers` belong to no family here.
fn names_other_layers(pattern: Option<&Value>) -> bool {
    match pattern {
        None | Some(Value::Null) => false,
        Some(Value::String(s)) => s != "layers",
        Some(Value::Array(list)) => !list.is_empty() && list != &[Value::from("layers")],
        Some(_) => true,
    }
}

fn strings(v: &Value) -> Option<Vec<String>> {
    v.as_array()?.iter().map(|s| s.as_str().map(ToOwned::to_owned)).collect()
}

fn index(n: &serde_json::Number) -> Option<usize> {
    n.as_u64().and_then(|n| usize::try_from(n).ok())
}
