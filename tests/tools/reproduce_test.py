"""reproduce_test.py SOURCE_FOLDER: the tables of reproduce.sh, with scripts in place of the tools."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(sys.argv.pop(1) if len(sys.argv) > 1 and os.path.isdir(sys.argv[1]) else ".").resolve()

# What the tools do as far as a table can see: the accuracy is the number of epochs.
FAKE_TOOL = r'''
import json, pathlib, sys
tool, words = pathlib.Path(sys.argv[0]).name, [word for word in sys.argv[1:] if word != "--resume"]
options = dict(zip(words[::2], words[1::2]))
run = pathlib.Path(options.get("--run") or options["--out"])
if tool == "pretrain":
    run.mkdir(exist_ok=True)
    (run / "run.json").write_text(json.dumps({"commit": pathlib.Path(sys.argv[0]).with_name("COMMIT").read_text()}))
    (run / "epochs").write_text(options.get("--epochs", "10"))
    (run / "trained").open("a").write("x")
    sys.exit()
top1 = int((run / "epochs").read_text())
matrix = [[top1] * 4] * 2
(run / ("probe.json" if tool == "linear_probe" else "evaluation.json")).write_text(json.dumps({"top1": top1,
    "knn": {"knn_cosine_200": {"top1": top1}, "knn_euclidean_5": {"top1": top1}}, "crowding": {"ratio": 1},
    "foreground": {"linear_probe": matrix}}))
'''


class Tables(unittest.TestCase):
    def setUp(self):
        self.top = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.top)
        self.build, self.out = self.top / "build", self.top / "out"
        self.build.mkdir()
        for tool in ("pretrain", "linear_probe", "evaluate"):
            (self.build / tool).write_text(f"#!{sys.executable}\n{FAKE_TOOL}")
            (self.build / tool).chmod(0o755)
        self.commit("a" * 40)

    def commit(self, text):
        (self.build / "COMMIT").write_text(text)

    def reproduce(self, *words, status=0):
        words = ["bash", SOURCE / "tools" / "reproduce.sh", "shapes", "--jobs", "1", "--build", self.build, "--out", self.out,
                 *words]
        done = subprocess.run(list(map(str, words)), text=True, capture_output=True, timeout=100, check=False)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def test_finished_runs_are_kept(self):
        first = self.reproduce("--only", "simclr", "--seeds", "2")
        self.assertIn("| SimCLR | 2 | 10.0 ± 0.0 |", first)
        self.assertIn("| SimCLR | 2 | 10.0 ± 0.0 |", self.reproduce("--only", "simclr", "--seeds", "2"))
        self.assertEqual((self.out / "simclr_s1" / "trained").read_text(), "x")

    def test_rows_that_were_not_asked_for_stay_in_the_table(self):
        self.reproduce("--only", "simclr", "--seeds", "1")
        said = self.reproduce("--only", "mrcl", "--seeds", "2")
        for row in ("| SimCLR | 1 |", "| MRCL | 2 |"):
            self.assertIn(row, said)
            self.assertIn(row, (self.out / "table.md").read_text())
        self.assertTrue(next(line for line in said.splitlines() if "| MRCL |" in line).endswith("| 0.0 |"), "has its base")
        self.assertNotIn("| DSA |", said)

    def test_a_trial_is_no_result(self):
        self.assertIn("| SimCLR | 1 | 1.0 |", self.reproduce("--only", "simclr", "--seeds", "1", "--", "--epochs", "1"))
        said = self.reproduce("--only", "simclr", "--seeds", "1", status=1)
        self.assertIn("simclr_s1 has a run with other or unknown options, expected --dataset confounded_shapes", said)
        self.assertNotIn("| SimCLR | 1", said)
        help_text = subprocess.run(["bash", SOURCE / "tools" / "reproduce.sh", "--help"], text=True, capture_output=True,
                                   timeout=100, check=True).stdout
        self.assertIn("of a trial reproduce_WHAT_trial", " ".join(help_text.split()))

    def test_rows_of_several_commits_are_noticed(self):
        self.assertNotIn("notice", self.reproduce("--only", "simclr", "--seeds", "1"))
        self.commit("b" * 40)
        said = self.reproduce("--only", "simclr", "--seeds", "2")
        self.assertIn("notice: these rows are of different commits: aaaaaaaaaaaa, bbbbbbbbbbbb", said)


if __name__ == "__main__":
    unittest.main()
