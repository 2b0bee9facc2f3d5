// Compares views of given images and keys with values stored here, to detect any change in an operation or in the
// meaning of a seed. tests/oracle/views.py checks the operations against torchvision.
#include <algorithm>
#include <gtest/gtest.h>
#include <string_view>

#include "kernels/views.h"

namespace vergence {
namespace {

/// Gradients, edges and noise, made from integers only.
std::vector<std::uint8_t> generated_image(std::uint32_t height, std::uint32_t width) {
  std::vector<std::uint8_t> image;
  for (std::uint32_t y = 0; y < height; ++y)
    for (std::uint32_t x = 0; x < width; ++x)
      for (std::uint32_t c = 0; c < 3; ++c) {
        const std::uint32_t gradient = c == 0 ? 200 * x / width : c == 1 ? 200 * y / height : 100 + 50 * (x / 8 % 2);
        const std::uint32_t noise = ((y * width + x) * 3 + c) * 2654435761u >> 27;
        image.push_back(static_cast<std::uint8_t>(gradient + noise + (y / 5 % 4 == 1 ? 20 : 0)));
      }
  return image;
}

constexpr ChannelValues cifar_mean{0.4914f, 0.4822f, 0.4465f}, cifar_std{0.2470f, 0.2435f, 0.2616f};
constexpr ChannelValues imagenet_mean{0.485f, 0.456f, 0.406f}, imagenet_std{0.229f, 0.224f, 0.225f};

ViewSettings simclr_cifar() {
  ViewSettings settings;
  settings.mean = cifar_mean, settings.std = cifar_std;
  return settings;
}

/// The second view of Barlow Twins and BYOL.
ViewSettings solarized_cifar() {
  ViewSettings settings = simclr_cifar();
  settings.brightness = settings.contrast = 0.4f, settings.saturation = 0.2f, settings.hue = 0.1f;
  settings.blur_p = 0.1f, settings.solarize_p = 0.2f;
  return settings;
}

ViewSettings simclr_imagenet() {
  ViewSettings settings;
  settings.size = 224;
  settings.mean = imagenet_mean, settings.std = imagenet_std;
  return settings;
}

ViewSettings bilinear_96() {
  ViewSettings settings;
  settings.size = 96, settings.interpolation = Interpolation::bilinear;
  settings.crop_low = 0.2f;
  return settings;
}

struct Key {
  std::uint64_t seed = 0;
  std::uint32_t epoch = 0;
  std::uint64_t sample = 0;
  std::uint32_t view = 0;
};

/// The stored summary of a view's pixels.
struct Summary {
  std::array<double, 3> mean{};  // of each channel
  double scrambled = 0;          // mean of all values, each times a number in [-0.5, 0.5) from its index
  std::array<float, 3> first{}, middle{}, last{};  // the pixels (0, 0), (size / 3, size / 2) and (size - 1, size - 1)
};

Summary summary_of(const std::vector<float>& view, std::int64_t size) {
  Summary summary;
  const auto values = static_cast<double>(view.size());
  for (std::size_t i = 0; i < view.size(); ++i) {
    const std::uint32_t hash = static_cast<std::uint32_t>(i) * 2654435761u;
    summary.mean[i % 3] += view[i] / (values / 3);
    summary.scrambled += view[i] * (hash / 4294967296.0 - 0.5) / values;
  }
  const auto pixel = [&](std::int64_t y, std::int64_t x, std::array<float, 3>& out) {
    std::copy_n(view.begin() + (y * size + x) * 3, 3, out.begin());
  };
  pixel(0, 0, summary.first), pixel(size / 3, size / 2, summary.middle), pixel(size - 1, size - 1, summary.last);
  return summary;
}

struct Golden {
  const char* name;
  ViewSettings settings;
  std::uint32_t height, width;  // of the image
  Key key;
  ViewPlan plan;
  Summary summary;
};

/// `on` names the enabled operations; `factors`: brightness, contrast, saturation and hue, applied in `order`.
ViewPlan stored_plan(const CropBox& crop, std::string_view on, const std::array<float, 4>& factors,
                     std::string_view order, float sigma) {
  const auto is_on = [&](std::string_view name) { return on.find(name) != std::string_view::npos; };
  ViewPlan plan;
  plan.crop = crop;
  plan.jitter = is_on("jitter"), plan.gray = is_on("gray"), plan.blur = is_on("blur");
  plan.solarize = is_on("solarize"), plan.flip = is_on("flip");
  plan.brightness = factors[0], plan.contrast = factors[1], plan.saturation = factors[2], plan.hue = factors[3];
  for (std::size_t i = 0; i < 4; ++i) plan.order[i] = static_cast<Jitter>(std::string_view("BCSH").find(order[i]));
  plan.sigma = sigma;
  return plan;
}

std::vector<Golden> goldens() {
  return {
      {"SimCLR on CIFAR: jitter, blur, flip",
       simclr_cifar(),
       32,
       32,
       {1, 0, 1, 0},
       stored_plan({0, 9, 24, 18}, "jitter blur flip", {1.4990228f, 0.8514542f, 1.6388918f, -0.17110701f}, "HBCS",
                   0.63653225f),
       {{0.052775048, 0.725603646, 1.655867364},
        -0.000390280,
        {-1.3483989f, -1.3063620f, 2.1158266f},
        {0.3627573f, -0.0068783f, 1.9744967f},
        {-0.7044498f, 2.1262987f, -0.7240995f}}},
      {"SimCLR on CIFAR: jitter, gray, blur, flip",
       simclr_cifar(),
       32,
       32,
       {1, 0, 2, 0},
       stored_plan({5, 3, 13, 15}, "jitter gray blur flip", {0.92673117f, 0.3866718f, 0.7843675f, -0.025032282f},
                   "BHSC", 1.0757738f),
       {{-0.537584889, -0.507529610, -0.335945979},
        0.000135782,
        {-0.5502257f, -0.5203521f, -0.3478813f},
        {-0.5127714f, -0.4823595f, -0.3125173f},
        {-0.5606772f, -0.5309539f, -0.3577496f}}},
      {"SimCLR on CIFAR: jitter",
       simclr_cifar(),
       32,
       32,
       {1, 0, 16, 0},
       stored_plan({8, 1, 23, 18}, "jitter", {1.1647406f, 1.7147062f, 0.6407108f, -0.015674734f}, "BSCH", 0.8759338f),
       {{-0.571610444, 0.640258629, 0.758574107},
        -0.001760252,
        {-1.9757980f, -1.1836286f, 0.2881192f},
        {-0.8886853f, -0.3117161f, 1.1752027f},
        {0.9325892f, 2.1264887f, 0.8901628f}}},
      {"solarized view: blur, solarize",
       solarized_cifar(),
       32,
       32,
       {1, 7, 2, 1},
       stored_plan({0, 9, 17, 21}, "blur solarize", {1.3050102f, 1.3976026f, 0.8668533f, -0.004217136f}, "CHBS",
                   1.1557872f),
       {{-0.504073245, -0.836846657, -0.239639080},
        0.000986318,
        {-0.7905077f, -1.7987261f, -0.4607059f},
        {-0.3864599f, -0.9633834f, 0.1316456f},
        {-0.9179301f, -0.0630793f, -0.3312995f}}},
      {"solarized view: jitter, solarize, flip",
       solarized_cifar(),
       32,
       32,
       {1, 7, 13, 1},
       stored_plan({10, 5, 17, 18}, "jitter solarize flip", {1.2488642f, 0.9538828f, 0.95140076f, 0.047083464f}, "SBCH",
                   0.66865313f),
       {{-0.474966756, -0.543369654, -0.522136128},
        0.000021338,
        {-0.6560246f, -0.1987746f, 0.0802074f},
        {-0.1840446f, -0.0384760f, -0.7669131f},
        {-0.2984371f, -1.7790291f, -0.7162184f}}},
      {"SimCLR on ImageNet: jitter, blur",
       simclr_imagenet(),
       375,
       500,
       {2, 3, 1, 0},
       stored_plan({83, 83, 254, 272}, "jitter blur", {0.35430324f, 1.219955f, 1.4875205f, -0.009227348f}, "BSCH",
                   0.20027277f),
       {{-1.559389153, -1.176339764, -0.818534188},
        -0.000019355,
        {-2.0781796f, -1.6526058f, -0.9754153f},
        {-1.4257197f, -1.4032817f, -0.2494235f},
        {-1.1321913f, -0.7830762f, -1.2028285f}}},
      {"SimCLR on ImageNet: jitter, blur, flip",
       simclr_imagenet(),
       375,
       500,
       {2, 3, 6, 0},
       stored_plan({3, 29, 358, 449}, "jitter blur flip", {1.1675267f, 0.5458613f, 1.0101602f, 0.097333364f}, "CHSB",
                   0.9339522f),
       {{0.407994838, 0.308269216, 0.861624168},
        0.000048488,
        {1.3667521f, -0.6237547f, -0.0045611f},
        {0.7600581f, -0.0240059f, 1.1246105f},
        {-0.6821977f, 0.8712894f, 1.5925504f}}},
      {"enlarged, bilinear: jitter, blur, flip",
       bilinear_96(),
       120,
       64,
       {(std::uint64_t{5} << 32) + 9, 1, 9, 1},
       stored_plan({17, 1, 65, 52}, "jitter blur flip", {0.82521236f, 0.8475677f, 1.2518854f, 0.18674794f}, "HBSC",
                   1.8042393f),
       {{0.431991588, 0.279258590, 0.407533915},
        -0.000269497,
        {0.5678256f, 0.3756146f, 0.1179271f},
        {0.5461371f, 0.2420658f, 0.4460514f},
        {0.0934109f, 0.1498440f, 0.5312569f}}},
  };
}

TEST(GoldenViews, PlansAreTheStoredOnes) {
  for (const Golden& golden : goldens()) {
    SCOPED_TRACE(golden.name);
    const auto& [seed, epoch, sample, view] = golden.key;
    const ViewPlan plan =
        draw_view(golden.settings, golden.height, golden.width, Random(seed, Purpose::view, epoch, sample, view));
    const ViewPlan& stored = golden.plan;
    EXPECT_EQ(plan.crop, stored.crop);
    EXPECT_EQ(plan.jitter, stored.jitter);
    EXPECT_EQ(plan.gray, stored.gray);
    EXPECT_EQ(plan.blur, stored.blur);
    EXPECT_EQ(plan.solarize, stored.solarize);
    EXPECT_EQ(plan.flip, stored.flip);
    EXPECT_EQ(plan.brightness, stored.brightness);
    EXPECT_EQ(plan.contrast, stored.contrast);
    EXPECT_EQ(plan.saturation, stored.saturation);
    EXPECT_EQ(plan.hue, stored.hue);
    EXPECT_EQ(plan.order, stored.order);
    EXPECT_EQ(plan.sigma, stored.sigma);
  }
}

/// Compilers may contract products and sums differently, so pixels agree only within rounding.
TEST(GoldenViews, PixelsAreTheStoredOnes) {
  for (const Golden& golden : goldens()) {
    SCOPED_TRACE(golden.name);
    const auto& [seed, epoch, sample, view] = golden.key;
    const auto image = generated_image(golden.height, golden.width);
    const std::int64_t size = golden.settings.size;
    std::vector<float> pixels(static_cast<std::size_t>(size * size * 3));
    make_view(image.data(), golden.height, golden.width, golden.settings,
              Random(seed, Purpose::view, epoch, sample, view), pixels.data());
    const Summary summary = summary_of(pixels, size);
    EXPECT_NEAR(summary.scrambled, golden.summary.scrambled, 1e-7);
    for (std::size_t c = 0; c < 3; ++c) {
      EXPECT_NEAR(summary.mean[c], golden.summary.mean[c], 5e-6);
      EXPECT_NEAR(summary.first[c], golden.summary.first[c], 1e-5);
      EXPECT_NEAR(summary.middle[c], golden.summary.middle[c], 1e-5);
      EXPECT_NEAR(summary.last[c], golden.summary.last[c], 1e-5);
    }
  }
}

}  // namespace
}  // namespace vergence
