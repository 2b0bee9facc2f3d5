// Collectives among processes: values, the order of the sum, bits, and arrays that take several messages.
#include <cstring>
#include <gtest/gtest.h>
#include <vector>

#include "kernels/communicators/threads.h"
#include "tests/mpi/world.h"
#include "tests/support/rank_values.h"

namespace vergence::test {
namespace {

template <class T>
Array array_of(std::vector<T>& values) {
  return {values.data(), static_cast<std::int64_t>(values.size()), dtype_of<T>()};
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

template <class T>
std::vector<T> gathered(Communicator& ranks, std::vector<T> x) {
  std::vector<T> all(x.size() * static_cast<std::size_t>(ranks.ranks()));
  ranks.all_gather(cpu_backend(), array_of(x), array_of(all));
  return all;
}

template <class T>
std::vector<T> summed(Communicator& ranks, std::vector<T> x) {
  ranks.all_reduce(cpu_backend(), array_of(x), array_of(x));
  return x;
}

template <class T>
void check_moves(Communicator& ranks, std::int64_t size) {
  SCOPED_TRACE(join(name_of(dtype_of<T>()), " ", size));
  const std::vector<T> x = values_of<T>(ranks.rank(), size);
  std::vector<T> expected;
  for (int r = 0; r < ranks.ranks(); ++r) {
    const std::vector<T> part = values_of<T>(r, size);
    expected.insert(expected.end(), part.begin(), part.end());
  }
  EXPECT_TRUE(same_bits(gathered(ranks, x), expected));
  for (int root = 0; root < ranks.ranks(); ++root) {
    std::vector<T> shared = x;
    ranks.broadcast(cpu_backend(), array_of(shared), root);
    EXPECT_TRUE(same_bits(shared, values_of<T>(root, size))) << "root " << root;
  }
}

/// The bits of the sum are those of as many ranks in one process, on every rank, and again.
template <class T>
void check_sum(Communicator& ranks, std::int64_t size) {
  SCOPED_TRACE(join(name_of(dtype_of<T>()), " ", size));
  std::vector<T> expected;
  run_ranks(ranks.ranks(), [&](Communicator& in_one_process) {
    std::vector<T> sum = summed(in_one_process, values_of<T>(in_one_process.rank(), size));
    if (in_one_process.rank() == 0) expected = std::move(sum);
  });
  const std::vector<T> sum = summed(ranks, values_of<T>(ranks.rank(), size));
  EXPECT_TRUE(same_bits(sum, expected));
  EXPECT_TRUE(same_bits(sum, summed(ranks, values_of<T>(ranks.rank(), size)))) << "another time, other bits";
  std::vector<std::uint8_t> bytes(sum.size() * sizeof(T)), all;
  std::memcpy(bytes.data(), sum.data(), bytes.size());
  all = gathered(ranks, bytes);
  for (std::size_t at = 0; at < all.size(); at += bytes.size())
    EXPECT_EQ(std::memcmp(all.data() + at, bytes.data(), bytes.size()), 0) << "ranks have different bits";
}

TEST(MpiCommunicator, MovesEveryType) {
  EXPECT_GE(world().ranks(), 2);
  for (std::int64_t size : {0, 1, 7, 70000}) {
    check_moves<double>(world(), size);
    check_moves<float>(world(), size);
    check_moves<bf16>(world(), size);
    check_moves<std::int32_t>(world(), size);
    check_moves<std::uint8_t>(world(), size);
  }
}

TEST(MpiCommunicator, AddsInRankOrder) {
  for (std::int64_t size : {1, 4096, 4097, 30011, 300011}) check_sum<float>(world(), size);
  for (std::int64_t size : {5, 30011}) {
    check_sum<double>(world(), size);
    check_sum<bf16>(world(), size);
    check_sum<std::int32_t>(world(), size);
  }
}

/// Sums under way, with other collectives in between, have the bits of all_reduce.
template <class T>
void check_begun_sums(Communicator& ranks, const std::vector<std::int64_t>& sizes) {
  SCOPED_TRACE(name_of(dtype_of<T>()));
  std::vector<std::vector<T>> sums, expected;
  for (std::int64_t size : sizes) {
    sums.push_back(values_of<T>(ranks.rank(), size));
    expected.push_back(summed(ranks, sums.back()));
  }
  for (std::vector<T>& sum : sums) {
    ranks.begin_sum(cpu_backend(), array_of(sum));
    if (sum.size() % 2 == 0) check_moves<float>(ranks, 9);
  }
  ranks.finish_sums(cpu_backend());
  ranks.finish_sums(cpu_backend());
  for (std::size_t i = 0; i < sums.size(); ++i) EXPECT_TRUE(same_bits(sums[i], expected[i])) << sizes[i];
}

TEST(MpiCommunicator, AddsWhileOtherWorkGoesOn) {
  check_begun_sums<float>(world(), {1000003, 0, 1, 3, 30011, 300, 300012});
  check_begun_sums<double>(world(), {30011, 2, 5000});
  check_begun_sums<bf16>(world(), {30011, 2, 5000});
  check_begun_sums<std::int32_t>(world(), {30011, 2, 5000});
  const std::unique_ptr<Communicator> small_messages = process().communicator({.most_bytes = 1000});
  check_begun_sums<double>(*small_messages, {7001, 126, 1});
}

TEST(MpiCommunicator, SplitsLargeArrays) {
  const std::unique_ptr<Communicator> small_messages = process().communicator({.most_bytes = 1000});
  for (std::int64_t size : {124, 125, 126, 7001}) {
    check_moves<double>(*small_messages, size);
    check_moves<std::uint8_t>(*small_messages, size);
    check_sum<float>(*small_messages, size);
  }
}

TEST(MpiCommunicator, StartsOnce) {
  EXPECT_TRUE(launched_by_mpi());
  EXPECT_THROW(MpiProcess(), Error);
  EXPECT_THROW(process().communicator({.most_bytes = 0}), Error);
}

}  // namespace
}  // namespace vergence::test
