"""Text to token ids and back, computed by the kernel.

>>> llm.tokenizer.decode(llm.tokenizer.encode("Once upon a time", bos=False, eos=False))
'Once upon a time'
"""

from __future__ import annotations

import operator
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict

from ._errors import MissingFileError, RequestError, TokenizerError
from ._handle import ModelHandle

__all__ = ["ChatFormat", "Dialog", "Message", "Tokenizer"]

Role = Literal["system", "user", "assistant"]


class Message(TypedDict):
    """One message of a dialog."""

    role: Role
    content: str


Dialog = Sequence[Message]


class Tokenizer:
    """A model's tokenizer: ``llm.tokenizer``, or ``Tokenizer(path)``.

    ``path`` is a model's folder, a GGUF file, or a tokenizer file that lies beside
    its model or one level above it. The attributes are Meta's: ``n_words``,
    ``bos_id``, ``eos_id``, ``pad_id`` (-1: none), ``stop_tokens``,
    ``special_tokens``.
    """

    def __init__(self, model_path: str | os.PathLike[str]) -> None:
        path = Path(model_path).absolute()
        if not path.exists():
            raise MissingFileError(f"Tokenizer file '{model_path}' does not exist.")
        params = {
            "path": str(path), "dtype": "auto", "precision": "fast", "need_tokenizer": True,
            "max_seq_len": 1, "max_batch_size": 1,
        }  # fmt: skip
        if path.is_file() and path.suffix != ".gguf":
            params |= {"path": str(path.parent), "tokenizer_path": str(path)}
        self._bind(ModelHandle.open(params))

    @classmethod
    def _of(cls, model: ModelHandle) -> Tokenizer:
        tokenizer = cls.__new__(cls)
        tokenizer._bind(model)
        return tokenizer

    def _bind(self, model: ModelHandle) -> None:
        info = model.info.get("tokenizer")
        if info is None:
            raise TokenizerError("This model has no tokenizer.")
        self._model = model
        self.kind: str = info["kind"]
        self.n_words: int = info["n_words"]
        self.bos_id: int = info["bos_id"]
        self.eos_id: int = info["eos_id"]
        self.pad_id: int = info["pad_id"]
        self.stop_tokens: set[int] = set(info["stop_tokens"] or ())
        self.special_tokens: dict[str, int] = dict(info["special_tokens"] or {})
        self.chat_format: str = info["chat_format"]
        self.add_bos: bool = info["add_bos"]

    def encode(
        self,
        s: str,
        bos: bool = False,
        eos: bool = False,
        *,
        allowed_special: Literal["all"] | Collection[str] = (),
        disallowed_special: Literal["all"] | Collection[str] = (),
    ) -> list[int]:
        """Return the ids of a text.

        The text of a special token is ordinary text unless ``allowed_special``
        names it (or is "all"), and a ValueError when ``disallowed_special`` does.
        """
        if not isinstance(s, str):
            raise RequestError(f"Only text can be encoded, got {type(s).__name__}.")
        _check_text(s)
        allowed = self._specials(allowed_special)
        for token in self._specials(disallowed_special):
            if token in s and token not in allowed:
                raise RequestError(
                    f"The text holds the special token {token!r}, which is not allowed.",
                    hint="pass it in allowed_special, or leave disallowed_special empty",
                )
        params = {"text": s, "bos": bool(bos), "eos": bool(eos), "allowed_special": sorted(allowed)}
        if allowed_special == "all":
            params["allowed_special"] = ["all"]
        ids: list[int] = self._model.call("tokenize", params).result["ids"] or []
        return ids

    def decode(self, t: int | Iterable[int]) -> str:
        """Return the text of ids, or of one id."""
        text: str = self._model.call("detokenize", {"ids": _ids(t)}).result["text"]
        return text

    def pieces(self, t: Iterable[int]) -> list[str]:
        """Return the text of each id alone, as Meta's ``decode([id])`` gives it."""
        result = self._model.call("detokenize", {"ids": _ids(t), "each": True}).result
        return list(result.get("pieces") or [])

    def _specials(self, names: Literal["all"] | Collection[str]) -> set[str]:
        if isinstance(names, str):
            if names != "all":
                raise RequestError(f"Expected 'all' or a set of special tokens, got {names!r}.")
            return set(self.special_tokens)
        unknown = sorted(set(names) - set(self.special_tokens))
        if unknown:
            raise RequestError(
                f"{unknown[0]!r} is not a special token of this tokenizer.",
                hint="tokenizer.special_tokens lists them",
            )
        return set(names)

    def __repr__(self) -> str:
        return f"Tokenizer({self.kind}, n_words={self.n_words}, chat_format={self.chat_format!r})"


class ChatFormat:
    """Dialogs as prompts, in the format that the model was trained on.

    Content is ordinary text: a special token's text inside it stays text.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer

    def encode_dialog_prompt(self, dialog: Dialog) -> list[int]:
        """Return the ids of a dialog, ending where the assistant's answer begins."""
        return self._encode(dialog)[0]

    def render_dialog_prompt(self, dialog: Dialog) -> str:
        """Return the prompt as text, special tokens written out."""
        return self._encode(dialog)[1]

    def _encode(self, dialog: Dialog) -> tuple[list[int], str]:
        params = {"dialog": check_dialog(dialog)}
        result = self.tokenizer._model.call("chat.encode", params).result
        return list(result["ids"]), result["text"]

    def __repr__(self) -> str:
        return f"ChatFormat({self.tokenizer.chat_format!r})"


def check_dialog(dialog: Any) -> list[Mapping[str, str]]:
    """Return a dialog's messages, or a ValueError that says what is wrong with it."""
    if isinstance(dialog, (str, bytes, Mapping)) or not isinstance(dialog, Iterable):
        raise RequestError(
            f"A dialog is a list of messages, got {type(dialog).__name__}.",
            hint='for example [{"role": "user", "content": "Hello"}]',
        )
    messages = list(dialog)
    if not messages:
        raise RequestError("A dialog needs at least one message, got none.")
    for i, message in enumerate(messages):
        if not isinstance(message, Mapping) or not {"role", "content"} <= set(message):
            raise RequestError(
                f"Message {i} of the dialog is {message!r}; expected a role and a content."
            )
        if not isinstance(message["role"], str) or not isinstance(message["content"], str):
            raise RequestError(f"Message {i} of the dialog has a role or content that is no text.")
        _check_text(message["content"])
    return [{"role": m["role"], "content": m["content"]} for m in messages]


def _check_text(s: str) -> None:
    """Raise ValueError for text that no UTF-8 can be: half of a surrogate pair."""
    try:
        s.encode()
    except UnicodeEncodeError as e:
        raise RequestError(
            f"The text holds {s[e.start]!r} at {e.start}, half of a surrogate pair.",
            hint="s.encode('utf-16', 'surrogatepass').decode('utf-16') joins pairs",
        ) from None


def _ids(t: Any) -> list[int]:
    if hasattr(t, "tolist"):
        t = t.tolist()
    try:
        if isinstance(t, Iterable) and not isinstance(t, (str, bytes)):
            return [operator.index(i) for i in t]
        return [operator.index(t)]
    except TypeError:
        raise RequestError(f"Only token ids can be decoded, got {t!r}.") from None
