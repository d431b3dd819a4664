//! Bad input: each fault is found, said with file, line and column, and never brings the reader down.

use super::formats::gz;
use super::{RECORD_BYTES_MAX, read, read_with, refusal, told, words};
use data::{DataError, Format};

/// One good row before the faulty one, so that the format is known; then what is said of the faulty row.
#[track_caller]
fn row(name: &str, good: &str, bad: &[u8], expect: &str) {
    let bytes = [good.as_bytes(), b"\n", bad, b"\n", good.as_bytes(), b"\n"].concat();
    let (_, rows) = read(name, &bytes).unwrap();
    assert_eq!(rows.len(), 3, "the row after the faulty one is read: {rows:?}");
    assert_eq!(rows[1], expect);
    assert!(rows[2].starts_with('3'), "{rows:?}");
}

const ALPACA: &str = r#"{"instruction":"a","output":"b"}"#;
const CHAT: &str = r#"{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]}"#;

#[test]
fn rows_of_jsonl() {
    let check = |bad: &str, expect: &str| row("a.jsonl", ALPACA, bad.as_bytes(), expect);
    row("a.jsonl", ALPACA, b"{\"instruction\":\"\xff\"}", "a.jsonl:2:17: invalid UTF-8: byte 0xff");
    row(
        "a.jsonl",
        ALPACA,
        b"{\"instruction\":\"a\0\"}",
        "a.jsonl:2:18: malformed JSON: control character (\\u0000-\\u001F) found while parsing a string",
    );
    check(r#"{"instruction":"a","#, "a.jsonl:2:19: malformed JSON: EOF while parsing a value");
    check(r#"{"instruction":"a"} x"#, "a.jsonl:2:21: malformed JSON: trailing characters");
    check(r#"{"instruction":"a"}"#, "a.jsonl:2:1: missing field \"output\"; fields found: instruction");
    check(r#"{"instruction":"a","output":null}"#, "a.jsonl:2:1: missing field \"output\"; fields found: instruction");
    check(r#"{"instruction":"a","output":["b"]}"#, "a.jsonl:2:20: output is a list; expected text");
    check(r#"{"instruction":"a","output":7}"#, "a.jsonl:2:20: output is a number; expected text");
    check(r#"{"instruction":"a","output":" \t\u3000"}"#, "a.jsonl:2:20: output is empty or blank; expected text");
    check(r#"{"instruction":" ","output":"b"}"#, "a.jsonl:2:2: instruction is empty or blank; expected text");
    check(r#"{"instruction":"a","output":"b\u0000"}"#, "a.jsonl:2:20: output: a NUL character; expected text");
    check(r#"["a","b"]"#, "a.jsonl:2:1: the record is a list; expected an object with named fields");
    check("7", "a.jsonl:2:1: the record is a number; expected an object with named fields");
    check(
        r#"{"instruction":"a","output":"b","history":[["q"]]}"#,
        "a.jsonl:2:33: history[0]: 1 items; expected a question and its answer",
    );
    check(
        r#"{"instruction":"a","output":"b","history":["q"]}"#,
        "a.jsonl:2:33: history[0] is text; expected a question and its answer",
    );
    let deep = format!("{{\"instruction\":{}", "[".repeat(200_000));
    row("a.jsonl", ALPACA, &deep.as_bytes()[..60_000], "a.jsonl:2:115: nested too deep; the limit is 100 levels");
}

#[test]
fn conversations() {
    let check = |bad: &str, expect: &str| row("m.jsonl", CHAT, bad.as_bytes(), expect);
    check(
        r#"{"messages":[]}"#,
        "m.jsonl:2:2: messages: 0 messages and none of the assistant; expected at least one answer of the assistant",
    );
    check(
        r#"{"messages":[{"role":"user","content":"q"}]}"#,
        "m.jsonl:2:2: messages: 1 messages and none of the assistant; expected at least one answer of the assistant",
    );
    check(r#"{"messages":"hi"}"#, "m.jsonl:2:1: malformed JSON: in the text of messages: expected value");
    check(r#"{"messages":{"role":"user"}}"#, "m.jsonl:2:2: messages is an object; expected a list");
    check(r#"{"messages":["q"]}"#, "m.jsonl:2:2: messages[0] is text; expected an object");
    check(
        r#"{"messages":[{"content":"q"}]}"#,
        "m.jsonl:2:1: missing field \"messages[0].role\"; fields found: content",
    );
    check(
        r#"{"messages":[{"role":"assistant","content":" "}]}"#,
        "m.jsonl:2:2: messages[0] is empty or blank; expected text",
    );
    check(
        r#"{"messages":[{"role":"assistant","content":7}]}"#,
        "m.jsonl:2:2: messages[0].content is a number; expected text",
    );
    check(
        r#"{"messages":[{"role":"assistant","content":[{"type":"image","image":"x"}]}]}"#,
        "m.jsonl:2:2: messages[0].content[0] holds a part of type \"image\", which text training cannot use",
    );
    check(
        r#"{"messages":[{"role":"assistant","content":"a","weight":0}]}"#,
        "m.jsonl:2:2: messages[0] holds weight 0 on a message of the assistant; only 1 is, which text training cannot use",
    );
    check(
        r#"{"messages":[{"role":"wizard","content":"a"}]}"#,
        "m.jsonl:2:2: messages[0].role is \"wizard\"; expected one of assistant, developer, function, function_call, gpt, human, observation, system, tool, tool_call, user",
    );
    check(
        r#"{"messages":[{"role":"function_call","content":"[1]"}]}"#,
        "m.jsonl:2:2: messages[0].content: a number; expected a function call with name and arguments",
    );
    check(
        r#"{"messages":[{"role":"assistant","content":"a"}],"tools":["f"]}"#,
        "m.jsonl:2:50: tools[0] is text; expected an object",
    );
}

#[test]
fn csv_rows() {
    let (_, rows) = read("p.csv", b"prompt,completion\r\na,b,c\r\n\r\nb,\"c\"\r\n").unwrap();
    assert_eq!(rows, ["p.csv:2: 3 fields; the header has 2", "4 b => c"]);
    let (_, rows) = read("p.csv", b"prompt,completion\na,\xff\nb,c\n").unwrap();
    assert_eq!(rows, ["p.csv:2: invalid UTF-8: byte 0xff", "3 b => c"]);
    let (_, rows) = read("p.csv", b"prompt,completion\na,b\0\nb,c\n").unwrap();
    assert_eq!(rows, ["p.csv:2: completion: a NUL character; expected text", "3 b => c"]);
}

#[test]
fn over_long_records_are_named_and_passed_by() {
    let limit = RECORD_BYTES_MAX as usize;
    let line = |n: usize| format!("{{\"text\":\"{}\"}}", "x".repeat(n - 11));
    let said = format!(": the record is longer than record_bytes_max, {RECORD_BYTES_MAX} bytes");
    let (_, rows) =
        read("a.jsonl", format!("{}\n{}\n{}\n", line(limit), line(limit + 1), line(50)).as_bytes()).unwrap();
    assert!(rows[0].starts_with("1 text:xxx"));
    assert_eq!(rows[1], format!("a.jsonl:2{said}"));
    assert!(rows[2].starts_with("3 text:xxx"));
    let (_, rows) = read("a.json", format!("[{},{}]", line(limit * 20), line(50)).as_bytes()).unwrap();
    assert_eq!(rows[0], format!("a.json:1{said}"));
    assert!(rows[1].starts_with("2 text:xxx"));
    let (_, rows) = read("a.csv", format!("text\n{}\nshort\n", "x".repeat(limit + 1)).as_bytes()).unwrap();
    assert_eq!(rows, [format!("a.csv:2{said}"), "3 text:short".to_owned()]);
    // A quote that is never closed would swallow the file: there is no next record to go on with.
    let (_, rows) = read("a.csv", format!("text\nshort\n\"{}", "x\n".repeat(limit * 2)).as_bytes()).unwrap();
    assert_eq!(rows[0], "2 text:short");
    assert_eq!(rows[1], format!("a.csv:3{said}"));
    assert_eq!(rows.len(), 2);
}

#[test]
fn files() {
    let cases: &[(&str, &[u8], &str)] = &[
        ("e.jsonl", b"", "e.jsonl: empty; expected at least one row"),
        ("e.jsonl", b"\n \n", "e.jsonl: empty; expected at least one row"),
        ("e.json", b"[]", "e.json: empty; expected at least one row"),
        ("e.csv", b"prompt,completion\n", "e.csv: empty; expected at least one row"),
        ("u.jsonl", b"\xff\xfe{\0", "u.jsonl: text in UTF-16 (little endian); expected UTF-8"),
        ("u.jsonl", b"\xfe\xff\0{", "u.jsonl: text in UTF-16 (big endian); expected UTF-8"),
        ("x.bin", b"\x7fELF", "x.bin: the kind of file is not known"),
        ("x.jsonl.gz", b"{}", "x.jsonl.gz: other bytes at the start; expected gzip data"),
        ("x.jsonl.zst", b"{}", "x.jsonl.zst: other bytes at the start; expected zstd data"),
        ("x.parquet", b"{}", "x.parquet: other bytes at the start; expected parquet data"),
        ("x.parquet", b"PAR1", "x.parquet: "),
        (
            "x.json",
            b"{\n\"a\": 1}",
            "x.json: one object over several lines; expected a JSON array, or one JSON object a line",
        ),
        ("x.json", b"[{\"text\":\"a\"} {}]", "x.json:1:15: `{`; expected , or ] after an element"),
        ("x.jsonl", b"{\"text\"", "x.jsonl:1:7: malformed JSON: EOF while parsing an object"),
        ("x.jsonl", b"{\"a\":\"b\"}", "x.jsonl: no format is recognised; columns found: a; expected a `format:`"),
        (
            "x.jsonl",
            b"{\"prompt\":\"p\",\"chosen\":\"a\",\"rejected\":\"b\"}",
            "x.jsonl: preference pairs (columns chosen and rejected), which",
        ),
        (
            "x.jsonl",
            b"{\"prompt\":\"p\",\"completion\":\"a\",\"label\":true}",
            "x.jsonl: answers judged good or bad (a true/false label), which",
        ),
    ];
    for (name, bytes, expect) in cases {
        let said = refusal(name, bytes, |_| {});
        assert!(said.starts_with(expect), "{name}: {said}");
    }
    let cut = gz(&b"{\"text\":\"x\"}\n".repeat(1000));
    assert!(matches!(read("x.jsonl.gz", &cut[..cut.len() / 2]), Err(DataError::Io { op: "read", .. })));
}

#[test]
fn the_users_words() {
    let row = br#"{"a":"p","b":"c"}"#;
    let said = refusal("x.jsonl", row, |s| s.columns = words(&[("promt", "a")]));
    assert!(
        said.starts_with("x.jsonl: columns: unknown role \"promt\"; expected one of completion, conversations,"),
        "{said}"
    );
    let said = refusal("x.jsonl", row, |s| s.tags = words(&[("roletag", "a")]));
    assert!(said.starts_with("x.jsonl: tags: unknown tag \"roletag\"; expected one of role_tag,"), "{said}");
    let said = refusal("x.jsonl", row, |s| {
        s.format = Some(Format::PromptCompletion);
        s.columns = words(&[("prompt", "a"), ("completion", "z")]);
    });
    assert_eq!(said, "x.jsonl: column \"z\", named for completion, is not in the file; columns found: a, b");
    let said = refusal("x.jsonl", row, told(Format::Alpaca));
    assert!(
        said.contains(
            "expected alpaca's instruction in a column named instruction, or named in `columns: {instruction: ...}`"
        ),
        "{said}"
    );
    let (note, _) = read_with("x.jsonl", row, |s| s.columns = words(&[("prompt", "a"), ("completion", "b")])).unwrap();
    assert_eq!(note, "jsonl, prompt_completion (found: prompt=a, completion=b)");
}

#[test]
fn paths() {
    let open = |path: &std::path::Path| {
        data::Records::open(&super::source(path), 10, &std::env::temp_dir()).map(|_| ()).unwrap_err()
    };
    assert!(matches!(open(std::path::Path::new("/nowhere/at/all.jsonl")), DataError::NoSuchFile { .. }));
    assert!(matches!(open(tempfile::tempdir().unwrap().path()), DataError::NotAFile { .. }));
}
