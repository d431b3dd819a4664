//! What is wrong with how rows are written: `cargo run -p scan --example faults FILE...` prints a line a fault.

use scan::input::{Limits, Reader, files};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let patterns: Vec<String> = std::env::args().skip(1).collect();
    for file in files(&patterns)? {
        let mut reader = Reader::open(&file, &Limits::default())?;
        eprintln!("{}: {}", file.shown, reader.note());
        let meaning = reader.meaning();
        while let Some(chunk) = reader.next_chunk() {
            for raw in chunk? {
                for fault in meaning.understand(&raw).faults {
                    let column = fault.column.map_or(String::new(), |column| format!(":{column}"));
                    let field = fault.field.as_deref().unwrap_or("-");
                    println!("{}:{}{column}\t{}\t{field}\t{}", file.shown, raw.line(), fault.kind, fault.why);
                }
            }
        }
    }
    Ok(())
}
