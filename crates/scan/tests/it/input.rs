//! Files of every kind as rows, and every fault of rows and files.

use data::DataError;
use measures::Part;
use scan::input::{File, InputError, Limits, Raw, Reader, Understood, files};
use std::path::Path;

pub const RECORD_BYTES_MAX: u64 = 1 << 16;

pub fn limits(dir: &Path) -> Limits {
    Limits { record_bytes_max: RECORD_BYTES_MAX, spool_dir: dir.to_owned() }
}

/// A file of these bytes: its note and its rows.
pub fn read(name: &str, bytes: &[u8]) -> Result<(String, Vec<(u64, Understood)>), DataError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    let mut reader = Reader::open(&File::new(0, &path, None)?, &limits(dir.path()))?;
    let meaning = reader.meaning();
    let mut rows = Vec::new();
    while let Some(chunk) = reader.next_chunk() {
        rows.extend(chunk?.iter().map(|raw: &Raw| (raw.line(), meaning.understand(raw))));
    }
    Ok((reader.note().to_owned(), rows))
}

/// `1 instruction?=a output!=b; empty_text output@20`: names with the side of the text, then faults with field and column.
pub fn shown((line, understood): &(u64, Understood)) -> String {
    let mut out = line.to_string();
    for field in understood.row.iter().flat_map(|row| &row.fields) {
        let side = match field.part {
            Part::System => '^',
            Part::Instruction => '?',
            Part::Response => '!',
            Part::Text => '.',
        };
        out += &format!(" {}{side}={}", field.name, field.text.escape_debug());
    }
    for fault in &understood.faults {
        let field = fault.field.as_deref().map_or(String::new(), |f| format!(" {f}"));
        let column = fault.column.map_or(String::new(), |c| format!("@{c}"));
        let harmless = if fault.confidence < 0.5 { "~" } else { "" };
        out += &format!("; {harmless}{}{field}{column}", fault.kind);
    }
    out
}

#[track_caller]
fn check(name: &str, bytes: &[u8], expect: &[&str]) {
    let (_, rows) = read(name, bytes).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(rows.iter().map(shown).collect::<Vec<_>>(), expect);
}

pub fn gz(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

const ALPACA: &str = r#"{"instruction":"a","output":"b"}"#;
const CHAT: &str = r#"{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]}"#;

#[test]
fn formats() {
    let check = |row: &str, expect: &str| check("a.jsonl", row.as_bytes(), &[expect]);
    check(
        r#"{"instruction":"a","input":"i","output":"b","system":"s","history":[["q","r"]]}"#,
        "1 system^=s history[0][0]?=q history[0][1]!=r instruction?=a input?=i output!=b",
    );
    check(
        r#"{"messages":[{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"q"}]},{"role":"assistant","content":null,"tool_calls":[{"function":{"name":"f","arguments":"{\"x\":1}"}},{"function":{"name":"f","arguments":{"x":"y","n":[1,"z"]}}}]},{"role":"tool","content":"t"},{"role":"assistant","content":"a","reasoning_content":"r"}]}"#,
        "1 messages[0].content^=s messages[1].content[0].text?=q messages[2].tool_calls[0].function.arguments!={\\\"x\\\":1} messages[2].tool_calls[1].function.arguments.x!=y messages[2].tool_calls[1].function.arguments.n[1]!=z messages[3].content?=t messages[4].reasoning_content!=r messages[4].content!=a",
    );
    check(
        r#"{"conversations":[{"from":"human","value":"x"},{"from":"function_call","value":"{}"},{"from":"observation","value":"o"},{"from":"gpt","value":"y"}],"system":"s"}"#,
        "1 system^=s conversations[0].value?=x conversations[1].value!={} conversations[2].value?=o conversations[3].value!=y",
    );
    check(r#"{"question":"p","answer":"c","id":7}"#, "1 question?=p answer!=c");
    check(
        r#"{"prompt":[{"role":"user","content":"p"}],"completion":[{"role":"assistant","content":"c"}]}"#,
        "1 prompt[0].content?=p completion[0].content!=c",
    );
    check(r#"{"text":"t","label":"x"}"#, "1 text.=t");
    check(r#""t""#, "1 text.=t");
}

#[test]
fn containers() {
    let rows = ["1 instruction?=a output!=b", "2 instruction?=ü output!=d"];
    let second = r#"{"instruction":"ü","output":"d"}"#;
    let array = format!("[{ALPACA},\n{second}]");
    let lines = format!("{ALPACA}\n{second}");
    check("a.jsonl", lines.as_bytes(), &rows);
    check("a.jsonl", lines.replace('\n', "\r\n").as_bytes(), &rows);
    check("a.json", array.as_bytes(), &rows);
    check("a.jsonl.gz", &gz(lines.as_bytes()), &rows);
    check("a.json.zst", &zstd::encode_all(array.as_bytes(), 3).unwrap(), &rows);
    let table =
        ["2 instruction?=a output!=b", "3 instruction?=ü output!=d\\n\\\"e\\\", f", "5 instruction?=g output!=h"];
    check("a.csv", "instruction,output\r\na,b\r\nü,\"d\n\"\"e\"\", f\"\r\ng,h".as_bytes(), &table);
    check("a.tsv", "instruction\toutput\na\tb\nü\t\"d\n\"\"e\"\", f\"\n\"g\"\th\n".as_bytes(), &table);
    check(
        "m.csv",
        b"id,messages\n1,\"[{\"\"role\"\":\"\"assistant\"\",\"\"content\"\":\"\"a\"\"}]\"\n",
        &["2 messages[0].content!=a"],
    );
    check("a.txt", b"one\n\ntwo", &["1 text.=one", "3 text.=two"]);
    let (note, _) = read("a.csv", b"text,category\nx,y\n").unwrap();
    assert_eq!(note, "csv, text (found: text; not used: category)");
}

#[test]
fn faults_of_lines() {
    // The row stands between good ones, which must not suffer.
    let check = |good: &str, bad: &[u8], expect: &str| {
        let (_, rows) = read("a.jsonl", &[good.as_bytes(), b"\n", bad, b"\n", good.as_bytes()].concat()).unwrap();
        assert_eq!(shown(&rows[1]), format!("2{expect}"));
        assert_eq!((rows.len(), shown(&rows[2])), (3, shown(&rows[0]).replacen('1', "3", 1)));
    };
    let alpaca = |bad: &str, expect: &str| check(ALPACA, bad.as_bytes(), expect);
    let chat = |bad: &str, expect: &str| check(CHAT, bad.as_bytes(), expect);
    alpaca(r#"{"instruction":"a","output":""}"#, " instruction?=a output!=; empty_text output@20");
    alpaca(r#"{"instruction":"a","output":" \u3000\n"}"#, " instruction?=a output!= \\u{3000}\\n; blank output@20");
    alpaca(r#"{"instruction":"","input":"i","output":"b"}"#, " instruction?= input?=i output!=b");
    alpaca(r#"{"instruction":" ","input":"","output":"b"}"#, " instruction?=  input?= output!=b; blank instruction@2");
    alpaca(r#"{"instruction":"a","input":""}"#, " instruction?=a input?=; missing_field output@1");
    alpaca(r#"{"instruction":"a","output":null}"#, " instruction?=a; missing_field output@1");
    alpaca(r#"{"instruction":7,"output":["b"]}"#, "; wrong_type instruction@2; wrong_type output@18");
    alpaca(
        r#"{"instruction":"a\u0000","output":""}"#,
        " instruction?=a\\0 output!=; nul instruction@2; empty_text output@26",
    );
    check(ALPACA, b"{\"instruction\":\"a\0\",\"output\":\"b\"}", " instruction?=a\\0 output!=b; nul@18");
    check(ALPACA, b"{\"instruction\":\"a\",\"output\":\"b\"}\0\0", " instruction?=a output!=b; nul@33");
    check(ALPACA, b"{\"instruction\":\"a\tb\",\"output\":\"b\"}", " instruction?=a\\tb output!=b; malformed_json@18");
    alpaca(
        r#"{"instruction":"\ud83d\ude00 \ud800","output":"b"}"#,
        " instruction?=😀 \u{fffd} output!=b; malformed_json@30",
    );
    check(ALPACA, b"{\"instruction\":\"\xff\",\"output\":\"b\"}", "; invalid_utf8@17");
    alpaca(r#"{"instruction":"a","outp"#, "; malformed_json@24");
    alpaca(r#"{"instruction":"a"} x"#, "; malformed_json@21");
    alpaca(r#"["a","b"]"#, "; wrong_type@1");
    alpaca("\u{feff}{\"instruction\":\"a\",\"output\":\"b\"}", " instruction?=a output!=b; bom@1");
    alpaca(&format!("{{\"instruction\":{}", "[".repeat(60_000)), "; too_deep@115");
    alpaca(&format!("{{\"instruction\":\"{}\"}}", "x".repeat(70_000)), "; too_large");
    alpaca(
        r#"{"instruction":"a","output":"b","history":[["q"],"r",["s",""]]}"#,
        " history[2][0]?=s history[2][1]!= instruction?=a output!=b; wrong_type history[0]@33; wrong_type history[1]@33; empty_text history[2][1]@33",
    );
    chat(r#"{"messages":[]}"#, "; missing_field messages@2");
    chat(r#"{"messages":[{"role":"user","content":"q"}]}"#, " messages[0].content?=q; missing_field messages@2");
    chat(r#"{"messages":"hi"}"#, "; malformed_json messages");
    chat(r#"{"messages":{"role":"user"}}"#, "; wrong_type messages@2");
    chat(
        r#"{"messages":["q",{"role":"assistant","content":"a"}]}"#,
        " messages[1].content!=a; wrong_type messages[0]@2",
    );
    chat(
        r#"{"messages":[{"content":"q"},{"role":"wizard","content":"w"},{"role":"assistant","content":" "}]}"#,
        " messages[0].content?=q messages[1].content?=w messages[2].content!= ; missing_field messages[0].role@2; wrong_type messages[1].role@2; blank messages[2].content@2",
    );
    chat(
        r#"{"messages":[{"role":"assistant","content":[{"type":"image","image":"x"},{"type":"text","text":"a"}],"weight":0}]}"#,
        " messages[0].content[1].text!=a; wrong_type messages[0].content[0]@2; wrong_type messages[0].weight@2",
    );
}

#[test]
fn faults_say_why_without_the_text() {
    let bad = br#"{"instruction":"my secret","outp"#;
    let (_, rows) = read("a.jsonl", &[ALPACA.as_bytes(), b"\n", bad].concat()).unwrap();
    assert_eq!(rows[1].1.faults[0].why, "cut short: EOF while parsing a string");
    let gbk = encoding_rs::GB18030
        .encode(r#"{"instruction":"请介绍一下你自己的工作","output":"我是一个老师"}"#)
        .0
        .into_owned();
    let (_, rows) = read(
        "a.jsonl",
        &[ALPACA.as_bytes(), "\n{\"instruction\":\"你\",\"output\":\"好\"}\n".as_bytes(), &gbk].concat(),
    )
    .unwrap();
    assert_eq!(shown(&rows[2]), "3 instruction?=请介绍一下你自己的工作 output!=我是一个老师; invalid_utf8@17");
    assert_eq!(rows[2].1.faults[0].why, "byte 0xc7; the row looks like GB18030 (GBK)");
}

#[test]
fn encodings() {
    let text = "{\"instruction\":\"请介绍一下你自己的工作\",\"output\":\"我是一个老师\"}\r\n".repeat(2);
    let row = "instruction?=请介绍一下你自己的工作 output!=我是一个老师";
    let utf16 = |order: fn(u16) -> [u8; 2], mark: &str| -> Vec<u8> {
        format!("{mark}{text}").encode_utf16().flat_map(order).collect()
    };
    for mark in ["", "\u{feff}"] {
        for bytes in [utf16(u16::to_le_bytes, mark), utf16(u16::to_be_bytes, mark)] {
            check("a.jsonl", &bytes, &[&format!("1 {row}; utf16"), &format!("2 {row}")]);
            check("a.jsonl.gz", &gz(&bytes), &[&format!("1 {row}; utf16"), &format!("2 {row}")]);
        }
    }
    let gb = encoding_rs::GB18030.encode(&text).0.into_owned();
    check("a.jsonl", &gb, &[&format!("1 {row}; gb18030"), &format!("2 {row}")]);
    let table = encoding_rs::GB18030.encode("prompt,completion\n今天的天气怎么样,我不知道\n").0.into_owned();
    check("a.csv", &table, &["2 prompt?=今天的天气怎么样 completion!=我不知道; gb18030"]);
    check("a.jsonl", format!("\u{feff}{ALPACA}").as_bytes(), &["1 instruction?=a output!=b; ~bom"]);
}

#[test]
fn faults_of_tables() {
    check(
        "p.csv",
        b"prompt,completion\r\na,b,c\r\n\r\nb,\"c\"\r\na,\xff\na,b\0\na,\n",
        &[
            "2; malformed_csv",
            "4 prompt?=b completion!=c",
            "5; invalid_utf8@3",
            "6 prompt?=a completion!=b\\0; nul completion@3",
            "7 prompt?=a completion!=; empty_text completion@3",
        ],
    );
    check(
        "p.csv",
        b"prompt,completion\na,b\nc,\"d\ne,f\n",
        &["2 prompt?=a completion!=b", "3; malformed_csv", "4 prompt?=e completion!=f"],
    );
    check(
        "p.csv",
        format!("text\nx\n{}\ny\n", "z".repeat(70_000)).as_bytes(),
        &["2 text.=x", "3; too_large", "4 text.=y"],
    );
}

#[test]
fn faults_of_files() {
    let rows = ["1 instruction?=a output!=b", "2 instruction?=a output!=b"];
    // Between elements, and elements that do not end.
    check("a.json", format!("[{ALPACA} {ALPACA}]").as_bytes(), &[rows[0], "2 instruction?=a output!=b; broken_file"]);
    check("a.json", format!("[{ALPACA},{ALPACA}").as_bytes(), &[rows[0], rows[1], "3; broken_file"]);
    check(
        "a.json",
        format!("[\n{ALPACA},\n{{\"instruction\":\"a}},\n{ALPACA}\n]").as_bytes(),
        &[rows[0], "2; malformed_json@18", "3 instruction?=a output!=b"],
    );
    // A packed file that ends early: what was unpacked is kept.
    let packed =
        gz((0..20_000u64).map(|i| format!("{{\"text\":\"{}\"}}\n", i * i * 7919)).collect::<String>().as_bytes());
    let (_, rows) = read("a.jsonl.gz", &packed[..packed.len() / 2]).unwrap();
    assert!(rows.len() > 1000, "{}", rows.len());
    let last = shown(rows.last().unwrap());
    assert_eq!(last, format!("{}; broken_file", rows.len()));
    let packed = zstd::encode_all(format!("{ALPACA}\n").repeat(9000).as_bytes(), 1).unwrap();
    let (_, rows) = read("a.jsonl.zst", &packed[..packed.len() - 3]).unwrap();
    assert!(rows.len() > 1000, "{}", rows.len());
    assert_eq!(shown(rows.last().unwrap()), format!("{}; broken_file", rows.len()));
    // A record over the limit.
    let long = format!("{{\"text\":\"{}\"}}", "x".repeat(RECORD_BYTES_MAX as usize * 20));
    check("a.json", format!("[{long},\"t\"]").as_bytes(), &["1; too_large", "2 text.=t"]);
}

#[test]
fn refused_files() {
    let said = |name: &str, bytes: &[u8]| {
        let error = read(name, bytes).expect_err(name).to_string();
        error[error.find(name).unwrap_or(0)..].to_owned()
    };
    for (name, bytes, expect) in [
        ("e.jsonl", &b""[..], "e.jsonl: empty; expected at least one row"),
        ("e.jsonl", b"\xef\xbb\xbf", "e.jsonl: empty; expected at least one row"),
        ("e.jsonl", b"\xff\xfe", "e.jsonl: empty; expected at least one row"),
        ("e.csv", b"", "e.csv: empty; expected at least one row"),
        ("e.csv", b"a,b\n", "e.csv: empty; expected at least one row"),
        ("u.jsonl", b"\xff\xfe\0\0{\0\0\0", "u.jsonl: text in UTF-32; expected UTF-8"),
        ("x.bin", b"\x7fELF", "x.bin: the kind of file is not known"),
        ("x.jsonl.gz", b"{}", "x.jsonl.gz: other bytes at the start; expected gzip data"),
        ("x.parquet", b"PAR1", "x.parquet: "),
        ("x.json", b"{\n\"a\": 1}", "x.json: one object over several lines"),
        ("x.jsonl", b"{\"text\"", "x.jsonl:1:7: malformed JSON: EOF while parsing an object"),
        ("x.jsonl", b"{\"a\":\"b\"}", "x.jsonl: no format is recognised; columns found: a"),
        ("x.jsonl", b"{\"prompt\":\"p\",\"chosen\":\"a\",\"rejected\":\"b\"}", "x.jsonl: preference pairs"),
    ] {
        assert!(said(name, bytes).starts_with(expect), "{name}: {}", said(name, bytes));
    }
    let long = format!("{{\"text\":\"{}\"}}", "x".repeat(70_000));
    assert_eq!(said("x.jsonl", long.as_bytes()), "x.jsonl:1: the record is longer than record_bytes_max, 65536 bytes");
    let cut = gz(ALPACA.as_bytes());
    assert!(said("x.jsonl.gz", &cut[..cut.len() - 9]).starts_with("x.jsonl.gz: the rest cannot be unpacked"));
}

#[test]
fn patterns() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    for name in ["b.jsonl", "a.jsonl", "c[1].jsonl", "d.csv"] {
        std::fs::write(path(name), ALPACA).unwrap();
    }
    std::fs::create_dir(path("f.jsonl")).unwrap();
    let found = |patterns: &[&str]| {
        let patterns: Vec<String> = patterns.iter().map(|p| path(p)).collect();
        files(&patterns).map(|files| {
            let names = files.iter().enumerate().map(|(i, f)| {
                assert_eq!((f.index, f.bytes), (i as u32, ALPACA.len() as u64));
                f.shown.rsplit('/').next().unwrap().to_owned()
            });
            names.collect::<Vec<_>>().join(" ")
        })
    };
    assert_eq!(found(&["*.jsonl"]).unwrap(), "a.jsonl b.jsonl c[1].jsonl");
    assert_eq!(found(&["d.csv", "?.jsonl", "a.jsonl"]).unwrap(), "d.csv a.jsonl b.jsonl");
    assert_eq!(found(&["c[1].jsonl"]).unwrap(), "c[1].jsonl");
    assert_eq!(found(&["./d.csv", "d.csv"]).unwrap(), "d.csv");
    assert!(matches!(found(&["x*"]), Err(InputError::NoMatch { .. })));
    assert!(matches!(found(&["f.json*"]), Err(InputError::NoMatch { .. })));
    assert!(matches!(found(&["a***"]), Err(InputError::Pattern { .. })));
    assert!(matches!(found(&["x.jsonl"]), Err(InputError::Data(DataError::NoSuchFile { .. }))));
    assert!(matches!(found(&["f.jsonl"]), Err(InputError::Data(DataError::NotAFile { .. }))));
    assert!(matches!(found(&[]), Err(InputError::NoFiles)));
}

#[test]
fn chunks_are_bounded_and_progress_grows() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.jsonl");
    let long = format!("{{\"text\":\"{}\"}}\n", "x".repeat(50_000));
    std::fs::write(&path, [long.repeat(200), format!("{ALPACA}\n").replace("output", "text").repeat(3000)].concat())
        .unwrap();
    let file = File::new(0, &path, None).unwrap();
    let mut reader = Reader::open(&file, &limits(dir.path())).unwrap();
    let (mut rows, mut before) = (0, 0);
    while let Some(chunk) = reader.next_chunk() {
        let chunk = chunk.unwrap();
        assert!(
            chunk.len() <= scan::input::CHUNK_ROWS && (rows + chunk.len() > 200 || chunk.len() <= 90),
            "{}",
            chunk.len()
        );
        rows += chunk.len();
        assert!(reader.bytes_read() >= before);
        before = reader.bytes_read();
    }
    assert_eq!((rows, before), (3200, file.bytes));
}
