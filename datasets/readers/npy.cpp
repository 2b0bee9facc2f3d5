#include "datasets/readers/npy.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <utility>

#include "datasets/readers/last_tenth.h"
#include "datasets/readers/npy_file.h"
#include "engine/io/files.h"
#include "engine/text/printable.h"
#include "engine/text/words.h"
#include "kernels/error.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t max_side = 32768;   // pixels, as for views
constexpr std::int64_t portion = 1 << 20;  // bytes read at a time
constexpr const char* expected_files = "expected train.npy or train_0.npy, train_1.npy, ...";

std::string where_of(const fs::path& path) { return "npy: " + shortened(path.string(), 400); }

fs::path given_folder(const std::string& directory) {
  require_usage(!directory.empty(), "npy: no data folder given, ", expected_files, " in --data DIR");
  return directory;
}

/// The files of a name: NAME.npy, or its parts in order; empty without either.
std::vector<fs::path> files_of(const fs::path& folder, const std::string& name) {
  std::map<std::int64_t, fs::path> parts;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const std::string file = it->path().filename().string(), start = name + "_", ending = ".npy";
    if (!file.starts_with(start) || !file.ends_with(ending) || file.size() <= start.size() + ending.size()) continue;
    const std::string digits = file.substr(start.size(), file.size() - start.size() - ending.size());
    const std::optional<std::int64_t> number = number_of<std::int64_t>(digits);
    if (!number || digits[0] == '-') continue;
    const auto [other, is_new] = parts.emplace(*number, it->path());
    require_usage(is_new, where_of(it->path()), " has the number of ", shortened(other->second.filename().string()));
  }
  require_usage(!error, where_of(folder), ": cannot be read: ", error.message());
  const fs::path whole = folder / (name + ".npy");
  if (parts.empty()) return file_exists(whole) ? std::vector<fs::path>{whole} : std::vector<fs::path>{};
  require_usage(!file_exists(whole), where_of(whole), " is there, and so is ",
                parts.begin()->second.filename().string(), "; expected one file or parts of it");
  std::vector<fs::path> files;
  for (const auto& [number, path] : parts) {
    const std::int64_t next = parts.begin()->first + static_cast<std::int64_t>(files.size());
    require_usage(number == next && parts.begin()->first <= 1, where_of(folder / join(name, "_", next, ".npy")),
                  " is missing, expected parts numbered from 0 or 1 on without gaps");
    files.push_back(path);
  }
  return files;
}

/// The images of a name: its files, all with images of one shape, as one sequence.
class Images {
 public:
  Images(const fs::path& folder, const std::string& name) {
    for (const fs::path& path : files_of(folder, name)) add(path);
  }

  bool none() const { return files_.empty(); }
  std::int64_t count() const { return count_; }
  std::int64_t height() const { return shape_[0]; }
  std::int64_t width() const { return shape_[1]; }
  std::int64_t channels() const { return shape_[2]; }
  std::int64_t image_bytes() const { return shape_[0] * shape_[1] * shape_[2]; }
  std::string shape_text() const { return join(shape_[0], " x ", shape_[1], " x ", shape_[2]); }
  /// Images in each file.
  const std::vector<std::int64_t>& counts() const { return counts_; }

  /// The bytes of images [first, last).
  void read(std::int64_t first, std::int64_t last, std::uint8_t* out) {
    std::int64_t begin = 0;
    for (std::size_t f = 0; f < files_.size(); begin += counts_[f++]) {
      const std::int64_t from = std::max(first, begin), to = std::min(last, begin + counts_[f]);
      if (from >= to) continue;
      files_[f].read((from - begin) * image_bytes(), (to - from) * image_bytes(), out);
      out += (to - from) * image_bytes();
    }
  }

 private:
  void add(const fs::path& path) {
    NpyFile& file = files_.emplace_back(path.string(), where_of(path));
    const NpyHeader& header = file.header();
    std::vector<std::int64_t> shape = header.shape;
    if (shape.size() == 3) shape.push_back(1);
    if (header.type.substr(1) != "u1" || shape.size() != 4)
      file.fail("expected uint8 of shape (N, H, W, C) or (N, H, W)");
    if (header.fortran_order) file.fail("expected C order, not Fortran's (numpy.ascontiguousarray)");
    if (shape[0] < 1) file.fail("expected images");
    refuse_other_orders(file, shape);
    if (shape[3] < 1 || shape[3] > max_channels) file.fail(join("expected 1 to ", max_channels, " channels"));
    if (std::min(shape[1], shape[2]) < 1 || std::max(shape[1], shape[2]) > max_side)
      file.fail(join("expected a height and a width of 1 to ", max_side));
    counts_.push_back(shape[0]);
    count_ += shape[0];
    shape.erase(shape.begin());
    if (files_.size() == 1) shape_ = shape;
    if (shape != shape_) file.fail("expected images of " + shape_text() + " as in the first part");
  }

  /// Throws if the axes are clearly in another order: the last is too long for channels but axis 1 or 2 is not, or axes
  /// 2 and 3 form squares while axis 1 would be 1 to 4 rows.
  static void refuse_other_orders(const NpyFile& file, const std::vector<std::int64_t>& shape) {
    const auto few = [&](std::size_t axis, std::int64_t most) { return shape[axis] >= 1 && shape[axis] <= most; };
    const bool many = shape[3] > max_channels, square = shape[2] == shape[3] && shape[3] > 4;
    if ((many && few(1, max_channels)) || (square && few(1, 4)))
      file.fail(
          "expected (N, H, W, C) of 1 to 16 channels, but this looks like (N, C, H, W): numpy.transpose(x, (0, 2, 3, "
          "1))");
    if (many && few(2, max_channels))
      file.fail(
          "expected (N, H, W, C) of 1 to 16 channels, but this looks like (H, W, C, N): numpy.transpose(x, (3, 0, 1, "
          "2))");
  }

  std::vector<NpyFile> files_;
  std::vector<std::int64_t> counts_, shape_;  // shape_: height, width, channels
  std::int64_t count_ = 0;
};

/// The labels of `images` from the files of NAME_labels; empty without such files.
std::vector<std::int32_t> read_npy_labels(const fs::path& folder, const std::string& name, const Images& images) {
  const std::vector<fs::path> files = files_of(folder, name + "_labels");
  if (files.empty()) return {};
  require_usage(files.size() == images.counts().size(), where_of(folder), " has ",
                counted(static_cast<std::int64_t>(files.size()), "file"), " of ", name, " labels, expected ",
                images.counts().size(), ", one for each of images");
  std::vector<std::int32_t> labels;
  for (std::size_t f = 0; f < files.size(); ++f) {
    NpyFile file(files[f].string(), where_of(files[f]));
    const NpyHeader& header = file.header();
    if (!header.is_integer() || header.value_bytes() > 8 || header.shape.size() != 1)
      file.fail("expected integers of shape (N,)");
    if (file.values() != images.counts()[f]) file.fail(join("expected ", images.counts()[f], ", one per image"));
    for (const std::int64_t label : file.integers()) {
      require_usage(label >= 0 && label < max_npy_classes, where_of(files[f]), " has label ", label, " in place ",
                    labels.size(), ", expected 0 to ", max_npy_classes - 1);
      labels.push_back(static_cast<std::int32_t>(label));
    }
  }
  return labels;
}

/// Each channel's mean and standard deviation in [0, 1], without rounding errors: from counts of the 256 values.
void measure(Images& images, Dataset& data) {
  const auto channels = static_cast<std::size_t>(images.channels());
  std::vector<std::array<std::int64_t, 256>> counts(channels);
  for (auto& of_channel : counts) of_channel.fill(0);
  const std::int64_t together = std::max<std::int64_t>(1, portion / images.image_bytes());
  std::vector<std::uint8_t> bytes;
  for (std::int64_t first = 0; first < images.count(); first += together) {
    const std::int64_t last = std::min(first + together, images.count());
    bytes.resize(static_cast<std::size_t>((last - first) * images.image_bytes()));
    images.read(first, last, bytes.data());
    for (std::size_t i = 0; i < bytes.size(); i += channels)
      for (std::size_t c = 0; c < channels; ++c) ++counts[c][bytes[i + c]];
  }
  const double pixels = static_cast<double>(images.count() * images.height() * images.width());
  for (std::size_t c = 0; c < channels; ++c) {
    double mean = 0, variance = 0;
    for (std::size_t v = 0; v < 256; ++v) mean += static_cast<double>(v) * static_cast<double>(counts[c][v]) / pixels;
    for (std::size_t v = 0; v < 256; ++v) {
      const double distance = static_cast<double>(v) - mean;
      variance += distance * distance * static_cast<double>(counts[c][v]) / pixels;
    }
    const bool constant = std::count(counts[c].begin(), counts[c].end(), 0) == 255;
    data.mean[c] = static_cast<float>(mean / 255);
    data.std[c] = constant ? 1.0f : static_cast<float>(std::sqrt(variance) / 255);
  }
}

std::int64_t classes_of(const std::vector<std::int32_t>& labels) {
  return labels.empty() ? 0 : *std::max_element(labels.begin(), labels.end()) + 1;
}

}  // namespace

Dataset read_npy(const std::string& directory, const std::string& split, std::int64_t limit) {
  const fs::path folder = given_folder(directory);
  Images train(folder, "train");
  require_usage(!train.none(), where_of(folder), " has no training images, ", expected_files);
  std::vector<std::int32_t> labels = read_npy_labels(folder, "train", train);
  Dataset data;
  data.name = "npy";
  data.split = split;
  data.classes = classes_of(labels);
  measure(train, data);

  std::optional<Images> test;
  if (split == "test") {
    test.emplace(folder, "test");
    require_usage(!test->none(), where_of(folder / "test.npy"), " is missing, as are parts of it");
    require_usage(test->channels() == train.channels(), where_of(folder), " has test images of ", test->shape_text(),
                  " and training images of ", train.shape_text(), ", expected as many channels");
    labels = read_npy_labels(folder, "test", *test);
    const std::int64_t classes = classes_of(labels);
    require_usage(classes <= data.classes || data.classes == 0, where_of(folder), " has test label ", classes - 1,
                  ", but no training label above ", data.classes - 1);
    if (data.classes == 0) data.classes = classes;
  }
  Images& images = test ? *test : train;
  data.height = images.height(), data.width = images.width(), data.channels = images.channels();
  const std::int64_t held_back = test ? 0 : last_tenth(images.count(), split, where_of(folder));
  const std::int64_t first = split == "val" ? images.count() - held_back : 0;
  std::int64_t last = split == "probe_without_val" ? images.count() - held_back : images.count();
  if (limit > 0) last = std::min(last, first + limit);
  data.count = last - first;
  data.pixels.resize(static_cast<std::size_t>(data.count * data.image_bytes()));
  images.read(first, last, data.pixels.data());
  if (labels.empty()) data.classes = 0;
  if (!labels.empty()) data.labels.assign(labels.begin() + first, labels.begin() + last);
  return data;
}

bool has_npy_test(const std::string& directory) { return !files_of(given_folder(directory), "test").empty(); }

}  // namespace vergence
