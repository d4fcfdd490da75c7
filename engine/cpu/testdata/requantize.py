"""Quantizes a GGUF anew by llama.cpp and tells the log-probabilities that it computes.

    python requantize.py FROM TO FTYPE < ids.json    (needs llama-cpp-python)

FTYPE is llama.cpp's number. The answer is the log-probability of each id but
the first, given those before it, and the most likely id at its place.
"""

import ctypes
import json
import sys

import llama_cpp
import numpy as np


def main() -> None:
    source, target, ftype = sys.argv[1:]
    ids = json.load(sys.stdin)
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype, params.allow_requantize, params.nthread = int(ftype), True, 2
    if llama_cpp.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(params)) != 0:
        sys.exit(f"llama.cpp could not quantize {source}")
    model = llama_cpp.Llama(target, n_ctx=len(ids), n_batch=len(ids), n_threads=2, n_threads_batch=2, logits_all=True, verbose=False)
    model.eval(ids)
    logits = np.asarray(model.scores[: len(ids) - 1], np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
    json.dump(dict(logprobs=logits[np.arange(len(ids) - 1), ids[1:]].tolist(), argmax=logits.argmax(axis=1).tolist()), sys.stdout)


if __name__ == "__main__":
    main()
