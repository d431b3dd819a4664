#!/usr/bin/env python3
"""The quickstart over several seeds, and the learning rate that it has. Standard library only.

    benches/quickstart/run.py --athanor target/release/athanor --work DIR [--seeds 3] [--rates 2e-3 5e-3 1e-2 2e-2]

With --rates, its plan lora.yaml is trained with each learning rate and seed 0: the one with the lowest validation loss of the task
is what the plans have, and nothing else chose it. Then `athanor quickstart` for each seed: prints a table of the figure that decides
each suite, medians with the range over the seeds, and how long each took.
"""
import argparse, json, pathlib, statistics, subprocess, time


def quiet(*words):
    subprocess.run([str(w) for w in words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def valid(run):
    return json.loads((run / "run.json").read_text())["final_valid_loss"]


def cell(values):
    middle, low, high = (100 * f(values) for f in (statistics.median, min, max))
    return f"{middle:.1f} %" if low == high else f"{middle:.1f} % ({low:.1f}–{high:.1f})"


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--athanor", type=pathlib.Path, required=True)
    p.add_argument("--work", type=pathlib.Path, required=True)
    p.add_argument("--seeds", type=int, default=3)
    p.add_argument("--rates", nargs="*", default=[])
    a = p.parse_args()
    a.athanor, a.work = a.athanor.absolute(), a.work.absolute()
    a.work.mkdir(parents=True, exist_ok=True)
    records = []
    for seed in range(a.seeds):
        out, begun = a.work / f"seed-{seed}", time.monotonic()
        if not (out / "quickstart.json").exists():
            quiet(a.athanor, "quickstart", "--out", out, "--seed", seed)
            print(f"seed {seed}: {time.monotonic() - begun:.0f} s")
        records.append(json.loads((out / "quickstart.json").read_text()))
    for rate in a.rates:
        run = a.work / f"rate-{rate}"
        if not (run / "run.json").exists():
            plan = a.work / "seed-0/lora.yaml"
            quiet(a.athanor, "train", plan, "--set", f"train.lr={rate}", "--set", f"out={run}", "--quiet")
        print(f"lr {rate}: validation loss {valid(run):.6f}")
    names = [way["name"] for way in records[0]["ways"]]
    print("\n| | before | " + " | ".join(names) + " |\n|---|---:|" + "---:|" * len(names))
    for i, suite in enumerate(records[0]["ways"][0]["eval"]["suites"]):
        def of(record, way, who):
            figures = record["ways"][way]["eval"]["suites"][i]["figures"]
            return next(f for f in figures if f["name"] == suite["verdict"])[who]["value"]
        cells = [cell([of(r, 0, "base") for r in records])]
        cells += [cell([of(r, way, "tuned") for r in records]) for way in range(len(names))]
        print("| " + " | ".join([suite["name"], *cells]) + " |")


if __name__ == "__main__":
    main()
