// MD5 by libmd, the BSD systems' digests.
#include "datasets/verify.h"

#include <array>
#include <filesystem>
#include <vector>
#ifndef VERGENCE_PLAIN_CPU
#include <md5.h>
#endif

#include "datasets/readers/images/pack.h"
#include "engine/io/files.h"
#include "engine/io/require_call.h"
#include "kernels/error.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;

struct KnownFile {
  const char *name, *md5;
};

/// The files of one version of a data set. `inner`: the folder that its archive makes.
struct KnownVersion {
  const char *dataset, *inner;
  std::vector<KnownFile> files;
};

/// Those of the Python versions and of STL-10 stand in torchvision's source; CIFAR-10's binary files were summed from
/// the same records, whose Python version has the published sums.
const std::vector<KnownVersion>& known_versions() {
  static const std::vector<KnownVersion> versions{
      {"cifar10",
       "cifar-10-batches-bin",
       {{"data_batch_1.bin", "5dd7e06a14cb22eb9f671a540d1b7c25"},
        {"data_batch_2.bin", "5ea93a67294ea407fff1d09f752e9692"},
        {"data_batch_3.bin", "942cd6a4bcdd0dd3c604fbe906cb4421"},
        {"data_batch_4.bin", "ae636b3ba5c66a11e91e8cb52e771fcb"},
        {"data_batch_5.bin", "53f37980c15c3d472c316c40844f3f0d"},
        {"test_batch.bin", "803d5f7f4d78ea53de84dbe85f74fb6d"}}},
      {"cifar10",
       "cifar-10-batches-py",
       {{"data_batch_1", "c99cafc152244af753f735de768cd75f"},
        {"data_batch_2", "d4bba439e000b95fd0a9bffe97cbabec"},
        {"data_batch_3", "54ebc095f3ab1f0389bbae665268c751"},
        {"data_batch_4", "634d18415352ddfa80567beed471001a"},
        {"data_batch_5", "482c414d41f54cd18b22e5b47cb7c3cb"},
        {"test_batch", "40351d587109b95175f43aff81a1287e"}}},
      {"cifar100",
       "cifar-100-python",
       {{"train", "16019d7e3df5f24257cddd939b257f8d"}, {"test", "f0ef6b0ae62326f3e7ffdfab6717acfc"}}},
      {"stl10",
       "stl10_binary",
       {{"train_X.bin", "918c2871b30a85fa023e0c44e0bee87f"},
        {"train_y.bin", "5a34089d4802c674881badbb80307741"},
        {"unlabeled_X.bin", "5242ba1fed5e4be9e1e742405eb56ca4"},
        {"test_X.bin", "7f263ba9f9e0b06b93213547f721ac82"},
        {"test_y.bin", "36f9794fa4beb8a2c72628de14fa638e"}}}};
  return versions;
}

#ifdef VERGENCE_PLAIN_CPU
std::string md5_of(const fs::path& file) {
  throw UsageError(join("--verify: this build has no MD5 (VERGENCE_PLAIN_CPU); compare md5sum ", file.string()));
}
#else
std::string md5_of(const fs::path& file) {
  file_bytes(file.string(), file.string());  // libmd would wait for a FIFO's writer
  std::array<char, MD5_DIGEST_STRING_LENGTH> digest{};
  const std::string path = file.string();
  require_call<UsageError>(MD5File(path.c_str(), digest.data()) != nullptr, path, "cannot be read");
  return digest.data();
}
#endif

}  // namespace

void verify_dataset(const DatasetSettings& settings, const std::function<void(const std::string& line)>& report) {
  std::error_code error;
  if (settings.name.starts_with("image") && fs::is_regular_file(settings.directory, error)) {
    verify_packed_images(settings.directory);
    return report(join(settings.directory, ": every image has its checksum"));
  }
  const std::string& published = settings.name == "composites" ? settings.background : settings.name;
  for (const KnownVersion& version : known_versions()) {
    if (published != version.dataset) continue;
    for (const fs::path& folder : {fs::path(settings.directory), fs::path(settings.directory) / version.inner}) {
      if (!file_exists(folder / version.files.front().name)) continue;
      for (const KnownFile& file : version.files) {
        const std::string sum = md5_of(folder / file.name);
        require_usage(sum == file.md5, (folder / file.name).string(), ": has the MD5 ", sum, ", expected ", file.md5,
                      ": it is damaged, or not the published file");
        report(join((folder / file.name).string(), ": ", sum, ", as published"));
      }
      return;
    }
  }
  throw UsageError(join("--verify: no published sums for what ", settings.name, " has in '", settings.directory, "'"));
}

}  // namespace vergence
