// A device's choices of kernels, for a test or a part of one.
#pragma once

#include "kernels/backend.h"

namespace vergence::test {

/// While one of these lives, the device has these choices. Then it has those of before again.
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
