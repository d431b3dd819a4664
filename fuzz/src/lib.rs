//! What must hold for any bytes, shared by the fuzz targets and by the tests of `scan`, which include this file.

use runfs::{FaultyFs, Fs};
use scan::Field;
use scan::clean::{Action, clean};
use scan::input::{File, Limits, Reader, Understood};
use std::path::Path;

const RECORD_BYTES_MAX: u64 = 1 << 16;

/// Reads the bytes as a file of this name, and writes and reads a copy in which everything is kept.
///
/// # Panics
/// When a reader panics, gives lines out of order or positions outside the file, or the copy says something else.
pub fn probe(name: &str, bytes: &[u8]) {
    let dir = tempfile::tempdir().expect("a folder");
    let limits = Limits { record_bytes_max: RECORD_BYTES_MAX, spool_dir: dir.path().to_owned() };
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).expect("a file");
    let Ok(file) = File::new(0, &path, None) else { return };
    let Some((note, rows)) = read(&file, &limits) else { return };
    let packed = name.ends_with(".gz") || name.ends_with(".zst");
    check_positions(&rows, if packed { u64::MAX } else { bytes.len() as u64 });
    if name.ends_with(".parquet") {
        return;
    }
    let copy = dir.path().join("copy").join(name);
    let fs = FaultyFs::new();
    clean(&fs, std::slice::from_ref(&file), &limits, &copy, &|_, _, _: &Understood| Action::Keep).expect("a copy");
    std::fs::create_dir(dir.path().join("copy")).expect("a folder");
    std::fs::write(&copy, fs.read(&copy).expect("the copy")).expect("a file");
    let file = File::new(0, &copy, None).expect("the copy");
    // Without its unreadable rows a file may look like another kind, or like text in another encoding.
    let foreign =
        |rows: &Rows| rows.iter().flat_map(|row| &row.1.faults).any(|f| ["utf16", "gb18030"].contains(&f.kind));
    if let Some((again, copied)) = read(&file, &limits)
        && again == note
        && !foreign(&copied)
    {
        assert_eq!(texts(&rows), texts(&copied), "the copy says something else");
    }
}

type Rows = Vec<(u64, Understood)>;

fn read(file: &File, limits: &Limits) -> Option<(String, Rows)> {
    let mut reader = Reader::open(file, limits).ok()?;
    let meaning = reader.meaning();
    let mut rows = Vec::new();
    while let Some(chunk) = reader.next_chunk() {
        rows.extend(chunk.ok()?.iter().map(|raw| (raw.line(), meaning.understand(raw))));
    }
    Some((reader.note().to_owned(), rows))
}

fn check_positions(rows: &[(u64, Understood)], bytes: u64) {
    // Text from UTF-16 is at most three times as long in UTF-8.
    let columns = 1..=bytes.saturating_mul(3).saturating_add(1);
    let mut before = 0;
    for (line, understood) in rows {
        assert!(*line > before && *line <= bytes.saturating_add(1), "line {line} after {before}");
        before = *line;
        for fault in &understood.faults {
            assert!(fault.column.is_none_or(|column| columns.contains(&column)), "{fault:?}");
            assert!((0.0..=1.0).contains(&fault.confidence), "{fault:?}");
        }
        assert!(understood.row.is_some() || !understood.faults.is_empty(), "line {line} says nothing");
    }
}

fn texts(rows: &[(u64, Understood)]) -> Vec<&[Field]> {
    rows.iter().filter_map(|(_, understood)| Some(&understood.row.as_ref()?.fields[..])).collect()
}

/// A seed for each kind of file, so that a fuzzer begins with what gets past the first byte.
pub fn seeds(folder: &Path) -> std::io::Result<()> {
    let rows: [(&str, &[u8]); 7] = [
        ("jsonl", b"{\"instruction\":\"a\",\"input\":\"\",\"output\":\"b\"}\n{\"instruction\":\"\\ud800\"}\n"),
        ("jsonl", b"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"q\"}]},{\"role\":\"assistant\",\"content\":\"a\"}]}"),
        ("jsonl", b"\xff\xfe{\0\"\0t\0e\0x\0t\0\"\0:\0\"\0a\0\"\0}\0"),
        ("json_array", b"[\n{\"conversations\":[{\"from\":\"human\",\"value\":\"x\"},{\"from\":\"gpt\",\"value\":\"y\"}]},\n{\"a\n]"),
        ("csv", b"id,text\r\n1,\"a \"\"b\"\"\"\r\n2,\"c\nd\n"),
        ("packed", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab\x56\x2a\x49\xad\x28\x51\xb2\x52\x4a\x54\xaa\xe5\x02\x00"),
        ("parquet", b"PAR1\x15\x00\x15\x00PAR1"),
    ];
    for (i, (target, bytes)) in rows.into_iter().enumerate() {
        let dir = folder.join(target);
        std::fs::create_dir_all(&dir)?;
        std::fs::write(dir.join(format!("seed{i}")), bytes)?;
    }
    Ok(())
}
