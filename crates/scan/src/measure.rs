//! What is said of one row: a function of the row and of what was asked, for any thread.

use crate::error::ScanError;
use crate::finding::{Check, Finding};
use crate::languages::Said;
use crate::names::Names;
use crate::plan::Measure;
use crate::policy::Policy;
use crate::row::{Field, Row};
use crate::{answers, near};
use data::text::TokenCounter;
use measures::faults::{self, Context};
use measures::language::{self, Language, Profile};
use measures::quality::{self, Known, Quality, WordList};
use measures::verbs::{self, Analysis, Tongue};
use measures::{Part, Spot, pii};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// What a row is measured by.
pub struct Measures {
    pub wanted: BTreeSet<Measure>,
    pub policy: Policy,
    pub tokens: Option<TokenCounter>,
    pub words: Option<WordList>,
    pub near: near::Settings,
    pub names: Option<Names>,
}

/// What was found out about a row.
#[derive(Default)]
pub struct Measured {
    pub findings: Vec<Finding>,
    pub lengths: Vec<(&'static str, u64)>,
    pub languages: Option<LanguagesOf>,
    pub analysis: Option<Analysis>,
    pub quality: Option<Quality>,
    pub answers: Option<answers::Sketch>,
    pub near: Option<near::Sketch>,
}

/// A share of code from which a text has code in it.
const CODE_SHARE: f32 = 0.1;
/// Less sure readings are guesses: a name, a letter.
const SURE: f32 = 0.5;
const SIDES: [Part; 3] = [Part::Instruction, Part::Response, Part::Text];

impl Measures {
    pub fn wants(&self, measure: Measure) -> bool {
        self.wanted.contains(&measure)
    }

    /// Whether rows are compared with each other.
    pub fn compares(&self) -> bool {
        self.wants(Measure::Duplicates) || self.wants(Measure::Leaks)
    }

    /// Rows of evaluation files are only compared.
    ///
    /// # Errors
    /// A model for names that fails.
    pub fn row(&self, row: &Row, set: near::SetId) -> Result<Measured, ScanError> {
        let of_row = if set.is_train() { self.train(row)? } else { Measured::default() };
        let near = self.compares().then(|| near::sketch(row, set, &self.near));
        Ok(Measured { near, ..of_row })
    }

    fn train(&self, row: &Row) -> Result<Measured, ScanError> {
        let sides = Sides::of(row);
        let mut out = Out { policy: &self.policy, row, findings: Vec::new() };
        let context = Context::of(&sides.instruction);
        let mut of_answer = Vec::new();
        if self.wants(Measure::Faults) {
            for field in &row.fields {
                let mut spots = faults::find(&field.text, field.part, context);
                spots.extend(faults::overlong(&field.text, self.policy.overlong_characters as usize));
                spots.iter().for_each(|spot| out.spot(Check::Fault, field, spot));
                if field.part == Part::Response {
                    of_answer.extend(spots);
                }
            }
        }
        if self.wants(Measure::Pii) {
            for field in &row.fields {
                for spot in pii::find(&field.text) {
                    let check = if pii::is_secret(spot.kind) { Check::Secret } else { Check::Pii };
                    out.spot(check, field, &spot);
                }
            }
        }
        if let Some(names) = self.names.as_ref().filter(|_| self.wants(Measure::Pii)) {
            let texts: Vec<&str> = row.fields.iter().map(|field| field.text.as_str()).collect();
            for (field, spots) in row.fields.iter().zip(names.find(&texts)?) {
                spots.iter().for_each(|spot| out.spot(Check::Pii, field, spot));
            }
        }
        let profiles = self.profiles(&sides);
        let languages = self.wants(Measure::Languages).then(|| languages(&sides, &profiles, &mut out));
        let analysis = self.wants(Measure::Instructions).then(|| analysis(&sides, &profiles)).flatten();
        let quality = (self.wants(Measure::Quality) && !sides.response.is_empty()).then(|| {
            let quality = quality::quality(&sides.instruction, &sides.response, &Known { faults: &of_answer });
            self.judge(&quality, row, &mut out);
            quality
        });
        if let Some(words) = &self.words {
            for field in &row.fields {
                words.find(&field.text).iter().for_each(|spot| out.spot(Check::Poison, field, spot));
            }
        }
        let lengths = self.lengths(&sides)?;
        if let Some(limit) = self.policy.seq_len_max.iter().max()
            && lengths.iter().any(|(name, length)| *name == "whole.tokens" && length > limit)
        {
            out.row(Check::Length, "overlong", 1.0, &format!("more than {limit} tokens"));
        }
        let Out { findings, .. } = out;
        Ok(Measured {
            findings,
            lengths,
            languages,
            analysis,
            quality,
            answers: self.wants(Measure::Answers).then(|| answers::sketch(row)),
            near: None,
        })
    }

    /// Of each side of the example, where a measure needs it.
    fn profiles(&self, sides: &Sides) -> Vec<(Part, Profile)> {
        if !self.wants(Measure::Languages) && !self.wants(Measure::Instructions) {
            return Vec::new();
        }
        let said = SIDES.iter().filter(|part| !sides.text(**part).is_empty());
        said.map(|part| (*part, language::profile(sides.text(*part)))).collect()
    }

    fn judge(&self, quality: &Quality, row: &Row, out: &mut Out) {
        if quality.score < self.policy.quality_min {
            let worst = quality.parts.iter().min_by(|a, b| a.1.total_cmp(&b.1)).map_or("", |(part, _)| part.name());
            out.row(Check::Quality, "low", 1.0 - quality.score, worst);
        }
        if let Some(confidence) = quality.off_topic {
            let answer = row.fields.iter().rfind(|field| field.part == Part::Response);
            out.finding(Check::Poison, "off_topic", answer, confidence, "shares_nothing_with_its_question");
        }
    }

    /// Characters and tokens of each side and of the whole.
    fn lengths(&self, sides: &Sides) -> Result<Vec<(&'static str, u64)>, ScanError> {
        if !self.wants(Measure::Lengths) {
            return Ok(Vec::new());
        }
        let characters = |text: &str| Ok(text.chars().count() as u64);
        let mut lengths =
            sides.lengths(["instruction.characters", "response.characters", "whole.characters"], &characters)?;
        if let Some(tokens) = &self.tokens {
            let tokens = |text: &str| Ok(tokens.count(text)?);
            lengths.extend(sides.lengths(["instruction.tokens", "response.tokens", "whole.tokens"], &tokens)?);
        }
        Ok(lengths)
    }
}

/// The texts of a row by side, those of one side joined.
struct Sides<'a> {
    instruction: Cow<'a, str>,
    response: Cow<'a, str>,
    /// System prompts and texts without sides.
    rest: Cow<'a, str>,
}

impl<'a> Sides<'a> {
    fn of(row: &'a Row) -> Self {
        Self {
            instruction: row.parts(&[Part::Instruction]),
            response: row.parts(&[Part::Response]),
            rest: row.parts(&[Part::System, Part::Text]),
        }
    }

    /// Of instruction, response (where there is any) and the whole, in one unit.
    fn lengths(
        &self,
        names: [&'static str; 3],
        of: &dyn Fn(&str) -> Result<u64, ScanError>,
    ) -> Result<Vec<(&'static str, u64)>, ScanError> {
        let mut lengths = Vec::with_capacity(3);
        let mut whole = of(&self.rest)?;
        for (name, text) in [(names[0], &self.instruction), (names[1], &self.response)] {
            if !text.is_empty() {
                let length = of(text)?;
                whole += length;
                lengths.push((name, length));
            }
        }
        lengths.push((names[2], whole));
        Ok(lengths)
    }

    fn text(&self, part: Part) -> &str {
        match part {
            Part::Instruction => &self.instruction,
            Part::Response => &self.response,
            Part::Text | Part::System => &self.rest,
        }
    }
}

/// What is said of each side, and the languages of a question and an answer that differ.
pub type LanguagesOf = (Vec<(Part, Said)>, Option<(&'static str, &'static str)>);

fn languages(sides: &Sides, profiles: &[(Part, Profile)], out: &mut Out) -> LanguagesOf {
    let said = |(part, profile): &(Part, Profile)| {
        let language = profile.main.filter(|main| main.confidence >= SURE).map(|main| main.language.iso());
        let han = profile.main.and_then(|main| main.han);
        (*part, Said { han, language, mixed: profile.is_mixed(), code: profile.code >= CODE_SHARE })
    };
    for (part, _) in profiles.iter().filter(|(_, profile)| profile.is_mixed()) {
        let field = out.row.fields.iter().find(|field| field.part == *part);
        out.finding(Check::Language, "mixed", field, 0.7, "whole_sentences_in_two_languages");
    }
    let of = |wanted| profiles.iter().find(|(part, _)| *part == wanted).map(|(_, profile)| profile);
    let mut other = None;
    if let (Some(asked), Some(answered)) = (of(Part::Instruction), of(Part::Response))
        && let Some(confidence) = language::mismatch(&sides.instruction, asked, answered)
    {
        let names = asked.main.zip(answered.main).map(|(a, b)| (a.language.iso(), b.language.iso()));
        let answer = out.row.fields.iter().rfind(|field| field.part == Part::Response);
        let why = names.map_or(String::new(), |(asked, answered)| format!("asked in {asked}, answered in {answered}"));
        if out.finding(Check::Fault, "language_mismatch", answer, confidence, &why) {
            other = names;
        }
    }
    (profiles.iter().map(said).collect(), other)
}

fn analysis(sides: &Sides, profiles: &[(Part, Profile)]) -> Option<Analysis> {
    let (part, profile) = profiles.iter().find(|(part, _)| *part != Part::Response)?;
    let tongue = match profile.main?.language {
        Language::Chinese => Tongue::Chinese,
        Language::English => Tongue::English,
        _ => return None,
    };
    Some(verbs::analyse(sides.text(*part), tongue))
}

/// Enough of a confidence to be read, and the same in every file.
pub fn thousandths(confidence: f32) -> f32 {
    (confidence.clamp(0.0, 1.0) * 1000.0).round() / 1000.0
}

/// Where findings of a row are put together.
struct Out<'a> {
    policy: &'a Policy,
    row: &'a Row,
    findings: Vec<Finding>,
}

impl Out<'_> {
    fn spot(&mut self, check: Check, field: &Field, spot: &Spot) {
        if self.finding(check, spot.kind, Some(field), spot.confidence, spot.rule)
            && let Some(finding) = self.findings.last_mut()
        {
            let start = field.text[..spot.at.start].chars().count() as u64;
            finding.start = Some(start);
            finding.end = Some(start + field.text[spot.at.clone()].chars().count() as u64);
        }
    }

    fn row(&mut self, check: Check, kind: &str, confidence: f32, why: &str) -> bool {
        self.finding(check, kind, None, confidence, why)
    }

    /// Whether it counts.
    fn finding(&mut self, check: Check, kind: &str, field: Option<&Field>, confidence: f32, why: &str) -> bool {
        if confidence < self.policy.confidence || self.policy.ignores(check, kind) {
            return false;
        }
        self.findings.push(Finding {
            field: field.map(|field| field.name.clone()),
            confidence: thousandths(confidence),
            why: why.to_owned(),
            ..Finding::new(check, kind, self.row.line)
        });
        true
    }
}
