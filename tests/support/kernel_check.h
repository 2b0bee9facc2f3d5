// Shared by the tests of single kernels: arrays in a backend's memory with poison and guards, and comparisons.
#pragma once

#include <cmath>
#include <cstring>
#include <functional>
#include <gtest/gtest.h>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "kernels/random.h"

namespace vergence {

using Values = std::vector<double>;
inline constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();
inline constexpr DType float_types[] = {DType::f64, DType::f32, DType::bf16};

inline std::size_t count(std::int64_t n) { return static_cast<std::size_t>(n); }
inline double tolerance(DType type) { return type == DType::f64 ? 1e-12 : type == DType::f32 ? 1e-5 : 2e-2; }

/// An array in the backend's memory, with guard elements after it.
class Block {
 public:
  Block(DType type, std::int64_t size)
      : bytes_((size + guard) * size_of(type)), array_{cpu_backend().allocate(bytes_), size, type} {
    std::memset(array_.data, 0xff, count(bytes_));  // NaN in every floating-point type
  }
  Block(DType type, const Values& values) : Block(type, static_cast<std::int64_t>(values.size())) {
    for (std::int64_t i = 0; i < array_.size; ++i) set(i, values[count(i)]);
  }
  ~Block() { cpu_backend().release(array_.data, bytes_); }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  operator Array() const { return array_; }
  operator ConstArray() const { return array_; }

  double get(std::int64_t i) const {
    switch (array_.dtype) {
      case DType::f64:
        return array_.as<double>()[i];
      case DType::f32:
        return array_.as<float>()[i];
      case DType::bf16:
        return array_.as<bf16>()[i];
      case DType::i32:
        return array_.as<std::int32_t>()[i];
      default:
        return array_.as<std::uint8_t>()[i];
    }
  }
  Values values() const {
    Values out(count(array_.size));
    for (std::int64_t i = 0; i < array_.size; ++i) out[count(i)] = get(i);
    return out;
  }
  bool guard_intact() const {
    const unsigned char* end = static_cast<const unsigned char*>(array_.data) + bytes_;
    return std::all_of(end - guard * size_of(array_.dtype), end, [](unsigned char byte) { return byte == 0xff; });
  }
  std::vector<unsigned char> bytes() const {
    const unsigned char* first = static_cast<const unsigned char*>(array_.data);
    return {first, first + array_.size * size_of(array_.dtype)};
  }

 private:
  static constexpr std::int64_t guard = 64;
  void set(std::int64_t i, double value) {
    switch (array_.dtype) {
      case DType::f64:
        array_.as<double>()[i] = value;
        return;
      case DType::f32:
        array_.as<float>()[i] = static_cast<float>(value);
        return;
      case DType::bf16:
        array_.as<bf16>()[i] = bf16(static_cast<float>(value));
        return;
      case DType::i32:
        array_.as<std::int32_t>()[i] = static_cast<std::int32_t>(value);
        return;
      case DType::u8:
        array_.as<std::uint8_t>()[i] = static_cast<std::uint8_t>(value);
        return;
    }
  }
  std::int64_t bytes_;
  Array array_;
};

/// Random values in [low, high), rounded to `type` so that the reference sees what the kernel sees.
inline Values draw(DType type, std::int64_t size, double low = -1, double high = 1, std::uint64_t seed = 1) {
  Random random(seed, Purpose::test, static_cast<std::uint32_t>(size));
  Values raw(count(size));
  for (double& v : raw) v = low + (high - low) * static_cast<double>(random.uniform());
  return Block(type, raw).values();
}

/// The norm-relative error; infinite if only one of the two has NaN somewhere.
inline double error_of(const Values& actual, const Values& expected) {
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (std::isnan(actual[i]) != std::isnan(expected[i])) return std::numeric_limits<double>::infinity();
    if (std::isnan(expected[i]) || actual[i] == expected[i]) continue;
    difference += (actual[i] - expected[i]) * (actual[i] - expected[i]);
    norm += expected[i] * expected[i];
  }
  return difference == 0 ? 0 : std::sqrt(difference / std::max(norm, 1e-30));
}

struct Expected {
  DType type;
  Values values;
};

/// Runs a kernel twice into poisoned outputs: checks results, bounds, and that both runs give the same bits.
inline void check(const std::string& what, DType type, const std::vector<Expected>& expected,
                  const std::function<void(const std::vector<Array>&)>& run) {
  std::vector<std::vector<unsigned char>> before;
  for (int round = 0; round < 2; ++round) {
    std::vector<std::unique_ptr<Block>> blocks;
    std::vector<Array> arrays;
    for (const Expected& e : expected) {
      blocks.push_back(std::make_unique<Block>(e.type, static_cast<std::int64_t>(e.values.size())));
      arrays.push_back(*blocks.back());
    }
    run(arrays);
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      EXPECT_LE(error_of(blocks[i]->values(), expected[i].values), tolerance(type))
          << what << " output " << i << ' ' << name_of(type);
      EXPECT_TRUE(blocks[i]->guard_intact()) << what << " wrote past output " << i;
      if (round == 0)
        before.push_back(blocks[i]->bytes());
      else
        EXPECT_EQ(before[i], blocks[i]->bytes()) << what << " output " << i << " differs from run to run";
    }
  }
}

}  // namespace vergence
