"""Many prompts, some at a time: every text advances by its own count of accepted tokens.

Each text is decoded by the same coroutine as a single prompt. Rows that wait for the same model
are served by one pass; cheap models go first, so that the target is asked once for all rows.
A finished text leaves its row to the next prompt.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from cscalc._checks import check_int
from cscalc.cascade import Cascade
from validate.chance import Sampled
from validate.completion import Completion
from validate.decode import Writing, check_back, check_prompt, write
from validate.decoder import Decoder, Pass
from validate.ending import Ending
from validate.models import Models
from validate.options import CascadeOptions, takes
from validate.ragged import Rows, start_rows


@dataclass(slots=True)
class _Row:
    """A text under way and what it waits for."""

    run: Completion
    decoder: Decoder
    writing: Writing
    asked: Pass


@takes(CascadeOptions)
def generate_many(
    cascade: Cascade,
    models: Models,
    prompts: Sequence[Sequence[int]],
    *,
    generator: torch.Generator,
    batch: int = 1,
    **options: Any,
) -> list[Completion]:
    """Decode prompts, up to `batch` of them at a time.

    Parameters
    ----------
    cascade : Cascade
    models : Models
        One-shot drafts must not keep the text they saw last: one serves all rows.
    prompts : sequence of sequence of int
    generator : torch.Generator
        Seeds one generator a prompt, in order, so that the tokens do not depend on `batch`
        (but for the rounding of passes of other widths).
    batch : int
        Rows decoded together, >= 1.
    **options
        As `generate`: max_tokens, sampling, eos, stop, lenience, confidence, deferral.

    Returns
    -------
    list of Completion
        One a prompt, in order. Seconds of a pass are shared equally by the rows it served, so
        sums over a batch are wall time.

    Raises
    ------
    ValueError
        As `generate`, or if a model cannot read a batch (found out by one small trial);
        nothing is decoded if any prompt is bad.

    Examples
    --------
    >>> import torch
    >>> from cscalc import Cascade, Draft
    >>> from validate import Models, TableModel
    >>> flat = torch.zeros(4, 4, dtype=torch.float64)
    >>> models = Models.of(TableModel(flat), TableModel(flat))
    >>> runs = generate_many(
    ...     Cascade((Draft(1, 3),)), models, [[0], [1, 2]], generator=torch.Generator(),
    ...     batch=2, max_tokens=8,
    ... )
    >>> [run.emitted for run in runs]
    [[4, 4], [4, 4]]
    """
    check_int("batch", batch, least=1)
    asked = CascadeOptions(**options)
    texts = []
    for i, prompt in enumerate(prompts):
        try:
            texts.append(check_prompt(prompt, models, asked.max_tokens))
        except ValueError as error:
            raise ValueError(f"prompt {i}: {error}") from error
    rules, ending = asked.rules(cascade, models), asked.ending(models)
    Sampled(generator)  # refuses what is no generator
    seeds = torch.randint(0, 2**62, (len(texts),), generator=generator).tolist()

    def decoder(i: int) -> Decoder:
        chance = Sampled(torch.Generator().manual_seed(seeds[i]))
        return Decoder(cascade, models, chance, asked.drawn, rules)

    rows, n_rows = [(decoder(i), text) for i, text in enumerate(texts)], min(batch, len(texts))
    if n_rows == 1:  # read by sessions
        check_back(cascade, models, max(map(len, texts)) + asked.max_tokens)
    return _Batch(models, n_rows, ending).decode(rows)


class _Batch:
    """Rows and what serves them."""

    def __init__(self, models: Models, n_rows: int, ending: Ending) -> None:
        self._models, self._n_rows, self._ending = models, n_rows, ending
        self._caches: dict[int, Rows] = {}
        self._rows: dict[int, _Row] = {}

    def decode(self, texts: list[tuple[Decoder, list[int]]]) -> list[Completion]:
        runs = [Completion() for _ in texts]
        for model in sorted({m for decoder, _ in texts for m in decoder.used}):
            self._caches[model] = start_rows(self._models.language[model], self._n_rows)
        waiting = list(zip(texts, runs, strict=True))[::-1]
        while waiting or self._rows:
            for number in range(self._n_rows):
                while waiting and number not in self._rows:
                    (decoder, text), run = waiting.pop()
                    numbers = [0, *decoder.cascade.models]
                    run.passes = dict.fromkeys(numbers, 0)
                    run.seconds = dict.fromkeys(numbers, 0.0)
                    run.positions = dict.fromkeys(decoder.used, 0)
                    writing = write(decoder, text, run, self._ending)
                    self._advance(number, _Row(run, decoder, writing, Pass(0, 0, [], 0)), None)
            self._step()
        return runs

    def _step(self) -> None:
        """Serve, in one pass, all rows that wait for the cheapest model asked for."""
        if not self._rows:
            return
        began = self._clock()
        # prompts first: they are long, and decoding rows beside them would be padded to them
        kind = min((row.asked.n_last > 0, -row.asked.model) for row in self._rows.values())
        served = {
            number: row.asked
            for number, row in self._rows.items()
            if (row.asked.n_last > 0, -row.asked.model) == kind
        }
        model = -kind[1]
        logits = self._caches[model].read(served)
        seconds = (self._clock() - began) / len(served)
        for number, asked in served.items():
            row = self._rows[number]
            if asked.n_last:
                row.run.passes[model] += 1
                row.run.positions[model] += len(asked.tokens)
                row.run.seconds[model] += seconds
                row.run.decode_seconds += seconds
            else:
                row.run.prefill_seconds += seconds
            before = time.perf_counter()
            self._advance(number, row, logits[number])
            row.run.decode_seconds += time.perf_counter() - before

    def _advance(self, number: int, row: _Row, reply: torch.Tensor | None) -> None:
        """Go on with a row until it asks for a pass; drop it when its text has ended."""
        self._rows[number] = row
        try:
            while True:
                asked = row.writing.send(reply)
                row.run.passes |= row.decoder.calls
                row.run.seconds |= row.decoder.call_seconds
                if isinstance(asked, Pass):
                    row.asked = asked
                    return
                reply = None
        except StopIteration:
            del self._rows[number]

    def _clock(self) -> float:
        self._models.synchronize()
        return time.perf_counter()
