//! One backend for several callers.

use crate::support::{Random, buf, values};
use kernels::{Backend, Cpu, Gemm, Op, Precision, Write, mat, mat_mut};

const G: Gemm = Gemm { m: 150, n: 200, k: 700, a: Op::N, b: Op::T, alpha: 1.0, write: Write::Set };

fn product(cpu: &Cpu, a: &[f32], b: &[f32]) -> Vec<f32> {
    let mut d = cpu.alloc(G.m * G.n).unwrap();
    cpu.gemm(G, mat(&buf(cpu, a), 0, G.k), mat(&buf(cpu, b), 0, G.k), mat_mut(&mut d, 0, G.n)).unwrap();
    values(cpu, &d)
}

#[test]
fn callers_do_not_disturb_each_other() {
    let cpu = Cpu::new(Some(3), Precision::F32).unwrap();
    let mut rng = Random::new(1);
    let inputs: Vec<_> = (0..4).map(|_| (rng.values(G.m * G.k), rng.values(G.n * G.k))).collect();
    let alone: Vec<_> = inputs.iter().map(|(a, b)| product(&cpu, a, b)).collect();
    std::thread::scope(|scope| {
        for ((a, b), alone) in inputs.iter().zip(&alone) {
            let cpu = &cpu;
            scope.spawn(move || {
                for _ in 0..20 {
                    assert!(product(cpu, a, b) == *alone);
                }
            });
        }
    });
}

/// Working memory is kept between calls and does not grow with their number.
#[test]
fn the_second_call_needs_no_more_memory() {
    let cpu = Cpu::new(Some(2), Precision::F32).unwrap();
    let mut rng = Random::new(3);
    let (a, b) = (rng.values(G.m * G.k), rng.values(G.n * G.k));
    assert_eq!(cpu.scratch_bytes(), 0);
    product(&cpu, &a, &b);
    let after_one = cpu.scratch_bytes();
    (0..5).for_each(|_| drop(product(&cpu, &a, &b)));
    assert!(after_one > 0 && cpu.scratch_bytes() == after_one);
}
