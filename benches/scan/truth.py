"""What was planted, what was found, and how far they agree. Standard library only."""
import collections, itertools, json

# A finding counts from here on.
CONFIDENCE = 0.5
# Kinds of duplicates that say that whole rows are alike.
ALIKE = {"exact", "normalised", "near"}


def rows(path):
    """The lines of a file that are JSON; None for one that is not."""
    with open(path, "rb") as lines:
        for line in lines:
            try:
                yield json.loads(line)
            except ValueError:
                yield None


def findings(folder):
    return [f for f in rows(folder / "findings.jsonl") if f["confidence"] >= CONFIDENCE]


class Groups:
    """Things that were said to be alike, two or more at a time; alike is transitive."""

    def __init__(self):
        self.parent = {}

    def top(self, a):
        self.parent.setdefault(a, a)
        while self.parent[a] != a:
            self.parent[a] = self.parent[self.parent[a]]
            a = self.parent[a]
        return a

    def join(self, *members):
        for b in members[1:]:
            self.parent[self.top(b)] = self.top(members[0])

    def together(self, a, b):
        return a in self.parent and b in self.parent and self.top(a) == self.top(b)

    def all(self):
        groups = collections.defaultdict(list)
        for a in self.parent:
            groups[self.top(a)].append(a)
        return [g for g in groups.values() if len(g) > 1]


def truth_groups(pairs, labels=("dup", "borderline")):
    groups = Groups()
    for pair in pairs:
        if pair["label"] in labels:
            groups.join(pair["a"], pair["b"])
    return groups


def found_groups(found, names):
    """`names` gives what stands on a line, from 1. A group of templates alone is none: such rows are shown and kept."""
    members, copies = collections.defaultdict(list), set()
    for f in found:
        if f["check"] != "duplicate" or f.get("group") is None or f["type"] not in ALIKE | {"template"}:
            continue
        if f["type"] in ALIKE or f.get("keep"):
            members[f["group"]].append(names[f["line"]])
        if f["type"] in ALIKE:
            copies.add(f["group"])
    groups = Groups()
    for group in copies:
        groups.join(*members[group])
    return groups


def removed_rows(found, names):
    """Rows that cleaning drops as duplicates."""
    alike = (f for f in found if f["check"] == "duplicate" and f["type"] in ALIKE)
    return {names[f["line"]] for f in alike if not f.get("keep")}


def score_removed(removed, pairs, names):
    """Among the rows `names`. Recall: of the rows that a set without copies lacks, those removed, a group's at most its size
    less one. Precision: of the rows removed, those with a copy that stayed."""
    surplus, right, harmless = 0, 0, 0
    for labels in (("dup",), ("dup", "borderline")):
        groups = [names.intersection(g) for g in truth_groups(pairs, labels).all()]
        groups = [g for g in groups if len(g) > 1]
        harmless = sum(min(len(g & removed), len(g) - 1) for g in groups)
        if labels == ("dup",):
            surplus, right = sum(len(g) - 1 for g in groups), harmless
    return {"recall": right / max(1, surplus), "precision": harmless / max(1, len(names & removed))}


def score_members(members, pairs, names):
    """The same for a tool that names every row with a copy, and keeps none."""
    must, may = ({n for g in truth_groups(pairs, labels).all() if len(names.intersection(g)) > 1 for n in names.intersection(g)}
                 for labels in (("dup",), ("dup", "borderline")))
    members = members & names
    return {"recall": len(members & must) / max(1, len(must)), "precision": len(members & may) / max(1, len(members))}


def pairs_of(groups):
    return (pair for g in groups for pair in itertools.combinations(g, 2))
