// Matrix products by cuBLASLt, for f64, f32 and bf16, with sums in f64 or f32. The library is column-major: our
// row-major out = op(a) op(b) is its out' = op(b)' op(a)', where a transposed matrix costs nothing, and our bias per
// column is its bias per row. Its choice is kept per shape. It may cut long sums into parts only if it adds those in
// full precision and in a fixed order. Its working memory comes from the device with each call, so that a recorded
// product owns the memory it writes to.
#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <mutex>
#include <optional>

#include "kernels/cuda/libraries.h"
#include "kernels/cuda/libraries/cublas_library.h"

namespace vergence::cuda {
namespace {

constexpr std::int64_t max_workspace = std::int64_t{32} << 20;

struct Product {
  CudaMath math;
  bool transpose_a, transpose_b;
  std::int64_t m, n, k;
  ConstArray a, b, bias;
  Array out;
};

std::string text_of(const Product& p) {
  return join("gemm (", p.m, ",", p.n, ") = (", p.m, ",", p.k, p.transpose_a ? ")' (" : ") (", p.k, ",", p.n,
              p.transpose_b ? ")'" : ")", p.bias ? " + bias, " : ", ", name_of(p.a.dtype), " to ",
              name_of(p.out.dtype));
}

void check(cublasStatus_t status, const Product& product) {
  if (status != CUBLAS_STATUS_SUCCESS)
    throw Error(join(text_of(product), ": cuBLASLt: ", cublas_library().status_text(status)));
}

cudaDataType_t data_type(DType type) {
  return type == DType::f64 ? CUDA_R_64F : type == DType::f32 ? CUDA_R_32F : CUDA_R_16BF;
}

cublasComputeType_t compute_type(const Product& p) {
  if (p.a.dtype == DType::f64) return CUBLAS_COMPUTE_64F;
  return p.a.dtype == DType::f32 && p.math != CudaMath::fp32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
}

/// The alignment of an address in bytes: kernels have different requirements.
std::uint32_t alignment(const void* data) {
  const auto address = reinterpret_cast<std::uintptr_t>(data) | 256;
  return static_cast<std::uint32_t>(address & (~address + 1));
}

using Key = std::array<std::int64_t, 13>;

Key key_of(const Product& p) {
  return {p.transpose_a,
          p.transpose_b,
          p.m,
          p.n,
          p.k,
          static_cast<std::int64_t>(p.a.dtype),
          static_cast<std::int64_t>(p.out.dtype),
          static_cast<bool>(p.bias),
          static_cast<std::int64_t>(compute_type(p)),
          alignment(p.a.data),
          alignment(p.b.data),
          alignment(p.bias.data),
          alignment(p.out.data)};
}

struct Choice {
  cublasLtMatmulDesc_t product = nullptr;
  cublasLtMatrixLayout_t a = nullptr, b = nullptr, out = nullptr;
  cublasLtMatmulAlgo_t algorithm{};
  std::size_t workspace = 0;
};

template <class T>
void set(cublasLtMatmulDesc_t descriptor, cublasLtMatmulDescAttributes_t name, const T& value, const Product& product) {
  check(cublas_library().set_product(descriptor, name, &value, sizeof value), product);
}

cublasLtMatmulDesc_t describe(const Product& p) {
  const DType scale = p.a.dtype == DType::f64 ? DType::f64 : DType::f32;
  cublasLtMatmulDesc_t descriptor = nullptr;
  check(cublas_library().create_product(&descriptor, compute_type(p), data_type(scale)), p);
  set(descriptor, CUBLASLT_MATMUL_DESC_TRANSA, p.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N, p);
  set(descriptor, CUBLASLT_MATMUL_DESC_TRANSB, p.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N, p);
  if (p.bias) {
    set(descriptor, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS, p);
    set(descriptor, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, data_type(p.bias.dtype), p);
    set(descriptor, CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias.data, p);
  }
  return descriptor;
}

/// A row-major (rows, cols) matrix.
cublasLtMatrixLayout_t layout(DType type, std::int64_t rows, std::int64_t cols, const Product& product) {
  cublasLtMatrixLayout_t made = nullptr;
  check(cublas_library().create_layout(&made, data_type(type), static_cast<std::uint64_t>(cols),
                                       static_cast<std::uint64_t>(rows), cols),
        product);
  return made;
}

cublasLtMatmulPreference_t preference(const Product& p) {
  cublasLtMatmulPreference_t made = nullptr;
  check(cublas_library().create_preference(&made), p);
  const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t name, auto value) {
    check(cublas_library().set_preference(made, name, &value, sizeof value), p);
  };
  prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<std::uint64_t>(max_workspace));
  prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, std::uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment(p.b.data));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment(p.a.data));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment(p.out.data));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment(p.out.data));
  return made;
}

/// Nothing if the library does not support the case.
std::optional<Choice> choose(cublasLtHandle_t handle, const Product& p) {
  Choice choice{
      .product = describe(p),
      .a = p.transpose_a ? layout(p.a.dtype, p.k, p.m, p) : layout(p.a.dtype, p.m, p.k, p),
      .b = p.transpose_b ? layout(p.b.dtype, p.n, p.k, p) : layout(p.b.dtype, p.k, p.n, p),
      .out = layout(p.out.dtype, p.m, p.n, p),
  };
  const cublasLtMatmulPreference_t preferred = preference(p);
  cublasLtMatmulHeuristicResult_t result{};
  int found = 0;
  const cublasStatus_t status = cublas_library().heuristic(handle, choice.product, choice.b, choice.a, choice.out,
                                                           choice.out, preferred, 1, &result, &found);
  cublas_library().destroy_preference(preferred);
  const bool impossible = status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE;
  if (impossible || (status == CUBLAS_STATUS_SUCCESS && found == 0)) return std::nullopt;
  check(status, p);
  choice.algorithm = result.algo;
  choice.workspace = result.workspaceSize;
  return choice;
}

/// Null, after printing the reason, if the library cannot be used.
cublasLtHandle_t make_handle() {
  std::string why;
  try {
    cublasLtHandle_t handle = nullptr;
    const cublasStatus_t status = cublas_library().create(&handle);
    if (status == CUBLAS_STATUS_SUCCESS) return handle;
    why = join("a handle for this machine's GPU: ", cublas_library().status_text(status));
  } catch (const Error& error) {
    why = error.what();
  }
  std::fprintf(stderr, "notice: cuBLASLt: %s; our own kernels compute matrix products, slower\n", why.c_str());
  return nullptr;
}

/// The library's state for one device. Lives as long as the process.
struct Products {
  std::mutex mutex;
  std::optional<cublasLtHandle_t> handle;  // once it was requested
  std::map<Key, std::optional<Choice>> choices;
};

Products& products_of(const Device& device) {
  static std::mutex mutex;
  static auto& all = *new std::map<const Device*, Products>;
  const std::lock_guard lock(mutex);
  return all[&device];
}

void run(Device& device, cublasLtHandle_t handle, const Choice& choice, const Product& p) {
  if (p.bias) set(choice.product, CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias.data, p);
  const double one = 1, zero = 0;
  const float one_f32 = 1, zero_f32 = 0;
  const bool wide = p.a.dtype == DType::f64;
  const Scratch<char> workspace(device, static_cast<std::int64_t>(choice.workspace));
  check(cublas_library().matmul(handle, choice.product, wide ? static_cast<const void*>(&one) : &one_f32, p.b.data,
                                choice.b, p.a.data, choice.a, wide ? static_cast<const void*>(&zero) : &zero_f32,
                                p.out.data, choice.out, p.out.data, choice.out, &choice.algorithm,
                                choice.workspace > 0 ? workspace.data() : nullptr, choice.workspace, device.stream()),
        p);
}

}  // namespace

bool library_gemm(Device& device, CudaMath math, bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n,
                  std::int64_t k, ConstArray a, ConstArray b, ConstArray bias, Array out) {
  const Product product{math, transpose_a, transpose_b, m, n, k, a, b, bias, out};
  const bool one_type = a.dtype == b.dtype && is_float(a.dtype) && (!bias || bias.dtype == out.dtype) &&
                        (out.dtype == a.dtype || out.dtype == master_of(a.dtype));
  if (!one_type || m == 0 || n == 0 || k == 0) return false;
  Products& products = products_of(device);
  const std::lock_guard lock(products.mutex);
  if (!products.handle) products.handle = make_handle();
  if (!*products.handle) return false;
  const Key key = key_of(product);
  auto known = products.choices.find(key);
  if (known == products.choices.end()) known = products.choices.emplace(key, choose(*products.handle, product)).first;
  if (!known->second) return false;
  note_launch("gemm, cuBLASLt");
  run(device, *products.handle, *known->second, product);
  return true;
}

}  // namespace vergence::cuda
