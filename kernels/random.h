// Philox4x32-10, a counter-based random generator (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as
// 1, 2, 3", SC 2011). A number depends only on its key and counter, so views, masks and initial weights are the same on
// every device, in any thread order, and after a resume. Compiled by the C++ compiler and by nvcc.
#pragma once

#include <cmath>
#include <cstdint>
#include <string_view>

#include "kernels/types.h"

namespace vergence {

/// The purpose of a stream of random numbers. Part of the key, so streams never overlap. The values never change.
enum class Purpose : std::uint32_t {
  weights = 1,
  order = 2,
  view = 3,
  shapes = 4,
  mask = 5,
  probe = 6,
  test = 7,
  fresh_view = 8
};

/// A stream of random numbers, keyed by (seed, purpose, epoch, sample, view). Cheap to make; not thread-safe.
class Random {
 public:
  VERGENCE_BOTH Random(std::uint64_t seed, Purpose purpose, std::uint32_t epoch = 0, std::uint64_t sample = 0,
                       std::uint32_t view = 0)
      : key_{static_cast<std::uint32_t>(seed),
             static_cast<std::uint32_t>(seed >> 32) ^ (static_cast<std::uint32_t>(purpose) * 0x9e3779b9u)},
        counter_{0, static_cast<std::uint32_t>(sample), epoch,
                 static_cast<std::uint32_t>(sample >> 32) << 8 | (view & 0xffu)} {}

  /// 32 random bits.
  VERGENCE_BOTH std::uint32_t bits() {
    if (used_ == 4) refill();
    return block_[used_++];
  }
  /// Uniform in [0, 1), a multiple of 2^-24.
  VERGENCE_BOTH float uniform() { return static_cast<float>(bits() >> 8) * 0x1p-24f; }
  /// Gives the same bits on every device: the compiler has nothing to contract.
  VERGENCE_BOTH float uniform(float low, float high) { return std::fma(high - low, uniform(), low); }
  /// Uniform in {0, ..., count - 1}; count below 2^32.
  VERGENCE_BOTH std::uint32_t below(std::uint32_t count) {
    return static_cast<std::uint32_t>(static_cast<std::uint64_t>(bits()) * count >> 32);
  }
  VERGENCE_BOTH bool chance(float probability) { return uniform() < probability; }

 private:
  VERGENCE_BOTH void refill() {
    std::uint32_t c[4] = {counter_[0], counter_[1], counter_[2], counter_[3]}, k0 = key_[0], k1 = key_[1];
    for (int round = 0; round < 10; ++round, k0 += 0x9e3779b9u, k1 += 0xbb67ae85u) {
      const std::uint64_t p0 = std::uint64_t{0xd2511f53u} * c[0], p1 = std::uint64_t{0xcd9e8d57u} * c[2];
      const std::uint32_t next[4] = {static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ k0, static_cast<std::uint32_t>(p1),
                                     static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ k1, static_cast<std::uint32_t>(p0)};
      for (int i = 0; i < 4; ++i) c[i] = next[i];
    }
    for (int i = 0; i < 4; ++i) block_[i] = c[i];
    ++counter_[0];
    used_ = 0;
  }

  std::uint32_t key_[2], counter_[4], block_[4] = {0, 0, 0, 0};
  int used_ = 4;
};

/// A stable 64-bit hash of a name (FNV-1a), used as the `sample` of a parameter's initial weights.
constexpr std::uint64_t hash_name(std::string_view name) {
  std::uint64_t hash = 14695981039346656037ull;
  for (char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ull;
  return hash;
}

}  // namespace vergence
