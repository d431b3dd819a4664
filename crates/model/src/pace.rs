//! Whether a pass with streamed layers waits for the disk: reading and computing, both measured for a moment.

use crate::adapters::{Shape, layer_of};
use crate::engine::Limits;
use crate::stored::{Mold, Source};
use crate::stream::streams;
use crate::{MemoryPlan, ModelConfig, ModelError};
use kernels::{Backend, Cpu, Part, Write, mat, mat_mut};
use std::path::Path;
use std::time::{Duration, Instant};
use weights::Checkpoint;

/// Most multiplications, and bytes, that are measured.
const PRODUCTS_MAX: usize = 1 << 36;
const READ_MAX: u64 = 1 << 28;

/// Of one pass forward and back over streamed layers.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Pace {
    /// Bytes read.
    pub bytes: u64,
    /// Seconds that reading takes alone, from the disk.
    pub reading: f64,
    /// Seconds that products with all layers' frozen matrices take alone, the largest part of computing.
    pub computing: f64,
}

/// Measures with the first streamed layer; `memory` is the plan that streams. None where nothing is streamed.
///
/// # Errors
/// Those of the config and of the checkpoint.
pub fn pace(dir: &Path, limits: &Limits, memory: &MemoryPlan) -> Result<Option<Pace>, ModelError> {
    let config = ModelConfig::read(dir)?;
    let streamed = memory.layers_streamed;
    let Some(layer) = (0..config.layers).find(|l| streams(*l, streamed, config.layers)) else { return Ok(None) };
    let checkpoint = Checkpoint::open(dir)?;
    let backend = Cpu::new(limits.threads, limits.precision)?;
    let (mut bytes, mut read, mut elements, mut computed) = (0, Duration::ZERO, 0, Duration::ZERO);
    let mut all = 0;
    for m in config.modules() {
        let Shape::Linear { n_out, n_in, .. } = m.shape else { continue };
        all += n_out * n_in;
        if layer_of(&m.module) != Some(layer) || bytes > READ_MAX {
            continue;
        }
        let name = format!("{}.weight", m.module);
        let mut weight = Mold::read(&checkpoint, &name, (n_out, n_in), limits.precision)?.weight(&backend)?;
        let (source, _) = Source::read(&checkpoint, &name)?;
        source.forget();
        let mut chunk = Vec::new();
        read += timed(|| Cpu::refill(&mut weight, |values| source.fill(values, &mut chunk)))?;
        bytes += source.bytes();
        let t = (PRODUCTS_MAX / (n_out * n_in)).clamp(1, limits.tokens_max);
        computed += products(&backend, t, &weight, (n_out, n_in))?.mul_f64(limits.tokens_max as f64 / t as f64);
        elements += n_out * n_in;
    }
    // Where a pass turns, two layers are there already.
    let kept = 2.min(streamed) as f64 / streamed as f64;
    let a_pass = 2.0 * memory.streamed as f64 * (1.0 - kept);
    let reading = read.as_secs_f64() * a_pass / bytes.max(1) as f64;
    let computing = computed.as_secs_f64() * all as f64 / elements.max(1) as f64;
    Ok(Some(Pace { bytes: a_pass as u64, reading, computing }))
}

/// A product forward, the same again, and one back: what a layer does that keeps nothing.
fn products(
    backend: &Cpu,
    t: usize,
    w: &<Cpu as Backend>::Weight,
    (n_out, n_in): (usize, usize),
) -> Result<Duration, ModelError> {
    let (mut x, mut y) = (backend.alloc(t * n_in)?, backend.alloc(t * n_out)?);
    backend.fill(&mut x, 0, t * n_in, 1.0)?;
    let part = || [Part { w, low_rank: None }];
    let forward = |x: &_, y: &mut _| backend.linear(t, mat(x, 0, n_in), &part(), mat_mut(y, 0, n_out), Write::Set);
    // The first call also finds its working memory.
    forward(&x, &mut y)?;
    let once = timed(|| forward(&x, &mut y))?;
    let back = timed(|| backend.linear_back(t, mat(&y, 0, n_out), &part(), mat_mut(&mut x, 0, n_in), Write::Set))?;
    Ok(2 * once + back)
}

fn timed<E>(f: impl FnOnce() -> Result<(), E>) -> Result<Duration, E> {
    let began = Instant::now();
    f()?;
    Ok(began.elapsed())
}
