// Convolution on the CPU: rules.h chooses the implementation, or conv_tuning.h does.
#include "kernels/conv_tuning.h"
#include "kernels/cpu/backend.h"
#include "kernels/cpu/conv/rules.h"
#include "kernels/cpu/conv/unfold.h"
#include "kernels/cpu/conv/winograd.h"
#include "kernels/cpu/reference.h"
#include "kernels/cpu/workspace.h"
#ifndef VERGENCE_PLAIN_CPU
#include "kernels/cpu/conv/direct.h"
#endif

namespace vergence {

namespace {

/// One pass; first, second and out as in winograd.h and direct.h.
void convolve_by(CpuConvAlgorithm algorithm, const ConvShape& shape, ConvPass pass, ConstArray first, ConstArray second,
                 Array out, Backend& pool) {
  switch (algorithm) {
    case CpuConvAlgorithm::winograd:
      return winograd_conv(shape, pass, first.as<float>(), second.as<float>(), out.as<float>(), pool);
    case CpuConvAlgorithm::unfold:
      return unfold_conv(shape, pass, first, second, out, pool);
    case CpuConvAlgorithm::direct:
      break;
  }
#ifndef VERGENCE_PLAIN_CPU
  if (first.dtype != DType::f64 && shape.batch > 0 && onednn_conv(shape, pass, first, second, out, pool)) return;
#endif
  switch (pass) {
    case ConvPass::forward:
      return plain::conv2d(shape, first, second, out);
    case ConvPass::data:
      return plain::conv2d_data(shape, first, second, out);
    case ConvPass::weight:
      return plain::conv2d_weight(shape, first, second, out);
  }
}

void convolve(const ConvShape& shape, ConvPass pass, ConstArray first, ConstArray second, Array out, Backend& pool) {
  if (out.size == 0) return;
  if (shape.batch == 0) return pool.fill(out, 0);  // the weight gradient of no images
  const auto run = [&](CpuConvAlgorithm algorithm) { convolve_by(algorithm, shape, pass, first, second, out, pool); };
  const KernelChoices& choices = pool.choices();
  if (!choices.tuning) return run(choose_cpu_conv(shape, pass, first.dtype, choices.cpu_conv));
  std::vector<ConvCandidate> candidates;
  for (const auto& [name, algorithm] :
       {std::pair{"direct", CpuConvAlgorithm::direct}, std::pair{"winograd", CpuConvAlgorithm::winograd},
        std::pair{"unfold", CpuConvAlgorithm::unfold}})
    if (cpu_conv_applies(algorithm, shape, pass, first.dtype))
      candidates.push_back({name, [&run, algorithm = algorithm] { run(algorithm); }});
  candidates[choices.tuning->choose(text_of_conv(shape, pass, first.dtype), candidates)].run();
}

/// With `add`, computes into temporary memory, then adds that to `out`.
void convolve(const ConvShape& shape, ConvPass pass, ConstArray first, ConstArray second, Array out, Backend& pool,
              bool add) {
  if (!add) return convolve(shape, pass, first, second, out, pool);
  const Workspace memory(pool, out.size * size_of(out.dtype));
  const Array apart{memory.data(), out.size, out.dtype};
  convolve(shape, pass, first, second, apart, pool);
  pool.map(Map::add, 1, out.size, {out}, {apart}, 1, 1, out);
}

}  // namespace

void CpuBackend::conv2d(const ConvShape& shape, ConstArray x, ConstArray w, Array y, bool add) {
  convolve(shape, ConvPass::forward, x, w, y, *this, add);
}

void CpuBackend::conv2d_data(const ConvShape& shape, ConstArray g, ConstArray w, Array dx, bool add) {
  convolve(shape, ConvPass::data, g, w, dx, *this, add);
}

void CpuBackend::conv2d_weight(const ConvShape& shape, ConstArray x, ConstArray g, Array dw) {
  convolve(shape, ConvPass::weight, x, g, dw, *this);
}

}  // namespace vergence
