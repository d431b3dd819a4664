//! Whether an answer is JSON of a given form.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What may stand around the JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Around {
    /// Nothing but white space.
    #[default]
    Nothing,
    /// One fence of backquotes, as chats write code.
    Fence,
}

/// A compiled JSON schema. References to other files or addresses are refused: nothing is fetched.
pub struct Schema(jsonschema::Validator);

/// What an answer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    NoJson {
        why: String,
    },
    /// JSON, but not of the form: where it departs and how.
    Departs {
        why: String,
    },
    Valid,
}

impl Schema {
    /// # Errors
    /// Why it is no schema.
    pub fn compile(schema: &Value) -> Result<Schema, String> {
        jsonschema::validator_for(schema).map(Schema).map_err(|e| e.to_string())
    }

    pub fn check(&self, answer: &str, around: Around) -> Form {
        let value: Value = match serde_json::from_str(bare(answer, around)) {
            Ok(value) => value,
            Err(e) => return Form::NoJson { why: e.to_string() },
        };
        match self.0.iter_errors(&value).next() {
            None => Form::Valid,
            Some(e) => Form::Departs { why: format!("{}: {e}", e.instance_path()) },
        }
    }
}

/// The text inside the fence where there is one and it may be.
pub fn bare(answer: &str, around: Around) -> &str {
    let answer = answer.trim();
    if around == Around::Nothing {
        return answer;
    }
    let inside = answer.strip_prefix("```").and_then(|rest| rest.strip_suffix("```"));
    let inside =
        inside.and_then(|rest| rest.split_once('\n')).filter(|(info, _)| !info.trim().contains(char::is_whitespace));
    inside.map_or(answer, |(_, code)| code.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn answers_against_a_form() {
        let schema = Schema::compile(&json!({
            "type": "object", "required": ["tone", "reply"], "additionalProperties": false,
            "properties": {"tone": {"enum": ["warm", "plain"]}, "reply": {"type": "string", "minLength": 2}},
        }))
        .expect("a schema");
        let valid = r#"{"tone":"warm","reply":"您好"}"#;
        assert_eq!(schema.check(&format!(" {valid}\n"), Around::Nothing), Form::Valid);
        assert_eq!(schema.check(&format!("```json\n{valid}\n```"), Around::Fence), Form::Valid);
        let no = |answer: &str, around| matches!(schema.check(answer, around), Form::NoJson { .. });
        assert!(no(&format!("```json\n{valid}\n```"), Around::Nothing));
        assert!(
            no(&format!("Here: {valid}"), Around::Fence) && no("", Around::Fence) && no("{\"tone\":", Around::Nothing)
        );
        for (answer, at) in [
            (r#"{"tone":"cold","reply":"no"}"#, "/tone"),
            (r#"{"tone":"warm","reply":"x"}"#, "/reply"),
            (r#"{"tone":"warm"}"#, "reply"),
            (r#"{"tone":"warm","reply":"ok","more":1}"#, "more"),
            ("[]", "object"),
        ] {
            let Form::Departs { why } = schema.check(answer, Around::Nothing) else { panic!("{answer}") };
            assert!(why.contains(at), "{answer}: {why}");
        }
    }

    #[test]
    fn no_schema_and_no_fetching() {
        assert!(Schema::compile(&json!({"type": "strange"})).is_err());
        assert!(Schema::compile(&json!({"$ref": "https://example.com/form.json"})).is_err());
    }
}
