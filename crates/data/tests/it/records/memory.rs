//! Peak memory, measured in a process of its own: this test program starts itself again with a task in its environment.

use super::prepare::Case;
use super::source;
use data::{DataError, Records};
use std::io::Write;
use std::path::Path;
use std::process::Command;

const TASK: &str = "DATA_TEST_MEMORY_TASK";
const GIB: u64 = 1 << 30;
const RECORD_BYTES_MAX: u64 = 8 << 20;

/// The process that is measured. Without a task there is nothing to do.
#[test]
fn measured() {
    let Ok(task) = std::env::var(TASK) else { return };
    let (what, path) = task.split_once(' ').unwrap();
    // The test runner has begun a line with this test's name.
    println!();
    match what {
        "read" => {
            for record in Records::open(&source(Path::new(path)), RECORD_BYTES_MAX, &std::env::temp_dir()).unwrap() {
                match record {
                    Ok(record) => println!("record {}", record.origin.line),
                    Err(DataError::BadRow { fault, fault_at }) => {
                        println!("fault {}: {}", fault_at.line, fault.reason())
                    }
                    Err(e) => println!("end: {e}"),
                }
            }
        }
        _ => {
            let prepared = Case::of(Path::new(path)).run().unwrap();
            println!("examples {}", prepared.train.len());
        }
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
    println!("peak {}", peak.trim().trim_end_matches(" kB"));
}

/// What the process said, and its peak in MiB.
fn measure(what: &str, path: &Path) -> (Vec<String>, u64) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "records::memory::measured", "--nocapture", "--test-threads=1"])
        .env(TASK, format!("{what} {}", path.display()))
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let lines =
        said.lines().filter(|l| ["record", "fault", "end", "examples", "peak"].iter().any(|word| l.starts_with(word)));
    let mut lines: Vec<String> = lines.map(str::to_owned).collect();
    let peak = lines.pop().unwrap().trim_start_matches("peak ").parse::<u64>().unwrap() / 1024;
    (lines, peak)
}

/// A row, then a line of a gibibyte. The file is a hole, so it takes no room on the disk.
fn endless(dir: &Path, name: &str, start: &str, bytes: u64) -> std::path::PathBuf {
    let path = dir.join(name);
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(start.as_bytes()).unwrap();
    file.set_len(bytes).unwrap();
    path
}

#[test]
fn a_line_of_a_gibibyte_takes_no_more_memory_than_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    let row = r#"{"prompt":"a","completion":"b"}"#;
    let (said, peak) = measure("read", &endless(dir.path(), "line.jsonl", &format!("{row}\n"), GIB));
    assert_eq!(said, ["record 1", "fault 2: too large"]);
    assert!(peak < 64, "{peak} MiB");
    let (said, peak) = measure("read", &endless(dir.path(), "array.json", &format!("[{row},[\""), GIB / 8));
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[1].contains("the end of the file; expected the rest of an element"), "{said:?}");
    assert!(peak < 64, "{peak} MiB");
    let (said, peak) = measure("read", &endless(dir.path(), "quote.csv", "prompt,completion\na,b\nc,\"", GIB));
    assert_eq!(said[0], "record 2");
    assert!(said[1].starts_with("fault 3: too large"), "{said:?}");
    assert!(peak < 64, "{peak} MiB");
}

/// Ten times the file, the same memory.
#[test]
fn memory_does_not_grow_with_the_file() {
    let peaks = [1usize, 10].map(|mib| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.jsonl");
        let row = |i: usize| format!("{{\"prompt\":\"{i} {}\",\"completion\":\"yes\"}}\n", "what is it ".repeat(90));
        let text: String = (0..mib * 1024).map(row).collect();
        std::fs::write(&path, &text).unwrap();
        let (said, peak) = measure("prepare", &path);
        assert_eq!(said, [format!("examples {}", mib * 1024)]);
        peak
    });
    assert!(peaks[1] <= peaks[0] + 12, "{peaks:?} MiB");
}
