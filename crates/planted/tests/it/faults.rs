//! Rows with faults are what their truth says.

use planted::faults::{FAULTS, dirty};
use serde_json::Value;

#[test]
fn the_same_seed_gives_the_same_rows_and_another_one_others() {
    assert_eq!(dirty(64, 7), dirty(64, 7));
    assert_ne!(dirty(64, 7).lines, dirty(64, 8).lines);
}

#[test]
fn every_fault_occurs_and_one_row_in_eight_has_one() {
    let dirty = dirty(8 * FAULTS.len() * 2, 1);
    assert_eq!(dirty.truth.len(), FAULTS.len() * 2);
    for fault in FAULTS {
        assert_eq!(dirty.truth.iter().filter(|(_, name)| *name == fault).count(), 2, "{fault}");
    }
}

#[test]
fn rows_are_json_except_where_that_is_the_fault() {
    let dirty = dirty(1600, 3);
    for (at, line) in dirty.lines.iter().enumerate() {
        let fault = dirty.truth.iter().find(|(line, _)| *line == at as u64 + 1).map_or("", |(_, fault)| fault);
        let row = serde_json::from_slice::<Value>(line);
        let output = row.as_ref().ok().and_then(|row| row["output"].as_str());
        match fault {
            "invalid_utf8" => assert!(std::str::from_utf8(line).is_err(), "line {}", at + 1),
            "truncated_json" => assert!(row.is_err() && std::str::from_utf8(line).is_ok(), "line {}", at + 1),
            "missing_field" => assert!(row.is_ok_and(|row| row["output"].is_null() != row["instruction"].is_null())),
            "wrong_type" => assert!(row.is_ok() && output.is_none(), "line {}", at + 1),
            "empty_output" => assert_eq!(output, Some("")),
            "whitespace_only" => {
                assert!(output.is_some_and(|o| !o.is_empty() && o.trim_matches('\u{200b}').trim().len() < 4))
            }
            "exact_dup" => assert!(dirty.lines[..at].contains(line)),
            _ => assert!(output.is_some_and(|o| !o.trim().is_empty()), "line {} {fault}", at + 1),
        }
    }
}
