"""evidence_test.py SOURCE_FOLDER: `reproduce.sh evidence`, with scripts in place of the tools, and without data: order,
stops and repeats as a user would meet them.
"""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from evidence_lines import COMMIT, OTHER, SOURCE, line_of  # first: it finds the modules below
from evidence import gpu, rows, store
from evidence.clone import check_out, mark_of, processor_name

# What pretrain, linear_probe and evaluate do as far as the rows can see. FAKE holds a list of the calls; a file SLOW in it
# makes training wait for a signal, UNKNOWN holds metrics that evaluate does not know.
FAKE_TOOL = r'''
import json, os, pathlib, signal, sys, time
tool, words, fake = pathlib.Path(sys.argv[0]).name, sys.argv[1:], pathlib.Path(os.environ["FAKE"])
resume = "--resume" in words
words = [word for word in words if word != "--resume"]
options = dict(zip(words[::2], words[1::2]))
with open(fake / "calls", "a") as calls:
    calls.write(json.dumps({"tool": tool, "nice": os.nice(0), "threads": os.environ["OMP_NUM_THREADS"], **options}) + "\n")
out = pathlib.Path(options["--out"])
number = sum(map(ord, "".join(v for k, v in options.items() if k not in ("--out", "--run", "--data")))) % 90
if tool == "pretrain":
    assert resume
    out.mkdir(exist_ok=True)
    prior = options.get("--dsa.prior_file")
    if prior and not os.path.exists(prior):
        sys.exit("pretrain: no prior")
    done = out / "checkpoint"
    if (fake / "SLOW").exists() and not done.exists():
        def stop(*_):
            done.touch()
            sys.exit(130)
        signal.signal(signal.SIGINT, stop)
        (fake / "SLOW").unlink()
        time.sleep(600)
    (out / "metrics.jsonl").write_text('{"step":10}\n{"step":390}\n')
    (out / "encoder.safetensors").write_text(str(number + (fake / "DRIFT").exists()))
else:
    run = pathlib.Path(options.get("--run") or pathlib.Path(options["--encoder-file"]).parent)
    value = int((run / "encoder.safetensors").read_text())
    unknown = (fake / "UNKNOWN").read_text().split() if (fake / "UNKNOWN").exists() else []
    bad = [metric for metric in options.get("--metrics", "").split(",") if metric in unknown]
    if bad:
        print(f"evaluate: --metrics: unknown name '{bad[0]}'", file=sys.stderr)
        sys.exit(2)
    top1 = {"top1": value}
    matrix = {"train": ["full", "foreground_only"], "test": ["full", "foreground_only", "background_only", "repaired"],
              "linear_probe": [[value, value + 1, 10, value - 2], [1, 2, 3, 4]], "swap": {"drop": 2.5}}
    out.write_text(json.dumps({"top1": value, "knn": {"knn_cosine_200": top1, "knn_euclidean_5": top1},
        "crowding": {"ratio": 1.5, "intra": .1, "inter": .2}, "collapse": {"rankme": 40, "std": None},
        "dense": {"iou" if (fake / "ODD").exists() else "miou": 60}, "reconstruction": {"r2": 0.5}, "nuisance": {"rotation": 50, "hue": None, "crop": 40},
        "corruptions": {"noise": {"top1": 30, "classes": 10}}, "foreground": matrix,
        "episodes": None if "cifar100" in options.get("--dataset", "") else
                    {"ways": 5, "shots": {"1": {"accuracy": 30, "interval_95": 1}, "5": {"accuracy": 40}}}}))
'''


class Commands(unittest.TestCase):
    """The command itself."""

    def setUp(self):
        self.top = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.top)
        self.lines, self.runs, self.fake = (self.top / name for name in ("lines", "runs", "fake"))
        for folder in (self.lines, self.fake, self.top / "data" / "cifar10", self.top / "data" / "cifar100_subset"):
            folder.mkdir(parents=True)
        (self.lines / "COMMIT").write_text(COMMIT + "\n")
        (self.fake / "BUILT").write_text(mark_of(COMMIT))
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup ignores it
        write_tools(self.fake)

    def start(self, *words, trial=()):
        words = [*words, "--data", self.top / "data", "--lines", self.lines, "--runs", self.runs, "--build", self.fake]
        words += ["--", *trial] if trial else []
        return subprocess.Popen(["bash", SOURCE / "tools" / "reproduce.sh", "evidence", *map(str, words)], text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {"FAKE": str(self.fake)})

    def evidence(self, *words, status=0, **more):
        process = self.start(*words, **more)
        said = "".join(process.communicate(timeout=1400))
        self.assertEqual(process.returncode, status, said)
        return said

    def wait_for_training(self):
        end = time.monotonic() + 600
        while (self.fake / "SLOW").exists():
            self.assertLess(time.monotonic(), end, "training did not begin")
            time.sleep(0.02)

    def found(self, step):
        file = self.lines / f"{step}.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def calls(self, tool="pretrain"):
        file = self.fake / "calls"
        every = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        return [call for call in every if call["tool"] == tool]

    def test_rows_run_in_order_once(self):
        said = self.evidence("--only", "simclr,dsa_off,dsa_best,mrcl", "--seeds", "1,2")
        self.assertIn("8 runs are left", said)
        runs = [pathlib.Path(call["--out"]).name for call in self.calls()]
        # The primary figures' rows first.
        self.assertEqual(runs, ["simclr_s1", "dsa_best_s1", "mrcl_s1", "simclr_s2", "dsa_best_s2", "mrcl_s2", "dsa_off_s1",
                                "dsa_off_s2"])
        self.assertTrue(all(call["nice"] == 19 and call["threads"] == "1" for call in self.calls()))
        dsa = next(line for line in self.found("step1") if line["row"] == "dsa_best")
        self.assertEqual(self.calls()[1]["--dsa.prior_file"], str(self.runs / "runs" / "simclr_s1" / "encoder.safetensors"))
        self.assertEqual((dsa["prior"], dsa["steps"], dsa["split"], dsa["commit"]), ("simclr", 390, "test", COMMIT))
        self.assertFalse([word for word in dsa["options"] if "/" in word])
        figures = dsa["figures"]
        self.assertEqual(figures["transfer probe"], (figures["shapes probe"] + figures["CIFAR-100 subset probe"]) / 2)
        self.assertEqual((figures["episodes shots 1 accuracy"], figures["R2"], figures["dense mIoU shapes"]), (30, 0.5, 60))
        self.assertEqual(dsa["notes"], {"episodes cifar100": "not measured: this split does not suit"})
        self.assertNotIn("hue", figures)  # null: not measured
        self.assertIn("0 runs are left", self.evidence("--only", "simclr,dsa_off,dsa_best,mrcl", "--seeds", "1,2"))
        self.assertEqual(len(self.calls()), 8)
        self.assertIn("| step1 | dsa_best | 1, 2 | 3, 4, 5 |", self.evidence("--plan"))
        self.assertIn("### DSA, step 1", self.evidence("--tables"))

    @unittest.skipIf(rows.SEARCHED, "the search's choice is in rows.py")
    def test_nothing_runs_before_the_searchs_choice(self):
        search = [(each, seed) for each in rows.ROWS if each.step == "search" for seed in each.seeds]
        search.remove(next(pair for pair in reversed(search) if not pair[0].prior))
        for each, seed in search:
            store.append(self.lines / "search.jsonl", line_of(each.name, seed, processor_name()))
        self.assertIn("1 runs of the search are left", said := self.evidence())
        self.assertIn("the search is over: put its choice", said)
        self.evidence()
        self.assertEqual(len(self.calls()), 1)
        self.assertNotIn("of the search", self.evidence("--seeds", "1", "--minutes", "0"))

    def test_validation_images_in_the_search(self):
        self.evidence("--step", "search", "--only", "search_simclr", "--seeds", "101")
        self.assertEqual({call["--split"] for call in self.calls("linear_probe")}, {"val"})
        self.assertEqual(self.calls("linear_probe")[0]["--limit"], "20000")

    def test_the_base_is_repeated_on_this_machine(self):
        store.append(self.lines / "step1.jsonl", line_of("simclr", 1, "another processor"))
        store.append(self.lines / "step1.jsonl", line_of("simclr", 1, processor_name()) | {"threads": 2})
        self.evidence("--only", "dsa_on", "--seeds", "1")
        self.assertEqual([(line["row"], line["processor"]) for line in self.found("step1")[2:]],
                         [("simclr", processor_name()), ("dsa_on", processor_name())])

    def test_an_encoder_that_is_not_here_is_trained_again(self):
        self.evidence("--only", "simclr", "--seeds", "1")
        shutil.rmtree(self.runs / "runs" / "simclr_s1")
        self.assertNotIn("warning", self.evidence("--only", "dsa_best", "--seeds", "1"))
        self.assertEqual([line["row"] for line in self.found("step1")], ["simclr", "dsa_best"])
        shutil.rmtree(self.runs / "runs" / "simclr_s1")
        (self.fake / "DRIFT").touch()
        self.assertIn("warning: seed 1: simclr, trained again, differs from its line in probe (",
                      self.evidence("--only", "dsa_lambda1_0", "--seeds", "1"))
        self.assertIn("simclr, trained again, differs", self.found("step1")[-1]["notes"]["prior"])
        # Its figures and those of the old encoder do not get into one line.
        self.assertIn("is not the encoder of its line", self.evidence("--judge-again", "--only", "simclr", "--seeds", "1"))

    def test_an_encoder_trained_again_is_compared_after_an_interrupt_too(self):
        self.evidence("--only", "simclr", "--seeds", "1")
        shutil.rmtree(self.runs / "runs" / "simclr_s1")
        (self.fake / "DRIFT").touch()
        (self.fake / "UNKNOWN").write_text("knn")  # trained, and not judged
        self.evidence("--only", "dsa_best", "--seeds", "1", status=1)
        (self.fake / "UNKNOWN").unlink()
        self.assertIn("differs from its line in probe (", self.evidence("--only", "dsa_best", "--seeds", "1"))
        self.assertEqual([pathlib.Path(call["--out"]).name for call in self.calls()], ["simclr_s1", "simclr_s1", "dsa_best_s1"])

    def test_stop_and_go_on(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            shutil.rmtree(self.runs, ignore_errors=True)
            (self.fake / "SLOW").touch()
            process = self.start("--only", "simclr,dsa_on", "--seeds", "4")
            self.wait_for_training()
            process.send_signal(number)
            said = "".join(process.communicate(timeout=1400))
            self.assertEqual(process.returncode, 130, said)
            self.assertIn("the same command goes on", said)
            self.assertTrue((self.runs / "runs" / "simclr_s4" / "checkpoint").exists())
        self.assertEqual(self.found("step1"), [])
        self.evidence("--only", "simclr,dsa_on", "--seeds", "4")
        self.assertEqual([line["row"] for line in self.found("step1")], ["simclr", "dsa_on"])
        self.assertTrue((self.runs / "runs" / "simclr_s4" / "checkpoint").exists())  # gone on with, not begun anew

    def test_only_one_at_a_time(self):
        (self.fake / "SLOW").touch()
        process = self.start("--only", "simclr", "--seeds", "1")
        self.wait_for_training()
        self.assertIn("another evidence run is at work", self.evidence("--only", "simclr", status=2))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=1400)

    def test_unknown_metrics_leave_notes_and_are_judged_again(self):
        (self.fake / "UNKNOWN").write_text("episodes corruptions")
        said = self.evidence("--only", "simclr", "--seeds", "1")
        self.assertIn("without corruptions, episodes home, episodes cifar100", said)
        self.assertIn("unknown name 'episodes'", self.found("step1")[0]["notes"]["episodes home"])
        (self.fake / "UNKNOWN").write_text("corruptions")
        self.assertIn("judged again: 1 runs", self.evidence("--judge-again", "--only", "simclr", "--seeds", "1"))
        last = self.found("step1")[-1]
        self.assertEqual(list(last["notes"]), ["corruptions", "episodes cifar100"])
        self.assertEqual((last["figures"]["episodes shots 5 accuracy"], last["figures"]["dense mIoU shapes"]), (40, 60))
        self.assertEqual(len(self.calls()), 1)

    def test_other_json_leaves_a_note(self):
        (self.fake / "ODD").touch()
        self.evidence("--only", "mrcl", "--seeds", "1")
        self.assertEqual(self.found("step2")[0]["notes"]["dense shapes"],
                         "judged_dense_shapes_test.json: not understood: KeyError('miou')")

    def test_without_cifar100_there_is_no_mean(self):
        (self.top / "data" / "cifar100_subset").rmdir()
        self.evidence("--only", "mrcl", "--seeds", "1")
        line = self.found("step2")[0]
        self.assertIn("no folder cifar100 or cifar100_subset", line["notes"]["transfer cifar100"])
        self.assertNotIn("transfer probe", line["figures"])

    def test_a_failure_ends_its_rows_alone(self):
        (self.fake / "UNKNOWN").write_text("knn")  # nothing counts without it
        said = self.evidence("--only", "dsa_on,dsa_off,mrcl", "--seeds", "1", status=1)
        self.assertEqual(said.count("its base simclr failed"), 0)
        self.assertEqual(len(self.calls()), 1, said)  # trained once, judged in vain three times
        (self.fake / "UNKNOWN").unlink()
        self.evidence("--only", "dsa_on", "--seeds", "1")
        self.assertEqual(len(self.calls()), 2)

    def test_another_commit_begins_anew(self):
        self.evidence("--only", "simclr", "--seeds", "1")
        (self.lines / "COMMIT").write_text(OTHER)
        self.assertIn("is no build that this command made at bbbbbbbbbbbb",
                      self.evidence("--only", "simclr", "--seeds", "1", status=2))
        (self.fake / "BUILT").write_text(mark_of(OTHER))
        said = self.evidence("--only", "simclr", "--seeds", "1")
        self.assertIn("ignored: 1 lines of another commit", said)
        self.assertEqual([line["commit"] for line in self.found("step1")], [COMMIT, OTHER])
        self.assertTrue((self.runs / "runs" / "simclr_s1.before_1" / "encoder.safetensors").exists())

    def test_what_is_wrong_is_said_in_one_line(self):
        for words, expected in [(["--only", "dsa"], "no row is called dsa"), (["--seeds", "x"], "is no list of numbers"),
                                (["--seeds", "77"], "leave no row"), (["--gpu", "A"], "--gpu needs --seed"),
                                (["--gpu", "A", "--seed", "1", "--device", "cpu"], "needs --out FILE")]:
            said = self.evidence(*words, status=2)
            self.assertIn(expected, said)
        (self.lines / "COMMIT").unlink()
        self.assertIn(f"write it with: git rev-parse HEAD > {self.lines / 'COMMIT'}", self.evidence(status=2))
        self.assertIn("nothing counts as done", self.evidence("--plan"))
        self.assertEqual(self.calls(), [])

    def test_a_trial_takes_few_images(self):
        self.evidence("--only", "simclr", "--seeds", "1", trial=["--limit", "700", "--width", "4"])
        self.assertEqual([self.calls()[0][name] for name in ("--limit", "--width")], ["700", "4"])
        self.assertEqual({call["--limit"] for call in self.calls("evaluate")}, {"500"})
        self.assertEqual(self.found("step1")[0]["commit"], "trial")
        self.assertIn("pairs of an option", self.evidence(trial=["--width"], status=2))
        self.assertIn("--gpu takes nothing behind --", self.evidence("--gpu", "A", "--seed", "1", trial=["--lr", "1"], status=2))

    def test_minutes(self):
        self.assertIn("no new row is begun", self.evidence("--only", "simclr", "--minutes", "0"))
        self.assertEqual(self.calls(), [])

    def test_a_piece_rehearsed(self):
        out = self.top / "piece.jsonl"
        words = ["--gpu", "A", "--seed", "3", "--device", "cpu", "--limit", "400", "--width", "4", "--out", out,
                 "--commit", COMMIT]
        said = self.evidence(*words)
        self.assertIn("100 epochs of 400 images", said)
        lines = [json.loads(line) for line in out.read_text().splitlines()]
        self.assertEqual([line["row"] for line in lines], ["gpu_simclr", "gpu_mrcl", "gpu_dsa"])
        self.assertEqual((lines[2]["epochs"], lines[2]["prior"]), (100, "gpu_simclr"))
        self.assertEqual([(call["--width"], call["--limit"], call["nice"]) for call in self.calls()],
                         [("4", "400", os.nice(0))] * 3)
        self.assertIn("gpu_dsa, seed 3: finished before", self.evidence(*words))
        # On another machine the prior's encoder is not there.
        shutil.rmtree(self.runs)
        out.write_text("".join(json.dumps(line) + "\n" for line in lines[:2]))
        self.assertIn("gpu_mrcl, seed 3: finished before", self.evidence(*words))
        self.assertEqual([json.loads(line)["row"] for line in out.read_text().splitlines()[2:]], ["gpu_dsa"])
        self.assertEqual([pathlib.Path(call["--out"]).name for call in self.calls()][3:], ["gpu_simclr_s3", "gpu_dsa_s3"])
        self.assertIn("gpu_mask_1, seed 3: not begun",
                      self.evidence("--gpu", "C", *words[2:], "--budget", "2", status=1))
        self.assertEqual(gpu.fitting_epochs("A", 50000, 55000, 540), 55)
        self.assertEqual(gpu.fitting_epochs("B", 50000, 1e9, 540), 100)


@unittest.skipUnless(shutil.which("git"), "needs git")
class Clone(unittest.TestCase):
    def test_the_tools_are_built_at_the_commit(self):
        top = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, top)
        checkout, source = top / "checkout", top / "runs" / "src"
        checkout.mkdir()

        def git(*words):
            own = ["-c", "user.name=x", "-c", "user.email=x@y", "-c", "commit.gpgsign=false"]
            return subprocess.run(["git", "-C", checkout, *own, *words], check=True, capture_output=True, text=True).stdout

        git("init", "--quiet")
        commits = []
        for text in ("one", "two", "three"):
            (checkout / "file").write_text(text)
            git("add", "file")
            git("commit", "--quiet", "-m", text)
            commits.append(git("rev-parse", "HEAD").strip())
            if text == "two":
                check_out(checkout, source, commits[0])
                self.assertEqual((source / "file").read_text(), "one")
        check_out(checkout, source, commits[2])  # which the clone has to fetch
        self.assertEqual((source / "file").read_text(), "three")
        with self.assertRaisesRegex(store.Unusable, "is in no branch"):
            check_out(checkout, source, COMMIT)
        (source / "file").unlink()  # as if the last checkout had been interrupted
        check_out(checkout, source, commits[2])
        self.assertEqual((source / "file").read_text(), "three")
        inside = checkout / "runs/src"  # a damaged clone must not lead git to the user's own files
        check_out(checkout, inside, commits[0])
        (inside / ".git/HEAD").unlink()
        (checkout / "file").write_text("edited")
        with self.assertRaisesRegex(store.Unusable, "not a git repository"):
            check_out(checkout, inside, commits[1])
        self.assertEqual((checkout / "file").read_text(), "edited")


def write_tools(folder):
    for tool in ("pretrain", "linear_probe", "evaluate"):
        (folder / tool).write_text(f"#!{sys.executable} -IS\n{FAKE_TOOL}")
        (folder / tool).chmod(0o755)


if __name__ == "__main__":
    unittest.main()
