"""Lines of rows, for the tests of `reproduce.sh evidence`: their first argument is the source folder."""
import os
import pathlib
import sys

SOURCE = pathlib.Path(sys.argv.pop(1) if len(sys.argv) > 1 and os.path.isdir(sys.argv[1]) else ".").resolve()
sys.path.insert(0, str(SOURCE / "tools"))
from evidence import gpu, rows  # noqa: E402  pylint: disable=wrong-import-position

COMMIT, OTHER = "a" * 40, "b" * 40


def row(name):
    return next(each for each in [*rows.ROWS, *gpu.ROWS] if each.name == name)


def line_of(name, seed, processor="p", commit=COMMIT, **figures):
    return {"row": name, "step": row(name).step, "seed": seed, "commit": commit, "processor": processor, "threads": 1,
            "options": row(name).pretrain_options(seed), "core_seconds": 60, "figures": figures}
