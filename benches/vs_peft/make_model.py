#!/usr/bin/env python3
"""Write a random-weight model of a real one's shape, with a tokenizer and rows to train on. Standard library only.

    make_model.py OUT [--shape smol135m|qwen0.5b] [--layers N] [--dtype bfloat16|float32] [--seed 0]
                  [--tokenizer DIR] [--mixture FILE... --peer-python PY]

OUT becomes a Hugging Face directory and files of rows:
- `rows_full.jsonl`: {"text"}, each exactly --seq-len tokens, so that nothing is padding.
- `rows_mixed.jsonl`: {"text"}, log-uniform lengths from 32 to --seq-len.
- `rows_mixture.jsonl`, with --mixture: {"prompt", "completion"} from alpaca files (instruction, input, output), a sample
  that has their distribution of lengths. Rows of more than --seq-len tokens are left out, because programs cut them
  differently. Tokens are counted by --peer-python, which has transformers.
The tokenizer is that of --tokenizer (byte-level BPE, with tokenizer_config.json), copied; without it a byte-level one
without merges, one token a byte, whose lengths are exact but not those of real text.
`made.json` says what was made from what; it is written last.
"""
import argparse, dataclasses, json, math, pathlib, random, re, shutil, subprocess, sys
from shapes import SHAPES, config

EOS, EOS_ID = "<|endoftext|>", 256
WORDS = "furnace metal even heat slow gold lead salt glass stone water fire ash bell clock wheel".split()
MADE = "made.json"


# ------------------------------------------------------------------ weights
def random_bytes(rng, count, width):
    """`count` little-endian floats of `width` bytes: random sign and mantissa, an exponent that makes 0.008 to 0.031
    (root mean square 0.019). Whole-buffer operations, because 134 million calls of gauss() would take minutes."""
    out = bytearray(rng.randbytes(count * width))
    top = bytes(0x3C if b < 128 else 0xBC for b in range(256))
    out[width - 1 :: width] = out[width - 1 :: width].translate(top)
    return out


def write_weights(path, shape, width, rng):
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    name = {4: "F32", 2: "BF16"}[width]
    for tensor, dims in shape.tensors():
        size = math.prod(dims) * width
        header[tensor] = {"dtype": name, "shape": list(dims), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    one = {4: b"\x00\x00\x80\x3f", 2: b"\x80\x3f"}[width]
    with open(path, "wb") as f:
        f.write(len(text).to_bytes(8, "little") + text)
        for tensor, dims in shape.tensors():
            left = math.prod(dims)
            while left:
                n = min(left, 1 << 18)
                f.write(one * n if "norm" in tensor else random_bytes(rng, n, width))
                left -= n


# ------------------------------------------------------------------ tokenizers
def byte_letters():
    """The printable letter that stands for each byte in byte-level vocabularies (as GPT-2 defined it)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in plain]
    return {b: chr(b) for b in plain} | {b: chr(256 + i) for i, b in enumerate(rest)}


def byte_tokenizer():
    letters = byte_letters()
    vocab = {letters[b]: b for b in range(256)} | {EOS: EOS_ID}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    eos = {"id": EOS_ID, "content": EOS, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
             "fuse_unk": False, "byte_fallback": False, "ignore_merges": False, "vocab": vocab, "merges": []}
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [eos], "normalizer": None,
            "pre_tokenizer": byte_level, "post_processor": None, "decoder": byte_level, "model": model}


def write_byte_tokenizer(out):
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": EOS, "pad_token": EOS, "model_max_length": 8192,
                "clean_up_tokenization_spaces": False}
    for name, value in [("tokenizer.json", byte_tokenizer()), ("tokenizer_config.json", settings)]:
        (out / name).write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def copy_tokenizer(source, out):
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        if (source / name).exists():
            shutil.copyfile(source / name, out / name)


class Vocabulary:
    """What the rows need to know of the tokenizer in a model folder."""

    def __init__(self, folder):
        text = (folder / "tokenizer.json").read_text(encoding="utf-8")
        settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        tokenizer = json.loads(text)
        self.ids = dict(tokenizer["model"]["vocab"]) | {t["content"]: t["id"] for t in tokenizer["added_tokens"]}
        self.special = [t["content"] for t in tokenizer["added_tokens"] if t["special"]]
        self.eos, self.pad = (self.id_of(settings.get(k)) for k in ("eos_token", "pad_token"))
        self.pad = self.eos if self.pad is None else self.pad
        if self.eos is None:
            sys.exit(f"{folder}: tokenizer_config.json names no eos_token of the vocabulary")

    def id_of(self, token):
        return self.ids.get(token["content"] if isinstance(token, dict) else token)

    def words(self):
        """Words that are one token, at the start of a text and after a space (written Ġ in byte-level vocabularies)."""
        return sorted(w for w in self.ids if re.fullmatch("[a-z]{3,}", w) and "Ġ" + w in self.ids)


# ------------------------------------------------------------------ rows
def byte_text(rng, tokens):
    words = ""
    while len(words) < tokens:
        words += rng.choice(WORDS) + " "
    return words[: tokens - 1] + "."  # never a space at the end, which a reader might trim


def word_text(words):
    return lambda rng, tokens: " ".join(rng.choice(words) for _ in range(tokens))


def write_texts(path, text, lengths, rng):
    write_rows(path, [{"text": text(rng, tokens - 1)} for tokens in lengths])  # one token ends the text


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def from_alpaca(row):
    """As both programs show it to a model without a chat template."""
    return {"prompt": row["instruction"] + ("\n\n" + row["input"] if row.get("input") else "") + "\n", "completion": row["output"]}


def counted(peer_python, model, rows, loss_on):
    """(tokens, targets) of each row, as transformers counts them."""
    script = pathlib.Path(__file__).with_name("token_counts.py")
    done = subprocess.run([str(x) for x in (peer_python, script, model, rows, loss_on)], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"counting the tokens of {rows} failed:\n{done.stderr[-3000:]}")
    return [tuple(pair) for pair in json.loads(done.stdout)]


def spread(rows, lengths, count, rng):
    """`count` rows with the lengths of all: sorted by length and cut into `count` equal parts, one drawn from each;
    in random order."""
    order = sorted(range(len(rows)), key=lambda i: (lengths[i], i))
    edge = [len(rows) * i // count for i in range(count + 1)]
    drawn = [rows[order[rng.randrange(edge[i], edge[i + 1])]] for i in range(count)]
    rng.shuffle(drawn)
    return drawn


def write_mixture(a, vocabulary, rng):
    """Writes the sample; what it was taken from, for made.json."""
    rows = [from_alpaca(row) for file in a.mixture for row in json.loads(file.read_text(encoding="utf-8")) if row["output"].strip()]
    rows = [row for row in rows if not any(s in row["prompt"] + row["completion"] for s in vocabulary.special)]
    scratch = a.out / "rows_all.jsonl.tmp"
    write_rows(scratch, rows)
    lengths = [tokens for tokens, _ in counted(a.peer_python, a.out, scratch, "response")]
    scratch.unlink()
    short = [i for i, tokens in enumerate(lengths) if tokens <= a.seq_len]
    write_rows(a.out / "rows_mixture.jsonl", spread([rows[i] for i in short], [lengths[i] for i in short], a.mixture_rows, rng))
    return {"rows": len(rows), "over_length": len(rows) - len(short), "mean_tokens": round(sum(lengths[i] for i in short) / len(short), 1)}


# ------------------------------------------------------------------ the folder
def options(a):
    """What decides the folder's content, as it stands in made.json."""
    return {"shape": a.shape, "layers": a.layers, "dtype": a.dtype, "seed": a.seed, "seq_len": a.seq_len, "full_rows": a.full_rows,
            "mixed_rows": a.mixed_rows, "mixture_rows": a.mixture_rows, "tokenizer": a.tokenizer and a.tokenizer.name,
            "mixture": [file.name for file in a.mixture]}


def make(a):
    """Makes the folder `a.out`, unless it is there with these options; what made.json says."""
    made = a.out / MADE
    if made.exists() and (there := json.loads(made.read_text()))["options"] == options(a):
        return there
    made.unlink(missing_ok=True)
    shape, rng = SHAPES[a.shape], random.Random(a.seed)
    shape = dataclasses.replace(shape, layers=a.layers or shape.layers)
    a.out.mkdir(parents=True, exist_ok=True)
    copy_tokenizer(a.tokenizer, a.out) if a.tokenizer else write_byte_tokenizer(a.out)
    vocabulary = Vocabulary(a.out)
    if max(vocabulary.ids.values()) >= shape.vocab:
        sys.exit(f"the tokenizer has {max(vocabulary.ids.values()) + 1} tokens, more than the {shape.vocab} of the shape")
    words = vocabulary.words()
    if a.tokenizer and not words:
        sys.exit(f"{a.tokenizer}: found no words of one token; is it byte-level BPE?")
    stop = {"eos_token_id": vocabulary.eos, "pad_token_id": vocabulary.pad}
    for name, value in [("config.json", config(shape, a.dtype, vocabulary.eos, vocabulary.pad)), ("generation_config.json", stop)]:
        (a.out / name).write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    write_weights(a.out / "model.safetensors", shape, {"float32": 4, "bfloat16": 2}[a.dtype], rng)
    text = word_text(words) if a.tokenizer else byte_text
    write_texts(a.out / "rows_full.jsonl", text, [a.seq_len] * a.full_rows, rng)
    write_texts(a.out / "rows_mixed.jsonl", text, [int(32 * (a.seq_len / 32) ** rng.random()) for _ in range(a.mixed_rows)], rng)
    mixture = write_mixture(a, vocabulary, rng) if a.mixture else None
    facts = {"options": options(a), "parameters": shape.parameters(), "mixture": mixture}
    made.write_text(json.dumps(facts, indent=1) + "\n")
    return facts


def parser():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = ap.add_argument
    add("out", type=pathlib.Path), add("--shape", default="smol135m", choices=list(SHAPES)), add("--layers", type=int, help="fewer than the shape's, for trials")
    add("--dtype", default="bfloat16", choices=["float32", "bfloat16"], help="of the file; those of the two real models are bfloat16")
    add("--seed", type=int, default=0), add("--seq-len", type=int, default=512)
    add("--full-rows", type=int, default=4), add("--mixed-rows", type=int, default=16), add("--mixture-rows", type=int, default=16)
    add("--tokenizer", type=pathlib.Path), add("--mixture", type=pathlib.Path, nargs="+", default=[]), add("--peer-python")
    return ap


def main():
    ap = parser()
    a = ap.parse_args()
    if a.mixture and not a.peer_python:
        ap.error("--mixture needs --peer-python to count tokens")
    facts = make(a)
    print(f"{facts['parameters'] / 1e6:.1f} M parameters in {a.out}; rows: {', '.join(sorted(p.name for p in a.out.glob('rows_*.jsonl')))}")
    if m := facts["mixture"]:
        print(f"mixture: {a.mixture_rows} of {m['rows']} rows, {m['over_length']} of them left out for having more than {a.seq_len} tokens")


if __name__ == "__main__":
    main()
