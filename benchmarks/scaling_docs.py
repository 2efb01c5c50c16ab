"""Draws docs/scaling/*.svg and fills the tables of docs/scaling.md, from scaling.json and the shipped cost
model.

    python benchmarks/scaling_docs.py

Every config.json in benchmarks/models/ is a row of the table of large models.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from scaling import BASE, RESULTS, config_of_point
from scaling_fit import PROFILE, counts_of, prepared

from assay.cli.named import EXAMPLE, named
from assay.cli.output import amount
from assay.cost.estimate import Estimate, Figure, estimate
from assay.cost.model import shipped
from assay.cost.statement import Asked, Model
from assay.model import load_config

DOCS = Path(__file__).parents[1] / "docs"
MODELS = Path(__file__).parent / "models"
CORES = (2, 16, 64, 256)
LARGE = Asked(tokens=64, positions=8)
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 620, 380, 70, 20, 56, 50
COLOURS = ("#4477aa", "#ee6677", "#228833")
Pair = tuple[float, float]
Point = dict[str, Any]


# ---- drawing ----


@dataclass(frozen=True)
class Series:
    """Points, or a line through them."""

    label: str
    pairs: Sequence[Pair]
    line: bool = False


def chart(title: str, x_name: str, y_name: str, series: Sequence[Series]) -> str:
    """Both axes logarithmic."""
    xs, ys = ([pair[i] for s in series for pair in s.pairs] for i in (0, 1))
    x_axis = _Axis(min(xs), max(xs), LEFT, WIDTH - RIGHT)
    y_axis = _Axis(min(ys), max(ys), HEIGHT - BOTTOM, TOP)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="18" font-size="14">{escape(title)}</text>',
        *_ticks(x_axis, y_axis),
        f'<text x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 12}" text-anchor="middle">{escape(x_name)}</text>',
        f'<text transform="translate(14 {HEIGHT / 2}) rotate(-90)" text-anchor="middle">',
        f"{escape(y_name)}</text>",
    ]
    x = LEFT
    for one, colour in zip(series, COLOURS, strict=False):
        out.append(f'<circle cx="{x + 5}" cy="38" r="4" fill="{colour}"/>')
        out.append(f'<text x="{x + 14}" y="42">{escape(one.label)}</text>')
        x += 30 + 7 * len(one.label)
        places = [(x_axis.place(a), y_axis.place(b)) for a, b in one.pairs]
        if one.line:
            path = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
            out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        else:
            out += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="4" fill="{colour}"/>' for a, b in places]
    return "\n".join([*out, "</svg>\n"])


class _Axis:
    """From numbers to places, logarithmically."""

    def __init__(self, least: float, most: float, begin: float, end: float) -> None:
        self.least, self.most = least / 1.2, most * 1.2
        self.begin, self.end = begin, end

    def place(self, value: float) -> float:
        share = math.log(value / self.least) / math.log(self.most / self.least)
        return self.begin + share * (self.end - self.begin)

    def ticks(self) -> list[float]:
        """1, 2 and 5 times powers of ten; of many decades the powers alone."""
        decades = range(math.floor(math.log10(self.least)), math.ceil(math.log10(self.most)) + 1)
        steps = (1, 2, 5) if len(decades) < 4 else (1,)
        every = (step * 10.0**decade for decade in decades for step in steps)
        return [tick for tick in every if self.least <= tick <= self.most]


def _ticks(x_axis: _Axis, y_axis: _Axis) -> Iterable[str]:
    bottom = HEIGHT - BOTTOM
    for tick in x_axis.ticks():
        x = x_axis.place(tick)
        yield f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom}" stroke="#dddddd"/>'
        yield f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{_short(tick)}</text>'
    for tick in y_axis.ticks():
        y = y_axis.place(tick)
        yield f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#dddddd"/>'
        yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_short(tick)}</text>'


def _short(value: float) -> str:
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


# ---- the figures ----


def figures(points: list[Point]) -> dict[str, str]:
    """SVG by file name."""
    cost = shipped()

    def pair(point: Point) -> Pair:
        return _spent(point), cost.prove(point["features"])

    by_tokens = sorted(p["tokens"] for p in points if _differs(p, "tokens"))
    base = next(p for p in points if p["name"] == "base")
    line = [
        (tokens, cost.prove(counts_of({**base, "tokens": tokens}).features()))
        for tokens in range(by_tokens[0], by_tokens[-1] + 1, 8)
    ]
    least, most = (choose(map(_spent, points)) for choose in (min, max))
    sizes = [(_layer_weights(p), p) for p in points if _differs(p, "hidden", "inner", "heads", "kv")]
    return {
        "tokens.svg": chart(
            "Proving against tokens (hidden 512, 2 layers)",
            "tokens",
            "core-seconds",
            [
                Series("measured", [(p["tokens"], _spent(p)) for p in points if _differs(p, "tokens")]),
                Series("model", line, line=True),
            ],
        ),
        "layer.svg": chart(
            "Proving against the size of a layer (64 tokens, 2 layers)",
            "weights of a layer",
            "core-seconds",
            [
                Series("measured", [(size, _spent(p)) for size, p in sizes]),
                Series("predicted", [(size, cost.prove(p["features"])) for size, p in sizes]),
            ],
        ),
        "predicted.svg": chart(
            "Proving: predicted against measured, core-seconds",
            "measured",
            "predicted",
            [
                Series("fitted", [pair(p) for p in points if not p["held_back"]]),
                Series("held back", [pair(p) for p in points if p["held_back"]]),
                Series("equal", [(s, s) for s in (least, most)], line=True),
            ],
        ),
    }


def _spent(point: Point) -> float:
    return float(point["prove"]["core_s"])


def _differs(point: Point, *keys: str) -> bool:
    """Whether a point differs from the base in nothing else."""
    return all(point[key] == value for key, value in BASE.items() if key not in keys) and "model" not in point


def _layer_weights(point: Point) -> int:
    shapes = config_of_point(point).layer_shapes().values()
    return sum(math.prod(shape) for shape in shapes)


# ---- the tables ----


def errors() -> str:
    """Of all quantities, at points held back."""
    names = {
        "prove": "proving, core-seconds",
        "record": "recording, core-seconds",
        "verify": "verifying, seconds on one core",
        "register": "registering, core-seconds",
        "prove.memory": "memory, proving",
        "record.memory": "memory, recording",
        "proof_bytes": "size of the proof",
    }
    rows = [
        (names[q], f"{e['median']:.1%}", f"{e['worst']:.1%}", f"{e['points']:.0f}")
        for q, e in shipped().errors.items()
    ]
    return _table(("", "median error", "worst error", "points"), rows)


def gemma() -> str:
    """Beside what RESULTS.md has of Gemma 3 270M, format version 3: 64 tokens, 8 positions, 2 threads."""
    model = named(EXAMPLE)
    counted = Model(model.config, PROFILE.code, model.scales)
    recompute, stored = (_told(counted, 2, stored=stored).figures for stored in (False, True))

    def seconds(of: Mapping[str, Figure]) -> str:
        return f"{of['recording, time'].value + of['proving, time'].value:.1f} s"

    rows = (
        ("recording and proving, `recompute`", seconds(recompute), "14.3 s"),
        ("the same, `stored`", seconds(stored), "11.8 s"),
        ("verifying, one core", f"{recompute['verifying'].value:.2f} s", "0.40 s"),
        ("anonymous memory", amount(recompute["memory, proving"].value), "1.77 GB"),
        ("proof", amount(recompute["proof"].value), "10.6 MB"),
        ("registering (measured: with calibration)", _duration(recompute["registering, time"].value), "34 s"),
        ("disk, `recompute` / `stored`", f"{_disk(recompute)} / {_disk(stored)}", "0.94 GB / 9.6 GB"),
    )
    return _table(("", "predicted", "measured"), rows)


def _disk(of: Mapping[str, Figure]) -> str:
    return amount(of["disk, registered"].value)


def large() -> str:
    """Models beyond all that was measured, and which limits they pass."""
    head = ("", "core-seconds", *(f"{c} cores" for c in CORES), "verify", "memory", "work disk", "proof")
    head = (*head, "registering, core-hours", "registered: recompute / stored")
    paths = sorted(MODELS.glob("*.json"), key=_size)
    models = {_title(path): Model(load_config(path), PROFILE.code) for path in paths}
    limits = [
        (name, limit.what, f"{limit.found:,}", f"{limit.most:,}", f"{limit.found / limit.most:.1f}")
        for name, model in models.items()
        for limit in _told(model, 1).limits
    ]
    rows = [_large(name, model) for name, model in models.items()]
    return f"{_table(head, rows)}\n\n{_table(('', 'limit', 'would be', 'at most', 'times'), limits)}"


def _large(name: str, model: Model) -> tuple[str, ...]:
    told = {cores: _told(model, cores).figures for cores in CORES}
    of = {key: figure.value for key, figure in told[CORES[0]].items()}
    stored = _told(model, 1, stored=True).figures["disk, registered"].value
    return (
        name,
        f"{of['proving'] + of['recording']:,.0f}",
        *(
            _duration(sum(f[step].value for step in ("recording, time", "proving, time")))
            for f in told.values()
        ),
        _duration(of["verifying"]),
        amount(of["memory, proving"]),
        amount(of["disk while proving"]),
        amount(of["proof"]),
        f"{of['registering'] / 3600:,.1f}",
        f"{amount(of['disk, registered'])} / {amount(stored)}",
    )


def _title(path: Path) -> str:
    return path.stem.replace("-", " ").title().replace("b", "B")


def _told(model: Model, cores: int, *, stored: bool = False) -> Estimate:
    return estimate(model, PROFILE, LARGE, shipped(), cores=cores, stored=stored)


def _size(path: Path) -> int:
    return sum(math.prod(shape) for shape in load_config(path).tensor_shapes().values())


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def filled(text: str, name: str, content: str) -> str:
    """A document with a generated part replaced."""
    begin, end = f"<!-- {name}: benchmarks/scaling_docs.py -->", f"<!-- end of {name} -->"
    before, _, rest = text.partition(begin)
    return f"{before}{begin}\n\n{content}\n\n{end}{rest.partition(end)[2]}"


def main() -> None:
    points, _ = prepared(json.loads(RESULTS.read_text()))
    for name, drawing in figures(points).items():
        (DOCS / "scaling" / name).write_text(drawing)
    page = DOCS / "scaling.md"
    text = page.read_text()
    for name, content in (("errors", errors()), ("gemma", gemma()), ("large models", large())):
        text = filled(text, name, content)
    page.write_text(text)


if __name__ == "__main__":
    main()
