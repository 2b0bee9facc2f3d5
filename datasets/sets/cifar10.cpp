// CIFAR-10. Mean and deviation, splits and files: datasets/readers/cifar.h.
#include "datasets/readers/cifar.h"
#include "datasets/registry.h"

namespace vergence::sets {

DatasetEntry cifar10() {
  return {.names = {"cifar10"},
          .open = [](const DatasetSettings& settings,
                     const std::string& split) { return read_cifar10(settings.directory, split, settings.limit); },
          .published = cifar10_files()};
}

}  // namespace vergence::sets
