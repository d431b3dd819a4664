//! Matrices in NF4. That codes, magnitudes and values are bitsandbytes' is tested where its files can be read: in `model`.

use crate::support::{Random, buf, everywhere_in, idx, values};
use half::bf16;
use kernels::eight_bit::signed_map;
use kernels::nf4::{BLOCK, NESTED_BLOCK, Scales};
use kernels::{Backend, Cpu, Form, KernelError, Nf4, Part, Precision, Values, Write, mat, mat_mut};

fn identity(n: usize) -> Vec<f32> {
    (0..n * n).map(|i| if i % (n + 1) == 0 { 1.0 } else { 0.0 }).collect()
}

/// Every level, packed forward and backward, held packed, looked up and read whole: the same values, wherever rows begin
/// in bytes and in blocks.
#[test]
fn every_level_unpacks_the_same_values() {
    let mut rng = Random::new(21);
    for (rows, cols) in [(1, 1), (3, 5), (70, 64), (9, 96), (35, 33), (64, 129), (5, 1023)] {
        for double in [false, true] {
            let nf4 = Nf4::quantise(Values::F32(&rng.values(rows * cols)), double).unwrap();
            for (precision, form) in [Precision::F32, Precision::Bf16]
                .into_iter()
                .flat_map(|p| [Form::Plain, Form::Packed].map(|form| (p, form)))
            {
                let mut want = vec![0.0; rows * cols];
                nf4.read(0, &mut want);
                if precision == Precision::Bf16 {
                    want.iter_mut().for_each(|v| *v = bf16::from_f32(*v).to_f32());
                }
                let read = |cpu: &Cpu| {
                    let w = cpu.weight(rows, cols, Values::Nf4(&nf4), form).unwrap();
                    let part = || [Part { w: &w, low_rank: None }];
                    // The columns of Wᵀ one by one, and the rows of W.
                    let (x, dy) = (buf(cpu, &identity(cols)), buf(cpu, &identity(rows)));
                    let (mut y, mut dx) = (cpu.alloc(cols * rows).unwrap(), cpu.alloc(rows * cols).unwrap());
                    cpu.linear(cols, mat(&x, 0, cols), &part(), mat_mut(&mut y, 0, rows), Write::Set).unwrap();
                    cpu.linear_back(rows, mat(&dy, 0, rows), &part(), mat_mut(&mut dx, 0, cols), Write::Set).unwrap();
                    let y = values(cpu, &y);
                    let forward = (0..rows * cols).map(|i| y[i % cols * rows + i / cols]).collect();
                    let mut looked_up = cpu.alloc(rows * cols).unwrap();
                    let all: Vec<i32> = (0..rows as i32).collect();
                    cpu.embed(rows, &idx(cpu, &all), &w, 1.0, &mut looked_up).unwrap();
                    [forward, values(cpu, &dx), values(cpu, &looked_up), cpu.weight_values(&w).unwrap()].concat()
                };
                for (level, got) in everywhere_in(precision, read) {
                    for (way, got) in got.chunks(rows * cols).enumerate() {
                        assert!(got == want, "{rows}×{cols} {double} {precision:?} {form:?} {way} at {}", level.name());
                    }
                }
            }
        }
    }
}

#[test]
fn what_a_weight_takes_is_what_was_foretold() {
    let cpu = Cpu::new(Some(1), Precision::Bf16).unwrap();
    for (rows, cols) in [(1, 1), (64, 576), (33, 7), (100, 300)] {
        for double in [false, true] {
            let nf4 = Nf4::quantise(Values::F32(&vec![0.5; rows * cols]), double).unwrap();
            let w = cpu.weight(rows, cols, Values::Nf4(&nf4), Form::Plain).unwrap();
            assert_eq!(cpu.weight_bytes(&w), Nf4::bytes_of(rows * cols, double), "{rows}×{cols} {double}");
        }
    }
}

#[test]
fn blocks_that_are_not_whole_are_refused() {
    let (len, blocks) = (5 * BLOCK + 2, 6);
    let codes = || vec![0x77; len / 2];
    let single = |n: usize| Scales::Single(vec![1.0; n]);
    let double = |n: usize, outer: Vec<f32>, block: usize, offset: f32| Scales::Double {
        codes: vec![0; n],
        map: Box::new(signed_map()),
        absmax: outer,
        block,
        offset,
    };
    Nf4::new(len, codes(), BLOCK, single(blocks)).unwrap();
    Nf4::new(len, codes(), BLOCK, double(blocks, vec![1.0], NESTED_BLOCK, 0.5)).unwrap();
    let mut no_number = signed_map();
    no_number[3] = f32::NAN;
    let map = Box::new(no_number);
    let broken = Scales::Double { codes: vec![0; blocks], map, absmax: vec![1.0], block: NESTED_BLOCK, offset: 0.5 };
    for (codes, block, scales, message) in [
        (codes()[1..].to_vec(), BLOCK, single(blocks), "NF4 codes (bytes): 160 values, expected 161"),
        (codes(), BLOCK, single(5), "NF4 magnitudes: 5 values, expected 6"),
        (codes(), 2 * BLOCK, single(blocks), "NF4 magnitudes: 6 values, expected 3"),
        (codes(), 0, single(blocks), "NF4 blocks: 0 values; a block has a power of two of them, at least 2"),
        (codes(), 48, single(blocks), "NF4 blocks: 48 values; a block has a power of two of them, at least 2"),
        (codes(), BLOCK, Scales::Single(vec![f32::NAN; blocks]), "NF4 magnitudes: value 0 is not finite"),
        (codes(), BLOCK, double(5, vec![1.0], 256, 0.5), "NF4 magnitudes in 8 bits: 5 values, expected 6"),
        (codes(), BLOCK, double(6, vec![], 256, 0.5), "NF4 magnitudes of magnitudes: 0 values, expected 1"),
        (codes(), BLOCK, double(6, vec![1.0], 4, 0.5), "NF4 magnitudes of magnitudes: 1 values, expected 2"),
        (
            codes(),
            BLOCK,
            double(6, vec![1.0], 3, 0.5),
            "blocks of NF4 magnitudes: 3 values; a block has a power of two of them, at least 2",
        ),
        (
            codes(),
            BLOCK,
            double(6, vec![f32::INFINITY], 256, 0.5),
            "NF4 magnitudes of magnitudes: value 0 is not finite",
        ),
        (codes(), BLOCK, double(6, vec![1.0], 256, f32::NAN), "the mean of NF4 magnitudes: value 0 is not finite"),
        (codes(), BLOCK, broken, "the map of NF4 magnitudes: value 3 is not finite"),
    ] {
        assert_eq!(Nf4::new(len, codes, block, scales).unwrap_err().to_string(), message);
    }
    let error = Nf4::quantise(Values::F32(&[1.0, f32::INFINITY]), true).unwrap_err();
    assert!(matches!(error, KernelError::NotFinite { at: 1, .. }), "{error}");
}
