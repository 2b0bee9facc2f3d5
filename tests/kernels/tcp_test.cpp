// Collectives through connections of TCP on this machine: values and bits, and ranks or strangers that misbehave.
#include "kernels/communicators/tcp.h"

#include <arpa/inet.h>
#include <atomic>
#include <cstring>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "kernels/communicators/nccl.h"
#include "kernels/communicators/threads.h"
#include "tests/support/complaints.h"
#include "tests/support/rank_values.h"

namespace vergence::test {
namespace {

constexpr double long_enough = 60;

sockaddr_in loopback(int port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  return address;
}

/// A blocking socket of 127.0.0.1 for programs that are no ranks.
struct Stranger {
  Stranger() : id(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {}
  Stranger(const Stranger&) = delete;
  Stranger& operator=(const Stranger&) = delete;
  ~Stranger() { ::close(id); }

  /// Its port, which the system chooses.
  int listen() {
    sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(id, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::getsockname(id, reinterpret_cast<sockaddr*>(&address), &size), 0);
    EXPECT_EQ(::listen(id, 4), 0);
    return ntohs(address.sin_port);
  }
  void connect(int port) {
    const sockaddr_in address = loopback(port);
    while (::connect(id, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  void say(const std::string& text) { ::send(id, text.data(), text.size(), MSG_NOSIGNAL); }
  /// All until the other end closes.
  std::string hear() {
    std::string all;
    char part[512];
    for (ssize_t got; (got = ::recv(id, part, sizeof part, 0)) > 0;) all.append(part, static_cast<std::size_t>(got));
    return all;
  }

  int id;
};

int free_port() { return Stranger().listen(); }

Launch launch_of(int rank, int ranks, int port, const std::string& address = "127.0.0.1") {
  return {.by = Launch::By::torchrun, .rank = rank, .ranks = ranks, .address = address, .port = port};
}

/// What went wrong on each rank: empty for none.
using Ends = std::vector<std::string>;

/// Calls `body` for each rank in a thread of its own, `wait` later for rank 0.
Ends run(int ranks, double patience, const std::function<void(Communicator&)>& body, int wait_ms = 0,
         const std::string& address = "127.0.0.1", int port = free_port()) {
  Ends ends(static_cast<std::size_t>(ranks));
  std::vector<std::jthread> threads;
  for (int rank = 0; rank < ranks; ++rank)
    threads.emplace_back([&, rank] {
      ends[static_cast<std::size_t>(rank)] = error_or<Error>("", [&] {
        if (rank == 0) std::this_thread::sleep_for(std::chrono::milliseconds(wait_ms));
        body(*tcp_communicator(launch_of(rank, ranks, port, address), patience));
      });
    });
  threads.clear();
  return ends;
}

template <class T>
Array array_of(std::vector<T>& values) {
  return {values.data(), static_cast<std::int64_t>(values.size()), dtype_of<T>()};
}

/// The bytes of all collectives' results.
template <class T>
std::string results(Communicator& ranks, std::int64_t size) {
  std::string bytes;
  const auto keep = [&](const std::vector<T>& values) {
    bytes.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
  };
  std::vector<T> x = values_of<T>(ranks.rank(), size), all(x.size() * static_cast<std::size_t>(ranks.ranks()));
  ranks.all_gather(cpu_backend(), array_of(x), array_of(all));
  keep(all);
  for (int root = 0; root < ranks.ranks(); ++root) {
    std::vector<T> shared = x;
    ranks.broadcast(cpu_backend(), array_of(shared), root);
    keep(shared);
  }
  if constexpr (!std::is_same_v<T, std::uint8_t>) {
    ranks.all_reduce(cpu_backend(), array_of(x), array_of(x));
    keep(x);
  }
  return bytes;
}

std::string all_results(Communicator& ranks) {
  std::string bytes;
  for (std::int64_t size : {0, 1, 7, 4097, 70000})
    bytes += results<double>(ranks, size) + results<float>(ranks, size) + results<bf16>(ranks, size) +
             results<std::int32_t>(ranks, size) + results<std::uint8_t>(ranks, size);
  return bytes;
}

TEST(Tcp, GivesTheBitsOfRanksInOneProcess) {
  for (int count : {2, 4}) {
    std::string expected;
    run_ranks(count, [&](Communicator& ranks) {
      const std::string bytes = all_results(ranks);
      if (ranks.rank() == 0) expected = bytes;
    });
    std::atomic<int> equal = 0;
    EXPECT_EQ(run(count, long_enough,
                  [&](Communicator& ranks) {
                    EXPECT_EQ(ranks.ranks(), count);
                    equal += all_results(ranks) == expected;
                  }),
              Ends(static_cast<std::size_t>(count)));
    EXPECT_EQ(equal, count);
  }
}

void sum_five(Communicator& ranks) {
  std::vector<float> x(5, 1.0f);
  ranks.all_reduce(cpu_backend(), array_of(x), array_of(x));
  EXPECT_EQ(x, std::vector<float>(5, static_cast<float>(ranks.ranks())));
}

TEST(Tcp, WaitsForALateRank0AtAnyAddress) {
  for (const char* address : {"127.0.0.1", "localhost", "0.0.0.0"})  // the last: not known as the machine's own
    EXPECT_EQ(run(3, long_enough, sum_five, 120, address), Ends(3)) << address;
}

TEST(Tcp, NoticesARankThatIsGone) {
  const Ends ends = run(4, long_enough, [](Communicator& ranks) {
    sum_five(ranks);
    require(ranks.rank() != 2, "no memory");
    EXPECT_EQ(message_of<Error>([&] { sum_five(ranks); }),
              join("rank ", ranks.rank(), " of 4, all_reduce of 5 f32 values (collective 2): rank 2 of 4 is gone"));
    EXPECT_EQ(message_of<Error>([&] { sum_five(ranks); }),
              "all_reduce of 5 f32 values (collective 3): an earlier collective failed");
  });
  EXPECT_EQ(ends, (Ends{"", "", "no memory", ""}));
}

TEST(Tcp, NoticesThatRank0IsGone) {
  const Ends ends = run(3, long_enough, [](Communicator& ranks) {
    require(ranks.rank() != 0, "no memory");
    sum_five(ranks);
  });
  EXPECT_EQ(ends, (Ends{"no memory", "rank 1 of 3, all_reduce of 5 f32 values (collective 1): rank 0 of 3 is gone",
                        "rank 2 of 3, all_reduce of 5 f32 values (collective 1): rank 0 of 3 is gone"}));
}

/// One that waits, and one whose array is too large for the connection to hold it.
TEST(Tcp, EndsAtARankThatIsSilent) {
  for (std::size_t size : {std::size_t{5}, std::size_t{1} << 22}) {
    std::atomic<int> ended = 0;
    const Ends ends = run(3, 2, [&](Communicator& ranks) {
      std::vector<std::uint8_t> x(size), all(3 * size);
      if (ranks.rank() == 2)
        while (ended < 2) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      else
        EXPECT_EQ(message_of<Error>([&] { ranks.all_gather(cpu_backend(), array_of(x), array_of(all)); }),
                  join("rank ", ranks.rank(), " of 3, all_gather of ", size,
                       " u8 values (collective 1): waited 2 s for the other ranks, without an answer"));
      ++ended;
    });
    EXPECT_EQ(ends, Ends(3));
  }
}

TEST(Tcp, NamesRanksThatDoNotFit) {
  const Ends ends = run(3, long_enough, [](Communicator& ranks) {
    std::vector<float> x(ranks.rank() == 1 ? 1000000 : 5);
    ranks.broadcast(cpu_backend(), array_of(x), 1);
  });
  const std::string why =
      "rank 0 is at broadcast of 5 f32 values (collective 1), rank 1 at broadcast of 1000000 f32 values (collective 1)";
  EXPECT_EQ(ends, (Ends{"rank 0 of 3, broadcast of 5 f32 values (collective 1): " + why,
                        "rank 1 of 3, broadcast of 1000000 f32 values (collective 1): " + why,
                        "rank 2 of 3, broadcast of 5 f32 values (collective 1): " + why}));
}

TEST(Tcp, DisconnectsStrangers) {
  const int port = free_port();
  std::atomic<bool> met = false;
  const std::jthread rank_0([&] {
    EXPECT_EQ(error_or<Error>("", [&] { sum_five(*tcp_communicator(launch_of(0, 2, port), long_enough)); }), "");
    met = true;
  });
  Stranger silent, leaving, browser;
  for (Stranger* one : {&silent, &leaving, &browser}) one->connect(port);
  leaving.say("VER");
  ::shutdown(leaving.id, SHUT_RDWR);
  browser.say("GET / HTTP/1.1\r\n\r\n");
  EXPECT_EQ(browser.hear(), "");
  EXPECT_FALSE(met);
  sum_five(*tcp_communicator(launch_of(1, 2, port), long_enough));
}

TEST(Tcp, RefusesRanksThatDoNotBelong) {
  const int port = free_port();
  const std::jthread rank_0([&] {
    EXPECT_EQ(error_or<Error>("", [&] { sum_five(*tcp_communicator(launch_of(0, 3, port), long_enough)); }), "");
  });
  const auto refusal = [&](int rank, int ranks) {
    return message_of<Error>([&] { tcp_communicator(launch_of(rank, ranks, port), long_enough); });
  };
  EXPECT_EQ(refusal(1, 4), "rank 1 of 4: rank 0 refuses rank 1: it expects 4 ranks, rank 0 3");
  EXPECT_EQ(refusal(1, 2), "rank 1 of 2: rank 0 refuses rank 1: it expects 2 ranks, rank 0 3");
  {  // of another version, in the order of this machine's bytes
    const std::uint64_t magic = 0x564552474e434531;
    const std::uint32_t version = 2;
    Stranger later;
    later.connect(port);
    later.say(std::string(reinterpret_cast<const char*>(&magic), 8) +
              std::string(reinterpret_cast<const char*>(&version), 4));
    EXPECT_NE(later.hear().find("its program exchanges messages of version 2, rank 0's of 1"), std::string::npos);
  }
  std::string told[2];  // one of two becomes rank 1 and waits for rank 2
  {
    std::atomic<int> refused = 0;
    std::vector<std::jthread> twins;
    for (std::string& one : told)
      twins.emplace_back([&] {
        one = error_or<Error>("", [&] { sum_five(*tcp_communicator(launch_of(1, 3, port), long_enough)); });
        refused += !one.empty();
      });
    while (refused == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    sum_five(*tcp_communicator(launch_of(2, 3, port), long_enough));
  }
  EXPECT_EQ(told[0] + told[1], "rank 1 of 3: rank 0 refuses rank 1: another process has that rank");
}

TEST(Tcp, SaysWhyRanksDoNotMeet) {
  const auto complaint = [](const Launch& launch) { return message_of<Error>([&] { tcp_communicator(launch, 0.2); }); };
  int port = free_port();
  EXPECT_EQ(complaint(launch_of(0, 3, port)),
            join("rank 0 of 3: waited 0.2 s for ranks 1, 2 at 127.0.0.1:", port, ", without an answer"));
  EXPECT_EQ(complaint(launch_of(1, 3, port)),
            join("rank 1 of 3: nobody answers at 127.0.0.1:", port, ": Connection refused (waited 0.2 s)"));
  EXPECT_THROW(tcp_communicator(launch_of(1, 2, port, "no such host"), 0.2), Error);
  EXPECT_THROW(tcp_communicator(launch_of(2, 2, port), 0.2), Error);
  EXPECT_THROW(tcp_communicator(launch_of(0, 2, 0), 0.2), Error);
  Stranger other;
  port = other.listen();
  for (const char* address : {"127.0.0.1", "0.0.0.0"})
    EXPECT_EQ(complaint(launch_of(0, 2, port, address)),
              join("rank 0 of 2: ", address, ":", port,
                   ": already in use; torchrun: --master-port, otherwise MASTER_PORT chooses another"));
  EXPECT_EQ(complaint(launch_of(1, 2, port)), "rank 1 of 2: waited 0.2 s for the other ranks, without an answer");
}

/// Ranks that were there learn why the run does not start.
TEST(Tcp, TellsWhoWasThereThatOthersAreMissing) {
  const int port = free_port();
  std::string told[2];
  {
    std::vector<std::jthread> threads;
    for (int rank : {0, 1})
      threads.emplace_back([&, rank] {
        told[rank] = message_of<Error>([&] { tcp_communicator(launch_of(rank, 3, port), rank ? long_enough : 2); });
      });
  }
  EXPECT_EQ(told[0], join("rank 0 of 3: waited 2 s for rank 2 at 127.0.0.1:", port, ", without an answer"));
  EXPECT_EQ(told[1], join("rank 1 of 3: waited 2 s for rank 2 at 127.0.0.1:", port, ", without an answer"));
}

/// As GPUs of several processes begin: rank 0 makes an id, and gives it to the others. No GPU is at hand, so NCCL
/// itself refuses to go on; without NCCL, other bytes take the id's place.
TEST(Tcp, GivesAnNcclIdToAnotherProcess) {
  std::vector<std::uint8_t> id;
  const std::string without = error_or<Error>("", [&] { id = make_nccl_id(); });
  if (!without.empty()) std::printf("other bytes instead of an id: %s\n", without.c_str());
  if (!without.empty()) id = values_of<std::uint8_t>(7, 128);
  const int port = free_port();
  const auto received = [&](int rank) {
    const std::unique_ptr<Communicator> ranks = tcp_communicator(launch_of(rank, 2, port), long_enough);
    std::vector<std::uint8_t> mine = rank == 0 ? id : std::vector<std::uint8_t>(id.size()), all(2 * id.size());
    ranks->broadcast(cpu_backend(), array_of(mine), 0);
    ranks->all_gather(cpu_backend(), array_of(mine), array_of(all));
    const std::string end = error_or<Error>("", [&] { nccl_communicator(cpu_backend(), rank, 2, mine); });
    return std::pair(all, end.starts_with("NCCL: "));
  };
  const pid_t other = ::fork();
  ASSERT_GE(other, 0);
  if (other == 0) ::_exit(error_or<Error>("failed", [&] { received(1); }) == "failed" ? 0 : 1);
  const auto [all, refused] = received(0);
  int status = 0;
  EXPECT_EQ(::waitpid(other, &status, 0), other);
  EXPECT_EQ(status, 0);
  std::vector<std::uint8_t> twice = id;
  twice.insert(twice.end(), id.begin(), id.end());
  EXPECT_EQ(all, twice);
  EXPECT_TRUE(refused);
}

}  // namespace
}  // namespace vergence::test
