// CIFAR-100: all of its classes, or those on which FC100 lets a few-shot learner train.
#include "datasets/readers/cifar.h"
#include "datasets/registry.h"

namespace vergence::sets {

DatasetEntry cifar100() {
  return {
      .names = {"cifar100"},
      .open =
          [](const DatasetSettings& settings, const std::string& split) {
            const bool all = settings.components.get<Cifar100Options>().classes == Cifar100Classes::all;
            return all || split != "train" ? read_cifar100(settings.directory, split, settings.limit)
                                           : read_fc100_base(settings.directory, settings.limit);
          },
      .options = {{.name = "cifar100.classes",
                   .field = ComponentOption::field_of(&Cifar100Options::classes, cifar100_classes_words),
                   .help = "what to train on: all, or the 60 classes that FC100 does not keep for few-shot episodes",
                   .training = true}},
      // Published with torchvision's source; nobody has published sums of the binary version.
      .published = {{"cifar-100-binary", {{"train.bin", ""}, {"test.bin", ""}}},
                    {"cifar-100-python",
                     {{"train", "16019d7e3df5f24257cddd939b257f8d"}, {"test", "f0ef6b0ae62326f3e7ffdfab6717acfc"}}}}};
}

}  // namespace vergence::sets
