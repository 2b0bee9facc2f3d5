#!/usr/bin/env python3
"""Compares evaluations with NumPy on the same inputs:  evaluation.py ORACLE DRIVER

ORACLE is episodes, lists, knn_sweep, corruptions or report; DRIVER is the built tests/oracle_driver. Exit status: 0 they agree, 1 they do not, 77 there is no
NumPy here (CTest counts that as skipped). Random numbers are computed here once more, from the paper's description of
Philox, so that both sides draw alike.
"""
import colorsys
import glob
import math
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
except ImportError as error:
    print(f"skipped: {error}. This oracle needs NumPy (Debian: python3-numpy).")
    sys.exit(77)

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import safetensors_io  # noqa: E402

FAILURES = []
PROBE = 6  # Purpose::probe
EPISODE_STREAM, CORRUPTION_STREAM, SUBSET_STREAM, HOLDOUT_STREAM = 7, 8, 9, 10
MASK32 = 0xFFFFFFFF


def check(name, error, limit):
    ok = error <= limit  # false for NaN
    print(f"{'ok' if ok else 'FAILED'} {name}: error {error:.3g}, allowed {limit:.3g}")
    if not ok:
        FAILURES.append(name)


def drive(driver, what, tensors, metadata):
    """Runs the engine; returns its results."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = os.path.join(folder, "in"), os.path.join(folder, "out")
        safetensors_io.write(source, tensors, {k: str(v) for k, v in metadata.items()})
        subprocess.run([driver, what, source, target], check=True)
        return safetensors_io.read(target)[0]


class Philox:
    """Philox4x32-10's 32-bit numbers for a key and a counter whose first word counts the blocks."""

    def __init__(self, seed, epoch, sample, view):
        self.key = (seed & MASK32, (seed >> 32) ^ (PROBE * 0x9E3779B9 & MASK32))
        self.rest = [sample & MASK32, epoch, (sample >> 32) << 8 & MASK32 | view]
        self.block, self.left = 0, []

    def bits(self):
        if not self.left:
            c, (k0, k1) = [self.block, *self.rest], self.key
            for _ in range(10):
                p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
                c = [p1 >> 32 ^ c[1] ^ k0, p1 & MASK32, p0 >> 32 ^ c[3] ^ k1, p0 & MASK32]
                k0, k1 = k0 + 0x9E3779B9 & MASK32, k1 + 0xBB67AE85 & MASK32
            self.left, self.block = c, self.block + 1
        return self.left.pop(0)

    def uniform(self):
        return (self.bits() >> 8) / 2**24

    def below(self, count):
        return self.bits() * count >> 32


# ---- few-shot episodes


def some_of(things, count, random):
    """The first `count` of a shuffle."""
    things = list(things)
    for i in range(count):
        j = i + random.below(len(things) - i)
        things[i], things[j] = things[j], things[i]
    return things[:count]


def episodes(features, labels, classes, ways, shots, queries, count, seed):
    """Mean accuracy in percent and its 95 % interval: the nearest class mean of unit features, by cosine."""
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    accuracies = []
    for episode in range(count):
        random = Philox(seed, shots, episode, EPISODE_STREAM)
        chosen = some_of(classes, ways, random)
        rows = np.array([some_of(np.flatnonzero(labels == c), shots + queries, random) for c in chosen])
        prototypes = unit[rows[:, :shots]].mean(axis=1)
        prototypes /= np.linalg.norm(prototypes, axis=1, keepdims=True)
        found = np.argmax(unit[rows[:, shots:]] @ prototypes.T, axis=2)
        accuracies.append(100 * np.mean(found == np.arange(ways)[:, None]))
    return np.mean(accuracies), 1.96 * np.std(accuracies, ddof=1) / np.sqrt(count)


def oracle_episodes(driver):
    generator = np.random.default_rng(3)
    for name, classes, some, dim, per_class, ways, shots, queries, count, seed in [
            ("ten classes", 10, range(10), 16, 40, 5, (1, 5), 15, 200, 1),
            ("some of thirty", 30, (2, 3, 7, 11, 19, 28, 29), 9, 12, 3, (2, 4), 6, 150, 2**40 + 7)]:
        labels = generator.permutation(np.repeat(np.arange(classes), per_class)).astype(np.int32)
        centers = generator.normal(0, 1, (classes, dim))
        features = (centers[labels] + generator.normal(0, 2, (len(labels), dim)) + 0.5).astype(np.float32)
        results = drive(driver, "episodes", {"features": features, "labels": labels,
                                             "classes": np.array(list(some), np.int32),
                                             "shots": np.array(shots, np.int32)},
                        {"classes": classes, "ways": ways, "queries": queries, "episodes": count, "seed": seed})
        for row, shot in enumerate(shots):
            mean, interval = episodes(features.astype(np.float64), labels, list(some), ways, shot, queries, count, seed)
            print(f"{name}, {ways} ways, {shot} shots: {mean:.2f} +- {interval:.2f}")
            check(f"{name} {shot} shots, mean", abs(results["mean"][row] - mean), 1e-4)
            check(f"{name} {shot} shots, interval", abs(results["interval"][row] - interval), 1e-5)


# ---- lists of labeled images, by the rule in docs/evaluation.md


def shuffled_class(labels, label, stream):
    """The images of a class, shuffled by Fisher and Yates from the back."""
    random, images = Philox(0, 0, label, stream), [i for i, each in enumerate(labels) if each == label]
    for i in range(len(images) - 1, 0, -1):
        j = random.below(i + 1)
        images[i], images[j] = images[j], images[i]
    return images


def share_of(labels, percent, stream, keep=0):
    chosen = []
    for label in sorted(set(labels)):
        images = shuffled_class(labels, label, stream)
        count = max(1, math.floor(percent * len(images) / 100 + 0.5))
        chosen += images[:min(count, len(images) - keep)]
    return sorted(chosen)


def oracle_lists(driver):
    generator = np.random.default_rng(7)
    for name, counts in [("balanced", [500] * 10), ("uneven", [1, 3, 0, 25, 149, 151, 1000, 2])]:
        labels = generator.permutation(np.repeat(np.arange(len(counts)), counts)).astype(np.int32)
        found = drive(driver, "lists", {"labels": labels}, {})
        labels = labels.tolist()
        expected = {f"share.{p}": share_of(labels, p, SUBSET_STREAM) for p in (1, 10, 100)}
        expected["held_out"] = share_of(labels, 10, HOLDOUT_STREAM, keep=1)
        expected["kept"] = sorted(set(range(len(labels))) - set(expected["held_out"]))
        for key, images in expected.items():
            print(f"{name} {key}: {len(images)} of {len(labels)} images")
            check(f"{name} {key}", float(found[key].tolist() != images), 0)


# ---- kNN over k and temperature, by scikit-learn


def oracle_knn_sweep(driver):
    tools = os.path.join(os.environ.get("VERGENCE_BUILD", "build"), "python_tools")
    subprocess.run([os.path.join(os.path.dirname(__file__), "../python_tools.sh"), tools, "sklearn"], check=False)
    sys.path += glob.glob(os.path.join(tools, "lib/python3*/site-packages"))
    try:
        from sklearn.neighbors import KNeighborsClassifier
    except ImportError as error:
        print(f"skipped: {error}. This oracle needs scikit-learn (Debian: python3-sklearn).")
        sys.exit(77)
    generator = np.random.default_rng(11)
    classes, dim = 6, 8
    centers = generator.normal(0, 1, (classes, dim))

    def some(count):
        labels = generator.integers(0, classes, count).astype(np.int32)
        return (centers[labels] + generator.normal(0, 1.5, (count, dim))).astype(np.float32), labels

    (bank, bank_labels), (query, query_labels) = some(900), some(150)
    found = drive(driver, "knn_sweep", {"bank": bank, "bank_labels": bank_labels, "query": query,
                                        "query_labels": query_labels}, {"classes": classes})

    def unit(rows):
        rows = rows.astype(np.float64)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def fitted(k, temperature, rows, labels):
        # Of unit rows, cos = 1 - distance^2 / 2.
        weights = (lambda d: np.exp((1 - d**2 / 2) / temperature)) if temperature else "uniform"
        return KNeighborsClassifier(n_neighbors=k, weights=weights, algorithm="brute").fit(unit(rows), labels)

    held = share_of(bank_labels.tolist(), 10, HOLDOUT_STREAM, keep=1)
    kept = sorted(set(range(len(bank))) - set(held))
    accuracies = []
    for row, (k, temperature, held_out) in enumerate(found["forms"]):
        expected = fitted(int(k), temperature, bank, bank_labels).predict(unit(query))
        check(f"k {k:.0f} temperature {temperature:g}, predictions that differ",
              float(np.sum(found["predicted"][row] != expected)), 0)
        chosen = fitted(int(k), temperature, bank[kept], bank_labels[kept]).predict(unit(bank[held]))
        accuracies.append(100 * np.mean(chosen == bank_labels[held]))
        check("  held-out tenth", abs(accuracies[-1] - held_out), 1e-9)
    check("the chosen form", abs(int(found["best"][0]) - int(np.argmax(accuracies))), 0)


# ---- corrupted images, values in [0, 1]


def hash_name(name):
    """FNV-1a."""
    result = 14695981039346656037
    for byte in name.encode():
        result = (result ^ byte) * 1099511628211 % 2**64
    return result


def noise(image, seed, split, index):
    """Normal noise of deviation 0.1, by Box and Muller."""
    random = Philox(seed, hash_name(split) & MASK32, index, CORRUPTION_STREAM)
    draws = np.array([[random.uniform(), random.uniform()] for _ in range(image.size)])
    normal = np.sqrt(-2 * np.log(1 - draws[:, 0])) * np.cos(2 * np.pi * draws[:, 1])
    return image + 0.1 * normal.reshape(image.shape)


def hue(image):
    """A quarter of the circle, by the standard library."""
    turned = []
    for pixel in image.reshape(-1, 3):
        h, s, v = colorsys.rgb_to_hsv(*pixel)
        turned.append(colorsys.hsv_to_rgb((h + 0.25) % 1, s, v))
    return np.array(turned).reshape(image.shape)


def blur(image):
    """A Gaussian of a 32nd of the side, cut off at three deviations, the image mirrored without repeating its edge."""
    sigma = image.shape[0] / 32
    radius = math.ceil(3 * sigma)
    weights = np.exp(-np.arange(-radius, radius + 1) ** 2 / (2 * sigma**2))
    for axis in (0, 1):
        padded = np.pad(image, [(radius, radius) if a == axis else (0, 0) for a in range(3)], mode="reflect")
        image = sum(w * np.take(padded, range(k, k + image.shape[axis]), axis) for k, w in
                    enumerate(weights / weights.sum()))
    return image


def oracle_corruptions(driver):
    generator = np.random.default_rng(5)
    for size, channels, split, seed in [(32, 3, "test", 1), (80, 3, "val", 2**33 + 4), (19, 1, "test", 3)]:
        images = generator.integers(0, 256, (3, size, size, channels), np.uint8)
        images[0, :size // 2] = images[0, 0, 0]  # a plain half
        images[1, :, :, :] = images[1, :, :1, :1] if channels == 3 else 0  # grays
        found = drive(driver, "corruptions", {"images": images}, {"split": split, "seed": seed})
        assert ("hue" in found) == (channels == 3), found.keys()
        for name, result in found.items():
            make = {"noise": lambda i: noise(images[i] / 255, seed, split, i), "hue": lambda i: hue(images[i] / 255),
                    "blur": lambda i: blur(images[i] / 255)}[name]
            expected = 255 * np.clip(np.stack([make(i) for i in range(len(images))]), 0, 1)
            assert result.shape == expected.shape, (result.shape, expected.shape)
            assert np.all(result == np.rint(result)), "bytes"
            # The engine computes in f32 and rounds: half a step, and a little more where a value lies between two.
            check(f"{name} of {size} x {size} x {channels}", np.abs(result - expected).max(), 0.51)
            if channels == 3:
                check("  changes the images: 1 / mean change", 1 / np.abs(result - images).mean(), 1)


# ---- the report's map and neighbors


def compare_map(driver, name, features):
    """The principal components by NumPy's singular values; each sign as the largest coordinate says."""
    found = drive(driver, "map", {"features": features}, {})
    centered = features.astype(np.float64) - features.astype(np.float64).mean(axis=0)
    u, s, _ = np.linalg.svd(centered, full_matrices=False)
    points = u[:, :2] * s[:2]
    points *= np.sign(points[np.abs(points).argmax(axis=0), [0, 1]])
    check(f"map of {name}", np.abs(found["points"] - points).max() / np.abs(points).max(), 1e-6)
    check(f"shares of {name}", np.abs(found["shares"] - (s[:2] ** 2 / (s**2).sum())).max(), 1e-6)


def compare_neighbors(driver, bank, query, k):
    found = drive(driver, "neighbors", {"bank": bank, "query": query}, {"k": k})
    unit = [x.astype(np.float64) / np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True) for x in (query, bank)]
    cosines = unit[0] @ unit[1].T
    places = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    check("neighbors: places", np.abs(found["places"] - places).max(), 0)
    check("neighbors: cosines", np.abs(found["cosines"] - np.take_along_axis(cosines, places, axis=1)).max(), 1e-6)


def oracle_report(driver):
    random = np.random.default_rng(5)
    scales = np.linspace(3, 0.1, 12)  # components that differ
    wide = random.normal(size=(20, 40)) * np.geomspace(5, 0.1, 40)
    compare_map(driver, "many images", (random.normal(size=(300, 12)) * scales + 50).astype(np.float32))
    compare_map(driver, "few images", wide.astype(np.float32))
    bank, query = random.normal(size=(200, 16)) + 1, random.normal(size=(9, 16)) + 1
    compare_neighbors(driver, bank.astype(np.float32), query.astype(np.float32), 8)


def main():
    oracles = {"episodes": oracle_episodes, "lists": oracle_lists, "knn_sweep": oracle_knn_sweep, "corruptions": oracle_corruptions,
               "report": oracle_report}
    if len(sys.argv) != 3 or sys.argv[1] not in oracles:
        print(__doc__)
        return 2
    oracles[sys.argv[1]](sys.argv[2])
    return 1 if FAILURES else 0


if __name__ == "__main__":
    sys.exit(main())
