#!/usr/bin/env python3
"""Compares the methods on one task: what each learns, forgets, takes and costs. Standard library only.

    benches/methods/run.py --athanor target/release/athanor --stories target/release/examples/stories --work DIR
                           [--general stories.txt] [--seeds 3] [--steps 200]

Every method trains the plan of examples/banking77 with each learning rate of one small grid and seed 0; the rate with the
lowest validation loss is its own best, and is repeated with the other seeds. What was forgotten is the loss after training,
less that before, on stories that the base itself wrote (`cargo build --release -p train --example stories`), and on those of
--general, one a paragraph. Prints a table, medians over the seeds.
"""
import argparse, json, pathlib, shutil, statistics, subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
PLAN = ROOT / "examples/banking77/plan.yaml"
MODEL = ROOT / "examples/models/stories260K"
METHODS = {
    "LoRA": [],
    "LoRA, rsLoRA scale": ["adapter.rslora=true"],
    "LoRA+ (ratio 16)": ["adapter.lr_ratio=16"],
    "PiSSA": ["adapter.init=pissa"],
    "DoRA": ["adapter.method=dora"],
    "AdaLoRA, r 12 to 8": ["adapter.method=adalora", "adapter.r=12", "adapter.ranks.target=8"],
    "QLoRA (NF4)": ["quantize=nf4", "quantize_cache=off"],
    "QDoRA (NF4)": ["quantize=nf4", "quantize_cache=off", "adapter.method=dora"],
    "full fine-tuning": ["adapter={method: full}"],
}
RATES = ["1e-3", "3e-3", "1e-2", "3e-2"]
STORIES, STORY_TOKENS = 200, 200


def run(a, name, sets):
    """One run's summary; of an old one with the same name where that is finished."""
    out = a.work / name
    if not (out / "run.json").exists():
        shutil.rmtree(out, ignore_errors=True)
        options = [x for s in [*sets, f"out={out}"] for x in ("--set", s)]
        subprocess.run([a.athanor, "train", PLAN, "--quiet", *options], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    done = json.loads((out / "run.json").read_text())
    seconds = sum(json.loads(line)["seconds"] for line in (out / "timings.jsonl").read_text().splitlines())
    return {"out": out, "seconds": seconds, "done": done}


def find(value, key):
    """The first value of `key` anywhere in a record."""
    if isinstance(value, dict):
        if key in value:
            return value[key]
        value = list(value.values())
    if isinstance(value, list):
        for v in value:
            if (found := find(v, key)) is not None:
                return found
    return None


def loss_on(a, name, file, adapter, base, model=MODEL):
    """Nats a token of a model, with an adapter or without one, on a file of texts. A run of one step with no learning rate to
    speak of validates and changes nothing."""
    plan = a.work / f"{name}.yaml"
    start = f"  start_from: {adapter}\n" if adapter else "  r: 8\n"
    plan.write_text(f"model: {model}\nout: {a.work / name}\n{base}data:\n  train: [{{path: {file}}}]\n  valid: [{{path: {file}}}]\n"
                    f"  over_length: truncate\n  loss_on: all\nadapter:\n{start}train:\n  steps: 1\n  lr: 1e-30\n  seq_len_max: 512\n  precision: f32\n")
    out = a.work / name
    if not (out / "run.json").exists():
        shutil.rmtree(out, ignore_errors=True)
        subprocess.run([a.athanor, "train", plan, "--quiet"], check=True, stdout=subprocess.DEVNULL)
    return find(json.loads((out / "run.json").read_text()), "final_valid_loss")


def general(a, files, name, adapter, base, model=MODEL):
    return [loss_on(a, f"{name}-{i}", file, adapter, base, model) for i, file in enumerate(files)]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--athanor", type=pathlib.Path, required=True)
    p.add_argument("--stories", type=pathlib.Path, required=True)
    p.add_argument("--work", type=pathlib.Path, required=True)
    p.add_argument("--general", type=pathlib.Path)
    p.add_argument("--seeds", type=int, default=3)
    p.add_argument("--steps", type=int, default=200)
    a = p.parse_args()
    a.work.mkdir(parents=True, exist_ok=True)
    own = a.work / "own.jsonl"
    if not own.exists():
        made = subprocess.run([a.stories, MODEL, str(STORIES), str(STORY_TOKENS), "0"], check=True, capture_output=True, text=True)
        own.write_text(made.stdout)
    files = [own]
    if a.general:
        paragraphs = [t.strip() for t in a.general.read_text(encoding="utf-8", errors="ignore").split("<|endoftext|>") if t.strip()]
        texts = a.work / "general.jsonl"
        texts.write_text("".join(json.dumps({"text": t}) + "\n" for t in paragraphs[:STORIES]))
        files.append(texts)
    before = {q: general(a, files, f"before-{q}", None, f"quantize: {q}\nquantize_cache: off\n") for q in ("none", "nf4")}
    heads = ["method", "best lr", "trained", "seconds", "peak MiB", "validation loss", "own stories, after − before"]
    print("| " + " | ".join(heads + (["TinyStories"] if a.general else [])) + " |")
    print("|---|" + "---:|" * (len(heads) - 1 + bool(a.general)))
    for method, sets in METHODS.items():
        tag = "".join(c if c.isalnum() else "-" for c in method).strip("-")
        steps = [f"train.steps={a.steps}"]
        tried = {lr: run(a, f"{tag}-{lr}-0", [*sets, *steps, f"train.lr={lr}"]) for lr in RATES}
        valid = lambda r: find(r["done"], "final_valid_loss")
        best = min(RATES, key=lambda lr: valid(tried[lr]))
        runs = [run(a, f"{tag}-{best}-{s}", [*sets, *steps, f"train.lr={best}", f"train.seed={s}"]) for s in range(a.seeds)]
        base = "nf4" if "quantize=nf4" in sets else "none"
        rises = []
        for s, r in enumerate(runs):
            plain, whole = r["out"] / "adapter-plain", r["out"] / "model"
            adapter = None if whole.exists() else plain if plain.exists() else r["out"] / "adapter"
            model = whole if whole.exists() else MODEL
            after = general(a, files, f"after-{tag}-{best}-{s}", adapter, f"quantize: {base}\nquantize_cache: off\n", model)
            rises.append([x - y for x, y in zip(after, before[base])])
        middle = lambda values: statistics.median(values)
        spread = lambda values: f"{min(values):.3f}–{max(values):.3f}"
        losses = [valid(r) for r in runs]
        row = [method, best, f"{find(runs[0]['done'], 'trainable'):,}", f"{middle([r['seconds'] for r in runs]):.1f}",
               f"{middle([find(r['done'], 'peak_rss_bytes') for r in runs]) / 2**20:.0f}", f"{middle(losses):.3f} ({spread(losses)})",
               *(f"{middle(list(v)):+.2f}" for v in zip(*rises))]
        print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
