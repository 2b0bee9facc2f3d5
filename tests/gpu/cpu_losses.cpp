// cpu_losses FILE: writes the CPU's losses that training_test reads where VERGENCE_CPU_LOSSES names the file.
// cpu_losses --check FILE: whether it can read them there.
#include <cstdio>
#include <cstring>

#include "engine/io/files.h"
#include "kernels/error.h"
#include "tests/support/training_losses.h"

int main(int argc, char** argv) {
  using namespace vergence;
  const bool check = argc == 3 && std::strcmp(argv[1], "--check") == 0;
  if (argc != 2 && !check) {
    std::fprintf(stderr, "usage: cpu_losses [--check] FILE\n");
    return 2;
  }
  try {
    if (check)
      test::read_cpu_losses(argv[2]);
    else
      write_atomically(argv[1], test::cpu_losses_text(test::compute_cpu_losses()));
  } catch (const Error& error) {
    std::fprintf(stderr, "cpu_losses: %s\n", error.what());
    return check ? 2 : 1;
  }
  return 0;
}
