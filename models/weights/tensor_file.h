// Files of named tensors by other programs: safetensors, and PyTorch's checkpoints, which are read as data alone, so
// that nothing in them is executed. The format is detected from the first bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/io/safetensors.h"

namespace vergence {

/// A tensor in a file.
struct StoredTensor {
  std::string name;                 // in a checkpoint with its dicts' keys: "state_dict.backbone.conv1.weight"
  std::vector<std::int64_t> shape;  // none: one element
};

class TensorFile {
 public:
  virtual ~TensorFile() = default;

  virtual const std::string& path() const = 0;
  /// In the file's order.
  virtual const std::vector<StoredTensor>& tensors() const = 0;
  /// The texts that describe the file; a PyTorch checkpoint has none.
  virtual const Metadata& metadata() const = 0;
  /// All values of the tensor at this place in `tensors`, row by row, rounded to float. Throws UsageError, beginning
  /// with the path, if it is damaged or its type holds no numbers.
  virtual std::vector<float> floats(std::size_t place) const = 0;
};

/// Throws UsageError (one line, beginning with the path) for files that cannot be read: neither format, damaged, or one
/// of PyTorch's that is no zip archive of tensors.
std::unique_ptr<TensorFile> open_weights(const std::string& path);

/// Converts `count` little-endian values of a type, as safetensors names it. Throws UsageError, beginning with `where`,
/// for a type that holds no numbers.
std::vector<float> floats_of(std::string_view dtype, const void* data, std::size_t count, const std::string& where);

}  // namespace vergence
