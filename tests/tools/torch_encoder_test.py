#!/usr/bin/env python3
"""encoder.safetensors in PyTorch:  torch_encoder_test.py SOURCE BUILD

Encoders of every depth, stem and two widths, and conv4, as the engine saves them, give the same features through
tools/torch_encoder.py as in the engine; and the docs/running.md's Python runs on the encoder of a run. Exit status: 0 all agree,
1 something does not, 77 PyTorch, torchvision or safetensors is not there.
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

SOURCE, BUILD = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
TOOLS = BUILD / "python_tools"
if len(sys.argv) == 3:  # once more, with what python_tools.sh installs
    if subprocess.run([SOURCE / "tests/python_tools.sh", TOOLS, "safetensors"], check=False).returncode != 0:
        print("skipped: safetensors cannot be installed here")
        sys.exit(77)
    os.execv(TOOLS / "bin/python", [str(TOOLS / "bin/python"), "-B", *sys.argv, "again"])

sys.path[:0] = [str(SOURCE / "tools"), str(SOURCE / "tests/oracle")]
try:
    import torch
    import torch_encoder
except ImportError as error:
    print(f"skipped: {error}. Needs PyTorch and torchvision (Debian: python3-torchvision).")
    sys.exit(77)
import safetensors_io  # noqa: E402

FAILURES = []


def fail(text):
    FAILURES.append(text)
    print("FAILED", text)


def resnet(depth, stem, width, relu, channels):
    return {"encoder": f"resnet{depth}", "stem": stem, "width": width, "image_size": 33, "channels": channels, "stem_relu": relu}


def compare(folder, settings, seed):
    """Features of one encoder, the engine's and PyTorch's."""
    size, channels = settings["image_size"], settings["channels"]
    images = torch.randn(6, channels, size, size, generator=torch.Generator().manual_seed(seed))
    source, target = folder / "in", folder / "out"
    safetensors_io.write(source, {"images": images.permute(0, 2, 3, 1).numpy()}, {k: str(v) for k, v in settings.items()})
    subprocess.run([BUILD / "tests/oracle_driver", "encoder", source, target], check=True)
    expected = torch.from_numpy(safetensors_io.read(target)[0]["features"])
    with torch.no_grad():
        found = torch_encoder.load_encoder(f"{target}.encoder")(images)
    error = float((found - expected).norm() / expected.norm()) if found.shape == expected.shape else float("nan")
    if not error <= 1e-4:
        fail(f"{settings}: features {tuple(found.shape)}, {tuple(expected.shape)} in the engine, relative error {error:.2g}")
    return error


def documented_snippet(folder):
    """docs/running.md's Python, on a run like the one it speaks of."""
    run = "runs/first"
    blocks = [b for b in re.findall(r"```python\n(.*?)```", (SOURCE / "docs/running.md").read_text(), re.S) if run in b]
    if len(blocks) != 1:
        return fail(f"docs/running.md: {len(blocks)} blocks of Python speak of {run}, expected 1")
    (folder / "tools").symlink_to(SOURCE / "tools")
    subprocess.run([BUILD / "pretrain", "--width", "16", "--batch", "8", "--limit", "32", "--max-steps", "2", "--device", "cpu",
                    "--out", run], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    shown = blocks[0] + "\nprint(tuple(features.shape), bool(features.isfinite().all()), float(features.std()) > 0)\n"
    done = subprocess.run([sys.executable, "-B", "-c", shown], cwd=folder, capture_output=True, text=True, check=False)
    if done.stdout != "(8, 128) True True\n":
        fail(f"docs/running.md's Python: {done.stdout}{done.stderr}")
    state = {k: torch.from_numpy(v) for k, v in safetensors_io.read(folder / run / "encoder.safetensors")[0].items()}
    mean = state["bn1.running_mean"]
    loaded = torch_encoder.load_encoder(folder / run / "encoder.safetensors")
    if mean.shape != (16,) or not torch.equal(loaded.bn1.running_mean, mean):
        fail("the loader's statistics are not the file's")
    half = torch.full((1, 3, 1, 1), 0.5)
    if torch.allclose(loaded.normalize(half), half):
        fail("the loader's mean and deviation are not the file's")
    try:
        torch_encoder.ResNet({"encoder": "resnet18", "width": "8", "stem": "cifar"}).normalize(half)
        fail("an encoder without mean and deviation normalizes images")
    except ValueError:
        pass


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        cases = [resnet(depth, stem, width, "on", 3) for depth in (18, 34, 50)
                 for stem in torch_encoder.STEMS for width in (8, 64 if depth == 18 else 16)]
        cases += [resnet(18, "cifar", 8, "off", 3), resnet(50, "imagenet", 8, "off", 4), resnet(18, "stl", 8, "on", 1)]
        cases += [{"encoder": "conv4", "image_size": size, "channels": channels} for size, channels in ((84, 3), (33, 1))]
        errors = [compare(folder, case, seed) for seed, case in enumerate(cases)]
        documented_snippet(folder)
    print(f"{len(errors)} encoders, worst relative error of features {max(errors):.1e}; {len(FAILURES)} failures")
    sys.exit(1 if FAILURES else 0)


main()
