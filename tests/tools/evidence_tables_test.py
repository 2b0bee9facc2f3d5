"""evidence_tables_test.py SOURCE_FOLDER: rows, lines and tables of `reproduce.sh evidence`; statistics against tables."""
import importlib
import math
import pathlib
import shutil
import tempfile
import unittest
import unittest.mock

from evidence_lines import COMMIT, OTHER, SOURCE, line_of, row  # first: it finds the modules below
from evidence import gpu, judging, paired, rows, store, tables


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

    def test_pieces_on_a_gpu_have_the_searchs_choice(self):
        self.addCleanup(importlib.reload, gpu)
        chosen = {"MRCL_BEST": "gpu_mrcl", "DSA_BEST": "gpu_dsa", "ICL_MSR_BEST": "gpu_icl_msr",
                  "METAMASK_BEST": "gpu_metamask"}
        with unittest.mock.patch.multiple(rows, **{name: (f"--{name}", "1") for name in chosen}):
            importlib.reload(gpu)
        for name, piece in chosen.items():
            self.assertIn(f"--{name}", next(each for each in gpu.ROWS if each.name == piece).pretrain_options(1))

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
        for more, first, group in [("search_more_mrcl", "search_mrcl", "MRCL"), ("search_more_dsa", "search_dsa", "DSA")]:
            figure = next(each.figure for each in rows.PRIMARIES if each.method == group)
            of = {line["row"]: line["figures"][figure] for line in lines if figure in line["figures"]}
            least = max(value for name, value in of.items() if name.startswith(first))
            for name in of:
                if name.startswith(more):
                    self.assertEqual(102 in row(name).seeds, of[name] > least, name)

    def test_primaries_name_rows_that_are_paired(self):
        for each in rows.PRIMARIES:
            self.assertIn(each.base, row(each.row).bases)
        self.assertEqual({each.method for each in rows.PRIMARIES}, {"MetaMask", "ICL-MSR", "MRCL", "DSA"})

    def test_the_ends_of_an_interval_are_no_figures(self):
        said = {"top1": 5, "interval_95": [4, 6], "episodes": {"shots": {"1": {"accuracy": 3, "interval_95": 1}}}}
        self.assertEqual(judging.flat(said, "x"), {"x top1": 5, "x episodes shots 1 accuracy": 3})

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

    def test_means_over_other_sets_are_not_averaged_over_seeds(self):
        for seed in range(1, 6):
            cifar100 = "CIFAR-100 probe" if seed > 3 else "CIFAR-100 subset probe"
            for name, file, value in (("simclr", "step1", 10 * seed), ("mrcl", "step2", 10 * seed + 2)):
                figures = {"transfer probe": value, "shapes probe": value, cifar100: value}
                store.append(self.folder / f"{file}.jsonl", line_of(name, seed) | {"figures": figures})
        self.assertEqual(tables.differences(self.read(), "mrcl", "simclr", "transfer probe", range(1, 6)), [2, 2, 2])
        chosen = [(each, each.seeds) for each in rows.ROWS]
        text = tables.tables(self.read(), {each.name: each for each in rows.ROWS}, chosen, lambda each: each.seeds)
        self.assertIn("above in 3 of 3, p = 0.0000; not finished: 3 of 5 seeds, so this decides nothing", text)
        self.assertIn("| transfer probe | 20.0 ± 10.0 | 22.0 ± 10.0 |", text)
        self.assertIn("over other data sets than shapes probe and CIFAR-100 subset probe, left out: simclr of seed 4, "
                      "simclr of seed 5, mrcl of seed 4, mrcl of seed 5", text)

    def test_a_tables_means_and_differences_are_over_the_same_sets(self):
        for seed in range(1, 6):
            for name, file in (("simclr", "step1"), ("mrcl", "step2"))[:2 if seed == 1 else 1]:
                cifar100 = "CIFAR-100 probe" if seed == 1 else "CIFAR-100 subset probe"
                figures = {"transfer probe": 20, "shapes probe": 20, cifar100: 20}
                store.append(self.folder / f"{file}.jsonl", line_of(name, seed) | {"figures": figures})
        text = tables.tables(self.read(), {each.name: each for each in rows.ROWS}, [(row("mrcl"), range(1, 6))],
                             lambda each: each.seeds)
        self.assertEqual([line for line in text.splitlines() if line.startswith("| transfer")], ["| transfer probe | 20.0 ± 0.0 |  |"])

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


if __name__ == "__main__":
    unittest.main()
