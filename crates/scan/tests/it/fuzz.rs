//! No bytes make a reader panic or loop, every position lies within the file, and a copy says what its source does. The targets in
//! `fuzz/` try the same for longer.

use super::input::gz;
use probe::probe;
use proptest::prelude::*;

#[path = "../../../../fuzz/src/lib.rs"]
#[allow(dead_code, reason = "the seeds are for the fuzz targets")]
mod probe;

const NAMES: [&str; 8] = ["f.jsonl", "f.json", "f.csv", "f.tsv", "f.txt", "f.jsonl.gz", "f.csv.zst", "f.parquet"];

/// Pieces that the formats are made of, so that random sequences get past the first byte.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => Just(b"{\"instruction\":\"a\",\"output\":\"b\"}".to_vec()),
        1 => Just(b"{\"conversations\":[{\"from\":\"human\",\"value\":\"x\"},{\"from\":\"gpt\",\"value\":\"y\"}]}".to_vec()),
        1 => Just(b"{\"messages\":[{\"role\":\"assistant\",\"content\":\"x\",\"tool_calls\":[1]}],\"tools\":\"[\"}".to_vec()),
        1 => Just(b"prompt,completion\n".to_vec()),
        1 => Just(b"\xc7\xeb\xbd\xe9\xc9\xdc\xd2\xbb\xcf\xc2\xc4\xe3\xd7\xd4\xbc\xba\xb5\xc4".to_vec()),
        1 => Just(b"{\0\"\0t\0e\0x\0t\0\"\0:\0\"\0x\0\"\0}\0\n\0".to_vec()),
        4 => prop::sample::select(b"{}[]\",:\n\r\t \\\0\xff\xef\xbb\xbf0e-.tfn".to_vec()).prop_map(|b| vec![b]),
        1 => proptest::collection::vec(any::<u8>(), 0..8),
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|p| p.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_bytes(bytes in pieces(), name in prop::sample::select(NAMES.to_vec())) {
        let packed = match name {
            "f.jsonl.gz" => gz(&bytes),
            "f.csv.zst" => zstd::encode_all(&bytes[..], 1).unwrap(),
            _ => bytes,
        };
        probe(name, &packed);
    }

    #[test]
    fn damaged_files(at in any::<prop::sample::Index>(), byte: u8, cut in any::<prop::sample::Index>()) {
        let lines = b"{\"text\":\"x\"}\n".repeat(50);
        for (name, mut bytes) in [("f.jsonl.gz", gz(&lines)), ("f.jsonl.zst", zstd::encode_all(&lines[..], 1).unwrap())] {
            let place = at.index(bytes.len());
            bytes[place] = byte;
            probe(name, &bytes);
            probe(name, &bytes[..cut.index(bytes.len())]);
        }
    }
}
