"""evidence_test.py SOURCE_FOLDER: `reproduce.sh evidence`, with scripts in place of the tools, and without data.

Statistics against tables; lines, order, stops and repeats as a user would meet them.
"""
import json
import math
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

SOURCE = pathlib.Path(sys.argv.pop(1) if len(sys.argv) > 1 and os.path.isdir(sys.argv[1]) else ".").resolve()
sys.path.insert(0, str(SOURCE / "tools"))
from evidence import gpu, judging, paired, rows, store, tables  # noqa: E402  pylint: disable=wrong-import-position
from evidence.clone import check_out, processor_name  # noqa: E402  pylint: disable=wrong-import-position

COMMIT, OTHER = "a" * 40, "b" * 40

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
        time.sleep(60)
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


def row(name):
    return next(each for each in [*rows.ROWS, *gpu.ROWS] if each.name == name)


def line_of(name, seed, processor="p", commit=COMMIT, **figures):
    return {"row": name, "step": row(name).step, "seed": seed, "commit": commit, "processor": processor, "threads": 1,
            "options": row(name).pretrain_options(seed), "core_seconds": 60, "figures": figures}


class Statistics(unittest.TestCase):
    def test_quantiles_of_the_tables(self):
        # Closed forms for 1 and 2 degrees; the others to six digits from printed tables.
        for probability, freedom, expected in [(0.975, 1, 12.706204736), (0.975, 2, 4.302652730), (0.975, 4, 2.776445105),
                                               (0.995, 4, 4.604094871), (0.975, 9, 2.262157163), (0.95, 17, 1.739606726),
                                               (0.9, 30, 1.310415025), (0.975, 1000, 1.962339081), (0.025, 4, -2.776445105)]:
            self.assertAlmostEqual(paired.t_quantile(probability, freedom), expected, delta=1e-6)
        self.assertAlmostEqual(paired.two_sided_p(2.0, 4), 0.116116524, delta=1e-8)
        self.assertAlmostEqual(paired.two_sided_p(-1.0, 1), 0.5, delta=1e-12)
        self.assertAlmostEqual(paired.incomplete_beta(2, 3, 0.5), 0.6875, delta=1e-12)

    def test_a_paired_comparison(self):
        got = paired.compare([1.0, 2.0, 3.0, 4.0, -1.0])
        self.assertEqual((got.count, got.above), (5, 4))
        self.assertAlmostEqual(got.mean, 1.8)
        self.assertAlmostEqual(got.deviation, 3.7 ** 0.5)
        half = 2.776445105 * (3.7 / 5) ** 0.5
        self.assertAlmostEqual(got.interval[0], 1.8 - half, delta=1e-6)
        turn = math.atan(1.8 / (3.7 / 5) ** 0.5 / 2)  # four degrees of freedom have a closed form
        self.assertAlmostEqual(got.p, 1 - math.sin(turn) * (1 + math.cos(turn) ** 2 / 2), delta=1e-12)
        self.assertIsNone(paired.compare([]))
        self.assertEqual(paired.compare([2.0]).interval, None)
        self.assertEqual((paired.compare([1, 1]).p, paired.compare([0, 0]).p), (0, 1))

    def test_holm(self):
        self.assertEqual([round(p, 9) for p in paired.holm([0.01, 0.04, 0.03, 0.005])], [0.03, 0.06, 0.06, 0.02])
        self.assertEqual(paired.holm([None, 0.02, None, 0.9]), [None, 0.08, None, 1.0])


class Rows(unittest.TestCase):
    def test_bases_come_first_and_names_are_unique(self):
        for every in (rows.ROWS, gpu.ROWS):
            seen = set()
            for each in every:
                self.assertNotIn(each.name, seen)
                self.assertLessEqual(set(each.bases), seen)
                self.assertIn(each.prior, ("", *each.bases))
                stage1 = "stage1" in each.pretrain_options(1)
                self.assertEqual(bool(each.prior), stage1, each.name)
                seen.add(each.name)
            self.assertLessEqual({name for each in every for name in each.against}, seen)
        self.assertEqual(rows.STEPS, ("search", "step1", "step2", "step5", "step4", "step3"))

    def test_options_are_stated_once_and_the_later_counts(self):
        options = row("search_dsa_ema_running").pretrain_options(102)
        names = options[::2]
        self.assertEqual(len(names), len(set(names)))
        for name, value in [("--seed", "102"), ("--dsa.prior_net", "ema"), ("--dsa.prior_temperature", "running"),
                            ("--objective", "dsa"), ("--limit", "10000")]:
            self.assertEqual(options[names.index(name) * 2 + 1], value)
        self.assertEqual(row("full_simclr_x37").pretrain_options(1)[7], "37")

    def test_the_search_halves_its_groups(self):
        lines = [line for line, _ in store.lines_of(SOURCE / "docs" / "evidence" / "search.jsonl") if line["seed"] == 101]
        for prefix, group in [("search_mask_1", "MetaMask"), ("search_mrcl", "MRCL"), ("search_dsa", "DSA")]:
            figure = next(each.figure for each in rows.PRIMARIES if each.method == group)
            of = {line["row"]: line["figures"][figure] for line in lines if line["row"].startswith(prefix)}
            best = sorted(of, key=of.get, reverse=True)[:len(of) // 2]
            self.assertEqual({name for name in of if 102 in row(name).seeds}, set(best))

    def test_primaries_name_rows_that_are_paired(self):
        for each in rows.PRIMARIES:
            self.assertIn(each.base, row(each.row).bases)
        self.assertEqual({each.method for each in rows.PRIMARIES}, {"MetaMask", "ICL-MSR", "MRCL", "DSA"})

    def test_groups(self):
        names = [each.name for each in judging.judgments(row("dsa_best"))]
        self.assertEqual(names[:3], ["home probe", "home adam", "home features"])
        self.assertIn("episodes home", names)
        self.assertNotIn("corruptions", names)
        self.assertEqual([each.name for each in judging.judgments(row("shapes_simclr"))][3:], ["foreground shapes"])


class Lines(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.file = self.folder / "step1.jsonl"

    def read(self):
        return store.Store(self.folder, COMMIT, rows.ROWS)

    def test_pieces_on_a_gpu_count_at_any_commit_and_are_compared_within_one(self):
        def gpu_lines(name, commit):
            store.append(self.folder / "gpu.jsonl", line_of(name, 1, commit=commit, probe=1) | {"epochs": 50})
        gpu_lines("gpu_simclr", OTHER)
        gpu_lines("gpu_mrcl", COMMIT)
        found = store.Store(self.folder, COMMIT, [*rows.ROWS, *gpu.ROWS])
        self.assertEqual(found.remarks(), [])
        self.assertEqual(list(found.pairs("gpu_mrcl", "gpu_simclr", [1])), [])
        self.assertFalse(found.finished(row("gpu_mrcl"), 1))
        gpu_lines("gpu_mrcl", OTHER)
        found = store.Store(self.folder, COMMIT, [*rows.ROWS, *gpu.ROWS])
        self.assertEqual([line["commit"] for line, _ in found.pairs("gpu_mrcl", "gpu_simclr", [1])], [OTHER])
        self.assertTrue(found.finished(row("gpu_mrcl"), 1))

    def test_a_cut_off_line_is_passed_over(self):
        store.append(self.file, line_of("simclr", 1))
        whole = self.file.read_bytes()
        self.file.write_bytes(whole + whole[:50])
        self.assertTrue(self.read().finished(row("simclr"), 1))
        store.append(self.file, line_of("simclr", 2))
        got = self.read()
        self.assertTrue(got.finished(row("simclr"), 2))
        self.assertEqual(got.remarks(), [f"ignored: {self.file}:2: not a whole line"])

    def test_other_commits_and_options_do_not_count(self):
        store.append(self.file, line_of("simclr", 1, commit=OTHER))
        store.append(self.file, line_of("simclr", 2) | {"options": ["--lr", "9"]})
        store.append(self.file, line_of("simclr", 3) | {"row": "gone"})
        got = self.read()
        self.assertEqual(got.found, {})
        self.assertEqual(len(got.remarks()), 3)
        self.assertIn("ignored: 1 lines of another commit", got.remarks())

    def test_a_row_is_finished_with_its_base_on_its_machine(self):
        store.append(self.file, line_of("simclr", 1, "p", probe=10))
        store.append(self.file, line_of("dsa_on", 1, "q", probe=30))
        self.assertFalse(self.read().finished(row("dsa_on"), 1))
        self.assertEqual(tables.differences(self.read(), "dsa_on", "simclr", "probe", [1]), [])
        store.append(self.file, line_of("simclr", 1, "q", probe=11))
        self.assertTrue(self.read().finished(row("dsa_on"), 1))
        store.append(self.file, line_of("dsa_on", 1, "q", probe=31))  # judged again: the later line counts
        self.assertEqual(tables.differences(self.read(), "dsa_on", "simclr", "probe", [1]), [20])

    def test_means_over_other_sets_do_not_pair(self):
        one = {"transfer probe": 5, "shapes probe": 5, "CIFAR-100 probe": 5}
        two = {"transfer probe": 4, "shapes probe": 4, "CIFAR-100 subset probe": 4}
        for seed, other in ((1, one), (2, two)):
            store.append(self.file, line_of("simclr", seed) | {"figures": one})
            store.append(self.folder / "step2.jsonl", line_of("mrcl", seed) | {"figures": other})
        self.assertEqual(tables.differences(self.read(), "mrcl", "simclr", "transfer probe", [1, 2]), [0])

    def test_tables_say_what_is_not_finished(self):
        for seed in range(1, 6):
            store.append(self.file, line_of("simclr", seed, **{"kNN 200": 40 + seed}))
            if seed < 3:
                store.append(self.file, line_of("dsa_best", seed, **{"kNN 200": 42 + 2 * seed}))
        chosen = [(each, each.seeds) for each in rows.ROWS]
        text = tables.tables(self.read(), {each.name: each for each in rows.ROWS}, chosen, lambda each: each.seeds)
        self.assertIn("dsa_best less simclr** (whether neighbors are of one class): +3.5, 95 % interval [-2.9, +9.9], "
                      "above in 2 of 2, p = 0.0903; not finished: 2 of 5 seeds", text)
        self.assertIn("| kNN 200 | 43.0 ± 1.6 | 45.0 ± 1.4 |", text)
        self.assertIn("| kNN 200 | +3.5 [-2.9, +9.9] 2/2 |", text)
        self.assertIn("not finished: 0 of 5 seeds", text)
        # A table of some seeds decides nothing either.
        some = tables.tables(self.read(), {each.name: each for each in rows.ROWS}, chosen, lambda each: [1, 2])
        self.assertIn("not finished: 2 of 5 seeds", some)
        self.assertNotIn("by Holm", some)

    def test_columns_and_differences_are_of_one_machine(self):
        for name, processor, probe in (("simclr", "p", 10), ("dsa_off", "p", 13), ("dsa_on", "p", 14), ("simclr", "q", 20)):
            store.append(self.file, line_of(name, 1, processor, probe=probe))
        store.append(self.file, line_of("dsa_lambda1_0", 1, "q", probe=25))
        text = tables.tables(self.read(), {each.name: each for each in rows.ROWS}, [(row("dsa_on"), [1])], lambda each: [1])
        self.assertIn("| probe | 10.0 | 14.0 |", text.replace(" 13.0 |", ""))
        lines, remarks, _ = self.read().columns(["simclr", "dsa_off", "dsa_on", "dsa_lambda1_0"], lambda name: [1])
        self.assertEqual([line[0]["figures"]["probe"] for line in lines.values()], [10, 13, 14, 25])
        self.assertEqual(remarks, ["dsa_lambda1_0 of seed 1 ran on another machine"])

    def test_pieces_of_other_lengths_are_left_out(self):
        for seed, epochs in ((1, 10), (2, 90), (3, 90)):
            for name, probe in (("gpu_simclr", epochs), ("gpu_mrcl", epochs + 1)):
                store.append(self.folder / "gpu.jsonl", line_of(name, seed, probe=probe) | {"epochs": epochs})
        found = store.Store(self.folder, COMMIT, [*rows.ROWS, *gpu.ROWS])
        self.assertEqual([line["seed"] for line, _ in found.pairs("gpu_mrcl", "gpu_simclr", [1, 2, 3])], [2, 3])
        lines, remarks, _ = found.columns(["gpu_simclr", "gpu_mrcl"], lambda name: [1, 2, 3])
        self.assertEqual([[line["seed"] for line in each] for each in lines.values()], [[2, 3], [2, 3]])
        self.assertEqual(len(remarks), 2)

    def test_the_plan_adds_up(self):
        store.append(self.file, line_of("simclr", 1))
        text = tables.plan(self.read(), [(each, each.seeds) for each in rows.ROWS if each.step == "step1"])
        self.assertIn("| step1 | simclr | 1 | 2, 3, 4, 5 | 1.0 | 1 | 4 |", text)
        self.assertIn("step1: 1 of 25 runs are done (0.0 core-hours), 24 are left (2.7 core-hours)", text)


class Commands(unittest.TestCase):
    """The command itself."""

    def setUp(self):
        self.top = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.top)
        self.lines, self.runs, self.fake = (self.top / name for name in ("lines", "runs", "fake"))
        for folder in (self.lines, self.fake, self.top / "data" / "cifar10", self.top / "data" / "cifar100_subset"):
            folder.mkdir(parents=True)
        (self.lines / "COMMIT").write_text(COMMIT + "\n")
        write_tools(self.fake)

    def start(self, *words, trial=()):
        words = [*words, "--data", self.top / "data", "--lines", self.lines, "--runs", self.runs, "--build", self.fake]
        words += ["--", *trial] if trial else []
        return subprocess.Popen(["bash", SOURCE / "tools" / "reproduce.sh", "evidence", *map(str, words)], text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {"FAKE": str(self.fake)})

    def evidence(self, *words, status=0, **more):
        process = self.start(*words, **more)
        said = "".join(process.communicate(timeout=300))
        self.assertEqual(process.returncode, status, said)
        return said

    def wait_for_training(self):
        end = time.monotonic() + 100
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
        for each, seed in search[:-1]:
            store.append(self.lines / "search.jsonl", line_of(each.name, seed, processor_name()))
        self.assertIn("1 runs of the search are left", said := self.evidence())
        self.assertIn("the search is over: put its choice", said)
        self.evidence()
        self.assertEqual(len(self.calls()), 1)

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
        self.assertIn("warning: simclr, seed 1, trained again, differs from its line in probe (",
                      self.evidence("--only", "dsa_lambda1_0", "--seeds", "1"))

    def test_stop_and_go_on(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            shutil.rmtree(self.runs, ignore_errors=True)
            (self.fake / "SLOW").touch()
            process = self.start("--only", "simclr,dsa_on", "--seeds", "4")
            self.wait_for_training()
            process.send_signal(number)
            said = "".join(process.communicate(timeout=300))
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
        process.communicate(timeout=300)

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


def write_tools(folder):
    for tool in ("pretrain", "linear_probe", "evaluate"):
        (folder / tool).write_text(f"#!{sys.executable} -IS\n{FAKE_TOOL}")
        (folder / tool).chmod(0o755)


if __name__ == "__main__":
    unittest.main()
