"""Plain cascades of two models: the draft writes, and where its rule defers, the target does.

No speculation: the draft's pass comes first, the target is asked only when needed. This is
what speculative cascades are measured against (arXiv:2405.19261, section 2).
"""

import time
from collections.abc import Sequence
from typing import Any

import torch

from cscalc.theory.deferral import ContextRule, DeferralRule
from validate.chance import Chance, as_chance
from validate.completion import Completion
from validate.decode import check_prompt
from validate.models import Models
from validate.options import TextOptions, takes


@takes(TextOptions)
def generate_sequential(
    models: Models,
    prompt: Sequence[int],
    rule: DeferralRule,
    *,
    generator: torch.Generator | Chance,
    draft: int = 1,
    **options: Any,
) -> Completion:
    """Decode one prompt with a plain cascade; the law of each token is the rule's.

    Parameters
    ----------
    models : Models
    prompt : sequence of int
        At least one token.
    rule : DeferralRule
        One that reads the draft only: `Chow` or `ChowLog`.
    generator : torch.Generator
        One uniform a token.
    draft : int
        The autoregressive model that writes first.
    **options
        As `generate`: max_tokens, sampling, eos, stop.

    Returns
    -------
    Completion
        A cycle is a token; `reviewed` counts 1 where the draft's token was kept.

    Raises
    ------
    ValueError
        If the rule needs the target's law to decide, the draft is one-shot, or as `generate`.

    Examples
    --------
    >>> import torch
    >>> from cscalc.theory.deferral import Chow
    >>> from validate import Models, TableModel
    >>> flat = torch.zeros(4, 4, dtype=torch.float64)
    >>> models = Models.of(TableModel(flat), TableModel(flat))
    >>> run = generate_sequential(
    ...     models, [0], Chow(1.0), generator=torch.Generator(), max_tokens=5
    ... )
    >>> run.passes  # the draft is always kept
    {0: 0, 1: 5}
    """
    asked = TextOptions(**options)
    prompt = check_prompt(prompt, models, asked.max_tokens)
    if not (isinstance(rule, ContextRule) and rule.sequential):
        raise ValueError(
            f"{rule} reads the target's law before it decides, so it cannot run token by token "
            "without it: use Chow or ChowLog, or generate(..., deferral=rule)"
        )
    if draft not in models.language or draft == 0:
        raise ValueError(f"draft {draft} must be an autoregressive draft of {models.names}")
    chance = as_chance(generator)
    sampling, ending, text = asked.drawn, asked.ending(models), list(prompt)
    sessions = {m: models.language[m].start() for m in (0, draft)}
    run = Completion(
        passes={0: 0, draft: 0}, positions={0: 0, draft: 0}, seconds={0: 0.0, draft: 0.0}
    )

    def clock() -> float:
        models.synchronize()
        return time.perf_counter()

    def logits(model: int) -> torch.Tensor:
        session, began = sessions[model], clock()
        new = text[session.length :]
        found = session.extend(new, 1).double()  # laws as a deferring review compares them
        run.seconds[model] += clock() - began
        run.passes[model] += 1
        run.positions[model] += len(new)
        return found

    began = clock()
    if len(text) > 1:
        for session in sessions.values():
            session.extend(text[:-1], 1)
    run.prefill_seconds = clock() - began
    room = min(models.language[m].max_positions for m in sessions)
    began, ended = clock(), False
    while not ended:
        if len(text) >= room:
            run.finish = "context"
            break
        found = logits(draft)
        plain = sampling.plain(found, text)[0].cpu().numpy()
        deferred = not rule.keeps(plain, plain)
        law = sampling.law(logits(0) if deferred else found, text)[0]
        text.append(chance.draw(law))
        _, ended = ending.take(run, text[-1:], reviewed=int(not deferred))
    run.decode_seconds = clock() - began
    return run
