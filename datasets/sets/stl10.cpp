// STL-10, binary version: datasets/readers/stl10.h.
#include "datasets/readers/stl10.h"

#include "datasets/registry.h"

namespace vergence::sets {

DatasetEntry stl10() {
  return {.names = {"stl10"},
          .open = [](const DatasetSettings& settings,
                     const std::string& split) { return read_stl10(settings.directory, split, settings.limit); },
          .published = {{"stl10_binary",  // as in torchvision's source
                         {{"train_X.bin", "918c2871b30a85fa023e0c44e0bee87f"},
                          {"train_y.bin", "5a34089d4802c674881badbb80307741"},
                          {"unlabeled_X.bin", "5242ba1fed5e4be9e1e742405eb56ca4"},
                          {"test_X.bin", "7f263ba9f9e0b06b93213547f721ac82"},
                          {"test_y.bin", "36f9794fa4beb8a2c72628de14fa638e"}}}},
          .zoom = 70.0 / 64,
          .side = 96,
          .fold = [](const DatasetSettings& settings,
                     std::int64_t fold) { return read_stl10_fold(settings.directory, fold); }};
}

}  // namespace vergence::sets
