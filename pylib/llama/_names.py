"""Names of parameters: Meta's and Hugging Face's, and the wrappers' prefixes."""

from __future__ import annotations

import re
from typing import Literal

__all__ = ["Naming", "canonical", "ignored", "spelled"]

Naming = Literal["meta", "hf"]

_TOP = {
    "tok_embeddings.weight": "model.embed_tokens.weight",
    "norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_BLOCK = {
    "attention_norm": "input_layernorm",
    "attention.wq": "self_attn.q_proj",
    "attention.wk": "self_attn.k_proj",
    "attention.wv": "self_attn.v_proj",
    "attention.wo": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "feed_forward.w1": "mlp.gate_proj",
    "feed_forward.w2": "mlp.down_proj",
    "feed_forward.w3": "mlp.up_proj",
}
_TO_HF = {f"{k}.weight": f"{v}.weight" for k, v in _BLOCK.items()}
_TO_META = {v: k for k, v in _TO_HF.items()}
_TOP_META = {v: k for k, v in _TOP.items()}
_HF_TOP = frozenset(_TOP.values())
_PREFIXES = ("module.", "_orig_mod.", "language_model.")
_IGNORED = re.compile(r"(.*\.)?rope\.freqs|.*\.rotary_emb\.inv_freq")
_LAYER = re.compile(r"(model\.)?layers\.(0|[1-9]\d{0,5})\.(.+)")


def ignored(key: str) -> bool:
    """Say whether a key is a buffer of tables that every implementation makes itself."""
    return _IGNORED.fullmatch(key) is not None


def canonical(key: str) -> tuple[str, Naming | None]:
    """Return the Hugging Face name of a key and the naming that it shows.

    An unknown key comes back as it is, without a naming.

    >>> canonical("module.layers.3.attention.wq.weight")
    ('model.layers.3.self_attn.q_proj.weight', 'meta')
    >>> canonical("embed_tokens.weight")
    ('model.embed_tokens.weight', 'hf')
    """
    bare = key
    while bare.startswith(_PREFIXES):
        bare = bare.split(".", 1)[1]
    if bare in _HF_TOP:
        return bare, "hf"
    # "norm.weight" is Meta's name and also Hugging Face's without "model.":
    # both mean the same tensor, so it shows no naming.
    if bare == "norm.weight":
        return "model.norm.weight", None
    if bare in _TOP:
        return _TOP[bare], "meta"
    if f"model.{bare}" in _HF_TOP:
        return f"model.{bare}", "hf"
    match = _LAYER.fullmatch(bare)
    if match:
        rest = match[3]
        if rest in _TO_META:
            return f"model.layers.{match[2]}.{rest}", "hf"
        if rest in _TO_HF and not match[1]:
            return f"model.layers.{match[2]}.{_TO_HF[rest]}", "meta"
    return key, None


def spelled(name: str, naming: Naming) -> str:
    """Return a Hugging Face name in the naming that is asked for.

    >>> spelled("model.layers.0.mlp.down_proj.weight", "meta")
    'layers.0.feed_forward.w2.weight'
    """
    if naming == "hf":
        return name
    if name in _TOP_META:
        return _TOP_META[name]
    match = _LAYER.fullmatch(name)
    if match and match[3] in _TO_META:
        return f"layers.{match[2]}.{_TO_META[match[3]]}"
    return name
