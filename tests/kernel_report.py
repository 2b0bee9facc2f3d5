#!/usr/bin/env python3
"""What the CUDA compiler made of the kernels: registers, spills, shared memory, and the instructions that matter.

  kernel_report.py [--nvcc NVCC] [--architecture 90a] --check SOURCE.cu...     fails where a kernel spills, or a
                                            tensor-core convolution lacks mma.sync, 16-byte loads or ldmatrix
  kernel_report.py [--nvcc NVCC] [--architecture 90a] --table SOURCE.cu...     a Markdown table of every kernel
"""
import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
OPTIONS = ["-std=c++20", "--expt-relaxed-constexpr", f"-I{ROOT}", "-Xptxas=-v"]


def compile_source(nvcc, architecture, source, folder):
    """The text of ptxas -v, and the PTX."""
    target = ["-gencode", f"arch=compute_{architecture},code=sm_{architecture}"]
    command = [nvcc, *OPTIONS, *target, "-cubin", "--keep", f"--keep-dir={folder}",
               "-o", f"{folder}/{source.stem}.cubin", str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{source}: {done.stderr}")
    return done.stderr, (folder / f"{source.stem}.ptx").read_text()


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


def ptx_of(ptx, mangled):
    start = ptx.index(f".entry {mangled}")
    return ptx[start:ptx.find("\n}", start)]


def problems_of(source, kernels, ptx):
    for kernel in kernels:
        if kernel["spill_stores"] or kernel["spill_loads"]:
            yield f"{source.name}: {kernel['name']} spills {kernel['spill_stores']} bytes"
        if source.stem.startswith("conv_tensor") and "tensor" in kernel["name"]:
            body = ptx_of(ptx, kernel["mangled"])
            wide = ("cp.async.cg.shared.global" in body or "ld.global.v4" in body or "ld.global.nc.v4" in body)
            for present, what in (("mma.sync" in body or "wgmma" in body, "mma.sync"), (wide, "16-byte loads")):
                if not present:
                    yield f"{source.name}: {kernel['name']} has no {what}"
    if source.stem.startswith("conv_tensor") and not any("tensor" in k["name"] for k in kernels):
        yield f"{source.name}: no tensor-core kernel found"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nvcc", default="nvcc")
    parser.add_argument("--architecture", default="90a")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("sources", nargs="+", type=pathlib.Path)
    arguments = parser.parse_args()
    problems, count = [], 0
    for source in arguments.sources:
        with tempfile.TemporaryDirectory() as folder:
            text, ptx = compile_source(arguments.nvcc, arguments.architecture, source, pathlib.Path(folder))
        kernels = kernels_of(text)
        count += len(kernels)
        problems += problems_of(source, kernels, ptx)
        if arguments.table:
            print(f"\n### {source.name}\n\n| kernel | registers | spills, bytes | shared memory, bytes |\n|---|---|---|---|")
            for k in kernels:
                print(f"| `{k['name']}` | {k['registers']} | {k['spill_stores'] + k['spill_loads']} | {k['shared']} |")
    if arguments.check:
        print("\n".join(problems) or f"{count} kernels for sm_{arguments.architecture}: no spills")
        sys.exit(1 if problems or not count else 0)


if __name__ == "__main__":
    main()
