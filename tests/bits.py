#!/usr/bin/env python3
"""What training leaves behind, to the bit: two trees that print the same lines compute the same.

  bits.py BUILD [--data DIR]    three steps of every objective in every precision, on the CPU (BUILD/pretrain) and on the
                                emulated GPU (BUILD/tests/emulated_step_bits_test). --data: a folder that holds cifar10;
                                then also three steps on real images
  bits.py --file FILE           an existing encoder, checkpoint or other safetensors file

A line for each: which run, then the XXH128 (SHA-256 where libxxhash is not there) of each file it wrote: of the tensors'
names, types, shapes and bytes in the file's order. Metadata, such as the commit and the time taken, do not count. The
bits depend on the processor and on the number of threads, which is always 2: compare on one machine. Exit status: 0, or
1 where a run fails or does not do what its objective adds.
"""
import argparse
import ctypes
import ctypes.util
import hashlib
import json
import os
import pathlib
import re
import struct
import subprocess
import sys
import tempfile

THREADS = "2"
PRECISIONS = ["fp32", "bf16"]
COMMON = {"image-size": 16, "limit": 48, "batch": 16, "epochs": 1, "warmup-epochs": 0, "encoder": "resnet18", "width": 4,
          "lr": 0.1, "seed": 7, "device": "cpu", "workers": 1, "simclr.hidden": 32, "simclr.output": 16,
          "byol.hidden": 32, "byol.output": 16, "byol.predictor_hidden": 32, "barlow_twins.hidden": 32,
          "barlow_twins.output": 32}
# Of each objective what is its own, at a size to match, and the optimizers and kinds of encoder in turn.
OWN = {
    "simclr": {"simclr.batch_norm": "on", "view.blur_p": 0.5, "view.solarize_p": 0.2},
    "byol": {"optimizer": "adamw", "encoder": "resnet50"},
    "barlow_twins": {"optimizer": "lars", "stem": "stl"},
    "vicreg": {"vicreg.hidden": 32, "vicreg.output": 32, "optimizer": "adam", "stem": "imagenet", "image-size": 32},
    "metamask": {"metamask.redundancy_hidden": 32, "metamask.redundancy_output": 32, "metamask.contrastive_hidden": 32,
                 "metamask.contrastive_output": 16, "metamask.mask_lr": 0.05, "metamask.compare": "on",
                 "metamask.meta_batch": "fresh"},
    "icl_msr": {"icl_msr.every": 1, "icl_msr.train": "meta", "icl_msr.second_order": "exact", "icl_msr.strata": 3,
                "icl_msr.hidden": 16, "icl_msr.outer_views": "fresh", "icl_msr.compare": "on"},
    "mrcl": {"mrcl.mask_fill": "token", "mrcl.mask_views": "both", "mrcl.rec_target": "clean",
             "mrcl.decoder_width": 8, "mrcl.recalibrate": 2},
    "dsa": {"dsa.prior_net": "stage1", "dsa.stage1_epochs": 1, "dsa.eta": 4, "dsa.lambda2": 0.1,
            "dsa.prior_temperature": "calibrated", "dsa.calibration_batches": 2},
}
# Quantities of the last step's line in metrics.jsonl: above zero where the objective's own parts ran.
PARTS = {
    "metamask": ["meta_loss", "second_order_norm", "difference_product_norm"],
    "icl_msr": ["stratified", "meta_loss", "second_order_norm", "regularizer_gradient_norm"],
    "mrcl": ["reconstruction"],
    "dsa": ["adjusting", "score", "prior"],
}


class Xxh128Hash(ctypes.Structure):
    _fields_ = [("low", ctypes.c_uint64), ("high", ctypes.c_uint64)]


def xxh128_of(library, content):
    function = library.XXH3_128bits
    function.restype, function.argtypes = Xxh128Hash, [ctypes.c_char_p, ctypes.c_size_t]
    digest = function(content, len(content))
    return f"{digest.high:016x}{digest.low:016x}"


def digest_of(content):
    name = ctypes.util.find_library("xxhash")
    return xxh128_of(ctypes.CDLL(name), content) if name else hashlib.sha256(content).hexdigest()


def tensors_digest(path):
    """Of the tensors of a safetensors file, in the order of their bytes."""
    content = path.read_bytes()
    try:
        size = struct.unpack("<Q", content[:8])[0]
        header = json.loads(content[8:8 + size])
        header.pop("__metadata__", None)
        tensors = sorted(header.items(), key=lambda item: item[1]["data_offsets"])
        names = [[name, entry["dtype"], entry["shape"]] for name, entry in tensors]
    except (struct.error, ValueError, TypeError, KeyError, AttributeError):
        sys.exit(f"{path}: not a safetensors file")
    return digest_of(json.dumps(names).encode() + content[8 + size:])


def output_of(command):
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          env={**os.environ, "OMP_NUM_THREADS": THREADS, "OMP_WAIT_POLICY": "passive"}, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: exit status {done.returncode}\n{done.stdout}")
    return done.stdout


def objectives_of(pretrain):
    names = re.search(r"--objective NAME.*?((\w+\|\s*)+\w+)", output_of([pretrain, "--help"]), re.S)
    if not names:
        sys.exit(f"{pretrain} --help: names no objectives")
    return re.split(r"\|\s*", names[1])


def train(pretrain, name, precision, options, parts=()):
    """One run in a folder of its own, and its line."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder, "run")
        words = [f"--{option}={value}" for option, value in {**options, "precision": precision, "out": out}.items()]
        output_of([pretrain, *words])
        lines = (out / "metrics.jsonl").read_text().splitlines()
        last = json.loads(lines[-1])
        missing = [part for part in parts if not last.get(part, 0) > 0]
        if len(lines) != 3 or missing:
            sys.exit(f"{name} {precision}: {len(lines)} steps, expected 3; without {missing}: {lines[-1]}")
        digests = [f"{path.relative_to(out).with_suffix('')} {tensors_digest(path)}"
                   for path in sorted(out.rglob("*.safetensors"))]
        print("cpu", name, precision, *digests, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", nargs="?", type=pathlib.Path, metavar="BUILD")
    parser.add_argument("--data", type=pathlib.Path, metavar="DIR")
    parser.add_argument("--file", type=pathlib.Path, metavar="FILE")
    given = parser.parse_args()
    if bool(given.build) == bool(given.file):
        parser.error("expected BUILD or --file FILE")
    if given.file:
        print(given.file, tensors_digest(given.file))
        return
    build = given.build.resolve()
    pretrain = build / "pretrain"
    for name in objectives_of(pretrain):
        options = {"objective": name, "dataset": "confounded_shapes", **COMMON, **OWN.get(name, {})}
        for precision in PRECISIONS:
            train(pretrain, name, precision, options, PARTS.get(name, ()))
    if given.data:
        options = {"objective": "simclr", "dataset": "cifar10", "data": given.data / "cifar10", **COMMON}
        train(pretrain, "cifar10", "fp32", options)
    for line in output_of([build / "tests/emulated_step_bits_test"]).splitlines():
        if line.startswith("bits "):
            print("emulated", *line.split()[1:])


if __name__ == "__main__":
    try:
        main()
    except OSError as problem:
        sys.exit(str(problem))
