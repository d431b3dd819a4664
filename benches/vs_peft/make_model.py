#!/usr/bin/env python3
"""Write a random-weight model of SmolLM2-135M's shape, with a tokenizer and rows to train on. Standard library only.

    make_model.py OUT [--dtype float32|bfloat16] [--seed 0] [--layers 30] [--full-rows 4] [--mixed-rows 16]

OUT becomes a Hugging Face directory (Llama: hidden 576, 30 layers, 9 heads, 3 key-value heads, intermediate 1536,
vocabulary 49152, tied) and two files of {"text": ...} rows: `rows_full.jsonl`, each exactly --seq-len tokens, so that
nothing is padding, and `rows_mixed.jsonl`, log-uniform lengths from 32 to --seq-len, as real data has them.
The tokenizer is byte-level without merges: one token a character and one for the end, so lengths are exact.
"""
import argparse, json, math, pathlib, random

HIDDEN, INTERMEDIATE, HEADS, KV_HEADS, HEAD_DIM, VOCAB = 576, 1536, 9, 3, 64, 49152
EOS, EOS_ID = "<|endoftext|>", 256
WORDS = "furnace metal even heat slow gold lead salt glass stone water fire ash bell clock wheel".split()


def tensors(layers):
    """(name, shape) in order of names, as the format asks."""
    q, kv = HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM
    out = [("model.embed_tokens.weight", (VOCAB, HIDDEN)), ("model.norm.weight", (HIDDEN,))]
    for i in range(layers):
        p = f"model.layers.{i}."
        out += [(p + "input_layernorm.weight", (HIDDEN,)), (p + "post_attention_layernorm.weight", (HIDDEN,)),
                (p + "self_attn.q_proj.weight", (q, HIDDEN)), (p + "self_attn.k_proj.weight", (kv, HIDDEN)),
                (p + "self_attn.v_proj.weight", (kv, HIDDEN)), (p + "self_attn.o_proj.weight", (HIDDEN, q)),
                (p + "mlp.gate_proj.weight", (INTERMEDIATE, HIDDEN)), (p + "mlp.up_proj.weight", (INTERMEDIATE, HIDDEN)),
                (p + "mlp.down_proj.weight", (HIDDEN, INTERMEDIATE))]
    return sorted(out)


def random_bytes(rng, count, width):
    """`count` little-endian floats of `width` bytes: random sign and mantissa, an exponent that makes 0.008 to 0.031
    (root mean square 0.019). Whole-buffer operations, because 134 million calls of gauss() would take minutes."""
    out = bytearray(rng.randbytes(count * width))
    top = bytes(0x3C if b < 128 else 0xBC for b in range(256))
    out[width - 1 :: width] = out[width - 1 :: width].translate(top)
    return out


def write_weights(path, layers, width, rng):
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    name = {4: "F32", 2: "BF16"}[width]
    for tensor, shape in tensors(layers):
        size = math.prod(shape) * width
        header[tensor] = {"dtype": name, "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    one = {4: b"\x00\x00\x80\x3f", 2: b"\x80\x3f"}[width]
    with open(path, "wb") as f:
        f.write(len(text).to_bytes(8, "little") + text)
        for tensor, shape in tensors(layers):
            left = math.prod(shape)
            while left:
                n = min(left, 1 << 18)
                f.write(one * n if "norm" in tensor else random_bytes(rng, n, width))
                left -= n


def byte_letters():
    """The printable letter that stands for each byte in byte-level vocabularies (as GPT-2 defined it)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in plain]
    return {b: chr(b) for b in plain} | {b: chr(256 + i) for i, b in enumerate(rest)}


def tokenizer():
    letters = byte_letters()
    vocab = {letters[b]: b for b in range(256)} | {EOS: EOS_ID}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    eos = {"id": EOS_ID, "content": EOS, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
             "fuse_unk": False, "byte_fallback": False, "ignore_merges": False, "vocab": vocab, "merges": []}
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [eos], "normalizer": None,
            "pre_tokenizer": byte_level, "post_processor": None, "decoder": byte_level, "model": model}


def text(rng, length):
    words = ""
    while len(words) < length:
        words += rng.choice(WORDS) + " "
    return words[: length - 1] + "."  # never a space at the end, which a reader might trim


def write_rows(path, lengths, rng):
    with open(path, "w", encoding="utf-8") as f:
        for tokens in lengths:  # one of them ends the text
            f.write(json.dumps({"text": text(rng, tokens - 1)}) + "\n")


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("out", type=pathlib.Path)
    ap.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--layers", type=int, default=30)
    ap.add_argument("--seq-len", type=int, default=512)
    ap.add_argument("--full-rows", type=int, default=4)
    ap.add_argument("--mixed-rows", type=int, default=16)
    a = ap.parse_args()
    rng = random.Random(a.seed)
    a.out.mkdir(parents=True, exist_ok=True)
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "dtype": a.dtype, "hidden_size": HIDDEN,
        "intermediate_size": INTERMEDIATE, "num_hidden_layers": a.layers, "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS, "head_dim": HEAD_DIM, "vocab_size": VOCAB, "tie_word_embeddings": True,
        "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "rope_parameters": {"rope_type": "default", "rope_theta": 100000.0},
        "hidden_act": "silu", "attention_bias": False, "mlp_bias": False, "attention_dropout": 0.0, "use_cache": True,
        "initializer_range": 0.02, "bos_token_id": None, "eos_token_id": EOS_ID, "pad_token_id": EOS_ID,
    }
    files = {
        "config.json": config,
        "generation_config.json": {"eos_token_id": EOS_ID, "pad_token_id": EOS_ID},
        "tokenizer.json": tokenizer(),
        "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": EOS, "pad_token": EOS,
                                  "model_max_length": 8192, "clean_up_tokenization_spaces": False},
    }
    for name, value in files.items():
        (a.out / name).write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    write_weights(a.out / "model.safetensors", a.layers, {"float32": 4, "bfloat16": 2}[a.dtype], rng)
    write_rows(a.out / "rows_full.jsonl", [a.seq_len] * a.full_rows, rng)
    mixed = [int(32 * (a.seq_len / 32) ** rng.random()) for _ in range(a.mixed_rows)]
    write_rows(a.out / "rows_mixed.jsonl", mixed, rng)
    parameters = sum(math.prod(shape) for _, shape in tensors(a.layers))
    print(f"{parameters / 1e6:.1f} M parameters in {a.out}; {a.full_rows} rows of {a.seq_len} tokens, {a.mixed_rows} of {sum(mixed)} together")


if __name__ == "__main__":
    main()
