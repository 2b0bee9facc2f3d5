// CIFAR-100 as the pickle of its Python version.

#include "datasets/readers/cifar.h"
#include "datasets/readers/npy_file.h"
#include "datasets/readers/pickled_array.h"
#include "tests/fuzz/fuzz_target.h"

namespace {

using namespace vergence;

/// The labels, as a list or an array.
std::vector<std::int64_t> labels_of(const Pickle& pickle) {
  const PickleValue* labels = pickle.root().at("fine_labels");
  if (labels->kind == PickleValue::Kind::object) {
    const PickledArray array = pickled_array(pickle, labels);
    return integers_of(array.bytes, array.type);
  }
  std::vector<std::int64_t> numbers;
  for (const PickleValue* label : labels->children) numbers.push_back(pickled_integer(pickle, *label).value());
  return numbers;
}

/// The images must be the rows of the pickle's array from `first` on, with their labels.
void check_images(const Dataset& data, std::string_view file, const std::string& split) {
  const Pickle pickle(file, "file");
  const PickledArray array = pickled_array(pickle, pickle.root().at("data"));
  const std::vector<std::int64_t> labels = labels_of(pickle);
  const auto count = static_cast<std::int64_t>(labels.size());
  must(array.shape == std::vector<std::int64_t>({count, 3072}), "there is a row per label");
  const std::int64_t first = split == "val" ? count - count / 10 : 0;
  must(first + data.count <= count, "no split has more than the file");
  for (std::int64_t i = 0; i < data.count; ++i) {
    must(data.label(i) == labels[static_cast<std::size_t>(first + i)], "a label is the list's");
    must(data.label(i) >= 0 && data.label(i) < 100, "a label is a class");
    const char* row = array.bytes.data() + (first + i) * 3072;
    for (std::int64_t p = 0; p < 1024; ++p)
      for (std::int64_t c = 0; c < 3; ++c)
        must(data.image(i)[3 * p + c] == static_cast<unsigned char>(row[c * 1024 + p]), "pixels are a row's planes");
  }
}

}  // namespace

/// Settings: split; limit.
int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const FuzzInput input(data, size, 2);
  const std::string& split = split_names()[static_cast<std::size_t>(input.setting(0)) % split_names().size()];
  const std::int64_t limit = input.setting(1) % 4;
  write_input(split == "test" ? "test" : "train", input.file());
  accepts("cifar100: ", [&] {
    const Dataset read = read_cifar100(fuzz_folder().path(), split, limit);
    must(limit == 0 || read.count <= limit, "a limit is kept");
    must(static_cast<std::int64_t>(read.labels.size()) == read.count, "there is a label per image");
    check_images(read, input.file(), split);
  });
  return 0;
}
