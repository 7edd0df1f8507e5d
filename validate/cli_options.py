"""Options and small helpers that commands share; each command is thin."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from cscalc._files import check_folder

Target = Annotated[
    str, typer.Option(help="Target: smollm2-135m, a hub name, a local directory or a .gguf file.")
]
DraftNames = Annotated[
    str, typer.Option("--drafts", help="Drafts from dear to cheap, parted by commas: names as for "
                      "--target, or mid, tiny, max-gram, prompt-lookup.")
]  # fmt: skip
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Dtype = Annotated[str, typer.Option(help="auto, float32, float64, bfloat16 or float16.")]
PromptsPath = Annotated[
    Path | None,
    typer.Option("--prompts", help="Spec-Bench JSONL or a text file; default: the bundled 32."),
]
Limit = Annotated[int | None, typer.Option(help="Use only so many prompts.")]
Temperature = Annotated[float, typer.Option(help="0 is greedy.")]
TopK = Annotated[int | None, typer.Option(help="Keep the k likeliest tokens.")]
TopP = Annotated[float | None, typer.Option(help="Keep the likeliest tokens up to this mass.")]
MinP = Annotated[
    float | None, typer.Option(help="Keep tokens with at least this part of the likeliest's mass.")
]
RepetitionPenalty = Annotated[
    float, typer.Option(help="Divide positive logits of tokens already there by this; 1 is none.")
]
MaxTokens = Annotated[int, typer.Option(help="Tokens a reply.")]
Seed = Annotated[int, typer.Option(help="Seed of all randomness.")]
EngineName = Annotated[
    str,
    typer.Option("--engine", help="How passes run: eager, static, graphs (CUDA) or compiled."),
]
Threads = Annotated[int | None, typer.Option(help="CPU threads of torch; default: all cores.")]


def check_output(path: Path) -> None:
    """Raise ValueError before any work if `path` cannot be written."""
    if path.is_dir():
        raise ValueError(f"{path} is a folder: give a file to write")
    check_folder(path)


def lengths_of(text: str) -> list[int]:
    """Read '128,512' as whole numbers.

    Examples
    --------
    >>> lengths_of("128, 512")
    [128, 512]
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    for part in parts:
        if not part.isdecimal() or int(part) < 1:
            raise ValueError(f"context lengths must be whole numbers >= 1, got {part!r}")
    return [int(part) for part in parts]


def models_of(
    target: str,
    drafts: str,
    device: str,
    dtype: str,
    threads: int | None,
    engine: str = "eager",
    *,
    alone: bool = False,
) -> Any:
    """Models that the options name; a target without drafts only where it may be `alone`."""
    import torch

    from validate.dsia_names import split_names
    from validate.load import load_models

    if threads is not None:
        if threads < 1:
            raise ValueError(f"--threads must be >= 1, got {threads}")
        torch.set_num_threads(threads)
    names = split_names(drafts)
    if not names and not alone:
        raise ValueError(
            f"--drafts must name at least one draft, got {drafts!r}: such as mid or max-gram"
        )
    return load_models(target, names, device=device, dtype=dtype, engine=engine)


def sampling_of(
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    min_p: float | None = None,
    repetition_penalty: float = 1.0,
) -> Any:
    """Sampling that the options describe."""
    from validate.sampling import Sampling

    return Sampling(
        temperature, top_k=top_k, top_p=top_p, min_p=min_p, repetition_penalty=repetition_penalty
    )


def console_of() -> Any:
    """Console on stderr: stdout is for results."""
    from rich.console import Console

    return Console(stderr=True)


@contextmanager
def progress_bars(log: Path | None = None) -> Iterator[Any]:
    """A bar a stage, on stderr; plain lines where stderr is not a terminal.

    An interrupt ends the command with status 130 and says whether it goes on from `log`.
    """
    from tqdm import tqdm

    bars: dict[str, Any] = {}

    def show(stage: str, done: int, of: int) -> None:
        if stage not in bars:
            bars[stage] = tqdm(total=of, desc=f"     {stage}", mininterval=1.0)
        bars[stage].update(done - bars[stage].n)

    def close() -> None:
        while bars:
            bars.popitem()[1].close()

    try:
        yield show
    except KeyboardInterrupt:
        close()
        kept = "nothing is kept" if log is None else f"the same command goes on from {log}"
        typer.echo(f"interrupted: {kept}", err=True)
        raise typer.Exit(130) from None
    finally:
        close()
