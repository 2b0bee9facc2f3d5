#!/usr/bin/env python3
"""kernel_times.py FILE [SHOWN]: a table of the last recorded step from the file that libkernel_times.so wrote.

The kernels that take longest come first, SHOWN of them (default: 40), the lesser ones are summed up. Columns: launches,
microseconds. Above them how many kernels there are, their sum, and the time from the first one's start to the last one's end: where
that is shorter, kernels overlapped.
"""
import collections
import re
import sys

FEWEST = 20  # kernels of a step


def read_launches(path):
    """Lists of (start, end, name), one for each launch, in the order of the launches."""
    launches = collections.defaultdict(list)
    with open(path, encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            fields = line.rstrip("\n").split("\t", 3)
            if len(fields) != 4 or not all(field.isdigit() for field in fields[:3]):
                sys.exit(f"{path}:{number}: expected start, end, launch and name, got {line[:80]!r}")
            start, end, launch = (int(field) for field in fields[:3])
            launches[launch].append((start, end, fields[3]))
    return sorted(launches.values(), key=min)


def short(name):
    name = re.sub(r"\(anonymous namespace\)::|<unnamed>::|vergence::|cuda::|^void |\(.*", "", name)
    return re.sub(r"_bf16bf16_bf16f32_f32_nhwckrsc_nhwc_tilesize(\w+?)_warpgroupsize.*", r" \1", name)  # cuDNN's


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    steps = [launch for launch in read_launches(sys.argv[1]) if len(launch) >= FEWEST]
    if not steps:
        sys.exit(f"{sys.argv[1]}: no launch of {FEWEST} kernels or more: no recorded step")
    step, shown = steps[-1], int(sys.argv[2]) if len(sys.argv) == 3 else 40
    kernels = collections.defaultdict(lambda: [0, 0.0])
    for start, end, name in step:
        kernels[short(name)][0] += 1
        kernels[short(name)][1] += (end - start) / 1e3
    by_time = sorted(kernels.items(), key=lambda item: -item[1][1])
    total = sum(time for _, (_, time) in by_time)
    span = (max(end for _, end, _ in step) - min(start for start, _, _ in step)) / 1e3
    print(f"{len(step)} kernels, {total:.1f} us; from first to last {span:.1f} us")
    rest = by_time[shown:]
    lesser = [("lesser ones", (sum(n for _, (n, _) in rest), sum(time for _, (_, time) in rest)))] if rest else []
    for name, (count, time) in by_time[:shown] + lesser:
        print(f"{name:72.72} {count:5d} {time:9.1f}")


if __name__ == "__main__":
    main()
