"""Commands: ``python -m validate``. Parse, call, print: progress and tables on stderr."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cscalc.cli import run_app
from validate.cli_deferral import deferral
from validate.cli_diagnose import diagnose
from validate.cli_dsia import dsia
from validate.cli_lossless import lossless
from validate.cli_options import (
    Device,
    DraftNames,
    Dtype,
    EngineName,
    Limit,
    MaxTokens,
    PromptsPath,
    Seed,
    Target,
    Temperature,
    Threads,
    TopK,
    TopP,
    check_output,
    console_of,
    lengths_of,
    models_of,
    progress_bars,
    sampling_of,
)

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Measure real models, choose their best cascade, run it losslessly, compare.",
)


@app.command()
def measure(
    output: Annotated[Path, typer.Option("-o", "--output", help="profile.json to write.")],
    target: Target = "smollm2-135m",
    drafts: DraftNames = "mid,tiny,max-gram",
    device: Device = "auto",
    dtype: Dtype = "auto",
    prompts: PromptsPath = None,
    limit: Limit = None,
    temperature: Temperature = 0.0,
    top_k: TopK = None,
    top_p: TopP = None,
    max_tokens: MaxTokens = 64,
    positions: Annotated[int, typer.Option(help="Time passes over 1..N positions.")] = 32,
    repeats: Annotated[int, typer.Option(help="Timed passes of each width.")] = 7,
    contexts: Annotated[
        str, typer.Option(help="Context lengths at which to time passes too: '128,512,2048'.")
    ] = "",
    seed: Seed = 0,
    threads: Threads = None,
    engine: EngineName = "eager",
) -> None:
    """Measure acceptance rates, costs and verification cost; write a profile.

    An interrupted measurement goes on where it stopped (see OUTPUT.records.jsonl).
    """
    from validate.measure import measure as run_measure
    from validate.prompts import load_prompts
    from validate.report_text import print_profile

    check_output(output)
    sampling = sampling_of(temperature, top_k, top_p)
    chosen = load_prompts(prompts, split="measure", limit=limit)
    models = models_of(target, drafts, device, dtype, threads, engine)
    with progress_bars() as progress:
        profile = run_measure(
            models, chosen, sampling=sampling, max_tokens=max_tokens, seed=seed,
            positions=positions, repeats=repeats, contexts=lengths_of(contexts),
            progress=progress,
            log=output.with_suffix(".records.jsonl"),
        )  # fmt: skip
    profile.save(output)
    print_profile(profile, console_of())
    typer.echo(f"written: {output}", err=True)


@app.command()
def run(
    output: Annotated[Path, typer.Option("-o", "--output", help="run.jsonl to write.")],
    plan: Annotated[Path, typer.Option(help="plan.json, or a cascade's JSON.")],
    target: Target = "smollm2-135m",
    drafts: DraftNames = "mid,tiny,max-gram",
    device: Device = "auto",
    dtype: Dtype = "auto",
    prompts: PromptsPath = None,
    limit: Limit = None,
    temperature: Temperature = 0.0,
    top_k: TopK = None,
    top_p: TopP = None,
    max_tokens: MaxTokens = 64,
    seed: Seed = 1,
    threads: Threads = None,
    engine: EngineName = "eager",
) -> None:
    """Decode prompts with a cascade and plainly, in turns; one JSON line a prompt."""
    from cscalc.cli import read_cascade
    from validate.prompts import load_prompts
    from validate.run import run as run_cascade

    check_output(output)
    sampling = sampling_of(temperature, top_k, top_p)
    cascade = read_cascade(str(plan))
    chosen = load_prompts(prompts, limit=limit)
    models = models_of(target, drafts, device, dtype, threads, engine)
    with progress_bars() as progress:
        run_cascade(
            cascade, models, chosen, sampling=sampling, max_tokens=max_tokens, seed=seed,
            log=output, progress=progress,
        )  # fmt: skip
    typer.echo(f"written: {output}", err=True)


@app.command()
def report(
    profile: Annotated[Path, typer.Option(help="profile.json of `measure`.")],
    plan: Annotated[Path, typer.Option(help="plan.json of `python -m cscalc optimal`.")],
    runs: Annotated[Path, typer.Option("--run", help="run.jsonl of `run`.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="report.html or report.json to write.")
    ] = None,
) -> None:
    """Set prediction, simulation and measurement side by side."""
    from cscalc.plan import Plan
    from cscalc.profile import Profile
    from cscalc.records import read_lines
    from validate.report import report as make_report

    if not runs.is_file():
        raise FileNotFoundError(f"{runs} does not exist: check the path")
    if output is not None:
        check_output(output)
    lines = list(read_lines(runs))
    if not lines or lines[0].get("schema") != "cscalc/records":
        raise ValueError(f"{runs} is not a run: make it with  python -m validate run")
    chosen = Plan.load(plan)
    records = [line["record"] for line in lines[1:]]
    settings = lines[0].get("experiment", {})
    made = make_report(chosen.cascade, Profile.load(profile), records, settings=settings)
    _show(made, chosen, output)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the report and JSON files.")] = Path(
        "demo-output"
    ),
    target: Target = "smollm2-135m",
    drafts: DraftNames = "mid,tiny,max-gram",
    device: Device = "auto",
    dtype: Dtype = "auto",
    prompts: PromptsPath = None,
    limit: Annotated[int | None, typer.Option(help="Prompts of each split.")] = None,
    temperature: Temperature = 0.0,
    max_tokens: MaxTokens = 64,
    seed: Seed = 0,
    threads: Threads = None,
    engine: EngineName = "eager",
) -> None:
    """Measure, choose, predict, simulate, run and report, in one go."""
    from cscalc.choose import optimal_for_prompts
    from cscalc.records import read_lines
    from validate.measure import measure as run_measure
    from validate.prompts import load_prompts
    from validate.report import report as make_report
    from validate.report_text import print_plan, print_profile
    from validate.run import run as run_cascade

    sampling = sampling_of(temperature, None, None)
    measured_on = load_prompts(prompts, split="measure", limit=limit)
    held_out = load_prompts(prompts, split="held-out", limit=limit)
    out.mkdir(parents=True, exist_ok=True)
    console = console_of()
    typer.echo(f"1/4  loading {target} and {drafts}", err=True)
    models = models_of(target, drafts, device, dtype, threads, engine)
    typer.echo("2/4  measuring acceptance and cost", err=True)
    with progress_bars() as progress:
        profile = run_measure(
            models, measured_on, sampling=sampling, max_tokens=max_tokens, seed=seed,
            progress=progress, log=out / "profile.records.jsonl",
        )  # fmt: skip
    profile.save(out / "profile.json")
    print_profile(profile, console)
    typer.echo("3/4  choosing the cascade", err=True)
    plan = optimal_for_prompts(profile)
    plan.save(out / "plan.json")
    print_plan(plan, console)
    typer.echo("4/4  running it beside plain decoding, prompt by prompt", err=True)
    runs = out / f"run-{plan_id(plan)}.jsonl"
    with progress_bars() as progress:
        records = run_cascade(
            plan.cascade, models, [*measured_on, *held_out], sampling=sampling,
            max_tokens=max_tokens, seed=seed + 1, log=runs, progress=progress,
        )  # fmt: skip
    settings = next(read_lines(runs))["experiment"]
    made = make_report(plan.cascade, profile, records, settings=settings)
    made.save(out / "report.json")
    _show(made, plan, out / "report.html")
    files = ", ".join(["profile.json", "plan.json", runs.name, "report.json"])
    typer.echo(f"JSON files: {files} in {out}/", err=True)


def plan_id(plan: Any) -> str:
    """Short name of a plan's cascade, so that runs of different cascades lie side by side."""
    from cscalc.records import run_id

    return run_id(plan.cascade.to_dict())[:8]


def _show(made: Any, plan: Any, output: Path | None) -> None:
    from cscalc._files import write_text
    from validate.report_html import render_html
    from validate.report_text import print_report

    print_report(made, console_of())
    if output is None:
        typer.echo(json.dumps(made.to_dict(), indent=1))
        return
    if output.suffix == ".html":
        write_text(output, render_html(made, plan))
    else:
        made.save(output)
    typer.echo(f"report: {output}", err=True)


app.command()(deferral)
app.command()(dsia)
app.command()(lossless)
app.command()(diagnose)


def main() -> None:
    """Entry point."""
    try:
        run_app(app, "python -m validate")
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        typer.echo(
            "error: the device ran out of memory: use smaller or fewer models, --dtype bfloat16, "
            "shorter replies or --device cpu",
            err=True,
        )
        sys.exit(2)


def out_of_memory(error: BaseException) -> bool:
    """Whether torch or Python could not allocate; told by name, so that torch is not loaded."""
    named = type(error).__name__ in ("OutOfMemoryError", "MemoryError")
    return named or "DefaultCPUAllocator" in str(error)
