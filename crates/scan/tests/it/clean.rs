//! Clean copies: what stays is the same byte for byte, what goes is logged, nothing is replaced, nothing half written is left.

use super::input::{RECORD_BYTES_MAX, gz, limits, read, shown};
use runfs::{Fault, FaultyFs, RealFs, RunFsError};
use scan::clean::{Action, CleanError, Summary, clean};
use scan::input::{File, Understood};
use std::path::{Path, PathBuf};

struct Dir(tempfile::TempDir);

impl Dir {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, index: u32, name: &str, bytes: &[u8]) -> File {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        File { shown: name.to_owned(), ..File::new(index, &path, None).unwrap() }
    }

    fn clean(&self, files: &[File], out: &str, decide: &scan::clean::Decide) -> Result<Summary, CleanError> {
        clean(&RealFs, files, &limits(self.0.path()), &self.path(out), decide)
    }

    fn text(&self, name: &str) -> String {
        String::from_utf8(std::fs::read(self.path(name)).unwrap()).unwrap()
    }
}

fn keep(_: u32, _: u64, _: &Understood) -> Action {
    Action::Keep
}

/// Drops rows that say `drop`, and changes the fields in which `secret` stands.
fn redact(_: u32, _: u64, understood: &Understood) -> Action {
    let Some(row) = &understood.row else { return Action::Drop { why: vec![understood.faults[0].kind.to_owned()] } };
    if row.fields.iter().any(|field| field.text.contains("drop")) {
        return Action::Drop { why: vec!["near".into()] };
    }
    let secrets = row.fields.iter().filter(|f| f.text.contains("secret"));
    let fields: Vec<_> = secrets.map(|f| (f.name.clone(), f.text.replace("secret", "***"))).collect();
    if fields.is_empty() { Action::Keep } else { Action::Change { fields, why: vec!["phone".into()] } }
}

/// The copy of one file and its log, after `redact`.
#[track_caller]
fn check(name: &str, text: &str, copy: &str, log: &str) {
    let dir = Dir::new();
    let file = dir.file(0, name, text.as_bytes());
    let out = format!("out.{}", name.split_once('.').unwrap().1);
    let summary = dir.clean(&[file], &out, &redact).unwrap();
    assert_eq!(dir.text(&out), copy);
    assert_eq!(dir.text("out.clean.jsonl"), log);
    assert_eq!(summary.copies, [dir.path(&out)]);
    assert_eq!(summary.log, dir.path("out.clean.jsonl"));
}

const GBK_ROW: &str = "{\"text\":\"请介绍一下你自己的工作和生活\"}";

#[test]
fn what_stays_is_the_same() {
    for (name, text) in [
        ("a.jsonl", "{ \"text\" : \"x\\u00e9\" , \"n\": 1.50 }\n\n{\"text\":\"y\"}"),
        ("a.jsonl", "{\"text\":\"x\"}\r\n{\"text\":\"y\"}\r\n \r\n"),
        ("a.json", "[{\"text\":\"x\"}, {\"text\":\"y\"}]\n"),
        ("a.json", "[\n  {\n    \"text\": \"x\"\n  },\n  {\n    \"text\": \"y\"\n  }\n]\n"),
        ("a.json", "[\"x\"]\n"),
        ("a.csv", "id,text\r\n1,\"x \"\"y\"\"\nz\"\r\n\r\n2,b"),
        ("a.tsv", "id\ttext\n1\tx\n"),
        ("a.txt", "one\n\ntwo\r\nthree"),
    ] {
        let dir = Dir::new();
        let file = dir.file(0, name, text.as_bytes());
        let out = format!("out.{}", name.split_once('.').unwrap().1);
        let summary = dir.clean(&[file], &out, &keep).unwrap();
        assert_eq!(dir.text(&out), text);
        assert_eq!((dir.text("out.clean.jsonl").as_str(), summary.changed, summary.dropped), ("", 0, 0));
    }
}

#[test]
fn one_field_changes() {
    check(
        "a.jsonl",
        "{\"id\": 1.0, \"instruction\":\"a\\u0000\", \"output\":\"my secret\"}\n{\"instruction\":\"drop\",\"output\":\"b\"}\n{\"instruction\":\"c\",\"output\":\"d\"}\n{\"instr\n",
        "{\"id\": 1.0, \"instruction\":\"a\\u0000\", \"output\":\"my ***\"}\n{\"instruction\":\"c\",\"output\":\"d\"}\n",
        "{\"file\":\"a.jsonl\",\"line\":1,\"action\":\"change\",\"fields\":[\"output\"],\"why\":[\"phone\"]}\n\
         {\"file\":\"a.jsonl\",\"line\":2,\"action\":\"drop\",\"why\":[\"near\"]}\n\
         {\"file\":\"a.jsonl\",\"line\":4,\"action\":\"drop\",\"why\":[\"malformed_json\"]}\n",
    );
    let change = |file: &str, line: u64, field: &str| {
        format!(
            "{{\"file\":\"{file}\",\"line\":{line},\"action\":\"change\",\"fields\":[\"{field}\"],\"why\":[\"phone\"]}}\n"
        )
    };
    check(
        "a.json",
        "[\n{\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"secret\"}]}]},\n\"x\"\n]",
        "[\n{\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"***\"}]}]}\n]\n",
        &format!(
            "{}{}",
            change("a.json", 1, "messages[1].content[0].text"),
            "{\"file\":\"a.json\",\"line\":2,\"action\":\"drop\",\"why\":[\"wrong_type\"]}\n"
        ),
    );
    check("a.json", "[\"a secret\"]", "[\"a ***\"]\n", &change("a.json", 1, "text"));
    check(
        "a.csv",
        "id,text\n1,secret\n2,\"a,secret\"\n",
        "id,text\n1,***\n2,\"a,***\"\n",
        &format!("{}{}", change("a.csv", 2, "text"), change("a.csv", 3, "text")),
    );
    check(
        "m.csv",
        "messages\n\"[{\"\"role\"\":\"\"assistant\"\",\"\"content\"\":\"\"secret\"\"}]\"\n",
        "messages\n\"[{\"\"role\"\":\"\"assistant\"\",\"\"content\"\":\"\"***\"\"}]\"\n",
        &change("m.csv", 2, "messages[0].content"),
    );
    check(
        "a.txt",
        "a secret\ndrop\nb",
        "a ***\nb",
        &format!(
            "{}{}",
            change("a.txt", 1, "text"),
            "{\"file\":\"a.txt\",\"line\":2,\"action\":\"drop\",\"why\":[\"near\"]}\n"
        ),
    );
    // Control characters that were not escaped are, once the row is changed at all.
    check("a.jsonl", "{\"text\":\"a\tsecret\"}\n", "{\"text\":\"a\\t***\"}\n", &change("a.jsonl", 1, "text"));
}

#[test]
fn copies_are_utf8() {
    let utf16: Vec<u8> = "\u{feff}{\"text\":\"你\"}\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let gbk = encoding_rs::GB18030.encode(GBK_ROW).0.into_owned();
    let table = encoding_rs::GB18030.encode("text,今天\n今天的天气怎么样,x\n").0.into_owned();
    let lines = [
        b"\xef\xbb\xbf{\"text\":\"a\"}\n",
        &gbk[..],
        "\n{\"text\":\"你\"}\n".as_bytes(),
        b"{\"text\":\"\xff\"}\n\xef\xbb\xbf{\"text\":\"b\"}",
    ]
    .concat();
    for (name, bytes, copy, log) in [
        ("a.jsonl", utf16, "{\"text\":\"你\"}\r\n".to_owned(), "a.jsonl convert UTF-16"),
        ("a.jsonl", gbk.clone(), GBK_ROW.to_owned(), "convert GB18030"),
        ("a.csv", table, "text,今天\n今天的天气怎么样,x\n".to_owned(), "convert GB18030"),
        (
            "a.jsonl",
            lines,
            format!("{{\"text\":\"a\"}}\n{GBK_ROW}\n{{\"text\":\"你\"}}\n{{\"text\":\"b\"}}"),
            "convert byte order mark; 2 change converted from GB18030; 4 drop invalid_utf8; 5 change byte order mark",
        ),
    ] {
        let dir = Dir::new();
        let out = format!("out.{}", name.split_once('.').unwrap().1);
        dir.clean(&[dir.file(0, name, &bytes)], &out, &keep).unwrap();
        assert_eq!(dir.text(&out), copy);
        let said = dir.text("out.clean.jsonl");
        for word in log.split([';', ' ']) {
            assert!(said.contains(word), "{word} in {said}");
        }
        assert_eq!(said.lines().count(), log.split(';').count());
    }
}

#[test]
fn many_files_and_packed_ones() {
    let dir = Dir::new();
    let row = b"{\"text\":\"secret\"}\n{\"text\":\"b\"}\n";
    let files = [
        dir.file(0, "in/a.jsonl", row),
        dir.file(1, "in/deep/a.jsonl.gz", &gz(row)),
        dir.file(2, "in/clean.jsonl", row),
        dir.file(3, "in/z.txt.zst", &zstd::encode_all(&b"drop\n"[..], 1).unwrap()),
    ];
    let summary = dir.clean(&files, "out", &redact).unwrap();
    let names = ["out/a.jsonl", "out/deep/a.jsonl.gz", "out/clean.jsonl", "out/z.txt.zst"];
    assert_eq!(summary.copies, names.map(|name| dir.path(name)));
    assert_eq!(summary.log, dir.path("out/log.clean.jsonl"));
    assert_eq!((summary.kept, summary.changed, summary.dropped), (3, 3, 1));
    assert_eq!(dir.text("out/log.clean.jsonl").lines().count(), 4);
    let packed = std::fs::read(dir.path("out/deep/a.jsonl.gz")).unwrap();
    let (_, rows) = read("a.jsonl.gz", &packed).unwrap();
    assert_eq!(rows[0].1.row.as_ref().unwrap().fields[0].text, "***");
    assert_eq!(zstd::decode_all(&std::fs::read(dir.path("out/z.txt.zst")).unwrap()[..]).unwrap(), b"");
    runfs::verify_dir(&RealFs, &dir.path("out")).unwrap();
    // From elsewhere, and by another way.
    std::fs::create_dir(dir.path("x")).unwrap();
    let file = File::new(0, &dir.path("x/../in/a.jsonl"), None).unwrap();
    let copies = dir.clean(&[file, files[1].clone()], "other", &redact).unwrap().copies;
    assert_eq!(copies, ["other/a.jsonl", "other/deep/a.jsonl.gz"].map(|name| dir.path(name)));
    // One file, and a folder is meant.
    let summary = dir.clean(&files[..1], "one/", &redact).unwrap();
    assert_eq!(summary.copies, [dir.path("one/").join("a.jsonl")]);
    // Packed as the copy's name says.
    dir.clean(&files[1..2], "plain.jsonl", &redact).unwrap();
    assert_eq!(dir.text("plain.jsonl"), "{\"text\":\"***\"}\n{\"text\":\"b\"}\n");
}

#[test]
fn rows_that_cannot_stay() {
    let dir = Dir::new();
    let long = format!("{{\"text\":\"{}\"}}\n", "x".repeat(RECORD_BYTES_MAX as usize));
    let file = dir.file(0, "a.jsonl", format!("{{\"text\":\"a\"}}\n{long}{{\"text\":\"b\"}}\n").as_bytes());
    dir.clean(&[file], "out.jsonl", &keep).unwrap();
    assert_eq!(dir.text("out.jsonl"), "{\"text\":\"a\"}\n{\"text\":\"b\"}\n");
    assert_eq!(
        dir.text("out.clean.jsonl"),
        "{\"file\":\"a.jsonl\",\"line\":2,\"action\":\"drop\",\"why\":[\"too_large\"]}\n"
    );
    // A change that cannot be made is no reason to pass the row on.
    let file = dir.file(0, "b.jsonl", b"{\"text\":\"a\"}\n{\"text\":\"b\"}\n");
    let decide = |_, line, _: &Understood| match line {
        1 => Action::Change { fields: vec![("nowhere".into(), "x".into())], why: vec!["phone".into()] },
        _ => Action::Keep,
    };
    let summary = dir.clean(&[file], "b2.jsonl", &decide).unwrap();
    assert_eq!((dir.text("b2.jsonl").as_str(), summary.dropped), ("{\"text\":\"b\"}\n", 1));
}

#[test]
fn nothing_is_replaced_and_nothing_half_is_left() {
    let dir = Dir::new();
    let file = dir.file(0, "a.jsonl", b"{\"text\":\"a\"}\n");
    let left = |dir: &Dir| {
        let mut names: Vec<_> = std::fs::read_dir(dir.0.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        names.iter().map(|n| n.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
    };
    let files = [file];
    assert!(matches!(dir.clean(&files, "a.jsonl", &keep), Err(CleanError::Exists { .. })));
    std::fs::write(dir.path("b.clean.jsonl"), "").unwrap();
    assert!(matches!(dir.clean(&files, "b.jsonl", &keep), Err(CleanError::Exists { .. })));
    for (out, expect) in [("n.csv", ".jsonl"), ("n.parquet", ".jsonl"), ("n", ".jsonl"), ("n.csv.gz", ".jsonl")] {
        let error = dir.clean(&files, out, &keep).unwrap_err();
        assert!(matches!(&error, CleanError::Name { expected, .. } if expected == expect), "{error}");
    }
    let stop = |_, _, _: &Understood| Action::Stop;
    assert!(matches!(dir.clean(&files, "c.jsonl", &stop), Err(CleanError::Interrupted)));
    assert!(matches!(dir.clean(&files, "c/", &stop), Err(CleanError::Interrupted)));
    let gone = File { bytes: 5, ..files[0].clone() };
    let error = dir.clean(&[gone], "c.jsonl", &keep).unwrap_err();
    assert!(matches!(error, CleanError::Data(data::DataError::ChangedWhileReading { .. })), "{error}");
    let missing = dir.path("nowhere.jsonl");
    let gone = File { source: data::Source { path: missing, ..files[0].source.clone() }, ..files[0].clone() };
    assert!(matches!(dir.clean(&[gone], "c.jsonl", &keep), Err(CleanError::Data(_))));
    assert_eq!(left(&dir), "a.jsonl b.clean.jsonl");
}

#[test]
fn a_full_disk() {
    let dir = Dir::new();
    let file = dir.file(0, "a.jsonl", "{\"text\":\"a\"}\n".repeat(1000).as_bytes());
    let large = File { bytes: u64::MAX / 2, ..file };
    let error =
        clean(&RealFs, &[large], &limits(dir.0.path()), Path::new("/nowhere/at/all/out.jsonl"), &keep).unwrap_err();
    assert!(matches!(error, CleanError::RunFs(RunFsError::DiskFull { .. })), "{error}");
    // Wherever the disk gives up, neither copy nor log is left.
    let row = b"{\"text\":\"drop\"}\n{\"text\":\"b\"}\n";
    let all = [dir.file(0, "a.jsonl", row), dir.file(1, "b.jsonl", row)];
    for fault in [Fault::NoSpace, Fault::Io] {
        for (files, out) in [(1, "/out.jsonl"), (2, "/out")] {
            for n in 1.. {
                let fs = FaultyFs::new();
                fs.fail_after(n, fault);
                let files = &all[..files];
                let done = clean(&fs, files, &limits(dir.0.path()), Path::new(out), &redact);
                if !fs.fired() {
                    done.unwrap();
                    break;
                }
                // What fails after all is published is not undone: it is whole.
                let left: Vec<_> = fs.contents().into_keys().filter(|path| path.starts_with(out)).collect();
                assert!(done.is_err() && (left.is_empty() || files.len() > 1), "{n}: {left:?}");
            }
        }
    }
}

#[test]
fn rows_of_parquet_become_lines() {
    let dir = Dir::new();
    let files = [dir.file(0, "p.parquet", &parquet_file()), dir.file(1, "p.jsonl", b"{\"text\":\"x\"}\n")];
    let (note, rows) = read("p.parquet", &parquet_file()).unwrap();
    assert_eq!(note, "parquet, prompt_completion (found: prompt, completion; not used: score)");
    let rows: Vec<_> = rows.iter().map(shown).collect();
    assert_eq!(
        rows,
        ["1 prompt?=a completion!=b", "2 prompt?=secret completion!=d", "3 prompt?=drop; missing_field completion@1"]
    );
    let summary = dir.clean(&files, "out", &redact).unwrap();
    assert_eq!(summary.copies, ["out/p.parquet.jsonl", "out/p.jsonl"].map(|name| dir.path(name)));
    let expect =
        "{\"prompt\":\"a\",\"completion\":\"b\",\"score\":1}\n{\"prompt\":\"***\",\"completion\":\"d\",\"score\":2}\n";
    assert_eq!(dir.text("out/p.parquet.jsonl"), expect);
    assert!(
        dir.text("out/clean.jsonl").starts_with(
            "{\"file\":\"p.parquet\",\"action\":\"convert\",\"why\":[\"from parquet to lines of JSON\"]}\n"
        )
    );
}

fn parquet_file() -> Vec<u8> {
    use parquet::data_type::{ByteArrayType, Int64Type};
    use parquet::file::writer::SerializedFileWriter;
    let schema =
        "message rows { required binary prompt (UTF8); optional binary completion (UTF8); required int64 score; }";
    let schema = std::sync::Arc::new(parquet::schema::parser::parse_message_type(schema).unwrap());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, std::sync::Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let texts = |texts: &[&str]| texts.iter().map(|t| (*t).into()).collect::<Vec<_>>();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&texts(&["a", "secret", "drop"]), None, None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&texts(&["b", "d"]), Some(&[1, 1, 0]), None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int64Type>().write_batch(&[1, 2, 3], None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.into_inner().unwrap()
}
