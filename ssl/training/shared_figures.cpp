#include "ssl/training/shared_figures.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "kernels/error.h"

namespace vergence {
namespace {

template <class T>
std::string packed(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

template <class T>
void append(std::vector<T>& values, const std::string& bytes) {
  const std::size_t before = values.size();
  values.resize(before + bytes.size() / sizeof(T));
  if (!bytes.empty()) std::memcpy(values.data() + before, bytes.data(), bytes.size());
}

/// The number of queries that were predicted correctly.
int correct(const KnnResult& result, std::int64_t queries) {
  return static_cast<int>(std::lround(result.top1 / 100 * static_cast<double>(queries)));
}

int sum(const std::vector<int>& numbers) {
  int all = 0;
  for (const int number : numbers) all += number;
  return all;
}

}  // namespace

std::vector<std::int64_t> own_images(std::int64_t count, std::int64_t batch, const Sharing& sharing) {
  const std::int64_t batches = (count + batch - 1) / batch;
  const auto first_of = [&](int rank) { return std::min(count, batches * rank / sharing.ranks * batch); };
  std::vector<std::int64_t> images;
  for (std::int64_t i = first_of(sharing.rank); i < first_of(sharing.rank + 1); ++i) images.push_back(i);
  return images;
}

Features gathered(World& world, const Features& own) {
  if (world.ranks() == 1) return own;
  Features all;
  for (const int dim : world.gather(static_cast<int>(own.dim))) all.dim = std::max<std::int64_t>(all.dim, dim);
  for (const int classes : world.gather(static_cast<int>(own.classes)))
    all.classes = std::max<std::int64_t>(all.classes, classes);
  for (const std::string& values : world.gather(packed(own.values))) append(all.values, values);
  for (const std::string& labels : world.gather(packed(own.labels))) append(all.labels, labels);
  return all;
}

KnnAccuracy gathered(World& world, const KnnAccuracy& own, std::int64_t queries) {
  if (world.ranks() == 1) return own;
  const int all = sum(world.gather(static_cast<int>(queries)));
  KnnAccuracy whole = own;
  whole.cosine_200.top1 = 100.0 * sum(world.gather(correct(own.cosine_200, queries))) / all;
  whole.euclidean_5.top1 = 100.0 * sum(world.gather(correct(own.euclidean_5, queries))) / all;
  return whole;
}

}  // namespace vergence
