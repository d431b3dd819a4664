//! No bytes make a reader panic or loop: anything is read, set aside or refused.

use super::read;
use proptest::prelude::*;

const NAMES: [&str; 7] = ["f.jsonl", "f.json", "f.csv", "f.tsv", "f.txt", "f.jsonl.gz", "f.csv.zst"];

/// Pieces that the formats are made of, so that random sequences get past the first byte.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"{\"instruction\":\"a\",\"output\":\"b\"}".to_vec()),
        Just(b"{\"conversations\":[{\"from\":\"human\",\"value\":\"x\"},{\"from\":\"gpt\",\"value\":\"y\"}]}".to_vec()),
        Just(
            b"{\"messages\":[{\"role\":\"assistant\",\"content\":\"x\",\"tool_calls\":[1]}],\"tools\":\"[\"}".to_vec()
        ),
        Just(b"prompt,completion\n".to_vec()),
        prop::sample::select(b"{}[]\",:\n\r\t \\\0\xff\xef\xbb\xbf0e-.tfn".to_vec()).prop_map(|b| vec![b]),
        proptest::collection::vec(any::<u8>(), 0..8),
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|p| p.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_bytes(bytes in pieces(), name in prop::sample::select(NAMES.to_vec())) {
        let packed = match name {
            "f.jsonl.gz" => super::formats::gz(&bytes),
            "f.csv.zst" => super::formats::zst(&bytes),
            _ => bytes,
        };
        let _ = read(name, &packed);
    }

    #[test]
    fn damaged_compression(mut bytes in Just(super::formats::gz(&b"{\"text\":\"x\"}\n".repeat(50))), at in any::<prop::sample::Index>(), byte: u8) {
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = read("f.jsonl.gz", &bytes);
        let mut packed = super::formats::zst(&b"{\"text\":\"x\"}\n".repeat(50));
        let at = at % packed.len();
        packed[at] = byte;
        let _ = read("f.jsonl.zst", &packed);
    }
}

#[cfg(feature = "parquet")]
proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn damaged_parquet(at in any::<prop::sample::Index>(), byte: u8, cut in any::<prop::sample::Index>()) {
        let mut bytes = super::formats::parquet_file();
        let place = at.index(bytes.len());
        bytes[place] = byte;
        let _ = read("f.parquet", &bytes);
        let _ = read("f.parquet", &bytes[..cut.index(bytes.len())]);
    }
}
