//! `scan.json`: what was measured, as its schema has it (crates/report/SCAN.md).

use crate::actions::Actions;
use crate::finding::Check;
use crate::lengths::Place;
use crate::plan::Measure;
use crate::policy::Gate;
use crate::samples::Sample;
use crate::state::{Asked, FileState, State};
use crate::tally::{Kind, Tally};
use crate::verdict::{self, Copying, Of, Remedy};
use crate::{answers, near};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const SCHEMA: u32 = 1;
/// Groups shown, members of one, pairs of a leak, entries of a list.
pub const GROUPS_MAX: usize = 24;
const MEMBERS_MAX: usize = 12;
const LIST_MAX: usize = 20;
const TRIGGER_PLACES_MAX: usize = 5;
pub struct Parts<'a> {
    pub asked: &'a Asked,
    pub state: &'a State,
    pub tally: &'a Tally,
    pub of: Of,
    pub gates: &'a [Gate],
    pub copying: Copying,
    /// Of `findings.jsonl`.
    pub lines: u64,
    pub near: Option<&'a near::Found>,
    pub answers: Option<&'a answers::Report>,
    pub actions: &'a Actions,
    /// The rows that are shown.
    pub rows: &'a BTreeMap<Place, Sample>,
}

pub fn near_kind(kind: near::Kind) -> &'static str {
    match kind {
        near::Kind::Exact => "exact",
        near::Kind::Normalised => "normalised",
        near::Kind::Near => "near",
        near::Kind::Template => "template",
    }
}

pub fn leak_kind(kind: near::LeakKind) -> &'static str {
    match kind {
        near::LeakKind::Exact => "exact",
        near::LeakKind::Near => "near",
        near::LeakKind::Contained => "contained",
    }
}

/// The groups of duplicates that are shown, largest first.
pub fn largest(found: &near::Found) -> Vec<&near::Group> {
    let mut groups: Vec<&near::Group> = found.groups.iter().filter(|group| group.set.is_train()).collect();
    groups.sort_by_key(|group| (usize::MAX - group.members.len(), group.id));
    groups.truncate(GROUPS_MAX);
    groups
}

pub fn record(p: &Parts) -> Value {
    let Parts { asked, state, tally, of, .. } = p;
    let wants = |measure| asked.measures.contains(&measure);
    let name = |file: u32| p.file(file);
    let removed = p.actions.removed();
    json!({
        "schema": SCHEMA,
        "athanor": env!("CARGO_PKG_VERSION"),
        "files": asked.files.iter().enumerate().map(|(at, file)| file_of(file, at, state)).collect::<Vec<_>>(),
        "rows": {"read": of.rows, "understood": of.understood, "faulty": of.rows - of.understood},
        "policy": {"name": asked.policy_name, "thresholds": p.thresholds()},
        "tokenizer": asked.tokenizer,
        "sampled": [],
        "verdict": {
            "state": verdict::state(tally, *of, &asked.policy, p.copying),
            "items": verdict::items(tally, *of, &asked.policy, p.copying),
        },
        "gates": verdict::gates(p.gates, tally, *of),
        "clean": {
            "kept": of.rows.saturating_sub(removed),
            "removed": removed,
            "changed": p.actions.changed(None),
            "redact": null,
            "written": null,
        },
        "lengths": wants(Measure::Lengths).then(|| p.lengths(&name)),
        "languages": wants(Measure::Languages).then(|| state.languages.shown()),
        "instructions": if wants(Measure::Instructions) { state.instructions.shown() } else { None },
        "duplicates": wants(Measure::Duplicates).then(|| p.duplicates()),
        "leaks": if wants(Measure::Leaks) { p.leaks() } else { None },
        "pii": wants(Measure::Pii).then(|| p.pii()),
        "poison": (wants(Measure::Answers) || wants(Measure::Quality) || asked.words.is_some()).then(|| p.poison()),
        "quality": if wants(Measure::Quality) { state.qualities.shown(asked.policy.quality_min) } else { None },
        "faults": wants(Measure::Faults).then(|| p.faults()),
        "findings": {"total": p.lines, "shown": p.shown()},
        "samples": p.rows.iter().map(|(place, row)| row.shown(&name(place.0))).collect::<Vec<_>>(),
    })
}

fn file_of(file: &FileState, at: usize, state: &State) -> Value {
    // `jsonl, alpaca (found: …)`
    let format = file.note.split(" (").next().and_then(|said| said.rsplit(", ").next()).unwrap_or("");
    let container = file.note.split(", ").next().filter(|container| *container != "jsonl");
    let understood = state.rows.get(at).map_or(0, |rows| rows.understood);
    json!({
        "file": file.file,
        "set": file.eval.as_deref().unwrap_or("train"),
        "format": format,
        "note": container,
        "encoding": file.encoding,
        "rows": file.rows,
        "understood": understood,
        "bytes": file.bytes,
        "problem": file.problem,
    })
}

impl Parts<'_> {
    fn file(&self, index: u32) -> String {
        self.asked.files.get(index as usize).map_or(String::new(), |file| file.file.clone())
    }

    fn place(&self, (file, line): Place) -> Value {
        json!({"file": self.file(file), "line": line})
    }

    fn vocabulary(&self) -> u64 {
        self.asked.tokenizer.as_ref().map_or(0, |tokenizer| tokenizer.vocabulary)
    }

    fn thresholds(&self) -> Value {
        let policy = &self.asked.policy;
        let mut all = Map::new();
        let mut put = |name: &str, value: f64| all.insert(name.to_owned(), json!(rounded(value)));
        put("confidence", policy.confidence.into());
        put("quality_low", policy.quality_min.into());
        put("overlong_characters", policy.overlong_characters as f64);
        if let Some(found) = self.near {
            put("near", found.summary.settings.jaccard.into());
            put("ngram_containment", near::LEAK_CONTAINED.into());
        }
        Value::Object(all)
    }

    fn lengths(&self, name: &dyn Fn(u32) -> String) -> Value {
        let mut parts = Vec::new();
        for unit in ["characters", "tokens"] {
            for part in ["instruction", "response", "whole"] {
                let Some(lengths) = self.state.lengths.get(&format!("{part}.{unit}")) else { continue };
                let mut shown = lengths.shown(name);
                shown["part"] = part.into();
                shown["unit"] = unit.into();
                parts.push(shown);
            }
        }
        let tokens = self.state.lengths.get("whole.tokens");
        let mut limits = self.asked.policy.seq_len_max.clone();
        limits.sort_unstable();
        json!({"parts": parts, "over": tokens.map(|tokens| tokens.limits(&limits, self.vocabulary()))})
    }

    fn duplicates(&self) -> Value {
        let Some(found) = self.near else { return Value::Null };
        let summary = &found.summary;
        let groups: Vec<&near::Group> = found.groups.iter().filter(|group| group.set.is_train()).collect();
        let mut kinds = Vec::new();
        for kind in [near::Kind::Exact, near::Kind::Normalised, near::Kind::Near, near::Kind::Template] {
            let of_kind = groups.iter().filter(|group| group.kind == kind);
            let (mut count, mut rows, mut removed) = (0, 0, 0);
            for group in of_kind {
                count += 1;
                rows += group.members.len();
                removed += group.members.iter().filter(|member| !member.keep).count();
            }
            kinds.push(json!({"type": near_kind(kind), "groups": count, "rows": rows, "removed": removed}));
        }
        if let Some(report) = self.answers {
            for (kind, groups) in [("same_question", &report.same_question), ("same_answer", &report.same_answer)] {
                let rows: u64 = groups.iter().map(|group| group.rows).sum();
                kinds.push(json!({"type": kind, "groups": groups.len(), "rows": rows, "removed": 0}));
            }
        }
        let mut sizes: BTreeMap<usize, u64> = BTreeMap::new();
        for group in groups.iter().filter(|group| group.kind != near::Kind::Template) {
            *sizes.entry(group.members.len()).or_default() += 1;
        }
        json!({
            "threshold": rounded(summary.settings.jaccard.into()),
            "key": summary.settings.key,
            "shingle": summary.shingle_units,
            "bands": summary.bands,
            "rows_per_band": summary.rows_per_band,
            "recall_at_threshold": rounded(summary.recall_at_threshold),
            "limits": summary.limits,
            "rate": self.of.surplus as f64 / self.of.understood.max(1) as f64,
            "kinds": kinds,
            "sizes": sizes.iter().map(|(size, groups)| json!({"size": size, "groups": groups})).collect::<Vec<_>>(),
            "largest": self.largest(found),
            "passages": self.answers.map(|report| self.passages(report)),
            "overlap": overlap(&summary.shared),
        })
    }

    fn passages(&self, report: &answers::Report) -> Vec<Value> {
        let passage = |template: &answers::Template| {
            let place = (template.at.place.file, template.at.place.line);
            let mut at = self.place(place);
            at["field"] = template.at.field.clone().into();
            let row = self.rows.get(&place);
            let excerpt = row.and_then(|row| row.excerpt(&template.at.field, template.at.start..template.at.end));
            json!({
                "rows": template.rows, "share": template.share, "characters": template.chars, "at": at, "excerpt": excerpt,
            })
        };
        report.templates.iter().take(LIST_MAX).map(passage).collect()
    }

    fn largest(&self, found: &near::Found) -> Vec<Value> {
        let mut all: Vec<(usize, u64, Value)> = Vec::new();
        for group in largest(found) {
            let members = group.members.iter().take(MEMBERS_MAX).map(|member| {
                let mut place = self.place((member.row.file, member.row.line));
                place["keep"] = member.keep.into();
                place
            });
            let first = group.members.first().and_then(|member| self.rows.get(&(member.row.file, member.row.line)));
            let shown = json!({
                "type": near_kind(group.kind), "group": group.id, "rows": group.members.len(),
                "kept": group.members.iter().filter(|member| member.keep).count(),
                "members": members.collect::<Vec<_>>(), "excerpt": first.and_then(Sample::answer),
            });
            all.push((group.members.len(), group.id, shown));
        }
        if let Some(report) = self.answers {
            let mut id = self.near.map_or(0, |found| (found.groups.len() + found.leaks.len()) as u64) + 1;
            for (kind, groups) in [("same_question", &report.same_question), ("same_answer", &report.same_answer)] {
                for (group, id) in groups.iter().zip(id..).take(GROUPS_MAX) {
                    let places = || group.places.iter().map(|at| (at.file, at.line));
                    let first = places().next().and_then(|place| self.rows.get(&place));
                    let shown = json!({
                        "type": kind, "group": id, "rows": group.rows, "kept": null,
                        "members": places().take(MEMBERS_MAX).map(|place| self.place(place)).collect::<Vec<_>>(),
                        "excerpt": first.and_then(Sample::answer),
                    });
                    all.push((group.rows as usize, id, shown));
                }
                id += groups.len() as u64;
            }
        }
        all.sort_by_key(|(rows, id, _)| (usize::MAX - rows, *id));
        all.into_iter().take(GROUPS_MAX).map(|(_, _, shown)| shown).collect()
    }

    /// None without evaluation files.
    fn leaks(&self) -> Option<Value> {
        let found = self.near?;
        let mut names: Vec<&str> = Vec::new();
        for name in self.asked.files.iter().filter_map(|file| file.eval.as_deref()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        if names.is_empty() {
            return None;
        }
        let sets = names.iter().enumerate().map(|(at, name)| {
            let of_set: Vec<&near::Leak> =
                found.leaks.iter().filter(|leak| usize::from(leak.set.0) == at + 1).collect();
            self.leaked_set(name, &of_set)
        });
        Some(json!({
            "n": measures::near::LONG_UNITS,
            "threshold": rounded(near::LEAK_CONTAINED.into()),
            "sets": sets.collect::<Vec<_>>(),
        }))
    }

    fn leaked_set(&self, name: &str, leaks: &[&near::Leak]) -> Value {
        let files =
            self.asked.files.iter().zip(&self.state.rows).filter(|(file, _)| file.eval.as_deref() == Some(name));
        let rows: u64 = files.map(|(_, rows)| rows.read).sum();
        let strongest: Vec<&&near::Leak> =
            leaks.chunk_by(|a, b| a.eval == b.eval).filter_map(<[&near::Leak]>::first).collect();
        let kinds = [near::LeakKind::Exact, near::LeakKind::Near, near::LeakKind::Contained].map(
            |kind| json!({"type": leak_kind(kind), "rows": strongest.iter().filter(|leak| leak.kind == kind).count()}),
        );
        let mut pairs: Vec<&&near::Leak> = leaks.iter().collect();
        pairs.sort_by(|a, b| b.score.total_cmp(&a.score).then((a.eval, a.train).cmp(&(b.eval, b.train))));
        let pair = |leak: &&near::Leak| {
            json!({
                "type": leak_kind(leak.kind),
                "by": leak.by,
                "train": self.place((leak.train.file, leak.train.line)),
                "eval": self.place((leak.eval.file, leak.eval.line)),
                "similarity": rounded(leak.score.into()),
            })
        };
        json!({
            "set": name,
            "rows": rows,
            "leaked": strongest.len(),
            "share": strongest.len() as f64 / rows.max(1) as f64,
            "kinds": kinds,
            "pairs": pairs.into_iter().take(LIST_MAX).map(pair).collect::<Vec<_>>(),
        })
    }

    fn pii(&self) -> Value {
        let types = |check| {
            let mut rules: Vec<Value> = Vec::new();
            for (_, name, kind) in self.tally.kinds().filter(|(of, ..)| *of == check) {
                for (rule, counts) in &kind.rules {
                    rules.push(json!({
                        "type": name, "rule": rule, "findings": counts.findings, "rows": counts.rows,
                        "confidence": rounded(counts.mean_confidence()),
                    }));
                }
            }
            // Equal ones stay in the order of their names.
            rules.sort_by_key(|rule| u64::MAX - rule["rows"].as_u64().unwrap_or(0));
            rules
        };
        json!({
            "rows": self.tally.rows_of(Check::Pii),
            "types": types(Check::Pii),
            "secrets": {"rows": self.tally.rows_of(Check::Secret), "types": types(Check::Secret)},
            "entities": self.asked.names,
        })
    }

    /// Each part is null where it was not measured.
    fn poison(&self) -> Value {
        let row = |file: u32, line: u64| self.rows.get(&(file, line));
        let trigger = |trigger: &answers::Trigger| {
            let first = trigger.at.first();
            let place = first.and_then(|at| row(at.place.file, at.place.line).zip(Some(at)));
            let places = trigger.at.iter().take(TRIGGER_PLACES_MAX);
            json!({
                "rows": trigger.rows,
                "rows_other": trigger.rows_other,
                "tied": trigger.tied,
                "confidence": rounded(trigger.confidence.into()),
                "at": places.map(|at| self.place((at.place.file, at.place.line))).collect::<Vec<_>>(),
                "excerpt": place.and_then(|(row, at)| row.excerpt(&at.field, at.start..at.end)),
                "answer": place.and_then(|(row, _)| row.answer()),
            })
        };
        let constant = |group: &answers::Group| {
            let first = group.places.first().and_then(|at| row(at.file, at.line));
            json!({
                "rows": group.rows,
                "share": group.rows as f64 / self.of.understood.max(1) as f64,
                "questions": group.questions,
                "first": group.places.first().map(|at| self.place((at.file, at.line))),
                "excerpt": first.and_then(Sample::answer),
            })
        };
        let share = |kind| {
            let rows = self.tally.kind(Check::Poison, kind).map_or(0, |kind| kind.rows);
            json!({"rows": rows, "share": rows as f64 / self.of.understood.max(1) as f64})
        };
        let report = self.answers;
        let triggers =
            |report: &answers::Report| report.triggers.iter().take(LIST_MAX).map(trigger).collect::<Vec<_>>();
        let constants =
            |report: &answers::Report| report.constant_answer.iter().take(LIST_MAX).map(constant).collect::<Vec<_>>();
        json!({
            "answers": report.map(|report| json!({"distinct": report.answers, "set": report.set})),
            "triggers": report.map(triggers),
            "constant_answers": report.map(constants),
            "off_topic": self.asked.measures.contains(&Measure::Quality).then(|| share("off_topic")),
            "toxic": self.asked.words.as_ref().map(|_| share("toxic")),
        })
    }

    fn faults(&self) -> Value {
        let found = self.tally.kinds().filter(|(check, ..)| *check == Check::Fault);
        let mut counts: BTreeMap<&str, &Kind> = found.map(|(_, name, kind)| (name, kind)).collect();
        let mut types: Vec<(u64, Value)> = Vec::new();
        for &name in Check::Fault.types() {
            let (findings, rows) = counts.remove(name).map_or((0, 0), |kind| (kind.findings, kind.rows));
            let clean = Remedy::of(Check::Fault, name).name();
            types.push((rows, json!({"type": name, "findings": findings, "rows": rows, "clean": clean})));
        }
        types.sort_by_key(|(rows, _)| u64::MAX - rows);
        json!({"types": types.into_iter().map(|(_, shown)| shown).collect::<Vec<_>>()})
    }

    /// The findings of each kind that are shown, with the text around them.
    fn shown(&self) -> Vec<Value> {
        let policy = &self.asked.policy;
        let mut kinds: Vec<(Check, &str, &Kind)> = self.tally.kinds().collect();
        kinds.sort_by_key(|(check, name, kind)| (policy.harm_of(*check, name), u64::MAX - kind.rows, *check, *name));
        let mut all = Vec::new();
        for shown in kinds.iter().flat_map(|(_, _, kind)| &kind.shown) {
            let finding = &shown.finding;
            let Ok(mut value) = serde_json::to_value(finding) else { continue };
            let passage = finding.start.zip(finding.end).map(|(start, end)| start..end);
            let row = self.rows.get(&shown.place);
            let excerpt = match (&finding.field, passage, row) {
                (Some(field), Some(passage), Some(row)) => row.excerpt(field, passage),
                (_, _, Some(row)) => row.answer(),
                _ => None,
            };
            value["excerpt"] = excerpt.into();
            all.push(value);
        }
        all
    }
}

/// For each row the share of its long shingles that are in another row; those with none are in the first bin.
fn overlap(shared: &near::Shared) -> Value {
    let [none, tenths @ ..] = &shared.rows_by_tenths;
    let mut counts = tenths.to_vec();
    counts[0] += none;
    let edges: Vec<f64> = (0..=counts.len()).map(|tenth| tenth as f64 / 10.0).collect();
    json!({
        "n": shared.shingle_units,
        "sampled_one_in": shared.sampled_one_in,
        "histogram": {"edges": edges, "counts": counts},
    })
}

/// To six places, so that an f32 does not show its neighbours.
fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}
