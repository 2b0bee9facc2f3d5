// Ctrl-C and SIGTERM: the first asks the program to save and stop, the second ends it at once.
#pragma once

namespace vergence {

/// From now on SIGINT and SIGTERM set a flag instead of ending the process; a second one ends it.
void catch_stop_signals();

/// The signal that asked to stop, 0 if none has. Safe to call often.
int stop_signal();

inline bool stop_requested() { return stop_signal() != 0; }

/// The exit status for the signal received: 130 for SIGINT, 143 for SIGTERM, 0 for none.
int stop_exit_status();

}  // namespace vergence
