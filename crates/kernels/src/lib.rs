//! Every operation of a decoder, forward and backward, behind one trait.
//!
//! A [`Backend`] method is one kernel. Nothing here knows what a layer is, nothing allocates in the
//! steady state, and nothing remembers: the model owns the order of calls, the buffers and the
//! recomputation. `x_back` stands next to `x`. Matrices are row-major; T is the number of packed
//! tokens, H a hidden width, D a head's width, F the width of the feed-forward layer, V the vocabulary.
//!
//! Results do not depend on the number of threads: every sum has one order.

pub mod cpu;
pub mod eight_bit;
mod error;
pub mod nf4;

pub use cpu::Cpu;
pub use error::KernelError;
use half::slice::HalfFloatSliceExt;
pub use nf4::Nf4;
use std::ops::Range;

pub type Result<T> = std::result::Result<T, KernelError>;

/// A read-only matrix inside a buffer: row `i` starts at `off + i * ld`.
#[derive(Debug)]
pub struct Mat<'a, T> {
    pub buf: &'a T,
    pub off: usize,
    pub ld: usize,
}

/// A writable matrix inside a buffer.
#[derive(Debug)]
pub struct MatMut<'a, T> {
    pub buf: &'a mut T,
    pub off: usize,
    pub ld: usize,
}

impl<T> Clone for Mat<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Mat<'_, T> {}

pub fn mat<T>(buf: &T, off: usize, ld: usize) -> Mat<'_, T> {
    Mat { buf, off, ld }
}

pub fn mat_mut<T>(buf: &mut T, off: usize, ld: usize) -> MatMut<'_, T> {
    MatMut { buf, off, ld }
}

/// Whether a kernel overwrites its output or adds to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    Set,
    Add,
}

/// Whether an operand of [`Backend::gemm`] is used as stored or transposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    N,
    T,
}

/// D[m,n] = alpha · op(A)[m,k] · op(B)[k,n] (+ D). `Op::T` on A means A is stored [k,m]; on B, [n,k].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gemm {
    pub m: usize,
    pub n: usize,
    pub k: usize,
    pub a: Op,
    pub b: Op,
    pub alpha: f32,
    pub write: Write,
}

/// A term behind a frozen product, as low-rank adapters add it: z [T, r] times the adapter's outer matrix.
#[derive(Debug)]
pub struct LowRank<'a, T> {
    pub r: usize,
    pub z: Mat<'a, T>,
    /// [out, r] in [`Backend::linear`], [r, in] in [`Backend::linear_back`].
    pub b: Mat<'a, T>,
}

/// A frozen matrix with its term. Several that read one input are multiplied at once: their rows count as those of one
/// matrix, [`PARTS_MAX`] at most.
pub struct Part<'a, B: Backend> {
    pub w: &'a B::Weight,
    pub low_rank: Option<LowRank<'a, B::Buf>>,
}

/// Queries, keys and values.
pub const PARTS_MAX: usize = 3;

/// What products multiply. Sums, and everything that is no product, are in f32 with either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// f32, and frozen weights as their file has them.
    F32,
    /// bf16: frozen weights are rounded to it when they are loaded, other operands when a product reads them. Where the
    /// processor does not multiply bf16, products are in f32 and only weights are rounded.
    Bf16,
}

impl Precision {
    /// bf16 where this processor multiplies it faster than f32; elsewhere f32.
    pub fn fastest() -> Precision {
        if cpu::Level::best().multiplies_bf16() { Precision::Bf16 } else { Precision::F32 }
    }
}

/// Tokens of a cache that lie side by side.
pub const CACHE_BLOCK: usize = 16;

/// How queries, keys and values lie in one packed buffer [T, ld]: element (t, head h, j) of the
/// queries is at `t * ld + q + h * head_dim + j`, and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QkvLayout {
    pub ld: usize,
    pub q: usize,
    pub k: usize,
    pub v: usize,
}

/// Causal attention with grouped heads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attention {
    pub q_heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    /// Multiplies q·k, before the soft-cap and the mask.
    pub scale: f32,
    /// A token sees itself and `window - 1` tokens before it.
    pub window: Option<usize>,
    /// s ← cap · tanh(s / cap)
    pub softcap: Option<f32>,
    pub layout: QkvLayout,
}

/// The gate of a gated feed-forward layer: act(gate) · up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// x · sigmoid(x)
    Silu,
    /// GELU in its tanh form
    GeluTanh,
}

/// Norm weights are used as `w + offset`: 0 for Llama and its kin, 1 for Gemma.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Norm {
    pub eps: f32,
    pub offset: f32,
}

/// The rows of a norm: `rows` × `groups` vectors of `dim`, vector (r, g) at `off + r * ld + g * dim`.
/// `groups` is 1 for a layer's norm and the number of heads for a norm of queries or keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NormShape {
    pub rows: usize,
    pub groups: usize,
    pub dim: usize,
}

/// One AdamW update (Loshchilov & Hutter 2019, as `torch.optim.AdamW` computes it):
/// g ← grad · grad_scale; p ← p(1 − lr·decay); m, v averages; p ← p − lr/(1−β1ᵗ) · m / (√v/√(1−β2ᵗ) + eps).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    pub lr: f32,
    pub beta1: f32,
    pub beta2: f32,
    pub eps: f32,
    pub weight_decay: f32,
    /// 1 for the first update
    pub t: u32,
    /// the clipping factor
    pub grad_scale: f32,
}

/// Values in 8 bits: the i-th is map[codes[i]] · absmax[i / [`eight_bit::BLOCK`]].
#[derive(Debug)]
pub struct EightBit<B: Backend> {
    pub codes: B::Bytes,
    pub absmax: B::Buf,
}

/// Of [`Backend::smooth_importance`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Smoothing {
    pub beta1: f32,
    pub beta2: f32,
    /// the clipping factor
    pub grad_scale: f32,
}

/// The source of a frozen weight's values, as found in a file. Little-endian.
#[derive(Clone, Copy, Debug)]
pub enum Values<'a> {
    F32(&'a [f32]),
    F16(&'a [half::f16]),
    Bf16(&'a [half::bf16]),
    Nf4(&'a Nf4),
}

impl Values<'_> {
    pub fn len(&self) -> usize {
        match self {
            Values::F32(v) => v.len(),
            Values::F16(v) => v.len(),
            Values::Bf16(v) => v.len(),
            Values::Nf4(v) => v.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// out = the values from `at` on, widened.
    pub fn read(&self, at: usize, out: &mut [f32]) {
        let all = at..at + out.len();
        match self {
            Values::F32(v) => out.copy_from_slice(&v[all]),
            Values::F16(v) => v[all].convert_to_f32_slice(out),
            Values::Bf16(v) => {
                for (out, v) in out.iter_mut().zip(&v[all]) {
                    *out = f32::from_bits(u32::from(v.to_bits()) << 16);
                }
            }
            Values::Nf4(v) => v.read(at, out),
        }
    }
}

/// A frozen weight's memory, to be filled again with values as a file has them, or rounded.
#[derive(Debug)]
pub enum ValuesMut<'a> {
    F32(&'a mut [f32]),
    F16(&'a mut [half::f16]),
    Bf16(&'a mut [half::bf16]),
    Nf4(&'a mut Nf4),
}

/// How a frozen matrix is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Once: products that read it pack it on their way.
    Plain,
    /// Twice, as products read it in the pass forward and in the pass back: nothing is packed on the way, and passes of
    /// few tokens are as fast as those of many.
    Packed,
}

pub trait Backend: Send + Sync + Sized + 'static {
    /// f32 memory of a fixed length.
    type Buf: Send + Sync;
    /// u8 memory of a fixed length.
    type Bytes: Send + Sync;
    /// i32 memory of a fixed capacity.
    type Idx: Send + Sync;
    /// A frozen matrix [out, in] in whatever form the products like best.
    type Weight: Send + Sync;

    // --- memory ---------------------------------------------------------------------------------
    /// Zeroed memory of `len` floats.
    fn alloc(&self, len: usize) -> Result<Self::Buf>;
    fn len(&self, buf: &Self::Buf) -> usize;
    /// dst[off..off + src.len()] = src
    fn upload(&self, dst: &mut Self::Buf, off: usize, src: &[f32]) -> Result<()>;
    /// out = src[off..off + out.len()]
    fn download(&self, src: &Self::Buf, off: usize, out: &mut [f32]) -> Result<()>;
    /// Zeroed memory of `len` bytes.
    fn alloc_bytes(&self, len: usize) -> Result<Self::Bytes>;
    /// dst[..src.len()] = src
    fn upload_bytes(&self, dst: &mut Self::Bytes, src: &[u8]) -> Result<()>;
    /// out = src[..out.len()]
    fn download_bytes(&self, src: &Self::Bytes, out: &mut [u8]) -> Result<()>;
    fn alloc_idx(&self, capacity: usize) -> Result<Self::Idx>;
    fn upload_idx(&self, dst: &mut Self::Idx, src: &[i32]) -> Result<()>;
    fn weight(&self, rows: usize, cols: usize, values: Values<'_>, form: Form) -> Result<Self::Weight>;
    /// Lets `fill` overwrite the values of a weight held plain, in the type it was made with. Where `fill` fails they
    /// are no longer to be used.
    ///
    /// # Errors
    /// `HeldPacked`; `NotFinite` where magnitudes of NF4 are infinite or none; what `fill` returns.
    fn refill<E: From<KernelError>>(
        w: &mut Self::Weight,
        fill: impl FnOnce(ValuesMut<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E>;
    /// The values that the products use, as f32 [rows * cols].
    fn weight_values(&self, w: &Self::Weight) -> Result<Vec<f32>>;
    fn weight_bytes(&self, w: &Self::Weight) -> usize;

    // --- products -------------------------------------------------------------------------------
    /// y[T,out] = x[T,in] · Wᵀ + z·bᵀ (+ y), the columns of several parts side by side.
    fn linear(
        &self,
        t: usize,
        x: Mat<Self::Buf>,
        parts: &[Part<Self>],
        y: MatMut<Self::Buf>,
        write: Write,
    ) -> Result<()>;
    /// dx[T,in] = dy[T,out] · W + z·b (+ dx), summed over the parts.
    fn linear_back(
        &self,
        t: usize,
        dy: Mat<Self::Buf>,
        parts: &[Part<Self>],
        dx: MatMut<Self::Buf>,
        write: Write,
    ) -> Result<()>;
    fn gemm(&self, g: Gemm, a: Mat<Self::Buf>, b: Mat<Self::Buf>, d: MatMut<Self::Buf>) -> Result<()>;

    // --- rows -----------------------------------------------------------------------------------
    /// out[i] = scale · W[ids[i]], i < t; out [t, cols]
    fn embed(&self, t: usize, ids: &Self::Idx, w: &Self::Weight, scale: f32, out: &mut Self::Buf) -> Result<()>;
    /// out[i] = scale · table[ids[i + first]], rows of `cols`, i < t  (write: Set or Add)
    fn gather_rows(
        &self,
        t: usize,
        cols: usize,
        ids: &Self::Idx,
        first: usize,
        table: Mat<Self::Buf>,
        scale: f32,
        out: MatMut<Self::Buf>,
        write: Write,
    ) -> Result<()>;
    /// table[ids[i + first]] += scale · rows[i], in the order of i
    fn scatter_add_rows(
        &self,
        t: usize,
        cols: usize,
        ids: &Self::Idx,
        first: usize,
        rows: Mat<Self::Buf>,
        scale: f32,
        table: MatMut<Self::Buf>,
    ) -> Result<()>;
    /// dst[r, ..cols] = src[r, ..cols] for r < rows
    fn copy(&self, rows: usize, cols: usize, src: Mat<Self::Buf>, dst: MatMut<Self::Buf>) -> Result<()>;
    /// buf[off..off + len] = value
    fn fill(&self, buf: &mut Self::Buf, off: usize, len: usize, value: f32) -> Result<()>;
    /// y[i] += alpha · x[i], i < len
    fn add(&self, len: usize, alpha: f32, x: &Self::Buf, y: &mut Self::Buf) -> Result<()>;
    /// y[r, j] += bias[j]
    fn add_bias(&self, rows: usize, cols: usize, bias: &Self::Buf, y: MatMut<Self::Buf>) -> Result<()>;
    /// dbias[j] += Σ_r dy[r, j]
    fn bias_back(&self, rows: usize, cols: usize, dy: Mat<Self::Buf>, dbias: &mut Self::Buf) -> Result<()>;

    /// y[r, j] = alpha · (scale[j] + shift) · x[r, j] (+ y), with `factors` = (alpha, shift)
    fn scale_columns(
        &self,
        rows: usize,
        cols: usize,
        scale: &Self::Buf,
        factors: (f32, f32),
        x: Mat<Self::Buf>,
        y: MatMut<Self::Buf>,
        write: Write,
    ) -> Result<()>;
    /// out[j] += alpha · scale[j] · Σ_r x[r, j] · y[r, j]; scale 1 where there is none
    fn column_dots(
        &self,
        rows: usize,
        cols: usize,
        x: Mat<Self::Buf>,
        y: Mat<Self::Buf>,
        alpha: f32,
        scale: Option<&Self::Buf>,
        out: &mut Self::Buf,
    ) -> Result<()>;
    /// y[r, j] = alpha · scale[r] · x[r, j] (+ y)
    fn scale_rows(
        &self,
        rows: usize,
        cols: usize,
        scale: &Self::Buf,
        alpha: f32,
        x: Mat<Self::Buf>,
        y: MatMut<Self::Buf>,
        write: Write,
    ) -> Result<()>;
    /// out[first + r] += alpha · Σ_j x[r, j] · y[r, j]
    fn row_dots(
        &self,
        rows: usize,
        cols: usize,
        x: Mat<Self::Buf>,
        y: Mat<Self::Buf>,
        alpha: f32,
        first: usize,
        out: &mut Self::Buf,
    ) -> Result<()>;
    /// out[j] = Σ_k scale[k] W_jk², of the values that products use; ‖W_j‖² without a scale
    fn row_squares(&self, w: &Self::Weight, scale: Option<&Self::Buf>, out: &mut Self::Buf) -> Result<()>;
    /// inverse[j] = 1 / ‖W_j + s · b_j A‖ and scale[j] = m[j] · inverse[j] for every row j, without W: from
    /// squares[j] = ‖W_j‖², cross = A Wᵀ [r, rows] and gram = A Aᵀ [r, r]; b [rows, r].
    fn low_rank_scales(
        &self,
        rows: usize,
        r: usize,
        s: f32,
        squares: &Self::Buf,
        cross: Mat<Self::Buf>,
        gram: Mat<Self::Buf>,
        b: Mat<Self::Buf>,
        m: &Self::Buf,
        scale: &mut Self::Buf,
        inverse: &mut Self::Buf,
    ) -> Result<()>;

    // --- norm, rope, activation -----------------------------------------------------------------
    /// y = x / rms(x) · (w + offset); rstd [rows * groups] is kept for the backward pass.
    fn rmsnorm(
        &self,
        s: NormShape,
        n: Norm,
        x: Mat<Self::Buf>,
        w: &Self::Buf,
        y: MatMut<Self::Buf>,
        rstd: &mut Self::Buf,
    ) -> Result<()>;
    /// sum += x, and y = the norm of that: a residual and the norm behind it, in one pass.
    fn add_rmsnorm(
        &self,
        s: NormShape,
        n: Norm,
        x: Mat<Self::Buf>,
        sum: MatMut<Self::Buf>,
        w: &Self::Buf,
        y: MatMut<Self::Buf>,
        rstd: &mut Self::Buf,
    ) -> Result<()>;
    /// dx = (or +=) the norm's derivative; dw += its weight's, when it is trained.
    fn rmsnorm_back(
        &self,
        s: NormShape,
        n: Norm,
        dy: Mat<Self::Buf>,
        x: Mat<Self::Buf>,
        w: &Self::Buf,
        rstd: &Self::Buf,
        dx: MatMut<Self::Buf>,
        write: Write,
        dw: Option<&mut Self::Buf>,
    ) -> Result<()>;
    /// In place on `heads` heads of `dim` from x.off on; the first 2·half of each head turn, pair (j, j+half).
    /// cos, sin: [positions, half]; pos: [t].
    fn rope(
        &self,
        t: usize,
        heads: usize,
        dim: usize,
        half: usize,
        pos: &Self::Idx,
        cos: &Self::Buf,
        sin: &Self::Buf,
        x: MatMut<Self::Buf>,
    ) -> Result<()>;
    /// The inverse turn, in place on the gradient.
    fn rope_back(
        &self,
        t: usize,
        heads: usize,
        dim: usize,
        half: usize,
        pos: &Self::Idx,
        cos: &Self::Buf,
        sin: &Self::Buf,
        dx: MatMut<Self::Buf>,
    ) -> Result<()>;
    /// h[T,F] = act(gu[:, ..F]) · gu[:, F..]; gu [T, 2F]
    fn glu(&self, t: usize, f: usize, act: Activation, gu: &Self::Buf, h: &mut Self::Buf) -> Result<()>;
    /// gu becomes its own gradient; h is written again (the down projection's adapter needs it).
    fn glu_back(
        &self,
        t: usize,
        f: usize,
        act: Activation,
        dh: &Self::Buf,
        gu: &mut Self::Buf,
        h: &mut Self::Buf,
    ) -> Result<()>;
    /// y = x · mask / (1 − p) (+ y), mask a function of (key, row, column) alone; backward is the same call on the gradient.
    /// Refuses p outside 0..1.
    fn dropout(
        &self,
        rows: usize,
        cols: usize,
        p: f32,
        key: u64,
        x: Mat<Self::Buf>,
        y: MatMut<Self::Buf>,
        write: Write,
    ) -> Result<()>;

    // --- attention ------------------------------------------------------------------------------
    /// Causal within each sequence `cu[i]..cu[i+1]`; bounds must not fall, and sequences may be empty. out [T, q_heads·D] row-major; lse [T, q_heads].
    fn attention(
        &self,
        a: &Attention,
        cu: &[usize],
        qkv: &Self::Buf,
        out: &mut Self::Buf,
        lse: &mut Self::Buf,
    ) -> Result<()>;
    /// dqkv (same layout as qkv) is overwritten.
    fn attention_back(
        &self,
        a: &Attention,
        cu: &[usize],
        qkv: &Self::Buf,
        out: &Self::Buf,
        lse: &Self::Buf,
        dout: &Self::Buf,
        dqkv: &mut Self::Buf,
    ) -> Result<()>;

    /// Floats of one layer's cache of keys and values with room for `tokens`, a multiple of [`CACHE_BLOCK`].
    fn cache_len(a: &Attention, tokens: usize) -> usize {
        a.kv_heads.saturating_mul(a.head_dim).saturating_mul(2).saturating_mul(tokens)
    }
    /// The key and value in row r of qkv become those of token places[r] of the cache.
    fn cache_rows(&self, a: &Attention, places: &[usize], qkv: &Self::Buf, cache: &mut Self::Buf) -> Result<()>;
    /// out[r] = attention of row r of qkv over the tokens contexts[r] of the cache, of which its own is the last: what
    /// [`Backend::attention`] gives the last row of such a sequence, in f32 with either precision. A context begins at a
    /// multiple of [`CACHE_BLOCK`]. out [rows, q_heads·D].
    fn attention_cached(
        &self,
        a: &Attention,
        contexts: &[Range<usize>],
        qkv: &Self::Buf,
        cache: &Self::Buf,
        out: &mut Self::Buf,
    ) -> Result<()>;

    // --- loss -----------------------------------------------------------------------------------
    /// logits [rows, V] with an optional soft-cap: loss[first + r] = −log softmax(cap(logits))[target]; targets from
    /// `targets[first + r]`. Leaves the logits as they were (uncapped). A target of −1 means
    /// none: loss 0, gradient 0; any other outside 0..V is refused before anything is written.
    fn cross_entropy(
        &self,
        rows: usize,
        vocab: usize,
        softcap: Option<f32>,
        targets: &Self::Idx,
        first: usize,
        logits: &Self::Buf,
        loss: &mut Self::Buf,
    ) -> Result<()>;
    /// As `cross_entropy`, and logits become scale · d loss / d logits (through the soft-cap).
    fn cross_entropy_back(
        &self,
        rows: usize,
        vocab: usize,
        softcap: Option<f32>,
        targets: &Self::Idx,
        first: usize,
        scale: f32,
        logits: &mut Self::Buf,
        loss: &mut Self::Buf,
    ) -> Result<()>;

    // --- optimiser ------------------------------------------------------------------------------
    /// Σ x² in f64, one fixed order.
    fn sum_squares(&self, len: usize, x: &Self::Buf) -> Result<f64>;
    /// How much a parameter matters, smoothed (Zhang et al. 2023): i = |p · grad_scale · g|;
    /// importance ← β1 · importance + (1 − β1) · i; uncertainty ← β2 · uncertainty + (1 − β2) · |i − importance|.
    fn smooth_importance(
        &self,
        len: usize,
        s: &Smoothing,
        p: &Self::Buf,
        g: &Self::Buf,
        importance: &mut Self::Buf,
        uncertainty: &mut Self::Buf,
    ) -> Result<()>;
    /// The pull of what is anchored (Kirkpatrick et al. 2017) with the importance u[i] · v[j] of element (i, j) of `shape`:
    /// g += λ · u vᵀ ∘ (p − anchor). Returns Σ u[i] v[j] (p − anchor)² in f64, one fixed order.
    fn pull(
        &self,
        shape: (usize, usize),
        lambda: f32,
        importance: (&Self::Buf, &Self::Buf),
        anchor: &Self::Buf,
        p: &Self::Buf,
        g: &mut Self::Buf,
    ) -> Result<f64>;
    fn adamw(
        &self,
        len: usize,
        a: &AdamW,
        p: &mut Self::Buf,
        g: &Self::Buf,
        m: &mut Self::Buf,
        v: &mut Self::Buf,
    ) -> Result<()>;
    /// [`Backend::adamw`] with its moments in 8 bits between two updates (Dettmers et al. 2022): of their old values, new
    /// ones are computed in f32 and p is updated with these; then each block is divided by its new largest magnitude and
    /// rounded to the nearest value, of [`eight_bit::signed_map`] for m and of [`eight_bit::unsigned_map`] for v, where
    /// what is above 0 stays above 0. Zeroed codes and magnitudes are moments of 0.
    fn adamw_8bit(
        &self,
        len: usize,
        a: &AdamW,
        p: &mut Self::Buf,
        g: &Self::Buf,
        m: &mut EightBit<Self>,
        v: &mut EightBit<Self>,
    ) -> Result<()>;
}
