// Convolutions by cuDNN: bf16 images, f32 sums and, if requested, the same result in every run. Plans are kept per
// shape and pass. An f32 weight gradient passes through an identity function after the sums: cuDNN's ready-made kernels
// round it to bf16, while the engines that compile a kernel at run time (seconds, once per shape and process) write it
// unrounded. Some of those engines give a whole sum over all pixels to one block, which leaves most of the GPU idle if
// there are few weights: they are rejected. If none remains, our own kernels run. (`--weight-gradients` selects bf16 or
// f32 for dw.)
#include "kernels/cuda/libraries/cudnn_conv.h"

#include <map>
#include <mutex>

#include "kernels/conv_tuning.h"
#include "kernels/cuda/libraries.h"

namespace vergence::cuda {

using cudnn::ExecutionPlan;
using cudnn::Graph;
using cudnn::Offer;
using cudnn::Storage;
using cudnn::Target;
using cudnn::Tensor;

namespace {

constexpr std::int64_t little_workspace = std::int64_t{64} << 20;
constexpr std::size_t max_timed = 8;  // plans of a convolution, with --tune
/// Half the multiprocessors of a large GPU; the edge of an engine's tile of weights.
constexpr std::int64_t fewest_blocks = 64, tile = 128;

using Key = std::array<std::int64_t, 15>;

Key key_of(const ConvShape& s, ConvPass pass, DType weights, bool add, bool repeatable) {
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
          repeatable,
          add};
}

struct Ready {
  ConvGraph made;
  ExecutionPlan plan;
  std::string timed;  // the name by which --tune chose it; empty: not chosen so
};

/// What ConvTuning calls the choice among cuDNN's plans.
std::string choice_of(const ConvShape& shape, ConvPass pass, DType weights, bool add) {
  return join(text_of(shape, pass, weights), add ? ", added" : "", ", cuDNN's plan");
}

/// Addresses in device memory; the pass determines which one is written.
struct Operands {
  const void *x, *w, *y;
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

  bool run(const KernelChoices& choices, const ConvShape& shape, ConvPass pass, DType weights, bool add,
           const Operands& operands) {
    if (!state_.ready) return false;
    const std::lock_guard lock(mutex_);
    const Key key = key_of(shape, pass, weights, add, choices.deterministic);
    auto known = ready_.find(key);
    if (known == ready_.end()) known = ready_.emplace(key, prepare(choices, shape, pass, weights, add, operands)).first;
    if (!known->second) return false;
    // A second run of this process repeats the first one's choice, and its tuning.json has to say so.
    if (choices.tuning && !known->second->timed.empty())
      choices.tuning->note(choice_of(shape, pass, weights, add), known->second->timed);
    note_launch("conv2d, cuDNN");
    run(known->second->made, known->second->plan, operands);
    return true;
  }

 private:
  void run(const ConvGraph& made, const ExecutionPlan& plan, const Operands& operands) {
    const Scratch<char> workspace(device_, plan.workspace());
    plan.run(target_, {{made.x.id, operands.x}, {made.w.id, operands.w}, {made.y.id, operands.y}}, workspace.data());
  }

  std::optional<Ready> prepare(const KernelChoices& choices, const ConvShape& shape, ConvPass pass, DType weights,
                               bool add, Operands operands) {
    ConvGraph made = conv_graph(shape, pass, weights, add);
    std::optional<NamedPlan> timed;
    if (choices.tuning) {
      // A result that is added to may be written only once: trials add to other memory.
      const bool forward = pass == ConvPass::forward;
      const Scratch<bf16> elsewhere(device_, !add ? 0 : forward ? shape.out_size() : shape.in_size());
      if (add) (forward ? operands.y : operands.x) = elsewhere.data();
      timed = fastest_plan(choices, made, choice_of(shape, pass, weights, add), operands);
    }
    if (timed) return Ready{std::move(made), std::move(timed->plan), timed->name};
    std::optional<ExecutionPlan> plan = choose_plan(target_, made, choices.deterministic);
    if (!plan) return std::nullopt;
    return Ready{std::move(made), std::move(*plan), ""};
  }

  /// True if cuDNN accepts the plan: it refuses some plans only at run time.
  bool runs(const ConvGraph& made, const ExecutionPlan& plan, const Operands& operands) {
    try {
      run(made, plan, operands);
      return true;
    } catch (const Error&) {
      return false;
    }
  }

  /// Chosen by measurement, or by the remembered name. Nothing if cuDNN has no ready-made plan.
  std::optional<NamedPlan> fastest_plan(const KernelChoices& choices, const ConvGraph& made, const std::string& of,
                                        const Operands& operands) {
    std::vector<NamedPlan> plans = first_plans(target_, made, choices.deterministic, max_timed);
    std::erase_if(plans, [&](const NamedPlan& one) { return !runs(made, one.plan, operands); });
    if (plans.empty()) return std::nullopt;
    std::vector<ConvCandidate> candidates;
    for (const NamedPlan& one : plans)
      candidates.push_back({one.name, [&] {
                              run(made, one.plan, operands);
                              device_.synchronize();
                            }});
    return std::move(plans[choices.tuning->choose(of, candidates)]);
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

bool run(Device& device, const KernelChoices& choices, const ConvShape& shape, ConvPass pass, ConstArray x,
         ConstArray w, ConstArray y, bool add = false) {
  const bool wide = pass == ConvPass::weight && w.dtype == DType::f32;
  if (x.dtype != DType::bf16 || y.dtype != DType::bf16 || (w.dtype != DType::bf16 && !wide)) return false;
  if (x.size == 0 || w.size == 0 || y.size == 0) return false;
  if (!aligned(x.data) || !aligned(w.data) || !aligned(y.data)) return false;
  try {
    return convolutions_of(device).run(choices, shape, pass, w.dtype, add, {x.data, w.data, y.data});
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

ConvGraph conv_graph(const ConvShape& shape, ConvPass pass, DType weights, bool add) {
  ConvGraph made;
  Graph& graph = made.graph;
  made.x = graph.images(shape, DType::bf16);
  made.w = graph.weights(shape, weights);
  made.y = graph.results(shape, DType::bf16);
  const bool wide = weights == DType::f32;
  const Tensor sums = wide ? graph.weights(shape, DType::f32, Storage::inside) : made.w;
  graph.convolution(pass, shape, made.x, sums, made.y, add ? 1 : 0);
  if (wide) {
    graph.map(CUDNN_POINTWISE_IDENTITY, sums, made.w);
    const std::int64_t row = shape.weight_size() / shape.out_channels;
    made.fewest_parts = ceil_div(fewest_blocks, ceil_div(shape.out_channels, tile) * ceil_div(row, tile));
  }
  return made;
}

std::optional<ExecutionPlan> choose_plan(const Target& target, const ConvGraph& made, bool repeatable) {
  std::optional<ExecutionPlan> best;
  for (const Offer& offer : offers(target, made.graph, repeatable)) {
    if (offer.compiled_at_run_time && offer.parts < made.fewest_parts) continue;
    ExecutionPlan plan(target, offer);
    if (!plan.failure().empty()) continue;
    if (!best || plan.workspace() < best->workspace()) best = std::move(plan);
    if (best->workspace() <= little_workspace || offer.compiled_at_run_time) break;
  }
  return best;
}

std::vector<NamedPlan> first_plans(const Target& target, const ConvGraph& made, bool repeatable, std::size_t most) {
  std::vector<NamedPlan> plans;
  for (const Offer& offer : offers(target, made.graph, repeatable)) {
    if (plans.size() == most) break;
    if (offer.compiled_at_run_time) continue;
    ExecutionPlan plan(target, offer);
    if (plan.failure().empty() && plan.workspace() <= little_workspace) plans.push_back({offer.name, std::move(plan)});
  }
  return plans;
}

const LibraryState& conv_library(Device& device) { return convolutions_of(device).state(); }

bool library_conv2d(Device& device, const KernelChoices& choices, const ConvShape& shape, ConstArray x, ConstArray w,
                    Array y, bool add) {
  return run(device, choices, shape, ConvPass::forward, x, w, y, add);
}

bool library_conv2d_data(Device& device, const KernelChoices& choices, const ConvShape& shape, ConstArray g,
                         ConstArray w, Array dx, bool add) {
  return run(device, choices, shape, ConvPass::data, dx, w, g, add);
}

bool library_conv2d_weight(Device& device, const KernelChoices& choices, const ConvShape& shape, ConstArray x,
                           ConstArray g, Array dw) {
  return run(device, choices, shape, ConvPass::weight, x, dw, g);
}

}  // namespace vergence::cuda
