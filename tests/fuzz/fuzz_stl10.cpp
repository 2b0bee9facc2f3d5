// STL-10's binary files. They are made of the input: images are too large to be one.
#include <algorithm>

#include "datasets/readers/stl10.h"
#include "tests/fuzz/fuzz_target.h"

namespace {

using namespace vergence;

constexpr std::int64_t side = 96, plane = side * side, image_bytes = 3 * plane;

/// The largest file of images that an input asks for.
const std::string& all_images() {
  static const std::string images = [] {
    std::string bytes;
    for (std::int64_t i = 0; i < 16 * image_bytes; ++i) bytes += static_cast<char>(i + i / 251);
    return bytes;
  }();
  return images;
}

/// Such a file, of so many images and some bytes more.
void write_images(const std::string& name, std::int64_t count, std::int64_t more) {
  write_input(name, std::string_view(all_images()).substr(0, static_cast<std::size_t>(count * image_bytes + more)));
}

/// Images [from, to) must be those of a file from `first` on.
void check_images(const Dataset& data, std::int64_t from, std::int64_t to, std::int64_t first) {
  for (std::int64_t i = from; i < to; ++i) {
    const char* planes = all_images().data() + (first + i - from) * image_bytes;
    for (std::int64_t y = i % 16; y < side; y += 16)
      for (std::int64_t x = 0; x < side; ++x)
        for (std::int64_t c = 0; c < 3; ++c)
          must(data.image(i)[3 * (y * side + x) + c] == static_cast<unsigned char>(planes[c * plane + x * side + y]),
               "pixels are the columns of a file's planes");
  }
}

}  // namespace

/// The file: the labels. Settings: split; limit; images, and bytes too many, of the labeled file; the same of the
/// other.
int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const FuzzInput input(data, size, 6);
  const std::string_view labels = input.file();
  const std::string& split = split_names()[static_cast<std::size_t>(input.setting(0)) % split_names().size()];
  const std::int64_t limit = input.setting(1) % 16;
  const std::int64_t count = input.setting(2) % 13, unlabeled = split == "train" ? input.setting(4) % 4 : 1;
  const std::int64_t odd_bytes = input.setting(3) % 3, more_bytes = split == "train" ? input.setting(5) % 3 : 0;
  const std::string labeled = split == "test" ? "test" : "train";
  write_images(labeled + "_X.bin", count, odd_bytes);
  write_input(labeled + "_y.bin", labels);
  write_images("unlabeled_X.bin", unlabeled, more_bytes);
  Dataset read;
  const bool good = accepts("stl10: ", [&] { read = read_stl10(fuzz_folder().path(), split, limit); });
  const bool good_labels = static_cast<std::int64_t>(labels.size()) == count &&
                           std::all_of(labels.begin(), labels.end(), [](char c) { return c >= 1 && c <= 10; });
  const bool enough = split == "val" ? count >= 10 : count > 0;
  must(good == (enough && odd_bytes == 0 && unlabeled > 0 && more_bytes == 0 && (split == "train" || good_labels)),
       "whole images with labels of 1 to 10 are read if the split has one, and nothing else");
  if (!good) return 0;
  const std::int64_t first = split == "val" ? count - count / 10 : 0;
  const std::int64_t last = split == "probe_without_val" ? count - count / 10 : count;
  const std::int64_t all = last - first + (split == "train" ? unlabeled : 0);
  must(read.count == (limit > 0 ? std::min(limit, all) : all), "a split has its share of the images");
  const std::int64_t own = std::min(read.count, last - first);
  check_images(read, 0, own, first);
  check_images(read, own, read.count, 0);
  must(read.labels.empty() == (split == "train" || own == 0), "all splits but one have labels");
  for (std::int64_t i = 0; i < static_cast<std::int64_t>(read.labels.size()); ++i)
    must(read.label(i) + 1 == labels[static_cast<std::size_t>(first + i)], "labels begin at 1 in the file");
  return 0;
}
