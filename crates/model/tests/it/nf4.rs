//! NF4 against what bitsandbytes stores, and models that are held in it.

use crate::support::*;
use kernels::cpu::Level;
use kernels::eight_bit::signed_map;
use kernels::nf4::{BLOCK, CODE, Scales};
use kernels::{Nf4, Values};
use model::{AdapterPlan, Engine, Limits, LoraPlan, ModelError, Quantiser, Quantize, State, outline};
use std::path::{Path, PathBuf};

const NF4: Quantize = Quantize::Nf4 { double: true };

/// Checks the tensors of case `n` against what quantising `values` makes of them.
fn check(f: &File, n: &str, values: Values) {
    let single = Nf4::quantise(values, false).expect("finite");
    assert_eq!(single.codes(), f.bytes(&format!("{n}.packed")), "{n}: codes");
    let Scales::Single(absmax) = single.scales() else { panic!("{n}: one scale a block") };
    assert_eq!(bits(absmax), bits(&f.f32(&format!("{n}.absmax"))), "{n}: magnitudes");

    let double = Nf4::quantise(values, true).expect("finite");
    assert_eq!(double.codes(), single.codes(), "{n}");
    let Scales::Double { codes, absmax, offset, .. } = double.scales() else { panic!("{n}: two scales") };
    close(&format!("{n}: offset"), &[*offset], &f.f32(&format!("{n}.nested.offset")), 1e-6);
    assert_eq!(*codes, f.bytes(&format!("{n}.nested.absmax_u8")), "{n}: magnitudes in 8 bits");
    close(&format!("{n}: their magnitudes"), absmax, &f.f32(&format!("{n}.nested.absmax")), 1e-6);

    // A bfloat16 tensor is dequantised to one.
    let rounded = matches!(values, Values::Bf16(_));
    for (nf4, name) in [(&single, "dequant_single"), (&double, "dequant_double")] {
        let mut got = vec![0.0; values.len()];
        nf4.read(0, &mut got);
        let want = f.f32(&format!("{n}.{name}"));
        if rounded {
            got.iter_mut().for_each(|v| *v = half::bf16::from_f32(*v).to_f32());
            assert!(got.iter().zip(&want).filter(|(g, w)| g != w).count() <= got.len() / 500, "{n} {name}");
        }
        let step = if rounded { peak(&want) / 256.0 } else { 1e-6 };
        close(&format!("{n} {name}"), &got, &want, step);
        // Any piece is read as it is in the whole.
        for (start, len) in [(0, 1), (1, 2), (63, 3), (7, got.len() - 9)] {
            let mut piece = vec![0.0; len];
            nf4.read(start, &mut piece);
            if !rounded {
                assert_eq!(bits(&piece), bits(&got[start..start + len]), "{n} from {start}");
            }
        }
    }
}

#[test]
fn quantised_tensors_are_the_references() {
    let f = File::fixture("nf4/tensors.safetensors");
    assert_eq!(bits(&CODE), bits(&f.f32("code.nf4")));
    assert_eq!(bits(&signed_map()), bits(&f.f32("code.dynamic8")));
    for n in ["plain", "outliers", "zero_blocks", "ties", "rows_not_multiple_of_block", "odd_numel"] {
        check(&f, n, Values::F32(&f.f32(&format!("{n}.input"))));
    }
    let f = File::fixture("nf4/bf16.safetensors");
    let input: Vec<half::bf16> = f.f32("bf16.input").iter().map(|v| half::bf16::from_f32(*v)).collect();
    check(&f, "bf16", Values::Bf16(&input));
}

#[test]
fn a_files_own_blocks_are_read() {
    // Blocks of 128, which quantising here does not make.
    let f = File::fixture("nf4/tensors.safetensors");
    let n = "block128";
    let (codes, want) = (f.bytes(&format!("{n}.packed")), f.f32(&format!("{n}.dequant_double")));
    let scales = Scales::Double {
        codes: f.bytes(&format!("{n}.nested.absmax_u8")),
        map: Box::new(signed_map()),
        absmax: f.f32(&format!("{n}.nested.absmax")),
        block: 256,
        offset: f.f32(&format!("{n}.nested.offset"))[0],
    };
    let nf4 = Nf4::new(want.len(), codes.clone(), 2 * BLOCK, scales.clone()).expect("as many as there must be");
    let mut got = vec![0.0; want.len()];
    nf4.read(0, &mut got);
    close(n, &got, &want, 1e-6);
    let error = Nf4::new(want.len(), codes, BLOCK, scales).expect_err("half of the magnitudes");
    assert_eq!(error.to_string(), "NF4 magnitudes in 8 bits: 20 values, expected 40");
}

#[test]
fn a_weight_that_is_no_number_is_refused_by_its_place() {
    let mut values = vec![0.5; 100];
    values[70] = f32::NAN;
    let error = Nf4::quantise(Values::F32(&values), true).expect_err("NaN");
    assert_eq!(error.to_string(), "a weight to be quantised: value 70 is not finite");
}

/// Without an adapter's change the merged base is the dequantised one.
#[test]
fn layers_are_dequantised_as_the_reference_does() {
    for model in ["llama", "qwen2"] {
        let f = File::fixture(&format!("nf4/{model}_dequant_layer0.safetensors"));
        let plan = lora(fresh(&["q_proj"]));
        let limits = Limits { quantize: NF4, ..limits() };
        let engine = Engine::load(&model_dir(model), &plan, &limits).expect("loads");
        let merged = engine.merged().expect("merged");
        let plain = load(&model_dir(model), &plan).merged().expect("merged");
        for key in f.under("") {
            let got = merged.iter().find(|t| t.name == key).expect("a tensor");
            close(&format!("{model} {key}"), &got.values, &f.f32(&key), 1e-6);
        }
        for (t, plain) in merged.iter().zip(&plain).filter(|(t, _)| !t.name.contains("_proj.weight")) {
            assert!(t == plain, "{}: only the layers' matrices are quantised", t.name);
        }
    }
}

/// Packed for both passes or unpacked for each call, on one thread or three: the same bits.
#[test]
fn neither_form_nor_threads_change_a_bit() {
    let f = File::fixture("forward/llama.safetensors");
    let rows = Packed::all(&f, "right.");
    let step = |memory: u64, threads: usize, precision| {
        let limits = Limits { quantize: NF4, memory: Some(memory), threads: Some(threads), precision, ..limits() };
        let mut engine = Engine::load(&model_dir("llama"), &lora(fresh(&[])), &limits).expect("loads");
        let mut values = engine.export(State::Value).expect("export");
        values.iter_mut().flat_map(|t| &mut t.values).enumerate().for_each(|(i, v)| *v += (i % 7) as f32 * 0.01);
        engine.import(State::Value, &values).expect("import");
        let loss = engine.accumulate(rows.batch(), 0.1, KEY).expect("accumulate");
        let grads: Vec<_> = gradients(&engine).iter().map(|(_, g)| bits(g)).collect();
        (engine.memory().clone(), loss.to_bits(), grads)
    };
    for precision in [model::Precision::F32, model::Precision::Bf16] {
        let (packed, loss, grads) = step(1 << 30, 1, precision);
        let (plain, plain_loss, plain_grads) = step(packed.total - 1, 1, precision);
        // For products in f32 packing would take four times the memory of 16 bits.
        assert_eq!(packed.weights_packed, precision == model::Precision::Bf16 && Level::best().multiplies_bf16());
        assert!(!plain.weights_packed && plain.weights <= packed.weights);
        assert!(loss == plain_loss && grads == plain_grads);
        for threads in [2, 3] {
            let (_, l, g) = step(packed.total - 1, threads, precision);
            assert!(loss == l && grads == g, "{threads} threads");
        }
    }
}

fn saved(model: &str) -> PathBuf {
    fixtures().join("nf4").join(model)
}

/// What bitsandbytes saved is what its own dequantisation makes of it, to the bit; what it left alone is left alone.
#[test]
fn layers_saved_in_four_bits_are_read_to_the_bit() {
    for model in ["llama", "qwen2"] {
        let f = File::fixture(&format!("nf4/{model}_dequant_layer0.safetensors"));
        let plan = lora(fresh(&["q_proj"]));
        let merged = load(&saved(model), &plan).merged().expect("merged");
        let plain = load(&model_dir(model), &plan).merged().expect("merged");
        let shape =
            |tensors: &[model::Tensor]| tensors.iter().map(|t| (t.name.clone(), t.shape.clone())).collect::<Vec<_>>();
        assert_eq!(shape(&merged), shape(&plain), "{model}: the tensors beside the weights are no weights");
        for key in f.under("") {
            let got = merged.iter().find(|t| t.name == key).expect("a tensor");
            assert_eq!(bits(&got.values), bits(&f.f32(&key)), "{model} {key}");
        }
        for (t, plain) in merged.iter().zip(&plain).filter(|(t, _)| !t.name.contains("_proj.weight")) {
            assert!(t == plain, "{model} {}", t.name);
        }
    }
}

/// Without double quantisation, and with a configuration that says nothing of it: the same as quantising while loading.
#[test]
fn magnitudes_in_f32_are_read_too() {
    let f32s = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let plain = File::open(&model_dir("llama").join("model.safetensors"));
    let mut tensors = Vec::new();
    for name in plain.under("") {
        let (values, shape) = (plain.f32(&name), plain.shape(&name));
        if !name.contains("_proj.weight") {
            tensors.push((name, "F32", shape, f32s(&values)));
            continue;
        }
        let nf4 = Nf4::quantise(Values::F32(&values), false).expect("finite");
        let Scales::Single(absmax) = nf4.scales() else { panic!("{name}") };
        let state = serde_json::json!({"quant_type": "nf4", "blocksize": BLOCK, "dtype": "float32", "shape": shape});
        let state = state.to_string().into_bytes();
        let at = |part: &str| format!("{name}.{part}");
        tensors.push((at("absmax"), "F32", vec![absmax.len()], f32s(absmax)));
        tensors.push((at("quant_map"), "F32", vec![16], f32s(&CODE)));
        tensors.push((at("quant_state.bitsandbytes__nf4"), "U8", vec![state.len()], state));
        tensors.push((name, "U8", vec![nf4.codes().len(), 1], nf4.codes().to_vec()));
    }
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("model.safetensors"), safetensors(&tensors)).expect("written");
    std::fs::copy(model_dir("llama").join("config.json"), dir.path().join("config.json")).expect("copied");

    let plan = lora(fresh(&[]));
    let limits = Limits { quantize: Quantize::Nf4 { double: false }, ..limits() };
    let made = Engine::load(&model_dir("llama"), &plan, &limits).expect("loads");
    let found = load(dir.path(), &plan);
    assert_eq!(found.memory().weights, made.memory().weights);
    assert!(found.merged().expect("merged") == made.merged().expect("merged"));
}

/// The file that quantising writes is the one that bitsandbytes saved, tensor by tensor.
#[test]
fn what_is_written_is_what_the_reference_saves() {
    for model in ["llama", "qwen2"] {
        let want = File::open(&saved(model).join("model.safetensors"));
        let quantiser = Quantiser::open(&model_dir(model), true).expect("floats");
        assert_eq!(quantiser.files(), ["model.safetensors"]);
        assert_eq!(quantiser.index(), None);
        let dir = tempfile::tempdir().expect("a folder");
        let (mut bytes, mut read) = (Vec::new(), 0);
        let on = &mut |n| {
            read += n;
            true
        };
        quantiser.write(0, &mut bytes, on).expect("written");
        assert!(read > 0 && read <= quantiser.bytes_before());
        let path = dir.path().join("model.safetensors");
        std::fs::write(&path, bytes).expect("written");
        std::fs::write(dir.path().join("config.json"), quantiser.config()).expect("written");
        let got = File::open(&path);
        assert_eq!(got.under(""), want.under(""), "{model}");
        for name in want.under("") {
            if name.contains(".quant_state.") {
                let parsed = |f: &File| -> serde_json::Value { serde_json::from_slice(&f.bytes(&name)).expect("JSON") };
                let (mut got, mut want) = (parsed(&got), parsed(&want));
                let offset = |v: &mut serde_json::Value| v["nested_offset"].take().as_f64().expect("a number");
                let off = offset(&mut got) - offset(&mut want);
                assert!(off.abs() < 1e-6 && got == want, "{model} {name}: {got} {want}");
            } else if name.ends_with(".nested_absmax") {
                close(&name, &got.f32(&name), &want.f32(&name), 1e-6);
            } else {
                assert_eq!(got.shape(&name), want.shape(&name), "{model} {name}");
                assert!(got.bytes(&name) == want.bytes(&name), "{model} {name}");
            }
        }
        load(dir.path(), &lora(fresh(&[])));
        let error = Quantiser::open(dir.path(), true).err().expect("codes are no floats");
        assert!(matches!(error, ModelError::QuantisedAlready { .. }), "{error}");
    }
}

/// The plan counts what is held, whether NF4 is made here or found, and in every precision.
#[test]
fn the_plan_is_what_is_allocated() {
    let stories = examples().join("models/stories260K");
    for (dir, double) in [(stories.clone(), true), (stories, false), (saved("llama"), true)] {
        for precision in [model::Precision::F32, model::Precision::Bf16] {
            for memory in [1 << 30, 46 << 20] {
                let quantize = Quantize::Nf4 { double };
                let limits = Limits { quantize, precision, memory: Some(memory), tokens_max: 1024, ..limits() };
                let plan = lora(fresh(&[]));
                let outlined = outline(&dir, &plan, &limits).expect("outline").memory;
                let mut loaded = None;
                let seen = allocation_counter::measure(|| loaded = Engine::load(&dir, &plan, &limits).ok());
                let engine = loaded.unwrap_or_else(|| panic!("{outlined:?}"));
                assert_eq!(*engine.memory(), outlined);
                let (got, want) = (seen.bytes_current as f64, (outlined.total - outlined.program) as f64);
                let off = got / want - 1.0;
                assert!(off.abs() < 0.01, "{} {precision:?}: {got} bytes are held, {want} were planned", dir.display());
            }
        }
    }
    let weights = |dir: &Path, quantize| {
        let limits = Limits { quantize, memory: Some(0), ..limits() };
        outline(dir, &AdapterPlan::None, &limits).expect("outline").memory.weights
    };
    let (found, made) = (weights(&saved("llama"), Quantize::None), weights(&model_dir("llama"), NF4));
    assert_eq!(found, made, "found or made, it takes the same");
}

fn refusal(dir: &Path, plan: &AdapterPlan) -> String {
    let of_outline = outline(dir, plan, &limits()).err().map(|e| e.to_string());
    let of_load = Engine::load(dir, plan, &limits()).err().map(|e| e.to_string());
    assert!(of_outline.is_none() || of_outline == of_load, "{of_outline:?} {of_load:?}");
    of_load.expect("a refusal")
}

#[test]
fn what_is_in_four_bits_is_not_trained_whole() {
    let plan = lora(LoraPlan { modules_to_save: vec!["layers.1.mlp".into()], ..fresh(&["q_proj"]) });
    let error = outline(&saved("llama"), &plan, &limits()).expect_err("no gradient for codes");
    assert!(
        matches!(&error, ModelError::WholeInFourBits { module } if module == "model.layers.1.mlp.gate_proj"),
        "{error}"
    );
    assert!(refusal(&saved("llama"), &plan).ends_with("adapter.modules_to_save names it"));
    // Quantised while loading, it is kept out of that.
    let limits = Limits { quantize: NF4, ..limits() };
    let engine = Engine::load(&model_dir("llama"), &plan, &limits).expect("loads");
    assert!(engine.params().iter().any(|p| p.name.ends_with("layers.1.mlp.gate_proj.weight")));
    // What bitsandbytes left alone can be.
    let plan = lora(LoraPlan { modules_to_save: vec!["lm_head".into()], ..fresh(&["q_proj"]) });
    load(&saved("llama"), &plan);
}

/// Each damage to a saved checkpoint, made in place, is refused with the tensor's name.
#[test]
fn damaged_four_bits_are_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::copy(saved("llama").join("config.json"), dir.path().join("config.json")).expect("copied");
    let good = std::fs::read(saved("llama").join("model.safetensors")).expect("read");
    let damaged = |from: &[u8], to: &[u8], all: bool| {
        assert_eq!(from.len(), to.len());
        let mut bytes = good.clone();
        let mut found = 0;
        for at in 0..bytes.len() - from.len() {
            if &bytes[at..at + from.len()] == from && (all || found == 0) {
                bytes[at..at + from.len()].copy_from_slice(to);
                found += 1;
            }
        }
        assert!(found > 0);
        std::fs::write(dir.path().join("model.safetensors"), bytes).expect("written");
        refusal(dir.path(), &lora(fresh(&[])))
    };
    let code = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    for (from, to, all, says) in [
        (&b"bitsandbytes__nf4"[..], &b"bitsandbytes__fp4"[..], true, "in 4 bits: its type is fp4, expected nf4"),
        (b"\"quant_type\": \"nf4\"", b"\"quant_type\": \"fp4\"", false, "quant_type is fp4, expected nf4"),
        (b"\"blocksize\": 64", b"\"blocksize\": 65", false, "blocksize is 65, expected one of 32, 64"),
        (b"\"blocksize\": 64", b"\"blocksize\": 32", false, "expected 256 values"),
        (b"_proj.weight.quant_map", b"_proj.weight.quant_nap", false, "weight.quant_map is missing"),
        (&code(&CODE[3..6]), &code(&[-0.39, CODE[4], CODE[5]]), false, "its quant_map is not that of NF4"),
        (&code(&signed_map()[3..6]), &code(&[f32::NAN; 3]), false, "the map of NF4 magnitudes: value 3 is not finite"),
    ] {
        let error = damaged(from, to, all);
        assert!(error.contains(says) && error.contains("_proj.weight"), "{error}\n{says}");
    }
    // The shape that the model's configuration does not ask for.
    let error = damaged(b"\"shape\": [64, 128]", b"\"shape\": [128, 64]", false);
    assert!(error.contains("down_proj.weight: expected shape [64, 128], got [128, 64]"), "{error}");
}
