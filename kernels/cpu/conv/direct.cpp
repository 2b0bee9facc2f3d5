// Direct convolution by oneDNN. Activations keep their NHWC layout; weights (OHWI) and their gradients are reordered on
// every call to and from the layout that the primitive prefers: 9.4 MB of weights cost 0.5 to 1.8 ms next to a
// convolution of 10 to 40 ms, and a copy kept between calls could go stale unnoticed.
#ifndef VERGENCE_PLAIN_CPU

#include "kernels/cpu/conv/direct.h"

#include "kernels/cpu/onednn.h"
#include "kernels/cpu/workspace.h"

namespace vergence {

namespace {

using dnnl::memory;

struct Key {
  ConvShape shape;
  ConvPass pass;
  DType activations, weights;
  int threads;
  bool operator==(const Key&) const = default;
};

struct KeyHash {
  std::size_t operator()(const Key& k) const {
    const ConvShape& s = k.shape;
    std::size_t hash = 0;
    for (const std::int64_t value : {s.batch, s.in_height, s.in_width, s.in_channels, s.out_channels, s.kernel_height,
                                     s.kernel_width, s.stride, s.padding, s.dilation, s.groups})
      onednn::mix(hash, value);
    for (const int value :
         {static_cast<int>(k.pass), static_cast<int>(k.activations), static_cast<int>(k.weights), k.threads})
      onednn::mix(hash, value);
    return hash;
  }
};

struct DirectPlan {
  dnnl::primitive conv, reorder;  // reorder: of the weights, in before or out after; null if not needed
  memory::desc x, w, y, own_w;    // w: the primitive's weights; own_w: ours
  memory::desc conv_scratch, reorder_scratch;
};

struct Layouts {
  memory::desc x, w, y, own_w;
  memory::desc forward_w;  // of the forward pass, which the backward passes take as a hint
  memory::dims strides, dilations, padding;
};

Layouts layouts(const Key& key) {
  using Tag = memory::format_tag;
  const ConvShape& s = key.shape;
  const memory::data_type type = onednn::type_of(key.activations);
  const std::int64_t g = s.groups, o = s.out_channels / g, i = s.in_channels / g;
  const bool grouped = g > 1;
  const memory::dims weights = grouped ? memory::dims{g, o, i, s.kernel_height, s.kernel_width}
                                       : memory::dims{o, i, s.kernel_height, s.kernel_width};
  Layouts l;
  l.x = {{s.batch, s.in_channels, s.in_height, s.in_width}, type, Tag::nhwc};
  l.y = {{s.batch, s.out_channels, s.out_height(), s.out_width()}, type, Tag::nhwc};
  // Weight gradients are accumulated and delivered in f32; weights are read in the type of the activations.
  l.w = {weights, key.pass == ConvPass::weight ? memory::data_type::f32 : type, Tag::any};
  l.forward_w = {weights, type, Tag::any};
  l.own_w = {weights, onednn::type_of(key.weights), grouped ? Tag::gohwi : Tag::ohwi};
  l.strides = {s.stride, s.stride}, l.padding = {s.padding, s.padding};
  l.dilations = {s.dilation - 1, s.dilation - 1};
  return l;
}

/// Fills in the parts common to all passes, from the finished primitive description.
template <class Conv, class Desc>
std::shared_ptr<const DirectPlan> finish(DirectPlan plan, const Desc& desc, bool weights_out) {
  if (onednn::is_reference(desc)) return nullptr;
  plan.conv = Conv(desc);
  plan.conv_scratch = desc.scratchpad_desc();
  if (plan.w != plan.own_w) {
    const memory::desc &from = weights_out ? plan.w : plan.own_w, &to = weights_out ? plan.own_w : plan.w;
    const dnnl::reorder::primitive_desc reorder(onednn::engine(), from, onednn::engine(), to, onednn::attributes());
    plan.reorder = dnnl::reorder(reorder);
    plan.reorder_scratch = reorder.scratchpad_desc();
  }
  return std::make_shared<const DirectPlan>(plan);
}

/// oneDNN 2.6 requests too little scratch memory here and writes past its end (jit_1x1:avx512_core, which gathers the
/// strided pixels in blocks of 16 channels).
bool overruns_its_scratch(const Key& key) {
  const ConvShape& s = key.shape;
  return key.pass == ConvPass::weight && s.kernel_height == 1 && s.kernel_width == 1 && s.stride > 1 &&
         s.in_channels / s.groups < 16;
}

/// oneDNN 2.6 groups a bf16 image's columns by remainder modulo the stride. For a remainder without columns it reads
/// scratch memory never written (jit_bf16:avx512_core, jit_bf16:avx512_core_bf16, jit:avx512_core_amx_bf16).
bool reads_unwritten_scratch(const Key& key) {
  const ConvShape& s = key.shape;
  return key.pass == ConvPass::weight && key.activations == DType::bf16 && s.kernel_width > 1 && s.in_width < s.stride;
}

/// oneDNN 2.6 uses one register for both the weights and the last of an odd number of channels in data gradients of 30
/// pixels at a time. Its conditions for 30 are complex, but images of fewer pixels never meet them.
bool uses_a_register_twice(const ConvShape& s, const std::string& implementation) {
  return implementation == "jit_bf16_1x1:avx512_core_bf16" && s.out_channels % 2 == 1 &&
         s.out_height() * s.out_width() >= 30;
}

std::shared_ptr<const DirectPlan> make_plan(const Key& key) try {
  if (overruns_its_scratch(key) || reads_unwritten_scratch(key)) return nullptr;
  const Layouts l = layouts(key);
  const auto direct = dnnl::algorithm::convolution_direct;
  const auto forward = onednn::describe<dnnl::convolution_forward>(
      dnnl::prop_kind::forward_training, direct, l.x, l.forward_w, l.y, l.strides, l.dilations, l.padding, l.padding);
  DirectPlan plan;
  plan.x = l.x, plan.y = l.y, plan.own_w = l.own_w;
  if (key.pass == ConvPass::forward) {
    plan.w = forward.weights_desc();
    return finish<dnnl::convolution_forward>(plan, forward, false);
  }
  if (key.pass == ConvPass::data) {
    const auto data = onednn::describe_backward<dnnl::convolution_backward_data>(
        forward, direct, l.x, l.w, l.y, l.strides, l.dilations, l.padding, l.padding);
    if (uses_a_register_twice(key.shape, data.impl_info_str())) return nullptr;
    plan.w = data.weights_desc();
    return finish<dnnl::convolution_backward_data>(plan, data, false);
  }
  const auto weight = onednn::describe_backward<dnnl::convolution_backward_weights>(
      forward, direct, l.x, l.w, l.y, l.strides, l.dilations, l.padding, l.padding);
  plan.w = weight.diff_weights_desc();
  return finish<dnnl::convolution_backward_weights>(plan, weight, true);
} catch (const dnnl::error& failure) {
  // bf16 needs AVX-512; any error other than "not implemented" is a bug here.
  if (failure.status == dnnl_unimplemented) return nullptr;
  throw Error(join("conv: oneDNN: ", failure.what()));
}

std::shared_ptr<const DirectPlan> plan_of(const Key& key) {
  static onednn::Cache<Key, DirectPlan, KeyHash> cache;
  return cache.get(key, [&] { return make_plan(key); });
}

}  // namespace

bool onednn_conv(const ConvShape& shape, ConvPass pass, ConstArray first, ConstArray second, Array out, Backend& pool) {
  const bool weights_out = pass == ConvPass::weight;
  const auto plan = plan_of({shape, pass, first.dtype, weights_out ? out.dtype : second.dtype, omp_get_max_threads()});
  if (!plan) return false;
  const auto size = [](const memory::desc& desc) { return static_cast<std::int64_t>(desc.get_size()); };
  const Workspace scratch(pool, std::max(size(plan->conv_scratch), size(plan->reorder_scratch))),
      reordered(pool, plan->reorder ? size(plan->w) : 0);
  const void* own = weights_out ? out.data : second.data;
  const memory own_w = onednn::memory_at(plan->own_w, own),
               w = onednn::memory_at(plan->w, plan->reorder ? reordered.data() : own);
  const auto reorder = [&](const memory& from, const memory& to) {
    if (plan->reorder)
      plan->reorder.execute(onednn::stream(),
                            {{DNNL_ARG_FROM, from},
                             {DNNL_ARG_TO, to},
                             {DNNL_ARG_SCRATCHPAD, onednn::memory_at(plan->reorder_scratch, scratch.data())}});
  };
  if (!weights_out) reorder(own_w, w);
  std::unordered_map<int, memory> arguments{
      {DNNL_ARG_SCRATCHPAD, onednn::memory_at(plan->conv_scratch, scratch.data())}};
  switch (pass) {
    case ConvPass::forward:
      arguments.insert({{DNNL_ARG_SRC, onednn::memory_at(plan->x, first.data)},
                        {DNNL_ARG_WEIGHTS, w},
                        {DNNL_ARG_DST, onednn::memory_at(plan->y, out.data)}});
      break;
    case ConvPass::data:
      arguments.insert({{DNNL_ARG_DIFF_DST, onednn::memory_at(plan->y, first.data)},
                        {DNNL_ARG_WEIGHTS, w},
                        {DNNL_ARG_DIFF_SRC, onednn::memory_at(plan->x, out.data)}});
      break;
    case ConvPass::weight:
      arguments.insert({{DNNL_ARG_SRC, onednn::memory_at(plan->x, first.data)},
                        {DNNL_ARG_DIFF_DST, onednn::memory_at(plan->y, second.data)},
                        {DNNL_ARG_DIFF_WEIGHTS, w}});
      break;
  }
  plan->conv.execute(onednn::stream(), arguments);
  if (weights_out) reorder(w, own_w);
  onednn::stream().wait();
  return true;
}

}  // namespace vergence

#endif
