//! A row with one text changed and every other byte as it was.

use std::ops::Range;

/// JSON text with the string that `name` leads to replaced: `output`, `messages[2].content`; also into strings that hold JSON
/// themselves. None where it leads to no string.
pub(super) fn json(text: &str, name: &str, new: &str) -> Option<String> {
    let (span, rest) = locate(text, 0, name)?;
    let said: String = serde_json::from_str(&text[span.clone()]).ok()?;
    let said = if rest.is_empty() { new.to_owned() } else { json(&said, rest, new)? };
    let mut literal = serde_json::to_string(&said).ok()?;
    // A file that escapes everything beyond ASCII keeps doing so.
    if text.is_ascii() {
        literal = ascii(&literal);
    }
    Some([&text[..span.start], &literal, &text[span.end..]].concat())
}

/// A record of a table with a field replaced; `rest` leads further, into JSON that the field holds.
pub(super) fn table(record: &str, delimiter: u8, column: usize, rest: &str, new: &str) -> Option<String> {
    let at = data::table_fields(record.as_bytes(), delimiter).get(column)?.clone();
    let field = &record[at.clone()];
    let said = if rest.is_empty() {
        new.to_owned()
    } else {
        json(std::str::from_utf8(&data::table_text(field.as_bytes())).ok()?, rest, new)?
    };
    let special = |byte: u8| matches!(byte, b'"' | b'\n' | b'\r') || byte == delimiter;
    let quoted = field.starts_with('"') || said.bytes().any(special);
    let said = if quoted { format!("\"{}\"", said.replace('"', "\"\"")) } else { said };
    Some([&record[..at.start], &said, &record[at.end..]].concat())
}

/// Where the value lies that `path` leads to from the value at `at`, and what is left of the path at a string.
fn locate<'a>(text: &str, at: usize, path: &'a str) -> Option<(Range<usize>, &'a str)> {
    let bytes = text.as_bytes();
    let start = space(bytes, at);
    let first = *bytes.get(start)?;
    if path.is_empty() || first == b'"' {
        return Some((start..end(bytes, start)?, path));
    }
    match first {
        b'{' => {
            let mut found = None;
            let mut at = space(bytes, start + 1);
            while *bytes.get(at)? == b'"' {
                let after = end(bytes, at)?;
                let key: String = serde_json::from_str(&text[at..after]).ok()?;
                let colon = space(bytes, after);
                if let Some(rest) = member(path, &key)
                    && let Some(there) = locate(text, colon + 1, rest)
                {
                    // Of two members of one name the last counts.
                    found = Some(there);
                }
                at = next(bytes, end(bytes, space(bytes, colon + 1))?)?;
            }
            found
        }
        b'[' => {
            let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
            let mut at = space(bytes, start + 1);
            for _ in 0..index.parse::<usize>().ok()? {
                at = next(bytes, end(bytes, at)?)?;
            }
            (*bytes.get(at)? != b']').then(|| locate(text, at, rest))?
        }
        _ => None,
    }
}

/// What is left of a path after the member `key`.
pub(super) fn member<'a>(path: &'a str, key: &str) -> Option<&'a str> {
    let rest = path.strip_prefix('.').unwrap_or(path).strip_prefix(key)?;
    (rest.is_empty() || rest.starts_with(['.', '['])).then_some(rest)
}

fn space(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|b| b.is_ascii_whitespace()).count()
}

/// Past the comma after a value, if there is one.
fn next(bytes: &[u8], at: usize) -> Option<usize> {
    let at = space(bytes, at);
    Some(if *bytes.get(at)? == b',' { space(bytes, at + 1) } else { at })
}

/// Where the value that begins at `at` ends. The text has been parsed, so only strings and brackets need to be followed.
fn end(bytes: &[u8], at: usize) -> Option<usize> {
    let (mut at, mut depth) = (at, 0usize);
    loop {
        match *bytes.get(at)? {
            b'"' => {
                at += 1;
                loop {
                    at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
                    if bytes[at] == b'"' {
                        break;
                    }
                    at += 2;
                }
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            _ if depth == 0 => {
                let rest = &bytes[at..];
                let ends = |b: &u8| matches!(b, b',' | b'}' | b']') || b.is_ascii_whitespace();
                return Some(at + rest.iter().position(ends).unwrap_or(rest.len()));
            }
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
}

fn ascii(literal: &str) -> String {
    let mut out = String::with_capacity(literal.len());
    for c in literal.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_text_changes() {
        let check = |text: &str, name: &str, new: &str, expect: Option<&str>| {
            assert_eq!(json(text, name, new).as_deref(), expect, "{name} in {text}");
        };
        check(r#"{ "a" : "x\"y" , "b":1.50 }"#, "a", "z", Some(r#"{ "a" : "z" , "b":1.50 }"#));
        check(r#"{"a":"x","b":"y"}"#, "b", "q\"\n", Some(r#"{"a":"x","b":"q\"\n"}"#));
        check(r#"{"m":[{"c":"x"},{"c":"é"}],"z":[]}"#, "m[1].c", "ü", Some(r#"{"m":[{"c":"x"},{"c":"ü"}],"z":[]}"#));
        check(r#"{"a":"\u00e9"}"#, "a", "ü𠀀", Some(r#"{"a":"\u00fc\ud840\udc00"}"#));
        check(
            r#"{"a.b":{"c":"x"},"a":{"b":{"c":"y"}}}"#,
            "a.b.c",
            "z",
            Some(r#"{"a.b":{"c":"x"},"a":{"b":{"c":"z"}}}"#),
        );
        check(r#"{"a":"x","a":"y"}"#, "a", "z", Some(r#"{"a":"x","a":"z"}"#));
        check(r#"{"m":"[{\"c\":\"x\"}]"}"#, "m[0].c", "z\"", Some(r#"{"m":"[{\"c\":\"z\\\"\"}]"}"#));
        check(r#""whole""#, "", "z", Some(r#""z""#));
        check(r#"["x","y"]"#, "[1]", "z", Some(r#"["x","z"]"#));
        for name in ["b", "a[0]", "m[2]", "m[x]", "m", "m[0].d"] {
            check(r#"{"a":1,"m":[{"c":"x"},2]}"#, name, "z", None);
        }
        check("{\"a\":", "a", "z", None);
    }

    #[test]
    fn fields_of_tables() {
        let check = |record: &str, column, rest: &str, new: &str, expect: Option<&str>| {
            assert_eq!(table(record, b',', column, rest, new).as_deref(), expect, "{record}");
        };
        check("a,b,c", 1, "", "x", Some("a,x,c"));
        check("a,\"b\",c", 1, "", "x", Some("a,\"x\",c"));
        check("a,b,c", 2, "", "x,\"y\"", Some("a,b,\"x,\"\"y\"\"\""));
        check("\"[{\"\"c\"\":\"\"x\"\"}]\",b", 0, "[0].c", "y", Some("\"[{\"\"c\"\":\"\"y\"\"}]\",b"));
        check("a,b", 2, "", "x", None);
    }

    /// Values with some depth, and the names of all strings in them.
    fn values() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Into::into),
            any::<i32>().prop_map(Into::into),
            "[a\"\\\\\n{}\\[\\],é]{0,6}".prop_map(Into::into)
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                proptest::collection::btree_map("[ab\"é]{1,2}", inner, 0..4)
                    .prop_map(|m| serde_json::Value::Object(m.into_iter().collect())),
            ]
        })
    }

    fn names(value: &mut serde_json::Value, name: String, change: &mut impl FnMut(&str, &mut String)) {
        match value {
            serde_json::Value::String(text) => change(&name, text),
            serde_json::Value::Array(items) => {
                items.iter_mut().enumerate().for_each(|(i, v)| names(v, format!("{name}[{i}]"), change));
            }
            serde_json::Value::Object(members) => {
                members.iter_mut().for_each(|(k, v)| names(v, format!("{name}.{k}"), change));
            }
            _ => {}
        }
    }

    proptest! {
        #[test]
        fn as_changing_the_value_does(value in values(), pretty: bool, new in "[x\"\\\\ü]{0,4}", pick: prop::sample::Index) {
            let value = serde_json::json!({"a": value, "b": "x"});
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
            let mut all = Vec::new();
            names(&mut value.clone(), String::new(), &mut |name, _| all.push(name.to_owned()));
            let picked = pick.get(&all);
            let mut expect = value;
            names(&mut expect, String::new(), &mut |name, text| {
                if name == picked {
                    new.clone_into(text);
                }
            });
            let changed = json(&text, picked.strip_prefix('.').unwrap_or(picked), &new).unwrap();
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&changed).unwrap(), expect);
        }
    }
}
