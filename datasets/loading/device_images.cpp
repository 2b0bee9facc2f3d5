#include "datasets/loading/device_images.h"

#include <algorithm>
#include <limits>

#include "kernels/parallel.h"

namespace vergence {
namespace {

// Decoded images in the host's memory during the upload.
constexpr std::int64_t together = 256, together_bytes = std::int64_t{1} << 30;
constexpr std::int64_t max_device_side = 32768;  // pixels, as check_view_batch expects

std::int64_t bytes_of(const ImageSize& size) { return 3 * size.height * size.width; }

/// The locations of a source's images, one after another.
std::vector<ImagePlace> places_of(const ImageSource& source) {
  std::vector<ImagePlace> places;
  std::int64_t offset = 0;
  for (std::int64_t i = 0; i < source.count(); ++i) {
    const ImageSize size = source.size(i);
    places.push_back({offset, static_cast<std::int32_t>(size.height), static_cast<std::int32_t>(size.width)});
    offset += bytes_of(size);
  }
  return places;
}

/// The first image that is too large for a device's views; empty: none is.
std::string too_large(const Dataset& dataset) {
  const auto text = [&](std::int64_t index, const ImageSize& size) {
    if (std::max(size.height, size.width) <= max_device_side) return std::string();
    return join(dataset.name, ": ", dataset.image_name(index), " has ", size.height, " x ", size.width,
                " pixels, and a device takes sides up to ", max_device_side);
  };
  if (!dataset.source) return text(0, {dataset.height, dataset.width});
  std::string found;
  for (std::int64_t i = 0; i < dataset.count && found.empty(); ++i) found = text(i, dataset.source->size(i));
  return found;
}

/// Decodes an image to `pixels`. Returns why it is unreadable; empty: it is not.
std::string decode(const ImageSource& source, std::int64_t index, ImageBuffer& buffer, std::uint8_t* pixels) {
  try {
    const ImageSize size = source.open(index, buffer);
    const Picture picture = source.read(index, {.height = size.height, .width = size.width}, buffer);
    std::copy_n(picture.pixels, bytes_of(size), pixels);
    return {};
  } catch (const UsageError& error) {
    return error.what();
  }
}

/// Whether the image was readable. Throws the complaint unless bad images are skipped.
bool is_good(const ImageSource& source, std::int64_t index, const std::string& complaint) {
  if (complaint.empty()) return true;
  if (source.bad_images().policy() == BadImagePolicy::stop) throw UsageError(complaint);
  source.bad_images().add(index, complaint);
  return false;
}

/// For each image, itself or, if it is bad, the next good one, wrapping around.
std::vector<std::int64_t> next_good(const std::vector<char>& good) {
  const auto count = static_cast<std::int64_t>(good.size());
  std::vector<std::int64_t> standing(good.size());
  std::int64_t next = -1;
  for (std::int64_t i = 2 * count - 1; i >= 0; --i) {
    const auto at = static_cast<std::size_t>(i % count);
    if (good[at]) next = i % count;
    standing[at] = next;
  }
  return standing;
}

}  // namespace

std::int64_t image_bytes(const Dataset& dataset) {
  if (!dataset.source) return dataset.count * dataset.image_bytes();
  std::int64_t bytes = 0;
  for (std::int64_t i = 0; i < dataset.count; ++i) bytes += bytes_of(dataset.source->size(i));
  return bytes;
}

std::int64_t end_of_upload(const ImageSource& source, std::int64_t from) {
  const std::int64_t most = std::min(from + together, source.count());
  std::int64_t to = from + 1;
  for (std::int64_t bytes = bytes_of(source.size(from)); to < most; ++to)
    if ((bytes += bytes_of(source.size(to))) > together_bytes) break;
  return to;
}

std::string why_not_on(const Backend& backend, const Dataset& dataset, std::int64_t reserve) {
  const std::string images = join("the ", dataset.count, " images of ", dataset.name, " ", dataset.split);
  if (dataset.channels != 3) return join(images, " have other than 3 channels: ", dataset.channels);
  if (dataset.count > std::numeric_limits<std::int32_t>::max()) return images + " are 2^31 or more";
  if (std::string large = too_large(dataset); !large.empty()) return large;
  const std::int64_t bytes = image_bytes(dataset), room = backend.free_memory();
  if (bytes <= room - reserve) return {};
  return join(images, " have ", bytes >> 20, " MiB, and ", backend.name(), " has ", room >> 20,
              " MiB free, of which training needs ", reserve >> 20);
}

DeviceImages::DeviceImages(const Dataset& dataset, Backend& backend, std::int64_t reserve)
    : count_(dataset.count), height_(dataset.height), width_(dataset.width), backend_(backend) {
  if (const std::string why = why_not_on(backend, dataset, reserve); !why.empty()) throw NotOnDevice(why);
  try {
    pixels_ = empty(backend, {image_bytes(dataset)}, DType::u8);
  } catch (const Error& error) {
    throw NotOnDevice(error.what());
  }
  if (dataset.source)
    upload_source(dataset);
  else
    upload_memory(dataset);
}

void DeviceImages::describe(ViewBatch& batch) const {
  batch.height = height_;
  batch.width = width_;
  if (!places_) return;
  batch.places = static_cast<const ImagePlace*>(places_.data->data());
  batch.images = count_;
}

void DeviceImages::upload_memory(const Dataset& dataset) {
  const auto bytes = static_cast<std::int64_t>(dataset.pixels.size());
  require(bytes == pixels_.size(), dataset.name, " ", dataset.split, ": ", bytes, " bytes of pixels, expected ",
          pixels_.size());
  backend_.upload(pixels_.data->data(), dataset.pixels.data(), bytes);
}

void DeviceImages::upload_source(const Dataset& dataset) {
  const ImageSource& source = *dataset.source;
  const std::vector<ImagePlace> places = places_of(source);
  std::vector<char> good(places.size(), 0);
  std::vector<std::uint8_t> decoded;  // the images of one upload, as they lie on the device
  std::vector<std::string> complaints(static_cast<std::size_t>(std::min(together, count_)));
  const auto bytes_at = [&](std::int64_t i) { return bytes_of(source.size(i)); };
  for (std::int64_t from = 0, to = 0; from < count_; from = to) {
    to = end_of_upload(source, from);
    const std::int64_t start = places[static_cast<std::size_t>(from)].offset;
    const auto in_upload = [&](std::int64_t i) {
      return decoded.data() + (places[static_cast<std::size_t>(i)].offset - start);
    };
    const auto bytes =
        static_cast<std::size_t>(places[static_cast<std::size_t>(to - 1)].offset + bytes_at(to - 1) - start);
    if (decoded.size() < bytes) {
      decoded = {};  // freed before the larger one is there
      decoded = std::vector<std::uint8_t>(bytes);
    }
    parallel_for(to - from, 1, [&](std::int64_t begin, std::int64_t end) {
      ImageBuffer buffer;
      for (std::int64_t i = from + begin; i < from + end; ++i)
        complaints[static_cast<std::size_t>(i - from)] = decode(source, i, buffer, in_upload(i));
    });
    for (std::int64_t i = from; i < to; ++i) {
      const auto at = static_cast<std::size_t>(i);
      good[at] = is_good(source, i, complaints[static_cast<std::size_t>(i - from)]);
      if (good[at])
        backend_.upload(static_cast<char*>(pixels_.data->data()) + places[at].offset, in_upload(i), bytes_at(i));
    }
  }
  standing_ = next_good(good);
  require_usage(count_ > 0 && standing_[0] >= 0, dataset.name, " ", dataset.split, ": none of the ", count_,
                " images can be read");
  std::vector<ImagePlace> standing;
  for (const std::int64_t i : standing_) {
    standing.push_back(places[static_cast<std::size_t>(i)]);
    height_ = std::max<std::int64_t>(height_, standing.back().height);
    width_ = std::max<std::int64_t>(width_, standing.back().width);
  }
  places_ = from_bytes(backend_, {count_ * static_cast<std::int64_t>(sizeof(ImagePlace))},
                       reinterpret_cast<const std::uint8_t*>(standing.data()));
}

}  // namespace vergence
