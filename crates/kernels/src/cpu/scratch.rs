//! Memory that kernels need while they run. It is kept between calls: after the first step nothing is
//! allocated.

use super::buf::Buf;
use crate::Result;
use std::sync::{Mutex, PoisonError};

#[derive(Debug, Default)]
pub(super) struct Scratch {
    spare: Mutex<Vec<Buf>>,
}

/// A piece of scratch memory of at least the length asked for; its values are whatever was there.
pub(super) struct Lent<'a> {
    scratch: &'a Scratch,
    buf: Option<Buf>,
}

impl Scratch {
    /// # Errors
    /// `OutOfMemory`
    pub(super) fn take(&self, len: usize) -> Result<Lent<'_>> {
        let spare = {
            let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
            let sizes = spare.iter().map(Buf::len).enumerate();
            let fitting = sizes.clone().filter(|b| b.1 >= len).min_by_key(|b| b.1);
            // none is large enough: the smallest makes way, so that their number does not grow
            let chosen = fitting.or_else(|| sizes.min_by_key(|b| b.1));
            chosen.map(|b| b.0).map(|i| spare.swap_remove(i))
        };
        let buf = match spare {
            Some(buf) if buf.len() >= len => buf,
            _ => Buf::new("scratch", len)?,
        };
        Ok(Lent { scratch: self, buf: Some(buf) })
    }

    /// Bytes held between calls.
    pub(super) fn bytes(&self) -> usize {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        spare.iter().map(|b| b.len() * size_of::<f32>()).sum()
    }
}

impl Lent<'_> {
    pub(super) fn values(&mut self) -> &mut [f32] {
        self.buf.as_mut().map_or(&mut [], Buf::values_mut)
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(buf) = self.buf.take() {
            let mut spare = self.scratch.spare.lock().unwrap_or_else(PoisonError::into_inner);
            spare.push(buf);
        }
    }
}
