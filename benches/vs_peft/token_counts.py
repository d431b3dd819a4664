#!/usr/bin/env python3
"""Print [tokens, targets] of each row of a jsonl file as a JSON list: token_counts.py MODEL ROWS all|response

Runs in the Python that has transformers. A row becomes tokens as in bench_peer.py: {"text"}, {"prompt", "completion"},
{"messages"} or alpaca's fields, with the end-of-text token after what has no chat template. Targets are the tokens that
are to be predicted: all but the first, or those of the answer (in conversations: of the last answer).
"""
import json, os, sys, warnings

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", TRANSFORMERS_VERBOSITY="error")
warnings.filterwarnings("ignore")
from transformers import AutoTokenizer  # noqa: E402


def encoded(tok, row):
    """(tokens of what is asked, tokens of the whole)"""
    if "instruction" in row:
        asked = row["instruction"] + ("\n\n" + row["input"] if row.get("input") else "")
        row = {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": row["output"]}]}
    if "messages" in row:
        m = row["messages"]
        if tok.chat_template:
            asked = tok.apply_chat_template(m[:-1], add_generation_prompt=True, return_dict=True)["input_ids"]
            return asked, tok.apply_chat_template(m, return_dict=True)["input_ids"]
        row = {"prompt": "\n".join(x["content"] for x in m[:-1]) + "\n", "completion": m[-1]["content"]}
    if "prompt" in row:
        return tok(row["prompt"])["input_ids"], tok(row["prompt"] + row["completion"] + tok.eos_token)["input_ids"]
    return [], tok(row["text"] + tok.eos_token)["input_ids"]


def count(tok, row, loss_on):
    asked, whole = encoded(tok, row)
    common = next((i for i, (x, y) in enumerate(zip(asked, whole)) if x != y), min(len(asked), len(whole)))
    return [len(whole), len(whole) - max(1, 0 if loss_on == "all" else common)]


def main():
    model, rows, loss_on = sys.argv[1:]
    tok = AutoTokenizer.from_pretrained(model)
    with open(rows, encoding="utf-8") as f:
        print(json.dumps([count(tok, json.loads(line), loss_on) for line in f if line.strip()]))


if __name__ == "__main__":
    main()
