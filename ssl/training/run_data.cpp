#include "ssl/training/run_data.h"

#include "datasets/registry.h"
#include "kernels/error.h"

namespace vergence {
namespace {

Dataset open_part(DatasetSettings settings, const std::string& split, std::int64_t limit) {
  settings.limit = limit;
  return open_dataset(settings, split);
}

}  // namespace

RunData::RunData(const Options& options)
    : settings_(dataset_settings(options)), train_(open_dataset(settings_, "train")) {
  settings_.decode = DecodeRule::exact;
}

const Fingerprint& RunData::fingerprint() {
  if (!fingerprint_) fingerprint_ = fingerprint_of(train_);
  return *fingerprint_;
}

void RunData::require_judged(std::int64_t limit) {
  // Images may be skipped, even the first ones.
  const bool whole = settings_.bad_images == BadImagePolicy::skip && is_of_image_files(settings_.name);
  for (const char* split : {"probe", "test"})
    require_usage((whole ? judged(split, limit) : open_part(as_judged(settings_), split, 1)).classes > 0,
                  "--eval-every: ", settings_.name, " has no labels");
}

Dataset RunData::judged(const std::string& split, std::int64_t limit) {
  if (const auto kept = kept_.find(split); kept != kept_.end()) return kept->second;
  Dataset dataset = open_part(as_judged(settings_), split, limit);
  if (dataset.source) kept_.emplace(split, dataset);
  return dataset;
}

Dataset RunData::pictured(std::int64_t count) {
  const auto kept = kept_.find("probe");  // more to choose from if some are unreadable
  return kept != kept_.end() ? kept->second : open_part(settings_, "probe", count);
}

}  // namespace vergence
