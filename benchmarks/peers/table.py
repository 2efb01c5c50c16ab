"""Results, as the runner stores them, as one page of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from benchmarks.peers.published import GPT2, HEADER

Results = Mapping[str, Any]
LINEAR = ("linear 64x64, 16 tokens", "linear 256x256, 16 tokens")
DECODER = "decoder layer, hidden 32, 8 tokens"
FAR = 1024  # tokens of GPT-2, which are extrapolated if they were not measured
QUIET = 2.0  # load up to which seconds by the clock say something
GOAL = 200  # how many times faster than ezkl the product of 256 x 256 is to be proven

PROOFS = (
    "case", "system", "set up s", "prove s", "verify s", "proof", "peak memory", "load", "relative error",
)  # fmt: skip


def page(results: Results) -> str:
    """The whole page: only what was measured is on it."""
    parts = [
        INTRODUCTION,
        _machine(results),
        _proofs(results),
        _ratios(results),
        DIFFERENCES,
        _gpt2(results),
        _records(results),
    ]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def _machine(results: Results) -> str:
    if (at := results.get("machine")) is None:
        return ""
    return (
        f"Measured on {at['cores']} cores of an {at['processor']}, {size(at['memory'])} of memory.\n"
        f"Where the load is above {QUIET:.0f}, other work took its share: only processor time says something."
    )


def grid(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table."""
    cells = list(header)
    lines = [cells, ["---"] * len(cells), *(list(map(str, row)) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def spent(time: Mapping[str, float] | None) -> str:
    """Wall and processor seconds."""
    return "" if time is None else f"{seconds(time['wall'])} / {seconds(time['cpu'])}"


def seconds(value: float) -> str:
    """Three digits."""
    return f"{value:.3f}" if value < 1 else f"{value:.3g}" if value < 100 else f"{value:.0f}"


def size(count: float | None) -> str:
    """Bytes in a unit that fits."""
    if count is None:
        return ""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if count >= scale:
            return f"{count / scale:.3g} {unit}"
    return f"{count} B"


# ---- linear layers and the decoder layer ----


def _proofs(results: Results) -> str:
    rows = [row for case in (*LINEAR, DECODER) for row in _case(case, results.get(case, {}))]
    if not rows:
        return ""
    note = "Seconds by the clock / of all threads; `load` is the load average before the proof was begun."
    return f"## Linear layers and a decoder layer\n\n{note}\n\n{grid(PROOFS, rows)}"


def _case(case: str, by_system: Results) -> list[list[str]]:
    rows = []
    for system, steps in by_system.items():
        if (run := _together(steps)) is None:
            continue
        rows.append(
            [
                case,
                f"{system}{_detail(run)}",
                spent(run.get("setup", run.get("register"))),
                spent(run["prove"]),
                spent(run["verify"]),
                size(run["proof_bytes"]),
                size(run["rss"]),
                str(run["load"]),
                f"{run['relative_error']:.1g}" if "relative_error" in run else "",
            ]
        )
    return rows


def _together(steps: Results) -> dict[str, Any] | None:
    """The figures of all steps, the peak of memory, the load before the proof; None if unfinished."""
    figures = {name: value for step in steps.values() for name, value in step.items()}
    if not {"prove", "verify"} <= figures.keys():
        return None
    proving = next(step for step in steps.values() if "prove" in step)
    return {**figures, "rss": max(step["rss"] for step in steps.values()), "load": proving["load"]}


def _detail(run: Results) -> str:
    if "logrows" in run:
        return f", 2^{run['logrows']} rows, proving key {size(run['pk_bytes'])}"
    return f", {run['bits']:.1f} bits proven"


def _ratios(results: Results) -> str:
    rows = []
    for case in (*LINEAR, DECODER):
        runs = {name: run for name, steps in results.get(case, {}).items() if (run := _together(steps))}
        if (theirs := runs.pop("ezkl", None)) is None:
            continue
        for name, ours in runs.items():
            wall, cpu = (theirs["prove"][part] / ours["prove"][part] for part in ("wall", "cpu"))
            quiet = max(theirs["load"], ours["load"]) <= QUIET
            rows.append([case, name, f"{wall:.0f}" if quiet else "", f"{cpu:.0f}"])
    if not rows:
        return ""
    head = ("case", "system", "ezkl's proving time over its, by the clock", "of all threads")
    note = f"The goal for 256x256 is {GOAL}. The clock is compared only where both ran on a quiet machine."
    return f"### Ratios\n\n{note}\n\n{grid(head, rows)}"


# ---- GPT-2 ----


def _gpt2(results: Results) -> str:
    steps = results.get("gpt2", {})
    runs = {int(key.split()[1]): step for key, step in steps.items() if key.startswith("prove ")}
    if not runs:
        return ""
    rows: list[list[object]] = [
        [p.title, p.tokens, p.prove, p.verify, p.proof, p.machine, p.hides, p.learns] for p in GPT2
    ]
    rows += [_ours(tokens, run, steps.get(f"verify {tokens}")) for tokens, run in sorted(runs.items())]
    cores: list[list[object]] = [
        [p.title, p.tokens, seconds(p.core_seconds)] for p in GPT2 if p.core_seconds is not None
    ]
    cores += [
        ["Assay, measured", tokens, seconds(run["prove"]["cpu"] / tokens)]
        for tokens, run in sorted(runs.items())
    ]
    if (far := _extrapolated(runs)) is not None:
        cores.append(["Assay, extrapolated, not measured", FAR, f"more than {seconds(far / FAR)}"])
    once = steps["register"]
    registered = f"{spent(once['register'])} s, {size(once['disk_bytes'])} on disk ({once['storage']})"
    return "\n\n".join(
        [
            "## GPT-2 small",
            GPT2_NOTE,
            grid(HEADER, rows),
            f"Registered once: {registered}.",
            CORES_NOTE,
            grid(("system", "tokens", "core s a token"), cores),
        ]
    )


def _ours(tokens: int, run: Results, verdict: Results | None) -> list[object]:
    return [
        f"Assay, measured, {run['bits']:.1f} bits proven",
        tokens,
        spent(run["prove"]),
        "" if verdict is None else seconds(verdict["verify"]["cpu"]),
        size(run["proof_bytes"]),
        f"2 cores, load {run['load']}; {size(run['rss'])}",
        "yes, over all proofs of an epoch",
        "tokens, and the logits that it asked for",
    ]


def _extrapolated(runs: Mapping[int, Results]) -> float | None:
    """Processor seconds for `FAR` tokens, on a line through the first and the last that were measured."""
    if len(runs) < 2 or FAR in runs:
        return None
    (a, first), (b, last) = (item for item in (min(runs.items()), max(runs.items())))
    slope = (last["prove"]["cpu"] - first["prove"]["cpu"]) / (b - a)
    return float(last["prove"]["cpu"] + slope * (FAR - b))


# ---- records ----


def _records(results: Results) -> str:
    runs = {name: steps["run"] for name, steps in results.get("records", {}).items() if "run" in steps}
    if not runs:
        return ""
    rows = [
        [
            name,
            run["tokens"],
            f"{run['bytes'] / run['tokens']:.1f}",
            *(f"{1e3 * run[part]['cpu'] / run['tokens']:.2f}" for part in ("make", "inference", "check")),
            run["result"],
        ]
        for name, run in runs.items()
    ]
    return f"## Records that are checked with the weights\n\n{RECORDS_NOTE}\n\n{grid(RECORDS, rows)}"


RECORDS = (
    "system",
    "tokens",
    "bytes a token",
    "make, ms a token",
    "the model again, ms a token",
    "check, ms a token",
    "outcome on an honest answer",
)

INTRODUCTION = """# Beside others

What proving costs here and elsewhere, measured on one machine where that is possible. Written by `python -m
benchmarks.peers` from `benchmarks/peers/results.json`: not to be edited. What is called published was not
measured here, and ran on other machines.
"""

DIFFERENCES = """
### What differs

- **ezkl** proves with Halo2 and KZG over BN254. Its proofs have some kilobytes and can be
  verified in a contract; Assay's are a hundred times as long. It needs a structured reference
  string from a trusted ceremony (here one made locally, whose secret this machine knew: for tests only),
  and keys for each circuit. Its soundness is that of pairings and discrete logarithms on BN254, commonly
  put at about 100 bits. Assay has no trusted set-up, relies on hash functions as random oracles, and its
  bits are proven, not conjectured.
- **What is committed.** ezkl's weights are fixed columns in the keys of one circuit, for one number of
  tokens. Assay's are one commitment for circuits of any length, hidden over as many proofs as its random
  symbols allow (`small`: 20, `default`: 150), after which it is refreshed. ezkl knows no such limit, but
  its commitments to fixed columns are not blinded, and each proof shows evaluations of them.
- **What is public.** Weights are hidden on both sides. Inputs and outputs of the linear layer are public on
  both sides; Assay's decoder layer is between two committed residual streams, which stay hidden, ezkl's
  between public ones.
- **Precision.** ezkl has fixed point in the scale that its calibration chose, tables for what is not
  linear, and cannot prove values beyond the ranges that it was calibrated on, -inf in a causal mask among
  them (it is -8 here). Assay has 16-bit weights and
  wider values between. It also proves the range of the input, and in a registered model clamps what does
  not fit.
- **Codes.** `small` has rate 1/4, rows of 2^12 cells and 194 queries, for weights as few as these;
  `default`, rate 5/16, rows of 2^17 cells and 216 queries, is that of registered models. With it a proof
  has a fixed cost of about 0.2 s of processor time, whatever it proves: masks, pads and one row each of
  witness in that length.
- **Set up** is, of ezkl, its `setup`, without calibration and reference string; of Assay, registration,
  with the proof that every weight is in range. Reading its keys is part of ezkl's proving, as in use, and
  recording part of Assay's.
"""

GPT2_NOTE = """Random weights, all 12 layers, from token ids to the logits of four ids at the last position
(not of the whole vocabulary, which others may prove), recording included; verified on one core. What is
published is what those systems prove, in a precision of their own, on the machine named. Times measured here
are seconds by the clock / of all threads, verification of its one thread; memory is with mapped files."""

CORES_NOTE = """Seconds of one core for a token; of published figures, their time by the clock times all
cores of the machine. An extrapolation is a line, and so too low: attention adds with the square of the
length."""

RECORDS_NOTE = """TOPLOC and Token-DiFR make no proof: what they record is checked by running the model
again, so that a verifier needs the weights, and trust in thresholds. They show that an answer is
statistically like one of the model: nothing to one without the weights, nothing that is certain for a
single token, and TOPLOC nothing of sampling. They cost next to nothing, which is their place. Gemma 3 270M:
served in bfloat16, checked in float32; milliseconds of processor time."""
