// CIFAR: finds, checks and unpacks the files.
#include "datasets/readers/cifar.h"

#include <algorithm>
#include <filesystem>
#include <optional>

#include "datasets/readers/class_names.h"
#include "datasets/readers/fc100.h"
#include "datasets/readers/last_tenth.h"
#include "datasets/readers/npy_file.h"
#include "datasets/readers/pickled_array.h"
#include "engine/io/files.h"
#include "kernels/error.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t cifar_side = 32, cifar_plane = cifar_side * cifar_side, cifar_bytes = 3 * cifar_plane;

/// One of the two sets.
struct CifarKind {
  const char *name, *binary_folder, *python_folder;
  std::vector<const char*> train, test;  // the files' names in the Python version; binary ones end in .bin
  std::int64_t classes;
  std::int64_t label_bytes;  // of a binary record; the last one is the label
  const char* label_key;     // in a pickle
  std::int64_t images;       // in every file; 0: any number
  const std::vector<std::string>& (*class_names)();
  ChannelValues mean, std;  // of the whole training set
};

const CifarKind cifar10{"cifar10",
                        "cifar-10-batches-bin",
                        "cifar-10-batches-py",
                        {"data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"},
                        {"test_batch"},
                        10,
                        1,
                        "labels",
                        10000,
                        cifar10_class_names,
                        {0.4914f, 0.4822f, 0.4465f},
                        {0.2470f, 0.2435f, 0.2616f}};
const CifarKind cifar100{"cifar100",
                         "cifar-100-binary",
                         "cifar-100-python",
                         {"train"},
                         {"test"},
                         100,
                         2,
                         "fine_labels",
                         0,
                         cifar100_class_names,
                         {0.5071f, 0.4865f, 0.4409f},
                         {0.2673f, 0.2564f, 0.2762f}};

/// Where a set's files are, and in which form.
struct CifarFolder {
  fs::path path;
  bool pickled = false;

  fs::path file(const std::string& name) const { return path / (pickled ? name : name + ".bin"); }
};

CifarFolder find_cifar(const CifarKind& kind, const std::string& directory, const std::vector<const char*>& files) {
  require_usage(!directory.empty(), kind.name, ": no data folder given, expected --data DIR with the binary version (",
                files.front(), ".bin in DIR or in DIR/", kind.binary_folder, ") or the Python one (DIR/",
                kind.python_folder, ")");
  const fs::path root = directory;
  for (const CifarFolder& folder : {CifarFolder{root, false}, CifarFolder{root / kind.binary_folder, false},
                                    CifarFolder{root, true}, CifarFolder{root / kind.python_folder, true}})
    if (std::any_of(files.begin(), files.end(), [&](const char* name) { return file_exists(folder.file(name)); }))
      return folder;
  throw UsageError(join(kind.name, ": ", files.front(), ".bin not found in ", directory, ", ",
                        (root / kind.binary_folder).string(), " or, as ", files.front(), ", in ",
                        (root / kind.python_folder).string()));
}

/// The images of one file, checked.
class CifarFile {
 public:
  CifarFile(const CifarKind& kind, const CifarFolder& folder, const std::string& name)
      : path_(folder.file(name).string()) {
    require_usage(file_exists(path_), kind.name, ": ", path_, " is missing, expected ",
                  kind.images > 0 ? kind.images : 1, kind.images > 0 ? " images" : " or more images");
    bytes_ = read_file(path_);
    if (folder.pickled)
      unpickle(kind);
    else
      cut(kind);
  }

  std::int64_t count() const { return static_cast<std::int64_t>(labels_.size()); }
  std::int32_t label(std::int64_t i) const { return labels_[static_cast<std::size_t>(i)]; }
  const std::uint8_t* planes(std::int64_t i) const { return first_ + i * stride_; }

 private:
  void cut(const CifarKind& kind) {
    stride_ = kind.label_bytes + cifar_bytes;
    const auto size = static_cast<std::int64_t>(bytes_.size());
    if (kind.images > 0)
      require_usage(size == kind.images * stride_, kind.name, ": ", path_, " has ", size, " bytes, expected ",
                    kind.images * stride_, " (", kind.images, " records of ", stride_, ")");
    require_usage(size > 0 && size % stride_ == 0, kind.name, ": ", path_, " has ", size,
                  " bytes, expected whole records of ", stride_);
    const auto* records = reinterpret_cast<const std::uint8_t*>(bytes_.data());
    first_ = records + kind.label_bytes;
    for (std::int64_t i = 0; i < size / stride_; ++i) add_label(kind, records[i * stride_ + kind.label_bytes - 1]);
  }

  void add_label(const CifarKind& kind, std::int64_t label) {
    require_usage(label >= 0 && label < kind.classes, kind.name, ": ", path_, " has label ", label, " in record ",
                  labels_.size(), ", expected 0 to ", kind.classes - 1, " (is this another data set?)");
    labels_.push_back(static_cast<std::int32_t>(label));
  }

  /// Reads labels from a list or an array of whole numbers.
  void unpickle_labels(const CifarKind& kind, const Pickle& pickle, const PickleValue* labels) {
    if (labels && labels->kind == PickleValue::Kind::list) {
      for (const PickleValue* label : labels->children) {
        const std::optional<std::int64_t> number = pickled_integer(pickle, *label);
        require_usage(number.has_value(), kind.name, ": ", path_, " has label ", described(pickle, *label),
                      " in record ", labels_.size(), ", expected a whole number from 0 to ", kind.classes - 1);
        add_label(kind, *number);
      }
      return;
    }
    require_usage(labels && labels->kind == PickleValue::Kind::object, kind.name, ": ", path_,
                  " has no list or array '", kind.label_key, "'", labels ? ", but " + described(pickle, *labels) : "");
    const PickledArray array = pickled_array(pickle, labels);
    require_usage(array.shape.size() == 1 && is_integer_type(array.type), kind.name, ": ", path_,
                  " has labels of shape ", shape_text(array.shape), " and type '", array.type,
                  "', expected whole numbers of shape (N,)");
    for (const std::int64_t label : integers_of(array.bytes, array.type)) add_label(kind, label);
  }

  void unpickle(const CifarKind& kind) {
    const Pickle& pickle = pickle_.emplace(bytes_, join(kind.name, ": ", path_));
    const PickledArray data = pickled_array(pickle, pickle.root().at("data"));
    unpickle_labels(kind, pickle, pickle.root().at(kind.label_key));
    const std::int64_t images = count();
    require_usage(data.type == "|u1", kind.name, ": ", path_, " has images of type '", data.type,
                  "', expected uint8 ('|u1')");
    require_usage(data.shape == std::vector<std::int64_t>({images, cifar_bytes}) && images > 0 &&
                      (kind.images == 0 || images == kind.images),
                  kind.name, ": ", path_, " has ", images, " labels and an array of ",
                  data.shape.empty() ? 0 : data.shape[0], " rows, expected ",
                  kind.images ? std::to_string(kind.images) : "as many", " of both and ", cifar_bytes, " columns");
    first_ = reinterpret_cast<const std::uint8_t*>(data.bytes.data());
    stride_ = cifar_bytes;
  }

  std::string path_, bytes_;
  std::optional<Pickle> pickle_;  // may own the array's bytes
  std::vector<std::int32_t> labels_;
  const std::uint8_t* first_ = nullptr;
  std::int64_t stride_ = 0;
};

/// Appends images [first, last) of a file to the data set: planes become interleaved pixels.
void append_cifar(Dataset& data, const CifarFile& file, std::int64_t first, std::int64_t last) {
  for (std::int64_t i = first; i < last; ++i) {
    data.labels.push_back(file.label(i));
    const std::uint8_t* planes = file.planes(i);
    const std::size_t start = data.pixels.size();
    data.pixels.resize(start + cifar_bytes);
    for (std::int64_t c = 0; c < 3; ++c)
      for (std::int64_t p = 0; p < cifar_plane; ++p)
        data.pixels[start + static_cast<std::size_t>(3 * p + c)] = planes[c * cifar_plane + p];
  }
  data.count += last - first;
}

/// The data set's properties, without images.
Dataset about_cifar(const CifarKind& kind, const std::string& split) {
  Dataset data;
  data.name = kind.name;
  data.split = split;
  data.height = data.width = cifar_side;
  data.classes = kind.classes;
  data.class_names = kind.class_names();
  data.mean = kind.mean;
  data.std = kind.std;
  return data;
}

Dataset read_cifar(const CifarKind& kind, const std::string& directory, const std::string& split, std::int64_t limit) {
  const std::vector<const char*>& files = split == "test" ? kind.test : kind.train;
  const CifarFolder folder = find_cifar(kind, directory, files);
  Dataset data = about_cifar(kind, split);
  for (std::size_t f = 0; f < files.size(); ++f) {
    // "val" is the last tenth of the training images.
    const auto behind = static_cast<std::int64_t>(files.size() - f - 1) * kind.images;
    if (split == "val" && kind.images > 0 && behind >= static_cast<std::int64_t>(files.size()) * kind.images / 10)
      continue;
    const CifarFile file(kind, folder, files[f]);
    const std::int64_t held_back = last_tenth(static_cast<std::int64_t>(files.size()) * file.count(), split,
                                              join(kind.name, ": ", folder.file(files[f]).string()));
    std::int64_t first = 0, last = file.count();
    if (split == "val") first = std::max<std::int64_t>(0, last + behind - held_back);
    if (split == "probe_without_val") last = std::min(last, last + behind - held_back);
    if (limit > 0) last = std::min(last, first + limit - data.count);
    if (data.count == 0) {
      const std::int64_t most = static_cast<std::int64_t>(files.size() - f) * file.count();
      data.pixels.reserve(static_cast<std::size_t>((limit > 0 ? std::min(limit, most) : most) * cifar_bytes));
    }
    if (last > first) append_cifar(data, file, first, last);
    if (limit > 0 && data.count == limit) break;
  }
  return data;
}

/// The images of some classes, in their order; the first `limit` of them unless that is 0.
Dataset images_of_classes(Dataset data, const std::vector<std::int32_t>& classes, std::int64_t limit) {
  const std::int64_t size = data.image_bytes();
  std::int64_t kept = 0;
  for (std::int64_t i = 0; i < data.count && (limit == 0 || kept < limit); ++i) {
    const std::int32_t label = data.labels[static_cast<std::size_t>(i)];
    if (std::find(classes.begin(), classes.end(), label) == classes.end()) continue;
    if (kept < i) std::copy_n(data.pixels.begin() + i * size, size, data.pixels.begin() + kept * size);
    data.labels[static_cast<std::size_t>(kept++)] = label;
  }
  require_usage(kept > 0, data.name, " ", data.split, ": there are no images of the classes asked for");
  data.count = kept;
  data.labels.resize(static_cast<std::size_t>(kept));
  data.pixels.resize(static_cast<std::size_t>(kept * size));
  return data;
}

}  // namespace

Dataset read_cifar10(const std::string& directory, const std::string& split, std::int64_t limit) {
  return read_cifar(cifar10, directory, split, limit);
}

Dataset read_cifar10_range(const std::string& directory, const std::string& split, std::int64_t first,
                           std::int64_t count) {
  const std::vector<const char*>& files = split == "test" ? cifar10.test : cifar10.train;
  const std::int64_t there = static_cast<std::int64_t>(files.size()) * cifar10.images, end = first + count;
  require(first >= 0 && count > 0 && end <= there, "cifar10: images ", first, " to ", end - 1, " of ", there);
  const CifarFolder folder = find_cifar(cifar10, directory, files);
  Dataset data = about_cifar(cifar10, split);
  data.pixels.reserve(static_cast<std::size_t>(count * cifar_bytes));
  for (std::int64_t f = first / cifar10.images; f * cifar10.images < end; ++f) {
    const CifarFile file(cifar10, folder, files[static_cast<std::size_t>(f)]);
    const std::int64_t before = f * cifar10.images;
    append_cifar(data, file, std::max<std::int64_t>(0, first - before), std::min(file.count(), end - before));
  }
  return data;
}

Dataset read_cifar100(const std::string& directory, const std::string& split, std::int64_t limit) {
  return read_cifar(cifar100, directory, split, limit);
}

Dataset read_fc100_base(const std::string& directory, std::int64_t limit) {
  return images_of_classes(read_cifar100(directory, "train"), fc100_classes(Fc100::base), limit);
}

// The sums of the Python version are published with torchvision's source. Those of the binary version were computed
// from the same records, whose Python version has the published sums.
std::vector<PublishedFiles> cifar10_files() {
  return {{"cifar-10-batches-bin",
           {{"data_batch_1.bin", "5dd7e06a14cb22eb9f671a540d1b7c25"},
            {"data_batch_2.bin", "5ea93a67294ea407fff1d09f752e9692"},
            {"data_batch_3.bin", "942cd6a4bcdd0dd3c604fbe906cb4421"},
            {"data_batch_4.bin", "ae636b3ba5c66a11e91e8cb52e771fcb"},
            {"data_batch_5.bin", "53f37980c15c3d472c316c40844f3f0d"},
            {"test_batch.bin", "803d5f7f4d78ea53de84dbe85f74fb6d"}}},
          {"cifar-10-batches-py",
           {{"data_batch_1", "c99cafc152244af753f735de768cd75f"},
            {"data_batch_2", "d4bba439e000b95fd0a9bffe97cbabec"},
            {"data_batch_3", "54ebc095f3ab1f0389bbae665268c751"},
            {"data_batch_4", "634d18415352ddfa80567beed471001a"},
            {"data_batch_5", "482c414d41f54cd18b22e5b47cb7c3cb"},
            {"test_batch", "40351d587109b95175f43aff81a1287e"}}}};
}

}  // namespace vergence
