// The emulated device's memory and recordings. Every block comes from the heap and has exactly its size, as on a GPU
// with VERGENCE_POOL=off, so that AddressSanitizer sees each access outside it.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/device_pool.h"
#include "kernels/cuda/emulated/backend.h"
#include "kernels/emulator/capture.h"

namespace vergence::emulated {

namespace {

void* heap_block(std::int64_t bytes) {
  void* block = nullptr;
  return posix_memalign(&block, 256, static_cast<std::size_t>(bytes)) == 0 ? block : nullptr;
}

bool next_recording_fails = false;

}  // namespace

struct Device::State {
  std::string description = "the emulated GPU";
  std::mutex mutex;
  // Separate blocks, unless a pool is requested.
  DeviceMemory memory{{heap_block, [](void* block) { std::free(block); }},
                      !std::getenv("VERGENCE_POOL") || !pool_wanted()};
  std::string unrepeatable;

  void forget(int recording) {
    const std::lock_guard lock(mutex);
    memory.forget(recording);
  }
};

namespace {

class EmulatedRecording final : public Recording {
 public:
  /// `done` releases the recording's memory.
  EmulatedRecording(Work work, std::function<void()> done) : work_(std::move(work)), done_(std::move(done)) {}
  ~EmulatedRecording() override { done_(); }
  void replay() override {
    for (const auto& step : work_) step();
  }

 private:
  Work work_;
  std::function<void()> done_;
};

}  // namespace

Device::Device(int) : state_(std::make_unique<State>()) {}
Device::~Device() = default;
const std::string& Device::description() const { return state_->description; }
int Device::multiprocessors() const { return 4; }
Stream Device::stream() const { return 0; }

void* Device::allocate(std::int64_t bytes) {
  const std::lock_guard lock(state_->mutex);
  void* block = state_->memory.allocate(bytes);
  require(block != nullptr, "emulator: out of memory");
  std::memset(block, 0xff, static_cast<std::size_t>(bytes));
  return block;
}

/// Ends the process if the block is in no pool, or was released with its pool.
void Device::release(void* block, std::int64_t bytes) noexcept {
  if (!block) return;
  const std::lock_guard lock(state_->mutex);
  state_->memory.release(block, bytes);
}

MemoryUse Device::memory() const {
  const std::lock_guard lock(state_->mutex);
  return state_->memory.use();
}
std::int64_t Device::free_memory() const { return std::int64_t{1} << 40; }
void Device::reset_peak() {
  const std::lock_guard lock(state_->mutex);
  state_->memory.reset_peak();
}

void Device::upload(void* device, const void* host, std::int64_t bytes) {
  const auto* from = static_cast<const char*>(host);
  run_or_record([device, content = std::vector<char>(from, from + bytes)] {
    if (!content.empty()) std::memcpy(device, content.data(), content.size());
  });
}

void Device::upload_ahead(void* device, const void* host, std::int64_t bytes) {
  require(!recording(), "recording: an upload ahead cannot be repeated");
  upload(device, host, bytes);
}

void Device::download(void* host, const void* device, std::int64_t bytes) {
  if (recording()) {
    state_->unrepeatable = "a download";
    throw Error("recording: a download cannot be repeated");
  }
  std::memcpy(host, device, static_cast<std::size_t>(bytes));
}

void Device::zero(void* block, std::int64_t bytes) {
  run_or_record([=] { std::memset(block, 0, static_cast<std::size_t>(bytes)); });
}

void Device::copy(void* to, const void* from, std::int64_t bytes) {
  run_or_record([=] { std::memmove(to, from, static_cast<std::size_t>(bytes)); });
}

void Device::synchronize() {
  if (recording()) {
    state_->unrepeatable = "a synchronization";
    throw Error("recording: a synchronization cannot be repeated");
  }
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
  require(!std::exchange(next_recording_fails, false), "emulator: this recording was to fail");
  emulated::begin_recording();
  const std::lock_guard lock(state_->mutex);
  state_->memory.begin_recording(log_of(rehearsal));
  state_->unrepeatable.clear();
}

std::unique_ptr<Recording> Device::end_recording() {
  Work work = emulated::end_recording();
  int number = 0;
  {
    const std::lock_guard lock(state_->mutex);
    number = state_->memory.end_recording();
  }
  auto recording = std::make_unique<EmulatedRecording>(std::move(work), [this, number] { state_->forget(number); });
  require(state_->unrepeatable.empty(), "recording: ", state_->unrepeatable, " cannot be repeated");
  return recording;
}

}  // namespace vergence::emulated

namespace vergence {

void fail_next_recording() { emulated::next_recording_fails = true; }

Backend& emulated_backend() {
  static emulated::CudaBackend* const device = new emulated::CudaBackend("emulated");
  return *device;
}

}  // namespace vergence
