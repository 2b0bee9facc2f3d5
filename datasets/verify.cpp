// MD5 comes from libmd, the BSD systems' library of digests.
#include "datasets/verify.h"

#include <algorithm>
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

/// Throws UsageError for a file that is not as published.
void verify_files(const fs::path& folder, const PublishedFiles& version,
                  const std::function<void(const std::string& line)>& report) {
  for (const PublishedFiles::File& file : version.files) {
    const std::string path = (folder / file.name).string();
    const std::string sum = md5_of(path);
    require_usage(sum == file.md5, path, ": has the MD5 ", sum, ", expected ", file.md5,
                  ": it is damaged, or not the published file");
    report(join(path, ": ", sum, ", as published"));
  }
}

}  // namespace

void verify_dataset(const DatasetSettings& settings, const std::function<void(const std::string& line)>& report) {
  const DatasetEntry& entry = entry_of(settings.name);
  std::error_code error;
  if (entry.image_files && fs::is_regular_file(settings.directory, error)) {
    return report(join(settings.directory, ": ", verify_packed_images(settings.directory)));
  }
  for (const PublishedFiles& version : entry.published) {
    for (const fs::path& folder : {fs::path(settings.directory), fs::path(settings.directory) / version.folder}) {
      const auto is_there = [&](const PublishedFiles::File& file) { return file_exists(folder / file.name); };
      const auto found = std::find_if(version.files.begin(), version.files.end(), is_there);
      if (found == version.files.end()) continue;
      require_usage(!found->md5.empty(), "--verify: ", (folder / found->name).string(), " is read, of a version of ",
                    settings.name, " whose sums nobody has published; expected only files of another version");
      return verify_files(folder, version, report);
    }
  }
  throw UsageError(join("--verify: no published sums for what ", settings.name, " has in '", settings.directory, "'"));
}

}  // namespace vergence
