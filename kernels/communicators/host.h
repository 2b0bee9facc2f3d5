// Collectives through the host's memory. Arrays of a device with its own memory are downloaded and uploaded.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels/communicator.h"

namespace vergence {

/// An array in the host's memory: the backend's own, or a copy.
class HostCopy {
 public:
  HostCopy(Backend& backend, Array array) : backend_(backend), array_(array) {
    if (backend.traits().own_memory) copy_.resize(static_cast<std::size_t>(bytes()));
  }
  HostCopy(Backend& backend, ConstArray array)
      : HostCopy(backend, Array{const_cast<void*>(array.data), array.size, array.dtype}) {}

  std::int64_t bytes() const { return array_.size * size_of(array_.dtype); }
  void* data() { return copy_.empty() ? array_.data : copy_.data(); }
  void read() {
    if (!copy_.empty()) backend_.download(copy_.data(), array_.data, bytes());
  }
  void write() {
    if (!copy_.empty()) backend_.upload(array_.data, copy_.data(), bytes());
  }

 private:
  Backend& backend_;
  Array array_;
  std::vector<std::byte> copy_;
};

/// The sum of several `parts` of out's size, one after the other in host memory, in their order, as all_reduce adds.
/// `out` may be the first part.
void add_parts(ConstArray parts, Array out);

/// A communicator needs only to move bytes of the host's memory; this adds the arrays and the sum.
class HostCommunicator : public Communicator {
 protected:
  /// The ranks' `part`, one after the other in rank order, to `whole`.
  virtual void gather(const void* part, void* whole, std::int64_t bytes) = 0;
  /// Part r of `from` goes to rank r; part r of `to` comes from rank r. `bytes` each.
  virtual void exchange(const void* from, void* to, std::int64_t bytes) = 0;
  /// Copies rank `root`'s x to every rank.
  virtual void spread(void* x, std::int64_t bytes, int root) = 0;

 private:
  void do_all_gather(Backend& backend, ConstArray x, Array out) final;
  void do_all_reduce(Backend& backend, ConstArray x, Array out) final;
  void do_broadcast(Backend& backend, Array x, int root) final;

  template <class T>
  void sum(const T* x, T* out, std::int64_t size);
  /// Working memory of that many bytes, kept for the next call.
  void* scratch(std::int64_t bytes);

  std::unique_ptr<std::byte[]> scratch_;
  std::int64_t scratch_bytes_ = 0;
};

}  // namespace vergence
