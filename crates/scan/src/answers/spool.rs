//! The files of a shard: rows of a fixed size, and beside them their tokens and prints.

use super::Error;
use super::sketch::{AnswerForm, Form, Mark, Pair, Sketch, Turns};
use measures::quality::prints::Print;
use measures::quality::tokens::SPELLING;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// Takes the sketches of one shard to files `answers-N.*` of a folder.
pub struct Index {
    stem: PathBuf,
    shard: u32,
    rows: Out,
    tokens: Out,
    prints: Out,
    count: u64,
    shapes: HashMap<Vec<String>, u32>,
}

/// What is fixed of a row. A hash of 0 stands for none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Kept {
    pub file: u32,
    pub shape: u32,
    pub line: u64,
    pub pair: Option<KeptPair>,
    pub prints: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct KeptPair {
    pub question: u64,
    pub answer: u64,
    pub head: Option<u64>,
    pub tail: Option<u64>,
    pub question_weight: u32,
    pub answer_weight: u32,
    pub form: Form,
    pub tokens: u16,
    pub echo: u8,
}

/// A shard that was closed.
#[derive(Clone, Debug)]
pub(super) struct Shard {
    stem: PathBuf,
    pub shard: u32,
    pub rows: u64,
    /// Names of fields, by shape.
    pub shapes: Vec<Vec<String>>,
}

/// Written last: a shard without it was not closed.
#[derive(Serialize, Deserialize)]
struct Names {
    version: u32,
    shard: u32,
    rows: u64,
    /// Lengths of the other files.
    bytes: [u64; FILES.len()],
    shapes: Vec<Vec<String>>,
}

const FILES: [&str; 3] = ["rows", "tokens", "prints"];
const ROWS: usize = 0;
const TOKENS: usize = 1;
const PRINTS: usize = 2;
const VERSION: u32 = 1 << 16 | SPELLING;
const ROW_BYTES: usize = 64;
const MARK_BYTES: usize = 10;
const PRINT_BYTES: usize = 10;
const BUFFER_BYTES: usize = 1 << 18;
const NAMES: &str = "names";

const HAS_PAIR: u8 = 1;
const SEVERAL_TURNS: u8 = 2;
const LABEL: u8 = 4;

impl Index {
    /// # Errors
    /// The folder cannot be written to.
    pub fn new(folder: &Path, shard: u32) -> Result<Self, Error> {
        let stem = folder.join(format!("answers-{shard}"));
        // A state of an earlier run must not be taken for this one.
        match std::fs::remove_file(stem.with_extension(NAMES)) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::Io { op: "remove", path: stem.with_extension(NAMES), source });
            }
            _ => {}
        }
        let out = |file| Out::new(stem.with_extension(FILES[file]));
        let (rows, tokens, prints) = (out(ROWS)?, out(TOKENS)?, out(PRINTS)?);
        Ok(Self { rows, tokens, prints, stem, shard, count: 0, shapes: HashMap::new() })
    }

    /// Adds a row. Their order does not matter.
    ///
    /// # Errors
    /// The disk is full or gone.
    pub fn push(&mut self, sketch: &Sketch) -> Result<(), Error> {
        let shape = match self.shapes.get(&sketch.names) {
            Some(&shape) => shape,
            None => {
                let shape = self.shapes.len() as u32;
                self.shapes.insert(sketch.names.clone(), shape);
                shape
            }
        };
        let prints = sketch.prints.len() as u32;
        let pair = sketch.pair.as_ref().map(KeptPair::of);
        self.rows.write(&Kept { file: sketch.file, shape, line: sketch.line, pair, prints }.bytes())?;
        self.count += 1;
        if let Some(pair) = &sketch.pair {
            for mark in &pair.tokens {
                self.tokens.write(&mark_bytes(mark))?;
            }
            for hash in &pair.echo {
                self.tokens.write(&hash.to_le_bytes())?;
            }
        }
        for (field, print) in &sketch.prints {
            self.prints.write(&print_bytes(*field, print))?;
        }
        Ok(())
    }

    /// Ends the shard. Without it, `finish` does not take the folder.
    ///
    /// # Errors
    /// The disk is full or gone.
    pub fn close(mut self) -> Result<(), Error> {
        let bytes = [self.rows.end()?, self.tokens.end()?, self.prints.end()?];
        let mut shapes: Vec<(Vec<String>, u32)> = self.shapes.into_iter().collect();
        shapes.sort_by_key(|(_, at)| *at);
        let shapes = shapes.into_iter().map(|(names, _)| names).collect();
        let names = Names { version: VERSION, shard: self.shard, rows: self.count, bytes, shapes };
        let mut out = Out::new(self.stem.with_extension(NAMES))?;
        let text = serde_json::to_vec(&names).map_err(|e| out.failed("write")(e.into()))?;
        out.write(&text)?;
        out.end().map(|_| ())
    }
}

impl Shard {
    /// The shards of all folders, by number.
    pub fn open(folders: &[PathBuf]) -> Result<Vec<Self>, Error> {
        let mut shards: Vec<Self> = Vec::new();
        for folder in folders {
            let failed = |source| Error::Io { op: "list", path: folder.clone(), source };
            let before = shards.len();
            for entry in std::fs::read_dir(folder).map_err(failed)? {
                let path = entry.map_err(failed)?.path();
                let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                if name.starts_with("answers-") && name.ends_with(".names") {
                    shards.push(Self::read(&path)?);
                }
            }
            if shards.len() == before {
                return Err(Error::NoState { folder: folder.clone() });
            }
        }
        shards.sort_by(|a, b| (a.shard, &a.stem).cmp(&(b.shard, &b.stem)));
        let names = |shard: &Self| shard.stem.with_extension(NAMES);
        match shards.windows(2).find(|two| two[0].shard == two[1].shard) {
            Some(two) => Err(Error::SameShard { shard: two[0].shard, first: names(&two[0]), second: names(&two[1]) }),
            None => Ok(shards),
        }
    }

    fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read(path).map_err(|source| Error::Io { op: "read", path: path.to_owned(), source })?;
        let damaged =
            |expected: &str, got| Error::Damaged { path: path.to_owned(), expected: expected.to_owned(), got };
        let names: Names = serde_json::from_slice(&text).map_err(|e| damaged("the names of a shard", e.to_string()))?;
        if names.version != VERSION {
            return Err(damaged(&format!("version {VERSION}"), format!("version {}", names.version)));
        }
        for (file, bytes) in FILES.iter().zip(names.bytes) {
            let path = path.with_extension(file);
            let got =
                std::fs::metadata(&path).map_err(|source| Error::Io { op: "open", path: path.clone(), source })?.len();
            if got != bytes {
                return Err(Error::Damaged { path, expected: format!("{bytes} bytes"), got: format!("{got}") });
            }
        }
        Ok(Self { stem: path.with_extension(""), shard: names.shard, rows: names.rows, shapes: names.shapes })
    }

    pub fn open_rows(&self) -> Result<In, Error> {
        In::new(self.stem.with_extension(FILES[ROWS]))
    }

    pub fn tokens(&self) -> Result<In, Error> {
        In::new(self.stem.with_extension(FILES[TOKENS]))
    }

    pub fn prints(&self) -> Result<In, Error> {
        In::new(self.stem.with_extension(FILES[PRINTS]))
    }

    /// The name of a field of a row.
    pub fn name(&self, row: &Kept, field: u8) -> String {
        self.shapes.get(row.shape as usize).and_then(|names| names.get(usize::from(field))).cloned().unwrap_or_default()
    }
}

impl KeptPair {
    fn of(pair: &Pair) -> Self {
        Self {
            question: pair.question,
            answer: pair.answer,
            head: pair.head,
            tail: pair.tail,
            question_weight: pair.question_weight,
            answer_weight: pair.answer_weight,
            form: pair.form,
            tokens: pair.tokens.len() as u16,
            echo: pair.echo.len() as u8,
        }
    }
}

impl Kept {
    fn bytes(&self) -> [u8; ROW_BYTES] {
        let mut out = Fixed { bytes: [0; ROW_BYTES], at: 0 };
        out.put(&self.file.to_le_bytes());
        out.put(&self.shape.to_le_bytes());
        out.put(&self.line.to_le_bytes());
        out.put(&self.prints.to_le_bytes());
        if let Some(pair) = &self.pair {
            out.put(&pair.question.to_le_bytes());
            out.put(&pair.answer.to_le_bytes());
            out.put(&pair.head.unwrap_or(0).to_le_bytes());
            out.put(&pair.tail.unwrap_or(0).to_le_bytes());
            out.put(&pair.question_weight.to_le_bytes());
            out.put(&pair.answer_weight.to_le_bytes());
            out.put(&pair.tokens.to_le_bytes());
            let several = if pair.form.turns == Turns::Several { SEVERAL_TURNS } else { 0 };
            let label = if pair.form.answer == AnswerForm::Label { LABEL } else { 0 };
            out.put(&[pair.echo, HAS_PAIR | several | label]);
        }
        out.bytes
    }

    fn of(bytes: &[u8; ROW_BYTES]) -> Self {
        let mut from = Fixed { bytes: *bytes, at: 0 };
        let (file, shape, line, prints) = (from.u32(), from.u32(), from.u64(), from.u32());
        let (question, answer, head, tail) = (from.u64(), from.u64(), from.u64(), from.u64());
        let (question_weight, answer_weight) = (from.u32(), from.u32());
        let tokens = u16::from_le_bytes(from.take());
        let [echo, flags] = from.take();
        let turns = if flags & SEVERAL_TURNS != 0 { Turns::Several } else { Turns::One };
        let form = if flags & LABEL != 0 { AnswerForm::Label } else { AnswerForm::Text };
        let some = |hash| (hash != 0).then_some(hash);
        let pair = (flags & HAS_PAIR != 0).then(|| KeptPair {
            question,
            answer,
            head: some(head),
            tail: some(tail),
            question_weight,
            answer_weight,
            form: Form { turns, answer: form },
            tokens,
            echo,
        });
        Self { file, shape, line, pair, prints }
    }
}

/// Bytes filled or read from the front.
struct Fixed {
    bytes: [u8; ROW_BYTES],
    at: usize,
}

impl Fixed {
    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let taken = std::array::from_fn(|i| self.bytes[self.at + i]);
        self.at += N;
        taken
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }
}

fn mark_bytes(mark: &Mark) -> [u8; MARK_BYTES] {
    let [a, b, c, d] = mark.hash.to_le_bytes();
    let [e, f, g, _] = mark.start.to_le_bytes();
    let [h, i] = mark.chars.to_le_bytes();
    [a, b, c, d, e, f, g, mark.field, h, i]
}

fn print_bytes(field: u8, print: &Print) -> [u8; PRINT_BYTES] {
    let [a, b, c, d] = print.hash.to_le_bytes();
    let [e, f, g, _] = print.at.start.to_le_bytes();
    let [h, i] = ((print.at.end - print.at.start) as u16).to_le_bytes();
    [a, b, c, d, e, f, g, field, h, i]
}

/// A file of a shard that is read from front to back.
pub(super) struct In {
    path: PathBuf,
    file: BufReader<File>,
    len: u64,
    buffer: Vec<u8>,
}

impl In {
    fn new(path: PathBuf) -> Result<Self, Error> {
        match File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file))) {
            Ok((len, file)) => {
                Ok(Self { path, file: BufReader::with_capacity(BUFFER_BYTES, file), len, buffer: Vec::new() })
            }
            Err(source) => Err(Error::Io { op: "open", path, source }),
        }
    }

    pub fn row(&mut self) -> Result<Kept, Error> {
        let mut bytes = [0; ROW_BYTES];
        match self.file.read_exact(&mut bytes) {
            Ok(()) => Ok(Kept::of(&bytes)),
            Err(source) => Err(self.failed(source)),
        }
    }

    pub fn marks(&mut self, count: u16, into: &mut Vec<Mark>) -> Result<(), Error> {
        into.clear();
        for bytes in self.bytes(usize::from(count) * MARK_BYTES)?.chunks_exact(MARK_BYTES) {
            let hash = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            let start = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], 0]);
            into.push(Mark { hash, start, field: bytes[7], chars: u16::from_le_bytes([bytes[8], bytes[9]]) });
        }
        Ok(())
    }

    pub fn hashes(&mut self, count: u8, into: &mut Vec<u32>) -> Result<(), Error> {
        into.clear();
        let bytes = self.bytes(usize::from(count) * 4)?;
        into.extend(bytes.chunks_exact(4).map(|four| u32::from_le_bytes([four[0], four[1], four[2], four[3]])));
        Ok(())
    }

    pub fn prints(&mut self, count: u32, into: &mut Vec<(u8, Print)>) -> Result<(), Error> {
        into.clear();
        for bytes in self.bytes(count as usize * PRINT_BYTES)?.chunks_exact(PRINT_BYTES) {
            let hash = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            let start = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], 0]);
            let chars = u32::from(u16::from_le_bytes([bytes[8], bytes[9]]));
            into.push((bytes[7], Print { hash, at: start..start + chars }));
        }
        Ok(())
    }

    fn bytes(&mut self, count: usize) -> Result<&[u8], Error> {
        // A count that the file cannot hold must not be allocated.
        if count as u64 > self.len {
            return Err(self.failed(std::io::ErrorKind::UnexpectedEof.into()));
        }
        self.buffer.resize(count, 0);
        match self.file.read_exact(&mut self.buffer) {
            Ok(()) => Ok(&self.buffer),
            Err(source) => Err(self.failed(source)),
        }
    }

    fn failed(&self, source: std::io::Error) -> Error {
        let path = self.path.clone();
        match source.kind() {
            std::io::ErrorKind::UnexpectedEof => {
                let (expected, got) = ("as many rows as were pushed".to_owned(), "the end of the file".to_owned());
                Error::Damaged { path, expected, got }
            }
            _ => Error::Io { op: "read", path, source },
        }
    }
}

struct Out {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Out {
    fn new(path: PathBuf) -> Result<Self, Error> {
        match File::create(&path) {
            Ok(file) => Ok(Self { path, file: BufWriter::with_capacity(BUFFER_BYTES, file) }),
            Err(source) => Err(Error::Io { op: "create", path, source }),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes).map_err(|source| self.failed("write")(source))
    }

    /// Writes what is left, and says how long the file is.
    fn end(&mut self) -> Result<u64, Error> {
        let flushed = self.file.flush().and_then(|()| self.file.get_ref().metadata());
        flushed.map(|metadata| metadata.len()).map_err(|source| self.failed("write")(source))
    }

    fn failed(&self, op: &'static str) -> impl FnOnce(std::io::Error) -> Error {
        let path = self.path.clone();
        move |source| Error::Io { op, path, source }
    }
}
