#include "datasets/fingerprint.h"

#include "engine/io/xxh.h"

namespace vergence {

Fingerprint fingerprint_of(const Dataset& dataset) {
  Xxh128 images, labels;
  images.add_number(dataset.count);
  images.add_number(dataset.channels);
  if (dataset.source) {
    dataset.source->identify(images);
  } else {
    images.add_number(dataset.height);
    images.add_number(dataset.width);
    images.add(dataset.pixels.data(), dataset.pixels.size());
  }
  labels.add_number(dataset.classes);
  labels.add(dataset.labels.data(), dataset.labels.size() * sizeof dataset.labels[0]);
  return {images.digits(), labels.digits()};
}

}  // namespace vergence
