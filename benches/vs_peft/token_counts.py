#!/usr/bin/env python3
"""Print the number of tokens of each row of a jsonl file as a JSON list: token_counts.py MODEL ROWS

Runs in the Python that has transformers. A row becomes text as in bench_peer.py: {"text"}, {"prompt", "completion"},
{"messages"} or alpaca's fields, with the end-of-text token after what has no chat template.
"""
import json, os, sys, warnings

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", TRANSFORMERS_VERBOSITY="error")
warnings.filterwarnings("ignore")
from transformers import AutoTokenizer  # noqa: E402


def count(tok, row):
    if "instruction" in row:
        asked = row["instruction"] + ("\n\n" + row["input"] if row.get("input") else "")
        row = {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": row["output"]}]}
    if "messages" in row:
        if tok.chat_template:
            return len(tok.apply_chat_template(row["messages"], return_dict=True)["input_ids"])
        row = {"text": "\n".join(m["content"] for m in row["messages"])}
    text = row["prompt"] + row["completion"] if "prompt" in row else row["text"]
    return len(tok(text + tok.eos_token)["input_ids"])


def main():
    tok = AutoTokenizer.from_pretrained(sys.argv[1])
    with open(sys.argv[2], encoding="utf-8") as f:
        print(json.dumps([count(tok, json.loads(line)) for line in f if line.strip()]))


if __name__ == "__main__":
    main()
