// Few-shot episodes: do a few examples suffice to recognize a new class, without any training?
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
  std::int64_t ways = 5;                  // classes per episode
  std::vector<std::int64_t> shots{1, 5};  // labeled images per class; one figure per entry
  std::int64_t queries = 15;              // classified images per class
  std::int64_t episodes = 600;            // for each entry of `shots`
  std::uint64_t seed = 1;                 // for the draws

  bool operator==(const EpisodeSettings&) const = default;
};

/// Throws UsageError, which names the option, unless ways >= 2, shots and queries >= 1, and episodes >= 2.
void check_episodes(const EpisodeSettings& settings);

/// The classes that episodes draw from, and their name in results.
struct EpisodeClasses {
  std::string name;  // "all classes", "FC100 test", "FC100 validation", "subset episodes"
  std::vector<std::int32_t> labels;
};

/// Returns all classes that have images in `judged`, the split that images are drawn from. For the whole CIFAR-100,
/// returns FC100's classes (datasets/readers/fc100.h): its validation classes for "val", its test classes for "test".
/// `bank_images`, the size of its probe_split, tells a part of CIFAR-100 from the whole.
EpisodeClasses classes_of_episodes(const Dataset& judged, std::int64_t bank_images);

/// Returns one line that says why such episodes are impossible: too few classes, or a class with too few images for
/// `shots` and `queries`. Empty if they are possible. `labels`: of the available images.
std::string no_episodes_since(const std::vector<std::int32_t>& labels, const EpisodeClasses& classes,
                              const EpisodeSettings& settings);

/// Draws the images of one episode, [ways, shots + queries]: indices from `images`, which lists the candidates of each
/// class. Draws from (seed, Purpose::probe, shots, episode, episode_stream): `ways` different classes, then for each in
/// turn shots + queries different images, both by a Fisher-Yates shuffle from the front that stops early.
std::vector<std::vector<std::int64_t>> draw_episode(const std::vector<std::vector<std::int64_t>>& images,
                                                    const EpisodeSettings& settings, std::int64_t shots,
                                                    std::int64_t episode);

struct EpisodeAccuracy {
  std::int64_t shots = 0;
  double mean = 0;  // percent of queries, over episodes
  double interval =
      0;  // 95 %: 1.96 standard deviations of the episodes' accuracies (n - 1), over the root of their number
};

/// Returns one result per entry of `shots`, in f64. A query goes to the class whose mean of unit features has the
/// largest cosine with it; of equal ones, to the class drawn first. Throws UsageError if no_episodes_since gives a
/// reason, or if features are empty or not finite.
std::vector<EpisodeAccuracy> episode_accuracy(const Features& features, const EpisodeClasses& classes,
                                              const EpisodeSettings& settings);

}  // namespace vergence
