"""Files of prompts as datasets."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from sdxl_lab.datasets import Dataset, prompt_files, sources
from sdxl_lab.datasets.metadata import ArtifactError
from sdxl_lab.datasets.samples import Sample, TaskMetadata, check_name
from sdxl_lab.datasets.sources import fetch
from sdxl_lab.settings.sections import EditSettings
from sdxl_lab.spec.run_spec import RunSpec, SpecError
from sdxl_lab.tasks import TASKS
from tests.support.commands import said
from tests.support.edits import crossed
from tests.support.specs import SIZES, WORDS, resolved_of
from tests.support.words_alone import words_task

GIVEN = {"name": "x", "checkpoint": "pocket"}


@pytest.fixture(autouse=True)
def _registered(monkeypatch) -> None:
    monkeypatch.setitem(TASKS, "dream", words_task("dream"))


def read(path: Path, content: str | bytes) -> Dataset:
    """The dataset of a file of this content."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return fetch(path)


def prompts(dataset: Dataset) -> list[str | None]:
    """Its prompts, in order."""
    return [sample.tasks["dream"].prompt for sample in dataset.samples]


def words_of(sample: Sample) -> tuple[Any, ...]:
    """What a sample says."""
    words = sample.tasks["dream"]
    return words.prompt, words.negative_prompt, words.seed


def test_each_line_is_a_prompt(tmp_path):
    """
    Lines are prompts in their order, a sign for comments included; blank lines, spaces around them and a byte order mark are not.
    """
    dataset = read(tmp_path / "p.txt", '\ufeffa red star\r\n\n   \n  # (a ring:1.2), "glossy" \n\tcafé\r漢字 🐙')
    assert prompts(dataset) == ["a red star", '# (a ring:1.2), "glossy"', "café", "漢字 🐙"]
    assert all(sample.tasks["dream"] == TaskMetadata(prompt=sample.tasks["dream"].prompt) for sample in dataset.samples)
    assert (dataset.name, dataset.version, dataset.notes) == ("p.txt", None, ())
    assert all((sample.image(), sample.mask(), sample.size) == (None, None, None) for sample in dataset.samples)


def test_a_table_has_what_its_columns_say(tmp_path):
    """
    Columns may stand in any order; what is not known is kept as text, empty cells say nothing, and empty rows are none.
    """
    table = (
        "seed,prompt ,style,negative_prompt,name\n"
        '-9223372036854775808,"a star, ""red""\nand glossy",oil,blurry,first\n'
        ",,,,\n\n"
        " +7 , a ring\n"
        "18446744073709551615,a cross,007,,\n"
    )
    dataset = read(tmp_path / "p.csv", table)
    assert [words_of(sample) for sample in dataset.samples] == [
        ('a star, "red"\nand glossy', "blurry", -(2**63)),
        ("a ring", None, 7),
        ("a cross", None, 2**64 - 1),
    ]
    assert [sample.name for sample in dataset.samples] == ["first", "2-a-ring", "3-a-cross"]
    assert [sample.extra for sample in dataset.samples] == [{"style": "oil"}, {"style": ""}, {"style": "007"}]


def test_a_table_that_a_spreadsheet_wrote_is_read(tmp_path):
    """
    Quoted throughout, with a byte order mark, line breaks of Windows and empty columns at the end, it is what was written.
    """
    rows = [["prompt", "seed", "", ""], ['a "b", c', "1", "", ""], ["é\n🐙", "", "", ""]]
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerows(rows)
    dataset = read(tmp_path / "p.CSV", text.getvalue().encode("utf-8-sig"))
    assert [words_of(sample) for sample in dataset.samples] == [('a "b", c', None, 1), ("é\n🐙", None, None)]


def test_the_words_are_those_of_every_task_that_needs_nothing_else(tmp_path, monkeypatch):
    """
    Which tasks these are is asked when the file is read.
    """
    path = tmp_path / "p.txt"
    before = set(read(path, "a red star").samples[0].tasks)
    assert before == {name for name, task in TASKS.items() if not task.needs(EditSettings())}
    monkeypatch.setitem(TASKS, "verse", words_task("verse"))
    monkeypatch.setitem(TASKS, "trace", words_task("trace", needs=lambda _: ("image",)))
    (sample,) = fetch(path).samples
    assert set(sample.tasks) == before | {"verse"}
    assert sample.tasks["verse"] == sample.tasks["dream"]


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("A red star, on grass!", "03-a-red-star-on-grass"),
        ("a red star on grass at night in the deep snow", "03-a-red-star-on-grass-at-night-in-the"),
        ("漢字 🐙", "03-漢字"),
        ("हिन्दी में", "03-हिन्दी-में"),
        ("cafe\u0301", "03-caf\u00e9"),
        ("☀️ 🐙 ...", "03"),
        ("../../etc/passwd", "03-etc-passwd"),
        ("x" * 99, "03-" + "x" * 37),
        ("漢" * 99, "03-" + "漢" * 32),
        ("CON", "03-con"),
    ],
)
def test_a_sample_is_named_by_its_first_words(prompt, expected):
    """
    Its number, then the letters and digits of whole words, in lower case, as far as 40 letters and 100 bytes go.
    """
    assert prompt_files.name_of(prompt, "03") == check_name(expected)


@pytest.mark.parametrize("seed", range(40))
def test_any_lines_make_as_many_samples(tmp_path, seed):
    """
    Whatever is printed on them, lines that are not blank are as many prompts, whose names are unique, legal and sorted.
    """
    rng = random.Random(seed)
    letters = [letter for letter in map(chr, [*range(0x3000), *range(0xFE00, 0xFE10), *range(0x1F300, 0x1F700)]) if letter.isprintable()]
    lines = ["".join(rng.choices(letters, k=rng.choice([1, 2, 5, 80, 300]))) for _ in range(rng.choice([1, 9, 10, 120]))]
    written = [line for line in lines if line.strip()]
    dataset = read(tmp_path / "p.txt", "\n".join(lines))
    assert prompts(dataset) == [line.strip() for line in written]
    names = [sample.name for sample in dataset.samples]
    assert names == sorted(map(check_name, names))
    assert len({name.casefold() for name in names}) == len(written)
    for name in names:
        (tmp_path / "runs" / name).mkdir(parents=True)


def test_the_digest_is_over_the_content_alone(tmp_path):
    """
    Renamed or moved, a file is the same dataset; another letter, or the same text read as a table, is another.
    """
    content = "prompt\na red star\n"
    first = read(tmp_path / "one.txt", content)
    expected = hashlib.sha256(json.dumps([["prompts.txt", hashlib.sha256(content.encode()).hexdigest()]]).encode()).hexdigest()
    (tmp_path / "below").mkdir()
    moved = read(tmp_path / "below/other.TXT", content)
    assert first.digest == moved.digest == expected
    assert (first.name, moved.name) == ("one.txt", "other.TXT")
    digests = {first.digest, read(tmp_path / "a.txt", content + "x").digest, read(tmp_path / "a.csv", content).digest}
    assert len(digests) == 3


BAD = {
    "empty.txt": ("", "holds no prompt; write one a line"),
    "blank.txt": (" \n\t\n\r\n", "holds no prompt"),
    "mark.txt": ("\ufeff", "holds no prompt"),
    "latin.txt": ("a\ncaf\xe9".encode("latin-1"), "isn't UTF-8 text: line 2 holds the byte 0xe9; save it as UTF-8"),
    "utf16.txt": ("a star".encode("utf-16"), "isn't UTF-8 text: line 1 holds the byte 0xff"),
    "utf16-bare.csv": ("prompt\na".encode("utf-16-le"), "isn't UTF-8 text: line 1 holds a NUL character"),
    "large.txt": (b"a" * (2**24 + 1), "has 16,777,217 bytes; at most 16,777,216 are read"),
    "many.txt": ("a\n" * 100_001, "more than 100,000 prompts"),
    "many.csv": ("prompt\n" + "a\n" * 100_001, "more than 100,000 prompts"),
    "empty.csv": ("\n\n", 'holds no prompt; the smallest .csv file that works:\n\nprompt,seed\n"a red star'),
    "header.csv": ("prompt,seed\n,\n", "holds no prompt"),
    "none.csv": ("title,artist\na,b\n", "no column 'prompt'; its first row holds 'title', 'artist'. The smallest"),
    "caption.csv": ("id,caption\n1,a\n", r"holds 'id', 'caption'\. Did you mean 'caption'\? Call it prompt\."),
    "Prompt.csv": ("Prompt\na\n", "Did you mean 'Prompt'"),
    "promt.csv": ("promt,seed\na,1\n", "Did you mean 'promt'"),
    "semicolons.csv": ("prompt;seed\na;1\n", "holds 'prompt;seed'. Its cells seem to be separated by semicolons, and commas are read"),
    "tabs.csv": ("name\tPrompt\na\tb\n", "separated by tabs"),
    "no header.csv": ("a red star\na ring\n", "holds 'a red star'. The smallest .csv file"),
    "twice.csv": ("prompt,seed,prompt\na,1,b\n", "has 'prompt' as the name of more than one column"),
    "unnamed.csv": (",prompt\n0,a\n", "column 1 of"),
    "Seed.csv": ("prompt,Seed\na,1\n", "the column 'Seed' is not read. Did you mean seed"),
    "negative.csv": ("prompt,negative\na,b\n", "Did you mean negative_prompt"),
    "no prompt.csv": ("prompt,seed\na,1\n\n,2\n", "line 4: its prompt is empty, and other cells are not"),
    "cells.csv": (
        "prompt,seed\na,1\na, red, star\n",
        "line 3: it has 3 cells and the first row 2 columns; put a text that holds commas in double quotes",
    ),
    "float.csv": ("prompt,seed\na,7.0\n", "line 2: its seed must be a whole number .* got '7.0'"),
    "words.csv": ("prompt,seed\na star, glossy\n", "got 'glossy'; a prompt that holds commas stands in double quotes"),
    "seed.csv": ("prompt,seed\na,18446744073709551616\n", r"from -2\*\*63 to 2\*\*64 - 1, as torch takes it"),
    "digits.csv": ("prompt,seed\na," + "9" * 5000 + "\n", "as torch takes it"),
    "arabic.csv": ("prompt,seed\na,\u0663\n", "as torch takes it"),
    "quote.csv": ('prompt,seed\na,1\n"a red star,2\nb,3\n', "can't be read from line 3 on: .* in double quotes"),
    "inner quote.csv": ('prompt\n"a "red" star"\n', "can't be read from line 2 on"),
    "name.csv": ("name,prompt\na/b,a\n", "line 2: the name 'a/b' can't name a folder"),
    "reserved.csv": ("name,prompt\nNUL,a\n", "line 2: the name 'NUL' can't name a folder"),
    "names.csv": ("name,prompt\nx,a\n,b\nX,c\n", "line 4: the name 'X' is taken by an earlier sample"),
    "a name of ours.csv": ("name,prompt\n2-b,a\n,b\n", "line 3: the name '2-b' is taken"),
    "folder.csv/p.csv": (None, "is not there"),
}


@pytest.mark.parametrize("name", crossed(BAD, quick=lambda name: name != "many.txt"))
def test_a_file_that_cannot_be_used_is_refused(tmp_path, name):
    """
    Each fault is one error that says where it is, what was found and what to do; the command ends with it and no traceback.
    """
    content, message = BAD[name]
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ArtifactError, match=message):
        fetch(path)
    ended = said("fetch", path)
    assert (ended.code, ended.out) == (1, "")
    assert "Traceback" not in ended.err


def test_every_row_that_cannot_be_used_is_listed(tmp_path):
    """
    One error names all rows, shortened where they are many.
    """
    rows = "".join(f"a,{number}.5\n" for number in range(30))
    with pytest.raises(ArtifactError, match=r"30 of 31 rows in .*(?s:.*)line 3: (?s:.*)line 22: (?s:.*)\.\.\. and 10 more$"):
        read(tmp_path / "p.csv", f"prompt,seed\na,1\n{rows}")


@pytest.mark.parametrize("count", [20_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_many_prompts_are_read_in_seconds(tmp_path, count):
    """
    As many as are allowed are a dataset, each found by its name, and an error does not list them all.
    """
    dataset = read(tmp_path / "p.txt", "".join(f"a star in front of {number} others\n" for number in range(count)))
    assert len(dataset.samples) == count
    assert dataset.notes == ()
    assert all(dataset.sample(sample.name) is sample for sample in dataset.samples)
    with pytest.raises(ArtifactError, match=rf"and {count - 50} more$"):
        dataset.sample("x")


def test_a_file_that_cannot_be_read_says_so(tmp_path):
    """
    What is no file, or a link to itself, is an error and not waited for.
    """
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "loop.csv").symlink_to(tmp_path / "loop.csv")
    for name in ("pipe.txt", "loop.csv"):
        with pytest.raises(ArtifactError, match=r"is no file|is not there|can't be read"):
            fetch(tmp_path / name)


def test_a_file_that_is_not_there_says_so(tmp_path, monkeypatch):
    """
    A name that ends as a file of prompts does is taken for one, also where an artifact might be called so.
    """
    monkeypatch.chdir(tmp_path)
    for written in ("prompts.txt", "team/prompts.csv", "~/no/such/prompts.txt"):
        with pytest.raises(ArtifactError, match=r"the file of prompts .* is not there"):
            fetch(written)


@pytest.mark.parametrize("name", ["prompts.json", "prompts.md", "prompts", "metadata.json"])
def test_other_files_are_told_what_may_be_given(tmp_path, name):
    """
    A file of another kind is an error that lists what a dataset may be.
    """
    with pytest.raises(ArtifactError, match=r"is a file; give a folder .* or a \.txt or \.csv file of prompts"):
        read(tmp_path / name, "a red star")


def test_a_folder_may_be_called_like_a_file(tmp_path):
    """
    What is a folder is read as one, whatever its name ends with.
    """
    (tmp_path / "sea.txt").mkdir()
    with pytest.raises(ArtifactError, match=r"sea\.txt has no metadata\.json"):
        fetch(tmp_path / "sea.txt")


@pytest.mark.parametrize("written", ["s3://bucket/p.txt", "https://host/p.csv", "C:\\p.txt", "$HOME/p.txt", "my\\ p.txt", "~no-such-user/p.csv"])
def test_a_file_elsewhere_is_refused_as_folders_are(written):
    """
    Addresses and what a shell would fill in are refused with their reason, by `fetch` and by the gate.
    """
    with pytest.raises(ArtifactError, match="can't be read: "):
        fetch(written)
    with pytest.raises(SpecError, match=r"dataset: got .*; allowed is .* file of prompts"):
        RunSpec.from_parameters(**GIVEN, dataset=written)


def test_files_of_prompts_are_listed_wherever_datasets_are(tmp_path):
    """
    The gate takes one, and it and the command's help name them.
    """
    assert RunSpec.from_parameters(**GIVEN, dataset="prompts.txt").dataset == "prompts.txt"
    with pytest.raises(SpecError, match=r"a \.txt or \.csv file of prompts"):
        RunSpec.from_parameters(**GIVEN, dataset=3)
    assert "or a .txt or .csv file of prompts" in " ".join(said("fetch", "--help").out.split())


def test_a_file_of_prompts_is_listed_by_the_command(tmp_path):
    """
    `fetch` shows names, prompts and seeds, no column for pictures, and says where the file lies.
    """
    read(tmp_path / "p.csv", "prompt,seed\na red star,7\na ring,\n")
    lines = said("fetch", tmp_path / "p.csv").out
    assert [word for word in ("1-a-red-star", "a red star (seed 7)", "a ring (seed 0)", "\nfile ") if word not in lines] == []
    assert [word for word in ("size", "mask", "inpaint", "\nfolder ", "no prompt") if word in lines] == []


def test_a_sweep_gives_workers_the_whole_path(tmp_path, monkeypatch):
    """
    What another process in another folder is told of a file of prompts, or of a folder, is an absolute path; a name stays a name.
    """
    from sdxl_lab.sweeps.planner import _settled

    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.txt").write_text("a red star")
    (tmp_path / "sea").mkdir()
    (tmp_path / "pocket-scenes").mkdir()
    here = {name: str(tmp_path / name) for name in ("p.txt", "sea")}
    for written, expected in (here | {name: name for name in ("gone.txt", "team/sea", "pocket-scenes")}).items():
        run = RunSpec.from_parameters(**GIVEN, dataset=written, tasks=["inpaint"])
        [edit] = run.edits("star", "inpaint", defaults={}, size=(64, 64), sizes=SIZES, **WORDS)
        assert _settled({}, resolved_of(run, (edit,)))["dataset"] == expected


def test_a_file_of_prompts_is_not_published_but_shown_how(tmp_path):
    """
    The error says that a folder is needed, with a metadata.json that works.
    """
    path = tmp_path / "p.txt"
    read(path, "a red star\na ring")
    with pytest.raises(ArtifactError, match=r"make one, and put a metadata\.json into it") as refused:
        sources.publish(path, "team/sea")
    (tmp_path / "made").mkdir()
    (tmp_path / "made/metadata.json").write_text(str(refused.value).partition("\n\n")[2])
    (sample,) = fetch(tmp_path / "made").samples
    assert sample.name == "1-a-red-star"
    assert "a red star" in [words.prompt for words in sample.tasks.values()]
