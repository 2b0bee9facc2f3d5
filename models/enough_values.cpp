#include "models/enough_values.h"

#include "kernels/error.h"

namespace vergence {

void require_enough_values(const EncoderSettings& settings, std::int64_t values, const std::string& path) {
  constexpr std::int64_t may_lack = 1 << 26;  // 256 MiB
  const std::int64_t parameters = cost_of(settings, 1).parameters;
  require_usage(parameters - values <= may_lack, path, ": its tensors have ", values, " values, expected the ",
                parameters, " parameters of its ", settings.encoder);
}

}  // namespace vergence
