// A ring of batches that workers fill a few images at a time; `next` returns them in order.
#include "datasets/loading/loader.h"

#include <array>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "datasets/loading/image_reader.h"
#include "kernels/clock.h"
#include "kernels/error.h"

namespace vergence {

struct Loader::State {
  /// The order of one epoch, kept because consecutive batches mostly share it.
  struct EpochOrder {
    std::int64_t epoch = -1;
    std::vector<std::int64_t> indices;
  };

  struct QueuePlace {
    Batch batch;
    std::vector<std::int64_t> others;  // the images of `fresh`
    std::int64_t number = -1;          // of the finished or unfinished batch here
    std::int64_t taken = 0, done = 0;  // images
    std::int64_t failed_at = 0;        // the first image that failed
    std::exception_ptr failure;
  };

  State(const Dataset& dataset, LoaderSettings given) : data(dataset), settings(std::move(given)) {
    check_loader_settings(settings, data);
    steps = data.count / settings.batch;
    images = settings.own_batch();
    first = settings.first_epoch * steps + settings.first_step;
    started = asked = first;
    plain_view = settings.plain_view();
    for (QueuePlace& place : ring) lay_out(place.batch);  // here, where a lack of memory can still be reported
    // Few enough to share a small batch, enough to make locks cheap.
    portion = std::max<std::int64_t>(1, images / std::max(16, 4 * settings.workers));
  }

  ~State() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
    }
    changed.notify_all();
    for (std::thread& worker : workers) worker.join();
  }

  QueuePlace& place_of(std::int64_t number) { return ring[static_cast<std::size_t>(number) % ring.size()]; }
  bool is_ready(const QueuePlace& place, std::int64_t number) const {
    return place.number == number && place.done == images;
  }

  /// The place of a batch with images left to take, if any: the last started or the next.
  QueuePlace* place_with_work() {
    if (started > first) {
      QueuePlace& last = place_of(started - 1);
      if (last.taken < images) return &last;
    }
    // The caller still uses batch asked - 1, so its place is not free yet.
    if (started >= std::max(asked - 1, first) + static_cast<std::int64_t>(ring.size())) return nullptr;
    QueuePlace& place = place_of(started);
    begin(place, started++);
    return &place;
  }

  /// A worker's loop: take some images of the first batch with any left, make their views, count them as done.
  void work() {
    ImageReader reader(data);
    for (;;) {
      std::unique_lock lock(mutex);
      QueuePlace* place = nullptr;
      changed.wait(lock, [&] { return stopping || (place = place_with_work()) != nullptr; });
      if (stopping) return;
      const std::int64_t from = place->taken, to = std::min(from + portion, images);
      place->taken = to;
      lock.unlock();
      std::exception_ptr failure;
      std::int64_t at = from;
      try {
        for (; at < to; ++at) fill(*place, at, reader);
      } catch (...) {
        failure = std::current_exception();
      }
      lock.lock();
      if (failure && (!place->failure || at < place->failed_at)) place->failure = failure, place->failed_at = at;
      place->done += to - from;
      const bool ready = place->done == images;
      lock.unlock();
      if (ready) changed.notify_all();
    }
  }

  void lay_out(Batch& batch) const {
    const auto values = static_cast<std::size_t>(images * pixels());
    batch.views.resize(settings.views.size() * values);
    if (settings.fresh != FreshViews::none) batch.fresh.resize(batch.views.size());
    if (settings.plain) batch.plain.resize(values);
  }

  /// Starts a batch; its images follow. Call with the lock held.
  void begin(QueuePlace& place, std::int64_t number) {
    Batch& batch = place.batch;
    batch.epoch = number / steps;
    batch.step = number % steps;
    batch.channels = settings.views[0].channels;
    if (order.epoch != batch.epoch) order = {batch.epoch, epoch_order(data.count, settings.seed, batch.epoch)};
    batch.indices = batch_indices(order.indices, settings, batch.step);
    place.others = batch_indices(order.indices, settings, batch.step, settings.fresh);
    batch.labels.assign(batch.indices.size(), -1);
    place.number = number;
    place.taken = place.done = 0;
  }

  std::int64_t pixels() const { return settings.views[0].size * settings.views[0].size * settings.views[0].channels; }

  /// Makes all views of image `i` of a batch, and reads the image once.
  void fill(QueuePlace& place, std::int64_t i, ImageReader& reader) const {
    Batch& batch = place.batch;
    std::int64_t& index = batch.indices[static_cast<std::size_t>(i)];
    std::vector<WantedView> wanted = views_of(batch.epoch, index, i, Purpose::view, batch.views);
    if (settings.plain) wanted.push_back({&plain_view, Random(0, Purpose::view), batch.plain.data() + i * pixels()});
    if (settings.fresh == FreshViews::same_images)
      for (const WantedView& view : views_of(batch.epoch, index, i, Purpose::fresh_view, batch.fresh))
        wanted.push_back(view);
    index = reader.make_views_or_next(index, wanted);
    batch.labels[static_cast<std::size_t>(i)] = data.label(index);
    if (settings.fresh != FreshViews::other_images) return;
    const std::int64_t other = place.others[static_cast<std::size_t>(i)];
    reader.make_views_or_next(other, views_of(batch.epoch, other, i, Purpose::fresh_view, batch.fresh));
  }

  /// The views of an image, the `i`th of its batch.
  std::vector<WantedView> views_of(std::int64_t epoch, std::int64_t index, std::int64_t i, Purpose purpose,
                                   std::vector<float>& out) const {
    std::vector<WantedView> wanted;
    for (std::size_t v = 0; v < settings.views.size(); ++v)
      wanted.push_back({&settings.views[v],
                        Random(settings.seed, purpose, static_cast<std::uint32_t>(epoch),
                               static_cast<std::uint64_t>(index), static_cast<std::uint32_t>(v)),
                        out.data() + (static_cast<std::int64_t>(v) * images + i) * pixels()});
    return wanted;
  }

  const Dataset& data;
  LoaderSettings settings;
  ViewSettings plain_view;
  std::int64_t steps = 0;    // per epoch
  std::int64_t images = 0;   // of a batch, made here
  std::int64_t first = 0;    // batch numbers continue over epochs: number = epoch * steps + step
  std::int64_t portion = 1;  // images that a worker takes at a time

  std::mutex mutex;
  std::condition_variable changed;
  bool stopping = false;
  EpochOrder order;          // of the last started batch
  std::int64_t started = 0;  // the next number to start
  std::int64_t asked = 0;    // the next number that `next` returns
  std::array<QueuePlace, Loader::places> ring;
  std::vector<std::thread> workers;
  double waited = 0;
};

Loader::Loader(const Dataset& dataset, LoaderSettings settings)
    : state_(std::make_unique<State>(dataset, std::move(settings))) {
  for (int i = 0; i < state_->settings.workers; ++i) {
    try {
      state_->workers.emplace_back([state = state_.get()] { state->work(); });
    } catch (const std::system_error& error) {
      throw Error(join("cannot start thread ", i + 1, " of --workers ", state_->settings.workers, ": ", error.what()));
    }
  }
}

Loader::~Loader() = default;

const Batch& Loader::next() {
  State& state = *state_;
  std::unique_lock lock(state.mutex);
  const std::int64_t number = state.asked++;
  State::QueuePlace& place = state.place_of(number);
  state.changed.notify_all();
  if (!state.is_ready(place, number)) {
    const auto start = Clock::now();
    state.changed.wait(lock, [&] { return state.is_ready(place, number); });
    state.waited += seconds_since(start);
  }
  if (place.failure) std::rethrow_exception(std::exchange(place.failure, nullptr));
  return place.batch;
}

std::int64_t Loader::steps_per_epoch() const { return state_->steps; }

double Loader::seconds_waited() const { return state_->waited; }

}  // namespace vergence
