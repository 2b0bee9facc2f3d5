// CIFAR-100 as a binary file; CIFAR-10, whose files have one size alone, for its refusals.
#include <algorithm>

#include "datasets/readers/cifar.h"
#include "tests/fuzz/fuzz_target.h"

namespace {

constexpr std::int64_t plane = 1024, record = 2 + 3 * plane;

bool is_good(std::string_view file) {
  if (file.empty() || static_cast<std::int64_t>(file.size()) % record != 0) return false;
  for (std::size_t at = 1; at < file.size(); at += record)
    if (static_cast<unsigned char>(file[at]) >= 100) return false;
  return true;
}

/// The images must be those of the file from record `first` on.
void check_images(const vergence::Dataset& data, std::string_view file, std::int64_t first) {
  const auto byte = [&](std::int64_t at) { return static_cast<unsigned char>(file[static_cast<std::size_t>(at)]); };
  for (std::int64_t i = 0; i < data.count; ++i) {
    const std::int64_t start = (first + i) * record;
    vergence::must(data.label(i) == byte(start + 1), "a label is its record's second byte");
    const std::uint8_t* pixels = data.image(i);
    for (std::int64_t p = 0; p < plane; ++p)
      for (std::int64_t c = 0; c < 3; ++c)
        vergence::must(pixels[3 * p + c] == byte(start + 2 + c * plane + p), "pixels are a record's planes");
  }
}

}  // namespace

/// Settings: split; limit; bit 0: fill the last record up with zeros, bit 1: CIFAR-10.
int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace vergence;
  const FuzzInput input(data, size, 3);
  std::string file(input.file());
  if (input.setting(2) & 1) file.resize((file.size() + record - 1) / record * record);
  const std::string& split = split_names()[static_cast<std::size_t>(input.setting(0)) % split_names().size()];
  const std::int64_t limit = input.setting(1) % 8;
  if (input.setting(2) & 2) {
    for (const char* name : {"data_batch_1.bin", "test_batch.bin"}) write_input(name, file);
    must(!accepts("cifar10: ", [&] { read_cifar10(fuzz_folder().path(), split, limit); }), "CIFAR-10 has one size");
    return 0;
  }
  write_input(split == "test" ? "test.bin" : "train.bin", file);
  Dataset read;
  const bool good = accepts("cifar100: ", [&] { read = read_cifar100(fuzz_folder().path(), split, limit); });
  const auto count = static_cast<std::int64_t>(file.size()) / record;
  must(good == (is_good(file) && (split != "val" || count >= 10)),
       "what is in whole records with labels below 100 is read if the split has one, and nothing else");
  if (!good) return 0;
  const std::int64_t first = split == "val" ? count - count / 10 : 0;
  const std::int64_t last = split == "probe_without_val" ? count - count / 10 : count;
  must(read.count == (limit > 0 ? std::min(limit, last - first) : last - first), "a split has its share of the images");
  must(static_cast<std::int64_t>(read.labels.size()) == read.count, "there is a label per image");
  check_images(read, file, first);
  return 0;
}
