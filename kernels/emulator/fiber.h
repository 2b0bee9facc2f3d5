// Fibers: stacks switched by hand. Each thread of the emulated device is one; it runs until it has to wait.
//
// The switch is inline and jumps instead of returning: a return address that does not match the processor's own return
// stack costs as much as the rest of the switch.
#pragma once

#include <cstddef>
#include <vector>

#ifndef __x86_64__
#include <ucontext.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#define VERGENCE_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define VERGENCE_ASAN 1
#endif
#endif
#ifdef VERGENCE_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

namespace vergence::emulated {

#ifdef __x86_64__
/// Saves the callee-saved registers and the stack pointer at *from, and loads those of `to`.
extern "C" void vergence_switch_stack(void** from, void* to);

struct FiberContext {
  void* stack_pointer = nullptr;
  static void switch_to(FiberContext& from, FiberContext& to) {
    vergence_switch_stack(&from.stack_pointer, to.stack_pointer);
  }
};
#else
struct FiberContext {
  ucontext_t context;
  static void switch_to(FiberContext& from, FiberContext& to) { swapcontext(&from.context, &to.context); }
};
#endif

/// Fibers that all run the same function, one after the other, each resumed from and yielding to the caller's stack.
/// Informs AddressSanitizer of every switch.
class Fibers {
 public:
  Fibers() = default;
  ~Fibers();
  Fibers(const Fibers&) = delete;
  Fibers& operator=(const Fibers&) = delete;

  /// Creates `count` fibers that will call `entry(index)` when first resumed. Discards earlier ones.
  void start(std::size_t count, void (*entry)(std::size_t index));

  /// Runs fiber `index` until it yields or its entry returns; true while it has not returned.
  bool resume(std::size_t index) {
    Fiber& fiber = fibers_[index];
    active_ = this;
    current_ = index;
#ifdef VERGENCE_ASAN
    __sanitizer_start_switch_fiber(&fake_stack_, fiber.stack, stack_bytes);
#endif
    FiberContext::switch_to(outside_, fiber.context);
#ifdef VERGENCE_ASAN
    __sanitizer_finish_switch_fiber(fake_stack_, nullptr, nullptr);
#endif
    return !fiber.done;
  }

  /// Called within a fiber: returns to the caller of `resume`.
  void yield() {
    Fiber& fiber = fibers_[current_];
#ifdef VERGENCE_ASAN
    __sanitizer_start_switch_fiber(fiber.done ? nullptr : &fiber.fake_stack, outside_stack_, outside_size_);
#endif
    FiberContext::switch_to(fiber.context, outside_);
#ifdef VERGENCE_ASAN
    __sanitizer_finish_switch_fiber(fiber.fake_stack, &outside_stack_, &outside_size_);
#endif
  }

 private:
#ifdef VERGENCE_ASAN
  static constexpr std::size_t stack_bytes = 288 << 10;  // sanitized frames are larger
#else
  static constexpr std::size_t stack_bytes = 96 << 10;
#endif

  struct Fiber {
    FiberContext context;
    char* stack = nullptr;
    bool done = false;
    void* fake_stack = nullptr;
  };

  static void main();
  static void prepare(Fiber& fiber, std::size_t index);

  static Fibers* active_;
  std::vector<Fiber> fibers_;
  FiberContext outside_;
  std::size_t current_ = 0;
  void (*entry_)(std::size_t) = nullptr;
  void* fake_stack_ = nullptr;
  const void* outside_stack_ = nullptr;
  std::size_t outside_size_ = 0;
};

}  // namespace vergence::emulated
