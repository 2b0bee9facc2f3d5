// The list of devices: the only place that knows which exist and which are compiled in. Also the defaults of Backend's
// optional features.
#include <cstring>

#include "kernels/backend.h"

namespace vergence {

#ifdef VERGENCE_CUDA
/// The first GPU, or null if none answers; then `why` gives the reason (kernels/cuda/runtime/device.cu).
Backend* cuda_backend(std::string& why);
#endif

namespace {

/// The device if it answers, otherwise null and the reason.
struct Found {
  Backend* device;
  std::string text;
};

Found find_cpu() { return {&cpu_backend(), "cpu"}; }

Found find_cuda() {
#ifdef VERGENCE_CUDA
  std::string why;
  if (Backend* gpu = cuda_backend(why)) return {gpu, join("cuda: ", gpu->description())};
  return {nullptr, join("cuda: no GPU (", why, ")")};
#else
  return {nullptr, "this build has no CUDA"};
#endif
}

/// All devices that a build may have. `auto` is the last one that answers.
constexpr struct {
  const char* name;
  Found (*find)();
} known_devices[] = {{"cpu", find_cpu}, {"cuda", find_cuda}};

struct Devices {
  std::vector<Backend*> list;
  std::string text;

  Devices() {
    for (const auto& known : known_devices) {
      const Found found = known.find();
      if (found.device) list.push_back(found.device);
      text += join(text.empty() ? "" : "; ", found.text);
    }
  }
};

const Devices& devices() {
  static const Devices found;
  return found;
}

}  // namespace

bool Backend::conv2d_batch_norm(const ConvShape&, ConstArray, ConstArray, Array, const NormShape&,
                                const BatchNormArrays&) {
  return false;
}

bool Backend::conv2d_data_relu(const ConvShape&, const NormShape&, const ConvDataReluArrays&, bool) { return false; }

std::vector<std::string> device_words() {
  std::vector<std::string> words{"auto"};
  for (const auto& known : known_devices) words.emplace_back(known.name);
  return words;
}

const std::vector<Backend*>& backends() { return devices().list; }

const std::string& devices_text() { return devices().text; }

Backend& backend(const char* name) {
  if (std::strcmp(name, "cpu") == 0) return cpu_backend();  // without initializing a GPU
  if (std::strcmp(name, "auto") == 0) return *backends().back();
  for (Backend* device : backends())
    if (std::strcmp(name, device->name()) == 0) return *device;
  throw UsageError(join("--device: no '", name, "' here; expected auto or one of: ", devices_text()));
}

}  // namespace vergence
