// Tests the emulated versions of ptx.h against plain products of numbers that are all different.
#include "kernels/cuda/ptx.h"

#include <gtest/gtest.h>
#include <vector>

namespace vergence::emulated {
namespace {

/// out(16,8) = a(16,16) b(16,8). b is given as (8,16), contiguous along the depth, or else as (16,8).
template <bool a_transposed, bool b_transposed>
__global__ void product_bf16(const bf16* a, const bf16* b, float* out) {
  SHARED(bf16, of_a, [16][16]);
  SHARED(bf16, of_b, [16][16]);
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = lane; i < 256; i += 32) of_a[i / 16][i % 16] = a[i];
  for (int i = lane; i < 256; i += 32) of_b[i / 16][i % 16] = b[i % 128];
  __syncthreads();
  unsigned from_a[4], from_b[4];
  if constexpr (a_transposed)
    load_matrices_transposed(from_a, &of_a[lane / 16 * 8 + lane % 8][lane / 8 % 2 * 8]);
  else
    load_matrices(from_a, &of_a[lane % 16][lane / 16 * 8]);
  const bf16* b_rows = &of_b[0][0];
  if constexpr (b_transposed)
    load_matrices(from_b, b_rows + lane % 8 * 16 + lane / 8 % 2 * 8);
  else
    load_matrices_transposed(from_b, b_rows + lane % 16 * 8);
  float sums[4] = {1, 2, 3, 4};
  multiply_bf16(sums, from_a, from_b[0], from_b[1]);
  const int row = lane / 4, col = lane % 4 * 2;
  for (int i = 0; i < 4; ++i) out[(row + i / 2 * 8) * 8 + col + i % 2] = sums[i];
}

/// Different numbers that bf16 holds exactly, with sums of products that f32 holds exactly.
std::vector<bf16> different(int count, int first) {
  std::vector<bf16> values;
  for (int i = 0; i < count; ++i) values.emplace_back(static_cast<float>((i + first) % 2 ? i / 2 + 1 : -i / 2 - 1) / 8);
  return values;
}

template <bool a_transposed, bool b_transposed>
void check_bf16() {
  const std::vector<bf16> a = different(256, 0), b = different(128, 1);
  std::vector<float> out(128);
  launch("product", product_bf16<a_transposed, b_transposed>, 1, 32, 0, a.data(), b.data(), out.data());
  for (int row = 0; row < 16; ++row)
    for (int col = 0; col < 8; ++col) {
      float sum = static_cast<float>(1 + row / 8 * 2 + col % 2);
      for (int k = 0; k < 16; ++k)
        sum += static_cast<float>(a[static_cast<std::size_t>(a_transposed ? k * 16 + row : row * 16 + k)]) *
               static_cast<float>(b[static_cast<std::size_t>(b_transposed ? col * 16 + k : k * 8 + col)]);
      EXPECT_EQ(out[static_cast<std::size_t>(row * 8 + col)], sum) << row << ", " << col;
    }
}

TEST(Ptx, ProductsOfBf16) {
  check_bf16<false, true>();
  check_bf16<true, false>();
  check_bf16<false, false>();
}

/// out(16,8) = a(16,8) b(8,8), b given as (8 columns, 8 rows); the fragments through ldmatrix, as pairs of 16 bits.
__global__ void product_tf32(const float* a, const float* b, float* out) {
  SHARED(float, of_a, [16][8]);
  SHARED(float, of_b, [16][8]);
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = lane; i < 128; i += 32) {
    of_a[i / 8][i % 8] = a[i];
    of_b[i / 8][i % 8] = b[i % 64];
  }
  __syncthreads();
  unsigned from_a[4], from_b[4];
  load_matrices(from_a, &of_a[lane % 16][lane / 16 * 4]);
  load_matrices(from_b, &of_b[lane % 8][lane / 8 % 2 * 4]);
  for (int i = 0; i < 4; ++i) from_a[i] = to_tf32(from_a[i]), from_b[i] = to_tf32(from_b[i]);
  float sums[4] = {};
  multiply_tf32(sums, from_a, from_b[0], from_b[1]);
  const int row = lane / 4, col = lane % 4 * 2;
  for (int i = 0; i < 4; ++i) out[(row + i / 2 * 8) * 8 + col + i % 2] = sums[i];
}

TEST(Ptx, ProductsOfTf32) {
  std::vector<float> a(128), b(64), out(128);
  for (std::size_t i = 0; i < 128; ++i) a[i] = static_cast<float>(i) - 40;
  for (std::size_t i = 0; i < 64; ++i) b[i] = 0.25f * static_cast<float>(i * 7 % 64) - 5;
  launch("product", product_tf32, 1, 32, 0, a.data(), b.data(), out.data());
  for (std::size_t row = 0; row < 16; ++row)
    for (std::size_t col = 0; col < 8; ++col) {
      float sum = 0;
      for (std::size_t k = 0; k < 8; ++k) sum += a[row * 8 + k] * b[col * 8 + k];
      EXPECT_EQ(out[row * 8 + col], sum) << row << ", " << col;
    }
}

TEST(Ptx, Tf32KeepsTenBitsOfFraction) {
  const auto rounded = [](float value) { return __uint_as_float(to_tf32(__float_as_uint(value))); };
  EXPECT_EQ(rounded(1.0f + 0x1p-10f), 1.0f + 0x1p-10f);
  EXPECT_EQ(rounded(1.0f + 0x1p-11f), 1.0f + 0x1p-10f);  // ties go away from zero
  EXPECT_EQ(rounded(-1.0f - 0x1p-11f), -1.0f - 0x1p-10f);
  EXPECT_EQ(rounded(1.0f + 0x1p-12f), 1.0f);
  EXPECT_EQ(rounded(__uint_as_float(0x7f800000u)), __uint_as_float(0x7f800000u));
}

__global__ void copies(const int* in, int* out) {
  SHARED(int, tile, [2][4]);
  const int lane = static_cast<int>(threadIdx.x);
  if (lane < 2) begin_copy(tile[lane], in + 4 * lane, lane == 0);
  commit_copies();
  wait_for_copies<0>();
  __syncthreads();
  if (lane < 8) out[lane] = tile[lane / 4][lane % 4];
}

TEST(Ptx, CopiesOrFillsWithZeros) {
  alignas(16) const int in[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  std::vector<int> out(8);
  launch("copies", copies, 1, 32, 0, static_cast<const int*>(in), out.data());
  EXPECT_EQ(out, (std::vector<int>{1, 2, 3, 4, 0, 0, 0, 0}));
}

}  // namespace
}  // namespace vergence::emulated
