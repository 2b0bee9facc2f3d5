#include "kernels/emulator/capture.h"

#include <utility>

#include "kernels/error.h"

namespace vergence::emulated {
namespace {

bool under_way = false;
Work noted;

}  // namespace

bool recording() { return under_way; }

void run_or_record(std::function<void()> work) {
  if (under_way)
    noted.push_back(std::move(work));
  else
    work();
}

void begin_recording() {
  require(!under_way, "emulator: a recording is under way already");
  under_way = true;
  noted.clear();
}

Work end_recording() {
  require(under_way, "emulator: no recording is under way");
  under_way = false;
  return std::exchange(noted, {});
}

}  // namespace vergence::emulated
