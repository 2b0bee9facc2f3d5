#!/usr/bin/env python3
"""day_kernels.py FILE: reads Nsight Compute's `--csv --page raw` of two steps; prints the second step's kernels by name.

A step is what lies between two updates of the parameters. The kernels that take longest come first, the lesser ones are summed up.
Columns: launches, microseconds, GB read and written in the GPU's memory, TB/s of that, GB written into its L2 cache (many times
what reaches the memory: narrow stores).
"""
import csv
import re
import sys

MICROSECONDS = {"ns": 1e-3, "nsecond": 1e-3, "us": 1, "usecond": 1, "ms": 1e3, "msecond": 1e3, "s": 1e6, "second": 1e6}
BYTES = {"byte": 1, "Kbyte": 1e3, "Mbyte": 1e6, "Gbyte": 1e9, "sector": 32}
SHOWN = 32


def read_table(path):
    """The rows below the line of names, each a dict, and the units of its columns."""
    with open(path, encoding="utf-8", errors="replace") as file:
        lines = [line for line in file if not line.startswith("==")]
    start = next((i for i, line in enumerate(lines) if line.startswith('"ID"')), None)
    if start is None or len(lines) < start + 3:
        sys.exit("ncu gave no table: " + " ".join(" ".join(lines[-3:]).split()))
    units, *rows = csv.DictReader(lines[start:])
    return [row for row in rows if row.get("Kernel Name")], units


def value(row, units, name, scale):
    try:
        return float(row[name].replace(",", "")) * scale[units[name]]
    except (KeyError, ValueError, AttributeError):
        return 0.0  # a counter that this GPU has not


def short(name):
    name = re.sub(r"\(anonymous namespace\)::|<unnamed>::|vergence::|cuda::|^void |\(.*", "", name)
    return re.sub(r"_bf16bf16_bf16f32_f32_nhwckrsc_nhwc_tilesize(\w+?)_warpgroupsize.*", r" \1", name)  # cuDNN's


def last_step(rows):
    updates = [i for i, row in enumerate(rows) if "update_chunks" in row["Kernel Name"]]
    if len(updates) < 2:
        sys.exit(f"{len(updates)} updates of parameters among {len(rows)} kernels; expected those of two steps")
    return rows[updates[-2] + 1:updates[-1] + 1]


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    rows, units = read_table(sys.argv[1])
    kernels = {}
    for row in last_step(rows):
        sums = kernels.setdefault(short(row["Kernel Name"]), [0, 0.0, 0.0, 0.0])
        sums[0] += 1
        sums[1] += value(row, units, "gpu__time_duration.sum", MICROSECONDS)
        sums[2] += sum(value(row, units, f"dram__bytes_{way}.sum", BYTES) for way in ("read", "write")) / 1e9
        sums[3] += 32 * value(row, units, "lts__t_sectors_op_write.sum", {"": 1, "sector": 1}) / 1e9
    line = "{:64.64} {:5.0f} {:9.1f} {:8.3f} {:6.2f} {:8.3f}".format
    speed = lambda sums: sums[2] / sums[1] * 1e3 if sums[1] else 0
    print("{:64} {:>5} {:>9} {:>8} {:>6} {:>8}".format("kernel", "n", "us", "GB", "TB/s", "GB to L2"))
    by_time = sorted(kernels.items(), key=lambda item: -item[1][1])
    add = lambda items: [sum(sums[i] for _, sums in items) for i in range(4)]
    for name, sums in [*by_time[:SHOWN], ("lesser ones", add(by_time[SHOWN:])), ("all", add(by_time))]:
        print(line(name, *sums[:3], speed(sums), sums[3]))


if __name__ == "__main__":
    main()
