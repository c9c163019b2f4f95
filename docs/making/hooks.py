"""What mkdocs asks while it builds the site: documents that lie beside `docs/`, and links that lead out of it."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
DOCUMENTS = {
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "artifacts/README.md": "artifacts.md",
    "sdxl_lab/pocket/README.md": "pocket.md",
}
"""Documents that are pages of the site too, by their path in the repository."""

LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s#]*)(#[^)\s]*)?\)")
FENCE = re.compile(r"(?m)^(```[\s\S]*?^```\n)")
IMAGES = (".png", ".webp")


def on_files(files: Files, config: Any) -> Files:
    """Add the documents, and the pictures that pages show from elsewhere in the repository."""
    for source, path in DOCUMENTS.items():
        files.append(File.generated(config, path, content=(ROOT / source).read_text()))
    sources = {
        f"docs/{file.src_uri}": Path(config["docs_dir"], file.src_uri).read_text() for file in files.documentation_pages() if not file.generated_by
    }
    sources |= {source: (ROOT / source).read_text() for source in DOCUMENTS}
    outside = {path for source, text in sources.items() for path in _linked(text, source) if path.endswith(IMAGES) and not path.startswith("docs/")}
    for path in sorted(outside):
        files.append(File.generated(config, f"images/{posixpath.basename(path)}", abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links into the repository into pages of the site, or into paths where there is none."""
    source = next((source for source, path in DOCUMENTS.items() if path == page.file.src_uri), f"docs/{page.file.src_uri}")
    parts = FENCE.split(markdown)
    return "".join(part if part.startswith("```") else LINK.sub(lambda link: _led(link, source, page.file.src_uri), part) for part in parts)


def _linked(text: str, source: str) -> list[str]:
    """The paths in the repository to which a document links."""
    return [_path(link[3], source) for link in LINK.finditer(text) if link[3] and "://" not in link[3]]


def _path(target: str, source: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), target.replace("\\_", "_")))


def _led(link: re.Match[str], source: str, page: str) -> str:
    """A link as the site has it."""
    is_image, text, target, anchor = link[1], link[2], link[3], link[4] or ""
    if not target or "://" in target or target.startswith("mailto:"):
        return link[0]
    path = _path(target, source)
    there = DOCUMENTS.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else None)
    if there is None and path == "README.md":
        there = "index.md"
    if there is None and path.endswith(IMAGES):
        there = f"images/{posixpath.basename(path)}"
    if there is None:
        return f"`{path}`" if (ROOT / path).exists() else link[0]
    return f"{is_image}[{text}]({posixpath.relpath(there, posixpath.dirname(page) or '.')}{anchor})"
