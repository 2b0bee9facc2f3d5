// Switching stacks: a few instructions on x86-64, ucontext elsewhere (which also saves signal masks: two system calls).
#include "kernels/emulator/fiber.h"

#include <sys/mman.h>

#include "kernels/error.h"

#ifdef VERGENCE_ASAN
#include <sanitizer/asan_interface.h>
#endif

#ifdef __x86_64__
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
  popq %rcx
  jmp *%rcx
.size vergence_switch_stack, .-vergence_switch_stack
.section .note.GNU-stack,"",@progbits
.text
)");
#endif

namespace vergence::emulated {

Fibers* Fibers::active_ = nullptr;

Fibers::~Fibers() {
  for (Fiber& fiber : fibers_)
    if (fiber.stack) munmap(fiber.stack, stack_bytes);
}

/// The entry point of every fiber. Never returns: there is nothing below it on its stack.
void Fibers::main() {
  Fibers& all = *active_;
#ifdef VERGENCE_ASAN
  __sanitizer_finish_switch_fiber(nullptr, &all.outside_stack_, &all.outside_size_);
#endif
  all.entry_(all.current_);
  all.fibers_[all.current_].done = true;
  all.yield();
}

void Fibers::prepare(Fiber& fiber, std::size_t index) {
  // Tops at one distance from one another would share few sets of the processor's caches: each starts nine lines, of 64
  // bytes, below the one before.
  const std::size_t used = stack_bytes - index % 64 * 9 * 64;
#ifdef __x86_64__
  // As if `main` had been called: once its address is popped, the stack pointer is 8 modulo 16.
  auto** top = reinterpret_cast<void**>(fiber.stack + used) - 2;
  *top = reinterpret_cast<void*>(&main);
  for (int i = 1; i <= 6; ++i) top[-i] = nullptr;
  top[1] = nullptr;
  fiber.context.stack_pointer = top - 6;
#else
  getcontext(&fiber.context.context);
  fiber.context.context.uc_stack.ss_sp = fiber.stack;
  fiber.context.context.uc_stack.ss_size = used;
  fiber.context.context.uc_link = nullptr;
  makecontext(&fiber.context.context, &main, 0);
#endif
}

void Fibers::start(std::size_t count, void (*entry)(std::size_t index)) {
  if (fibers_.size() < count) fibers_.resize(count);
  entry_ = entry;
  for (std::size_t i = 0; i < count; ++i) {
    Fiber& fiber = fibers_[i];
    if (!fiber.stack) {
      void* stack =
          mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      require(stack != MAP_FAILED, "emulator: no memory for a thread's stack");
      fiber.stack = static_cast<char*>(stack);
    }
#ifdef VERGENCE_ASAN
    __asan_unpoison_memory_region(fiber.stack, stack_bytes);
#endif
    fiber.done = false;
    fiber.fake_stack = nullptr;
    prepare(fiber, i);
  }
}

}  // namespace vergence::emulated
