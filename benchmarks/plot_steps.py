"""Draws steps.svg from steps.json: where the time of a forward proof goes, a bar for each measured state.

python benchmarks/plot_steps.py
"""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
WIDTH, LEFT, BAR, GAP, TOP = 860, 150, 34, 22, 56
COLOURS = ["#4477aa", "#66ccee", "#228833", "#ccbb44", "#ee6677", "#aa3377", "#bbbbbb"]


def drawing(runs: list[dict[str, Any]]) -> str:
    """The figure; steps keep the order of the first run, and all that is small is in `other`."""
    steps = list(runs[0]["steps"])
    totals = [sum(run["steps"].values()) for run in runs]
    scale = (WIDTH - LEFT - 70) / max(totals)
    height = TOP + len(runs) * (BAR + GAP) + 12
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        'font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
    ]
    x = LEFT
    for step, colour in zip(steps, COLOURS, strict=True):
        out.append(f'<rect x="{x}" y="16" width="12" height="12" fill="{colour}"/>')
        out.append(f'<text x="{x + 16}" y="27">{escape(step)}</text>')
        x += 34 + 7 * len(step)
    for i, (run, total) in enumerate(zip(runs, totals, strict=True)):
        y, x = TOP + i * (BAR + GAP), float(LEFT)
        out.append(f'<text x="{LEFT - 8}" y="{y + 21}" text-anchor="end">{escape(run["label"])}</text>')
        for step, colour in zip(steps, COLOURS, strict=True):
            width = run["steps"][step] * scale
            out.append(f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{colour}"/>')
            if width > 30:
                out.append(
                    f'<text x="{x + width / 2:.1f}" y="{y + 21}" text-anchor="middle" fill="white">'
                    f"{run['steps'][step]:.1f}</text>"
                )
            x += width
        out.append(f'<text x="{x + 6:.1f}" y="{y + 21}">{total:.1f} s</text>')
    return "\n".join([*out, "</svg>\n"])


if __name__ == "__main__":
    (HERE / "steps.svg").write_text(drawing(json.loads((HERE / "steps.json").read_text())))
