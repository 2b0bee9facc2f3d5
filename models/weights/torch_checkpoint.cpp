#include "models/weights/torch_checkpoint.h"

#include "kernels/error.h"

#ifndef VERGENCE_ZIP

namespace vergence {

std::unique_ptr<TensorFile> open_torch_checkpoint(const std::string& path) {
  throw UsageError(join(path,
                        ": this program was built without VERGENCE_ZIP and reads no zip archives: save the "
                        "weights as safetensors"));
}

}  // namespace vergence

#else

#include <array>
#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <zip.h>

#include "engine/io/files.h"
#include "engine/io/pickle.h"
#include "engine/text/printable.h"

namespace vergence {
namespace {

using Value = PickleValue;
using Kind = PickleValue::Kind;

constexpr std::size_t largest_pickle = std::size_t{256} << 20;

/// A zip archive open for reading. Errors name its path.
class ZipArchive {
 public:
  explicit ZipArchive(const std::string& path) : path_(path) {
    file_bytes(path, path);  // refuses what is no regular file
    int error = 0;
    archive_ = zip_open(path.c_str(), ZIP_RDONLY, &error);
    if (archive_) return;
    zip_error_t text;
    zip_error_init_with_code(&text, error);
    const std::string why = zip_error_strerror(&text);
    zip_error_fini(&text);
    throw UsageError(join(path, ": a damaged zip archive: ", printable(why)));
  }
  ~ZipArchive() { zip_discard(archive_); }
  ZipArchive(const ZipArchive&) = delete;
  ZipArchive& operator=(const ZipArchive&) = delete;

  /// The name of an entry that ends so, the shortest if there are several; empty: none.
  std::string name_ending(std::string_view ending) const {
    std::string found;
    for (zip_int64_t i = 0; i < zip_get_num_entries(archive_, 0); ++i) {
      const char* name = zip_get_name(archive_, static_cast<zip_uint64_t>(i), 0);
      if (name && std::string_view(name).ends_with(ending) &&
          (found.empty() || std::string_view(name).size() < found.size()))
        found = name;
    }
    return found;
  }
  bool has(const std::string& name) const { return zip_name_locate(archive_, name.c_str(), 0) >= 0; }

  /// The bytes of an entry, which libzip compares with its checksum. `most`: refuses longer ones.
  std::string read(const std::string& name, std::size_t most) const {
    zip_stat_t status;
    const bool known = zip_stat(archive_, name.c_str(), 0, &status) == 0 && (status.valid & ZIP_STAT_SIZE) != 0;
    require_usage(known, path_, ": there is no '", shortened(name), "' in the archive");
    // Stored entries take as many bytes in the file, so that no small file asks for much memory.
    require_usage(status.comp_method == ZIP_CM_STORE && status.encryption_method == ZIP_EM_NONE, path_, ": '",
                  shortened(name), "' is compressed or encrypted, which torch.save does not do");
    require_usage(status.size <= most, path_, ": '", shortened(name), "' has ", status.size,
                  " bytes, expected at most ", most);
    std::string bytes(static_cast<std::size_t>(status.size), '\0');
    zip_file_t* entry = zip_fopen(archive_, name.c_str(), 0);
    const zip_int64_t got = entry ? zip_fread(entry, bytes.data(), bytes.size()) : -1;
    char beyond;
    const bool whole = got == static_cast<zip_int64_t>(bytes.size()) && zip_fread(entry, &beyond, 1) == 0;
    if (entry) zip_fclose(entry);
    require_usage(whole, path_, ": '", shortened(name), "' is damaged: its bytes do not match the archive's checksum");
    return bytes;
  }

 private:
  std::string path_;
  zip_t* archive_ = nullptr;
};

/// A tensor of the pickle: elements `offset + sum of index * stride` of a storage.
struct Placed {
  std::string storage;  // its key
  std::string dtype;    // as safetensors names it; empty: a type without numbers
  std::int64_t offset = 0;
  std::vector<std::int64_t> strides;
};

std::string dtype_of(std::string_view storage_class) {
  constexpr std::array<std::pair<std::string_view, const char*>, 11> types{{{"torch.FloatStorage", "F32"},
                                                                            {"torch.DoubleStorage", "F64"},
                                                                            {"torch.HalfStorage", "F16"},
                                                                            {"torch.BFloat16Storage", "BF16"},
                                                                            {"torch.LongStorage", "I64"},
                                                                            {"torch.IntStorage", "I32"},
                                                                            {"torch.ShortStorage", "I16"},
                                                                            {"torch.ByteStorage", "U8"},
                                                                            {"torch.CharStorage", "I8"},
                                                                            {"torch.BoolStorage", "BOOL"},
                                                                            {"torch.UntypedStorage", "U8"}}};
  for (const auto& [name, dtype] : types)
    if (name == storage_class) return dtype;
  return {};
}

bool is_call(const Value& value, std::string_view function) {
  return value.kind == Kind::object && value.children[0]->kind == Kind::name && value.children[0]->bytes == function;
}

bool integers(const Value& list, std::vector<std::int64_t>& into) {
  if (list.kind != Kind::list) return false;
  for (const Value* item : list.children) {
    if (item->kind != Kind::integer || item->integer < 0) return false;
    into.push_back(item->integer);
  }
  return true;
}

class TorchCheckpoint final : public TensorFile {
 public:
  explicit TorchCheckpoint(const std::string& path) : path_(path), archive_(path) {
    const std::string pickle_name = archive_.name_ending("data.pkl");
    require_usage(!pickle_name.empty(), path_, ": a zip archive without data.pkl, expected a checkpoint of torch.save");
    folder_ = pickle_name.substr(0, pickle_name.size() - std::string_view("data.pkl").size());
    require_usage(!archive_.has(folder_ + "constants.pkl"), path_,
                  ": a TorchScript program, expected a checkpoint: torch.save(model.state_dict(), FILE)");
    if (archive_.has(folder_ + "byteorder"))
      require_usage(archive_.read(folder_ + "byteorder", 16) == "little", path_,
                    ": its numbers are big-endian, expected little-endian");
    const std::string bytes = archive_.read(pickle_name, largest_pickle);
    const Pickle pickle(bytes, join(path_, ": data.pkl"));
    collect(pickle.root());
    const bool whole_model = tensors_.empty() && pickle.root().kind == Kind::object;
    require_usage(!whole_model, path_, ": a whole model, which only its own program can load; expected its weights: ",
                  "torch.save(model.state_dict(), FILE)");
    require_usage(!tensors_.empty(), path_, ": a checkpoint without tensors");
  }

  const std::string& path() const override { return path_; }
  const std::vector<StoredTensor>& tensors() const override { return tensors_; }
  const Metadata& metadata() const override { return metadata_; }
  std::vector<float> floats(std::size_t place) const override;

 private:
  void collect(const Value& root);
  bool add_tensor(const Value& value, const std::string& name);
  bool place(const Value& value, StoredTensor& tensor, Placed& placed) const;

  std::string path_, folder_;
  ZipArchive archive_;
  Metadata metadata_;
  std::vector<StoredTensor> tensors_;
  std::vector<Placed> placed_;
};

/// Walks dicts without recursion, each once: a pickle may be nested deeply, or hold itself.
void TorchCheckpoint::collect(const Value& root) {
  std::vector<std::pair<const Value*, std::string> > waiting{{&root, ""}};
  std::set<const Value*> seen;
  while (!waiting.empty()) {
    const auto [dict, prefix] = std::move(waiting.back());
    waiting.pop_back();
    if (dict->kind != Kind::dict || !seen.insert(dict).second) continue;
    for (std::size_t i = 0; i + 1 < dict->children.size(); i += 2) {
      const Value &key = *dict->children[i], &value = *dict->children[i + 1];
      if (key.kind != Kind::bytes || prefix.size() + key.bytes.size() > 1000) continue;
      const std::string name = prefix + std::string(key.bytes);
      if (!add_tensor(value, name)) waiting.emplace_back(&value, name + ".");
    }
  }
}

bool TorchCheckpoint::add_tensor(const Value& value, const std::string& name) {
  const Value* tensor = &value;
  if (is_call(value, "torch._utils._rebuild_parameter") && !value.children[1]->children.empty())
    tensor = value.children[1]->children[0];
  StoredTensor stored{name, {}};
  Placed placed;
  if (!place(*tensor, stored, placed)) return false;
  tensors_.push_back(std::move(stored));
  placed_.push_back(std::move(placed));
  return true;
}

/// _rebuild_tensor_v2(storage, offset, shape, strides, ...), where the storage is the persistent id
/// ("storage", class, key, device, elements). False: not a tensor.
bool TorchCheckpoint::place(const Value& value, StoredTensor& tensor, Placed& placed) const {
  if (!is_call(value, "torch._utils._rebuild_tensor_v2")) return false;
  const Value::Children& given = value.children[1]->children;
  const auto broken = [&] { return UsageError(join(path_, ": tensor '", shortened(tensor.name), "' is damaged")); };
  if (given.size() < 4 || given[0]->kind != Kind::persistent || given[1]->kind != Kind::integer) throw broken();
  const Value::Children& id = given[0]->children[0]->children;
  const bool storage = id.size() >= 3 && id[1]->kind == Kind::name && id[2]->kind == Kind::bytes;
  placed.offset = given[1]->integer;
  if (!storage || placed.offset < 0 || !integers(*given[2], tensor.shape) || !integers(*given[3], placed.strides) ||
      tensor.shape.size() != placed.strides.size())
    throw broken();
  placed.dtype = dtype_of(id[1]->bytes);
  placed.storage = std::string(id[2]->bytes);
  return true;
}

std::vector<float> TorchCheckpoint::floats(std::size_t which) const {
  const StoredTensor& tensor = tensors_[which];
  const Placed& placed = placed_[which];
  const std::string where = join(path_, ": tensor '", shortened(tensor.name), "'");
  const auto element = static_cast<std::size_t>(safetensors_size_of(placed.dtype));
  require_usage(element > 0, where, ": a type without numbers");
  const std::string bytes = archive_.read(folder_ + "data/" + placed.storage, std::size_t{1} << 40);
  std::int64_t count = 1, last = placed.offset;  // the last element's place
  bool fits = true;
  for (std::size_t axis = 0; axis < tensor.shape.size(); ++axis) {
    std::int64_t reach = 0;
    fits = fits && !__builtin_mul_overflow(count, tensor.shape[axis], &count) &&
           !__builtin_mul_overflow(tensor.shape[axis] - 1, placed.strides[axis], &reach) &&
           !__builtin_add_overflow(last, reach, &last);
  }
  const auto stored = static_cast<std::int64_t>(bytes.size() / element);
  require_usage(fits && count <= stored && (count == 0 || last < stored), where, ": larger than its storage of ",
                stored, " elements");
  if (count == 0) return {};
  const std::vector<float> all = floats_of(placed.dtype, bytes.data(), static_cast<std::size_t>(stored), where);
  std::vector<float> values(static_cast<std::size_t>(count));
  std::vector<std::int64_t> index(tensor.shape.size());
  std::int64_t at = placed.offset;
  for (float& value : values) {
    value = all[static_cast<std::size_t>(at)];
    for (std::size_t axis = index.size(); axis > 0; --axis) {
      at += placed.strides[axis - 1];
      if (++index[axis - 1] < tensor.shape[axis - 1]) break;
      at -= placed.strides[axis - 1] * tensor.shape[axis - 1];
      index[axis - 1] = 0;
    }
  }
  return values;
}

}  // namespace

std::unique_ptr<TensorFile> open_torch_checkpoint(const std::string& path) {
  return std::make_unique<TorchCheckpoint>(path);
}

}  // namespace vergence

#endif
