// Which classes are judged and never learned from, and what gaps in labels change: nothing.
#include "ssl/evaluation/features/class_cover.h"

#include <cmath>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "kernels/random.h"
#include "ssl/evaluation/geometry/clustering.h"
#include "ssl/evaluation/neighbors/crowding.h"
#include "tests/support/complaints.h"

namespace vergence {
namespace {

using Labels = std::vector<std::int32_t>;

Dataset split_of(const std::string& split, const Labels& labels, std::vector<std::string> names = {}) {
  Dataset dataset;
  dataset.name = "npy", dataset.split = split;
  dataset.labels = labels, dataset.class_names = std::move(names);
  return dataset;
}

std::vector<std::string> told(const Labels& learned, const Labels& judged, const std::string& limit = "",
                              const std::vector<std::string>& names = {}) {
  return notices_of(class_cover(learned, judged), split_of("probe", learned, names), split_of("test", judged, names),
                    limit);
}

TEST(ClassCover, CountsWhatIsMissing) {
  const ClassCover cover = class_cover({5, 0, 0, 9}, {9, 7, 0, 7, 3, 9, 3, 3});
  EXPECT_EQ(cover.learned, 3);
  EXPECT_EQ(cover.judged, 4);
  EXPECT_EQ(cover.missing, (Labels{3, 7}));
  EXPECT_EQ(cover.missing_images, 5);
  EXPECT_EQ(class_cover({1, 0}, {0, 0, 1}).missing, Labels{});
  EXPECT_EQ(classes_in({7, 0, 21, 7, 14}), (Labels{0, 7, 14, 21}));
  nlohmann::ordered_json json;
  store_missing(cover, json);
  EXPECT_EQ(json.dump(), R"({"missing_classes":[3,7],"missing_images":5})");
  store_missing(class_cover({1, 0}, {0, 0, 1}), json = nlohmann::ordered_json::object());
  EXPECT_EQ(json.dump(), "{}");
}

TEST(ClassCover, SaysWhatAFigureDoesNotShow) {
  using Lines = std::vector<std::string>;
  EXPECT_EQ(told({0, 1, 2}, {2, 1, 1}), Lines{});
  EXPECT_EQ(told({0, 1}, {0, 3}),
            Lines{"notice: 1 of the 2 classes judged in test has no image in probe, so its 1 image "
                  "counts as a miss: 3"});
  EXPECT_EQ(told({0, 1}, {0, 2, 3, 3}, "--limit 4"),
            Lines{"notice: 2 of the 3 classes judged in test have no image in probe with --limit 4, so their 3 images "
                  "count as misses: 2, 3"});
  EXPECT_EQ(told({0, 1}, {0, 2, 1}, "", {"cat", "dog", "golden\nretriever"}),
            Lines{"notice: 1 of the 3 classes judged in test has no image in probe, so its 1 image counts as a miss: "
                  "golden\\x0aretriever"});
  EXPECT_EQ(
      told({0, 1}, {10, 11, 12, 13, 14, 15, 0}),
      Lines{"notice: 6 of the 7 classes judged in test have no image in probe, so their 6 images count as misses: "
            "10, 11, 12, 13, 14, ..."});
  EXPECT_EQ(told({0, 0}, {0}, "--limit 2"),
            (Lines{"notice: all images of test that are judged are of one class with --limit 2: 0",
                   "notice: all images of probe that are learned from are of one class with --limit 2: 0"}));
}

/// Four clouds of points that overlap.
Features clouds(const Labels& name) {
  Random random(4, Purpose::test);
  Features features{6, 1 + *std::max_element(name.begin(), name.end()), {}, {}};
  for (int i = 0; i < 80; ++i) {
    const int cloud = i % 4;
    features.labels.push_back(name[static_cast<std::size_t>(cloud)]);
    for (int j = 0; j < 6; ++j) features.values.push_back(random.uniform(-1, 1) + (j == cloud ? 1.7f : 0.0f));
  }
  return features;
}

TEST(Clustering, HasAsManyClustersAsClassesWithImages) {
  const Agreement expected = clustering_of(clouds({0, 1, 2, 3}), 1);
  EXPECT_GT(expected.accuracy, 60);
  EXPECT_LT(expected.accuracy, 100) << "or nothing could become worse";
  for (const Labels& name : {Labels{1, 2, 3, 4}, {0, 7, 14, 21}, {0, 1000, 2000, 3000}}) {
    const Agreement found = clustering_of(clouds(name), 1);
    EXPECT_EQ(found.accuracy, expected.accuracy) << name[1];
    EXPECT_EQ(found.nmi, expected.nmi) << name[1];
    EXPECT_EQ(found.ari, expected.ari) << name[1];
    EXPECT_DOUBLE_EQ(crowding_of(clouds(name)).ratio, crowding_of(clouds({0, 1, 2, 3})).ratio);
  }
}

TEST(Features, WithoutLabelsAreRefusedWhereLabelsAreNeeded) {
  Features features = clouds({0, 1, 2, 3});
  features.labels.clear();
  EXPECT_EQ(features.rows(), 80);
  EXPECT_NO_THROW(check_features(features, "here"));
  EXPECT_EQ(message_of([&] { check_labeled(features, "here"); }),
            "here: there are no labels, which this evaluation needs");
  EXPECT_THROW(clustering_of(features, 1), UsageError);
  EXPECT_THROW(crowding_of(features), UsageError);
}

}  // namespace
}  // namespace vergence
