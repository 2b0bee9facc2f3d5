#include "ssl/training/tensorboard/events.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <protozero/pbf_writer.hpp>

namespace vergence {
namespace {

constexpr std::size_t most_buckets = 50;

// The numbers of the fields, as the .proto files have them.
namespace event_field {
enum : protozero::pbf_tag_type { wall_time = 1, step = 2, file_version = 3, summary = 5, session_log = 7 };
}
namespace summary_field {
enum : protozero::pbf_tag_type { value = 1 };
}
namespace value_field {
enum : protozero::pbf_tag_type { tag = 1, simple_value = 2, image = 4, histogram = 5, metadata = 9 };
}
namespace histogram_field {
enum : protozero::pbf_tag_type { min = 1, max = 2, count = 3, sum = 4, sum_squares = 5, limits = 6, counts = 7 };
}
namespace image_field {
enum : protozero::pbf_tag_type { height = 1, width = 2, colorspace = 3, encoded = 4 };
}
namespace metadata_field {
enum : protozero::pbf_tag_type { plugin_data = 1, plugin_name = 1, content = 2 };
}
namespace session_field {
enum : protozero::pbf_tag_type { status = 1 };
constexpr std::int32_t start = 1;
}  // namespace session_field

constexpr std::int32_t rgb = 3;

struct Buckets {
  std::vector<double> limits, counts;  // the right ends, of which the last is the largest value
};

/// `values` sorted.
Buckets buckets_of(const std::vector<double>& values) {
  const double low = values.front(), high = values.back();
  const std::size_t count = low < high ? std::min(most_buckets, values.size()) : 1;
  Buckets buckets;
  auto from = values.begin();
  for (std::size_t i = 1; i <= count; ++i) {
    const double limit = i == count ? high : low + (high - low) * static_cast<double>(i) / static_cast<double>(count);
    const auto to = std::upper_bound(from, values.end(), limit);
    buckets.limits.push_back(limit);
    buckets.counts.push_back(static_cast<double>(to - from));
    from = to;
  }
  return buckets;
}

std::string event_begin(double time) {
  std::string event;
  protozero::pbf_writer(event).add_double(event_field::wall_time, time);
  return event;
}

}  // namespace

void Summary::scalar(std::string_view tag, double value) {
  protozero::pbf_writer summary(bytes_);
  protozero::pbf_writer entry(summary, summary_field::value);
  entry.add_string(value_field::tag, tag.data(), tag.size());
  entry.add_float(value_field::simple_value, static_cast<float>(value));
}

void Summary::histogram(std::string_view tag, const std::vector<float>& values) {
  std::vector<double> finite;
  std::copy_if(values.begin(), values.end(), std::back_inserter(finite), [](float x) { return std::isfinite(x); });
  if (finite.empty()) return;
  std::sort(finite.begin(), finite.end());
  const Buckets buckets = buckets_of(finite);
  protozero::pbf_writer summary(bytes_);
  protozero::pbf_writer entry(summary, summary_field::value);
  entry.add_string(value_field::tag, tag.data(), tag.size());
  protozero::pbf_writer histogram(entry, value_field::histogram);
  histogram.add_double(histogram_field::min, finite.front());
  histogram.add_double(histogram_field::max, finite.back());
  histogram.add_double(histogram_field::count, static_cast<double>(finite.size()));
  histogram.add_double(histogram_field::sum, std::reduce(finite.begin(), finite.end()));
  histogram.add_double(histogram_field::sum_squares,
                       std::inner_product(finite.begin(), finite.end(), finite.begin(), 0.0));
  histogram.add_packed_double(histogram_field::limits, buckets.limits.begin(), buckets.limits.end());
  histogram.add_packed_double(histogram_field::counts, buckets.counts.begin(), buckets.counts.end());
}

void Summary::picture(std::string_view tag, const Png& png) {
  protozero::pbf_writer summary(bytes_);
  protozero::pbf_writer entry(summary, summary_field::value);
  entry.add_string(value_field::tag, tag.data(), tag.size());
  protozero::pbf_writer image(entry, value_field::image);
  image.add_int32(image_field::height, static_cast<std::int32_t>(png.height));
  image.add_int32(image_field::width, static_cast<std::int32_t>(png.width));
  image.add_int32(image_field::colorspace, rgb);
  image.add_bytes(image_field::encoded, png.bytes);
}

void Summary::plugin_data(std::string_view tag, std::string_view plugin, std::string_view content) {
  protozero::pbf_writer summary(bytes_);
  protozero::pbf_writer entry(summary, summary_field::value);
  entry.add_string(value_field::tag, tag.data(), tag.size());
  protozero::pbf_writer metadata(entry, value_field::metadata);
  protozero::pbf_writer data(metadata, metadata_field::plugin_data);
  data.add_string(metadata_field::plugin_name, plugin.data(), plugin.size());
  data.add_bytes(metadata_field::content, content.data(), content.size());
}

std::string version_event(double time) {
  std::string event = event_begin(time);
  protozero::pbf_writer(event).add_string(event_field::file_version, "brain.Event:2");
  return event;
}

std::string start_event(double time, std::int64_t step) {
  std::string event = event_begin(time);
  protozero::pbf_writer writer(event);
  writer.add_int64(event_field::step, step);
  protozero::pbf_writer(writer, event_field::session_log).add_enum(session_field::status, session_field::start);
  return event;
}

std::string summary_event(double time, std::int64_t step, const Summary& summary) {
  std::string event = event_begin(time);
  protozero::pbf_writer writer(event);
  writer.add_int64(event_field::step, step);
  writer.add_message(event_field::summary, summary.bytes());
  return event;
}

}  // namespace vergence
