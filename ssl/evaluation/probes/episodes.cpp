// Draws episodes and classifies their queries.
#include "ssl/evaluation/probes/episodes.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "datasets/readers/fc100.h"
#include "engine/text/words.h"
#include "kernels/draws.h"
#include "kernels/error.h"
#include "kernels/parallel.h"
#include "ssl/evaluation/features/class_cover.h"
#include "ssl/evaluation/features/streams.h"

namespace vergence {
namespace {

using EpisodeRows = std::vector<std::int64_t>;

/// The indices of each class's images.
std::vector<EpisodeRows> images_of_classes(const std::vector<std::int32_t>& labels,
                                           const std::vector<std::int32_t>& classes) {
  std::vector<EpisodeRows> images;
  for (const std::int32_t wanted : classes) {
    images.emplace_back();
    for (std::size_t i = 0; i < labels.size(); ++i)
      if (labels[i] == wanted) images.back().push_back(static_cast<std::int64_t>(i));
  }
  return images;
}

/// Features of unit length, classified by the nearest class mean.
class Prototypes {
 public:
  explicit Prototypes(const Features& features) : unit_(unit_rows(features)), dim_(features.dim) {}

  /// The percentage of queries whose nearest mean is that of their class. The first `shots` rows of each class are its
  /// examples, the others its queries.
  double accuracy(const std::vector<EpisodeRows>& episode, std::int64_t shots) const {
    std::vector<std::vector<double>> means;
    for (const EpisodeRows& rows : episode) means.push_back(mean_of({rows.begin(), rows.begin() + shots}));
    std::int64_t hits = 0, queries = 0;
    for (std::size_t way = 0; way < episode.size(); ++way)
      for (auto row = episode[way].begin() + shots; row != episode[way].end(); ++row, ++queries)
        hits += nearest(means, *row) == way;
    return 100.0 * static_cast<double>(hits) / static_cast<double>(queries);
  }

 private:
  /// The direction of the mean, at unit length; a zero mean stays zero.
  std::vector<double> mean_of(const EpisodeRows& rows) const {
    std::vector<double> mean(static_cast<std::size_t>(dim_), 0.0);
    for (const std::int64_t row : rows)
      for (std::size_t j = 0; j < mean.size(); ++j) mean[j] += unit_[static_cast<std::size_t>(row * dim_) + j];
    const double length = std::sqrt(std::inner_product(mean.begin(), mean.end(), mean.begin(), 0.0));
    for (double& value : mean) value /= std::max(length, 1e-12);
    return mean;
  }

  std::size_t nearest(const std::vector<std::vector<double>>& means, std::int64_t row) const {
    std::vector<double> cosines;
    for (const auto& mean : means)
      cosines.push_back(std::inner_product(mean.begin(), mean.end(), unit_.begin() + row * dim_, 0.0));
    return static_cast<std::size_t>(std::max_element(cosines.begin(), cosines.end()) - cosines.begin());
  }

  std::vector<double> unit_;
  std::int64_t dim_;
};

EpisodeAccuracy episode_summary(const std::vector<double>& accuracies, std::int64_t shots) {
  const auto count = static_cast<double>(accuracies.size());
  const double mean = std::accumulate(accuracies.begin(), accuracies.end(), 0.0) / count;
  double squares = 0;
  for (const double each : accuracies) squares += (each - mean) * (each - mean);
  return {shots, mean, 1.96 * std::sqrt(squares / (count - 1) / count)};
}

}  // namespace

void check_episodes(const EpisodeSettings& settings) {
  require_usage(settings.ways >= 2, "--ways: ", settings.ways, ", expected 2 or more");
  require_usage(!settings.shots.empty(), "--shots: there are none, expected numbers with commas between them");
  for (const std::int64_t shots : settings.shots) require_usage(shots >= 1, "--shots: ", shots, ", expected 1 or more");
  require_usage(settings.queries >= 1, "--queries: ", settings.queries, ", expected 1 or more");
  require_usage(settings.episodes >= 2, "--episodes: ", settings.episodes, ", expected 2 or more");
}

EpisodeClasses classes_of_episodes(const Dataset& judged, std::int64_t bank_images) {
  const bool cifar100 = judged.name == "cifar100", val = judged.split == "val";
  if (cifar100 && bank_images == (val ? 45000 : 50000) && judged.count == (val ? 5000 : 10000))
    return val ? EpisodeClasses{"FC100 validation", fc100_classes(Fc100::validation)}
               : EpisodeClasses{"FC100 test", fc100_classes(Fc100::test)};
  return {cifar100 ? "subset episodes" : "all classes", classes_in(judged.labels)};
}

std::string no_episodes_since(const std::vector<std::int32_t>& labels, const EpisodeClasses& classes,
                              const EpisodeSettings& settings) {
  const auto count = static_cast<std::int64_t>(classes.labels.size());
  if (count < settings.ways) return join("--ways: ", settings.ways, ", but there are ", count, " classes to draw from");
  const std::int64_t shots = *std::max_element(settings.shots.begin(), settings.shots.end());
  for (const std::int32_t label : classes.labels) {
    const std::int64_t images = std::count(labels.begin(), labels.end(), label);
    if (images < shots + settings.queries)
      return join("class ", label, " has ", counted(images, "image"), ", expected at least ", shots + settings.queries,
                  ": --shots ", shots, " and --queries ", settings.queries);
  }
  return "";
}

std::vector<std::vector<std::int64_t>> draw_episode(const std::vector<std::vector<std::int64_t>>& images,
                                                    const EpisodeSettings& settings, std::int64_t shots,
                                                    std::int64_t episode) {
  Random random(settings.seed, Purpose::probe, static_cast<std::uint32_t>(shots), static_cast<std::uint64_t>(episode),
                episode_stream);
  EpisodeRows classes(images.size());
  std::iota(classes.begin(), classes.end(), 0);
  draw_to_front(classes, settings.ways, random);
  std::vector<EpisodeRows> drawn;
  for (std::size_t way = 0; way < static_cast<std::size_t>(settings.ways); ++way) {
    drawn.push_back(images[static_cast<std::size_t>(classes[way])]);
    draw_to_front(drawn.back(), shots + settings.queries, random);
    drawn.back().resize(static_cast<std::size_t>(shots + settings.queries));
  }
  return drawn;
}

std::vector<EpisodeAccuracy> episode_accuracy(const Features& features, const EpisodeClasses& classes,
                                              const EpisodeSettings& settings) {
  check_episodes(settings);
  check_labeled(features, "episodes");
  const std::string obstacle = no_episodes_since(features.labels, classes, settings);
  require_usage(obstacle.empty(), "episodes: ", obstacle);
  const std::vector<EpisodeRows> images = images_of_classes(features.labels, classes.labels);
  const Prototypes prototypes(features);
  std::vector<EpisodeAccuracy> results;
  for (const std::int64_t shots : settings.shots) {
    std::vector<double> accuracies(static_cast<std::size_t>(settings.episodes));
    parallel_for(settings.episodes, 8, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i)
        accuracies[static_cast<std::size_t>(i)] = prototypes.accuracy(draw_episode(images, settings, shots, i), shots);
    });
    results.push_back(episode_summary(accuracies, shots));
  }
  return results;
}

}  // namespace vergence
