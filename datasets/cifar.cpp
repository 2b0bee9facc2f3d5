// CIFAR-10: finds, checks and unpacks the binary files.
#include "datasets/cifar.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "kernels/error.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t side = 32, plane = side * side, record_bytes = 1 + 3 * plane, records_per_file = 10000;
constexpr std::int64_t validation_images = 5000;

std::vector<std::string> files_of(const std::string& split) {
  if (split == "test") return {"test_batch.bin"};
  if (split == "val") return {"data_batch_5.bin"};
  return {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"};
}

bool is_there(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

/// The folder that holds the files: `directory` or the one that the archive unpacks to.
fs::path find_folder(const std::string& directory, const std::vector<std::string>& files) {
  require_usage(!directory.empty(), "cifar10: no data folder given, expected --data DIR with the binary version of ",
                "CIFAR-10 (data_batch_1.bin … data_batch_5.bin, test_batch.bin)");
  const fs::path root = directory, inner = root / "cifar-10-batches-bin";
  for (const fs::path& folder : {root, inner}) {
    const auto there = [&](const std::string& file) { return is_there(folder / file); };
    if (std::any_of(files.begin(), files.end(), there)) return folder;
  }
  throw UsageError(join("cifar10: ", files.front(), " not found, looked for ", (root / files.front()).string(), " and ",
                        (inner / files.front()).string(), "; expected the binary version of CIFAR-10"));
}

/// The file's records, their number checked.
std::vector<std::uint8_t> read_records(const fs::path& path) {
  constexpr std::int64_t expected = records_per_file * record_bytes;
  require_usage(is_there(path), "cifar10: ", path.string(), " is missing, expected a file of ", expected, " bytes");
  std::error_code error;
  const std::uintmax_t bytes = fs::file_size(path, error);
  require_usage(!error, "cifar10: ", path.string(), " is not a readable file (", error.message(),
                "), expected a file of ", expected, " bytes");
  require_usage(bytes == static_cast<std::uintmax_t>(expected), "cifar10: ", path.string(), " has ", bytes,
                " bytes, expected ", expected, " (", records_per_file, " records of ", record_bytes, ")");
  std::vector<std::uint8_t> records(static_cast<std::size_t>(expected));
  std::ifstream file(path, std::ios::binary);
  file.read(reinterpret_cast<char*>(records.data()), expected);
  require_usage(file.gcount() == expected, "cifar10: ", path.string(), " could be read up to byte ", file.gcount(),
                " only, expected ", expected);
  return records;
}

/// Appends records [first, last) of a file to the data set: planes become interleaved pixels.
void append(Dataset& data, const std::vector<std::uint8_t>& records, std::int64_t first, std::int64_t last) {
  for (std::int64_t i = first; i < last; ++i) {
    const std::uint8_t* record = records.data() + i * record_bytes;
    data.labels.push_back(record[0]);
    const std::size_t start = data.pixels.size();
    data.pixels.resize(start + 3 * plane);
    for (std::int64_t c = 0; c < 3; ++c)
      for (std::int64_t p = 0; p < plane; ++p)
        data.pixels[start + static_cast<std::size_t>(3 * p + c)] = record[1 + c * plane + p];
  }
  data.count += last - first;
}

void check_labels(const fs::path& path, const std::vector<std::uint8_t>& records) {
  for (std::int64_t i = 0; i < records_per_file; ++i) {
    const int label = records[static_cast<std::size_t>(i * record_bytes)];
    require_usage(label < 10, "cifar10: ", path.string(), " has label ", label, " in record ", i,
                  ", expected 0 to 9 (is this another data set?)");
  }
}

}  // namespace

Dataset read_cifar10(const std::string& directory, const std::string& split, std::int64_t limit) {
  const std::vector<std::string> files = files_of(split);
  const fs::path folder = find_folder(directory, files);
  Dataset data;
  data.name = "cifar10";
  data.split = split;
  data.height = data.width = side;
  data.classes = 10;
  data.mean = {0.4914f, 0.4822f, 0.4465f};
  data.std = {0.2470f, 0.2435f, 0.2616f};
  const std::int64_t first = split == "val" ? records_per_file - validation_images : 0;
  const std::int64_t unused = split == "probe_without_val" ? validation_images : first;
  std::int64_t left = static_cast<std::int64_t>(files.size()) * records_per_file - unused;
  if (limit > 0) left = std::min(left, limit);
  data.labels.reserve(static_cast<std::size_t>(left));
  data.pixels.reserve(static_cast<std::size_t>(left * data.image_size()));
  for (const std::string& file : files) {
    const fs::path path = folder / file;
    const std::vector<std::uint8_t> records = read_records(path);
    check_labels(path, records);
    const std::int64_t last = std::min(records_per_file, first + left);
    append(data, records, first, last);
    left -= last - first;
  }
  return data;
}

}  // namespace vergence
