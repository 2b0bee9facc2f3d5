#!/usr/bin/env python3
"""includes_test.py FOLDER

The order of the folders, and the test that every #include of the source tree FOLDER keeps to it:
  - a file includes files of its own folder and of folders on lower floors. So no include climbs, and no two folders include
    each other. Folders of one floor do not know each other, nor do models and datasets. There are no exceptions;
  - no header includes itself through others;
  - what a test includes, also through others, lies in the room it tests or below;
  - a folder has at most 40 source files, and no file repeats its folder's name (kernels/cuda/norm/norm_double.cu).
Before that it makes a small tree with one fault of each kind and expects to find these.
"""
import collections
import os
import pathlib
import re
import sys
import tempfile

# From the ground up. "room/*.h" are the headers on top of a room: its contract. "room/*.cpp" are the sources beside them:
# they may use the room's folders. "folder" is both.
FLOORS = [
    ["kernels/*.h"],
    ["kernels/shared", "kernels/emulator"],
    ["kernels/cpu", "kernels/cuda", "kernels/communicators"],
    ["kernels/cpu/conv", "kernels/cuda/conv", "kernels/cuda/norm", "kernels/cuda/libraries"],
    ["kernels/cuda/runtime", "kernels/cuda/emulated"],
    ["kernels/*.cpp"],
    ["engine/text"],
    ["engine/io"],
    ["engine/*.h"],
    ["engine/ops"],
    ["engine/*.cpp"],
    ["models/*.h", "datasets/decoders"],
    ["models/encoders", "models/export", "models/weights"],
    ["models/*.cpp"],
    ["datasets/*.h"],
    ["datasets/readers"],
    ["datasets/readers/images"],
    ["datasets/shapes", "datasets/loading"],
    ["datasets/sets"],
    ["datasets/*.cpp"],
    ["ssl/options"],
    ["ssl/*.h"],
    ["ssl/objectives", "ssl/objectives/dsa", "ssl/objectives/icl_msr", "ssl/objectives/mrcl"],
    ["ssl/*.cpp"],
    ["ssl/steps", "ssl/evaluation/features"],
    ["ssl/evaluation/sampling"],
    ["ssl/bench", "ssl/evaluation/geometry", "ssl/evaluation/neighbors", "ssl/evaluation/probes"],
    ["ssl/evaluation/finetune", "ssl/evaluation/robustness"],
    ["ssl/evaluation"],
    ["ssl/evaluation/embedding"],
    ["ssl/training/tensorboard"],
    ["ssl/training"],
    ["ssl/report"],
    ["tools"],
]
ROOMS = ["kernels", "engine", "models", "datasets", "ssl", "tools"]
# Rooms beside each other: neither may use the other, whatever the floors.
APART = [{"models", "datasets"}]
# What the tests of a folder, and of the folders in it, may use; the nearest entry counts.
TESTS = {
    "tests/kernels": ["kernels"],
    "tests/engine": ["kernels", "engine"],
    "tests/op_table": ["kernels", "engine"],
    "tests/device": ["kernels", "engine"],
    "tests/emulator": ["kernels", "engine"],
    "tests/mpi": ["kernels", "engine"],
    "tests/models": ["kernels", "engine", "models"],
    "tests/datasets": ["kernels", "engine", "datasets"],
    "tests/device/ssl": ROOMS[:-1],
    "tests/emulator/ssl": ROOMS[:-1],
    "tests": ROOMS[:-1],
}
MOST_FILES = 40
ENDINGS = (".h", ".cpp", ".cu", ".cpp.in")
INCLUDE = re.compile(r'^\s*#\s*include "([^"]+)"', re.MULTILINE)


def sources_of(root):
    """{path: paths it includes} of the source files of all rooms and tests."""
    files = {}
    for room in [*ROOMS, "tests"]:
        for path in sorted((root / room).rglob("*")):
            if path.is_file() and path.name.endswith(ENDINGS):
                files[path.relative_to(root).as_posix()] = INCLUDE.findall(path.read_text(encoding="utf-8"))
    return files


def place_of(path, floors):
    """The entry of FLOORS that a file belongs to, or None."""
    folder = os.path.dirname(path)
    part = folder + ("/*.h" if path.endswith(".h") else "/*.cpp")
    return folder if folder in floors else part if part in floors else None


def reached_from(path, files):
    """All that a file includes, also through others."""
    reached, left = set(), list(files.get(path, []))
    while left:
        one = left.pop()
        if one not in reached:
            reached.add(one)
            left += files.get(one, [])
    return reached


def nearest_entry(path):
    folder = os.path.dirname(path)
    while folder not in TESTS:
        folder = os.path.dirname(folder)
    return folder


def order_problems(files, floors):
    for path, includes in files.items():
        place = place_of(path, floors)
        if place is None:
            yield f"{path}: its folder is on no floor of FLOORS"
            continue
        for included in includes:
            other = place_of(included, floors)
            if included not in files:
                yield f"{path}: includes {included}, which is not there"
            elif other is not None and other != place and floors[other] >= floors[place]:
                yield f"{path} ({place}): includes {included}, but {other} is not below it"
            elif {path.split("/")[0], included.split("/")[0]} in APART:
                yield f"{path}: includes {included}, a room beside its own"


def problems_of(root):
    floors = {place: floor for floor, places in enumerate(FLOORS) for place in places}
    files = sources_of(root)
    rooms = {path: includes for path, includes in files.items() if not path.startswith("tests/")}
    problems = list(order_problems(rooms, floors))
    for path in rooms:
        if path in reached_from(path, files):
            problems.append(f"{path}: includes itself through others")
    for path in sorted(files.keys() - rooms.keys()):
        folder = nearest_entry(path)
        reached = {included.split("/")[0]: included for included in sorted(reached_from(path, files))}
        for room in ROOMS:
            if room in reached and room not in TESTS[folder]:
                problems.append(f"{path}: reaches {reached[room]}; {folder} may use {', '.join(TESTS[folder])}")
    for folder, count in collections.Counter(map(os.path.dirname, files)).items():
        if count > MOST_FILES:
            problems.append(f"{folder}: has {count} source files, more than {MOST_FILES}")
    for path in rooms:
        folder, name = os.path.split(path)
        if name.startswith(os.path.basename(folder) + "_"):
            problems.append(f"{path}: its name repeats its folder's")
    return problems


def test_of_the_test():
    """One fault of each kind, and what is said of it."""
    tree = {"kernels/backend.h": '#include "kernels/cpu/loops.h"\n', "kernels/cpu/loops.h": "",
            "kernels/cuda/rules.h": '#  include "kernels/cpu/loops.h"\n', "kernels/new/x.cpp": "",
            "engine/ops/ops.h": '#include "engine/tensor.h"\n', "engine/tensor.h": '#include "engine/none.h"\n',
            "engine/graph.h": '#include "engine/graph_of.h"\n', "engine/graph_of.h": '#include "engine/graph.h"\n',
            "engine/ops/ops_conv.cpp": "", "ssl/objective.h": "", "datasets/dataset.h": '#include "models/1.h"\n',
            "tests/engine/x_test.cpp": '#include "tests/support/y.h"\n', "tests/support/y.h": '#include "ssl/objective.h"\n',
            **{f"models/{i}.h": "" for i in range(MOST_FILES + 1)}}
    expected = ["kernels/backend.h (kernels/*.h): includes kernels/cpu/loops.h", "kernels/cuda/rules.h (kernels/cuda): includes",
                "kernels/new/x.cpp: its folder is on no floor", "engine/tensor.h: includes engine/none.h, which is not there",
                "engine/graph.h: includes itself", "engine/graph_of.h: includes itself",
                "tests/engine/x_test.cpp: reaches ssl/objective.h", "models: has 41 source files",
                "engine/ops/ops_conv.cpp: its name repeats", "datasets/dataset.h: includes models/1.h, a room beside"]
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for path, text in tree.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, encoding="utf-8")
        found = problems_of(root)
    missed = [start for start in expected if not any(problem.startswith(start) for problem in found)]
    if missed or len(found) != len(expected):
        sys.exit("includes_test.py: of its own faults it found\n  " + "\n  ".join(found) + "\nand missed\n  " + "\n  ".join(missed))


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: includes_test.py FOLDER")
    test_of_the_test()
    root = pathlib.Path(sys.argv[1])
    problems = problems_of(root)
    places = sum(map(len, FLOORS))
    print("\n".join(problems) or f"{places} folders on {len(FLOORS)} floors: every include goes down")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
