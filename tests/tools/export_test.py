#!/usr/bin/env python3
"""`export`, and other programs that take what it writes:  export_test.py onnx|timm SOURCE BUILD

onnx: encoders of every depth, stem and two widths, and conv4, give the same features in ONNX Runtime as in the engine, and
ONNX's checker accepts the files. timm: folders that timm.create_model loads give the same features in PyTorch; for networks
that timm lacks, and folders of others, one line and no change. Both: the Python of docs/export.md runs. Exit status: 0 all
well, 1 something is not, 77 a package is not there.
"""
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

FORMAT, SOURCE, BUILD = sys.argv[1], pathlib.Path(sys.argv[2]).resolve(), pathlib.Path(sys.argv[3]).resolve()
TOOLS = BUILD / "python_tools"
SETS = {"onnx": ["onnx"], "timm": ["safetensors", "timm"]}[FORMAT]
if len(sys.argv) == 4:  # once more, with what python_tools.sh installs
    if subprocess.run([SOURCE / "tests/python_tools.sh", TOOLS, *SETS], check=False).returncode != 0:
        print(f"skipped: {' and '.join(SETS)} cannot be installed here")
        sys.exit(77)
    os.execv(TOOLS / "bin/python", [str(TOOLS / "bin/python"), "-B", *sys.argv, "again"])

sys.path[:0] = [str(SOURCE / "tests/oracle")]
try:
    import numpy as np
    if FORMAT == "onnx":
        import onnx
        import onnxruntime
    else:
        import PIL.Image
        import timm
        import torch
except ImportError as error:
    print(f"skipped: {error}. Needs NumPy, and for timm PyTorch and torchvision (Debian: python3-torchvision).")
    sys.exit(77)
import safetensors_io  # noqa: E402

FAILURES, ERRORS = [], []
BOUND = 1e-5  # of the largest feature
STEMS = ("cifar", "stl", "stl_stride2", "imagenet", "cifar_padding2")
MEAN, STD = [0.4914, 0.4822, 0.4465, 0.3], [0.247, 0.2435, 0.2616, 0.25]


def fail(text):
    FAILURES.append(text)
    print("FAILED", text)


def check(good, text):
    if not good:
        fail(text)


def resnet(depth, stem, width, **more):
    return {"encoder": f"resnet{depth}", "stem": stem, "width": width, "image_size": 33, **more}


class Trained:
    """An encoder's file, and the features that the engine makes of some images with values in [0, 1]."""

    def __init__(self, folder, settings):
        self.about = {"channels": 3, "stem_relu": "on", "objective": "simclr", **settings}
        size, channels = self.about["image_size"], self.about["channels"]
        self.about |= {"mean": json.dumps(MEAN[:channels]), "std": json.dumps(STD[:channels])}
        mean, std = (np.float32(values[:channels]).reshape(-1, 1, 1) for values in (MEAN, STD))
        self.images = np.random.default_rng(size + channels).random((6, channels, size, size), np.float32)
        self.normalized = (self.images - mean) / std
        source, target = folder / "in", folder / "out"
        safetensors_io.write(source, {"images": self.normalized.transpose(0, 2, 3, 1)}, {k: str(v) for k, v in self.about.items()})
        subprocess.run([BUILD / "tests/oracle_driver", "encoder", source, target], check=True)
        self.file = f"{target}.encoder"
        self.features = safetensors_io.read(target)[0]["features"]

    def compare(self, features, what):
        expected = self.features[:len(features)]
        error = np.abs(features - expected).max() / np.abs(expected).max() if features.shape == expected.shape else np.nan
        ERRORS.append(error)
        check(error <= BOUND, f"{what} {self.about}: features {features.shape}, {expected.shape} in the engine, error {error:.2g}")


def export(*arguments, status=0):
    done = subprocess.run([BUILD / "export", *map(str, arguments)], capture_output=True, text=True, check=False)
    check(done.returncode == status, f"export {arguments}: exit status {done.returncode}, expected {status}: {done.stderr}")
    return done.stderr if status else done.stdout


def refused(expected, *arguments):
    said = export(*arguments, status=2)
    check(expected in said and said.count("\n") == 1, f"export {arguments}: expected one line with '{expected}', got: {said}")


def without_normalization(trained):
    """The same file without mean and std."""
    tensors, about = safetensors_io.read(trained.file)
    safetensors_io.write(trained.file, tensors, {key: value for key, value in about.items() if key not in ("mean", "std")})


def documented_features(folder, given):
    """What docs/export.md's Python about FORMAT computes in `folder`."""
    text = (SOURCE / "docs/export.md").read_text(encoding="utf-8")
    blocks = [block for block in re.findall(r"```python\n(.*?)```", text, re.S) if FORMAT in block]
    check(len(blocks) == 1, f"docs/export.md: {len(blocks)} blocks of Python about {FORMAT}, expected 1")
    os.chdir(folder)
    names = dict(given)
    exec(blocks[0], names)  # pylint: disable=exec-used
    return names["features"]


def digest(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def run_onnx(path, images):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]).run(["features"], {"image": images})[0]


def onnx_case(folder, settings):
    trained, path = Trained(folder, settings), folder / "x.onnx"
    export("--encoder-file", trained.file, "--format", "onnx", "--out", path)
    onnx.checker.check_model(str(path), full_check=True)
    for batch in (1, 3):
        trained.compare(run_onnx(path, trained.normalized[:batch]), "onnx")
    return trained, path


def check_onnx_file(trained, path):
    """What a file says of itself."""
    model = onnx.load(path)
    about = {entry.key: entry.value for entry in model.metadata_props}
    for key in ("encoder", "objective", "image_size", "channels", "stem", "width"):
        check(about.get(key) == str(trained.about[key]), f"metadata {key}: {about.get(key)}")
    check(json.loads(about["mean"]) == MEAN[:3] and json.loads(about["std"]) == STD[:3], f"metadata: {about}")
    check(about["input"] == "(values in [0, 1] - mean) / std", f"metadata: {about}")
    check((model.producer_name, model.ir_version, model.opset_import[0].version) == ("vergence", 8, 17), "producer or versions")
    check({node.op_type for node in model.graph.node} == {"Conv", "Relu", "Add", "GlobalAveragePool", "Flatten"}, "nodes")
    dims = [(v.name, [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim]) for v in (*model.graph.input, *model.graph.output)]
    check(dims == [("image", ["batch", 3, 33, 33]), ("features", ["batch", trained.features.shape[1]])], f"input and output: {dims}")


def onnx_files(folder):
    for depth in (18, 34, 50):
        for stem in STEMS:
            for width in (4, 12):
                onnx_case(folder, resnet(depth, stem, width))
    onnx_case(folder, resnet(18, "imagenet", 4, stem_relu="off", channels=4))
    for size, channels in ((84, 3), (33, 1)):
        onnx_case(folder, {"encoder": "conv4", "image_size": size, "channels": channels})
    trained, path = onnx_case(folder, resnet(18, "cifar", 8))
    check_onnx_file(trained, path)
    before = digest(path)
    export("--encoder-file", trained.file, "--out", path, "--normalize")
    onnx.checker.check_model(str(path), full_check=True)
    trained.compare(run_onnx(path, trained.images), "onnx --normalize")
    export("--encoder-file", trained.file, "--out", path)
    check(digest(path) == before, "two exports of one encoder differ")
    encoder = digest(trained.file)
    refused("is the encoder's own file", "--encoder-file", trained.file, "--out", trained.file)
    check(digest(trained.file) == encoder, "the encoder's file has changed")
    other = folder / "encoder.pt"
    refused(f"--out: expected a file called .onnx, got '{other}'", "--encoder-file", trained.file, "--out", other)
    check(not other.exists(), "a file of another ending")
    refused("expected either --run or --encoder-file", "--out", path)
    refused("--out is required", "--encoder-file", trained.file)
    documented = Trained(folder, resnet(18, "cifar", 8, image_size=32))
    export("--encoder-file", documented.file, "--out", folder / "encoder.onnx")
    features = documented_features(folder, {})
    check(features.shape == (8, 64) and np.isfinite(features).all(), f"docs/export.md: features {features.shape}")
    trained = Trained(folder, resnet(18, "cifar", 8))
    without_normalization(trained)
    export("--encoder-file", trained.file, "--out", path)
    trained.compare(run_onnx(path, trained.normalized), "onnx without mean and std")
    refused("has no mean and std", "--encoder-file", trained.file, "--out", path, "--normalize")


def timm_case(folder, depth, channels):
    trained, out = Trained(folder, resnet(depth, "imagenet", 64, channels=channels)), folder / f"resnet{depth}_{channels}"
    export("--encoder-file", trained.file, "--format", "timm", "--out", out)
    model = timm.create_model(f"local-dir:{out}", pretrained=True).eval()
    with torch.no_grad():
        trained.compare(model(torch.from_numpy(trained.normalized)).numpy(), "timm")
        classes = timm.create_model(f"local-dir:{out}", pretrained=True, num_classes=7).eval()
        check(classes(torch.from_numpy(trained.normalized)).shape == (6, 7), "a classifier of 7 classes")
        trained.compare(classes.forward_head(classes.forward_features(torch.from_numpy(trained.normalized)), pre_logits=True).numpy(),
                        "timm below a classifier")
    config = timm.data.resolve_model_data_config(model)
    expected = {"input_size": [channels, 33, 33], "interpolation": "bilinear", "crop_pct": 1.0, "crop_mode": "center",
                "mean": MEAN[:channels], "std": STD[:channels]}
    check({key: config[key] for key in expected} == expected, f"timm's data config: {config}")
    return trained, out


def check_crops(folder):
    """timm resizes as evaluation does with the training data set's images."""
    for dataset, size, short_side in (("imagenet", 56, 64), ("stl10", 64, 70), ("stl10", 96, 96), ("cifar10", 56, 56)):
        trained = Trained(folder, resnet(18, "imagenet", 64, image_size=size, dataset=dataset))
        export("--encoder-file", trained.file, "--format", "timm", "--out", folder / f"{dataset}{size}")
        config = timm.data.resolve_model_data_config(timm.create_model(f"local-dir:{folder / dataset}{size}"))
        resize = timm.data.create_transform(**config).transforms[0]
        check(resize.size == short_side, f"{dataset} at {size}: timm resizes to {resize.size}, expected {short_side}")
    trained = Trained(folder, resnet(18, "imagenet", 64, image_size=56))  # of no data set
    for options, short_side in (([], 56), (["--eval-resize", 64], 64)):
        said = export("--encoder-file", trained.file, "--format", "timm", "--out", folder / "unknown", *options)
        check(("does not say how images are cropped" in said) == (not options), f"export {options}: {said}")
        config = timm.data.resolve_model_data_config(timm.create_model(f"local-dir:{folder}/unknown"))
        resize = timm.data.create_transform(**config).transforms[0]
        check(resize.size == short_side, f"export {options}: timm resizes to {resize.size}, expected {short_side}")
    refused("--eval-resize: expected 0, or the image size 56 or more, got 55", "--encoder-file", trained.file, "--format", "timm",
            "--out", folder / "small", "--eval-resize", 55)
    refused("--eval-resize: only for --format timm", "--encoder-file", trained.file, "--eval-resize", 64, "--out", folder / "a.onnx")


def timm_folders(folder):
    for depth, channels in ((18, 3), (50, 3), (34, 4)):
        trained, out = timm_case(folder, depth, channels)
    check_crops(folder)
    card = out / "README.md"
    check(card.read_text(encoding="utf-8").startswith("---\nlibrary_name: timm\n"), "README.md is no model card")
    card.write_text("mine\n", encoding="utf-8")
    export("--encoder-file", trained.file, "--format", "timm", "--out", out)
    check(card.read_text(encoding="utf-8") == "mine\n", "README.md was written over")
    (folder / "other").mkdir()
    (folder / "other/config.json").write_text("{}", encoding="utf-8")
    refused("expected a new or empty folder", "--encoder-file", trained.file, "--format", "timm", "--out", folder / "other")
    refused("is not a folder", "--encoder-file", trained.file, "--format", "timm", "--out", folder / "in")
    check([path.name for path in (folder / "other").iterdir()] == ["config.json"], "a folder of others has changed")
    for settings, reason in ((resnet(18, "cifar", 64), "this encoder's stem is cifar"),
                             (resnet(18, "imagenet", 8), "this encoder's width is 8"),
                             (resnet(18, "imagenet", 64, stem_relu="off"), "this encoder's stem has no ReLU"),
                             ({"encoder": "conv4", "image_size": 33}, "it has no model that is conv4")):
        lacking = Trained(folder, settings)
        refused(reason, "--encoder-file", lacking.file, "--format", "timm", "--out", folder / "none")
        refused("export it as ONNX, or load it with tools/torch_encoder.py", "--encoder-file", lacking.file, "--format", "timm",
                "--out", folder / "none")
    trained = Trained(folder, resnet(18, "imagenet", 64))
    export("--encoder-file", trained.file, "--format", "timm", "--out", folder / "my_encoder")
    features = documented_features(folder, {"image": PIL.Image.new("RGB", (50, 40))})
    check(features.shape == (1, 512) and bool(features.isfinite().all()), f"docs/export.md: features {features.shape}")
    without_normalization(trained)
    refused("has no mean and std", "--encoder-file", trained.file, "--format", "timm", "--out", folder / "none")
    check(not (folder / "none").exists(), "a refused export made its folder")


def main():
    with tempfile.TemporaryDirectory() as name:
        {"onnx": onnx_files, "timm": timm_folders}[FORMAT](pathlib.Path(name))
    print(f"{len(ERRORS)} comparisons, worst error of features {max(ERRORS):.1e}; {len(FAILURES)} failures")
    sys.exit(1 if FAILURES else 0)


main()
