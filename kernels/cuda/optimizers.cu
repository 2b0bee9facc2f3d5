// Optimizers on the GPU over one flat buffer of parameters; the formulas are in kernels/cpu/optimizers.cpp. Bytes: g, p
// and the state are read once, p and the state written once, plus half of p for its bf16 copy; lars reads g and p once
// more for the norms. Bound by memory (H200 data sheet: 4.8 TB/s). One launch updates all segments (lars: three
// launches): they are cut into chunks, one per block, and the table of chunks stays on the device from step to step.
// Values that change between steps are read from device memory, so that a recorded step can be replayed. Norms are
// summed in double, in a fixed order.
#include <algorithm>
#include <cmath>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/loops.h"

namespace vergence::VERGENCE_GPU {
namespace {

/// Part of one segment: the work of one block.
struct Chunk {
  std::int64_t offset;
  std::int32_t size, segment;
};

/// The chunks [first, first + count) of a segment.
struct SegmentChunks {
  std::int64_t first;
  std::int32_t count, adapt;
};

constexpr std::int64_t chunk_size = 4096;
constexpr int threads = 256;

/// The factors of a segment's gradient and its weight decay.
struct Scale {
  double ratio, decay;
};

/// The rounded copy of the optimizer's output, if there is one.
struct RoundedCopy {
  bf16* to;

  template <class T, int width>
  __device__ void store(std::int64_t i, const Pack<T, width>& values) const {
    if (to) store_pack(to + i, pack_of<bf16>(values.values));
  }
  __device__ bool aligned(std::int64_t i) const { return !to || aligned_to<8>(to + i); }
};

/// d = ratio (g + decay p), v = momentum v + d, p -= lr (now d + ahead v). Nesterov: now = 1, ahead = momentum;
/// otherwise now = 0, ahead = 1.
template <class T>
struct MomentumUpdate {
  using Value = T;
  const T* g;
  T *p, *v;
  RoundedCopy rounded;
  T lr, momentum, decay, ratio, now, ahead;

  __device__ bool aligned(std::int64_t i) const {
    return aligned_to<16>(g + i) && aligned_to<16>(p + i) && (momentum == T(0) || aligned_to<16>(v + i)) &&
           rounded.aligned(i);
  }
  template <int width>
  __device__ void run(std::int64_t i) const {
    const Pack<T, width> gradient = load_pack<width>(g + i);
    Pack<T, width> parameter = load_pack<width>(p + i);
    if (momentum == T(0)) {
      for (int k = 0; k < width; ++k)
        parameter.values[k] -= lr * (ratio * (gradient.values[k] + decay * parameter.values[k]));
    } else {
      Pack<T, width> velocity = load_pack<width>(v + i);
      for (int k = 0; k < width; ++k) {
        const T d = ratio * (gradient.values[k] + decay * parameter.values[k]);
        velocity.values[k] = momentum * velocity.values[k] + d;
        parameter.values[k] -= lr * (now * d + ahead * velocity.values[k]);
      }
      store_pack(v + i, velocity);
    }
    store_pack(p + i, parameter);
    rounded.store(i, parameter);
  }
};

/// Without `scales`, every segment uses `plain`.
template <class T>
struct MomentumRule {
  const double* scalars;
  const Scale* scales;
  Scale plain;
  double momentum;
  bool nesterov;
  const T* g;
  T *p, *v;
  RoundedCopy rounded;

  __device__ MomentumUpdate<T> of(const Chunk& chunk) const {
    const Scale scale = scales ? scales[chunk.segment] : plain;
    const T keep = static_cast<T>(momentum);
    return {g,
            p,
            v,
            rounded,
            static_cast<T>(scalars[0]),
            keep,
            static_cast<T>(scale.decay),
            static_cast<T>(scale.ratio),
            nesterov ? T(1) : T(0),
            nesterov ? keep : T(1)};
  }
};

/// m = keep1 m + new1 d, v = keep2 v + new2 d^2, p = shrink p - step_size m / (sqrt(v) / root + epsilon), where
/// d = g + added p. added: L2 weight decay; shrink: 1 - lr decay for AdamW; root = sqrt(1 - beta2^t).
template <class T>
struct AdamUpdate {
  using Value = T;
  const T* g;
  T *p, *m, *v;
  RoundedCopy rounded;
  T keep1, keep2, new1, new2, epsilon, added, shrink, step_size, root;

  __device__ bool aligned(std::int64_t i) const {
    return aligned_to<16>(g + i) && aligned_to<16>(p + i) && aligned_to<16>(m + i) && aligned_to<16>(v + i) &&
           rounded.aligned(i);
  }
  template <int width>
  __device__ void run(std::int64_t i) const {
    const Pack<T, width> gradient = load_pack<width>(g + i);
    Pack<T, width> parameter = load_pack<width>(p + i), first = load_pack<width>(m + i),
                   second = load_pack<width>(v + i);
    for (int k = 0; k < width; ++k) {
      const T slope = gradient.values[k] + added * parameter.values[k];
      first.values[k] = keep1 * first.values[k] + new1 * slope;
      second.values[k] = keep2 * second.values[k] + new2 * slope * slope;
      parameter.values[k] =
          shrink * parameter.values[k] - step_size * (first.values[k] / (std::sqrt(second.values[k]) / root + epsilon));
    }
    store_pack(m + i, first);
    store_pack(v + i, second);
    store_pack(p + i, parameter);
    rounded.store(i, parameter);
  }
};

template <class T>
struct AdamRule {
  const double* scalars;
  AdamSettings settings;
  const T* g;
  T *p, *m, *v;
  RoundedCopy rounded;

  __device__ AdamUpdate<T> of(const Chunk&) const {
    const AdamSettings& s = settings;
    const double lr = scalars[0];
    AdamUpdate<T> update;
    update.g = g, update.p = p, update.m = m, update.v = v, update.rounded = rounded;
    update.keep1 = static_cast<T>(s.beta1), update.keep2 = static_cast<T>(s.beta2);
    update.new1 = static_cast<T>(1 - s.beta1), update.new2 = static_cast<T>(1 - s.beta2);
    update.epsilon = static_cast<T>(s.epsilon);
    update.added = static_cast<T>(s.decoupled ? 0 : s.weight_decay);
    update.shrink = static_cast<T>(s.decoupled ? 1 - lr * s.weight_decay : 1);
    update.step_size = static_cast<T>(lr / scalars[1]);
    update.root = static_cast<T>(std::sqrt(scalars[2]));
    return update;
  }
};

template <class T>
struct AverageUpdate {
  using Value = T;
  const T* x;
  T* average;
  RoundedCopy rounded;
  T kept, taken;

  __device__ bool aligned(std::int64_t i) const {
    return aligned_to<16>(x + i) && aligned_to<16>(average + i) && rounded.aligned(i);
  }
  template <int width>
  __device__ void run(std::int64_t i) const {
    const Pack<T, width> values = load_pack<width>(x + i);
    Pack<T, width> result = load_pack<width>(average + i);
    for (int k = 0; k < width; ++k) result.values[k] = kept * result.values[k] + taken * values.values[k];
    store_pack(average + i, result);
    rounded.store(i, result);
  }
};

/// Runs `update` over the elements [first, last) with `all` threads, 16 bytes at a time where they are aligned.
template <class Update>
__device__ void run_over(const Update& update, std::int64_t first, std::int64_t last, std::int64_t thread,
                         std::int64_t all) {
  constexpr int width = vector_width<typename Update::Value>;
  const std::int64_t packs = update.aligned(first) ? (last - first) / width : 0;
  for (std::int64_t k = thread; k < packs; k += all) update.template run<width>(first + k * width);
  for (std::int64_t i = first + packs * width + thread; i < last; i += all) update.template run<1>(i);
}

template <class Rule>
__global__ void update_chunks(const Chunk* chunks, Rule rule) {
  const Chunk chunk = chunks[blockIdx.x];
  run_over(rule.of(chunk), chunk.offset, chunk.offset + chunk.size, threadIdx.x, threads);
}

template <class T>
__global__ void average_all(std::int64_t size, const double* keep, const T* x, T* average, RoundedCopy rounded) {
  const AverageUpdate<T> update{x, average, rounded, static_cast<T>(*keep), static_cast<T>(1 - *keep)};
  run_over(update, 0, size, std::int64_t{blockIdx.x} * threads + threadIdx.x, std::int64_t{gridDim.x} * threads);
}

/// The squared norms of a chunk's p, g and g + decay p.
struct SquaredNorms {
  double p, g, joint;
};

template <class T>
__global__ void norms_of_chunks(const Chunk* chunks, T decay, const T* g, const T* p, SquaredNorms* norms) {
  const Chunk chunk = chunks[blockIdx.x];
  SquaredNorms sums{0, 0, 0};
  for (std::int64_t i = chunk.offset + threadIdx.x; i < chunk.offset + chunk.size; i += threads) {
    const T gradient = g[i], parameter = p[i];
    const double wide_p = static_cast<double>(parameter), wide_g = static_cast<double>(gradient),
                 both = static_cast<double>(gradient + decay * parameter);
    sums.p += wide_p * wide_p;
    sums.g += wide_g * wide_g;
    sums.joint += both * both;
  }
  sums = {block_fold<Adding, threads>(sums.p), block_fold<Adding, threads>(sums.g),
          block_fold<Adding, threads>(sums.joint)};
  if (threadIdx.x == 0) norms[blockIdx.x] = sums;
}

/// The trust ratio of a segment, and whether its decay applies at all: see CpuBackend::lars.
__device__ Scale lars_scale(const LarsSettings& s, double lr, const SquaredNorms& norms) {
  const double p_norm = std::sqrt(norms.p), g_norm = std::sqrt(norms.g);
  if (p_norm == 0 || g_norm == 0) return {1, 0};
  const double below = s.joint_norm ? std::sqrt(norms.joint) : g_norm + s.weight_decay * p_norm + s.epsilon;
  if (below == 0) return {1, s.weight_decay};
  double ratio = s.eta * p_norm / below;
  if (s.clip) ratio = ratio / lr > 1 ? 1 : ratio / lr;
  return ratio != 0 ? Scale{ratio, s.weight_decay} : Scale{1, 0};
}

/// One warp per segment.
__global__ void scales_of_segments(LarsSettings settings, const double* scalars, const SegmentChunks* segments,
                                   const SquaredNorms* norms, Scale* scales) {
  const SegmentChunks segment = segments[blockIdx.x];
  SquaredNorms sums{0, 0, 0};
  for (std::int64_t k = segment.first + threadIdx.x; k < segment.first + segment.count; k += warp_size) {
    sums.p += norms[k].p;
    sums.g += norms[k].g;
    sums.joint += norms[k].joint;
  }
  sums = {warp_fold<Adding>(sums.p), warp_fold<Adding>(sums.g), warp_fold<Adding>(sums.joint)};
  if (threadIdx.x == 0) scales[blockIdx.x] = segment.adapt ? lars_scale(settings, scalars[0], sums) : Scale{1, 0};
}

bool same(const Segment& a, const Segment& b) { return a.offset == b.offset && a.size == b.size && a.adapt == b.adapt; }

}  // namespace

struct CudaBackend::SegmentTable {
  SegmentTable(Device& device, const std::vector<Segment>& segments)
      : key(segments), segment_count(static_cast<unsigned>(segments.size())), device_(device) {
    std::vector<Chunk> host_chunks;
    std::vector<SegmentChunks> host_segments;
    for (const Segment& segment : segments) {
      const std::int64_t first = static_cast<std::int64_t>(host_chunks.size()), end = segment.offset + segment.size;
      for (std::int64_t at = segment.offset; at < end; at += chunk_size)
        host_chunks.push_back({at, static_cast<std::int32_t>(std::min(chunk_size, end - at)),
                               static_cast<std::int32_t>(host_segments.size())});
      host_segments.push_back(
          {first, static_cast<std::int32_t>(ceil_div(segment.size, chunk_size)), segment.adapt ? 1 : 0});
    }
    chunk_count = static_cast<unsigned>(host_chunks.size());
    chunk_bytes_ = chunk_count * static_cast<std::int64_t>(sizeof(Chunk));
    segment_bytes_ = segment_count * static_cast<std::int64_t>(sizeof(SegmentChunks));
    chunks_ = device.allocate(chunk_bytes_);
    segments_ = device.allocate(segment_bytes_);
    device.upload(chunks_, host_chunks.data(), chunk_bytes_);
    device.upload(segments_, host_segments.data(), segment_bytes_);
  }
  ~SegmentTable() {
    device_.release(chunks_, chunk_bytes_);
    device_.release(segments_, segment_bytes_);
  }
  SegmentTable(const SegmentTable&) = delete;
  SegmentTable& operator=(const SegmentTable&) = delete;

  const Chunk* chunks() const { return static_cast<const Chunk*>(chunks_); }
  const SegmentChunks* segments() const { return static_cast<const SegmentChunks*>(segments_); }

  std::vector<Segment> key;
  unsigned chunk_count = 0, segment_count = 0;

 private:
  Device& device_;
  std::int64_t chunk_bytes_ = 0, segment_bytes_ = 0;
  void *chunks_ = nullptr, *segments_ = nullptr;
};

/// An upload during a recording reaches the device only when the recording runs: such a table belongs to the recording.
std::shared_ptr<const CudaBackend::SegmentTable> CudaBackend::table_of(const std::vector<Segment>& segments) {
  for (const auto& table : segment_tables_)
    if (std::equal(segments.begin(), segments.end(), table->key.begin(), table->key.end(), same)) return table;
  auto table = std::make_shared<const SegmentTable>(device_, segments);
  if (!recording_) segment_tables_.push_back(table);
  return table;
}

void CudaBackend::sgd(const SgdSettings& settings, const std::vector<Segment>& segments, ConstArray scalars,
                      ConstArray gradient, Array parameters, Array momentum, Array rounded) {
  const auto table = table_of(segments);
  if (table->chunk_count == 0) return;
  with_master(parameters.dtype, [&](auto zero) {
    using T = decltype(zero);
    const MomentumRule<T> rule{scalars.as<double>(), nullptr,           {1, settings.weight_decay},
                               settings.momentum,    settings.nesterov, gradient.as<T>(),
                               parameters.as<T>(),   momentum.as<T>(),  {rounded.as<bf16>()}};
    launch("sgd", update_chunks<MomentumRule<T>>, table->chunk_count, threads, device_.stream(), table->chunks(), rule);
  });
}

void CudaBackend::lars(const LarsSettings& settings, const std::vector<Segment>& segments, ConstArray scalars,
                       ConstArray gradient, Array parameters, Array momentum, Array rounded) {
  const auto table = table_of(segments);
  if (table->chunk_count == 0) return;
  const Scratch<SquaredNorms> norms(device_, table->chunk_count);
  const Scratch<Scale> scales(device_, table->segment_count);
  with_master(parameters.dtype, [&](auto zero) {
    using T = decltype(zero);
    launch("lars norms", norms_of_chunks<T>, table->chunk_count, threads, device_.stream(), table->chunks(),
           static_cast<T>(settings.weight_decay), gradient.as<T>(), parameters.as<T>(), norms.data());
    launch("lars ratios", scales_of_segments, table->segment_count, warp_size, device_.stream(), settings,
           scalars.as<double>(), table->segments(), norms.data(), scales.data());
    const MomentumRule<T> rule{scalars.as<double>(), scales.data(),      {1, 0},           settings.momentum,   false,
                               gradient.as<T>(),     parameters.as<T>(), momentum.as<T>(), {rounded.as<bf16>()}};
    launch("lars", update_chunks<MomentumRule<T>>, table->chunk_count, threads, device_.stream(), table->chunks(),
           rule);
  });
}

void CudaBackend::adam(const AdamSettings& settings, const std::vector<Segment>& segments, ConstArray scalars,
                       ConstArray gradient, Array parameters, Array first_moment, Array second_moment, Array rounded) {
  const auto table = table_of(segments);
  if (table->chunk_count == 0) return;
  with_master(parameters.dtype, [&](auto zero) {
    using T = decltype(zero);
    const AdamRule<T> rule{scalars.as<double>(), settings,
                           gradient.as<T>(),     parameters.as<T>(),
                           first_moment.as<T>(), second_moment.as<T>(),
                           {rounded.as<bf16>()}};
    launch("adam", update_chunks<AdamRule<T>>, table->chunk_count, threads, device_.stream(), table->chunks(), rule);
  });
}

void CudaBackend::moving_average(ConstArray keep, ConstArray values, Array average, Array rounded) {
  if (average.size == 0) return;
  with_master(average.dtype, [&](auto zero) {
    using T = decltype(zero);
    launch("moving_average", average_all<T>, blocks_for(average.size, threads * vector_width<T>), threads,
           device_.stream(), average.size, keep.as<double>(), values.as<T>(), average.as<T>(),
           RoundedCopy{rounded.as<bf16>()});
  });
}

}  // namespace vergence::VERGENCE_GPU
