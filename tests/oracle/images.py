#!/usr/bin/env python3
"""Compares the reading of image files with Pillow, which torchvision's loader reads with:  images.py DRIVER

DRIVER is the built tests/oracle_driver. JPEG files of every color space and sampling, with and without Adobe's marker,
are written by libjpeg-turbo; what libjpeg-turbo decodes must be Pillow's to the bit, whole and reduced (Image.draft), and
what stb_image decodes must be near. (That regions are the whole's pixels is tests/datasets/jpeg_regions_test.cpp's.) Then the first
inputs of the fuzzers, PNG, BMP, damaged files and all: the same are read, and are the same, but for those listed. Exit status: 0 they
agree, 1 they do not, 77 there is no NumPy or Pillow here (CTest counts that as skipped).
"""
import io
import os
import pathlib
import subprocess
import sys
import tempfile
import warnings

try:
    import numpy as np
    from PIL import Image, features
except ImportError as error:
    print(f"skipped: {error}. This oracle needs NumPy and Pillow (Debian: python3-numpy, python3-pil).")
    sys.exit(77)

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import safetensors_io  # noqa: E402

FAILURES = []
REDUCTIONS = (1, 2, 4, 8)
MAKE_CORPUS = pathlib.Path(__file__).resolve().parent.parent / "fuzz" / "make_corpus.py"
# Read by Pillow and not here, and why.
REFUSED_HERE = {
    "jpeg_end_in_its_data": "pixels are missing, and gray in Pillow",
    "bmp_short_palette": "colors that its palette does not have",
    "bmp_os2_8_200": "the same; Pillow takes the pixels' bytes for them",
    "png_chunk_of_a_gibibyte": "its chunk ends behind the file",
    "png_data_checksum": "Pillow does not compare that of pixels",
}
OTHER_PIXELS = {"png_16": "the upper 8 bits count; Pillow clips grays to 255"}


def check(name, good, what=""):
    if not good:
        print(f"FAILED {name} {what}")
        FAILURES.append(name)


def drive(driver, what, tensors, metadata):
    """Runs the reader; returns its results."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = os.path.join(folder, "in"), os.path.join(folder, "out")
        safetensors_io.write(source, tensors, {k: str(v) for k, v in metadata.items()})
        subprocess.run([driver, what, source, target], check=True)
        return safetensors_io.read(target)[0]


def decoded(driver, files):
    return drive(driver, "images", {f"file.{n}": np.frombuffer(f, np.uint8) for n, f in enumerate(files)},
                 {"count": len(files)})


def by_pillow(file, reduction=1):
    """Height x width x RGB, or None where Pillow refuses the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(file))
            size = [-(-side // reduction) for side in image.size]
            if reduction > 1:
                image.draft("RGB", [max(1, side // reduction) for side in image.size])
                assert list(image.size) == size, (image.size, size)
            return np.asarray(image.convert("RGB"))
    except (Image.DecompressionBombError, OSError, SyntaxError, ValueError, EOFError):
        return None


def picture(height, width, channels):
    """Waves and edges, for which color spaces and places in the image make a difference."""
    y, x, c = np.mgrid[0:height, 0:width, 0:channels]
    values = 128 + 60 * np.sin(x * 0.07 * (c + 1) + y * 0.05) + 40 * np.cos(y * 0.04 * (c + 1))
    return np.clip(np.where((x // 40 + y // 35) % 5 == c, 255 - values, values), 0, 255).astype(np.uint8)


def forms():
    """(name, channels, metadata) of every JPEG."""
    three = ["111111", "211111", "121111", "221111", "411111", "421111", "141111", "241111", "222112", "112222", "221212",
             "311111", "321111", "114211", "231111"]
    kinds = [("gray", 1, 0, 1, ["11", "22", "13"]), ("YCbCr", 3, 0, 1, three), ("YCbCr with marker", 3, 0, 2, three[:6]),
             ("RGB", 3, 1, 1, three[:6]), ("RGB without marker", 3, 1, 0, three[:6]),
             ("CMYK", 4, 1, 1, ["11111111", "22111122", "41111111", "21111121"]),
             ("CMYK without marker", 4, 1, 0, ["11111111", "22111122", "41111111"]),
             ("YCCK", 4, 0, 1, ["11111111", "22111122", "21111121"])]
    for name, channels, plain, marker, samplings in kinds:
        for sampling in samplings:
            for progressive in (0, 1):
                yield (f"{name} {sampling}{' progressive' if progressive else ''}", channels,
                       {"plain": plain, "marker": marker, "sampling": sampling, "progressive": progressive})


def compare_jpegs(driver):
    wanted = list(forms())
    metadata = {"count": len(wanted)}
    metadata |= {f"{n}.{key}": value for n, (_, _, form) in enumerate(wanted) for key, value in form.items()}
    pictures = {f"picture.{n}": picture(141, 187, channels) for n, (_, channels, _) in enumerate(wanted)}
    made = drive(driver, "jpegs", pictures, metadata)
    files = [made[f"file.{n}"].astype(np.uint8).tobytes() for n in range(len(wanted))]
    found = decoded(driver, files)
    worst = 0
    for n, (name, _, _) in enumerate(wanted):
        for reduction in REDUCTIONS:
            expected, got = by_pillow(files[n], reduction), found.get(f"{n}.turbo.{reduction}")
            same = got is not None and expected.shape == got.shape and np.array_equal(expected, got)
            check(f"{name} at 1/{reduction}", same, "is not Pillow's")
        stb = found.get(f"{n}.stb.1")
        apart = 255 if stb is None else np.abs(stb - by_pillow(files[n])).mean()
        worst = max(worst, apart)
        check(f"{name} by stb_image", apart < 1, f"differs by {apart:.2f} of 255 in the mean")
    print(f"{len(wanted)} JPEG files, {len(REDUCTIONS)} sizes: bits compared; stb_image's mean difference is {worst:.2f} at most")


def compare_corpus(driver):
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-B", MAKE_CORPUS, folder], check=True)
        seeds = sorted(pathlib.Path(folder, "image_file").iterdir())
        names, files = [p.name for p in seeds], [p.read_bytes()[:-9] for p in seeds]  # the last nine are settings
    found, read = decoded(driver, [f or b"\0" for f in files]), 0
    for n, name in enumerate(names):
        expected, got = by_pillow(files[n]), found.get(f"{n}.turbo.1")
        if got is None or expected is None:
            who = "Vergence alone" if got is not None else "Pillow alone" if expected is not None else "neither"
            check(name, (expected is not None) == (name in REFUSED_HERE), f"is read by {who}")
            continue
        read += 1
        limit = 1 if "16" in name and name.startswith("bmp") else 0  # five bits to eight: cut off there, rounded here
        same = expected.shape == got.shape and np.abs(expected - got).max() <= limit
        check(name, same != (name in OTHER_PIXELS), "is not Pillow's")
        if name.startswith("jpeg"):
            apart = np.abs(found[f"{n}.stb.1"] - expected).mean() if f"{n}.stb.1" in found else 255
            check(f"{name} by stb_image", apart < 2, f"differs by {apart:.2f} of 255 in the mean")
    print(f"{len(names)} other files, {read} of them good: pixels and verdicts compared")


def main():
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    if not features.check_feature("libjpeg_turbo"):
        print("skipped: this Pillow has no libjpeg-turbo")
        return 77
    compare_jpegs(sys.argv[1])
    compare_corpus(sys.argv[1])
    return 1 if FAILURES else 0


if __name__ == "__main__":
    sys.exit(main())
