"""Generation: one request to the kernel, whole or as a stream."""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ._array import Logits
from ._errors import Cancelled, RequestError
from ._handle import ModelHandle, SessionHandle
from ._rows import check_ids, to_rows
from ._rpc import GAP, Response

__all__ = ["GenerateStats", "GenerationResult", "Request", "generate", "stream"]

FinishReason = Literal["stop", "length", "interrupted"]


@dataclass
class GenerationResult:
    """One token of a stream, with the names of Meta's llama-models.

    ``text`` is what the token adds to the row's text; an incomplete character is
    held back to a later token. A row's last item has ``finished`` and a
    ``finish_reason``; when nothing but the end came with it, ``ignore_token`` is
    true and ``token`` is -1.
    """

    token: int
    text: str
    source: Literal["input", "output"]
    logprobs: list[float] | None
    batch_idx: int
    finished: bool
    ignore_token: bool = False
    finish_reason: FinishReason | None = None


@dataclass(frozen=True)
class GenerateStats:
    """What the last generation did and how long it took."""

    finish_reasons: list[str] = field(default_factory=list)
    prompt_tokens: int = 0
    """Prompt tokens that were computed."""
    reused_tokens: int = 0
    """Prompt tokens that the session held already."""
    prefill_seconds: float = 0.0
    generated_tokens: int = 0
    decode_seconds: float = 0.0
    decode_steps: int = 0
    """Positions computed in ``decode_seconds``; a row's first token comes from its prompt."""

    @property
    def prefill_rate(self) -> float:
        """Prompt tokens per second."""
        return self.prompt_tokens / self.prefill_seconds if self.prefill_seconds else 0.0

    @property
    def decode_rate(self) -> float:
        """Positions per second after the prompts."""
        return self.decode_steps / self.decode_seconds if self.decode_seconds else 0.0

    def __str__(self) -> str:
        reused = f" (+{self.reused_tokens} reused)" if self.reused_tokens else ""
        return (
            f"prefill {self.prompt_tokens} tokens{reused} at {self.prefill_rate:.1f} tok/s, "
            f"decode {self.generated_tokens} tokens at {self.decode_rate:.1f} tok/s"
        )

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {
            "text/plain": str(self),
            "text/html": f'<span style="color:gray">{self}</span>',
        }


@dataclass
class Request:
    """A checked request. Limits and vocabulary are those of the handle that asks."""

    rows: list[list[int]]
    max_gen_len: int
    temperature: float
    top_p: float
    seeds: list[int]
    logprobs: bool = False
    echo: bool = False
    ignore_eos: bool = False
    stop_token_ids: list[int] = field(default_factory=list)

    @classmethod
    def check(
        cls,
        prompt_tokens: Any,
        max_gen_len: int | None,
        temperature: float,
        top_p: float,
        *,
        seed: int | Sequence[int],
        max_batch_size: int,
        max_seq_len: int,
        vocab_size: int,
        stop_token_ids: Sequence[int] | None = None,
        **flags: bool,
    ) -> Request:
        """Check all that can be checked here; ValueError with the numbers."""
        rows = to_rows(prompt_tokens, "prompt_tokens")
        if len(rows) > max_batch_size:
            raise RequestError(
                f"prompt_tokens has {len(rows)} rows, more than max_batch_size ({max_batch_size}).",
                hint="send fewer rows at once, or build with a larger max_batch_size",
            )
        for i, row in enumerate(rows):
            if len(row) > max_seq_len:
                raise RequestError(
                    f"prompt_tokens[{i}] has {len(row)} tokens, more than max_seq_len "
                    f"({max_seq_len}).",
                    hint="shorten the prompt, or build with a larger max_seq_len",
                )
        check_ids(rows, vocab_size)
        if max_gen_len is None:
            max_gen_len = max_seq_len - 1
        count = _integer("max_gen_len", max_gen_len)
        if count < 0:
            raise RequestError(f"max_gen_len must not be negative, got {count}.")
        for name, value in (("temperature", temperature), ("top_p", top_p)):
            if not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
                raise RequestError(f"{name} must be a number that is not negative, got {value!r}.")
        return cls(
            rows=rows,
            max_gen_len=min(count, max_seq_len),
            temperature=float(temperature),
            top_p=float(top_p),
            seeds=_seeds(seed, len(rows)),
            stop_token_ids=[_integer("stop_token_ids", t) for t in stop_token_ids or ()],
            **flags,
        )

    def params(self, *, text: bool, stream: bool) -> dict[str, Any]:
        """Return rpc.GenerateParams, without the session."""
        return {
            "rows": self.rows,
            "max_gen_len": self.max_gen_len,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "seeds": self.seeds,
            "logprobs": self.logprobs,
            "echo": self.echo,
            "ignore_eos": self.ignore_eos,
            "stop_token_ids": self.stop_token_ids,
            "text": text,
            "stream": stream,
        }


@dataclass
class Outcome:
    """Rows of ids, their log-probabilities when asked, and figures."""

    tokens: list[list[int]]
    logprobs: list[list[float]] | None
    stats: GenerateStats


def generate(model: ModelHandle, limits: tuple[int, int], request: Request) -> Outcome:
    """Generate and wait; a KeyboardInterrupt returns what there is."""
    with model.session(*limits) as session:
        if request.max_gen_len == 0:
            return _nothing_to_generate(session, request)
        call = session.start("generate", request.params(text=False, stream=False))
        try:
            response = call.wait()
        except Cancelled:
            response = Response(_nothing(request), interrupted=True)
    outcome = _outcome(request, response.result)
    if response.interrupted:
        print("interrupted: this is what was generated so far", file=sys.stderr)
    return outcome


def stream(
    model: ModelHandle,
    limits: tuple[int, int],
    request: Request,
    *,
    text: bool,
    done: Callable[[GenerateStats], None],
) -> Iterator[list[GenerationResult]]:
    """Yield the tokens of all rows as they come; a KeyboardInterrupt ends the stream."""
    with model.session(*limits) as session:
        if request.max_gen_len == 0:
            outcome = _nothing_to_generate(session, request)
            done(outcome.stats)
            yield from _echoed(outcome)
            return
        call = session.start("generate", request.params(text=text, stream=True))
        told = _Told(request)
        try:
            for event in call.events():
                if isinstance(event, Response):
                    done(_outcome(request, event.result).stats)
                    yield from told.rest(event.result)
                elif event is GAP:
                    told.gap = True
                elif not told.gap:
                    yield from told.steps(event)
        except Cancelled:
            done(_outcome(request, _nothing(request)).stats)
            yield from told.rest(_nothing(request))


def _nothing(request: Request) -> dict[str, Any]:
    """Return the result of a request that was cancelled before it ran."""
    return {"rows": [{"ids": [], "finish_reason": "interrupted"} for _ in request.rows]}


class _Told:
    """What of each row was told already.

    After a cut of the connection progress may be missing, so nothing more is told
    until the result has come, which has all of it.
    """

    def __init__(self, request: Request) -> None:
        self.gap = False
        self._request = request
        self._tokens = [0] * len(request.rows)
        self._text = [0] * len(request.rows)
        self._ended = [False] * len(request.rows)

    def steps(self, progress: Mapping[str, Any]) -> Iterator[list[GenerationResult]]:
        """Yield what a progress message brings."""
        chunks = progress.get("chunks") or ()
        for chunk in chunks:
            row = chunk["row"]
            self._tokens[row] += len(chunk.get("ids") or ())
            self._text[row] += len(chunk.get("text") or "")
            self._ended[row] = bool(chunk.get("finish"))
        yield from _steps(chunks, self._request)

    def rest(self, result: Mapping[str, Any]) -> Iterator[list[GenerationResult]]:
        """Yield what the result has beyond that."""
        chunks = []
        for i, row in enumerate(result["rows"]):
            if self._ended[i]:
                continue
            ids, probs = row["ids"] or [], row.get("logprobs") or []
            prompt = len(self._request.rows[i]) if self._request.echo else 0
            split = max(self._tokens[i], min(prompt, len(ids)))
            for start, end, echo in ((self._tokens[i], split, True), (split, len(ids), False)):
                if start < end or not echo:
                    chunks.append(
                        {"row": i, "ids": ids[start:end], "logprobs": probs[start:end],
                         "echo": echo}
                    )  # fmt: skip
            chunks[-1] |= {
                "text": row.get("text", "")[self._text[i] :],
                "finish": row["finish_reason"],
            }
        yield from _steps(chunks, self._request)


def _steps(
    chunks: Sequence[Mapping[str, Any]], request: Request
) -> Iterator[list[GenerationResult]]:
    """Turn a progress message into steps with at most one token of each row."""
    rows: dict[int, list[GenerationResult]] = {}
    for chunk in chunks:
        rows.setdefault(chunk["row"], []).extend(_results(chunk, request))
    for step in range(max((len(items) for items in rows.values()), default=0)):
        yield [items[step] for _, items in sorted(rows.items()) if step < len(items)]


def _results(chunk: Mapping[str, Any], request: Request) -> list[GenerationResult]:
    ids = chunk.get("ids") or []
    finish = chunk.get("finish") or None
    text = chunk.get("text", "")
    source: Literal["input", "output"] = "input" if chunk.get("echo") else "output"
    row = chunk["row"]
    if not ids:
        if finish is None and not text:
            return []
        return [GenerationResult(-1, text, source, None, row, finish is not None, True, finish)]
    probs = chunk.get("logprobs") or []
    results = []
    for i, token in enumerate(ids):
        last = i == len(ids) - 1
        # The kernel gives the text of a run; its last token carries it.
        results.append(
            GenerationResult(
                token=token,
                text=text if last else "",
                source=source,
                logprobs=[probs[i]] if request.logprobs else None,
                batch_idx=row,
                finished=last and finish is not None,
                finish_reason=finish if last else None,
            )
        )
    return results


def _outcome(request: Request, result: Mapping[str, Any]) -> Outcome:
    rows = result["rows"]
    timings = result.get("timings") or {}
    return Outcome(
        tokens=[list(row["ids"] or []) for row in rows],
        logprobs=[list(row.get("logprobs") or []) for row in rows] if request.logprobs else None,
        stats=GenerateStats(finish_reasons=[row["finish_reason"] for row in rows], **timings),
    )


def _nothing_to_generate(session: SessionHandle, request: Request) -> Outcome:
    """Score the prompts, log p(t_i | t_<i) with 0.0 first, when no token is asked for."""
    logprobs: list[list[float]] | None = None
    if request.logprobs:
        logprobs = [_score(session, row) if request.echo else [] for row in request.rows]
    return Outcome(
        tokens=[list(row) if request.echo else [] for row in request.rows],
        logprobs=logprobs,
        stats=GenerateStats(finish_reasons=["length"] * len(request.rows)),
    )


def _score(session: SessionHandle, row: list[int]) -> list[float]:
    if len(row) == 1:
        return [0.0]
    params = {"tokens": [row[:-1]], "start_pos": 0, "keep": None}
    result = session.call("forward", params).result
    logits = Logits(session.rpc, result["result"], result["shape"])
    return [0.0, *(float(p) for p in logits.log_softmax_of([row[1:]])[0])]


def _echoed(outcome: Outcome) -> Iterator[list[GenerationResult]]:
    for step in range(max((len(row) for row in outcome.tokens), default=0)):
        items = []
        for i, row in enumerate(outcome.tokens):
            if step < len(row):
                probs = [outcome.logprobs[i][step]] if outcome.logprobs else None
                last = step == len(row) - 1
                items.append(
                    GenerationResult(
                        row[step], "", "input", probs, i, last, False, "length" if last else None
                    )
                )
        yield items


def _integer(name: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise RequestError(f"{name} must be an integer, got {value!r}.") from None


def _seeds(seed: Any, count: int) -> list[int]:
    """Return a seed per row: s + i, or the list that was given."""
    if isinstance(seed, Sequence) or hasattr(seed, "tolist"):
        seeds = [_integer("seed", s) for s in seed]
        if len(seeds) != count:
            raise RequestError(f"seed has {len(seeds)} entries for {count} rows.")
    else:
        first = _integer("seed", seed)
        seeds = [first + i for i in range(count)]
    return [s % (1 << 64) for s in seeds]
