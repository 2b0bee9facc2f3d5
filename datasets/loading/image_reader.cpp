// Computes the part of an image that its views need, and its reduction.
#include "datasets/loading/image_reader.h"

#include <algorithm>

#include "kernels/error.h"
#include "kernels/shared/pixel_ops.h"

namespace vergence {
namespace {

/// Samples [begin, end) along one side of an image.
struct Extent {
  std::int64_t begin = 0, end = 0;

  void cover(const Extent& other) {
    if (end == begin) *this = other;
    begin = std::min(begin, other.begin);
    end = std::max(end, other.end);
  }
};

/// The samples that a view's filter reads.
Extent looked_at(const Stretch& stretch, const ViewSettings& settings) {
  const auto size = static_cast<std::int32_t>(settings.size);
  const ResizeFilter filter(stretch, size, settings.interpolation);
  return {stretch.first + filter.first(0), stretch.first + filter.last(size - 1)};
}

}  // namespace

Picture ImageReader::read(std::int64_t index, const ImageSize& size, std::span<const ViewPlan> plans,
                          std::span<const WantedView> views) {
  Extent rows, columns;
  int reduction = 8;
  for (std::size_t v = 0; v < views.size(); ++v) {
    const ViewSettings& settings = *views[v].settings;
    const CropBox& crop = plans[v].crop;
    const Stretch down = view_stretch(settings, crop.top, crop.height, crop.width);
    const Stretch across = view_stretch(settings, crop.left, crop.width, crop.height);
    rows.cover(looked_at(down, settings));
    columns.cover(looked_at(across, settings));
    for (const Stretch& stretch : {down, across})
      reduction = std::min(reduction, max_reduced(data_.decode, stretch.length, settings.size));
  }
  const ImageRegion region{.top = rows.begin,
                           .left = columns.begin,
                           .height = std::min(rows.end, size.height) - rows.begin,
                           .width = std::min(columns.end, size.width) - columns.begin,
                           .reduction = reduction};
  return data_.source->read(index, region, buffer_);
}

void ImageReader::make_views(std::int64_t index, std::span<const WantedView> views) {
  const ImageSize size = data_.source ? data_.source->open(index, buffer_) : ImageSize{data_.height, data_.width};
  plans_.clear();
  for (const WantedView& view : views) {
    require(view.settings->channels == data_.channels, data_.name, ": a view of ", view.settings->channels,
            " channels, expected the images' ", data_.channels);
    plans_.push_back(draw_view(*view.settings, size.height, size.width, view.random));
  }
  const Picture picture =
      data_.source ? read(index, size, plans_, views) : Picture{data_.image(index), data_.height, data_.width};
  for (std::size_t v = 0; v < views.size(); ++v) apply_view(picture, *views[v].settings, plans_[v], views[v].out);
}

std::string ImageReader::complaint_of(std::int64_t index, std::span<const WantedView> views) {
  const bool skips = data_.source && data_.source->bad_images().policy() == BadImagePolicy::skip;
  try {
    make_views(index, views);
    return "";
  } catch (const UsageError& error) {
    if (!skips) throw;
    return error.what();
  }
}

std::optional<std::int64_t> ImageReader::try_views(std::int64_t index, std::span<const WantedView> views) {
  if (data_.source && data_.source->bad_images().contains(index)) return std::nullopt;
  const std::string complaint = complaint_of(index, views);
  if (complaint.empty()) return index;
  data_.source->bad_images().add(index, complaint);
  return std::nullopt;
}

std::int64_t ImageReader::make_views_or_next(std::int64_t index, std::span<const WantedView> views) {
  for (std::int64_t step = 0; step < data_.count; ++step) {
    const std::int64_t next = (index + step) % data_.count;
    // A bad image is tried again: of a damaged JPEG file, some regions can be read. So the result depends on the views
    // alone, not on what this process has read before.
    const std::string complaint = complaint_of(next, views);
    if (complaint.empty()) return next;
    data_.source->bad_images().name(next, complaint);
  }
  throw UsageError(join(data_.name, " ", data_.split, ": none of the ", data_.count, " images can be read"));
}

}  // namespace vergence
