// Collectives among one rank and among threads: the order of the sum, its bits for every size, and ranks that do not
// fit together.
#include "kernels/communicator.h"

#include <cstring>
#include <gtest/gtest.h>
#include <vector>

#include "kernels/communicators/threads.h"
#include "tests/support/rank_values.h"

namespace vergence::test {
namespace {

template <class T>
ConstArray read(const std::vector<T>& values) {
  return {values.data(), static_cast<std::int64_t>(values.size()), dtype_of<T>()};
}
template <class T>
Array write(std::vector<T>& values) {
  return {values.data(), static_cast<std::int64_t>(values.size()), dtype_of<T>()};
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

template <class T>
void check_gather_and_broadcast(Communicator& ranks, std::int64_t size) {
  const std::vector<T> x = values_of<T>(ranks.rank(), size);
  std::vector<T> all(x.size() * static_cast<std::size_t>(ranks.ranks())), expected;
  ranks.all_gather(cpu_backend(), read(x), write(all));
  for (int r = 0; r < ranks.ranks(); ++r) {
    const std::vector<T> part = values_of<T>(r, size);
    expected.insert(expected.end(), part.begin(), part.end());
  }
  EXPECT_TRUE(same_bits(all, expected)) << name_of(dtype_of<T>()) << " " << size;
  for (int root = 0; root < ranks.ranks(); ++root) {
    std::vector<T> shared = x;
    ranks.broadcast(cpu_backend(), write(shared), root);
    EXPECT_TRUE(same_bits(shared, values_of<T>(root, size))) << "root " << root;
  }
}

/// The sum in rank order, rounded once.
template <class T>
std::vector<T> expected_sum(int ranks, std::int64_t size) {
  using Sum = std::conditional_t<std::is_integral_v<T>, std::int64_t, Compute<T>>;
  std::vector<Sum> sums(static_cast<std::size_t>(size));
  for (int r = 0; r < ranks; ++r) {
    const std::vector<T> x = values_of<T>(r, size);
    for (std::size_t i = 0; i < sums.size(); ++i)
      sums[i] = r ? sums[i] + static_cast<Sum>(x[i]) : static_cast<Sum>(x[i]);
  }
  std::vector<T> rounded(sums.size());
  for (std::size_t i = 0; i < sums.size(); ++i) rounded[i] = static_cast<T>(sums[i]);
  return rounded;
}

template <class T>
void check_sum(int count, std::int64_t size) {
  const std::vector<T> expected = expected_sum<T>(count, size);
  run_ranks(count, [&](Communicator& ranks) {
    std::vector<T> x = values_of<T>(ranks.rank(), size), sum(x.size());
    ranks.all_reduce(cpu_backend(), read(x), write(sum));
    EXPECT_TRUE(same_bits(sum, expected)) << name_of(dtype_of<T>()) << " " << size << " rank " << ranks.rank();
    ranks.all_reduce(cpu_backend(), read(x), write(x));
    EXPECT_TRUE(same_bits(x, expected)) << "in place, " << name_of(dtype_of<T>()) << " " << size;
    std::vector<T> first = values_of<T>(ranks.rank(), size), second = first, between = first;
    ranks.begin_sum(cpu_backend(), write(first));
    ranks.begin_sum(cpu_backend(), write(second));
    ranks.all_reduce(cpu_backend(), read(between), write(between));
    ranks.finish_sums(cpu_backend());
    for (const std::vector<T>& found : {first, second, between})
      EXPECT_TRUE(same_bits(found, expected)) << "begun, " << name_of(dtype_of<T>()) << " " << size;
  });
}

TEST(Communicator, OneRankCopies) {
  const std::unique_ptr<Communicator> alone = single_communicator();
  EXPECT_EQ(alone->rank(), 0);
  EXPECT_EQ(alone->ranks(), 1);
  check_gather_and_broadcast<float>(*alone, 1000);
  const std::vector<double> x = values_of<double>(0, 1000);
  std::vector<double> sum(1000);
  alone->all_reduce(cpu_backend(), read(x), write(sum));
  EXPECT_TRUE(same_bits(sum, x));
  alone->begin_sum(cpu_backend(), write(sum));
  alone->finish_sums(cpu_backend());
  EXPECT_TRUE(same_bits(sum, x));
}

TEST(Communicator, GathersAndBroadcastsEveryType) {
  for (int count : {1, 2, 3, 5})
    run_ranks(count, [&](Communicator& ranks) {
      EXPECT_EQ(ranks.ranks(), count);
      for (std::int64_t size : {0, 1, 7, 5000}) {
        check_gather_and_broadcast<double>(ranks, size);
        check_gather_and_broadcast<float>(ranks, size);
        check_gather_and_broadcast<bf16>(ranks, size);
        check_gather_and_broadcast<std::int32_t>(ranks, size);
        check_gather_and_broadcast<std::uint8_t>(ranks, size);
      }
    });
}

TEST(Communicator, AddsInRankOrderWithTheSameBitsForEverySize) {
  for (int count : {1, 2, 3, 4, 7})
    for (std::int64_t size : {1, 6, 4096, 4097, 4099, 30011}) {
      check_sum<double>(count, size);
      check_sum<float>(count, size);
      check_sum<bf16>(count, size);
      check_sum<std::int32_t>(count, size);
    }
}

/// More than the working memory: several rounds of shards, and a rest.
TEST(Communicator, AddsInBoundedMemory) { check_sum<double>(2, (std::int64_t{2} << 20) + 4099); }

std::string failure_of(int count, const std::function<void(Communicator&)>& body) {
  try {
    run_ranks(count, body);
  } catch (const Error& error) {
    return error.what();
  }
  return "none";
}

TEST(Communicator, NamesRanksThatDoNotFit) {
  EXPECT_EQ(failure_of(3,
                       [](Communicator& ranks) {
                         std::vector<float> x(ranks.rank() == 1 ? 4 : 5);
                         ranks.all_reduce(cpu_backend(), read(x), write(x));
                       }),
            "rank 0 is at all_reduce of 5 f32 values (collective 1), rank 1 at all_reduce of 4 f32 values "
            "(collective 1)");
  EXPECT_EQ(failure_of(2,
                       [](Communicator& ranks) {
                         std::vector<float> x(5);
                         if (ranks.rank() == 0) ranks.broadcast(cpu_backend(), write(x), 0);
                       }),
            "rank 0 is at broadcast of 5 f32 values (collective 1), but rank 1 has ended");
}

TEST(Communicator, OneRanksErrorEndsTheOthers) {
  int told = 0;
  const std::string failure = failure_of(3, [&](Communicator& ranks) {
    std::vector<float> x(5);
    ranks.all_reduce(cpu_backend(), read(x), write(x));
    require(ranks.rank() != 2, "no memory");
    EXPECT_THROW(ranks.all_reduce(cpu_backend(), read(x), write(x)), Error);
    try {
      ranks.broadcast(cpu_backend(), write(x), 0);
    } catch (const Error& error) {
      EXPECT_STREQ(error.what(), "broadcast of 5 f32 values (collective 3): an earlier collective failed");
      EXPECT_THROW(ranks.finish_sums(cpu_backend()), Error);
      ++told;
    }
  });
  EXPECT_EQ(failure, "no memory");
  EXPECT_EQ(told, 2);
}

TEST(Communicator, AbandonedCollectsNoMore) {
  const std::unique_ptr<Communicator> alone = single_communicator();
  std::vector<float> x(5);
  alone->all_reduce(cpu_backend(), read(x), write(x));
  alone->abandon();
  EXPECT_THROW(alone->all_reduce(cpu_backend(), read(x), write(x)), Error);
  EXPECT_THROW(alone->finish_sums(cpu_backend()), Error);
}

TEST(Communicator, RefusesArraysThatDoNotFit) {
  const std::unique_ptr<Communicator> alone = single_communicator();
  std::vector<float> four(4), five(5);
  std::vector<double> wide(4);
  std::vector<std::uint8_t> bytes(4);
  EXPECT_THROW(alone->all_gather(cpu_backend(), read(four), write(five)), Error);
  EXPECT_THROW(alone->all_reduce(cpu_backend(), read(four), write(wide)), Error);
  EXPECT_THROW(alone->all_reduce(cpu_backend(), read(bytes), write(bytes)), Error);
  EXPECT_THROW(alone->broadcast(cpu_backend(), write(four), 1), Error);
  EXPECT_THROW(alone->begin_sum(cpu_backend(), write(bytes)), Error);
}

}  // namespace
}  // namespace vergence::test
