#include "kernels/communicators/threads.h"

#include <condition_variable>
#include <cstring>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "kernels/communicators/host.h"

namespace vergence {

namespace {

/// Where the ranks meet. Whoever runs holds the mutex; waiting gives it away.
struct Meeting {
  struct Post {
    std::string what;
    const void* data = nullptr;
  };

  explicit Meeting(int ranks) : posts(static_cast<std::size_t>(ranks)) {}

  std::mutex mutex;
  std::condition_variable changed;
  std::vector<Post> posts;  // one per rank
  std::size_t arrived = 0;
  std::uint64_t round = 0;
  std::string ended;  // empty while all ranks run
  std::exception_ptr first;
};

class ThreadCommunicator final : public HostCommunicator {
 public:
  ThreadCommunicator(Meeting& meeting, int rank, std::unique_lock<std::mutex>& turn)
      : meeting_(meeting), rank_(rank), turn_(turn) {}

  int rank() const override { return rank_; }
  int ranks() const override { return static_cast<int>(meeting_.posts.size()); }

 private:
  void gather(const void* part, void* whole, std::int64_t bytes) override {
    post(part);
    for (int r = 0; r < ranks(); ++r) copy(whole, r, data_of(r), 0, bytes);
    meet();
  }
  void exchange(const void* from, void* to, std::int64_t bytes) override {
    post(from);
    for (int r = 0; r < ranks(); ++r) copy(to, r, data_of(r), rank_, bytes);
    meet();
  }
  void spread(void* x, std::int64_t bytes, int root) override {
    post(x);
    if (rank_ != root) copy(x, 0, data_of(root), 0, bytes);
    meet();
  }

  static void copy(void* to, int to_part, const void* from, int from_part, std::int64_t bytes) {
    std::memcpy(static_cast<char*>(to) + to_part * bytes, static_cast<const char*>(from) + from_part * bytes,
                static_cast<std::size_t>(bytes));
  }
  const void* data_of(int rank) const { return meeting_.posts[static_cast<std::size_t>(rank)].data; }

  /// Shows the others this rank's data, and waits until all have done so.
  void post(const void* data) {
    meeting_.posts[static_cast<std::size_t>(rank_)] = {current(), data};
    meet();
    const std::string& first = meeting_.posts[0].what;
    for (std::size_t r = 1; r < meeting_.posts.size(); ++r)
      require(meeting_.posts[r].what == first, "rank 0 is at ", first, ", rank ", r, " at ", meeting_.posts[r].what);
  }

  void meet() {
    Meeting& m = meeting_;
    const std::uint64_t round = m.round;
    if (m.ended.empty() && ++m.arrived == m.posts.size()) {
      m.arrived = 0;
      ++m.round;
      m.changed.notify_all();
    }
    m.changed.wait(turn_, [&] { return m.round != round || !m.ended.empty(); });
    require(m.round != round, "rank ", rank_, " is at ", current(), ", but ", m.ended);
  }

  Meeting& meeting_;
  int rank_;
  std::unique_lock<std::mutex>& turn_;
};

void run_rank(Meeting& meeting, int rank, const std::function<void(Communicator&)>& body) {
  std::unique_lock turn(meeting.mutex);
  std::string end = join("rank ", rank, " has ended");
  try {
    ThreadCommunicator communicator(meeting, rank, turn);
    body(communicator);
  } catch (...) {
    if (!meeting.first) meeting.first = std::current_exception();
    end = join("rank ", rank, " has failed");
  }
  if (meeting.ended.empty()) meeting.ended = end;
  meeting.changed.notify_all();
}

}  // namespace

void run_ranks(int ranks, const std::function<void(Communicator&)>& body) {
  require(ranks >= 1, "run_ranks: expected at least one rank, got ", ranks);
  Meeting meeting(ranks);
  {
    std::vector<std::jthread> others;
    for (int rank = 1; rank < ranks; ++rank) others.emplace_back([&, rank] { run_rank(meeting, rank, body); });
    run_rank(meeting, 0, body);
  }
  if (meeting.first) std::rethrow_exception(meeting.first);
}

}  // namespace vergence
