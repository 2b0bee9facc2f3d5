#!/usr/bin/env python3
"""Other programs' weights in the engine:  weights_test.py SOURCE BUILD

Files that torchvision, timm and torch.save write, also named as solo-learn's and lightly's checkpoints, give the features
that PyTorch computes, to 1e-5; pretrain --init starts from them; and a checkpoint that would run a program in PyTorch
runs nothing. Exit status: 0 all agree, 1 something does not, 77 PyTorch or torchvision is not there.
"""
import argparse
import collections
import os
import pathlib
import pickle
import subprocess
import sys
import tempfile
import zipfile

SOURCE, BUILD = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
TOOLS = BUILD / "python_tools"
if len(sys.argv) == 3:  # once more, with timm where it can be had
    has_tools = subprocess.run([SOURCE / "tests/python_tools.sh", TOOLS, "safetensors", "timm"], check=False).returncode == 0
    python = TOOLS / "bin/python" if has_tools else sys.executable
    os.execv(python, [str(python), "-B", *sys.argv, "again"])

sys.path[:0] = [str(SOURCE / "tests/oracle")]
try:
    import torch
    import torchvision
except ImportError as error:
    print(f"skipped: {error}. Needs PyTorch and torchvision (Debian: python3-torchvision).")
    sys.exit(77)
import safetensors_io  # noqa: E402

try:
    import timm
except ImportError as error:
    timm = None
    print(f"without timm: {error}")

FAILURES = []
ERRORS = []


def fail(text):
    FAILURES.append(text)
    print("FAILED", text)


def trained(model, size, channels=3):
    """The model without classifier, with running statistics of its own."""
    model.fc = torch.nn.Identity()
    model.train()
    generator = torch.Generator().manual_seed(size)
    with torch.no_grad():
        for scale in (1.0, 2.0):
            model(scale * torch.randn(8, channels, size, size, generator=generator))
    return model.eval()


def compare(folder, name, file, model, size, stem="imagenet", prefix="", channels=3):
    """The features of `file` in the engine and of `model` in PyTorch."""
    images = torch.randn(3, channels, size, size, generator=torch.Generator().manual_seed(1))
    source, target = folder / "in", folder / "out"
    safetensors_io.write(source, {"images": images.permute(0, 2, 3, 1).contiguous().numpy()},
                         {"file": str(file), "stem": stem, "prefix": prefix})
    done = subprocess.run([BUILD / "tests/oracle_driver", "weights", source, target], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return fail(f"{name}: {done.stdout}{done.stderr}")
    found = torch.from_numpy(safetensors_io.read(target)[0]["features"])
    with torch.no_grad():
        expected = model(images)
    error = float((found - expected).abs().max() / expected.abs().max())
    ERRORS.append(error)
    if not error <= 1e-5:
        fail(f"{name}: features differ by {error:.2g} of the largest")


def small_stem(model, pools, padding=1):
    model.conv1 = torch.nn.Conv2d(3, 64, 3, 1, padding, bias=False)
    if not pools:
        model.maxpool = torch.nn.Identity()
    return model


def prefixed(prefix, state):
    return {prefix + key: value for key, value in state.items()}


def state_of(model):
    return {key: value for key, value in model.state_dict().items()}


def of_torchvision(folder):
    deep = trained(torchvision.models.resnet50(), 32)
    torch.save({**deep.state_dict(), "fc.weight": torch.zeros(1000, 2048)}, folder / "deep.pth")
    compare(folder, "torchvision's resnet50", folder / "deep.pth", deep, 32)
    model, file = trained(torchvision.models.resnet18(), 64), folder / "resnet18.pth"
    safetensors_io.write(folder / "resnet18.safetensors", {k: v.numpy() for k, v in model.state_dict().items()}, {})
    compare(folder, "torchvision's resnet18 as safetensors", folder / "resnet18.safetensors", model, 64)
    torch.save(model.to(memory_format=torch.channels_last).state_dict(), file)
    compare(folder, "resnet18, channels last", file, model, 64)
    halves = {k: v.half() if v.is_floating_point() else v for k, v in model.state_dict().items()}
    model.load_state_dict(halves)
    torch.save({k: torch.nn.Parameter(v, requires_grad=False) if v.is_floating_point() else v for k, v in halves.items()}, file)
    compare(folder, "resnet18 in half precision", file, model, 64)


class Settings(dict):
    """What Lightning's checkpoints hold besides tensors: objects of the program's own classes."""


def of_solo_learn(folder):
    model = trained(small_stem(torchvision.models.resnet18(), pools=False, padding=2), 32)
    average = trained(small_stem(torchvision.models.resnet18(), pools=False, padding=2), 32)
    head = torch.nn.Sequential(torch.nn.Linear(512, 16), torch.nn.BatchNorm1d(16))
    optimizer = torch.optim.SGD(model.parameters(), 1e-6, momentum=0.9)
    model(torch.randn(2, 3, 32, 32)).sum().backward()
    optimizer.step()
    settings = Settings(lr=0.3)
    settings.nested = {"a": [1, 2.5, None, {3}], "seed": 2**70}
    file = folder / "solo.ckpt"
    torch.save({"epoch": 3, "global_step": 10, "pytorch-lightning_version": "1.9.5",
                "state_dict": {**prefixed("backbone.", state_of(model)), **prefixed("momentum_backbone.", state_of(average)),
                               **prefixed("projector.", state_of(head)), **prefixed("classifier.", state_of(torch.nn.Linear(512, 10)))},
                "optimizer_states": [optimizer.state_dict()], "hparams_name": "cfg",
                "hyper_parameters": {"cfg": settings, "args": argparse.Namespace(width=1), "folder": pathlib.Path("a"),
                                     "ordered": collections.OrderedDict(b=1)}}, file)
    compare(folder, "solo-learn's", file, model, 32, "cifar")
    compare(folder, "solo-learn's moving average", file, average, 32, "cifar", "state_dict.momentum_backbone")
    return file


class LightlyBlock(torchvision.models.resnet.BasicBlock):
    """lightly.models.resnet calls the branch around a block `shortcut`."""

    def __init__(self, *args, **named):
        super().__init__(*args, **named)
        self.shortcut = self.downsample
        del self.downsample

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + (x if self.shortcut is None else self.shortcut(x)))


def of_lightly(folder):
    model = trained(torchvision.models.resnet18(), 64)
    children = torch.nn.Sequential(*list(model.children())[:-1], torch.nn.Flatten())
    torch.save({"state_dict": prefixed("backbone.", state_of(children))}, folder / "lightly.ckpt")
    compare(folder, "lightly's, torchvision's children", folder / "lightly.ckpt", model, 64)
    own = trained(small_stem(torchvision.models.ResNet(LightlyBlock, [2, 2, 2, 2]), pools=False), 32)
    torch.save(prefixed("module.", state_of(own)), folder / "generator.pth")
    compare(folder, "lightly's ResNetGenerator", folder / "generator.pth", own, 32, "cifar")
    layers = [own.conv1, own.bn1, own.layer1, own.layer2, own.layer3, own.layer4]
    torch.save({"state_dict": prefixed("backbone.", state_of(torch.nn.Sequential(*layers)))}, folder / "sequential.ckpt")
    compare(folder, "lightly's ResNetGenerator's children", folder / "sequential.ckpt", own, 32, "cifar")


def of_timm(folder):
    for name, channels in (("resnet50", 3), ("resnet34", 1)):
        model = trained(timm.create_model(name, pretrained=False, in_chans=channels), 32, channels)
        safetensors_io.write(folder / "timm.safetensors", {k: v.numpy() for k, v in model.state_dict().items()}, {"format": "pt"})
        compare(folder, f"timm's {name}", folder / "timm.safetensors", model, 32, channels=channels)


def pretrain(folder, run, *arguments):
    return subprocess.run([BUILD / "pretrain", "--batch", "8", "--limit", "16", "--max-steps", "1", "--device", "cpu", "--figures",
                           "off", "--tensorboard", "off", "--out", folder / run, *map(str, arguments)],
                          capture_output=True, text=True, check=False)


def starts_training(folder, checkpoint):
    """pretrain --init: after a step at rate 0 the run's encoder is the file's; the momentum encoder follows it."""
    expected = torch.load(checkpoint)["state_dict"]
    for objective in ("simclr", "byol"):
        run = f"init_{objective}"
        done = pretrain(folder, run, "--init", checkpoint, "--width", 64, "--lr", 0, "--weight-decay", 0, "--objective", objective)
        if done.returncode != 0:
            fail(f"--init for {objective}: {done.stdout}{done.stderr}")
            continue
        if "120 tensors under 'state_dict.backbone.'" not in done.stdout:
            fail(f"--init for {objective} does not say what it took: {done.stdout}")
        if "notice: the names are solo-learn's, whose 3x3 stem has padding 2" not in done.stdout:
            fail(f"--init for {objective} does not say that the run's stem pads otherwise: {done.stdout}")
        if "left out " not in done.stdout or "momentum_backbone" not in done.stdout or "missing           nothing" not in done.stdout:
            fail(f"--init for {objective} does not say what it left out: {done.stdout}")
        found, about = safetensors_io.read(folder / run / "encoder.safetensors")
        if about.get("init") != checkpoint.name:
            fail(f"--init for {objective}: the encoder does not say what it started from: {about}")
        for key, value in found.items():
            if "running" in key or "num_batches" in key:
                continue
            if not torch.equal(torch.from_numpy(value), expected["backbone." + key]):
                fail(f"--init for {objective}: {key} is not the file's")
    (folder / "moved").mkdir()
    checkpoint.rename(folder / "moved/solo.ckpt")
    done = pretrain(folder, "init_simclr", "--init", checkpoint, "--width", 64, "--lr", 0, "--weight-decay", 0, "--resume")
    if done.returncode != 0 or "resumed at step 1" not in done.stdout:
        fail(f"a resumed run needs the file of --init: {done.stdout}{done.stderr}")
    (folder / "moved/solo.ckpt").rename(checkpoint)


def refusals(folder, checkpoint):
    """One line, exit status 2, both shapes."""
    gray = torchvision.models.resnet18()
    torch.save(gray, folder / "whole.pth")
    torch.save(gray.state_dict(), folder / "old.pth", _use_new_zipfile_serialization=False)
    torch.jit.script(gray).save(str(folder / "script.pt"))
    whole = (folder / "old.pth").read_bytes()
    torch.save(gray.state_dict(), folder / "good.pth")
    damaged = bytearray((folder / "good.pth").read_bytes())
    damaged[len(damaged) // 2] ^= 255
    (folder / "damaged.pth").write_bytes(damaged)
    (folder / "short.pth").write_bytes(damaged[:len(damaged) // 3])
    assert whole[:2] == b"\x80\x02"
    cases = [(checkpoint, ["--width", 16], "is [64, 3, 3, 3], but 'conv1.weight' of the network is [16, 3, 3, 3]"),
             (checkpoint, ["--encoder", "resnet50"], "holds a resnet18, expected a resnet50"),
             (folder / "good.pth", ["--width", 64], "is [64, 3, 7, 7], but 'conv1.weight' of the network is [64, 3, 3, 3]"),
             (folder / "whole.pth", [], "a whole model"), (folder / "old.pth", [], "before version 1.6"),
             (folder / "script.pt", [], "TorchScript"), (folder / "damaged.pth", ["--stem", "imagenet", "--width", 64], "damaged"),
             (folder / "short.pth", [], "damaged zip archive"), (folder / "none.pth", [], "none.pth")]
    for file, options, words in cases:
        done = pretrain(folder, "refused", "--init", file, *options)
        if done.returncode != 2 or words not in done.stderr or len(done.stderr.splitlines()) != 1:
            fail(f"{file.name} {options}: exit status {done.returncode}, expected '{words}' in one line, got {done.stderr}")
    done = pretrain(folder, "new_stem", "--init", folder / "good.pth", "--width", 64, "--init-stem", "new")
    if done.returncode != 0:
        fail(f"--init-stem new: {done.stdout}{done.stderr}")


class Malicious:
    """Unpickled by Python, it makes a file."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


def runs_nothing(folder):
    model = trained(torchvision.models.resnet18(), 64)
    target, file = folder / "was_run", folder / "malicious.pth"
    torch.save({"state_dict": state_of(model), "hook": Malicious(target), "other": [Malicious(target)]}, file)
    compare(folder, "a checkpoint that holds a call", file, model, 64)
    with zipfile.ZipFile(folder / "only.pth", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Malicious(target), 2))
    done = pretrain(folder, "malicious", "--init", folder / "only.pth")
    if done.returncode != 2:
        fail(f"a checkpoint that is a call: exit status {done.returncode}, {done.stderr}")
    if target.exists():
        fail("a checkpoint ran a program")
    torch.load(file)  # the same file does run it in PyTorch, which this test must be able to see
    if not target.exists():
        fail("the malicious checkpoint of this test is none")


def judged(folder, checkpoint):
    """--encoder-file of the tools takes such a file, with what it does not say."""
    described = ["--image-size", "32", "--mean", "0.5,0.5,0.5", "--std", "0.25,0.25,0.25"]
    command = [BUILD / "evaluate", "--encoder-file", checkpoint, "--dataset", "confounded_shapes", "--limit", "64", "--metrics", "knn",
               "--device", "cpu", "--out", folder / "judged.json"]
    done = subprocess.run([*command, *described], capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    if done.returncode != 0 or "knn" not in done.stdout.lower() or "3x3 stem is taken as cifar_padding2" not in said:
        fail(f"evaluate --encoder-file: {said}")
    done = subprocess.run([*command, *described, "--stem", "cifar_padding2"], capture_output=True, text=True, check=False)
    if done.returncode != 0 or "is taken as" in done.stdout + done.stderr:
        fail(f"evaluate --encoder-file --stem: {done.stdout}{done.stderr}")
    done = subprocess.run([*command, *described, "--stem", "imagenet"], capture_output=True, text=True, check=False)
    if done.returncode != 2 or "has a resnet18 whose first layers are those of cifar\n" not in done.stderr:
        fail(f"evaluate --encoder-file with a stem that is not its own: {done.stdout}{done.stderr}")
    # Without --out the result goes beside the checkpoint.
    done = subprocess.run([*command[:-2], *described], capture_output=True, text=True, check=False)
    beside = checkpoint.parent / "evaluation.json"
    if done.returncode != 0 or not beside.exists():
        fail(f"evaluate --encoder-file without --out: {done.stdout}{done.stderr} {sorted(checkpoint.parent.iterdir())}")
    for without, words in ((["--image-size", "32"], "give it with --image-size"), (["--mean", "0.5,0.5,0.5"], "with --mean")):
        rest = [word for word in described if word not in without]
        done = subprocess.run([*command, *rest], capture_output=True, text=True, check=False)
        if done.returncode != 2 or words not in done.stderr:
            fail(f"evaluate without {without[0]}: exit status {done.returncode}, {done.stderr}")
    others = [(dict(torchvision.models.resnet18().named_parameters()), "lacks the running statistics of batch norm")]
    if timm:
        others.append((timm.create_model("seresnet18", pretrained=False).state_dict(), "its network has more than a resnet18"))
    for state, words in others:
        torch.save(state, folder / "other.pth")
        rest = [folder / "other.pth" if word == checkpoint else word for word in command]
        done = subprocess.run([*rest, *described], capture_output=True, text=True, check=False)
        if done.returncode != 2 or words not in done.stderr or len(done.stderr.splitlines()) != 1:
            fail(f"evaluate: exit status {done.returncode}, expected '{words}' in one line, got {done.stderr}")


def main():
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        of_torchvision(folder)
        checkpoint = of_solo_learn(folder)
        of_lightly(folder)
        if timm:
            of_timm(folder)
        starts_training(folder, checkpoint)
        refusals(folder, checkpoint)
        runs_nothing(folder)
        judged(folder, checkpoint)
    print(f"{len(ERRORS)} files, features differ by at most {max(ERRORS):.1e} of the largest; {len(FAILURES)} failures")
    sys.exit(1 if FAILURES else 0)


main()
