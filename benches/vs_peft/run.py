#!/usr/bin/env python3
"""Train the same adapter on the same model and rows with PEFT and with Athanor, in turn, and compare.

    run.py --peer-python PY --bench-peer bench_peer.py --athanor target/release/athanor \\
           --model DIR --rows rows.jsonl [--threads 2] [--rounds 3] [--steps 8] [--out result.json]

Every optimiser step of either program sees all rows of the file once, so that their orders cannot differ in what they
compute, and both start from the same adapter, so that their losses must agree step by step. PEFT runs at its default
(padded batches) and at the fastest of the settings that a short probe tries. The programs take turns; the table shows
medians over the rounds. Exit status: 0; 1 if the losses differ, or a --require- bound does not hold; 2 usage.
Standard library only; see README.md.
"""
import argparse, dataclasses, json, os, pathlib, platform, shutil, statistics, subprocess, sys, time

LR, WEIGHT_DECAY, MAX_GRAD_NORM = 2e-4, 0.0, 1.0
# Names in bench_peer's options and what the probe combines; attention on the CPU is either PyTorch's fused or plain.
ATTENTION = ["sdpa", "eager"]


@dataclasses.dataclass
class Run:
    """What one run of one program came to."""
    tokens_per_s: float
    peak_mib: float
    wall_s: float
    cpu_s: float
    losses: list
    tokens_per_step: float


# ------------------------------------------------------------------ processes
def measured(command, log, env=None):
    """Runs `command` to its end: the peak of its resident memory in MiB, seconds on the clock, seconds of processor
    time, as the kernel counted them."""
    with open(log, "wb") as f:
        start = time.monotonic()
        child = subprocess.Popen([str(c) for c in command], stdout=f, stderr=subprocess.STDOUT, env=env)
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.monotonic() - start
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        tail = pathlib.Path(log).read_text(errors="replace")[-3000:]
        sys.exit(f"{' '.join(map(str, command))}\nended with {child.returncode}:\n{tail}")
    per_mib = 1024 if platform.system() == "Linux" else 1024 * 1024  # kilobytes there, bytes on macOS
    return usage.ru_maxrss / per_mib, wall, usage.ru_utime + usage.ru_stime


def environment(threads):
    """The same thread count for every library that reads one."""
    names = ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"]
    return os.environ | {n: str(threads) for n in names} | {"TOKENIZERS_PARALLELISM": "false", "PYTHONDONTWRITEBYTECODE": "1"}


# ------------------------------------------------------------------ the two programs
def run_peer(a, setting, steps, warmup, name):
    out = a.work / f"{name}.json"
    command = [a.peer_python, a.bench_peer, "--model", a.model, "--data", a.rows, "--method", "lora", "--device", "cpu",
               "--dtype", "float32", "--seq-len", a.seq_len, "--threads", a.threads, "--r", a.r, "--alpha", a.alpha,
               "--lr", LR, "--weight-decay", WEIGHT_DECAY, "--max-grad-norm", MAX_GRAD_NORM, "--steps", steps,
               "--warmup-steps", warmup, "--init-adapter", a.start, "--out", out, *setting]
    command += ["--train-on-prompt"] if a.loss_on == "all" else []
    costs = measured(command, a.work / f"{name}.log", environment(a.threads))
    r = json.loads(out.read_text())
    return Run(r["tokens_per_s"], *costs, r["losses"], r["tokens_per_step"])


def write_plan(a, out):
    """JSON is YAML."""
    plan = {
        "model": str(a.model), "out": str(out),
        "data": {"train": [{"path": str(a.rows)}], "loss_on": a.loss_on},
        "adapter": {"method": "lora", "r": a.r, "alpha": a.alpha, "dropout": 0.0, "targets": "all-linear", "start_from": str(a.start)},
        "train": {"steps": a.steps, "batch": a.row_count, "lr": LR, "weight_decay": WEIGHT_DECAY, "clip": MAX_GRAD_NORM,
                  "schedule": "cosine", "warmup": a.warmup, "seq_len_max": a.seq_len, "checkpoint_every": a.steps,
                  "precision": "f32", "threads": a.threads},
    }
    path = a.work / "plan.yaml"
    path.write_text(json.dumps(plan, indent=2) + "\n")
    return path


def run_athanor(a, name):
    out = a.work / name
    shutil.rmtree(out, ignore_errors=True)
    extra = [x for s in a.set for x in ("--set", s)]
    command = [a.athanor, "train", write_plan(a, out), "--quiet", *extra]
    costs = measured(command, a.work / f"{name}.log", environment(a.threads))
    read = lambda f: [json.loads(line) for line in (out / f).read_text().splitlines()]
    steps = [m for m in read("metrics.jsonl") if "loss" in m]
    seconds = {t["step"]: t["seconds"] for t in read("timings.jsonl")}
    timed = [m for m in steps if m["step"] > a.warmup]
    rate = sum(m["tokens"] for m in timed) / sum(seconds[m["step"]] for m in timed)
    return Run(rate, *costs, [m["loss"] for m in steps], statistics.mean(m["tokens"] for m in timed))


# ------------------------------------------------------------------ settings of the peer
def token_counts(a):
    """Tokens of each row as bench_peer makes them."""
    script = pathlib.Path(__file__).with_name("token_counts.py")
    out = subprocess.run([a.peer_python, script, a.model, a.rows], capture_output=True, text=True, check=True).stdout
    counts = json.loads(out)
    if max(counts) > a.seq_len:
        sys.exit(f"row {counts.index(max(counts)) + 1} has {max(counts)} tokens, --seq-len is {a.seq_len}: the programs would cut it differently")
    return counts


def bins(counts, size):
    """Packed rows that best-fit decreasing makes, which is what bench_peer --packing does."""
    free = []
    for n in sorted(counts, reverse=True):
        fit = [f for f in free if f >= n]
        if fit:
            free.remove(min(fit))
        free.append((min(fit) if fit else size) - n)
    return len(free)


def divisors(n):
    return [d for d in range(1, n + 1) if n % d == 0]


def candidates(a, counts):
    """Ways in which one optimiser step covers all rows: padded or packed, in micro-batches of each even size."""
    packed = bins(counts, a.seq_len)
    out = []
    for attention in ATTENTION:
        for batch in [d for d in divisors(len(counts)) if d <= a.batch_max]:
            out.append(["--attn", attention, "--batch", batch, "--accum", len(counts) // batch])
        if packed < len(counts):
            for batch in [d for d in divisors(packed) if d <= a.batch_max]:
                out.append(["--attn", attention, "--packing", "--batch", batch, "--accum", packed // batch])
    return out


def fastest(a, counts):
    """The fastest setting in a run of three steps, the first not timed, and what each came to."""
    tried = []
    for i, setting in enumerate(candidates(a, counts)):
        run = run_peer(a, setting, 3, 1, f"probe-{i}")
        tried.append((run.tokens_per_s, setting, run.peak_mib))
        print(f"probe: {words(setting)}: {run.tokens_per_s:.0f} tokens/s, {run.peak_mib:.0f} MiB", file=sys.stderr, flush=True)
    return max(tried, key=lambda t: t[0])[1], tried


def words(setting):
    return " ".join(map(str, setting))


# ------------------------------------------------------------------ comparison
def start_adapter(a):
    """An adapter for both to start from: PEFT's own initial one. Its first step has learning rate 0, so that one step
    on a few tokens and saving gives the adapter as it was made."""
    a.start = a.work / "start"
    if not (a.start / "adapter_model.safetensors").exists():
        command = [a.peer_python, a.bench_peer, "--model", a.model, "--data", a.rows, "--method", "lora", "--device", "cpu",
                   "--dtype", "float32", "--seq-len", 8, "--threads", a.threads, "--r", a.r, "--alpha", a.alpha, "--steps", 1,
                   "--warmup-steps", 2, "--save-adapter", a.start]
        measured(command, a.work / "start.log", environment(a.threads))


def compare_losses(a, runs):
    """Largest difference to PEFT's default over the first steps, for each program; later ones drift by rounding."""
    reference = runs["peft default"][0].losses[: a.agree_steps]
    return {name: max(abs(x - y) for x, y in zip(rs[0].losses, reference, strict=False)) for name, rs in runs.items()}


def median(runs, field):
    return statistics.median(getattr(r, field) for r in runs)


def table(a, runs, settings, differences):
    ours = runs["athanor"]
    lines = ["| program | setting | tokens/s | min–max | peak RSS, MiB | whole run, s | its CPU, s | loss differs by |",
             "|---|---|---:|---:|---:|---:|---:|---:|"]
    for name, rs in runs.items():
        rates = [r.tokens_per_s for r in rs]
        lines.append(f"| {name} | {settings[name]} | {median(rs, 'tokens_per_s'):.0f} | {min(rates):.0f}–{max(rates):.0f} | "
                     f"{median(rs, 'peak_mib'):.0f} | {median(rs, 'wall_s'):.1f} | {median(rs, 'cpu_s'):.1f} | {differences[name]:.1e} |")
    lines += ["", "| athanor against | speed | memory |", "|---|---:|---:|"]
    for name in list(runs)[1:]:
        speed, memory = ratios(ours, runs[name])
        lines.append(f"| {name} | {speed:.2f} × | {memory:.2f} × |")
    return "\n".join(lines)


def ratios(ours, theirs):
    return median(ours, "tokens_per_s") / median(theirs, "tokens_per_s"), median(ours, "peak_mib") / median(theirs, "peak_mib")


def verdict(a, runs, differences):
    """What does not hold, in words."""
    out = []
    tokens = {name: rs[0].tokens_per_step for name, rs in runs.items()}
    if len(set(tokens.values())) > 1:
        out.append(f"the programs saw different numbers of tokens a step: {tokens}")
    out += [f"{name}: losses of the first {a.agree_steps} steps differ by {d:.2e}, more than {a.agree:.0e}" for name, d in differences.items() if d > a.agree]
    for name in list(runs)[1:]:
        speed, memory = ratios(runs["athanor"], runs[name])
        if a.require_speed is not None and speed < a.require_speed:
            out.append(f"against {name}: speed {speed:.2f} ×, required {a.require_speed}")
        if a.require_memory is not None and memory > a.require_memory:
            out.append(f"against {name}: memory {memory:.2f} ×, allowed {a.require_memory}")
    return out


def arguments():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = ap.add_argument
    add("--peer-python", required=True, help="a Python with torch, transformers and peft")
    add("--bench-peer", required=True, type=pathlib.Path, help="the reference's bench_peer.py")
    add("--athanor", required=True, type=pathlib.Path), add("--model", required=True, type=pathlib.Path)
    add("--rows", required=True, type=pathlib.Path, help="jsonl; one optimiser step is all of it")
    add("--work", type=pathlib.Path, default=pathlib.Path("runs/vs_peft")), add("--out", type=pathlib.Path, help="everything measured, as JSON")
    add("--threads", type=int, default=os.cpu_count()), add("--rounds", type=int, default=3)
    add("--steps", type=int, default=8), add("--warmup", type=int, default=2, help="steps of learning-rate warm-up, which are not timed")
    add("--seq-len", type=int, default=512), add("--r", type=int, default=8), add("--alpha", type=float, default=16.0)
    add("--batch", type=int, default=4, help="padded micro-batch of PEFT's default"), add("--batch-max", type=int, default=4, help="largest micro-batch that the probe tries")
    add("--peer-fastest", help="bench_peer's options for its fastest setting, instead of a probe")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="passed to athanor")
    add("--loss-on", default="all", choices=["all", "response"])
    add("--agree", type=float, default=1e-4, help="largest difference of a loss"), add("--agree-steps", type=int, default=4)
    add("--require-speed", type=float, help="least speed ratio"), add("--require-memory", type=float, help="largest memory ratio")
    a = ap.parse_args()
    if not 2 <= a.warmup < a.steps:
        ap.error("--warmup is at least 2 (athanor reads 1 as a share) and below --steps")
    for key in ("bench_peer", "athanor", "model", "rows", "work"):
        setattr(a, key, getattr(a, key).resolve())
    a.alpha = int(a.alpha) if a.alpha.is_integer() else a.alpha
    return a


def main():
    a = arguments()
    a.work.mkdir(parents=True, exist_ok=True)
    counts = token_counts(a)
    a.row_count = len(counts)
    if a.row_count % a.batch:
        sys.exit(f"{a.row_count} rows are no whole number of micro-batches of {a.batch}: choose another --batch")
    start_adapter(a)
    default = ["--batch", a.batch, "--accum", a.row_count // a.batch]
    best, probed = (a.peer_fastest.split(), []) if a.peer_fastest else fastest(a, counts)
    programs = {
        "athanor": lambda n: run_athanor(a, n),
        "peft default": lambda n: run_peer(a, default, a.steps, a.warmup, n),
        "peft fastest": lambda n: run_peer(a, best, a.steps, a.warmup, n),
    }
    settings = {"athanor": " ".join(["f32", *a.set]), "peft default": words(default), "peft fastest": words(best)}
    runs = {name: [] for name in programs}
    for i in range(a.rounds):
        # Back and forth: what drifts (heat, other work) meets each program as often early as late.
        for name in list(programs) if i % 2 == 0 else reversed(programs):
            run = programs[name](f"{name.replace(' ', '-')}-{i}")
            runs[name].append(run)
            print(f"round {i + 1}: {name}: {run.tokens_per_s:.0f} tokens/s, {run.peak_mib:.0f} MiB", file=sys.stderr, flush=True)
    differences = compare_losses(a, runs)
    print(f"{a.model.name}, {a.row_count} rows, {sum(counts)} tokens a step, {a.threads} threads, {a.steps - a.warmup} steps timed, medians of {a.rounds} rounds\n")
    print(table(a, runs, settings, differences))
    failed = verdict(a, runs, differences)
    if a.out:
        facts = {"model": str(a.model), "rows": a.row_count, "tokens_per_step": sum(counts), "threads": a.threads, "steps": a.steps, "warmup": a.warmup,
                 "processor": processor(), "settings": settings, "probed": probed, "losses_differ_by": differences, "failed": failed,
                 "runs": {name: [dataclasses.asdict(r) for r in rs] for name, rs in runs.items()}}
        a.out.write_text(json.dumps(facts, indent=1) + "\n")
    for line in failed:
        print(line, file=sys.stderr)
    sys.exit(bool(failed))


def processor():
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        return next(l.partition(":")[2].strip() for l in lines if l.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


if __name__ == "__main__":
    main()
