// The emulated device's memory and recordings. Every block comes from the heap and has exactly its size, so that
// AddressSanitizer sees each access outside it.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <utility>
#include <vector>

#include "kernels/cuda_backend.h"
#include "kernels/cuda_libraries.h"
#include "tests/cuda_emulator/capture.h"
#include "tests/cuda_emulator/emulated_backend.h"
#include "tests/device/device_under_test.h"

namespace vergence::emulated {

struct Device::State {
  std::string description = "the emulated GPU";
  MemoryUse use;
  std::vector<std::pair<void*, std::int64_t>> kept;  // released while a recording was under way: its memory
  std::string unrepeatable;
};

namespace {

class EmulatedRecording final : public Recording {
 public:
  EmulatedRecording(Device& device, Work work, std::vector<std::pair<void*, std::int64_t>> blocks)
      : device_(device), work_(std::move(work)), blocks_(std::move(blocks)) {}
  ~EmulatedRecording() override {
    for (const auto& [block, bytes] : blocks_) device_.release(block, bytes);
  }
  void replay() override {
    for (const auto& step : work_) step();
  }

 private:
  Device& device_;
  Work work_;
  std::vector<std::pair<void*, std::int64_t>> blocks_;
};

}  // namespace

Device::Device(int) : state_(std::make_unique<State>()) {}
Device::~Device() = default;
const std::string& Device::description() const { return state_->description; }
int Device::multiprocessors() const { return 4; }
Stream Device::stream() const { return 0; }

void* Device::allocate(std::int64_t bytes) {
  void* block = nullptr;
  require(posix_memalign(&block, 256, static_cast<std::size_t>(std::max<std::int64_t>(1, bytes))) == 0,
          "emulator: out of memory");
  std::memset(block, 0xff, static_cast<std::size_t>(bytes));
  state_->use.used += bytes;
  state_->use.peak = std::max(state_->use.peak, state_->use.used);
  state_->use.reserved = state_->use.peak;
  return block;
}

void Device::release(void* block, std::int64_t bytes) noexcept {
  if (!block) return;
  if (recording()) {
    state_->kept.push_back({block, bytes});
    return;
  }
  state_->use.used -= bytes;
  std::free(block);
}

MemoryUse Device::memory() const { return state_->use; }
std::int64_t Device::free_memory() const { return std::int64_t{1} << 40; }
void Device::reset_peak() { state_->use.peak = state_->use.used; }

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
    state_->unrepeatable = "a synchronisation";
    throw Error("recording: a synchronisation cannot be repeated");
  }
}

void Device::begin_recording() {
  emulated::begin_recording();
  state_->unrepeatable.clear();
  state_->kept.clear();
}

std::unique_ptr<Recording> Device::end_recording() {
  Work work = emulated::end_recording();
  auto recording = std::make_unique<EmulatedRecording>(*this, std::move(work), std::exchange(state_->kept, {}));
  require(state_->unrepeatable.empty(), "recording: ", state_->unrepeatable, " cannot be repeated");
  return recording;
}

}  // namespace vergence::emulated

namespace vergence::test {

Backend& emulated_backend() {
  static emulated::CudaBackend* const device = new emulated::CudaBackend("emulated");
  return *device;
}

Backend& device_under_test() { return emulated_backend(); }

}  // namespace vergence::test
