//! Plain templates, `{prompt} => {completion}`: for base models, which know no chat.

use super::{TextError, marks};
use std::collections::BTreeMap;

/// A parsed plain template. What stands before the last field is the prompt; the last field and what follows is the response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PlainTemplate {
    parts: Vec<Part>,
    response: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Field(String),
}

impl PlainTemplate {
    /// `{name}` is a field, `{{` and `}}` are braces.
    ///
    /// # Errors
    /// `BadPlainTemplate`.
    pub fn parse(source: &str) -> Result<Self, TextError> {
        let bad = |why: String| TextError::BadPlainTemplate { template: source.to_owned(), why };
        if let Some(code) = marks::reserved(source) {
            return Err(bad(format!("it holds the reserved character U+{code:04X}")));
        }
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = source;
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            let (brace, after) = rest[at..].split_at(1);
            if let Some(after) = after.strip_prefix(brace) {
                literal.push_str(brace);
                rest = after;
                continue;
            }
            let (name, after) = match after.split_once('}') {
                Some(field) if brace == "{" => field,
                _ => return Err(bad(format!("a lone {brace:?}; write {brace}{brace} for a brace"))),
            };
            if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-') {
                return Err(bad(format!("{{{name}}} is not the name of a field; write {{{{ and }}}} for braces")));
            }
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(Part::Field(name.to_owned()));
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        let response = parts
            .iter()
            .rposition(|p| matches!(p, Part::Field(_)))
            .ok_or_else(|| bad("it has no field such as {prompt}".into()))?;
        Ok(Self { parts, response })
    }

    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|p| match p {
            Part::Field(name) => Some(name.as_str()),
            Part::Literal(_) => None,
        })
    }

    /// The text behind the last field.
    pub fn after(&self) -> String {
        let literal = |part: &Part| match part {
            Part::Literal(text) => Some(text.clone()),
            Part::Field(_) => None,
        };
        self.parts[self.response + 1..].iter().filter_map(literal).collect()
    }

    /// (prompt, response). `guard` has its way with the values of the prompt.
    ///
    /// # Errors
    /// `MissingField`.
    pub fn fill(
        &self,
        fields: &BTreeMap<String, String>,
        guard: impl Fn(&str) -> Option<String>,
    ) -> Result<(String, String), TextError> {
        let (mut prompt, mut response) = (String::new(), String::new());
        for (i, part) in self.parts.iter().enumerate() {
            let out = if i < self.response { &mut prompt } else { &mut response };
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Field(name) => {
                    let value = fields.get(name).ok_or_else(|| TextError::MissingField { field: name.clone() })?;
                    match guard(value).filter(|_| i < self.response) {
                        Some(guarded) => out.push_str(&guarded),
                        None => out.push_str(value),
                    }
                }
            }
        }
        Ok((prompt, response))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(template: &str) -> Result<(String, String), String> {
        let fields = [("prompt", "P"), ("completion", "C")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let template = PlainTemplate::parse(template).map_err(|e| e.to_string())?;
        template.fill(&fields.into(), |_| None).map_err(|e| e.to_string())
    }

    #[test]
    fn prompt_and_response() {
        for (template, prompt, response) in [
            ("{prompt} => {completion}", "P => ", "C"),
            ("{completion}", "", "C"),
            ("<{prompt}> {{x}} {completion}!\n", "<P> {x} ", "C!\n"),
            ("{prompt}{completion}{{}}", "P", "C{}"),
        ] {
            assert_eq!(fill(template).unwrap(), (prompt.into(), response.into()), "{template}");
        }
    }

    #[test]
    fn refusals() {
        for (template, why) in [
            ("no field", "no field"),
            ("{prompt", "a lone \"{\""),
            ("prompt} {completion}", "a lone \"}\""),
            ("{a b}", "not the name of a field"),
            ("{}", "not the name of a field"),
            ("{\u{FDD0}}", "reserved"),
            ("{missing} {prompt}", "needs {missing}"),
        ] {
            let error = fill(template).unwrap_err();
            assert!(error.contains(why), "{template}: {error}");
        }
    }
}
