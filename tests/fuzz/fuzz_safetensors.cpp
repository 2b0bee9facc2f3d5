// Checkpoints and encoders: safetensors files.
#include <algorithm>

#include "engine/io/safetensors.h"
#include "tests/fuzz/fuzz_target.h"

namespace {

using namespace vergence;

std::string_view bytes_of(const TensorEntry& tensor) {
  return {static_cast<const char*>(tensor.data), static_cast<std::size_t>(tensor.bytes)};
}

/// Tensors without gaps, as large as their shapes say, with the bytes that end the file.
void check_tensors(const SafetensorsFile& read, std::string_view file) {
  std::string all;
  for (const TensorEntry& tensor : read.tensors()) {
    __extension__ unsigned __int128 elements = 1;
    const bool empty = std::find(tensor.shape.begin(), tensor.shape.end(), 0) != tensor.shape.end();
    for (const std::int64_t side : tensor.shape) elements = empty ? 0 : elements * static_cast<std::uint64_t>(side);
    must(elements == static_cast<std::uint64_t>(tensor.size()), "a tensor has the elements of its shape");
    must(tensor.size() * safetensors_size_of(tensor.dtype) == tensor.bytes, "and their bytes");
    must(read.find(tensor.name) == &tensor, "a tensor is found by its name");
    all += bytes_of(tensor);
  }
  must(file.ends_with(all), "tensors lie behind one another up to the file's end");
}

void check_equal(const SafetensorsFile& one, const SafetensorsFile& other) {
  must(one.metadata() == other.metadata(), "metadata are kept");
  must(one.tensors().size() == other.tensors().size(), "tensors are kept");
  for (const TensorEntry& tensor : one.tensors())
    must(bytes_of(other.at(tensor.name, tensor.dtype, tensor.shape)) == bytes_of(tensor), "bytes are kept");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view file(reinterpret_cast<const char*>(data), size);
  const std::string path = write_input("in.safetensors", file), copy = fuzz_folder() / "copy.safetensors";
  accepts(path, [&] {
    const SafetensorsFile read(path);
    check_tensors(read, file);
    write_safetensors(copy, read.tensors(), read.metadata());
    must(accepts("", [&] { check_equal(read, SafetensorsFile(copy)); }), "what is written is read");
  });
  return 0;
}
