"""PEFT's side: its settings, the search for its fastest one, and its runs through the reference's bench_peer.py.

A setting is a list of bench_peer's options without --accum, which follows from the rows: a step is all of them. One word
more is ours: --intel-path runs it with MKL made to take its Intel code path on any processor.
"""
import json, subprocess, sys
from measure import LR, MAX_GRAD_NORM, WEIGHT_DECAY, Failed, Run, environment, measured

INTEL = "--intel-path"
F32, AUTOCAST, BF16 = ["--dtype", "float32"], ["--dtype", "bfloat16"], ["--dtype", "bfloat16", "--no-autocast"]
MODES = [F32, [*F32, INTEL], AUTOCAST, BF16]
ONE_ROW = ["--batch", "1"]
# A mode this close to the fastest one is tried with every batch, as its order may change there.
NEAR = 0.9


def settings(a):
    """The peer's programs except the fastest."""
    default = [*F32, "--batch", str(a.batch)]
    return {
        "peft-default": default,
        "peft-intel": [*default, INTEL],
        "peft-least": a.peer_least.split() if a.peer_least else [*BF16, "--grad-ckpt", *ONE_ROW],
        "peft-least-f32": [*F32, "--grad-ckpt", *ONE_ROW],
    }


# ------------------------------------------------------------------ running
def intel_library(work):
    """A library to preload that makes MKL take its Intel path: it asks this function."""
    library = work / "intel_path.so"
    if not library.exists():
        source = work / "intel_path.c"
        source.write_text("int mkl_serv_intel_cpu_true(void) { return 1; }\n")
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", str(library), str(source)], check=True)
    return library


def common(a, case):
    return [a.peer_python, a.bench_peer, "--model", case.model, "--data", case.rows, "--method", "lora", "--device", "cpu",
            "--threads", a.threads, "--r", a.r, "--alpha", a.alpha]


def start_adapter(a, case):
    """An adapter for all to start from: PEFT's own initial one. Its first step has learning rate 0, so that one step
    on a few tokens and saving gives the adapter as it was made."""
    if not (case.start / "adapter_model.safetensors").exists():
        command = [*common(a, case), "--dtype", "float32", "--seq-len", 8, "--train-on-prompt", "--steps", 1, "--warmup-steps", 2, "--save-adapter", case.start]
        measured(command, case.work / "start.log", environment(a.threads))


def option(setting, name):
    return setting[setting.index(name) + 1]


def accum(a, case, setting):
    units = bins([tokens for tokens, _ in case.counts], a.seq_len) if "--packing" in setting else len(case.counts)
    batch = int(option(setting, "--batch"))
    if units % batch:
        raise Failed(f"{words(setting)}: {units} rows are no whole number of batches")
    return units // batch


def run(a, case, setting, name, steps=None, warmup=None):
    out = case.work / f"{name}.json"
    command = [*common(a, case), "--seq-len", a.seq_len, "--lr", LR, "--weight-decay", WEIGHT_DECAY, "--max-grad-norm", MAX_GRAD_NORM,
               "--steps", steps or a.steps, "--warmup-steps", warmup or a.warmup, "--init-adapter", case.start, "--out", out,
               *[o for o in setting if o != INTEL], "--accum", accum(a, case, setting)]
    command += ["--train-on-prompt"] if case.loss_on == "all" else []
    preload = intel_library(a.work) if INTEL in setting else None
    costs = measured(command, case.work / f"{name}.log", environment(a.threads, preload))
    r = json.loads(out.read_text())
    if r["tokens_per_step"] != case.tokens():
        raise Failed(f"{name}: trained on {r['tokens_per_step']} tokens a step, the rows have {case.tokens()}")
    return Run(r["tokens_per_step"] / r["tokens_per_s"], r["tokens_per_step"], r["losses"], r["grad_norms"], **costs)


# ------------------------------------------------------------------ the fastest setting
def bins(lengths, size):
    """Packed rows that best-fit decreasing makes, which is what bench_peer --packing does."""
    free = []
    for n in sorted(lengths, reverse=True):
        fit = [f for f in free if f >= n]
        if fit:
            free.remove(min(fit))
        free.append((min(fit) if fit else size) - n)
    return len(free)


def layouts(a, case):
    """Ways to cut all rows into even batches: padded, and packed where that makes fewer."""
    even = lambda n: [str(d) for d in range(1, min(n, a.batch_max) + 1) if n % d == 0]
    packed = bins([tokens for tokens, _ in case.counts], a.seq_len)
    out = [["--batch", b] for b in even(len(case.counts))]
    return out + ([["--packing", "--batch", b] for b in even(packed)] if packed < len(case.counts) else [])


class Probe:
    """Runs of two steps, the second timed. First every mode of arithmetic one row a batch; then every layout with those
    modes that came near the fastest; then plain attention instead of PyTorch's fused one with the best of all."""

    def __init__(self, a, case):
        self.a, self.case, self.tried = a, case, []

    def attempt(self, setting):
        if any(setting == t["setting"] for t in self.tried):
            return
        try:
            run = self.run(setting)
        except Failed as e:
            print(f"probe {self.case.name}: {words(setting)}: {e}", file=sys.stderr, flush=True)
            return
        rate = run.tokens_per_step / run.step_s
        self.tried.append({"setting": setting, "tokens_per_s": rate, "peak_mib": run.peak_mib})
        print(f"probe {self.case.name}: {words(setting)}: {rate:.0f} tokens/s, {run.peak_mib:.0f} MiB", file=sys.stderr, flush=True)

    def run(self, setting):
        return run(self.a, self.case, setting, f"probe-{len(self.tried)}", steps=2, warmup=1)

    def best(self):
        if not self.tried:
            raise Failed("every setting of the peer failed")
        return max(self.tried, key=lambda t: t["tokens_per_s"])

    def all(self):
        for mode in MODES:
            self.attempt([*mode, *ONE_ROW])
        bar = NEAR * self.best()["tokens_per_s"]
        near = [mode for mode in MODES for t in self.tried if t["setting"] == [*mode, *ONE_ROW] and t["tokens_per_s"] >= bar]
        for mode in near:
            for layout in layouts(self.a, self.case):
                self.attempt([*mode, *layout])
        self.attempt([*self.best()["setting"], "--attn", "eager"])
        return self.best()["setting"], self.tried


def fastest(a, case):
    """The fastest setting, and what was tried: as given, from the last probe of this case, or from a new one."""
    given = a.peer_best.get(case.name) or a.peer_best.get("")
    if given:
        return given.split(), []
    saved = case.work / "probe.json"
    if a.reuse_probe and saved.exists():
        tried = json.loads(saved.read_text())
        return max(tried, key=lambda t: t["tokens_per_s"])["setting"], tried
    setting, tried = Probe(a, case).all()
    saved.write_text(json.dumps(tried, indent=1) + "\n")
    return setting, tried


def words(setting):
    return " ".join(setting)
