#include "ssl/evaluation/labeled.h"

#include <cstdio>

#include "engine/text/printable.h"
#include "kernels/clock.h"
#include "kernels/error.h"

namespace vergence {

void print_lines(const std::vector<std::string>& lines, const char* begin) {
  for (const std::string& line : lines) std::printf("%s%s\n", begin, printable(line).c_str());
}

Dataset open_labeled(const DatasetSettings& settings, const std::string& split, const char* reader) {
  Dataset dataset = open_dataset(settings, split);
  print_lines(new_notices(dataset), "notice: ");
  require_usage(dataset.classes > 0 && !dataset.labels.empty(), dataset.name, " ", split,
                ": there are no labels, which ", reader, " needs; evaluate --metrics collapse,alignment needs none");
  return dataset;
}

Features shown_features(const Subject& subject, const Encode& encode, const Dataset& data) {
  Features features = extract_features(encode, data, subject.extract, *subject.backend);
  print_lines(new_skipped(data));
  return features;
}

ProbeProgress progress_lines(const char* unit, std::int64_t total, double& last_loss) {
  return [&last_loss, unit, total, shown = Clock::now()](std::int64_t done, double loss) mutable {
    last_loss = loss;
    if (seconds_since(shown) < 5) return;
    shown = Clock::now();
    std::printf("%s %lld/%lld  loss %.4f\n", unit, static_cast<long long>(done), static_cast<long long>(total), loss);
    std::fflush(stdout);
  };
}

}  // namespace vergence
