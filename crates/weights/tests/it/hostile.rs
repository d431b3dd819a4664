//! RELIABILITY 16: each way in which a safetensors file can lie has its own refusal, and none costs memory.

use crate::files::{f32s, file, fixtures, raw};
use std::fs;
use tempfile::tempdir;
use weights::{Checkpoint, Dtype, WeightsError};

/// Opens these bytes as a file.
pub fn open(bytes: &[u8]) -> Result<Checkpoint, WeightsError> {
    let dir = tempdir().unwrap();
    let path = dir.path().join("hostile.safetensors");
    fs::write(&path, bytes).unwrap();
    Checkpoint::open_file(&path)
}

fn refused(bytes: &[u8]) -> WeightsError {
    open(bytes).unwrap_err()
}

fn refused_header(header: &str, data: &[u8]) -> WeightsError {
    refused(&raw(header, data))
}

#[test]
fn truncated_at_every_length() {
    let whole = file(&[f32s("a", &[1.0, 2.0]), f32s("b", &[3.0])]);
    assert_eq!(open(&whole).unwrap().len(), 2);
    let header = u64::from_le_bytes(whole[..8].try_into().unwrap()) + 8;
    for len in 0..whole.len() as u64 {
        let e = refused(&whole[..len as usize]);
        match &e {
            WeightsError::TooShort { got, .. } => assert!(len < 8 && *got == len),
            WeightsError::HeaderTruncated { expected, got, .. } => {
                assert!(len >= 8 && len < header && *got == len && *expected == header);
            }
            WeightsError::FileBytes { expected, got, .. } => {
                assert!(len >= header && *got == len && *expected == whole.len() as u64);
            }
            other => panic!("{len}: {other}"),
        }
    }
    let e = refused(&[&whole[..], b"x"].concat());
    assert!(matches!(e, WeightsError::FileBytes { .. }), "{e}");
}

/// Every byte of a header set to every value: it opens with the same data in the same place, or is refused.
#[test]
fn every_header_byte_flipped() {
    let whole = file(&[f32s("a", &[1.0, 2.0]), f32s("b", &[3.0])]);
    let header = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize + 8;
    for at in 0..header {
        for flip in [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            if let Ok(c) = open(&bytes) {
                let total: usize = c.names().map(|n| c.get(n).unwrap().bytes.len()).sum();
                assert_eq!(total, 12, "byte {at} ^ {flip:#x}");
            }
        }
    }
}

#[test]
fn a_huge_header_length_is_refused_before_it_is_believed() {
    for length in [u64::MAX, u64::MAX - 7, 1 << 63, 100_000_001] {
        let e = refused(&[&length.to_le_bytes()[..], b"{}"].concat());
        assert!(matches!(e, WeightsError::HeaderLength { limit: 100_000_000, got, .. } if got == length), "{e}");
    }
    let e = refused(&[&100_000_000u64.to_le_bytes()[..], b"{}"].concat());
    assert!(matches!(e, WeightsError::HeaderTruncated { expected: 100_000_008, got: 10, .. }), "{e}");
}

#[test]
fn headers_that_are_not_text_or_not_json() {
    let e = refused(&[&4u64.to_le_bytes()[..], b"{\"\xff\""].concat());
    assert!(matches!(e, WeightsError::HeaderUtf8 { at: 2, .. }), "{e}");
    let deep = "[".repeat(100_000);
    for header in [
        "",
        "null",
        "[]",
        "{",
        "{\"a\":1}",
        "{} {}",
        "{\"__metadata__\":{\"format\":1}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,99999999999999999999]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}",
        &format!("{{\"a\":{deep}"),
        &format!("{{\"a\":{{\"dtype\":\"F32\",\"more\":{deep}"),
    ] {
        let e = refused_header(header, &[0; 4]);
        assert!(matches!(e, WeightsError::HeaderJson { .. }), "{}: {e}", &header[..header.len().min(80)]);
    }
}

#[test]
fn lies_about_places_and_shapes() {
    let entry = |name: &str, dtype: &str, shape: &str, begin: u64, end: u64| {
        format!("\"{name}\":{{\"dtype\":\"{dtype}\",\"shape\":{shape},\"data_offsets\":[{begin},{end}]}}")
    };
    let of = |entries: &[String]| refused_header(&format!("{{{}}}", entries.join(",")), &[0; 16]);

    let e = of(&[entry("a", "F32", "[2]", 0, 8), entry("b", "F32", "[3]", 4, 16)]);
    assert!(matches!(&e, WeightsError::Offset { tensor, expected: 8, got: 4, .. } if tensor == "b"), "overlap: {e}");
    let e = of(&[entry("a", "F32", "[1]", 0, 4), entry("b", "F32", "[2]", 8, 16)]);
    assert!(matches!(&e, WeightsError::Offset { tensor, expected: 4, got: 8, .. } if tensor == "b"), "hole: {e}");
    let e = of(&[entry("a", "F32", "[2]", 8, 0)]);
    assert!(matches!(&e, WeightsError::Offset { .. }), "backwards, not at the start: {e}");
    let e = of(&[entry("a", "F32", "[4]", 0, 8)]);
    assert!(matches!(&e, WeightsError::TensorBytes { expected: 16, begin: 0, end: 8, .. }), "{e}");
    let e = of(&[entry("a", "F32", "[1]", 0, 4), entry("b", "F32", "[1]", 4, 2)]);
    assert!(matches!(&e, WeightsError::TensorBytes { begin: 4, end: 2, .. }), "backwards: {e}");
    let e = of(&[entry("a", "F32", "[1]", 0, 4)]);
    assert!(matches!(e, WeightsError::FileBytes { .. }), "data that belongs to nothing: {e}");
    let e = of(&[entry("a", "F32", "[4294967296,4294967296]", 0, 16)]);
    assert!(
        matches!(&e, WeightsError::ShapeOverflow { dtype: Dtype::F32, shape, .. } if shape == &[1 << 32, 1 << 32]),
        "{e}"
    );
    let e = of(&[entry("a", "F32", "[18446744073709551615,0]", 0, 0)]);
    assert!(matches!(e, WeightsError::ShapeOverflow { .. }), "{e}");
    let e = of(&[entry("a", "F4", "[3]", 0, 1)]);
    assert!(matches!(e, WeightsError::PartialByte { dtype: Dtype::F4, .. }), "{e}");
    let e = of(&[entry("a", "Q4_K", "[16]", 0, 16)]);
    assert!(matches!(&e, WeightsError::UnknownDtype { tensor, got, .. } if tensor == "a" && got == "Q4_K"), "{e}");
    let e = of(&[entry("a", "U8", "[8]", 0, 8), entry("a", "U8", "[8]", 8, 16)]);
    assert!(matches!(&e, WeightsError::ListedTwice { tensor, .. } if tensor == "a"), "{e}");
    let ones = format!("[{}16]", "1,".repeat(16));
    let e = of(&[entry("a", "U8", &ones, 0, 16)]);
    assert!(matches!(e, WeightsError::Rank { limit: 16, got: 17, .. }), "{e}");
}

/// Sizes that are each possible and whose sum wraps around 64 bits to the file's real length.
#[test]
fn sums_that_wrap_around() {
    let each = (1u64 << 61) - 1;
    let tensors: Vec<String> = (0..8)
        .map(|i| {
            format!(
                "\"t{i}\":{{\"dtype\":\"U8\",\"shape\":[{each}],\"data_offsets\":[{},{}]}}",
                i * each,
                (i + 1) * each
            )
        })
        .collect();
    let e = refused_header(&format!("{{{}}}", tensors.join(",")), &[]);
    assert!(matches!(e, WeightsError::FileBytes { expected: u64::MAX, .. }), "{e}");
}

#[test]
fn a_git_lfs_pointer_is_recognised() {
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 538090408\n";
    let e = refused(pointer);
    assert!(matches!(e, WeightsError::LfsPointer { .. }), "{e}");
}

/// A pickle (a zip archive) under another name is not a safetensors file either.
#[test]
fn a_renamed_pickle_is_refused() {
    assert!(matches!(refused(b"PK\x03\x04\x00\x00\x08\x08\x00\x00rest"), WeightsError::HeaderLength { .. }));
    assert!(matches!(refused(b"\x80\x02}q\x00(X\x06\x00"), WeightsError::HeaderLength { .. }));
}

#[cfg(unix)]
#[test]
fn a_fifo_does_not_hold_us_up() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    assert!(matches!(Checkpoint::open(dir.path()), Err(WeightsError::NotAFile { .. })));
}

/// The most that opening a file has allocated at a time stays below the file's own size.
#[test]
fn opening_allocates_less_than_the_file() {
    let model = fixtures().join("models/llama/model.safetensors");
    let size = fs::metadata(&model).unwrap().len();
    let info = allocation_counter::measure(|| drop(Checkpoint::open_file(&model).unwrap()));
    assert!(info.bytes_max < 64 << 10 && info.bytes_max < size, "{} bytes for a file of {size}", info.bytes_max);

    // The worst headers: all names and dimensions, no data.
    let empty = |i: usize| format!("\"{i}\":{{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}");
    let wide = format!("{{\"a\":{{\"dtype\":\"U8\",\"shape\":[{}1],\"data_offsets\":[0,1]}}}}", "1,".repeat(500_000));
    let many = format!("{{{}}}", (0..20_000).map(empty).collect::<Vec<_>>().join(","));
    for (header, times) in [(wide, 1), (many, 8)] {
        let bytes = raw(&header, &[]);
        let dir = tempdir().unwrap();
        let path = dir.path().join("x.safetensors");
        fs::write(&path, &bytes).unwrap();
        let info = allocation_counter::measure(|| drop(Checkpoint::open_file(&path)));
        let limit = times * bytes.len() as u64;
        assert!(info.bytes_max < limit, "{} bytes for a file of {}", info.bytes_max, bytes.len());
    }
}
