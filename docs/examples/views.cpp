// What random views look like: a PNG file with a row for each image, the image first, then two views of it.
//   views DATASET FOLDER OUT.png    "" as FOLDER for a data set that needs none; default: confounded_shapes, views.png
#include <cstdio>
#include <string>

#include "datasets/dataset.h"
#include "datasets/loading/batch_source.h"
#include "ssl/picture_file.h"

using namespace vergence;

int main(int argc, char** argv) {
  const std::string name = argc > 1 ? argv[1] : "confounded_shapes", folder = argc > 2 ? argv[2] : "";
  const std::string out = argc > 3 ? argv[3] : "views.png";
  const Dataset images = open_dataset({.name = name, .directory = folder}, "train");
  const ViewSettings view{
      .size = images.view_size(), .channels = images.channels, .mean = images.mean, .std = images.std};
  const auto batches = make_batch_source({images, {.batch = 4, .views = {view, view}, .plain = true}, backend("cpu")});
  batches->prepare(0);
  const Views views = batches->make();
  const Tensor first = part_of(views.both, 0, views.plain.shape);
  const Tensor second = part_of(views.both, views.plain.size(), views.plain.shape);
  write_png(out, picture_grid(side_by_side({views.plain, first, second}), images.mean, images.std));
  std::printf("%s: 4 images of %s, two views of each\n", out.c_str(), name.c_str());
}
