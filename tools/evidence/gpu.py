"""Pieces of a few minutes for a machine with a GPU: one command trains and judges them and ends in time."""
import dataclasses
import subprocess
import sys
import time

from . import judging
from .rows import DSA_BEST, ICL_MSR_BEST, ICL_MSR_FIXED, MASK_1, METAMASK_BEST, MRCL_BEST, Row, own
from .runner import Run, core_seconds

IMAGES = 50000
JUDGE_SECONDS = 15  # per run, approximately
COMMON = ("--config", "cifar10_simclr_short", "--dataset", "cifar10", "--limit", "0", "--width", "64", "--epochs", "100",
          "--eval-every", "0", "--device", "cuda", "--precision", "bf16", "--log-every", "20")
# The cost of a step relative to SimCLR's, to find how many epochs fit: from `bench step` of 512 pairs on an H200;
# estimates for ICL-MSR's variants and the mask of ones, which `bench step` does not run.
COSTS = {"gpu_simclr": 1, "gpu_mrcl": 1.3, "gpu_dsa": 2.65, "gpu_icl_msr": 2.5, "gpu_icl_fixed": 1.5, "gpu_simclr_b": 1,
         "gpu_metamask": 3.8, "gpu_mask_1": 1.1}
PIECES = {"A": ("gpu_simclr", "gpu_mrcl", "gpu_dsa"), "B": ("gpu_simclr_b", "gpu_icl_fixed", "gpu_icl_msr"),
          "C": ("gpu_mask_1", "gpu_metamask")}


def _row(name, method, options=(), bases=(), prior="", against=()):
    return Row(name, "gpu", method, options, bases, prior, against, COMMON)


ROWS = [
    _row("gpu_simclr", "SimCLR"),
    _row("gpu_mrcl", "MRCL", MRCL_BEST + own("mrcl", "decoder_width 64"), ("gpu_simclr",)),
    _row("gpu_dsa", "DSA", DSA_BEST, ("gpu_simclr",), "gpu_simclr"),
    _row("gpu_simclr_b", "SimCLR"),  # of as many epochs as piece B's others
    _row("gpu_icl_fixed", "ICL-MSR", ICL_MSR_FIXED, ("gpu_simclr_b",), against=("gpu_simclr",)),
    _row("gpu_icl_msr", "ICL-MSR", ICL_MSR_BEST, ("gpu_simclr_b",), against=("gpu_icl_fixed", "gpu_simclr")),
    _row("gpu_mask_1", "MetaMask", MASK_1, against=("gpu_simclr",)),
    _row("gpu_metamask", "MetaMask", METAMASK_BEST, ("gpu_mask_1",), against=("gpu_simclr",)),
]


def gpu_name():
    try:
        said = subprocess.run(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True,
                              check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return said.stdout.strip().splitlines()[0].strip() if said.stdout.strip() else None


def fitting_epochs(piece, images, views_per_second, budget):
    """Returns the epochs that can be trained and judged in `budget` seconds: 1 to 100."""
    cost = sum(COSTS[name] for name in PIECES[piece])
    seconds = budget - JUDGE_SECONDS * len(PIECES[piece])
    return max(1, min(100, int(seconds * views_per_second / (cost * 2 * images))))


def rows_of(piece, more_options):
    return [dataclasses.replace(row, options=row.options + more_options)
            for name in PIECES[piece] for row in ROWS if row.name == name]


class Clock:
    """Tracks how much of the budget is left, and how much of that the coming runs need."""

    def __init__(self, budget, estimates):
        self.end, self.estimates, self.factor = time.monotonic() + budget, estimates, 1.0

    def left(self):
        return self.end - time.monotonic()

    def wanted(self, names):
        return sum(self.factor * self.estimates[name] + JUDGE_SECONDS for name in names)

    def learn(self, name, seconds):
        self.factor = seconds / self.estimates[name]


def needed(place, rows, row, seed):
    """Whether the row has no line yet, or is the prior of a row without one and its encoder is not here."""
    def done(each):
        return place.store.line(each.name, seed, place.machine)

    return not done(row) or not Run(place, row, seed).trained and any(
        each.prior == row.name and not done(each) for each in rows)


def run_piece(place, piece, seed, rows, budget, estimates):
    """Returns whether all rows of the piece have their lines. Starts a row only if enough time is left."""
    clock = Clock(budget, estimates)
    for number, row in enumerate(rows):
        if not needed(place, rows, row, seed):
            print(f"{row.name}, seed {seed}: finished before", flush=True)
            continue
        run, after = Run(place, row, seed), [each.name for each in rows[number + 1:] if needed(place, rows, each, seed)]
        wanted = clock.wanted([row.name]) - (clock.factor * estimates[row.name] if run.trained else 0)
        if wanted > clock.left():
            print(f"{row.name}, seed {seed}: not begun: it wants about {wanted:.0f} s, {clock.left():.0f} s are left; "
                  f"fewer --epochs would fit, or a larger --budget", file=sys.stderr, flush=True)
            return False
        train_and_judge(place, run, clock, after)
    return True


def train_and_judge(place, run, clock, after):
    print(f"{run.row.name}, seed {run.seed}: {clock.left():.0f} s are left", flush=True)
    again, seconds = place.store.line(run.row.name, run.seed, place.machine), clock.left() - JUDGE_SECONDS
    if again or not run.trained:
        run.train_again(seconds) if again else run.train(seconds)  # pylint: disable=expression-not-assigned
        clock.learn(run.row.name, run.state["train_seconds"])
    if again:  # for its encoder alone
        return
    used = core_seconds()
    figures, notes = run.judge(judging.judgments(run.row), left=lambda: clock.left() - clock.wanted(after))
    notes |= run.prior_note()
    place.store.append(run.line(figures, notes, run.state["core_seconds"] + core_seconds() - used))
    print(f"  probe {figures['probe']:.2f}, kNN 200 {figures['kNN 200']:.2f}, {run.state['train_seconds']:.0f} s of training"
          + (f"; without {', '.join(notes)}" if notes else ""), flush=True)
