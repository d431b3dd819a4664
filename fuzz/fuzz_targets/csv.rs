#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::probe("f.csv", bytes));
