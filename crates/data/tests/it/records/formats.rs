//! Every format in every kind of file: what is found by looking, and what each row becomes.

use super::{RECORD_BYTES_MAX, read, read_with, refusal, source, told, words};
use data::Format;
use std::io::Write;

#[track_caller]
fn check(name: &str, text: &str, note: &str, rows: &[&str]) {
    let (said, got) = read(name, text.as_bytes()).unwrap();
    assert_eq!(said, note, "{name}: {text}");
    assert_eq!(got, rows, "{name}: {text}");
}

#[test]
fn alpaca() {
    let note = "jsonl, alpaca (found: instruction, input, output)";
    check("a.jsonl", r#"{"instruction":"Add","input":"1 2","output":"3"}"#, note, &["1 user:Add\n1 2 | assistant:3"]);
    check("a.jsonl", r#"{"instruction":"Add","input":"","output":"3"}"#, note, &["1 user:Add | assistant:3"]);
    check("a.jsonl", r#"{"instruction":"","input":"1 2","output":"3"}"#, note, &["1 user:1 2 | assistant:3"]);
    check(
        "a.json",
        r#"[{"instruction":"c","output":"d","system":"s","history":[["a","b"]]},
            {"instruction":"e","output":"f","system":"","history":[], "extra": null}]"#,
        "json array, alpaca (found: instruction, output, system, history; not used: extra)",
        &["1 system:s | user:a | assistant:b | user:c | assistant:d", "2 user:e | assistant:f"],
    );
}

#[test]
fn a_field_that_the_first_rows_lack_still_counts() {
    let mut text = "{\"instruction\":\"a\",\"output\":\"b\"}\n".repeat(20);
    text += r#"{"instruction":"a","output":"b","system":"s","input":"i"}"#;
    let (_, rows) = read("a.jsonl", text.as_bytes()).unwrap();
    assert_eq!(rows[20], "21 system:s | user:a\ni | assistant:b");
}

#[test]
fn sharegpt() {
    check(
        "s.json",
        r#"[{"conversations":[{"from":"human","value":"q"},{"from":"function_call","value":"{\"name\":\"f\",\"arguments\":{\"x\":1}}"},
             {"from":"observation","value":"9"},{"from":"gpt","value":"nine"}],"tools":"[{\"name\":\"f\",\"parameters\":{}}]","system":"be brief"}]"#,
        "json array, sharegpt (found: conversations, system, tools)",
        &[concat!(
            r#"1 system:be brief | user:q | assistant:-{"tool_calls":[{"type":"function","function":{"name":"f","arguments":{"x":1}}}]}"#,
            r#" | tool:9 | assistant:nine tools:[{"type":"function","function":{"name":"f","parameters":{}}}]"#
        )],
    );
    let (note, rows) =
        read_with("s.jsonl", br#"{"dialogue":[{"who":"customer","says":"hello"},{"who":"agent","says":"hi"}]}"#, |s| {
            s.format = Some(Format::Sharegpt);
            s.columns = words(&[("messages", "dialogue")]);
            s.tags = words(&[
                ("role_tag", "who"),
                ("content_tag", "says"),
                ("user_tag", "customer"),
                ("assistant_tag", "agent"),
            ]);
        })
        .unwrap();
    assert_eq!(note, "jsonl, sharegpt (as told: conversations=dialogue)");
    assert_eq!(rows, ["1 user:hello | assistant:hi"]);
}

#[test]
fn messages() {
    check(
        "m.jsonl",
        r#"{"messages":[{"role":"developer","content":"s"},{"role":"user","content":"q"},{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}}]},{"role":"tool","tool_call_id":"1","content":"9"},{"role":"assistant","content":"nine","weight":1}],"tools":[{"type":"function","function":{"name":"f"}}]}"#,
        "jsonl, messages (found: messages, tools)",
        &[concat!(
            r#"1 system:s | user:q | assistant:-{"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":{"x":1}}}]}"#,
            r#" | tool:9{"tool_call_id":"1"} | assistant:nine tools:[{"type":"function","function":{"name":"f"}}]"#
        )],
    );
    // LLaMA-Factory's parts, with reasoning and calls beside the text.
    check(
        "m.jsonl",
        r#"{"messages":[{"role":"user","content":[{"type":"text","value":"a"},{"type":"text","text":"b"}],"loss_weight":0.0},{"role":"assistant","content":[{"type":"reasoning","value":"hm"},{"type":"tool_call","value":"{\"name\":\"f\",\"arguments\":{}}"}],"loss_weight":1.0}]}"#,
        "jsonl, messages (found: messages)",
        &[
            r#"1 user:ab | assistant:-{"tool_calls":[{"type":"function","function":{"name":"f","arguments":{}}}],"reasoning_content":"hm"}"#,
        ],
    );
    // The list as JSON text, as csv files hold it; and under sharegpt's column name.
    check(
        "m.csv",
        "messages\n\"[{\"\"role\"\":\"\"user\"\",\"\"content\"\":\"\"q\"\"},{\"\"role\"\":\"\"assistant\"\",\"\"content\"\":\"\"a\"\"}]\"\n",
        "csv, messages (found: messages)",
        &["2 user:q | assistant:a"],
    );
}

#[test]
fn prompt_and_completion() {
    check(
        "p.jsonl",
        r#"{"question":"q","answer":"a"}"#,
        "jsonl, prompt_completion (found: prompt=question, completion=answer)",
        &["1 q => a"],
    );
    check(
        "p.jsonl",
        r#"{"prompt":[{"role":"user","content":"q"}],"completion":[{"role":"assistant","content":"a"}]}"#,
        "jsonl, prompt_completion (found: prompt, completion)",
        &["1 user:q => assistant:a"],
    );
    check(
        "p.jsonl",
        r#"{"prompt":"q","response":"a","system":"s"}"#,
        "jsonl, prompt_completion (found: prompt, completion=response, system)",
        &["1 system:s | user:q => assistant:a"],
    );
    let (note, rows) = read_with("b.csv", b"text,category\r\n\"a, \"\"b\"\"\nc\",x\r\nd,y\r\n", |s| {
        s.columns = words(&[("prompt", "text"), ("completion", "category")]);
    })
    .unwrap();
    assert_eq!(note, "csv, prompt_completion (found: prompt=text, completion=category)");
    assert_eq!(rows, ["2 a, \"b\"\nc => x", "4 d => y"]);
    check(
        "b.tsv",
        "prompt\tcompletion\na\tb,c\n",
        "tsv, prompt_completion (found: prompt, completion)",
        &["2 a => b,c"],
    );
}

#[test]
fn texts_that_would_go_on() {
    let rows = "{\"text\": \"a\", \"unfinished\": true}\n{\"text\": \"b\"}\n{\"text\": \"c\", \"unfinished\": false}\n";
    let (_, read) = read_with("go-on.jsonl", rows.as_bytes(), told(Format::Text)).unwrap();
    assert_eq!(read, ["1 unfinished:a", "2 text:b", "3 text:c"]);
}

#[test]
fn plain_text() {
    check("t.txt", "one\n\n  \ntwo\r\n", "txt, text (found)", &["1 text:one", "4 text:two"]);
    check("t.jsonl", "{\"text\":\"one\"}\n", "jsonl, text (found: text)", &["1 text:one"]);
    check("t.json", "[\"one\", \"two\"]", "json array, text (found)", &["1 text:one", "2 text:two"]);
    let refused = refusal("t.csv", b"text,label\na,b\n", |_| {});
    assert!(
        refused.contains("`format: text` to learn the text alone, or `columns: {prompt: text, completion: label}`"),
        "{refused}"
    );
    let (note, _) = read_with("t.csv", b"text,label\na,b\n", told(Format::Text)).unwrap();
    assert_eq!(note, "csv, text (as told: text; not used: label)");
}

#[test]
fn the_first_bytes_decide_where_the_name_does_not() {
    check("a.data", "{\"text\":\"x\"}", "jsonl, text (found: text)", &["1 text:x"]);
    check("a.jsonl", "[{\"text\":\"x\"}]", "json array, text (found: text)", &["1 text:x"]);
    check("a.json", "{\"text\":\"x\"}\n{\"text\":\"y\"}\n", "jsonl, text (found: text)", &["1 text:x", "2 text:y"]);
    check("a.jsonl", "\u{feff}{\"text\":\"x\"}\n", "jsonl, text (found: text)", &["1 text:x"]);
    check("a.csv", "\u{feff}text\nx\n", "csv, text (found: text)", &["2 text:x"]);
}

#[test]
fn compressed() {
    let plain: &[(&str, &str)] = &[
        ("a.jsonl", "{\"text\":\"x\"}\n"),
        ("a.json", "[{\"text\":\"x\"}]"),
        ("a.csv", "text\nx\n"),
        ("a.tsv", "text\nx\n"),
        ("a.txt", "x\n"),
    ];
    for (name, text) in plain {
        let (_, rows) = read(name, text.as_bytes()).unwrap();
        for (suffix, packed) in [("gz", gz(text.as_bytes())), ("zst", zst(text.as_bytes()))] {
            let (note, got) = read(&format!("{name}.{suffix}"), &packed).unwrap();
            assert!(note.starts_with("compressed "), "{note}");
            assert_eq!(got, rows, "{name}.{suffix}");
        }
    }
    // Two members one after the other are one text.
    let (_, rows) = read("a.txt.gz", &[gz(b"x\n"), gz(b"y\n")].concat()).unwrap();
    assert_eq!(rows, ["1 text:x", "2 text:y"]);
}

pub fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

pub fn zst(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

#[cfg(feature = "parquet")]
#[test]
fn parquet() {
    let file = parquet_file();
    for (name, bytes) in
        [("p.parquet", file.clone()), ("p.parquet.gz", gz(&file)), ("p.parquet.zst", zst(&file)), ("p", file.clone())]
    {
        let (note, rows) = read(name, &bytes).unwrap();
        assert!(note.ends_with("parquet, prompt_completion (found: prompt, completion; not used: score)"), "{note}");
        assert_eq!(
            rows,
            ["1 2+2 => 4", "2 1+1 => 2", "p:3: missing field \"completion\"; fields found: prompt, score"]
                .map(|r| r.replace("p:3", &format!("{name}:3")))
        );
    }
}

/// Three rows of prompt, completion (null in the last) and a number, packed with zstd.
#[cfg(feature = "parquet")]
pub fn parquet_file() -> Vec<u8> {
    use parquet::basic::{Compression, ZstdLevel};
    use parquet::data_type::{ByteArrayType, Int64Type};
    use parquet::file::{properties::WriterProperties, writer::SerializedFileWriter};
    let schema =
        "message rows { required binary prompt (UTF8); optional binary completion (UTF8); required int64 score; }";
    let schema = std::sync::Arc::new(parquet::schema::parser::parse_message_type(schema).unwrap());
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, std::sync::Arc::new(properties)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let texts = |texts: &[&str]| texts.iter().map(|t| (*t).into()).collect::<Vec<_>>();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&texts(&["2+2", "1+1", "3+3"]), None, None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&texts(&["4", "2"]), Some(&[1, 1, 0]), None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int64Type>().write_batch(&[1, 2, 3], None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.into_inner().unwrap()
}

/// What `athanor mix` writes of a row is read as the same row, with a column beside it that says where it is from.
#[test]
fn rows_written_again_are_read_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let contents = |name: &str, text: &str, template: &data::Template| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        let records = data::Records::open(&source(&path), RECORD_BYTES_MAX, dir.path()).unwrap();
        records.for_template(template).map(|r| r.unwrap().content).collect::<Vec<_>>()
    };
    let plain = data::Template::Plain("{instruction} => {output}".into());
    for (name, text, template) in [
        ("t.jsonl", r#"{"text": "once"}"#, &data::Template::Auto),
        ("t.txt", "once upon\na time", &data::Template::Auto),
        ("p.jsonl", r#"{"prompt": "a", "completion": "b"}"#, &data::Template::Auto),
        ("p.csv", "prompt,completion\n\"a, b\",c\n", &data::Template::Auto),
        ("a.jsonl", r#"{"instruction": "add", "input": "1 2", "output": "3"}"#, &data::Template::Auto),
        ("a.jsonl", r#"{"instruction": "add", "input": "1 2", "output": "3"}"#, &plain),
        (
            "m.jsonl",
            r#"{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f", "arguments": "{\"x\": 1}"}}]}], "tools": [{"type": "function"}]}"#,
            &data::Template::Auto,
        ),
        (
            "s.jsonl",
            r#"{"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "ho"}]}"#,
            &data::Template::Auto,
        ),
        (
            "c.jsonl",
            r#"{"prompt": [{"role": "user", "content": "hi"}], "completion": [{"role": "assistant", "content": "ho"}]}"#,
            &data::Template::Auto,
        ),
    ] {
        let first = contents(name, text, template);
        assert!(!first.is_empty());
        let rows = first.iter().map(|content| {
            let mut row = content.clone().into_row();
            row.insert("origin".into(), serde_json::json!({"file": name, "line": 1}));
            format!("{}\n", serde_json::Value::Object(row))
        });
        let again = contents("again.jsonl", &rows.collect::<String>(), template);
        assert_eq!(again.len(), first.len(), "{name}");
        for (first, again) in first.into_iter().zip(again) {
            // A plain template may name the origin, too, as any column.
            let named = matches!(again, data::Content::Fields(_));
            let mut row = again.into_row();
            row.retain(|key, _| key != "origin" || !named);
            assert_eq!(row, first.into_row(), "{name}");
        }
    }
}
