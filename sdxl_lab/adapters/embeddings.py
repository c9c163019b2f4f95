"""Embeddings (textual inversion): words that were trained, each of one or several vectors for each text encoder."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar
from weakref import WeakKeyDictionary

from pydantic import Field

from sdxl_lab.adapters._adapter import AdapterError, FromFile, Models, Named, Put, Tensor
from sdxl_lab.settings.documents import digest_of

KEYS: Mapping[str, tuple[str, ...]] = {"clip_l": ("clip_l", "text_encoders_0"), "clip_g": ("clip_g", "text_encoders_1")}
"""The names of the two tensors of a file, those of other trainers last."""

ALONE = "text_encoder"
"""In place of both, what a file has for the one text encoder of Stable Diffusion 1 and 2, whatever it calls it: `emb_params`, the token, `*`."""

ENCODERS = {"clip_l": ("text_encoder", "tokenizer"), "clip_g": ("text_encoder_2", "tokenizer_2"), ALONE: ("text_encoder", "tokenizer")}
FAMILIES = {768: "Stable Diffusion 1", 1024: "Stable Diffusion 2"}
"""Of one text encoder, by how many numbers its vectors have."""
MOST_VECTORS = 75
"""As many as a prompt has room for."""

DTYPES = ("F32", "F16", "BF16", "F64")
NEEDED = "needed are clip_l and clip_g, for SDXL's two text encoders, or one tensor for the one of Stable Diffusion 1 or 2"
BETWEEN_TOKENS = r"""[\s,:;()\[\]{}|\\"']+"""
"""What no token has."""
TOKEN = "a text of 1 to 75 characters without spaces, commas, colons, quotes and brackets, or None for its name"


class Embedding(FromFile):
    """A word that was trained.

    Attributes:
        file: Where it is: vectors for both text encoders of Stable Diffusion XL, `clip_l` and `clip_g`, or one tensor, such as `emb_params`, for the
            one of Stable Diffusion 1 or 2.
        token: What stands for it in prompts, in small letters or capitals; its name if left out.
    """

    token: Annotated[str, Field(strict=True, pattern=r"""^[^\s,:;()\[\]{}|\\"']{1,75}$""")] | None = Field(default=None, description=TOKEN)


class Embeddings(Named):
    """Words that were trained (textual inversion), by name. One set for the whole run; records hold them by content."""

    of: ClassVar = Embedding

    __pydantic_extra__: dict[str, Embedding]  # pyright: ignore[reportIncompatibleVariableOverride] - as pydantic wants it


@dataclass(frozen=True, kw_only=True)
class Vectors:
    """What a file of an embedding holds.

    Attributes:
        tensors: `clip_l` and `clip_g`, each of as many rows as it has vectors, or `ALONE`.
        count: How many these are.
    """

    tensors: Mapping[str, Tensor]
    count: int


def tokens_of(put: Put) -> tuple[str, ...]:
    """The tokens that stand for the vectors of an embedding, the first of which people write; as diffusers numbers them."""
    first = _token(put.name, put.asked)
    return (first, *(f"{first}_{number}" for number in range(1, put.content.count)))


def written_out(text: str, tokens: Sequence[str]) -> str:
    """Put all tokens of an embedding in place of the first, as diffusers' pipelines do, which passes over those in capitals.

    Args:
        text: A prompt.
        tokens: All that were learned.
    """
    if not tokens:
        return text
    whole: dict[str, str] = {}
    for token in tokens:
        several = [token]
        while (following := f"{token}_{len(several)}") in tokens:
            several.append(following)
        whole[token] = " ".join(several)
    return _any_of(tokens).sub(lambda found: whole.get(found[0].lower(), found[0]), text)


def places(text: str, tokens: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """Where tokens are read, also inside other words: each, where it begins, and where it ends."""
    if tokens:
        yield from ((found[0].lower(), *found.span()) for found in _any_of(tokens).finditer(text))


def _any_of(tokens: Sequence[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, sorted(tokens, key=len, reverse=True))), re.IGNORECASE)


def learned_by(tokenizer: Any) -> tuple[str, ...]:
    """The tokens that a tokenizer was taught."""
    return tuple(token.content for token in tokenizer.added_tokens_decoder.values() if not token.special)


def taught(tokenizer: Any, tokens: tuple[str, ...]) -> Any:
    """A copy of a tokenizer that knows tokens more, in this order after those that it knew; the same one again where it is asked for again."""
    known = _copies.get(tokenizer)
    if known is None or known[0] != tokens:
        copy = deepcopy(tokenizer)
        copy.add_tokens(list(tokens))
        known = _copies[tokenizer] = (tokens, copy)
    return known[1]


_copies: WeakKeyDictionary[Any, tuple[tuple[str, ...], Any]] = WeakKeyDictionary()
"""The last one of each tokenizer, since copying a vocabulary takes as long as encoding a prompt."""


class _TextualInversion:
    label = "TI hashes"
    what = "an embedding (textual inversion)"
    section: type[Named] = Embeddings
    is_known_by_tensors = False

    def take(self, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> Vectors:
        if len(tensors) == 1 and (alone := next(iter(tensors))) not in KEYS["clip_g"]:
            return Vectors(tensors={ALONE: (rows := _rows(alone, tensors[alone]))}, count=rows.shape[0])
        names = {key: next((name for name in aliases if name in tensors), None) for key, aliases in KEYS.items()}
        if missing := [key for key, name in names.items() if name is None]:
            raise AdapterError(_lacking(tensors, missing))
        if strange := sorted(set(tensors) - set(names.values())):
            raise AdapterError(f"it holds {_listed(strange)} beside clip_l and clip_g, which nobody reads; take a file with these two alone")
        taken = {key: _rows(key, tensors[str(name)]) for key, name in names.items()}
        counts = {key: rows.shape[0] for key, rows in taken.items()}
        if len(set(counts.values())) > 1:
            raise AdapterError(f"clip_l has {counts['clip_l']} vectors and clip_g {counts['clip_g']}; both need as many: take another file")
        return Vectors(tensors=taken, count=counts["clip_l"])

    def digest(self, name: str, asked: Embedding, content: Vectors) -> str:
        rows = {key: [rows.dtype, list(rows.shape), hashlib.sha256(rows.data).hexdigest()] for key, rows in content.tensors.items()}
        return digest_of({"kind": "embeddings", "token": _token(name, asked), "rows": rows})

    def is_neutral(self, asked: Embedding, content: Vectors) -> bool:
        return False

    def in_text(self, put: Put, role: str) -> Hashable:
        return put.digest

    def faults(self, put: Sequence[Put], models: Models) -> list[tuple[str, str]]:
        return [*_of_widths(put, models), *_of_tokens(put), *_of_vocabularies(put, models)]

    def unasked(self, put: Sequence[Put], texts: Sequence[str]) -> list[tuple[str, str]]:
        tokens = {one.name: tokens_of(one)[0] for one in put}
        learned = [token for one in put for token in tokens_of(one)]
        read = {token for text in texts for token, _, _ in places(text, learned)}
        return [(name, f"has no effect: its token {token!r} stands in no prompt") for name, token in tokens.items() if token not in read]

    def told(self, asked: Embedding) -> str:
        return f"as {asked.token}" if asked.token else ""

    def in_prompt(self, name: str, asked: Embedding) -> str:
        return ""

    def titles(self, content: Vectors, file: str) -> tuple[str, ...]:
        return ()

    @contextmanager
    def on(self, pipelines: Sequence[Any], put: Sequence[Put], role: str = "base") -> Iterator[Mapping[int, Any]]:
        if not put:
            yield {}
            return
        from sdxl_lab.adapters._longer_tables import longer  # imports torch

        tokens = tuple(token for one in put for token in tokens_of(one))
        instead: dict[int, Any] = {}
        with ExitStack() as stack:
            for key in put[0].content.tensors:
                encoder_name, tokenizer_name = ENCODERS[key]
                encoders: dict[int, Any] = {}
                own: dict[int, Any] = {}
                for pipeline in pipelines:
                    encoder, tokenizer = getattr(pipeline, encoder_name), getattr(pipeline, tokenizer_name)
                    if encoder is None:
                        continue
                    encoders[id(encoder)] = encoder
                    if len(own.setdefault(id(encoder), tokenizer)) != len(tokenizer):
                        raise AdapterError(f"{tokenizer_name} of base and refiner know different words, so that they cannot learn the same others.")
                    instead[id(tokenizer)] = taught(tokenizer, tokens)
                stack.enter_context(longer(encoders, own, [one.content.tensors[key] for one in put]))
            yield instead


EMBEDDINGS = _TextualInversion()


def _token(name: str, asked: Embedding) -> str:
    return (asked.token or name).lower()  # as the tokenizers read all text


def _rows(key: str, tensor: Tensor) -> Tensor:
    shape = (1, *tensor.shape) if len(tensor.shape) == 1 else tensor.shape
    if tensor.dtype not in DTYPES:
        raise AdapterError(f"{key} is of type {tensor.dtype}; allowed are {', '.join(DTYPES)}: convert it")
    if len(shape) != 2 or not 1 <= shape[0] <= MOST_VECTORS:
        raise AdapterError(f"{key} has the shape {list(tensor.shape)}; allowed are 1 to {MOST_VECTORS} vectors, [vectors, width]: take another file")
    rows = Tensor(dtype=tensor.dtype, shape=shape, data=memoryview(bytes(tensor.data)))  # whatever becomes of the file
    if not rows.is_finite:
        raise AdapterError(f"{key} holds NaN or infinity, of which no picture can be made; train it again, or take another file")
    return rows


def _lacking(tensors: Mapping[str, Tensor], missing: Sequence[str]) -> str:
    if not tensors:
        return f"it holds nothing; {NEEDED}: take another file"
    if len(missing) == 1:
        return f"it lacks {missing[0]}; {NEEDED}: take another file"
    return f"it holds {_listed(sorted(tensors))}; {NEEDED}: take another file"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _of_widths(put: Sequence[Put], models: Models) -> Iterator[tuple[str, str]]:
    encoders = models.text_encoders
    if "text_encoder" not in encoders:
        yield from ((f"{one.name}.file", "the checkpoint has no text_encoder, which it needs; give a whole checkpoint") for one in put)
        return
    widths = {key: encoders[ENCODERS[key][0]] for key in KEYS} if len(encoders) == len(KEYS) else {ALONE: encoders["text_encoder"]}
    for one in put:
        got = {key: rows.shape[1] for key, rows in one.content.tensors.items()}
        if got != widths:
            yield f"{one.name}.file", f"{_told(got)}, and the checkpoint's {_needed(widths)}"


def _told(widths: Mapping[str, int]) -> str:
    """What a file's vectors are for."""
    if ALONE not in widths:
        return f"its vectors, for the two text encoders of Stable Diffusion XL, have {_numbers(widths)} numbers"
    return f"its vectors, for one text encoder, have {widths[ALONE]} numbers{_as_those(widths[ALONE])}"


def _needed(widths: Mapping[str, int]) -> str:
    """What a checkpoint's text encoders know, and what to do."""
    if ALONE not in widths:
        return f"have {_numbers(widths)}; take a file with both, clip_l and clip_g, for Stable Diffusion XL"
    return f"one text encoder has {widths[ALONE]}{_as_those(widths[ALONE])}; take an embedding for {FAMILIES.get(widths[ALONE], 'it')}"


def _numbers(widths: Mapping[str, int]) -> str:
    return " and ".join(f"{key} {width}" for key, width in widths.items())


def _as_those(width: int) -> str:
    return f", as {FAMILIES[width]} has them" if width in FAMILIES else ""


def _of_tokens(put: Sequence[Put]) -> Iterator[tuple[str, str]]:
    first: dict[str, str] = {}
    for one in put:
        for token in tokens_of(one):
            if token in first:
                yield f"{one.name}.token", f"got {token!r}, which stands for {first[token]} too; give one of them another token"
                break
            first[token] = one.name


def _of_vocabularies(put: Sequence[Put], models: Models) -> Iterator[tuple[str, str]]:
    vocabularies = [tokenizer.get_vocab() for tokenizer in models.tokenizers]
    for one in put:
        token = tokens_of(one)[0]
        known = [token for token in tokens_of(one) for words in vocabularies if token in words or f"{token}</w>" in words]
        if known:
            yield (
                f"{one.name}.token",
                f"got {known[0]!r}, which is a word that the checkpoint's tokenizers know; give it a token of its own, such as {f'<{token}>'!r}",
            )
        elif any(taught(tokenizer, (token,)).tokenize(token) != [token] for tokenizer in models.tokenizers):
            yield f"{one.name}.token", f"got {token!r}, which the checkpoint's tokenizers do not read as one word; take letters and digits"
