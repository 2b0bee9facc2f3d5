// Few-shot episodes: can a new class be told from few examples, with nothing trained?
//
// Nearest class mean on frozen features (prototypes: Snell, Swersky, Zemel, "Prototypical networks for few-shot
// learning", NeurIPS 2017), on features of unit length as in Wang, Chao, Weinberger, van der Maaten, "SimpleShot:
// revisiting nearest-neighbor classification for few-shot learning", 2019; nearest by cosine.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "datasets/dataset.h"
#include "ssl/evaluation/features/matrix.h"

namespace vergence {

struct EpisodeSettings {
  std::int64_t ways = 5;                  // classes of an episode
  std::vector<std::int64_t> shots{1, 5};  // labeled images of each class, one figure per entry
  std::int64_t queries = 15;              // images of each class that are classified
  std::int64_t episodes = 600;            // of each entry of `shots`
  std::uint64_t seed = 1;                 // of what is drawn

  bool operator==(const EpisodeSettings&) const = default;
};

/// Throws UsageError naming the option: ways from 2, shots, queries and episodes from 1, two episodes at least.
void check_episodes(const EpisodeSettings& settings);

/// Classes that episodes draw from, and how they are called in results.
struct EpisodeClasses {
  std::string name;  // "all classes", "FC100 test", "FC100 validation", "subset episodes"
  std::vector<std::int32_t> labels;
};

/// All classes that have images in `judged`; of the whole CIFAR-100 those that FC100 keeps for the judged split
/// (datasets/readers/fc100.h): its validation classes for "val", its test classes for "test". `judged`: the split that
/// images are drawn from; `bank_images`: how many its probe_split has, which tells a part of CIFAR-100 from the whole.
EpisodeClasses classes_of_episodes(const Dataset& judged, std::int64_t bank_images);

/// Why there can be no such episodes, in one line: too few classes, or a class with too few images for `shots` and
/// `queries`. Empty if there can be. `labels`: of the images there are.
std::string no_episodes_since(const std::vector<std::int32_t>& labels, const EpisodeClasses& classes,
                              const EpisodeSettings& settings);

/// The images of one episode, [ways, shots + queries]: places among `images`, those of each class that may be drawn.
/// Drawn from (seed, Purpose::probe, shots, episode, episode_stream): `ways` different classes, then of each in turn as
/// many different images, both by a Fisher-Yates shuffle from the front that stops early.
std::vector<std::vector<std::int64_t>> draw_episode(const std::vector<std::vector<std::int64_t>>& images,
                                                    const EpisodeSettings& settings, std::int64_t shots,
                                                    std::int64_t episode);

struct EpisodeAccuracy {
  std::int64_t shots = 0;
  double mean = 0;      // per cent of the queries, over episodes
  double interval = 0;  // 95 %: 1.96 deviations of the episodes' accuracies (n - 1) over the root of their number
};

/// One result per entry of `shots`. A query belongs to the class whose mean of unit features has the largest cosine
/// with it, of equal ones to the one drawn first. In f64. Throws UsageError where no_episodes_since says something,
/// or if features are empty or not finite.
std::vector<EpisodeAccuracy> episode_accuracy(const Features& features, const EpisodeClasses& classes,
                                              const EpisodeSettings& settings);

}  // namespace vergence
