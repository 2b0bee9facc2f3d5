// Element types, and the untyped arrays that kernels take. Compiled by the C++ compiler and by nvcc.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "kernels/error.h"
#include "kernels/ptx_round.h"

namespace vergence {

enum class DType : std::uint8_t { f64, f32, bf16, i32, u8 };

/// Brain float: the upper half of a float. Conversion rounds to nearest, ties to even; NaN stays NaN (on a GPU it
/// becomes 0x7fff, elsewhere it keeps its upper bits).
struct bf16 {
  std::uint16_t bits;  // uninitialized by default, like float: arrays of it may be in a block's shared memory

  bf16() = default;
  VERGENCE_BOTH explicit bf16(float value) : bits(round_to_bf16(value)) {}
  VERGENCE_BOTH operator float() const {
    const std::uint32_t word = static_cast<std::uint32_t>(bits) << 16;
    float value;
    memcpy(&value, &word, sizeof value);
    return value;
  }
};

constexpr std::int64_t size_of(DType type) {
  switch (type) {
    case DType::f64:
      return 8;
    case DType::f32:
      return 4;
    case DType::bf16:
      return 2;
    case DType::i32:
      return 4;
    case DType::u8:
      return 1;
  }
  return 0;
}

constexpr const char* name_of(DType type) {
  switch (type) {
    case DType::f64:
      return "f64";
    case DType::f32:
      return "f32";
    case DType::bf16:
      return "bf16";
    case DType::i32:
      return "i32";
    case DType::u8:
      return "u8";
  }
  return "?";
}

constexpr bool is_float(DType type) { return type == DType::f64 || type == DType::f32 || type == DType::bf16; }

template <class T>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, double>) return DType::f64;
  if constexpr (std::is_same_v<T, float>) return DType::f32;
  if constexpr (std::is_same_v<T, bf16>) return DType::bf16;
  if constexpr (std::is_same_v<T, std::int32_t>) return DType::i32;
  if constexpr (std::is_same_v<T, std::uint8_t>) return DType::u8;
}

/// The type in which a kernel computes and accumulates: double for f64, float otherwise.
template <class T>
using Compute = std::conditional_t<std::is_same_v<T, double>, double, float>;

/// Statistics, losses and master weights of `type` are kept in this type: f64 for f64, f32 for f32 and bf16.
constexpr DType master_of(DType type) { return type == DType::f64 ? DType::f64 : DType::f32; }

/// A contiguous, writable run of `size` elements of one type in a backend's memory. Null `data` means absent.
struct Array {
  void* data = nullptr;
  std::int64_t size = 0;
  DType dtype = DType::f32;

  explicit operator bool() const { return data != nullptr; }
  template <class T>
  T* as() const {
    require(!data || dtype == dtype_of<T>(), "kernel: expected ", name_of(dtype_of<T>()), ", got ", name_of(dtype));
    return static_cast<T*>(data);
  }
};

/// The same, read-only.
struct ConstArray {
  const void* data = nullptr;
  std::int64_t size = 0;
  DType dtype = DType::f32;

  ConstArray() = default;
  ConstArray(const void* data, std::int64_t size, DType dtype) : data(data), size(size), dtype(dtype) {}
  ConstArray(const Array& a) : data(a.data), size(a.size), dtype(a.dtype) {}

  explicit operator bool() const { return data != nullptr; }
  template <class T>
  const T* as() const {
    require(!data || dtype == dtype_of<T>(), "kernel: expected ", name_of(dtype_of<T>()), ", got ", name_of(dtype));
    return static_cast<const T*>(data);
  }
};

/// Calls `f(T{})` with the C++ type of a floating-point `type`.
template <class F>
decltype(auto) with_float(DType type, F&& f) {
  switch (type) {
    case DType::f64:
      return f(double{});
    case DType::f32:
      return f(float{});
    case DType::bf16:
      return f(bf16{});
    default:
      throw Error(join("kernel: expected a floating-point type, got ", name_of(type)));
  }
}

/// The same for the types of masters, statistics and optimizers: f64 and f32.
template <class F>
decltype(auto) with_master(DType type, F&& f) {
  require(type == DType::f64 || type == DType::f32, "kernel: expected f32 or f64, got ", name_of(type));
  return type == DType::f64 ? f(double{}) : f(float{});
}

/// Calls `f(T{})` with the C++ type of any element type.
template <class F>
decltype(auto) with_any(DType type, F&& f) {
  switch (type) {
    case DType::i32:
      return f(std::int32_t{});
    case DType::u8:
      return f(std::uint8_t{});
    default:
      return with_float(type, f);
  }
}

}  // namespace vergence
