// Runs the emulated device's work now or, during a capture, records it for replay.
#pragma once

#include <functional>
#include <vector>

namespace vergence::emulated {

using Work = std::vector<std::function<void()>>;

/// Runs `work`, or appends it to the capture under way.
void run_or_record(std::function<void()> work);
/// Starts a capture; `end_recording` ends it and returns the recorded work.
void begin_recording();
Work end_recording();
bool recording();

}  // namespace vergence::emulated
