"""Run in a process of its own: memory of loading and of running, printed as JSON in bytes.

    python tests/peak_memory.py

Peaks are the kernel's own (VmHWM), set back before the run by writing 5 to clear_refs.
"""

import ctypes
import importlib
import json
import re
from pathlib import Path


def memory(field):
    """VmRSS or VmHWM of this process, bytes."""
    text = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(rf"{field}:\s+(\d+) kB", text)[1])


def main():
    import torch
    import transformers

    from cscalc.cascade import Cascade, Draft, Review
    from validate import draws
    from validate.cache import cache_bytes
    from validate.contexts import parameters
    from validate.decode import generate
    from validate.load import load_models
    from validate.measure import encode, seeded
    from validate.prompts import load_prompts
    from validate.sampling import Sampling

    # libraries that loading would import are no part of the models
    for name in ("AutoModelForCausalLM", "AutoTokenizer", "LlamaForCausalLM"):
        getattr(transformers, name)
    importlib.import_module("transformers.integrations.ggml")
    torch.ones(64, 64) @ torch.ones(64, 64)
    draws.invert(torch.ones(2).numpy(), 0.5)  # numba's compiler, about 60 MB once a process
    before = memory("VmRSS")
    models = load_models(drafts=("mid", "tiny", "max-gram"), device="cpu", dtype="float32")
    weights = 4 * sum(parameters(models).values())
    prompts = load_prompts(limit=4)
    cascade = Cascade((Review(1, (Draft(2, 2),), rounds=2), Draft(3, 8)))
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    loaded = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    longest = 0
    for prompt in prompts:
        for sampling in (Sampling(0.0), Sampling(0.8, top_p=0.9)):
            ids = encode(models, prompt)
            run = generate(
                cascade, models, ids, generator=seeded(0, 1), max_tokens=24, sampling=sampling
            )
            longest = max(longest, len(ids) + len(run.tokens) + cascade.max_length)
    peak = memory("VmHWM")
    caches = 0
    for model in models.language.values():
        session = model.start()
        session.extend([0] * longest, 1)
        caches += cache_bytes(session._cache)
    print(json.dumps({  # noqa: T201 - this is its result
        "before": before, "loaded": loaded, "peak": peak, "weights": weights, "caches": caches,
        "threads": torch.get_num_threads(), "longest": longest,
    }))  # fmt: skip


if __name__ == "__main__":
    main()
