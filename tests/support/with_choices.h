// Sets a device's kernel choices for a test or a part of one.
#pragma once

#include "kernels/backend.h"

namespace vergence::test {

/// Gives the device these choices until the destructor restores the previous ones.
class WithChoices {
 public:
  WithChoices(Backend& device, const KernelChoices& choices) : device_(device), before_(device.choices()) {
    device_.set_choices(choices);
  }
  WithChoices(const WithChoices&) = delete;
  WithChoices& operator=(const WithChoices&) = delete;
  ~WithChoices() { device_.set_choices(before_); }

 private:
  Backend& device_;
  KernelChoices before_;
};

}  // namespace vergence::test
