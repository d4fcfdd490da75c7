"""Makes tiny.json, the golden logits of tiny random Llama models, rope.json, the
frequencies of real models' configs, and simd/pure's dequantized.json.

    python gen.py            (needs torch, transformers and gguf)

The weights are not stored: tinymodel_test.go makes the same ones from the same
counter-based generator. transformers computes in float32 on the stored values.
"""

import json
import pathlib

import gguf
import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

M64 = (1 << 64) - 1


def fnv1a(s: str) -> int:
    h = 0xCBF29CE484222325
    for b in s.encode():
        h = (h ^ b) * 0x100000001B3 & M64
    return h


def splitmix(seed: int, n: int) -> np.ndarray:
    """n words: the finalizer of splitmix64 over seed + (i+1) * golden."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


BITS = {"F32": 24, "F16": 12, "BF16": 9}  # signed integers that the type holds exactly


# Places of a block's f16 numbers, scales and minima, and their signs and exponents.
HALVES = {"Q8_0": {0: 0x10}, "Q4_0": {0: 0x20}, "Q4_1": {0: 0x20, 2: 0xA8}, "Q5_0": {0: 0x1C}, "Q5_1": {0: 0x1C, 2: 0xA8},
          "Q4_K": {0: 0x08, 2: 0x14}, "Q5_K": {0: 0x04, 2: 0x14}, "Q6_K": {208: 0x00}}


def random_blocks(name: str, blocks: int, size: int) -> np.ndarray:
    """Random bytes of blocks, each of as many whole words as it needs, at least five."""
    words = max(5, -(-size // 8))
    return splitmix(fnv1a(name), blocks * words).astype("<u8").view(np.uint8).reshape(blocks, words * 8)[:, :size].copy()


def tensor(name: str, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """The float32 values of a tensor as it would be stored."""
    n = int(np.prod(shape))
    if len(shape) == 1:  # norms: 1 to 2 in steps of 1/64, always in F32, F16 or BF16
        u = splitmix(fnv1a(name), n)
        return (1 + (u >> np.uint64(58)).astype(np.float32) / 64).reshape(shape)
    if dtype in BITS:
        bits = BITS[dtype]
        u = splitmix(fnv1a(name), n)
        k = (u >> np.uint64(64 - bits)).astype(np.int64) - (1 << (bits - 1))
        return (k.astype(np.float64) * 2.0 ** -(bits + 2)).astype(np.float32).reshape(shape)
    qt = gguf.GGMLQuantizationType[dtype]
    block, size = gguf.GGML_QUANT_SIZES[qt]
    blocks = n // block
    raw = random_blocks(name, blocks, size)
    # A scale keeps 10 random bits of mantissa; sign and exponent are fixed.
    for at, high in HALVES[dtype].items():
        raw[:, at + 1] = raw[:, at + 1] & 3 | high
    return gguf.quants.dequantize(raw.reshape(-1), qt).reshape(shape)


BASE = dict(hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=4,
            head_dim=16, vocab_size=96, rms_norm_eps=1e-5, rope_theta=10000.0, tie_word_embeddings=False)
WIDE = dict(hidden_size=256, intermediate_size=512, head_dim=64)  # whole blocks of 256
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64)

CASES = [
    ("mha untied", "F32", {}),
    ("gqa tied", "F32", dict(num_key_value_heads=2, tie_word_embeddings=True)),
    ("mqa untied, odd widths", "F32", dict(hidden_size=52, intermediate_size=70, num_key_value_heads=1, head_dim=14, vocab_size=93)),
    ("gqa untied", "F16", dict(num_key_value_heads=2)),
    ("mha tied", "F16", dict(tie_word_embeddings=True)),
    ("gqa tied", "BF16", dict(num_key_value_heads=2, tie_word_embeddings=True)),
    ("mha untied", "BF16", {}),
    ("llama3 rope, head_dim not hidden/heads", "F32",
     dict(num_key_value_heads=2, head_dim=24, rope_theta=500000.0, rope_scaling=LLAMA3, num_hidden_layers=3)),
    ("linear rope", "BF16", dict(rope_scaling=dict(rope_type="linear", factor=4.0))),
    ("gqa untied", "Q8_0", dict(num_key_value_heads=2)),
    ("gqa tied", "Q4_0", dict(num_key_value_heads=2, tie_word_embeddings=True)),
    ("mha untied", "Q4_1", {}),
    ("gqa untied", "Q5_0", dict(num_key_value_heads=2)),
    ("mha tied", "Q5_1", dict(tie_word_embeddings=True)),
    ("gqa untied", "Q4_K", WIDE | dict(num_key_value_heads=2)),
    ("mha tied", "Q5_K", WIDE | dict(tie_word_embeddings=True)),
    ("gqa tied", "Q6_K", WIDE | dict(num_key_value_heads=2, tie_word_embeddings=True)),
]


def shapes(c: dict) -> dict[str, tuple[int, ...]]:
    h, f, v = c["hidden_size"], c["intermediate_size"], c["vocab_size"]
    q, kv = c["num_attention_heads"] * c["head_dim"], c["num_key_value_heads"] * c["head_dim"]
    out: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (v, h)}
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}."
        out |= {p + "input_layernorm.weight": (h,), p + "self_attn.q_proj.weight": (q, h),
                p + "self_attn.k_proj.weight": (kv, h), p + "self_attn.v_proj.weight": (kv, h),
                p + "self_attn.o_proj.weight": (h, q), p + "post_attention_layernorm.weight": (h,),
                p + "mlp.gate_proj.weight": (f, h), p + "mlp.up_proj.weight": (f, h), p + "mlp.down_proj.weight": (h, f)}
    out["model.norm.weight"] = (h,)
    if not c["tie_word_embeddings"]:
        out["lm_head.weight"] = (v, h)
    return out


def run(name: str, dtype: str, change: dict) -> dict:
    c = BASE | change
    rope = {"rope_type": "default"} | c.get("rope_scaling", {}) | {"rope_theta": c["rope_theta"]}
    args = {k: v for k, v in c.items() if k not in ("rope_scaling", "rope_theta")}
    model = LlamaForCausalLM(LlamaConfig(**args, rope_parameters=rope, max_position_embeddings=512,
                                         attn_implementation="eager")).float().eval()
    state = {k: torch.from_numpy(tensor(k, s, dtype)) for k, s in shapes(c).items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and set(missing) <= {"lm_head.weight"}, (missing, unexpected)
    ids = (splitmix(fnv1a("ids"), 150) % np.uint64(c["vocab_size"])).astype(int).tolist()
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0].numpy()
    keep = [0, 1, 2, 3, 62, 63, 64, 65, 127, 128, 149]
    return dict(name=f"{dtype} {name}", dtype=dtype, config=c, ids=ids, positions=keep,
                inv_freq=[float(f) for f in model.model.rotary_emb.inv_freq],
                logits=[[round(float(x), 6) for x in logits[p]] for p in keep])


def decoded() -> dict:
    """Blocks of each quantized type with extreme scales, and their values."""
    out = {}
    for t, halves in HALVES.items():
        qt = gguf.GGMLQuantizationType[t]
        size = gguf.GGML_QUANT_SIZES[qt][1]
        raw = random_blocks(t, 8, size)
        # 1.0, the largest, the smallest subnormal, -0, a negative, three of random mantissa
        extremes = ((0x3C00, 0x7BFF, 0x0001, 0x8000, 0xB555), (0xBC00, 0x0000, 0x03FF, 0x7BFF, 0x3555))
        for at, numbers, high in zip(halves, extremes, (0x20, 0xA8)):
            for i, d in enumerate(numbers):
                raw[i, at:at + 2] = (d & 255, d >> 8)
            raw[5:, at + 1] = raw[5:, at + 1] & 3 | high
        values = gguf.quants.dequantize(raw.reshape(-1), qt).astype("<f4")
        out[t] = dict(hex=raw.tobytes().hex(), bits=[f"{b:08x}" for b in values.reshape(-1).view("<u4").tolist()])
    return out


ROPES = {
    "Llama 2": dict(head_dim=128, rope_theta=10000.0),
    "Llama 3": dict(head_dim=128, rope_theta=500000.0),
    "Llama 3.1": dict(head_dim=128, rope_theta=500000.0, rope_scaling=LLAMA3 | dict(original_max_position_embeddings=8192)),
    "Llama 3.2 1B": dict(head_dim=64, rope_theta=500000.0,
                         rope_scaling=LLAMA3 | dict(factor=32.0, original_max_position_embeddings=8192)),
    "linear": dict(head_dim=128, rope_theta=10000.0, rope_scaling=dict(rope_type="linear", factor=2.5)),
}


def ropes() -> dict:
    """The rotary frequencies that transformers computes for each config."""
    out = {}
    for name, c in ROPES.items():
        rope = {"rope_type": "default"} | c.get("rope_scaling", {}) | {"rope_theta": c["rope_theta"]}
        config = LlamaConfig(hidden_size=4 * c["head_dim"], num_attention_heads=4, head_dim=c["head_dim"], rope_parameters=rope,
                             max_position_embeddings=131072)
        out[name] = dict(config=c, inv_freq=[float(f) for f in LlamaRotaryEmbedding(config).inv_freq])
    return out


def main() -> None:
    here = pathlib.Path(__file__).parent
    torch.set_num_threads(1)
    cases = ",\n".join(json.dumps(run(*c), separators=(",", ":")) for c in CASES)
    (here / "tiny.json").write_text(f"[\n{cases}\n]\n")
    (here / "rope.json").write_text(json.dumps(ropes(), separators=(",", ":")) + "\n")
    simd = here.parents[2] / "simd" / "pure" / "testdata"
    simd.mkdir(exist_ok=True)
    (simd / "dequantized.json").write_text(json.dumps(decoded(), separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
