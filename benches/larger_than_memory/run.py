#!/usr/bin/env python3
"""Trains a model that does not fit in memory, interrupts and resumes it, and prints what that took. Standard library only.

    benches/larger_than_memory/run.py --athanor target/release/athanor --work DIR [--layers 80] [--tokens 64] [--limit-gb 20] [--keep]

Writes a model of Llama-3-70B's shape with random weights, everything in NF4 with double quantisation as bitsandbytes saves
it (about 36.5 GB), one file a layer; where the disk is too small for that and for the run's checkpoints, the largest depth
that fits. Then trains LoRA r 16 on all linear layers, rows of --tokens tokens, under a limit on the process's data of
--limit-gb (RLIMIT_DATA), with the files out of the system's cache before it starts: SIGINT during the second step, and the third by
`athanor resume`. Prints peak resident memory, seconds and bytes read for each step; exits 1 where the peak is over the
limit or the run does not go on. Everything is removed afterwards unless --keep is given.
"""
import argparse, json, math, os, pathlib, random, resource, shutil, signal, subprocess, sys, time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "vs_peft"))
from make_model import EOS_ID, byte_text, write_byte_tokenizer, write_rows
from shapes import Shape, config

SHAPE = Shape("llama", 8192, 28672, 80, 64, 8, 128, 128256, 8192, 1e-5, 5e5)  # Llama-3-70B
RANK, BLOCK, NESTED = 16, 64, 256
NF4 = [-1.0, -0.6961928, -0.52507305, -0.3949175, -0.28444138, -0.18477343, -0.091050036, 0.0, 0.0795803, 0.1609302, 0.2461123,
       0.33791524, 0.44070983, 0.562617, 0.72295684, 1.0]
SPARE = 4 << 30  # of the disk, for others


# ------------------------------------------------------------------ the model
class Noise:
    """Random bytes for as long as a file needs, cut from one block at random places: drawing all would take minutes."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.block = self.rng.randbytes(1 << 26)

    def pieces(self, count):
        while count:
            at = self.rng.randrange(len(self.block) // 2)
            piece = memoryview(self.block)[at : at + count]
            yield piece
            count -= len(piece)


def f32(values):
    import array
    return array.array("f", values).tobytes()


def four_bit(name, dims, noise):
    """The tensors of one matrix: (name, type, shape, bytes or number of random bytes). Magnitudes are 0.01 to 0.03."""
    size = math.prod(dims)
    blocks = -(-size // BLOCK)
    state = json.dumps({"quant_type": "nf4", "blocksize": BLOCK, "dtype": "bfloat16", "shape": list(dims),
                        "nested_blocksize": NESTED, "nested_dtype": "float32", "nested_offset": 0.02}).encode()
    outer = -(-blocks // NESTED)
    signed = [(i - 127.5) / 127.5 for i in range(256)]
    return [(name, "U8", [size // 2, 1], size // 2), (f"{name}.absmax", "U8", [blocks], blocks),
            (f"{name}.nested_absmax", "F32", [outer], f32([0.01] * outer)),
            (f"{name}.nested_quant_map", "F32", [256], f32(signed)), (f"{name}.quant_map", "F32", [16], f32(NF4)),
            (f"{name}.quant_state.bitsandbytes__nf4", "U8", [len(state)], state)]


def files(shape, noise):
    """(file, its tensors): the embedding, each layer, the norm and the head."""
    ones = lambda name: (name, "BF16", [shape.hidden], b"\x80\x3f" * shape.hidden)
    table = (shape.vocab, shape.hidden)
    yield "embedding", four_bit("model.embed_tokens.weight", table, noise)
    for layer in range(shape.layers):
        p = f"model.layers.{layer}."
        tensors = [ones(f"{p}{norm}.weight") for norm in ("input_layernorm", "post_attention_layernorm")]
        for name, outputs, inputs in shape.linears():
            tensors += four_bit(f"{p}{name}.weight", (outputs, inputs), noise)
        yield f"layer{layer:03}", tensors
    yield "head", [ones("model.norm.weight"), *four_bit("lm_head.weight", table, noise)]


def length(data):
    return data if isinstance(data, int) else len(data)


def write_file(path, tensors, noise):
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, dtype, shape, data in tensors:
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + length(data)]}
        offset += length(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(len(text).to_bytes(8, "little") + text)
        for *_, data in tensors:
            for piece in noise.pieces(data) if isinstance(data, int) else [data]:
                f.write(piece)
        f.flush()
        os.fsync(f.fileno())
        os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def write_model(out, shape, seed):
    out.mkdir(parents=True)
    write_byte_tokenizer(out)
    quantised = {"quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": False, "bnb_4bit_quant_type": "nf4",
                 "bnb_4bit_use_double_quant": True, "bnb_4bit_compute_dtype": "bfloat16", "bnb_4bit_quant_storage": "uint8"}
    settings = config(shape, "bfloat16", EOS_ID, EOS_ID) | {"tie_word_embeddings": False, "quantization_config": quantised}
    (out / "config.json").write_text(json.dumps(settings, indent=1) + "\n")
    noise, weight_map, total = Noise(seed), {}, 0
    for file, tensors in files(shape, noise):
        name = f"{file}.safetensors"
        write_file(out / name, tensors, noise)
        weight_map |= {tensor: name for tensor, *_ in tensors}
        total += sum(length(data) for *_, data in tensors)
        print(f"\rwritten: {total / 1e9:.1f} GB", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (out / "model.safetensors.index.json").write_text(json.dumps(index))


def sizes(shape):
    """Bytes of the model, and of one checkpoint: three tensors in f32 of each trained element."""
    noise = None
    model = sum(length(data) for _, tensors in files(shape, noise) for *_, data in tensors)
    trained = shape.layers * sum(RANK * (outputs + inputs) for _, outputs, inputs in shape.linears())
    return model, 3 * 4 * trained


def fitting(shape, free):
    """The deepest model of this shape that the disk holds, with the checkpoints that a run asks room for, two kept, one on
    its way and the best's, and the adapter."""
    for layers in range(shape.layers, 0, -1):
        deep = Shape(**{**shape.__dict__, "layers": layers})
        model, checkpoint = sizes(deep)
        if model + 5 * checkpoint + SPARE <= free:
            return deep
    sys.exit("the disk is too small for one layer")


# ------------------------------------------------------------------ the run
def limited(bytes_):
    return lambda: resource.setrlimit(resource.RLIMIT_DATA, (bytes_, bytes_))


def run(command, limit, interrupt_after=None):
    """Runs athanor under the limit; the exit status and peak resident bytes. `interrupt_after`: SIGINT after so many
    steps."""
    print("+ " + " ".join(map(str, command)), file=sys.stderr)
    process = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, text=True, preexec_fn=limited(limit))
    for line in process.stdout:
        print(line, end="", file=sys.stderr)
        event = json.loads(line) if line.startswith("{") else {}
        if event.get("event") == "step" and event.get("step") == interrupt_after:
            process.send_signal(signal.SIGINT)
    _, status, usage = os.wait4(process.pid, 0)
    return os.waitstatus_to_exitcode(status), usage.ru_maxrss << 10


def forget(folder):
    for file in folder.glob("*.safetensors"):
        with open(file, "rb") as f:
            os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--athanor", type=pathlib.Path, required=True)
    p.add_argument("--work", type=pathlib.Path, required=True)
    p.add_argument("--layers", type=int, default=SHAPE.layers)
    p.add_argument("--tokens", type=int, default=64)
    p.add_argument("--limit-gb", type=float, default=20)
    p.add_argument("--keep", action="store_true")
    a = p.parse_args()
    a.work.mkdir(parents=True, exist_ok=True)
    wanted = Shape(**{**SHAPE.__dict__, "layers": a.layers})
    model, limit = a.work / "model", int(a.limit_gb * 1e9)
    out = a.work / "out"
    shutil.rmtree(out, ignore_errors=True)
    if not (model / "model.safetensors.index.json").exists():
        shutil.rmtree(model, ignore_errors=True)
        shape = fitting(wanted, shutil.disk_usage(a.work).free)
        if shape.layers < wanted.layers:
            print(f"the disk holds {shape.layers} of {wanted.layers} layers", file=sys.stderr)
        write_model(model, shape, 0)
    depth = json.loads((model / "config.json").read_text())["num_hidden_layers"]
    rng = random.Random(0)
    write_rows(a.work / "rows.jsonl", [{"text": byte_text(rng, a.tokens - 1)} for _ in range(8)])
    (a.work / "plan.yaml").write_text(
        f"model: {model}\nout: {out}\ndata:\n  train: [{{path: rows.jsonl}}]\nadapter:\n  r: {RANK}\ntrain:\n  steps: 3\n  batch: 1\n"
        f"  seq_len_max: {a.tokens}\n  precision: bf16\n")
    forget(model)
    first, peak = run([a.athanor, "train", a.work / "plan.yaml", "--json"], limit, interrupt_after=1)
    forget(model)
    second, peak_resumed = run([a.athanor, "resume", out, "--json"], limit)
    timings = [json.loads(line) for line in (out / "timings.jsonl").read_text().splitlines()]
    losses = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    facts = json.loads((out / "run.json").read_text()) if (out / "run.json").exists() else {}
    size = sum(f.stat().st_size for f in model.glob("*.safetensors"))
    print(f"{depth} layers, {size / 1e9:.1f} GB in NF4; limit {limit / 1e9:.1f} GB; exit {first}, then {second}")
    print(f"peak resident: {peak / 1e9:.2f} GB, resumed {peak_resumed / 1e9:.2f} GB; planned {facts.get('memory')}")
    for t, m in zip(timings, losses):
        print(f"step {t['step']}: {t['seconds']:.1f} s, loss {m['loss']:.3f}, read {t.get('bytes_read_forward', 0) / 1e9:.1f} GB forward, "
              f"{t.get('bytes_read_backward', 0) / 1e9:.1f} GB back, waited {t.get('seconds_waited', 0):.1f} s")
    if not a.keep:
        shutil.rmtree(a.work)
    ok = first == 130 and second == 0 and len(timings) == 3 and max(peak, peak_resumed) <= limit
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
