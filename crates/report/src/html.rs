//! Text that becomes part of a page.

use crate::plot::{self, Tone};

/// For text between tags and inside quoted attributes. What cannot be seen is written out, as such characters are what a
/// reader of a report looks for, and as some of them would turn the text around them.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            _ => push_visible(c, &mut out),
        }
    }
    out
}

/// The same for a terminal, which would obey control codes: one line, nothing hidden.
pub fn one_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' => out.push(' '),
            _ => push_visible(c, &mut out),
        }
    }
    out
}

/// A table whose columns are headed; cells are HTML.
pub struct Table {
    /// A class of the page's style; empty for a plain table.
    pub class: &'static str,
    /// What the table holds, for those who cannot see it.
    pub caption: String,
    pub columns: Vec<Column>,
    pub rows: Vec<Vec<String>>,
}

pub struct Column {
    pub head: String,
    pub kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    Words,
    Number,
    /// A bar that stands for the number beside it: left out where there is no room.
    Bar,
    /// Numbers that a narrow page writes below the first cell.
    Extra,
}

impl Kind {
    fn class(self) -> &'static str {
        match self {
            Kind::Words => "words",
            Kind::Number => "num",
            Kind::Bar => "bar",
            Kind::Extra => "num extra",
        }
    }
}

pub fn column(head: &str, kind: Kind) -> Column {
    Column { head: escape(head), kind }
}

impl Table {
    pub fn html(&self) -> String {
        let mut out =
            format!("<table class=\"{}\"><caption>{}</caption><thead><tr>", self.class, escape(&self.caption));
        for column in &self.columns {
            // A bar repeats its neighbour, so readers of the page aloud need not meet it.
            let hidden = if column.kind == Kind::Bar { " aria-hidden=\"true\"" } else { "" };
            out.push_str(&format!("<th scope=\"col\" class=\"{}\"{hidden}>{}</th>", column.kind.class(), column.head));
        }
        out.push_str("</tr></thead><tbody>");
        for row in &self.rows {
            out.push_str("<tr>");
            for (i, (cell, column)) in row.iter().zip(&self.columns).enumerate() {
                let hidden = if column.kind == Kind::Bar { " aria-hidden=\"true\"" } else { "" };
                let extra = if i == 0 { self.extra(row) } else { String::new() };
                out.push_str(&format!("<td class=\"{}\"{hidden}>{cell}{extra}</td>", column.kind.class()));
            }
            out.push_str("</tr>");
        }
        out.push_str("</tbody></table>");
        out
    }

    fn extra(&self, row: &[String]) -> String {
        let cells = row.iter().zip(&self.columns).filter(|(_, column)| column.kind == Kind::Extra);
        cells
            .map(|(cell, column)| format!("<span class=\"under only-narrow\">{}: {cell}</span>", column.head))
            .collect()
    }
}

/// The bar of a table's cell.
pub fn bar(share: f64, tone: Tone) -> String {
    plot::cell(share, tone).unwrap_or_default()
}

fn push_visible(c: char, out: &mut String) {
    let code = c as u32;
    match code {
        0..0x20 => out.push(char::from_u32(0x2400 + code).unwrap_or('\u{fffd}')),
        0x7f => out.push('\u{2421}'),
        0x80..0xa0 | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xfeff | 0xad => {
            out.push_str(&format!("⟨U+{code:04X}⟩"))
        }
        _ => out.push(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_text_is_markup_or_hidden() {
        for (text, expected) in [
            ("a < b & \"c\"", "a &lt; b &amp; &quot;c&quot;"),
            ("</script><script>alert('x')", "&lt;/script&gt;&lt;script&gt;alert(&#39;x&#39;)"),
            ("\0\u{1b}[31m", "\u{2400}\u{241b}[31m"),
            ("a\u{200b}b\u{202e}c\u{feff}", "a⟨U+200B⟩b⟨U+202E⟩c⟨U+FEFF⟩"),
            ("两行\n文字", "两行\n文字"),
        ] {
            assert_eq!(escape(text), expected);
        }
        assert_eq!(one_line("a\r\nb\u{1b}]0;"), "a  b\u{241b}]0;");
    }
}
