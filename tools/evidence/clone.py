"""A clone of this checkout at the commit of the rows, with its own build of the tools, so edits do not affect runs."""
import shutil
import subprocess

from .store import Unusable

TOOLS = ("pretrain", "linear_probe", "evaluate")


def processor_name():
    """The system's name for the processor, plus what that may omit: rounding depends on the vector instructions."""
    found = {}
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            name, _, value = line.partition(":")
            found.setdefault(name.strip(), value.strip())
    name = next((found[key] for key in ("model name", "Processor", "cpu model") if key in found), "unknown")
    flags = set(found.get("flags", found.get("Features", "")).split())
    widest = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_tile", "asimd") if flag in flags]
    numbers = "/".join(found[key] for key in ("cpu family", "model", "stepping") if key in found)
    return " ".join(filter(None, [name, numbers and f"({numbers})", *widest]))


def _git(*words, check=True):
    said = subprocess.run(["git", *map(str, words)], capture_output=True, text=True, check=False)
    if check and said.returncode:
        complaint = (said.stderr.strip().splitlines() or [f"exit {said.returncode}"])[-1]
        raise Unusable(f"git {' '.join(map(str, words))}: {complaint}")
    return said.stdout.strip() if said.returncode == 0 else None


def head_of(checkout):
    return _git("-C", checkout, "rev-parse", "HEAD")


def check_out(checkout, source, commit):
    """Makes `source` a clone of `checkout` at `commit`; reuses an existing clone."""
    # git looks for a repository in the folders above too, so a damaged clone must not make it find `checkout`.
    here = ["--git-dir", source / ".git", "--work-tree", source]
    if not (source / ".git").exists():
        source.parent.mkdir(parents=True, exist_ok=True)
        _git("clone", "--quiet", "--no-checkout", checkout, source)
    if _git(*here, "cat-file", "-e", f"{commit}^{{commit}}", check=False) is None:
        _git(*here, "fetch", "--quiet", checkout, "+refs/heads/*:refs/remotes/origin/*", "HEAD")
    if _git(*here, "cat-file", "-e", f"{commit}^{{commit}}", check=False) is None:
        raise Unusable(f"the commit {commit} of the rows is in no branch of {checkout}: fetch it there first")
    if _git(*here, "rev-parse", "HEAD") != commit or _git(*here, "status", "--porcelain", "--untracked-files=no"):
        _git(*here, "checkout", "--quiet", "--force", "--detach", commit)


def mark_of(commit):
    """What a build's file BUILT says: compilers tune for the processor they run on."""
    return f"{commit}\n{processor_name()}\n"


def is_built(folder, commit):
    """Whether `build` made the tools there, at that commit and for this processor."""
    mark = folder / "BUILT"
    return mark.exists() and mark.read_text(encoding="utf-8") == mark_of(commit)


def build(runner, source, folder, commit, jobs, log):
    """Builds the tools unless they exist for this commit and processor."""
    if is_built(folder, commit):
        return
    print(f"builds the tools at {commit[:12]}; see {log}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    runner.run(["cmake", "-S", source, "-B", folder, *generator, "-DCMAKE_BUILD_TYPE=Release", "-DVERGENCE_CUDA=OFF",
                "-DVERGENCE_TESTS=OFF"], log)
    runner.run(["cmake", "--build", folder, "--parallel", str(jobs), "--target", *TOOLS], log)
    (folder / "BUILT").write_text(mark_of(commit), encoding="utf-8")


def check_tools(folder):
    for tool in TOOLS:
        if not (folder / tool).exists():
            raise Unusable(f"there is no {folder / tool}; build it, or give another --build")
