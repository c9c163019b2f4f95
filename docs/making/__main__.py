"""`python -m docs.making` writes what the code tells into the pages of `docs/`, and says which of them changed."""

from docs.making.pages import as_made

for path, text in as_made().items():
    if not path.exists() or path.read_text("utf-8") != text:
        path.write_text(text, "utf-8")
        print(f"written: {path.name}")
