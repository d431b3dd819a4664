//! Blocks see slots: outside `adapters`, the crate's code names no method of adaptation.

use std::path::Path;

#[test]
fn only_adapters_knows_methods() {
    let src = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"));
    let mut seen = 0;
    let mut folders = vec![src.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("src") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                if !path.ends_with("adapters") {
                    folders.push(path);
                }
                continue;
            }
            // The root re-exports the plan's types under their names, and the handle passes the plan on.
            if path.ends_with("src/lib.rs") {
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("source").to_lowercase();
            for word in ["loraplan", "adapterplan::lora", "dora", "adalora", "lora_", "lora(", "pissa"] {
                let code = text.lines().filter(|l| !l.trim_start().starts_with("//"));
                assert!(!code.clone().any(|l| l.contains(word)), "{} says `{word}`", path.display());
            }
            seen += 1;
        }
    }
    assert!(seen >= 8, "only {seen} files were looked at");
}
