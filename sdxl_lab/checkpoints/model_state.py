"""Whether loaded models are still as they were loaded: weights, structure, hooks, switches, tokenizers, what is set on a pipeline."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Container, Hashable, Iterable, Iterator
from functools import cache
from typing import Any

import torch

LIBRARIES = ("accelerate", "diffusers", "transformers")
OFFLOADING = ("accelerate.hooks", "diffusers.hooks")

ROW = 2**11
"""How many words of 32 bits are added up to one number."""

WORDS_AT_ONCE = {"cpu": 2**18}
"""As many as a processor's cache holds as float64, 2 MiB; elsewhere 64 MiB."""

TOKENIZING = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
OF_VOCABULARIES = ("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", "byte_fallback")
OF_TOKENIZERS = ("model_max_length", "padding_side", "truncation_side", "add_prefix_space", "clean_up_tokenization_spaces")
SCHEDULES = ("alphas", "betas")
PLAIN = frozenset({bool, int, str, type(None)})
UNCALLED = PLAIN | {dict, OrderedDict, set, list, tuple, float}
"""What most attributes of a module are: none of them takes the place of a method."""


def state_of(pipeline: Any, *, less: Collection[str] = ()) -> Hashable:
    """Tell two states of a pipeline's models apart; generating pictures leaves the state as it is.

    Args:
        pipeline: A diffusers pipeline. Reads every weight once, where it lies; weights that are offloaded to the meta device are left out.
        less: Names of components that are told apart by which they are alone, since somebody else looks into them.

    Returns:
        A digest of components, configuration, weights and where they stand, hooks, switches, tokenizers and what was set on the pipeline itself,
        for this process alone. It does not depend on the device.
    """
    return hash(tuple(_parts(pipeline, less)))


def digest(tensors: Iterable[torch.Tensor]) -> Hashable:
    """Tell apart what numbers tensors hold, and in which order: bits, so that NaN equals itself and nothing is rounded.

    Rows of 2,048 words of 32 bits are multiplied by as many different numbers and added up, exactly, on the tensors' own device. So a change
    of one number is always seen, as is the exchange of two; others are missed once in some billions.

    Args:
        tensors: Of any dtype and layout, none of them on the meta device.
    """
    on: dict[torch.device, list[torch.Tensor]] = {}
    for tensor in tensors:
        on.setdefault(tensor.device, []).append(tensor)
    sums = [_Sums(device, sum(tensor.nbytes for tensor in there)) for device, there in on.items()]
    for each, there in zip(sums, on.values(), strict=True):
        for tensor in there:
            each.add(tensor)
    return tuple(each.end() for each in sums)


class _Sums:
    """Sums over a stream of words, in which each word of a row has a weight of its own."""

    def __init__(self, device: torch.device, size_bytes: int) -> None:
        self._weights = _weights(device)
        needed = max(-(-size_bytes // ROW), 1) * ROW  # a new one is slow where the system has to find its memory
        self._buffer = torch.empty(min(WORDS_AT_ONCE.get(device.type, 2**23), needed), dtype=self._weights.dtype, device=device)
        self._size, self._filled = self._buffer.numel(), 0
        self._rows: list[torch.Tensor] = []

    def add(self, tensor: torch.Tensor) -> None:
        words = _words(tensor)
        taken, count = 0, words.numel()
        while taken < count:
            more = min(count - taken, self._size - self._filled)
            self._buffer[self._filled : self._filled + more] = words[taken : taken + more]
            taken, self._filled = taken + more, self._filled + more
            if self._filled == self._size:
                self._add_up()

    def end(self) -> bytes:
        whole = -(-self._filled // ROW) * ROW
        self._buffer[self._filled : whole] = 0
        self._filled = whole
        self._add_up()
        return torch.cat(self._rows).cpu().long().numpy().tobytes()

    def _add_up(self) -> None:
        rows = self._buffer[: self._filled].view(-1, ROW)
        # Only processors multiply matrices of integers, and those of float64 several times as fast.
        self._rows.append(rows @ self._weights if rows.is_floating_point() else rows.mul_(self._weights).sum(dim=1))
        self._filled = 0


def _words(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor's bits as numbers of 32 bits each, or of 8 where those do not come out even."""
    flat = tensor.detach().contiguous().view(-1)
    if flat.storage_offset() % 4 or flat.stride() != (1,):  # it begins within a word, or is one number with any stride
        flat = flat.clone(memory_format=torch.contiguous_format)
    return flat.view(torch.uint8 if flat.numel() * flat.element_size() % 4 else torch.int32)


@cache
def _weights(device: torch.device) -> torch.Tensor:
    """1 to 2,048, shuffled: in order, two rows of a matrix with equal sums could be exchanged unseen.

    A row's sum is at most 2 ** 31 times their own, which is less than 2 ** 53: exact as float64.
    """
    order = torch.randperm(ROW, generator=torch.Generator().manual_seed(0), device="cpu")
    return order.add(1).to(device=device, dtype=torch.float64 if device.type == "cpu" else torch.int64)


def _parts(pipeline: Any, less: Collection[str]) -> Iterator[Hashable]:
    components = pipeline.components
    yield repr(pipeline.config), tuple(_set_on(pipeline, passed_over=components))
    for name in ("image_processor", "mask_processor"):
        processor = getattr(pipeline, name, None)
        yield name, type(processor), repr(getattr(processor, "config", None)), tuple(_set_on(processor))
    for name, component in sorted(components.items()):
        yield name, id(component), repr(getattr(component, "config", None))
        if name in less:
            continue
        if isinstance(component, torch.nn.Module):
            yield from _of_model(component)
        elif hasattr(component, "get_added_vocab"):
            yield tuple(_of_tokenizer(component)), tuple(_replaced(component))
        elif component is not None:
            schedule = [value for key, value in vars(component).items() if key.startswith(SCHEDULES) and isinstance(value, torch.Tensor)]
            yield tuple(_replaced(component)), digest(schedule)


def _of_model(model: torch.nn.Module) -> Iterator[Hashable]:
    places: dict[torch.Tensor, int] = {}
    for path, module in model.named_modules():
        yield path, type(module), tuple(_switches(module))
        for name, tensor in (*module._parameters.items(), *module._buffers.items()):
            if tensor is not None and not tensor.is_meta:
                place = places.setdefault(tensor, len(places))
                yield name, place, tensor.dtype, tensor.shape, tensor.stride(), tensor.requires_grad, tensor.grad is not None
    yield digest(places)


def _of_tokenizer(tokenizer: Any) -> Iterator[Hashable]:
    """What it makes of a text; not how long the text may be, which each call sets anew."""
    yield len(tokenizer), tuple(sorted(tokenizer.get_added_vocab().items())), repr(tokenizer.special_tokens_map)
    yield tuple(getattr(tokenizer, name, None) for name in OF_TOKENIZERS)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    for name in TOKENIZING:
        part = getattr(backend, name, None)
        yield part.__getstate__() if part is not None else None
    yield tuple(getattr(getattr(backend, "model", None), name, None) for name in OF_VOCABULARIES)


def _switches(module: torch.nn.Module) -> Iterator[Hashable]:
    """A module's own attributes, whether it is compiled, and the hooks besides the libraries' own."""
    yield module._compiled_call_impl is not None
    for hooks in (module._forward_hooks, module._forward_pre_hooks):
        # transformers adds some the first time that a model is called
        yield tuple([key for key, hook in hooks.items() if getattr(hook, "__module__", "").partition(".")[0] not in LIBRARIES]) if hooks else ()
    yield from _set_on(module)


def _set_on(thing: Any, passed_over: Container[str] = ()) -> Iterator[Hashable]:
    """What is set on an instance: plain values as they are, others by their kind, and what replaces a method."""
    for name, value in getattr(thing, "__dict__", {}).items():
        if name[:1] != "_" and name not in passed_over:
            yield name, value if type(value) in PLAIN else _plain(value)
    yield from _replaced(thing)


def _replaced(thing: Any) -> Iterator[Hashable]:
    for name, value in getattr(thing, "__dict__", {}).items():
        if type(value) not in UNCALLED and callable(value) and callable(getattr(type(thing), name, None)) and not _offloads(value):
            yield name, id(value)


def _offloads(method: Any) -> bool:
    """Whether accelerate or diffusers put it around a model's own to offload it: they put others there once they have seen the order of layers."""
    return getattr(getattr(method, "func", None), "__module__", "").startswith(OFFLOADING)


def _plain(value: Any, *, deep: bool = True) -> Hashable:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return repr(value)  # NaN equals itself
    if isinstance(value, list | tuple | set | frozenset):
        return type(value), tuple(_plain(item) for item in value)
    if isinstance(value, dict):
        return type(value), tuple((repr(key), _plain(item)) for key, item in value.items())
    attributes = getattr(value, "__dict__", {}) if deep and not isinstance(value, torch.nn.Module | torch.Tensor | type) else {}
    return type(value), tuple((name, _plain(item, deep=False)) for name, item in attributes.items() if not name.startswith("_"))
