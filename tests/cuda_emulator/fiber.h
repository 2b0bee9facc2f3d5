// Fibers: stacks that are switched by hand. A thread of the emulated device is one; it runs until it has to wait.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

namespace vergence::emulated {

/// Some number of fibers that all run the same function, one after the other, from and back to the caller's stack.
/// AddressSanitizer is told of every switch.
class Fibers {
 public:
  Fibers();
  ~Fibers();
  Fibers(const Fibers&) = delete;
  Fibers& operator=(const Fibers&) = delete;

  /// Makes `count` fibers that will call `entry(index)` when first resumed. Those of before are forgotten.
  void start(std::size_t count, void (*entry)(std::size_t index));
  /// Runs fiber `index` until it yields or its entry returns; true while it has not returned.
  bool resume(std::size_t index);
  /// From within a fiber: back to the caller of `resume`.
  void yield();

  struct State;

 private:
  std::unique_ptr<State> state_;
};

}  // namespace vergence::emulated
