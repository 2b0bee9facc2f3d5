#!/usr/bin/env python3
"""docs_commands_test.py SOURCE BUILD

Runs every command in the ```sh blocks of the DOCUMENTS, in order, in a folder as they assume it: build/ with the programs, tools/,
DIR with CIFAR-10. Fails if a command fails, if the file that it names with --out is not there afterwards, or if one of the
lists below names a command that no document has any more.

A command runs as it is written, except for what CHANGES and SKIPPED say. So a new command runs in full until someone makes
it small.
"""
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

DOCUMENTS = ["README.md"]
# command: what is added to it, so that it takes seconds
CHANGES = {
    "build/pretrain --dataset cifar10 --data DIR --config cifar10_simclr_short":
        "--epochs 2 --width 8 --batch 64 --limit 256",
    "build/linear_probe --run runs/cifar10_simclr_s1 --protocol adam": "--epochs 20 --limit 256",
    "build/evaluate --run runs/cifar10_simclr_s1": "--limit 256",
    "build/report runs/cifar10_simclr_s1 --out report.html": "--images 100",
}
# command: why it does not run
SKIPPED = {
    "bash tests/run.sh": "installs packages, builds everything and runs this test",
}
# Scripts that commands run: what replaces what in them
SCRIPTS = {
    "tools/install_packages.sh": [("set -euo pipefail\n", "exit 0  # installs nothing\n")],
    "tools/quickstart.sh": [("\ncmake ", "\n: cmake "),  # twice: the programs are there
                            (" --epochs 6 ", " --epochs 2 --width 8 --batch 64 --limit 256 "),
                            ('--run "$run"', '--run "$run" --limit 256')],
}
PROGRAM = re.compile(r"^build/(\w+)")
FAILURES = []


def fail(text):
    FAILURES.append(text)
    print("FAILED", text, flush=True)


def commands_of(document):
    """(line number, command) of each command: a line of a ```sh block without its comment, or several joined by \\."""
    shell, begun, first = False, "", 0
    for number, line in enumerate(document.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("```"):
            shell = line == "```sh"
            continue
        if not shell:
            continue
        first = first if begun else number
        begun += re.sub(r"\s+#.*$|^#.*$", "", line).strip()
        if begun.endswith("\\"):
            begun = begun[:-1].rstrip() + " "
        elif begun:
            yield first, begun
            begun = ""


def make_cifar10(folder):
    """CIFAR-10's files: images of noise, but a few at the beginning of each file whose color tells their class."""
    inner = folder / "cifar-10-batches-bin"
    inner.mkdir(parents=True)
    draw = random.Random(1)
    for name in [f"data_batch_{part}.bin" for part in range(1, 6)] + ["test_batch.bin"]:
        records = bytearray()
        for _ in range(300):
            label = draw.randrange(10)
            plane = [bytes([25 * ((label * step) % 10) + draw.randrange(20)]) * 1024 for step in (1, 3, 7)]
            records += bytes([label]) + b"".join(plane)
        with open(inner / name, "wb") as file:
            file.write(records)
            file.truncate(10000 * 3073)


def make_tree(tree, source, build):
    """What the documents assume to be in the folder where one types."""
    (tree / "build").mkdir()
    for program in build.iterdir():
        if program.is_file() and os.access(program, os.X_OK):
            (tree / "build" / program.name).symlink_to(program)
    shutil.copytree(source / "tools", tree / "tools")
    for name, replacements in SCRIPTS.items():
        text = (tree / name).read_text(encoding="utf-8")
        for old, new in replacements:
            if old not in text:
                fail(f"{name}: there is no {old!r} to be replaced")
            text = text.replace(old, new)
        (tree / name).write_text(text, encoding="utf-8")
    make_cifar10(tree / "DIR")


def run(where, command, tree):
    began = time.monotonic()
    whole = f"{command} {CHANGES[command]}" if command in CHANGES else command
    try:
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", whole], cwd=tree, text=True, errors="replace", timeout=120,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        status, output = done.returncode, done.stdout
    except subprocess.TimeoutExpired as late:
        status, output = "none after 120 s", (late.stdout or b"").decode(errors="replace")
    print(f"{where}: {whole}  [{time.monotonic() - began:.1f} s]", flush=True)
    if status != 0:
        fail(f"{where}: {whole}: status {status}\n{output[-2000:]}")
    for path in re.findall(r"--out (\S+)", command) if PROGRAM.match(command) else []:
        if not (tree / path).exists():
            fail(f"{where}: {whole}: there is no {path} afterwards")


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    source, build = (pathlib.Path(word).resolve() for word in sys.argv[1:])
    commands = [(f"{name}:{number}", command) for name in DOCUMENTS for number, command in commands_of(source / name)]
    known = {command for _, command in commands}
    for command in [*CHANGES, *SKIPPED]:
        if command not in known:
            fail(f"this test has a command that no document has: {command}")
    with tempfile.TemporaryDirectory() as name:
        tree = pathlib.Path(name)
        make_tree(tree, source, build)
        for where, command in commands:
            if command in SKIPPED:
                print(f"{where}: {command}: not run: {SKIPPED[command]}")
            else:
                run(where, command, tree)
    print(f"{len(commands)} commands, {len(FAILURES)} failures")
    sys.exit(1 if FAILURES or not commands else 0)


if __name__ == "__main__":
    main()
