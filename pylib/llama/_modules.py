"""The module tree of a Llama, as torch would print it. It holds no weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ._args import ModelArgs

__all__ = ["Module", "tree"]


@dataclass(frozen=True)
class Module:
    """A named node; ``repeat`` says how many equal ones stand in a row."""

    kind: str
    detail: str = ""
    children: dict[str, Module] = field(default_factory=dict)
    repeat: int = 0

    def __repr__(self) -> str:
        head = f"{self.repeat} x {self.kind}" if self.repeat else self.kind
        if not self.children:
            return f"{head}({self.detail})"
        lines = [f"({name}): {child!r}" for name, child in self.children.items()]
        body = "\n".join(lines).replace("\n", "\n  ")
        return f"{head}(\n  {body}\n)"

    def walk(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """Yield every module with its dotted name, parents first."""
        yield prefix, self
        for name, child in self.children.items():
            names = [str(i) for i in range(child.repeat)] if child.repeat else [name]
            for each in names:
                yield from child.walk(f"{prefix}.{each}" if prefix else each)


def tree(args: ModelArgs) -> Module:
    """Return the modules of a model, in Meta's names."""
    hidden, ffn = args.hidden_size, args.intermediate_size
    q = args.num_attention_heads * args.head_dim
    kv = args.num_key_value_heads * args.head_dim
    norm = Module("RMSNorm", f"({hidden},), eps={args.rms_norm_eps:g}")
    attention = Module(
        "Attention",
        children={
            "wq": _linear(hidden, q),
            "wk": _linear(hidden, kv),
            "wv": _linear(hidden, kv),
            "wo": _linear(q, hidden),
        },
    )
    feed_forward = Module(
        "FeedForward",
        children={
            "w1": _linear(hidden, ffn),
            "w2": _linear(ffn, hidden),
            "w3": _linear(hidden, ffn),
        },
    )
    block = Module(
        "TransformerBlock",
        children={
            "attention": attention,
            "feed_forward": feed_forward,
            "attention_norm": norm,
            "ffn_norm": norm,
        },
        repeat=args.num_hidden_layers,
    )
    last = args.num_hidden_layers - 1
    return Module(
        "Transformer",
        children={
            "tok_embeddings": Module("Embedding", f"{args.vocab_size}, {hidden}"),
            "layers": Module("ModuleList", children={f"0-{last}" if last else "0": block}),
            "norm": norm,
            "output": _linear(hidden, args.vocab_size),
        },
    )


def _linear(columns: int, rows: int) -> Module:
    return Module("Linear", f"in_features={columns}, out_features={rows}, bias=False")
