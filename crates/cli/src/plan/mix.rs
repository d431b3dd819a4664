//! The keys of mixtures and replays: `task`, `weight` and `cap` of sources, `data.mix`, `replay`.

use super::error::PlanError;
use super::resolve::{Cx, normal};
use super::typed::{MixBy, MixFile, ReplayFile, SourceFile};
use data::{Choose, MixPlan, ReplayPlan, Shares, TaskPlan, WrittenPlan};

const TEMPERATURE: f64 = 0.5;
const REPLAY_SHARE: f64 = 0.08;
const USES_MAX: u64 = 1_000_000;
const CAP_MAX: u64 = 1 << 40;
const BUFFER_MAX: u64 = 100_000;
/// Each row that is taken is compared with eight times as many.
const BUFFER_MAX_DIVERSE: u64 = 10_000;
const TEXTS_MAX: u64 = 100_000;
/// Where a replay's rows are in a file.
const SOURCE_KEYS: [&str; 5] = ["path", "format", "columns", "dataset_info", "name"];
const NAME_CHARS_MAX: usize = 40;

/// One task and the keys of its sources that say something about it.
struct Typed {
    name: String,
    weight: Option<(String, f64)>,
    cap: Option<(String, u64)>,
    /// Of its first source.
    key: String,
}

impl Cx<'_> {
    /// A mixture is meant where anything of it is typed; then every source names its task.
    pub(super) fn mix(&self, file: Option<MixFile>, sources: &[SourceFile]) -> Result<Option<MixPlan>, PlanError> {
        let says = |s: &SourceFile| s.task.is_some() || s.weight.is_some() || s.cap.is_some();
        if file.is_none() && !sources.iter().any(says) {
            return Ok(None);
        }
        let mut tasks: Vec<Typed> = Vec::new();
        for (i, source) in sources.iter().enumerate() {
            self.add_source(&mut tasks, self.item_key("data.train", i), source)?;
        }
        let file = file.unwrap_or_default();
        let uses = self.optional_whole("data.mix.uses", file.uses, 1..=USES_MAX)?;
        let shares = self.shares(&file, &tasks)?;
        let task = |t: Typed| TaskPlan { name: t.name, cap: t.cap.map(|(_, cap)| cap) };
        Ok(Some(MixPlan { tasks: tasks.into_iter().map(task).collect(), shares, uses }))
    }

    fn add_source(&self, tasks: &mut Vec<Typed>, key: String, source: &SourceFile) -> Result<(), PlanError> {
        let part = |name: &str| format!("{key}.{name}");
        let name = source.task.clone().ok_or_else(|| self.missing(&part("task")))?;
        let weight = source
            .weight
            .map(|w| self.positive(&part("weight"), Some(w), 1.0).map(|w| (part("weight"), w)))
            .transpose()?;
        let cap = self.optional_whole(&part("cap"), source.cap, 1..=CAP_MAX)?.map(|cap| (part("cap"), cap));
        let Some(task) = tasks.iter_mut().find(|task| task.name == name) else {
            tasks.push(Typed { name, weight, cap, key });
            return Ok(());
        };
        // They are of the task: said twice, nobody knows which is meant.
        for (old, new) in [
            (task.weight.as_ref().map(|(key, _)| key), weight.as_ref().map(|(key, _)| key)),
            (task.cap.as_ref().map(|(key, _)| key), cap.as_ref().map(|(key, _)| key)),
        ] {
            if let (Some(old), Some(new)) = (old, new) {
                return Err(self.exclusive(old, new));
            }
        }
        task.weight = task.weight.take().or(weight);
        task.cap = task.cap.take().or(cap);
        Ok(())
    }

    fn shares(&self, file: &MixFile, tasks: &[Typed]) -> Result<Shares, PlanError> {
        let weighted = tasks.iter().find_map(|task| task.weight.as_ref());
        let by = match (file.by, file.temperature, weighted) {
            (Some(by), ..) => by,
            (None, Some(_), _) => MixBy::Temperature,
            (None, None, Some(_)) => MixBy::Weights,
            (None, None, None) => MixBy::Size,
        };
        if file.temperature.is_some() && by != MixBy::Temperature {
            return Err(self.needs("data.mix.temperature", "data.mix.by: temperature"));
        }
        if let (Some((key, _)), true) = (weighted, by != MixBy::Weights) {
            let by = if by == MixBy::Size { "data.mix.by: size" } else { "data.mix.by: temperature" };
            return Err(self.exclusive(by, key));
        }
        Ok(match by {
            MixBy::Size => Shares::Size,
            MixBy::Temperature => {
                let fits = |x| (0.0..=1.0).contains(&x);
                let expected = "from 0 (all tasks alike) to 1 (by size)";
                Shares::Temperature(self.number(
                    "data.mix.temperature",
                    file.temperature,
                    TEMPERATURE,
                    expected,
                    fits,
                )?)
            }
            MixBy::Weights => {
                let weight = |task: &Typed| match &task.weight {
                    Some((_, weight)) => Ok(*weight),
                    None => Err(self.missing(&format!("{}.weight", task.key))),
                };
                Shares::Weights(tasks.iter().map(weight).collect::<Result<_, _>>()?)
            }
        })
    }

    /// A name that can stand in records, in tags and in conditions.
    pub(super) fn task(&self, key: &str, name: String) -> Result<String, PlanError> {
        let expected = match name.as_str() {
            data::REPLAY => "another name: replay rows have this one",
            "" => "a name",
            name if name.chars().count() > NAME_CHARS_MAX => "at most 40 characters",
            name if !name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-') => {
                "of letters, digits, `_` and `-`"
            }
            _ => return Ok(name),
        };
        Err(self.out_of_range(key, expected, &format!("\"{}\"", crate::ui::text::visible(&name))))
    }

    pub(super) fn replay(&self, file: ReplayFile, seq_len_max: usize) -> Result<ReplayPlan, PlanError> {
        let share =
            self.number("replay.share", file.share, REPLAY_SHARE, "a share between 0 and 1", |x| x > 0.0 && x < 1.0)?;
        let choose = file.choose.unwrap_or_default();
        if choose == Choose::Forgotten && !self.tree.has("data.valid") {
            let (at, key) = (self.tree.place("replay.choose"), "replay.choose: forgotten".to_owned());
            return Err(PlanError::Needs { at, key, needs: "data.valid".into() });
        }
        let most = if choose == Choose::Diversity { BUFFER_MAX_DIVERSE } else { BUFFER_MAX };
        let buffer = self.optional_whole("replay.buffer", file.buffer, 1..=most)?;
        let written = self.written(&file, seq_len_max)?;
        let (sources, earlier) = match &file.run {
            _ if written.is_some() => (Vec::new(), None),
            Some(run) => {
                self.alone("replay.run", &SOURCE_KEYS)?;
                let dir = normal(&self.roots.outputs.join(run));
                let found = train::earlier_run(&dir, &runfs::RealFs)
                    .map_err(|e| PlanError::EarlierRun { at: self.tree.place("replay.run"), source: Box::new(e) });
                found.map(|(sources, earlier)| (sources, Some(earlier)))?
            }
            None => {
                let ReplayFile { path, format, columns, dataset_info, name, .. } = file;
                let source =
                    SourceFile { path, format, columns, dataset_info, name, task: None, weight: None, cap: None };
                (vec![self.source("replay", source)?], None)
            }
        };
        Ok(ReplayPlan { sources, earlier, written, share, choose, buffer })
    }

    /// Rows that the base writes itself.
    fn written(&self, file: &ReplayFile, seq_len_max: usize) -> Result<Option<WrittenPlan>, PlanError> {
        let tokens = self.optional_whole("replay.tokens", file.tokens, 2..=seq_len_max as u64)?.map(|n| n as usize);
        let Some(texts) = self.optional_whole("replay.self", file.written, 1..=TEXTS_MAX)? else {
            return if tokens.is_some() { Err(self.needs("replay.tokens", "replay.self")) } else { Ok(None) };
        };
        self.alone("replay.self", &SOURCE_KEYS)?;
        self.alone("replay.self", &["run"])?;
        Ok(Some(WrittenPlan { texts, tokens }))
    }

    /// Refuses `others` of the replay's keys beside `key`.
    fn alone(&self, key: &str, others: &[&str]) -> Result<(), PlanError> {
        match others.iter().map(|other| format!("replay.{other}")).find(|other| self.tree.has(other)) {
            Some(other) => Err(self.exclusive(key, &other)),
            None => Ok(()),
        }
    }
}
