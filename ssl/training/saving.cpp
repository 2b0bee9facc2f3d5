// One save at a time: a future of std::async, whose destructor waits.
#include "ssl/training/saving.h"

#include <chrono>
#include <utility>

namespace vergence {

void Saving::add(Work write, Work then) {
  wait();
  if (beside_) {
    jobs_.push_back({std::move(write), std::move(then)});
  } else {
    write();
    if (then) then();
  }
}

void Saving::start() {
  wait();
  if (!jobs_.empty()) under_way_ = std::async(std::launch::async, [this] { write_all(); });
}

void Saving::write_all() {
  for (Job& job : jobs_) {
    const Work write = std::exchange(job.write, {});  // frees its memory afterwards
    write();
    ++written_;
  }
}

void Saving::wait() {
  if (!under_way_.valid()) return;
  under_way_.wait();
  const std::vector<Job> jobs = std::exchange(jobs_, {});
  const std::size_t written = std::exchange(written_, 0);
  for (std::size_t i = 0; i < written; ++i)
    if (jobs[i].then) jobs[i].then();
  under_way_.get();
}

void Saving::collect() {
  if (under_way_.valid() && under_way_.wait_for(std::chrono::seconds(0)) == std::future_status::ready) wait();
}

}  // namespace vergence
