//! SHA-256 of what passes by, so that hashing a file costs no second pass over it.

use crate::error::DataError;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Lower-case hexadecimal of a finished hash.
pub(crate) fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

pub(crate) fn hex_of(bytes: &[u8]) -> String {
    hex(Sha256::new_with_prefix(bytes))
}

/// Length and SHA-256 of a file. `progress(bytes so far)` returns false to stop.
pub(crate) fn hash_file(path: &Path, progress: &mut dyn FnMut(u64) -> bool) -> Result<(u64, String), DataError> {
    let mut file = File::open(path).map_err(DataError::io("open", path))?;
    let mut hash = Sha256::new();
    let mut buf = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        let n = file.read(&mut buf).map_err(DataError::io("read", path))?;
        if n == 0 {
            return Ok((bytes, hex(hash)));
        }
        hash.update(&buf[..n]);
        bytes += n as u64;
        if !progress(bytes) {
            return Err(DataError::Interrupted);
        }
    }
}

/// What a [`HashingReader`] has seen; shared, because the reader itself disappears inside decoders.
#[derive(Clone)]
pub(crate) struct Seen(Arc<Mutex<(Option<Sha256>, u64)>>);

impl Default for Seen {
    fn default() -> Self {
        Self(Arc::new(Mutex::new((Some(Sha256::new()), 0))))
    }
}

impl Seen {
    /// Follows the bytes without hashing them, for those who only want to know how far reading is.
    pub fn counting() -> Self {
        Self(Arc::new(Mutex::new((None, 0))))
    }

    pub fn bytes(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1
    }

    /// The hash so far; of no bytes at all where only counting was asked for.
    pub fn sha256(&self) -> String {
        hex(self.0.lock().unwrap_or_else(PoisonError::into_inner).0.clone().unwrap_or_default())
    }

    fn add(&self, bytes: &[u8]) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(hash) = &mut seen.0 {
            hash.update(bytes);
        }
        seen.1 += bytes.len() as u64;
    }
}

pub(crate) struct HashingReader<R> {
    inner: R,
    seen: Seen,
}

impl<R: Read> HashingReader<R> {
    pub fn new(inner: R, seen: Seen) -> Self {
        Self { inner, seen }
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.seen.add(&buf[..n]);
        Ok(n)
    }
}

pub(crate) struct HashingWriter<W> {
    inner: W,
    hash: Sha256,
    bytes: u64,
}

impl<W: Write> HashingWriter<W> {
    pub fn new(inner: W) -> Self {
        Self { inner, hash: Sha256::new(), bytes: 0 }
    }

    /// The writer, the bytes written and their SHA-256.
    pub fn finish(self) -> (W, u64, String) {
        (self.inner, self.bytes, hex(self.hash))
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        let n = self.inner.write(buf)?;
        self.hash.update(&buf[..n]);
        self.bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}
