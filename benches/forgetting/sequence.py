#!/usr/bin/env python3
"""Three tasks learnt one after another, four ways: what is left of each after each. Standard library only.

    benches/forgetting/sequence.py --athanor target/release/athanor --work DIR --gsm8k FOLDER [--seeds 3] [--svg sequence.svg]

The model inside the program learns Banking77 (its category), then GSM8K (FOLDER has its train.jsonl and test.jsonl), then the
quickstart's company task; each run goes on from the adapter of the one before. Ways: nothing else; replay; EWC; both. Replay is of
general rows and of every earlier task, as many characters of answers of each; EWC holds the base by the general rows' Fisher and the
adapter of the run before (online). Learning rate and steps are the same in all ways. --share, --lambda-base and --lambda-run are what
replay and EWC may have: the best by the validation rows of all tasks after the last, seed 0, is taken (of λ one after the other, of the
runs first; both together have EWC's λ); the final tests choose nothing. Asked after each stage, on rows that no stage has trained on:
exact answers, and of GSM8K the loss. Prints the matrices, medians over the seeds with their range; writes DIR/matrix.json; --svg draws
it. What is finished in DIR is not computed again.
"""
import argparse, csv, json, pathlib, random, shutil, statistics, subprocess
import draw

ROOT = pathlib.Path(__file__).resolve().parents[2]
EMBEDDED = ROOT / "crates/embedded/assets"
MODEL = EMBEDDED / "model"
BANKING = ROOT / "examples/banking77"
STAGES = ["banking77", "gsm8k", "company"]
STEPS = {"banking77": 400, "gsm8k": 100, "company": 250}
RATE, RANK = 5e-3, 16
SKILLS = ["arithmetic", "lists", "world", "formats"]
WAYS = ["none", "replay", "EWC", "both"]
ROWS = ["banking77", "gsm8k", "company", "general"]
# Rows asked of each suite, rows to choose by, and characters of a row of GSM8K, so that every row fits the model.
ASKED, VALID, CHARACTERS = 200, 200, 700


def write(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def pairs(prompt, completion, rows):
    return [{"prompt": row[prompt], "completion": row[completion]} for row in rows]


def prepare(a):
    """Files NAME-train, -valid and -test in DIR/data of every task and of the general rows, old-2 and old-3 to replay, suites."""
    data = a.work / "data"
    data.mkdir(parents=True, exist_ok=True)
    draws = random.Random(0)
    table = lambda part: pairs("text", "category", csv.DictReader((BANKING / f"{part}.csv").open(encoding="utf-8", newline="")))
    sums = lambda part: [r for r in pairs("question", "answer", read(a.gsm8k / f"{part}.jsonl"))
                         if len(r["prompt"]) + len(r["completion"]) <= CHARACTERS]
    assets = EMBEDDED / "data"
    files = {"general": {"train": read(assets / "general_train.jsonl"), "valid": read(assets / "general_valid.jsonl")},
             "company": {part: read(assets / f"company_{part}.jsonl") for part in ("train", "valid", "test")}}
    for name, rows in (("banking77", table), ("gsm8k", sums)):
        train = rows("train")
        draws.shuffle(train)
        seen = {row["prompt"].strip().lower() for row in train}
        test = [row for row in rows("test") if row["prompt"].strip().lower() not in seen]
        files[name] = {"valid": train[:VALID], "train": train[VALID:], "test": draws.sample(test, ASKED)}
    for name, parts in files.items():
        for part, rows in parts.items():
            write(data / f"{name}-{part}.jsonl", rows)
    size = lambda rows: sum(len(row["completion"]) for row in rows)
    old, most = list(files["general"]["train"]), size(files["general"]["train"])
    for stage, earlier in ((2, "banking77"), (3, "gsm8k")):
        room, rows = most, list(files[earlier]["train"])
        draws.shuffle(rows)
        while room > 0:
            old.append(rows.pop())
            room -= len(old[-1]["completion"])
        write(data / f"old-{stage}.jsonl", old)
    suites = {}
    for kind in ("test", "valid"):
        asked = {name: data / f"{name}-{kind}.jsonl" for name in STAGES}
        asked |= {s: assets / f"{s}_test.jsonl" for s in SKILLS} if kind == "test" else {"general": data / "general-valid.jsonl"}
        suites[kind] = []
        for name, path in asked.items():
            suite = {"name": name, "skill": name if name in STAGES else "general", "data": str(path),
                     "decoding": {"tokens_max": 96 if name == "company" else 64}, "measures": {"loss": None}}
            suite["measures"] |= {"exact": None} if name != "gsm8k" else {}
            suites[kind].append(data / f"{name}-{kind}.yaml")
            suites[kind][-1].write_text(json.dumps(suite))
    return data, suites


def quiet(*words):
    subprocess.run([str(w) for w in words], check=True, stdout=subprocess.DEVNULL)


def train(a, data, setting, stage, seed):
    """The folder of one stage's run, after those before it."""
    way, share, base, run = setting
    # The first stage has no earlier run to hold.
    tag = "-".join(str(x) for x in (way, share, base, run if stage > 1 else None) if x is not None)
    out = a.work / "runs" / f"{tag}-seed{seed}-{stage}"
    before = train(a, data, setting, stage - 1, seed) if stage > 1 else None
    first = train(a, data, setting, 1, seed) if stage > 1 else None
    if (out / "run.json").exists():
        return out
    shutil.rmtree(out, ignore_errors=True)
    name = STAGES[stage - 1]
    plan = {
        "model": str(MODEL), "out": str(out),
        "data": {"train": [{"path": str(data / f"{name}-train.jsonl")}], "valid": [{"path": str(data / f"{name}-valid.jsonl")}]},
        "adapter": {"start_from": str(before / "adapter")} if before else {"method": "lora", "r": RANK, "alpha": 2 * RANK, "targets": "all-linear"},
        "train": {"steps": STEPS[name], "batch": 16, "lr": RATE, "schedule": "cosine", "warmup": 0.1, "seq_len_max": 512,
                  "eval_every": STEPS[name], "checkpoint_every": STEPS[name], "precision": "bf16", "seed": seed},
    }
    general = data / "general-train.jsonl"
    if share:
        plan["replay"] = {"path": str(data / f"old-{stage}.jsonl" if before else general), "share": share}
    if base:
        # Of the same base and rows: measured once.
        held = {"fisher": str(first / "ewc/1.safetensors")} if before else {"general": {"path": str(general)}, "examples": 400}
        plan["ewc"] = [{**held, "lambda": base}]
        if before:
            plan["ewc"].append({"run": str(before), "lambda": run, "examples": 400})
    path = a.work / "plans" / f"{out.name}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(plan, indent=1))
    quiet(a.athanor, "train", path, "--quiet")
    return out


def ask(a, suites, kind, out=None):
    """Of each of ROWS the figure (exact answers, and of GSM8K the loss) and the loss; and every suite's figures."""
    kept = (out or a.work) / f"asked-{kind}"
    if not (kept / "eval.json").exists():
        adapter = ["--adapter", out / "adapter", "--alone"] if out else []
        quiet(a.athanor, "eval", *suites[kind], "--model", MODEL, *adapter, "--limit", ASKED, "--out", kept, "--quiet")
    record = json.loads((kept / "eval.json").read_text())
    who = "tuned" if out else "base"
    figures = lambda of: {f["name"]: f[who]["value"] for f in of["figures"]}
    skills = {s["name"]: figures(s) for s in record["skills"]}
    return {"rows": {row: skills[row]["loss" if row == "gsm8k" else "exact"] for row in ROWS},
            "losses": {row: skills[row]["loss"] for row in ROWS},
            "suites": {s["name"]: figures(s) for s in record["suites"]}}


def kept(value, before, learnt):
    """How much of the fall of a loss is still there."""
    return (before - value) / (before - learnt)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--athanor", type=pathlib.Path, required=True)
    p.add_argument("--work", type=pathlib.Path, required=True)
    p.add_argument("--gsm8k", type=pathlib.Path, required=True)
    p.add_argument("--seeds", type=int, default=3)
    p.add_argument("--share", type=float, nargs="+", default=[0.1, 0.25])
    p.add_argument("--lambda-base", type=float, nargs="+", default=[1e3, 1e4])
    p.add_argument("--lambda-run", type=float, nargs="+", default=[1e2, 1e3, 1e4, 1e5, 1e6])
    p.add_argument("--svg", type=pathlib.Path)
    a = p.parse_args()
    a.athanor, a.work = a.athanor.absolute(), a.work.absolute()
    a.work.mkdir(parents=True, exist_ok=True)
    data, suites = prepare(a)
    after = lambda setting, seed, kind, stage: ask(a, suites, kind, train(a, data, setting, stage, seed))

    none = ("none", None, None, None)
    before = ask(a, suites, "valid")["rows"]["gsm8k"]
    learnt = after(none, 0, "valid", 2)["rows"]["gsm8k"]

    scores = {}

    def score(setting):
        if setting in scores:
            return scores[setting]
        rows = after(setting, 0, "valid", 3)["rows"]
        parts = {row: kept(x, before, learnt) if row == "gsm8k" else x for row, x in rows.items()}
        value = statistics.mean(parts.values())
        named = ", ".join(f"{k} {x:g}" for k, x in zip(("share", "λ base", "λ run"), setting[1:]) if x is not None)
        print(f"| {setting[0]} | {named} | {value:.3f} | " + " | ".join(f"{parts[row]:.3f}" for row in ROWS) + " |", flush=True)
        scores[setting] = value
        return value

    print("Validation rows after the last stage, seed 0; of gsm8k the part of what its loss fell by that is left:\n")
    print("| way | setting | mean | " + " | ".join(ROWS) + " |\n|---|---|" + "---:|" * (1 + len(ROWS)))
    score(none)
    replay = max((("replay", s, None, None) for s in a.share), key=score)
    # One λ after the other: that of the runs with the first of the base's, then that of the base.
    run = max((("EWC", None, a.lambda_base[0], r) for r in a.lambda_run), key=score)[3]
    ewc = max((("EWC", None, b, run) for b in a.lambda_base), key=score)
    both = max((("both", s, ewc[2], ewc[3]) for s in a.share), key=score)
    settings = [none, replay, ewc, both]

    base = ask(a, suites, "test")
    record = {"ways": WAYS, "stages": STAGES, "rows": ROWS, "base": base["rows"], "base_losses": base["losses"],
              "settings": [list(s) for s in settings], "matrix": {}, "losses": {}}
    suites_of = {}
    for way, setting in zip(WAYS, settings):
        found = [[after(setting, seed, "test", stage) for stage in (1, 2, 3)] for seed in range(a.seeds)]
        for key, of_rows in (("matrix", "rows"), ("losses", "losses")):
            record[key][way] = [{row: [of[stage][of_rows][row] for of in found] for row in ROWS} for stage in range(3)]
        suites_of[way] = {s: {f: statistics.median(of[2]["suites"][s][f] for of in found) for f in base["suites"][s]} for s in base["suites"]}
    print(f"\nFinal tests, seeds: {a.seeds}; medians (least–most) of exact answers, of gsm8k of the loss; after the dot the loss:\n")

    def cell(row, values, losses):
        show = (lambda x: f"{x:.3f}") if row == "gsm8k" else (lambda x: f"{100 * x:.1f} %")
        low, high = show(min(values)), show(max(values))
        words = show(statistics.median(values)) + ("" if low == high else f" ({low.removesuffix(' %')}–{high.removesuffix(' %')})")
        return words if row == "gsm8k" else f"{words} · {statistics.median(losses):.3f}"

    print("| way | asked | base | " + " | ".join(f"after {s}" for s in STAGES) + " |\n|---|---|" + "---:|" * 4)
    for way in WAYS:
        for row in ROWS:
            cells = [cell(row, [base["rows"][row]], [base["losses"][row]])]
            cells += [cell(row, record["matrix"][way][stage][row], record["losses"][way][stage][row]) for stage in range(3)]
            print(f"| {way} | {row} | " + " | ".join(cells) + " |")
    print("\nAfter the last stage, by suite, exact answers and loss, medians:\n")
    print("| asked | base | " + " | ".join(WAYS) + " |\n|---|" + "---:|" * (1 + len(WAYS)))
    for suite, figures in base["suites"].items():
        def shown(of):
            values = [f"{100 * of['exact']:.1f} %"] if "exact" in of else []
            return " · ".join([*values, f"{of['loss']:.3f}"])
        cells = [shown(suites_of[way][suite]) for way in WAYS]
        print(f"| {suite} | {shown(figures)} | " + " | ".join(cells) + " |")
    (a.work / "matrix.json").write_text(json.dumps(record, indent=1))
    if a.svg:
        a.svg.write_text(draw.matrix(record))


if __name__ == "__main__":
    main()
