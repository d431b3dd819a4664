//! From a path to the text inside: decompression, byte order marks, and what kind of file it is.

use super::decode::{self, Encoding};
use crate::error::DataError;
use crate::hashing::{HashingReader, Seen};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

const BUFFER_BYTES: usize = 1 << 18;
pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// How rows are laid out in a file, after decompression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Container {
    JsonLines,
    JsonArray,
    Csv,
    Tsv,
    Text,
    Parquet,
}

impl Container {
    pub fn name(self) -> &'static str {
        match self {
            Container::JsonLines => "jsonl",
            Container::JsonArray => "json array",
            Container::Csv => "csv",
            Container::Tsv => "tsv",
            Container::Text => "txt",
            Container::Parquet => "parquet",
        }
    }

    /// As `name`, when the file is compressed.
    pub fn packed_name(self) -> &'static str {
        match self {
            Container::JsonLines => "compressed jsonl",
            Container::JsonArray => "compressed json array",
            Container::Csv => "compressed csv",
            Container::Tsv => "compressed tsv",
            Container::Text => "compressed txt",
            Container::Parquet => "compressed parquet",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

/// What happens to a text that is not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Foreign {
    /// Training learns from files as they are.
    Refuse,
    /// Converted while it is read, for those who only look.
    Decode,
}

/// A file opened for reading its text: decompressed, hashed as it passes, and past a byte order mark.
pub(crate) struct Opened {
    pub text: Box<dyn BufRead + Send>,
    pub container: Container,
    pub compression: Compression,
    pub encoding: Encoding,
    pub mark: Mark,
}

impl Opened {
    /// What the file is, in a word.
    pub fn name(&self) -> &'static str {
        match self.compression {
            Compression::None => self.container.name(),
            Compression::Gzip | Compression::Zstd => self.container.packed_name(),
        }
    }
}

/// Whether a UTF-8 text began with a byte order mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    None,
    ByteOrder,
}

/// Opens `path` and finds out by its first bytes and its name what it holds. `seen` follows the bytes of the file itself.
pub(crate) fn open(path: &Path, seen: &Seen, foreign: Foreign) -> Result<Opened, DataError> {
    let meta = match std::fs::metadata(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(DataError::NoSuchFile { path: path.to_owned() });
        }
        other => other.map_err(DataError::io("open", path))?,
    };
    if meta.is_dir() {
        return Err(DataError::NotAFile { path: path.to_owned() });
    }
    let file = File::open(path).map_err(DataError::io("open", path))?;
    let mut raw = BufReader::with_capacity(BUFFER_BYTES, HashingReader::new(file, seen.clone()));
    let compression = compression(path, peek(&mut raw, path)?)?;
    let mut text: Box<dyn BufRead + Send> = match compression {
        Compression::None => Box::new(raw),
        Compression::Gzip => {
            Box::new(BufReader::with_capacity(BUFFER_BYTES, flate2::bufread::MultiGzDecoder::new(raw)))
        }
        Compression::Zstd => {
            let decoder = zstd::Decoder::with_buffer(raw).map_err(DataError::io("unpack", path))?;
            Box::new(BufReader::with_capacity(BUFFER_BYTES, decoder))
        }
    };
    let encoding = match foreign {
        Foreign::Refuse => decode::by_mark(peek(&mut text, path)?),
        Foreign::Decode => decode::by_looking(peek(&mut text, path)?),
    };
    if !encoding.is_utf8() {
        if foreign == Foreign::Refuse || encoding == Encoding::Utf32 {
            return Err(DataError::Encoding { path: path.to_owned(), encoding: encoding.name() });
        }
        text = Box::new(BufReader::with_capacity(BUFFER_BYTES, decode::Decoding::new(text, encoding)));
    }
    let mut mark = Mark::None;
    if peek(&mut text, path)?.starts_with(BYTE_ORDER_MARK) {
        text.consume(BYTE_ORDER_MARK.len());
        mark = Mark::ByteOrder;
    }
    let container = container(path, &mut text)?;
    Ok(Opened { text, container, compression, encoding, mark })
}

fn compression(path: &Path, start: &[u8]) -> Result<Compression, DataError> {
    let found = match start {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
        _ => Compression::None,
    };
    let named = extension(path);
    match (named.as_str(), found) {
        ("gz", Compression::None | Compression::Zstd) => Err(not_what_it_says(path, "gzip data, as the name .gz says")),
        ("zst", Compression::None | Compression::Gzip) => {
            Err(not_what_it_says(path, "zstd data, as the name .zst says"))
        }
        (_, found) => Ok(found),
    }
}

fn not_what_it_says(path: &Path, expected: &'static str) -> DataError {
    DataError::BrokenContainer { path: path.to_owned(), expected, got: "other bytes at the start".into() }
}

/// Lower-case extension without the dot; empty when there is none.
fn extension(path: &Path) -> String {
    path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).unwrap_or_default()
}

fn container(path: &Path, text: &mut dyn BufRead) -> Result<Container, DataError> {
    let inner = match extension(path).as_str() {
        "gz" | "zst" => path.file_stem().map(|stem| extension(Path::new(stem))).unwrap_or_default(),
        other => other.to_owned(),
    };
    if peek(text, path)?.starts_with(b"PAR1") {
        return Ok(Container::Parquet);
    }
    match inner.as_str() {
        "csv" => Ok(Container::Csv),
        "tsv" | "tab" => Ok(Container::Tsv),
        "txt" | "text" => Ok(Container::Text),
        "parquet" => Err(not_what_it_says(path, "parquet data, as the name says")),
        "json" | "jsonl" | "ndjson" => {
            Ok(if first_byte(text, path)? == Some(b'[') { Container::JsonArray } else { Container::JsonLines })
        }
        _ => match first_byte(text, path)? {
            Some(b'[') => Ok(Container::JsonArray),
            Some(b'{') => Ok(Container::JsonLines),
            _ => Err(DataError::UnknownFileKind { path: path.to_owned() }),
        },
    }
}

/// The first byte that is not white space, among those already buffered.
fn first_byte(text: &mut dyn BufRead, path: &Path) -> Result<Option<u8>, DataError> {
    Ok(peek(text, path)?.iter().copied().find(|b| !b.is_ascii_whitespace()))
}

/// Bytes at the start, without taking them. Some decoders hand out little at first, and a name of a kind needs four.
fn peek<'a>(text: &'a mut dyn BufRead, path: &Path) -> Result<&'a [u8], DataError> {
    text.fill_buf().map_err(DataError::io("read", path))
}

/// Reads what is left of the file, so that its hash covers every byte even after the last row.
pub(crate) fn drain(path: &Path, text: &mut dyn BufRead) -> Result<(), DataError> {
    loop {
        let n = text.fill_buf().map_err(DataError::io("read", path))?.len();
        if n == 0 {
            return Ok(());
        }
        text.consume(n);
    }
}
