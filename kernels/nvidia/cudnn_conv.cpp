// Convolutions by cuDNN: bf16 images, f32 sums and, where it was asked for, the same result in every run. Plans are
// kept per shape and pass.
// A weight gradient in f32 leaves the sums through a function that changes nothing: cuDNN's ready-made kernels round it
// to bf16, and the engines that compile one at run time (seconds, once per shape and process) write it out as it is.
// Some of those give a whole sum over all pixels to one block, which leaves most of the GPU idle where the weights are
// few: they are not taken. Where none remains our own kernels run. (Whether dw is asked for in bf16 or in f32 is
// `--weight-gradients`.)
#include "kernels/nvidia/cudnn_conv.h"

#include <map>
#include <mutex>

#include "kernels/cuda_libraries.h"
#include "kernels/cuda_rules.h"

namespace vergence::cuda {

using cudnn::Graph;
using cudnn::Offer;
using cudnn::Place;
using cudnn::Plan;
using cudnn::Target;
using cudnn::Tensor;

namespace {

constexpr std::int64_t little_workspace = std::int64_t{64} << 20;
/// Half the multiprocessors of a large GPU; the edge of an engine's tile of weights.
constexpr std::int64_t fewest_blocks = 64, tile = 128;

using Key = std::array<std::int64_t, 14>;

Key key_of(const ConvShape& s, ConvPass pass, DType weights) {
  return {s.batch,
          s.in_height,
          s.in_width,
          s.in_channels,
          s.out_channels,
          s.kernel_height,
          s.kernel_width,
          s.stride,
          s.padding,
          s.dilation,
          s.groups,
          static_cast<std::int64_t>(pass),
          static_cast<std::int64_t>(weights),
          cuda_deterministic()};
}

/// A graph of which the ids alone are needed once it has a plan.
struct Ready {
  std::int64_t x, w, y;
  Plan plan;
};

/// cuDNN for one device. Lives as long as the process.
class Convolutions {
 public:
  explicit Convolutions(Device& device) : device_(device) {
    try {
      target_ = Target::gpu(device.stream());
      state_ = {true, cudnn::library_name()};
    } catch (const Error& error) {
      state_.text = error.what();
    }
  }

  const LibraryState& state() const { return state_; }

  bool run(const ConvShape& shape, ConvPass pass, DType weights, const void* x, const void* w, const void* y) {
    if (!state_.ready) return false;
    const std::lock_guard lock(mutex_);
    const Key key = key_of(shape, pass, weights);
    auto known = ready_.find(key);
    if (known == ready_.end()) known = ready_.emplace(key, prepare(shape, pass, weights)).first;
    if (!known->second) return false;
    const Ready& ready = *known->second;
    note_launch("conv2d, cuDNN");
    const Scratch<char> workspace(device_, ready.plan.workspace());
    ready.plan.run(target_, {{ready.x, x}, {ready.w, w}, {ready.y, y}}, workspace.data());
    return true;
  }

 private:
  std::optional<Ready> prepare(const ConvShape& shape, ConvPass pass, DType weights) {
    const ConvGraph made = conv_graph(shape, pass, weights);
    std::optional<Plan> plan = choose_plan(target_, made, cuda_deterministic());
    if (!plan) return std::nullopt;
    return Ready{made.x.id, made.w.id, made.y.id, std::move(*plan)};
  }

  Device& device_;
  LibraryState state_;
  Target target_;
  std::mutex mutex_;
  std::map<Key, std::optional<Ready>> ready_;
};

Convolutions& convolutions_of(Device& device) {
  static std::mutex mutex;
  static auto& all = *new std::map<const Device*, Convolutions>;
  const std::lock_guard lock(mutex);
  return all.try_emplace(&device, device).first->second;
}

bool aligned(const void* data) { return reinterpret_cast<std::uintptr_t>(data) % 16 == 0; }

bool run(Device& device, const ConvShape& shape, ConvPass pass, ConstArray x, ConstArray w, ConstArray y) {
  const bool wide = pass == ConvPass::weight && w.dtype == DType::f32;
  if (x.dtype != DType::bf16 || y.dtype != DType::bf16 || (w.dtype != DType::bf16 && !wide)) return false;
  if (x.size == 0 || w.size == 0 || y.size == 0) return false;
  if (!aligned(x.data) || !aligned(w.data) || !aligned(y.data)) return false;
  try {
    return convolutions_of(device).run(shape, pass, w.dtype, x.data, w.data, y.data);
  } catch (const Error& error) {
    throw Error(join("conv2d ", text_of(shape, pass, w.dtype), ": ", error.what()));
  }
}

}  // namespace

std::string text_of(const ConvShape& s, ConvPass pass, DType weights) {
  const char* name = pass == ConvPass::forward ? "forward " : pass == ConvPass::data ? "data " : "weight ";
  std::string text = join(name, s.batch, "x", s.in_height, "x", s.in_width, "x", s.in_channels, " * ", s.out_channels,
                          "x", s.kernel_height, "x", s.kernel_width, "x", s.in_channels / s.groups, " ",
                          name_of(weights), ", stride ", s.stride, ", padding ", s.padding);
  if (s.dilation != 1) text += join(", dilation ", s.dilation);
  if (s.groups != 1) text += join(", groups ", s.groups);
  return text;
}

ConvGraph conv_graph(const ConvShape& shape, ConvPass pass, DType weights) {
  ConvGraph made;
  Graph& graph = made.graph;
  made.x = graph.images(shape, DType::bf16);
  made.w = graph.weights(shape, weights);
  made.y = graph.results(shape, DType::bf16);
  const bool wide = weights == DType::f32;
  const Tensor sums = wide ? graph.weights(shape, DType::f32, Place::inside) : made.w;
  graph.convolution(pass, shape, made.x, sums, made.y);
  if (wide) {
    graph.map(CUDNN_POINTWISE_IDENTITY, sums, made.w);
    const std::int64_t row = shape.weight_size() / shape.out_channels;
    made.fewest_parts = ceil_div(fewest_blocks, ceil_div(shape.out_channels, tile) * ceil_div(row, tile));
  }
  return made;
}

std::optional<Plan> choose_plan(const Target& target, const ConvGraph& made, bool repeatable) {
  std::optional<Plan> best;
  for (const Offer& offer : offers(target, made.graph, repeatable)) {
    if (offer.compiled_at_run_time && offer.parts < made.fewest_parts) continue;
    Plan plan(target, offer);
    if (!plan.failure().empty()) continue;
    if (!best || plan.workspace() < best->workspace()) best = std::move(plan);
    if (best->workspace() <= little_workspace || offer.compiled_at_run_time) break;
  }
  return best;
}

const LibraryState& conv_library(Device& device) { return convolutions_of(device).state(); }

bool library_conv2d(Device& device, const ConvShape& shape, ConstArray x, ConstArray w, Array y) {
  return run(device, shape, ConvPass::forward, x, w, y);
}

bool library_conv2d_data(Device& device, const ConvShape& shape, ConstArray g, ConstArray w, Array dx) {
  return run(device, shape, ConvPass::data, dx, w, g);
}

bool library_conv2d_weight(Device& device, const ConvShape& shape, ConstArray x, ConstArray g, Array dw) {
  return run(device, shape, ConvPass::weight, x, dw, g);
}

}  // namespace vergence::cuda
