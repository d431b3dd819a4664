//! Packing against the rows that TRL prepares (`fixtures/text/trl.json`, modes `pack_*`).

use data::{LengthPlan, OverLength, Packing, Piece, pack};
use serde_json::Value;

fn fixture() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/text/trl.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn ints(value: &Value) -> Vec<i64> {
    value.as_array().unwrap().iter().map(|v| v.as_i64().unwrap()).collect()
}

/// The rows' tokens and labels, and the lengths of the pieces in each row.
fn laid_out(rows: &[Vec<Piece>], examples: &[(Vec<i64>, Vec<i64>)]) -> Vec<(Vec<i64>, Vec<i64>, Vec<i64>)> {
    let side = |row: &[Piece], pick: fn(&(Vec<i64>, Vec<i64>)) -> &Vec<i64>| {
        row.iter().flat_map(|p| pick(&examples[p.example])[p.tokens.clone()].to_vec()).collect::<Vec<_>>()
    };
    rows.iter()
        .map(|row| (side(row, |e| &e.0), side(row, |e| &e.1), row.iter().map(|p| p.tokens.len() as i64).collect()))
        .collect()
}

#[test]
fn rows_equal_trl() {
    let fixture = fixture();
    let modes = [
        ("pack_bfd", Packing::Bfd),
        ("pack_bfd_truncating", Packing::Bfd),
        ("pack_bfd_split", Packing::BfdSplit),
        ("pack_wrapped", Packing::Wrapped),
    ];
    let mut compared = 0;
    for (model, cases) in fixture.as_object().unwrap() {
        let unpacked = cases["prompt_completion_conversational"]["prepared"].as_array().unwrap();
        let examples: Vec<_> = unpacked.iter().map(|row| (ints(&row["input_ids"]), ints(&row["labels"]))).collect();
        let lengths: Vec<usize> = examples.iter().map(|e| e.0.len()).collect();
        for (mode, packing) in modes {
            let case = &cases[mode];
            let limit = case["args"]["max_length"].as_u64().unwrap() as usize;
            let got = laid_out(&pack(&lengths, limit, packing), &examples);
            let expect = case["prepared"].as_array().unwrap();
            assert_eq!(got.len(), expect.len(), "{model} {mode}: rows");
            for (i, (row, (ids, labels, pieces))) in expect.iter().zip(&got).enumerate() {
                assert_eq!(ids, &ints(&row["input_ids"]), "{model} {mode} row {i}: ids");
                assert_eq!(labels, &ints(&row["labels"]), "{model} {mode} row {i}: labels");
                if let Some(lengths) = row.get("seq_lengths") {
                    assert_eq!(pieces, &ints(lengths), "{model} {mode} row {i}: boundaries");
                }
                compared += 1;
            }
        }
    }
    assert!(compared > 100, "{compared} rows compared");
}

#[test]
fn examples_are_rows_of_their_own() {
    let rows = pack(&[3, 0, 9], 4, Packing::Examples);
    assert_eq!(rows, [vec![Piece { example: 0, tokens: 0..3 }], vec![Piece { example: 2, tokens: 0..9 }]]);
}

#[test]
fn nothing_packs_to_nothing() {
    for packing in [Packing::Examples, Packing::Bfd, Packing::BfdSplit, Packing::Wrapped] {
        assert_eq!(pack(&[], 8, packing), Vec::<Vec<Piece>>::new());
        let _ = LengthPlan { seq_len_max: 8, over: OverLength::Drop, packing };
    }
}

proptest::proptest! {
    /// Every token of every example lies in exactly one row (bfd: up to the limit), no row is too long, and order is kept in pieces.
    #[test]
    fn no_token_is_lost(lengths in proptest::collection::vec(0usize..40, 0..60), limit in 1usize..24) {
        for packing in [Packing::Bfd, Packing::BfdSplit, Packing::Wrapped] {
            let rows = pack(&lengths, limit, packing);
            let mut seen: Vec<Vec<bool>> = lengths.iter().map(|n| vec![false; *n]).collect();
            for row in &rows {
                proptest::prop_assert!(!row.is_empty());
                proptest::prop_assert!(row.iter().map(|p| p.tokens.len()).sum::<usize>() <= limit);
                for piece in row {
                    for token in piece.tokens.clone() {
                        proptest::prop_assert!(!std::mem::replace(&mut seen[piece.example][token], true));
                    }
                }
            }
            for tokens in &seen {
                let expected = if packing == Packing::Bfd { tokens.len().min(limit) } else { tokens.len() };
                proptest::prop_assert_eq!(tokens.iter().filter(|t| **t).count(), expected);
            }
        }
    }
}
