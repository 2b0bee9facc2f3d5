#include "datasets/packed_images.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#define XXH_INLINE_ALL
#ifdef __SSE2__
#define XXH_VECTOR XXH_SSE2  // fast enough, and gcc 12 warns of what the AVX-512 one includes
#endif
#include <xxhash.h>

#include "datasets/image_folder.h"
#include "engine/shown.h"
#include "engine/stored_text.h"
#include "kernels/error.h"

namespace vergence {
namespace {

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    lines.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

/// A packed file as a source: some of its images.
class PackedSource final : public ImageSource {
 public:
  PackedSource(std::shared_ptr<const PackedImages> images, std::vector<std::int64_t> places, BadImagePolicy policy)
      : ImageSource(policy), images_(std::move(images)), places_(std::move(places)) {}

  std::int64_t count() const override { return static_cast<std::int64_t>(places_.size()); }
  ImageSize size(std::int64_t index) const override { return images_->size(place(index)); }
  ImageSize open(std::int64_t index, ImageBuffer&) const override { return size(index); }
  Picture read(std::int64_t index, const ImageRegion&, ImageBuffer&) const override {
    const ImageSize whole = size(index);
    return {.pixels = images_->pixels(place(index)), .height = whole.height, .width = whole.width};
  }

 private:
  std::int64_t place(std::int64_t index) const { return places_.at(static_cast<std::size_t>(index)); }

  std::shared_ptr<const PackedImages> images_;
  std::vector<std::int64_t> places_;
};

}  // namespace

std::int64_t checksum_of(const std::uint8_t* bytes, std::int64_t count) {
  const auto sum = static_cast<std::int64_t>(XXH3_64bits(bytes, static_cast<std::size_t>(count)));
  return sum == 0 ? 1 : sum;
}

template <class T>
T PackedImages::value(const TensorEntry& tensor, std::int64_t i) const {
  T result;
  std::memcpy(&result, static_cast<const char*>(tensor.data) + i * static_cast<std::int64_t>(sizeof(T)), sizeof(T));
  return result;
}

PackedImages::PackedImages(const std::string& path) : mapped_(std::make_shared<MappedFile>(path)), file_(mapped_) {
  const auto format = file_.metadata().find("format");
  require_usage(format != file_.metadata().end() && format->second == packed_format, path,
                ": not a file of packed images, expected one that pack has made");
  const TensorEntry* offsets = file_.find("offsets");
  require_usage(offsets && offsets->shape.size() == 1, path, ": packed images have a tensor offsets of one dimension");
  count_ = offsets->shape[0];
  offsets_ = &file_.at("offsets", "I64", {count_});
  checksums_ = &file_.at("checksums", "I64", {count_});
  sizes_ = &file_.at("sizes", "I32", {count_, 2});
  labels_ = &file_.at("labels", "I32", {count_});
  parts_ = &file_.at("parts", "U8", {count_});
  const TensorEntry* pixels = file_.find("pixels");
  require_usage(pixels && pixels->dtype == "U8", path, ": packed images have a tensor pixels of bytes");
  pixels_ = pixels;
  const TensorEntry* names = file_.find("names");
  require_usage(names && names->dtype == "U8", path, ": packed images have a tensor names of bytes");
  names_ = lines_of({static_cast<const char*>(names->data), static_cast<std::size_t>(names->bytes)});
  require_usage(static_cast<std::int64_t>(names_.size()) == count_, path, ": ", names_.size(), " names of ", count_,
                " images");
  for (const std::string_view name : lines_of(file_.meta("classes")))
    classes_.push_back(read_stored_text(name, path + ": metadata 'classes'"));
  const std::string& side = file_.meta("short_side");
  const auto [end, error] = std::from_chars(side.data(), side.data() + side.size(), short_side_);
  require_usage(error == std::errc() && end == side.data() + side.size() && short_side_ >= 0, path,
                ": metadata 'short_side' is '", shown(side), "', expected a number");
  std::int64_t expected = 0;
  for (std::int64_t i = 0; i < count_; ++i) {
    const auto height = value<std::int32_t>(*sizes_, 2 * i), width = value<std::int32_t>(*sizes_, 2 * i + 1);
    require_usage(height > 0 && width > 0 && height <= most_pixels / width, path, ": image ", i, " has ", height, " x ",
                  width, " pixels");
    require_usage(value<std::int64_t>(*offsets_, i) == expected, path, ": image ", i, " begins at byte ",
                  value<std::int64_t>(*offsets_, i), " of the pixels, expected ", expected);
    expected += std::int64_t{3} * height * width;
    require_usage(expected <= pixels_->bytes, path, ": image ", i, " ends behind the pixels");
    require_usage(label(i) >= -1 && label(i) < static_cast<std::int64_t>(classes_.size()), path, ": image ", i,
                  " has label ", label(i), " of ", classes_.size(), " classes");
    require_usage(value<std::uint8_t>(*parts_, i) <= 2, path, ": image ", i, " is of part ",
                  int{value<std::uint8_t>(*parts_, i)}, ", expected 0 to 2");
  }
  require_usage(expected == pixels_->bytes, path, ": ", pixels_->bytes - expected, " bytes behind the last image");
}

ImageSize PackedImages::size(std::int64_t i) const {
  return {value<std::int32_t>(*sizes_, 2 * i), value<std::int32_t>(*sizes_, 2 * i + 1)};
}

std::int32_t PackedImages::label(std::int64_t i) const { return value<std::int32_t>(*labels_, i); }

Part PackedImages::part(std::int64_t i) const { return static_cast<Part>(value<std::uint8_t>(*parts_, i)); }

std::string PackedImages::name(std::int64_t i) const { return std::string(names_.at(static_cast<std::size_t>(i))); }

bool PackedImages::is_good(std::int64_t i) const { return value<std::int64_t>(*checksums_, i) != 0; }

const std::uint8_t* PackedImages::pixels(std::int64_t i) const {
  mapped_->check_unchanged();
  const std::uint8_t* bytes = static_cast<const std::uint8_t*>(pixels_->data) + value<std::int64_t>(*offsets_, i);
  const ImageSize wanted = size(i);
  require_usage(checksum_of(bytes, 3 * wanted.height * wanted.width) == value<std::int64_t>(*checksums_, i),
                file_.path(), ": image ", i, " (", shown(name(i)), ") is damaged: its bytes do not fit its checksum");
  return bytes;
}

Dataset open_packed_images(const DatasetSettings& settings, const std::string& split) {
  require_usage(settings.classes.empty(), settings.name, ": --classes: ", settings.directory,
                " has its classes already; give them to pack");
  const auto images = std::make_shared<PackedImages>(settings.directory);
  std::array<std::vector<std::int64_t>, 3> of_part;
  for (std::int64_t i = 0; i < images->count(); ++i) {
    if (images->is_good(i)) of_part[static_cast<std::size_t>(images->part(i))].push_back(i);
  }
  const SplitRule rule = split_rule(split, !of_part[static_cast<std::size_t>(Part::val)].empty());
  const std::vector<std::int64_t>& part = of_part[static_cast<std::size_t>(rule.part)];
  std::vector<std::int64_t> places;
  for (const std::int64_t i : split_places(rule.keep, static_cast<std::int64_t>(part.size()), settings.limit))
    places.push_back(part[static_cast<std::size_t>(i)]);
  require_usage(!places.empty(), settings.name, ": ", settings.directory, " has no images of the split '", split, "'");

  Dataset data;
  data.name = settings.name;
  data.split = split;
  data.count = static_cast<std::int64_t>(places.size());
  data.classes = static_cast<std::int64_t>(images->classes().size());
  if (data.classes > 0)
    for (const std::int64_t i : places) data.labels.push_back(images->label(i));
  set_imagenet_statistics(data);
  data.source = std::make_shared<PackedSource>(images, std::move(places), settings.bad_images);
  return data;
}

}  // namespace vergence
