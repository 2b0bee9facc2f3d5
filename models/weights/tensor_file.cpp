#include "models/weights/tensor_file.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "engine/io/files.h"
#include "engine/io/half.h"
#include "engine/text/printable.h"
#include "kernels/error.h"
#include "models/weights/torch_checkpoint.h"

namespace vergence {
namespace {

template <class Stored, class Convert>
std::vector<float> converted(const void* data, std::size_t count, const Convert& convert) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    Stored stored;
    std::memcpy(&stored, static_cast<const char*>(data) + i * sizeof stored, sizeof stored);
    values[i] = convert(stored);
  }
  return values;
}

class SafetensorsWeights final : public TensorFile {
 public:
  explicit SafetensorsWeights(const std::string& path) : file_(std::make_shared<MappedFile>(path)) {
    for (const TensorEntry& entry : file_.tensors()) tensors_.push_back({entry.name, entry.shape});
  }

  const std::string& path() const override { return file_.path(); }
  const std::vector<StoredTensor>& tensors() const override { return tensors_; }
  const Metadata& metadata() const override { return file_.metadata(); }
  std::vector<float> floats(std::size_t place) const override {
    const TensorEntry& entry = file_.tensors()[place];
    return floats_of(entry.dtype, entry.data, static_cast<std::size_t>(entry.size()),
                     join(path(), ": tensor '", shortened(entry.name), "'"));
  }

 private:
  SafetensorsFile file_;
  std::vector<StoredTensor> tensors_;
};

/// What a file that is neither format is, as far as its first bytes tell.
std::string other_format(std::string_view start) {
  // The number 0x1950a86a20f9469cfc6c, pickled: the beginning of torch.save before version 1.6.
  if (start.starts_with("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."))
    return "PyTorch's format from before version 1.6: load it in PyTorch and save it again with torch.save";
  if (start.starts_with("\x80")) return "a plain pickle, not a checkpoint of torch.save";
  if (start.starts_with("\x89HDF")) return "an HDF5 file, such as Keras writes";
  if (start.starts_with("<")) return "a web page: was the download refused?";
  if (start.starts_with("version https://git-lfs"))
    return "a pointer of Git LFS: fetch the file itself with git lfs pull";
  return "expected safetensors, or PyTorch's zip format (torch.save of version 1.6 or newer)";
}

std::string first_bytes(const std::string& path) {
  const MappedFile file(path);
  const std::string_view bytes = file.bytes();
  std::string start(std::min<std::size_t>(bytes.size(), 64), '\0');
  file.read(0, start.data(), start.size());
  return start;
}

}  // namespace

std::vector<float> floats_of(std::string_view dtype, const void* data, std::size_t count, const std::string& where) {
  const auto cast = [](auto value) { return static_cast<float>(value); };
  if (dtype == "F32") return converted<float>(data, count, cast);
  if (dtype == "F64") return converted<double>(data, count, cast);
  if (dtype == "F16") return converted<std::uint16_t>(data, count, float_of_half);
  if (dtype == "BF16")
    return converted<std::uint16_t>(
        data, count, [](std::uint16_t bits) { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); });
  if (dtype == "I64") return converted<std::int64_t>(data, count, cast);
  if (dtype == "I32") return converted<std::int32_t>(data, count, cast);
  if (dtype == "U8") return converted<std::uint8_t>(data, count, cast);
  throw UsageError(join(where, ": type ", shortened(dtype), ", expected F64, F32, F16, BF16, I64, I32 or U8"));
}

std::unique_ptr<TensorFile> open_weights(const std::string& path) {
  const std::string start = first_bytes(path);
  if (start.starts_with("PK\x03\x04")) return open_torch_checkpoint(path);
  // Safetensors begin with the length of a JSON header.
  const bool header_follows = start.size() > 8 && start[8] == '{';
  require_usage(header_follows, path, ": ", other_format(start));
  return std::make_unique<SafetensorsWeights>(path);
}

}  // namespace vergence
