//! Memory: aligned buffers, and checked strided views of them.

use crate::{KernelError, Result};
use std::marker::PhantomData;
use std::ops::Range;

/// f32 memory of a fixed length, aligned to 64 bytes.
#[derive(Debug)]
pub struct Buf {
    lines: Box<[Line]>,
    len: usize,
}

#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

const LINE: usize = 16;

impl Buf {
    /// Zeroed.
    pub(super) fn new(what: &'static str, len: usize) -> Result<Buf> {
        let lines = bytemuck::allocation::try_zeroed_slice_box(len.div_ceil(LINE))
            .map_err(|()| KernelError::OutOfMemory { what, bytes: len.saturating_mul(size_of::<f32>()) })?;
        Ok(Buf { lines, len })
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn values(&self) -> &[f32] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }

    pub(super) fn values_mut(&mut self) -> &mut [f32] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.len]
    }
}

/// u8 memory of a fixed length.
#[derive(Debug)]
pub struct Bytes(Box<[u8]>);

impl Bytes {
    /// Zeroed.
    pub(super) fn new(len: usize) -> Result<Bytes> {
        let bytes = bytemuck::allocation::try_zeroed_slice_box(len)
            .map_err(|()| KernelError::OutOfMemory { what: "bytes", bytes: len })?;
        Ok(Bytes(bytes))
    }

    pub(super) fn values(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn values_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

/// The first `len` values, or the refusal that names `what`.
pub(super) fn head<'a, T>(what: &'static str, data: &'a [T], len: usize) -> Result<&'a [T]> {
    let have = data.len();
    let need = len;
    data.get(..len).ok_or(KernelError::TooSmall { what, need, have })
}

pub(super) fn head_mut<'a, T>(what: &'static str, data: &'a mut [T], len: usize) -> Result<&'a mut [T]> {
    let have = data.len();
    let need = len;
    data.get_mut(..len).ok_or(KernelError::TooSmall { what, need, have })
}

/// `a * b`, or a number that no buffer reaches.
pub(super) fn size(a: usize, b: usize) -> usize {
    a.saturating_mul(b)
}

/// Elements from the start of the buffer to the end of the last row.
fn extent(off: usize, ld: usize, rows: usize, cols: usize) -> usize {
    if rows == 0 || cols == 0 {
        return 0;
    }
    size(rows - 1, ld).saturating_add(off).saturating_add(cols)
}

/// A read-only matrix: row `r` starts at `r * ld`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows<'a> {
    data: &'a [f32],
    ld: usize,
    rows: usize,
    cols: usize,
}

impl<'a> Rows<'a> {
    pub(super) fn new(
        what: &'static str,
        data: &'a [f32],
        (off, ld): (usize, usize),
        (rows, cols): (usize, usize),
    ) -> Result<Rows<'a>> {
        let (need, have) = (extent(off, ld, rows, cols), data.len());
        if need > have {
            return Err(KernelError::TooSmall { what, need, have });
        }
        let data = if need == 0 { &[] } else { &data[off..need] };
        Ok(Rows { data, ld, rows, cols })
    }

    /// All of `data` in rows of `cols`, without gaps.
    pub(super) fn dense(data: &'a [f32], cols: usize) -> Rows<'a> {
        let rows = data.len().checked_div(cols).unwrap_or(0);
        let ld = cols;
        Rows { data, ld, rows, cols }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }
    pub(super) fn cols(&self) -> usize {
        self.cols
    }
    pub(super) fn ld(&self) -> usize {
        self.ld
    }
    pub(super) fn as_ptr(&self) -> *const f32 {
        self.data.as_ptr()
    }

    pub(super) fn row(&self, r: usize) -> &'a [f32] {
        debug_assert!(r < self.rows);
        if self.cols == 0 {
            return &[];
        }
        &self.data[r * self.ld..][..self.cols]
    }

    /// The same matrix without what lies outside the given rows and columns.
    pub(super) fn part(&self, rows: Range<usize>, cols: Range<usize>) -> Rows<'a> {
        assert!(rows.end <= self.rows && cols.end <= self.cols);
        let (r, c) = (rows.len(), cols.len());
        let start = rows.start * self.ld + cols.start;
        let data = &self.data[start.min(self.data.len())..];
        Rows { data, ld: self.ld, rows: r, cols: c }
    }
}

/// A writable matrix whose rows do not overlap. It can be cut into parts for several threads, which
/// slices cannot express when the rows have gaps.
#[derive(Debug)]
pub(super) struct RowsMut<'a, T = f32> {
    start: *mut T,
    ld: usize,
    rows: usize,
    cols: usize,
    life: PhantomData<&'a mut [T]>,
}

// SAFETY: a RowsMut is a unique borrow of its elements, like `&mut [T]`.
unsafe impl<T: Send> Send for RowsMut<'_, T> {}
// SAFETY: through a shared reference only `part` and `as_ptr` can be called, whose callers take over the proof.
unsafe impl<T: Send> Sync for RowsMut<'_, T> {}

impl<'a, T> RowsMut<'a, T> {
    pub(super) fn new(
        what: &'static str,
        data: &'a mut [T],
        (off, ld): (usize, usize),
        (rows, cols): (usize, usize),
    ) -> Result<RowsMut<'a, T>> {
        if rows > 1 && ld < cols {
            return Err(KernelError::Overlap { what, cols, ld });
        }
        let (need, have) = (extent(off, ld, rows, cols), data.len());
        if need > have {
            return Err(KernelError::TooSmall { what, need, have });
        }
        let start = if need == 0 { data.as_mut_ptr() } else { data[off..].as_mut_ptr() };
        Ok(RowsMut { start, ld, rows, cols, life: PhantomData })
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }
    pub(super) fn cols(&self) -> usize {
        self.cols
    }
    pub(super) fn ld(&self) -> usize {
        self.ld
    }
    pub(super) fn as_ptr(&self) -> *mut T {
        self.start
    }

    pub(super) fn row(&mut self, r: usize) -> &mut [T] {
        assert!(r < self.rows);
        if self.cols == 0 {
            return &mut [];
        }
        // SAFETY: `new` checked that every row lies in the buffer, and r is one of them.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(r * self.ld), self.cols) }
    }

    /// All of `data` in rows of `cols`, without gaps.
    pub(super) fn dense(data: &'a mut [T], cols: usize) -> RowsMut<'a, T> {
        let rows = data.len().checked_div(cols).unwrap_or(0);
        let start = data.as_mut_ptr();
        RowsMut { start, ld: cols, rows, cols, life: PhantomData }
    }

    /// Its upper left corner.
    pub(super) fn corner(self, rows: usize, cols: usize) -> RowsMut<'a, T> {
        assert!(rows <= self.rows && cols <= self.cols);
        RowsMut { rows, cols, ..self }
    }

    /// The same memory for a shorter time.
    pub(super) fn reborrow(&mut self) -> RowsMut<'_, T> {
        RowsMut { ..*self }
    }

    /// The rectangle `rows` × `cols`.
    ///
    /// # Safety
    /// Of two parts that live at the same time, no element may be in both.
    pub(super) unsafe fn part(&self, rows: Range<usize>, cols: Range<usize>) -> RowsMut<'a, T> {
        assert!(rows.end <= self.rows && cols.end <= self.cols);
        // wrapping: an empty part may start one row past the buffer, and is never read
        let start = self.start.wrapping_add(rows.start * self.ld + cols.start);
        RowsMut { start, ld: self.ld, rows: rows.len(), cols: cols.len(), life: PhantomData }
    }
}
