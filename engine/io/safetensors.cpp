// Writing streams the data; reading trusts nothing.
#include "engine/io/safetensors.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/io/files.h"
#include "engine/text/printable.h"
#include "engine/text/utf8.h"
#include "engine/text/words.h"

namespace vergence {
namespace {

constexpr std::uint64_t largest_header = 100'000'000;  // bytes; the reference implementation's limit
constexpr std::uint64_t length_bytes = 8;

using Json = nlohmann::json;

/// Bytes of a tensor of `shape`, or -1 if an extent is negative or the product does not fit.
std::int64_t bytes_of(const std::vector<std::int64_t>& shape, std::int64_t element) {
  std::int64_t bytes = element;
  for (const std::int64_t extent : shape) {
    if (extent < 0) return -1;
    if (__builtin_mul_overflow(bytes, extent, &bytes)) return -1;
  }
  return bytes;
}

/// The order on disk: larger elements first, otherwise as given. So every tensor is aligned to its elements.
std::vector<const TensorEntry*> disk_order(const std::vector<TensorEntry>& tensors) {
  std::vector<const TensorEntry*> order;
  for (const TensorEntry& tensor : tensors) order.push_back(&tensor);
  std::stable_sort(order.begin(), order.end(), [](const TensorEntry* a, const TensorEntry* b) {
    return safetensors_size_of(a->dtype) > safetensors_size_of(b->dtype);
  });
  return order;
}

std::string header_of(const std::vector<const TensorEntry*>& order, const Metadata& metadata, const std::string& path) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  std::set<std::string> seen;
  for (const auto& [key, value] : metadata)
    require(is_utf8(key) && is_utf8(value), path, ": metadata '", shortened(key), "' is not UTF-8");
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::int64_t offset = 0;
  for (const TensorEntry* tensor : order) {
    const std::int64_t element = safetensors_size_of(tensor->dtype);
    require(element > 0, path, ": tensor '", tensor->name, "': unknown type ", tensor->dtype);
    require(bytes_of(tensor->shape, element) == tensor->bytes, path, ": tensor '", tensor->name, "': ", tensor->bytes,
            " bytes given for ", tensor->dtype, " ", sizes_text(tensor->shape));
    require(seen.insert(tensor->name).second && tensor->name != "__metadata__", path, ": tensor '", tensor->name,
            "' is given twice or has a reserved name");
    require(is_utf8(tensor->name), path, ": the tensor name '", shortened(tensor->name), "' is not UTF-8");
    header[tensor->name] = {
        {"dtype", tensor->dtype}, {"shape", tensor->shape}, {"data_offsets", {offset, offset + tensor->bytes}}};
    offset += tensor->bytes;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  require(text.size() <= largest_header, path, ": the header would be over 100 MB");
  return text;
}

/// The file's bytes before the data: the header's length in 8 bytes, then the header.
std::string file_start(const std::vector<const TensorEntry*>& order, const Metadata& metadata,
                       const std::string& path) {
  const std::string header = header_of(order, metadata, path);
  const std::uint64_t length = header.size();
  std::string bytes(length_bytes, 0);
  std::memcpy(bytes.data(), &length, length_bytes);
  return bytes + header;
}

/// Parses the header and rejects duplicate keys, of which the JSON library would keep only the last.
Json parse_header(const std::string& path, std::string_view text) {
  std::vector<std::set<std::string>> keys;
  const auto check = [&](int depth, Json::parse_event_t event, Json& parsed) {
    // Depth: 1 in the header, 2 in a tensor, 3 in its shape. Deeper nesting is an attack on the stack.
    require_usage(depth <= 3, path, ": the header is not a safetensors header: nested too deeply");
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      require_usage(keys.back().insert(key).second, path, ": the header names '", shortened(key), "' twice");
    }
    return true;
  };
  try {
    return Json::parse(text.begin(), text.end(), check);
  } catch (const Json::exception& error) {
    throw UsageError(join(path, ": the header is not valid JSON (", shortened(error.what(), 200), ")"));
  }
}

std::int64_t whole_number(const Json& value, const std::string& path, const std::string& name, const char* what) {
  const bool fits = value.is_number_unsigned() &&
                    value.get<std::uint64_t>() <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  require_usage(fits, path, ": tensor '", shortened(name), "': ", what, " holds ", shortened(value.dump()),
                ", expected a whole number");
  return value.get<std::int64_t>();
}

/// One tensor of the header; `data` points to offset 0, `begin` receives the tensor's own offset.
TensorEntry parse_tensor(const std::string& path, const std::string& name, const Json& fields, const char* data,
                         std::int64_t& begin) {
  const bool complete = fields.is_object() && fields.size() == 3 && fields.contains("dtype") &&
                        fields.contains("shape") && fields.contains("data_offsets") && fields["dtype"].is_string() &&
                        fields["shape"].is_array() && fields["data_offsets"].is_array() &&
                        fields["data_offsets"].size() == 2;
  require_usage(complete, path, ": tensor '", shortened(name), "': expected dtype, shape and two data_offsets");
  TensorEntry entry;
  entry.name = name;
  entry.dtype = fields["dtype"].get<std::string>();
  const std::int64_t element = safetensors_size_of(entry.dtype);
  require_usage(element > 0, path, ": tensor '", shortened(name), "': unknown dtype '", shortened(entry.dtype),
                "', expected BOOL or a number of 1 to 8 bytes, such as F32");
  for (const Json& extent : fields["shape"]) entry.shape.push_back(whole_number(extent, path, name, "shape"));
  begin = whole_number(fields["data_offsets"][0], path, name, "data_offsets");
  const std::int64_t end = whole_number(fields["data_offsets"][1], path, name, "data_offsets");
  require_usage(begin <= end, path, ": tensor '", shortened(name), "': data_offsets ", begin, " to ", end,
                " run backwards");
  entry.bytes = end - begin;
  require_usage(bytes_of(entry.shape, element) == entry.bytes, path, ": tensor '", shortened(name), "': ", entry.dtype,
                " ", shortened(sizes_text(entry.shape)), " does not have ", entry.bytes, " bytes");
  // Form the pointer only after checking that the offsets are within the file.
  entry.data = data;
  return entry;
}

Metadata parse_metadata(const std::string& path, const Json& fields) {
  require_usage(fields.is_object(), path, ": __metadata__ is not an object");
  Metadata metadata;
  for (const auto& [key, value] : fields.items()) {
    require_usage(value.is_string(), path, ": metadata '", shortened(key), "' is not a string");
    metadata[key] = value.get<std::string>();
  }
  return metadata;
}

/// The header's text within the file.
std::string_view header_text(const std::string& path, std::string_view file) {
  require_usage(file.size() >= length_bytes, path, ": cut off: ", file.size(), " bytes, expected 8 or more");
  std::uint64_t length;
  std::memcpy(&length, file.data(), length_bytes);
  require_usage(length <= largest_header, path, ": header of ", length, " bytes, at most 100 MB allowed",
                " (is this a safetensors file?)");
  require_usage(length <= file.size() - length_bytes, path, ": cut off: header of ", length, " bytes in a file of ",
                file.size());
  const std::string_view text(file.data() + length_bytes, length);
  require_usage(!text.empty() && text[0] == '{', path, ": not a safetensors file: its header does not begin with '{'");
  return text;
}

}  // namespace

std::int64_t TensorEntry::size() const {
  const std::int64_t element = safetensors_size_of(dtype);
  return element ? bytes / element : 0;
}

std::int64_t safetensors_size_of(std::string_view dtype) {
  using Sized = std::pair<std::string_view, std::int64_t>;
  constexpr std::array<Sized, 13> types{Sized{"F64", 8}, {"I64", 8},  {"U64", 8}, {"F32", 4}, {"I32", 4},
                                        {"U32", 4},      {"BF16", 2}, {"F16", 2}, {"I16", 2}, {"U16", 2},
                                        {"I8", 1},       {"U8", 1},   {"BOOL", 1}};
  for (const auto& [name, bytes] : types)
    if (name == dtype) return bytes;
  return 0;
}

const char* safetensors_name_of(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return "F64";
    case DType::f32:
      return "F32";
    case DType::bf16:
      return "BF16";
    case DType::i32:
      return "I32";
    case DType::u8:
      return "U8";
  }
  return "?";
}

std::string safetensors_header(const std::vector<TensorEntry>& tensors, const Metadata& metadata) {
  const auto order = disk_order(tensors);
  for (std::size_t i = 0; i < order.size(); ++i)
    require(order[i] == &tensors[i], "safetensors header: tensor '", tensors[i].name, "' lies behind smaller elements");
  return file_start(order, metadata, "safetensors header");
}

void write_safetensors(const std::string& path, const std::vector<TensorEntry>& tensors, const Metadata& metadata) {
  const auto order = disk_order(tensors);
  const std::string start = file_start(order, metadata, path);
  AtomicFile file(path);
  file.write(start);
  for (const TensorEntry* tensor : order) file.write(tensor->data, tensor->bytes);
  file.commit();
}

SafetensorsFile::SafetensorsFile(const std::string& path) : path_(path), read_(read_file(path)) { parse(read_); }

SafetensorsFile::SafetensorsFile(std::shared_ptr<const MappedFile> file)
    : path_(file->path()), mapped_(std::move(file)) {
  parse(mapped_->bytes());
}

void SafetensorsFile::parse(std::string_view header_and_data) {
  const std::string& path = path_;
  const std::string_view text = header_text(path, header_and_data);
  const Json header = parse_header(path, text);
  require_usage(header.is_object(), path, ": the header is not a JSON object");
  const char* data = text.data() + text.size();
  const std::int64_t data_bytes = static_cast<std::int64_t>(header_and_data.data() + header_and_data.size() - data);

  std::vector<std::pair<std::int64_t, TensorEntry>> placed;
  for (const auto& [name, fields] : header.items()) {
    if (name == "__metadata__") {
      metadata_ = parse_metadata(path, fields);
      continue;
    }
    std::int64_t begin = 0;
    TensorEntry entry = parse_tensor(path, name, fields, data, begin);
    placed.emplace_back(begin, std::move(entry));
  }
  // Empty tensors share their offset with the next tensor and must sort before it, or they would look like a gap.
  std::sort(placed.begin(), placed.end(), [](const auto& a, const auto& b) {
    return std::tie(a.first, a.second.bytes) < std::tie(b.first, b.second.bytes);
  });
  std::int64_t expected = 0;
  for (auto& [begin, entry] : placed) {
    require_usage(begin == expected, path, ": tensor '", shortened(entry.name), "' begins at byte ", begin,
                  ", expected ", expected, ": ",
                  begin < expected ? "it overlaps another one" : "there is a gap before it");
    expected += entry.bytes;
    require_usage(expected <= data_bytes, path, ": cut off: tensor '", shortened(entry.name), "' ends at byte ",
                  expected, " of ", data_bytes);
    entry.data = data + begin;
    places_[entry.name] = tensors_.size();
    tensors_.push_back(std::move(entry));
  }
  require_usage(expected == data_bytes, path, ": ", data_bytes - expected, " bytes after the last tensor");
}

const TensorEntry* SafetensorsFile::find(std::string_view name) const {
  const auto place = places_.find(name);
  return place == places_.end() ? nullptr : &tensors_[place->second];
}

const TensorEntry& SafetensorsFile::at(std::string_view name, std::string_view dtype,
                                       const std::vector<std::int64_t>& shape) const {
  const TensorEntry* tensor = find(name);
  require_usage(tensor != nullptr, path_, ": there is no tensor '", name, "'");
  require_usage(tensor->dtype == dtype && tensor->shape == shape, path_, ": tensor '", name, "' is ", tensor->dtype,
                " ", shortened(sizes_text(tensor->shape)), ", expected ", dtype, " ", sizes_text(shape));
  return *tensor;
}

const std::string& SafetensorsFile::meta(const std::string& key) const {
  const auto value = metadata_.find(key);
  require_usage(value != metadata_.end(), path_, ": there is no metadata '", key, "'");
  return value->second;
}

}  // namespace vergence
