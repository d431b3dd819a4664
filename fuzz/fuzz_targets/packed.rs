#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::probe("f.jsonl.gz", bytes);
    fuzz::probe("f.jsonl.zst", bytes);
});
