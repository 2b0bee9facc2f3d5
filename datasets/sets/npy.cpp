// Your own images as NumPy arrays: datasets/readers/npy.h.
#include "datasets/readers/npy.h"

#include "datasets/registry.h"

namespace vergence::sets {

DatasetEntry npy() {
  return {.names = {"npy"},
          .open = [](const DatasetSettings& settings,
                     const std::string& split) { return read_npy(settings.directory, split, settings.limit); },
          .has_test = [](const DatasetSettings& settings) { return has_npy_test(settings.directory); },
          .val = "the last tenth",
          .own = {"npy"}};
}

}  // namespace vergence::sets
