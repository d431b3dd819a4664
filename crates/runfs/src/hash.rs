//! SHA-256 of bytes, files and streams, in lower-case hex.

use crate::{Fs, RealFs, RunFsError};
use sha2::{Digest, Sha256};
use std::io::{self, Read, Write};
use std::path::Path;

const CHUNK_BYTES: usize = 1 << 20;

pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(Sha256::digest(bytes).as_slice())
}

/// Of a file on the real file system, in bounded memory.
pub fn sha256_file(path: &Path) -> Result<String, RunFsError> {
    Ok(hash_file(&RealFs, path, &mut |_| true).map_err(|e| RunFsError::io("read", path, e))?.1)
}

/// Length and hash; `on` is told of each piece's bytes, and says whether to go on.
pub(crate) fn hash_file(fs: &dyn Fs, path: &Path, on: &mut dyn FnMut(u64) -> bool) -> io::Result<(u64, String)> {
    let mut from = fs.reader(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut len = 0;
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok((len, hex(hash.finalize().as_slice()))),
            Ok(n) => {
                hash.update(&buffer[..n]);
                len += n as u64;
                if !on(n as u64) {
                    return Err(io::Error::other("interrupted"));
                }
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// Passes writes on and hashes what was taken.
pub(crate) struct Hashing<W> {
    inner: W,
    hash: Sha256,
    taken: u64,
    /// Bytes offered, also in the write that failed.
    offered: u64,
}

impl<W: Write> Hashing<W> {
    pub fn new(inner: W) -> Hashing<W> {
        Hashing { inner, hash: Sha256::new(), taken: 0, offered: 0 }
    }

    pub fn offered(&self) -> u64 {
        self.offered
    }

    /// The writer, the length and the hash.
    pub fn finish(self) -> (W, u64, String) {
        (self.inner, self.taken, hex(self.hash.finalize().as_slice()))
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.offered = self.taken + bytes.len() as u64;
        let n = self.inner.write(bytes)?;
        self.hash.update(&bytes[..n]);
        self.taken += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|b| format!("{b:02x}")).collect()
}
