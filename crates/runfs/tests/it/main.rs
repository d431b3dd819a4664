//! The promises of the crate, tried at every operation, every fault and every power cut.

mod checkpoints;
mod errors;
mod journal;
mod lock;
mod publish;
mod real;

use runfs::{Fault, FaultyFs, Fs, RunFsError, Staged};
use std::path::Path;

/// More operations than any case here has: a loop that reaches it does not end.
const OPERATIONS_MAX: u64 = 2000;

/// Runs `attempt` on copies of `base` with `fault` at the 1st, 2nd, … operation until it no longer happens;
/// `check` sees the disk and the result of every one in which it did.
fn with_every_fault<T>(
    base: &FaultyFs,
    fault: Fault,
    attempt: impl Fn(&FaultyFs) -> Result<T, RunFsError>,
    check: impl Fn(&FaultyFs, Result<T, RunFsError>),
) {
    for n in 1..OPERATIONS_MAX {
        let fs = base.copy();
        fs.fail_after(n, fault);
        let result = attempt(&fs);
        if !fs.fired() {
            assert!(result.is_ok(), "fails without a fault");
            assert!(n > 3, "the fault was hardly tried");
            return;
        }
        check(&fs, result);
    }
    panic!("the fault still happens at operation {OPERATIONS_MAX}");
}

/// Stages small files with folders among them; `tag` tells one content from another.
fn fill(staged: &mut Staged, tag: &str) -> Result<(), RunFsError> {
    staged.file("state.json", &mut |out| write!(out, "{{\"tag\":\"{tag}\"}}"))?;
    staged.file("deep/er/weights.bin", &mut |out| {
        out.write_all(tag.as_bytes())?;
        out.write_all(&[7; 40])
    })
}

/// The names below the root that no reader should ever have to see.
fn leftovers(fs: &FaultyFs) -> Vec<String> {
    let names = fs.contents().into_keys().map(|path| path.display().to_string());
    names.filter(|name| name.contains(".tmp") || name.contains(".old") || name.contains("writable")).collect()
}

fn text(fs: &dyn Fs, path: &Path) -> Option<String> {
    fs.exists(path).then(|| String::from_utf8(fs.read(path).unwrap()).unwrap())
}
