// Collectives through the host's memory. Arrays of a device with its own memory are downloaded and uploaded.
#pragma once

#include <cstddef>

#include "kernels/communicator.h"

namespace vergence {

/// A communicator needs only to move bytes of the host's memory; this adds the arrays and the sum.
class HostCommunicator : public Communicator {
 protected:
  /// The ranks' `part`, one after the other in rank order, to `whole`.
  virtual void gather(const void* part, void* whole, std::int64_t bytes) = 0;
  /// Part r of `from` goes to rank r; part r of `to` comes from rank r. `bytes` each.
  virtual void exchange(const void* from, void* to, std::int64_t bytes) = 0;
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
