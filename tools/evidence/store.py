"""Finished runs: one line of JSON each in FOLDER/<step>.jsonl, and the commit that they must have in FOLDER/COMMIT."""
import fcntl
import json
import os
import re

KEYS = {"row", "step", "seed", "commit", "processor", "threads", "options", "figures"}


class Unusable(Exception):
    """A problem for the user to fix, in one line."""


def written_commit(folder):
    """The contents of COMMIT; None if there is no such file."""
    file = folder / "COMMIT"
    if not file.exists():
        return None
    commit = file.read_text(encoding="utf-8").strip()
    if not re.fullmatch("[0-9a-f]{40}", commit):
        raise Unusable(f"{file}: expected 40 hexadecimal digits, found '{commit[:60]}'; "
                       f"write it with: git rev-parse HEAD > {file}")
    return commit


def expected_commit(folder):
    commit = written_commit(folder)
    if commit is None:
        raise Unusable(f"{folder / 'COMMIT'} is missing: it says which commit the rows are run at; "
                       f"write it with: git rev-parse HEAD > {folder / 'COMMIT'}")
    return commit


def machine_of(line):
    """The machine of a line; only lines of one machine are compared. Pieces on a GPU (only they have 'epochs') also differ
    in length and commit, because GPU time is short and no piece runs again."""
    return line["processor"], line["threads"], *length_of(line)


def length_of(line):
    """What lines of several seeds must share to be averaged: the epochs and commit of a piece on a GPU."""
    epochs = line.get("epochs")
    return epochs, epochs and line["commit"]


def most_frequent(lists):
    """Returns the element of the most lists, the last one found if there are several; None if there are none. No list has
    an element twice."""
    counts = {}
    for each in lists:
        for element in each:
            counts[element] = counts.get(element, 0) + 1
    return max(reversed(counts), key=counts.get) if counts else None


def append(file, line):
    """Writes the whole line or nothing, and waits until it is on disk. Starts a new line after a truncated one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    text = (json.dumps(line, ensure_ascii=False) + "\n").encode()
    handle = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        size = os.fstat(handle).st_size
        if size > 0 and os.pread(handle, 1, size - 1) != b"\n":
            text = b"\n" + text
        if os.write(handle, text) != len(text):
            os.ftruncate(handle, size)
            raise OSError(f"{file}: the disk is full")
        os.fsync(handle)
    finally:
        os.close(handle)


def lines_of(file):
    """Yields each line with its number, None for an unreadable line."""
    if not file.exists():
        return
    for number, text in enumerate(file.read_bytes().split(b"\n"), 1):
        if not text.strip():
            continue
        try:
            line = json.loads(text)
        except ValueError:
            line = None
        yield (line if isinstance(line, dict) and KEYS <= line.keys() else None), number


class Store:
    """The valid lines: of `commit`, of an existing row and with its options. Of one row, seed and machine the last line
    is valid. `ignored` describes the other lines."""

    def __init__(self, folder, commit, rows):
        self.folder, self.commit = folder, commit
        self.rows = {row.name: row for row in rows}
        self.found = {}  # by row and seed: lines by machine
        self.ignored = {}
        for step in dict.fromkeys(row.step for row in rows):
            self.read(folder / f"{step}.jsonl")

    def read(self, file):
        for line, number in lines_of(file):
            self.take(line, f"{file}:{number}")

    def take(self, line, place):
        why = (f"{place}: not a whole line" if line is None
               else "of another commit" if line["commit"] != self.commit and "epochs" not in line
               else "of rows that there are no more" if line["row"] not in self.rows
               else "of rows whose options are others now" if not self._options_agree(line) else None)
        if why:
            self.ignored[why] = self.ignored.get(why, 0) + 1
            return
        self.found.setdefault((line["row"], line["seed"]), {})[machine_of(line)] = line

    def _options_agree(self, line):
        def of_row(words):  # the epochs of a GPU piece depend on its budget
            pairs = dict(zip(words[::2], words[1::2]))
            if "epochs" in line:
                pairs.pop("--epochs", None)
            return pairs
        return of_row(line["options"]) == of_row(self.rows[line["row"]].pretrain_options(line["seed"]))

    def append(self, line):
        file = self.folder / f"{line['step']}.jsonl"
        append(file, line)
        self.take(line, file)

    def line(self, name, seed, machine):
        return self.found.get((name, seed), {}).get(machine)

    def lines(self, name, seed):
        return list(self.found.get((name, seed), {}).values())

    def finished(self, row, seed):
        """Returns whether the row and all its bases have lines of one machine, so they can be compared."""
        return any(all(self.line(base, seed, machine) for base in row.bases)
                   for machine in self.found.get((row.name, seed), {}))

    def pairs(self, name, base, seeds, length=None):
        """Yields, for each seed with both on one machine, the two lines; of pieces on a GPU those of one length: the given one,
        or that of most seeds."""
        found = []
        for seed in seeds:
            machines = self.found.get((name, seed), {})
            found.append([(line, other) for machine, line in machines.items() if (other := self.line(base, seed, machine))])
        length = length or most_frequent(dict.fromkeys(length_of(line) for line, _ in each) for each in found)
        for each in found:
            fitting = [pair for pair in each if length_of(pair[0]) == length]
            if fitting:
                yield fitting[-1]

    def columns(self, names, seeds_of):
        """Returns the lines of each row for a table: of each seed those of the machine that has the most rows, and of pieces on
        a GPU those of one length. Second: what is said of the lines that are of another machine, or left out. Third: that
        length."""
        lines, remarks = {name: [] for name in names}, []
        length = most_frequent(dict.fromkeys(length_of(line) for line in self.lines(name, seed))
                               for name in names for seed in seeds_of(name))
        for seed in dict.fromkeys(seed for name in names for seed in seeds_of(name)):
            own = [name for name in names if seed in seeds_of(name)]
            found = {name: {machine: line for machine, line in self.found.get((name, seed), {}).items()
                            if length_of(line) == length} for name in own}
            usual = most_frequent(found.values())
            for name in own:
                if found[name]:
                    lines[name].append(found[name].get(usual) or [*found[name].values()][-1])
                    if usual not in found[name]:
                        remarks.append(f"{name} of seed {seed} ran on another machine")
                elif self.lines(name, seed):
                    remarks.append(f"{name} of seed {seed} has another length or commit: left out")
        return lines, remarks, length

    def remarks(self):
        return [f"ignored: {why}" if ":" in why else f"ignored: {count} lines {why}" for why, count in self.ignored.items()]
