"""Lists of words that prompts name: where they lie, which lines they have, and what none of them may be."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdxl_lab.prompts.wildcards import WildcardError
from sdxl_lab.runs.word_lists import lists_of

OWN = Path("artifacts/wildcards")


@pytest.fixture(autouse=True)
def at_home(tmp_path, monkeypatch):
    """
    A dataset, and lists of the lab's own.
    """
    monkeypatch.chdir(tmp_path)
    Path("words").mkdir()
    (OWN / "animals").mkdir(parents=True)
    (OWN / "colors.txt").write_text("red\nblue\n")
    (OWN / "animals" / "small.txt").write_text("mouse\n")


def test_a_list_has_its_lines_but_comments_and_blanks():
    """
    Lines are taken without the spaces around them; blank ones and those that begin with # are none, nor is a mark of UTF-8.
    """
    Path("words/hues.txt").write_bytes("\ufeff# hues\r\n  deep red \r\n\r\nbleu\u00e9 #2\r\n{pale|} pink".encode())
    assert lists_of(Path("words"))("hues") == ("deep red", "bleu\u00e9 #2", "{pale|} pink")


def test_a_datasets_own_list_comes_first():
    """
    A list is looked for beside the dataset, which may be a file, and then among the lab's own, in folders too.
    """
    assert lists_of(Path("words"))("colors") == ("red", "blue")
    assert lists_of(Path("words"))("animals/small") == ("mouse",)
    Path("words/colors.txt").write_text("pink")
    Path("words/prompts.txt").write_text("a __colors__ star")
    assert lists_of(Path("words"))("colors") == lists_of(Path("words/prompts.txt"))("colors") == ("pink",)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("color", r"got “__color__”, and there is no color\.txt in words or artifacts/wildcards; put it there, or write __colors__"),
        ("../words/secret", "a list is named by letters, digits"),
        ("/etc/passwd", "a list is named by letters, digits"),
        ("colors*", "a list is named by letters, digits"),
        ("animals/../colors", "a list is named by letters, digits"),
        ("empty", r"empty\.txt has no line to draw; write one word or more"),
        ("latin", r"latin\.txt is not UTF-8; save it as that"),
        ("braces", r"braces\.txt, “{red”: got “{red”, whose brace is never closed"),
    ],
)
def test_what_is_no_list_is_one_clear_error(name, said):
    """
    A list that is not there, leads out of its folder, is empty, no UTF-8 or has a line that cannot be drawn is refused with what to do.
    """
    Path("words/empty.txt").write_text("# nothing yet\n")
    Path("words/latin.txt").write_bytes(b"caf\xe9")
    Path("words/braces.txt").write_text("blue\n{red\n")
    with pytest.raises(WildcardError, match=said):
        lists_of(Path("words"))(name)


def test_a_datasets_list_cannot_lead_out_of_its_folder():
    """
    A link in a dataset, which may come from anywhere, to a file elsewhere is no list; one among the lab's own is its owner's.
    """
    Path("secret.txt").write_text("word")
    for folder in (Path("words"), OWN):
        (folder / "linked.txt").symlink_to(Path("secret.txt").absolute())
    assert lists_of(Path("words"))("linked") == ("word",)
    (OWN / "linked.txt").unlink()
    with pytest.raises(WildcardError, match=r"there is no linked\.txt"):
        lists_of(Path("words"))("linked")
