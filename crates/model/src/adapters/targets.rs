//! Which modules an adapter acts on, by PEFT's rules (`tuners_utils.check_target_module_exists`,
//! `utils/other.get_pattern_key`), so that an adapter means the same here and there.

use super::{LoraPlan, Targets};
use crate::ModelError;
use fancy_regex::Regex;

/// From this many names on, PEFT writes the shortest suffixes instead of full names.
const FULL_NAMES_MAX: usize = 19;

/// The plan's patterns, compiled.
pub(super) struct Rules<'a> {
    plan: &'a LoraPlan,
    targets: Option<Regex>,
    ranks: Vec<(Regex, usize)>,
    alphas: Vec<(Regex, f64)>,
}

impl<'a> Rules<'a> {
    pub(super) fn new(plan: &'a LoraPlan) -> Result<Self, ModelError> {
        let targets = match &plan.targets {
            Targets::Regex(r) => Some(compile("adapter.targets", &format!("^(?:{r})$"))?),
            _ => None,
        };
        let suffix = |key: &str, field| compile(field, &format!(r"^(?:.*\.)?(?:{key})$"));
        let ranks = plan.rank_pattern.iter().map(|(k, v)| Ok((suffix(k, "adapter.rank_pattern")?, *v)));
        let alphas = plan.alpha_pattern.iter().map(|(k, v)| Ok((suffix(k, "adapter.alpha_pattern")?, *v)));
        Ok(Rules {
            plan,
            targets,
            ranks: ranks.collect::<Result<_, ModelError>>()?,
            alphas: alphas.collect::<Result<_, ModelError>>()?,
        })
    }

    /// Whether `module` (as `model.layers.0.self_attn.q_proj`) gets an adapter.
    pub(super) fn targeted(&self, module: &str, kind: Kind) -> Result<bool, ModelError> {
        if names_match(&self.plan.exclude, module) || self.saved_whole(module) {
            return Ok(false);
        }
        Ok(match &self.plan.targets {
            Targets::AllLinear => kind == Kind::Linear && self.in_layers(module),
            // PEFT does not restrict a module named in full to `layers_to_transform`.
            Targets::Names(names) => {
                names.iter().any(|n| n == module) || (names_match(names, module) && self.in_layers(module))
            }
            Targets::Regex(_) => match &self.targets {
                Some(r) => matches(r, module, "adapter.targets")?,
                None => false,
            },
        })
    }

    /// Whether `module` or a module around it is in `modules_to_save`: trained whole.
    pub(super) fn saved_whole(&self, module: &str) -> bool {
        let mut path = module;
        loop {
            if self.plan.modules_to_save.iter().any(|m| path.ends_with(m.as_str())) {
                return true;
            }
            match path.rsplit_once('.') {
                Some((parent, _)) => path = parent,
                None => return false,
            }
        }
    }

    /// This module's rank and scale α/r, or α/√r with rsLoRA.
    pub(super) fn rank_and_scale(&self, module: &str) -> Result<(usize, f64), ModelError> {
        let r = first(&self.ranks, module, "adapter.rank_pattern")?.unwrap_or(self.plan.r);
        let alpha = first(&self.alphas, module, "adapter.alpha_pattern")?.unwrap_or(self.plan.alpha);
        let root = if self.plan.rslora { (r as f64).sqrt() } else { r as f64 };
        Ok((r, alpha / root))
    }

    fn in_layers(&self, module: &str) -> bool {
        let Some(layers) = &self.plan.layers else { return true };
        module.split('.').find_map(|part| part.parse::<usize>().ok()).is_some_and(|l| layers.contains(&l))
    }
}

/// What a module is; `all-linear` means `Kind::Linear` only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Linear,
    Embedding,
    Head,
}

/// `target_modules` as PEFT writes it for the modules that were chosen.
pub(super) fn written_targets(plan: &LoraPlan, chosen: &[String]) -> serde_json::Value {
    match &plan.targets {
        Targets::Regex(r) => r.clone().into(),
        Targets::Names(names) => sorted(names.clone()).into(),
        Targets::AllLinear if chosen.len() <= FULL_NAMES_MAX && plan.layers.is_none() => sorted(chosen.to_vec()).into(),
        Targets::AllLinear => {
            let last = |m: &String| m.rsplit_once('.').map_or(m.clone(), |(_, name)| name.to_owned());
            sorted(chosen.iter().map(last).collect()).into()
        }
    }
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names.dedup();
    names
}

/// A name matches the whole path or its end after a dot.
fn names_match(names: &[String], module: &str) -> bool {
    names.iter().any(|n| module == n || module.strip_suffix(n.as_str()).is_some_and(|rest| rest.ends_with('.')))
}

fn first<T: Copy>(patterns: &[(Regex, T)], module: &str, field: &'static str) -> Result<Option<T>, ModelError> {
    for (regex, value) in patterns {
        if matches(regex, module, field)? {
            return Ok(Some(*value));
        }
    }
    Ok(None)
}

fn compile(field: &'static str, pattern: &str) -> Result<Regex, ModelError> {
    Regex::new(pattern).map_err(|e| ModelError::Pattern { field, pattern: pattern.to_owned(), why: e.to_string() })
}

fn matches(regex: &Regex, module: &str, field: &'static str) -> Result<bool, ModelError> {
    regex.is_match(module).map_err(|e| ModelError::Pattern {
        field,
        pattern: regex.as_str().to_owned(),
        why: e.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::tests::plan;

    fn check(targets: Targets, edit: impl Fn(&mut LoraPlan), module: &str, expect: bool) {
        let mut p = plan(targets);
        edit(&mut p);
        let rules = Rules::new(&p).expect("rules");
        let kind = match module {
            "lm_head" => Kind::Head,
            "model.embed_tokens" => Kind::Embedding,
            _ => Kind::Linear,
        };
        assert_eq!(rules.targeted(module, kind).expect("match"), expect, "{module} in {:?}", p.targets);
    }

    fn names(list: &[&str]) -> Targets {
        Targets::Names(list.iter().map(|s| (*s).to_owned()).collect())
    }

    #[test]
    fn modules_are_chosen_as_peft_chooses() {
        let q0 = "model.layers.0.self_attn.q_proj";
        check(Targets::AllLinear, |_| (), q0, true);
        check(Targets::AllLinear, |_| (), "lm_head", false);
        check(Targets::AllLinear, |_| (), "model.embed_tokens", false);
        check(Targets::AllLinear, |p| p.exclude = vec!["q_proj".into()], q0, false);
        check(Targets::AllLinear, |p| p.modules_to_save = vec!["q_proj".into()], q0, false);
        check(Targets::AllLinear, |p| p.layers = Some(vec![1]), q0, false);
        check(Targets::AllLinear, |p| p.layers = Some(vec![0]), q0, true);
        check(names(&["q_proj"]), |_| (), q0, true);
        check(names(&["proj"]), |_| (), q0, false);
        check(names(&["lm_head"]), |_| (), "lm_head", true);
        check(names(&["embed_tokens"]), |_| (), "model.embed_tokens", true);
        check(names(&[q0]), |p| p.layers = Some(vec![1]), q0, true);
        check(names(&["q_proj"]), |p| p.layers = Some(vec![1]), q0, false);
        check(Targets::Regex(r".*\.0\..*q_proj".into()), |_| (), q0, true);
        check(Targets::Regex("q_proj".into()), |_| (), q0, false);
        check(Targets::Regex(r"(?!.*\.0\.).*q_proj".into()), |_| (), q0, false);
    }

    #[test]
    fn ranks_and_alphas_follow_the_first_matching_pattern() {
        let mut p = plan(Targets::AllLinear);
        p.rank_pattern = vec![("q_proj".into(), 2), (r"^model\.layers\.0\..*up_proj".into(), 3), (".*".into(), 6)];
        p.alpha_pattern = vec![("q_proj".into(), 32.0)];
        let rules = Rules::new(&p).expect("rules");
        let at = |m: &str| rules.rank_and_scale(m).expect("rank");
        assert_eq!(at("model.layers.0.self_attn.q_proj"), (2, 16.0));
        assert_eq!(at("model.layers.0.mlp.up_proj"), (3, p.alpha / 3.0));
        assert_eq!(at("model.layers.1.mlp.up_proj"), (6, p.alpha / 6.0));
        p.rslora = true;
        p.rank_pattern.clear();
        p.alpha_pattern.clear();
        assert_eq!(Rules::new(&p).expect("rules").rank_and_scale("x").expect("rank"), (4, 8.0 / 2.0));
    }

    #[test]
    fn a_bad_regex_names_its_field() {
        let p = plan(Targets::Regex("(".into()));
        assert!(matches!(Rules::new(&p), Err(ModelError::Pattern { field: "adapter.targets", .. })));
    }
}
