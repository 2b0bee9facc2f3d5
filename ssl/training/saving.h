// Writing files beside the steps, in order. Who adds a write gives it host memory of its own, so that steps may go on
// at once.
#pragma once

#include <cstddef>
#include <functional>
#include <future>
#include <vector>

namespace vergence {

class Saving {
 public:
  using Work = std::function<void()>;

  /// `beside`: writes are done on another thread, from `start` on. Otherwise `add` does them.
  explicit Saving(bool beside) : beside_(beside) {}
  Saving(const Saving&) = delete;
  Saving& operator=(const Saving&) = delete;
  /// Waits for what is under way. What fails then is lost: call `wait` before.
  ~Saving() = default;

  /// Adds a write to the next save, after waiting for the one under way. `then` follows once it is done, on the calling
  /// thread: beside the steps, in `wait`.
  void add(Work write, Work then = {});
  /// Begins with all that was added. One save is under way at a time.
  void start();
  /// Once this returns nothing is under way. Throws what a write has thrown, after which no others were done.
  void wait();
  /// The same where it takes no time, to hear early of a write that failed.
  void collect();

 private:
  struct Job {
    Work write, then;
  };
  void write_all();

  bool beside_;
  std::vector<Job> jobs_;
  std::size_t written_ = 0;      // the first of them; both belong to the other thread while a save is under way
  std::future<void> under_way_;  // the last member: its destructor waits
};

}  // namespace vergence
