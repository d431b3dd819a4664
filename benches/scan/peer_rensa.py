"""Near duplicates with rensa, end to end: runs in an environment that has it, so only its import is not the standard library.

    peer_rensa.py RECORDS OUT dedup|batch|words

dedup: the deduplicator of its documentation over sets of five characters; it checks candidates against the threshold.
batch: its fastest way over full sets, one matrix of sketches and one call for all flags, over the same sets; nothing is checked.
words: the deduplicator over words, as the documentation splits texts.
"""
import json, sys

import rensa

THRESHOLD, PERMUTATIONS, BANDS, SEED, SHINGLE = 0.7, 128, 16, 42, 5


def texts(path):
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            yield row["id"], "\n".join(filter(None, (row["instruction"], row["input"], row["output"])))


def characters(text):
    text = text.lower()
    return list({text[i:i + SHINGLE] for i in range(max(1, len(text) - SHINGLE + 1))})


def main(records, out, how):
    ids = []

    def sets(tokens):
        for name, text in texts(records):
            ids.append(name)
            yield tokens(text)

    if how == "batch":
        matrix = rensa.RMinHash.digest_matrix_from_token_sets(sets(characters), num_perm=PERMUTATIONS, seed=SEED)
        index = rensa.RMinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS, num_bands=BANDS)
        flags = index.query_duplicate_flags_matrix_one_shot(matrix)
        found = {"members": [name for name, flag in zip(ids, flags) if flag]}
    else:
        tokens = characters if how == "dedup" else str.split
        index = rensa.RMinHashDeduplicator(threshold=THRESHOLD, num_perm=PERMUTATIONS, use_lsh=True, num_bands=BANDS)
        keep = index.add_pairs((str(i), these) for i, these in enumerate(sets(tokens)))
        found = {"removed": [name for name, kept in zip(ids, keep) if not kept]}
    with open(out, "w", encoding="utf-8") as file:
        json.dump(found, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
