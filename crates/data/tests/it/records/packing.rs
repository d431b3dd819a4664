//! Packing against the rows that TRL prepares (`fixtures/text/trl.json`, modes `pack_*`).

use data::{Packing, Piece, pack};
use serde_json::Value;

fn fixture() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/text/trl.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn ints(value: &Value) -> Vec<i64> {
    value.as_array().unwrap().iter().map(|v| v.as_i64().unwrap()).collect()
}

/// A row as TRL prepares it: tokens, labels, and the lengths of its pieces.
#[derive(Default)]
struct Row {
    ids: Vec<i64>,
    labels: Vec<i64>,
    pieces: Vec<i64>,
}

impl Row {
    fn of(case: &Value) -> Self {
        let pieces = case.get("seq_lengths").map(ints).unwrap_or_default();
        Self { ids: ints(&case["input_ids"]), labels: ints(&case["labels"]), pieces }
    }

    fn packed(pieces: &[Piece], examples: &[Row]) -> Self {
        let mut row = Row::default();
        for piece in pieces {
            row.ids.extend(&examples[piece.example].ids[piece.tokens.clone()]);
            row.labels.extend(&examples[piece.example].labels[piece.tokens.clone()]);
            row.pieces.push(piece.tokens.len() as i64);
        }
        row
    }
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
        let examples: Vec<Row> = unpacked.iter().map(Row::of).collect();
        let lengths: Vec<usize> = examples.iter().map(|e| e.ids.len()).collect();
        for (mode, packing) in modes {
            let case = &cases[mode];
            let limit = case["args"]["max_length"].as_u64().unwrap() as usize;
            let got = pack(&lengths, limit, packing);
            let expect: Vec<Row> = case["prepared"].as_array().unwrap().iter().map(Row::of).collect();
            assert_eq!(got.len(), expect.len(), "{model} {mode}: rows");
            for (i, (expect, got)) in expect.iter().zip(&got).enumerate() {
                let got = Row::packed(got, &examples);
                assert_eq!(got.ids, expect.ids, "{model} {mode} row {i}: ids");
                assert_eq!(got.labels, expect.labels, "{model} {mode} row {i}: labels");
                // Wrapped rows are one sequence to TRL; it names no boundaries.
                if packing != Packing::Wrapped {
                    assert_eq!(got.pieces, expect.pieces, "{model} {mode} row {i}: boundaries");
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
