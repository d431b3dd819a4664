#!/usr/bin/env python3
"""Judges what `athanor scan` finds against what is known to be there. Standard library only; README.md names the sets.

    benches/scan/judge.py --athanor target/release/athanor --work DIR [--material DIR] [--planted DIR] [--sets NAME ...] [--show N]

Prints a line for each figure, `MISSED` where a goal is not reached, and exits with 1 if there is one.
"""
import argparse, collections, csv, hashlib, json, pathlib, shutil, subprocess, sys, unicodedata

import truth

SCAN = ["scan", "{file}", "--out", "{out}", "--quiet"]
SCAN_AGAINST = ["scan", "{file}", "--eval", "{other}", "--out", "{out}", "--quiet"]
# 0: done; 40: done, and a gate failed.
DONE = (0, 40)

# Kinds of findings that name what the sets call so.
KEYS = {"api_key", "token"}
KINDS = {
    "CN_MOBILE": {"phone"}, "CN_LANDLINE": {"phone"}, "US_PHONE": {"phone"}, "INTL_PHONE": {"phone"}, "PHONE_NUMBER": {"phone"},
    "EMAIL": {"email"}, "EMAIL_ADDRESS": {"email"}, "IPV4": {"ip"}, "IPV6": {"ip"}, "IP_ADDRESS": {"ip"},
    "CN_ID": {"cn_id"}, "CN_PLATE": {"plate"}, "PASSPORT": {"passport"}, "WECHAT": {"wechat"}, "QQ": {"qq"},
    "CN_BANK_CARD": {"bank_card"}, "CREDIT_CARD": {"bank_card"}, "IBAN": {"iban"}, "IBAN_CODE": {"iban"}, "US_SSN": {"us_ssn"},
    "AWS_KEY": KEYS, "AWS_SECRET": KEYS, "OPENAI_KEY": KEYS, "GITHUB_TOKEN": KEYS, "SLACK_TOKEN": KEYS, "JWT": KEYS,
    "API_KEY": KEYS, "TOKEN": KEYS, "PRIVATE_KEY": {"private_key"}, "PASSWORD": {"password"},
    "PASSWORD_URL": {"url_password", "password"}, "URL_PASSWORD": {"url_password", "password"},
}
FAULTS = {
    # null is as good as absent, for training too.
    "wrong_type": {"wrong_type", "missing_field"},
    "empty_output": {"empty_text", "blank"}, "whitespace_only": {"blank", "empty_text"}, "control_chars": {"control_code", "nul"},
    "lang_mismatch": {"language_mismatch"}, "truncated_json": {"malformed_json"}, "leaked_role_tokens": {"role_token"},
    "exact_dup": {"exact"}, "mixed_controls": {"control_code", "bom", "zero_width"},
}
PRESIDIO = ("CREDIT_CARD", "EMAIL_ADDRESS", "IBAN_CODE", "US_SSN", "IP_ADDRESS")

# A text that is cut behind a whole sentence looks like one that is whole.
FOUND = {"truncated": 0.5}
# Faults that are in the real rows below the planted ones, by their `key`: each row was read. Another draw of the set may have others.
NATURAL = {
    "720fc47fb777": "asked in Chinese, answered in English",
    "5dc18444c151": "asked in Chinese, answered in English",
    "0f4e392a2660": "asked in Chinese, answered in English",
    "cd3961a4a766": "asked in Chinese, answered in English, begins with a stray 'e!'",
    "179f7ff95584": "asked in Chinese, answered in English",
    "182965720b89": "asked in Chinese, answered in English, begins with a stray 'e,'",
    "8833125a96d2": "asked in Chinese, answered in English",
    "dc6918e9ec83": "ends at a comma",
    "be0fb95da8e2": "ends in the middle of a sentence",
    "450deeea033d": "ends inside a code block",
    "c2c0e093a0be": "ends in the middle of a sentence",
    "ce892adbeeb8": "an AI that tells of itself",
    "1515b37b3528": "an AI that cannot",
    "7328645cd154": "an AI that cannot",
    "3fb7e165e475": "an AI that cannot",
    "ef166ec27ca6": "an AI that cannot",
    "59ab98091513": "### 输入：is left over from a template",
}

NEAR_RECALL, NEAR_PURE, ABOVE_RECALL = 0.95, 0.99, 0.97
PII, PHONES, PRESIDIO_RECALL, FALSE_ROWS = 0.98, 0.97, 0.95, 0.01
# Two spans are of the same thing where they share this much of the shorter one.
OVERLAP = 0.8


class Judge:
    """Figures with their goals, in the order in which they were found."""

    def __init__(self, a):
        self.a, self.lines, self.missed = a, [], 0

    def say(self, what, value, goal=None, most=False):
        bad = goal is not None and (value > goal if most else value < goal)
        self.missed += bad
        self.lines.append({"what": what, "value": value, "goal": goal, "missed": bad})
        against = "" if goal is None else f"  ({'at most' if most else 'at least'} {goal})"
        print(f"{'MISSED' if bad else '':<7}{what:<58}{value:>9.4f}{against}", flush=True)

    def show(self, what, examples):
        for example in examples[:self.a.show]:
            print(f"         {what}: {example}")

    def scan(self, name, file, other=None):
        """The findings of a file, beside another one with rows to be kept apart from it."""
        out = self.a.work / name
        shutil.rmtree(out, ignore_errors=True)
        parts = SCAN if other is None else SCAN_AGAINST
        command = [str(self.a.athanor), *(p.format(file=file, other=other, out=out) for p in parts)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode not in DONE:
            sys.exit(f"{' '.join(command)}\nended with {done.returncode}:\n{done.stderr[-2000:]}")
        return truth.findings(out)

    def texts(self, name, texts):
        """A file with a line for each text."""
        path = self.a.work / f"{name}.jsonl"
        path.write_text("".join(json.dumps({"text": t}, ensure_ascii=False) + "\n" for t in texts), encoding="utf-8")
        return path


def same(span, f):
    shared = min(span["end"], f["end"]) - max(span["start"], f["start"])
    return shared >= OVERLAP * max(1, min(span["end"] - span["start"], f["end"] - f["start"]))


def overlaps(span, f):
    return min(span["end"], f["end"]) > max(span["start"], f["start"])


def kinds_of(span):
    """What a finding of it may be called; the project's own records say it themselves."""
    return {span["kind"]} if "kind" in span else KINDS[span["type"]]


def place(line, field):
    return line, field or "text"


def judge_spans(judge, name, spans, negatives, found, goals, types=None):
    """`spans` and `negatives`: of each place (line, field), its spans. `goals`: recall and precision of each type."""
    found = [f for f in found if f["check"] in ("pii", "secret") and "start" in f]
    at = collections.defaultdict(list)
    for f in found:
        at[place(f["line"], f.get("field"))].append(f)
    hit, all_of, wrong, right = collections.Counter(), collections.Counter(), collections.Counter(), collections.Counter()
    missed = []
    for where, there in spans.items():
        for span in there:
            all_of[span["type"]] += 1
            if any(f["type"] in kinds_of(span) and same(span, f) for f in at[where]):
                hit[span["type"]] += 1
            else:
                missed.append((where, span["type"], span.get("value")))
    kinds = set().union(*(kinds_of(s) for there in spans.values() for s in there))
    false = []
    for where, there in at.items():
        for f in (f for f in there if f["type"] in kinds):
            if any(f["type"] in kinds_of(s) and same(s, f) for s in spans.get(where, [])):
                right[f["type"]] += 1
            else:
                wrong[f["type"]] += 1
                false.append((where, f["type"], f.get("why"), f["start"], f["end"]))
    recall_goal, precision_goal = goals
    for t in sorted(all_of):
        judge.say(f"{name}: recall of {t} ({all_of[t]})", hit[t] / all_of[t], recall_goal if types is None or t in types else None)
    wanted = None if types is None else set().union(*(KINDS[t] for t in types))
    for kind in sorted(kinds):
        if right[kind] + wrong[kind]:
            goal = precision_goal if wanted is None or kind in wanted else None
            judge.say(f"{name}: precision of {kind} ({right[kind] + wrong[kind]})", right[kind] / (right[kind] + wrong[kind]), goal)
    judge.show("missed", missed)
    judge.show("false", false)
    if negatives:
        count = sum(len(there) for there in negatives.values())
        flagged = [(where, s["type"], s["value"], f["type"], f.get("why")) for where, there in negatives.items() for s in there
                   for f in at[where] if overlaps(s, f)]
        judge.say(f"{name}: hard negatives flagged, of {count}", len(flagged), 0, most=True)
        judge.show("flagged", flagged)


def pii(judge, name, path):
    rows = list(truth.rows(path))
    file = judge.texts(name, (r["text"] for r in rows))
    spans = {(line, "text"): r["spans"] for line, r in enumerate(rows, 1)}
    negatives = {(line, "text"): r["hard_negatives"] for line, r in enumerate(rows, 1)}
    judge_spans(judge, name, spans, negatives, judge.scan(name, file), (PII, PII))


def phones(judge, name, path):
    rows = list(truth.rows(path))
    found = judge.scan(name, judge.texts(name, (r["text"] for r in rows)))
    at = collections.defaultdict(list)
    for f in found:
        if f["type"] == "phone" and "start" in f:
            at[f["line"]].append(f)
    spans = [(line, s) for line, r in enumerate(rows, 1) for s in r["phone_spans"]]
    missed = [(line, s["value"]) for line, s in spans if not any(same(s, f) for f in at[line])]
    judge.say(f"{name}: recall of phones ({len(spans)})", 1 - len(missed) / len(spans), PHONES)
    judge.show("missed", missed)


def presidio(judge, name, path):
    """Its loosely formed phones are reported and have no goal; persons, places and the like are no rules' work."""
    rows = json.loads(path.read_text(encoding="utf-8"))
    spans = {}
    for line, row in enumerate(rows, 1):
        spans[line, "text"] = [{"type": s["entity_type"], "value": s["entity_value"], "start": s["start_position"],
                                "end": s["end_position"]} for s in row["spans"] if s["entity_type"] in (*PRESIDIO, "PHONE_NUMBER")]
    found = judge.scan(name, judge.texts(name, (r["full_text"] for r in rows)))
    judge_spans(judge, name, spans, {}, found, (PRESIDIO_RECALL, PRESIDIO_RECALL), PRESIDIO)


def wide(c):
    """Ideographs, kana and hangul."""
    return "\u3040" <= c <= "\u30ff" or "\u3400" <= c <= "\u9fff" or "\uac00" <= c <= "\ud7a3" or c >= "\U00020000"


def shingles(text, units=4):
    """As the scan describes them: of letters and digits in NFKC and lower case, words apart by a space; four units each, of which
    an ideograph is two."""
    plain = "".join(c if c.isalnum() else " " for c in unicodedata.normalize("NFKC", text).lower())
    plain = " ".join(plain.split())
    plain = "".join(c for i, c in enumerate(plain) if c != " " or not wide(plain[i - 1]) and not wide(plain[i + 1]))
    found, first, held = set(), 0, 0
    for last, c in enumerate(plain):
        held += 1 + wide(c)
        while held - 1 - wide(plain[first]) >= units:
            held -= 1 + wide(plain[first])
            first += 1
        if held >= units:
            found.add(plain[first:last + 1])
    return found or {plain}


def jaccard(a, b):
    a, b = shingles(a), shingles(b)
    return len(a & b) / len(a | b)


def near(judge, name, rows, pairs, found):
    """`rows`: id, language and text in the order of the lines."""
    names = {line: row["id"] for line, row in enumerate(rows, 1)}
    text = {row["id"]: row["text"] for row in rows}
    language = {row["id"]: row["lang"] for row in rows}
    groups = truth.found_groups(found, names)
    of = collections.defaultdict(list)
    for p in pairs:
        of[p["label"], p["variant"]].append(groups.together(p["a"], p["b"]))
        of[p["label"], language[p["a"]]].append(groups.together(p["a"], p["b"]))
        if p["label"] == "dup":
            of["dup", "all"].append(groups.together(p["a"], p["b"]))
        if jaccard(text[p["a"]], text[p["b"]]) >= judge.a.threshold:
            of["above", language[p["a"]]].append(groups.together(p["a"], p["b"]))
    for (label, what), hits in sorted(of.items()):
        goal = NEAR_RECALL if (label, what) == ("dup", "all") else ABOVE_RECALL if label == "above" else None
        label = f"pairs of {judge.a.threshold} and more," if label == "above" else label
        judge.say(f"{name}: recall of {label} {what} ({len(hits)})", sum(hits) / len(hits), goal)
    known = truth.truth_groups(pairs)
    found_pairs = list(truth.pairs_of(groups.all()))
    false = [(a, b) for a, b in found_pairs if not known.together(a, b)]
    pure = [g for g in groups.all() if all(known.together(g[0], b) for b in g)]
    if groups.all():
        judge.say(f"{name}: groups that are right ({len(groups.all())})", len(pure) / len(groups.all()), NEAR_PURE)
        judge.say(f"{name}: pairs that are right ({len(found_pairs)})", 1 - len(false) / len(found_pairs))
    judge.show("not alike", [(a, b, f"{jaccard(text[a], text[b]):.2f}") for a, b in false])
    judge.show("not found", [(p["b"], p["variant"]) for p in pairs if p["label"] == "dup" and not groups.together(p["a"], p["b"])])


def near_dups(judge, name, folder):
    rows = list(truth.rows(folder / "near_dups.jsonl"))
    found = judge.scan(name, judge.texts(name, (r["text"] for r in rows)))
    near(judge, name, rows, list(truth.rows(folder / "near_dups_truth.jsonl")), found)


def faults(judge, name, file, planted):
    """`planted`: of each line, its fault."""
    found = judge.scan(name, file)
    on = collections.defaultdict(set)
    for f in found:
        if f["check"] == "fault" or f["type"] == "exact" and f["check"] == "duplicate":
            on[f["line"]].add(f["type"])
    lines = collections.defaultdict(list)
    for line, fault in planted.items():
        lines[fault].append(line)
    for fault, there in sorted(lines.items()):
        hits = [line for line in there if on[line] & FAULTS.get(fault, {fault})]
        judge.say(f"{name}: recall of {fault} ({len(there)})", len(hits) / len(there), FOUND.get(fault, 1.0))
        judge.show("missed", [(line, sorted(on[line])) for line in there if line not in hits])
    with open(file, "rb") as rows:
        count = sum(1 for _ in rows)
    false = [(line, sorted(kinds - {"exact"})) for line, kinds in sorted(on.items()) if kinds - {"exact"} and line not in planted]
    keys = [row and key(row) for row in truth.rows(file)]
    natural = [row for row in false if keys[row[0] - 1] in NATURAL]
    judge.say(f"{name}: rows flagged beyond the planted ones, of {count - len(planted)}", len(false) / (count - len(planted)))
    judge.say(f"{name}: of these really at fault, read one by one", len(natural))
    false = [row for row in false if row not in natural]
    judge.say(f"{name}: false rows, of {count - len(planted)}", len(false) / (count - len(planted)), FALSE_ROWS, most=True)
    judge.show("false", false)


def key(row):
    texts = (str(row.get(field) or "") for field in ("instruction", "input", "output"))
    return hashlib.sha256("\n".join(texts).encode(errors="surrogatepass")).hexdigest()[:12]


def dirty(judge, name, folder):
    planted = {t["line"]: t["fault"] for t in truth.rows(folder / "dirty_alpaca_truth.jsonl")}
    faults(judge, name, folder / "dirty_alpaca.jsonl", planted)


def leaks(judge, name, data):
    """Rows of banking77's test file that stand in its train file, but for case and punctuation."""
    known = json.loads((data / "planted/natural_dups_truth.json").read_text(encoding="utf-8"))["sets"]
    pairs = next(pairs for key, pairs in known.items() if "contamination" in key)
    files = {}
    for part in ("train", "test"):
        with open(data / f"banking77/{part}.csv", encoding="utf-8", newline="") as rows:
            files[part] = judge.texts(f"{name}-{part}", [r["text"] for r in csv.DictReader(rows)])
    found = judge.scan(name, files["train"], files["test"])
    leaked = {f["line"] for f in found if f["check"] == "leak" and pathlib.Path(f["file"]).name == files["test"].name}
    must = {test + 1 for test, _ in pairs}
    judge.say(f"{name}: leaked rows found, of {len(must)}", len(must & leaked) / len(must), 1.0)
    judge.say(f"{name}: other rows called leaked", len(leaked - must))
    judge.show("missed", sorted(must - leaked))
    judge.show("others", sorted(leaked - must))


def whole(row):
    return "\n".join(filter(None, (row["instruction"], row["input"], row["output"])))


def planted(judge, folder):
    """What `cargo xtask planted` wrote."""
    rows = list(truth.rows(folder / "records.jsonl"))
    found = judge.scan("planted", folder / "records.jsonl")
    texts = [{"id": r["id"], "lang": r["id"][:2], "text": whole(r)} for r in rows]
    near(judge, "planted near", texts, list(truth.rows(folder / "near_truth.jsonl")), found)
    if (folder / "pii_truth.jsonl").exists():
        spans, negatives = collections.defaultdict(list), collections.defaultdict(list)
        for t in truth.rows(folder / "pii_truth.jsonl"):
            (negatives if t.get("hard_negative") else spans)[t["line"], t["field"]].append(t)
        judge_spans(judge, "planted pii", spans, negatives, found, (PII, PII))
    if (folder / "faults_truth.jsonl").exists():
        lines = {t["line"]: t["fault"] for t in truth.rows(folder / "faults_truth.jsonl")}
        faults(judge, "planted faults", folder / "faults.jsonl", lines)


SETS = {
    "near_dups": lambda j, data: near_dups(j, "near_dups", data / "planted"),
    "pii_zh": lambda j, data: pii(j, "pii_zh", data / "planted/pii_zh.jsonl"),
    "pii_en": lambda j, data: pii(j, "pii_en", data / "planted/pii_en.jsonl"),
    "crosswoz": lambda j, data: phones(j, "crosswoz", data / "planted/crosswoz_val_phones.jsonl"),
    "presidio": lambda j, data: presidio(j, "presidio", data / "presidio/synth_dataset_v2.json"),
    "dirty": lambda j, data: dirty(j, "dirty", data / "planted"),
    "banking77": lambda j, data: leaks(j, "banking77", data),
}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--athanor", type=lambda path: pathlib.Path(path).resolve(), required=True)
    p.add_argument("--work", type=pathlib.Path, required=True)
    p.add_argument("--material", type=pathlib.Path, help="the folder above data/")
    p.add_argument("--planted", type=pathlib.Path, help="what cargo xtask planted wrote")
    p.add_argument("--sets", nargs="+", choices=[*SETS], default=[*SETS])
    p.add_argument("--threshold", type=float, default=0.7, help="that scan ships, for the recall of pairs above it")
    p.add_argument("--show", type=int, default=0, metavar="N", help="examples of what is missed or false")
    a = p.parse_args()
    a.work.mkdir(parents=True, exist_ok=True)
    judge = Judge(a)
    if a.material:
        for name in a.sets:
            SETS[name](judge, a.material / "data")
    if a.planted:
        planted(judge, a.planted)
    (a.work / "judged.json").write_text(json.dumps(judge.lines, indent=1))
    print(f"\n{len(judge.lines)} figures, {judge.missed} of them miss their goal")
    sys.exit(1 if judge.missed else 0)


if __name__ == "__main__":
    main()
