"""What is to be said of a prompt's words that look like those of embeddings and are none, or that hold one of these unasked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from sdxl_lab.adapters import SUFFIX, is_name
from sdxl_lab.adapters.embeddings import BETWEEN_TOKENS, places
from sdxl_lab.runs.adapter_places import BUILT_IN, own_folder

KIND = "embeddings"


def files_by_word() -> dict[str, str]:
    """The files that a name alone finds: the word that each is called after, in small letters, and its name."""
    files = (file for folder in (BUILT_IN / KIND, own_folder(KIND)) for file in folder.glob(f"*{SUFFIX}"))
    return {file.stem.lower(): file.name for file in files if is_name(file.stem)}


def cautions(words: Mapping[str, str | None], learned: tuple[str, ...], files: Mapping[str, str], is_known: Callable[[str], bool]) -> Iterator[str]:
    """Say what of a picture's prompts is not read as its writer may think.

    Args:
        words: The prompts by name of the setting.
        learned: The tokens of the embeddings that are on the models.
        files: What `files_by_word` found.
        is_known: Whether the checkpoint knows a word by itself; asked of words alone that files are called after.
    """
    for name, text in words.items():
        for word in _words(text or ""):
            if word in files and word not in learned and not is_known(word):
                yield (
                    f"{name}: {word!r} is read letter by letter: give {KIND}.{files[word].removesuffix(SUFFIX)}.file {files[word]} if the "
                    "embedding is meant."
                )
        yield from (f"{name}: {line}." for line in _within(text or "", learned))


def _words(text: str) -> Iterable[str]:
    return dict.fromkeys(word.rstrip(".+-!?") for word in re.split(BETWEEN_TOKENS, text.lower()))


def _within(text: str, learned: tuple[str, ...]) -> Iterator[str]:
    """The longer words that a token stands in, where it is changed too."""
    longer: dict[str, dict[str, None]] = {}
    alone = set()
    for token, begin, end in places(text, learned):
        before = re.search(r"\w*$", text[:begin]) if token[0].isalnum() else None
        after = re.match(r"\w*", text[end:]) if token[-1].isalnum() else None
        word = f"{before[0] if before else ''}{text[begin:end]}{after[0] if after else ''}"
        if len(word) > len(token):
            longer.setdefault(token, {})[word] = None
        else:
            alone.add(token)
    for token, found in longer.items():
        word, *others = found
        more = f" and {len(others)} other word{'s' if len(others) > 1 else ''}" if others else ""
        yield (f"{token!r} {'also ' if token in alone else ''}stands in {word!r}{more}, which it changes; a token such as {f'<{token}>'!r} does not")
