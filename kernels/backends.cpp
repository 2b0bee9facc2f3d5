// The list of devices: the one place that knows which were compiled in; and what a device offers by default.
#include <cstring>

#include "kernels/backend.h"

namespace vergence {

#ifdef VERGENCE_CUDA
/// The first GPU, or null where none answers; then `why` says so (kernels/cuda/runtime/device.cu).
Backend* cuda_backend(std::string& why);
#endif

namespace {

struct Devices {
  std::vector<Backend*> list = {&cpu_backend()};
  std::string text = "cpu";

  Devices() {
#ifdef VERGENCE_CUDA
    std::string why;
    if (Backend* gpu = cuda_backend(why)) {
      list.push_back(gpu);
      text += join("; cuda: ", gpu->description());
    } else {
      text += join("; cuda: no GPU (", why, ")");
    }
#else
    text += "; this build has no CUDA";
#endif
  }
};

const Devices& devices() {
  static const Devices found;
  return found;
}

}  // namespace

bool Backend::conv2d_batch_norm(const ConvShape&, const NormShape&, ConstArray, ConstArray, ConstArray, ConstArray,
                                ConstArray, Array, Array, Array, Array, Array, const RunningUpdate&) {
  return false;
}

bool Backend::conv2d_data_relu(const ConvShape&, const NormShape&, ConstArray, ConstArray, ConstArray, ConstArray,
                               ConstArray, Array, Array, bool) {
  return false;
}

const std::vector<Backend*>& backends() { return devices().list; }

const std::string& devices_text() { return devices().text; }

Backend& backend(const char* name) {
  if (std::strcmp(name, "cpu") == 0) return cpu_backend();  // without waking a GPU
  if (std::strcmp(name, "auto") == 0) return *backends().back();
  for (Backend* device : backends())
    if (std::strcmp(name, device->name()) == 0) return *device;
  throw UsageError(join("--device: no '", name, "' here; expected auto or one of: ", devices_text()));
}

}  // namespace vergence
