"""Views per second: ours and torchvision's; see data_throughput.sh."""
import argparse
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import time

import numpy as np
import PIL
import torch
import torchvision
from PIL import Image, ImageFilter
from torch.utils.data import DataLoader, Dataset, RandomSampler
from torchvision import transforms as T

ROOT = pathlib.Path(__file__).resolve().parent.parent
# SimCLR's views for both sides, named as our options.
RECIPE = {"crop_low": 0.08, "crop_high": 1.0, "ratio_low": 3 / 4, "ratio_high": 4 / 3, "interpolation": "bicubic",
          "jitter_p": 0.8, "brightness": 0.8, "contrast": 0.8, "saturation": 0.8, "hue": 0.2, "gray_p": 0.2,
          "blur_p": 0.5, "blur_sigma_low": 0.1, "blur_sigma_high": 2.0, "solarize_p": 0.0, "flip_p": 0.5}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class PillowBlur:
    """Pillow's box approximation of a Gaussian blur, which many recipes use for speed."""

    def __call__(self, image):
        sigma = random.uniform(RECIPE["blur_sigma_low"], RECIPE["blur_sigma_high"])
        return image.filter(ImageFilter.GaussianBlur(sigma))


class TwoViews:
    """The usual torchvision transform. Its blur kernel is a tenth of the image, as in SimCLR."""

    def __init__(self, size, blur):
        r = RECIPE
        gaussian = T.GaussianBlur(2 * (size // 20) + 1, (r["blur_sigma_low"], r["blur_sigma_high"]))
        self.view = T.Compose([
            T.RandomResizedCrop(size, (r["crop_low"], r["crop_high"]), (r["ratio_low"], r["ratio_high"]),
                                T.InterpolationMode.BICUBIC),
            T.RandomApply([T.ColorJitter(r["brightness"], r["contrast"], r["saturation"], r["hue"])], r["jitter_p"]),
            T.RandomGrayscale(r["gray_p"]),
            T.RandomApply([PillowBlur() if blur == "pillow" else gaussian], r["blur_p"]),
            T.RandomHorizontalFlip(r["flip_p"]), T.ToTensor(), T.Normalize(MEAN, STD)])

    def __call__(self, image):
        return self.view(image), self.view(image)


class CifarInMemory(Dataset):
    """CIFAR-10's training images from its binary files, stored as torchvision's CIFAR10 stores them."""

    def __init__(self, folder, transform):
        files = [next(pathlib.Path(folder).rglob(f"data_batch_{i}.bin")) for i in range(1, 6)]
        records = np.concatenate([np.fromfile(file, np.uint8).reshape(-1, 3073) for file in files])
        self.images = np.ascontiguousarray(records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
        self.transform = transform

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.transform(Image.fromarray(self.images[index]))


def their_rate(data, batch, workers, seconds):
    """Images per second of a DataLoader, without those that it prefetched."""
    endless = RandomSampler(data, replacement=True, num_samples=1 << 40)
    loader = iter(DataLoader(data, batch, sampler=endless, num_workers=workers))
    for _ in range(2 * workers + 1):
        next(loader)
    images, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < seconds:
        next(loader)
        images += batch
    return images / (time.perf_counter() - begin)


def our_rate(bench, options, size, batch, workers, seconds):
    command = [bench, "data", "--image", size, "--batch", batch, "--workers", workers, "--seconds", seconds, *options]
    command += [f"--view.{name}={value}" for name, value in RECIPE.items()]
    command += ["--mean", ",".join(map(str, MEAN)), "--std", ",".join(map(str, STD))]
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True,
                          env=os.environ | {"OMP_NUM_THREADS": "1"})
    if done.returncode:
        sys.exit(f"data_throughput: {bench} data failed")
    return json.loads(done.stdout)["images_per_s"]


def in_turns(name, ours, theirs, rounds):
    """Prints a row: both medians, and the median of the ratios."""
    pairs = []
    for number in range(rounds):
        pairs.append((ours(), theirs()))
        print(f"  {name}, round {number + 1}: ours {pairs[-1][0]:.0f}, torchvision {pairs[-1][1]:.1f} images/s, "
              f"ratio {pairs[-1][0] / pairs[-1][1]:.2f}", file=sys.stderr)
    ratios = [a / b for a, b in pairs]
    print(f"| {name} | {statistics.median(a for a, _ in pairs):.0f} | {statistics.median(b for _, b in pairs):.0f} "
          f"| {statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f}) |", flush=True)


def main():
    parser = argparse.ArgumentParser(prog="data_throughput.sh")
    parser.add_argument("--cifar10", metavar="DIR", help="CIFAR-10's binary files")
    parser.add_argument("--images", metavar="DIR", help="image files in class folders, or DIR/train with those")
    parser.add_argument("--packed", metavar="FILE", help="the images of --images in one file, as tools/pack makes it")
    parser.add_argument("--blur", choices=["torchvision", "pillow"], default="torchvision",
                        help="of torchvision's views")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10, help="of each side in each round")
    parser.add_argument("--build", default=str(ROOT / "build"), help="folder with the built bench")
    parser.add_argument("--venv", metavar="FOLDER", help="where torchvision is, or is installed")
    given = parser.parse_args()
    if not given.cifar10 and not given.images:
        parser.error("expected --cifar10 DIR or --images DIR")
    if given.packed and not given.images:
        parser.error("--packed: expected --images beside it")
    bench = str(pathlib.Path(given.build).resolve() / "bench")
    print(f"{given.workers} workers, {given.rounds} rounds of {given.seconds:g} s each; torchvision "
          f"{torchvision.__version__}, PyTorch {torch.__version__}, Pillow {PIL.__version__}, blur of {given.blur}\n")
    print("| two augmented views | ours, images/s | torchvision, images/s | ratio: median (range) |")
    print("| --- | --- | --- | --- |")

    def row(name, data, options, size, batch):
        in_turns(name, lambda: our_rate(bench, options, size, batch, given.workers, given.seconds),
                 lambda: their_rate(data, batch, given.workers, given.seconds), given.rounds)

    if given.cifar10:
        row("CIFAR-10 in memory, 32 x 32", CifarInMemory(given.cifar10, TwoViews(32, given.blur)),
            ["--dataset", "cifar10", "--data", given.cifar10], 32, 256)
    if given.images:
        folder = pathlib.Path(given.images)
        folder = folder / "train" if (folder / "train").is_dir() else folder
        images = torchvision.datasets.ImageFolder(folder, TwoViews(224, given.blur))
        row("image files, 224 x 224", images, ["--dataset", "image_folder", "--data", given.images], 224, 64)
        if given.packed:
            row("packed images, 224 x 224", images, ["--dataset", "image_folder", "--data", given.packed], 224, 64)


if __name__ == "__main__":
    main()
