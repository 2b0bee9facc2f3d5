// The cuDNN graphs of convolutions, and how a plan is chosen for one.
#pragma once

#include <optional>

#include "kernels/cuda/libraries/cudnn_graph.h"

namespace vergence::cuda {

/// One pass of a bf16 convolution. `weights`: the type of w, or of dw, which may also be f32. add: adds to what the
/// result holds.
struct ConvGraph {
  cudnn::Graph graph;
  cudnn::Tensor x, w, y;
  std::int64_t fewest_parts = 1;  // the fewest parts into which a runtime-compiled engine must cut the sums
};
ConvGraph conv_graph(const ConvShape& shape, ConvPass pass, DType weights, bool add = false);

/// "forward 1024x32x32x64 * 64x3x3x64 bf16, stride 1, padding 1"
std::string text_of(const ConvShape& shape, ConvPass pass, DType weights);

/// The first of cuDNN's offers that needs little working memory, or the one that needs least if all need much. Stops at
/// the first engine compiled at run time, since each takes seconds to compile. Nothing if none can run.
std::optional<cudnn::ExecutionPlan> choose_plan(const cudnn::Target& target, const ConvGraph& made, bool repeatable);

struct NamedPlan {
  std::string name;  // of its offer
  cudnn::ExecutionPlan plan;
};
/// Up to `most` of cuDNN's ready-made offers that need little working memory, in order, to be timed.
std::vector<NamedPlan> first_plans(const cudnn::Target& target, const ConvGraph& made, bool repeatable,
                                   std::size_t most);

}  // namespace vergence::cuda
