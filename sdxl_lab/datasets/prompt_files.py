"""A file of prompts as a dataset: its samples hold words alone, for every task that needs nothing else."""

from __future__ import annotations

import csv
import hashlib
import io
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from sdxl_lab import progress
from sdxl_lab.datasets.dataset import Dataset
from sdxl_lab.datasets.metadata import LARGEST_BYTES, ArtifactError, kind_of
from sdxl_lab.datasets.metadata_fields import WORDS, meant
from sdxl_lab.datasets.samples import Sample, TaskMetadata, check_name, is_seed, take_name, tasks_from_words, unfit
from sdxl_lab.files.digests import digest_of_listing
from sdxl_lab.wording import counted, few

MOST_PROMPTS = 100_000

COLUMNS = ("prompt", "negative_prompt", "seed", "name")
"""What is read of a .csv file."""

SMALLEST_CSV = """\
prompt,seed
"a red star on grass, glossy",7"""
"""The least that shows what a .csv file must hold."""

_NAME_LETTERS = 40
_NAME_BYTES = 100
_OTHER_SEPARATORS = {"\t": "tabs", ";": "semicolons"}


@dataclass(frozen=True, kw_only=True)
class _Row:
    """One prompt as it is written, and what stands beside it."""

    line: int
    prompt: str
    negative_prompt: str = ""
    seed: str = ""
    name: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)


def is_prompt_file(written: str | Path) -> bool:
    """Whether a path ends as a file of prompts does, whether it is there or not."""
    return Path(written).suffix.casefold() in _READERS


def opened(path: Path) -> Dataset:
    """Read and check a file of prompts.

    Args:
        path: A .txt file, of which each line that is not blank is a prompt, to the last sign; or a .csv file with a column `prompt` and, as one
            likes, `negative_prompt`, `seed` and `name`; other columns are kept as text. Spaces around a prompt or cell do not count, nor does a
            byte order mark.

    Returns:
        The dataset, of which each sample has the same words for each task that works from words alone. Its digest is over the file's content,
        wherever it lies and whatever it is called.

    Raises:
        ArtifactError: It is not there, is too large, is no UTF-8 text, or some of its rows cannot be used; all of them are listed.
    """
    kind, content = path.suffix.casefold(), _content(path)
    rows = _READERS[kind](_text(content, path), path)
    if not rows:
        raise ArtifactError(f"{path} holds no prompt; {_ADVICE[kind]}")
    digest = digest_of_listing([(f"prompts{kind}", hashlib.sha256(content).hexdigest())])
    return Dataset(name=path.name, version=None, digest=digest, folder=path, samples=_samples(rows, path))


def _content(path: Path) -> bytes:
    try:
        if not path.exists():
            raise ArtifactError(f"the file of prompts {str(path)!r} is not there; give the path of a .txt or .csv file")
        if not path.is_file():
            raise ArtifactError(f"{path} is no file; give the path of a .txt or .csv file of prompts")
        with path.open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise ArtifactError(f"{path} can't be read: {error.strerror or error}") from None
    if len(content) > LARGEST_BYTES:
        raise ArtifactError(f"{path} has {path.stat().st_size:,} bytes; at most {LARGEST_BYTES:,} are read: split the file")
    return content


def _text(content: bytes, path: Path) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ArtifactError(f"{path} isn't UTF-8 text: line {line} holds the byte 0x{content[error.start]:02x}; save it as UTF-8") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ArtifactError(f"{path} isn't UTF-8 text: line {line} holds a NUL character, as UTF-16 text and files of programs do; save it as UTF-8")
    return text


def _lines(text: str, path: Path) -> list[_Row]:
    lines = enumerate(re.split(r"\r\n|\r|\n", text), start=1)
    return _counted_rows((_Row(line=number, prompt=line.strip()) for number, line in lines if line.strip()), path)


def _table(text: str, path: Path) -> list[_Row]:
    records = _records(text, path)
    first = next(records, None)
    if first is None:
        return []
    columns = _columns(first[1], path)
    problems: list[str] = []
    rows = _counted_rows((_row(line, cells, columns, problems) for line, cells in records), path)
    if problems:
        raise unfit(problems, f"{counted(len(rows), 'row')} in {path}")
    return rows


def _records(text: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not empty, each with the line that it begins at, and without the empty cells at its end."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    line = 1
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            while stripped and not stripped[-1]:
                stripped.pop()
            if stripped:
                yield line, stripped
            line = reader.line_num + 1
    except csv.Error as error:
        raise ArtifactError(
            f"{path} can't be read from line {line} on: {error}. A cell that holds a comma or a quote stands in double quotes, with its own doubled: "
            '"a ""red"" star, glossy"'
        ) from None


def _columns(cells: Sequence[str], path: Path) -> list[str]:
    listed = few([kind_of(cell) for cell in cells])
    if "prompt" not in cells:
        raise ArtifactError(f"{path} has no column 'prompt'; its first row holds {listed}.{_guess(cells)} T{_ADVICE['.csv'][1:]}")
    if "" in cells:
        raise ArtifactError(
            f"column {cells.index('') + 1} of {path} has no name; its first row holds {listed}: name each column, or "
            "remove what has no name, as pandas does with index=False"
        )
    twice = sorted({cell for cell in cells if cells.count(cell) > 1})
    if twice:
        raise ArtifactError(f"{path} has {' and '.join(map(repr, twice))} as the name of more than one column; name each once")
    for column in WORDS:
        if column not in cells and (found := meant(column, [cell for cell in cells if cell not in COLUMNS])):
            raise ArtifactError(f"{path}: the column {found!r} is not read. Did you mean {column}? A column of your own needs a name less like it")
    return list(cells)


def _guess(cells: Sequence[str]) -> str:
    for separator, name in _OTHER_SEPARATORS.items():
        parts = [part.strip() for cell in cells if separator in cell for part in cell.split(separator)]
        if parts and ("prompt" in parts or meant("prompt", parts) or len(cells) == 1):
            return f" Its cells seem to be separated by {name}, and commas are read: save it with commas."
    found = meant("prompt", cells)
    return f" Did you mean {found!r}? Call it prompt." if found else ""


def _row(line: int, cells: Sequence[str], columns: Sequence[str], problems: list[str]) -> _Row:
    given = dict(zip(columns, cells, strict=False))
    row = _Row(
        line=line,
        **{column: given.get(column, "") for column in COLUMNS},
        extra={column: given.get(column, "") for column in columns if column not in COLUMNS},
    )
    if len(cells) > len(columns):
        problems.append(
            f"line {line}: it has {counted(len(cells), 'cell')} and the first row {counted(len(columns), 'column')}; "
            'put a text that holds commas in double quotes, as in "a red star on grass, glossy"'
        )
    elif not row.prompt:
        problems.append(f"line {line}: its prompt is empty, and other cells are not; write one, or remove the row")
    elif row.seed and not _is_written_seed(row.seed):
        problems.append(
            f"line {line}: its seed must be a whole number from -2**63 to 2**64 - 1, as torch takes it, or nothing, got {kind_of(row.seed)}; "
            "a prompt that holds commas stands in double quotes"
        )
    return row


def _is_written_seed(text: str) -> bool:
    return re.fullmatch(r"[+-]?[0-9]{1,20}", text) is not None and is_seed(int(text))


def _counted_rows(rows: Iterator[_Row], path: Path) -> list[_Row]:
    found = []
    for row in rows:
        if len(found) == MOST_PROMPTS:
            raise ArtifactError(f"{path} has more than {MOST_PROMPTS:,} prompts, the most that are read; split the file")
        found.append(row)
    return found


def _samples(rows: Sequence[_Row], path: Path) -> tuple[Sample, ...]:
    tasks, width = tasks_from_words(), len(str(len(rows)))
    samples: list[Sample] = []
    problems: list[str] = []
    taken: dict[str, str] = {}
    for number, row in enumerate(progress.told(rows, "checking the dataset", unit="sample"), start=1):
        words = TaskMetadata(prompt=row.prompt, negative_prompt=row.negative_prompt or None, seed=int(row.seed) if row.seed else None)
        try:
            name = check_name(row.name or name_of(row.prompt, f"{number:0{width}}"))
            take_name(name, taken)
            samples.append(Sample(name=name, tasks=dict.fromkeys(tasks, words), extra=row.extra))
        except ArtifactError as error:
            problems.append(f"line {row.line}: {error}")
    if problems:
        raise unfit(problems, f"{counted(len(rows), 'row')} in {path}")
    return tuple(samples)


def name_of(prompt: str, number: str) -> str:
    """Name a sample by its number and the first words of its prompt, fit to name a folder.

    Args:
        prompt: Its letters and digits are kept, of any script, in lower case.
        number: Written so that names sort by it.

    Returns:
        Such as `03-a-red-star-on-grass`, of at most 40 letters and 100 bytes; the number alone for a prompt without a letter.
    """
    name = number
    for word in _words(prompt):
        longer = f"{name}-{word}"
        if len(longer) <= _NAME_LETTERS and len(longer.encode()) <= _NAME_BYTES:
            name = longer
        else:
            # Where spaces part no words, the first one is the whole prompt.
            return name if name != number else longer[:_NAME_LETTERS].encode()[:_NAME_BYTES].decode(errors="ignore")
    return name


def _words(prompt: str) -> Iterator[str]:
    for is_word, letters in groupby(unicodedata.normalize("NFC", prompt).lower(), _is_of_a_word):
        word = "".join(letters)
        if is_word and any(map(str.isalnum, word)):
            yield word


def _is_of_a_word(letter: str) -> bool:
    """Whether it is a letter, a digit, or a sign that belongs to the letter before it, as vowels do in many scripts."""
    if letter.isalnum():
        return True
    return unicodedata.category(letter) in ("Mn", "Mc") and not unicodedata.name(letter, "").startswith("VARIATION SELECTOR")


_READERS: Mapping[str, Callable[[str, Path], list[_Row]]] = {".txt": _lines, ".csv": _table}
_ADVICE = {".txt": "write one a line", ".csv": f"the smallest .csv file that works:\n\n{SMALLEST_CSV}"}
