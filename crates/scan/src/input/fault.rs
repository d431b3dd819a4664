//! What is wrong with a row, as findings name it.

/// Something wrong with a row that the text measures do not see: it lies in how the row is written or which fields it has.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// `invalid_utf8`, `malformed_json`, `missing_field`, …
    pub kind: &'static str,
    /// Byte of the row, from 1.
    pub column: Option<u64>,
    pub field: Option<String>,
    /// From 0 to 1; from 0.5 on it is a finding.
    pub confidence: f32,
    /// In a few words, without the row's own text.
    pub why: String,
}

/// Confidence of what is worth a line and does no harm.
pub(super) const HARMLESS: f32 = 0.3;

impl Fault {
    pub(super) fn new(kind: &'static str, why: impl Into<String>) -> Self {
        Self { kind, column: None, field: None, confidence: 1.0, why: why.into() }
    }

    pub(super) fn at(self, column: usize) -> Self {
        Self { column: Some(column as u64 + 1), ..self }
    }

    pub(super) fn of(self, field: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..self }
    }
}
