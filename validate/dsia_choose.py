"""Which layers to leave out: greedy removal, then Bayesian optimisation, by measured acceptance.

As in SWIFT (Xia et al., ICLR 2025, arXiv:2410.06916), which CAS-Spec uses for its layer-sparse
drafts (arXiv:2510.26843, section 5). All layers of a decoder cost the same, so for a given
sparsity the acceptance rate alone decides; the cost of the winner is measured once.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cscalc._checks import check_int
from cscalc._files import write_json
from cscalc.cascade import Cascade
from validate.decode import generate
from validate.dsia import LayerSkip, combine, count_skipped, parts_of, spread
from validate.dsia_models import self_draft
from validate.dsia_modules import n_layers
from validate.dsia_names import parse_setting
from validate.measure import encode, end_tokens, seeded
from validate.models import LanguageModel, Models, TransformersModel
from validate.overlaps import overlap_rows, reply_laws
from validate.prompts import Prompt
from validate.sampling import Sampling

Text = tuple[Sequence[int], Sequence[int]]  # prompt and the target's own reply
Subset = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LayerChoice:
    """Layers to leave out, and how they were found.

    Attributes
    ----------
    skipped : tuple of int
        The layers.
    alpha : float
        Acceptance rate on the texts it was chosen on: optimistic, so measure it on others.
    sparsity : float
    found : dict of stage -> float
        Best acceptance rate of "spread" (evenly spread layers), "greedy" and "bayes".
    history : tuple of dict
        Every subset that was measured, in order: "stage", "skipped", "alpha".
    seed : int
    """

    skipped: Subset
    alpha: float
    sparsity: float
    found: dict[str, float]
    history: tuple[dict[str, Any], ...]
    seed: int

    @property
    def setting(self) -> LayerSkip:
        """The choice as a setting."""
        return LayerSkip(self.skipped)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return asdict(self) | {"skipped": list(self.skipped), "history": list(self.history)}


def choose_layers(
    target: LanguageModel,
    texts: Sequence[Text],
    sparsity: float,
    *,
    sampling: Sampling | None = None,
    trials: int = 60,
    seed: int = 0,
    progress: Callable[[str, int, int], None] = lambda stage, done, of: None,
) -> LayerChoice:
    """Choose the layers whose absence hurts the acceptance rate least.

    Parameters
    ----------
    target : TransformersModel
    texts : sequence of (prompt, reply)
        Token lists; the replies should be the target's own (`own_texts`).
    sparsity : float
        Share of layers to leave out, in (0, 1).
    sampling : Sampling, optional
        The law that will be decoded from; default temperature 1.
    trials : int
        Subsets that Bayesian optimisation tries (optuna's tree-structured Parzen estimator,
        started from the greedy subset and the evenly spread one); 0 leaves it out.
    seed : int
        Of that optimiser.
    progress : callable
        Called with (stage, done, of).

    Raises
    ------
    ValueError
        If the target is no `TransformersModel`, there are no texts, or the sparsity leaves no
        layer out or none in.
    ImportError
        If optuna is not installed and `trials` > 0.

    Returns
    -------
    LayerChoice

    Examples
    --------
    >>> from transformers import LlamaConfig, LlamaForCausalLM
    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> config = LlamaConfig(vocab_size=11, hidden_size=16, intermediate_size=16,
    ...     num_hidden_layers=4, num_attention_heads=2, initializer_range=0.5)
    >>> target = TransformersModel(LlamaForCausalLM(config), name="tiny")
    >>> found = choose_layers(target, [([1, 2], [3, 4, 5, 6])], 0.5, trials=0)
    >>> len(found.skipped), len(found.history)  # the even subset, 4 of one layer, 3 of two
    (2, 8)
    """
    if not isinstance(target, TransformersModel):
        raise ValueError(
            f"the target {target.name} shows no layers to leave out: give a TransformersModel"
        )
    count_layers = n_layers(target.module)
    count = count_skipped(sparsity, count_layers)
    check_int("trials", trials, least=0)
    if not any(reply for _, reply in texts):
        raise ValueError("there are no texts to choose layers on: give at least one reply")
    score = _Score(target, texts, sampling or Sampling())
    found = {"spread": score("spread", spread(count, count_layers))}
    skipped: Subset = ()
    for step in range(count):
        progress("greedy", step, count)
        longer = [tuple(sorted((*skipped, layer))) for layer in range(count_layers)
                  if layer not in skipped]  # fmt: skip
        skipped = max(longer, key=lambda subset: score("greedy", subset))
    progress("greedy", count, count)
    found["greedy"] = score.known[skipped]
    if trials:
        found["bayes"] = _bayes(score, count, count_layers, skipped, trials, seed, progress)
    ranked = [(alpha, subset) for subset, alpha in score.known.items() if len(subset) == count]
    alpha, best = max(ranked, key=lambda both: both[0])
    return LayerChoice(best, alpha, sparsity, found, tuple(score.history), seed)


def own_texts(
    models: Models, prompts: Sequence[Prompt], *, sampling: Sampling, max_tokens: int, seed: int
) -> list[Text]:
    """The target's replies to prompts, to choose layers on.

    Parameters
    ----------
    models : Models
        With a tokenizer.
    prompts : sequence of Prompt
    sampling : Sampling
    max_tokens, seed : int
        Length of a reply; seed of its randomness.

    Returns
    -------
    list of (prompt tokens, reply tokens)

    Raises
    ------
    ValueError
        If the models have no tokenizer.
    """
    texts: list[Text] = []
    for prompt in prompts:
        ids = encode(models, prompt)
        reply = generate(
            Cascade(()), models, ids, generator=seeded(seed, prompt.question_id),
            max_tokens=max_tokens, sampling=sampling, eos=end_tokens(models),
        )  # fmt: skip
        texts.append((ids, reply.tokens))
    return texts


def choose_in(
    models: Models,
    names: Sequence[str],
    prompts: Sequence[Prompt],
    *,
    sampling: Sampling,
    max_tokens: int,
    seed: int,
    folder: str | os.PathLike[str],
    trials: int = 60,
    progress: Callable[[str, int, int], None] = lambda stage, done, of: None,
) -> list[str]:
    """Replace every sparsity in `names` by layers chosen on `prompts`; write how to `folder`.

    Returns
    -------
    list of str
        Settings in the same order.

    Raises
    ------
    ValueError
        As `choose_layers`.
    """
    texts = own_texts(models, prompts, sampling=sampling, max_tokens=max_tokens, seed=seed)
    chosen: dict[float, LayerChoice] = {}

    def layers_of(part: Any) -> Any:
        if not isinstance(part, LayerSkip) or part.sparsity is None:
            return part
        if part.sparsity not in chosen:
            chosen[part.sparsity] = choose_layers(
                models.target, texts, part.sparsity, sampling=sampling, seed=seed, trials=trials,
                progress=progress,
            )  # fmt: skip
            kept: Mapping[str, Any] = chosen[part.sparsity].to_dict()
            write_json(Path(folder) / f"layers-{part.sparsity:g}.json", kept)
        return chosen[part.sparsity].setting

    settings = [parse_setting(name) for name in names]
    return [str(combine(*(layers_of(part) for part in parts_of(s)))) for s in settings]


class _Score:
    """Mean overlap of a subset's draft with the target; each subset is measured once."""

    def __init__(
        self, target: TransformersModel, texts: Sequence[Text], sampling: Sampling
    ) -> None:
        self._target = target
        self._texts = [(list(prompt), list(reply)) for prompt, reply in texts if reply]
        self._sampling = sampling
        self._laws = [reply_laws(target, *text, sampling) for text in self._texts]
        self.known: dict[Subset, float] = {}
        self.history: list[dict[str, Any]] = []

    def __call__(self, stage: str, skipped: Subset) -> float:
        if skipped not in self.known:
            draft = self_draft(self._target, LayerSkip(skipped))
            values = [
                value
                for text, laws in zip(self._texts, self._laws, strict=True)
                for value in overlap_rows(laws, reply_laws(draft, *text, self._sampling))
            ]
            self.known[skipped] = sum(values) / len(values)
            self.history.append(
                {"stage": stage, "skipped": list(skipped), "alpha": round(self.known[skipped], 5)}
            )
        return self.known[skipped]


def _bayes(
    score: _Score, count: int, count_layers: int, start: Subset, trials: int, seed: int,
    progress: Callable[[str, int, int], None],
) -> float:  # fmt: skip
    """Let optuna rank the layers; the first `count` are left out. Returns the best rate found."""
    try:
        import optuna
    except ImportError as error:
        raise ImportError(
            "Bayesian optimisation needs optuna: pip install optuna, or give trials=0"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=min(10, trials))
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for subset in dict.fromkeys([start, spread(count, count_layers)]):
        study.enqueue_trial(
            {f"layer{i}": 0.8 if i in subset else 0.2 for i in range(count_layers)}
        )

    def objective(trial: Any) -> float:
        progress("bayes", trial.number, trials)
        rank = [trial.suggest_float(f"layer{i}", 0.0, 1.0) for i in range(count_layers)]
        order = sorted(range(count_layers), key=lambda i: (-rank[i], i))
        return score("bayes", tuple(sorted(order[:count])))

    study.optimize(objective, n_trials=trials)
    progress("bayes", trials, trials)
    return float(study.best_value)
