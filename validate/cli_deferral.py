"""``python -m validate deferral``: speed against quality of speculative cascades."""

import json
from pathlib import Path
from typing import Annotated

import typer

from validate.cli_options import (
    Device,
    Dtype,
    Limit,
    MaxTokens,
    PromptsPath,
    Seed,
    Target,
    Threads,
    console_of,
    models_of,
    progress_bars,
    sampling_of,
)


def deferral(
    out: Annotated[Path, typer.Option(help="Folder for the record, the table and the picture.")],
    target: Target = "smollm2-135m",
    draft: Annotated[str, typer.Option(help="One autoregressive draft.")] = "mid",
    device: Device = "auto",
    dtype: Dtype = "auto",
    rules: Annotated[
        str,
        typer.Option(help="Also chowlog; see cscalc.deferral_front."),
    ] = "chow,diff,opt,token-v1,token-v2,token-v3,bild,lossy,lenient",
    thresholds: Annotated[
        str, typer.Option(help="Parted by commas; for every rule.")
    ] = "0.1,0.3,0.6",
    tasks: Annotated[
        str, typer.Option(help="prompts, copying, sums, last-word or a GSM8K file.")
    ] = "prompts,copying,sums,last-word",
    prompts: PromptsPath = None,
    limit: Limit = None,
    temperature: Annotated[float, typer.Option(help="0 is greedy.")] = 1.0,
    length: Annotated[int, typer.Option(help="Draft length, tokens.")] = 4,
    max_tokens: MaxTokens = 32,
    seed: Seed = 0,
    threads: Threads = None,
) -> None:
    """Sweep deferral rules: speed, perplexity under the target, accuracy, and the front.

    An interrupted run goes on where it stopped (see OUT/deferral.records.jsonl).
    """
    import numpy as np

    from cscalc._files import write_json
    from validate.deferral_picture import draw_front
    from validate.deferral_report import deferral_report
    from validate.deferral_run import jobs_of, run_deferral

    if out.is_file():
        raise ValueError(f"{out} is a file: give a folder for the results")
    names = [name.strip() for name in rules.split(",") if name.strip()]
    jobs = jobs_of(names, _numbers(thresholds))
    chosen = _chosen(tasks, prompts, limit, seed)
    sampling = sampling_of(temperature, None, None)
    models = models_of(target, draft, device, dtype, threads)
    if len(models) != 2 or models.one_shot:
        raise ValueError(
            f"deferral compares the target with one autoregressive draft, got {models.names[1:]}: "
            "give one such draft"
        )
    out.mkdir(parents=True, exist_ok=True)
    log = out / "deferral.records.jsonl"
    with progress_bars(log) as progress:
        records = run_deferral(
            models, chosen, jobs, sampling=sampling, length=length, max_tokens=max_tokens,
            seed=seed, log=log, progress=progress,
        )  # fmt: skip
    found = deferral_report(records, jobs, length=length, rng=np.random.default_rng(seed))
    write_json(out / "deferral.json", found.to_dict())
    draw_front(found, out / "deferral.png")
    _print(found)
    typer.echo(json.dumps(found.to_dict()))
    typer.echo(f"written: {out / 'deferral.json'}, {out / 'deferral.png'}", err=True)


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise ValueError(f"--thresholds must be numbers parted by commas, got {text!r}") from None


def _chosen(tasks: str, path: Path | None, limit: int | None, seed: int) -> list:  # type: ignore[type-arg]
    """Prompts and tasks that the options name; `limit` holds for each kind."""
    from validate.prompts import load_prompts
    from validate.tasks import KINDS, load_gsm8k, make_tasks

    chosen: list = []  # type: ignore[type-arg]
    for name in [part.strip() for part in tasks.split(",") if part.strip()]:
        if name == "prompts":
            chosen += load_prompts(path, limit=limit or 16)
        elif name in KINDS:
            chosen += make_tasks(name, limit or 16, seed=seed)
        else:
            chosen += load_gsm8k(name, limit)
    if not chosen:
        raise ValueError(f"--tasks names nothing: {tasks!r}; say prompts, copying, sums or a file")
    return chosen


def _print(found) -> None:  # type: ignore[no-untyped-def]
    from rich import box
    from rich.table import Table

    title = (
        f"draft length {found.length}; (expected); 95 % intervals over prompts; seq.: one token "
        "at a time"
    )
    table = Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for head in ("rule", "tokens/cycle", "speed-up", "perpl.", "agrees", "right"):
        table.add_column(head, no_wrap=True)
    for row in found.rows:
        name = row.side.replace(":speculative", "").replace(":sequential", ", seq.")
        table.add_row(
            name.replace(":", " "),
            f"{row.tokens_per_cycle:.2f} ({row.predicted_tokens:.2f})",
            f"{row.speed_up:.2f} [{row.low:.2f}, {row.high:.2f}] ({row.predicted_speed_up:.2f})",
            f"{row.perplexity:.2f}",
            f"{row.agreement:.0%}",
            "" if row.accuracy is None else f"{row.accuracy:.0%}",
        )
    console = console_of()
    console.print(table)
    front = ", ".join(
        p.rule if p.threshold is None else f"{p.rule} {p.threshold:g} ({p.execution})"
        for p in found.front.front
    )
    console.print(f"front (expected), from least loss to fastest: {front}")
    for finding in found.findings:
        console.print(
            f"{finding.claim}: {finding.verdict}; at equal expected loss {finding.gain:+.1%} "
            f"expected speed, 95 % [{finding.low:+.1%}, {finding.high:+.1%}], and "
            f"{finding.measured:+.1%} measured "
            f"[{finding.measured_low:+.1%}, {finding.measured_high:+.1%}]"
        )
