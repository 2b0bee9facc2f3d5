// The graphs that the convolutions on cuDNN are made of, and how a plan is chosen for one.
#pragma once

#include <optional>

#include "kernels/cuda/libraries/cudnn_graph.h"

namespace vergence::cuda {

/// One pass of a bf16 convolution. `weights`: the type of w, or of dw, which may be f32 too. add: to what the result
/// holds.
struct ConvGraph {
  cudnn::Graph graph;
  cudnn::Tensor x, w, y;
  std::int64_t fewest_parts = 1;  // into which an engine compiled at run time must cut the sums
};
ConvGraph conv_graph(const ConvShape& shape, ConvPass pass, DType weights, bool add = false);

/// "forward 1024x32x32x64 * 64x3x3x64 bf16, stride 1, padding 1"
std::string text_of(const ConvShape& shape, ConvPass pass, DType weights);

/// The first of cuDNN's offers that needs little working memory; where all need much, the one with the least. An engine
/// compiled at run time is taken at once, as each takes seconds. Nothing where none can run.
std::optional<cudnn::Plan> choose_plan(const cudnn::Target& target, const ConvGraph& made, bool repeatable);

struct NamedPlan {
  std::string name;  // of its offer
  cudnn::Plan plan;
};
/// The first `most` of cuDNN's ready-made offers that need little working memory, to be timed.
std::vector<NamedPlan> first_plans(const cudnn::Target& target, const ConvGraph& made, bool repeatable,
                                   std::size_t most);

}  // namespace vergence::cuda
