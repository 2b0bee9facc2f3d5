"""Tables of the objectives; see reproduce.sh."""
import argparse
import concurrent.futures
import contextlib
import json
import os
import pathlib
import shlex
import statistics
import sys
import time

from runs import ROOT, Runner, Stopped, slug

# Options that all rows of a table share. On the rendered data set: each objective's recipe with a narrower encoder, to
# save time; on CIFAR-10: the short SimCLR recipe for every objective.
SHAPES = ["--dataset", "confounded_shapes", "--width", "8"]
COMMON = {"shapes": SHAPES, "search": SHAPES, "cifar10": ["--config", "cifar10_simclr_short"]}
# Name in the table, objective, and its own options. Every recipe has the same encoder, views, batch and number of
# epochs, so all rows of a table take the same number of steps.
RUNS = {
    "shapes": [
        ("SimCLR", "simclr", []),
        ("Barlow Twins", "barlow_twins", []),
        ("MetaMask", "metamask", []),
        ("MetaMask, mask 1", "metamask", ["--metamask.meta", "off"]),
        ("MetaMask, first order", "metamask", ["--metamask.second_order", "none"]),
        ("ICL-MSR", "icl_msr", []),
        ("ICL-MSR, fixed strata", "icl_msr", ["--icl_msr.train", "fixed", "--icl_msr.build", "table"]),
        ("ICL-MSR, ordinary training", "icl_msr", ["--icl_msr.train", "ordinary"]),
        ("MRCL", "mrcl", []),
        ("MRCL, mask alone", "mrcl", ["--mrcl.alpha", "0"]),
        ("MRCL, reconstruction alone", "mrcl", ["--mrcl.mask_ratio", "0"]),
        ("MRCL, neither", "mrcl", ["--mrcl.alpha", "0", "--mrcl.mask_ratio", "0"]),
        ("DSA", "dsa", []),
        ("DSA, without scores", "dsa", ["--dsa.score", "ones"]),
        ("DSA, prior alone", "dsa", ["--dsa.score", "ones", "--dsa.am_mode", "none"]),
        ("SimCLR on foregrounds", "simclr", ["--confounded_shapes.version", "foreground_only"]),
        ("ICL-MSR on foregrounds", "icl_msr", ["--confounded_shapes.version", "foreground_only"]),
    ],
    # Rates and heads that the search on the rendered data set suggests; ICL-MSR's regularizer in its cheap mode.
    "cifar10": [
        ("SimCLR", "simclr", []),
        ("Barlow Twins", "barlow_twins", ["--barlow_twins.hidden", "512", "--barlow_twins.output", "512", "--lr", "0.4"]),
        ("MetaMask", "metamask", ["--metamask.redundancy_hidden", "512", "--metamask.redundancy_output", "512",
                                  "--metamask.contrastive_hidden", "512", "--metamask.contrastive_output", "128",
                                  "--metamask.temperature", "0.5", "--metamask.mask_lr", "0.05"]),
        ("ICL-MSR", "icl_msr", ["--icl_msr.every", "4"]),
        ("MRCL", "mrcl", ["--mrcl.mask_patch", "4", "--mrcl.decoder_width", "16"]),
        ("DSA", "dsa", ["--dsa.prior_net", "ema"]),
    ],
    # The values from which the recipes' coefficients were chosen.
    "search": [
        ("SimCLR", "simclr", []),
        *[(f"Barlow Twins, lr {lr}", "barlow_twins", ["--lr", lr]) for lr in ("0.12", "0.4", "1.2")],
        *[(f"MetaMask, mask 1, lr {lr}", "metamask", ["--metamask.meta", "off", "--lr", lr])
          for lr in ("0.012", "0.04", "0.12")],
        *[(f"MetaMask, mask_lr {lr}", "metamask", ["--metamask.mask_lr", lr]) for lr in ("0.05", "0.5", "5")],
        *[(f"ICL-MSR, lambda {x}", "icl_msr", ["--icl_msr.lambda", x]) for x in ("0.1", "0.3", "1")],
        *[(f"MRCL, alpha {x}", "mrcl", ["--mrcl.alpha", x]) for x in ("0.1", "0.3", "1")],
        *[(f"DSA, lambda1 {x}", "dsa", ["--dsa.lambda1", x]) for x in ("0.1", "0.3", "1")],
    ],
}
# The row to compare with, seed by seed. A row without an entry uses that of its name before the comma.
BASES = {"MetaMask": "Barlow Twins", "ICL-MSR": "SimCLR", "MRCL": "SimCLR", "DSA": "SimCLR",
         "ICL-MSR on foregrounds": "SimCLR on foregrounds"}
# Entries of the foreground matrix, by the forms of training and test images.
FOREGROUND = {"full > full": (0, 0), "full > fore": (0, 1), "fore > fore": (1, 1), "fore > full": (1, 0),
              "full > re-paired": (0, 3)}
COLUMNS = {"shapes": ["probe", "kNN 200", "kNN 5", *FOREGROUND, "crowding"],
           "cifar10": ["probe", "kNN 200", "kNN 5", "crowding"]}
COLUMNS["search"] = COLUMNS["shapes"]
GAIN = {"shapes": "full > full", "search": "full > full", "cifar10": "probe"}  # compared with the base's


def write_whole(path, text):
    """Writes a file that is whole or not there."""
    begun = path.with_name(path.name + ".begun")
    begun.write_text(text)
    begun.replace(path)


def one_run(runner, options, name, objective, extra, seed):
    """Pretrains, probes and evaluates; returns the figures of the table. Without a runner: those of a finished run."""
    folder = options.out / f"{slug(name)}_s{seed}"
    of_split = "" if options.split == "test" else f"_{options.split}"
    finished = folder / f"figures{of_split}.json"
    pretrained = folder / "pretrained"  # holds the options
    words = [*COMMON[options.what], "--objective", objective, "--seed", str(seed), "--device", "cpu", "--log-every", "10",
             "--eval-every", "0", *extra, *options.trial]
    if pretrained.exists() and pretrained.read_text() != shlex.join(words):
        raise ValueError(f"{folder} has a run with other or unknown options, expected {shlex.join(words)}; give another --out")
    if finished.exists() or not runner:
        return json.loads(finished.read_text())
    log = options.out / f"{folder.name}.log"
    began = time.time()
    if not pretrained.exists():
        runner.run([options.build / "pretrain", *words, *options.data, "--out", folder, "--resume"], log)
        write_whole(pretrained, shlex.join(words))
    judge = ["--run", folder, "--device", "cpu", "--split", options.split]
    runner.run([options.build / "linear_probe", *judge, "--protocol", "adam"], log)
    on_shapes = options.what != "cifar10"
    runner.run([options.build / "evaluate", *judge, "--metrics", "knn,crowding" + ",foreground" * on_shapes], log)
    probe = json.loads((folder / f"probe{of_split}.json").read_text())
    judged = json.loads((folder / f"evaluation{of_split}.json").read_text())
    figures = {"probe": probe["top1"], "kNN 200": judged["knn"]["knn_cosine_200"]["top1"],
               "kNN 5": judged["knn"]["knn_euclidean_5"]["top1"], "crowding": judged["crowding"]["ratio"],
               "minutes": (time.time() - began) / 60, "commit": json.loads((folder / "run.json").read_text())["commit"]}
    if on_shapes:
        matrix = judged["foreground"]["linear_probe"]
        figures |= {name: matrix[row][column] for name, (row, column) in FOREGROUND.items()}
    if "masked" in judged["knn"]:
        figures["kNN 200, masked"] = judged["knn"]["masked"]["knn_cosine_200"]["top1"]
    write_whole(finished, json.dumps(figures, indent=1))
    return figures


def finished_before(options, runs):
    """Figures by row and seed of the runs that are finished already; nothing is run."""
    results = {}
    for run in runs:
        for seed in range(1, options.seeds + 1):
            with contextlib.suppress(ValueError, OSError):  # of other options, or not finished
                results.setdefault(run[0], {})[seed] = one_run(None, options, *run, seed)
    return results


def cell(values):
    if not values:
        return ""
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"


def gains(results, name, figure):
    """How far the row is above its base, for the seeds that both have."""
    own, base = results[name], results.get(BASES.get(name, BASES.get(name.split(",")[0])), {})
    return [own[seed][figure] - base[seed][figure] for seed in own.keys() & base.keys()]


def table(what, results, names):
    """`results`: figures by row and seed."""
    head = ["seeds", *COLUMNS[what], "gain"]
    lines = ["| | " + " | ".join(head) + " |", "|---" * (len(head) + 1) + "|"]
    for name in names:
        rows = results.get(name, {}).values()
        if rows:
            cells = [cell([row[column] for row in rows if row[column] is not None]) for column in COLUMNS[what]]
            cells.append(cell(gains(results, name, GAIN[what])))
            lines.append(f"| {name} | {len(rows)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def read_options():
    """The command line, checked, with its defaults."""
    parser = argparse.ArgumentParser(prog="reproduce.sh", description=__doc__)
    parser.add_argument("what", choices=sorted(RUNS))
    parser.add_argument("--seeds", type=int, help="runs of each, with seeds 1, 2, ...; shapes: 3, others: 1")
    parser.add_argument("--data", help="cifar10: folder of its files")
    parser.add_argument("--out", type=pathlib.Path,
                        help="folder of the runs; default: runs/reproduce_WHAT, of a trial reproduce_WHAT_trial")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build", help="folder of the tools")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes at a time")
    parser.add_argument("--split", choices=["test", "val"],
                        help="what the encoders are judged on; search: val, others: test")
    parser.add_argument("--only", default="", help="rows of the table, as metamask,dsa_without_scores")
    parser.epilog = "evidence: see reproduce.sh evidence --help. What follows -- goes to every pretraining, for a trial: -- --epochs 1 --limit 500"
    given = sys.argv[1:]
    split = given.index("--") if "--" in given else len(given)
    options = parser.parse_args(given[:split])
    options.trial = given[split + 1:]
    options.seeds = options.seeds or (3 if options.what == "shapes" else 1)
    options.split = options.split or ("val" if options.what == "search" else "test")
    if (options.what == "cifar10") != bool(options.data):
        parser.error("cifar10, and nothing else, needs --data DIR")
    options.data = ["--data", options.data] if options.data else []
    options.out = options.out or ROOT / "runs" / (f"reproduce_{options.what}" + "_trial" * bool(options.trial))
    options.build = options.build.resolve()
    for tool in ("pretrain", "linear_probe", "evaluate"):
        if not (options.build / tool).exists():
            sys.exit(f"reproduce.sh: there is no {options.build / tool}; build it, or give --build")
    return options


def chosen_runs(options):
    """The rows that --only names, or all."""
    runs = RUNS[options.what]
    wanted = [slug(name) for name in options.only.split(",") if name]
    unknown = set(wanted) - {slug(name) for name, _, _ in runs}
    if unknown:
        sys.exit(f"reproduce.sh: --only: no row is called {', '.join(sorted(unknown))}; expected names such as "
                 f"{', '.join(slug(name) for name, _, _ in runs)}")
    return [run for run in runs if not wanted or slug(run[0]) in wanted]


def run_all(runner, options, runs):
    """Runs every row with every seed. Returns the figures by row and seed, and whether one failed."""
    results, failed = {}, False
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        tasks = {pool.submit(one_run, runner, options, *run, seed): (run[0], seed)
                 for seed in range(1, options.seeds + 1) for run in runs}
        for task in concurrent.futures.as_completed(tasks):
            name, seed = tasks[task]
            try:
                figures = task.result()
            except Stopped:
                continue
            except (RuntimeError, OSError, KeyError, ValueError) as error:
                failed = True
                print(f"failed: {name}, seed {seed}: {error}", file=sys.stderr, flush=True)
                continue
            results.setdefault(name, {})[seed] = figures
            print(f"{name}, seed {seed}: probe {figures['probe']:.2f}, {figures['minutes']:.0f} minutes", flush=True)
    return results, failed


def main():
    options = read_options()
    runs = chosen_runs(options)
    options.out.mkdir(parents=True, exist_ok=True)
    runner = Runner()
    runner.catch_signals()
    results, failed = run_all(runner, options, runs)
    others = [run for run in RUNS[options.what] if run not in runs]
    results |= finished_before(options, others)  # so that --only leaves them in the table, and has their bases
    text = table(options.what, results, [name for name, _, _ in RUNS[options.what]])
    (options.out / ("table.md" if options.split == "test" else f"table_{options.split}.md")).write_text(text + "\n")
    print(text)
    commits = sorted({(figures.get("commit") or "unknown")[:12] for row in results.values() for figures in row.values()})
    if len(commits) > 1:
        print(f"notice: these rows are of different commits: {', '.join(commits)}")
    if runner.stopping:
        print("stopped; the same command goes on", file=sys.stderr)
        return 130
    return 1 if failed else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["evidence"]:
        import evidence.command  # it has rows and options of its own
        sys.exit(evidence.command.main(sys.argv[2:]))
    sys.exit(main())
