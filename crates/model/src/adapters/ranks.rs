//! An adapter whose ranks are spent by a budget: what is masked, what is saved of it, and its plain form.

use super::adalora::{self, AdaSchedule, Allotment};
use super::params::{ParamId, Params};
use super::state::{Adapted, AdapterFile, AdapterState, Saved, Side, number};
use super::{AdaPlan, LoraPlan};
use crate::ModelError;
use kernels::{Backend, Smoothing};
use std::collections::BTreeMap;
use std::io::{self, Write};

/// Ranks that vLLM has kernels for.
const LOADED_RANKS: [usize; 9] = [1, 8, 16, 32, 64, 128, 256, 320, 512];

impl<B: Backend> AdapterState<B> {
    pub(super) fn ada(&self) -> Option<&AdaPlan> {
        self.plan.as_ref().and_then(|p| p.ada.as_ref())
    }

    pub fn set_schedule(&mut self, schedule: AdaSchedule) {
        self.schedule = Some(schedule);
    }

    /// How importance is smoothed in an update.
    pub fn smoothing(&self, grad_scale: f32) -> Option<Smoothing> {
        let ada = self.ada()?;
        Some(Smoothing { beta1: ada.beta1 as f32, beta2: ada.beta2 as f32, grad_scale })
    }

    pub fn budgets(&self) -> Option<(usize, usize)> {
        let ada = self.ada()?;
        let ranks = self.adapted.iter().filter(|a| a.e.is_some());
        Some((ranks.clone().map(|a| a.r).sum(), ranks.count() * ada.target_r))
    }

    pub fn regularise(&self, backend: &B, params: &mut Params<B>) -> Result<f64, ModelError> {
        match self.ada() {
            None => Ok(0.0),
            Some(ada) => adalora::regularise(backend, params, &self.adapted, ada.orthogonality),
        }
    }

    pub fn allot(&mut self, backend: &B, params: &mut Params<B>, what: Allotment) -> Result<(), ModelError> {
        let budget = match what {
            Allotment::Measure { budget } => budget,
            Allotment::Settle { budget } => Some(budget),
            Allotment::Keep => None,
        };
        if let Some(budget) = budget {
            self.kept = Some(adalora::choose(&adalora::scores(backend, params, &self.adapted)?, budget));
        } else if what != Allotment::Keep {
            return Ok(());
        }
        match &self.kept {
            Some(kept) => adalora::mask(backend, params, &self.adapted, kept),
            None => Ok(()),
        }
    }

    pub fn kept_ranks(&self) -> Option<BTreeMap<String, Vec<bool>>> {
        let kept = self.kept.as_ref()?;
        Some(self.budgeted().map(|a| a.module.clone()).zip(kept.iter().cloned()).collect())
    }

    pub fn set_kept_ranks(&mut self, kept: &BTreeMap<String, Vec<bool>>) -> Result<(), ModelError> {
        let of = |a: &Adapted<B>| match kept.get(&a.module) {
            None => Err(ModelError::MissingTensor { tensor: a.module.clone() }),
            Some(k) if k.len() != a.r => {
                Err(ModelError::Shape { tensor: a.module.clone(), expected: vec![a.r], got: vec![k.len()] })
            }
            Some(k) => Ok(k.clone()),
        };
        self.kept = Some(self.budgeted().map(of).collect::<Result<_, _>>()?);
        Ok(())
    }

    /// The modules whose ranks are masked.
    pub(super) fn budgeted(&self) -> impl Iterator<Item = &Adapted<B>> {
        self.adapted.iter().filter(|a| a.e.is_some())
    }

    /// Of a saved tensor of such a module: its side, and the ranks that are saved. None: all.
    pub(super) fn pruned(&self, id: ParamId) -> Option<(Side, &[bool])> {
        let kept = self.kept.as_ref()?;
        self.budgeted().zip(kept).find_map(|(a, kept)| match id {
            _ if id == a.a || Some(id) == a.e => Some((Side::Rows, kept.as_slice())),
            _ if id == a.b => Some((Side::Columns, kept.as_slice())),
            _ => None,
        })
    }

    /// AdaLoRA's adapter as a LoRA with E and the scale in B: each module has the same rank, the smallest that loaders
    /// take, filled up with zeros, and alpha is that rank.
    pub fn plain_files<'a>(
        &'a self,
        backend: &'a B,
        params: &'a Params<B>,
    ) -> Result<Vec<AdapterFile<'a>>, ModelError> {
        let Some(plan) = self.plan.as_ref().filter(|p| p.ada.is_some()) else { return Ok(Vec::new()) };
        let mut ranks = Vec::new();
        for (i, a) in self.budgeted().enumerate() {
            let e = a.e.map(|e| params.get(e).values(backend)).transpose()?.unwrap_or_default();
            let kept = |p: usize| self.kept.as_ref().is_none_or(|kept| kept[i][p]);
            ranks.push((a, (0..a.r).filter(|p| kept(*p)).map(|p| (p, e[p] * a.scale as f32)).collect::<Vec<_>>()));
        }
        let most = ranks.iter().map(|(_, r)| r.len()).max().unwrap_or(0);
        let r = LOADED_RANKS.into_iter().find(|r| *r >= most).unwrap_or(most);
        let config = move |out: &mut dyn Write| {
            let plain = LoraPlan { r, alpha: r as f64, rslora: false, ada: None, ..plan.clone() };
            out.write_all(self.config(&plain).to_json().as_bytes())
        };
        let tensors = move |out: &mut dyn Write| {
            let mut list = Vec::new();
            for (name, shape, saved) in self.tensors(params) {
                let Saved::Param(id) = saved else { continue };
                match ranks.iter().position(|(a, _)| id == a.a || id == a.b || Some(id) == a.e) {
                    None => list.push((name, shape, (id, None))),
                    Some(i) if id == ranks[i].0.a => {
                        list.push((format!("{name}.weight"), vec![r, shape[1]], (id, Some(i))))
                    }
                    Some(i) if id == ranks[i].0.b => {
                        list.push((format!("{name}.weight"), vec![shape[0], r], (id, Some(i))))
                    }
                    Some(_) => {}
                }
            }
            let names: Vec<_> = list.iter().map(|(name, shape, _)| (name.clone(), shape.clone())).collect();
            let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
            weights::write_safetensors_with(out, &names, &metadata, &mut |n| {
                let (_, shape, (id, module)) = &list[n];
                let values = params.get(*id).values(backend).map_err(io::Error::other)?;
                let Some((a, kept)) = module.map(|i| &ranks[i]) else { return Ok(values.into()) };
                let mut plain = vec![0.0; shape[0] * shape[1]];
                for (q, (p, scale)) in kept.iter().enumerate() {
                    if *id == a.a {
                        plain[q * shape[1]..][..shape[1]].copy_from_slice(&values[p * shape[1]..][..shape[1]]);
                    } else {
                        (0..shape[0]).for_each(|j| plain[j * r + q] = scale * values[j * a.r + p]);
                    }
                }
                Ok(plain.into())
            })
        };
        Ok(vec![
            AdapterFile { name: weights::peft::CONFIG_FILE, content: Box::new(config) },
            AdapterFile { name: weights::peft::TENSORS_FILE, content: Box::new(tensors) },
        ])
    }

    /// What AdaLoRA's adapter_config.json has beside LoRA's.
    pub(super) fn ada_fields(&self, plan: &LoraPlan, ada: &AdaPlan) -> serde_json::Map<String, serde_json::Value> {
        let pattern = self.kept_ranks().map(|kept| {
            kept.into_iter()
                .map(|(module, kept)| (format!("{module}.lora_E"), kept.into()))
                .collect::<serde_json::Map<_, _>>()
        });
        let schedule = self.schedule;
        let steps = |of: fn(&AdaSchedule) -> u64| schedule.as_ref().map_or(0, of).into();
        [
            ("rank_pattern", pattern.map_or(serde_json::Value::Null, Into::into)),
            ("target_r", ada.target_r.into()),
            ("init_r", plan.r.into()),
            ("tinit", steps(|s| s.warmup)),
            ("tfinal", steps(|s| s.last)),
            ("deltaT", steps(|s| s.every)),
            ("total_step", steps(|s| s.steps)),
            ("beta1", number(ada.beta1)),
            ("beta2", number(ada.beta2)),
            ("orth_reg_weight", number(ada.orthogonality)),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
    }
}
