//! A row as the measures see it: named texts, each on its side of the example.

use measures::Part;
use std::borrow::Cow;

/// A row of a file whose content was understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Index of the file among the scanned ones.
    pub file: u32,
    /// See `data::Origin::line`.
    pub line: u64,
    pub fields: Vec<Field>,
}

/// A text of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// As the file has it: `output`, `messages[2].content`.
    pub name: String,
    pub part: Part,
    pub text: String,
}

impl Row {
    /// The texts of some sides, joined by line ends. Empty fields, such as an input that is not there, add no line.
    pub fn parts(&self, wanted: &[Part]) -> Cow<'_, str> {
        let fields = self.fields.iter().filter(|field| wanted.contains(&field.part) && !field.text.is_empty());
        let mut texts = fields.map(|field| field.text.as_str());
        let Some(first) = texts.next() else { return Cow::Borrowed("") };
        texts.fold(Cow::Borrowed(first), |all, text| Cow::Owned(all.into_owned() + "\n" + text))
    }
}
