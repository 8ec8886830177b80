"""Measures the package llama-cpp-python as `llama bench` measures an engine, and prints what that prints as JSON.

A program of its own, run by a Python that has that package and nothing of lfbuild's:

    python benchmarks/wheel.py MODEL.gguf PROMPT_TOKENS NEW_TOKENS THREADS
"""

from __future__ import annotations

import ctypes
import json
import random
import sys
import time


def main(model: str, prompt_tokens: int, new_tokens: int, threads: int) -> None:
    """Load, warm up, and time a prompt and then new tokens, each from an empty context."""
    import llama_cpp as llama

    quiet = llama.llama_log_callback(lambda _level, _text, _data: None)
    llama.llama_log_set(quiet, ctypes.c_void_p(0))
    llama.llama_backend_init()
    loaded = llama.llama_model_load_from_file(model.encode(), llama.llama_model_default_params())
    parameters = llama.llama_context_default_params()
    parameters.n_ctx = prompt_tokens + new_tokens
    parameters.n_batch, parameters.n_ubatch = 2048, 512
    parameters.n_threads = parameters.n_threads_batch = threads
    context = llama.llama_init_from_model(loaded, parameters)
    vocabulary = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(loaded))
    words = random.Random(1)  # noqa: S311  # no secret hangs on it

    def decode(count: int) -> None:
        tokens = (llama.llama_token * count)(*(words.randrange(vocabulary) for _ in range(count)))
        if llama.llama_decode(context, llama.llama_batch_get_one(tokens, count)):
            raise SystemExit("llama_decode failed")
        llama.llama_synchronize(context)

    def speed(batch: int, batches: int) -> float:
        llama.llama_memory_clear(llama.llama_get_memory(context), True)
        start = time.perf_counter()
        for _ in range(batches):
            decode(batch)
        return batch * batches / (time.perf_counter() - start)

    speed(prompt_tokens, 1)
    tests = [{"n_prompt": prompt_tokens, "n_gen": 0, "avg_ts": speed(prompt_tokens, 1)}]
    speed(1, 1)
    tests.append({"n_prompt": 0, "n_gen": new_tokens, "avg_ts": speed(1, new_tokens)})
    print(json.dumps(tests))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]))
