//! A reader of event files that shares no code with the writer.

use std::path::Path;

/// (tag, step, value) of every scalar; panics where a length's or a record's checksum is wrong.
pub fn read(path: &Path) -> Vec<(String, u64, f32)> {
    let bytes = std::fs::read(path).unwrap();
    let mut rest = bytes.as_slice();
    let mut scalars = Vec::new();
    let mut records = 0;
    while !rest.is_empty() {
        let len = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        assert_eq!(u32::from_le_bytes(rest[8..12].try_into().unwrap()), masked(&rest[..8]));
        let event = &rest[12..12 + len];
        assert_eq!(u32::from_le_bytes(rest[12 + len..16 + len].try_into().unwrap()), masked(event));
        rest = &rest[16 + len..];
        let text = |needle: &[u8]| event.windows(needle.len()).any(|w| w == needle);
        assert_eq!(text(b"brain.Event:2"), records == 0, "the first record and no other names the version");
        if records > 0 {
            scalars.push(scalar(event));
        }
        records += 1;
    }
    scalars
}

/// An event as the writer lays it out: 09 time(8) · 10 step · 2a len · 0a len · 0a len tag · 15 value(4)
fn scalar(event: &[u8]) -> (String, u64, f32) {
    assert_eq!((event[0], event[9]), (0x09, 0x10));
    let (step, at) = varint(event, 10);
    assert_eq!(event[at], 0x2a);
    let (_, at) = varint(event, at + 1);
    assert_eq!(event[at], 0x0a);
    let (_, at) = varint(event, at + 1);
    assert_eq!(event[at], 0x0a);
    let (len, at) = varint(event, at + 1);
    let end = at + len as usize;
    let tag = String::from_utf8(event[at..end].to_vec()).unwrap();
    assert_eq!(event[end], 0x15);
    (tag, step, f32::from_le_bytes(event[end + 1..].try_into().unwrap()))
}

fn varint(bytes: &[u8], mut at: usize) -> (u64, usize) {
    let (mut value, mut shift) = (0, 0);
    loop {
        value |= u64::from(bytes[at] & 127) << shift;
        at += 1;
        if bytes[at - 1] < 128 {
            return (value, at);
        }
        shift += 7;
    }
}

/// CRC-32C by its table, masked as TFRecord does.
fn masked(bytes: &[u8]) -> u32 {
    let table: Vec<u32> =
        (0..256u32).map(|i| (0..8).fold(i, |c, _| if c & 1 == 1 { 0x82f6_3b78 ^ (c >> 1) } else { c >> 1 })).collect();
    let crc = !bytes.iter().fold(u32::MAX, |c, b| table[((c ^ u32::from(*b)) & 255) as usize] ^ (c >> 8));
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}
