// Instructions without a name in CUDA C++; together with ptx_round.h, the only inline PTX of the project: matrix
// products of a warp (mma), loads of their operands from shared memory (ldmatrix), asynchronous copies into shared
// memory (cp.async), and 16-byte stores that the compiler may not split. Each has a twin in plain C++ for the emulated
// device, written from the PTX ISA's layouts; with lane = 4 group + member, and two bf16 per register, the lower half
// first:
//   A 16x16 bf16: registers (row group, cols 2 member, +1), (row group + 8, ..), (.., cols + 8), (row + 8, cols + 8)
//   B 16x8  bf16: registers (rows 2 member, +1, col group), (rows + 8, ..)
//   A 16x8  tf32: registers (row group, col member), (row group + 8, ..), (.., col + 4), (row + 8, col + 4)
//   B 8x8   tf32: registers (row member, col group), (row + 4, ..)
//   C 16x8      : registers (row group, col 2 member), (.., col + 1), (row + 8, ..), (row + 8, col + 1)
#pragma once

#include "kernels/cuda/launch.h"

namespace vergence::VERGENCE_GPU {

#ifndef VERGENCE_EMULATED

/// The 32-bit address that instructions on shared memory take.
__device__ inline unsigned shared_address(const void* shared) {
  return static_cast<unsigned>(__cvta_generic_to_shared(shared));
}

/// Four 8x8 matrices of 16-bit elements: lane 8 i + r gives the address of row r of matrix i, 16 bytes at a multiple of
/// 16; values[i] receives columns 2 member and 2 member + 1 of row `group` of matrix i.
__device__ inline void load_matrices(unsigned (&values)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(values[0]), "=r"(values[1]), "=r"(values[2]), "=r"(values[3])
               : "r"(shared_address(row)));
}
/// The same for the transposed matrices.
__device__ inline void load_matrices_transposed(unsigned (&values)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(values[0]), "=r"(values[1]), "=r"(values[2]), "=r"(values[3])
               : "r"(shared_address(row)));
}

/// c += a b: 16x8 += 16x16 16x8, bf16 into f32.
__device__ inline void multiply_bf16(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
/// c += a b: 16x8 += 16x8 8x8, tf32 into f32.
__device__ inline void multiply_tf32(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
/// An f32's bits rounded to tf32 (10 bits of fraction; nearest, ties away from zero).
__device__ inline unsigned to_tf32(unsigned bits) {
  unsigned rounded;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(__uint_as_float(bits)));
  return rounded;
}

/// Waits until everything launched before is complete and visible; for kernels launched by `launch_early`.
__device__ inline void wait_for_kernel_before() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/// Stores 16 bytes to global memory, at a multiple of 16, in one piece. A conditional assignment becomes 2-byte stores,
/// and a warp's stores then touch every sector eight times.
__device__ inline void store_16_bytes(void* global, const unsigned (&words)[4]) {
  asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(global)), "r"(words[0]),
               "r"(words[1]), "r"(words[2]), "r"(words[3])
               : "memory");
}

/// Starts a copy of 16 bytes, both addresses multiples of 16; writes zeros if `valid` is false (and does not read
/// `global`). Copies started since the last commit_copies form a group.
__device__ inline void begin_copy(void* shared, const void* global, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global),
               "r"(valid ? 16 : 0)
               : "memory");
}
__device__ inline void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/// Waits until at most `left` of the running thread's groups are pending.
template <int left>
__device__ void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(left) : "memory");
}

#else

namespace emulated_ptx {

struct Row {
  std::uint16_t elements[8];
};
struct Operands {
  unsigned a[4], b[2];
};

inline float of_bf16(unsigned pair, int half) { return __uint_as_float(half ? pair & 0xffff0000u : pair << 16); }
/// The part of a register that the tensor core reads: it ignores the bits below tf32's.
inline float of_tf32(unsigned bits) { return __uint_as_float(bits & 0xffffe000u); }

/// The registers of the four lanes that hold a row or a column.
struct Group {
  Operands of[4];

  Group(const Deposits& given, unsigned group) {
    for (unsigned member = 0; member < 4; ++member) of[member] = given.from<Operands>(4 * group + member);
  }
};

/// One element of c: its row is in registers `upper` and `upper` + 2 of `row`.
template <bool tf32>
float product(const Group& row, int upper, const Group& column) {
  float sum = 0;
  for (int part = 0; part < 2; ++part)
    for (int member = 0; member < 4; ++member) {
      const unsigned a = row.of[member].a[upper + 2 * part];
      const unsigned b = column.of[member].b[part];
      if constexpr (tf32)
        sum += of_tf32(a) * of_tf32(b);
      else
        sum += of_bf16(a, 0) * of_bf16(b, 0) + of_bf16(a, 1) * of_bf16(b, 1);
    }
  return sum;
}

template <bool tf32>
void multiply(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1, const char* name) {
  const auto given = exchange(0xffffffffu, Operands{{a[0], a[1], a[2], a[3]}, {b0, b1}}, name);
  const Group row(given, lane() / 4), columns[2] = {{given, 2 * (lane() % 4)}, {given, 2 * (lane() % 4) + 1}};
  for (int i = 0; i < 4; ++i) c[i] += product<tf32>(row, i / 2, columns[i % 2]);
}

inline Deposits exchange_rows(const void* row, const char* name) {
  require(reinterpret_cast<std::uintptr_t>(row) % 16 == 0, "emulator: ", name,
          " of an address that is no multiple of 16");
  Row given;
  std::memcpy(&given, row, sizeof given);
  return exchange(0xffffffffu, given, name);
}

}  // namespace emulated_ptx

inline void load_matrices(unsigned (&values)[4], const void* row) {
  const auto given = emulated_ptx::exchange_rows(row, "ldmatrix");
  for (unsigned i = 0; i < 4; ++i) {
    const auto from = given.from<emulated_ptx::Row>(8 * i + lane() / 4);
    values[i] = from.elements[2 * (lane() % 4)] | unsigned{from.elements[2 * (lane() % 4) + 1]} << 16;
  }
}
inline void load_matrices_transposed(unsigned (&values)[4], const void* row) {
  const auto given = emulated_ptx::exchange_rows(row, "ldmatrix.trans");
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned upper = 8 * i + 2 * (lane() % 4);
    values[i] = given.from<emulated_ptx::Row>(upper).elements[lane() / 4] |
                unsigned{given.from<emulated_ptx::Row>(upper + 1).elements[lane() / 4]} << 16;
  }
}
inline void multiply_bf16(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  emulated_ptx::multiply<false>(c, a, b0, b1, "mma bf16");
}
inline void multiply_tf32(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  emulated_ptx::multiply<true>(c, a, b0, b1, "mma tf32");
}
inline unsigned to_tf32(unsigned bits) {
  return (bits & 0x7fffffffu) < 0x7f800000u ? (bits + 0x1000u) & 0xffffe000u : bits;
}
inline void wait_for_kernel_before() { waited_for_kernel_before(); }
inline void store_16_bytes(void* global, const unsigned (&words)[4]) {
  require(reinterpret_cast<std::uintptr_t>(global) % 16 == 0, "emulator: a 16-byte store to an odd address");
  std::memcpy(global, words, sizeof words);
}
inline void begin_copy(void* shared, const void* global, bool valid) {
  require(reinterpret_cast<std::uintptr_t>(shared) % 16 == 0 && reinterpret_cast<std::uintptr_t>(global) % 16 == 0,
          "emulator: cp.async of an address that is no multiple of 16");
  async_copy(shared, global, 16, valid ? 16 : 0);
}
inline void commit_copies() { async_commit(); }
template <int left>
void wait_for_copies() {
  async_wait(left);
}

#endif

}  // namespace vergence::VERGENCE_GPU
