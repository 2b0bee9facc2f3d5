// Evaluations that train something on frozen features, with stub encoders whose answers are known.
#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <map>
#include <set>

#include "datasets/shapes/confounded_shapes.h"
#include "engine/ops/ops.h"
#include "kernels/error.h"
#include "kernels/random.h"
#include "ssl/evaluation/evaluation.h"
#include "ssl/evaluation/probes/dense.h"
#include "ssl/evaluation/probes/reconstruction.h"
#include "ssl/evaluation/robustness/foreground.h"
#include "ssl/evaluation/robustness/nuisance.h"
#include "tests/support/complaints.h"

namespace vergence {
namespace {

/// Images as the stubs below see them: bytes over 255.
ExtractSettings bytes_of(std::int64_t size) {
  ExtractSettings extract;
  extract.image_size = size;
  extract.std = {1, 1, 1};
  return extract;
}

/// An encoder that calls `f(pixels, features)` for every image of size x size x 3 values.
Encode stub(std::int64_t dim, const std::function<void(const float* pixels, std::int64_t size, float* features)>& f) {
  return [=](const Tensor& images) {
    const std::int64_t count = images.shape[0], size = images.shape[1];
    const std::vector<float> values = images.floats();
    std::vector<float> features(static_cast<std::size_t>(count * dim));
    for (std::int64_t i = 0; i < count; ++i) f(values.data() + i * size * size * 3, size, features.data() + i * dim);
    return from_floats(cpu_backend(), {count, dim}, features);
  };
}

/// What `size` x `size` pixels look like to one who sees 8 x 8 cells: the mean of g over each.
template <class G>
void see_cells(const float* pixels, std::int64_t size, float* features, G g) {
  std::fill(features, features + 64, 0.0f);
  for (std::int64_t y = 0; y < size; ++y)
    for (std::int64_t x = 0; x < size; ++x)
      features[y * 8 / size * 8 + x * 8 / size] +=
          g(pixels + (y * size + x) * 3) * 64 / static_cast<float>(size * size);
}

// ---- foreground

/// The judges whose answers are known: both kNNs, and the probe that standardizes its features.
std::vector<ForegroundMatrix::Rows> judges(const ForegroundMatrix& matrix) {
  std::vector<ForegroundMatrix::Rows> rows{matrix.knn_cosine_200, matrix.knn_euclidean_5};
  if (quick_probe().protocol == ProbeProtocol::lbfgs) rows.push_back(matrix.linear_probe);
  return rows;
}

TEST(Foreground, AnEyeForCornersSeesBackgroundsAlone) {
  const Encode corners = stub(12, [](const float* pixels, std::int64_t size, float* features) {
    const std::int64_t last = size - 1, places[] = {0, last, last * size, last * size + last};
    for (std::int64_t place : places) features = std::copy_n(pixels + place * 3, 3, features);
  });
  const ShapesSettings shapes{.image_size = 16, .seed = 2};
  const ForegroundMatrix m = foreground_matrix(corners, ShapesSplit(shapes, "probe"), ShapesSplit(shapes, "test"), 500,
                                               bytes_of(16), quick_probe(), cpu_backend());
  const std::vector<std::int32_t> labels = render_shapes(shapes, "test", 500).labels;
  std::set<std::int64_t> shares;  // hits of one who always says the same
  for (std::int32_t c = 0; c < shape_classes; ++c) shares.insert(std::count(labels.begin(), labels.end(), c));
  for (const ForegroundMatrix::Rows& rows : judges(m)) {
    // Without the shape the corners are the same; where the texture is gone, there is nothing left to tell.
    EXPECT_EQ(rows[0][0], rows[0][2]);
    EXPECT_TRUE(shares.count(std::lround(5 * rows[0][1]))) << rows[0][1];
    for (std::size_t form : {0u, 2u, 3u}) EXPECT_EQ(rows[1][form], rows[1][1]);
    for (const auto& row : rows)
      for (double top1 : row) EXPECT_NEAR(top1, 10, 6);
  }
}

TEST(Foreground, AMemoryForBackgroundsIsMisledByOthers) {
  // It knows every background by the corners, which no shape reaches, and names the class of the image it belongs to.
  const ShapesSettings shapes{.image_size = 16};
  const auto corners = [](const auto& byte_at) {
    std::vector<long> bytes;
    for (const std::int64_t pixel : {0, 15, 240, 255})
      for (std::int64_t c = 0; c < 3; ++c) bytes.push_back(byte_at(3 * pixel + c));
    return bytes;
  };
  std::map<std::vector<long>, std::int32_t> known;
  for (const char* split : {"probe", "test"}) {
    const Dataset backgrounds = render_shapes(shapes, split, 0, ImageVersion::background_only);
    for (std::int64_t i = 0; i < backgrounds.count; ++i)
      known[corners([&](std::int64_t at) { return backgrounds.image(i)[at]; })] = backgrounds.label(i);
  }
  ASSERT_EQ(known.size(), 4000u) << "two backgrounds have the same corners";
  const Encode memory = stub(shape_classes, [&](const float* pixels, std::int64_t, float* features) {
    std::fill_n(features, shape_classes, 0.0f);
    const auto found = known.find(corners([&](std::int64_t at) { return std::lround(255 * pixels[at]); }));
    if (found != known.end()) features[found->second] = 1;
  });
  const ForegroundMatrix m = foreground_matrix(memory, ShapesSplit(shapes, "probe"), ShapesSplit(shapes, "test"), 500,
                                               bytes_of(16), quick_probe(), cpu_backend());
  for (const ForegroundMatrix::Rows& rows : judges(m)) {
    EXPECT_DOUBLE_EQ(rows[0][0], 100);  // its own background
    EXPECT_DOUBLE_EQ(rows[0][2], 100);
    EXPECT_NEAR(rows[0][3], 10, 6);  // that of another image
  }
}

TEST(Foreground, AnEyeForTheMeanColorSeesShapesAlone) {
  const Encode silhouettes = stub(64, [](const float* pixels, std::int64_t size, float* features) {
    see_cells(pixels, size, features, [](const float* rgb) {
      return static_cast<float>(std::abs(rgb[0] - 0.497) + std::abs(rgb[1] - 0.497) + std::abs(rgb[2] - 0.497) > 0.02);
    });
  });
  const ShapesSettings shapes{.image_size = 16};
  const ForegroundMatrix m = foreground_matrix(silhouettes, ShapesSplit(shapes, "probe"), ShapesSplit(shapes, "test"),
                                               1000, bytes_of(16), quick_probe(), cpu_backend());
  for (const ForegroundMatrix::Rows& rows : judges(m)) {
    EXPECT_GT(rows[1][1], 35);         // silhouettes on a plain ground
    EXPECT_LT(rows[1][0], 20);         // textures hide them
    EXPECT_NEAR(rows[1][2], 10, 5.5);  // and without shapes there is nothing to see
    EXPECT_LT(rows[0][1], rows[1][1]);
  }
}

TEST(Foreground, PredictionsFollowBackgroundsAsFarAsTheEncoderDoes) {
  // It knows full images by heart and says their class. Of every third re-paired image it says the new background's
  // family, of every other third the class after the image's own, of the rest the class.
  const ShapesSettings shapes{.image_size = 16};
  const ShapesSplit probe(shapes, "probe"), test(shapes, "test");
  constexpr std::int64_t images = 300;
  std::map<std::vector<std::uint8_t>, std::int32_t> said;
  for (const ShapesSplit* split : {&probe, &test})
    for (std::int64_t i = 0; i < images; ++i) said[split->image(i)] = split->label(i);
  std::int64_t kept = 0, changed = 0, followed = 0;
  for (std::int64_t i = 0; i < images; ++i) {
    const std::int32_t label = test.label(i), family = test.family(test.partner(i));
    const std::int32_t word = i % 3 == 0 ? family : i % 3 == 1 ? (label + 1) % shape_classes : label;
    said[test.image(i, ImageVersion::repaired)] = word;
    kept += word == label, changed += word != label, followed += word != label && word == family;
  }
  ASSERT_EQ(said.size(), 3u * images);
  const Encode memory = stub(shape_classes, [&](const float* pixels, std::int64_t size, float* features) {
    std::vector<std::uint8_t> bytes;
    for (std::int64_t i = 0; i < size * size * 3; ++i)
      bytes.push_back(static_cast<std::uint8_t>(std::lround(255 * pixels[i])));
    std::fill_n(features, shape_classes, 0.0f);
    if (const auto found = said.find(bytes); found != said.end()) features[found->second] = 1;
  });
  const BackgroundSwap swap =
      foreground_matrix(memory, probe, test, images, bytes_of(16), quick_probe(), cpu_backend()).swap;
  EXPECT_DOUBLE_EQ(swap.full, 100);
  EXPECT_DOUBLE_EQ(swap.repaired, static_cast<double>(kept) / 3);
  EXPECT_DOUBLE_EQ(swap.drop(), swap.full - swap.repaired);
  EXPECT_DOUBLE_EQ(swap.changed, static_cast<double>(changed) / 3);
  EXPECT_DOUBLE_EQ(swap.followed, 100 * static_cast<double>(followed) / static_cast<double>(changed));
  EXPECT_GT(followed, images / 4);
  EXPECT_LT(followed, changed / 2 + images / 10);
}

// ---- nuisances

Dataset small_images(std::int64_t count, std::int64_t size, std::vector<std::uint8_t> pixels) {
  Dataset data;
  data.name = "small";
  data.split = "test";
  data.count = count;
  data.height = data.width = size;
  data.classes = 2;
  data.labels.resize(static_cast<std::size_t>(count));
  data.pixels = std::move(pixels);
  return data;
}

/// `count` copies of a 2 x 2 image.
Dataset copies(std::int64_t count, const std::vector<std::uint8_t>& image) {
  std::vector<std::uint8_t> pixels;
  for (std::int64_t i = 0; i < count; ++i) pixels.insert(pixels.end(), image.begin(), image.end());
  return small_images(count, 2, pixels);
}

TEST(Nuisance, TurnsShiftsAndCropsAsTheLabelSays) {
  const std::vector<std::uint8_t> a{255, 0, 0}, b{0, 255, 0}, c{9, 9, 9}, d{0, 0, 0};
  const auto square = [](const auto& ul, const auto& ur, const auto& ll, const auto& lr) {
    std::vector<std::uint8_t> image;
    for (const auto* pixel : {&ul, &ur, &ll, &lr}) image.insert(image.end(), pixel->begin(), pixel->end());
    return image;
  };
  const Dataset images = copies(100, square(a, b, c, d));
  const std::vector<std::uint8_t> turned[] = {square(a, b, c, d), square(b, d, a, c), square(d, c, b, a),
                                              square(c, a, d, b)};
  const std::vector<std::uint8_t> half_red{128, 255, 0}, cyan{0, 255, 255}, violet{128, 0, 255};
  const std::vector<std::uint8_t> azure{0, 128, 255}, magenta{255, 0, 255}, amber{255, 128, 0};
  const std::vector<std::uint8_t> colored[] = {square(a, b, c, d), square(half_red, azure, c, d),
                                               square(cyan, magenta, c, d), square(violet, amber, c, d)};
  const std::vector<std::uint8_t> quarters[] = {a, b, c, d};
  for (Nuisance nuisance : nuisances) {
    const Dataset changed = with_nuisance(images, nuisance, 1);
    EXPECT_EQ(changed.classes, 4);
    EXPECT_EQ(changed.height, nuisance == Nuisance::crop ? 1 : 2);
    std::set<std::int32_t> seen;
    for (std::int64_t i = 0; i < 100; ++i) {
      const std::int32_t label = changed.label(i);
      seen.insert(label);
      const auto& expected = nuisance == Nuisance::rotation ? turned[label]
                             : nuisance == Nuisance::hue    ? colored[label]
                                                            : quarters[label];
      for (std::size_t p = 0; p < expected.size(); ++p)
        ASSERT_NEAR(changed.image(i)[p], expected[p], 1) << name_of(nuisance) << " " << label << " byte " << p;
    }
    EXPECT_EQ(seen.size(), 4u);
    EXPECT_EQ(changed.labels, with_nuisance(images, nuisance, 1).labels);
    EXPECT_NE(changed.labels, with_nuisance(images, nuisance, 2).labels);
  }
  Dataset other = images, oblong = images;
  other.split = "probe";
  EXPECT_NE(with_nuisance(other, Nuisance::crop, 1).labels, with_nuisance(images, Nuisance::crop, 1).labels);
  oblong.width = 1;
  EXPECT_THROW(with_nuisance(oblong, Nuisance::rotation, 1), UsageError);
}

TEST(Nuisance, ProbesFindWhatTheFeaturesTellAndNothingElse) {
  // Light in the upper left: corners tell how the image was turned, the mean of all pixels does not.
  const Dataset train = copies(300, {250, 250, 250, 10, 10, 10, 10, 10, 10, 10, 10, 10});
  Dataset test = train;
  test.split = "probe";
  const Encode pixels = stub(12, [](const float* in, std::int64_t, float* out) { std::copy_n(in, 12, out); });
  const Encode brightness = stub(1, [](const float* in, std::int64_t, float* out) {
    double total = 0;
    for (int i = 0; i < 12; ++i) total += in[i];
    *out = static_cast<float>(total);  // sums in other orders differ in the last bits of a double alone
  });
  const auto rotation = [&](const Encode& encode) {
    return nuisance_accuracy(encode, train, test, Nuisance::rotation, bytes_of(2), quick_probe(), cpu_backend());
  };
  EXPECT_DOUBLE_EQ(rotation(pixels), 100);
  EXPECT_NEAR(rotation(brightness), 25, 8);
}

// ---- dense

TEST(Dense, BilinearWeightsArePytorchs) {
  const auto expect = [](std::int64_t from, std::int64_t to, const std::vector<double>& expected) {
    const std::vector<double> weights = bilinear_weights(from, to);
    ASSERT_EQ(weights.size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(weights[i], expected[i], 1e-15) << i;
  };
  expect(2, 4, {1, 0, 0.75, 0.25, 0.25, 0.75, 0, 1});
  expect(1, 3, {1, 1, 1});
  expect(3, 3, {1, 0, 0, 0, 1, 0, 0, 0, 1});
  expect(4, 2, {0.5, 0.5, 0, 0, 0, 0, 0.5, 0.5});
  expect(2, 3, {1, 0, 0.5, 0.5, 0, 1});
}

TEST(Dense, IntersectionOverUnion) {
  Confusion confusion(3);
  confusion.add({0, 1, 1}, {0, 0, 1});
  confusion.add({1}, {1});
  EXPECT_DOUBLE_EQ(confusion.intersection_over_union(0), 50);
  EXPECT_DOUBLE_EQ(confusion.intersection_over_union(1), 200.0 / 3);
  EXPECT_TRUE(std::isnan(confusion.intersection_over_union(2)));
  EXPECT_DOUBLE_EQ(confusion.mean_intersection_over_union(), (50 + 200.0 / 3) / 2);
  EXPECT_THROW(confusion.add({3}, {0}), Error);
}

TEST(Dense, EnlargesLogitsAndPredictsEveryPixel) {
  // A 2 x 2 map of one channel: the left cells say background, the right ones foreground, the lower ones louder.
  LabeledMaps maps{1, 2, 2, 1, 4, 2, {-1, 1, -3, 3}, std::vector<std::int32_t>(16)};
  const LinearClassifier classifier{1, 2, {0, 1}, {0, 0}};
  const std::vector<std::int32_t> predicted = predict_pixels(classifier, maps, cpu_backend());
  EXPECT_EQ(predicted, (std::vector<std::int32_t>{0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1}));
  // A bias moves the border where the map is quiet (upper rows: -1, -0.5, 0.5, 1), not where it is loud.
  const LinearClassifier shifted{1, 2, {0, 1}, {0.75f, 0}};
  EXPECT_EQ(predict_pixels(shifted, maps, cpu_backend()),
            (std::vector<std::int32_t>{0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 1, 1, 0, 0, 1, 1}));
}

TEST(Dense, LearnsTheMinimumOfTheCrossEntropy) {
  // One cell per image, so all its pixels share one logit: logistic regression, whose gradient must vanish at the end.
  Random random(8, Purpose::test);
  LabeledMaps maps{60, 1, 1, 2, 2, 2, {}, {}};
  for (int i = 0; i < 60; ++i) {
    const float x = random.uniform(-1, 1), y = random.uniform(-1, 1);
    maps.values.insert(maps.values.end(), {3 + x, 50 * y});
    for (int p = 0; p < 4; ++p) maps.labels.push_back(random.uniform() < 1 / (1 + std::exp(-2 * x + y)));
  }
  const LinearClassifier fit =
      train_dense(maps, {.epochs = 400, .batch = 60, .lr = 0.1, .final_lr = 1e-3}, cpu_backend());
  double slope[3] = {0, 0, 0};
  for (std::size_t i = 0; i < 60; ++i) {
    const double x = maps.values[2 * i], y = maps.values[2 * i + 1];
    const double logit = (fit.weight[2] - fit.weight[0]) * (x - fit.center[0]) +
                         (fit.weight[3] - fit.weight[1]) * (y - fit.center[1]) + fit.bias[1] - fit.bias[0];
    for (std::size_t p = 0; p < 4; ++p) {
      const double error = (1 / (1 + std::exp(-logit)) - maps.labels[4 * i + p]) / 240;
      slope[0] += error, slope[1] += error * (x - 3), slope[2] += error * y / 50;
    }
  }
  for (double value : slope) EXPECT_NEAR(value, 0, 2e-4);
}

TEST(Dense, MapsMeetTheirOwnMasks) {
  // An encoder that knows the masks by heart, because images come in the order of the data set: 40 of one split, then
  // 30 of the other.
  const ShapesSettings shapes{.image_size = 16};
  const ShapesSplit probe(shapes, "probe"), test(shapes, "test");
  std::vector<std::uint8_t> known = probe.masks(40);
  const std::vector<std::uint8_t> more = test.masks(30);
  known.insert(known.end(), more.begin(), more.end());
  Dataset all_images = probe.render(ImageVersion::full, 40);
  const Dataset others = test.render(ImageVersion::full, 30);
  all_images.pixels.insert(all_images.pixels.end(), others.pixels.begin(), others.pixels.end());
  std::int64_t seen = 0;
  const Encode encode_map = [&](const Tensor& images) {
    const std::vector<float> pixels = images.floats();
    for (std::size_t i = 0; i < pixels.size(); ++i)
      EXPECT_NEAR(255 * pixels[i], all_images.pixels[static_cast<std::size_t>(seen * 768) + i], 0.01);
    std::vector<float> map;
    for (std::int64_t i = seen * 256; i < (seen + images.shape[0]) * 256; ++i)
      map.push_back(known[static_cast<std::size_t>(i)] >= 128 ? 0.9f : 0.1f);
    seen += images.shape[0];
    return from_floats(cpu_backend(), {images.shape[0], 16, 16, 1}, map);
  };
  ExtractSettings extract = bytes_of(16);
  extract.batch = 13;
  const Confusion all = dense_probe(encode_map, probe, test, 40, 30, extract, {.epochs = 60}, cpu_backend());
  EXPECT_EQ(seen, 70);
  EXPECT_DOUBLE_EQ(all.mean_intersection_over_union(), 100);

  const Encode blind = [](const Tensor& images) { return zeros(cpu_backend(), {images.shape[0], 4, 4, 3}); };
  const Confusion none = dense_probe(blind, probe, test, 40, 30, extract, {}, cpu_backend());
  const double share = 100.0 *
                       static_cast<double>(std::count_if(more.begin(), more.end(), [](int m) { return m < 128; })) /
                       static_cast<double>(more.size());
  EXPECT_DOUBLE_EQ(none.intersection_over_union(0), share);  // background everywhere
  EXPECT_DOUBLE_EQ(none.intersection_over_union(1), 0);

  for (const std::int64_t resize : {std::int64_t{0}, std::int64_t{16}}) {  // the whole image too
    extract.resize = resize;
    EXPECT_NO_THROW(dense_probe(blind, probe, test, 4, 3, extract, {.epochs = 1}, cpu_backend()));
  }
  extract.resize = 20;
  expect_contains(message_of([&] { dense_probe(blind, probe, test, 4, 3, extract, {}, cpu_backend()); }),
                  {"resized to 20 and cut to 16", "--eval-resize 0"});
}

// ---- reconstruction

TEST(Reconstruction, DeterminationGolden) {
  std::vector<float> values, predicted;
  for (int y = 0; y < 4; ++y)
    for (int x = 0; x < 4; ++x) {
      values.push_back(std::sin(0.5f * static_cast<float>(4 * y + x)));
      predicted.push_back(0.9f * values.back() + 0.05f * static_cast<float>(x - y));
    }
  Determination whole, parts;
  whole.add(values, predicted);
  EXPECT_NEAR(whole.mean_squared_error(), 0.0077629, 1e-7);
  EXPECT_NEAR(whole.r_squared(), 0.983331, 1e-6);
  parts.add({values.begin(), values.begin() + 5}, {predicted.begin(), predicted.begin() + 5});
  parts.add({values.begin() + 5, values.end()}, {predicted.begin() + 5, predicted.end()});
  EXPECT_NEAR(parts.r_squared(), whole.r_squared(), 1e-12);
}

TEST(Reconstruction, EqualValuesHaveNoVariance) {
  for (const float value : {0.1f, 1e8f}) {
    Determination constant, apart;
    for (int i = 0; i < 100; ++i) constant.add({value, value, value}, {0, 0, 0});
    EXPECT_EQ(constant.variance(), 0) << value;
    apart.add({value, value + 16}, {0, 0});  // 16: exact at 1e8
    EXPECT_NEAR(apart.variance(), 64, 1e-4) << value;
  }
}

TEST(Reconstruction, ADecoderFindsWhatTheFeaturesHold) {
  const ShapesSettings shapes{.image_size = 16};
  const Dataset train = render_shapes(shapes, "probe", 300), test = render_shapes(shapes, "test", 150);
  ExtractSettings extract = bytes_of(16);
  extract.mean = test.mean, extract.std = test.std;
  const auto r_squared = [&](const Encode& encode) {
    const Features before = extract_features(encode, train, extract, cpu_backend());
    const Features after = extract_features(encode, test, extract, cpu_backend());
    return reconstruction_of(before, train, after, test, extract, {.width = 4, .epochs = 20, .lr = 5e-3}, cpu_backend())
        .r_squared();
  };
  const double brightness = r_squared(stub(64, [](const float* pixels, std::int64_t size, float* features) {
    see_cells(pixels, size, features, [](const float* rgb) { return rgb[0] + rgb[1] + rgb[2]; });
  }));
  const double nothing =
      r_squared(stub(64, [](const float*, std::int64_t, float* out) { std::fill_n(out, 64, 1.0f); }));
  EXPECT_GT(brightness, 0.25);
  EXPECT_NEAR(nothing, 0, 0.1);
}

// ---- the list of metrics

TEST(Metrics, AreChosenByName) {
  using Names = std::vector<std::string>;
  EXPECT_EQ(chosen_metrics("crowding,knn,crowding", "cifar10"), (Names{"knn", "crowding"}));
  EXPECT_EQ(chosen_metrics("all", "confounded_shapes"), metric_names());
  EXPECT_EQ(chosen_metrics("all", "composites"), metric_names());
  const Names elsewhere = chosen_metrics("all,knn", "cifar10");
  EXPECT_EQ(elsewhere.size(), metric_names().size() - 2);
  EXPECT_EQ(std::count(elsewhere.begin(), elsewhere.end(), "foreground"), 0);
  for (const char* wrong : {"", "knn,", "kNN", "knn, crowding", "everything"}) {
    const std::string message = message_of([&] { chosen_metrics(wrong, "cifar10"); });
    EXPECT_NE(message.find("--metrics"), std::string::npos) << wrong;
    for (const std::string& name : metric_names()) EXPECT_NE(message.find(name), std::string::npos) << message;
  }
  EXPECT_EQ(message_of([] { chosen_metrics("dense", "cifar10"); }),
            "--metrics: dense needs composites or confounded_shapes, the data set is cifar10");
}

}  // namespace
}  // namespace vergence
