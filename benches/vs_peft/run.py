#!/usr/bin/env python3
"""Train the same adapter on the same model and rows with PEFT and with Athanor, in turn, and compare.

    run.py --peer-python PY --bench-peer bench_peer.py --athanor target/release/athanor --work DIR --out result.json \\
           --mixture alpaca_en.json alpaca_zh.json --tokenizer smol135m=DIR --tokenizer qwen0.5b=DIR \\
           [--cases NAME...] [--programs NAME...] [--threads 2] [--rounds 3] [--steps 3]

Cases are SHAPE-full and SHAPE-mixture for the shapes smol135m and qwen0.5b; their models and rows are made in the work
folder when they are not there. `--model DIR --rows FILE` is a case of one's own instead.

Every optimiser step of either program sees all rows of the case once, so that their orders cannot differ in what they
compute, and both start from the same adapter, so that losses and gradient norms must agree step by step. The programs
take turns; tables show medians over the rounds. Exit status: 0; 1 if a program failed, the losses differ, or a bound of
--require does not hold; 2 usage. Standard library only; see README.md.
"""
import argparse, dataclasses, functools, json, os, pathlib, subprocess, sys
import make_model, ours, peer, report, shapes
from measure import Case, Failed, processor

PROGRAMS = ["athanor-f32", "athanor-bf16", "athanor-nf4", "athanor-least", "athanor-least-nf4", "athanor-equal-nf4", "peft-default", "peft-intel", "peft-best", "peft-least", "peft-least-f32"]
CASES = {f"{shape}-{kind}": (shape, kind) for shape in shapes.SHAPES for kind in ("full", "mixture")}


# ------------------------------------------------------------------ cases
def made(a, shape):
    """The folder of a shape's model, made if need be."""
    out = a.work / "models" / (shape + (f"-{a.layers}" if a.layers else ""))
    args = [str(out), "--shape", shape, "--seq-len", str(a.seq_len), "--full-rows", str(a.full_rows), "--mixture-rows", str(a.mixture_rows),
            "--dtype", a.model_dtype, "--peer-python", str(a.peer_python)]
    args += ["--layers", str(a.layers)] if a.layers else []
    args += ["--tokenizer", str(a.tokenizers[shape])] if shape in a.tokenizers else []
    args += ["--mixture", *map(str, a.mixture)] if a.mixture else []
    make_model.make(make_model.parser().parse_args(args))
    return out


def case_of(a, name):
    if a.model:
        kind, model, rows, loss_on = "other", a.model, a.rows, a.loss_on
    else:
        shape, kind = CASES[name]
        model = made(a, shape)
        rows, loss_on = model / f"rows_{kind}.jsonl", {"full": "all", "mixture": "response"}[kind]
    work = a.work / (name + (f"-{a.layers}" if a.layers else ""))
    work.mkdir(parents=True, exist_ok=True)
    case = Case(name, model, rows, loss_on, kind, make_model.counted(a.peer_python, model, rows, loss_on), work,
                work / f"start-r{a.r}-alpha{a.alpha}")
    if case.longest() > a.seq_len:
        sys.exit(f"{rows}: a row has {case.longest()} tokens, --seq-len is {a.seq_len}: the programs would cut it differently")
    if kind == "full" and {tokens for tokens, _ in case.counts} != {a.seq_len}:
        sys.exit(f"{rows}: not every row has {a.seq_len} tokens: {case.counts}")
    return case


def facts_of(a, case):
    shape = shapes.of_folder(case.model)
    return {"kind": case.kind, "rows": len(case.counts), "tokens": case.tokens(), "targets": case.targets(), "counts": case.counts,
            "parameters": shape.parameters(), "flops": shapes.step_flops(shape, case.counts, a.r), "probe": [],
            "programs": {}}


# ------------------------------------------------------------------ rounds
def setting_of(a, case, facts, program):
    """(the side that a program belongs to, its setting)"""
    if program.startswith("athanor"):
        return ours, ours.setting(a, case, program)
    if program == "peft-best":
        setting, facts["probe"] = peer.fastest(a, case)
        return peer, setting
    return peer, peer.settings(a)[program]


def prepared(a, case, facts):
    """(program, function that runs it once under a name) for each program of the case whose setting was found."""
    out = []
    for program in a.programs:
        entry = facts["programs"][program] = {"setting": None, "runs": [], "failed": None}
        try:
            side, setting = setting_of(a, case, facts, program)
        except Failed as e:
            failed(case, program, entry, e)
            continue
        entry["setting"] = side.words(setting)
        out.append((program, functools.partial(side.run, a, case, setting)))
    return out


def failed(case, program, entry, error):
    entry["failed"] = str(error)
    print(f"{case.name}: {program} failed: {error}", file=sys.stderr, flush=True)


def rounds(a, case, facts, save):
    programs = prepared(a, case, facts)
    for i in range(a.rounds):
        # Back and forth: what drifts (heat, other work) meets each program as often early as late.
        for program, run in programs if i % 2 == 0 else programs[::-1]:
            entry = facts["programs"][program]
            if entry["failed"]:
                continue
            try:
                done = run(f"{program}-{i}")
            except Failed as e:
                failed(case, program, entry, e)
                continue
            entry["runs"].append(dataclasses.asdict(done))
            rate = done.tokens_per_step / done.step_s
            print(f"{case.name}, round {i + 1}: {program}: {rate:.0f} tokens/s, {done.peak_mib:.0f} MiB, {done.wall_s:.0f} s", file=sys.stderr, flush=True)
            save()


# ------------------------------------------------------------------ the command
def arguments():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = ap.add_argument
    add("--peer-python", required=True, help="a Python with torch, transformers and peft")
    add("--bench-peer", required=True, type=pathlib.Path, help="the reference's bench_peer.py")
    add("--athanor", required=True, type=pathlib.Path)
    add("--work", type=pathlib.Path, default=pathlib.Path("runs/vs_peft")), add("--out", type=pathlib.Path, help="everything measured, as JSON, saved after every run")
    add("--cases", nargs="+", choices=list(CASES), default=list(CASES)), add("--programs", nargs="+", choices=PROGRAMS, default=PROGRAMS)
    add("--mixture", type=pathlib.Path, nargs="+", default=[], help="alpaca files (JSON lists) for the cases of real lengths")
    add("--tokenizer", action="append", default=[], metavar="SHAPE=DIR", help="the tokenizer of a shape's model"), add("--mixture-rows", type=int, default=16), add("--full-rows", type=int, default=4)
    add("--model-dtype", default="bfloat16", choices=["bfloat16", "float32"], help="of the weight files that are made"), add("--layers", type=int, help="models of fewer layers, for trials")
    add("--model", type=pathlib.Path), add("--rows", type=pathlib.Path, help="jsonl; one optimiser step is all of it"), add("--loss-on", default="all", choices=["all", "response"])
    add("--threads", type=int, default=2), add("--rounds", type=int, default=3)
    add("--steps", type=int, default=3), add("--warmup", type=int, default=1, help="steps of learning-rate warm-up, which are not timed")
    add("--seq-len", type=int, default=512), add("--r", type=int, default=16), add("--alpha", type=int, default=32)
    add("--batch", type=int, default=4, help="padded batch of PEFT's default"), add("--batch-max", type=int, default=4, help="largest batch that the probe tries")
    add("--reuse-probe", action="store_true", help="take the fastest setting from this work folder's last probe, where there is one")
    add("--peer-best", action="append", default=[], metavar="[CASE=]OPTIONS", help='bench_peer\'s fastest setting, without --accum, instead of a probe: "smol135m-full=--dtype bfloat16 --batch 1"')
    add("--peer-least", metavar="OPTIONS", help="its setting of the least memory")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="passed to every athanor"), add("--least-precision", default="bf16", choices=["bf16", "f32"], help="of athanor-least")
    add("--peak-f32", type=float, default=0.0, metavar="GFLOPS", help="the processor's own limit with all threads together, as cargo bench -p kernels prints it")
    add("--peak-bf16", type=float, default=0.0, metavar="GFLOPS")
    add("--require", choices=["floor", "aim"], help="exit status 1 where a ratio does not reach it")
    return checked(ap)


def checked(ap):
    a = ap.parse_args()
    if not 1 <= a.warmup < a.steps:
        ap.error("--warmup is at least 1 and below --steps")
    if bool(a.model) != bool(a.rows):
        ap.error("--model and --rows belong together")
    a.tokenizers = {shape: pathlib.Path(folder).resolve() for shape, _, folder in (t.partition("=") for t in a.tokenizer)}
    if not set(a.tokenizers) <= set(shapes.SHAPES):
        ap.error(f"--tokenizer is SHAPE=DIR with a shape of {', '.join(shapes.SHAPES)}")
    a.peer_best = {case: options for case, _, options in (b.partition("=") if "=" in b else ("", "=", b) for b in a.peer_best)}
    a.cases = ["other"] if a.model else a.cases
    needs = {CASES[c][0] for c in a.cases if c in CASES and CASES[c][1] == "mixture"}
    if needs and (not a.mixture or needs - set(a.tokenizers)):
        ap.error(f"the cases of real lengths need --mixture and --tokenizer for {', '.join(sorted(needs))}")
    for key in ("bench_peer", "athanor", "work", "model", "rows"):
        setattr(a, key, getattr(a, key) and getattr(a, key).resolve())
    return a


def version(command):
    return subprocess.run([str(c) for c in command], capture_output=True, text=True).stdout.strip()


def main():
    a = arguments()
    a.work.mkdir(parents=True, exist_ok=True)
    facts = {"processor": processor(), "threads": a.threads, "rounds": a.rounds, "steps": a.steps, "timed_steps": a.steps - a.warmup, "r": a.r, "alpha": a.alpha,
             "seq_len": a.seq_len, "model_dtype": a.model_dtype, "set": a.set, "peak_gflops": {"f32": a.peak_f32, "bf16": a.peak_bf16},
             "versions": {"athanor": version([a.athanor, "--version"]), "peer": version([a.peer_python, "-m", "pip", "freeze"]).splitlines()}, "cases": {}}

    def save():
        if a.out:
            a.out.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")

    for case in [case_of(a, name) for name in a.cases]:
        peer.start_adapter(a, case)
        facts["cases"][case.name] = facts_of(a, case)
        rounds(a, case, facts["cases"][case.name], save)
        save()
    print(report.report(facts))
    missed = [f"{name}: {c.what}: {ratio:.2f} ×" for c, name, _, ratio in report.ratios(facts) if a.require and c.met(ratio) not in (a.require, "aim")]
    for line in missed:
        print(f"missed the {a.require}: {line}", file=sys.stderr)
    sys.exit(bool(missed or report.wrong(facts)))


if __name__ == "__main__":
    main()
