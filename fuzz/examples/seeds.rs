//! Writes the seeds: `cargo run --example seeds`.

fn main() -> std::io::Result<()> {
    fuzz::seeds(std::path::Path::new("corpus"))
}
