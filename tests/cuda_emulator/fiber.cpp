// Switching stacks: a few instructions on x86-64, ucontext elsewhere (which also saves signal masks: two system calls).
#include "tests/cuda_emulator/fiber.h"

#include <sys/mman.h>
#include <ucontext.h>

#include "kernels/error.h"

#if defined(__SANITIZE_ADDRESS__)
#define VERGENCE_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define VERGENCE_ASAN 1
#endif
#endif
#ifdef VERGENCE_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace vergence::emulated {
namespace {

#ifdef VERGENCE_ASAN
constexpr std::size_t stack_bytes = 256 << 10;  // sanitised frames are larger
#else
constexpr std::size_t stack_bytes = 64 << 10;
#endif

#if defined(__x86_64__)
/// Saves the callee-saved registers and the stack pointer at *from, and takes up those of `to`.
extern "C" void vergence_switch_stack(void** from, void* to);
asm(R"(
.text
.globl vergence_switch_stack
.type vergence_switch_stack, @function
vergence_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size vergence_switch_stack, .-vergence_switch_stack
.section .note.GNU-stack,"",@progbits
.text
)");

struct Context {
  void* stack_pointer = nullptr;
  static void switch_to(Context& from, Context& to) { vergence_switch_stack(&from.stack_pointer, to.stack_pointer); }
  void prepare(char* stack, void (*main)()) {
    // As if `main` had been called: its return address lies at an address that is 8 modulo 16 once popped.
    auto** top = reinterpret_cast<void**>(stack + stack_bytes) - 2;
    *top = reinterpret_cast<void*>(main);
    stack_pointer = top - 6;
    for (int i = 1; i <= 6; ++i) top[-i] = nullptr;
    top[1] = nullptr;
  }
};
#else
struct Context {
  ucontext_t context;
  static void switch_to(Context& from, Context& to) { swapcontext(&from.context, &to.context); }
  void prepare(char* stack, void (*main)()) {
    getcontext(&context);
    context.uc_stack.ss_sp = stack;
    context.uc_stack.ss_size = stack_bytes;
    context.uc_link = nullptr;
    makecontext(&context, main, 0);
  }
};
#endif

}  // namespace

struct Fibers::State {
  struct Fiber {
    Context context;
    char* stack = nullptr;
    bool done = false;
    void* fake_stack = nullptr;
  };

  void enter(Fiber& fiber) {
#ifdef VERGENCE_ASAN
    __sanitizer_start_switch_fiber(&fake_stack, fiber.stack, stack_bytes);
#endif
    Context::switch_to(outside, fiber.context);
#ifdef VERGENCE_ASAN
    __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#endif
  }

  void leave(Fiber& fiber) {
#ifdef VERGENCE_ASAN
    __sanitizer_start_switch_fiber(fiber.done ? nullptr : &fiber.fake_stack, outside_stack, outside_size);
#endif
    Context::switch_to(fiber.context, outside);
#ifdef VERGENCE_ASAN
    __sanitizer_finish_switch_fiber(fiber.fake_stack, &outside_stack, &outside_size);
#endif
  }

  std::vector<Fiber> fibers;
  Context outside;
  std::size_t current = 0;
  void (*entry)(std::size_t) = nullptr;
  void* fake_stack = nullptr;
  const void* outside_stack = nullptr;
  std::size_t outside_size = 0;
};

namespace {

Fibers::State* active = nullptr;

/// Where every fiber begins. Never returns: there is nothing below it on its stack.
void fiber_main() {
  Fibers::State& state = *active;
#ifdef VERGENCE_ASAN
  __sanitizer_finish_switch_fiber(nullptr, &state.outside_stack, &state.outside_size);
#endif
  Fibers::State::Fiber& fiber = state.fibers[state.current];
  state.entry(state.current);
  fiber.done = true;
  state.leave(fiber);
}

char* new_stack() {
  void* stack = mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  require(stack != MAP_FAILED, "emulator: no memory for a thread's stack");
  return static_cast<char*>(stack);
}

}  // namespace

Fibers::Fibers() : state_(std::make_unique<State>()) {}

Fibers::~Fibers() {
  for (State::Fiber& fiber : state_->fibers)
    if (fiber.stack) munmap(fiber.stack, stack_bytes);
}

void Fibers::start(std::size_t count, void (*entry)(std::size_t index)) {
  if (state_->fibers.size() < count) state_->fibers.resize(count);
  state_->entry = entry;
  for (std::size_t i = 0; i < count; ++i) {
    State::Fiber& fiber = state_->fibers[i];
    if (!fiber.stack) fiber.stack = new_stack();
#ifdef VERGENCE_ASAN
    __asan_unpoison_memory_region(fiber.stack, stack_bytes);
#endif
    fiber.done = false;
    fiber.fake_stack = nullptr;
    fiber.context.prepare(fiber.stack, fiber_main);
  }
}

bool Fibers::resume(std::size_t index) {
  State& state = *state_;
  active = &state;
  state.current = index;
  state.enter(state.fibers[index]);
  return !state.fibers[index].done;
}

void Fibers::yield() { state_->leave(state_->fibers[state_->current]); }

}  // namespace vergence::emulated
