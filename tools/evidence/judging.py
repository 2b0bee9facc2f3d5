"""Judges finished runs with commands of linear_probe and evaluate, and reads figures from their JSON.

A group consists of judgments. If a judgment's data is missing, or the tools do not know it, the run's line gets a note.
"""
import dataclasses
import json
import math
import typing

from .rows import dataset_of

FORMS = {"full": "full", "foreground_only": "fore", "background_only": "back", "repaired": "re-paired"}
# The folder of each data set below --data; the first that exists. The subset's probe has a name of its own.
FOLDERS = {"cifar10": ("cifar10",), "composites": ("cifar10",), "cifar100": ("cifar100", "cifar100_subset")}
TRANSFER = "transfer probe"
TRANSFER_PARTS = ("shapes probe", ("CIFAR-100 probe", "CIFAR-100 subset probe"))
# Numbers in the tools' JSON that describe the measurement and are not results.
SETTINGS = {"k", "epochs", "seed", "classes", "train_images", "test_images", "decoder_width", "ways", "shots", "queries",
            "episodes", "images", "chance", "width", "drawn_from", "interval_95"}
MISSING = ("missing_classes", "missing_images")  # fields of judgments that cannot predict some classes


@dataclasses.dataclass(frozen=True)
class Judgment:
    name: str  # the group, then what the run is judged on
    tool: str
    options: tuple
    dataset: str  # empty: the run's own
    read: typing.Callable  # reads figures from the tool's JSON and the data folder

    @property
    def group(self):
        return self.name.split()[0]


class NotJudged(Exception):
    """Why there are no figures; becomes the note in the line."""


def flat(value, name):
    """The numbers of nested JSON, named by their paths, without settings and missing classes."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return {}
    if isinstance(value, (int, float)):
        return {name: value}
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    return {key: number for inner, part in pairs
            if (inner not in SETTINGS or nested(part)) and inner not in MISSING
            for key, number in flat(part, f"{name} {inner}").items()}


def nested(value):
    """Whether it holds more than numbers: the ends of an interval are no results."""
    return isinstance(value, dict) or isinstance(value, list) and any(isinstance(each, (dict, list)) for each in value)


def _probe(name):
    def read(said, folder):
        named = "CIFAR-100 subset probe" if folder and folder.name == "cifar100_subset" else name
        return {named: said["top1"]}
    return read


def _home(said, _):
    knn, crowding = said["knn"], said["crowding"]
    figures = {"kNN 200": knn["knn_cosine_200"]["top1"], "kNN 5": knn["knn_euclidean_5"]["top1"],
               "crowding": crowding["ratio"], "crowding intra": crowding["intra"], "crowding inter": crowding["inter"],
               "rankme": said["collapse"]["rankme"], "std": said["collapse"]["std"]}
    if "masked" in knn:
        figures["kNN 200 masked"] = knn["masked"]["knn_cosine_200"]["top1"]
        figures["kNN 5 masked"] = knn["masked"]["knn_euclidean_5"]["top1"]
    return figures


def _dense(name):
    return lambda said, _: {f"dense mIoU {name}": said["dense"]["miou"]}


def _claims(said, _):
    return {"R2": said["reconstruction"]["r2"], **{name: said["nuisance"][name] for name in ("rotation", "hue", "crop")}}


def _foreground(name):
    def read(said, _):
        matrix = said["foreground"]
        figures = {f"{name} {FORMS[trained]} > {FORMS[tested]}": value
                   for trained, row in zip(matrix["train"], matrix["linear_probe"])
                   for tested, value in zip(matrix["test"], row)}
        figures[f"{name} gap"] = figures[f"{name} full > full"] - figures[f"{name} full > fore"]
        return figures | flat(matrix.get("swap"), f"{name} swap")
    return read


def _all_of(metric, name):
    def read(said, folder):
        if said[metric] is None:
            raise NotJudged("not measured: this split does not suit")
        named = "CIFAR-100 subset episodes" if folder and folder.name == "cifar100_subset" else name
        return flat(said[metric], named)
    return read


def judgments(row):
    """Returns the judgments of the row's groups, in order."""
    home = ("--limit", "20000") if row.split == "val" else ()
    own = dataset_of(row.common)
    small, some = ("--limit", "1500", "--train-limit", "1000"), ("--limit", "4000", "--train-limit", "2000")
    lbfgs = ("--protocol", "lbfgs")
    rendered = [own] if own in ("confounded_shapes", "composites") else ["confounded_shapes", "composites"]
    short = {"confounded_shapes": "shapes", "composites": "composites"}
    everything = [
        Judgment("home probe", "linear_probe", lbfgs + home, "", _probe("probe")),
        Judgment("home adam", "linear_probe", ("--protocol", "adam") + home, "", _probe("probe Adam")),
        Judgment("home features", "evaluate", ("--metrics", "knn,crowding,collapse") + home, "", _home),
        Judgment("transfer shapes", "linear_probe", lbfgs, "confounded_shapes", _probe("shapes probe")),
        Judgment("transfer cifar100", "linear_probe", lbfgs, "cifar100", _probe("CIFAR-100 probe")),
        *[Judgment(f"dense {short[on]}", "evaluate", ("--metrics", "dense") + small, on, _dense(short[on]))
          for on in rendered],
        Judgment("claims", "evaluate", ("--metrics", "nuisance,reconstruction") + some, "", _claims),
        Judgment("corruptions", "evaluate", ("--metrics", "corruptions") + home, "", _all_of("corruptions", "corruptions")),
        Judgment("episodes home", "evaluate", ("--metrics", "episodes") + home, "", _all_of("episodes", "episodes")),
        Judgment("episodes cifar100", "evaluate", ("--metrics", "episodes"), "cifar100",
                  _all_of("episodes", "CIFAR-100 episodes")),
        *[Judgment(f"foreground {short[on]}", "evaluate", ("--metrics", "foreground"), on, _foreground(short[on]))
          for on in rendered],
    ]
    return [each for group in row.judged_by for each in everything if each.group == group]


def data_folder(data, dataset):
    """Returns the folder of the data set's files, or None if it needs none. Raises NotJudged if they are missing."""
    if dataset not in FOLDERS:
        return None
    for name in FOLDERS[dataset]:
        if data and (data / name).is_dir():
            return data / name
    raise NotJudged(f"no folder {' or '.join(FOLDERS[dataset])} beside the others' data")


def command_of(judgment, row, data, run, out, device, limits=()):
    """Returns the command's words without the tool; `limits` replace the judgment's own."""
    folder = data_folder(data, judgment.dataset or dataset_of(row.common))
    own = judgment.dataset in ("", dataset_of(row.common))
    subject = ["--run", run] if own else ["--encoder-file", run / "encoder.safetensors", "--dataset", judgment.dataset]
    options = dict(zip(judgment.options[::2], judgment.options[1::2])) | dict(limits)
    if judgment.tool == "linear_probe":
        options.pop("--train-limit", None)
    return [*subject, *(["--data", folder] if folder else []), "--device", device, "--split", row.split,
            *[word for pair in options.items() for word in pair], "--out", out]


def figures_in(judgment, row, data, out):
    """Returns figures from the tool's JSON, rounded to six digits, without NaN and null."""
    said = json.loads(out.read_text(encoding="utf-8"))
    figures = judgment.read(said, data_folder(data, judgment.dataset or dataset_of(row.common)))
    return {name: float(f"{value:.6g}") for name, value in figures.items() if value is not None and math.isfinite(value)}


def with_means(figures):
    """Adds the mean over the data sets that the run was not trained on, if all of them were judged."""
    parts = transfer_parts(figures)
    if all(parts):
        figures[TRANSFER] = float(f"{sum(figures[part] for part in parts) / len(parts):.6g}")
    return figures


def transfer_parts(figures):
    """The names of the figures in the mean; "" if one is missing."""
    names = [part if isinstance(part, tuple) else (part,) for part in TRANSFER_PARTS]
    return [next((name for name in each if name in figures), "") for each in names]
