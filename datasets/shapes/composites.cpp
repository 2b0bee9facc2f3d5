// composites: pairs shapes with photographs.
#include "datasets/shapes/composites.h"

#include "datasets/readers/cifar.h"
#include "kernels/error.h"
#include "kernels/random.h"

namespace vergence {
namespace {

constexpr std::int64_t composite_side = 32;  // CIFAR's

// The training split's statistics at the default settings; a test renders it and compares.
constexpr ChannelValues composites_mean{0.493f, 0.489f, 0.461f}, composites_std{0.268f, 0.267f, 0.280f};

Dataset about_composites(const CompositesSettings& settings, const std::string& split) {
  require_usage(settings.confounding >= 0 && settings.confounding <= 1, "composites: confounding is ",
                settings.confounding, ", expected 0 to 1");
  Dataset about;
  about.name = "composites";
  about.split = split;
  about.height = about.width = composite_side;
  about.classes = shape_classes;
  about.class_names.assign(shape_names().begin(), shape_names().end());
  about.mean = composites_mean;
  about.std = composites_std;
  return about;
}

/// The CIFAR-10 images, in whole files, that are the backgrounds of split number `split`.
struct BackgroundRange {
  const char* source_split;
  std::int64_t first, count;
};
BackgroundRange range_of(std::uint32_t split) {
  switch (split) {
    case 0:
      return {"train", 0, 30000};
    case 1:
      return {"train", 30000, 10000};
    case 2:
      return {"train", 40000, 10000};
    default:
      return {"test", 0, 10000};
  }
}

Dataset read_backgrounds(const std::string& directory, std::uint32_t split) {
  const BackgroundRange range = range_of(split);
  try {
    return read_cifar10_range(directory, range.source_split, range.first, range.count);
  } catch (const UsageError& error) {
    throw UsageError(join("composites: background ", error.what()));
  }
}

}  // namespace

CompositesSettings composites_settings(const DatasetSettings& settings) {
  return {settings.directory, settings.seed, settings.components.get<CompositesOptions>().confounding};
}

CompositesSplit::CompositesSplit(const CompositesSettings& settings, const std::string& split)
    : LayeredSplit(about_composites(settings, split), {20000, 5000, 5000, 5000}, settings.seed),
      shapes_{composite_side, settings.seed, settings.confounding},
      split_(split),
      first_(range_of(number()).first),
      backgrounds_(read_backgrounds(settings.directory, number())),
      chosen_(choose_backgrounds()) {}

std::vector<std::int64_t> CompositesSplit::choose_backgrounds() const {
  std::vector<std::vector<std::int64_t>> of_class(shape_classes);
  for (std::int64_t i = 0; i < backgrounds_.count; ++i)
    of_class[static_cast<std::size_t>(backgrounds_.label(i))].push_back(i);
  std::vector<std::vector<std::int64_t>> left = of_class;
  std::vector<std::int64_t> chosen;
  for (std::int64_t i = 0; i < count(); ++i) {
    const auto wanted = static_cast<std::size_t>(family(i));
    require_usage(!of_class[wanted].empty(), "composites: background cifar10: images ", first_, " to ",
                  first_ + backgrounds_.count - 1, " of its ", range_of(number()).source_split,
                  " split hold none of class ", wanted, ", expected some of each");
    std::vector<std::int64_t>& these = left[wanted];
    if (these.empty()) these = of_class[wanted];
    // View 2 of the random streams: 0 belongs to the samples, 1 to the re-pairing.
    Random random(seed(), Purpose::shapes, number(), static_cast<std::uint64_t>(i), 2);
    const std::size_t place = random.below(static_cast<std::uint32_t>(these.size()));
    chosen.push_back(these[place]);
    these[place] = these.back();
    these.pop_back();
  }
  return chosen;
}

ShapeSample CompositesSplit::sample(std::int64_t index) const {
  expect_image(index);
  return shapes_sample(shapes_, split_, index);
}

std::int64_t CompositesSplit::source_index(std::int64_t index) const {
  expect_image(index);
  return first_ + chosen_[static_cast<std::size_t>(index)];
}

ImageLayers CompositesSplit::layers(std::int64_t index) const {
  ImageLayers layers = shapes_layers(sample(index), composite_side, ShapeGround::none);
  const std::uint8_t* photograph = backgrounds_.image(chosen_[static_cast<std::size_t>(index)]);
  for (std::int64_t i = 0; i < backgrounds_.image_bytes(); ++i)
    layers.background.push_back(static_cast<float>(photograph[i]) / 255);
  return layers;
}

}  // namespace vergence
