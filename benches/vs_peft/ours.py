"""Athanor's side: its plans and its runs."""
import json, re, shutil, statistics, subprocess
from measure import LR, MAX_GRAD_NORM, WEIGHT_DECAY, Failed, Run, environment, measured

# What each program sets in its plan. The least memory is found for each case; see `least`.
PLANS = {
    "athanor-f32": {"train.precision": "f32"},
    "athanor-bf16": {"train.precision": "bf16"},
    "athanor-nf4": {"train.precision": "bf16", "quantize": "nf4"},
    "athanor-least": {},
    "athanor-least-nf4": {"quantize": "nf4"},
    "athanor-equal-nf4": {"quantize": "nf4"},
}


def write_plan(a, case, sets, out, path):
    """JSON is YAML."""
    data = {"train": [{"path": str(case.rows)}], "loss_on": case.loss_on}
    if "prompt" in lines(case.rows)[0]:  # as bench_peer: nothing between the two
        data["template"] = "{prompt}{completion}"
    plan = {
        "model": str(case.model), "out": str(out), "data": data,
        "adapter": {"method": "lora", "r": a.r, "alpha": a.alpha, "dropout": 0.0, "targets": "all-linear", "start_from": str(case.start)},
        "train": {"steps": a.steps, "batch": len(case.counts), "lr": LR, "weight_decay": WEIGHT_DECAY, "clip": MAX_GRAD_NORM,
                  "schedule": "cosine", "warmup": a.warmup, "seq_len_max": a.seq_len, "checkpoint_every": a.steps, "threads": a.threads},
    }
    if sets.get("quantize") == "nf4":
        plan["quantize_cache"] = str(a.work / "bases")
    for key, value in sets.items():
        *parents, last = key.split(".")
        inner = plan
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[last] = value
    path.write_text(json.dumps(plan, indent=2) + "\n", encoding="utf-8")
    return path


def extra(a):
    return [x for s in a.set for x in ("--set", s)]


def least(a, case, sets):
    """The setting of the least memory with `sets`: one row a pass, and the smallest train.memory that is not refused."""
    sets = sets | {"train.precision": a.least_precision, "train.micro_tokens": case.longest(), "train.seq_len_max": case.longest(), "train.memory": 1}
    plan = write_plan(a, case, sets, case.work / "least", case.work / "least.yaml")
    done = subprocess.run([str(a.athanor), "train", str(plan), "--quiet", *extra(a)], capture_output=True, text=True, env=environment(a.threads))
    needed = re.search(r"needs (\d+) bytes of memory", " ".join((done.stdout + done.stderr).split()))
    if not needed:
        raise Failed(f"train.memory of 1 byte was not refused with what is needed:\n{done.stdout}{done.stderr}")
    return sets | {"train.memory": int(needed[1])}


def setting(a, case, program):
    if program == "athanor-equal-nf4":  # in the memory that bf16 needs at least
        return least(a, case, {}) | PLANS[program]
    return least(a, case, PLANS[program]) if program.startswith("athanor-least") else PLANS[program]


def words(sets):
    return " ".join(f"{k}={v}" for k, v in sets.items())


def run(a, case, sets, name):
    out = case.work / name
    shutil.rmtree(out, ignore_errors=True)
    plan = write_plan(a, case, sets, out, case.work / f"{name}.yaml")
    costs = measured([a.athanor, "train", plan, "--quiet", *extra(a)], case.work / f"{name}.log", environment(a.threads))
    steps = [m for m in lines(out / "metrics.jsonl") if "loss" in m]
    seconds = {t["step"]: t["seconds"] for t in lines(out / "timings.jsonl")}
    saw = [(m["tokens"], m["supervised_tokens"]) for m in steps]
    if set(saw) != {(case.tokens(), case.targets())}:
        raise Failed(f"{name}: trained on (tokens, targets) {saw} a step, the rows have {case.tokens(), case.targets()}")
    timed = [seconds[m["step"]] for m in steps if m["step"] > a.warmup]
    return Run(statistics.mean(timed), steps[-1]["tokens"], [m["loss"] for m in steps], [m["grad_norm"] for m in steps], **costs)


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
