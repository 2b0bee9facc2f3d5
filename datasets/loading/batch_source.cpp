#include "datasets/loading/batch_source.h"

#include "datasets/loading/device_source.h"
#include "datasets/loading/host_source.h"

namespace vergence {

SourceCost cost_of_source(const SourceSetup& setup) {
  const bool on_device =
      setup.backend.traits().makes_views && why_not_on(setup.backend, setup.dataset, setup.reserve).empty();
  return on_device ? DeviceSource::cost(setup) : HostSource::cost(setup);
}

std::unique_ptr<BatchSource> make_batch_source(const SourceSetup& setup) {
  std::string why;
  if (setup.backend.traits().makes_views) {
    try {
      return std::make_unique<DeviceSource>(setup);
    } catch (const NotOnDevice& error) {
      why = join(", because ", error.what());
    }
  }
  return std::make_unique<HostSource>(setup, why);
}

}  // namespace vergence
