//! Every error variant, produced.

use crate::support::{buf, idx, values};
use kernels::{
    Attention, Backend, Cpu, Form, Gemm, KernelError, Op, Precision, QkvLayout, Values, Write, mat, mat_mut,
};

fn cpu() -> Cpu {
    Cpu::new(Some(1), Precision::F32).unwrap()
}

#[track_caller]
fn refused(result: kernels::Result<()>, message: &str) {
    assert_eq!(result.unwrap_err().to_string(), message);
}

#[test]
fn buffers_that_are_too_small() {
    let cpu = cpu();
    let (a, mut d) = (buf(&cpu, &[0.0; 11]), buf(&cpu, &[0.0; 12]));
    let g = Gemm { m: 3, n: 4, k: 4, a: Op::N, b: Op::T, alpha: 1.0, write: Write::Set };
    let b = buf(&cpu, &[0.0; 16]);
    refused(
        cpu.gemm(g, mat(&a, 0, 4), mat(&b, 0, 4), mat_mut(&mut d, 0, 4)),
        "gemm: a: needs 12 elements, the buffer holds 11",
    );
    refused(
        cpu.gemm(g, mat(&b, 0, 4), mat(&b, usize::MAX, 4), mat_mut(&mut d, 0, 4)),
        "gemm: b: needs 18446744073709551615 elements, the buffer holds 16",
    );
    refused(cpu.upload(&mut d, 10, &[0.0; 3]), "upload: needs 13 elements, the buffer holds 12");
    refused(cpu.download(&d, 12, &mut [0.0]), "download: needs 13 elements, the buffer holds 12");
    refused(cpu.fill(&mut d, 0, 13, 0.0), "fill: needs 13 elements, the buffer holds 12");
    let mut i = cpu.alloc_idx(2).unwrap();
    refused(cpu.upload_idx(&mut i, &[1, 2, 3]), "indices: needs 3 elements, the buffer holds 2");
    cpu.upload_idx(&mut i, &[1]).unwrap();
    let w = cpu.weight(2, 2, Values::F32(&[0.0; 4]), Form::Plain).unwrap();
    refused(cpu.embed(2, &i, &w, 1.0, &mut d), "embed: needs 2 elements, the buffer holds 1");
}

#[test]
fn rows_that_overlap() {
    let cpu = cpu();
    let (x, mut y) = (buf(&cpu, &[0.0; 20]), buf(&cpu, &[0.0; 20]));
    let refusal = "copy: dst: rows of 4 overlap when they start 3 apart";
    refused(cpu.copy(3, 4, mat(&x, 0, 4), mat_mut(&mut y, 0, 3)), refusal);
}

#[test]
fn memory_that_nobody_has() {
    let error = cpu().alloc(1 << 60).unwrap_err();
    assert!(matches!(error, KernelError::OutOfMemory { what: "buffer", .. }), "{error}");
    let error = cpu().alloc_idx(1 << 61).unwrap_err();
    assert!(matches!(error, KernelError::OutOfMemory { what: "indices", .. }), "{error}");
}

#[test]
fn indices_outside_their_table() {
    let cpu = cpu();
    let w = cpu.weight(3, 2, Values::F32(&[1.0; 6]), Form::Plain).unwrap();
    let mut out = buf(&cpu, &[7.0; 4]);
    for (bad, message) in [(3, "embed: index 3 is outside 0..3"), (-1, "embed: index -1 is outside 0..3")] {
        refused(cpu.embed(2, &idx(&cpu, &[0, bad]), &w, 1.0, &mut out), message);
    }
    assert_eq!(values(&cpu, &out), [7.0; 4], "nothing is written on a refusal");
    let table = buf(&cpu, &[0.0; 7]); // three rows of 2 at a stride of 2, and one value that is no row
    refused(
        cpu.gather_rows(1, 2, &idx(&cpu, &[3]), 0, mat(&table, 0, 2), 1.0, mat_mut(&mut out, 0, 2), Write::Set),
        "gather_rows: index 3 is outside 0..3",
    );
    let mut table = table;
    refused(
        cpu.scatter_add_rows(1, 2, &idx(&cpu, &[-5]), 0, mat(&out, 0, 2), 1.0, mat_mut(&mut table, 0, 2)),
        "scatter_add_rows: index -5 is outside 0..3",
    );
    let (mut logits, mut loss) = (buf(&cpu, &[0.0; 4]), buf(&cpu, &[0.0; 1]));
    for bad in [4, -2] {
        let message = format!("cross_entropy: targets: index {bad} is outside 0..4");
        let targets = idx(&cpu, &[bad]);
        refused(cpu.cross_entropy(1, 4, None, &targets, 0, &logits, &mut loss), &message);
        refused(cpu.cross_entropy_back(1, 4, None, &targets, 0, 1.0, &mut logits, &mut loss), &message);
    }
    let (cos, mut x) = (buf(&cpu, &[0.0; 4]), buf(&cpu, &[0.0; 4]));
    refused(
        cpu.rope(1, 1, 4, 2, &idx(&cpu, &[2]), &cos, &cos, mat_mut(&mut x, 0, 4)),
        "rope positions: index 2 is outside 0..2",
    );
}

#[test]
fn shapes_without_sense() {
    let cpu = cpu();
    let error = cpu.weight(2, 3, Values::F32(&[0.0; 5]), Form::Plain).unwrap_err();
    assert_eq!(error.to_string(), "weight: 5 values, expected 6");
    let (cos, mut x) = (buf(&cpu, &[0.0; 9]), buf(&cpu, &[0.0; 4]));
    refused(
        cpu.rope(1, 1, 4, 3, &idx(&cpu, &[0]), &cos, &cos, mat_mut(&mut x, 0, 4)),
        "rope turns 6 dimensions of heads that have 4",
    );
    let mut y = buf(&cpu, &[0.0; 4]);
    for p in [1.0, -0.1, f32::NAN] {
        let error = cpu.dropout(1, 4, p, 0, mat(&x, 0, 4), mat_mut(&mut y, 0, 4), Write::Set).unwrap_err();
        assert!(matches!(error, KernelError::Dropout { .. }), "{error}");
    }
}

#[test]
fn attention_that_cannot_be() {
    let cpu = cpu();
    let good = Attention {
        q_heads: 4,
        kv_heads: 2,
        head_dim: 2,
        scale: 1.0,
        window: None,
        softcap: None,
        layout: QkvLayout { ld: 16, q: 0, k: 8, v: 12 },
    };
    let (qkv, mut out, mut lse) = (buf(&cpu, &[0.0; 32]), buf(&cpu, &[0.0; 16]), buf(&cpu, &[0.0; 8]));
    let mut run = |a: Attention, cu: &[usize]| cpu.attention(&a, cu, &qkv, &mut out, &mut lse);
    run(good, &[0, 2]).unwrap();
    refused(run(Attention { q_heads: 3, ..good }, &[0, 2]), "3 query heads cannot share 2 key heads");
    refused(run(Attention { kv_heads: 0, ..good }, &[0, 2]), "4 query heads cannot share 0 key heads");
    refused(run(good, &[0, 2, 1]), "sequence bounds must not fall: entry 2 is 1 after 2");
    refused(run(good, &[0, 3]), "attention: qkv: needs 48 elements, the buffer holds 32");
    let layout = QkvLayout { v: 11, ..good.layout };
    refused(
        run(Attention { layout, ..good }, &[0, 2]),
        "attention's queries, keys and values: rows of 4 overlap when they start 3 apart",
    );
}
