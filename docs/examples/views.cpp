// What random views look like: a PNG file with a row for each image, the image first, then two views of it.
//   views DATASET FOLDER OUT.png    "" as FOLDER for a data set that needs none; default: confounded_shapes, views.png
#include <cstdio>
#include <exception>
#include <string>

#include "datasets/dataset.h"
#include "datasets/loading/batch_source.h"
#include "ssl/picture_file.h"

using namespace vergence;

void draw(const std::string& name, const std::string& folder, const std::string& out) {
  const Dataset images = open_dataset({.name = name, .directory = folder}, "train");
  ViewSettings view{.size = images.view_size(), .channels = images.channels, .mean = images.mean, .std = images.std};
  if (view.channels != 3) view.contrast = view.saturation = view.hue = view.gray_p = 0;  // of red, green and blue
  const LoaderSettings settings{
      .batch = 4, .views = {view, view}, .plain = true, .plain_resize = images.evaluation_resize(view.size)};
  const auto batches = make_batch_source({images, settings, backend("cpu")});
  batches->prepare(0);
  const Views views = batches->make();
  const Tensor first = part_of(views.both, 0, views.plain.shape);
  const Tensor second = part_of(views.both, views.plain.size(), views.plain.shape);
  write_png(out, picture_grid(side_by_side({views.plain, first, second}), images.mean, images.std));
  std::printf("%s: 4 images of %s, two views of each\n", out.c_str(), name.c_str());
}

int main(int argc, char** argv) try {
  draw(argc > 1 ? argv[1] : "confounded_shapes", argc > 2 ? argv[2] : "", argc > 3 ? argv[3] : "views.png");
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
