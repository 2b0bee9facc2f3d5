#!/usr/bin/env python3
"""docs_commands_test.py SOURCE BUILD

Runs every command in the ```sh blocks of the DOCUMENTS, in order, in a folder as they assume it: build/ with the programs, tools/,
DIR with CIFAR-10, photos with pictures. Fails
  - if a command fails, or the file that it names with --out is not there afterwards;
  - if a line of the ```text block below commands is not among what they print, numbers aside (... stands for any lines);
  - if one of the lists below has something that no document has.

A command runs as it is written, except for what SMALLER and SKIPPED say. So a new command runs in full until someone makes
it small.
"""
import json
import os
import pathlib
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import zlib

DOCUMENTS = ["README.md", "docs/tutorial.md"]
# What replaces what in the commands, so that each takes seconds
SMALLER = {
    " --config cifar10_simclr_short": " --config cifar10_simclr_short --epochs 2 --width 8 --batch 64 --limit 256",
    "build/linear_probe --run runs/first": "build/linear_probe --run runs/first --epochs 20 --limit 256",
    "build/evaluate --run runs/first": "build/evaluate --run runs/first --limit 256",
    "build/report ": "build/report --images 100 ",
    " --image-size 64 --batch 128 --epochs 8 ": " --image-size 32 --batch 8 --epochs 1 --limit 16 ",
    " --width 32 --image-size 64 --batch 128 --epochs 50": " --width 8 --image-size 32 --batch 16 --epochs 2",
}
# command: why it does not run
SKIPPED = {
    "bash tests/run.sh": "installs packages, builds everything and runs this test",
    "bash tools/install_packages.sh": "installs packages",
    "cmake -S . -B build -DCMAKE_BUILD_TYPE=Release -DVERGENCE_TESTS=OFF -DVERGENCE_CUDA=OFF": "configures; the programs are there",
    "cmake --build build --parallel 2": "builds; the programs are there",
    "curl --location --remote-name https://download.pytorch.org/models/resnet18-f37072fd.pth":
        "downloads; an encoder of the same shape is there under this name",
}
# Scripts that commands run: what replaces what in them
SCRIPTS = {
    "tools/install_packages.sh": [("set -euo pipefail\n", "exit 0  # installs nothing\n")],
    "tools/quickstart.sh": [("\ncmake ", "\n: cmake "),  # twice: the programs are there
                            (" --epochs 6 ", " --epochs 2 --width 8 --batch 64 --limit 256 "),
                            ('--run "$run"', '--run "$run" --limit 256')],
}
FAILURES = []


def fail(text):
    FAILURES.append(text)
    print("FAILED", text, flush=True)


class Block:
    """The commands of a ```sh block, each with its line number, and the lines of the ```text block that shows what they print."""

    def __init__(self):
        self.commands, self.shown = [], []


def blocks_of(document):
    """The blocks of commands. A command is a line without its comment, or several joined by \\."""
    blocks, kind, begun, first = [], None, "", 0
    for number, line in enumerate(document.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("```"):
            kind = line[3:] if kind is None else None
            if kind == "sh":
                blocks.append(Block())
        elif kind == "text" and blocks:
            blocks[-1].shown.append((number, line))
        elif kind == "sh":
            first = first if begun else number
            begun += re.sub(r"(?:^|\s+)#.*$", "", line).strip()
            if begun.endswith("\\"):
                begun = begun[:-1].rstrip() + " "
            elif begun:
                blocks[-1].commands.append((first, begun))
                begun = ""
    return blocks


def without_numbers(line):
    return re.sub(r"[-+]?\d[\d,]*(?:[.:]\d+)*(?:e[-+]?\d+)?", "0", line).strip()


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


def png_of(rows):
    """A PNG image of rows of RGB bytes."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", len(rows[0]) // 3, len(rows), 8, 2, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) +
            chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))) + chunk(b"IEND", b""))


def make_photos(folder):
    """64 pictures of 8 scenes, two colors and the place of their border. The name's ending does not matter to a reader."""
    folder.mkdir()
    draw = random.Random(2)
    scenes = [([draw.randrange(256) for _ in range(6)], draw.randrange(30, 60)) for _ in range(8)]
    for number in range(64):
        colors, border = scenes[number % 8]
        above, below = (bytes((value + draw.randrange(20)) % 256 for value in part) for part in (colors[:3], colors[3:]))
        rows = [(above if y < border + number // 16 else below) * 120 for y in range(90)]
        (folder / f"IMG_{number + 1:04}.jpg").write_bytes(png_of(rows))


def make_encoder(tree, name):
    """Random weights of a ResNet-18 as torchvision has it: no metadata, no counters. A file's format is told by its first bytes, not by its name."""
    words = "--dataset confounded_shapes --width 64 --stem imagenet --image-size 16 --limit 4 --batch 2 --max-steps 1 --figures off"
    with tempfile.TemporaryDirectory() as run:
        subprocess.run([tree / "build/pretrain", *words.split(), "--out", run], stdout=subprocess.DEVNULL, check=True)
        data = pathlib.Path(f"{run}/encoder.safetensors").read_bytes()
    size = int.from_bytes(data[:8], "little")
    entries = {name: entry for name, entry in json.loads(data[8:8 + size]).items()
               if name != "__metadata__" and not name.endswith(".num_batches_tracked")}
    body = b"".join(data[8 + size + begin:8 + size + end] for begin, end in (entry["data_offsets"] for entry in entries.values()))
    at = 0
    for entry in entries.values():
        begin, end = entry["data_offsets"]
        entry["data_offsets"] = [at, at + end - begin]
        at += end - begin
    header = json.dumps(entries).encode()
    header += b" " * (-len(header) % 8)
    (tree / name).write_bytes(len(header).to_bytes(8, "little") + header + body)


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
    make_photos(tree / "photos")
    make_encoder(tree, "resnet18-f37072fd.pth")


def smaller(command):
    for old, new in SMALLER.items():
        command = command.replace(old, new)
    return command


def run(where, command, tree):
    """What the command prints."""
    began = time.monotonic()
    try:
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", command], cwd=tree, text=True, errors="replace", timeout=120,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        status, output = done.returncode, done.stdout
    except subprocess.TimeoutExpired as late:
        status, output = "none after 120 s", (late.stdout or b"").decode(errors="replace")
    print(f"{where}: {command}  [{time.monotonic() - began:.1f} s]", flush=True)
    if status != 0:
        fail(f"{where}: {command}: status {status}\n{output[-2000:]}")
    for path in re.findall(r"--out (\S+)", command) if command.startswith("build/") else []:
        if not (tree / path).exists():
            fail(f"{where}: {command}: there is no {path} afterwards")
    return output


def check_block(name, block, tree):
    printed = set()
    for number, command in block.commands:
        if command in SKIPPED:
            print(f"{name}:{number}: {command}: not run: {SKIPPED[command]}")
        else:
            printed |= set(map(without_numbers, re.split(r"[\r\n]+", run(f"{name}:{number}", smaller(command), tree))))
    for number, line in block.shown if printed else []:
        if line.strip() not in ("", "...") and without_numbers(line) not in printed:
            fail(f"{name}:{number}: the commands above do not print '{line}'")


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    source, build = (pathlib.Path(word).resolve() for word in sys.argv[1:])
    blocks = [(name, block) for name in DOCUMENTS for block in blocks_of(source / name)]
    commands = [command for _, block in blocks for _, command in block.commands]
    for listed in [old for old in SMALLER if not any(old in command for command in commands)] + list(SKIPPED.keys() - commands):
        fail(f"no document has a command with what this test lists: {listed}")
    with tempfile.TemporaryDirectory() as name:
        tree = pathlib.Path(name)
        make_tree(tree, source, build)
        for document, block in blocks:
            check_block(document, block, tree)
    print(f"{len(commands)} commands, {len(FAILURES)} failures")
    sys.exit(1 if FAILURES or not commands else 0)


if __name__ == "__main__":
    main()
