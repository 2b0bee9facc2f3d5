#!/usr/bin/env python3
"""What the CUDA compiler made of the kernels: registers, spills, shared memory, and the instructions that matter.

  kernel_report.py [--nvcc NVCC] [--architecture 90a] --check SOURCE.cu...     fails where a tensor-core convolution
                                            lacks mma.sync or 16-byte loads (that no kernel spills, the build sees to)
  kernel_report.py [--nvcc NVCC] [--architecture 90a] --table SOURCE.cu...     a Markdown table of every kernel
"""
import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
OPTIONS = ["-std=c++20", "--expt-relaxed-constexpr", f"-I{ROOT}"]


def compile_source(nvcc, source, options):
    done = subprocess.run([nvcc, *OPTIONS, *options, str(source)], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{source}: {done.stderr}")
    return done


def ptx_of(nvcc, architecture, source):
    target = f"arch=compute_{architecture},code=compute_{architecture}"
    return compile_source(nvcc, source, ["-gencode", target, "-ptx", "-o", "-"]).stdout


def ptxas_report_of(nvcc, architecture, source):
    target = f"arch=compute_{architecture},code=sm_{architecture}"
    with tempfile.TemporaryDirectory() as folder:
        return compile_source(nvcc, source, ["-gencode", target, "-cubin", "-Xptxas=-v", "-o", f"{folder}/cubin"]).stderr


def demangled(names):
    if not names:
        return {}
    text = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True).stdout
    return dict(zip(names, text.splitlines()))


def readable(name):
    """void vergence::cuda::(anonymous namespace)::reduce_rows<float>(long, …) -> reduce_rows<float>"""
    name = re.sub(r"vergence::|cuda::|\(anonymous namespace\)::|functors::", "", name)
    name = re.sub(r"^(static )?void ", "", name)
    depth = 0
    for at, character in enumerate(name):
        depth += (character == "<") - (character == ">")
        if character == "(" and depth == 0:
            return name[:at]
    return name


def kernels_of(text):
    """One dict per kernel: name, registers, spill_stores, spill_loads, stack, shared."""
    found = []
    for block in text.split("Compiling entry function ")[1:]:
        number = lambda pattern: int((re.search(pattern, block) or [0, 0])[1])
        found.append({"mangled": re.match(r"'(\S+)'", block)[1],
                      "registers": number(r"Used (\d+) registers"),
                      "stack": number(r"(\d+) bytes stack frame"),
                      "spill_stores": number(r"(\d+) bytes spill stores"),
                      "spill_loads": number(r"(\d+) bytes spill loads"),
                      "shared": number(r"(\d+) bytes smem")})
    names = demangled([k["mangled"] for k in found])
    for kernel in found:
        kernel["name"] = readable(names[kernel["mangled"]])
    return sorted(found, key=lambda k: k["name"])


def bodies_of(ptx):
    """(readable name, PTX) of each kernel."""
    starts = {match[1]: match.start() for match in re.finditer(r"^.*\.entry (\w+)\(", ptx, re.MULTILINE)}
    names = demangled(list(starts))
    return [(readable(names[mangled]), ptx[start:ptx.index("\n}", start)]) for mangled, start in starts.items()]


def problems_of(source, bodies):
    tensor = [(name, body) for name, body in bodies if "tensor" in name]
    if not tensor:
        yield f"{source.name}: no tensor-core kernel found"
    for name, body in tensor:
        wide = any(load in body for load in ("cp.async.cg.shared.global", "ld.global.v4", "ld.global.nc.v4"))
        for present, what in (("mma.sync" in body or "wgmma" in body, "mma.sync"), (wide, "16-byte loads")):
            if not present:
                yield f"{source.name}: {name} has no {what}"


def check(nvcc, architecture, sources):
    problems, count = [], 0
    for source in sources:
        bodies = bodies_of(ptx_of(nvcc, architecture, source))
        problems += problems_of(source, bodies)
        count += len(bodies)
    print("\n".join(problems) or f"{count} kernels for sm_{architecture}: mma.sync and 16-byte loads where they belong")
    return 1 if problems else 0


def print_table(nvcc, architecture, sources):
    for source in sources:
        print(f"\n### {source.name}\n\n| kernel | registers | spills, bytes | shared memory, bytes |\n|---|---|---|---|")
        for k in kernels_of(ptxas_report_of(nvcc, architecture, source)):
            print(f"| `{k['name']}` | {k['registers']} | {k['spill_stores'] + k['spill_loads']} | {k['shared']} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nvcc", default="nvcc")
    parser.add_argument("--architecture", default="90a")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("sources", nargs="+", type=pathlib.Path)
    arguments = parser.parse_args()
    given = arguments.nvcc, arguments.architecture, arguments.sources
    if arguments.table:
        print_table(*given)
    if arguments.check:
        sys.exit(check(*given))


if __name__ == "__main__":
    main()
