//! The CPU backend: checks what the caller hands over, then calls the kernels.

#[allow(unsafe_code)]
mod attention;
#[allow(unsafe_code)]
mod buf;
mod columns;
mod dropout;
#[allow(unsafe_code)]
mod gemm;
mod glu;
#[allow(unsafe_code)]
mod level;
#[allow(unsafe_code)]
mod linear;
mod loss;
mod math;
mod norm;
mod optim;
#[allow(unsafe_code)]
mod par;
#[allow(unsafe_code)]
mod pool;
mod rope;
mod rows;
mod scratch;
#[allow(unsafe_code)]
mod unpack;
mod weight;

pub use buf::{Buf, Bytes};
pub use level::Level;
pub use weight::Weight;

use crate::{
    Activation, AdamW, Attention, Backend, EightBit, Form, Gemm, KernelError, Mat, MatMut, Norm, NormShape, Op,
    PARTS_MAX, Part, Precision, Result, Smoothing, Values, ValuesMut, Write, eight_bit,
};
use buf::{Rows, RowsMut, head, head_mut, size};
use gemm::{Kernels, Operand, Product, Source};
use par::Blocks;
use pool::Pool;
use scratch::Scratch;
use std::ops::Range;

/// Kernels for this processor, on a pool of threads of their own.
#[derive(Debug)]
pub struct Cpu {
    pool: Pool,
    level: Level,
    precision: Precision,
    scratch: Scratch,
}

/// i32 memory of a fixed capacity; what was uploaded last lies at its front.
#[derive(Debug)]
pub struct Idx {
    values: Vec<i32>,
    capacity: usize,
}

impl Cpu {
    /// The best instructions of this processor; `threads`: None for one per processor.
    ///
    /// # Errors
    /// `Threads` when the system gives none.
    pub fn new(threads: Option<usize>, precision: Precision) -> Result<Cpu> {
        Cpu::with_level(threads, precision, Level::best())
    }

    /// As [`Cpu::new`] with chosen instructions: for comparing them.
    pub fn with_level(threads: Option<usize>, precision: Precision, level: Level) -> Result<Cpu> {
        let threads =
            threads.or_else(|| std::thread::available_parallelism().ok().map(usize::from)).unwrap_or(1).max(1);
        let pool = Pool::new(threads)?;
        Ok(Cpu { pool, level, precision, scratch: Scratch::default() })
    }

    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    pub fn level(&self) -> Level {
        self.level
    }

    /// What products multiply with.
    fn kernels(&self) -> &'static Kernels {
        gemm::kernels(self.level, self.precision)
    }

    /// The same for products that stay in f32.
    fn f32_kernels(&self) -> &'static Kernels {
        gemm::kernels(self.level, Precision::F32)
    }

    /// Bytes of a matrix in [`Form::Packed`] on this processor; `in_bf16`: it is made of [`Values::Bf16`].
    pub fn packed_bytes(precision: Precision, in_bf16: bool, rows: usize, cols: usize) -> usize {
        let kern = Kernels::holding(Level::best(), precision, in_bf16);
        size(gemm::held::Held::words(kern, rows, cols), size_of::<f32>())
    }

    /// Bytes of working memory held between calls; grows to what the largest call so far needed.
    pub fn scratch_bytes(&self) -> usize {
        self.scratch.bytes()
    }
}

fn rows<'a>(what: &'static str, m: Mat<'a, Buf>, shape: (usize, usize)) -> Result<Rows<'a>> {
    Rows::new(what, m.buf.values(), (m.off, m.ld), shape)
}

fn rows_mut<'a>(what: &'static str, m: MatMut<'a, Buf>, shape: (usize, usize)) -> Result<RowsMut<'a>> {
    RowsMut::new(what, m.buf.values_mut(), (m.off, m.ld), shape)
}

/// A matrix without gaps from the start of a buffer.
fn dense<'a>(what: &'static str, buf: &'a Buf, shape: (usize, usize)) -> Result<Rows<'a>> {
    Rows::new(what, buf.values(), (0, shape.1), shape)
}

fn dense_mut<'a>(what: &'static str, buf: &'a mut Buf, shape: (usize, usize)) -> Result<RowsMut<'a>> {
    RowsMut::new(what, buf.values_mut(), (0, shape.1), shape)
}

/// ids[first..first + t], each in 0..limit, or equal to `spare`.
fn indices<'a>(
    what: &'static str,
    ids: &'a Idx,
    (first, t): (usize, usize),
    limit: usize,
    spare: Option<i32>,
) -> Result<&'a [i32]> {
    let (need, have) = (first.saturating_add(t), ids.values.len());
    if need > have {
        return Err(KernelError::TooSmall { what, need, have });
    }
    let ids = &ids.values[first..need];
    let inside = |id: &i32| usize::try_from(*id).is_ok_and(|id| id < limit) || Some(*id) == spare;
    match ids.iter().find(|id| !inside(id)) {
        None => Ok(ids),
        Some(id) => Err(KernelError::Index { what, index: i64::from(*id), limit }),
    }
}

/// Rows of `cols` that fit a matrix from its offset to the end of its buffer.
fn rows_that_fit(len: usize, off: usize, ld: usize, cols: usize) -> usize {
    match len.checked_sub(off) {
        Some(rest) if rest >= cols && cols > 0 => (rest - cols) / ld.max(1) + 1,
        _ => 0,
    }
}

/// Tokens that `cu` covers.
fn tokens(cu: &[usize]) -> Result<usize> {
    for (i, pair) in cu.windows(2).enumerate() {
        if pair[1] < pair[0] {
            return Err(KernelError::Bounds { at: i + 1, value: pair[1], before: pair[0] });
        }
    }
    Ok(cu.last().copied().unwrap_or(0))
}

fn check_attention(a: &Attention) -> Result<()> {
    if a.kv_heads == 0 || !a.q_heads.is_multiple_of(a.kv_heads) {
        return Err(KernelError::Heads { q_heads: a.q_heads, kv_heads: a.kv_heads });
    }
    let l = a.layout;
    let mut parts =
        [(l.q, size(a.q_heads, a.head_dim)), (l.k, size(a.kv_heads, a.head_dim)), (l.v, size(a.kv_heads, a.head_dim))];
    parts.sort_unstable();
    let ends = [parts[1].0, parts[2].0, l.ld];
    for ((start, width), end) in parts.into_iter().zip(ends) {
        if start.saturating_add(width) > end {
            return Err(KernelError::Overlap {
                what: "attention's queries, keys and values",
                cols: width,
                ld: end.saturating_sub(start),
            });
        }
    }
    Ok(())
}

/// The rows of all parts together, and their width.
fn stack(parts: &[Part<Cpu>]) -> Result<(usize, usize)> {
    let width = parts.first().map_or(0, |p| p.w.cols());
    let what = "parts of one product";
    if parts.is_empty() || parts.len() > PARTS_MAX {
        return Err(KernelError::Length { what, expected: PARTS_MAX, got: parts.len() });
    }
    match parts.iter().find(|p| p.w.cols() != width) {
        None => Ok((parts.iter().map(|p| p.w.rows()).sum(), width)),
        Some(p) => Err(KernelError::Length { what, expected: width, got: p.w.cols() }),
    }
}

/// The first `len` values of a tensor in 8 bits.
fn blocks<'a>(what: &'static str, x: &'a mut EightBit<Cpu>, len: usize) -> Result<Blocks<'a>> {
    let codes = head_mut(what, x.codes.values_mut(), len)?;
    let shared = head_mut(what, x.absmax.values_mut(), len.div_ceil(eight_bit::BLOCK))?;
    Ok(Blocks { codes, shared })
}

fn check_rope(dim: usize, half: usize) -> Result<()> {
    match size(half, 2) <= dim {
        true => Ok(()),
        false => Err(KernelError::Rotary { turned: size(half, 2), dim }),
    }
}

impl Cpu {
    fn turn(&self, t: usize, heads: usize, turn: rope::Turn, pos: &Idx, x: MatMut<Buf>) -> Result<()> {
        check_rope(turn.dim, turn.half)?;
        let table = turn.cos.len().min(turn.sin.len());
        let limit = table.checked_div(turn.half).unwrap_or(usize::MAX);
        let pos = indices("rope positions", pos, (0, t), limit, None)?;
        let x = rows_mut("rope", x, (t, size(heads, turn.dim)))?;
        rope::rope(self, turn, pos, x);
        Ok(())
    }
}

impl Backend for Cpu {
    type Buf = Buf;
    type Bytes = Bytes;
    type Idx = Idx;
    type Weight = Weight;

    fn alloc(&self, len: usize) -> Result<Buf> {
        Buf::new("buffer", len)
    }

    fn len(&self, buf: &Buf) -> usize {
        buf.len()
    }

    fn upload(&self, dst: &mut Buf, off: usize, src: &[f32]) -> Result<()> {
        let end = off.saturating_add(src.len());
        head_mut("upload", dst.values_mut(), end)?[off..].copy_from_slice(src);
        Ok(())
    }

    fn download(&self, src: &Buf, off: usize, out: &mut [f32]) -> Result<()> {
        let end = off.saturating_add(out.len());
        out.copy_from_slice(&head("download", src.values(), end)?[off..]);
        Ok(())
    }

    fn alloc_bytes(&self, len: usize) -> Result<Bytes> {
        Bytes::new(len)
    }

    fn upload_bytes(&self, dst: &mut Bytes, src: &[u8]) -> Result<()> {
        head_mut("upload_bytes", dst.values_mut(), src.len())?.copy_from_slice(src);
        Ok(())
    }

    fn download_bytes(&self, src: &Bytes, out: &mut [u8]) -> Result<()> {
        out.copy_from_slice(head("download_bytes", src.values(), out.len())?);
        Ok(())
    }

    fn alloc_idx(&self, capacity: usize) -> Result<Idx> {
        let mut values = Vec::new();
        values
            .try_reserve_exact(capacity)
            .map_err(|_| KernelError::OutOfMemory { what: "indices", bytes: size(capacity, size_of::<i32>()) })?;
        Ok(Idx { values, capacity })
    }

    fn upload_idx(&self, dst: &mut Idx, src: &[i32]) -> Result<()> {
        if src.len() > dst.capacity {
            return Err(KernelError::TooSmall { what: "indices", need: src.len(), have: dst.capacity });
        }
        dst.values.clear();
        dst.values.extend_from_slice(src);
        Ok(())
    }

    fn weight(&self, rows: usize, cols: usize, values: Values<'_>, form: Form) -> Result<Weight> {
        Weight::new(self, rows, cols, values, form)
    }

    fn refill<E: From<KernelError>>(
        w: &mut Weight,
        fill: impl FnOnce(ValuesMut<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        w.refill(fill)
    }

    fn weight_values(&self, w: &Weight) -> Result<Vec<f32>> {
        w.values()
    }

    fn weight_bytes(&self, w: &Weight) -> usize {
        w.bytes()
    }

    fn linear(&self, t: usize, x: Mat<Buf>, parts: &[Part<Cpu>], y: MatMut<Buf>, write: Write) -> Result<()> {
        let (out, width) = stack(parts)?;
        let x = rows("linear: x", x, (t, width))?;
        let y = rows_mut("linear: y", y, (t, out))?;
        linear::forward(self, x, parts, y, write)
    }

    fn linear_back(&self, t: usize, dy: Mat<Buf>, parts: &[Part<Cpu>], dx: MatMut<Buf>, write: Write) -> Result<()> {
        let (out, width) = stack(parts)?;
        let dy = rows("linear_back: dy", dy, (t, out))?;
        let dx = rows_mut("linear_back: dx", dx, (t, width))?;
        linear::backward(self, dy, parts, dx, write)
    }

    fn gemm(&self, g: Gemm, a: Mat<Buf>, b: Mat<Buf>, d: MatMut<Buf>) -> Result<()> {
        let a_shape = match g.a {
            Op::N => (g.m, g.k),
            Op::T => (g.k, g.m),
        };
        let b_shape = match g.b {
            Op::N => (g.k, g.n),
            Op::T => (g.n, g.k),
        };
        let a = rows("gemm: a", a, a_shape)?;
        let b = rows("gemm: b", b, b_shape)?;
        let d = rows_mut("gemm: d", d, (g.m, g.n))?;
        let b = Operand::new(g.b, Source::F32(b));
        gemm::gemm(self, Product::new(g.k, g.alpha, g.write), (g.a, a), b, &[], d)
    }

    fn embed(&self, t: usize, ids: &Idx, w: &Weight, scale: f32, out: &mut Buf) -> Result<()> {
        let ids = indices("embed", ids, (0, t), w.rows(), None)?;
        let out = dense_mut("embed: out", out, (t, w.cols()))?;
        rows::embed(self, ids, w, scale, out);
        Ok(())
    }

    fn gather_rows(
        &self,
        t: usize,
        cols: usize,
        ids: &Idx,
        first: usize,
        table: Mat<Buf>,
        scale: f32,
        out: MatMut<Buf>,
        write: Write,
    ) -> Result<()> {
        let limit = rows_that_fit(table.buf.len(), table.off, table.ld, cols);
        let ids = indices("gather_rows", ids, (first, t), limit, None)?;
        let table = rows("gather_rows: table", table, (limit, cols))?;
        let out = rows_mut("gather_rows: out", out, (t, cols))?;
        rows::gather(self, ids, table, scale, out, write);
        Ok(())
    }

    fn scatter_add_rows(
        &self,
        t: usize,
        cols: usize,
        ids: &Idx,
        first: usize,
        src: Mat<Buf>,
        scale: f32,
        table: MatMut<Buf>,
    ) -> Result<()> {
        let limit = rows_that_fit(table.buf.len(), table.off, table.ld, cols);
        let ids = indices("scatter_add_rows", ids, (first, t), limit, None)?;
        let src = rows("scatter_add_rows: rows", src, (t, cols))?;
        let table = rows_mut("scatter_add_rows: table", table, (limit, cols))?;
        rows::scatter_add(self, ids, src, scale, table);
        Ok(())
    }

    fn copy(&self, n: usize, cols: usize, src: Mat<Buf>, dst: MatMut<Buf>) -> Result<()> {
        let src = rows("copy: src", src, (n, cols))?;
        rows::copy(self, src, rows_mut("copy: dst", dst, (n, cols))?);
        Ok(())
    }

    fn fill(&self, buf: &mut Buf, off: usize, len: usize, value: f32) -> Result<()> {
        let dst = head_mut("fill", buf.values_mut(), off.saturating_add(len))?;
        rows::fill(self, &mut dst[off..], value);
        Ok(())
    }

    fn add(&self, len: usize, alpha: f32, x: &Buf, y: &mut Buf) -> Result<()> {
        let x = head("add: x", x.values(), len)?;
        rows::add(self, alpha, x, head_mut("add: y", y.values_mut(), len)?);
        Ok(())
    }

    fn add_bias(&self, n: usize, cols: usize, bias: &Buf, y: MatMut<Buf>) -> Result<()> {
        let bias = head("add_bias: bias", bias.values(), cols)?;
        rows::add_bias(self, bias, rows_mut("add_bias: y", y, (n, cols))?);
        Ok(())
    }

    fn bias_back(&self, n: usize, cols: usize, dy: Mat<Buf>, dbias: &mut Buf) -> Result<()> {
        let dy = rows("bias_back: dy", dy, (n, cols))?;
        rows::bias_back(self, dy, dense_mut("bias_back: dbias", dbias, (1, cols))?);
        Ok(())
    }

    fn scale_columns(
        &self,
        n: usize,
        cols: usize,
        scale: &Buf,
        factors: (f32, f32),
        x: Mat<Buf>,
        y: MatMut<Buf>,
        write: Write,
    ) -> Result<()> {
        let scale = head("scale_columns: scale", scale.values(), cols)?;
        let x = rows("scale_columns: x", x, (n, cols))?;
        columns::scale(self, scale, factors, x, rows_mut("scale_columns: y", y, (n, cols))?, write);
        Ok(())
    }

    fn column_dots(
        &self,
        n: usize,
        cols: usize,
        x: Mat<Buf>,
        y: Mat<Buf>,
        alpha: f32,
        scale: Option<&Buf>,
        out: &mut Buf,
    ) -> Result<()> {
        let (x, y) = (rows("column_dots: x", x, (n, cols))?, rows("column_dots: y", y, (n, cols))?);
        let scale = scale.map(|s| head("column_dots: scale", s.values(), cols)).transpose()?;
        columns::dots(self, x, y, alpha, scale, dense_mut("column_dots: out", out, (1, cols))?);
        Ok(())
    }

    fn scale_rows(
        &self,
        n: usize,
        cols: usize,
        scale: &Buf,
        alpha: f32,
        x: Mat<Buf>,
        y: MatMut<Buf>,
        write: Write,
    ) -> Result<()> {
        let scale = head("scale_rows: scale", scale.values(), n)?;
        let x = rows("scale_rows: x", x, (n, cols))?;
        columns::scale_rows(self, scale, alpha, x, rows_mut("scale_rows: y", y, (n, cols))?, write);
        Ok(())
    }

    fn row_dots(
        &self,
        n: usize,
        cols: usize,
        x: Mat<Buf>,
        y: Mat<Buf>,
        alpha: f32,
        first: usize,
        out: &mut Buf,
    ) -> Result<()> {
        let (x, y) = (rows("row_dots: x", x, (n, cols))?, rows("row_dots: y", y, (n, cols))?);
        let out = head_mut("row_dots: out", out.values_mut(), first.saturating_add(n))?;
        columns::row_dots(self, x, y, alpha, &mut out[first..]);
        Ok(())
    }

    fn row_squares(&self, w: &Weight, scale: Option<&Buf>, out: &mut Buf) -> Result<()> {
        let scale = scale.map(|s| head("row_squares: scale", s.values(), w.cols())).transpose()?;
        columns::row_squares(self, w, scale, head_mut("row_squares: out", out.values_mut(), w.rows())?);
        Ok(())
    }

    fn low_rank_scales(
        &self,
        n: usize,
        r: usize,
        s: f32,
        squares: &Buf,
        cross: Mat<Buf>,
        gram: Mat<Buf>,
        b: Mat<Buf>,
        m: &Buf,
        scale: &mut Buf,
        inverse: &mut Buf,
    ) -> Result<()> {
        let squares = head("low_rank_scales: squares", squares.values(), n)?;
        let cross = rows("low_rank_scales: cross", cross, (r, n))?;
        let gram = rows("low_rank_scales: gram", gram, (r, r))?;
        let b = rows("low_rank_scales: b", b, (n, r))?;
        let m = head("low_rank_scales: m", m.values(), n)?;
        let scale = head_mut("low_rank_scales: scale", scale.values_mut(), n)?;
        let inverse = head_mut("low_rank_scales: inverse", inverse.values_mut(), n)?;
        columns::low_rank_scales(self, s, (squares, cross, gram), b, m, scale, inverse);
        Ok(())
    }

    fn rmsnorm(&self, s: NormShape, n: Norm, x: Mat<Buf>, w: &Buf, y: MatMut<Buf>, rstd: &mut Buf) -> Result<()> {
        let shape = (s.rows, size(s.groups, s.dim));
        let x = rows("rmsnorm: x", x, shape)?;
        let w = head("rmsnorm: w", w.values(), s.dim)?;
        let y = rows_mut("rmsnorm: y", y, shape)?;
        let rstd = dense_mut("rmsnorm: rstd", rstd, (s.rows, s.groups))?;
        norm::rmsnorm(self, s, n, x, w, y, rstd);
        Ok(())
    }

    fn add_rmsnorm(
        &self,
        s: NormShape,
        n: Norm,
        x: Mat<Buf>,
        sum: MatMut<Buf>,
        w: &Buf,
        y: MatMut<Buf>,
        rstd: &mut Buf,
    ) -> Result<()> {
        let shape = (s.rows, size(s.groups, s.dim));
        let x = rows("add_rmsnorm: x", x, shape)?;
        let sum = rows_mut("add_rmsnorm: sum", sum, shape)?;
        let w = head("add_rmsnorm: w", w.values(), s.dim)?;
        let y = rows_mut("add_rmsnorm: y", y, shape)?;
        let rstd = dense_mut("add_rmsnorm: rstd", rstd, (s.rows, s.groups))?;
        norm::add_rmsnorm(self, s, n, x, sum, w, y, rstd);
        Ok(())
    }

    fn rmsnorm_back(
        &self,
        s: NormShape,
        n: Norm,
        dy: Mat<Buf>,
        x: Mat<Buf>,
        w: &Buf,
        rstd: &Buf,
        dx: MatMut<Buf>,
        write: Write,
        dw: Option<&mut Buf>,
    ) -> Result<()> {
        let shape = (s.rows, size(s.groups, s.dim));
        let dy = rows("rmsnorm_back: dy", dy, shape)?;
        let x = rows("rmsnorm_back: x", x, shape)?;
        let w = head("rmsnorm_back: w", w.values(), s.dim)?;
        let rstd = dense("rmsnorm_back: rstd", rstd, (s.rows, s.groups))?;
        let dx = rows_mut("rmsnorm_back: dx", dx, shape)?;
        if let Some(dw) = dw {
            let dw = dense_mut("rmsnorm_back: dw", dw, (1, s.dim))?;
            norm::weight_back(self, s, dy, x, rstd, dw);
        }
        norm::rmsnorm_back(self, s, n, dy, x, w, rstd, dx, write);
        Ok(())
    }

    fn rope(
        &self,
        t: usize,
        heads: usize,
        dim: usize,
        half: usize,
        pos: &Idx,
        cos: &Buf,
        sin: &Buf,
        x: MatMut<Buf>,
    ) -> Result<()> {
        let (cos, sin) = (cos.values(), sin.values());
        let sign = 1.0;
        self.turn(t, heads, rope::Turn { dim, half, cos, sin, sign }, pos, x)
    }

    fn rope_back(
        &self,
        t: usize,
        heads: usize,
        dim: usize,
        half: usize,
        pos: &Idx,
        cos: &Buf,
        sin: &Buf,
        dx: MatMut<Buf>,
    ) -> Result<()> {
        let (cos, sin) = (cos.values(), sin.values());
        let sign = -1.0;
        self.turn(t, heads, rope::Turn { dim, half, cos, sin, sign }, pos, dx)
    }

    fn glu(&self, t: usize, f: usize, act: Activation, gu: &Buf, h: &mut Buf) -> Result<()> {
        let gu = dense("glu: gu", gu, (t, size(f, 2)))?;
        glu::glu(self, f, act, gu, dense_mut("glu: h", h, (t, f))?);
        Ok(())
    }

    fn glu_back(&self, t: usize, f: usize, act: Activation, dh: &Buf, gu: &mut Buf, h: &mut Buf) -> Result<()> {
        let dh = dense("glu_back: dh", dh, (t, f))?;
        let gu = dense_mut("glu_back: gu", gu, (t, size(f, 2)))?;
        glu::glu_back(self, f, act, dh, gu, dense_mut("glu_back: h", h, (t, f))?);
        Ok(())
    }

    fn dropout(
        &self,
        n: usize,
        cols: usize,
        p: f32,
        key: u64,
        x: Mat<Buf>,
        y: MatMut<Buf>,
        write: Write,
    ) -> Result<()> {
        if !(0.0..1.0).contains(&p) {
            return Err(KernelError::Dropout { p });
        }
        let x = rows("dropout: x", x, (n, cols))?;
        let y = rows_mut("dropout: y", y, (n, cols))?;
        dropout::dropout(self, p, key, x, y, write);
        Ok(())
    }

    fn attention(&self, a: &Attention, cu: &[usize], qkv: &Buf, out: &mut Buf, lse: &mut Buf) -> Result<()> {
        check_attention(a)?;
        let t = tokens(cu)?;
        let qkv = dense("attention: qkv", qkv, (t, a.layout.ld))?;
        let out = dense_mut("attention: out", out, (t, size(a.q_heads, a.head_dim)))?;
        let lse = dense_mut("attention: lse", lse, (t, a.q_heads))?;
        attention::attention(self, a, cu, qkv, out, lse)
    }

    fn attention_back(
        &self,
        a: &Attention,
        cu: &[usize],
        qkv: &Buf,
        out: &Buf,
        lse: &Buf,
        dout: &Buf,
        dqkv: &mut Buf,
    ) -> Result<()> {
        check_attention(a)?;
        let t = tokens(cu)?;
        let width = size(a.q_heads, a.head_dim);
        let saved = attention::Saved {
            qkv: dense("attention_back: qkv", qkv, (t, a.layout.ld))?,
            out: dense("attention_back: out", out, (t, width))?,
            lse: dense("attention_back: lse", lse, (t, a.q_heads))?,
            dout: dense("attention_back: dout", dout, (t, width))?,
        };
        let dqkv = dense_mut("attention_back: dqkv", dqkv, (t, a.layout.ld))?;
        attention::attention_back(self, a, cu, saved, dqkv)
    }

    fn cache_rows(&self, a: &Attention, places: &[usize], qkv: &Buf, cache: &mut Buf) -> Result<()> {
        check_attention(a)?;
        let qkv = dense("cache_rows: qkv", qkv, (places.len(), a.layout.ld))?;
        attention::cache_rows(self, a, places, qkv, cache.values_mut())
    }

    fn attention_cached(
        &self,
        a: &Attention,
        contexts: &[Range<usize>],
        qkv: &Buf,
        cache: &Buf,
        out: &mut Buf,
    ) -> Result<()> {
        check_attention(a)?;
        let rows = contexts.len();
        let qkv = dense("attention_cached: qkv", qkv, (rows, a.layout.ld))?;
        let out = dense_mut("attention_cached: out", out, (rows, size(a.q_heads, a.head_dim)))?;
        attention::attention_cached(self, a, contexts, qkv, cache.values(), out)
    }

    fn cross_entropy(
        &self,
        n: usize,
        vocab: usize,
        softcap: Option<f32>,
        targets: &Idx,
        first: usize,
        logits: &Buf,
        loss: &mut Buf,
    ) -> Result<()> {
        let targets = indices("cross_entropy: targets", targets, (first, n), vocab, Some(-1))?;
        let logits = dense("cross_entropy: logits", logits, (n, vocab))?;
        let loss = RowsMut::new("cross_entropy: loss", loss.values_mut(), (first, 1), (n, 1))?;
        loss::cross_entropy(self, softcap, targets, logits, loss);
        Ok(())
    }

    fn cross_entropy_back(
        &self,
        n: usize,
        vocab: usize,
        softcap: Option<f32>,
        targets: &Idx,
        first: usize,
        scale: f32,
        logits: &mut Buf,
        loss: &mut Buf,
    ) -> Result<()> {
        let targets = indices("cross_entropy: targets", targets, (first, n), vocab, Some(-1))?;
        let logits = dense_mut("cross_entropy: logits", logits, (n, vocab))?;
        let loss = RowsMut::new("cross_entropy: loss", loss.values_mut(), (first, 1), (n, 1))?;
        loss::cross_entropy_back(self, softcap, targets, scale, logits, loss);
        Ok(())
    }

    fn sum_squares(&self, len: usize, x: &Buf) -> Result<f64> {
        Ok(optim::sum_squares(self, head("sum_squares", x.values(), len)?))
    }

    fn smooth_importance(
        &self,
        len: usize,
        s: &Smoothing,
        p: &Buf,
        g: &Buf,
        importance: &mut Buf,
        uncertainty: &mut Buf,
    ) -> Result<()> {
        let (p, g) = (head("importance: p", p.values(), len)?, head("importance: g", g.values(), len)?);
        let importance = head_mut("importance", importance.values_mut(), len)?;
        let uncertainty = head_mut("uncertainty", uncertainty.values_mut(), len)?;
        optim::smooth_importance(self, s, p, g, importance, uncertainty);
        Ok(())
    }

    fn pull(
        &self,
        (n, cols): (usize, usize),
        lambda: f32,
        (u, v): (&Buf, &Buf),
        anchor: &Buf,
        p: &Buf,
        g: &mut Buf,
    ) -> Result<f64> {
        let (u, v) = (head("pull: u", u.values(), n)?, head("pull: v", v.values(), cols)?);
        let len = size(n, cols);
        let (anchor, p) = (head("pull: anchor", anchor.values(), len)?, head("pull: p", p.values(), len)?);
        Ok(optim::pull(self, lambda, (u, v), anchor, p, head_mut("pull: g", g.values_mut(), len)?))
    }

    fn adamw(&self, len: usize, a: &AdamW, p: &mut Buf, g: &Buf, m: &mut Buf, v: &mut Buf) -> Result<()> {
        let p = head_mut("adamw: p", p.values_mut(), len)?;
        let g = head("adamw: g", g.values(), len)?;
        let m = head_mut("adamw: m", m.values_mut(), len)?;
        optim::adamw(self, a, p, g, m, head_mut("adamw: v", v.values_mut(), len)?);
        Ok(())
    }

    fn adamw_8bit(
        &self,
        len: usize,
        a: &AdamW,
        p: &mut Buf,
        g: &Buf,
        m: &mut EightBit<Cpu>,
        v: &mut EightBit<Cpu>,
    ) -> Result<()> {
        let p = head_mut("adamw_8bit: p", p.values_mut(), len)?;
        let g = head("adamw_8bit: g", g.values(), len)?;
        let (m, v) = (blocks("adamw_8bit: m", m, len)?, blocks("adamw_8bit: v", v, len)?);
        optim::adamw_8bit(self, a, p, g, m, v);
        Ok(())
    }
}
