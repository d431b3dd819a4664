//! Random damage to real files: never a panic, never a place outside the file, never memory beyond a bound.

use crate::files::{f32s, file, fixtures, raw};
use crate::hostile::open;
use proptest::prelude::*;
use std::fs;
use weights::Checkpoint;
use weights::peft::AdapterConfig;

/// Messages and paths of an error, and the tables of a small header.
const FIXED_BYTES: u64 = 32 << 10;

/// What an opened checkpoint offers can be read to its end.
fn read_all(c: &Checkpoint, file_bytes: usize) {
    let mut total = 0;
    for name in c.names() {
        let view = c.get(name).unwrap();
        total += view.bytes.len();
        if let Ok(values) = view.to_f32() {
            assert_eq!(values.len(), view.elements());
        }
    }
    assert!(total <= file_bytes);
}

fn check(bytes: &[u8]) {
    let mut opened = None;
    let info = allocation_counter::measure(|| opened = open(bytes).ok());
    assert!(info.bytes_max < 8 * bytes.len() as u64 + FIXED_BYTES, "{} for {}", info.bytes_max, bytes.len());
    if let Some(c) = opened {
        read_all(&c, bytes.len());
    }
}

fn seed() -> Vec<u8> {
    file(&[f32s("model.a.weight", &[1.0, 2.0, 3.0, 4.0]), f32s("model.b.weight", &[5.0]), f32s("c", &[])])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_bytes(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = seed();
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        check(&bytes);
    }

    /// Digits and brackets hit the numbers and the structure more often than random bytes do.
    #[test]
    fn mutated_header_text(
        edits in prop::collection::vec((any::<prop::sample::Index>(), "[0-9\\[\\]{},:\"]{0,6}"), 1..4),
    ) {
        let whole = seed();
        let end = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
        let mut header = String::from_utf8(whole[8..end].to_vec()).unwrap();
        for (at, text) in edits {
            let at = at.index(header.len());
            header.replace_range(at..=at, &text);
            if header.is_empty() {
                break;
            }
        }
        check(&raw(&header, &whole[end..]));
    }

    #[test]
    fn random_headers(
        entries in prop::collection::vec(("[a-c]", prop::collection::vec(prop_oneof![0..9u64, any::<u64>()], 0..20),
            prop_oneof![0..64u64, any::<u64>()], prop_oneof![0..64u64, any::<u64>()],
            prop::sample::select(vec!["F32", "F16", "BF16", "F64", "F4", "F6_E2M3", "I64", "BOOL", "X"])), 0..5),
        data in 0..64usize,
    ) {
        let entries: Vec<String> = entries.iter().map(|(name, shape, begin, end, dtype)| {
            format!("\"{name}\":{{\"dtype\":\"{dtype}\",\"shape\":{shape:?},\"data_offsets\":[{begin},{end}]}}")
        }).collect();
        check(&raw(&format!("{{{}}}", entries.join(",")), &vec![0; data]));
    }

    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check(&bytes);
        let framed = [&(bytes.len() as u64).to_le_bytes()[..], &bytes].concat();
        check(&framed);
    }

    #[test]
    fn mutated_adapter_configs(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let path = fixtures().join("peft/llama/lora_pattern/final/adapter_config.json");
        let mut bytes = fs::read(&path).unwrap();
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(config) = AdapterConfig::parse(&path, &bytes) {
            let written = config.to_json();
            let again = AdapterConfig::parse(&path, written.as_bytes()).unwrap();
            assert_eq!(again.to_json(), written);
        }
    }
}
