// Batch norm over the ranks of a Communicator, on the GPU: one more small kernel reduces this rank's parts to one part
// per group, in double, the ranks exchange these, and every rank merges them alike. All of it is work of the compute
// stream. The kernels after a collective are not launched early: what runs before them need not be a kernel.
#pragma once

#include "kernels/communicator.h"
#include "kernels/cuda/backend.h"
#include "kernels/cuda/norm/loops.h"
#include "kernels/cuda/norm/moments.h"

namespace vergence::VERGENCE_GPU {

/// Whether the kernels exchange their sums: given statistics are the same on all ranks already.
inline bool over_ranks(const NormShape& shape) { return shape.ranks && shape.training; }

/// The share of a thread in a merging kernel whose blocks have one group each.
struct GroupPlace {
  MergePlace at;
  std::int64_t group;
};
__device__ inline GroupPlace group_place(std::int64_t channels) {
  const std::int64_t blocks = ceil_div(channels, merge_channels);
  GroupPlace place{merge_place(), quotient(blockIdx.x, blocks)};
  place.at.channel -= place.group * blocks * merge_channels;
  return place;
}
inline unsigned group_blocks(const NormShape& shape) {
  return static_cast<unsigned>(shape.groups * ceil_div(shape.channels, merge_channels));
}

// ---- sums

/// own[group][terms][channels] receives the sums over the group's parts.
template <int terms, class P>
__global__ void __launch_bounds__(merge_threads, 1)
    fold_parts(std::int64_t parts, std::int64_t channels, const P* partial, double* own) {
  wait_for_kernel_before();
  const auto [at, group] = group_place(channels);
  double sums[terms];
  merge_sums<1, terms>(at, group, parts, channels, partial, sums);
  if (at.phase > 0 || at.channel >= channels) return;
#pragma unroll
  for (int s = 0; s < terms; ++s) own[(group * terms + s) * channels + at.channel] = sums[s];
}

/// Sums over all ranks' rows, and over this rank's: both [group][terms][channels]. They live as long as this object.
template <int terms>
class RankSums {
 public:
  /// partial[group * parts + part][terms][channels]: this rank's.
  template <class P>
  RankSums(CudaBackend& gpu, const NormShape& shape, std::int64_t parts, const P* partial)
      : own_(gpu.device(), shape.groups * terms * shape.channels),
        all_(gpu.device(), shape.groups * terms * shape.channels) {
    launch_early("fold_parts", fold_parts<terms, P>, group_blocks(shape), merge_threads, gpu.device().stream(), parts,
                 shape.channels, partial, own_.data());
    const std::int64_t size = shape.groups * terms * shape.channels;
    shape.ranks->all_reduce(gpu, {own_.data(), size, DType::f64}, {all_.data(), size, DType::f64});
  }
  const double* own() const { return own_.data(); }
  const double* all() const { return all_.data(); }

 private:
  Scratch<double> own_, all_;
};

// ---- moments

/// own[group][0][channels] receives the mean of the group's rows on this rank, [1] the sums of squares about it.
template <class T>
__global__ void __launch_bounds__(merge_threads, 1) fold_moments(PivotSums<T> parts, NormShape shape, double* own) {
  wait_for_kernel_before();
  const auto [at, group] = group_place(shape.channels);
  double sums[2];
  merge_sums<1>(at, group, parts.per_group, shape.channels, parts.sums, sums);
  if (at.phase > 0 || at.channel >= shape.channels) return;
  const auto pivot = static_cast<Compute<T>>(parts.pivots[group * parts.stride + at.channel]);
  const double shift = sums[0] / static_cast<double>(shape.rows), squares = sums[1] - sums[0] * shift;
  double* const to = own + group * 2 * shape.channels + at.channel;
  to[0] = static_cast<double>(pivot) + shift;
  to[shape.channels] = squares < 0 ? 0 : squares;
}

/// One thread per channel: mean and rstd of every group from all[rank][group][2][channels], merged in rank order.
template <class Real>
__global__ void merge_ranks(NormShape shape, const double* all, Real* mean, Real* rstd, RunningArrays<Real> running) {
  const std::int64_t channel = grid_thread();
  if (channel >= shape.channels) return;
  const auto rows = static_cast<double>(shape.rows), all_rows = static_cast<double>(shape.all_rows());
  for (std::int64_t group = 0; group < shape.groups; ++group) {
    double center = 0, squares = 0;
#pragma unroll 4
    for (std::int64_t rank = 0; rank < shape.rank_count; ++rank) {
      const double* const from = all + (rank * shape.groups + group) * 2 * shape.channels + channel;
      const auto before = static_cast<double>(rank);  // Chan's merge of rank * rows rows with `rows` more
      const double delta = from[0] - center, share = 1 / (before + 1);
      center += delta * share;
      squares += from[shape.channels] + delta * delta * (before * share * rows);
    }
    const std::int64_t k = group * shape.channels + channel;
    mean[k] = static_cast<Real>(center);
    rstd[k] = static_cast<Real>(1 / sqrt(squares / all_rows + shape.epsilon));
    if (running.mean) running.rule.step(mean[k], rstd[k], running.mean[channel], running.variance[channel]);
  }
}

/// mean and rstd over all ranks' rows, and the running statistics that follow them.
template <class T>
void statistics_over_ranks(CudaBackend& gpu, const NormShape& shape, const PivotSums<T>& parts, Compute<T>* mean,
                           Compute<T>* rstd, const RunningArrays<Compute<T>>& running) {
  Device& device = gpu.device();
  const std::int64_t size = shape.groups * 2 * shape.channels;
  const Scratch<double> own(device, size), all(device, size * shape.rank_count);
  launch_early("fold_moments", fold_moments<T>, group_blocks(shape), merge_threads, device.stream(), parts, shape,
               own.data());
  shape.ranks->all_gather(gpu, {own.data(), size, DType::f64}, {all.data(), size * shape.rank_count, DType::f64});
  launch("merge_ranks", merge_ranks<Compute<T>>, blocks_for(shape.channels, 64), 64, device.stream(), shape, all.data(),
         mean, rstd, running);
}

}  // namespace vergence::VERGENCE_GPU
