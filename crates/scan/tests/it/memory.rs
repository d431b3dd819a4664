//! Peak memory, measured in a process of its own: this test program starts itself again with a file in its environment.

use super::input::{limits, shown};
use scan::input::{File, Limits, Reader};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

const FILE: &str = "SCAN_TEST_MEMORY_FILE";
const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;
const RECORD_BYTES_MAX: u64 = 10 * MIB;

/// The process that is measured. Without a file there is nothing to do.
#[test]
fn measured() {
    let Ok(path) = std::env::var(FILE) else { return };
    // The test runner has begun a line with this test's name.
    println!();
    let limits = Limits { record_bytes_max: RECORD_BYTES_MAX, ..limits(&std::env::temp_dir()) };
    match Reader::open(&File::new(0, Path::new(&path), None).unwrap(), &limits) {
        Err(error) => println!("refused {error}"),
        Ok(mut reader) => {
            let meaning = reader.meaning();
            while let Some(chunk) = reader.next_chunk() {
                for raw in chunk.unwrap() {
                    println!("row {:.60}", shown(&(raw.line(), meaning.understand(&raw))));
                }
            }
        }
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
    println!("peak {}", peak.trim().trim_end_matches(" kB"));
}

/// What the process said, and its peak in MiB.
fn measure(path: &Path) -> (Vec<String>, u64) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "memory::measured", "--nocapture", "--test-threads=1"])
        .env(FILE, path)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let said = said.lines().filter(|l| ["row", "refused", "peak"].iter().any(|word| l.starts_with(word)));
    let mut said: Vec<String> =
        said.map(|line| line.replace(&path.parent().unwrap().display().to_string(), "")).collect();
    let peak = said.pop().unwrap().trim_start_matches("peak ").parse::<u64>().unwrap() / 1024;
    (said, peak)
}

/// A start, then nothing but NUL bytes. The file is a hole, so it takes no room on the disk.
fn endless(dir: &Path, name: &str, start: &str, bytes: u64) -> PathBuf {
    let path = dir.join(name);
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(start.as_bytes()).unwrap();
    file.set_len(bytes).unwrap();
    path
}

#[test]
fn a_record_without_end_takes_no_more_memory_than_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    let check = |name: &str, start: &str, bytes: u64, expect: &[&str]| {
        let (said, peak) = measure(&endless(dir.path(), name, start, bytes));
        assert!(said.len() == expect.len() && said.iter().zip(expect).all(|(s, e)| s.starts_with(e)), "{said:?}");
        assert!(peak < 80, "{peak} MiB: {said:?}");
    };
    let row = r#"{"prompt":"a","completion":"b"}"#;
    let read = "row 1 prompt?=a completion!=b";
    check("line.jsonl", &format!("{row}\n"), GIB, &[read, "row 2; too_large"]);
    check(
        "only.jsonl",
        "{\"text\":\"",
        GIB / 8,
        &["refused /only.jsonl:1: the record is longer than record_bytes_max"],
    );
    check("array.json", &format!("[{row},[\""), GIB / 8, &[read, "row 2; broken_file"]);
    check("quote.csv", "prompt,completion\na,b\nc,\"", GIB / 8, &["row 2 prompt?=a completion!=b", "row 3; too_large"]);
    check(
        "lines.csv",
        "prompt,completion\na,b\nc,\"\nd,e\n",
        GIB / 8,
        &["row 2 prompt?=a completion!=b", "row 3; malformed_csv", "row 4 prompt?=d completion!=e", "row 5; too_large"],
    );
    check("text.txt", "a\n", GIB / 8, &["row 1 text.=a", "row 2; too_large"]);
}

#[test]
fn long_records_up_to_the_limit_are_rows() {
    let dir = tempfile::tempdir().unwrap();
    let line = |bytes: u64| format!("{{\"text\":\"{}\"}}\n", "x".repeat(bytes as usize - 11));
    let path = dir.path().join("long.jsonl");
    let lines = [line(RECORD_BYTES_MAX), line(RECORD_BYTES_MAX + 1), line(2 * RECORD_BYTES_MAX), line(50)];
    std::fs::write(&path, lines.concat()).unwrap();
    let (said, peak) = measure(&path);
    assert!(said[0].starts_with("row 1 text.=xxx") && said[3].starts_with("row 4 text.=xxx"), "{said:?}");
    assert_eq!(said[1..3], ["row 2; too_large", "row 3; too_large"]);
    assert!(peak < 120, "{peak} MiB");
}
