// The common base of every .cu file: the CUDA language, shared memory and kernel launches, in a form that a plain C++
// compiler can compile too (VERGENCE_EMULATED; kernels/emulator runs the same sources without a GPU).
//
// Rules that keep both builds the same source:
//   - kernels and the backend live in namespace vergence::VERGENCE_GPU;
//   - shared memory only through SHARED(type, name, [extents]); type trivially constructible, 48 KiB per block in all;
//   - every launch through `launch` or `launch_early`; no <<<>>>, no cooperative groups, no dynamic shared memory;
//   - at most 256 threads per block, with up to 255 registers each; only the kernels of views.cu have more threads, and
//     __launch_bounds__ limits their registers accordingly;
//   - __syncthreads is reached by all threads of a block or by none; no thread returns before a barrier that others
//     reach; warp collectives (__shfl_*_sync, __ballot_sync, ptx.h) are reached by all 32 lanes;
//   - inline PTX only in ptx.h and ptx_round.h, each instruction with an emulated twin.
#pragma once

#include <cstdint>
#include <sstream>
#include <string>
#include <type_traits>

#include "kernels/types.h"

#ifdef VERGENCE_EMULATED
#define VERGENCE_GPU emulated
#include "kernels/emulator/emulator.h"
#else
#define VERGENCE_GPU cuda
#include <cuda_runtime.h>

/// A block's shared array, uninitialized, 16-byte aligned: SHARED(float, tile, [32][33]);
#define SHARED(type, name, extents) __shared__ __align__(16) type name extents

namespace vergence::cuda {

using Stream = cudaStream_t;

/// Keeps the names of the last launches: a failing kernel is reported only by some later call.
void note_launch(const char* kernel);
/// Throws unless the last launch was accepted; also if an earlier kernel is known to have failed.
void check_launch(const char* kernel, dim3 grid, dim3 block, const std::string& arguments);

namespace detail {
/// The arguments of a launch that describe shapes: numbers, and structs with a `text`.
template <class T>
void describe(std::ostringstream& out, const T& value) {
  if constexpr (std::is_arithmetic_v<T>) out << ' ' << value;
  if constexpr (requires { value.text(); }) out << " (" << value.text() << ')';
}
}  // namespace detail

/// True if a kernel may start before the previous one has ended: on GPUs of compute capability 9.0 and later, unless
/// VERGENCE_EARLY_LAUNCH is `off`.
bool early_launches();

namespace detail {
template <class... Parameters, class... Arguments>
void start(const char* name, void (*kernel)(Parameters...), dim3 grid, dim3 block, Stream stream, bool early,
           Arguments... arguments) {
  static_assert(sizeof...(Parameters) == sizeof...(Arguments));
  note_launch(name);
  cudaLaunchAttribute overlap{};
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = grid, config.blockDim = block, config.stream = stream;
  config.attrs = &overlap, config.numAttrs = early && early_launches() ? 1 : 0;
  [&](Parameters... converted) {
    void* pointers[] = {const_cast<void*>(static_cast<const void*>(&converted))..., nullptr};
    cudaLaunchKernelExC(&config, reinterpret_cast<const void*>(kernel), pointers);
  }(arguments...);
  if (cudaPeekAtLastError() != cudaSuccess) {
    std::ostringstream text;
    (detail::describe(text, arguments), ...);
    check_launch(name, grid, block, text.str());
  }
}
}  // namespace detail

/// Launches `kernel` with `arguments` on `stream`. If that fails, throws Error with the kernel's name, the grid and the
/// numbers among its arguments.
template <class... Parameters, class... Arguments>
void launch(const char* name, void (*kernel)(Parameters...), dim3 grid, dim3 block, Stream stream,
            Arguments... arguments) {
  detail::start(name, kernel, grid, block, stream, false, arguments...);
}

/// The same for a kernel that may be scheduled on the GPU while the previous one still runs: its first statement must
/// be wait_for_kernel_before() (ptx.h).
template <class... Parameters, class... Arguments>
void launch_early(const char* name, void (*kernel)(Parameters...), dim3 grid, dim3 block, Stream stream,
                  Arguments... arguments) {
  detail::start(name, kernel, grid, block, stream, true, arguments...);
}

}  // namespace vergence::cuda
#endif

namespace vergence::VERGENCE_GPU {

constexpr int warp_size = 32;

/// ceil(a / b)
VERGENCE_BOTH constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// Blocks for `count` units of `per_block` each, at most `most`; kernels loop over the rest. At least 1.
inline unsigned blocks_for(std::int64_t count, std::int64_t per_block, std::int64_t most = 1 << 20) {
  const std::int64_t blocks = ceil_div(count, per_block);
  return static_cast<unsigned>(blocks < 1 ? 1 : blocks > most ? most : blocks);
}

}  // namespace vergence::VERGENCE_GPU
