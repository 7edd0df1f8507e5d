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
    MinP,
    PromptsPath,
    RepetitionPenalty,
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
    min_p: MinP = None,
    repetition_penalty: RepetitionPenalty = 1.0,
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
    sampling = sampling_of(temperature, top_k, top_p, min_p, repetition_penalty)
    chosen = load_prompts(prompts, split="measure", limit=limit)
    models = models_of(target, drafts, device, dtype, threads, engine)
    log = output.with_suffix(".records.jsonl")
    with progress_bars(log) as progress:
        profile = run_measure(
            models, chosen, sampling=sampling, max_tokens=max_tokens, seed=seed,
            positions=positions, repeats=repeats, contexts=lengths_of(contexts), log=log,
            progress=progress,
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
    min_p: MinP = None,
    repetition_penalty: RepetitionPenalty = 1.0,
    max_tokens: MaxTokens = 64,
    seed: Seed = 1,
    threads: Threads = None,
    engine: EngineName = "eager",
) -> None:
    """Decode prompts with a cascade and plainly, in turns; one JSON line a prompt.

    Speed-up, tokens per cycle and the number of equal texts are JSON on stdout. An interrupted
    run goes on where it stopped.
    """
    from cscalc.cli_arguments import read_cascade
    from validate.prompts import load_prompts
    from validate.report_summary import run_summary, summary_line
    from validate.run import run as run_cascade

    check_output(output)
    sampling = sampling_of(temperature, top_k, top_p, min_p, repetition_penalty)
    cascade = read_cascade(str(plan))
    chosen = load_prompts(prompts, limit=limit)
    models = models_of(target, drafts, device, dtype, threads, engine)
    with progress_bars(output) as progress:
        records = run_cascade(
            cascade, models, chosen, sampling=sampling, max_tokens=max_tokens, seed=seed,
            log=output, progress=progress,
        )  # fmt: skip
    found = run_summary(records)
    typer.echo(summary_line(found, greedy=temperature == 0.0), err=True)
    typer.echo(f"written: {output}", err=True)
    typer.echo(json.dumps({"output": str(output), **found}))


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
    from validate.report import report as make_report
    from validate.report_files import check_report_output, read_plan, read_profile, read_run

    if output is not None:
        check_report_output(output)
        check_output(output)
    settings, records = read_run(runs)
    measured, chosen = read_profile(profile), read_plan(plan)
    made = make_report(chosen.cascade, measured, records, settings=settings)
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
    log = out / "profile.records.jsonl"
    with progress_bars(log) as progress:
        profile = run_measure(
            models, measured_on, sampling=sampling, max_tokens=max_tokens, seed=seed,
            progress=progress, log=log,
        )  # fmt: skip
    profile.save(out / "profile.json")
    print_profile(profile, console)
    typer.echo("3/4  choosing the cascade", err=True)
    plan = optimal_for_prompts(profile)
    plan.save(out / "plan.json")
    print_plan(plan, console)
    typer.echo("4/4  running it beside plain decoding, prompt by prompt", err=True)
    runs = out / f"run-{plan_id(plan)}.jsonl"
    with progress_bars(runs) as progress:
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
