"""reproduce.sh evidence: its options, and the commands that they select."""
import argparse
import dataclasses
import fcntl
import os
import pathlib
import subprocess
import sys

from runs import ROOT, Runner, Stopped, TookTooLong

from . import clone, gpu, tables
from .judging import NotJudged
from .rows import PRIMARIES, ROWS, SEARCHED, STEPS, merged
from .runner import Place, Work
from .store import Store, Unusable, append, expected_commit, written_commit

LINES, RUNS = ROOT / "docs" / "evidence", ROOT / "runs" / "evidence"
TRIAL_LIMITS = (("--limit", "500"), ("--train-limit", "200"))


def parse(arguments):
    parser = argparse.ArgumentParser(prog="reproduce.sh evidence", description=__doc__, allow_abbrev=False)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--plan", action="store_true", help="print every row and what it costs; needs no data")
    what.add_argument("--tables", action="store_true", help="print tables of what is finished, in Markdown")
    what.add_argument("--judge-again", action="store_true",
                      help="judge what left a note in its line, where the encoder is on this machine")
    what.add_argument("--gpu", choices=sorted(gpu.PIECES), help="run one piece on a GPU; needs --seed")
    data = os.environ.get("VERGENCE_DATA")
    parser.add_argument("--data", type=pathlib.Path, default=data and pathlib.Path(data),
                        help="folder with cifar10 and, if there, cifar100 or cifar100_subset; default: VERGENCE_DATA")
    parser.add_argument("--step", choices=(*STEPS, "gpu"), help="this step alone; gpu: of --tables")
    parser.add_argument("--only", default="", metavar="ROW[,ROW...]", help="these rows alone")
    parser.add_argument("--seeds", default="", metavar="N[,N...]", help="these seeds alone")
    parser.add_argument("--minutes", type=float, help="begin no new row after so many minutes")
    parser.add_argument("--threads", type=int, help="of the tools; default: 1, on a GPU all")
    parser.add_argument("--build", type=pathlib.Path, help="folder of the tools, instead of a new clone; for rows it must be a "
                        "build that an earlier clone made at the commit of the lines")
    parser.add_argument("--lines", type=pathlib.Path, help=f"folder of the lines; default: {LINES.relative_to(ROOT)}")
    parser.add_argument("--runs", type=pathlib.Path, help=f"folder of the runs; default: {RUNS.relative_to(ROOT)}")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="of the build")
    piece = parser.add_argument_group("pieces on a GPU")
    piece.add_argument("--seed", type=int)
    piece.add_argument("--views-per-second", type=float, default=90000, help="of a SimCLR step, for the number of epochs")
    piece.add_argument("--budget", type=float, default=540, help="seconds that the whole command may take")
    piece.add_argument("--epochs", type=int, help="instead of as many as fit")
    piece.add_argument("--commit", help="what the tools were built from; default: git rev-parse HEAD")
    piece.add_argument("--out", type=pathlib.Path, help="file of the lines; default: gpu.jsonl in the folder of the lines")
    piece.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="cpu: a rehearsal; needs --out")
    piece.add_argument("--limit", type=int, help="images, for a rehearsal")
    piece.add_argument("--width", type=int, help="of the encoder, for a rehearsal")
    parser.epilog = ("What follows -- goes to every pretraining, for a trial: its lines and runs lie in runs/evidence_trial, "
                     "and its judgments take few images: --build build -- --limit 500 --epochs 1 --width 4")
    split = arguments.index("--") if "--" in arguments else len(arguments)
    options = parser.parse_args(arguments[:split])
    options.trial = arguments[split + 1:]
    if len(options.trial) % 2:
        parser.error("behind -- pairs of an option and its value are expected")
    if options.gpu and options.seed is None:
        parser.error("--gpu needs --seed")
    if options.gpu and options.trial:
        parser.error("--gpu takes nothing behind --; --epochs, --limit and --width rehearse a piece")
    return options


def selected_rows(options, rows):
    """Returns pairs of a row and its seeds, as selected by --step, --only and --seeds."""
    only = [name for name in options.only.split(",") if name]
    unknown = set(only) - {row.name for row in rows}
    if unknown:
        raise Unusable(f"--only: no row is called {', '.join(sorted(unknown))}; --plan lists them")
    try:
        seeds = {int(seed) for seed in options.seeds.split(",") if seed}
    except ValueError:
        raise Unusable(f"--seeds: '{options.seeds}' is no list of numbers such as 1,2") from None
    chosen = [(row, [seed for seed in row.seeds if not seeds or seed in seeds]) for row in rows
              if (not options.step or row.step == options.step) and (not only or row.name in only)]
    chosen = [(row, own) for row, own in chosen if own]
    if not chosen:
        raise Unusable("--step, --only and --seeds leave no row; --plan lists them")
    return chosen


def in_order(selected):
    """Orders runs: the search, then the rows of the primary figures, then the rest by step; by seed within each."""
    primary = {name for each in PRIMARIES for name in (each.row, each.base)}

    def part(row):
        return "primary" if row.name in primary else row.step

    parts = dict.fromkeys(["search", "primary", *STEPS])
    return [(row, seed) for each in parts for seed in sorted({seed for _, own in selected for seed in own})
            for row, own in selected if part(row) == each and seed in own]


def search_is_over(store, rows):
    return all(store.finished(row, seed) for row in rows if row.step == "search" for seed in row.seeds)


def check_data(data):
    if data is None:
        raise Unusable("--data DIR is missing (or VERGENCE_DATA): the folder with cifar10 in it")
    if not (data / "cifar10").is_dir():
        raise Unusable(f"--data: there is no folder {data / 'cifar10'}")
    return data.resolve()


def lock_runs(runs):
    """Locks the folder of the runs while the returned file is open."""
    runs.mkdir(parents=True, exist_ok=True)
    lock = open(runs / ".lock", "w", encoding="utf-8")  # pylint: disable=consider-using-with
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Unusable(f"{runs}: another evidence run is at work there") from None
    return lock


def tools(options, runner, runs, commit):
    """Returns the folder of the tools: --build, or that of the clone, which it builds if needed."""
    folder = options.build and options.build.resolve()
    if folder is None:
        source, folder = runs / "src", runs / "build"
        clone.check_out(ROOT, source, commit)
        clone.build(runner, source, folder, commit, options.jobs, runs / "build.log")
    elif not (options.trial or options.judge_again or clone.is_built(folder, commit)):
        raise Unusable(f"--build: {folder} is no build that this command made at {commit[:12]}, the commit of the lines, for "
                       "this processor; leave --build out, or try rows with options behind --")
    clone.check_tools(folder)
    return folder


def show(options, rows, lines, commit):
    """Handles --plan and --tables."""
    everything = [*rows, *gpu.ROWS] if options.tables else rows
    selected, store = selected_rows(options, everything), Store(lines, commit, [*rows, *gpu.ROWS])
    chosen = {row.name: own for row, own in selected}
    for remark in store.remarks():
        print(remark, file=sys.stderr)
    if options.plan:
        print(tables.plan(store, selected))
        return 0
    seeds = {int(seed) for seed in options.seeds.split(",") if seed}

    def seeds_of(row):
        return chosen.get(row.name, [seed for seed in row.seeds if not seeds or seed in seeds])

    print(tables.tables(store, {row.name: row for row in everything}, selected, seeds_of))
    return 0


def work(options, rows, lines, runs, commit):
    """Runs what is left, or judges again."""
    data, selected, runner = check_data(options.data), selected_rows(options, rows), Runner(options.threads or 1)
    os.setpriority(os.PRIO_PROCESS, 0, 19)
    with lock_runs(runs):
        runner.catch_signals()
        try:
            store = Store(lines, commit, rows)
            for remark in store.remarks():
                print(remark, file=sys.stderr, flush=True)
            place = Place(runner, store, {row.name: row for row in rows}, data, tools(options, runner, runs, commit),
                          runs / "runs", clone.processor_name(), options.threads or 1,
                          limits=TRIAL_LIMITS if options.trial else (),
                          judged_at=clone.head_of(ROOT) if options.build and options.judge_again else "")
            doing = Work(place)
            if options.judge_again:
                again = [doing.judge_again(row, seed) for row, seed in in_order(selected)]
                print(f"judged again: {sum(again)} runs")
                return 0
            todo = [(row, seed) for row, seed in in_order(selected) if not store.finished(row, seed)]
            only_search = not (SEARCHED or options.step or options.only or options.seeds or options.trial)
            if only_search:
                todo = [(row, seed) for row, seed in todo if row.step == "search"]
            print(f"{len(todo)} runs{' of the search' if only_search else ''} are left", flush=True)
            doing.run_all(todo, options.minutes)
            if only_search and search_is_over(store, rows):
                print("the search is over: put its choice (--step search --tables) into tools/evidence/rows.py, ..._BEST and "
                      "SEARCHED; until then, only --step, --only and --seeds run more", file=sys.stderr)
        except Stopped:
            print("stopped; the same command goes on", file=sys.stderr)
            return 130
    return 1 if doing.failures else 0


# ---- pieces on a GPU


class OneFile(Store):
    """The lines of pieces, all in one file with any name."""

    def __init__(self, file, commit, rows):
        super().__init__(file.parent, commit, [])
        self.file, self.rows = file, {row.name: row for row in rows}
        self.read(file)

    def append(self, line):
        append(self.file, line)
        self.take(line, self.file)


def piece_rows(options, images):
    """Returns the rows of the piece, their epochs, and estimated training times."""
    epochs = options.epochs or gpu.fitting_epochs(options.gpu, images, options.views_per_second, options.budget)
    more = {"--epochs": epochs} | ({"--limit": options.limit} if options.limit else {})
    more |= {"--width": options.width} if options.width else {}
    more |= {"--device": "cpu", "--precision": "fp32"} if options.device == "cpu" else {}
    rows = gpu.rows_of(options.gpu, tuple(str(word) for pair in more.items() for word in pair))
    return rows, epochs, {row.name: gpu.COSTS[row.name] * 2 * images * epochs / options.views_per_second for row in rows}


def piece_place(options, lines, runs, rows, epochs):
    """Returns the place of a run: on the GPU, or on the CPU for a rehearsal."""
    commit = options.commit or clone.head_of(ROOT)
    processor = clone.processor_name() if options.device == "cpu" else gpu.gpu_name()
    if processor is None:
        raise Unusable("nvidia-smi names no GPU here; --device cpu rehearses without one")
    threads, build = options.threads or os.cpu_count() or 1, (options.build or ROOT / "build").resolve()
    clone.check_tools(build)
    store = OneFile((options.out or lines / "gpu.jsonl").resolve(), commit, rows)
    limits = (("--limit", str(options.limit)),) if options.limit else ()
    return Place(Runner(threads), store, {row.name: row for row in rows}, check_data(options.data), build, runs / "gpu",
                 processor, threads, options.device, limits, epochs)


def piece(options, lines, runs):
    if (options.device == "cpu" or options.limit or options.width) and not options.out:
        raise Unusable("a rehearsal (--device cpu, --limit, --width) needs --out FILE for its lines")
    images = options.limit or gpu.IMAGES
    rows, epochs, estimates = piece_rows(options, images)
    place = piece_place(options, lines, runs, rows, epochs)
    print(f"piece {options.gpu}, seed {options.seed}, on {place.processor}: {epochs} epochs of {images} images; about "
          + ", ".join(f"{name} {seconds:.0f} s" for name, seconds in estimates.items())
          + f", and {gpu.JUDGE_SECONDS} s each for judging", flush=True)
    with lock_runs(place.runs):
        place.runner.catch_signals()
        try:
            return 0 if gpu.run_piece(place, options.gpu, options.seed, rows, options.budget, estimates) else 1
        except Stopped:
            print("stopped; the same command goes on", file=sys.stderr)
            return 130


def run(options):
    trial = bool(options.trial)
    runs = (options.runs or (ROOT / "runs" / "evidence_trial" if trial else RUNS)).resolve()
    lines = (options.lines or (runs / "lines" if trial else LINES)).resolve()
    rows = [dataclasses.replace(row, options=tuple(merged(row.options, options.trial))) for row in ROWS]
    if options.gpu:
        return piece(options, lines, runs)
    if trial:
        commit = "trial" if options.build else clone.head_of(ROOT)
    elif options.plan:
        commit = written_commit(lines)
        if commit is None:
            print(f"{lines / 'COMMIT'} is missing, so nothing counts as done", file=sys.stderr)
    else:
        commit = expected_commit(lines)
    if options.plan or options.tables:
        return show(options, rows, lines, commit)
    return work(options, rows, lines, runs, commit)


def main(arguments):
    try:
        return run(parse(arguments))
    except Unusable as error:
        print(f"reproduce.sh evidence: {error}", file=sys.stderr)
        return 2
    except (RuntimeError, OSError, TookTooLong, NotJudged, subprocess.SubprocessError) as error:
        print(f"reproduce.sh evidence: {error}", file=sys.stderr)
        return 1
