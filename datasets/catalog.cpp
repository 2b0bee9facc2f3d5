// Opens data sets by name.
#include <algorithm>

#include "datasets/registry.h"
#include "datasets/shapes/layered_images.h"
#include "engine/text/words.h"
#include "kernels/error.h"

namespace vergence {
namespace {

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// The entry of a data set, or null.
const DatasetEntry* find_entry(const std::string& dataset) {
  for (const DatasetEntry& entry : dataset_entries())
    if (contains(entry.names, dataset)) return &entry;
  return nullptr;
}

}  // namespace

const std::vector<std::string>& dataset_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const DatasetEntry& entry : dataset_entries()) all.insert(all.end(), entry.names.begin(), entry.names.end());
    return all;
  }();
  return names;
}

const DatasetEntry& entry_of(const std::string& dataset) {
  const DatasetEntry* entry = find_entry(dataset);
  require_usage(entry != nullptr, "data set: unknown name '", dataset, "', expected one of ", listed(dataset_names()));
  return *entry;
}

const std::vector<std::string>& split_names() {
  static const std::vector<std::string> names{"train", "probe", "probe_without_val", "val", "test"};
  return names;
}

std::string probe_split(const std::string& judged) {
  require_usage(judged == "test" || judged == "val", "split: '", judged, "', expected test or val");
  return judged == "val" ? "probe_without_val" : "probe";
}

bool is_of_image_files(const std::string& name) {
  const DatasetEntry* entry = find_entry(name);
  return entry && entry->image_files;
}

bool is_of_own_images(const std::string& dataset) {
  const DatasetEntry* entry = find_entry(dataset);
  return entry && contains(entry->own, dataset);
}

std::vector<std::string> image_file_datasets() {
  std::vector<std::string> names = dataset_names();
  std::erase_if(names, [](const std::string& name) { return !is_of_image_files(name); });
  return names;
}

bool has_test_split(const DatasetSettings& settings) {
  const auto has_test = entry_of(settings.name).has_test;
  return !has_test || has_test(settings);
}

Dataset open_dataset(const DatasetSettings& settings, const std::string& split) {
  const DatasetEntry& entry = entry_of(settings.name);
  require_usage(contains(split_names(), split), settings.name, ": unknown split '", split, "', expected one of ",
                listed(split_names()));
  require_usage(settings.limit >= 0, settings.name, ": limit is ", settings.limit, ", expected 0 (all) or more");
  Dataset data = entry.open(settings, split);
  data.zoom = entry.zoom;
  return data;
}

DatasetSettings as_judged(DatasetSettings settings) {
  const DatasetEntry& entry = entry_of(settings.name);
  for (const ComponentOption& option : entry.options)
    if (option.training) copy_option(option, {}, settings.components);
  if (settings.image_size > 0 && entry.largest > 0)
    settings.image_size = std::clamp(settings.image_size, entry.smallest, entry.largest);
  return settings;
}

std::vector<std::int64_t> published_fold(const DatasetSettings& settings, std::int64_t fold) {
  const DatasetEntry& entry = entry_of(settings.name);
  std::vector<std::string> with_folds;
  for (const DatasetEntry& each : dataset_entries())
    if (each.fold) with_folds.insert(with_folds.end(), each.names.begin(), each.names.end());
  require_usage(entry.fold != nullptr, settings.name, ": there are no published folds, expected ",
                alternatives(with_folds));
  return entry.fold(settings, fold);
}

bool has_layers(const std::string& dataset) {
  const DatasetEntry* entry = find_entry(dataset);
  return entry && entry->layers;
}

std::string layered_names() {
  std::vector<std::string> names;
  for (const DatasetEntry& entry : dataset_entries())
    if (entry.layers) names.insert(names.end(), entry.names.begin(), entry.names.end());
  return alternatives(names);
}

std::unique_ptr<LayeredSplit> open_layers(const DatasetSettings& settings, const std::string& split) {
  const DatasetEntry& entry = entry_of(settings.name);
  require_usage(entry.layers != nullptr, settings.name, ": its images have no layers, expected ", layered_names());
  return entry.layers(settings, split);
}

}  // namespace vergence
