"""Commands: ``python -m cscalc``. Parse, call, print: results as JSON on stdout."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Cascade speculative decoding: predicted speed-up, best cascades, simulation.",
)

ProfilePath = Annotated[
    Path | None, typer.Option("--profile", help="A profile.json (see python -m validate measure).")
]
Alphas = Annotated[
    str | None,
    typer.Option(help="Rates: '.8,.5' (by the target) or rows '1,.8,.5;0,1,.6;0,0,1'."),
]
Costs = Annotated[str | None, typer.Option(help="Cost of each draft in target passes: '.2,.01'.")]
OneShot = Annotated[str, typer.Option(help="One-shot drafts by number: '2' or '2,3'.")]
Verify = Annotated[
    str | None, typer.Option(help="Cost of verifying m = 1, 2, ... positions: '1,1.4,1.5'.")
]


@app.command()
def optimal(
    profile: ProfilePath = None,
    alphas: Alphas = None,
    costs: Costs = None,
    one_shot: OneShot = "",
    verify: Verify = None,
    max_length: Annotated[int, typer.Option(help="Longest draft, rounds or threshold.")] = 64,
    max_depth: Annotated[int, typer.Option(help="Most reviews inside one another.")] = 2,
    one_rate: Annotated[
        bool, typer.Option("--one-rate", help="Use pooled rates even if prompts were measured.")
    ] = False,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write plan.json.")] = None,
) -> None:
    """Choose the best cascade; explains it on stderr, prints the plan as JSON.

    A measured profile is optimised over its prompts, each with its own acceptance rates.
    """
    from cscalc.choose import optimal_for_prompts
    from cscalc.optimize import optimal_config

    known = _profile(profile, alphas, costs, one_shot, verify)
    by_prompt = bool((known.measurement or {}).get("prompts")) and not one_rate
    choose = optimal_for_prompts if by_prompt else optimal_config
    plan = choose(known, max_length=max_length, max_depth=max_depth)
    typer.echo(plan.explain(), err=True)
    typer.echo(f"\n{plan.alternatives!r}", err=True)
    if output is not None:
        plan.save(output)
        typer.echo(f"\nwritten: {output}", err=True)
        return
    typer.echo(json.dumps(plan.to_dict(), indent=1))


@app.command()
def ewif(
    cascade: Annotated[str, typer.Argument(help="JSON of a cascade, or a file that holds it.")],
    profile: ProfilePath = None,
    alphas: Alphas = None,
    costs: Costs = None,
    one_shot: OneShot = "",
    verify: Verify = None,
) -> None:
    """Predict one cascade: tokens per cycle, cost of a cycle, EWIF.

    Example: python -m cscalc ewif '[{"draft": 1, "length": 4}]' --alphas .8 --costs .1
    """
    from cscalc.theory.law import cycle_law

    law = cycle_law(read_cascade(cascade), _profile(profile, alphas, costs, one_shot, verify))
    typer.echo(
        json.dumps(
            {
                "ewif": law.ewif,
                "tokens_per_cycle": law.mean,
                "cycle_cost": law.cost,
                "pmf": law.pmf.tolist(),
                "costs": law.costs.tolist(),
            }
        )
    )


@app.command()
def simulate(
    cascade: Annotated[str, typer.Argument(help="JSON of a cascade, or a file that holds it.")],
    profile: ProfilePath = None,
    alphas: Alphas = None,
    costs: Costs = None,
    one_shot: OneShot = "",
    verify: Verify = None,
    cycles: Annotated[int, typer.Option(help="Cycles to simulate.")] = 100_000,
    seed: Annotated[int, typer.Option(help="Seed of the generator.")] = 0,
) -> None:
    """Simulate one cascade, event by event."""
    import numpy as np

    from cscalc.simulate.events import simulate as run

    known = _profile(profile, alphas, costs, one_shot, verify)
    tally = run(read_cascade(cascade), known, cycles, rng=np.random.default_rng(seed))
    low, high = tally.interval(0.95)
    typer.echo(
        json.dumps(
            {
                "ewif": tally.ewif,
                "interval_95": [low, high],
                "tokens_per_cycle": tally.tokens_per_cycle,
                "cycle_cost": tally.cost_per_cycle,
                "cycles": tally.cycles,
                "seed": seed,
            }
        )
    )


@app.command()
def check(
    cascades: Annotated[int, typer.Option(help="Random cascades and profiles to draw.")] = 20,
    cycles: Annotated[int, typer.Option(help="Cycles to simulate for each.")] = 100_000,
    seed: Annotated[int, typer.Option(help="Seed of cascades, profiles and coins.")] = 0,
    alarm: Annotated[float, typer.Option(help="False-alarm rate of all comparisons.")] = 1e-3,
    picture: Annotated[
        Path | None, typer.Option(help="Draw the p-values there (QQ): .png, .svg or .pdf.")
    ] = None,
    plant: Annotated[
        str | None,
        typer.Option(help="Plant an error, to be caught: bonus, verify or after-rejection."),
    ] = None,
) -> None:
    """Compare exact laws with simulation; exit status 1 if they disagree.

    Prints a table on stderr and the comparisons as JSON. The exit status is 1 if one of them is
    beyond the false-alarm rate, shared among all (Bonferroni).
    """
    from rich.console import Console

    from cscalc.check import check as run
    from cscalc.check import check_picture

    if picture is not None:
        check_picture(picture)  # before the work, not after it
    found = run(cascades, cycles, seed=seed, alarm=alarm, plant=plant)
    wide = None if sys.stderr.isatty() else 110  # a file has no width
    Console(stderr=True, width=wide).print(found.table())
    if picture is not None:
        found.picture(picture)
        typer.echo(f"written: {picture}", err=True)
    typer.echo(json.dumps(found.to_dict()))
    if not found.holds:
        raise typer.Exit(1)


@app.command()
def sweep(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="netCDF file; run again to go on after a kill.")
    ],
    alpha: Annotated[str, typer.Option(help="Acceptance rates: '.5,.8' or first:last:count.")],
    cost: Annotated[str, typer.Option(help="Costs of the draft in target passes, likewise.")],
    length: Annotated[str, typer.Option(help="Draft lengths, likewise: '1:8:8'.")],
    chunk: Annotated[int, typer.Option(help="Points recorded at a time.")] = 10_000,
    scheduler: Annotated[
        str | None, typer.Option(help="A Dask scheduler to run on: tcp://host:8786.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Or worker processes to start on this machine.")
    ] = None,
) -> None:
    """EWIF of speculative decoding over a grid, to netCDF; prints the best point.

    Example: python -m cscalc sweep --alpha .5:.9:9 --cost .01,.1 --length 0:12:13 -o ewif.nc
    """
    from cscalc.sweep import sweep as run
    from cscalc.theory.speculative import speculative_ewif

    found = run(
        speculative_ewif,
        name="ewif",
        vectorized=True,
        chunk=chunk,
        store=output,
        scheduler=scheduler,
        workers=workers,
        progress=sys.stderr.isatty(),
        alpha=grid("--alpha", alpha),
        cost=grid("--cost", cost),
        length=grid("--length", length),
    )
    best = found["ewif"][found["ewif"].argmax(...)]
    typer.echo(
        json.dumps(
            {
                "output": str(output),
                "points": found["ewif"].size,
                "sizes": dict(found.sizes),
                "run_id": found.attrs["run_id"],
                "best": {"ewif": float(best), **{str(k): float(best[k]) for k in best.coords}},
            }
        )
    )


@app.command()
def export(
    plan: Annotated[Path, typer.Option(help="A plan.json (see: python -m cscalc optimal -o).")],
    engine: Annotated[str, typer.Option(help="transformers, vllm, sglang or llama.cpp.")],
    checkpoint: Annotated[
        list[str] | None, typer.Option(help="Checkpoint of a draft model: '1=Qwen/Qwen3-0.6B'.")
    ] = None,
) -> None:
    """Print the settings that run a plan in another engine, or its best alternative there.

    What to type goes to stderr, with notes; the same as JSON to stdout.
    """
    from cscalc.plan import Plan

    names: dict[int, str] = {}
    for given in checkpoint or []:
        model, equals, name = given.partition("=")
        if not (equals and name and model.strip().isdecimal()):
            raise ValueError(f"--checkpoint must be such as 1=Qwen/Qwen3-0.6B, got {given!r}")
        names[int(model)] = name
    settings = Plan.load(plan).export(engine, checkpoints=names)
    typer.echo(settings, err=True)
    typer.echo(json.dumps(settings.to_dict()))


@app.command()
def explore(
    profile: ProfilePath = None,
    alphas: Alphas = None,
    costs: Costs = None,
    one_shot: OneShot = "",
    verify: Verify = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="HTML file to write.")] = Path(
        "cascade-explorer.html"
    ),
    show: Annotated[bool, typer.Option("--open/--no-open", help="Open it in a browser.")] = True,
    max_length: Annotated[int, typer.Option(help="Longest draft searched at first.")] = 32,
) -> None:
    """Write one HTML page with sliders: EWIF, bounds, best cascade, settings to paste.

    The page needs no server and asks none for anything. It starts from a profile, or from
    rates and costs, of up to three drafts, if given.
    """
    import webbrowser

    from cscalc.explore import write_explorer

    given = profile is not None or alphas is not None or costs is not None or one_shot or verify
    known = _profile(profile, alphas, costs, one_shot, verify) if given else None
    size = write_explorer(out, known, max_length=max_length)
    opened = show and webbrowser.open(out.resolve().as_uri())
    typer.echo(f"written: {out}" + ("" if opened else " (open it in a browser)"), err=True)
    typer.echo(json.dumps({"output": str(out), "bytes": size, "opened": opened}))


def read_cascade(text: str) -> Any:
    """A cascade from JSON text or a file: its own schema, a plan, or a bare list of segments."""
    from cscalc._files import read_json
    from cscalc.cascade import SCHEMA, Cascade

    if text.lstrip().startswith(("[", "{")):
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"cascade is not valid JSON: {error.msg}") from None
    else:
        data = read_json(text)
    if isinstance(data, list):
        data = {"schema": SCHEMA, "version": 1, "drafts": data}
    if isinstance(data, dict) and data.get("schema") == "cscalc/plan":
        data = data["cascade"]
    return Cascade.from_dict(data)


def _profile(
    path: Path | None, alphas: str | None, costs: str | None, one_shot: str, verify: str | None
) -> Any:
    from cscalc.profile import Profile

    if path is not None:
        if alphas is not None or costs is not None or one_shot or verify is not None:
            raise ValueError("give either --profile or --alphas and --costs, not both")
        return Profile.load(path)
    if alphas is None or costs is None:
        raise ValueError("give --profile, or both --alphas and --costs")
    rows = [numbers("--alphas", row) for row in alphas.split(";")]
    return Profile(
        rows[0] if len(rows) == 1 else rows,
        numbers("--costs", costs),
        one_shot=[int(x) for x in numbers("--one-shot", one_shot)] if one_shot else (),
        verify=None if verify is None else numbers("--verify", verify),
    )


def numbers(option: str, text: str) -> list[float]:
    """Read '1,.5,.2' as numbers; ValueError names the option."""
    try:
        return [float(part) for part in text.replace(" ", ",").split(",") if part]
    except ValueError:
        raise ValueError(f"{option} must be numbers parted by commas, got {text!r}") from None


def grid(option: str, text: str) -> list[float]:
    """Read '.1,.5' or first:last:count, both ends included; ValueError names the option."""
    first, *rest = text.split(":")
    if not rest:
        return numbers(option, text)
    ends = numbers(option, ",".join([first, *rest]))
    if len(ends) != 3 or not ends[2].is_integer() or ends[2] < 2:
        raise ValueError(f"{option} must be numbers or first:last:count, got {text!r}")
    import numpy as np

    return [float(x) for x in np.linspace(ends[0], ends[1], int(ends[2]))]


def run_app(application: typer.Typer, name: str) -> None:
    """Run a command; an error of the user's is one sentence on stderr and exit status 2."""
    try:
        application(prog_name=name)
    except KeyboardInterrupt:
        typer.echo("interrupted: run the same command again to go on", err=True)
        sys.exit(130)
    except (ValueError, TypeError, FileNotFoundError, PermissionError) as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)


def main() -> None:
    """Entry point."""
    run_app(app, "python -m cscalc")
