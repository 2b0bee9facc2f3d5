"""Mutants of the kernel files, each run against the tests on the emulated GPU; see mutate.sh.

Kinds of mutants, per file:
  barrier   without one __syncthreads() (each in turn)
  index     one use of threadIdx.x is off by one (the first and the last use)
  mask      one full warp mask loses its lowest bit; one bound `<` in a condition becomes `<=` (first and last)
"""
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
KERNELS = "kernels/cuda"
FOLDERS = ["", "conv", "norm"]  # with kernels that the emulated GPU runs
SECONDS = 300
# The rows of the op table (ROWS) and the test binaries (OWN) that test a file. Headers are compiled with the sources that
# use them (USERS).
ROWS = {"elementwise": "*", "reduce": "*sum*:*dot*:*max*:*mean*:*norm*", "move": "*", "gemm": "*matmul*:*linear*",
        "conv/plain": "*conv*", "conv/tensor": "*conv*", "conv/tensor_narrow": "*conv*", "conv/tensor_narrow_weight": "*conv*",
        "conv/tensor_weight": "*conv*", "conv/tiles": "*conv*",
        "norm/norm": "*norm*", "norm/double": "*norm*", "norm/bits": "*norm*", "norm/loops": "*norm*",
        "norm/ranks": "*norm*ranks*",
        "rows": "*softmax*:*l2*:*entropy*:*normalize*", "pool": "*pool*", "info_nce": "*info_nce*",
        "cross_correlation": "*cross_correlation*", "tiles": "*info_nce*:*cross_correlation*", "loops": "*"}
OWN = {"optimizers": ["emulated_optimizers_test"], "gather_segments": ["emulated_recorded_step_test"],
       "views": ["emulated_views_test"], "conv/plain": ["emulated_conv_test"], "conv/tensor": ["emulated_conv_test", "emulated_conv_relu_norm_test"],
       "conv/tensor_narrow": ["emulated_conv_test"], "conv/tensor_narrow_weight": ["emulated_conv_test"], "conv/tensor_weight": ["emulated_conv_test"], "conv/tiles": ["emulated_conv_test"],
       "norm/norm": ["emulated_norm_test", "emulated_conv_relu_norm_test"], "norm/bits": ["emulated_norm_test"], "norm/loops": ["emulated_norm_test"],
       "norm/ranks": ["emulated_norm_ranks_test"],
       "info_nce": ["emulated_loss_kernels_test"], "cross_correlation": ["emulated_loss_kernels_test"],
       "tiles": ["emulated_loss_kernels_test"]}
USERS = {"loops.h": ["reduce.cu", "rows.cu", "elementwise.cu"], "norm/loops.h": ["norm/norm.cu", "norm/double.cu"],
         "norm/ranks.h": ["norm/norm.cu", "norm/double.cu"],
         "tiles.h": ["info_nce.cu", "cross_correlation.cu"],
         "conv/tiles.h": ["conv/tensor.cu", "conv/tensor_weight.cu", "conv/tensor_narrow_weight.cu"]}


def mutants_of(text):
    """Yields (kind, line, mutated text)."""
    def replaced(match, new):
        return text.count("\n", 0, match.start()) + 1, text[:match.start()] + new + text[match.end():]

    def first_and_last(pattern):
        found = list(re.finditer(pattern, text))
        return found[:1] + found[1:][-1:]

    for match in re.finditer(r"__syncthreads\(\);", text):
        yield "barrier", *replaced(match, ";")
    for match in first_and_last(r"threadIdx\.x(?! %)"):
        yield "index", *replaced(match, "(threadIdx.x + 1)")
    for match in first_and_last(r"0xffffffffu"):
        yield "mask", *replaced(match, "0xfffffffeu")
    for match in first_and_last(r"if \([^()<>]*[\w\]] < [^<>()]*\)"):
        yield "mask", *replaced(match, match[0].replace(" < ", " <= ", 1))


def run(command, **options):
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


class Builder:
    """Compiles a mutated file as the emulator's library does and links a test with it."""

    def __init__(self, build):
        self.build = build
        text = run(["ninja", "-C", str(build), "-t", "commands", "emulated_op_table_test"]).stdout
        self.commands = text.splitlines()

    def compile(self, source, overlay, target):
        [command] = [c for c in self.commands if c.endswith(f"/{KERNELS}/{source}") and " -c " in c]
        command = re.sub(r"^\S*ccache ", "", command)
        if (overlay / KERNELS / source).exists():
            command = command.replace(str(ROOT / KERNELS / source), str(overlay / KERNELS / source))
        command = re.sub(r" -o \S+", f" -o {target}", re.sub(r" -MD -MT \S+ -MF \S+", "", command))
        return run(["bash", "-c", command.replace(" -c ", f" -I{overlay} -c ", 1).replace(f" -I{ROOT} ", f" -I{overlay} -I{ROOT} ", 1)],
                   cwd=self.build)

    def link(self, test, objects, target):
        text = run(["ninja", "-C", str(self.build), "-t", "commands", test]).stdout.splitlines()
        [command] = [c for c in text if f" -o tests/{test} " in c]
        command = command.replace(f" -o tests/{test} ", f" -o {target} " + " ".join(map(str, objects)) + " ")
        done = run(["bash", "-c", command], cwd=self.build)
        if done.returncode:
            sys.exit(f"linking {test}: {done.stderr}")


def caught(builder, name, overlay, folder):
    """Whether the mutant in the overlay's file `name` is caught: it does not compile, or a test fails or does not end."""
    objects = []
    for source in USERS.get(name, [name]):
        target = folder / f"{source.replace('/', '_')}.o"
        if builder.compile(source, overlay, target).returncode:
            return True  # the compiler caught it
        objects.append(target)
    stem = name.rsplit(".", 1)[0]
    tests = [(test, "*") for test in OWN.get(stem, [])]
    if stem in ROWS or name in USERS:
        tests.append(("emulated_op_table_test", ROWS.get(stem, "*")))
    for test, rows in tests:
        binary = folder / test
        builder.link(test, objects, binary)
        try:
            done = run([str(binary), "--gtest_fail_fast", f"--gtest_filter={rows}"], timeout=SECONDS)
        except subprocess.TimeoutExpired:
            return True
        if done.returncode:
            return True
    return False


def tried(builder, name, mutated):
    with tempfile.TemporaryDirectory() as folder:
        overlay = pathlib.Path(folder)
        mutant = overlay / KERNELS / name
        mutant.parent.mkdir(parents=True)
        mutant.write_text(mutated)
        return caught(builder, name, overlay, overlay)


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    names = sys.argv[2:] or sorted(str(p.relative_to(ROOT / KERNELS)) for folder in FOLDERS for p in (ROOT / KERNELS / folder).glob("*.cu"))
    if not sys.argv[2:]:
        names += USERS
    builder = Builder(build)
    everything = [0, 0]
    print("| file | barriers | indices | masks and bounds | caught |\n|---|---|---|---|---|", flush=True)
    for name in names:
        kinds = {"barrier": [0, 0], "index": [0, 0], "mask": [0, 0]}
        survivors = []
        text = (ROOT / KERNELS / name).read_text()
        mutants = list(mutants_of(text))
        if tried(builder, name, text):
            sys.exit(f"{name}: a test fails without any mutation")
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as workers:
            results = list(workers.map(lambda mutant: tried(builder, name, mutant[2]), mutants))
        for (kind, line, _), found in zip(mutants, results):
            kinds[kind][0] += found
            kinds[kind][1] += 1
            if not found:
                survivors.append(f"{kind} at line {line}")
        total = [sum(k[0] for k in kinds.values()), sum(k[1] for k in kinds.values())]
        everything = [a + b for a, b in zip(everything, total)]
        print("|", name, "|", " | ".join(f"{a} of {b}" for a, b in kinds.values()),
              f"| {total[0]} of {total[1]}" + (f"; not: {', '.join(survivors)}" if survivors else ""), "|", flush=True)
    print(f"\n{everything[0]} of {everything[1]} mutants caught")
    sys.exit(0 if 4 * everything[0] >= 3 * everything[1] else 1)


if __name__ == "__main__":
    main()
