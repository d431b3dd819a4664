#!/usr/bin/env python3
"""What a model forgets for what it learns, and what holds it back. Standard library only.

    benches/forgetting/run.py --athanor target/release/athanor --work DIR [--general stories.txt] [--seeds 3] [--steps 200]
                              [--svg tradeoff.svg]

stories260K learns Banking77 (examples/banking77, its plan) in several ways, each over one knob: LoRA alone over the learning rate, and
over the number of steps; with replay over its share, of general rows and of rows that the base writes itself; with EWC over λ; with
both. All but the first at the rate at which LoRA alone has the lowest validation loss. Task: validation loss. Forgotten: the loss on
stories after training, less that before: on stories that the base wrote, and on those of --general (texts between
`<|endoftext|>`), which are then replayed and measured, too. What is replayed and what EWC measures are other stories than those asked. Prints a table, medians over
the seeds with their range; writes DIR/points.json; --svg draws the curves of it. What is finished in DIR is not computed again.
"""
import argparse, json, pathlib, shutil, statistics, subprocess
import draw

ROOT = pathlib.Path(__file__).resolve().parents[2]
PLAN = ROOT / "examples/banking77/plan.yaml"
MODEL = ROOT / "examples/models/stories260K"
RATES = ["1e-4", "2e-4", "5e-4", "1e-3", "2e-3", "5e-3", "1e-2", "2e-2"]
STEPS = [50, 100]
SHARES = [0.02, 0.05, 0.1, 0.3]
LAMBDAS = ["3e1", "1e2", "3e2", "1e3", "1e4"]
BOTH = ["1e2", "1e3"]
OWN = "own stories"
# Stories held (replayed, or measured for EWC), and as many others asked; longest of those from --general, in characters.
STORIES, CHARACTERS = 200, 900
# The base writes more than are needed, as those that it did not end are left out; no run has this seed.
DRAWN, TOKENS, SEED = 800, 400, 1000


def quiet(*words):
    subprocess.run([str(w) for w in words], check=True, stdout=subprocess.DEVNULL)


def train(a, name, sets, seed):
    """The run's folder; an old one with the same name where that is finished."""
    out = a.work / "runs" / f"{name}-{seed}"
    if not (out / "run.json").exists():
        shutil.rmtree(out, ignore_errors=True)
        sets = {"train.steps": a.steps, **sets, "train.seed": seed, "out": str(out)}
        sets |= {"train.eval_every": sets["train.steps"], "train.checkpoint_every": sets["train.steps"]}
        options = [x for key, value in sets.items() for x in ("--set", f"{key}={json.dumps(value)}")]
        quiet(a.athanor, "train", PLAN, "--quiet", *options)
    return out


def losses(a, suites, out=None):
    """Nats a token by suite: of the base, or of a run's adapter."""
    kept = (out or a.work) / "eval"
    if not (kept / "eval.json").exists():
        adapter = ["--adapter", out / "adapter", "--alone"] if out else []
        quiet(a.athanor, "eval", *suites, "--model", MODEL, *adapter, "--out", kept, "--precision", "f32", "--quiet")
    record = json.loads((kept / "eval.json").read_text())
    who = "tuned" if out else "base"
    return [next(f for f in s["figures"] if f["name"] == "loss")[who]["value"] for s in record["suites"]]


def valid(out):
    return json.loads((out / "run.json").read_text())["final_valid_loss"]


def own_rows(out):
    return [json.loads(line) for line in (out / "replay-self.jsonl").read_text().splitlines()]


def texts(a):
    """Files of general rows to hold on to, suites of others to ask, and the texts asked, by source."""
    # One step at a rate of nothing, for what the base writes before it.
    drawn = train(a, "drawn", {"train.steps": 1, "train.lr": 1e-30, "replay": {"self": DRAWN, "tokens": TOKENS}}, SEED)
    sources = {OWN: [row["text"] for row in own_rows(drawn) if not row.get("unfinished")]}
    if a.general:
        found = a.general.read_text(encoding="utf-8", errors="ignore").split("<|endoftext|>")[:-1]
        sources["TinyStories"] = [t.strip() for t in found if t.strip() and len(t.strip()) <= CHARACTERS]
    held, suites, asked = {}, [], {}
    for i, (source, rows) in enumerate(sources.items()):
        rows = list(dict.fromkeys(rows))[: 2 * STORIES]
        asked[source] = set(rows[1::2])
        for what, part in (("held", rows[0::2]), ("asked", rows[1::2])):
            path = a.work / f"{what}-{i}.jsonl"
            path.write_text("".join(json.dumps({"text": t}) + "\n" for t in part))
        suite = a.work / f"suite-{i}.yaml"
        suite.write_text(f"name: general-{i}\nskill: general\ndata: asked-{i}.jsonl\nmeasures:\n  loss:\n")
        held[source] = str(a.work / f"held-{i}.jsonl")
        suites.append(suite)
    return held, suites, asked


def settings(best, held):
    """Way, of which source, setting, and what the plan has for it. What the base writes is replayed as it is in users' runs: each
    run writes its own, by its own seed."""
    lr = {"train.lr": float(best)}
    for steps in STEPS:
        yield "LoRA, fewer steps", None, f"{steps} steps", {**lr, "train.steps": steps}
    for source, path in held.items():
        own = {"self": STORIES, "tokens": TOKENS // 2} if source == OWN else {"path": path, "format": "text"}
        replay = lambda share: {"replay": {**own, "share": share}}
        ewc = lambda x: {"ewc": {"general": {"path": path, "format": "text"}, "lambda": float(x)}}
        for share in SHARES:
            yield "replay", source, f"share {share}", {**lr, **replay(share)}
        for x in LAMBDAS:
            yield "EWC", source, f"λ {x}", {**lr, **ewc(x)}
        for x in BOTH:
            yield "replay 0.1 + EWC", source, f"λ {x}", {**lr, **replay(0.1), **ewc(x)}


def alone_at(points, loss, source):
    """The least that LoRA alone forgets at that validation loss, between two of its rates; None where it does not get there."""
    line = [(p["valid"], p["rises"][source]) for p in points if p["way"] == "LoRA alone"]
    found = [y + (y2 - y) * (loss - x) / (x2 - x) for (x, y), (x2, y2) in zip(line, line[1:]) if min(x, x2) <= loss <= max(x, x2)]
    return min(found, default=None)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--athanor", type=pathlib.Path, required=True)
    p.add_argument("--work", type=pathlib.Path, required=True)
    p.add_argument("--general", type=pathlib.Path)
    p.add_argument("--seeds", type=int, default=3)
    p.add_argument("--steps", type=int, default=200)
    p.add_argument("--svg", type=pathlib.Path)
    a = p.parse_args()
    a.athanor, a.work = a.athanor.absolute(), a.work.absolute()
    a.work.mkdir(parents=True, exist_ok=True)
    held, suites, asked = texts(a)
    before = losses(a, suites)
    points = []

    def measure(way, of, setting, sets):
        tag = "".join(c if c.isalnum() or c in "-." else "-" for c in f"{way}-{of or ''}-{setting}")
        outs = [train(a, tag, sets, seed) for seed in range(a.seeds)]
        for out in outs:
            if (out / "replay-self.jsonl").exists() and any(row["text"] in asked[OWN] for row in own_rows(out)):
                raise SystemExit(f"{out}: trained on a story that is asked")
        rises = [[x - y for x, y in zip(losses(a, suites, out), before)] for out in outs]
        valids = [valid(out) for out in outs]
        point = {"way": way, "of": of, "setting": setting, "valid": statistics.median(valids), "valids": valids,
                 "rises": [statistics.median(r) for r in zip(*rises)], "all_rises": list(zip(*rises))}
        points.append(point)
        named = {None: way, OWN: f"self-written {way}" if way.startswith("replay") else f"{way} of {OWN}"}.get(of, f"{way} of {of}")
        cells = [named, setting, f"{point['valid']:.3f} ({min(valids):.3f}–{max(valids):.3f})"]
        for i, values in enumerate(point["all_rises"]):
            cells.append(f"{point['rises'][i]:+.3f} ({min(values):+.3f}–{max(values):+.3f})")
            there = alone_at(points, point["valid"], i) if way != "LoRA alone" else None
            cells.append("–" if there is None else f"{there:+.2f}")
        print("| " + " | ".join(cells) + " |", flush=True)

    print("before: " + ", ".join(f"{s} {x:.3f}" for s, x in zip(held, before)))
    heads = [h for s in held for h in (f"{s}, after − before", "LoRA alone at that validation loss")]
    print("| " + " | ".join(["way", "setting", "validation loss", *heads]) + " |\n|---|---|" + "---:|" * (1 + len(heads)))
    for rate in RATES:
        measure("LoRA alone", None, f"lr {rate}", {"train.lr": float(rate)})
    best = min(points, key=lambda point: point["valid"])["setting"].removeprefix("lr ")
    for way, of, setting, sets in settings(best, held):
        measure(way, of, setting, sets)
    record = {"before": dict(zip(held, before)), "points": points}
    (a.work / "points.json").write_text(json.dumps(record, indent=1))
    if a.svg:
        a.svg.write_text(draw.curves(record))


if __name__ == "__main__":
    main()
