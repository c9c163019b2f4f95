"""Where compel, an optional library, may read anything but text; and which version of it is here, known without importing it."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version

MISSING = (
    "compel is not installed here, and these prompts are for it to read; pip install 'sdxl-lab[compel]', or set prompt_syntax to a1111 or comfy, "
    "whose marks are (word:1.3)"
)

# Brackets, quotes and backslashes wherever they stand; plus or minus after a word; and it puts a space behind commas, which parts `,,`.
_MARK = re.compile(r"[()\"\\\x0b\x0c]|(?<=[^ \t\n\r])[+-](?=[\s+,.=-]|$)|,(?=[^\s\w]|_)")
_STRIPPED = re.compile(r"[()\"]|(?<=[\w)\"])[+-]+(?=[\s+,.=)-]|$)|(?<=[)\"])[+-]?\d*\.?\d+")
_TOGETHER = re.compile(r"\)\s*\.(and|add|blend)\(")


def has_marks(text: str) -> bool:
    """Whether compel may read anything but text in a prompt; where not, it gives what the text encoders give.

    Args:
        text: The prompt.
    """
    return _MARK.search(text) is not None


def bare(text: str) -> str:
    """About what compel leaves of a prompt once it has read its weights, to see how long that is.

    Args:
        text: The prompt.
    """
    return _STRIPPED.sub(" ", text)


def prompts_in(text: str) -> list[str]:
    """The prompts that a text puts together by `.and()` or `.blend()`; else it is one itself.

    Args:
        text: The prompt.
    """
    return (_TOGETHER.search(text) and re.findall(r'"([^"]*)"', text)) or [text]


def installed() -> str | None:
    """The version of compel that is installed; None without it."""
    try:
        return version("compel")
    except PackageNotFoundError:
        return None
