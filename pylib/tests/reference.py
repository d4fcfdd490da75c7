"""A Llama in numpy and float64, written from the formulas, to compare the kernel with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def forward(
    config: Mapping[str, Any], weights: Mapping[str, np.ndarray], ids: Sequence[int]
) -> np.ndarray:
    """Return the logits of one row, (len(ids), vocab)."""
    w = {k: v.astype(np.float64) for k, v in weights.items()}
    heads, kv = config["num_attention_heads"], config["num_key_value_heads"]
    x = w["model.embed_tokens.weight"][list(ids)]  # (n, hidden)
    n = len(ids)
    mask = np.triu(np.full((n, n), -np.inf), 1)
    for i in range(config["num_hidden_layers"]):
        p = f"model.layers.{i}."
        h = _norm(x, w[p + "input_layernorm.weight"], config)
        q = _rope(_split(h @ w[p + "self_attn.q_proj.weight"].T, heads), config)
        k = _rope(_split(h @ w[p + "self_attn.k_proj.weight"].T, kv), config)
        v = _split(h @ w[p + "self_attn.v_proj.weight"].T, kv)
        k, v = (np.repeat(a, heads // kv, axis=0) for a in (k, v))  # (heads, n, head)
        scores = _softmax(q @ k.swapaxes(1, 2) / np.sqrt(q.shape[-1]) + mask)
        mixed = (scores @ v).swapaxes(0, 1).reshape(n, -1)
        x = x + mixed @ w[p + "self_attn.o_proj.weight"].T
        h = _norm(x, w[p + "post_attention_layernorm.weight"], config)
        gate = h @ w[p + "mlp.gate_proj.weight"].T
        up = h @ w[p + "mlp.up_proj.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * up) @ w[p + "mlp.down_proj.weight"].T
    x = _norm(x, w["model.norm.weight"], config)
    return x @ w.get("lm_head.weight", w["model.embed_tokens.weight"]).T


def greedy(
    config: Mapping[str, Any], weights: Mapping[str, np.ndarray], ids: Sequence[int], count: int
) -> list[int]:
    """Return the best continuation, by running everything again for each token."""
    row = list(ids)
    for _ in range(count):
        row.append(int(forward(config, weights, row)[-1].argmax()))
    return row[len(ids) :]


def log_softmax(x: np.ndarray) -> np.ndarray:
    """Return log-probabilities over the last dimension."""
    x = x - x.max(axis=-1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def _softmax(x: np.ndarray) -> np.ndarray:
    return np.exp(log_softmax(x))


def _norm(x: np.ndarray, weight: np.ndarray, config: Mapping[str, Any]) -> np.ndarray:
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + config["rms_norm_eps"]) * weight


def _split(x: np.ndarray, heads: int) -> np.ndarray:
    return x.reshape(len(x), heads, -1).swapaxes(0, 1)  # (heads, n, head)


def _rope(x: np.ndarray, config: Mapping[str, Any]) -> np.ndarray:
    """Rotate the halves of each head, as Hugging Face's files are laid out."""
    half = x.shape[-1] // 2
    angles = np.arange(x.shape[1])[:, None] * config["rope_theta"] ** (-np.arange(half) / half)
    cos, sin = np.cos(angles), np.sin(angles)
    a, b = x[..., :half], x[..., half:]
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)
