// Vectors of floats by the compilers' vector extensions (GCC and clang): arithmetic operators work lane by lane, and
// the same source becomes AVX-512, AVX2, NEON or whatever the target supports.
#pragma once

namespace vergence {

#ifdef __AVX512F__
inline constexpr int float_lanes = 16;
#else
inline constexpr int float_lanes = 8;
#endif

/// `float_lanes` floats. Passed by reference only: passing by value would depend on the target's calling convention.
typedef float FloatVector __attribute__((vector_size(float_lanes * sizeof(float))));

/// The same without alignment: at any address valid for a float.
typedef float LooseFloatVector __attribute__((vector_size(float_lanes * sizeof(float)), aligned(4), may_alias));

inline const LooseFloatVector& vector_at(const float* p) { return *reinterpret_cast<const LooseFloatVector*>(p); }
inline LooseFloatVector& vector_at(float* p) { return *reinterpret_cast<LooseFloatVector*>(p); }

}  // namespace vergence
