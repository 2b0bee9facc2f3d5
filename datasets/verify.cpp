// MD5 comes from libmd, the BSD systems' library of digests.
#include "datasets/verify.h"

#include <array>
#include <filesystem>
#ifndef VERGENCE_PLAIN_CPU
#include <md5.h>
#endif

#include "datasets/readers/images/pack.h"
#include "datasets/registry.h"
#include "engine/io/files.h"
#include "engine/io/require_call.h"
#include "kernels/error.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;

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
  const DatasetEntry& entry = entry_of(settings.name);
  std::error_code error;
  if (entry.image_files && fs::is_regular_file(settings.directory, error)) {
    verify_packed_images(settings.directory);
    return report(join(settings.directory, ": every image has its checksum"));
  }
  for (const PublishedFiles& version : entry.published) {
    for (const fs::path& folder : {fs::path(settings.directory), fs::path(settings.directory) / version.folder}) {
      if (!file_exists(folder / version.files.front().name)) continue;
      for (const PublishedFiles::File& file : version.files) {
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
