// Rendered shapes over the photographs of CIFAR-10: datasets/shapes/composites.h.
#include "datasets/shapes/composites.h"

#include "datasets/readers/cifar.h"
#include "datasets/registry.h"

namespace vergence::sets {

DatasetEntry composites() {
  return {
      .names = {"composites"},
      .open =
          [](const DatasetSettings& settings, const std::string& split) {
            return CompositesSplit(composites_settings(settings), split)
                .render(settings.components.get<CompositesOptions>().version, settings.limit);
          },
      .options = {{.name = "composites.background",
                   .field = ComponentOption::field_of(&CompositesOptions::background, photographs_words),
                   .help = "data set of the photographs under the shapes; --data has its files"},
                  {.name = "composites.confounding",
                   .field = ComponentOption::field_of(&CompositesOptions::confounding),
                   .help = "probability that shape and photograph of a training image have the same class; 0.1: chance",
                   .low = 0,
                   .high = 1},
                  {.name = "composites.version",
                   .field = ComponentOption::field_of(&CompositesOptions::version, image_version_words),
                   .help = "what to train on: whole images, only shapes, only photographs, or shapes on other images' "
                           "photographs",
                   .training = true}},
      .published = cifar10_files(),
      .layers = [](const DatasetSettings& settings, const std::string& split) -> std::unique_ptr<LayeredSplit> {
        return std::make_unique<CompositesSplit>(composites_settings(settings), split);
      }};
}

}  // namespace vergence::sets
