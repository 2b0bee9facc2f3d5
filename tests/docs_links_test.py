#!/usr/bin/env python3
"""docs_links_test.py FOLDER

Fails where a document of the source tree FOLDER (README.md, CONTRIBUTING.md, docs/**/*.md) points nowhere:
  - a relative Markdown link whose file, or whose heading (#anchor), is not there;
  - a path of a room in code (`kernels/cuda/norm/norm.cu`, `bash tools/fetch_data.sh cifar10`) that names no file or folder. In a
    path * stands for any characters, <...> likewise, {a,b} for each of its parts; what holds "..." is left alone.
Before that it makes a small tree with one fault of each kind and expects to find these.
"""
import itertools
import pathlib
import re
import sys
import tempfile

ROOMS = "engine|kernels|models|ssl|tools|tests|datasets|cmake|docs"
PATH = re.compile(rf"(?<![\w./*<>…-])(?:{ROOMS})/(?:<[^<>\n]*>|[\w./*{{}},…-])*")
LINK = re.compile(r"\[[^\]]*\]\(\s*<?([^)>\s]+)>?[^)]*\)")
FENCE = re.compile(r"^ *(```|~~~)")


def blocks_of(text):
    """(line number, line, whether it is in a block of code) of each line."""
    fenced, after_blank, indented = False, True, False
    for number, line in enumerate(text.splitlines(), 1):
        if FENCE.match(line):
            fenced = not fenced
            yield number, "", False
            continue
        indented = line.startswith("    ") and (after_blank or indented)
        yield number, line, fenced or indented
        after_blank = not line.strip()


def anchors_of(text):
    """The #names of a document's headings, as GitHub makes them."""
    seen, names = {}, set()
    for _, line, code in blocks_of(text):
        heading = re.match(r"#{1,6} +(.*?)[ #]*$", line)
        if not heading or code:
            continue
        title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).lower()
        name = re.sub(r"[^\w\- ]", "", title).replace(" ", "-")
        count = seen[name] = seen.get(name, -1) + 1
        names.add(f"{name}-{count}" if count else name)
    return names


def expanded(path):
    """a/{b,c}.h -> a/b.h, a/c.h"""
    parts = re.split(r"\{([^{}]*)\}", path)
    choices = [part.split(",") if i % 2 else [part] for i, part in enumerate(parts)]
    return ["".join(choice) for choice in itertools.product(*choices)]


def exists(root, path):
    pattern = re.sub(r"<[^<>]*>", "*", path)
    return any(True for _ in root.glob(pattern)) if "*" in pattern else (root / pattern).exists()


def missing_paths(root, code):
    for match in PATH.finditer(code):
        path = match[0].rstrip(".,/")
        if "..." not in match[0] and "…" not in match[0]:
            yield from (one for one in expanded(path) if not exists(root, one))


def broken_link(document, target):
    """Why a link leads nowhere, or None."""
    if re.match(r"[a-z][a-z0-9+.-]*:", target):
        return None
    path, _, anchor = target.partition("#")
    there = document.parent / path if path else document
    if not there.exists():
        return "there is no such file"
    if anchor and there.suffix == ".md" and anchor not in anchors_of(there.read_text(encoding="utf-8")):
        return "there is no such heading"
    return None


def problems_of(root, document):
    name = document.relative_to(root)
    for number, line, is_code in blocks_of(document.read_text(encoding="utf-8")):
        pieces = [line] if is_code else re.findall(r"`([^`]+)`", line)
        for path in itertools.chain.from_iterable(missing_paths(root, piece) for piece in pieces):
            yield f"{name}:{number}: {path}: there is no such file or folder"
        if is_code:
            continue
        for target in LINK.findall(re.sub(r"`[^`]*`", "", line)):
            if reason := broken_link(document, target):
                yield f"{name}:{number}: link to {target}: {reason}"


def documents_of(root):
    top = [root / name for name in ("README.md", "CONTRIBUTING.md")]
    return [document for document in top if document.exists()] + sorted((root / "docs").rglob("*.md"))


def check_this_test():
    good = ("# One `word`, *two*\n[a](docs/b.md) [b](docs/b.md#a-b-c) [c](#one-word-two) [d](https://x.org/docs/none.md)\n"
            "`docs/b.md` `docs/*.md` `docs/<name>.md:3` `docs/{b,b}.md` `docs/...` `build/docs/none` docs/none\n\n"
            "    bash docs/b.md --out build/docs/none\n")
    bad = {"[a](docs/none.md)": "docs/none.md", "[b](docs/b.md#none)": "docs/b.md#none", "[c](#none)": "#none",
           "`docs/none.md`": "docs/none.md", "`docs/*.txt`": "docs/*.txt", "`docs/{b,none}.md`": "docs/none.md",
           "`bash docs/none.sh`": "docs/none.sh", "```\ndocs/none.py\n```": "docs/none.py"}
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        (root / "docs").mkdir()
        (root / "docs/b.md").write_text("# A: b/c\n\n## A b c\n", encoding="utf-8")
        for text, expected in {good: "", **bad}.items():
            (root / "README.md").write_text(text, encoding="utf-8")
            found = [problem for document in documents_of(root) for problem in problems_of(root, document)]
            if (len(found) != 1 or expected not in found[0]) if expected else found:
                sys.exit(f"docs_links_test.py: of {text!r} expected {expected or 'nothing'!r}, found {found}")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    check_this_test()
    root = pathlib.Path(sys.argv[1]).resolve()
    documents = documents_of(root)
    if not documents:
        sys.exit(f"docs_links_test.py: {root} has no documents")
    problems = [problem for document in documents for problem in problems_of(root, document)]
    print("\n".join(problems) or f"{len(documents)} documents: all links and paths lead somewhere")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
