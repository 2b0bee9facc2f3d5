#include "datasets/readers/images/files.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "engine/io/files.h"
#include "engine/io/xxh.h"
#include "kernels/error.h"
#include "kernels/parallel.h"

namespace vergence {
namespace {

/// How many bytes to read first: only large color profiles and previews need more.
constexpr std::int64_t beginning = 1 << 14;

class OpenFile {
 public:
  explicit OpenFile(const std::string& path) : path_(path) {
    struct stat status {};
    descriptor_ = open_regular(path, status);
    state_ = {status.st_size, status.st_mtim.tv_sec, status.st_mtim.tv_nsec};
  }
  ~OpenFile() { ::close(descriptor_); }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  const FileState& state() const { return state_; }

  /// The file's first bytes, at most `most`.
  void read(std::int64_t most, std::string& bytes) const {
    bytes.resize(static_cast<std::size_t>(std::min(most, state_.bytes)));
    std::size_t have = 0;
    while (have < bytes.size()) {
      const ssize_t got = ::pread(descriptor_, bytes.data() + have, bytes.size() - have, static_cast<off_t>(have));
      if (got < 0 && errno == EINTR) continue;
      const int error = errno;
      require_usage(got >= 0, path_, ": cannot be read: ", std::strerror(error));
      require_usage(got > 0, path_, ": ends at byte ", have, ", expected ", state_.bytes, " bytes");
      have += static_cast<std::size_t>(got);
    }
  }

 private:
  const std::string& path_;
  int descriptor_ = -1;
  FileState state_;
};

/// The length of the paths' common prefix, up to a '/'.
std::size_t common_folder(const std::vector<std::string>& paths) {
  if (paths.empty()) return 0;
  std::string_view same = paths.front();
  for (const std::string_view path : paths)
    same = same.substr(0, static_cast<std::size_t>(
                              std::mismatch(same.begin(), same.end(), path.begin(), path.end()).first - same.begin()));
  return same.rfind('/') + 1;  // npos + 1 = 0
}

Inspection look_at_file(const std::string& path, std::string& bytes) {
  Inspection result;
  try {
    const OpenFile file(path);
    result.image.file = file.state();
    file.read(beginning, bytes);
    ImageHeader header;
    try {
      header = image_header(bytes, path);
    } catch (const UsageError&) {
      if (file.state().bytes <= beginning) throw;
      file.read(file.state().bytes, bytes);
      header = image_header(bytes, path);
    }
    result.image.size = {header.height, header.width};
  } catch (const UsageError& error) {
    result.complaint = error.what();
  }
  return result;
}

}  // namespace

ImageFiles::ImageFiles(std::vector<std::string> paths, std::vector<KnownImage> images, JpegLibrary jpeg,
                       BadImagePolicy policy, std::string folder, std::vector<std::string> left_out)
    : ImageSource(policy),
      paths_(std::move(paths)),
      left_out_(std::move(left_out)),
      images_(std::move(images)),
      jpeg_(jpeg),
      folder_(std::move(folder)) {
  require(paths_.size() == images_.size(), "image files: ", paths_.size(), " paths, ", images_.size(), " images");
}

std::string ImageFiles::name(std::int64_t index) const {
  const auto at = static_cast<std::size_t>(index);
  const std::string& path = at < paths_.size() ? paths_[at] : left_out_.at(at - paths_.size());
  return folder_.empty() ? path : std::filesystem::path(path).lexically_relative(folder_).string();
}

ImageSize ImageFiles::open(std::int64_t index, ImageBuffer& buffer) const {
  const auto at = static_cast<std::size_t>(index);
  const std::string& path = paths_.at(at);
  const KnownImage& then = images_[at];
  const OpenFile file(path);
  const auto has_changed = [&] {
    return UsageError(join(path, ": has changed since the data set was opened (", then.file.bytes, " bytes then, ",
                           file.state().bytes, " now)"));
  };
  if (file.state() != then.file) throw has_changed();
  file.read(file.state().bytes, buffer.bytes);
  const ImageHeader header = image_header(buffer.bytes, path);
  if (header.height != then.size.height || header.width != then.size.width) throw has_changed();
  return then.size;
}

Picture ImageFiles::read(std::int64_t index, const ImageRegion& region, ImageBuffer& buffer) const {
  DecodedImage& image = buffer.decoded;
  decode_image(buffer.bytes, paths_.at(static_cast<std::size_t>(index)), jpeg_, image, region);
  return {image.pixels.data(), image.height, image.width, image.top, image.left, image.reduction};
}

void ImageFiles::identify(Xxh128& hash) const {
  const std::size_t folder = common_folder(paths_);
  for (std::size_t i = 0; i < paths_.size(); ++i) {
    hash.add_text(std::string_view(paths_[i]).substr(folder));
    hash.add_number(images_[i].file.bytes);
  }
}

std::vector<Inspection> look_at_files(const std::vector<std::string>& paths) {
  std::vector<Inspection> results(paths.size());
  parallel_for(static_cast<std::int64_t>(paths.size()), 16, [&](std::int64_t begin, std::int64_t end) {
    std::string bytes;
    for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i)
      results[i] = look_at_file(paths[i], bytes);
  });
  return results;
}

}  // namespace vergence
