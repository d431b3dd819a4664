#!/usr/bin/env python3
"""Times `athanor scan` beside rensa and data-juicer on planted records. Standard library only; README.md says what is measured.

    benches/scan/run.py --athanor target/release/athanor --work DIR [--tokenizer DIR] [--million] [--require]
"""
import argparse, dataclasses, json, os, pathlib, shutil, statistics, subprocess, sys, time

import truth

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
ENGLISH, CHINESE = 100_271, 49_729
MILLION = 1_000_000

# What is installed for each peer, and what was installed when the figures of LOG.md were measured.
PEERS = {"rensa": ["rensa==0.5.0"], "dj": ["py-data-juicer==1.6.1", "aiohttp", "scipy", "torch"]}

# {records}, {out} and {tokenizer} are filled in.
ATHANOR = {
    "athanor near": ["scan", "{records}", "--only", "duplicates", "--out", "{out}", "--quiet"],
    "athanor all": ["scan", "{records}", "--out", "{out}", "--quiet"],
    "athanor tokens": ["scan", "{records}", "--tokenizer", "{tokenizer}", "--out", "{out}", "--quiet"],
}
RENSA = {"rensa": "dedup", "rensa batch": "batch", "rensa words": "words"}
DATA_JUICER = {"data-juicer": "space", "data-juicer characters": "character"}
# What takes many minutes is given the first rows only.
ROWS_MAX = {"data-juicer characters": 20_000}

# Exit codes of a scan that did its work: 40 says that a gate failed.
DONE = (0, 40)
RECORDS_PER_CPU_S = {"athanor near": 12_000, "athanor all": 5_000, "athanor tokens": 1_500}
PEAK_MIB_MAX = 1e9 / 2**20
TWICE_MAX = 2.1


@dataclasses.dataclass
class Run:
    cpu_s: float  # user and system, of the program and the processes it waited for
    wall_s: float
    peak_mib: float  # of the largest process
    rows: int


class Failed(Exception):
    pass


def measured(command, log, rows, codes=(0,), env=None):
    with open(log, "wb") as file:
        start = time.monotonic()
        child = subprocess.Popen([str(c) for c in command], stdout=file, stderr=subprocess.STDOUT, env=env)
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.monotonic() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode not in codes:
        tail = pathlib.Path(log).read_text(errors="replace")[-2000:]
        raise Failed(f"{' '.join(map(str, command))}\nended with {child.returncode}:\n{tail}")
    kib = usage.ru_maxrss if sys.platform == "linux" else usage.ru_maxrss / 1024
    return Run(usage.ru_utime + usage.ru_stime, wall, kib / 1024, rows)


def python_of(a, peer):
    """An environment with the peer in it, made where it is missing."""
    folder = a.work / f"venv-{peer}"
    python = folder / "bin/python"
    if not (folder / "ready").exists():
        print(f"installing {' '.join(PEERS[peer])}", flush=True)
        subprocess.run([a.python, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PEERS[peer]], check=True)
        (folder / "ready").touch()
    return python


def records_of(a, name, english, chinese, seed):
    """A folder with `records.jsonl` and its truth; made once."""
    folder = a.work / name
    if not (folder / "ready").exists():
        print(f"making {english + chinese:,} records", flush=True)
        subprocess.run(["cargo", "run", "--release", "--quiet", "-p", "xtask", "--", "planted", folder, "--english", str(english),
                        "--chinese", str(chinese), "--seed", str(seed)], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
        (folder / "ready").touch()
    return folder


def count(path):
    with open(path, "rb") as lines:
        return sum(1 for _ in lines)


def joined_texts(folder, rows):
    """The records as data-juicer reads them: one text each. Not timed."""
    path = folder / f"texts-{rows}.jsonl"
    if not path.exists():
        with open(path, "w", encoding="utf-8") as out:
            for row, _ in zip(truth.rows(folder / "records.jsonl"), range(rows)):
                text = "\n".join(filter(None, (row["instruction"], row["input"], row["output"])))
                out.write(json.dumps({"id": row["id"], "text": text}, ensure_ascii=False) + "\n")
    return path


def fresh(a, name):
    out = a.work / "out" / name.replace(" ", "-")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    return out


def athanor(a, name, folder):
    out = fresh(a, name)
    records = folder / "records.jsonl"
    given = {"records": records, "out": out / "scan", "tokenizer": a.tokenizer}
    command = [a.athanor, *(part.format(**given) for part in ATHANOR[name])]
    return measured(command, out / "log", count(records), DONE), out


def rensa(a, name, folder):
    out = fresh(a, name)
    records = folder / "records.jsonl"
    command = [python_of(a, "rensa"), HERE / "peer_rensa.py", records, out / "found.json", RENSA[name]]
    return measured(command, out / "log", count(records)), out


def data_juicer(a, name, folder):
    """Its program with its one operator, as its documentation runs it."""
    out = fresh(a, name)
    rows = min(ROWS_MAX.get(name, sum(a.rows)), sum(a.rows))
    plan = {"project_name": "near", "dataset_path": str(joined_texts(folder, rows)), "export_path": str(out / "kept.jsonl"),
            "np": os.cpu_count(), "use_cache": False,
            "process": [{"document_minhash_deduplicator": {"tokenization": DATA_JUICER[name]}}]}
    (out / "plan.yaml").write_text(json.dumps(plan))
    program = python_of(a, "dj").parent / "dj-process"
    return measured([program, "--config", out / "plan.yaml"], out / "log", rows), out


def program(name):
    return athanor if name in ATHANOR else rensa if name in RENSA else data_juicer


def right(name, folder, out, rows):
    """Recall and precision in each language, of what the last run found."""
    names = {line: row["id"] for line, row in enumerate(truth.rows(folder / "records.jsonl"), 1) if line <= rows}
    there = set(names.values())
    pairs = list(truth.rows(folder / "near_truth.jsonl"))
    if name in ATHANOR:
        found = {"removed": truth.removed_rows(truth.findings(out / "scan"), names)}
    elif name in RENSA:
        found = json.loads((out / "found.json").read_text())
    else:
        found = {"removed": there - {row["id"] for row in truth.rows(out / "kept.jsonl")}}
    score = truth.score_members if "members" in found else truth.score_removed
    found = set(next(iter(found.values())))
    return {language: score(found, pairs, {n for n in there if n.startswith(language)}) for language in ("en", "zh")}


def compare(a, folder):
    """All programs in turn, so that a slow minute of the machine meets each of them."""
    runs, last = {name: [] for name in a.programs}, {}
    for number in range(a.rounds):
        for name in a.programs:
            if name in DATA_JUICER and number >= a.slow_rounds:
                continue
            run, last[name] = program(name)(a, name, folder)
            runs[name].append(run)
            print(f"round {number + 1}  {name:<24}{run.rows / run.cpu_s:>10,.0f} records/CPU-s", flush=True)
    table = {}
    for name, timed in runs.items():
        speeds = [r.rows / r.cpu_s for r in timed]
        table[name] = {"rows": timed[0].rows, "records_per_cpu_s": statistics.median(speeds), "least": min(speeds),
                       "most": max(speeds), "records_per_s": statistics.median(r.rows / r.wall_s for r in timed),
                       "peak_mib": max(r.peak_mib for r in timed), "right": right(name, folder, last[name], timed[0].rows)}
    return table


def scaling(a, folder):
    """Time of a file twice as long over that of the file, in turn."""
    english, chinese = a.rows
    twice = records_of(a, f"twice-{english + chinese}", 2 * english, 2 * chinese, a.seed + 1)
    ratios = {}
    for name in (n for n in a.programs if n in ATHANOR):
        both = [(athanor(a, name, twice)[0], athanor(a, name, folder)[0]) for _ in range(a.rounds)]
        ratios[name] = {"cpu": statistics.median(two.cpu_s / one.cpu_s for two, one in both),
                        "wall": statistics.median(two.wall_s / one.wall_s for two, one in both)}
        print(f"twice as long  {name:<18}{ratios[name]['cpu']:.2f} CPU, {ratios[name]['wall']:.2f} wall", flush=True)
    return ratios


def million(a):
    english = MILLION * ENGLISH // (ENGLISH + CHINESE)
    folder = records_of(a, "million", english, MILLION - english, a.seed + 2)
    peaks = {}
    for name in (n for n in a.programs if n in ATHANOR and n != "athanor tokens"):
        run, _ = athanor(a, name, folder)
        peaks[name] = dataclasses.asdict(run)
        print(f"a million  {name:<18}{run.peak_mib:,.0f} MiB, {run.rows / run.cpu_s:,.0f} records/CPU-s", flush=True)
    return peaks


def goals(result):
    """(what, value, whether it is reached)"""
    table = result["programs"]
    for name, least in RECORDS_PER_CPU_S.items():
        if name in table:
            speed = table[name]["records_per_cpu_s"]
            yield f"{name}, records/CPU-s at least {least:,}", f"{speed:,.0f}", speed >= least
    for name, ratio in result.get("twice", {}).items():
        worst = max(ratio["cpu"], ratio["wall"])
        yield f"{name}, twice as long at most {TWICE_MAX} times", f"{worst:.2f}", worst <= TWICE_MAX
    for name, run in result.get("million", {}).items():
        yield f"{name}, peak of a million at most 1 GB", f"{run['peak_mib']:,.0f} MiB", run["peak_mib"] <= PEAK_MIB_MAX


def report(result):
    print(f"\n{result['bytes_per_row']:,.0f} bytes a row")
    print("\n| program | rows | records/CPU-s | records/s | MB/CPU-s | peak MiB | recall en, zh | precision en, zh |\n"
          "|---|---:|---:|---:|---:|---:|---:|---:|")
    for name, r in result["programs"].items():
        en, zh = r["right"]["en"], r["right"]["zh"]
        megabytes = r["records_per_cpu_s"] * result["bytes_per_row"] / 1e6
        print(f"| {name} | {r['rows']:,} | {r['records_per_cpu_s']:,.0f} ({r['least']:,.0f}–{r['most']:,.0f}) | "
              f"{r['records_per_s']:,.0f} | {megabytes:.1f} | {r['peak_mib']:,.0f} | "
              f"{en['recall']:.3f}, {zh['recall']:.3f} | {en['precision']:.3f}, {zh['precision']:.3f} |")
    near = result["programs"].get("athanor near")
    if near:
        for name, r in result["programs"].items():
            if name not in ATHANOR:
                print(f"\nathanor near is {near['records_per_cpu_s'] / r['records_per_cpu_s']:.1f} times as fast as {name}")
    met = True
    for what, value, reached in goals(result):
        print(f"{'reached' if reached else 'MISSED ':<8} {what}: {value}")
        met &= reached
    return met


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--athanor", type=lambda path: pathlib.Path(path).resolve(), help="without it only the peers run")
    p.add_argument("--work", type=pathlib.Path, required=True)
    p.add_argument("--tokenizer", type=pathlib.Path, help="a folder with tokenizer.json; adds 'athanor tokens'")
    p.add_argument("--programs", nargs="+", choices=[*ATHANOR, *RENSA, *DATA_JUICER])
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--rows", type=int, nargs=2, default=[ENGLISH, CHINESE], metavar=("ENGLISH", "CHINESE"))
    p.add_argument("--slow-rounds", type=int, default=1, help="of data-juicer, which takes minutes")
    p.add_argument("--seed", type=int, default=20_260_601)
    p.add_argument("--python", default=sys.executable, help="makes the peers' environments; 3.10 to 3.12 for data-juicer")
    p.add_argument("--scaling", action="store_true")
    p.add_argument("--million", action="store_true")
    p.add_argument("--require", action="store_true", help="exit status 1 where a goal is missed")
    a = p.parse_args()
    a.work = a.work.resolve()
    a.work.mkdir(parents=True, exist_ok=True)
    if not a.programs:
        ours = [n for n in ATHANOR if a.athanor and (a.tokenizer or n != "athanor tokens")]
        a.programs = [*ours, *RENSA, *DATA_JUICER]
    english, chinese = a.rows
    folder = records_of(a, f"records-{english + chinese}", english, chinese, a.seed)
    result = {"rows": a.rows, "seed": a.seed, "load": os.getloadavg()[0], "programs": compare(a, folder),
              "bytes_per_row": (folder / "records.jsonl").stat().st_size / sum(a.rows)}
    if a.scaling:
        result["twice"] = scaling(a, folder)
    if a.million:
        result["million"] = million(a)
    met = report(result)
    (a.work / "result.json").write_text(json.dumps(result, indent=1))
    sys.exit(1 if a.require and not met else 0)


if __name__ == "__main__":
    main()
