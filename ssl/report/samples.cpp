#include "ssl/report/samples.h"

#include <algorithm>
#include <filesystem>

#include "datasets/dataset.h"
#include "datasets/decoders/image_file.h"
#include "datasets/loading/image_reader.h"
#include "datasets/registry.h"
#include "engine/io/files.h"
#include "engine/io/safetensors.h"
#include "kernels/error.h"
#include "ssl/evaluation/features/mask.h"
#include "ssl/evaluation/features/matrix.h"
#include "ssl/evaluation/neighbors/by_cosine.h"
#include "ssl/evaluation/subject.h"
#include "ssl/report/html.h"

namespace vergence {
namespace {

constexpr std::int64_t viewed = 8, queries = 6, neighbors = 8;
constexpr std::int64_t view_side = 64, thumbnail_side = 48;         // of large images, reduced to at most that
constexpr std::size_t most_picture_bytes = std::size_t{256} << 10;  // of a PNG file that is taken as it is

/// One image with this side at most.
Raster thumbnail(const float* values, const ViewSettings& view, std::int64_t side) {
  const std::vector<float> image(values, values + view.size * view.size * view.channels);
  const Tensor pixels = from_floats(cpu_backend(), {1, view.size, view.size, view.channels}, image);
  return reduced(picture_grid({pixels, 1}, view.mean, view.std, {.gap = 0, .smallest = 0}), side);
}

/// Rasters of one size, row by row, with white between them.
Raster tiled(const std::vector<Raster>& tiles, std::int64_t columns) {
  constexpr std::int64_t gap = 2;
  const std::int64_t wide = tiles[0].width, high = tiles[0].height;
  const std::int64_t rows = static_cast<std::int64_t>(tiles.size()) / columns;
  Raster out{columns * (wide + gap) - gap, rows * (high + gap) - gap, {}};
  out.bytes.assign(static_cast<std::size_t>(out.width * out.height * 3), 255);
  for (std::int64_t tile = 0; tile < rows * columns; ++tile)
    for (std::int64_t y = 0; y < high; ++y) {
      const auto from = tiles[static_cast<std::size_t>(tile)].bytes.begin() + y * wide * 3;
      const std::int64_t top = tile / columns * (high + gap) + y, left = tile % columns * (wide + gap);
      std::copy(from, from + wide * 3, out.bytes.begin() + (top * out.width + left) * 3);
    }
  return out;
}

std::vector<std::string> class_names_of(const Dataset& data) {
  std::vector<std::string> names;
  for (std::int64_t label = 0; label < data.classes; ++label) names.push_back(class_name(data.class_names, label));
  return names;
}

/// Pictures and labels of images, as the encoder sees them.
class Gallery {
 public:
  Gallery(const Dataset& data, const Subject& subject)
      : data_(data), names_(class_names_of(data)), view_(plain_view(data, subject.extract)), reader_(data) {}

  NeighborImage image(std::int64_t index) {
    std::vector<float> values(static_cast<std::size_t>(view_.size * view_.size * view_.channels));
    const std::vector<WantedView> wanted{{&view_, Random(0, Purpose::view), values.data()}};
    NeighborImage image;
    image.index = reader_.make_views_or_next(index, wanted);
    image.picture = thumbnail(values.data(), view_, thumbnail_side);
    const std::int32_t label = data_.label(image.index);
    if (label >= 0) image.label = names_[static_cast<std::size_t>(label)];
    return image;
  }

 private:
  const Dataset& data_;
  std::vector<std::string> names_;
  ViewSettings view_;
  ImageReader reader_;
};

struct Split {
  Dataset data;
  Features features;
};

Split open_split(Subject& subject, const std::string& name) {
  Dataset data = open_dataset(subject.data, name);
  Features features = extract_features(subject.encode(), data, subject.extract, *subject.backend);
  // Pictures are found by the place of their features, which skipped images would shift.
  require_usage(features.rows() == data.count, data.name, " ", name, ": ", data.count - features.rows(),
                " images cannot be read");
  return {std::move(data), std::move(features)};
}

std::vector<NeighborRow> neighbor_rows(const Split& test, const Split& bank, const Subject& subject) {
  const std::int64_t count = std::min(queries, test.data.count), k = std::min(neighbors, bank.data.count);
  std::vector<std::int64_t> chosen;
  for (std::int64_t i = 0; i < count; ++i) chosen.push_back(i * test.data.count / count);
  const Features query = rows_at(test.features, chosen);
  const std::vector<std::vector<Neighbor>> found = nearest_by_cosine(bank.features, query, k, *subject.backend);
  Gallery of_test(test.data, subject), of_bank(bank.data, subject);
  std::vector<NeighborRow> rows;
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    NeighborRow row{of_test.image(chosen[i]), {}};
    for (const Neighbor& neighbor : found[i]) {
      NeighborImage image = of_bank.image(neighbor.row);
      image.similarity = cosine_of(neighbor);
      image.right = !image.label.empty() && image.label == row.query.label;
      row.neighbors.push_back(std::move(image));
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace

ViewSamples view_samples(const Options& options) {
  DatasetSettings settings = dataset_settings(options);
  settings.limit = viewed;
  const Dataset data = open_dataset(settings, "train");
  std::vector<ViewSettings> views = view_settings(options, data);
  views.insert(views.begin(), ViewSettings::plain(views[0].size, data.evaluation_resize(views[0].size), views[0].mean,
                                                  views[0].std, data.channels));
  const std::int64_t images = std::min(viewed, data.count);
  std::vector<Raster> tiles(static_cast<std::size_t>(images) * views.size());
  ImageReader reader(data);
  for (std::int64_t i = 0; i < images; ++i) {
    std::vector<std::vector<float>> values;
    std::vector<WantedView> wanted;
    for (std::size_t row = 0; row < views.size(); ++row) {
      const ViewSettings& view = views[row];
      values.emplace_back(static_cast<std::size_t>(view.size * view.size * view.channels));
      const Random random(static_cast<std::uint64_t>(options.seed), Purpose::view, 0, static_cast<std::uint64_t>(i),
                          static_cast<std::uint32_t>(row == 0 ? 0 : row - 1));
      wanted.push_back({&view, random, values.back().data()});
    }
    reader.make_views_or_next(i, wanted);  // all of one image, also where it is not the i-th
    for (std::size_t row = 0; row < views.size(); ++row)
      tiles[row * static_cast<std::size_t>(images) + static_cast<std::size_t>(i)] =
          thumbnail(values[row].data(), views[row], view_side);
  }
  return {tiled(tiles, images), images};
}

FeatureSamples feature_samples(const std::string& run, const SampleSettings& settings) {
  SubjectOptions options;
  options.run = run;
  options.limit = settings.images;
  settings.given.apply_to(options.judged.values);
  Subject subject = open_subject(options);
  FeatureSamples samples;
  if (!has_test_split(subject.data)) {
    subject.options.split = "val";
    samples.notice =
        join(subject.data.name, " has no split test: shows images of val, ", entry_of(subject.data.name).val, ".");
  }
  const Split test = open_split(subject, subject.options.split);
  const Split bank = open_split(subject, probe_split(subject.options.split));
  samples.data = test.data.name;
  samples.split = test.data.split;
  samples.bank_split = bank.data.split;
  samples.bank_images = bank.data.count;
  samples.classes = class_names_of(test.data);
  samples.rows = neighbor_rows(test, bank, subject);
  samples.test = test.features;
  return samples;
}

PictureFile latest_picture(const std::string& run) {
  namespace fs = std::filesystem;
  const std::string folder = run + "/pictures";
  std::vector<std::string> names;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error))
    if (entry.path().extension() == ".png") names.push_back(entry.path().filename().string());
  require_usage(!names.empty(), "its folder has no pictures, which pretrain saves when it judges by kNN");
  const auto is_earlier = [](const std::string& a, const std::string& b) {  // epoch_9999.png, epoch_10000.png
    return a.size() != b.size() ? a.size() < b.size() : a < b;
  };
  const std::string name = *std::max_element(names.begin(), names.end(), is_earlier), path = folder + "/" + name;
  std::string png = read_file(path);
  if (png.size() <= most_picture_bytes) return {name, png};
  DecodedImage image;
  decode_image(png, path, JpegLibrary::stb, image);
  const Raster whole{image.width, image.height, std::move(image.pixels)};
  for (std::int64_t side = std::max(whole.width, whole.height); png.size() > most_picture_bytes; side /= 2)
    png = png_of(reduced(whole, side)).bytes;
  return {name, png};
}

std::vector<double> score_values(const std::string& run) {
  const std::string path = run + "/distributions.safetensors";
  require_usage(file_exists(path),
                "its folder has no distributions.safetensors, which pretrain writes with its figures");
  const SafetensorsFile file(path);
  const TensorEntry* entry = file.find("scores");
  require_usage(entry != nullptr, "with its options, DSA does not score images");
  const auto* scores = static_cast<const float*>(file.at("scores", "F32", {entry->size()}).data);
  return {scores, scores + entry->size()};
}

std::vector<double> mask_values(const std::string& run) {
  const std::string path = run + "/mask.safetensors";
  require_usage(file_exists(path), "its folder has no mask.safetensors, which pretrain writes with each checkpoint");
  const SafetensorsFile file(path);
  const TensorEntry* entry = file.find("mask");
  require_usage(entry != nullptr && entry->shape.size() == 1, path, ": expected a tensor mask [dim]");
  const std::vector<float> mask = read_feature_mask(path, entry->shape[0]).factors;
  return {mask.begin(), mask.end()};
}

}  // namespace vergence
