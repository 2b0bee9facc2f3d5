// Rendered shapes over textures, without any files: datasets/shapes/confounded_shapes.h.
#include "datasets/shapes/confounded_shapes.h"

#include "datasets/registry.h"

namespace vergence::sets {

DatasetEntry confounded_shapes() {
  return {
      .names = {"confounded_shapes"},
      .open =
          [](const DatasetSettings& settings, const std::string& split) {
            return ShapesSplit(shapes_settings(settings), split)
                .render(settings.components.get<ShapesOptions>().version, settings.limit);
          },
      .options =
          {{.name = "confounded_shapes.confounding",
            .field = ComponentOption::field_of(&ShapesOptions::confounding),
            .help = "probability that a training image's background has the texture of its class; 0.1: chance",
            .low = 0,
            .high = 1},
           {.name = "confounded_shapes.version",
            .field = ComponentOption::field_of(&ShapesOptions::version, image_version_words),
            .help = "what to train on: whole images, only shapes, only textures, or shapes on other images' textures",
            .training = true}},
      .smallest = smallest_shapes,
      .largest = largest_shapes,
      .layers = [](const DatasetSettings& settings, const std::string& split) -> std::unique_ptr<LayeredSplit> {
        return std::make_unique<ShapesSplit>(shapes_settings(settings), split);
      }};
}

}  // namespace vergence::sets
