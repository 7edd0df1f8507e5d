"""``python -m validate lossless``: test the decoder on the user's own models."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from validate.cli_options import (
    Device,
    DraftNames,
    Dtype,
    EngineName,
    MinP,
    PromptsPath,
    RepetitionPenalty,
    Seed,
    Target,
    Threads,
    TopK,
    TopP,
    check_output,
    console_of,
    models_of,
    progress_bars,
    sampling_of,
)

if TYPE_CHECKING:
    from rich.table import Table

    from validate.certificate_verdict import Certificate


def lossless(
    target: Target = "smollm2-135m",
    drafts: DraftNames = "mid,tiny,max-gram",
    cascade: Annotated[
        str | None,
        typer.Option(help="JSON, a file or a plan.json; default: 1 token of each draft in turn, "
                     "2 of a one-shot draft."),
    ] = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    prompts: PromptsPath = None,
    limit: Annotated[int, typer.Option(help="Use so many prompts, the shortest.")] = 4,
    temperature: Annotated[float, typer.Option(help="0: greedy texts only.")] = 0.7,
    top_k: TopK = None,
    top_p: TopP = None,
    min_p: MinP = None,
    repetition_penalty: RepetitionPenalty = 1.0,
    samples: Annotated[int, typer.Option(help="Replies in all.")] = 400,
    max_tokens: Annotated[int, typer.Option(help="Tokens a reply.")] = 16,
    greedy_tokens: Annotated[int, typer.Option(help="Tokens of each greedy text.")] = 64,
    false_alarm: Annotated[
        float, typer.Option(help="Chance that a lossless decoder fails.")
    ] = 1e-3,
    seed: Seed = 0,
    threads: Threads = None,
    engine: EngineName = "eager",
    output: Annotated[
        Path | None, typer.Option("-o", "--out", help="certificate.json to write.")
    ] = None,
) -> None:  # fmt: skip
    """Test that a cascade writes text of the target's own law; exit status 1 if it does not.

    Counts against the target's law, place by place, bonus and corrected tokens apart; greedy
    texts token by token. Exit status 3: nothing fails, but a group of comparisons had too few
    tokens (raise --samples). The certificate is JSON.
    """
    from cscalc.cli_arguments import read_cascade
    from validate.certificate import certify
    from validate.measure import encode
    from validate.prompts import load_prompts

    if output is not None:
        check_output(output)
    sampling = sampling_of(temperature, top_k, top_p, min_p, repetition_penalty)
    chosen = None if cascade is None else read_cascade(cascade)
    loaded = load_prompts(prompts)
    if limit < 1:
        raise ValueError(f"--limit must be >= 1, got {limit}")
    models = models_of(target, drafts, device, dtype, threads, engine)
    texts = sorted((encode(models, prompt) for prompt in loaded), key=len)[:limit]
    with progress_bars() as progress:
        found = certify(
            chosen or default_cascade(models), models, texts, sampling=sampling,
            samples=samples, max_tokens=max_tokens, greedy_tokens=greedy_tokens,
            false_alarm=false_alarm, seed=seed, progress=progress,
        )  # fmt: skip
    console = console_of()
    if found.comparisons:
        console.print()
        console.print(table_of(found))
    for number, check in enumerate(found.greedy):
        console.print(f"greedy text {number}: {check}", markup=False, highlight=False)
    if found.rounded:
        said = (
            f"{found.rounded} tokens lie at the edge of the law, by rounding; they are not counted"
        )
        console.print(said, markup=False, highlight=False)
    if found.comparisons and found.experiment["dtype"] in ("bfloat16", "float16"):
        console.print(
            "in 16 bits the law is known up to rounding only: many samples would show that; "
            "certify in float32 first", markup=False, highlight=False,
        )  # fmt: skip
    ran = f"{found.engine} engine, {found.experiment['dtype']} on {found.experiment['device']}"
    console.print(ran, markup=False, highlight=False)
    console.print()
    console.print(found.verdict, markup=False, highlight=False, style="bold")
    if output is None:
        typer.echo(json.dumps(found.to_dict(), indent=1))
    else:
        found.save(output)
        typer.echo(f"certificate: {output}", err=True)
    if not found.passed:
        raise typer.Exit(1 if found.failed else 3)


def default_cascade(models: Any) -> Any:
    """Every draft in turn, and short, so that all proposals are accepted often enough."""
    from cscalc.cascade import Cascade, Draft

    numbers = [number for number in models if number]
    return Cascade(tuple(Draft(n, 2 if n in models.one_shot else 1) for n in numbers))


def table_of(found: "Certificate") -> "Table":
    """One row a group of comparisons: how many, on how many tokens, and the worst of them."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in ("what is compared", "made", "tokens", "least p", "would see", ""):
        table.add_column(column, justify="left" if column in ("", "what is compared") else "right")
    for power in found.power:
        if not power.tested:
            said = f"too few, needs {power.needs}" if power.lacking else "there is no choice"
            table.add_row(power.group, str(power.planned), str(power.n), "", "", said)
            continue
        tested = [one for one in found.comparisons if one.tested and one.group == power.group]
        partly = "" if power.tested == power.planned else f" of {power.planned}"
        table.add_row(
            power.group, f"{power.tested}{partly}", str(power.n),
            f"{min(one.p_value for one in tested):.2g}",
            "" if power.sees is None else f"{100 * power.sees:.1f} %",
            "agrees" if all(one.passed for one in tested) else "[red]fails[/red]",
        )  # fmt: skip
    limit = found.comparisons[0].threshold
    table.caption = (
        f"A comparison fails below p = {limit:.1e}, the false alarm over the "
        f"{len(found.comparisons)} comparisons planned. With chance 90 % it would see a law that "
        "is off by so much (total variation between its cells)."
    )
    table.caption_justify = "left"
    return table
