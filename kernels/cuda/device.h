// One GPU as the backend sees it: memory, one compute stream, captures. Two implementations:
// kernels/cuda/runtime/device.cu on the CUDA runtime, kernels/cuda/emulated/device.cpp in plain C++.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "kernels/backend.h"
#include "kernels/cuda/launch.h"

namespace vergence::VERGENCE_GPU {

class Device {
 public:
  explicit Device(int ordinal);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  /// "NVIDIA H200, compute capability 9.0, 140 GiB"
  const std::string& description() const;
  int multiprocessors() const;
  Stream stream() const;

  /// Blocks are 256-byte aligned. All work is on one stream, so a block may be released once its last kernel is
  /// launched. If memory runs out, throws Error with the bytes requested, the bytes free, and what may help.
  void* allocate(std::int64_t bytes);
  void release(void* block, std::int64_t bytes) noexcept;
  MemoryUse memory() const;
  /// The system's free memory plus the unused memory of the pool.
  std::int64_t free_memory() const;
  void reset_peak();

  /// The host may change or free its bytes once this returns.
  void upload(void* device, const void* host, std::int64_t bytes);
  /// On a separate stream; see Backend::upload_ahead. Not while recording.
  void upload_ahead(void* device, const void* host, std::int64_t bytes);
  /// Waits for everything before it.
  void download(void* host, const void* device, std::int64_t bytes);
  void zero(void* block, std::int64_t bytes);
  void copy(void* to, const void* from, std::int64_t bytes);
  void synchronize();

  /// Between these two calls, logs the blocks that the work allocates and releases.
  void begin_rehearsal();
  std::unique_ptr<Rehearsal> end_rehearsal();
  /// From here on work is recorded instead of run; blocks allocated meanwhile belong to the recording. Throws if one is
  /// already under way. rehearsal: of the same work, or null.
  void begin_recording(const Rehearsal* rehearsal = nullptr);
  /// Throws if something was done meanwhile that cannot be replayed (a download, a synchronization).
  std::unique_ptr<Recording> end_recording();

  struct State;

 private:
  std::unique_ptr<State> state_;
};

/// Working memory for one call: `count` values, released at the end of the scope.
template <class T>
class Scratch {
 public:
  Scratch(Device& device, std::int64_t count)
      : device_(device), bytes_(count * static_cast<std::int64_t>(sizeof(T))), data_(device.allocate(bytes_)) {}
  ~Scratch() { device_.release(data_, bytes_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  T* data() const { return static_cast<T*>(data_); }

 private:
  Device& device_;
  std::int64_t bytes_;
  void* data_;
};

}  // namespace vergence::VERGENCE_GPU
