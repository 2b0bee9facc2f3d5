"""Views against torchvision: each operation alone, on float tensors and on PIL images, and whole recipes.

On tensors torchvision computes what Vergence computes (in float64 here): the two agree within rounding. On PIL images
torchvision rounds to 8 bits after each operation: there an operation's mean difference stays below 1/255, and below
2/255 for the hue, which is itself rounded to 8 bits and cut off to one of 256 turns.
"""
import math
import random

import numpy as np
import torch
import torchvision.transforms.functional as F
from PIL import Image
from torchvision.transforms import InterpolationMode

MODES = {"bilinear": InterpolationMode.BILINEAR, "bicubic": InterpolationMode.BICUBIC}
STEP = 1 / 255
JITTER = ("brightness", "contrast", "saturation", "hue")
NEUTRAL = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.0}
ADJUST = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


def generated_image(height, width, seed):
    """Gradients, noise, hard edges, and pure and gray colors."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    planes = [x / width, y / height, 0.5 + 0.5 * np.sin(x / 5 + y / 9)]
    image = 255 * np.stack(planes, axis=-1) + generator.normal(0, 12, (height, width, 3))
    image[height // 3:height // 2, width // 4:width // 2] = generator.integers(0, 256, 3)
    image[:height // 6, :, :] = generator.integers(0, 256, (height // 6, width, 3))
    image[-4:-2], image[-2:] = 0, 255
    image[:, -3:] = 255 * np.eye(3)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def transformed(image, case):
    """What torchvision makes of a PIL image or a [3, height, width] tensor in [0, 1]."""
    tensor = isinstance(image, torch.Tensor)
    size = [case["size"]] * 2
    image = F.crop(image, case["top"], case["left"], case["height"], case["width"])
    mode = MODES[case["interpolation"]]
    image = F.resize(image, size, mode, antialias=True).clamp(0, 1) if tensor else F.resize(image, size, mode)
    if case.get("jitter"):
        for operation in map(int, case["order"]):
            name = JITTER[operation]
            image = image if case[name] == NEUTRAL[name] else ADJUST[operation](image, case[name])
    if case.get("gray"):
        image = F.rgb_to_grayscale(image, num_output_channels=3)
    if case.get("blur"):
        image = F.gaussian_blur(image, case.get("kernel", 2 * math.ceil(3 * case["sigma"]) + 1), case["sigma"])
    if case.get("solarize"):
        image = F.solarize(image, case["threshold"] if tensor else math.ceil(255 * case["threshold"]))
    return F.hflip(image) if case.get("flip") else image


def on_tensor(image, case):
    return transformed(torch.from_numpy(image.transpose(2, 0, 1) / 255.0), case).permute(1, 2, 0).numpy()


def on_pil(image, case):
    return np.asarray(transformed(Image.fromarray(image), case), np.float64) / 255


def whole(image, **changes):
    """A case that leaves the image as it is, with changes."""
    height, width = image.shape[:2]
    crop = {"top": 0, "left": 0, "height": height, "width": width}
    return crop | {"size": height, "interpolation": "bilinear"} | changes


def jittered(image, **factors):
    return whole(image, jitter=1, order="0123", **(NEUTRAL | factors))


def single_operations(square, images):
    """(name, image, case) of each operation alone."""
    crops = {"small": [(0, 0, 40, 64, 24), (3, 5, 21, 34, 32), (10, 2, 9, 13, 32), (8, 4, 30, 9, 32), (5, 5, 1, 2, 16)],
             "large": [(0, 0, 375, 500, 224), (31, 77, 224, 224, 224), (100, 200, 90, 120, 224), (2, 3, 350, 280, 96)]}
    for mode in MODES:
        for which, boxes in crops.items():
            for top, left, height, width, size in boxes:
                yield f"{mode} {height}x{width} to {size}", images[which], {
                    "size": size, "top": top, "left": left, "height": height, "width": width, "interpolation": mode}
    for factor in (0.0, 0.3, 1.0, 1.8):
        for name in JITTER[:3]:
            yield f"{name} {factor}", square, jittered(square, **{name: factor})
    for turns in (-0.5, -0.17, 0.0, 0.1, 0.2, 0.5):
        yield f"hue {turns}", square, jittered(square, hue=turns)
    yield "gray", square, whole(square, gray=1)
    for sigma in (0.1, 0.5, 1.0, 2.0):
        yield f"blur {sigma}", square, whole(square, blur=1, sigma=sigma)
    yield "blur 2.0, kernel 23", square, whole(square, blur=1, sigma=2.0, kernel=23)
    for threshold in (0.25, 0.5):
        yield f"solarize {threshold}", square, whole(square, solarize=1, threshold=threshold)
    yield "flip", square, whole(square, flip=1)


def recipes(images, count):
    """Whole recipes with every operation drawn, in any order of the jitter."""
    draw = random.Random(5)
    for number in range(count):
        image = images[("small", "large")[number % 2]]
        height, width = (draw.randint(16, extent) for extent in image.shape[:2])
        sigma = draw.uniform(0.1, 2)
        yield f"recipe {number}", image, {
            "size": (32, 96, 224)[number % 3], "height": height, "width": width,
            "top": draw.randint(0, image.shape[0] - height), "left": draw.randint(0, image.shape[1] - width),
            "interpolation": ("bicubic", "bilinear")[number % 4 > 1], "jitter": 1,
            "order": "".join(draw.sample("0123", 4)), "brightness": draw.uniform(0.2, 1.8),
            "contrast": draw.uniform(0.2, 1.8), "saturation": draw.uniform(0.2, 1.8), "hue": draw.uniform(-0.2, 0.2),
            "gray": int(number % 5 == 4), "blur": number % 2, "sigma": sigma, "solarize": int(number % 3 == 2),
            "threshold": 0.5, "flip": number // 2 % 2, "normalized": 1,
            **{f"mean{c}": MEAN[c] for c in range(3)}, **{f"std{c}": STD[c] for c in range(3)}}


def compare(drive, check):
    """`drive(tensors, settings)` gives the engine's results; `check(name, error, limit)` complains."""
    images = {"small": generated_image(40, 64, 1), "large": generated_image(375, 500, 2)}
    square = generated_image(48, 48, 3)
    cases = [*single_operations(square, images), *recipes(images, 24)]
    tensors = {f"image.{at}": image for at, (_, image, _) in enumerate(cases)}
    settings = {"cases": len(cases)}
    for at, (_, _, case) in enumerate(cases):
        settings |= {f"{at}.{key}": value for key, value in case.items()}
    found = drive(tensors, settings)
    print("differences in steps of 1/255      tensor: mean       max     PIL: mean       max")
    for at, (name, image, case) in enumerate(cases):
        ours = found[f"view.{at}"].astype(np.float64)
        if case.get("normalized"):
            ours = ours * STD + MEAN
        tensor, pil = np.abs(ours - on_tensor(image, case)), np.abs(ours - on_pil(image, case))
        print(f"{name:32} {tensor.mean() / STEP:15.2e} {tensor.max() / STEP:9.2e} {pil.mean() / STEP:13.3f} "
              f"{pil.max() / STEP:9.2f}")
        recipe, wider = name.startswith("recipe"), "kernel" in case  # wider: their Gaussian ends beyond ours
        check(f"{name}, tensor, mean", tensor.mean(), 3e-4 if wider else 5e-6 if recipe else 1e-6)
        # Within rounding of its threshold a pixel of a recipe may be inverted on one side alone.
        if not (recipe and case["solarize"]):
            check(f"{name}, tensor, max", tensor.max(), 2e-3 if wider else 2e-5)
        if not recipe:
            check(f"{name}, PIL, mean", pil.mean(), 2 * STEP if name.startswith("hue") else STEP)
