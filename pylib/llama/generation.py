"""The high-level interface: build a model, then generate, complete and chat.

>>> from llama.generation import Llama
>>> dialog = [{"role": "user", "content": "Say hello."}]
>>> answer = llm.chat_completion([dialog], temperature=0, max_gen_len=8)[0]["generation"]
>>> answer["role"]
'assistant'
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict, overload

from . import _models
from ._args import ModelArgs, normal_dtype
from ._errors import CheckpointError, MissingFileError, RequestError
from ._generate import GenerateStats, GenerationResult, Request, generate, stream
from ._handle import ModelHandle
from ._progress import Bar
from ._repr import card, count, short_path, size, stored_as
from .model import Quantize, Transformer, check_precision, check_quantize, check_threads
from .tokenizer import ChatFormat, Dialog, Message, Tokenizer, check_dialog

__all__ = [
    "ChatPrediction",
    "CompletionPrediction",
    "Dialog",
    "GenerateStats",
    "GenerationResult",
    "Llama",
    "Message",
]

_WEIGHTS = ("*.safetensors", "*.gguf", "*.pth", "*.bin")
_TAGS = ("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>")
_UNSAFE = "Error: special tags are not allowed as part of the prompt."


class _Answer(TypedDict):
    role: Literal["assistant"]
    content: str


class _Detail(TypedDict, total=False):
    tokens: list[str]
    logprobs: list[float]


class CompletionPrediction(_Detail):
    """One completion; tokens and logprobs only when asked for."""

    generation: str


class ChatPrediction(_Detail):
    """One answer; tokens and logprobs only when asked for."""

    generation: _Answer


class Llama:
    """A loaded model with its tokenizer. Made by ``Llama.build``.

    ``model``, ``tokenizer`` and ``formatter`` are as in Meta's code. ``last`` holds
    the figures of the last generation: why each row ended, and its speed.
    """

    model: Transformer
    tokenizer: Tokenizer
    formatter: ChatFormat
    last: GenerateStats | None = None

    @classmethod
    def build(
        cls,
        ckpt_dir: str | os.PathLike[str],
        tokenizer_path: str | os.PathLike[str] | None = None,
        max_seq_len: int | None = None,
        max_batch_size: int | None = None,
        model_parallel_size: int | None = None,
        seed: int = 1,
        *,
        dtype: str = "auto",
        quantize: Quantize | None = None,
        precision: str = "fast",
        threads: int | None = None,
        progress: bool = True,
    ) -> Llama:
        """Load a model into the resident kernel, or attach to it where it is loaded.

        Args:
            ckpt_dir: a folder, a checkpoint file, a known name ("smollm2", pulled
                when it is not there) or "org/name" in Hugging Face's cache.
            tokenizer_path: a tokenizer file; found beside the weights when absent.
            max_seq_len: the longest row; the smaller of the model's limit and 4096.
            max_batch_size: the most rows at once, 32. A limit, not a reservation.
            model_parallel_size: accepted and noted; any number of shards is merged.
            seed: where the seeds of calls without one start.
            dtype: "auto", the type of the file.
            quantize: "int8" or "int4" converts the matrices of a model that is stored
                in 32 or 16 bits, which takes less memory and time at a small loss.
            precision: "exact" (float32 activations and cache) or "fast".
            threads: how many to compute with; all cores when absent.
            progress: whether to show a bar and the time that loading took.

        A KeyboardInterrupt ends the load and leaves nothing loaded.
        """
        start = time.perf_counter()
        check_precision(precision)
        check_quantize(quantize)
        for name, value in (("max_seq_len", max_seq_len), ("max_batch_size", max_batch_size)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
                raise RequestError(f"{name} must be an integer, got {value!r}.")
        if max_batch_size is not None and max_batch_size < 1:
            raise RequestError(f"max_batch_size must be positive, got {max_batch_size}.")
        if dtype != "auto":
            dtype = normal_dtype(dtype)
        params: dict[str, Any] = {
            "path": str(_checkpoint(ckpt_dir, progress)),
            "tokenizer_path": str(_tokenizer_file(tokenizer_path)) if tokenizer_path else "",
            "dtype": dtype,
            **({"quantize": quantize} if quantize else {}),
            "precision": precision,
            "threads": check_threads(threads),
            "max_batch_size": max_batch_size or 32,
            "need_tokenizer": True,
        }
        if max_seq_len is not None and max_seq_len > 0:
            params["max_seq_len"] = max_seq_len
        with Bar(f"loading {Path(params['path']).name}", shown=progress) as bar:
            handle = ModelHandle.open(params, bar.update)
        llm = cls.__new__(cls)
        try:
            llm._bind(handle, max_seq_len, params["max_batch_size"], seed)
        except BaseException:
            handle.close()
            raise
        if progress:
            _say_loaded(handle, time.perf_counter() - start, model_parallel_size)
        return llm

    def _bind(
        self, handle: ModelHandle, max_seq_len: int | None, max_batch_size: int, seed: int
    ) -> None:
        limit = int(handle.info["max_seq_len"])
        if max_seq_len is None:
            max_seq_len = min(limit, 4096)
        elif not 1 <= max_seq_len <= limit:
            raise RequestError(f"max_seq_len must be between 1 and {limit}, got {max_seq_len}.")
        args = ModelArgs.from_config(
            handle.config, max_seq_len=max_seq_len, max_batch_size=max_batch_size
        )
        self._handle = handle
        self._seed = seed
        self._calls = 0
        self.last = None
        self.model = Transformer._of(handle, args, seed)
        self.tokenizer = Tokenizer._of(handle)
        self.formatter = ChatFormat(self.tokenizer)
        if self.tokenizer.n_words > args.vocab_size:
            raise CheckpointError(
                f"The tokenizer has {self.tokenizer.n_words} ids, the model {args.vocab_size}.",
                hint="pass the tokenizer_path that belongs to this model",
            )

    @overload
    def generate(
        self,
        prompt_tokens: Any,
        max_gen_len: int | None = None,
        temperature: float = 0.6,
        top_p: float = 0.9,
        logprobs: bool = False,
        echo: bool = False,
        *,
        seed: int | Sequence[int] | None = None,
        ignore_eos: bool = False,
        stop_token_ids: Sequence[int] | None = None,
        stream: Literal[False] = False,
    ) -> tuple[list[list[int]], list[list[float]] | None]: ...
    @overload
    def generate(
        self,
        prompt_tokens: Any,
        max_gen_len: int | None = None,
        temperature: float = 0.6,
        top_p: float = 0.9,
        logprobs: bool = False,
        echo: bool = False,
        *,
        seed: int | Sequence[int] | None = None,
        ignore_eos: bool = False,
        stop_token_ids: Sequence[int] | None = None,
        stream: Literal[True],
    ) -> Iterator[list[GenerationResult]]: ...
    def generate(
        self,
        prompt_tokens: Any,
        max_gen_len: int | None = None,
        temperature: float = 0.6,
        top_p: float = 0.9,
        logprobs: bool = False,
        echo: bool = False,
        *,
        seed: int | Sequence[int] | None = None,
        ignore_eos: bool = False,
        stop_token_ids: Sequence[int] | None = None,
        stream: bool = False,
    ) -> tuple[list[list[int]], list[list[float]] | None] | Iterator[list[GenerationResult]]:
        """Continue rows of token ids; returns ``(tokens, logprobs)``.

        ``logprobs`` is None unless asked for; then each is log p of its token under
        the raw logits. With ``echo`` the prompt comes first, its first entry 0.0.
        ``max_gen_len=None`` goes to the end of the context; 0 only scores an echoed
        prompt. A row ends at a stop token, which is not returned. ``seed=s`` gives
        row i the seed s + i, a list sets each row; without one, calls count up from
        the seed of ``build``. ``stream=True`` yields lists of ``GenerationResult``,
        at most one a row, as tokens come.

        A KeyboardInterrupt ends the work, and what there is comes back
        (``last.finish_reasons`` says "interrupted"); a second one is raised.

        >>> tokens, logprobs = llm.generate([[1, 10, 20]], max_gen_len=4, temperature=0)
        >>> logprobs is None
        True
        """
        request = self._request(
            prompt_tokens,
            max_gen_len,
            temperature,
            top_p,
            seed,
            logprobs=logprobs,
            echo=echo,
            ignore_eos=ignore_eos,
            stop_token_ids=stop_token_ids,
        )
        if stream:
            return self._stream(request)
        tokens, probs, self.last = self._run(request)
        return tokens, probs

    @overload
    def text_completion(
        self,
        prompts: Sequence[str],
        temperature: float = 0.6,
        top_p: float = 0.9,
        max_gen_len: int | None = None,
        logprobs: bool = False,
        echo: bool = False,
        *,
        seed: int | Sequence[int] | None = None,
        ignore_eos: bool = False,
        stream: Literal[False] = False,
    ) -> list[CompletionPrediction]: ...
    @overload
    def text_completion(
        self,
        prompts: Sequence[str],
        temperature: float = 0.6,
        top_p: float = 0.9,
        max_gen_len: int | None = None,
        logprobs: bool = False,
        echo: bool = False,
        *,
        seed: int | Sequence[int] | None = None,
        ignore_eos: bool = False,
        stream: Literal[True],
    ) -> Iterator[list[GenerationResult]]: ...
    def text_completion(
        self,
        prompts: Sequence[str],
        temperature: float = 0.6,
        top_p: float = 0.9,
        max_gen_len: int | None = None,
        logprobs: bool = False,
        echo: bool = False,
        *,
        seed: int | Sequence[int] | None = None,
        ignore_eos: bool = False,
        stream: bool = False,
    ) -> list[CompletionPrediction] | Iterator[list[GenerationResult]]:
        """Continue texts. ``tokens`` and ``logprobs`` only when asked for.

        A prompt gets the BOS that its model wants, and no EOS. ``max_gen_len=None``
        is ``max_seq_len - 1``.
        """
        if isinstance(prompts, str):
            raise RequestError(
                "prompts is a list of texts, got one text.", hint="write text_completion([text])"
            )
        bos = self.tokenizer.add_bos
        request = self._request(
            [self.tokenizer.encode(p, bos=bos, eos=False) for p in prompts],
            max_gen_len,
            temperature,
            top_p,
            seed,
            logprobs=logprobs,
            echo=echo,
            ignore_eos=ignore_eos,
        )
        if stream:
            return self._stream(request)
        tokens, probs, self.last = self._run(request)
        predictions: list[CompletionPrediction] = []
        for i, row in enumerate(tokens):
            prediction: CompletionPrediction = {"generation": self.tokenizer.decode(row)}
            if probs is not None:
                prediction["tokens"] = self.tokenizer.pieces(row)
                prediction["logprobs"] = probs[i]
            predictions.append(prediction)
        return predictions

    @overload
    def chat_completion(
        self,
        dialogs: Sequence[Dialog],
        temperature: float = 0.6,
        top_p: float = 0.9,
        max_gen_len: int | None = None,
        logprobs: bool = False,
        *,
        seed: int | Sequence[int] | None = None,
        ignore_eos: bool = False,
        stream: Literal[False] = False,
    ) -> list[ChatPrediction]: ...
    @overload
    def chat_completion(
        self,
        dialogs: Sequence[Dialog],
        temperature: float = 0.6,
        top_p: float = 0.9,
        max_gen_len: int | None = None,
        logprobs: bool = False,
        *,
        seed: int | Sequence[int] | None = None,
        ignore_eos: bool = False,
        stream: Literal[True],
    ) -> Iterator[list[GenerationResult]]: ...
    def chat_completion(
        self,
        dialogs: Sequence[Dialog],
        temperature: float = 0.6,
        top_p: float = 0.9,
        max_gen_len: int | None = None,
        logprobs: bool = False,
        *,
        seed: int | Sequence[int] | None = None,
        ignore_eos: bool = False,
        stream: bool = False,
    ) -> list[ChatPrediction] | Iterator[list[GenerationResult]]:
        """Answer dialogs, each a list of messages with role and content.

        With ``stream=True`` it yields as ``generate`` does; a dialog that is refused
        (Llama 2's tags inside content) is then a ValueError.
        """
        checked = [check_dialog(d) for d in _dialogs(dialogs)]
        unsafe = [
            self.tokenizer.chat_format == "llama2"
            and any(tag in m["content"] for tag in _TAGS for m in dialog)
            for dialog in checked
        ]
        if stream and any(unsafe):
            raise RequestError(_UNSAFE)
        safe = [i for i, refused in enumerate(unsafe) if not refused]
        predictions: list[ChatPrediction] = [
            {"generation": {"role": "assistant", "content": _UNSAFE}} for _ in checked
        ]
        if logprobs:
            for i in set(range(len(checked))) - set(safe):
                predictions[i] |= {"tokens": [], "logprobs": []}
        if not safe:
            return predictions
        request = self._request(
            [self.formatter.encode_dialog_prompt(dialogs[i]) for i in safe],
            max_gen_len,
            temperature,
            top_p,
            seed if seed is None or isinstance(seed, int) else [seed[i] for i in safe],
            logprobs=logprobs,
            ignore_eos=ignore_eos,
        )
        if stream:
            return self._stream(request)
        tokens, probs, self.last = self._run(request)
        for n, i in enumerate(safe):
            predictions[i]["generation"]["content"] = self.tokenizer.decode(tokens[n])
            if probs is not None:
                predictions[i]["tokens"] = self.tokenizer.pieces(tokens[n])
                predictions[i]["logprobs"] = probs[n]
        return predictions

    def close(self) -> None:
        """Let go of the model; the kernel keeps it for others and for a while."""
        self._handle.close()

    def _request(
        self,
        prompt_tokens: Any,
        max_gen_len: int | None,
        temperature: float,
        top_p: float,
        seed: int | Sequence[int] | None,
        **more: Any,
    ) -> Request:
        args = self.model.args
        request = Request.check(
            prompt_tokens,
            max_gen_len,
            temperature,
            top_p,
            seed=self._seed + self._calls if seed is None else seed,
            max_batch_size=args.max_batch_size,
            max_seq_len=args.max_seq_len,
            vocab_size=args.vocab_size,
            **more,
        )
        self._calls += 1
        return request

    def _run(
        self, request: Request
    ) -> tuple[list[list[int]], list[list[float]] | None, GenerateStats]:
        outcome = generate(self._handle, self.model._limits, request)
        return outcome.tokens, outcome.logprobs, outcome.stats

    def _stream(self, request: Request) -> Iterator[list[GenerationResult]]:
        return stream(
            self._handle,
            self.model._limits,
            request,
            text=True,
            done=lambda stats: setattr(self, "last", stats),
        )

    def __repr__(self) -> str:
        info, args = self._handle.info, self.model.args
        quantized = f"quantize={info['quantize']!r}, " if info["quantize"] else ""
        return (
            f"Llama({info['name']!r}, {count(info['parameters'])} parameters, {info['dtype']}, "
            f"{quantized}precision={info['precision']!r}, max_seq_len={args.max_seq_len})"
        )

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        info, a = self._handle.info, self.model.args
        return card(
            f"Llama: {info['name']}",
            {
                "file": short_path(info["path"]),
                "parameters": count(info["parameters"]),
                "weights": f"{stored_as(info)}, {size(info['bytes'])} ({info['format']})",
                "precision": info["precision"],
                "layers": a.num_hidden_layers,
                "hidden": f"{a.hidden_size} (FFN {a.intermediate_size})",
                "heads": f"{a.num_attention_heads} ({a.num_key_value_heads} KV)",
                "vocabulary": a.vocab_size,
                "context": f"{a.max_seq_len} of {info['max_seq_len']}",
                "chat format": self.tokenizer.chat_format or "none",
                "computed by": info["backend"],
            },
        )


def _checkpoint(ckpt_dir: str | os.PathLike[str], progress: bool) -> Path:
    path = _models.resolve(ckpt_dir, progress=progress)
    if path.is_dir() and not any(next(path.glob(p), None) for p in _WEIGHTS):
        raise MissingFileError(
            f"no checkpoint files found in {ckpt_dir}",
            hint="expected *.safetensors or *.gguf there",
        )
    return path


def _tokenizer_file(tokenizer_path: str | os.PathLike[str]) -> Path:
    path = Path(tokenizer_path).expanduser()
    if not path.is_file():
        raise MissingFileError(f"Tokenizer file '{tokenizer_path}' does not exist.")
    return path.absolute()


def _dialogs(dialogs: Any) -> Sequence[Any]:
    if isinstance(dialogs, (str, bytes)) or not isinstance(dialogs, Sequence) or not dialogs:
        raise RequestError(f"dialogs is a list of dialogs with at least one, got {dialogs!r}.")
    if isinstance(dialogs[0], dict):
        raise RequestError(
            "dialogs is a list of dialogs, got one dialog.", hint="write chat_completion([dialog])"
        )
    return dialogs


def _say_loaded(handle: ModelHandle, seconds: float, parallel: int | None) -> None:
    if handle.info["resident"]:
        print(f"{handle.info['name']} is resident already: attached in {seconds * 1000:.0f} ms")
    else:
        print(f"Loaded in {seconds:.2f} seconds")
    if parallel is not None and parallel > 1:
        print(f"model_parallel_size={parallel}: shards are merged, one kernel computes them all")
