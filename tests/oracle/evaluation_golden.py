#!/usr/bin/env python3
"""Prints the golden values of tests/ssl/evaluation/evaluation_figures_test.cpp, from the definitions and NumPy alone.

Groups are compared by trying every naming of them, pairs of things by visiting every pair, k-means by trying every
partition: slow ways that share nothing with the engine's.
"""
import itertools

import numpy as np


def fixture(rows, dim, shift=0.0):
    """Features that any language can make: float32 of a sine, in three classes (i mod 3)."""
    i, j = np.arange(rows)[:, None], np.arange(dim)[None, :]
    values = np.sin(1 + 3.0 * i + 0.7 * i * j + shift) + 0.5 * (i % 3) * (j % 2)
    return values.astype(np.float32).astype(np.float64), np.arange(rows) % 3


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def crowding(x, labels):
    u = unit(x)
    means = [u[labels == c].mean(0) for c in np.unique(labels)]
    intra = np.mean([((u[labels == c] - m) ** 2).sum(1).mean() for c, m in zip(np.unique(labels), means)])
    inter = np.mean([np.linalg.norm(a - b) for a, b in itertools.combinations(means, 2)])
    return intra, inter, intra / inter**2


def rankme(x):
    s = np.linalg.svd(x, compute_uv=False)
    p = s / s.sum() + 1e-7
    return np.exp(-(p * np.log(p)).sum())


def uniformity(x):
    u = unit(x)
    return np.log(np.mean([np.exp(-2 * ((a - b) ** 2).sum()) for a, b in itertools.combinations(u, 2)]))


def accuracy(groups, classes, size):
    best = max(sum(names[g] == c for g, c in zip(groups, classes)) for names in itertools.permutations(range(size)))
    return 100 * best / len(groups)


def nmi(groups, classes):
    def entropy(*sorts):
        _, counts = np.unique(np.stack(sorts), axis=1, return_counts=True)
        p = counts / counts.sum()
        return -(p * np.log(p)).sum()

    both = entropy(groups) + entropy(classes)
    return 2 * (both - entropy(groups, classes)) / both


def ari(groups, classes):
    pairs = list(itertools.combinations(range(len(groups)), 2))
    g = np.array([groups[a] == groups[b] for a, b in pairs])
    c = np.array([classes[a] == classes[b] for a, b in pairs])
    expected = g.sum() * c.sum() / len(pairs)
    return ((g & c).sum() - expected) / ((g.sum() + c.sum()) / 2 - expected)


def least_inertia(x, clusters):
    def inertia(part):
        part = np.array(part)
        return sum(((x[part == k] - x[part == k].mean(0)) ** 2).sum() for k in range(clusters) if (part == k).any())

    return min(inertia(part) for part in itertools.product(range(clusters), repeat=len(x)))


def swap(labels, families, before, after):
    moved = before != after
    full, repaired = 100 * (before == labels).mean(), 100 * (after == labels).mean()
    return full, repaired, full - repaired, 100 * moved.mean(), 100 * (after[moved] == families[moved]).mean()


def swap_fixture(images):
    """Predictions of ten classes that any language can make; some are of the class, some of the new family."""
    i = np.arange(images)
    labels, families = i * i % 10, (3 * i + 1) % 10
    before = np.where(i % 3 > 0, labels, i % 10)
    after = np.where(i % 7 < 3, before, np.where(i % 5 < 2, families, (i // 2) % 10))
    return labels, families, before, after


def main():
    x, labels = fixture(12, 5)
    y, _ = fixture(12, 5, 0.3)
    print("crowding intra, inter, ratio: %.12f %.12f %.12f" % crowding(x, labels))
    print("singular values:", " ".join("%.12f" % s for s in np.linalg.svd(x, compute_uv=False)))
    print("rankme: %.12f" % rankme(x))
    print("rankme of 4 x 7: %.12f" % rankme(fixture(4, 7)[0]))
    print("std: %.12f" % (unit(x).std(0).mean() * np.sqrt(5)))
    print("alignment: %.12f" % ((unit(x) - unit(y)) ** 2).sum(1).mean())
    print("alignment, alpha 1: %.12f" % np.linalg.norm(unit(x) - unit(y), axis=1).mean())
    print("uniformity: %.12f" % uniformity(x))
    groups = np.array([0, 0, 1, 1, 2, 2, 3, 3, 0, 1, 2, 3, 3, 3])
    classes = np.array([2, 2, 0, 0, 1, 3, 3, 1, 2, 2, 1, 1, 3, 3])
    print("accuracy %.12f nmi %.12f ari %.12f" % (accuracy(groups, classes, 4), nmi(groups, classes),
                                                 ari(groups, classes)))
    print("least inertia of 9 points in 3 clusters: %.12f" % least_inertia(fixture(9, 2)[0], 3))
    print("swap full %.12f repaired %.12f drop %.12f changed %.12f followed %.12f" % swap(*swap_fixture(97)))


if __name__ == "__main__":
    main()
