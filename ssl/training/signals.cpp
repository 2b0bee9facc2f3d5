// The handler only sets a flag; the training loop checks it between steps.
#include "ssl/training/signals.h"

#include <csignal>

namespace vergence {
namespace {

volatile std::sig_atomic_t received = 0;

extern "C" void remember_signal(int signal) {
  if (received != 0) {
    // A second signal ends the process by the system's default action, once this handler has returned.
    std::signal(signal, SIG_DFL);
    std::raise(signal);
    return;
  }
  received = signal;
}

}  // namespace

void catch_stop_signals() {
  struct sigaction action {};
  action.sa_handler = remember_signal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaddset(&action.sa_mask, SIGINT);
  sigaddset(&action.sa_mask, SIGTERM);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

int stop_signal() { return received; }

int stop_exit_status() { return received == 0 ? 0 : 128 + received; }

}  // namespace vergence
