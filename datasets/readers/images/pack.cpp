// All sizes are known before the first image is decoded, so each image has a fixed place in the file, threads write in
// any order, and an unfinished file's checksums show which images it has.
#include "datasets/readers/images/pack.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

#include "datasets/readers/images/files.h"
#include "datasets/readers/images/folder.h"
#include "datasets/readers/images/packed.h"
#include "engine/io/files.h"
#include "engine/io/partial_file.h"
#include "engine/io/require_call.h"
#include "engine/text/stored_text.h"
#include "engine/text/words.h"
#include "kernels/cpu/planes.h"
#include "kernels/error.h"
#include "kernels/parallel.h"

namespace vergence {
namespace {

/// The tables of a packed file.
struct Tables {
  std::vector<std::int64_t> offsets, checksums;
  std::vector<std::int32_t> sizes, labels;
  std::vector<std::uint8_t> parts;
  std::string names;
  Metadata metadata;

  std::int64_t count() const { return static_cast<std::int64_t>(offsets.size()); }
  ImageSize size(std::int64_t i) const {
    return {sizes[static_cast<std::size_t>(2 * i)], sizes[static_cast<std::size_t>(2 * i + 1)]};
  }
  std::int64_t bytes_of(std::int64_t i) const { return 3 * size(i).height * size(i).width; }
  std::int64_t pixel_bytes() const { return offsets.empty() ? 0 : offsets.back() + bytes_of(count() - 1); }

  /// In the order of the file; `pixels` has no data here.
  std::vector<TensorEntry> entries() const {
    const auto entry = [](const char* name, const char* type, std::vector<std::int64_t> shape, const auto& values) {
      return TensorEntry{name, type, std::move(shape), values.data(),
                         static_cast<std::int64_t>(values.size() * sizeof(values[0]))};
    };
    return {entry("offsets", "I64", {count()}, offsets),
            entry("checksums", "I64", {count()}, checksums),
            entry("sizes", "I32", {count(), 2}, sizes),
            entry("labels", "I32", {count()}, labels),
            entry("parts", "U8", {count()}, parts),
            entry("names", "U8", {static_cast<std::int64_t>(names.size())}, names),
            {"pixels", "U8", {pixel_bytes()}, nullptr, pixel_bytes()}};
  }
};

/// torchvision's Resize: the short side becomes `side`, the long one is rounded down. Never enlarges.
ImageSize shrunk(const ImageSize& size, std::int64_t side) {
  const std::int64_t shorter = std::min(size.height, size.width);
  if (side == 0 || shorter <= side) return size;
  return {side * size.height / shorter, side * size.width / shorter};
}

struct PackPlan {
  std::vector<std::string> paths;
  std::vector<KnownImage> images;
  Tables tables;
  std::int64_t bad = 0;
};

PackPlan plan_of(const DatasetSettings& settings, std::int64_t short_side, const PackNotice& notice) {
  const FolderParts parts = list_parts(settings);
  if (notice)
    for (const std::string& line : parts.notices) notice("notice: " + line);
  const std::vector<Inspection> looks = look_at_files(parts.paths);
  PackPlan plan;
  std::string source;
  std::int64_t offset = 0;
  for (std::size_t i = 0; i < looks.size(); ++i) {
    require_usage(looks[i].complaint.empty() || settings.bad_images == BadImagePolicy::skip, looks[i].complaint,
                  " (--bad-images skip leaves such files out)");
    if (!looks[i].complaint.empty()) {
      ++plan.bad;
      if (notice) notice("skipped " + looks[i].complaint);
      continue;
    }
    require_usage(parts.paths[i].find('\n') == std::string::npos, parts.paths[i],
                  ": a file's name with a line break cannot be packed");
    plan.paths.push_back(parts.paths[i]);
    const KnownImage& image = plan.images.emplace_back(looks[i].image);
    const ImageSize size = shrunk(image.size, short_side);
    Tables& tables = plan.tables;
    tables.offsets.push_back(offset);
    tables.sizes.push_back(static_cast<std::int32_t>(size.height));
    tables.sizes.push_back(static_cast<std::int32_t>(size.width));
    tables.labels.push_back(parts.labels[i]);
    tables.parts.push_back(static_cast<std::uint8_t>(parts.parts[i]));
    tables.names += std::filesystem::path(parts.paths[i]).lexically_relative(settings.directory).string() + "\n";
    offset += 3 * size.height * size.width;
    source += join(image.file.bytes, ' ', image.file.seconds, ' ', image.file.nanoseconds, '\n');
  }
  require_usage(!plan.paths.empty(), settings.name, ": ", settings.directory, " has no image that can be read");
  plan.tables.checksums.assign(plan.paths.size(), 0);
  std::string classes;
  for (const std::string& name : parts.classes) classes += stored_text(name) + "\n";
  plan.tables.metadata = {{"format", packed_format},
                          {"short_side", std::to_string(short_side)},
                          {"decode", settings.decode == DecodeRule::exact ? "exact" : "fast"},
                          {"jpeg", settings.jpeg == JpegLibrary::turbo && has_jpeg_turbo() ? "turbo" : "stb"},
                          {"classes", classes},
                          {packed_finished, "0"},
                          {"source", std::to_string(checksum_of(reinterpret_cast<const std::uint8_t*>(source.data()),
                                                                static_cast<std::int64_t>(source.size())))}};
  return plan;
}

class Packer {
 public:
  Packer(PackPlan& plan, const DatasetSettings& settings, const std::string& path)
      : plan_(plan),
        tables_(plan.tables),
        settings_(settings),
        path_(path),
        file_(path + ".partial"),
        files_(plan.paths, plan.images, settings.jpeg, settings.bad_images) {
    const std::vector<TensorEntry> entries = tables_.entries();
    head_ = safetensors_header(entries, tables_.metadata);
    Metadata finished = tables_.metadata;
    finished[packed_finished] = "1";
    const std::string finished_head = safetensors_header(entries, finished);
    mark_at_ = std::mismatch(head_.begin(), head_.end(), finished_head.begin()).first - head_.begin();
    checksums_at_ = static_cast<std::int64_t>(head_.size()) + entries[0].bytes;
    for (const TensorEntry& entry : entries)
      if (entry.data) head_.append(static_cast<const char*>(entry.data), static_cast<std::size_t>(entry.bytes));
    pixels_at_ = static_cast<std::int64_t>(head_.size());
    if (!take_over()) begin();
  }

  PackResult run(const PackProgress& progress, const PackNotice& notice) {
    PackResult result{.images = tables_.count(), .bad = plan_.bad, .done_before = 0, .bytes = 0};
    // Long enough to keep threads busy, short enough that a kill loses little.
    constexpr std::int64_t portion = 512;
    for (std::int64_t from = 0; from < tables_.count(); from += portion) {
      const std::int64_t to = std::min(from + portion, tables_.count());
      std::atomic<std::int64_t> found{0}, bad{0};
      try {
        parallel_for(to - from, 1, [&](std::int64_t begin, std::int64_t end) {
          ImageBuffer buffer;
          std::vector<std::uint8_t> pixels;
          for (std::int64_t i = from + begin; i < from + end; ++i) {
            if (is_there(i, pixels))
              ++found;
            else if (!pack(i, buffer, pixels))
              ++bad;
          }
        });
      } catch (...) {
        save();
        throw;
      }
      if (found < to - from) save();
      result.done_before += found;
      result.bad += bad;
      result.images -= bad;
      for (const std::string& message : files_.bad_images().take_messages())
        if (notice) notice("skipped " + message);
      if (progress) progress(to, tables_.count());
    }
    file_.sync();
    mark("1");
    require_call(::rename((path_ + ".partial").c_str(), path_.c_str()) == 0, path_, "cannot be given its name");
    result.bytes = pixels_at_ + tables_.pixel_bytes();
    return result;
  }

 private:
  /// Continues an unfinished file of the same images; false: there is none.
  bool take_over() {
    const std::int64_t bytes = static_cast<std::int64_t>(tables_.checksums.size() * sizeof(std::int64_t));
    if (file_.size() != pixels_at_ + tables_.pixel_bytes()) return false;
    std::string head(head_.size(), 0);
    if (!file_.read(head.data(), pixels_at_, 0)) return false;
    std::memcpy(tables_.checksums.data(), head.data() + checksums_at_, static_cast<std::size_t>(bytes));
    std::memset(head.data() + checksums_at_, 0, static_cast<std::size_t>(bytes));
    const char was = std::exchange(head[static_cast<std::size_t>(mark_at_)], '0');
    if (head == head_) {
      if (was != '0') mark("0");
      return true;
    }
    std::fill(tables_.checksums.begin(), tables_.checksums.end(), 0);
    return false;
  }

  void begin() {
    file_.resize(0);
    file_.resize(pixels_at_ + tables_.pixel_bytes());
    file_.write(head_.data(), pixels_at_, 0);
  }

  /// Writes whether the file is finished.
  void mark(const char* value) {
    file_.write(value, 1, mark_at_);
    file_.sync();
  }

  /// Writes checksums only after their images are on disk.
  void save() {
    file_.sync();
    file_.write(tables_.checksums.data(), static_cast<std::int64_t>(tables_.checksums.size() * sizeof(std::int64_t)),
                checksums_at_);
    file_.sync();
  }

  bool is_there(std::int64_t i, std::vector<std::uint8_t>& pixels) const {
    const auto at = static_cast<std::size_t>(i);
    if (tables_.checksums[at] == 0) return false;
    pixels.resize(static_cast<std::size_t>(tables_.bytes_of(i)));
    return file_.read(pixels.data(), tables_.bytes_of(i), pixels_at_ + tables_.offsets[at]) &&
           checksum_of(pixels.data(), tables_.bytes_of(i)) == tables_.checksums[at];
  }

  /// False: the image is unreadable.
  bool pack(std::int64_t i, ImageBuffer& buffer, std::vector<std::uint8_t>& pixels) {
    const auto at = static_cast<std::size_t>(i);
    tables_.checksums[at] = 0;
    const ImageSize whole = files_.size(i), size = tables_.size(i);
    const auto bytes = static_cast<std::size_t>(tables_.bytes_of(i));
    pixels.resize(bytes);
    try {
      files_.open(i, buffer);
      const auto reduced = [&](std::int64_t length, std::int64_t made) {
        return max_reduced(settings_.decode, static_cast<double>(length), made);
      };
      const int reduction = std::min(reduced(whole.height, size.height), reduced(whole.width, size.width));
      const Picture picture = files_.read(i, {.reduction = reduction}, buffer);
      resize_bytes(picture, whole.height, whole.width, size.height, size.width, pixels.data());
    } catch (const UsageError& error) {
      if (settings_.bad_images == BadImagePolicy::stop) throw;
      files_.bad_images().add(i, error.what());
      return false;
    }
    file_.write(pixels.data(), static_cast<std::int64_t>(bytes), pixels_at_ + tables_.offsets[at]);
    tables_.checksums[at] = checksum_of(pixels.data(), static_cast<std::int64_t>(bytes));
    return true;
  }

  PackPlan& plan_;
  Tables& tables_;
  const DatasetSettings& settings_;
  std::string path_;
  PartialFile file_;
  ImageFiles files_;
  std::string head_;  // of the file, up to the pixels; checksums all 0
  std::int64_t mark_at_ = 0, checksums_at_ = 0, pixels_at_ = 0;
};

}  // namespace

PackResult pack_images(const DatasetSettings& settings, const std::string& path, std::int64_t short_side,
                       const PackProgress& progress, const PackNotice& notice) {
  const std::string file = regular_destination(path);
  require_usage(!file_exists(file), path, " is there already; remove it first");
  regular_destination(file + ".partial");
  PackPlan plan = plan_of(settings, short_side, notice);
  return Packer(plan, settings, file).run(progress, notice);
}

std::string verify_packed_images(const std::string& path) {
  const PackedImages images(path);
  std::atomic<std::int64_t> none{0};
  parallel_for(images.count(), 16, [&](std::int64_t begin, std::int64_t end) {
    std::string buffer;
    for (std::int64_t i = begin; i < end; ++i)
      if (images.is_good(i))
        images.pixels(i, buffer);
      else
        ++none;
  });
  if (none == 0) return "every image has its checksum";
  return join(images.count() - none, " of ", counted(images.count(), "image"), " have their checksum; ", none,
              " could not be read when the file was made");
}

}  // namespace vergence
