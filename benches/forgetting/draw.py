"""The plots of run.py and sequence.py as SVG. Standard library only.

    benches/forgetting/draw.py curves DIR/points.json tradeoff.svg
    benches/forgetting/draw.py matrix DIR/matrix.json sequence.svg
"""
import json, math, pathlib, statistics, sys

INK, GREY, RULE = "#222", "#666", "#e4e4e4"
# Colours that are told apart with any eyes, and a mark of its own for each way.
LOOKS = {
    "LoRA alone": ("#222222", "circle"),
    "LoRA, fewer steps": ("#7a7a7a", "cross"),
    "replay": ("#c44e00", "square"),
    "self-written replay": ("#00795a", "triangle"),
    "EWC": ("#0068b0", "diamond"),
    "replay 0.1 + EWC": ("#a0388a", "ring"),
}


def text(x, y, words, size=12, fill=INK, anchor="start", more=""):
    words = str(words).replace("&", "&amp;").replace("<", "&lt;")
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}" text-anchor="{anchor}"{more}>{words}</text>'


def page(width, height, parts):
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" font-family="Helvetica, Arial, sans-serif">'
    return "\n".join([head, f'<rect width="{width}" height="{height}" fill="#fff"/>', *parts, "</svg>"]) + "\n"


# --- what is learnt against what is forgotten -----------------------------------------------------

PANEL, TALL, LEFT, TOP, GAP = 470, 440, 64, 66, 76
# What lies further right is in the table alone.
FAR = 2.35


def mark(shape, x, y, colour, title):
    r = 4.5
    body = {
        "circle": f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r}" fill="{colour}"',
        "ring": f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r}" fill="#fff" stroke="{colour}" stroke-width="2"',
        "square": f'<rect x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8" fill="{colour}"',
        "triangle": f'<path d="M{x:.1f} {y - 5.5:.1f}l5.2 9h-10.4z" fill="{colour}"',
        "diamond": f'<path d="M{x:.1f} {y - 6:.1f}l5.5 6l-5.5 6l-5.5 -6z" fill="{colour}"',
        "cross": f'<path d="M{x - 4:.1f} {y - 4:.1f}l8 8m0 -8l-8 8" fill="none" stroke="{colour}" stroke-width="2"',
    }[shape]
    kind = body[1:].split(" ", 1)[0]
    return f"{body}><title>{title}</title></{kind}>"


class Labels:
    """Puts words beside points where they cover no line, point or other words."""

    def __init__(self, box):
        self.box, self.taken, self.dots, self.points = box, [], [], []

    def line(self, points):
        for (x, y), (x2, y2) in zip(points, points[1:]):
            n = max(1, int(math.hypot(x2 - x, y2 - y) / 4))
            self.dots += [(x + (x2 - x) * i / n, y + (y2 - y) * i / n, 2) for i in range(n)]
        self.dots += [(x, y, 7) for x, y in points]
        self.points += points

    def put(self, points, own, words, size, far, anchors=("start", "end", "middle")):
        wide, best = len(words) * size * (0.66 if size > 12 else 0.56), None
        left, top, right, bottom = self.box
        for nth, (px, py) in enumerate(points):
            for reach in range(10, far, 3):
                for turn in range(24):
                    angle = turn * math.pi / 12
                    x, y = px + reach * math.cos(angle), py + reach * math.sin(angle)
                    for anchor in anchors:
                        x0 = x - {"start": 0, "end": wide, "middle": wide / 2}[anchor]
                        y0, x1, y1 = y - size * 0.8, x0 + wide, y + size * 0.25
                        if x0 < left or x1 > right or y0 < top or y1 > bottom:
                            continue
                        hits = sum(x0 - m < a < x1 + m and y0 - m < b < y1 + m for a, b, m in self.dots)
                        over = sum(x0 < c + 5 and a - 5 < x1 and y0 < d + 3 and b - 3 < y1 for a, b, c, d in self.taken)
                        gap = math.hypot(max(x0 - px, 0, px - x1), max(y0 - py, 0, py - y1))
                        # Nearer to another line's point, they would be read as that one's.
                        away = lambda p: math.hypot(max(x0 - p[0], 0, p[0] - x1), max(y0 - p[1], 0, p[1] - y1))
                        wrong = sum(away(p) < gap + 6 for p in self.points if p not in own)
                        nx, ny = min(max(px, x0), x1), min(max(py, y0), y1)
                        leader = [(px + (nx - px) * i / 6, py + (ny - py) * i / 6) for i in range(7)] if gap > 13 else []
                        wrong += sum(math.dist(p, q) < 9 for p in self.points if p not in own for q in leader)
                        cost = 1000 * over + 200 * hits + 40 * wrong + gap + nth * 0.1
                        if best is None or cost < best[0]:
                            best = (cost, x0, y, (x0, y0, x1, y1), (px, py))
        _, x, y, box, to = best
        self.taken.append(box)
        near = min(max(to[0], box[0]), box[2]), min(max(to[1], box[1]), box[3])
        leader = ""
        if math.dist(near, to) > 13:
            leader = f'<path d="M{near[0]:.1f} {near[1]:.1f}L{to[0]:.1f} {to[1]:.1f}" stroke="{GREY}" stroke-width="0.8"/>'
        return x, y, leader


def curves(record):
    """Validation loss from left to right, what was forgotten upwards: a panel for each source, a line for each way."""
    sources = list(record["before"])
    points = record["points"]
    width = LEFT + len(sources) * PANEL + (len(sources) - 1) * GAP + 16
    height = TOP + TALL + 62
    low = min(p["valid"] for p in points) * 0.955
    high = min(max(p["valid"] for p in points) * 1.03, FAR)
    out = [text(LEFT, 24, "What is learnt, and what is forgotten for it: lower left is better", 16, more=' font-weight="600"')]
    for i, source in enumerate(sources):
        shown = [p for p in points if p["of"] in (None, source)]
        # What the base writes itself is the general data of the first source, and stands beside the others' own.
        if i:
            shown += [{**p, "way": "self-written replay"} for p in points if p["way"] == "replay" and p["of"] == sources[0]]
        named = {"replay": "self-written replay"} if not i else {}
        x0, y1 = LEFT + i * (PANEL + GAP), TOP + TALL
        top = max(p["rises"][i] for p in shown) * 1.06
        x = lambda v: x0 + math.log(v / low) / math.log(high / low) * PANEL
        y = lambda v: y1 - max(v, 0) / top * TALL
        before = record["before"][source]
        out.append(text(x0, TOP - 16, f"asked: {'stories the base wrote itself' if not i else source} (loss before: {before:.2f})", 13, more=' font-weight="600"'))
        step = 0.5 if top > 1.2 else 0.2
        for n in range(int(top / step) + 1):
            out.append(f'<path d="M{x0} {y(n * step):.1f}h{PANEL}" stroke="{RULE}"/>' + text(x0 - 8, y(n * step) + 4, f"{n * step:.1f}", 12, GREY, "end"))
        for v in (1.6, 1.7, 1.8, 1.9, 2, 2.1, 2.2, 2.5, 3, 3.5, 4, 5):
            if low <= v <= high:
                out.append(f'<path d="M{x(v):.1f} {TOP}v{TALL}" stroke="{RULE}"/>' + text(x(v), y1 + 18, f"{v:g}", 12, GREY, "middle"))
        out.append(f'<path d="M{x0} {TOP}V{y1}H{x0 + PANEL}" fill="none" stroke="{GREY}"/>')
        out.append(text(x0 + PANEL / 2, y1 + 40, "validation loss of the task, nats a token (log scale)", 12, INK, "middle"))
        mid = TOP + TALL / 2
        if not i:
            out.append(text(18, mid, "forgotten: rise of the loss on stories, nats a token", 12, INK, "middle", f' transform="rotate(-90 18 {mid})"'))
        labels, lines = Labels((x0 + 4, TOP + 2, x0 + PANEL - 2, y1 - 3)), {}
        for p in shown:
            lines.setdefault(p["way"], []).append(p)
        for way, line in lines.items():
            colour, shape = LOOKS[named.get(way, way)]
            at = [(x(p["valid"]), y(p["rises"][i])) for p in line]
            edge = x0 + PANEL
            for (a, b), (c, d) in zip(at, at[1:]):
                if (a > edge) != (c > edge):
                    at.append((edge, b + (d - b) * (edge - a) / (c - a)))
            at = sorted((q for q in at if q[0] <= edge), key=lambda q: q[1])
            labels.line(at)
            path = " ".join(f"{a:.1f},{b:.1f}" for a, b in at)
            dashes = ' stroke-dasharray="4 4"' if shape == "cross" else ""
            out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8"{dashes}/>')
            line[:] = [p for p in line if p["valid"] <= high]
            for p in line:
                a, b = x(p["valid"]), y(p["rises"][i])
                title = f"{named.get(way, way)}, {p['setting']}: {p['valid']:.3f}, {p['rises'][i]:+.3f}"
                out.append(mark(shape, a, b, colour, title))
        for way, line in lines.items():
            at = [(x(p["valid"]), y(p["rises"][i])) for p in line]
            words = named.get(way, way)
            a, b, leader = labels.put(at[1:-1] or at, at, words, 14, 130)
            out.append(leader + text(a, b, words, 14, LOOKS[words][0], more=' font-weight="600"'))
        for way, line in lines.items():
            for p in (line[0], line[-1]):
                at = [(x(q["valid"]), y(q["rises"][i])) for q in line]
                a, b, leader = labels.put([(x(p["valid"]), y(p["rises"][i]))], at, p["setting"], 11, 60)
                out.append(leader + text(a, b, p["setting"], 11, LOOKS[named.get(way, way)][0]))
    return page(width, height, out)


# --- tasks one after another ----------------------------------------------------------------------

CELL, ROW, NAMES, HEAD = 84, 44, 116, 92
SHOWN = {"banking77": "Banking77", "gsm8k": "GSM8K", "company": "company task", "general": "general skills"}
TITLES = {"none": "LoRA alone", "replay": "with replay", "EWC": "with EWC", "both": "with both"}


def shade(part):
    """From almost white to dark blue, and a colour to write in on it."""
    part = min(1.0, max(0.0, part))
    ends = [(0.0, (247, 247, 244)), (0.5, (120, 170, 208)), (1.0, (8, 64, 129))]
    (a, ca), (b, cb) = next(pair for pair in zip(ends, ends[1:]) if part <= pair[1][0])
    mix = [round(x + (z - x) * (part - a) / (b - a)) for x, z in zip(ca, cb)]
    return "#%02x%02x%02x" % tuple(mix), "#fff" if part > 0.6 else INK


def matrix(record):
    """A panel for each way: rows are what is asked, columns when; a frame where a task has just been learnt."""
    rows, stages, base = record["rows"], record["stages"], record["base"]
    middle = {way: [{row: statistics.median(v) for row, v in stage.items()} for stage in of] for way, of in record["matrix"].items()}
    losses = {way: [{row: statistics.median(v) for row, v in stage.items()} for stage in of] for way, of in record["losses"].items()}
    best = {row: middle["none"][stages.index(row)][row] if row in stages else base[row] for row in rows}
    start = {row: base[row] if row in stages else 0.0 for row in rows}
    wide, tall = NAMES + CELL * (1 + len(stages)), ROW * len(rows)
    width, height = 2 * wide + 76, HEAD + 2 * (tall + 88) + 16
    out = [text(20, 28, "Three tasks learnt one after another: what is left of each", 16, more=' font-weight="600"'),
           text(20, 48, "Exact answers and loss (nats a token) on rows never trained on; of GSM8K the loss alone. Orange frame: just learnt.", 12, GREY)]
    for i, way in enumerate(record["ways"]):
        x0, y0 = 20 + (i % 2) * (wide + 36), HEAD + (i // 2) * (tall + 88)
        note = ", ".join(f"{k} {x:g}" for k, x in zip(("share", "λ of the base", "λ of the run before"), record["settings"][i][1:]) if x)
        out.append(text(x0, y0, TITLES[way], 14, more=' font-weight="600"') + text(x0 + NAMES, y0, note, 11, GREY))
        for c, head in enumerate(["base", *(f"after {SHOWN[s].split()[0]}" for s in stages)]):
            out.append(text(x0 + NAMES + (c + 0.5) * CELL, y0 + 22, head, 11, GREY, "middle"))
        frames = []
        for r, row in enumerate(rows):
            y = y0 + 30 + r * ROW
            out.append(text(x0 + NAMES - 8, y + ROW / 2 + 4, SHOWN[row], 12, INK, "end"))
            for c in range(1 + len(stages)):
                value = base[row] if c == 0 else middle[way][c - 1][row]
                fill, ink = shade((value - start[row]) / (best[row] - start[row]))
                x = x0 + NAMES + c * CELL
                loss = record["base_losses"][row] if c == 0 else losses[way][c - 1][row]
                out.append(f'<rect x="{x}" y="{y}" width="{CELL - 2}" height="{ROW - 2}" fill="{fill}" stroke="#ddd"/>')
                if row == "gsm8k":
                    out.append(text(x + CELL / 2 - 1, y + ROW / 2 + 4, f"loss {loss:.2f}", 12, ink, "middle"))
                else:
                    out.append(text(x + CELL / 2 - 1, y + ROW / 2 - 2, f"{100 * value:.0f} %", 14, ink, "middle"))
                    out.append(text(x + CELL / 2 - 1, y + ROW / 2 + 13, f"loss {loss:.2f}", 10.5, ink, "middle"))
                if c and stages[c - 1] == row:
                    frames.append(f'<rect x="{x}" y="{y}" width="{CELL - 2}" height="{ROW - 2}" fill="none" stroke="#d55e00" stroke-width="3"/>')
        out += frames
    y = height - 22
    out.append(text(20, y, "Colour: part of what LoRA alone has right after learning it (general skills: of what the base has)", 12, GREY))
    out.append(text(width - 250, y, "none", 12, GREY, "end") + text(width - 250 + 188, y, "all", 12, GREY))
    for n in range(11):
        out.append(f'<rect x="{width - 244 + 16 * n}" y="{y - 12}" width="16" height="14" fill="{shade(n / 10)[0]}" stroke="#ddd"/>')
    return page(width, height, out)


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[1] not in ("curves", "matrix"):
        raise SystemExit(__doc__)
    record = json.loads(pathlib.Path(sys.argv[2]).read_text())
    pathlib.Path(sys.argv[3]).write_text({"curves": curves, "matrix": matrix}[sys.argv[1]](record), encoding="utf-8")
