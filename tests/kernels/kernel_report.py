#!/usr/bin/env python3
"""What the CUDA compiler made of the kernels: registers, spills, shared memory, and the instructions that matter.

  kernel_report.py [--nvcc NVCC] [--architecture 90a] [--tools FOLDER] --check SOURCE.cu...
                                            fails if a tensor-core convolution (conv/tensor*.cu) lacks mma.sync or
                                            16-byte loads, a batch norm of bf16 vectors (norm/*.cu) stores less than a
                                            vector at once, or a kernel of views.cu has no bounds on its threads. (The
                                            build checks for spills.) The assembler chooses stores, so they need
                                            nvdisasm: the toolkit's, or PyPI's in FOLDER
  kernel_report.py [--nvcc NVCC] [--architecture 90a] --table SOURCE.cu...     a Markdown table of every kernel
  kernel_report.py [--nvcc NVCC] [--architecture 90a] --markdown FILE [SOURCE.cu...]
                                            the whole report as a file: the compiler, a line per source (without
                                            SOURCE: every .cu file of kernels/), then the tables. Takes minutes
"""
import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
KERNELS = ROOT / "kernels/cuda"
OPTIONS = ["-std=c++20", "--expt-relaxed-constexpr", f"-I{ROOT}"]


def name_of(source):
    """The path in kernels/cuda: conv/tensor.cu."""
    path = source.resolve()
    return str(path.relative_to(KERNELS)) if path.is_relative_to(KERNELS) else str(source)


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


def nvdisasm_of(nvcc, tools):
    """The path of nvdisasm, or None: the toolkit's, else the one in `tools`, installed there by python_tools.sh."""
    toolkit = pathlib.Path(shutil.which(nvcc) or nvcc).parent
    found = shutil.which("nvdisasm", path=toolkit) or shutil.which("nvdisasm")
    if found or not tools:
        return found
    subprocess.run([ROOT / "tests/python_tools.sh", tools, "nvdisasm"], check=False)
    return next((str(path) for path in tools.rglob("bin/nvdisasm")), None)


def sass_of(nvcc, architecture, nvdisasm, source):
    target = f"arch=compute_{architecture},code=sm_{architecture}"
    with tempfile.TemporaryDirectory() as folder:
        compile_source(nvcc, source, ["-gencode", target, "-cubin", "-o", f"{folder}/cubin"])
        return subprocess.run([nvdisasm, "-c", f"{folder}/cubin"], capture_output=True, text=True, check=True).stdout


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


def sass_bodies_of(sass):
    """(readable name, SASS) of each kernel."""
    parts = [part.split(":", 1) for part in re.split(r"^\.text\.", sass, flags=re.MULTILINE)[1:]]
    names = demangled([mangled for mangled, _ in parts])
    return [(readable(names[mangled]), body) for mangled, body in parts]


def tensor_problems_of(source, bodies):
    tensor = [(name, body) for name, body in bodies if "tensor" in name]
    if not tensor:
        yield f"{name_of(source)}: no tensor-core kernel found"
    for name, body in tensor:
        wide = any(load in body for load in ("cp.async.cg.shared.global", "ld.global.v4", "ld.global.nc.v4"))
        for present, what in (("mma.sync" in body or "wgmma" in body, "mma.sync"), (wide, "16-byte loads")):
            if not present:
                yield f"{name_of(source)}: {name} has no {what}"


SUMS_ALONE = ("norm_statistics<", "norm_double_sums<")  # store no activations


def store_problems_of(source, bodies):
    """Kernels over 8 bf16 values at a time must store 16 bytes at once; sums in f64 and bytes of ReLU bits may be narrower."""
    vector = [(name, body) for name, body in bodies if re.match(r"\w+<bf16, 8\b", name)]
    if not vector:
        yield f"{name_of(source)}: no kernel of bf16 vectors found"
    for name, body in vector:
        stores = re.findall(r"\bSTG\.[A-Z0-9.]+", body)
        narrow = [store for store in stores if not {"128", "64", "U8"} & set(store.split("."))]
        if narrow:
            yield f"{name_of(source)}: {name} has narrow stores: {', '.join(sorted(set(narrow)))} ({len(narrow)})"
        if not name.startswith(SUMS_ALONE) and not any(".128" in store for store in stores):
            yield f"{name_of(source)}: {name} has no STG.E.128"


def bounds_problems_of(source, bodies):
    """Without bounds, the compiler may use more registers than blocks of more than 256 threads have."""
    return [f"{name_of(source)}: {name} has no __launch_bounds__" for name, body in bodies if ".maxntid" not in body]


def check(nvcc, architecture, tools, sources):
    problems, count = [], 0
    for source in sources:
        if source.parent.name == "conv" and source.name.startswith("tensor"):
            bodies = bodies_of(ptx_of(nvcc, architecture, source))
            problems += tensor_problems_of(source, bodies)
        elif source.parent.name == "norm":
            nvdisasm = nvdisasm_of(nvcc, tools)
            if not nvdisasm:
                print(f"{name_of(source)}: skipped: no nvdisasm")
                continue
            bodies = sass_bodies_of(sass_of(nvcc, architecture, nvdisasm, source))
            problems += store_problems_of(source, bodies)
        elif source.name == "views.cu":
            bodies = bodies_of(ptx_of(nvcc, architecture, source))
            problems += bounds_problems_of(source, bodies)
        else:
            sys.exit(f"{source}: there is nothing to check; expected conv/tensor*.cu, norm/*.cu or views.cu")
        count += len(bodies)
    print("\n".join(problems) or f"{count} kernels for sm_{architecture}: the instructions they should have")
    return 1 if problems else 0


def table_of(kernels):
    lines = ["| kernel | registers | spills, bytes | shared memory, bytes |", "|---|---|---|---|"]
    for k in kernels:
        lines.append(f"| `{k['name']}` | {k['registers']} | {k['spill_stores'] + k['spill_loads']} | {k['shared']} |")
    return "\n".join(lines)


def print_table(nvcc, architecture, sources):
    for source in sources:
        print(f"\n### {name_of(source)}\n\n{table_of(kernels_of(ptxas_report_of(nvcc, architecture, source)))}")


def summary_of(reports):
    """One line per source: the number of kernels, and the worst of each figure."""
    lines = ["| source | kernels | most registers | kernels that spill | most shared memory, bytes |", "|---|---|---|---|---|"]
    for source, kernels in reports:
        spilling = sum(k["spill_stores"] + k["spill_loads"] > 0 for k in kernels)
        most = {key: max((k[key] for k in kernels), default=0) for key in ("registers", "shared")}
        lines.append(f"| {name_of(source)} | {len(kernels)} | {most['registers']} | {spilling} | {most['shared']} |")
    return "\n".join(lines)


def write_markdown(nvcc, architecture, sources, file):
    """A source without kernels, such as one that only launches others', has only its line in the summary."""
    release = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=True).stdout.strip().splitlines()
    reports = [(source, kernels_of(ptxas_report_of(nvcc, architecture, source))) for source in sources]
    parts = [f"# What the compiler made of the kernels\n\nMade by `tests/kernels/kernel_report.py`: {release[-1]}, sm_{architecture}. "
             "Nothing here was measured on a GPU.", summary_of(reports)]
    parts += [f"## {name_of(source)}\n\n{table_of(kernels)}" for source, kernels in reports if kernels]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    print(f"{file}: {sum(len(kernels) for _, kernels in reports)} kernels of {len(sources)} sources")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nvcc", default="nvcc")
    parser.add_argument("--architecture", default="90a")
    parser.add_argument("--tools", type=pathlib.Path, help="where python_tools.sh may install nvdisasm")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--markdown", type=pathlib.Path, metavar="FILE")
    parser.add_argument("sources", nargs="*", type=pathlib.Path)
    arguments = parser.parse_args()
    if not shutil.which(arguments.nvcc):
        parser.error(f"there is no {arguments.nvcc}: give --nvcc PATH")
    if arguments.markdown:
        sources = arguments.sources or sorted(KERNELS.rglob("*.cu"))
        write_markdown(arguments.nvcc, arguments.architecture, sources, arguments.markdown)
    elif not arguments.sources:
        parser.error("no SOURCE.cu given")
    if arguments.table:
        print_table(arguments.nvcc, arguments.architecture, arguments.sources)
    if arguments.check:
        sys.exit(check(arguments.nvcc, arguments.architecture, arguments.tools, arguments.sources))


if __name__ == "__main__":
    main()
