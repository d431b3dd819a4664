#!/usr/bin/env python3
"""Peak memory of preparing and reading data sets of growing size: it must not grow with the file.

    benches/streaming/run.py [--mib 20 200] [--dir DIR] [--model examples/models/stories260K] [--release]

Writes a synthetic jsonl of each size (rows of varied length, made from a seed), prepares it with the `prepare` example of
the `data` crate in a process of its own, reads one packed epoch of it, and prints time, tokens and peak resident memory.
Exits 1 when the largest file's peak exceeds the smallest one's by more than 4 bytes an example (the lengths that are held)
plus 48 MiB (buffers of the allocator). `--mib 5120` is the 5 GB run of LOG.md.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WORDS = "the a model learns from each example it sees and what it has seen before stays in its weights until more comes".split()
SLACK_MIB = 48


def write(path, mib, seed=0):
    """Rows of 20 to 400 words; blocks of rows are repeated with a running number in front, so that writing is not the slow part."""
    rng = random.Random(seed)
    block = []
    for _ in range(2000):
        words = [rng.choice(WORDS) for _ in range(int(20 * 20 ** rng.random()))]
        cut = len(words) // 3
        block.append((" ".join(words[:cut]), " ".join(words[cut:])))
    size, number, limit = 0, 0, mib << 20
    with open(path, "w") as out:
        while size < limit:
            for prompt, completion in block:
                size += out.write(json.dumps({"prompt": f"{number} {prompt}", "completion": completion}) + "\n")
                number += 1


def build(release):
    command = ["cargo", "build", "--quiet", "-p", "data", "--example", "prepare"] + (["--release"] if release else [])
    subprocess.run(command, cwd=ROOT, check=True)
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    return os.path.join(target, "release" if release else "debug", "examples", "prepare")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mib", type=int, nargs="+", default=[20, 200])
    parser.add_argument("--dir", default=None)
    parser.add_argument("--model", default=os.path.join(ROOT, "examples/models/stories260K"))
    parser.add_argument("--release", action="store_true")
    args = parser.parse_args()
    program = build(args.release)
    runs = []
    for mib in sorted(args.mib):
        with tempfile.TemporaryDirectory(dir=args.dir) as folder:
            data = os.path.join(folder, "rows.jsonl")
            write(data, mib)
            said = subprocess.run([program, args.model, data, os.path.join(folder, "cache")], check=True, capture_output=True, text=True)
            run = {"mib": mib, **json.loads(said.stdout)}
            print(json.dumps(run), flush=True)
            runs.append(run)
    first, last = runs[0], runs[-1]
    allowed = first["peak_mib"] + 4 * (last["rows"] - first["rows"]) / (1 << 20) + SLACK_MIB
    flat = last["peak_mib"] <= allowed
    print(f"peak {first['peak_mib']:.0f} MiB at {first['mib']} MiB, {last['peak_mib']:.0f} MiB at {last['mib']} MiB: {'flat' if flat else 'GROWS'}")
    return 0 if flat else 1


if __name__ == "__main__":
    sys.exit(main())
