// The safetensors file format (https://github.com/huggingface/safetensors): eight bytes of header length, a JSON header
// with every tensor's name, type, shape and offsets, then the tensors' bytes without gaps. Works only on host memory.
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

/// One tensor of a file: `bytes` bytes at `data`, row-major, little-endian, not owned.
struct TensorEntry {
  std::string name;
  std::string dtype;                // F64, F32, F16, BF16, I64 … I8, U64 … U8, BOOL
  std::vector<std::int64_t> shape;  // empty: one element
  const void* data = nullptr;
  std::int64_t bytes = 0;

  std::int64_t size() const;  // elements
};

/// The free-text part of the header.
using Metadata = std::map<std::string, std::string>;

/// Bytes per element of a type that these files support; 0 for any other name.
std::int64_t safetensors_size_of(std::string_view dtype);
/// F64, F32, BF16, I32 or U8.
const char* safetensors_name_of(DType dtype);

/// Replaces the file at `path` atomically. Streams the tensors, larger element types first, so that each is aligned.
/// Throws Error naming the path for duplicate names, unknown types, byte counts unlike the shape's and failed writes.
void write_safetensors(const std::string& path, const std::vector<TensorEntry>& tensors, const Metadata& metadata = {});

/// The start of such a file (the header and, before it, its length) for tensors stored in the given order, which must
/// be by decreasing element size. Throws Error like write_safetensors.
std::string safetensors_header(const std::vector<TensorEntry>& tensors, const Metadata& metadata);

/// A file in memory, or mapped. Entries point into it and are valid as long as this object exists.
class SafetensorsFile {
 public:
  /// As the constructor below, for a mapped file.
  explicit SafetensorsFile(std::shared_ptr<const MappedFile> file);
  /// Throws UsageError naming the file if it cannot be read or has the wrong length, if the header is invalid or over
  /// 100 MB, or if tensors repeat a name, have an unknown type or a wrong size, overlap or leave gaps.
  explicit SafetensorsFile(const std::string& path);

  const std::string& path() const { return path_; }
  /// In order of their offsets.
  const std::vector<TensorEntry>& tensors() const { return tensors_; }
  const Metadata& metadata() const { return metadata_; }

  /// The tensor of that name, or null.
  const TensorEntry* find(std::string_view name) const;
  /// The tensor of that name; throws UsageError naming file and tensor if there is none, or if its type or shape
  /// differs.
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
