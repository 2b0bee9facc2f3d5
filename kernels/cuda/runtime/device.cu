// The GPU's memory, stream and recordings on the CUDA runtime. Nothing here is compiled into the emulated device.
//
// Memory comes from pools over cudaMalloc (device_pool.h). With VERGENCE_POOL=off each block is its own cudaMalloc, so
// that a sanitizer sees its bounds; cudaFree waits for every kernel that may still use the block. Small uploads go
// through pinned memory, so that they do not wait for the GPU. Uploads of whole batches run ahead on a second stream,
// beside the kernels of the current step.
#include <array>
#include <atomic>
#include <cstring>
#include <functional>
#include <mutex>
#include <vector>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/device_pool.h"
#include "kernels/cuda/environment.h"

namespace vergence {

namespace cuda {
namespace {

/// The last launches, for error messages: a failing kernel is reported only by some later call.
struct LaunchLog {
  std::array<const char*, 8> names{};
  std::size_t count = 0;
};

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // clears a recoverable error
  throw Error(join("cuda: ", what, ": ", cudaGetErrorString(status), " (", cudaGetErrorName(status), ")"));
}

/// For calls whose failure does not matter: it must not be reported at the next launch.
void forget(cudaError_t status) {
  if (status != cudaSuccess) cudaGetLastError();
}

double mebibytes(std::int64_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

MemorySource device_memory() {
  return {[](std::int64_t bytes) {
            void* segment = nullptr;
            if (cudaMalloc(&segment, static_cast<std::size_t>(bytes)) != cudaSuccess) {
              cudaGetLastError();
              segment = nullptr;
            }
            return segment;
          },
          [](void* segment) { forget(cudaFree(segment)); }};
}

/// Pinned host memory in equal parts, used in turn; a part is free again once its copy has completed.
class Staging {
 public:
  static constexpr std::size_t part_bytes = std::size_t{4} << 20, parts = 4;

  Staging() {
    check(cudaMallocHost(&memory_, part_bytes * parts), "pinned memory");
    for (cudaEvent_t& event : copied_) check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "event");
  }
  ~Staging() {
    for (cudaEvent_t event : copied_) forget(cudaEventDestroy(event));
    forget(cudaFreeHost(memory_));
  }
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  void upload(void* device, const void* host, std::size_t bytes, cudaStream_t stream) {
    for (std::size_t at = 0; at < bytes; at += part_bytes) {
      const std::size_t run = std::min(part_bytes, bytes - at);
      char* part = static_cast<char*>(memory_) + next_ * part_bytes;
      check(cudaEventSynchronize(copied_[next_]), "upload");
      std::memcpy(part, static_cast<const char*>(host) + at, run);
      check(cudaMemcpyAsync(static_cast<char*>(device) + at, part, run, cudaMemcpyHostToDevice, stream), "upload");
      check(cudaEventRecord(copied_[next_], stream), "upload");
      next_ = (next_ + 1) % parts;
    }
  }

 private:
  void* memory_ = nullptr;
  std::array<cudaEvent_t, parts> copied_{};
  std::size_t next_ = 0;
};

}  // namespace

struct Device::State {
  int ordinal = 0, multiprocessors = 0;
  std::string description;
  Stream stream = nullptr;
  std::unique_ptr<Staging> staging;
  Stream copy_stream = nullptr;
  std::unique_ptr<Staging> staging_ahead;  // created at first use
  std::array<cudaEvent_t, 2> submitted{};  // the compute stream's work at the last two uploads ahead
  cudaEvent_t arrived = nullptr;
  std::size_t uploads_ahead = 0;
  std::mutex mutex;
  DeviceMemory memory{device_memory(), !pool_wanted()};
  std::vector<void*> constants;  // pinned copies of uploads made while recording

  bool recording() const { return memory.recording(); }
  int end_recording() {
    const std::lock_guard lock(mutex);
    return memory.end_recording();
  }
};

namespace {

class CudaRecording final : public Recording {
 public:
  /// `done` releases the recording's memory.
  CudaRecording(Stream stream, std::vector<void*> constants, std::function<void()> done)
      : stream_(stream), constants_(std::move(constants)), done_(std::move(done)) {}
  ~CudaRecording() override {
    forget(cudaStreamSynchronize(stream_));
    if (graph_) forget(cudaGraphExecDestroy(graph_));
    for (void* constant : constants_) forget(cudaFreeHost(constant));
    done_();
  }
  void instantiate(cudaGraph_t graph) {
    const cudaError_t status = cudaGraphInstantiate(&graph_, graph, 0);
    cudaGraphDestroy(graph);
    check(status, "recording");
  }
  void replay() override {
    note_launch("replay of a recorded step");
    check(cudaGraphLaunch(graph_, stream_), "replay of a recorded step");
  }

 private:
  Stream stream_;
  cudaGraphExec_t graph_ = nullptr;
  std::vector<void*> constants_;
  std::function<void()> done_;
};

std::atomic<bool> early{false};  // of the most recently opened device; there is only one

LaunchLog& launch_log() {
  thread_local LaunchLog log;
  return log;
}

std::string last_launches() {
  const LaunchLog& log = launch_log();
  std::string text;
  for (std::size_t back = std::min(log.count, log.names.size()); back > 0; --back)
    text += join(text.empty() ? "" : ", ", log.names[(log.count - back) % log.names.size()]);
  return text;
}

__global__ void any_kernel() {}

/// The compute capability times 10 that this build's kernels were compiled for. The driver may compile kernels of an
/// older one for a newer GPU, and they do not wait for the kernel before (ptx.h).
int compiled_architecture() {
  cudaFuncAttributes attributes;
  check(cudaFuncGetAttributes(&attributes, any_kernel), "attributes of a kernel");
  return attributes.ptxVersion;
}

}  // namespace

bool early_launches() { return early; }

void note_launch(const char* kernel) {
  LaunchLog& log = launch_log();
  log.names[log.count++ % log.names.size()] = kernel;
}

void check_launch(const char* kernel, dim3 grid, dim3 block, const std::string& arguments) {
  const cudaError_t status = cudaGetLastError();
  if (status == cudaSuccess) return;
  throw Error(join("cuda: kernel ", kernel, ", grid ", grid.x, "x", grid.y, "x", grid.z, ", block ", block.x, "x",
                   block.y, "x", block.z, ", arguments", arguments, ": ", cudaGetErrorString(status)));
}

Device::Device(int ordinal) : state_(std::make_unique<State>()) {
  check(cudaSetDevice(ordinal), "device");
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, ordinal), "device properties");
  require(properties.major >= 8, properties.name, ": compute capability ", properties.major, ".", properties.minor,
          ", needs 8.0 or later");
  State& s = *state_;
  s.ordinal = ordinal;
  s.multiprocessors = properties.multiProcessorCount;
  s.description = join(properties.name, ", compute capability ", properties.major, ".", properties.minor, ", ",
                       properties.totalGlobalMem >> 30, " GiB");
  early = properties.major >= 9 && compiled_architecture() >= 90 && is_on("VERGENCE_EARLY_LAUNCH");
  check(cudaStreamCreateWithFlags(&s.stream, cudaStreamNonBlocking), "stream");
  s.staging = std::make_unique<Staging>();
}

Device::~Device() = default;  // the backend lives until the process ends

const std::string& Device::description() const { return state_->description; }
int Device::multiprocessors() const { return state_->multiprocessors; }
Stream Device::stream() const { return state_->stream; }

void* Device::allocate(std::int64_t bytes) {
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  void* block = s.memory.allocate(bytes);
  if (!block) {
    std::size_t free = 0, total = 0;
    forget(cudaMemGetInfo(&free, &total));
    throw Error(join("cuda: out of memory: asked for ", mebibytes(bytes), " MiB; in use ",
                     mebibytes(s.memory.use().used), " MiB, free ", mebibytes(static_cast<std::int64_t>(free)), " of ",
                     mebibytes(static_cast<std::int64_t>(total)), " MiB on ", s.description,
                     "; a lower --batch or --precision bf16 may help"));
  }
  return block;
}

void Device::release(void* block, std::int64_t bytes) noexcept {
  if (!block) return;
  const std::lock_guard lock(state_->mutex);
  try {
    state_->memory.release(block, bytes);
  } catch (...) {  // no memory for the bookkeeping: the block leaks, the program goes on
  }
}

MemoryUse Device::memory() const {
  const std::lock_guard lock(state_->mutex);
  return state_->memory.use();
}

std::int64_t Device::free_memory() const {
  const std::lock_guard lock(state_->mutex);
  std::size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total), "free memory");
  return static_cast<std::int64_t>(free) + state_->memory.unused();
}

void Device::reset_peak() {
  const std::lock_guard lock(state_->mutex);
  state_->memory.reset_peak();
}

void Device::upload(void* device, const void* host, std::int64_t bytes) {
  if (bytes == 0) return;
  State& s = *state_;
  const auto size = static_cast<std::size_t>(bytes);
  if (!s.recording()) return s.staging->upload(device, host, size, s.stream);
  void* constant = nullptr;
  check(cudaMallocHost(&constant, size), "pinned memory");
  std::memcpy(constant, host, size);
  s.constants.push_back(constant);
  check(cudaMemcpyAsync(device, constant, size, cudaMemcpyHostToDevice, s.stream), "upload");
}

void Device::upload_ahead(void* device, const void* host, std::int64_t bytes) {
  State& s = *state_;
  require(!s.recording(), "recording: an upload ahead cannot be repeated");
  if (!s.staging_ahead) {
    check(cudaStreamCreateWithFlags(&s.copy_stream, cudaStreamNonBlocking), "stream");
    for (cudaEvent_t& event : s.submitted) check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "event");
    check(cudaEventCreateWithFlags(&s.arrived, cudaEventDisableTiming), "event");
    s.staging_ahead = std::make_unique<Staging>();
  }
  const std::size_t turn = s.uploads_ahead++ % 2;
  check(cudaStreamWaitEvent(s.copy_stream, s.submitted[1 - turn], 0), "upload");
  check(cudaEventRecord(s.submitted[turn], s.stream), "upload");
  s.staging_ahead->upload(device, host, static_cast<std::size_t>(bytes), s.copy_stream);
  check(cudaEventRecord(s.arrived, s.copy_stream), "upload");
  check(cudaStreamWaitEvent(s.stream, s.arrived, 0), "upload");
}

void Device::download(void* host, const void* device, std::int64_t bytes) {
  require(!state_->recording(), "recording: a download cannot be repeated");
  if (bytes == 0) return;
  const auto size = static_cast<std::size_t>(bytes);
  check(cudaMemcpyAsync(host, device, size, cudaMemcpyDeviceToHost, state_->stream), "download");
  synchronize();
}

void Device::zero(void* block, std::int64_t bytes) {
  if (bytes > 0) check(cudaMemsetAsync(block, 0, static_cast<std::size_t>(bytes), state_->stream), "fill with zeros");
}

void Device::copy(void* to, const void* from, std::int64_t bytes) {
  if (bytes > 0)
    check(cudaMemcpyAsync(to, from, static_cast<std::size_t>(bytes), cudaMemcpyDeviceToDevice, state_->stream), "copy");
}

void Device::synchronize() {
  require(!state_->recording(), "recording: a synchronization cannot be repeated");
  const cudaError_t status = cudaStreamSynchronize(state_->stream);
  if (status != cudaSuccess)
    throw Error(join("cuda: one of the last kernels failed (", last_launches(), "): ", cudaGetErrorString(status)));
}

void Device::begin_rehearsal() {
  const std::lock_guard lock(state_->mutex);
  state_->memory.begin_log();
}

std::unique_ptr<Rehearsal> Device::end_rehearsal() {
  const std::lock_guard lock(state_->mutex);
  return std::make_unique<LoggedRun>(state_->memory.end_log());
}

void Device::begin_recording(const Rehearsal* rehearsal) {
  State& s = *state_;
  require(!s.recording(), "recording: one is under way already");
  synchronize();
  const std::lock_guard lock(s.mutex);
  s.memory.begin_recording(log_of(rehearsal));
  const cudaError_t status = cudaStreamBeginCapture(s.stream, cudaStreamCaptureModeRelaxed);
  if (status != cudaSuccess) s.memory.forget(s.memory.end_recording());
  check(status, "recording");
}

std::unique_ptr<Recording> Device::end_recording() {
  State& s = *state_;
  require(s.recording(), "recording: none is under way");
  cudaGraph_t graph = nullptr;
  const cudaError_t status = cudaStreamEndCapture(s.stream, &graph);  // first: the stream then runs again in every case
  const auto let_go = [&s, number = s.end_recording()] {
    const std::lock_guard lock(s.mutex);
    s.memory.forget(number);
  };
  // From here on the recording owns the memory kept for it, and releases it if something fails.
  auto recording = std::make_unique<CudaRecording>(s.stream, std::exchange(s.constants, {}), let_go);
  check(status, "recording");
  recording->instantiate(graph);
  return recording;
}

}  // namespace cuda

/// For backends.cpp: the first GPU, or null and the reason. Created at first use, never destroyed.
Backend* cuda_backend(std::string& why) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess || count == 0) {
    why = status == cudaSuccess ? "none is there" : cudaGetErrorString(status);
    cudaGetLastError();
    return nullptr;
  }
  // An invalid value is an error, not a reason to go without the GPU.
  pool_wanted();
  is_on("VERGENCE_EARLY_LAUNCH");
  try {
    return new cuda::CudaBackend("cuda");
  } catch (const std::exception& error) {
    why = error.what();
    return nullptr;
  }
}

}  // namespace vergence
