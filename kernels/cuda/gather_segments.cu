// Gathers the gradients of a step into one buffer for the optimizer, in one launch. Bytes: read and written once; bound
// by memory.
#include "kernels/cuda/backend.h"
#include "kernels/cuda/loops.h"

namespace vergence::VERGENCE_GPU {
namespace {

/// The place of one part. Parts are cut into pieces of at most `piece` elements, so that blocks have about equal work.
struct Piece {
  const void* from;  // null: zeros
  std::int64_t to, size;
  DType type;
};
constexpr std::int64_t piece_size = 16384;

template <class T, class From>
__device__ void copy_piece(const Piece& piece, T* out) {
  const From* from = static_cast<const From*>(piece.from);
  for (std::int64_t i = threadIdx.x; i < piece.size; i += blockDim.x)
    out[piece.to + i] = from ? static_cast<T>(static_cast<Compute<From>>(from[i])) : T(0);
}

template <class T>
__global__ void gather_pieces(const Piece* pieces, T* out) {
  const Piece piece = pieces[blockIdx.x];
  if (piece.type == DType::f64) return copy_piece<T, double>(piece, out);
  if (piece.type == DType::f32) return copy_piece<T, float>(piece, out);
  copy_piece<T, bf16>(piece, out);
}

}  // namespace

void CudaBackend::gather_segments(const std::vector<ConstArray>& parts, const std::vector<Segment>& segments,
                                  Array out) {
  std::vector<Piece> pieces;
  for (std::size_t i = 0; i < parts.size(); ++i)
    for (std::int64_t at = 0; at < segments[i].size; at += piece_size) {
      const ConstArray& part = parts[i];
      const char* from = static_cast<const char*>(part.data);
      pieces.push_back({part ? from + at * size_of(part.dtype) : nullptr, segments[i].offset + at,
                        std::min(piece_size, segments[i].size - at), part.dtype});
    }
  if (pieces.empty()) return;
  const auto count = static_cast<std::int64_t>(pieces.size());
  const Scratch<Piece> table(device_, count);
  device_.upload(table.data(), pieces.data(), count * static_cast<std::int64_t>(sizeof(Piece)));
  with_master(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    launch("gather_segments", gather_pieces<T>, static_cast<unsigned>(count), 256, device_.stream(), table.data(),
           out.as<T>());
  });
}

}  // namespace vergence::VERGENCE_GPU
