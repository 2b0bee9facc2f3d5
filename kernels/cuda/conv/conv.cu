// Chooses the kernel of a convolution on the GPU. Each implementation leaves unsupported cases to the next: the
// library, our own kernels on tensor cores (tensor.cu, tensor_weight.cu), our kernels that run everywhere (plain.cu).
#include <atomic>
#include <cstdio>

#include "kernels/conv_record.h"
#include "kernels/conv_tuning.h"
#include "kernels/cuda/backend.h"
#include "kernels/cuda/conv/kernels.h"
#include "kernels/cuda/fused.h"
#include "kernels/cuda/libraries.h"
#include "kernels/cuda/loops.h"
#include "kernels/cuda/rules.h"

namespace vergence::VERGENCE_GPU {
namespace {

constexpr const char *by_library = "cuDNN", *by_tensor = "own tensor-core kernels", *by_plain = "own plain kernels";

/// The weights, rounded to bf16 if the library is chosen; the kernels it falls back to then use the same values.
class Weights {
 public:
  Weights(Device& device, CudaConvAlgorithm choice, ConstArray w)
      : rounded_(device, to_round(choice, w) ? w.size : 0), array_(w) {
    if (!to_round(choice, w)) return;
    weights_to_bf16(device, w, rounded_.data());
    array_ = {rounded_.data(), w.size, DType::bf16};
  }
  ConstArray array() const { return array_; }

 private:
  static bool to_round(CudaConvAlgorithm choice, ConstArray w) {
    return choice == CudaConvAlgorithm::library && w.dtype != DType::bf16;
  }

  Scratch<bf16> rounded_;
  ConstArray array_;
};

/// The library's weight gradient; computed in bf16 and converted if rounding is allowed.
bool library_weight(CudaBackend& gpu, const ConvShape& shape, ConstArray x, ConstArray g, Array dw) {
  if (dw.dtype != DType::f32 || x.dtype != DType::bf16 || gpu.choices().weight_gradients != DType::bf16)
    return library_conv2d_weight(gpu.device(), gpu.choices(), shape, x, g, dw);
  const Scratch<bf16> scratch(gpu.device(), dw.size);
  const Array rounded{scratch.data(), dw.size, DType::bf16};
  if (!library_conv2d_weight(gpu.device(), gpu.choices(), shape, x, g, rounded)) return false;
  gpu.map(Map::copy, 1, dw.size, {rounded}, {}, 1, 0, dw);
  return true;
}

/// Our forward kernels cannot add to the output: a separate sum follows them.
bool tensor_forward(CudaBackend& gpu, const ConvShape& shape, ConstArray x, ConstArray w, Array y, bool add) {
  if (!add) return tensor_conv2d(gpu.device(), shape, x, w, y);
  const Scratch<char> memory(gpu.device(), y.size * size_of(y.dtype));
  const Array apart{memory.data(), y.size, y.dtype};
  if (!tensor_conv2d(gpu.device(), shape, x, w, apart)) return false;
  gpu.map(Map::add, 1, y.size, {y}, {apart}, 1, 1, y);
  return true;
}

/// One pass by one algorithm, or by the next if that does not support the case. `first` is x or g, `second` is w, or g
/// for the weight gradient. add, except for the weight gradient: adds to what `out` holds.
void convolve_by(CudaConvAlgorithm choice, CudaBackend& gpu, const ConvShape& shape, ConvPass pass, ConstArray first,
                 ConstArray second, Array out, bool add = false) {
  Device& device = gpu.device();
  const bool library = choice == CudaConvAlgorithm::library, tensor = choice != CudaConvAlgorithm::plain;
  const auto by = [&](const char* who) { note_conv(shape, pass, first.dtype, who); };
  if (pass == ConvPass::weight) {
    if (library && library_weight(gpu, shape, first, second, out)) return by(by_library);
    if (tensor && tensor_conv2d_weight(device, shape, first, second, out)) return by(by_tensor);
    plain_conv2d_weight(device, shape, first, second, out);
    return by(by_plain);
  }
  const Weights weights(device, choice, second);
  const ConstArray w = weights.array();
  if (pass == ConvPass::forward) {
    if (library && library_conv2d(device, gpu.choices(), shape, first, w, out, add)) return by(by_library);
    if (tensor && tensor_forward(gpu, shape, first, w, out, add)) return by(by_tensor);
    plain_conv2d(device, shape, first, w, out, add);
    return by(by_plain);
  }
  if (library && library_conv2d_data(device, gpu.choices(), shape, first, w, out, add)) return by(by_library);
  if (tensor && tensor_conv2d_data(device, shape, first, w, out, {}, add)) return by(by_tensor);
  plain_conv2d_data(device, shape, first, w, out, add);
  by(by_plain);
}

/// True if the library can be used. If it is expected but missing: throws for `--conv cudnn`, otherwise prints one
/// notice that our own kernels replace it.
bool library_there(CudaBackend& gpu) {
  const LibraryState& state = conv_library(gpu.device());
  if (state.ready || state.text.empty()) return state.ready;
  require_usage(gpu.choices().cuda_conv != CudaConv::cudnn, "--conv cudnn: ", state.text);
  static std::atomic<bool> told{false};
  if (!told.exchange(true))
    std::fprintf(stderr, "notice: cuDNN: %s; our own kernels compute the convolutions, slower\n", state.text.c_str());
  return false;
}

/// Chooses by the rule or, when tuning, by measurement, which overwrites `out` unless told to `keep` it.
CudaConvAlgorithm chosen(CudaBackend& gpu, const ConvShape& shape, ConvPass pass, ConstArray first, ConstArray second,
                         Array out, bool keep = false) {
  const KernelChoices& choices = gpu.choices();
  if (!choices.tuning) {
    const CudaConvAlgorithm choice = choose_cuda_conv(shape, pass, first.dtype, choices);
    const bool absent = choice == CudaConvAlgorithm::library && !library_there(gpu);
    return absent && choices.cuda_conv == CudaConv::automatic ? CudaConvAlgorithm::tensor : choice;
  }
  const Scratch<char> elsewhere(gpu.device(), keep ? out.size * size_of(out.dtype) : 0);
  if (keep) out.data = elsewhere.data();
  std::vector<ConvCandidate> candidates;
  std::vector<CudaConvAlgorithm> algorithms;
  for (const auto& [name, choice] :
       {std::pair{"library", CudaConvAlgorithm::library}, std::pair{"tensor", CudaConvAlgorithm::tensor},
        std::pair{"plain", CudaConvAlgorithm::plain}}) {
    if (!cuda_conv_applies(choice, shape, pass, first.dtype, choices)) continue;
    if (choice == CudaConvAlgorithm::library && !library_there(gpu)) continue;
    algorithms.push_back(choice);
    candidates.push_back({name, [&, choice = choice] {
                            convolve_by(choice, gpu, shape, pass, first, second, out);
                            gpu.device().synchronize();
                          }});
  }
  return algorithms[choices.tuning->choose(text_of_conv(shape, pass, first.dtype), candidates)];
}

void convolve(CudaBackend& gpu, const ConvShape& shape, ConvPass pass, ConstArray first, ConstArray second, Array out,
              bool add = false) {
  if (out.size == 0) return;
  if (shape.batch == 0) return gpu.fill(out, 0);  // the weight gradient of no images
  convolve_by(chosen(gpu, shape, pass, first, second, out, add), gpu, shape, pass, first, second, out, add);
}

}  // namespace

std::string CudaBackend::convolutions_by(DType activations) {
  if (activations != DType::bf16) return "own kernels";
  if (choices().cuda_conv == CudaConv::cuda) return "own kernels (--conv cuda)";
  const std::string& text = conv_library(device_).text;
  if (library_there(*this)) return text;
  return text.empty() ? "own kernels" : join("own kernels (", text, ")");
}

void CudaBackend::conv2d(const ConvShape& shape, ConstArray x, ConstArray w, Array y, bool add) {
  convolve(*this, shape, ConvPass::forward, x, w, y, add);
}

void CudaBackend::conv2d_data(const ConvShape& shape, ConstArray g, ConstArray w, Array dx, bool add) {
  convolve(*this, shape, ConvPass::data, g, w, dx, add);
}

void CudaBackend::conv2d_weight(const ConvShape& shape, ConstArray x, ConstArray g, Array dw) {
  convolve(*this, shape, ConvPass::weight, x, g, dw);
}

bool CudaBackend::conv2d_batch_norm(const ConvShape& conv, ConstArray x, ConstArray w, Array raw,
                                    const NormShape& shape, const BatchNormArrays& norm) {
  if (raw.size == 0 || !norm_takes_tiles(shape, x.dtype)) return false;
  if (chosen(*this, conv, ConvPass::forward, x, w, raw) != CudaConvAlgorithm::tensor) return false;
  const std::int64_t moments = ceil_div(shape.groups * shape.rows, conv_statistics_rows) * shape.channels;
  const Scratch<float> means(device_, moments), squares(device_, moments);
  const ConvStatistics statistics{means.data(), squares.data()};
  if (!tensor_conv2d(device_, conv, x, w, raw, statistics)) return false;
  note_conv(conv, ConvPass::forward, x.dtype, by_tensor);
  BatchNormArrays of_raw = norm;
  of_raw.x = raw;
  return batch_norm_of_tiles(*this, shape, statistics, of_raw);
}

std::int64_t CudaBackend::relu_tiles(const ConvShape& conv, const NormShape& norm) const {
  return norm.channels % 8 == 0 ? conv_data_tiles(conv, norm.groups) : 0;
}

bool CudaBackend::conv2d_data_relu(const ConvShape& conv, const NormShape& norm, const ConvDataReluArrays& in,
                                   bool add) {
  if (in.dx.size == 0 || relu_tiles(conv, norm) == 0 || in.dx.dtype != DType::bf16) return false;
  if (!aligned_to<16>(in.dx.data) || !aligned_to<16>(in.raw.data)) return false;
  if (chosen(*this, conv, ConvPass::data, in.g, in.w, in.dx, add) != CudaConvAlgorithm::tensor) return false;
  if (!tensor_conv2d_data(device_, conv, in.g, in.w, in.dx,
                          {in.raw.as<bf16>(), in.positive.as<std::uint8_t>(), in.mean.as<float>(), in.sums.as<float>(),
                           static_cast<int>(norm.groups)},
                          add))
    return false;
  note_conv(conv, ConvPass::data, in.g.dtype, by_tensor);
  return true;
}

}  // namespace vergence::VERGENCE_GPU
