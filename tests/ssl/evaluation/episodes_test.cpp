// Few-shot episodes: what is drawn, who is right, and FC100's classes. tests/oracle/evaluation.py computes the same
// figures in NumPy.
#include "ssl/evaluation/probes/episodes.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <gtest/gtest.h>
#include <map>
#include <set>

#include "datasets/readers/cifar.h"
#include "datasets/readers/fc100.h"
#include "engine/io/files.h"
#include "kernels/random.h"
#include "ssl/options/options.h"
#include "tests/support/complaints.h"
#include "tests/support/real_data.h"
#include "tests/support/temporary_folder.h"

namespace vergence {
namespace {

// ---- FC100

TEST(Fc100, SuperclassesAreThoseOfTheFiles) {
  const std::filesystem::path folder = real_data("cifar100_subset");
  if (folder.empty()) GTEST_SKIP() << no_real_data("cifar100_subset");
  std::set<int> seen;
  for (const char* name : {"train.bin", "test.bin"}) {
    const std::string bytes = read_file((folder / name).string());
    for (std::size_t at = 0; at < bytes.size(); at += 3074) {
      const auto coarse = static_cast<std::uint8_t>(bytes[at]), fine = static_cast<std::uint8_t>(bytes[at + 1]);
      ASSERT_EQ(cifar100_superclass(fine), coarse) << name << " byte " << at;
      seen.insert(fine);
    }
  }
  EXPECT_EQ(seen.size(), 100u);
}

TEST(Fc100, PartsShareNoSuperclass) {
  std::map<std::int32_t, int> sizes;
  for (std::int32_t fine = 0; fine < 100; ++fine) ++sizes[cifar100_superclass(fine)];
  ASSERT_EQ(sizes.size(), 20u);
  for (const auto& [superclass, size] : sizes) EXPECT_EQ(size, 5) << superclass;
  EXPECT_THROW(cifar100_superclass(100), Error);
  EXPECT_THROW(cifar100_superclass(-1), Error);

  const auto superclasses = [](Fc100 part) {
    std::set<std::int32_t> found;
    for (const std::int32_t fine : fc100_classes(part)) found.insert(cifar100_superclass(fine));
    return found;
  };
  using Set = std::set<std::int32_t>;
  EXPECT_EQ(superclasses(Fc100::base), (Set{1, 2, 3, 4, 5, 6, 9, 10, 15, 17, 18, 19}));
  EXPECT_EQ(superclasses(Fc100::validation), (Set{8, 11, 13, 16}));
  EXPECT_EQ(superclasses(Fc100::test), (Set{0, 7, 12, 14}));
  EXPECT_EQ(fc100_classes(Fc100::base).size(), 60u);
  EXPECT_EQ(fc100_classes(Fc100::validation).size(), 20u);
  // baby, beaver, bee, beetle, boy, butterfly, caterpillar, cockroach, dolphin, fox, girl, man, otter, porcupine,
  // possum, raccoon, seal, skunk, whale, woman
  EXPECT_EQ(fc100_classes(Fc100::test),
            (std::vector<std::int32_t>{2, 4, 6, 7, 11, 14, 18, 24, 30, 34, 35, 46, 55, 63, 64, 66, 72, 75, 95, 98}));
}

TEST(Fc100, AreTheClassesOfTheWholeCifar100Alone) {
  Dataset judged;
  judged.name = "cifar100", judged.split = "test", judged.classes = 100, judged.count = 10000;
  for (int i = 0; i < 10000; ++i) judged.labels.push_back(i % 100);
  EXPECT_EQ(classes_of_episodes(judged, 50000).name, "FC100 test");
  EXPECT_EQ(classes_of_episodes(judged, 50000).labels, fc100_classes(Fc100::test));
  EXPECT_EQ(classes_of_episodes(judged, 49999).name, "subset episodes");
  EXPECT_EQ(classes_of_episodes(judged, 49999).labels.size(), 100u);
  judged.count = 9999;
  EXPECT_EQ(classes_of_episodes(judged, 50000).name, "subset episodes");
  judged.split = "val", judged.count = 5000;
  EXPECT_EQ(classes_of_episodes(judged, 45000).name, "FC100 validation");
  EXPECT_EQ(classes_of_episodes(judged, 45000).labels, fc100_classes(Fc100::validation));
  judged.name = "cifar10", judged.split = "test", judged.classes = 10, judged.count = 10000;
  for (std::int32_t& label : judged.labels) label %= 10;
  const EpisodeClasses all = classes_of_episodes(judged, 50000);
  EXPECT_EQ(all.name, "all classes");
  EXPECT_EQ(all.labels, (std::vector<std::int32_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
  judged.name = "npy", judged.classes = 3001, judged.labels = {0, 3000, 1000, 0, 2000, 3000};  // labels with gaps
  EXPECT_EQ(classes_of_episodes(judged, 6).labels, (std::vector<std::int32_t>{0, 1000, 2000, 3000}));
}

/// A CIFAR-100 record of a class; its pixels tell which record it is.
std::string cifar100_record(int fine, int number) {
  std::string record(3074, static_cast<char>(number));
  record[0] = static_cast<char>(cifar100_superclass(fine));
  record[1] = static_cast<char>(fine);
  return record;
}

TEST(Fc100, PretrainingCanLeaveTheOthersOut) {
  const TemporaryFolder folder;
  std::string train, test;
  for (int i = 0; i < 200; ++i) train += cifar100_record(i * 7 % 100, i);
  for (int i = 0; i < 100; ++i) test += cifar100_record(i, i);
  write_atomically(folder / "train.bin", train);
  write_atomically(folder / "test.bin", test);
  Options options;
  options.dataset = "cifar100";
  options.data = folder.path();
  EXPECT_EQ(open_dataset(dataset_settings(options), "train").count, 200);
  options.components.get<Cifar100Options>().classes = Cifar100Classes::fc100_base;
  const std::vector<std::int32_t> base = fc100_classes(Fc100::base);
  const Dataset some = open_dataset(dataset_settings(options), "train");
  ASSERT_EQ(some.count, 120);
  EXPECT_EQ(some.pixels.size(), 120u * 3072);
  EXPECT_EQ(some.classes, 100) << "labels keep their meaning";
  for (std::int64_t i = 0, from = 0; i < some.count; ++i, ++from) {
    while (std::count(base.begin(), base.end(), from * 7 % 100) == 0) ++from;
    EXPECT_EQ(some.label(i), from * 7 % 100);
    EXPECT_EQ(some.image(i)[0], from);
    EXPECT_EQ(some.image(i)[3071], from);
  }
  // The limit counts what is left; nothing else is cut.
  options.limit = 50;
  const Dataset first = open_dataset(dataset_settings(options), "train");
  EXPECT_EQ(first.count, 50);
  EXPECT_TRUE(std::equal(first.pixels.begin(), first.pixels.end(), some.pixels.begin()));
  options.limit = 0;
  for (const auto& [split, count] : std::map<std::string, int>{{"probe", 200}, {"val", 20}, {"test", 100}})
    EXPECT_EQ(open_dataset(dataset_settings(options), split).count, count) << split;
  write_atomically(folder / "train.bin", cifar100_record(2, 0));  // a baby
  expect_contains(message_of([&] { open_dataset(dataset_settings(options), "train"); }),
                  {"cifar100 train", "no images"});
}

// ---- episodes

using EpisodeImages = std::vector<std::vector<std::int64_t>>;

TEST(Episodes, DrawDifferentClassesAndDifferentImages) {
  EpisodeImages images(8);  // class c has the places 100 c ... 100 c + 9 + c
  for (std::int64_t c = 0; c < 8; ++c)
    for (std::int64_t i = 0; i < 10 + c; ++i) images[static_cast<std::size_t>(c)].push_back(100 * c + i);
  const EpisodeSettings settings{.ways = 3, .queries = 4, .seed = 5};
  std::map<std::int64_t, int> classes, places;
  for (std::int64_t episode = 0; episode < 4000; ++episode) {
    const EpisodeImages drawn = draw_episode(images, settings, 2, episode);
    ASSERT_EQ(drawn.size(), 3u);
    std::set<std::int64_t> of_this;
    for (const auto& rows : drawn) {
      ASSERT_EQ(std::set<std::int64_t>(rows.begin(), rows.end()).size(), 6u);
      for (const std::int64_t row : rows) {
        ASSERT_EQ(row / 100, rows[0] / 100);
        ASSERT_LT(row % 100, 10 + row / 100);
      }
      of_this.insert(rows[0] / 100);
      ++classes[rows[0] / 100];
      if (rows[0] / 100 == 7)
        for (const std::int64_t row : rows) ++places[row % 100];
    }
    ASSERT_EQ(of_this.size(), 3u);
  }
  // Every class in 3 of 8 episodes, every image of the last in 6 of 17 of those; five deviations of a binomial.
  for (const auto& [c, times] : classes) EXPECT_NEAR(times, 1500, 5 * std::sqrt(4000 * 0.375 * 0.625)) << c;
  ASSERT_EQ(places.size(), 17u);
  for (const auto& [place, times] : places)
    EXPECT_NEAR(times, classes[7] * 6 / 17.0, 5 * std::sqrt(classes[7] * 6 / 17.0 * 11 / 17)) << place;
}

TEST(Episodes, HaveAStreamOfTheirOwn) {
  const EpisodeImages images(6, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  EpisodeSettings settings{.ways = 3, .queries = 4};
  const EpisodeImages drawn = draw_episode(images, settings, 2, 7);
  EXPECT_EQ(drawn, draw_episode(images, settings, 2, 7));
  EXPECT_NE(drawn, draw_episode(images, settings, 2, 8));
  EpisodeImages with_three = draw_episode(images, settings, 3, 7);
  for (auto& rows : with_three) rows.resize(6);
  EXPECT_NE(drawn, with_three) << "another number of shots draws other episodes";
  settings.seed = 2;
  EXPECT_NE(drawn, draw_episode(images, settings, 2, 7));
}

/// `per_class` rows of each of `classes` classes: `make(label, i)`.
template <class Make>
Features rows_by_class(std::int64_t dim, std::int64_t classes, std::int64_t per_class, Make make) {
  Features features{dim, classes, {}, {}};
  for (std::int64_t i = 0; i < per_class; ++i)
    for (std::int32_t label = 0; label < classes; ++label) {
      const std::vector<float> row = make(label, i);
      features.values.insert(features.values.end(), row.begin(), row.end());
      features.labels.push_back(label);
    }
  return features;
}

EpisodeClasses first_classes(std::int32_t count) {
  EpisodeClasses classes{"all classes", {}};
  for (std::int32_t label = 0; label < count; ++label) classes.labels.push_back(label);
  return classes;
}

TEST(Episodes, AreRightByDirectionAndAtChanceWithoutOne) {
  // The class is the direction; lengths say nothing.
  const Features directions = rows_by_class(4, 4, 20, [](std::int32_t label, std::int64_t i) {
    std::vector<float> row(4, 0.0f);
    row[static_cast<std::size_t>(label)] = static_cast<float>(i + 1);
    return row;
  });
  const EpisodeSettings settings{.ways = 4, .shots = {1, 5}, .queries = 15, .episodes = 40};
  for (const EpisodeAccuracy& each : episode_accuracy(directions, first_classes(4), settings)) {
    EXPECT_DOUBLE_EQ(each.mean, 100);
    EXPECT_DOUBLE_EQ(each.interval, 0);
  }
  // All features alike, or all zero: every query is taken for the first class.
  for (const float value : {1.0f, 0.0f}) {
    const Features alike =
        rows_by_class(4, 4, 20, [&](std::int32_t, std::int64_t) { return std::vector<float>(4, value); });
    for (const EpisodeAccuracy& each : episode_accuracy(alike, first_classes(4), settings)) {
      EXPECT_DOUBLE_EQ(each.mean, 25);
      EXPECT_DOUBLE_EQ(each.interval, 0);
    }
  }
}

TEST(Episodes, MeansAreOfUnitFeaturesAndComparedByCosine) {
  // Class 0 lies at 0 or 60 degrees (a long and a short vector), class 1 at 100. With both examples of class 0 its mean
  // is at 30, so queries at 62 degrees are its own and those at 68 degrees are class 1's: of features at full length
  // the mean would lie near 0 and 62 degrees would be class 1's.
  const auto at = [](double degrees, double length) {
    const double radians = degrees * 3.14159265358979 / 180;
    return std::vector<float>{static_cast<float>(length * std::cos(radians)),
                              static_cast<float>(length * std::sin(radians))};
  };
  for (const double query : {62.0, 68.0}) {
    Features features{2, 2, {}, {}};
    const auto add = [&](std::int32_t label, const std::vector<float>& row) {
      features.labels.push_back(label);
      features.values.insert(features.values.end(), row.begin(), row.end());
    };
    add(0, at(0, 100)), add(0, at(60, 1)), add(0, at(query, 3));
    add(1, at(100, 1)), add(1, at(100, 50)), add(1, at(100, 7));
    const EpisodeSettings settings{.ways = 2, .shots = {2}, .queries = 1, .episodes = 200, .seed = 3};
    // The episodes whose query of class 0 is the one above, counted from the draws themselves.
    const EpisodeImages images{{0, 1, 2}, {3, 4, 5}};
    double expected = 0;
    for (std::int64_t i = 0; i < 200; ++i) {
      for (const auto& rows : draw_episode(images, settings, 2, i)) {
        // Where it is an example, the mean lies at 61 degrees or less, or at 34: nearer than 100 to what is left.
        const bool lost = rows[2] == 2 && query > 65;
        expected += lost ? 0 : 0.5;
      }
    }
    EXPECT_NEAR(episode_accuracy(features, {"", {0, 1}}, settings)[0].mean, expected / 2, 1e-9) << query;
  }
}

TEST(Episodes, FeaturesOfOtherClassesDoNotMatter) {
  Random random(4, Purpose::test);
  const auto noise = [&](std::int32_t label, std::int64_t) {
    std::vector<float> row(6);
    for (float& value : row) value = random.uniform(-1, 1);
    row[static_cast<std::size_t>(label % 6)] += 0.7f;
    return row;
  };
  Features features = rows_by_class(6, 9, 25, noise);
  const EpisodeClasses some{"FC100 test", {1, 3, 4, 8}};
  const EpisodeSettings settings{.ways = 3, .shots = {1, 5}, .queries = 10, .episodes = 100};
  const auto before = episode_accuracy(features, some, settings);
  EXPECT_GT(before[1].mean, before[0].mean) << "five examples tell more than one";
  EXPECT_GT(before[0].mean, 40);
  EXPECT_LT(before[1].mean, 95);
  for (std::int64_t i = 0; i < features.rows(); ++i)
    if (std::count(some.labels.begin(), some.labels.end(), features.labels[static_cast<std::size_t>(i)]) == 0)
      for (std::int64_t j = 0; j < 6; ++j) features.values[static_cast<std::size_t>(6 * i + j)] = 9;
  const auto after = episode_accuracy(features, some, settings);
  for (std::size_t i = 0; i < 2; ++i) EXPECT_EQ(after[i].mean, before[i].mean);
  // A figure does not depend on what else was asked for.
  EpisodeSettings five = settings;
  five.shots = {5};
  EXPECT_EQ(episode_accuracy(features, some, five)[0].mean, before[1].mean);
}

TEST(Episodes, WhatCannotBeDrawnIsSaidInOneLine) {
  std::vector<std::int32_t> labels;
  for (int i = 0; i < 20; ++i) labels.insert(labels.end(), {0, 1, 2});
  labels.pop_back();  // class 2 has 19
  EXPECT_EQ(no_episodes_since(labels, first_classes(2), {.ways = 2}), "");
  expect_contains(no_episodes_since(labels, first_classes(3), {.ways = 2}),
                  {"class 2", "19 images", "at least 20", "--shots 5", "--queries 15"});
  EXPECT_EQ(no_episodes_since(labels, first_classes(3), {.ways = 2, .queries = 14}), "");
  expect_contains(no_episodes_since(labels, first_classes(4), {.ways = 2, .queries = 1}), {"class 3 has 0 images"});
  expect_contains(no_episodes_since(labels, first_classes(3), {.ways = 5}), {"--ways: 5", "3 classes"});
  expect_contains(message_of([] { check_episodes({.ways = 1}); }), {"--ways: 1"});
  expect_contains(message_of([] { check_episodes({.shots = {}}); }), {"--shots"});
  expect_contains(message_of([] { check_episodes({.shots = {1, 0}}); }), {"--shots: 0"});
  expect_contains(message_of([] { check_episodes({.queries = 0}); }), {"--queries: 0"});
  expect_contains(message_of([] { check_episodes({.episodes = 1}); }), {"--episodes: 1"});
}

}  // namespace
}  // namespace vergence
