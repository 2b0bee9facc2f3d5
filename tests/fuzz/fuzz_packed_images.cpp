// Packed files of images.
#include "datasets/loading/image_reader.h"
#include "datasets/readers/images/packed.h"
#include "tests/fuzz/fuzz_target.h"

namespace {

using namespace vergence;

/// Images lie behind one another, with labels of the classes; those that are read have the bytes of their checksums.
void check_images(const PackedImages& images, const std::string& path) {
  for (std::int64_t i = 0; i < images.count(); ++i) {
    const ImageSize size = images.size(i);
    must(size.height > 0 && size.width > 0, "an image has pixels");
    must(images.label(i) >= -1 && images.label(i) < static_cast<std::int64_t>(images.classes().size()),
         "a label is a class or none");
    accepts(path, [&] {
      std::string buffer;
      const std::uint8_t* pixels = images.pixels(i, buffer);
      must(images.is_good(i), "an image without a checksum is refused");
      std::int64_t sum = 0;
      for (std::int64_t k = 0; k < 3 * size.height * size.width; ++k) sum += pixels[k];
      must(sum >= 0, "all bytes are there");
    });
  }
}

/// A split can be opened and its images read, or not, in one line.
void check_split(const std::string& path, const char* split) {
  DatasetSettings settings;
  settings.name = "image_folder";
  settings.directory = path;
  accepts("", [&] {
    const Dataset data = open_packed_images(settings, split);
    must(data.labels.empty() || static_cast<std::int64_t>(data.labels.size()) == data.count, "each image has a label");
    const ViewSettings view = ViewSettings::identity(8);
    float out[8 * 8 * 3];
    const WantedView wanted{&view, Random(1, Purpose::view), out};
    ImageReader reader(data);
    for (std::int64_t i = 0; i < data.count; ++i) accepts(path, [&] { reader.make_views(i, {&wanted, 1}); });
  });
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string path = write_input("in.packed", {reinterpret_cast<const char*>(data), size});
  if (!accepts(path, [&] { check_images(PackedImages(path), path); })) return 0;
  for (const char* split : {"train", "val", "test"}) check_split(path, split);
  return 0;
}
