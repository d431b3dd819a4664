//! How fast a file is read and understood by one thread: `cargo run --release -p scan --example read_speed FILE`.

use scan::input::{Limits, Reader, files};
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let patterns: Vec<String> = std::env::args().skip(1).collect();
    for file in files(&patterns)? {
        let start = Instant::now();
        let mut reader = Reader::open(&file, &Limits::default())?;
        let meaning = reader.meaning();
        let (mut rows, mut faults, mut bytes) = (0u64, 0u64, 0usize);
        while let Some(chunk) = reader.next_chunk() {
            for raw in chunk? {
                let understood = meaning.understand(&raw);
                rows += 1;
                faults += understood.faults.len() as u64;
                bytes += understood.row.map_or(0, |row| row.fields.iter().map(|f| f.text.len()).sum());
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        let (per_second, megabytes) = (rows as f64 / seconds, reader.bytes_read() as f64 / 1e6 / seconds);
        println!("{}: {}", file.shown, reader.note());
        println!(
            "{rows} rows, {bytes} bytes of text, {faults} faults, {seconds:.3} s: {per_second:.0} rows/s, {megabytes:.0} MB/s"
        );
    }
    Ok(())
}
