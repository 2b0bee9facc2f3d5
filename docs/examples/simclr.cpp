// SimCLR in one page: trains a narrow ResNet-18 on rendered images, judges it by kNN, and saves it for PyTorch.
//   simclr [EPOCHS [FOLDER [IMAGES]]]    default: 5 epochs, results in the working directory, all images of each split
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>

#include "datasets/dataset.h"
#include "datasets/loading/batch_source.h"
#include "engine/optimizer.h"
#include "engine/schedule.h"
#include "models/encoder_file.h"
#include "models/encoders/resnet.h"
#include "models/heads.h"
#include "ssl/evaluation/features/features.h"
#include "ssl/evaluation/neighbors/knn.h"
#include "ssl/losses.h"

using namespace vergence;

/// Top-1 accuracy in percent of kNN on the encoder's features: the split "probe" classifies the split "test".
double knn(const Encoder& encoder, Statistics& statistics, const DatasetSettings& data, Backend& device) {
  const Dataset images = open_dataset(data, "test");
  const Encode encode = encode_with(encoder, statistics);
  const ExtractSettings settings{.image_size = images.height, .mean = images.mean, .std = images.std};
  const auto features = [&](const Dataset& split) { return extract_features(encode, split, settings, device); };
  return knn_accuracy(features(open_dataset(data, "probe")), features(images), device).cosine_200.top1;
}

int main(int argc, char** argv) try {
  const std::int64_t epochs = argc > 1 ? std::atoll(argv[1]) : 5, batch = 128;
  const std::string folder = argc > 2 ? argv[2] : ".";
  Backend& device = backend("auto");  // a GPU if there is one
  const DatasetSettings data{.name = "confounded_shapes", .limit = argc > 3 ? std::atoll(argv[3]) : 0};
  const Dataset images = open_dataset(data, "train");
  const ViewSettings view{.size = images.height, .crop_low = 0.2f, .mean = images.mean, .std = images.std};
  const auto batches = make_batch_source({images, {.batch = batch, .views = {view, view}}, device});
  const std::int64_t steps = images.count / batch;

  // [train]
  ResNet encoder = make_resnet({.encoder = "resnet18", .width = 16}, {device, /*seed=*/1});
  Mlp projector = make_mlp({.sizes = {encoder.settings.dim(), 128, 128}, .hidden_norm = true}, {device, /*seed=*/1});
  const ParameterSet parameters(parameters_of(encoder, projector));
  Optimizer optimizer(parameters, {.kind = OptimizerKind::sgd, .momentum = 0.9, .weight_decay = 5e-4});
  const Schedule rate({.base = 0.06, .epochs = epochs, .steps_per_epoch = steps, .warmup_epochs = 1});
  Statistics statistics;  // the running mean and variance of every batch norm

  for (std::int64_t step = 0; step < rate.steps(); ++step) {
    batches->prepare(step);
    const Views views = batches->make();                          // two random views of each image
    const ForwardMode mode{.groups = 2, .running = &statistics};  // batch norm's statistics per view
    const Tensor loss = nt_xent(projector(encoder(views.both, mode), mode), /*temperature=*/0.2);
    parameters.backward(loss);
    optimizer.step(rate.at(step));
    if ((step + 1) % steps == 0) std::printf("epoch %ld  loss %.4f\n", (step + 1) / steps, loss.item());
  }
  save_encoder(folder + "/encoder.safetensors", encoder, statistics,
               normalization_of(images.mean, images.std, images.channels));
  // [/train]

  std::printf("kNN %.2f %%\n", knn(encoder, statistics, data, device));
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
