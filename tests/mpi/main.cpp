// Runs the tests in each process. With --silent, no tests: all processes wait for the last, which never answers.
#include <chrono>
#include <cstdio>
#include <cstring>
#include <gtest/gtest.h>
#include <thread>

#include "tests/mpi/world.h"

namespace vergence::test {
namespace {

MpiProcess* the_process = nullptr;
Communicator* the_world = nullptr;

void wait_in_vain() {
  const std::unique_ptr<Communicator> of_sums = process().communicator({.patience = 0.3}),
                                      ranks = process().communicator({.patience = 0.3});
  float x[5] = {};
  if (ranks->rank() == ranks->ranks() - 1) std::this_thread::sleep_for(std::chrono::hours(1));
  const Array array{x, 5, DType::f32};
  of_sums->begin_sum(cpu_backend(), array);
  try {
    of_sums->finish_sums(cpu_backend());
  } catch (const Error& error) {
    std::printf("%s\n", error.what());
  }
  float y[5] = {};
  const Array other{y, 5, DType::f32};
  ranks->all_reduce(cpu_backend(), other, other);
}

int run(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  MpiProcess process;
  const std::unique_ptr<Communicator> world = process.communicator();
  the_process = &process;
  the_world = world.get();
  if (argc > 1 && std::strcmp(argv[1], "--silent") == 0) wait_in_vain();
  return RUN_ALL_TESTS();
}

}  // namespace

MpiProcess& process() { return *the_process; }
Communicator& world() { return *the_world; }

}  // namespace vergence::test

int main(int argc, char** argv) try { return vergence::test::run(argc, argv); } catch (const std::exception& error) {
  std::printf("%s\n", error.what());
  return 1;
}
