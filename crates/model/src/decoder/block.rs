//! One decoder layer for every family: what they differ in is data. Forward and backward stand side by side.
//!
//! ```text
//! a   = attention(rope(head_norm(norm(x) Wqkvᵀ)))
//! mid = x + [norm](a Woᵀ)
//! out = mid + [norm]((act(gate) · up) Wdownᵀ),   gate | up = norm(mid) Wgate_upᵀ
//! ```

use crate::adapters::{Builder, Cx, Fan, Gain};
use crate::cache::Visit;
use crate::config::layer_module;
use crate::workspace::{Acts, RopeTable, Shared};
use crate::{ModelConfig, ModelError};
use kernels::{Activation, Attention, Backend, Mat, MatMut, Norm, NormShape, QkvLayout, Write, mat, mat_mut};

/// Projections of the layer's input that fill the columns from `col` on of a wider buffer.
struct Inward<B: Backend> {
    fan: Fan<B>,
    col: usize,
}

pub(crate) struct Block<B: Backend> {
    norm_in: Gain<B>,
    /// Queries, keys and values; the last apart where heads have norms.
    qkv: Vec<Inward<B>>,
    /// Norms of queries and of keys.
    head_norms: Option<(Gain<B>, Gain<B>)>,
    o: Fan<B>,
    norm_attn_out: Option<Gain<B>>,
    norm_mid: Gain<B>,
    gate_up: Fan<B>,
    down: Fan<B>,
    norm_mlp_out: Option<Gain<B>>,
    attention: Attention,
    rope: usize,
    norm: Norm,
    activation: Activation,
    hidden: usize,
    intermediate: usize,
    /// Columns of what all fans keep.
    kept: usize,
}

/// The rows of one pass.
pub(crate) struct Rows<'a, B: Backend> {
    /// Tokens.
    pub t: usize,
    /// Example i is rows cu[i]..cu[i+1].
    pub cu: &'a [usize],
    pub positions: &'a B::Idx,
    pub ropes: &'a [RopeTable<B>],
    /// The rows that go on after attention and how many they are, where these are not all: in the last layer those with
    /// a target. They lie one behind another from then on, in the layer's output and its gradient too.
    pub after: Option<(&'a B::Idx, usize)>,
}

impl<B: Backend> Rows<'_, B> {
    /// Rows after attention.
    fn left(&self) -> usize {
        self.after.map_or(self.t, |(_, n)| n)
    }
}

/// How far down a layer's backward pass goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The gradient of the layer's input is wanted.
    Input,
    /// Nothing below is trained: only this layer's own parameters.
    Parameters,
}

impl<B: Backend> Block<B> {
    pub fn build(b: &mut Builder<B>, c: &ModelConfig, l: usize) -> Result<Self, ModelError> {
        let at = |leaf: &str| layer_module(l, leaf);
        let (h, f, q, kv) = (c.hidden, c.intermediate, c.q_cols(), c.kv_cols());
        let norm_in = b.gain(&at("input_layernorm"), h)?;
        let mut kept = 0;
        let mut fan = |slots| {
            let fan = Fan::new(slots, kept);
            kept += fan.kept();
            fan
        };
        let (mut qkv, mut apart) = (Vec::new(), None);
        for (leaf, cols, col) in c.qkv_parts() {
            let slot = b.slot(&at(leaf), cols, h, c.bias_qkv)?;
            if c.head_norms && col >= q + kv { apart = Some((slot, col)) } else { qkv.push(slot) }
        }
        let mut qkv = vec![Inward { fan: fan(qkv), col: 0 }];
        qkv.extend(apart.map(|(slot, col)| Inward { fan: fan(vec![slot]), col }));
        let head_norms = if c.head_norms {
            Some((b.gain(&at("self_attn.q_norm"), c.head_dim)?, b.gain(&at("self_attn.k_norm"), c.head_dim)?))
        } else {
            None
        };
        let o = fan(vec![b.slot(&at("self_attn.o_proj"), h, q, c.bias_o)?]);
        // Gemma has a norm on both sides of each half; elsewhere the second norm's name means the one before the
        // feed-forward.
        let after_attention = b.gain(&at("post_attention_layernorm"), h)?;
        let (norm_attn_out, norm_mid, norm_mlp_out) = if c.post_norms {
            let before = b.gain(&at("pre_feedforward_layernorm"), h)?;
            (Some(after_attention), before, Some(b.gain(&at("post_feedforward_layernorm"), h)?))
        } else {
            (None, after_attention, None)
        };
        let gate_up = c.gate_up_parts().into_iter().map(|(leaf, cols, _)| b.slot(&at(leaf), cols, h, c.bias_mlp));
        let gate_up = fan(gate_up.collect::<Result<_, _>>()?);
        let down = fan(vec![b.slot(&at("mlp.down_proj"), h, f, c.bias_mlp)?]);
        let attention = Attention {
            q_heads: c.q_heads,
            kv_heads: c.kv_heads,
            head_dim: c.head_dim,
            scale: c.attn_scale,
            window: c.layer[l].window,
            softcap: c.attn_softcap,
            layout: QkvLayout { ld: q + 2 * kv, q: 0, k: q, v: q + kv },
        };
        let norm = Norm { eps: c.rms_eps, offset: c.norm_offset };
        let (rope, activation) = (c.layer[l].rope, c.activation);
        Ok(Block {
            norm_in,
            qkv,
            head_norms,
            o,
            norm_attn_out,
            norm_mid,
            gate_up,
            down,
            norm_mlp_out,
            attention,
            rope,
            norm,
            activation,
            hidden: h,
            intermediate: f,
            kept,
        })
    }

    /// Whether a backward pass has anything to accumulate here.
    pub fn trains(&self) -> bool {
        self.attention_trains()
            || self.gate_trains()
            || self.down.trains()
            || self.norm_mlp_out.as_ref().is_some_and(Gain::trains)
    }

    /// x [T, H] → out [rows after attention, H]; `a` keeps what the backward pass needs.
    pub fn forward(
        &self,
        cx: &mut Cx<B>,
        rows: &Rows<B>,
        x: &B::Buf,
        a: &mut Acts<B::Buf>,
        s: &mut Shared<B::Buf>,
        out: &mut B::Buf,
    ) -> Result<(), ModelError> {
        self.attend(cx, rows, x, a, s)?;
        self.gate(cx, rows.left(), a, s)?;
        self.feed(cx, rows.left(), a, s, out)
    }

    /// As [`Block::forward`], where `cache` takes the rows' keys and values, and what rows see is what `visit` says.
    pub fn forward_cached(
        &self,
        cx: &mut Cx<B>,
        rows: &Rows<B>,
        (cache, visit): (&mut B::Buf, Visit),
        x: &B::Buf,
        a: &mut Acts<B::Buf>,
        s: &mut Shared<B::Buf>,
        out: &mut B::Buf,
    ) -> Result<(), ModelError> {
        self.project(cx, rows, x, a, s)?;
        cx.backend.cache_rows(&self.attention, visit.places, &a.qkv, cache)?;
        match visit.contexts {
            None => cx.backend.attention(&self.attention, rows.cu, &a.qkv, &mut a.att, &mut a.lse)?,
            Some(contexts) => cx.backend.attention_cached(&self.attention, contexts, &a.qkv, cache, &mut a.att)?,
        }
        self.rejoin(cx, rows, x, a, s)?;
        self.gate(cx, rows.left(), a, s)?;
        self.feed(cx, rows.left(), a, s, out)
    }

    /// Floats of this layer's keys and values of so many tokens.
    pub fn cache_len(&self, tokens: usize) -> usize {
        B::cache_len(&self.attention, tokens)
    }

    /// Fills `a` again from the layer's input, to the same bits; `out` as in the forward pass.
    pub fn recompute(
        &self,
        cx: &mut Cx<B>,
        rows: &Rows<B>,
        x: &B::Buf,
        a: &mut Acts<B::Buf>,
        s: &mut Shared<B::Buf>,
        out: &mut B::Buf,
    ) -> Result<(), ModelError> {
        let left = rows.left();
        self.attend(cx, rows, x, a, s)?;
        self.gate(cx, left, a, s)?;
        // Of the down projection only what follows it or its adapter keeps is needed again.
        match &self.norm_mlp_out {
            Some(_) => self.feed(cx, left, a, s, out),
            None if self.down.kept() > 0 => {
                let f = self.intermediate;
                cx.backend.glu(left, f, self.activation, &a.gate_up, &mut s.h)?;
                self.down.keep(cx, left, mat(&s.h, 0, f), mat_mut(&mut a.kept, self.down.kept_at(), self.kept))
            }
            None => Ok(()),
        }
    }

    /// `s.d` is the gradient of the layer's output and becomes, where `reach` says so, that of its input.
    /// What `a` holds of gate and up is used up.
    pub fn backward(
        &self,
        cx: &mut Cx<B>,
        rows: &Rows<B>,
        x: &B::Buf,
        a: &mut Acts<B::Buf>,
        s: &mut Shared<B::Buf>,
        reach: Reach,
    ) -> Result<(), ModelError> {
        let through_attention = reach == Reach::Input || self.attention_trains();
        let through_gate = through_attention || self.gate_trains();
        self.feed_back(cx, rows.left(), a, s, reach_if(through_gate))?;
        if through_gate {
            self.gate_back(cx, rows.left(), a, s, reach_if(through_attention))?;
        }
        if through_attention { self.attend_back(cx, rows, x, a, s, reach) } else { Ok(()) }
    }

    /// Whether something is trained between the layer's input and attention.
    fn inputs_train(&self) -> bool {
        self.norm_in.trains()
            || self.qkv.iter().any(|p| p.fan.trains())
            || self.head_norms.as_ref().is_some_and(|(q, k)| q.trains() || k.trains())
    }

    /// Whether something is trained between the layer's input and mid.
    fn attention_trains(&self) -> bool {
        self.inputs_train() || self.o.trains() || self.norm_attn_out.as_ref().is_some_and(Gain::trains)
    }

    /// Whether something is trained between mid and gate and up.
    fn gate_trains(&self) -> bool {
        self.norm_mid.trains() || self.gate_up.trains()
    }
}

// --- x → mid ------------------------------------------------------------------------------------------

impl<B: Backend> Block<B> {
    /// Leaves the norm of mid in `s.normed`.
    fn attend(
        &self,
        cx: &mut Cx<B>,
        rows: &Rows<B>,
        x: &B::Buf,
        a: &mut Acts<B::Buf>,
        s: &mut Shared<B::Buf>,
    ) -> Result<(), ModelError> {
        self.project(cx, rows, x, a, s)?;
        cx.backend.attention(&self.attention, rows.cu, &a.qkv, &mut a.att, &mut a.lse)?;
        self.rejoin(cx, rows, x, a, s)
    }

    /// x → queries, keys and values as attention reads them, in `a.qkv`.
    fn project(
        &self,
        cx: &mut Cx<B>,
        rows: &Rows<B>,
        x: &B::Buf,
        a: &mut Acts<B::Buf>,
        s: &mut Shared<B::Buf>,
    ) -> Result<(), ModelError> {
        let (be, t, h) = (cx.backend, rows.t, self.hidden);
        self.normalise(cx, &self.norm_in, self.whole(t), mat(x, 0, h), mat_mut(&mut s.normed, 0, h), &mut a.rstd_in)?;
        let (ld, raw) = (self.attention.layout.ld, self.raw_cols());
        for p in &self.qkv {
            let y = if p.col < raw { mat_mut(&mut a.raw, p.col, raw) } else { mat_mut(&mut a.qkv, p.col, ld) };
            p.fan.forward(cx, t, mat(&s.normed, 0, h), mat_mut(&mut a.kept, p.fan.kept_at(), self.kept), y)?;
        }
        if let Some((q, k)) = &self.head_norms {
            let [qs, ks] = self.head_shapes(t);
            let col = self.attention.layout.k;
            self.normalise(cx, q, qs, mat(&a.raw, 0, raw), mat_mut(&mut a.qkv, 0, ld), &mut a.rstd_q)?;
            self.normalise(cx, k, ks, mat(&a.raw, col, raw), mat_mut(&mut a.qkv, col, ld), &mut a.rstd_k)?;
        }
        let r = &rows.ropes[self.rope];
        let (turned, dim) = (self.turned_heads(), self.attention.head_dim);
        Ok(be.rope(t, turned, dim, r.half, rows.positions, &r.cos, &r.sin, mat_mut(&mut a.qkv, 0, ld))?)
    }

    /// What attention returned, in `a.att`, → mid, and its norm in `s.normed`.
    fn rejoin(
        &self,
        cx: &mut Cx<B>,
        rows: &Rows<B>,
        x: &B::Buf,
        a: &mut Acts<B::Buf>,
        s: &mut Shared<B::Buf>,
    ) -> Result<(), ModelError> {
        let (be, t, h, left) = (cx.backend, rows.t, self.hidden, rows.left());
        let att = self.attended(be, rows, &a.att, &mut s.d_qkv)?;
        let kept = mat_mut(&mut a.kept, self.o.kept_at(), self.kept);
        match &self.norm_attn_out {
            None => self.o.forward(cx, left, att, kept, mat_mut(&mut a.mid, 0, h))?,
            Some(gain) => {
                self.o.forward(cx, left, att, kept, mat_mut(&mut a.attn_out, 0, h))?;
                let (from, to) = (mat(&a.attn_out, 0, h), mat_mut(&mut a.mid, 0, h));
                self.normalise(cx, gain, self.whole(left), from, to, &mut a.rstd_attn_out)?;
            }
        }
        // The residual, and the norm of the sum at once where all rows go on.
        let (mid, gain) = (mat_mut(&mut a.mid, 0, h), self.norm_mid.parts(cx.params).0);
        match rows.after {
            None => {
                let to = mat_mut(&mut s.normed, 0, h);
                be.add_rmsnorm(self.whole(t), self.norm, mat(x, 0, h), mid, gain, to, &mut a.rstd_mid)?;
                Ok(())
            }
            Some((ids, n)) => {
                be.gather_rows(n, h, ids, 0, mat(x, 0, h), 1.0, mid, Write::Add)?;
                self.norm_of_mid(cx, n, a, s)
            }
        }
    }

    /// What the output projection reads: attention's result, of the rows that go on. `spare` is free until attention's
    /// backward pass.
    fn attended<'a>(
        &self,
        be: &B,
        rows: &Rows<B>,
        att: &'a B::Buf,
        spare: &'a mut B::Buf,
    ) -> Result<Mat<'a, B::Buf>, ModelError> {
        let cols = self.o.in_features();
        let Some((ids, n)) = rows.after else { return Ok(mat(att, 0, cols)) };
        be.gather_rows(n, cols, ids, 0, mat(att, 0, cols), 1.0, mat_mut(spare, 0, cols), Write::Set)?;
        Ok(mat(spare, 0, cols))
    }

    /// A gradient of the rows that went on, in place, to one of all rows; 0 for the others.
    fn spread(
        &self,
        be: &B,
        rows: &Rows<B>,
        cols: usize,
        d: &mut B::Buf,
        spare: &mut B::Buf,
    ) -> Result<(), ModelError> {
        let Some((ids, n)) = rows.after else { return Ok(()) };
        be.copy(n, cols, mat(d, 0, cols), mat_mut(spare, 0, cols))?;
        be.fill(d, 0, rows.t * cols, 0.0)?;
        Ok(be.scatter_add_rows(n, cols, ids, 0, mat(spare, 0, cols), 1.0, mat_mut(d, 0, cols))?)
    }

    /// `s.d`: gradient of mid → gradient of x.
    fn attend_back(
        &self,
        cx: &mut Cx<B>,
        rows: &Rows<B>,
        x: &B::Buf,
        a: &mut Acts<B::Buf>,
        s: &mut Shared<B::Buf>,
        reach: Reach,
    ) -> Result<(), ModelError> {
        let (be, t, h, left) = (cx.backend, rows.t, self.hidden, rows.left());
        let q_cols = self.o.in_features();
        let dy = match &self.norm_attn_out {
            None => mat(&s.d, 0, h),
            Some(gain) => {
                let (dy, from, dx) = (mat(&s.d, 0, h), mat(&a.attn_out, 0, h), mat_mut(&mut s.d_out, 0, h));
                self.normalise_back(cx, gain, self.whole(left), dy, from, &a.rstd_attn_out, dx, Write::Set)?;
                mat(&s.d_out, 0, h)
            }
        };
        let deeper = reach == Reach::Input || self.inputs_train();
        let d_att = deeper.then(|| mat_mut(&mut s.d_att, 0, q_cols));
        self.o.input_gradient(cx, left, dy, d_att, Write::Set)?;
        let att = self.attended(be, rows, &a.att, &mut s.d_qkv)?;
        self.o.accumulate(cx, left, att, mat(&a.kept, self.o.kept_at(), self.kept), dy)?;
        if !deeper {
            return Ok(());
        }
        self.spread(be, rows, q_cols, &mut s.d_att, &mut s.d_qkv)?;
        be.attention_back(&self.attention, rows.cu, &a.qkv, &a.att, &a.lse, &s.d_att, &mut s.d_qkv)?;
        let (ld, raw) = (self.attention.layout.ld, self.raw_cols());
        let r = &rows.ropes[self.rope];
        let (turned, dim) = (self.turned_heads(), self.attention.head_dim);
        be.rope_back(t, turned, dim, r.half, rows.positions, &r.cos, &r.sin, mat_mut(&mut s.d_qkv, 0, ld))?;
        if let Some((q, k)) = &self.head_norms {
            let [qs, ks] = self.head_shapes(t);
            let col = self.attention.layout.k;
            let (dq, dk) = (mat(&s.d_qkv, 0, ld), mat(&s.d_qkv, col, ld));
            let (xq, xk) = (mat(&a.raw, 0, raw), mat(&a.raw, col, raw));
            self.normalise_back(cx, q, qs, dq, xq, &a.rstd_q, mat_mut(&mut s.d_raw, 0, raw), Write::Set)?;
            self.normalise_back(cx, k, ks, dk, xk, &a.rstd_k, mat_mut(&mut s.d_raw, col, raw), Write::Set)?;
        }
        if self.qkv.iter().any(|p| p.fan.trains()) {
            let (from, to) = (mat(x, 0, h), mat_mut(&mut s.normed, 0, h));
            self.normalise(cx, &self.norm_in, self.whole(t), from, to, &mut a.rstd_in)?;
        }
        let wanted = reach == Reach::Input || self.norm_in.trains();
        if wanted {
            self.spread(be, rows, h, &mut s.d, &mut s.d_normed)?;
        }
        for (i, p) in self.qkv.iter().enumerate() {
            let dy = if p.col < raw { mat(&s.d_raw, p.col, raw) } else { mat(&s.d_qkv, p.col, ld) };
            let dx = wanted.then(|| mat_mut(&mut s.d_normed, 0, h));
            let kept = mat(&a.kept, p.fan.kept_at(), self.kept);
            p.fan.input_gradient(cx, t, dy, dx, first_sets(i))?;
            p.fan.accumulate(cx, t, mat(&s.normed, 0, h), kept, dy)?;
        }
        if wanted {
            let (dy, dx) = (mat(&s.d_normed, 0, h), mat_mut(&mut s.d, 0, h));
            self.normalise_back(cx, &self.norm_in, self.whole(t), dy, mat(x, 0, h), &a.rstd_in, dx, Write::Add)?;
        }
        Ok(())
    }
}

// --- mid → gate | up ----------------------------------------------------------------------------------

impl<B: Backend> Block<B> {
    /// `s.normed` holds the norm of mid.
    fn gate(&self, cx: &mut Cx<B>, t: usize, a: &mut Acts<B::Buf>, s: &mut Shared<B::Buf>) -> Result<(), ModelError> {
        let kept = mat_mut(&mut a.kept, self.gate_up.kept_at(), self.kept);
        let y = mat_mut(&mut a.gate_up, 0, 2 * self.intermediate);
        self.gate_up.forward(cx, t, mat(&s.normed, 0, self.hidden), kept, y)
    }

    /// `a.gate_up` holds its own gradient. `s.d` += what comes through gate and up.
    fn gate_back(
        &self,
        cx: &mut Cx<B>,
        t: usize,
        a: &mut Acts<B::Buf>,
        s: &mut Shared<B::Buf>,
        reach: Reach,
    ) -> Result<(), ModelError> {
        let h = self.hidden;
        if self.gate_up.trains() {
            self.norm_of_mid(cx, t, a, s)?;
        }
        let wanted = reach == Reach::Input || self.norm_mid.trains();
        let dy = mat(&a.gate_up, 0, 2 * self.intermediate);
        let dx = wanted.then(|| mat_mut(&mut s.d_normed, 0, h));
        self.gate_up.input_gradient(cx, t, dy, dx, Write::Set)?;
        let kept = mat(&a.kept, self.gate_up.kept_at(), self.kept);
        self.gate_up.accumulate(cx, t, mat(&s.normed, 0, h), kept, dy)?;
        if wanted {
            let (dy, from, dx) = (mat(&s.d_normed, 0, h), mat(&a.mid, 0, h), mat_mut(&mut s.d, 0, h));
            self.normalise_back(cx, &self.norm_mid, self.whole(t), dy, from, &a.rstd_mid, dx, Write::Add)?;
        }
        Ok(())
    }

    fn norm_of_mid(
        &self,
        cx: &mut Cx<B>,
        t: usize,
        a: &mut Acts<B::Buf>,
        s: &mut Shared<B::Buf>,
    ) -> Result<(), ModelError> {
        let (from, to) = (mat(&a.mid, 0, self.hidden), mat_mut(&mut s.normed, 0, self.hidden));
        self.normalise(cx, &self.norm_mid, self.whole(t), from, to, &mut a.rstd_mid)
    }
}

// --- gate | up → out ----------------------------------------------------------------------------------

impl<B: Backend> Block<B> {
    fn feed(
        &self,
        cx: &mut Cx<B>,
        t: usize,
        a: &mut Acts<B::Buf>,
        s: &mut Shared<B::Buf>,
        out: &mut B::Buf,
    ) -> Result<(), ModelError> {
        let (be, h, f) = (cx.backend, self.hidden, self.intermediate);
        be.glu(t, f, self.activation, &a.gate_up, &mut s.h)?;
        let kept = mat_mut(&mut a.kept, self.down.kept_at(), self.kept);
        match &self.norm_mlp_out {
            None => self.down.forward(cx, t, mat(&s.h, 0, f), kept, mat_mut(out, 0, h))?,
            Some(gain) => {
                self.down.forward(cx, t, mat(&s.h, 0, f), kept, mat_mut(&mut a.mlp_out, 0, h))?;
                let (from, to) = (mat(&a.mlp_out, 0, h), mat_mut(out, 0, h));
                self.normalise(cx, gain, self.whole(t), from, to, &mut a.rstd_mlp_out)?;
            }
        }
        be.add(t * h, 1.0, &a.mid, out)?;
        Ok(())
    }

    /// `s.d` is the gradient of out and, by the residual path, of mid; `a.gate_up` becomes its own gradient.
    fn feed_back(
        &self,
        cx: &mut Cx<B>,
        t: usize,
        a: &mut Acts<B::Buf>,
        s: &mut Shared<B::Buf>,
        reach: Reach,
    ) -> Result<(), ModelError> {
        let (be, h, f) = (cx.backend, self.hidden, self.intermediate);
        let dy = match &self.norm_mlp_out {
            None => mat(&s.d, 0, h),
            Some(gain) => {
                let (dy, from, dx) = (mat(&s.d, 0, h), mat(&a.mlp_out, 0, h), mat_mut(&mut s.d_out, 0, h));
                self.normalise_back(cx, gain, self.whole(t), dy, from, &a.rstd_mlp_out, dx, Write::Set)?;
                mat(&s.d_out, 0, h)
            }
        };
        let dx = (reach == Reach::Input).then(|| mat_mut(&mut s.dh, 0, f));
        self.down.input_gradient(cx, t, dy, dx, Write::Set)?;
        // Either makes the down projection's input again.
        match reach {
            Reach::Input => be.glu_back(t, f, self.activation, &s.dh, &mut a.gate_up, &mut s.h)?,
            Reach::Parameters => be.glu(t, f, self.activation, &a.gate_up, &mut s.h)?,
        }
        self.down.accumulate(cx, t, mat(&s.h, 0, f), mat(&a.kept, self.down.kept_at(), self.kept), dy)
    }
}

// --- norms and shapes ---------------------------------------------------------------------------------

impl<B: Backend> Block<B> {
    fn normalise(
        &self,
        cx: &mut Cx<B>,
        gain: &Gain<B>,
        shape: NormShape,
        x: Mat<B::Buf>,
        y: MatMut<B::Buf>,
        rstd: &mut B::Buf,
    ) -> Result<(), ModelError> {
        Ok(cx.backend.rmsnorm(shape, self.norm, x, gain.parts(cx.params).0, y, rstd)?)
    }

    fn normalise_back(
        &self,
        cx: &mut Cx<B>,
        gain: &Gain<B>,
        shape: NormShape,
        dy: Mat<B::Buf>,
        x: Mat<B::Buf>,
        rstd: &B::Buf,
        dx: MatMut<B::Buf>,
        write: Write,
    ) -> Result<(), ModelError> {
        let (w, dw) = gain.parts(cx.params);
        Ok(cx.backend.rmsnorm_back(shape, self.norm, dy, x, w, rstd, dx, write, dw)?)
    }

    /// Whole rows of the residual stream.
    fn whole(&self, t: usize) -> NormShape {
        NormShape { rows: t, groups: 1, dim: self.hidden }
    }

    /// Of queries and of keys.
    fn head_shapes(&self, t: usize) -> [NormShape; 2] {
        let a = &self.attention;
        [a.q_heads, a.kv_heads].map(|groups| NormShape { rows: t, groups, dim: a.head_dim })
    }

    /// Queries and keys lie side by side and turn in one call.
    fn turned_heads(&self) -> usize {
        self.attention.q_heads + self.attention.kv_heads
    }

    /// Columns of the buffer before the heads' norms: queries and keys, or none.
    fn raw_cols(&self) -> usize {
        if self.head_norms.is_some() { self.attention.layout.v } else { 0 }
    }
}

/// The first of several contributions overwrites what was there.
fn first_sets(i: usize) -> Write {
    if i == 0 { Write::Set } else { Write::Add }
}

fn reach_if(deeper: bool) -> Reach {
    if deeper { Reach::Input } else { Reach::Parameters }
}
