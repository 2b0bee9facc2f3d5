// Tests what cuDNN offers for the ResNets' convolutions, and for fused graphs around them, on a GPU that is only
// described, so none is needed. Engines compiled at run time fail only in the driver, which loads no code for an absent
// GPU: they count as offered. Skipped if cuDNN is too old for descriptions.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <dlfcn.h>
#include <gtest/gtest.h>

#include "kernels/cuda/libraries/cudnn_conv.h"
#include "kernels/cuda/rules.h"

namespace vergence::cuda {
namespace {

using cudnn::Descriptor;
using cudnn::ExecutionPlan;
using cudnn::Graph;
using cudnn::Offer;
using cudnn::Storage;
using cudnn::Target;
using cudnn::Tensor;

constexpr const char* h200 = R"({
  "deviceName": "NVIDIA H200", "deviceVer": 900, "driverVer": 13000, "cudaDeviceId": 0, "pciDeviceId": 0,
  "multiProcessorCount": 132, "warpSize": 32, "maxGridSize": [2147483647, 65535, 65535],
  "maxBlockSize": [1024, 1024, 64], "maxThreadsPerBlock": 1024, "maxThreadsPerSM": 2048, "maxCtasPerSM": 32,
  "regsPerBlock": 65536, "maxRegistersPerSM": 65536, "maxSharedMemoryPerBlock": 49152,
  "maxSharedMemoryPerBlockOptin": 232448, "reservedSharedMemoryPerBlock": 1024, "l2CacheSize": 62914560,
  "totalGlobalMem": 150754820096, "smClockRateKHz": 1980000, "memClockRateKHz": 3201000, "isTccDriver": 0,
  "supportCoopLaunch": 1})";

/// cuDNN offers engines compiled at run time only if it finds a driver library; the toolkit's stub suffices.
bool driver_library() {
  return dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL) || dlopen(VERGENCE_CUDA_STUB, RTLD_NOW | RTLD_GLOBAL);
}

class CudnnPlanning : public testing::Test {
 protected:
  void SetUp() override {
    if (cudnn::library().version() < 91100) GTEST_SKIP() << cudnn::library_name() << ": descriptions came with 9.11";
  }
};

const Target& target() {
  static const Target described = Target::described(h200);
  return described;
}

struct Outcome {
  std::size_t offered = 0, at_run_time = 0;
  bool ready = false;  // the first choice is a plan, or would be one with a driver
};

/// Prints what cuDNN offers, and tries the first offer.
Outcome plan(const std::string& name, const Graph& graph) {
  const auto start = std::chrono::steady_clock::now();
  const std::vector<Offer> offered = offers(target(), graph, true);
  Outcome outcome{offered.size()};
  for (const Offer& offer : offered) outcome.at_run_time += offer.compiled_at_run_time;
  std::string what = "none";
  if (!offered.empty()) {
    const ExecutionPlan first(target(), offered[0]);
    const bool needs_driver = first.failure().find("cuLibraryLoadData") != std::string::npos;
    outcome.ready = first.failure().empty() || needs_driver;
    what = needs_driver ? "code generated" : join(first.workspace() >> 20, " MiB", first.failure());
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  std::printf("%-68s %2zu offered, %2zu compiled at run time; first: %s (%.1f s)\n", name.c_str(), offered.size(),
              outcome.at_run_time, what.c_str(), seconds.count());
  return outcome;
}

// ---- plain convolutions

struct Network {
  bool bottleneck;
  std::array<int, 4> depths;
};

/// The convolutions of a ResNet, as models/encoders/resnet.cpp builds it.
void add_shapes(std::vector<ConvShape>& shapes, const Network& network, bool imagenet) {
  const std::int64_t batch = imagenet ? 512 : 1024;
  const auto add = [&](std::int64_t size, std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride) {
    const ConvShape shape{batch, size, size, in, out, kernel, kernel, stride, kernel / 2};
    if (std::ranges::find(shapes, shape) == shapes.end()) shapes.push_back(shape);
  };
  const std::int64_t stem_channels = 8;  // three, padded with zeros to what tensor cores read at once
  if (imagenet)
    add(224, stem_channels, 64, 7, 2);
  else
    add(32, stem_channels, 64, 3, 1);
  std::int64_t size = imagenet ? 56 : 32, in = 64, channels = 64;
  for (int stage = 0; stage < 4; ++stage, channels *= 2)
    for (int block = 0; block < network.depths[static_cast<std::size_t>(stage)]; ++block) {
      const std::int64_t stride = stage > 0 && block == 0 ? 2 : 1, out = network.bottleneck ? 4 * channels : channels;
      if (network.bottleneck) {
        add(size, in, channels, 1, 1);
        add(size, channels, channels, 3, stride);
        add(size / stride, channels, out, 1, 1);
      } else {
        add(size, in, channels, 3, stride);
        add(size / stride, channels, channels, 3, 1);
      }
      if (stride != 1 || in != out) add(size, in, out, 1, stride);
      size /= stride, in = out;
    }
}

std::vector<ConvShape> shapes_of(const Network& network, bool imagenet) {
  std::vector<ConvShape> shapes;
  add_shapes(shapes, network, imagenet);
  return shapes;
}

/// Of ResNet-18, 34 and 50.
std::vector<ConvShape> resnet_shapes() {
  std::vector<ConvShape> shapes;
  for (const bool imagenet : {false, true})
    for (const Network& network : {Network{false, {2, 2, 2, 2}}, {false, {3, 4, 6, 3}}, {true, {3, 4, 6, 3}}})
      add_shapes(shapes, network, imagenet);
  return shapes;
}

constexpr ConvPass passes[] = {ConvPass::forward, ConvPass::data, ConvPass::weight};

TEST_F(CudnnPlanning, EveryConvolutionOfTheResNetsHasAPlan) {
  for (const ConvShape& shape : resnet_shapes())
    for (const ConvPass pass : passes) {
      if (pass == ConvPass::data && shape.in_channels == 8) continue;  // images need no gradient
      const std::string name = text_of(shape, pass, DType::bf16);
      const std::optional<ExecutionPlan> chosen = choose_plan(target(), conv_graph(shape, pass, DType::bf16), true);
      ASSERT_TRUE(chosen) << name;
      EXPECT_LE(chosen->workspace(), std::int64_t{64} << 20) << name;
      if (pass == ConvPass::weight) continue;
      EXPECT_TRUE(choose_plan(target(), conv_graph(shape, pass, DType::bf16, true), true)) << name << ", added";
    }
}

/// cuDNN accepts factors of either type and returns them as given. But it reads a double's bits as a float, and then
/// the whole convolution is zero.
TEST_F(CudnnPlanning, FactorsHaveTheTypeOfTheSums) {
  const ConvShape shape{4, 8, 8, 64, 64, 3, 3, 1, 1};
  for (const bool add : {false, true}) {
    const ConvGraph made = conv_graph(shape, ConvPass::data, DType::bf16, add);
    const Descriptor& operation = made.graph.operations().at(0);
    EXPECT_EQ(operation.values<float>(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA, 1), std::vector{1.0F});
    EXPECT_EQ(operation.values<float>(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA, 1),
              std::vector{add ? 1.0F : 0.0F});
  }
}

/// Expects a ready-made plan for each convolution and pass that the rule gives to the library.
void expect_ready_plans(const char* network, const std::vector<ConvShape>& shapes) {
  std::printf("%s\n%-68s %7s %-40s %9s\n", network, "", "offered", "first", "workspace");
  for (const ConvShape& shape : shapes)
    for (const ConvPass pass : passes) {
      if (pass == ConvPass::data && shape.in_channels == 8) continue;
      const std::string name = text_of(shape, pass, DType::bf16);
      if (choose_cuda_conv(shape, pass, DType::bf16, {}) != CudaConvAlgorithm::library) {
        std::printf("%-68s         our own kernels\n", name.c_str());
        continue;
      }
      const ConvGraph made = conv_graph(shape, pass, DType::bf16);
      const std::vector<Offer> offered = offers(target(), made.graph, true);
      const std::vector<NamedPlan> plans = first_plans(target(), made, true, 1);
      ASSERT_FALSE(plans.empty()) << name << ": nothing ready-made that is repeatable";
      EXPECT_EQ(std::ranges::count_if(offered, &Offer::compiled_at_run_time), 0) << name;
      EXPECT_TRUE(offered.at(0).tensor_cores) << name << ": " << offered[0].name;
      std::printf("%-68s %7zu %-40s %5ld MiB\n", name.c_str(), offered.size(), plans[0].name.c_str(),
                  static_cast<long>(plans[0].plan.workspace() >> 20));
    }
}

TEST_F(CudnnPlanning, EveryPassOfAResNet18StepHasAReadyMadePlan) {
  const std::vector<ConvShape> shapes = shapes_of({false, {2, 2, 2, 2}}, false);
  EXPECT_EQ(shapes.size(), 11u);
  expect_ready_plans("ResNet-18, 1024 images of 32x32", shapes);
}

TEST_F(CudnnPlanning, EveryPassOfAResNet50StepHasAReadyMadePlan) {
  const std::vector<ConvShape> shapes = shapes_of({true, {3, 4, 6, 3}}, true);
  EXPECT_EQ(shapes.size(), 23u);
  expect_ready_plans("ResNet-50, 512 images of 224x224", shapes);
}

// tuning.json stores these names.
TEST_F(CudnnPlanning, PlansToBeTimedHaveNamesThatTellThemApartAndStay) {
  for (const ConvPass pass : passes) {
    const ConvShape shape{1024, 32, 32, 64, 64, 3, 3, 1, 1};
    std::vector<std::string> names, again;
    for (const NamedPlan& one : first_plans(target(), conv_graph(shape, pass, DType::bf16), false, 8))
      names.push_back(one.name);
    for (const NamedPlan& one : first_plans(target(), conv_graph(shape, pass, DType::bf16), false, 8))
      again.push_back(one.name);
    EXPECT_EQ(names, again);
    EXPECT_EQ(names.size(), 8u);
    std::ranges::sort(names);
    EXPECT_EQ(std::ranges::adjacent_find(names), names.end());
  }
}

TEST_F(CudnnPlanning, ThreeChannelsHaveAPlanToo) {
  const ConvShape shape{1024, 32, 32, 3, 64, 3, 3, 1, 1};
  for (const ConvPass pass : {ConvPass::forward, ConvPass::weight})
    EXPECT_TRUE(plan(text_of(shape, pass, DType::bf16), conv_graph(shape, pass, DType::bf16).graph).ready);
}

// ---- graphs that are compiled at run time

constexpr ConvShape basic{1024, 32, 32, 64, 64, 3, 3, 1, 1};

class CudnnRunTime : public CudnnPlanning {
 protected:
  void SetUp() override {
    CudnnPlanning::SetUp();
    if (!driver_library()) GTEST_SKIP() << "neither a driver's libcuda nor the toolkit's stub";
  }
};

/// max(0, x scale + bias), both per channel: a batch norm and its ReLU before a convolution.
Tensor normalized(Graph& graph, const Tensor& x) {
  const Tensor scale = graph.per_channel(x, DType::bf16), bias = graph.per_channel(x, DType::bf16);
  const Tensor scaled = graph.tensor(DType::bf16, x.dimensions, Storage::inside);
  const Tensor shifted = graph.tensor(DType::bf16, x.dimensions, Storage::inside);
  const Tensor y = graph.tensor(DType::bf16, x.dimensions, Storage::inside);
  graph.map(CUDNN_POINTWISE_MUL, x, scale, scaled);
  graph.map(CUDNN_POINTWISE_ADD, scaled, bias, shifted);
  graph.map(CUDNN_POINTWISE_RELU_FWD, shifted, y);
  return y;
}

/// Adds sums of x and of x other over all pixels, per channel.
void add_sums(Graph& graph, const Tensor& x, const Tensor& other) {
  const Tensor product = graph.tensor(DType::f32, x.dimensions, Storage::inside);
  graph.sum(x, graph.per_channel(x, DType::f32));
  graph.map(CUDNN_POINTWISE_MUL, x, other, product);
  graph.sum(product, graph.per_channel(x, DType::f32));
}

TEST_F(CudnnRunTime, WeightGradientInF32) {
  const ConvGraph made = conv_graph(basic, ConvPass::weight, DType::f32);
  EXPECT_TRUE(plan(text_of(basic, ConvPass::weight, DType::f32), made.graph).ready);
}

TEST_F(CudnnRunTime, ConvolutionAndItsSums) {
  Graph graph;
  const Tensor x = graph.images(basic, DType::bf16), w = graph.weights(basic, DType::bf16);
  const Tensor y = graph.results(basic, DType::bf16);
  graph.convolution(ConvPass::forward, basic, x, w, y);
  add_sums(graph, y, y);
  EXPECT_TRUE(plan("convolution + sum y + sum y^2", graph).ready);
}

TEST_F(CudnnRunTime, NormalisedConvolutionAndItsSums) {
  Graph graph;
  const Tensor x = graph.images(basic, DType::bf16), w = graph.weights(basic, DType::bf16);
  const Tensor y = graph.results(basic, DType::bf16);
  graph.convolution(ConvPass::forward, basic, normalized(graph, x), w, y);
  add_sums(graph, y, y);
  EXPECT_TRUE(plan("scale + bias + ReLU + convolution + sum y + sum y^2", graph).ready);
}

TEST_F(CudnnRunTime, DataGradientWithReluAndSums) {
  Graph graph;
  const Tensor dx = graph.images(basic, DType::bf16, Storage::inside), w = graph.weights(basic, DType::bf16);
  const Tensor dy = graph.results(basic, DType::bf16), x = graph.images(basic, DType::bf16);
  const Tensor dz = graph.images(basic, DType::bf16);
  graph.convolution(ConvPass::data, basic, dx, w, dy);
  graph.map(CUDNN_POINTWISE_RELU_BWD, dx, x, dz);
  add_sums(graph, dz, x);
  EXPECT_TRUE(plan("data gradient + ReLU' + sum dz + sum dz x", graph).ready);
}

TEST_F(CudnnRunTime, BatchNormForward) {
  Graph graph;
  const Tensor x = graph.results(basic, DType::bf16), y = graph.results(basic, DType::bf16);
  const Tensor epsilon = graph.tensor(DType::f32, {1, 1, 1, 1}, Storage::host);
  Descriptor norm(CUDNN_BACKEND_OPERATION_NORM_FORWARD_DESCRIPTOR);
  norm.set(CUDNN_ATTR_OPERATION_NORM_FWD_MODE, CUDNN_BATCH_NORM);
  norm.set(CUDNN_ATTR_OPERATION_NORM_FWD_PHASE, CUDNN_NORM_FWD_TRAINING);
  norm.set(CUDNN_ATTR_OPERATION_NORM_FWD_XDESC, x.descriptor);
  norm.set(CUDNN_ATTR_OPERATION_NORM_FWD_EPSILON_DESC, epsilon.descriptor);
  norm.set(CUDNN_ATTR_OPERATION_NORM_FWD_YDESC, y.descriptor);
  for (const auto name : {CUDNN_ATTR_OPERATION_NORM_FWD_MEAN_DESC, CUDNN_ATTR_OPERATION_NORM_FWD_INV_VARIANCE_DESC,
                          CUDNN_ATTR_OPERATION_NORM_FWD_SCALE_DESC, CUDNN_ATTR_OPERATION_NORM_FWD_BIAS_DESC})
    norm.set(name, graph.per_channel(x, DType::f32).descriptor);
  graph.add(norm);
  EXPECT_TRUE(plan("batch norm", graph).ready);
}

TEST_F(CudnnRunTime, BatchNormBackward) {
  Graph graph;
  const Tensor x = graph.results(basic, DType::bf16), dy = graph.results(basic, DType::bf16);
  const Tensor dx = graph.results(basic, DType::bf16);
  Descriptor norm(CUDNN_BACKEND_OPERATION_NORM_BACKWARD_DESCRIPTOR);
  norm.set(CUDNN_ATTR_OPERATION_NORM_BWD_MODE, CUDNN_BATCH_NORM);
  norm.set(CUDNN_ATTR_OPERATION_NORM_BWD_XDESC, x.descriptor);
  norm.set(CUDNN_ATTR_OPERATION_NORM_BWD_DYDESC, dy.descriptor);
  norm.set(CUDNN_ATTR_OPERATION_NORM_BWD_DXDESC, dx.descriptor);
  for (const auto name : {CUDNN_ATTR_OPERATION_NORM_BWD_MEAN_DESC, CUDNN_ATTR_OPERATION_NORM_BWD_INV_VARIANCE_DESC,
                          CUDNN_ATTR_OPERATION_NORM_BWD_SCALE_DESC, CUDNN_ATTR_OPERATION_NORM_BWD_DSCALE_DESC,
                          CUDNN_ATTR_OPERATION_NORM_BWD_DBIAS_DESC})
    norm.set(name, graph.per_channel(x, DType::f32).descriptor);
  graph.add(norm);
  EXPECT_TRUE(plan("batch norm, backward", graph).ready);
}

// ---- missing parts give messages, not crashes

TEST_F(CudnnPlanning, AShapeThatNoEngineTakesHasNoPlan) {
  const ConvShape shape{2, 8, 8, 12, 10, 3, 3, 1, 1, 1, 2};
  const ConvGraph made = conv_graph(shape, ConvPass::weight, DType::f32);
  EXPECT_TRUE(offers(target(), made.graph, true).empty());
  EXPECT_FALSE(choose_plan(target(), made, true));
}

// A sum over a million pixels in one block would leave 127 of 132 multiprocessors idle.
TEST_F(CudnnRunTime, EnginesThatDoNotCutLongSumsAreNotTaken) {
  const ConvGraph made = conv_graph(basic, ConvPass::weight, DType::f32);
  EXPECT_EQ(made.fewest_parts, 13);
  const std::vector<Offer> offered = offers(target(), made.graph, true);
  const bool some_do =
      std::ranges::any_of(offered, [&](const Offer& offer) { return offer.parts >= made.fewest_parts; });
  EXPECT_TRUE(some_do || !choose_plan(target(), made, true));
}

TEST_F(CudnnPlanning, WithoutAGpuThereIsNoHandle) {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) == cudaSuccess && devices > 0) GTEST_SKIP() << "there is a GPU";
  try {
    Target::gpu(nullptr);
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("cuDNN: a handle for this machine's GPU"), std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace vergence::cuda
