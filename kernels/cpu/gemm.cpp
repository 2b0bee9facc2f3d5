// Matrix products on the CPU.
//
// f64: OpenBLAS. f32 and bf16: oneDNN, which beat OpenBLAS' sgemm in every case measured (2 cores with AVX-512 and AMX,
// 2 threads, GFLOP/s; the bf16 column has bf16 results):
//
//      m     n     k   op    OpenBLAS  oneDNN sgemm  oneDNN matmul   bf16 matmul
//    128   512  2048   NT         236           236            310          1833
//    128  2048  2048   NT         242           210            278          1788
//    128  2048  2048   NN         202           283            259          1045
//   2048  2048   128   TN         239           311            284           840
//    512   512   128   NT         194           301            273          2161
//    128   128   512   NT         166           234            309          1848
//   2048   512   128   TN         243           328            327          1368
//
// The rule for f32: the matmul primitive if b is transposed (the forward of a linear layer, with its bias fused) or if
// there is a bias, sgemm otherwise.
#include "kernels/cpu/backend.h"
#include "kernels/cpu/reference.h"

#ifndef VERGENCE_PLAIN_CPU
#include <cblas.h>

#include "kernels/cpu/onednn.h"
#include "kernels/cpu/workspace.h"
#endif

namespace vergence {

#ifndef VERGENCE_PLAIN_CPU

namespace {

using dnnl::memory;

/// Other depths run in f32, since oneDNN's bf16 products on AMX fail at incomplete tiles: illegal instructions in 2.6,
/// NaN leaking between rows up to 3.14 (github.com/uxlfoundation/oneDNN, issues 1661 and 5717).
constexpr std::int64_t bf16_depth = 32;

struct Key {
  bool transpose_a, transpose_b;
  std::int64_t m, n, k;
  DType in, out, bias;
  bool has_bias;
  int threads;
  bool operator==(const Key&) const = default;
};

struct KeyHash {
  std::size_t operator()(const Key& key) const {
    std::size_t hash = 0;
    for (const std::int64_t value : {key.m, key.n, key.k}) onednn::mix(hash, value);
    for (const int value : {int{key.transpose_a}, int{key.transpose_b}, static_cast<int>(key.in),
                            static_cast<int>(key.out), static_cast<int>(key.bias), int{key.has_bias}, key.threads})
      onednn::mix(hash, value);
    return hash;
  }
};

struct GemmPlan {
  dnnl::matmul product;
  memory::desc a, b, bias, out, scratch;
};

std::shared_ptr<const GemmPlan> make_plan(const Key& key) try {
  using Tag = memory::format_tag;
  GemmPlan plan;
  plan.a = {{key.m, key.k}, onednn::type_of(key.in), key.transpose_a ? Tag::ba : Tag::ab};
  plan.b = {{key.k, key.n}, onednn::type_of(key.in), key.transpose_b ? Tag::ba : Tag::ab};
  plan.out = {{key.m, key.n}, onednn::type_of(key.out), Tag::ab};
  if (key.has_bias) plan.bias = {{1, key.n}, onednn::type_of(key.bias), Tag::ab};
  const dnnl::matmul::primitive_desc desc = key.has_bias
                                                ? onednn::describe<dnnl::matmul>(plan.a, plan.b, plan.bias, plan.out)
                                                : onednn::describe<dnnl::matmul>(plan.a, plan.b, plan.out);
  if (onednn::is_reference(desc)) return nullptr;
  plan.product = dnnl::matmul(desc);
  plan.scratch = desc.scratchpad_desc();
  return std::make_shared<const GemmPlan>(plan);
} catch (const dnnl::error& failure) {
  if (failure.status == dnnl_unimplemented) return nullptr;
  throw Error(join("gemm: oneDNN: ", failure.what()));
}

/// Returns false, having done nothing, if oneDNN has no tuned implementation for this processor.
bool matmul(const Key& key, ConstArray a, ConstArray b, ConstArray bias, Array out, Backend& pool) {
  static onednn::Cache<Key, GemmPlan, KeyHash> cache;
  const auto plan = cache.get(key, [&] { return make_plan(key); });
  if (!plan) return false;
  const Workspace scratch(pool, static_cast<std::int64_t>(plan->scratch.get_size()));
  std::unordered_map<int, memory> arguments{{DNNL_ARG_SRC, onednn::memory_at(plan->a, a.data)},
                                            {DNNL_ARG_WEIGHTS, onednn::memory_at(plan->b, b.data)},
                                            {DNNL_ARG_DST, onednn::memory_at(plan->out, out.data)},
                                            {DNNL_ARG_SCRATCHPAD, onednn::memory_at(plan->scratch, scratch.data())}};
  if (bias) arguments.insert({DNNL_ARG_BIAS, onednn::memory_at(plan->bias, bias.data)});
  plan->product.execute(onednn::stream(), arguments);
  onednn::stream().wait();
  return true;
}

void gemm_f64(bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n, std::int64_t k, const double* a,
              const double* b, const double* bias, double* out) {
  if (bias)
    for (std::int64_t i = 0; i < m; ++i) std::copy_n(bias, n, out + i * n);
  const auto size = [](std::int64_t value) { return static_cast<blasint>(value); };
  cblas_dgemm(CblasRowMajor, transpose_a ? CblasTrans : CblasNoTrans, transpose_b ? CblasTrans : CblasNoTrans, size(m),
              size(n), size(k), 1, a, size(transpose_a ? m : k), b, size(transpose_b ? k : n), bias ? 1 : 0, out,
              size(n));
}

void sgemm(bool transpose_a, std::int64_t m, std::int64_t n, std::int64_t k, const float* a, const float* b,
           float* out) {
  const dnnl_status_t status =
      dnnl_sgemm(transpose_a ? 'T' : 'N', 'N', m, n, k, 1, a, transpose_a ? m : k, b, n, 0, out, n);
  require(status == dnnl_success, "gemm: oneDNN: sgemm of ", m, " x ", n, " x ", k, " failed with status ",
          int{status});
}

/// A bf16 product computed in f32.
void gemm_widened(const Key& key, ConstArray a, ConstArray b, ConstArray bias, Array out, Backend& backend) {
  const auto bytes = [](const ConstArray& array, bool wanted) { return wanted ? array.size * 4 : 0; };
  const bool widen_bias = bias && bias.dtype != DType::f32, narrow = out.dtype != DType::f32;
  const Workspace a_memory(backend, bytes(a, true)), b_memory(backend, bytes(b, true)),
      bias_memory(backend, bytes(bias, widen_bias)), out_memory(backend, bytes(out, narrow));
  const auto copy = [&](ConstArray from, Array to) {
    backend.map(Map::copy, 1, to.size, {from}, {}, 1, 0, to);
    return to;
  };
  const ConstArray wide_a = copy(a, {a_memory.data(), a.size, DType::f32}),
                   wide_b = copy(b, {b_memory.data(), b.size, DType::f32}),
                   wide_bias = widen_bias ? copy(bias, {bias_memory.data(), bias.size, DType::f32}) : bias;
  const Array result = narrow ? Array{out_memory.data(), out.size, DType::f32} : out;
  backend.gemm(key.transpose_a, key.transpose_b, key.m, key.n, key.k, wide_a, wide_b, wide_bias, result);
  if (narrow) copy(result, out);
}

}  // namespace

void CpuBackend::gemm(bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n, std::int64_t k, ConstArray a,
                      ConstArray b, ConstArray bias, Array out) {
  if (m == 0 || n == 0) return;
  if (k == 0) return plain::gemm(transpose_a, transpose_b, m, n, k, a, b, bias, out);
  if (a.dtype == DType::f64)
    return gemm_f64(transpose_a, transpose_b, m, n, k, a.as<double>(), b.as<double>(), bias.as<double>(),
                    out.as<double>());
  if (a.dtype == DType::f32 && !transpose_b && !bias)
    return sgemm(transpose_a, m, n, k, a.as<float>(), b.as<float>(), out.as<float>());
  const Key key{transpose_a,          transpose_b, m, n, k, a.dtype, out.dtype, bias.dtype, static_cast<bool>(bias),
                omp_get_max_threads()};
  if (a.dtype == DType::f32) {
    if (!matmul(key, a, b, bias, out, *this)) plain::gemm(transpose_a, transpose_b, m, n, k, a, b, bias, out);
  } else if (k % bf16_depth != 0 || !matmul(key, a, b, bias, out, *this)) {
    gemm_widened(key, a, b, bias, out, *this);
  }
}

#else

void CpuBackend::gemm(bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n, std::int64_t k, ConstArray a,
                      ConstArray b, ConstArray bias, Array out) {
  plain::gemm(transpose_a, transpose_b, m, n, k, a, b, bias, out);
}

#endif

}  // namespace vergence
