"""The command ``python -m validate dsia``: which setting of a target can pay as its own draft."""

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
    Temperature,
    Threads,
    console_of,
    models_of,
    progress_bars,
    sampling_of,
)


def dsia(
    out: Annotated[Path, typer.Option(help="Folder for table, picture and records.")],
    target: Target = "smollm2-135m",
    settings: Annotated[
        str,
        typer.Option(
            help="DSIA settings from dear to cheap: skip:0.4, skip:3,5,9, exit:8, int8, "
            "window:256, joined by + for several at once."
        ),
    ] = "int8,skip:0.1,skip:0.4,skip:0.6",
    bottom: Annotated[
        str, typer.Option(help="Bottom drafts: max-gram, prompt-lookup.")
    ] = "prompt-lookup,max-gram",
    choose: Annotated[
        bool, typer.Option(help="Choose the layers of skip:0.4 and the like by measurement.")
    ] = False,
    device: Device = "auto",
    dtype: Dtype = "auto",
    prompts: PromptsPath = None,
    limit: Limit = None,
    temperature: Temperature = 0.0,
    max_tokens: MaxTokens = 64,
    seed: Seed = 0,
    threads: Threads = None,
) -> None:
    """Measure settings of a target as its own drafts; say which pay, and what the rest lack."""
    from cscalc._files import write_json
    from validate.dsia_choose import choose_in
    from validate.dsia_models import SelfDraft, WindowDraft, shared_parameters
    from validate.dsia_names import is_setting, split_names
    from validate.dsia_picture import draw
    from validate.dsia_table import dsia_table
    from validate.dsia_words import print_table, recommendation
    from validate.load import prompts_of
    from validate.measure import measure
    from validate.prompts import load_prompts

    if wrong := [name for name in split_names(settings) if not is_setting(name)]:
        raise ValueError(
            f"--settings holds {wrong[0]!r}, which is no DSIA setting: write skip:0.4, "
            "skip:3,5,9, exit:8, int8 or window:256"
        )
    sampling = sampling_of(temperature, None, None)
    source = prompts or prompts_of(target)
    chosen = load_prompts(source, split="measure", limit=limit)
    out.mkdir(parents=True, exist_ok=True)
    names = split_names(settings)
    if choose:
        others = load_prompts(source, split="held-out", limit=limit)  # not those measured on
        with progress_bars() as progress:
            names = choose_in(
                models_of(target, "", device, dtype, threads, alone=True), names, others,
                sampling=sampling, max_tokens=max_tokens, seed=seed, folder=out,
                progress=progress,
            )  # fmt: skip
    models = models_of(target, ",".join([*names, bottom]), device, dtype, threads)
    log = out / "dsia.records.jsonl"
    with progress_bars(log) as progress:
        profile = measure(
            models, chosen, sampling=sampling, max_tokens=max_tokens, seed=seed, progress=progress,
            log=log, positions=16,
        )  # fmt: skip
    profile.save(out / "dsia-profile.json")
    memory = {}
    for draft in models.language.values():
        if isinstance(draft, SelfDraft | WindowDraft):
            memory[draft.name] = dict(
                zip(("shared", "own"), shared_parameters(draft), strict=True)
            )
    table = dsia_table(profile, memory=memory, seed=seed)
    measurement = profile.measurement or {}  # `measure` has written all of it
    write_json(out / "dsia.json", table.to_dict() | {
        "recommendation": recommendation(table), "measurement": measurement["experiment"],
        "provenance": measurement["provenance"],
    })  # fmt: skip
    draw(table, out / "dsia.png")
    print_table(table, console_of())
    typer.echo(f"written: dsia.json, dsia.png, dsia-profile.json in {out}/", err=True)
