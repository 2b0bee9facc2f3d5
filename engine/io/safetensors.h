// The safetensors file format (https://github.com/huggingface/safetensors): eight bytes of header length, a JSON header
// that names every tensor's type, shape and place, then the tensors' bytes without gaps. Works on host memory alone.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/io/files.h"
#include "kernels/types.h"

namespace vergence {

/// One tensor of a file: `bytes` bytes at `data`, row-major, little-endian, owned by somebody else.
struct TensorEntry {
  std::string name;
  std::string dtype;                // F64, F32, BF16, I64, I32 or U8
  std::vector<std::int64_t> shape;  // empty: one element
  const void* data = nullptr;
  std::int64_t bytes = 0;

  std::int64_t size() const;  // elements
};

/// The free-text part of the header.
using Metadata = std::map<std::string, std::string>;

/// Bytes of one element of a type that files here may hold; 0 for any other name.
std::int64_t safetensors_size_of(std::string_view dtype);
/// F64, F32, BF16, I32 or U8.
const char* safetensors_name_of(DType dtype);

/// Replaces the file at `path` in one step (a kill leaves the old one). Tensors are streamed from where they are, those
/// of larger elements first, so that each lies aligned. Throws Error naming the path: for duplicate names, unknown
/// types, byte counts that contradict the shape, and failed writes.
void write_safetensors(const std::string& path, const std::vector<TensorEntry>& tensors, const Metadata& metadata = {});

/// What such a file begins with: the header's length and the header, for tensors that lie behind one another in the
/// given order, which must be that of falling element size. Throws Error as write_safetensors does.
std::string safetensors_header(const std::vector<TensorEntry>& tensors, const Metadata& metadata);

/// A file in memory, or mapped. Entries point into it and live as long as it does.
class SafetensorsFile {
 public:
  /// The same as below of a file that is mapped.
  explicit SafetensorsFile(std::shared_ptr<const MappedFile> file);
  /// Reads and checks the whole file. Throws UsageError (one line, naming the file) if it cannot be read, is cut off or
  /// too long, if the header is over 100 MB or not valid, or if tensors repeat a name, have an unknown type or a wrong
  /// size, overlap or leave gaps.
  explicit SafetensorsFile(const std::string& path);

  const std::string& path() const { return path_; }
  /// In the order of their bytes.
  const std::vector<TensorEntry>& tensors() const { return tensors_; }
  const Metadata& metadata() const { return metadata_; }

  /// The tensor of that name, or null.
  const TensorEntry* find(std::string_view name) const;
  /// The tensor of that name; throws UsageError naming file and tensor if there is none, or if its type or shape is
  /// another one.
  const TensorEntry& at(std::string_view name, std::string_view dtype, const std::vector<std::int64_t>& shape) const;
  /// The metadata value of that key; throws UsageError naming file and key if there is none.
  const std::string& meta(const std::string& key) const;

 private:
  void parse(std::string_view header_and_data);

  std::string path_;
  std::shared_ptr<const MappedFile> mapped_;
  std::string read_;
  std::vector<TensorEntry> tensors_;
  Metadata metadata_;
  std::map<std::string, std::size_t, std::less<>> places_;
};

}  // namespace vergence
