// Five steps of SimCLR on two random views of 16 rendered images.
#include <iostream>

#include "datasets/dataset.h"
#include "engine/graph.h"
#include "engine/optimizer.h"
#include "models/encoders/resnet.h"
#include "ssl/losses.h"

using namespace vergence;

int main() {
  const Dataset images = open_dataset({.name = "confounded_shapes", .limit = 16}, "train");
  std::vector<float> pixels;
  for (std::uint32_t view : {0, 1})
    for (std::int64_t i = 0; i < images.count; ++i) {
      pixels.resize(pixels.size() + 32 * 32 * 3);
      make_view(images.image(i), images.height, images.width, {.size = 32}, Random(1, Purpose::view, 0, i, view),
                &pixels.end()[-32 * 32 * 3]);
    }
  const Tensor views = from_floats(backend("cpu"), {32, 32, 32, 3}, pixels);

  ResNet encoder = make_resnet({.encoder = "resnet18", .width = 8}, {backend("cpu"), /*seed=*/1});
  const ParameterSet parameters(parameters_of(encoder));
  Optimizer optimizer(parameters, {.kind = OptimizerKind::adam});
  std::vector<double> losses;
  for (int step = 0; step < 5; ++step) {
    const Tensor loss = nt_xent(encoder(views, {.groups = 2}), /*temperature=*/0.5);
    parameters.gather_gradients(grad({loss}, parameters.tensors()));
    optimizer.step(/*lr=*/1e-3);
    losses.push_back(loss.item());
    std::cout << "loss " << losses.back() << '\n';
  }
  return losses.back() < losses.front() ? 0 : 1;
}
