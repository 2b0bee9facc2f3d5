// The ranks of one training: processes (or threads) that each hold a part of the batch, and the few collective
// operations among them. Every rank calls the same collectives, in the same order and with arrays of the same size and
// type. A call returns when the result may be used like any other value of the backend.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "kernels/backend.h"

namespace vergence {

class Communicator {
 public:
  Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;
  virtual ~Communicator() = default;

  /// This rank, in [0, ranks()).
  virtual int rank() const = 0;
  virtual int ranks() const = 0;

  // The arrays are the backend's. Each call throws Error if the sizes or types do not fit, or if the other ranks do not
  // answer; after that, every call throws.

  /// The ranks' x, one after the other in rank order; `out` has ranks() times x's size. Any type.
  void all_gather(Backend& backend, ConstArray x, Array out);
  /// The sum of the ranks' x, with the same bits on every rank; `out` may be x. f64, f32, bf16 or i32. Through the
  /// host's memory, x is added in rank order in Compute<T> (i32 as it is) and rounded once, so the bits depend neither
  /// on the size nor on how values travel. NCCL sums in an order of its own.
  void all_reduce(Backend& backend, ConstArray x, Array out);
  /// Copies rank `root`'s x to every rank. Any type.
  void broadcast(Backend& backend, Array x, int root);

  /// all_reduce in place, through the host's memory with the same bits, but the work of the backend goes on meanwhile:
  /// `x` must not be read, written or released until `finish_sums`. Several sums may be under way, and other
  /// collectives may be called.
  void begin_sum(Backend& backend, Array x);
  /// Ends all sums begun since the last call, all of the same backend. Call it before the communicator is destroyed.
  void finish_sums(Backend& backend);

  /// For an error of this rank alone, after which it answers no other rank: aborts the collectives that wait on the
  /// device, so that the host can wait for the device. Returns at once; every later call throws.
  void abandon();

 protected:
  /// The collective under way, for messages: "all_reduce of 10 f32 values (collective 3)".
  std::string current() const;

 private:
  virtual void do_all_gather(Backend& backend, ConstArray x, Array out) = 0;
  virtual void do_all_reduce(Backend& backend, ConstArray x, Array out) = 0;
  virtual void do_broadcast(Backend& backend, Array x, int root) = 0;
  /// Unless a communicator has something better, a sum ends where it begins.
  virtual void do_begin_sum(Backend& backend, Array x) { do_all_reduce(backend, x, x); }
  virtual void do_finish_sums(Backend& /*backend*/) {}
  virtual void do_abandon() {}

  template <class Call>
  void run(const char* name, ConstArray x, const Call& call);

  const char* name_ = "";
  std::int64_t size_ = 0;
  DType dtype_ = DType::f32;
  std::int64_t calls_ = 0;
  bool failed_ = false;
};

/// A communicator of one rank, whose collectives copy. For any backend.
std::unique_ptr<Communicator> single_communicator();

}  // namespace vergence
