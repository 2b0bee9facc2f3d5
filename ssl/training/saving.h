// Writes files in order while steps continue. Each write must own its host memory, so that steps can change theirs at
// once.
#pragma once

#include <cstddef>
#include <functional>
#include <future>
#include <vector>

namespace vergence {

class Saving {
 public:
  using Work = std::function<void()>;

  /// `beside`: a second thread does the writes, once `start` is called. Otherwise `add` does them at once.
  explicit Saving(bool beside) : beside_(beside) {}
  Saving(const Saving&) = delete;
  Saving& operator=(const Saving&) = delete;
  /// Waits for the current save, but loses its errors: call `wait` before.
  ~Saving() = default;

  /// Waits for the current save, then adds a write to the next one. `then` runs after the write on the calling thread:
  /// with `beside`, in `wait`.
  void add(Work write, Work then = {});
  /// Starts all added writes. Only one save runs at a time.
  void start();
  /// Waits for the current save. Throws what a write has thrown; later writes were skipped.
  void wait();
  /// The same if no waiting is needed: reports a failed write early.
  void collect();

 private:
  struct Job {
    Work write, then;
  };
  void write_all();

  bool beside_;
  std::vector<Job> jobs_;
  std::size_t written_ = 0;      // jobs done; during a save both members belong to the other thread
  std::future<void> under_way_;  // the last member: its destructor waits
};

}  // namespace vergence
