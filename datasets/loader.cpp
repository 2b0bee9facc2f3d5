// A ring of batches: workers take batch numbers in turn and fill the ring's places; `next` hands them out in order.
#include "datasets/loader.h"

#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <numeric>
#include <thread>
#include <utility>

#include "kernels/error.h"
#include "kernels/random.h"

namespace vergence {
namespace {

/// The order of one epoch, kept by each worker because consecutive batches mostly share it.
struct EpochOrder {
  std::int64_t epoch = -1;
  std::vector<std::int64_t> indices;
};

}  // namespace

std::vector<std::int64_t> epoch_order(std::int64_t count, std::uint64_t seed, std::int64_t epoch) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  Random random(seed, Purpose::order, static_cast<std::uint32_t>(epoch));
  for (std::size_t i = order.size(); i > 1; --i)
    std::swap(order[i - 1], order[random.below(static_cast<std::uint32_t>(i))]);
  return order;
}

std::vector<std::int64_t> batch_indices(const std::vector<std::int64_t>& order, std::int64_t batch, std::int64_t step,
                                        FreshViews fresh) {
  const auto count = static_cast<std::int64_t>(order.size());
  const std::int64_t begin = step * batch + (fresh == FreshViews::other_images ? count / 2 : 0);
  std::vector<std::int64_t> indices;
  for (std::int64_t i = begin; i < begin + batch; ++i) indices.push_back(order[static_cast<std::size_t>(i % count)]);
  return indices;
}

void check_loader_settings(const LoaderSettings& settings, const Dataset& data) {
  require_usage(settings.batch >= 1, "loader: batch is ", settings.batch, ", expected 1 or more");
  require_usage(settings.batch <= data.count, "loader: a batch of ", settings.batch, " is larger than ", data.name, " ",
                data.split, " with its ", data.count, " images");
  require_usage(settings.fresh != FreshViews::other_images || 2 * settings.batch <= data.count, "loader: a batch of ",
                settings.batch, " and as many other images, but ", data.name, " ", data.split, " has ", data.count);
  require_usage(data.count < std::int64_t{1} << 32, "loader: ", data.count, " images, expected fewer than 2^32");
  require_usage(settings.workers >= 1 && settings.workers <= 1024, "loader: workers is ", settings.workers,
                ", expected 1 to 1024");
  require_usage(data.channels == 3, "loader: ", data.name, " has ", data.channels, " channels, views expect 3");
  require_usage(settings.first_epoch >= 0 && settings.first_step >= 0, "loader: starts at epoch ", settings.first_epoch,
                ", step ", settings.first_step, ", expected 0 or more");
  check_views(settings.views);
}

struct Loader::State {
  struct Place {
    Batch batch;
    std::exception_ptr failure;
    bool ready = false;
  };

  State(const Dataset& dataset, LoaderSettings given) : data(dataset), settings(std::move(given)) {
    check_loader_settings(settings, data);
    steps = data.count / settings.batch;
    first = settings.first_epoch * steps + settings.first_step;
    taken = asked = first;
    // Every worker has a batch in hand, one is in use outside, and one lies ready.
    places.resize(static_cast<std::size_t>(settings.workers) + 2);
  }

  ~State() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
    }
    changed.notify_all();
    for (std::thread& worker : workers) worker.join();
  }

  Place& place_of(std::int64_t number) { return places[static_cast<std::size_t>(number) % places.size()]; }

  /// A worker's life: take the next batch number whose place is free, fill the place, announce it.
  void work() {
    EpochOrder order;
    const auto free_places = static_cast<std::int64_t>(places.size());
    for (;;) {
      std::unique_lock lock(mutex);
      // Batch asked - 1 is in use outside: its place is not free yet.
      changed.wait(lock, [&] { return stopping || taken < std::max(asked - 1, first) + free_places; });
      if (stopping) return;
      const std::int64_t number = taken++;
      lock.unlock();
      Place& place = place_of(number);
      try {
        fill(number, order, place.batch);
      } catch (...) {
        place.failure = std::current_exception();
      }
      lock.lock();
      place.ready = true;
      lock.unlock();
      changed.notify_all();
    }
  }

  void fill(std::int64_t number, EpochOrder& order, Batch& batch) const {
    batch.epoch = number / steps;
    batch.step = number % steps;
    if (order.epoch != batch.epoch) order = {batch.epoch, epoch_order(data.count, settings.seed, batch.epoch)};
    batch.indices = batch_indices(order.indices, settings.batch, batch.step);
    batch.labels.clear();
    for (std::int64_t index : batch.indices) batch.labels.push_back(data.label(index));
    fill_views(batch.epoch, batch.indices, Purpose::view, batch.views);
    if (settings.fresh != FreshViews::none)
      fill_views(batch.epoch, batch_indices(order.indices, settings.batch, batch.step, settings.fresh),
                 Purpose::fresh_view, batch.fresh);
    if (!settings.plain) return;
    const std::int64_t size = settings.views[0].size, pixels = size * size * 3;
    batch.plain.resize(static_cast<std::size_t>(settings.batch * pixels));
    for (std::int64_t i = 0; i < settings.batch; ++i)
      normalize_image(data.image(batch.indices[static_cast<std::size_t>(i)]), data.height, data.width, size,
                      settings.views[0].mean, settings.views[0].std, batch.plain.data() + i * pixels);
  }

  /// All views of these images, view after view.
  void fill_views(std::int64_t epoch, const std::vector<std::int64_t>& indices, Purpose purpose,
                  std::vector<float>& out) const {
    const std::int64_t size = settings.views[0].size, pixels = size * size * 3;
    const auto view_count = static_cast<std::int64_t>(settings.views.size());
    out.resize(static_cast<std::size_t>(view_count * settings.batch * pixels));
    for (std::int64_t i = 0; i < settings.batch; ++i) {
      const std::int64_t index = indices[static_cast<std::size_t>(i)];
      for (std::int64_t v = 0; v < view_count; ++v) {
        const Random random(settings.seed, purpose, static_cast<std::uint32_t>(epoch),
                            static_cast<std::uint64_t>(index), static_cast<std::uint32_t>(v));
        make_view(data.image(index), data.height, data.width, settings.views[static_cast<std::size_t>(v)], random,
                  out.data() + (v * settings.batch + i) * pixels);
      }
    }
  }

  const Dataset& data;
  LoaderSettings settings;
  std::int64_t steps = 0;  // per epoch
  std::int64_t first = 0;  // batches are numbered through all epochs: number = epoch * steps + step

  std::mutex mutex;
  std::condition_variable changed;
  bool stopping = false;
  std::int64_t taken = 0;  // the next number that a worker takes
  std::int64_t asked = 0;  // the next number that `next` hands out
  std::vector<Place> places;
  std::vector<std::thread> workers;
  double waited = 0;
};

Loader::Loader(const Dataset& dataset, LoaderSettings settings)
    : state_(std::make_unique<State>(dataset, std::move(settings))) {
  for (int i = 0; i < state_->settings.workers; ++i)
    state_->workers.emplace_back([state = state_.get()] { state->work(); });
}

Loader::~Loader() = default;

const Batch& Loader::next() {
  State& state = *state_;
  std::unique_lock lock(state.mutex);
  if (state.asked > state.first) state.place_of(state.asked - 1).ready = false;
  const std::int64_t number = state.asked++;
  State::Place& place = state.place_of(number);
  state.changed.notify_all();
  if (!place.ready) {
    const auto start = std::chrono::steady_clock::now();
    state.changed.wait(lock, [&] { return place.ready; });
    state.waited += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  if (place.failure) std::rethrow_exception(std::exchange(place.failure, nullptr));
  return place.batch;
}

std::int64_t Loader::steps_per_epoch() const { return state_->steps; }

double Loader::seconds_waited() const { return state_->waited; }

}  // namespace vergence
