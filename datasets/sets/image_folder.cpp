// Folders of image files: your own, ImageNet, and 100 of its classes. Layouts: datasets/readers/images/folder.h.
#include "datasets/readers/images/folder.h"
#include "datasets/registry.h"

namespace vergence::sets {

DatasetEntry image_folder() {
  return {.names = {"image_folder", "imagenet", "imagenet100"},
          .open =
              [](const DatasetSettings& settings, const std::string& split) {
                Dataset images = open_image_folder(settings, split);
                images.decode = settings.decode;
                return images;
              },
          .has_test = has_test_images,
          .val = "every tenth image",
          .image_files = true,
          .own = {"image_folder"},
          .zoom = 256.0 / 224,
          .recipes = "imagenet100"};
}

}  // namespace vergence::sets
