// Shares of the labels and the held-out tenth: balanced, nested, disjoint, always the same.
#include <algorithm>
#include <gtest/gtest.h>

#include "kernels/error.h"
#include "ssl/evaluation/sampling/subset.h"

namespace vergence {
namespace {

using Indices = std::vector<std::int64_t>;
using Labels = std::vector<std::int32_t>;

/// Classes in turn, so that a class's images are spread over the list.
Labels interleaved(std::int64_t per_class, std::int32_t classes) {
  Labels labels;
  for (std::int64_t i = 0; i < per_class * classes; ++i) labels.push_back(static_cast<std::int32_t>(i % classes));
  return labels;
}

std::int64_t count_of(const Labels& labels, const Indices& indices, std::int32_t label) {
  return std::count_if(indices.begin(), indices.end(),
                       [&](std::int64_t i) { return labels[static_cast<std::size_t>(i)] == label; });
}

TEST(LabelSubset, EveryClassHasItsShare) {
  const Labels labels = interleaved(5000, 10);
  for (const auto& [percent, each] : {std::pair<std::int64_t, std::int64_t>{100, 5000}, {10, 500}, {1, 50}}) {
    const Indices share = balanced_share(labels, percent);
    EXPECT_EQ(static_cast<std::int64_t>(share.size()), 10 * each);
    EXPECT_TRUE(std::is_sorted(share.begin(), share.end()));
    EXPECT_EQ(std::adjacent_find(share.begin(), share.end()), share.end()) << "no image twice";
    for (std::int32_t label = 0; label < 10; ++label) EXPECT_EQ(count_of(labels, share, label), each);
  }
}

TEST(LabelSubset, SharesAreRoundedAndNeverEmpty) {
  Labels labels(3, 0);                 // 10 %: 0.3, at least one
  labels.insert(labels.end(), 25, 2);  // 2.5, halves up
  labels.insert(labels.end(), 24, 5);  // 2.4
  const Indices tenth = balanced_share(labels, 10);
  EXPECT_EQ(count_of(labels, tenth, 0), 1);
  EXPECT_EQ(count_of(labels, tenth, 2), 3);
  EXPECT_EQ(count_of(labels, tenth, 5), 2);
  EXPECT_EQ(balanced_share(labels, 1).size(), 3u);
}

TEST(LabelSubset, ASmallerShareIsPartOfALargerOneAndDrawnNotTaken) {
  const Labels labels = interleaved(300, 4);
  const Indices one = balanced_share(labels, 1), ten = balanced_share(labels, 10);
  EXPECT_TRUE(std::includes(ten.begin(), ten.end(), one.begin(), one.end()));
  EXPECT_EQ(ten, balanced_share(labels, 10));
  EXPECT_GT(ten.back(), 1000) << "not the first images";
  EXPECT_EQ(list_digest(one), list_digest(balanced_share(labels, 1)));
  EXPECT_NE(list_digest(one), list_digest(ten));
}

TEST(LabelSubset, AnotherClassDoesNotChangeAClassesImages) {
  // Class 1 has the same images before and after the images of class 0 are gone.
  Labels both(40, 1), alone(40, 1);
  both.insert(both.end(), 60, 0);
  const Indices in_both = balanced_share(both, 10), in_alone = balanced_share(alone, 10);
  EXPECT_EQ(Indices(in_both.begin(), in_both.begin() + 4), in_alone);
}

TEST(LabelSubset, TheHeldOutTenthAndTheRestAreAllImages) {
  Labels labels = interleaved(50, 6);
  labels.push_back(9);  // a class of one image
  const HeldOutTenth split = hold_out_tenth(labels);
  for (std::int32_t label = 0; label < 6; ++label) EXPECT_EQ(count_of(labels, split.held_out, label), 5);
  EXPECT_EQ(count_of(labels, split.held_out, 9), 0) << "someone must learn it";
  Indices all = split.kept;
  all.insert(all.end(), split.held_out.begin(), split.held_out.end());
  std::sort(all.begin(), all.end());
  for (std::size_t i = 0; i < labels.size(); ++i) EXPECT_EQ(all.at(i), static_cast<std::int64_t>(i));
  EXPECT_NE(split.held_out, balanced_share(labels, 10)) << "a stream of its own";
  EXPECT_EQ(values_at(labels, {300, 1}), (Labels{9, 1}));
}

TEST(LabelSubset, OneImageOfAClassCannotBeHeldOut) { EXPECT_THROW(hold_out_tenth({0, 1, 2}), UsageError); }

}  // namespace
}  // namespace vergence
