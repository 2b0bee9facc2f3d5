// Random views on the GPU, a block per view: crop and resize, color jitter, gray, blur, solarize, flip and normalize
// in one kernel. kernels/views.h says what each means; the arithmetic is pixel_ops.h, shared with the CPU.
//   resized[y, x] = sum_jk wy[y, j] wx[x, k] crop[j, k] / (255 sum_j wy[y, j] sum_k wx[x, k]), heights first, in bands
//   of rows; then jitter's operations, pixel by pixel, interrupted once for the mean gray that contrast needs.
// Bytes: the crop once, the view once: 20 KB for a 32x32 view of CIFAR in bf16 with eight channels. Bound by
// arithmetic: 0.5 to 1 million instructions per 32x32 view, half of them for resizing, a third for the blur; 1024 views
// fill every multiprocessor of an H200 twice. The planes, floats, are in shared memory up to 32x32. Larger ones are in
// global memory, written and read two to four times: about 3 MB for a 224x224 view.
#include <algorithm>
#include <new>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/loops.h"
#include "kernels/shared/pixel_ops.h"
#include "kernels/shared/view_plan.h"

namespace vergence::VERGENCE_GPU {
namespace {

constexpr int views_per_launch = 8;       // of each image: their settings are kernel arguments
constexpr int near_floats = 3 * 32 * 32;  // views up to this size are in shared memory
constexpr int max_radius = 304;           // of a blur: three times the largest sigma

struct Pixel {
  float red, green, blue;
};

__device__ float gray_of(const Pixel& p) { return vergence::gray_of(p.red, p.green, p.blue); }

__device__ Pixel blend(const Pixel& p, float factor, float base) {
  return {vergence::blend(p.red, factor, base), vergence::blend(p.green, factor, base),
          vergence::blend(p.blue, factor, base)};
}

struct ViewJob {
  ViewRules rules[views_per_launch];
  std::uint64_t seed = 0;
  Purpose purpose = Purpose::view;
  std::int64_t images = 0;  // in the batch
  const ImagePlace* places = nullptr;
  int first_view = 0, views = 0, height = 0, width = 0, size = 0, channels = 0;
  int buffer = 0;  // floats in each of the block's two buffers: three planes, or a row of the image if that is larger
  bool vectors = false;
};

/// The data that a block's threads share about the current view.
template <class T>
struct View {
  const ViewSettings& settings;
  const ViewPlan& plan;
  int size, channels;
  bool vectors;
  float *planes, *other;  // element (c, y, x) at (c size + y) size + x
  T* out;

  __device__ int area() const { return size * size; }
  __device__ Pixel load(int i) const { return {planes[i], planes[area() + i], planes[2 * area() + i]}; }
  __device__ void store(int i, const Pixel& p) const {
    planes[i] = p.red, planes[area() + i] = p.green, planes[2 * area() + i] = p.blue;
  }
};

/// Resizes rows [from, to) of the crop in height only: three channels, one after another.
__device__ void resize_heights(const std::uint8_t* corner, std::int64_t row_bytes, const ResizeFilter& filter,
                               int width, int from, int to, float* band) {
  for (int i = static_cast<int>(threadIdx.x); i < (to - from) * width; i += static_cast<int>(blockDim.x)) {
    const int y = from + i / width, x = i % width, first = filter.first(y), last = filter.last(y);
    const std::uint8_t* pixel = corner + first * row_bytes + 3 * x;
    float total = 0, red = 0, green = 0, blue = 0;
    for (int k = first; k < last; ++k, pixel += row_bytes) {
      const float weight = filter.weight(y, k);
      total += weight;
      red += weight * static_cast<float>(pixel[0]);
      green += weight * static_cast<float>(pixel[1]);
      blue += weight * static_cast<float>(pixel[2]);
    }
    total *= 255.0f;
    band[3 * i] = red / total, band[3 * i + 1] = green / total, band[3 * i + 2] = blue / total;
  }
}

__device__ Pixel resize_width(const float* row, const ResizeFilter& filter, int x) {
  const int first = filter.first(x), last = filter.last(x);
  float total = 0, red = 0, green = 0, blue = 0;
  for (int k = first; k < last; ++k) {
    const float weight = filter.weight(x, k);
    total += weight;
    red += weight * row[3 * k], green += weight * row[3 * k + 1], blue += weight * row[3 * k + 2];
  }
  const float scale = 1.0f / total;
  return {clamp01(red * scale), clamp01(green * scale), clamp01(blue * scale)};
}

/// Runs jitter's operations [first, last) in the plan's order.
__device__ Pixel jittered(const ViewPlan& plan, int first, int last, float mean_gray, Pixel p) {
  for (int i = first; i < last; ++i) switch (plan.order[static_cast<std::size_t>(i)]) {
      case Jitter::brightness:
        p = blend(p, plan.brightness, 0.0f);
        break;
      case Jitter::contrast:
        p = blend(p, plan.contrast, (1.0f - plan.contrast) * mean_gray);
        break;
      case Jitter::saturation:
        p = blend(p, plan.saturation, (1.0f - plan.saturation) * gray_of(p));
        break;
      case Jitter::hue:
        turn_hue(p.red, p.green, p.blue, plan.hue);
        break;
    }
  return p;
}

/// The number of jitter's operations before contrast.
__device__ int before_contrast(const ViewPlan& plan) {
  int count = 0;
  while (plan.jitter && plan.order[static_cast<std::size_t>(count)] != Jitter::contrast) ++count;
  return count;
}

/// Solarize, normalize, flip and store the pixel at `i`.
template <class T>
__device__ void write_pixel(const View<T>& view, int i, const Pixel& p) {
  const float raw[3] = {p.red, p.green, p.blue};
  float values[3];
  for (std::size_t c = 0; c < 3; ++c) {
    const float x = view.plan.solarize ? solarized(raw[c], view.settings.solarize_threshold) : raw[c];
    values[c] = (x - view.settings.mean[c]) / view.settings.std[c];
  }
  const int x = i % view.size;
  const int at = view.plan.flip ? i - x + view.size - 1 - x : i;
  T* to = view.out + std::int64_t{at} * view.channels;
  if (!view.vectors) {
    for (int c = 0; c < view.channels; ++c) to[c] = T(c < 3 ? values[c] : 0.0f);
    return;
  }
  for (int part = 0; part < 8; part += vector_width<T>) {
    Vector<T> vector;
    for (int k = 0; k < vector_width<T>; ++k) vector.values[k] = T(part + k < 3 ? values[part + k] : 0.0f);
    store_vector(to + part, vector);
  }
}

/// Crops, resizes and runs the operations before contrast; returns this thread's part of the sum of grays.
template <class T>
__device__ float resize_crop(const View<T>& view, const std::uint8_t* image, int image_width, int buffer) {
  const CropBox& crop = view.plan.crop;
  const Interpolation interpolation = view.settings.interpolation;
  const ResizeFilter vertical(view_stretch(view.settings, crop.top, crop.height, crop.width), view.size, interpolation);
  const ResizeFilter horizontal(view_stretch(view.settings, crop.left, crop.width, crop.height), view.size,
                                interpolation);
  const std::int64_t row_bytes = std::int64_t{3} * image_width;
  const std::uint8_t* corner = image + crop.top * row_bytes + 3 * crop.left;
  const int row = 3 * crop.width, most = buffer / row, rows = most < view.size ? most : view.size;
  const int operations = before_contrast(view.plan);
  float grays = 0;
  for (int from = 0; from < view.size; from += rows) {
    const int to = from + rows < view.size ? from + rows : view.size;
    resize_heights(corner, row_bytes, vertical, crop.width, from, to, view.other);
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < (to - from) * view.size; i += static_cast<int>(blockDim.x)) {
      const Pixel resized = resize_width(view.other + i / view.size * row, horizontal, i % view.size);
      const Pixel p = jittered(view.plan, 0, operations, 0.0f, resized);
      grays += gray_of(p);
      view.store(from * view.size + i, p);
    }
    __syncthreads();
  }
  return grays;
}

/// The sum over the block, in every thread. `sums`: one value per warp.
__device__ float block_sum(float value, float* sums) {
  value = warp_fold<Adding>(value);
  if (threadIdx.x % warp_size == 0) sums[threadIdx.x / warp_size] = value;
  __syncthreads();
  float sum = 0;
  for (unsigned warp = 0; warp < blockDim.x / warp_size; ++warp) sum += sums[warp];
  return sum;
}

/// Runs contrast and the operations after it, up to the blur; without a blur, writes the view.
template <class T>
__device__ void finish_colors(const View<T>& view, float mean_gray) {
  const int first = before_contrast(view.plan), last = view.plan.jitter ? 4 : 0;
  for (int i = static_cast<int>(threadIdx.x); i < view.area(); i += static_cast<int>(blockDim.x)) {
    Pixel p = jittered(view.plan, first, last, mean_gray, view.load(i));
    if (view.plan.gray) {
      const float gray = gray_of(p);
      p = {gray, gray, gray};
    }
    if (view.plan.blur)
      view.store(i, p);
    else
      write_pixel(view, i, p);
  }
}

/// The Gaussian's weighted sum around sample `at` of `size` samples, `stride` apart.
__device__ float blurred(const float* samples, int at, int size, int stride, const float* weights, int radius) {
  float sum = weights[0] * samples[at * stride];
  for (int k = 1; k <= radius; ++k)
    sum += weights[k] * (samples[reflect(at - k, size) * stride] + samples[reflect(at + k, size) * stride]);
  return sum;
}

/// Blurs the planes, once all threads have arrived, and writes the view. `weights`: of the distances up to max_radius.
template <class T>
__device__ void blur_and_write(const View<T>& view, float* weights) {
  const int size = view.size, area = view.area(), radius = blur_radius(view.plan.sigma, size);
  for (int k = static_cast<int>(threadIdx.x); k <= radius; k += static_cast<int>(blockDim.x))
    weights[k] = blur_weight(k, view.plan.sigma);
  __syncthreads();
  float total = weights[0];
  for (int k = 1; k <= radius; ++k) total += 2.0f * weights[k];
  const float scale = 1.0f / total;
  for (int i = static_cast<int>(threadIdx.x); i < 3 * area; i += static_cast<int>(blockDim.x)) {
    const int line = i / size, x = i - line * size, channel = line / size;
    view.other[i] =
        scale * blurred(view.planes + channel * area + x, line - channel * size, size, size, weights, radius);
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < area; i += static_cast<int>(blockDim.x)) {
    const int x = i % size;
    const float* row = view.other + (i - x);
    write_pixel(
        view, i,
        {scale * blurred(row, x, size, 1, weights, radius), scale * blurred(row + area, x, size, 1, weights, radius),
         scale * blurred(row + 2 * area, x, size, 1, weights, radius)});
  }
}

constexpr int near_threads = 256, far_threads = 512;

/// `near`: the planes are in shared memory; otherwise in `far`, two buffers per block.
template <class T, bool near>
__global__ void __launch_bounds__(near ? near_threads : far_threads)
    draw_views(const __grid_constant__ ViewJob job, const std::uint8_t* pixels, const std::int32_t* indices,
               const std::int32_t* epoch, float* far, T* out) {
  SHARED(float, near_planes, [near ? 2 * near_floats : 1]);
  SHARED(float, weights, [max_radius + 1]);
  SHARED(float, sums, [32]);
  SHARED(unsigned char, plan_bytes, [sizeof(ViewPlan)]);
  float* planes = near ? near_planes : far + std::int64_t{2} * job.buffer * blockIdx.x;
  const std::int64_t area = std::int64_t{job.size} * job.size;
  for (std::int64_t at = blockIdx.x; at < job.images * job.views; at += gridDim.x) {
    const auto number = static_cast<int>(at / job.images);
    const std::int32_t index = indices[at - number * job.images];
    const ViewRules& rules = job.rules[number];
    const ImagePlace place = place_of(job.places, index, job.height, job.width);
    if (threadIdx.x == 0) {
      const Random random(job.seed, job.purpose, static_cast<std::uint32_t>(*epoch), static_cast<std::uint64_t>(index),
                          static_cast<std::uint32_t>(job.first_view + number));
      new (plan_bytes) ViewPlan(draw_plan(rules, place.height, place.width, random));
    }
    __syncthreads();
    const View<T> view{rules.settings,
                       *reinterpret_cast<const ViewPlan*>(plan_bytes),
                       job.size,
                       job.channels,
                       job.vectors,
                       planes,
                       planes + job.buffer,
                       out + (job.first_view * job.images + at) * area * job.channels};
    const float grays = block_sum(resize_crop(view, pixels + place.offset, place.width, job.buffer), sums);
    finish_colors(view, grays / static_cast<float>(area));
    if (view.plan.blur) blur_and_write(view, weights);
    __syncthreads();
  }
}

}  // namespace

void CudaBackend::make_views(const ViewBatch& batch, ConstArray pixels, ConstArray indices, ConstArray epoch,
                             Array out) {
  check_view_batch(batch);
  if (indices.size == 0) return;
  ViewJob job;
  job.seed = batch.seed;
  job.purpose = batch.purpose;
  job.images = indices.size;
  job.places = batch.places;
  job.height = static_cast<int>(batch.height), job.width = static_cast<int>(batch.width);
  job.size = static_cast<int>(batch.size()), job.channels = static_cast<int>(batch.channels);
  job.vectors = job.channels == 8 && aligned_to<16>(out.data);
  const bool near = 3 * job.size * job.size <= near_floats && 3 * job.width <= near_floats;
  job.buffer = near ? near_floats : std::max(3 * job.size * job.size, 3 * job.width);
  const auto count = static_cast<int>(batch.views.size());
  const std::int64_t most = near ? std::int64_t{1} << 20 : std::int64_t{2} * device_.multiprocessors();
  const unsigned blocks = blocks_for(indices.size * std::min(count, views_per_launch), 1, most);
  const Scratch<float> far(device_, near ? 0 : std::int64_t{2} * job.buffer * blocks);
  const auto run = [&](auto zero) {
    using T = decltype(zero);
    launch("make_views", near ? draw_views<T, true> : draw_views<T, false>, blocks, near ? near_threads : far_threads,
           device_.stream(), job, pixels.as<std::uint8_t>(), indices.as<std::int32_t>(), epoch.as<std::int32_t>(),
           far.data(), out.as<T>());
  };
  for (job.first_view = 0; job.first_view < count; job.first_view += job.views) {
    job.views = std::min(views_per_launch, count - job.first_view);
    for (int v = 0; v < job.views; ++v)
      job.rules[v] = ViewRules(batch.views[static_cast<std::size_t>(job.first_view + v)]);
    if (out.dtype == DType::bf16)
      run(bf16{});
    else
      run(float{});
  }
}

}  // namespace vergence::VERGENCE_GPU
