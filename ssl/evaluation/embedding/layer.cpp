#include "ssl/evaluation/embedding/layer.h"

#include <algorithm>

#include "engine/ops/ops.h"
#include "engine/text/words.h"
#include "kernels/error.h"

namespace vergence {

std::vector<std::string> layer_names(const Encoder& encoder) {
  std::vector<std::string> names{"features"};
  for (std::int64_t stage = 1; stage <= encoder.stages(); ++stage) names.push_back(join("stage", stage));
  names.emplace_back("map");
  return names;
}

Encode encode_layer(Subject& subject, const std::string& layer) {
  const std::vector<std::string> names = layer_names(subject.encoder);
  const auto found = std::find(names.begin(), names.end(), layer);
  require_usage(found != names.end(), "--layer: ", subject.encoder.settings().encoder, " has no '", layer,
                "', expected ", listed(names));
  if (layer == "features") return subject.encode();
  if (layer == "map")
    return [encode = subject.encode_map()](const Tensor& images) {
      const Tensor map = encode(images);
      return reshape(map, {map.shape[0], map.shape[1] * map.shape[2] * map.shape[3]});
    };
  return [encode = subject.encode_stage(found - names.begin())](const Tensor& images) {
    return global_average_pool(encode(images), DType::f32);
  };
}

std::int64_t layer_dim(Subject& subject, const std::string& layer) {
  const std::int64_t side = subject.extract.image_size;
  return encode_layer(subject, layer)(zeros(*subject.backend, {1, side, side, subject.extract.channels})).shape[1];
}

}  // namespace vergence
