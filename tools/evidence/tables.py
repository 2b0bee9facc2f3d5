"""The plan of the remaining runs, and Markdown tables of the finished ones."""
import statistics

from . import paired
from .judging import TRANSFER, transfer_parts
from .rows import METHODS, PRIMARIES, dataset_of
from .store import most_frequent

# The order of figures in a table; others follow.
FIGURES = ["probe", "probe Adam", "kNN 200", "kNN 200 masked", "kNN 5", "kNN 5 masked", "crowding", "crowding intra",
           "crowding inter", "rankme", "std", TRANSFER, "shapes probe", "CIFAR-100 probe", "CIFAR-100 subset probe",
           "dense mIoU shapes", "dense mIoU composites", "R2", "rotation", "hue", "crop"]
# The order of steps in a section, and their titles.
TITLES = {
    "step1": "step 1", "step2": "step 2", "step3": "step 3", "step4": "step 4",
    "step5": "step 5 (all images; less full_simclr: equal steps; less _x15 or _x37: 1.5 or 3.7 times its wall time, DSA's "
             "stage 1 not counted)",
    "gpu": "GPU (width 64)", "search": "search (validation images, seeds 101 and 102)"}


# ---- the plan


def core_minutes(store, row):
    """The mean over finished lines, or an estimate if there are none."""
    lines = [line for seed in row.seeds for line in store.lines(row.name, seed) if line.get("core_seconds")]
    if lines:
        return statistics.fmean(line["core_seconds"] for line in lines) / 60
    return row.train_minutes + row.judge_minutes


def plan(store, selected):
    """`selected`: pairs of a row and its seeds."""
    text = ["| step | row | seeds done | left | core-minutes each | done | left |", "|---" * 7 + "|"]
    sums = {}
    for row, seeds in selected:
        done = [seed for seed in seeds if store.finished(row, seed)]
        left = [seed for seed in seeds if seed not in done]
        each = core_minutes(store, row)
        total = sums.setdefault(row.step, [0, 0, 0, 0])
        for place, more in enumerate((len(done), len(left), each * len(done), each * len(left))):
            total[place] += more
        numbers = [", ".join(map(str, part)) for part in (done, left)]
        text.append(f"| {row.step} | {row.name} | {' | '.join(numbers)} | {each:.1f} | {each * len(done):.0f} | "
                    f"{each * len(left):.0f} |")
    text.append("")
    for step, (done, left, spent, ahead) in [*sums.items(), ("all", [sum(each) for each in zip(*sums.values())])]:
        text.append(f"{step}: {done} of {done + left} runs are done ({spent / 60:.1f} core-hours), "
                    f"{left} are left ({ahead / 60:.1f} core-hours)")
    return "\n".join(text)


# ---- tables


def decimals(values):
    """Small figures (crowding, R2) need more decimals."""
    return 3 if all(abs(value) < 5 for value in values) else 1


def mean_cell(values):
    if not values:
        return ""
    places = decimals(values)
    spread = f" ± {statistics.stdev(values):.{places}f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.{places}f}{spread}"


def sets_of(line):
    """The data sets of the mean over data sets."""
    return tuple(transfer_parts(line["figures"]))


def usual_sets(lines):
    """Those of the most lines that have that mean; None without any."""
    return most_frequent([sets_of(line)] for line in lines if TRANSFER in line["figures"])


def with_usual_sets(lines):
    """For each row the lines that have the mean over the same data sets as most lines, a remark on the others, and those data
    sets."""
    every = [line for each in lines.values() for line in each if TRANSFER in line["figures"]]
    sets = usual_sets(every)
    kept = {name: [line for line in each if sets_of(line) == sets] for name, each in lines.items()}
    others = [f"{line['row']} of seed {line['seed']}" for line in every if sets_of(line) != sets]
    remarks = [f"{TRANSFER}: over other data sets than {' and '.join(sets)}, left out: {', '.join(others)}"] if others else []
    return kept, remarks, sets


def differences(store, name, base, figure, seeds, length=None, sets=None):
    """One difference per seed with both lines on one machine. Of the mean over data sets: over `sets`, or those of most of
    these lines."""
    pairs = [pair for pair in store.pairs(name, base, seeds, length) if all(figure in line["figures"] for line in pair)]
    sets = sets or usual_sets([line for pair in pairs for line in pair])
    return [line["figures"][figure] - other["figures"][figure] for line, other in pairs
            if figure != TRANSFER or sets_of(line) == sets_of(other) == sets]


def interval_text(comparison, places):
    if comparison.interval is None:
        return ""
    return f"[{comparison.interval[0]:+.{places}f}, {comparison.interval[1]:+.{places}f}]"


def difference_cell(values, places):
    comparison = paired.compare(values)
    if comparison is None:
        return ""
    return f"{comparison.mean:+.{places}f} {interval_text(comparison, places)} {comparison.above}/{comparison.count}"


def unfinished(store, row, seeds):
    done = sum(bool(store.lines(row.name, seed)) for seed in seeds)
    return f"not finished: {done} of {len(seeds)} seeds" if done < len(seeds) else ""


def primaries_text(store, rows, seeds_of):
    """One entry per method. A test not made yet counts in Holm's correction as if it had failed."""
    compared = []
    for primary in PRIMARIES:
        seeds = seeds_of(rows[primary.row])
        compared.append(paired.compare(differences(store, primary.row, primary.base, primary.figure, seeds)))
    # All planned seeds, whatever the table shows: a part of them decides nothing.
    planned = [len(rows[primary.row].seeds) for primary in PRIMARIES]
    complete = [each if each and each.count == count else None for each, count in zip(compared, planned)]
    adjusted = paired.holm([each.p if each else None for each in complete])
    return {primary.method: _primary_text(primary, each, p, len(rows[primary.row].seeds))
            for primary, each, p in zip(PRIMARIES, compared, adjusted)}


def _primary_text(primary, comparison, adjusted, seeds):
    text = f"Primary figure, named beforehand: **{primary.figure} of {primary.row} less {primary.base}** ({primary.why}): "
    if comparison is None:
        return text + f"not finished: 0 of {seeds} seeds."
    places = 1
    text += f"{comparison.mean:+.{places}f}"
    if comparison.interval:
        text += (f", 95 % interval {interval_text(comparison, places)}, above in {comparison.above} of {comparison.count}, "
                 f"p = {comparison.p:.4f}")
    if comparison.count < seeds:
        return text + f"; not finished: {comparison.count} of {seeds} seeds, so this decides nothing."
    return text + (f", by Holm over the {len(PRIMARIES)} methods {adjusted:.4f}." if adjusted is not None else ".")


def blocks(rows, selected):
    """For each method, step and data set: the rows to compare with, then the method's rows."""
    kinds = {}
    for row, _ in selected:
        if row.method not in ("SimCLR", "Barlow Twins") or row.bases:  # else only in other methods' tables
            kinds.setdefault((row.method, row.step, dataset_of(row.common)), []).append(row)
    steps = list(TITLES)
    for method in METHODS:
        for (whose, step, dataset), own in sorted(kinds.items(), key=lambda kind: steps.index(kind[0][1])):
            if whose == method:
                names = dict.fromkeys([name for row in own for name in (*row.bases, *row.against)])
                yield method, f"{TITLES[step]}, trained on {dataset}", [
                    rows[name] for name in dict.fromkeys([*names, *[row.name for row in own]]) if name in rows]


def block_text(store, method, title, columns, seeds_of):
    head = [f"### {method}, {title}", ""]
    missing = [f"{row.name} {text}" for row in columns if (text := unfinished(store, row, seeds_of(row)))]
    own_seeds = {row.name: seeds_of(row) for row in columns}
    lines, remarks, length = store.columns(list(own_seeds), own_seeds.get)
    same_sets, other_sets, sets = with_usual_sets(lines)
    remarks += other_sets
    head += ["; ".join([*missing, *remarks]), ""] if missing or remarks else []
    known = dict.fromkeys(name for each in lines.values() for line in each for name in line["figures"])
    figures = [name for name in FIGURES if name in known] + [name for name in known if name not in FIGURES]
    if not figures:
        return "\n".join(head)
    shown = [row for row in columns if lines[row.name]]
    text = [*head, "| mean ± deviation | " + " | ".join(row.name for row in shown) + " |", "|---" * (len(shown) + 1) + "|",
            "| seeds | " + " | ".join(str(len(lines[row.name])) for row in shown) + " |"]
    for figure in figures:
        of = same_sets if figure == TRANSFER else lines
        cells = [mean_cell([line["figures"][figure] for line in of[row.name] if figure in line["figures"]]) for row in shown]
        text.append(f"| {figure} | " + " | ".join(cells) + " |")
    def differ(row, base, figure):
        return differences(store, row.name, base, figure, seeds_of(row), length, sets)

    pairs = [(row, base) for row in shown for base in (*row.bases, *row.against)
             if row.method == method and any(True for _ in store.pairs(row.name, base, seeds_of(row), length))]
    return "\n".join(text + differences_text(pairs, lines, figures, differ))


def differences_text(pairs, lines, figures, differ):
    if not pairs:
        return []
    text = ["", "| difference [95 % interval] seeds above | " + " | ".join(f"{row.name} less {base}" for row, base in pairs)
            + " |", "|---" * (len(pairs) + 1) + "|"]
    for figure in figures:
        places = decimals([line["figures"][figure] for each in lines.values() for line in each if figure in line["figures"]])
        cells = [difference_cell(differ(row, base, figure), places) for row, base in pairs]
        if any(cells):
            text.append(f"| {figure} | " + " | ".join(cells) + " |")
    return text


def tables(store, rows, selected, seeds_of):
    """Markdown: one section per method, its primary figure first."""
    primary, text = primaries_text(store, rows, seeds_of), []
    by_method = {}
    for method, title, columns in blocks(rows, selected):
        by_method.setdefault(method, []).append(block_text(store, method, title, columns, seeds_of))
    for method, parts in by_method.items():
        text += [f"## {method}", ""] + ([primary[method], ""] if method in primary else [])
        text += [part + "\n" for part in parts]
    return "\n".join(text)
