// The data set npy: an array of images and one of labels.
#include <filesystem>

#include "datasets/readers/npy.h"
#include "datasets/readers/npy_file.h"
#include "tests/fuzz/fuzz_target.h"

namespace {

using namespace vergence;

/// What is read is the end of the file of images, and of labels.
void check_images(const Dataset& read, std::string_view images, std::int64_t first) {
  const auto size = static_cast<std::size_t>(read.image_bytes());
  must(read.channels >= 1 && read.channels <= max_channels && read.height >= 1 && read.width >= 1,
       "images have pixels");
  must(read.pixels.size() == static_cast<std::size_t>(read.count) * size, "pixels are those of the images");
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(images[i]); };
  const std::size_t begin = (byte(6) == 1 ? 10u : 12u) + byte(8) + 256u * byte(9);  // longer headers are refused
  must((images.size() - begin) % size == 0, "the file is a header and whole images");
  for (std::size_t i = 0; i < read.pixels.size(); ++i)
    must(read.pixels[i] == static_cast<unsigned char>(images[begin + static_cast<std::size_t>(first) * size + i]),
         "pixels are the file's");
  for (std::int64_t c = 0; c < read.channels; ++c) {
    const float mean = read.mean[static_cast<std::size_t>(c)], std = read.std[static_cast<std::size_t>(c)];
    must(mean >= 0 && mean <= 1 && std > 0 && std <= 1, "mean and deviation are those of bytes");
  }
}

}  // namespace

/// The file: images, then labels. Settings: split; limit; how many bytes are labels (two settings, 0: no such file).
int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const FuzzInput input(data, size, 4);
  const std::string& split = split_names()[static_cast<std::size_t>(input.setting(0)) % split_names().size()];
  const std::int64_t limit = input.setting(1) % 16;
  const std::size_t behind = std::min(input.file().size(), static_cast<std::size_t>(input.wide_setting(2)));
  const std::string_view images = input.file().substr(0, input.file().size() - behind);
  const std::string_view labels = input.file().substr(images.size());
  for (const char* name : {"train", "test"}) {
    write_input(std::string(name) + ".npy", images);
    const std::string path = write_input(std::string(name) + "_labels.npy", labels);
    if (labels.empty()) std::filesystem::remove(path);
  }
  Dataset read;
  if (!accepts("npy: ", [&] { read = read_npy(fuzz_folder().path(), split, limit); })) return 0;
  const std::int64_t all = NpyFile(fuzz_folder() / "train.npy", "npy").header().shape[0];
  const std::int64_t first = split == "val" ? all - all / 10 : 0;
  const std::int64_t share = split == "val" ? all / 10 : split == "probe_without_val" ? all - all / 10 : all;
  must(read.count == (limit > 0 ? std::min(limit, share) : share), "a split has its share of the images");
  check_images(read, images, first);
  must(labels.empty() == (read.classes == 0), "labels make classes");
  must(read.labels.size() == (labels.empty() ? 0 : static_cast<std::size_t>(read.count)), "every image has a label");
  for (const std::int32_t label : read.labels) must(label >= 0 && label < read.classes, "labels are classes");
  return 0;
}
