//! What a plan asks of its model before and after (`eval`): checked before the training, asked when that is done.

use super::eval::{Work, check_suites, refuse_commands, required, table};
use crate::exit::Failure;
use crate::signals::Signals;
use crate::ui::{Look, Reporter};
use eval::{Condition, EvalError, ModelPlan, Role, Suite, Who};
use model::AdapterPlan;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use train::{AskPlan, PageLanguage, Plan};

/// In the run's folder.
const FOLDER: &str = "eval";

/// A plan's suites, read.
pub struct Ask<'a> {
    plan: &'a Plan,
    asked: &'a AskPlan,
    suites: Vec<Suite>,
    conditions: Vec<Condition>,
}

/// Reads the plan's suites, its conditions and every row, so that nothing that could be known before the training is a surprise
/// after it. None: the plan asks nothing.
pub fn check<'a>(plan: &'a Plan, signals: &Signals, reporter: &mut Reporter) -> Result<Option<Ask<'a>>, Failure> {
    let Some(asked) = &plan.eval else { return Ok(None) };
    let ask = ready(plan, asked).and_then(|ask| {
        ask.work(vec![(Who::Base, ask.before())], Path::new("")).check(signals, reporter)?;
        Ok(ask)
    });
    ask.map(Some).map_err(|e| Failure::of_asked(e, signals, &plan.out))
}

fn ready<'a>(plan: &'a Plan, asked: &'a AskPlan) -> Result<Ask<'a>, EvalError> {
    let read = |paths: &[PathBuf], role| {
        paths.iter().map(|path| Suite::read_as(path, Some(role))).collect::<Result<Vec<Suite>, _>>()
    };
    let suites = [read(&asked.task, Role::Task)?, read(&asked.general, Role::General)?].concat();
    check_suites(&suites)?;
    refuse_commands(&suites)?;
    let condition =
        |text: &String| text.parse::<Condition>().map_err(|why| EvalError::Condition { condition: text.clone(), why });
    let conditions: Vec<Condition> = asked.require.iter().map(condition).collect::<Result<_, _>>()?;
    conditions.iter().try_for_each(|c| c.check(&suites, 2))?;
    Ok(Ask { plan, asked, suites, conditions })
}

impl Ask<'_> {
    /// Asks both models and writes what came of it into the run's folder; what is finished there is not asked again. `result`: the
    /// name of what was trained, in that folder.
    pub fn done(&self, result: &str, signals: &Signals, reporter: &mut Reporter) -> Result<Value, EvalError> {
        let out = self.plan.out.join(FOLDER);
        let models = vec![(Who::Base, self.before()), (Who::Tuned, self.after(result))];
        self.work(models, &out).done(signals, reporter)
    }

    /// Prints it, and fails where a condition does not hold.
    pub fn tell(&self, record: &Value, look: Look) -> Result<(), Failure> {
        let out = self.plan.out.join(FOLDER);
        let text = match look {
            Look::Json => format!("{}\n", json!({"event": "evaluated", "out": out, "eval": record})),
            Look::Human | Look::Quiet => table(record, Some(&out)),
        };
        crate::ui::print(&text)?;
        required(record)
    }

    fn work<'w>(&self, models: Vec<(Who, ModelPlan)>, out: &'w Path) -> Work<'w> {
        Work {
            suites: self.suites.clone(),
            models,
            conditions: self.conditions.clone(),
            limit: self.asked.limit,
            seed: self.plan.train.seed,
            language: match self.asked.language {
                PageLanguage::En => report::Language::English,
                PageLanguage::Zh => report::Language::Chinese,
            },
            out: Some(out),
        }
    }

    /// What the training began with: the model, and the adapter that it went on from.
    fn before(&self) -> ModelPlan {
        let (adapter, other_base) = match &self.plan.adapter {
            AdapterPlan::Lora(lora) => (lora.start_from.clone(), lora.other_base),
            AdapterPlan::None => (None, false),
        };
        ModelPlan {
            dir: self.plan.model.clone(),
            adapter,
            other_base,
            quantize: Some(self.plan.quantize),
            precision: self.plan.train.precision,
            memory: self.plan.train.memory,
            threads: self.plan.train.threads,
        }
    }

    fn after(&self, result: &str) -> ModelPlan {
        let trained = self.plan.out.join(result);
        let whole = matches!(&self.plan.adapter, AdapterPlan::Lora(lora) if lora.full);
        let (dir, adapter) = if whole { (trained, None) } else { (self.plan.model.clone(), Some(trained)) };
        ModelPlan { dir, adapter, other_base: false, ..self.before() }
    }
}
