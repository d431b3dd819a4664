//! A row as the measures see it: named texts, each on its side of the example.

use measures::Part;

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
    /// The texts of one side, joined by line ends.
    pub fn part(&self, part: Part) -> String {
        let texts: Vec<&str> = self.fields.iter().filter(|f| f.part == part).map(|f| f.text.as_str()).collect();
        texts.join("\n")
    }
}
