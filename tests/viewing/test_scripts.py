"""Modules joined into one text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sdxl_lab.viewing.scripts import joined


def modules(folder: Path, *texts: str) -> list[Path]:
    """Write modules a.js, b.js, ... with these texts."""
    paths = [folder / f"{letter}.js" for letter, _ in zip("abc", texts, strict=False)]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    return paths


def test_all_but_imports_and_the_word_export_is_kept(tmp_path):
    """
    The text is that of the modules one after the other, less the lines that import, and less `export ` where something is declared.
    """
    first = 'import { later } from "./b.js";\nexport const one = 1;\nexport class Two {}\nconst own = () => later();\n'
    second = 'import { one, Two } from "./a.js";\n// export nothing of this\nexport async function later() {\n  return [one, Two];\n}\n'
    assert joined(modules(tmp_path, first, second)) == (
        "const one = 1;\nclass Two {}\nconst own = () => later();\n// export nothing of this\nasync function later() {\n  return [one, Two];\n}\n"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import * as all from './b.js';", 'a.js:1 is "import'),
        ('import all from "./b.js";', "a.js:1 is"),
        ('import { one as other } from "./b.js";', "a.js:1 is"),
        ('import { one } from "https://example.org/b.js";', "a.js:1 is"),
        ('import {\n  one,\n} from "./b.js";', "a.js:1 is 'import {'"),
        ("\nexport default 5;", "a.js:2 is 'export default 5;'"),
        ("const own = 1;\nexport { own };", "a.js:2 is"),
        ('export * from "./b.js";', "a.js:1 is"),
        ('import { missing } from "./b.js";', "a.js:1 imports missing from b.js, which does not export it"),
        ('import { hidden } from "./b.js";', "a.js:1 imports hidden from b.js, which does not export it"),
        ('import { one } from "./c.js";', "a.js:1 imports one from c.js, which is not joined"),
        ("function hidden() {}", "b.js:2 declares hidden, as a.js:1 does"),
    ],
)
def test_what_would_mean_something_else_joined_is_refused(tmp_path, text, said):
    """
    Imports and exports in any other form, of what is not there, and one name for two things are refused, with file and line.
    """
    with pytest.raises(ValueError, match=re.escape(said)):
        joined(modules(tmp_path, text, "export const one = 1;\nconst hidden = 2;\n"))
