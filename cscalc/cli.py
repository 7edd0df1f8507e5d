"""Commands: ``python -m cscalc``. Parse, call, print: results as JSON on stdout."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from cscalc.cli_arguments import (
    Alphas,
    Costs,
    OneShot,
    ProfilePath,
    Verify,
    checkpoints_of,
    grid,
    read_both,
    read_profile,
)

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Cascade speculative decoding: predicted speed-up, best cascades, simulation.",
)


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
    from cscalc._files import check_folder
    from cscalc.choose import optimal_for_prompts
    from cscalc.optimize import optimal_config

    if output is not None:
        check_folder(output)  # before the work, not after it
    known = read_profile(profile, alphas, costs, one_shot, verify)
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
    cascade: Annotated[
        str, typer.Argument(help="JSON of a cascade, or a file: a cascade or a plan.")
    ],
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

    law = cycle_law(*read_both(cascade, profile, alphas, costs, one_shot, verify))
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
    cascade: Annotated[
        str, typer.Argument(help="JSON of a cascade, or a file: a cascade or a plan.")
    ],
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

    from cscalc._checks import check_int
    from cscalc.simulate.events import simulate as run

    one, known = read_both(cascade, profile, alphas, costs, one_shot, verify)
    check_int("--cycles", cycles, least=1)
    check_int("--seed", seed, least=0)
    tally = run(one, known, cycles, rng=np.random.default_rng(seed))
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
    if found.cycles < cycles:
        typer.echo(
            f"a planted error runs in plain Python, so {found.cycles:,} cycles a cascade were "
            f"simulated, not {cycles:,}",
            err=True,
        )
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
    from cscalc._checks import check_costs, check_lengths, check_rates
    from cscalc.sweep import sweep as run
    from cscalc.theory.speculative import speculative_ewif

    alphas = check_rates("--alpha", grid("--alpha", alpha))  # all before anything is written
    costs = check_costs("--cost", grid("--cost", cost))
    lengths = check_lengths("--length", grid("--length", length))

    found = run(
        speculative_ewif,
        name="ewif",
        vectorized=True,
        chunk=chunk,
        store=output,
        scheduler=scheduler,
        workers=workers,
        progress=sys.stderr.isatty(),
        alpha=alphas,
        cost=costs,
        length=lengths,
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

    names = checkpoints_of(checkpoint or [])
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
    known = read_profile(profile, alphas, costs, one_shot, verify) if given else None
    size = write_explorer(out, known, max_length=max_length)
    opened = show and webbrowser.open(out.resolve().as_uri())
    typer.echo(f"written: {out}" + ("" if opened else " (open it in a browser)"), err=True)
    typer.echo(json.dumps({"output": str(out), "bytes": size, "opened": opened}))


def run_app(application: typer.Typer, name: str) -> None:
    """Run a command; an error of the user's is one sentence on stderr and exit status 2."""
    try:
        application(prog_name=name)
    except KeyboardInterrupt:
        typer.echo("interrupted: run the same command again to go on", err=True)
        sys.exit(130)
    except (ValueError, TypeError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)


def main() -> None:
    """Entry point."""
    run_app(app, "python -m cscalc")
