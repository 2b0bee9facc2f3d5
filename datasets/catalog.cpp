// From the name of a data set to its images.
#include <algorithm>

#include "datasets/dataset.h"
#include "datasets/readers/cifar.h"
#include "datasets/readers/fc100.h"
#include "datasets/readers/images/folder.h"
#include "datasets/readers/npy.h"
#include "datasets/readers/stl10.h"
#include "datasets/shapes/layered_images.h"
#include "engine/text/words.h"
#include "kernels/error.h"

namespace vergence {
namespace {

/// The images of some classes, in their order; the first `limit` of them unless that is 0.
Dataset images_of_classes(Dataset data, const std::vector<std::int32_t>& classes, std::int64_t limit) {
  const std::int64_t size = data.image_size();
  std::int64_t kept = 0;
  for (std::int64_t i = 0; i < data.count && (limit == 0 || kept < limit); ++i) {
    const std::int32_t label = data.labels[static_cast<std::size_t>(i)];
    if (std::find(classes.begin(), classes.end(), label) == classes.end()) continue;
    if (kept < i) std::copy_n(data.pixels.begin() + i * size, size, data.pixels.begin() + kept * size);
    data.labels[static_cast<std::size_t>(kept++)] = label;
  }
  require_usage(kept > 0, data.name, " ", data.split, ": there are no images of the classes asked for");
  data.count = kept;
  data.labels.resize(static_cast<std::size_t>(kept));
  data.pixels.resize(static_cast<std::size_t>(kept * size));
  return data;
}

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// Of "train" the classes that are asked for; labels stay.
Dataset open_cifar100(const DatasetSettings& settings, const std::string& split) {
  if (settings.cifar100_classes == Cifar100Classes::all || split != "train")
    return read_cifar100(settings.directory, split, settings.limit);
  return images_of_classes(read_cifar100(settings.directory, split), fc100_classes(Fc100::base), settings.limit);
}

}  // namespace

const std::vector<std::string>& dataset_names() {
  static const std::vector<std::string> names{"confounded_shapes", "composites", "cifar10",     "cifar100", "stl10",
                                              "image_folder",      "imagenet",   "imagenet100", "npy"};
  return names;
}

const std::vector<std::string>& split_names() {
  static const std::vector<std::string> names{"train", "probe", "probe_without_val", "val", "test"};
  return names;
}

std::string probe_split(const std::string& judged) {
  require_usage(judged == "test" || judged == "val", "split: '", judged, "', expected test or val");
  return judged == "val" ? "probe_without_val" : "probe";
}

bool is_of_image_files(const std::string& name) { return contains({"image_folder", "imagenet", "imagenet100"}, name); }

bool has_test_split(const DatasetSettings& settings) {
  if (settings.name == "npy") return has_npy_test(settings.directory);
  return !is_of_image_files(settings.name) || has_test_images(settings);
}

Dataset open_dataset(const DatasetSettings& settings, const std::string& split) {
  require_usage(contains(dataset_names(), settings.name), "data set: unknown name '", settings.name,
                "', expected one of ", listed(dataset_names()));
  require_usage(contains(split_names(), split), settings.name, ": unknown split '", split, "', expected one of ",
                listed(split_names()));
  require_usage(settings.limit >= 0, settings.name, ": limit is ", settings.limit, ", expected 0 (all) or more");
  if (settings.name == "cifar10") return read_cifar10(settings.directory, split, settings.limit);
  if (settings.name == "cifar100") return open_cifar100(settings, split);
  if (settings.name == "stl10") return read_stl10(settings.directory, split, settings.limit);
  if (settings.name == "npy") return read_npy(settings.directory, split, settings.limit);
  if (!has_layers(settings.name)) {
    Dataset images = open_image_folder(settings, split);
    images.decode = settings.decode;
    return images;
  }
  return open_layers(settings, split)->render(settings.version, settings.limit);
}

}  // namespace vergence
