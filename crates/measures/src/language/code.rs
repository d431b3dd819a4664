//! Lines of a text, and which of them are code.

use memchr::memchr;

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Prose,
    /// The opening or closing line of a fenced block.
    Fence,
    /// Inside of a fenced block.
    Fenced,
    /// Outside of any, but it looks like code.
    Code,
}

/// A line without its end.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    pub text: &'a str,
    /// Byte of the text at which it starts.
    pub start: usize,
    pub kind: Kind,
}

impl Line<'_> {
    pub fn is_code(&self) -> bool {
        self.kind != Kind::Prose
    }
}

/// The lines of a text. A fence that is never closed ends with the text.
pub fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    let mut start = 0;
    let mut fence = None;
    let mut after_code = false;
    std::iter::from_fn(move || {
        if start >= text.len() {
            return None;
        }
        let end = memchr(b'\n', &text.as_bytes()[start..]).map_or(text.len(), |n| start + n);
        let line = &text[start..end];
        let mut kind = kind(line, &mut fence);
        if after_code && kind == Kind::Prose && continues(line) {
            kind = Kind::Code;
        }
        // An empty line ends no block.
        after_code = kind == Kind::Code || after_code && line.trim().is_empty();
        let line = Line { text: line, start, kind };
        start = end + 1;
        Some(line)
    })
}

/// Share of the characters of a text that stand in code: fenced blocks, and lines that look like it.
pub fn code_share(text: &str) -> f32 {
    let mut share = Share::default();
    lines(text).for_each(|line| share.add(&line));
    share.of_code()
}

/// Characters of lines, without the white space around them.
#[derive(Default)]
pub(super) struct Share {
    all: usize,
    code: usize,
}

impl Share {
    pub(super) fn add(&mut self, line: &Line) {
        let n = line.text.trim().chars().count();
        self.all += n;
        self.code += if line.is_code() { n } else { 0 };
    }

    pub(super) fn of_code(&self) -> f32 {
        if self.all == 0 { 0.0 } else { self.code as f32 / self.all as f32 }
    }
}

fn kind(line: &str, fence: &mut Option<u8>) -> Kind {
    let trimmed = line.trim_start();
    let mark = if trimmed.starts_with("```") {
        Some(b'`')
    } else if trimmed.starts_with("~~~") {
        Some(b'~')
    } else {
        None
    };
    match (*fence, mark) {
        (None, Some(mark)) => {
            // ```one line``` opens nothing.
            if !(mark == b'`' && trimmed[3..].contains("```")) {
                *fence = Some(mark);
            }
            Kind::Fence
        }
        (Some(open), Some(mark)) if open == mark => {
            *fence = None;
            Kind::Fence
        }
        (Some(_), _) => Kind::Fenced,
        (None, None) if looks_like_code(trimmed.trim_end()) => Kind::Code,
        (None, None) => Kind::Prose,
    }
}

/// Whether a line that follows code belongs to it: indented, or a remark.
fn continues(line: &str) -> bool {
    let body = line.trim_start();
    let indented = line.len() - body.len() >= 2 || line.starts_with('\t');
    let item = body.starts_with(['-', '*', '•', '+']) || body.starts_with(|c: char| c.is_ascii_digit());
    !body.is_empty() && !item && (indented || body.starts_with('#') && !body.starts_with("##"))
}

/// Words that open a line of code, if the line also has one of the marks beside them.
const OPENINGS: [(&str, &[u8]); 26] = [
    ("def ", b"("),
    ("class ", b":{("),
    ("import ", b"._;{"),
    ("from ", b""),
    ("#include", b"<\""),
    ("function ", b"("),
    ("return ", b";=([."),
    ("for ", b"({:"),
    ("if ", b"({"),
    ("while ", b"({"),
    ("elif ", b":"),
    ("else:", b":"),
    ("public ", b"({;"),
    ("private ", b"({;"),
    ("static ", b"({;"),
    ("const ", b"="),
    ("let ", b"="),
    ("var ", b"="),
    ("int ", b"=(;"),
    ("print(", b"("),
    ("console.", b"("),
    ("//", b""),
    ("/*", b""),
    ("SELECT ", b""),
    ("$ ", b"-./"),
    ("@", b"("),
];

/// Share of marks from which on a line is code whatever else it says.
const MARKS_SHARE: f32 = 0.22;

/// 1 for the bytes that are frequent in code and rare in prose.
const MARKS: [u8; 256] = {
    let mut marks = [0; 256];
    let list = b"{}()[]=<>;_+&|\\\"'$#%*";
    let mut n = 0;
    while n < list.len() {
        marks[list[n] as usize] = 1;
        n += 1;
    }
    marks
};

fn looks_like_code(line: &str) -> bool {
    let bytes = line.as_bytes();
    if matches!(line, "{" | "}" | "(" | ")" | "[" | "]") {
        return true;
    }
    if bytes.len() < 2 || bytes[0] >= 0x80 {
        return false;
    }
    let last = bytes[bytes.len() - 1];
    let has = |marks: &[u8]| bytes.iter().any(|b| marks.contains(b));
    if matches!(last, b'{' | b'}') || last == b';' && has(b"=({})[]") {
        return true;
    }
    if OPENINGS
        .iter()
        .any(|(word, marks)| word.as_bytes()[0] == bytes[0] && line.starts_with(word) && opens(line, word, marks))
    {
        return true;
    }
    if bytes[0] == b'<' && last == b'>' && (bytes[1].is_ascii_alphabetic() || matches!(bytes[1], b'/' | b'!' | b'?')) {
        return true;
    }
    if is_assignment(line) {
        return true;
    }
    // The start of a line tells; prose has long ones.
    const READ_BYTES: usize = 160;
    let bytes = &bytes[..bytes.len().min(READ_BYTES)];
    let marks: usize = bytes.iter().map(|b| usize::from(MARKS[usize::from(*b)])).sum();
    marks >= 4
        && marks as f32 >= MARKS_SHARE * bytes.len() as f32
        && bytes.iter().any(|b| b"=({[<".contains(b))
        && bytes.iter().any(u8::is_ascii_alphabetic)
}

/// `name = value`, `a.b[0] += f(x)`: one name before a sign that prose has no use for.
fn is_assignment(line: &str) -> bool {
    let Some(sign) = memchr(b'=', line.as_bytes()) else { return false };
    let (name, value) = (&line[..sign], &line[sign + 1..]);
    let Some(value) = value.strip_prefix(' ') else { return false };
    let Some(name) = [" ", " +", " :"].iter().find_map(|before| name.strip_suffix(before)) else { return false };
    name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.[],'\"".contains(&b))
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && (value.contains(['(', '[', '{', '"', '\'', '.', '_']) || !value.contains(' ') && name.len() > 1)
        && !value.ends_with('.')
}

/// Whether a line that starts with a word of code goes on like code, since `for`, `from` and `let` are words of English, too.
fn opens(line: &str, word: &str, marks: &[u8]) -> bool {
    let rest = &line[word.len()..];
    match word {
        "from " => rest.contains(" import "),
        "SELECT " => rest.contains(" FROM ") || rest.contains(" from ") || rest.contains('*'),
        "//" | "/*" => true,
        "else:" => rest.is_empty(),
        "import " => !rest.contains(' ') || rest.contains(" as ") || rest.ends_with(';'),
        "class " | "for " | "if " | "while " | "elif " if !rest.ends_with([':', '{', ')', ';']) => false,
        "class " | "for " | "if " | "while " | "elif " => {
            rest.bytes().any(|b| b"()[]{}=<>".contains(&b)) || rest.split(' ').count() <= 4
        }
        _ => line.bytes().any(|b| marks.contains(&b)),
    }
}
