"""Runs rows: trains, judges, and appends the line. After a signal, runs resume from their checkpoints."""
import dataclasses
import json
import pathlib
import resource
import sys
import time

from runs import Runner, TookTooLong, last_line

from . import judging
from .rows import Row
from .store import Store, machine_of


@dataclasses.dataclass
class Place:
    """Where rows run, and with which tools and data."""
    runner: Runner
    store: Store
    rows: dict  # by name
    data: pathlib.Path
    build: pathlib.Path
    runs: pathlib.Path
    processor: str
    threads: int
    device: str = "cpu"
    limits: tuple = ()  # option pairs that replace the judgments' own
    epochs: int | None = None  # pieces on a GPU
    judged_at: str = ""  # commit of the judging tools, if not that of the rows

    @property
    def machine(self):
        return machine_of({"processor": self.processor, "threads": self.threads, "epochs": self.epochs,
                           "commit": self.store.commit})


def core_seconds():
    """CPU seconds of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Run:
    """One row with one seed: its folder, its log, and a state file with its settings and progress."""

    def __init__(self, place, row: Row, seed):
        self.place, self.row, self.seed = place, row, seed
        self.name = f"{row.name}_s{seed}"
        self.folder, self.log = place.runs / self.name, place.runs / f"{self.name}.log"
        self.state_file = place.runs / f"{self.name}.json"
        self.options = row.pretrain_options(seed)
        of = {"commit": place.store.commit, "processor": place.processor, "threads": place.threads,
              "options": self.options, "prior": row.prior}
        self.state, self.own = {**of, "train_seconds": 0, "core_seconds": 0, "trained": False}, False
        if self.folder.exists() and self.state_file.exists():
            there = json.loads(self.state_file.read_text(encoding="utf-8"))
            whole = not there["trained"] or (self.folder / "encoder.safetensors").exists()
            if whole and {key: there.get(key) for key in of} == of:
                self.state, self.own = there, True

    @property
    def trained(self):
        return self.own and self.state["trained"]

    def save(self):
        new = self.state_file.with_suffix(".json.new")
        new.write_text(json.dumps(self.state, indent=1), encoding="utf-8")
        new.replace(self.state_file)

    def set_aside_others(self):
        """Renames what another commit, machine or set of options left under this name."""
        if self.own or not self.folder.exists():
            return
        number = next(n for n in range(1, 10**6) if not (self.place.runs / f"{self.name}.before_{n}").exists())
        for file in (self.folder, self.log, self.state_file):
            if file.exists():
                file.rename(file.with_name(file.name.replace(self.name, f"{self.name}.before_{number}", 1)))

    def train(self, seconds=None):
        """Trains until there is an encoder, or raises an exception."""
        if self.trained:
            return
        self.set_aside_others()
        self.place.runs.mkdir(parents=True, exist_ok=True)
        self.save()
        folder = judging.data_folder(self.place.data, judging.dataset_of(self.row.common))
        paths = ["--data", folder] if folder else []
        if self.row.prior:
            paths += ["--dsa.prior_file", self.place.runs / f"{self.row.prior}_s{self.seed}" / "encoder.safetensors"]
        began, used = time.monotonic(), core_seconds()
        try:
            self.place.runner.run([self.place.build / "pretrain", *self.options, *paths, "--out", self.folder, "--resume"],
                                  self.log, seconds=seconds)
            self.state["trained"] = self.own = True
        finally:
            self.state["train_seconds"] += round(time.monotonic() - began, 1)
            self.state["core_seconds"] += round(core_seconds() - used, 1)
            self.save()

    def train_again(self, seconds=None):
        """Trains a row that has its line, for its encoder, and compares the figures with the line's."""
        self.state["unchecked"] = True  # until compared, also after an interrupt
        self.train(seconds)
        figures, _ = self.judge([each for each in judging.judgments(self.row) if each.group == "home"])
        line = self.place.store.line(self.row.name, self.seed, self.place.machine)
        other = [f"{name} ({line['figures'].get(name)}, now {figures[name]})" for name in figures
                 if figures[name] != line["figures"].get(name)]
        if other:
            self.state["differs"] = f"{self.row.name}, trained again, differs from its line in {', '.join(other)}"
            print(f"warning: seed {self.seed}: {self.state['differs']}", file=sys.stderr, flush=True)
        self.state["unchecked"] = False
        self.save()

    def prior_note(self):
        """The note of a row whose prior's encoder is not that of the prior's line."""
        prior = self.row.prior and Run(self.place, self.place.rows[self.row.prior], self.seed)
        return {"prior": prior.state["differs"]} if prior and prior.state.get("differs") else {}

    def steps(self):
        """The step in the last line of metrics.jsonl."""
        lines = (self.folder / "metrics.jsonl").read_text(encoding="utf-8").split("\n")
        return json.loads([line for line in lines if line.strip()][-1])["step"]

    def judge(self, judgments, left=lambda: None):
        """Returns figures, and notes on what could not be judged. `left` returns the remaining seconds; None: no
        limit."""
        figures, notes = {}, {}
        for judgment in judgments:
            try:
                figures |= self._judge(judgment, None if judgment.group == "home" else left())
            except judging.NotJudged as why:
                notes[judgment.name] = str(why)
            except TookTooLong:
                notes[judgment.name] = "no time was left"
        return judging.with_means(figures), notes

    def _judge(self, judgment, seconds):
        place, tool = self.place, judgment.tool
        if seconds is not None and seconds <= 0:
            raise judging.NotJudged("no time was left")
        out = self.folder / f"judged_{judgment.name.replace(' ', '_')}_{self.row.split}.json"
        words = judging.command_of(judgment, self.row, place.data, self.folder, out, place.device, place.limits)
        # Status 2: the tool does not know the judgment, or its data does not fit. Without "home" figures, the run has failed.
        allowed = (0,) if judgment.group == "home" else (0, 2)
        if place.runner.run([place.build / tool, *words], self.log, allowed, seconds) == 2:
            said = last_line(self.log).replace(str(place.data), "DIR").replace(str(self.folder), "RUN")
            raise judging.NotJudged(said[:120])
        try:
            return judging.figures_in(judgment, self.row, place.data, out)
        except (KeyError, TypeError, ValueError) as error:  # other tools may write other JSON
            if judgment.group == "home":
                raise
            raise judging.NotJudged(f"{out.name}: not understood: {error!r}") from error

    def line(self, figures, notes, core):
        place, state = self.place, self.state
        return {"row": self.row.name, "step": self.row.step, "seed": self.seed, "commit": place.store.commit,
                "processor": place.processor, "threads": place.threads, "split": self.row.split,
                **({"epochs": place.epochs} if place.epochs else {}), "options": self.options,
                **({"prior": self.row.prior} if self.row.prior else {}), "train_seconds": round(state["train_seconds"], 1),
                "core_seconds": round(core, 1), "steps": self.steps(), "figures": figures,
                **({"notes": notes} if notes else {})}


class Work:
    """Runs rows in order, each after the bases that it is compared with."""

    def __init__(self, place):
        self.place, self.failures = place, {}

    def run_all(self, todo, minutes=None):
        began = time.monotonic()
        for row, seed in todo:
            if minutes is not None and time.monotonic() - began >= 60 * minutes:
                print(f"{minutes:g} minutes are over: no new row is begun; the same command goes on", flush=True)
                return
            if self.place.store.finished(row, seed):  # as the base of an earlier row
                continue
            try:
                self.settle(row, seed)
            except (RuntimeError, OSError, KeyError, ValueError, judging.NotJudged) as error:
                self.failures[row.name, seed] = str(error)
                print(f"failed: {row.name}, seed {seed}: {error}", file=sys.stderr, flush=True)

    def settle(self, row, seed):
        """Makes sure that the row and its bases have lines of this machine."""
        for base in row.bases:
            if not self.place.store.line(base, seed, self.place.machine):
                if (base, seed) in self.failures:
                    raise RuntimeError(f"its base {base} failed")
                self.settle(self.place.rows[base], seed)
        if row.prior:
            self.bring_back(self.place.rows[row.prior], seed)
        if not self.place.store.line(row.name, seed, self.place.machine):
            self.run(row, seed)

    def run(self, row, seed):
        run = Run(self.place, row, seed)
        print(f"{time.strftime('%H:%M')} {row.step} {row.name}, seed {seed}", flush=True)
        run.train()
        used = core_seconds()
        figures, notes = run.judge(judging.judgments(row))
        notes |= run.prior_note()
        self.place.store.append(run.line(figures, notes, run.state["core_seconds"] + core_seconds() - used))
        self.tell(run, figures, notes)

    def tell(self, run, figures, notes):
        print(f"      probe {figures['probe']:.2f}, kNN 200 {figures['kNN 200']:.2f}, "
              f"{run.state['train_seconds'] / 60:.1f} minutes of training"
              + (f"; without {', '.join(left)}" if (left := [name for name in notes if name != "prior"]) else ""), flush=True)

    def bring_back(self, row, seed):
        """Makes sure that the row's encoder is here. If it was trained elsewhere, trains it again and compares."""
        run = Run(self.place, row, seed)
        if run.trained and not run.state.get("unchecked"):
            return
        print(f"{time.strftime('%H:%M')} {row.step} {row.name}, seed {seed}: its encoder is not here; again", flush=True)
        run.train_again()

    def judge_again(self, row, seed):
        """Repeats the judgments that left a note, if the run's encoder is here. Returns whether that gave any
        figures."""
        line = self.place.store.line(row.name, seed, self.place.machine)
        run = Run(self.place, row, seed)
        if not line or not line.get("notes") or not run.trained:
            return False
        if run.state.get("unchecked") or run.state.get("differs"):
            print(f"{row.name}, seed {seed}: was trained again and is not the encoder of its line", file=sys.stderr, flush=True)
            return False
        used = core_seconds()
        figures, notes = run.judge([each for each in judging.judgments(row) if each.name in line["notes"]])
        if not figures:
            return False
        figures = judging.with_means(line["figures"] | figures)
        notes |= {name: why for name, why in line["notes"].items() if name == "prior"}
        again = {"judged_again_at": self.place.judged_at or self.place.store.commit}
        self.place.store.append(run.line(figures, notes, line["core_seconds"] + core_seconds() - used) | again)
        self.tell(run, figures, notes)
        return True
