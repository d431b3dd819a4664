//! What a person or a program sees: lines, a bar, or JSON.

pub mod curve;
mod events;
pub mod heat;
mod report;
pub mod text;

pub use report::{Look, Reporter, shown_path};

use std::io::{self, Write};

/// Writes to stdout, in colour where that is wanted. A reader that went away (`athanor plan … | head`) is no error of
/// ours and ends the output, not the run; anything else is returned.
pub fn print(text: &str) -> io::Result<()> {
    ended_quietly(anstream::stdout().lock().write_all(text.as_bytes()))
}

/// The same for stderr.
pub fn eprint(text: &str) -> io::Result<()> {
    ended_quietly(anstream::stderr().lock().write_all(text.as_bytes()))
}

fn ended_quietly(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}
