// Grouping run folders, and the table in its three formats.
#include "ssl/report/comparison.h"

#include <cmath>
#include <gtest/gtest.h>
#include <sstream>

#include "engine/text/words.h"
#include "ssl/options/table.h"
#include "ssl/report/table.h"
#include "tests/support/run_folders.h"

namespace vergence {
namespace {

const Section& section_of(const Comparison& comparison, const std::string& title) {
  for (const Section& section : comparison.sections)
    if (section.title() == title) return section;
  throw Error("there is no section " + title);
}

TEST(Spread, IsMeanAndSampleDeviation) {
  EXPECT_EQ(spread_of({}).count, 0);
  EXPECT_EQ(spread_of({3.5}).mean, 3.5);
  EXPECT_EQ(spread_of({3.5}).sd, 0);
  const Spread three = spread_of({2, 4, 9});
  EXPECT_DOUBLE_EQ(three.mean, 5);
  EXPECT_DOUBLE_EQ(three.sd, std::sqrt(13));  // (9 + 1 + 16) / 2
}

TEST(Groups, AreRunsThatDifferInTheirSeedAlone) {
  Runs runs;
  Options other = seeded(3);
  other.lr = 0.5;
  other.workers = 3;  // a resumed run may change it
  Options moved = seeded(1);
  moved.data = "/elsewhere";
  const std::vector<RunFiles> read = read_runs(
      {runs.add("a", seeded(2)), runs.add("b", other), runs.add("c", moved), runs.add("d", seeded(1, "byol"))});
  const Grouping grouping = group_runs(read);
  ASSERT_EQ(grouping.groups.size(), 3u);
  EXPECT_EQ(grouping.groups[0].runs, (std::vector<std::size_t>{2, 0})) << "by seed";
  EXPECT_EQ(grouping.groups[0].label, "simclr, lr 0.06");
  EXPECT_EQ(grouping.groups[1].label, "simclr, lr 0.5");
  EXPECT_EQ(grouping.groups[2].label, "byol, lr 0.06");
  ASSERT_EQ(grouping.options.size(), 2u);
  EXPECT_EQ(grouping.options[1].name, "lr");
  EXPECT_EQ(grouping.options[1].values, (std::vector<std::string>{"0.06", "0.5", "0.06"}));
}

TEST(Groups, TellTheUsersOwnImagesApart) {
  Runs runs;
  const auto on = [](std::int64_t seed, const char* dataset, const char* data) {
    Options options = seeded(seed);
    options.dataset = dataset;
    options.data = data;
    return options;
  };
  const Grouping own =
      group_runs(read_runs({runs.add("a", on(1, "image_folder", "/x")), runs.add("b", on(2, "image_folder", "/y")),
                            runs.add("c", on(2, "image_folder", "/x"))}));
  ASSERT_EQ(own.groups.size(), 2u);
  EXPECT_EQ(own.groups[0].runs, (std::vector<std::size_t>{0, 2}));
  EXPECT_EQ(own.groups[1].label, "simclr, data /y");
  ASSERT_EQ(own.options.size(), 1u);
  EXPECT_EQ(own.options[0].name, "data");
  EXPECT_EQ(own.options[0].values, (std::vector<std::string>{"/x", "/y"}));
  const Grouping published =
      group_runs(read_runs({runs.add("d", on(1, "imagenet", "/x")), runs.add("e", on(2, "imagenet", "/y"))}));
  EXPECT_EQ(published.groups.size(), 1u);
}

TEST(Groups, CountASeedOnce) {
  Runs runs;
  const std::string a = runs.add_finished("a", seeded(1)), b = runs.add_finished("b", seeded(1)),
                    other = runs.add_finished("other", seeded(1, "byol")), c = runs.add_finished("c", seeded(2));
  const Grouping grouping = group_runs(read_runs({a, other, c, b}));
  ASSERT_EQ(grouping.groups.size(), 3u);
  EXPECT_EQ(grouping.groups[0].runs, (std::vector<std::size_t>{0, 2}));
  EXPECT_EQ(grouping.groups[2].runs, std::vector<std::size_t>{3});
  EXPECT_EQ(grouping.groups[0].label, "simclr (1)");
  EXPECT_EQ(grouping.groups[2].label, "simclr (3)");
  const std::string cut = runs.add("cut", seeded(1));
  EXPECT_EQ(group_runs(read_runs({cut, a})).groups[0].runs, std::vector<std::size_t>{1}) << "one is unfinished";
}

TEST(Groups, ShowNoOptionThatHasNoEffect) {
  Runs runs;
  Options metamask = seeded(1, "metamask");
  set_option(metamask, "metamask.lambda", "0.5");
  Options views = seeded(1);
  views.view[0].hue = views.view[1].hue = 0.1f;
  const Grouping objectives = group_runs(read_runs({runs.add("a", seeded(1)), runs.add("b", metamask)}));
  ASSERT_EQ(objectives.options.size(), 1u) << "not metamask.lambda, which SimCLR lacks";
  EXPECT_EQ(objectives.options[0].name, "objective");
  const Grouping both = group_runs(read_runs({runs.add("c", seeded(1)), runs.add("d", views)}));
  ASSERT_EQ(both.options.size(), 1u);
  EXPECT_EQ(both.options[0].name, "view.hue");
}

TEST(Groups, ShowNoOptionThatItsObjectiveDoesNotUse) {
  Runs runs;
  Options plain = seeded(1, "metamask"), learned = plain;
  set_option(plain, "metamask.meta", "off");
  set_option(learned, "metamask.mask_lr", "0.5");
  const Grouping grouping = group_runs(read_runs({runs.add("a", plain), runs.add("b", learned)}));
  ASSERT_EQ(grouping.options.size(), 1u) << "not metamask.mask_lr, which no mask has";
  EXPECT_EQ(grouping.options[0].name, "metamask.meta");
  EXPECT_EQ(grouping.groups[0].label, "metamask, metamask.meta off");
  // Where nothing else differs, it is all that tells the runs apart.
  Options other = plain;
  set_option(other, "metamask.mask_lr", "0.5");
  const Grouping alike = group_runs(read_runs({runs.add("c", plain), runs.add("d", other)}));
  ASSERT_EQ(alike.groups.size(), 2u);
  ASSERT_EQ(alike.options.size(), 1u);
  EXPECT_EQ(alike.options[0].values, (std::vector<std::string>{"0.001", "0.5"}));
  EXPECT_EQ(alike.groups[1].label, "metamask, metamask.mask_lr 0.5");
}

TEST(Compare, TakesTheLatestResultOfEachKind) {
  Runs runs;
  const std::string more = R"({"tool":"linear_probe","protocol":"lbfgs","judged_on":"cifar10","split":"test",)"
                           R"("untrained":true,"epoch":0,"settings":{"limit":0},"figures":{"top1":20}})";
  const Comparison found = compare_runs(read_runs(
      {runs.add("a", seeded(1), "", probe(40, R"("limit":0)", 1) + probe(50) + probe(10, R"("limit":9)") + more),
       runs.add("b", seeded(2), "", probe(54)), runs.add("c", seeded(1, "byol"))}));
  const Section& all = section_of(found, "linear_probe lbfgs on cifar10 test (limit 0)");
  EXPECT_EQ(all.epochs, (std::vector<std::string>{"2", ""}));
  ASSERT_EQ(all.figures.size(), 1u);
  EXPECT_EQ(shown_spread(all.figures[0].values[0]), "52.00 ± 2.83 (n=2)");
  EXPECT_EQ(shown_spread(all.figures[0].values[1]), "");
  const Section& few = section_of(found, "linear_probe lbfgs on cifar10 test (limit 9)");
  EXPECT_EQ(shown_spread(few.figures[0].values[0]), "10.00") << "one seed has no deviation";
  EXPECT_EQ(section_of(found, "linear_probe lbfgs on cifar10 test (untrained)").epochs[0], "0");
}

std::string result_line(const std::string& more, const std::string& settings, const std::string& figures) {
  return R"({"protocol":"p","judged_on":"npy","split":"test","encoder_file":"/r/encoder.safetensors","epoch":2,"step":20,)" +
         more + R"(,"settings":{)" + settings + R"(},"figures":{)" + figures + "}}\n";
}

std::vector<std::string> names_and_values(const Section& section, std::size_t group = 0) {
  std::vector<std::string> shown;
  for (const Figure& figure : section.figures) shown.push_back(figure.name + " " + shown_spread(figure.values[group]));
  return shown;
}

/// Earlier results add figures only if they are of the same epoch's encoder.
TEST(Compare, MixesNoFiguresOfTwoEpochs) {
  Runs runs;
  const auto line = [](int epoch, const std::string& figures) {
    return join(R"({"tool":"evaluate","protocol":"","judged_on":"npy","split":"test","encoder_file":)",
                R"("/r/encoder.safetensors","epoch":)", epoch, R"(,"step":)", 10 * epoch, R"(,"figures":{)", figures,
                "}}\n");
  };
  const auto shown = [&](const std::string& name, const std::string& results) {
    return names_and_values(compare_runs(read_runs({runs.add(name, seeded(1), "", results)})).sections.back());
  };
  using Names = std::vector<std::string>;
  EXPECT_EQ(shown("a", line(1, R"("a":1)") + line(2, R"("b":2)")), (Names{"b 2.000"}));
  EXPECT_EQ(shown("b", line(2, R"("a":3)") + line(2, R"("b":2)")), (Names{"b 2.000", "a 3.000"}));
}

TEST(Compare, TellsFewShotTasksAndMasksApart) {
  Runs runs;
  const auto episodes = [](int ways, const char* shots) {
    return result_line(R"("tool":"evaluate")", "",
                       join(R"("episodes":{"classes":"all classes","drawn_from":10,"ways":)", ways,
                            R"(,"queries":15,"episodes":600,"shots":{)", shots, "}}"));
  };
  const auto masked = [](const char* file, int top1) {
    return result_line(R"("tool":"evaluate")", "",
                       join(R"("knn":{"masked":{"mask_file":")", file, R"(","knn_cosine_200":{"top1":)", top1, "}}}"));
  };
  const Comparison found =
      compare_runs(read_runs({runs.add("a", seeded(1), "",
                                       episodes(5, R"("1":{"accuracy":40},"5":{"accuracy":60})") +
                                           episodes(10, R"("20":{"accuracy":50})") + masked("/r/mask.safetensors", 31) +
                                           masked("/r/old.safetensors", 32) + masked("/s/mask.safetensors", 33)),
                              runs.add("b", seeded(2), "", episodes(10, R"("1":{"accuracy":20})"))}));
  ASSERT_EQ(found.sections.size(), 1u);
  using Shown = std::vector<std::string>;
  EXPECT_EQ(names_and_values(found.sections[0]),
            (Shown{"knn.masked./s/mask.safetensors.knn_cosine_200.top1 33.00",
                   "knn.masked.old.safetensors.knn_cosine_200.top1 32.00", "knn.masked.knn_cosine_200.top1 31.00",
                   "episodes.10_way_15_queries_600_episodes.20_shot.accuracy 50.00",
                   "episodes.5_way_15_queries_600_episodes.1_shot.accuracy 40.00",
                   "episodes.5_way_15_queries_600_episodes.5_shot.accuracy 60.00",
                   "episodes.10_way_15_queries_600_episodes.1_shot.accuracy 20.00"}));
}

TEST(Compare, KeepsFiguresApartThatAreNotComparable) {
  const auto judged = [](const char* views, const char* classes, const char* probe, int images) {
    return result_line(
        join(R"("tool":"evaluate","test_images":)", images), "",
        join(R"("alignment":{"alignment":0.5,"views":")", views, R"("},"nuisance":{"probe":")", probe,
             R"(","hue":60},"episodes":{"classes":")", classes,
             R"(","ways":5,"queries":15,"episodes":600,"shots":{"1":{"accuracy":40}}},)",
             R"("knn_sweep":{"top1":70,"temperature":0.1,"held_out_images":9,"table":[{"k":1,"held_out_top1":5}]})"));
  };
  const auto shown = [&](const std::string& first, const std::string& second) {
    Runs pair;
    return compare_runs(read_runs({pair.add("a", seeded(1), "", first), pair.add("b", seeded(2), "", second)}));
  };
  using Shown = std::vector<std::string>;
  const std::string usual = judged("the run's views", "all classes", "lbfgs", 100);
  const Comparison apart = shown(usual, judged("crop 0.08-1, flip", "FC100 test", "adam", 100));
  ASSERT_EQ(apart.sections.size(), 1u);
  EXPECT_EQ(names_and_values(apart.sections[0]),
            (Shown{"alignment.alignment 0.5000", "nuisance.hue 60.00",
                   "episodes.5_way_15_queries_600_episodes.1_shot.accuracy 40.00", "knn_sweep.top1 70.00 ± 0.00 (n=2)",
                   "alignment.crop 0.08-1, flip.alignment 0.5000", "nuisance.adam.hue 60.00",
                   "episodes.FC100 test.5_way_15_queries_600_episodes.1_shot.accuracy 40.00"}));
  const Comparison parts = shown(usual, judged("the run's views", "all classes", "lbfgs", 50));
  ASSERT_EQ(parts.sections.size(), 2u);
  EXPECT_EQ(parts.sections[0].title(), "evaluate p on npy test (test_images 100)");
}

TEST(Compare, TakesSweepsOverSeedsTogether) {
  Runs runs;
  const auto swept = [](double lr, const char* list, const char* tried, double top1) {
    return result_line(R"("tool":"finetune")",
                       join(R"("labels":10,"lr":)", lr, R"(,"list_xxh128":")", list, R"(","train_images":)", 100 * lr,
                            R"(,"sweep":{"chosen_on":"a tenth","chosen":{"lr":)", lr, R"(},"trials":[)", tried, "]}"),
                       join(R"("top1":)", top1));
  };
  const char* const tried = R"({"lr":0.1,"held_out_top1":1},{"lr":1,"held_out_top1":2})";
  const Comparison found = compare_runs(read_runs(
      {runs.add("a", seeded(1), "", swept(0.1, "a", tried, 50)), runs.add("b", seeded(2), "", swept(1, "b", tried, 54)),
       runs.add("c", seeded(3), "", swept(1, "b", R"({"lr":1,"held_out_top1":2})", 60))}));
  ASSERT_EQ(found.sections.size(), 2u);
  EXPECT_EQ(found.sections[0].all_settings, "labels 10; sweep lr 0.1, 1");
  EXPECT_EQ(names_and_values(found.sections[0]), std::vector<std::string>{"top1 52.00 ± 2.83 (n=2)"});
  EXPECT_EQ(found.sections[1].all_settings, "labels 10; sweep lr 1");
}

TEST(Compare, TellsResultsOnTheUsersOwnFoldersApart) {
  Runs runs;
  const auto on = [](const char* data, const char* figure) {
    return result_line(join(R"("tool":"evaluate","data":")", data, "\""), "", join('"', figure, R"(":50)"));
  };
  const Comparison found =
      compare_runs(read_runs({runs.add("a", seeded(1), "", on("/x", "crowding") + on("/y", "knn"))}));
  ASSERT_EQ(found.sections.size(), 2u);
  EXPECT_EQ(found.sections[0].title(), "evaluate p on npy test (data /x)");
  EXPECT_EQ(names_and_values(found.sections[0]), std::vector<std::string>{"crowding 50.00"});
}

TEST(Compare, SaysWhatLimitsAResult) {
  Runs runs;
  const auto tuned = [](const std::string& settings) {
    return R"({"tool":"finetune","protocol":"finetune","judged_on":"stl10","split":"test","epoch":2,"settings":{)" +
           settings + R"(},"figures":{"top1":60}})" + "\n";
  };
  const auto titles = [&](const std::string& name, const std::string& results) {
    std::vector<std::string> found;
    for (const Section& section : compare_runs(read_runs({runs.add(name, seeded(1), "", results)})).sections)
      found.push_back(section.title());
    return found;
  };
  using Titles = std::vector<std::string>;
  EXPECT_EQ(titles("a", probe(10, R"("limit":100)")), (Titles{"linear_probe lbfgs on cifar10 test (limit 100)"}));
  EXPECT_EQ(titles("b", probe(10, R"("limit":0)")), (Titles{"linear_probe lbfgs on cifar10 test"}));
  EXPECT_EQ(titles("c", tuned(R"("limit":0,"labels":1,"fold":null)")), (Titles{"finetune on stl10 test (labels 1 %)"}));
  EXPECT_EQ(titles("d", tuned(R"("limit":9,"labels":null,"fold":3)") + tuned(R"("limit":9,"labels":10,"fold":null)")),
            (Titles{"finetune on stl10 test (fold 3, limit 9)", "finetune on stl10 test (labels 10 %, limit 9)"}));
}

TEST(Compare, TakesTheAppliedRateOfAProbeBySgd) {
  // Earlier versions stored only this one, under the name that now has the rate as it is given.
  const auto line = [](double top1, const std::string& rates) {
    return join(R"({"tool":"linear_probe","protocol":"sgd","judged_on":"cifar10","split":"test","epoch":2,"settings":)",
                R"({"batch":64,)", rates, R"(},"figures":{"converged":true,"iterations":9,"top1":)", top1, "}}\n");
  };
  Runs runs;
  const Comparison same =
      compare_runs(read_runs({runs.add("a", seeded(1), "", line(50, R"("lr":0.025)")),
                              runs.add("b", seeded(2), "", line(60, R"("lr":0.1,"applied_lr":0.025)")),
                              runs.add("c", seeded(1, "byol"), "", line(70, R"("lr":0.025,"applied_lr":0.00625)"))}));
  ASSERT_EQ(same.sections.size(), 2u);
  EXPECT_EQ(shown_spread(section_of(same, "linear_probe sgd on cifar10 test (applied_lr 0.025)").figures[0].values[0]),
            "55.00 ± 7.07 (n=2)");
  EXPECT_EQ(section_of(same, "linear_probe sgd on cifar10 test (applied_lr 0.00625)").figures.size(), 1u);
  const auto swept = [&](const char* applied, const char* low, const char* high) {
    return line(50, join(R"("lr":)", low, applied, R"(,"sweep":{"chosen":{"lr":)", low, R"(},"trials":[{"lr":)", low,
                         R"(},{"lr":)", high, "}]}"));
  };
  const Comparison sweeps =
      compare_runs(read_runs({runs.add("d", seeded(1), "", swept("", "0.025", "0.25")),
                              runs.add("e", seeded(2), "", swept(R"(,"applied_lr":0.025)", "0.1", "1.0"))}));
  ASSERT_EQ(sweeps.sections.size(), 1u);
}

TEST(Compare, LeavesUnfinishedRunsOutBesideFinishedOnes) {
  Runs runs;
  const auto loss = [](double value) { return join(R"({"step":1,"epoch":1,"loss":)", value, "}\n"); };
  const std::vector<RunFiles> read =
      read_runs({runs.add("cut", seeded(1), loss(9), probe(99)), runs.add_finished("a", seeded(2), loss(3), probe(50)),
                 runs.add_finished("b", seeded(3), loss(5), probe(54))});
  const Comparison found = compare_runs(read);
  EXPECT_EQ(found.run_names, std::vector<std::string>{"a, b"});
  EXPECT_EQ(found.seeds, std::vector<std::string>{"2, 3"});
  EXPECT_EQ(found.states, std::vector<std::string>{"unfinished, left out: seed 1: step 1, epoch 1 of 2"});
  EXPECT_EQ(found.notices,
            std::vector<std::string>{read[0].path + ": left out of the figures, since it is unfinished (step 1, epoch "
                                                    "1 of 2) and other runs of its group are finished"});
  EXPECT_EQ(shown_spread(found.sections.at(0).figures.at(0).values[0]), "4.000 ± 1.414 (n=2)");
  EXPECT_EQ(shown_spread(section_of(found, "linear_probe lbfgs on cifar10 test").figures[0].values[0]),
            "52.00 ± 2.83 (n=2)");
  const Comparison alone = compare_runs({read[0]});
  EXPECT_EQ(alone.states[0], "unfinished: step 1, epoch 1 of 2");
  EXPECT_TRUE(alone.notices.empty());
  EXPECT_EQ(shown_spread(alone.sections.at(0).figures.at(0).values[0]), "9.000");
}

TEST(Compare, TakesTheLastFiguresOfTraining) {
  Runs runs;
  const std::string metrics = R"({"step":1,"epoch":1,"loss":5,"align":7,"knn_cosine_200":30,"std":0.5})"
                              "\n"
                              R"({"step":2,"epoch":2,"loss":4})"
                              "\n";
  const Comparison found = compare_runs(read_runs({runs.add("a", seeded(1), metrics)}));
  ASSERT_EQ(found.sections.size(), 2u);
  using Shown = std::vector<std::string>;
  EXPECT_EQ(found.sections[0].title(), "pretrain on confounded_shapes") << "training images are no split test";
  EXPECT_EQ(names_and_values(found.sections[0]), (Shown{"loss 4.000", "std, epoch 1 0.5000"}));
  EXPECT_EQ(found.sections[1].title(), "pretrain on confounded_shapes test");
  EXPECT_EQ(names_and_values(found.sections[1]), (Shown{"knn_cosine_200, epoch 1 30.00"}));
  EXPECT_EQ(found.states[0], "unfinished: step 2, epoch 2 of 2");
  const std::string csv = table_text(found, TableFormat::csv, 80);
  for (const char* line : {",pretrain,,confounded_shapes,,,2,loss,4,,1,,\r\n",
                           ",pretrain,,confounded_shapes,,,2,\"std, epoch 1\",0.5,,1,,\r\n",
                           ",pretrain,,confounded_shapes,test,,2,\"knn_cosine_200, epoch 1\",30,,1,,\r\n"})
    EXPECT_NE(csv.find(line), std::string::npos) << line << csv;
}

TEST(Compare, TellsKnnOnSomeImagesFromKnnOnOthers) {
  Runs runs;
  const auto options = [](std::int64_t seed, std::int64_t eval_every, std::int64_t limit) {
    Options options = seeded(seed);
    options.eval_every = eval_every;
    options.limit = limit;
    return options;
  };
  const auto knn = [](int value) { return join(R"({"step":1,"epoch":1,"knn_cosine_200":)", value, "}\n"); };
  const Comparison found = compare_runs(
      read_runs({runs.add("a", options(1, 0, 0), knn(30)), runs.add("b", options(2, 1, 0), knn(40)),
                 runs.add("c", options(1, 0, 1000), knn(50)), runs.add("d", options(1, 0, 10'000), knn(60))}));
  ASSERT_EQ(found.sections.size(), 1u);
  using Shown = std::vector<std::string>;
  const auto values = [&](std::size_t group) { return names_and_values(found.sections[0], group); };
  EXPECT_EQ(values(0), (Shown{"knn_cosine_200 30.00", "knn_cosine_200 (all images) 40.00",
                              "knn_cosine_200 (200 images against 1000) "}));
  EXPECT_EQ(values(1), (Shown{"knn_cosine_200 ", "knn_cosine_200 (all images) ",
                              "knn_cosine_200 (200 images against 1000) 50.00"}));
  EXPECT_EQ(values(2).at(0), "knn_cosine_200 60.00") << "as many as usual";
}

TEST(Compare, TellsKnnApartWithinARun) {
  Runs runs;
  Options options = seeded(1);
  options.eval_every = 2;  // now: the first line is of the time before
  const std::string lines = R"({"step":1,"epoch":1,"knn_cosine_200":30,"knn_images":"planned"})"
                            "\n"
                            R"({"step":2,"epoch":2,"knn_cosine_200":40,"knn_images":"all"})"
                            "\n"
                            R"({"step":3,"epoch":3,"knn_cosine_200":50})"
                            "\n";
  const Comparison found = compare_runs(read_runs({runs.add("a", options, lines)}));
  ASSERT_EQ(found.sections.size(), 1u);
  EXPECT_EQ(names_and_values(found.sections[0]),
            (std::vector<std::string>{"knn_cosine_200, epoch 1 30.00", "knn_cosine_200 (all images) 50.00"}));
}

TEST(Table, IsMarkdownAndCsvAndFitsATerminal) {
  Runs runs;
  const std::vector<RunFiles> read = read_runs({runs.add("a|1", seeded(1), "", probe(50, R"("lr":0.1,"limit":0)")),
                                                runs.add("b, \"2\"", seeded(2), "", probe(54, R"("lr":0.1,"limit":0)")),
                                                runs.add("c", seeded(1, "byol"))});
  const Comparison comparison = compare_runs(read);
  EXPECT_EQ(table_text(comparison, TableFormat::markdown, 80),
            "| | simclr | byol |\n| --- | --- | --- |\n| runs | a\\|1, b, \"2\" | c |\n| seeds | 1, 2 | 1 |\n"
            "| state | unfinished: seed 1: no step logged; seed 2: no step logged | unfinished: no step logged |\n"
            "| **Options that differ** | | |\n| objective | simclr | byol |\n"
            "| **linear_probe lbfgs on cifar10 test** | | |\n| epoch | 2 | |\n| top1 | 52.00 ± 2.83 (n=2) | |\n");
  EXPECT_EQ(table_text(comparison, TableFormat::csv, 80),
            "group,runs,seeds,unfinished,option.objective,tool,protocol,judged_on,split,settings,epoch,figure,mean,sd,"
            "n,low,high\r\n"
            "simclr,\"a|1, b, \"\"2\"\"\",\"1, 2\",unfinished: seed 1: no step logged; seed 2: no step logged,simclr,"
            "linear_probe,lbfgs,cifar10,test,limit 0; lr 0.1,2,top1,52,2.8284271247461903,2,,\r\n"
            "byol,c,1,unfinished: no step logged,byol,linear_probe,lbfgs,cifar10,test,limit 0; lr 0.1,,top1,,,0,,\r\n");
  for (const std::size_t width : {60u, 80u}) {
    std::istringstream lines(table_text(comparison, TableFormat::text, width));
    for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), width + 2) << line;  // ± has two bytes
  }
}

TEST(Table, EndsAtAnyWidth) {
  Runs runs;
  const std::string path = runs.add_finished("one", seeded(1), "", probe(41.3));
  const Comparison comparison = compare_runs(read_runs({path}));
  for (const std::size_t width : {0u, 1u, 2u})
    EXPECT_NE(table_text(comparison, TableFormat::text, width).find("41.3"), std::string::npos) << width;
}

TEST(Table, ShowsAnIntervalInOneCell) {
  Runs runs;
  const auto result = [](const std::string& low, const std::string& high) {
    return R"({"tool":"evaluate","protocol":"evaluate","judged_on":"npy","split":"test","epoch":2,"settings":{},)"
           R"("figures":{"knn":{"a":{"top1":50,"interval_95":[)" +
           low + "," + high + "]},\"list\":[1,2]}}}\n";
  };
  const Comparison found = compare_runs(read_runs(
      {runs.add("a", seeded(1), "", result("40.5", "60.25")), runs.add("b", seeded(2), "", result("41.5", "62.25")),
       runs.add("c", seeded(1, "byol")), runs.add("d", seeded(1, "dsa"), "", result("0", "9.5"))}));
  const std::string text = table_text(found, TableFormat::markdown, 80), csv = table_text(found, TableFormat::csv, 80);
  EXPECT_NE(text.find("| knn.a.interval_95 | 41.00 - 61.25 (means, n=2) | | 0.0000 - 9.500 |\n"), std::string::npos)
      << text;
  EXPECT_NE(text.find("| knn.list\\[1\\] | 2.000 ± 0.000 (n=2) |"), std::string::npos) << text;
  EXPECT_EQ(text.find("interval_95\\["), std::string::npos) << text;
  for (const char* line : {",knn.a.top1,50,0,2,,\r\n", ",knn.a.interval_95,,,2,41,61.25\r\n",
                           ",knn.a.interval_95,,,0,,\r\n", ",knn.a.interval_95,,,1,0,9.5\r\n"})
    EXPECT_NE(csv.find(line), std::string::npos) << line << csv;
}

TEST(Table, ShowsAboutFiveDigits) {
  EXPECT_EQ(shown_number(0), "0.0000");
  EXPECT_EQ(shown_number(0.000012345), "1.23e-05");
  EXPECT_EQ(shown_number(0.71234), "0.7123");
  EXPECT_EQ(shown_number(-4.5), "-4.500");
  EXPECT_EQ(shown_number(41.305), "41.30");
  EXPECT_EQ(shown_number(1234.56), "1234.6");
  EXPECT_EQ(shown_number(123456.7), "123457");
  EXPECT_EQ(csv_field("a b"), "a b");
  EXPECT_EQ(csv_field("a\nb"), "\"a\nb\"");
}

}  // namespace
}  // namespace vergence
