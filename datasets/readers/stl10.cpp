// STL-10: finds, checks and transposes the files.
#include "datasets/readers/stl10.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <sstream>

#include "datasets/readers/class_names.h"
#include "datasets/readers/last_tenth.h"
#include "engine/io/files.h"
#include "engine/text/words.h"
#include "kernels/error.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t stl10_side = 96, stl10_plane = stl10_side * stl10_side, stl10_bytes = 3 * stl10_plane;

fs::path find_folder(const std::string& directory) {
  require_usage(!directory.empty(), "stl10: no data folder given, expected --data DIR with train_X.bin, train_y.bin, ",
                "unlabeled_X.bin, test_X.bin and test_y.bin");
  const fs::path root = directory;
  for (const fs::path& folder : {root, root / "stl10_binary"})
    if (file_exists(folder / "train_X.bin") || file_exists(folder / "test_X.bin")) return folder;
  throw UsageError(join("stl10: train_X.bin not found in ", root.string(), " or ", (root / "stl10_binary").string(),
                        "; expected the binary version of STL-10"));
}

/// The number of images in a file.
std::int64_t count_images(const fs::path& path) {
  const std::int64_t bytes = file_bytes(path.string(), "stl10: " + path.string());
  require_usage(bytes > 0 && bytes % stl10_bytes == 0, "stl10: ", path.string(), " has ", bytes,
                " bytes, expected whole images of ", stl10_bytes);
  return bytes / stl10_bytes;
}

/// Columns of planes -> rows of pixels.
void transpose(const std::uint8_t* planes, std::uint8_t* pixels) {
  for (std::int64_t y = 0; y < stl10_side; ++y)
    for (std::int64_t x = 0; x < stl10_side; ++x)
      for (std::int64_t c = 0; c < 3; ++c)
        pixels[3 * (y * stl10_side + x) + c] = planes[c * stl10_plane + x * stl10_side + y];
}

/// Appends images [first, last) of a file, one at a time: the whole file is never in memory.
void append_stl10(Dataset& data, const fs::path& path, std::int64_t first, std::int64_t last) {
  std::ifstream file(path, std::ios::binary);
  file.seekg(first * stl10_bytes);
  std::vector<std::uint8_t> planes(static_cast<std::size_t>(stl10_bytes));
  for (std::int64_t i = first; i < last; ++i) {
    file.read(reinterpret_cast<char*>(planes.data()), stl10_bytes);
    require_usage(file.gcount() == stl10_bytes, "stl10: ", path.string(), " ends within image ", i);
    const std::size_t start = data.pixels.size();
    data.pixels.resize(start + static_cast<std::size_t>(stl10_bytes));
    transpose(planes.data(), data.pixels.data() + start);
  }
  data.count += last - first;
}

std::vector<std::int32_t> read_stl10_labels(const fs::path& path, std::int64_t count) {
  const std::string bytes = read_file(path.string());
  require_usage(static_cast<std::int64_t>(bytes.size()) == count, "stl10: ", path.string(), " has ", bytes.size(),
                " labels, expected ", count, ", one per image");
  std::vector<std::int32_t> labels;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const int label = static_cast<unsigned char>(bytes[i]);
    require_usage(label >= 1 && label <= 10, "stl10: ", path.string(), " has label ", label, " at image ", i,
                  ", expected 1 to 10");
    labels.push_back(label - 1);
  }
  return labels;
}

}  // namespace

Dataset read_stl10(const std::string& directory, const std::string& split, std::int64_t limit) {
  const fs::path folder = find_folder(directory);
  Dataset data;
  data.name = "stl10";
  data.split = split;
  data.height = data.width = stl10_side;
  data.mean = {0.4467f, 0.4398f, 0.4066f};
  data.std = {0.2603f, 0.2566f, 0.2713f};
  const std::string labeled = split == "test" ? "test" : "train";
  const fs::path images = folder / (labeled + "_X.bin"), unlabeled = folder / "unlabeled_X.bin";
  const std::int64_t labeled_count = count_images(images);
  const std::int64_t more = split == "train" ? count_images(unlabeled) : 0;
  std::int64_t first = 0, last = labeled_count;
  if (split == "val") first = last - last_tenth(last, split, "stl10: " + images.string());
  if (split == "probe_without_val") last -= last / 10;
  const std::int64_t count = limit > 0 ? std::min(limit, last - first + more) : last - first + more;
  last = std::min(last, first + count);
  data.pixels.reserve(static_cast<std::size_t>(count * stl10_bytes));
  append_stl10(data, images, first, last);
  append_stl10(data, unlabeled, 0, count - (last - first));
  if (split == "train") return data;
  data.classes = 10;
  data.class_names = stl10_class_names();
  const std::vector<std::int32_t> labels = read_stl10_labels(folder / (labeled + "_y.bin"), labeled_count);
  data.labels.assign(labels.begin() + first, labels.begin() + last);
  return data;
}

std::vector<std::int64_t> read_stl10_fold(const std::string& directory, std::int64_t fold) {
  const fs::path folder = find_folder(directory);
  const std::string path = (folder / "fold_indices.txt").string();
  const std::int64_t count = count_images(folder / "train_X.bin");
  std::vector<std::string> lines;
  std::istringstream text(read_file(path));
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  require_usage(fold >= 0 && fold < static_cast<std::int64_t>(lines.size()), "stl10: ", path, " has ",
                counted(static_cast<std::int64_t>(lines.size()), "fold"), ", there is no fold ", fold);
  std::set<std::int64_t> images;
  std::istringstream words(lines[static_cast<std::size_t>(fold)]);
  for (std::string word; words >> word;) {
    const std::optional<std::int64_t> image = number_of<std::int64_t>(word);
    require_usage(image && *image >= 0 && *image < count, "stl10: ", path, ": fold ", fold, " has '", word,
                  "', expected images 0 to ", count - 1);
    require_usage(images.insert(*image).second, "stl10: ", path, ": fold ", fold, " has image ", word, " twice");
  }
  require_usage(!images.empty(), "stl10: ", path, ": fold ", fold, " is empty");
  return {images.begin(), images.end()};
}

}  // namespace vergence
