#!/usr/bin/env python3
"""Tables from what run.py measured: report.py RESULT.json...

Several files are read as one: a case in a later file replaces the same case of an earlier one.
"""
import dataclasses, json, pathlib, statistics, sys

# The first step has learning rate 0, so that the first two see the same weights. In bf16 each program rounds in its own
# places, and AdamW's first update moves every weight by the same amount, in the wrong direction where rounding turned
# the sign of its gradient; what comes after that differs more. Later steps than the fourth drift and are not compared.
PARTS = {"first": slice(0, 2), "later": slice(2, 4)}
# Largest difference of a loss, and of a gradient norm in parts of it.
AGREE = {"f32": {"first": (1e-4, 1e-3), "later": (1e-4, 1e-3)}, "bf16": {"first": (2e-3, 1e-2), "later": (5e-2, 5e-2)}}
# Who must be met, where, and by how much: speeds at least, memory at most.
BEST, LEAST = "the fastest of PEFT's", "the smallest of PEFT's"


@dataclasses.dataclass(frozen=True)
class Claim:
    what: str
    kinds: tuple  # of the cases it is about
    field: str  # speed or memory
    ours: str
    theirs: str
    floor: float
    aim: float

    def met(self, ratio):
        holds = (lambda bound: ratio >= bound) if self.field == "speed" else (lambda bound: ratio <= bound)
        return "aim" if holds(self.aim) else "floor" if holds(self.floor) else "no"


ANY = ("full", "mixture", "other")
CLAIMS = [
    Claim("f32 against PEFT's default (f32), tokens/s", ("full", "other"), "speed", "athanor-f32", "peft-default", 2.4, 3.2),
    Claim("the same, PEFT's MKL on its Intel path", ("full", "other"), "speed", "athanor-f32", "peft-intel", 1.4, 1.9),
    Claim("bf16 against PEFT's best, tokens/s", ("full", "other"), "speed", "athanor-bf16", BEST, 1.9, 2.6),
    Claim("bf16 against PEFT's default, examples/s", ("mixture",), "speed", "athanor-bf16", "peft-default", 6.0, 10.0),
    Claim("bf16 against PEFT's best, examples/s", ("mixture",), "speed", "athanor-bf16", BEST, 2.2, 3.5),
    Claim("peak RSS, keep, f32, against PEFT's default", ANY, "memory", "athanor-f32", "peft-default", 1 / 3, 1 / 4),
    Claim("peak RSS, keep, bf16, against PEFT's default", ANY, "memory", "athanor-bf16", "peft-default", 1 / 3, 1 / 4),
    Claim("peak RSS, recompute, against PEFT's least", ANY, "memory", "athanor-least", LEAST, 1 / 3, 1 / 5),
    Claim("the same over NF4", ANY, "memory", "athanor-least-nf4", LEAST, 1 / 3, 1 / 5),
    Claim("NF4 against our own bf16, tokens/s", ANY, "speed", "athanor-nf4", "athanor-bf16", 0.95, 1.0),
    Claim("the same in the least memory of bf16", ANY, "speed", "athanor-equal-nf4", "athanor-least", 0.95, 1.0),
]


# ------------------------------------------------------------------ numbers
def median(case, program, field):
    return statistics.median(run[field] for run in case["programs"][program]["runs"])


def ran(case):
    return [name for name, p in case["programs"].items() if p["runs"]]


def opponent(case, claim):
    """The program that a claim is against, or None where it did not run."""
    peers = [name for name in ran(case) if name.startswith("peft")]
    if claim.theirs == BEST:  # a probe that was wrong must not help us
        return min(peers, key=lambda p: median(case, p, "step_s")) if "peft-best" in peers else None
    if claim.theirs == LEAST:
        return min(peers, key=lambda p: median(case, p, "peak_mib")) if "peft-least" in peers else None
    return claim.theirs if claim.theirs in ran(case) else None


def ratios(facts):
    """(claim, case's name, the program it is against, ratio) for every claim that was measured."""
    out = []
    for claim in CLAIMS:
        for name, case in facts["cases"].items():
            theirs = opponent(case, claim)
            if case["kind"] not in claim.kinds or claim.ours not in ran(case) or theirs is None:
                continue
            field = "step_s" if claim.field == "speed" else "peak_mib"
            ours, other = median(case, claim.ours, field), median(case, theirs, field)
            out.append((claim, name, theirs, other / ours if claim.field == "speed" else ours / other))
    return out


def arithmetic(case, program):
    setting = case["programs"][program]["setting"]
    return "f32" if "--dtype float32" in setting or "train.precision=f32" in setting else "bf16"


def differences(case):
    """Program: {"first": …, "later": …}, the largest difference of a loss and the largest relative one of a gradient norm
    to PEFT's default, or else to the first f32 program; None where there was no such step."""
    f32 = [p for p in ran(case) if arithmetic(case, p) == "f32"]
    reference = min(f32, key=lambda p: p != "peft-default", default=None)
    if reference is None:
        return {}

    def apart(program, steps):
        ours, theirs = (case["programs"][p]["runs"][0] for p in (program, reference))
        losses = [abs(x - y) for x, y in zip(ours["losses"][steps], theirs["losses"][steps])]
        norms = [abs(x - y) / y for x, y in zip(ours["grad_norms"][steps], theirs["grad_norms"][steps])]
        return (max(losses), max(norms)) if losses else None

    # Over NF4 the base is another one; tests hold it to PEFT's QLoRA.
    same = [p for p in ran(case) if "quantize=nf4" not in case["programs"][p]["setting"]]
    return {p: {part: apart(p, steps) for part, steps in PARTS.items()} for p in same}


def said(failure):
    """How a program ended, and the line that tells most of its last words."""
    lines = failure.strip().splitlines()
    ended = [line for line in lines if line.startswith("ended with")][:1]
    return " ".join([*ended, next((line for line in reversed(lines) if "error" in line.lower()), lines[-1])])


def wrong(facts):
    """What makes the comparison void, in words."""
    out = [f"{name}: {program} failed: {said(p['failed'])}"
           for name, case in facts["cases"].items() for program, p in case["programs"].items() if p["failed"]]
    for name, case in facts["cases"].items():
        for program, parts in differences(case).items():
            for part, apart in parts.items():
                for what, got, most in zip(("losses", "gradient norms"), apart or (), AGREE[arithmetic(case, program)][part]):
                    out += [f"{name}: {program}: {what} of its {part} steps differ by {got:.1e}, allowed {most:.0e}"] if not got <= most else []
    return out


# ------------------------------------------------------------------ tables
def share(facts, case, program, gflops):
    peak = facts["peak_gflops"][arithmetic(case, program)]
    return f"{100 * gflops / peak:.0f} %" if peak else "–"


def case_table(facts, name, case):
    lines = [f"### {name}", "",
             f"{case['rows']} rows, {case['tokens']} tokens, {case['targets']} targets and {case['flops'] / 1e12:.2f} TFLOP a step, {case['parameters'] / 1e6:.0f} M parameters", "",
             "| program | setting | tokens/s | min–max | examples/s | GFLOP/s | of peak | peak RSS, MiB | whole run, s | its CPU, s | load before | loss differs by | after an update | gradient norm | after an update |",
             "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"]
    apart = differences(case)
    for program in ran(case):
        p = case["programs"][program]
        rates = [case["tokens"] / run["step_s"] for run in p["runs"]]
        step, gflops = median(case, program, "step_s"), case["flops"] / 1e9 / median(case, program, "step_s")
        parts = [apart.get(program, {}).get(part) for part in PARTS]
        agree = " | ".join(f"{part[i]:.1e}" if part else "–" for i in (0, 1) for part in parts)
        peak, wall, cpu, load = (median(case, program, f) for f in ("peak_mib", "wall_s", "cpu_s", "load"))
        lines.append(f"| {program} | {p['setting']} | {case['tokens'] / step:.0f} | {min(rates):.0f}–{max(rates):.0f} | {case['rows'] / step:.2f} | {gflops:.0f} | "
                     f"{share(facts, case, program, gflops)} | {peak:.0f} | {wall:.1f} | {cpu:.1f} | {load:.1f} | {agree} |")
    return lines + [""]


def claims_table(facts):
    lines = ["### Ratios", "", "| what | case | against | ratio | floor | aim | met |", "|---|---|---|---:|---:|---:|---|"]
    lines += [f"| {c.what} | {name} | {theirs} | {ratio:.2f} × | {c.floor:.2f} × | {c.aim:.2f} × | {c.met(ratio)} |" for c, name, theirs, ratio in ratios(facts)]
    return lines + [""]


def report(facts):
    head = f"{facts['processor']}, {facts['threads']} threads, LoRA r {facts['r']} on all linear layers, {facts['timed_steps']} steps timed, medians of {facts['rounds']} rounds"
    lines = [head, "", *([f"Athanor with --set {' --set '.join(facts['set'])}", ""] if facts["set"] else [])]
    for name, case in facts["cases"].items():
        lines += case_table(facts, name, case)
    lines += claims_table(facts)
    lines += [f"- NOT COMPARABLE: {w}" for w in wrong(facts)]
    return "\n".join(lines)


def main():
    read = [json.loads(pathlib.Path(path).read_text(encoding="utf-8")) for path in sys.argv[1:]]
    if not read:
        sys.exit(__doc__)
    print(report(read[-1] | {"cases": {name: case for facts in read for name, case in facts["cases"].items()}}))


if __name__ == "__main__":
    main()
