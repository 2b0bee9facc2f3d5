// Uploads each batch to one of two buffers during the previous step, and copies it to the tensors that every step
// reads.
#include "datasets/loading/host_source.h"

#include "engine/text/words.h"

namespace vergence {

HostSource::HostSource(const SourceSetup& setup, const std::string& why)
    : loader_(setup.dataset, setup.settings),
      size_(setup.settings.views[0].size),
      backend_(setup.backend),
      origin_(join("made by ", counted(setup.settings.workers, "thread"), " of the host", why)) {}

SourceCost HostSource::cost(const SourceSetup& setup) {
  const LoaderSettings& settings = setup.settings;
  const std::int64_t size = settings.views[0].size;
  SourceCost cost;
  cost.images = static_cast<std::int64_t>(setup.dataset.pixels.size());
  cost.batch = settings.views_per_image() * settings.own_batch() * size * size * settings.views[0].channels *
               static_cast<std::int64_t>(sizeof(float));
  cost.ahead = Loader::places * cost.batch;
  if (setup.backend.traits().beside_host) cost.batch *= 3;  // with both buffers
  return cost;
}

void HostSource::prepare(std::int64_t number) {
  const Batch& batch = loader_.next();
  epoch_ = batch.epoch;
  indices_ = batch.indices;
  if (!views_.both) return take_first(batch);
  Views& buffer = buffers_[static_cast<std::size_t>(number % 2)];
  pass_on(batch.views, buffer.both, views_.both);
  pass_on(batch.plain, buffer.plain, views_.plain);
  pass_on(batch.fresh, buffer.fresh, views_.fresh);
}

void HostSource::take_first(const Batch& batch) {
  const auto images = static_cast<std::int64_t>(batch.indices.size());
  const Shape both{2 * images, size_, size_, batch.channels};
  views_.both = from_floats(backend_, both, batch.views);
  if (!batch.fresh.empty()) views_.fresh = from_floats(backend_, both, batch.fresh);
  if (!batch.plain.empty()) views_.plain = from_floats(backend_, both.with(0, images), batch.plain);
}

void HostSource::pass_on(const std::vector<float>& values, Tensor& buffer, const Tensor& target) {
  if (!target) return;
  const std::int64_t bytes = target.size() * size_of(target.dtype);
  if (!backend_.traits().beside_host) return backend_.upload(target.data->data(), values.data(), bytes);
  if (!buffer) {
    buffer = empty_like(target);
    backend_.synchronize();  // kernels still running may use the old contents of this memory
  }
  backend_.upload_ahead(buffer.data->data(), values.data(), bytes);
  assign(target, buffer);
}

}  // namespace vergence
