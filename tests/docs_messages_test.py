#!/usr/bin/env python3
"""docs_messages_test.py FOLDER

Fails where docs/troubleshooting.md of the source tree FOLDER quotes a message that no program prints any more.

Each line of a block ```text is a message. What stands between its placeholders (<FILE>) must be a chain of whole string
literals of one source file; shared words, literals of any file, may be links of the chain too. A literal ends where a value
is filled in: at %s, {name}, $name. The quote may begin and end inside a literal. In a block ```text by NAME the message is
another program's; those by cmake must name what our CMake files look for.

Before that it changes a letter of each message and expects that nothing has the changed one.
"""
import pathlib
import re
import sys

DOCUMENT = "docs/troubleshooting.md"
ROOMS = ("engine", "kernels", "models", "datasets", "ssl", "tools", "cmake")
SUFFIXES = (".cpp", ".h", ".cu", ".in", ".sh", ".py", ".cmake")
OTHERS = ("cmake", "compiler", "system", "pytorch")  # whose messages are quoted too
BREAK = "\0"  # in a literal: here a value is filled in
LEAST_LETTERS = 7  # of a message, besides placeholders
LEAST_CUT = 6  # letters of a literal that a quote has a part of
SHARED_LETTERS = 8  # of a literal that messages of other files may use
CONVERSION = re.compile(r"%[-+#0]*[\d*]*(?:\.[\d*]+)?(?:hh|h|ll|l|z|j|t)?[diouxXeEfgGcspa]")
ESCAPES = {"n": "\n", "t": "\t", "0": BREAK}


def unescaped(text):
    return re.sub(r"\\(.)", lambda match: ESCAPES.get(match[1], match[1]), text, flags=re.S)


def joined_literals(text, pattern, skipped):
    """The string literals of a source, those with only `skipped` between them as one."""
    runs, end = [], -1
    for match in re.finditer(pattern, text, re.S):
        if match["string"] is None:
            continue
        between = text[end:match.start()] if end >= 0 else "x"
        if re.fullmatch(skipped, between, re.S):
            runs[-1] += unescaped(match["string"])
        else:
            runs.append(unescaped(match["string"]))
        end = match.end()
    return runs


def literals_of(path):
    """The pieces of text that the source `path` can print."""
    text = path.read_text(encoding="utf-8")
    string = r'"(?P<string>(?:[^"\\]|\\.)*)"'
    if path.suffix in (".cpp", ".h", ".cu", ".in"):
        comment = r"//[^\n]*|/\*.*?\*/"
        found = joined_literals(text, rf"{comment}|'(?:\\[^']*|[^'\\\n])'|{string}", rf"(?:\s|{comment})*")
        found = [CONVERSION.sub(BREAK, one).replace("%%", "%") for one in found]
    elif path.suffix == ".sh":
        text = re.sub(r"(?m)(?:^|\s)#.*$", "", text)
        while (simpler := re.sub(r"\$\([^()]*\)|\$\{[^{}]*\}|\$\w+", BREAK, text)) != text:  # from the inside out
            text = simpler
        found = joined_literals(text, string + "|'[^']*'", r"(?!)")
    elif path.suffix == ".py":
        found = joined_literals(text, r"#[^\n]*|\"\"\".*?\"\"\"|" + string, r"\s*f?")
        found = [re.sub(r"\{[^{}]*\}", BREAK, one) for one in found]
    else:  # CMake
        text = re.sub(r"\$\{[^}]*\}", BREAK, re.sub(r"(?m)#.*$", "", text))
        found = joined_literals(text, string, r"\s*")
    return {piece for one in found for piece in one.split(BREAK) if piece}


def sources_of(root):
    files = [root / "CMakeLists.txt"]
    for room in ROOMS:
        files += [file for file in sorted((root / room).rglob("*")) if file.suffix in SUFFIXES]
    return files


class Literals:
    def __init__(self, root):
        self.of_files = [literals_of(file) for file in sources_of(root)]
        self.everywhere = set().union(*self.of_files)
        self.shared = {one for one in self.everywhere
                       if not re.search(r"\w", one) or sum(map(str.isalpha, one)) >= SHARED_LETTERS}

    def have(self, message):
        parts = [part for part in re.split(r"<[A-Z]+>", message)]
        return all(not part.strip() or self._has_part(part, number == 0, number == len(parts) - 1)
                   for number, part in enumerate(parts))

    def _has_part(self, part, open_start, open_end):
        whole = {piece for piece in self.everywhere if piece in part}
        # Where the first piece may end, and the last one begin, if they are cut.
        starts = {piece: [n for n in range(LEAST_CUT, len(part) + 1) if piece.endswith(part[:n])]
                  for piece in self.everywhere if open_start and part[:LEAST_CUT] in piece}
        ends = {piece: [at for at in range(len(part) - LEAST_CUT + 1) if piece.startswith(part[at:])]
                for piece in self.everywhere if open_end and part[-LEAST_CUT:] in piece}
        if open_start and open_end and any(part in piece for piece in starts):
            return True
        shared, cut = whole & self.shared, starts.keys() | ends.keys()
        for own in self.of_files:
            pieces = whole & own
            if pieces <= shared and not cut & own and own is not self.of_files[0]:
                continue  # as in the first file
            if is_chain(part, pieces | shared, {n for piece in starts.keys() & own for n in starts[piece]},
                        {at for piece in ends.keys() & own for at in ends[piece]}):
                return True
        return False


def is_chain(part, pieces, starts, ends):
    """Whether `part` is a chain of pieces, perhaps after a cut one that ends at `starts`, or before one that begins at `ends`."""
    reached = {0} | starts
    for at in range(len(part)):
        if at in reached:
            if at in ends:
                return True
            reached |= {at + len(piece) for piece in pieces if part.startswith(piece, at)}
    return len(part) in reached


def quoted(document):
    """(line number, who prints it, message) of each quoted message."""
    by = None
    for number, line in enumerate(document.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("```"):
            start = re.fullmatch(r"```text(?: by (\w+))?", line)
            by = None if by is not None or not start else start[1] or "us"
        elif by is not None:
            yield number, by, line


def other_program_fault(by, message, cmake):
    if by not in OTHERS:
        return f"by '{by}': expected one of {', '.join(OTHERS)}"
    names = re.findall(r"\b(?:[A-Z]+_LIBRARY|[A-Z]+_INCLUDE|CLI11|OpenMP|\d\.\d\d)\b", message)
    unknown = [name for name in names if name not in cmake]
    return f"no CMake file has {', '.join(unknown)}" if by == "cmake" and unknown else None


def with_a_fault(message):
    """The message with the middle letter of its longest part changed."""
    longest = max(re.split(r"<[A-Z]+>", message), key=len)
    letters = [at for at, letter in enumerate(longest) if letter.isalpha()]
    at = letters[len(letters) // 2]
    return message.replace(longest, longest[:at] + ("q" if longest[at] != "q" else "z") + longest[at + 1:])


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    root = pathlib.Path(sys.argv[1]).resolve()
    literals = Literals(root)
    # The libraries of a loop are written in small letters, and vergence_library makes them NAME_LIBRARY.
    cmake = "".join((root / name).read_text() for name in ("CMakeLists.txt", "cmake/libraries.cmake"))
    cmake += "".join(f" {name.upper()}_LIBRARY" for name in re.search(r"VERGENCE_LIBRARIES ([\w ]+)\)", cmake)[1].split())
    problems, messages = [], list(quoted(root / DOCUMENT))
    for number, by, message in messages:
        if by != "us":
            fault = other_program_fault(by, message, cmake)
        elif sum(map(str.isalpha, re.sub(r"<[A-Z]+>", "", message))) < LEAST_LETTERS:
            fault = "too short to be found"
        elif literals.have(with_a_fault(message)):
            fault = f"this test would not notice a change: it finds '{with_a_fault(message)}' too"
        else:
            fault = None if literals.have(message) else "no source has it"
        if fault:
            problems.append(f"{DOCUMENT}:{number}: {message}: {fault}")
    if not messages:
        problems.append(f"{DOCUMENT} quotes no message")
    print("\n".join(problems) or f"{len(messages)} messages: all are printed")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
