#include "datasets/readers/images/packed.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "datasets/readers/images/folder.h"
#include "datasets/readers/images/list.h"
#include "engine/io/xxh.h"
#include "engine/text/printable.h"
#include "engine/text/stored_text.h"
#include "engine/text/words.h"
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

/// A tensor's elements.
template <class T>
std::vector<T> values_of(const TensorEntry& tensor) {
  std::vector<T> values(static_cast<std::size_t>(tensor.bytes) / sizeof(T));
  if (!values.empty()) std::memcpy(values.data(), tensor.data, values.size() * sizeof(T));
  return values;
}

/// Whether a file may have the header of a packed one: its length, which may exceed that of a cut file, and a '{'.
bool begins_like_packed(std::string_view bytes) {
  constexpr std::uint64_t most = 100'000'000;  // of a safetensors file
  std::uint64_t length = most + 1;
  if (bytes.size() > sizeof(length)) std::memcpy(&length, bytes.data(), sizeof(length));
  return length <= most && bytes[sizeof(length)] == '{';
}

/// The classes of a packed file that a data set takes.
struct TakenClasses {
  std::vector<std::string> names;
  std::vector<std::int32_t> labels;  // of each class of the file; -1: its images are left out
  std::vector<std::string> notices;

  bool has(std::int32_t label) const { return label < 0 || labels.at(static_cast<std::size_t>(label)) >= 0; }
};

/// All of the file's; of a class list or imagenet100 theirs, as of a folder. Throws UsageError if the file lacks one.
TakenClasses taken_classes(const DatasetSettings& settings, const std::vector<std::string>& classes) {
  TakenClasses taken;
  std::vector<std::string> wanted = wanted_classes(settings);
  if (settings.classes.empty())  // none, or imagenet100's
    for (const std::string& name : wanted)
      require_usage(std::find(classes.begin(), classes.end(), name) != classes.end(), settings.name, ": ",
                    settings.directory, " has no class '", name,
                    "', expected all 100 (build/pack DIR FILE --dataset imagenet100), or --dataset image_folder");
  else
    wanted = packed_classes(settings.directory, classes, wanted, taken.notices);
  const std::set<std::string> chosen(wanted.begin(), wanted.end());
  for (const std::string& name : classes) {
    const bool is_chosen = wanted.empty() || chosen.contains(name);
    taken.labels.push_back(is_chosen ? static_cast<std::int32_t>(taken.names.size()) : -1);
    if (is_chosen) taken.names.push_back(name);
  }
  return taken;
}

/// Whether an image is in the data set: readable, and of a class that is taken.
bool is_taken(const PackedImages& images, std::int64_t i, const TakenClasses& taken) {
  return images.is_good(i) && taken.has(images.label(i));
}

/// Some images of a packed file as a source.
class PackedSource final : public ImageSource {
 public:
  PackedSource(std::shared_ptr<const PackedImages> images, std::vector<std::int64_t> places, BadImagePolicy policy)
      : ImageSource(policy), images_(std::move(images)), places_(std::move(places)) {}

  std::int64_t count() const override { return static_cast<std::int64_t>(places_.size()); }
  ImageSize size(std::int64_t index) const override { return images_->size(place(index)); }
  std::string name(std::int64_t index) const override { return images_->name(place(index)); }
  ImageSize open(std::int64_t index, ImageBuffer&) const override { return size(index); }
  Picture read(std::int64_t index, const ImageRegion&, ImageBuffer& buffer) const override {
    const ImageSize whole = size(index);
    return {.pixels = images_->pixels(place(index), buffer.bytes), .height = whole.height, .width = whole.width};
  }
  void identify(Xxh128& hash) const override {
    for (const std::int64_t place : places_) {
      hash.add_text(images_->name(place));
      hash.add_number(images_->checksum(place));
    }
  }

 private:
  std::int64_t place(std::int64_t index) const { return places_.at(static_cast<std::size_t>(index)); }

  std::shared_ptr<const PackedImages> images_;
  std::vector<std::int64_t> places_;
};

}  // namespace

std::int64_t checksum_of(const std::uint8_t* bytes, std::int64_t count) {
  const auto sum = static_cast<std::int64_t>(xxh3(bytes, static_cast<std::size_t>(count)));
  return sum == 0 ? 1 : sum;
}

PackedImages::PackedImages(const std::string& path) : mapped_(std::make_shared<MappedFile>(path)) {
  require_usage(begins_like_packed(mapped_->bytes()), path, ": is no folder and no file that pack has made");
  const SafetensorsFile file(mapped_);
  const auto format = file.metadata().find("format");
  require_usage(format != file.metadata().end() && format->second == packed_format, path,
                ": not a file of packed images, expected one that pack has made");
  const auto finished = file.metadata().find(packed_finished);
  require_usage(finished == file.metadata().end() || finished->second == "1", path,
                ": packing has not finished; the same pack command goes on with it");
  const TensorEntry* offsets = file.find("offsets");
  require_usage(offsets && offsets->shape.size() == 1, path, ": packed images have a tensor offsets of one dimension");
  const std::int64_t count = offsets->shape[0];
  offsets_ = values_of<std::int64_t>(file.at("offsets", "I64", {count}));
  checksums_ = values_of<std::int64_t>(file.at("checksums", "I64", {count}));
  labels_ = values_of<std::int32_t>(file.at("labels", "I32", {count}));
  parts_ = values_of<std::uint8_t>(file.at("parts", "U8", {count}));
  const auto sides = values_of<std::int32_t>(file.at("sizes", "I32", {count, 2}));
  for (std::size_t i = 0; i < sides.size(); i += 2) sizes_.push_back({sides[i], sides[i + 1]});
  const TensorEntry* pixels = file.find("pixels");
  require_usage(pixels && pixels->dtype == "U8", path, ": packed images have a tensor pixels of bytes");
  first_pixel_ = static_cast<std::size_t>(static_cast<const char*>(pixels->data) - mapped_->bytes().data());
  const TensorEntry* names = file.find("names");
  require_usage(names && names->dtype == "U8", path, ": packed images have a tensor names of bytes");
  for (const std::string_view name :
       lines_of({static_cast<const char*>(names->data), static_cast<std::size_t>(names->bytes)}))
    names_.emplace_back(name);
  require_usage(static_cast<std::int64_t>(names_.size()) == count, path, ": ", names_.size(), " names of ", count,
                " images");
  for (const std::string_view name : lines_of(file.meta("classes")))
    classes_.push_back(read_stored_text(name, path + ": metadata 'classes'"));
  const std::string& side = file.meta("short_side");
  short_side_ = number_of<std::int64_t>(side).value_or(-1);
  require_usage(short_side_ >= 0, path, ": metadata 'short_side' is '", shortened(side), "', expected a number");
  check_tables(pixels->bytes);
}

void PackedImages::check_tables(std::int64_t pixel_bytes) const {
  const std::string& path = mapped_->path();
  std::int64_t expected = 0;
  for (std::int64_t i = 0; i < count(); ++i) {
    const auto [height, width] = size(i);
    require_usage(height > 0 && width > 0 && height <= max_pixels / width, path, ": image ", i, " has ", height, " x ",
                  width, " pixels");
    const std::int64_t offset = offsets_[static_cast<std::size_t>(i)];
    require_usage(offset == expected, path, ": image ", i, " begins at byte ", offset, " of the pixels, expected ",
                  expected);
    expected += std::int64_t{3} * height * width;
    require_usage(expected <= pixel_bytes, path, ": image ", i, " ends behind the pixels");
    require_usage(label(i) >= -1 && label(i) < static_cast<std::int64_t>(classes_.size()), path, ": image ", i,
                  " has label ", label(i), " of ", classes_.size(), " classes");
    const int part = parts_[static_cast<std::size_t>(i)];
    require_usage(part <= 2, path, ": image ", i, " is of part ", part, ", expected 0 to 2");
  }
  require_usage(expected == pixel_bytes, path, ": ", pixel_bytes - expected, " bytes behind the last image");
}

ImageSize PackedImages::size(std::int64_t i) const { return sizes_.at(static_cast<std::size_t>(i)); }

std::int32_t PackedImages::label(std::int64_t i) const { return labels_.at(static_cast<std::size_t>(i)); }

Part PackedImages::part(std::int64_t i) const { return static_cast<Part>(parts_.at(static_cast<std::size_t>(i))); }

std::string PackedImages::name(std::int64_t i) const { return names_.at(static_cast<std::size_t>(i)); }

std::int64_t PackedImages::checksum(std::int64_t i) const { return checksums_.at(static_cast<std::size_t>(i)); }

const std::uint8_t* PackedImages::pixels(std::int64_t i, std::string& buffer) const {
  const auto at = static_cast<std::size_t>(i);
  const std::int64_t bytes = 3 * size(i).height * size(i).width;
  buffer.resize(static_cast<std::size_t>(bytes));
  mapped_->read(first_pixel_ + static_cast<std::size_t>(offsets_[at]), buffer.data(), buffer.size());
  const auto* pixels = reinterpret_cast<const std::uint8_t*>(buffer.data());
  require_usage(checksum_of(pixels, bytes) == checksums_[at], mapped_->path(), ": image ", i, " (", shortened(name(i)),
                ") is damaged: its bytes do not fit its checksum");
  return pixels;
}

Dataset open_packed_images(const DatasetSettings& settings, const std::string& split) {
  const auto images = std::make_shared<PackedImages>(settings.directory);
  TakenClasses taken = taken_classes(settings, images->classes());
  std::array<std::vector<std::int64_t>, 3> of_part;
  for (std::int64_t i = 0; i < images->count(); ++i)
    if (is_taken(*images, i, taken)) of_part[static_cast<std::size_t>(images->part(i))].push_back(i);
  const bool has_val = !of_part[static_cast<std::size_t>(Part::val)].empty();
  const SplitRule rule = split_rule(split, has_val);
  const std::vector<std::int64_t>& part = of_part[static_cast<std::size_t>(rule.part)];
  std::vector<std::int64_t> places;
  for (const std::int64_t i : split_places(rule.keep, static_cast<std::int64_t>(part.size()), settings.limit))
    places.push_back(part[static_cast<std::size_t>(i)]);
  const bool has_tenths = split == "test" && split_rule("val", has_val).keep == SplitRule::Keep::every_tenth;
  require_enough_for_tenths(settings, rule, static_cast<std::int64_t>(part.size()));
  require_usage(!places.empty(), settings.name, ": ", settings.directory, " has no images of the split '", split, "'",
                has_tenths ? "; --split val takes every tenth image of the others" : "");

  Dataset data;
  data.name = settings.name;
  data.split = split;
  data.count = static_cast<std::int64_t>(places.size());
  data.classes = static_cast<std::int64_t>(taken.names.size());
  if (data.classes > 0)
    for (const std::int64_t i : places) {
      const std::int32_t label = images->label(i);
      data.labels.push_back(label < 0 ? label : taken.labels[static_cast<std::size_t>(label)]);
    }
  data.class_names = std::move(taken.names);
  data.notices = std::move(taken.notices);
  set_imagenet_statistics(data);
  data.source = std::make_shared<PackedSource>(images, std::move(places), settings.bad_images);
  return data;
}

bool has_packed_test_images(const DatasetSettings& settings) {
  const PackedImages images(settings.directory);
  const TakenClasses taken = taken_classes(settings, images.classes());
  for (std::int64_t i = 0; i < images.count(); ++i)
    if (images.part(i) == Part::test && is_taken(images, i, taken)) return true;
  return false;
}

}  // namespace vergence
