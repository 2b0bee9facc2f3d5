#include "kernels/communicators/host.h"

#include <algorithm>

#include "kernels/parallel.h"

namespace vergence {

namespace {

/// A sum of at most this many values gathers all of them: one message instead of two. Larger ones add shards, in
/// working memory of at most so many bytes.
constexpr std::int64_t gathered_values = 4096, most_bytes = std::int64_t{16} << 20;

/// out[i] = the sum over r of parts[r * size + i], in order of r. out may be the first part.
template <class T>
void add_parts(const T* parts, int ranks, std::int64_t size, T* out) {
  using Sum = std::conditional_t<std::is_same_v<T, std::int32_t>, std::int32_t, Compute<T>>;
  constexpr std::int64_t block = 1024;
  parallel_for(size, 16 * block, [&](std::int64_t begin, std::int64_t end) {
    Sum sums[block];
    for (std::int64_t at = begin; at < end; at += block) {
      const std::int64_t count = std::min(block, end - at);
      for (std::int64_t i = 0; i < count; ++i) sums[i] = static_cast<Sum>(parts[at + i]);
      for (int r = 1; r < ranks; ++r) {
        const T* part = parts + r * size + at;
        for (std::int64_t i = 0; i < count; ++i) sums[i] += static_cast<Sum>(part[i]);
      }
      for (std::int64_t i = 0; i < count; ++i) out[at + i] = static_cast<T>(sums[i]);
    }
  });
}

}  // namespace

void add_parts(ConstArray parts, Array out) {
  with_any(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (!std::is_same_v<T, std::uint8_t>)
      add_parts(parts.as<T>(), static_cast<int>(parts.size / out.size), out.size, out.as<T>());
  });
}

void* HostCommunicator::scratch(std::int64_t bytes) {
  if (bytes > scratch_bytes_) {
    scratch_ = std::make_unique_for_overwrite<std::byte[]>(static_cast<std::size_t>(bytes));
    scratch_bytes_ = bytes;
  }
  return scratch_.get();
}

template <class T>
void HostCommunicator::sum(const T* x, T* out, std::int64_t size) {
  constexpr auto width = static_cast<std::int64_t>(sizeof(T));
  const std::int64_t most_part = std::max<std::int64_t>(most_bytes / width / ranks(), 1);
  for (std::int64_t at = 0; at < size;) {
    const std::int64_t left = size - at;
    if (left <= std::max<std::int64_t>(gathered_values, ranks())) {
      T* parts = static_cast<T*>(scratch(ranks() * left * width));
      gather(x + at, parts, left * width);
      add_parts(parts, ranks(), left, out + at);
      return;
    }
    const std::int64_t part = std::min(left / ranks(), most_part);  // one shard per rank
    T* parts = static_cast<T*>(scratch(ranks() * part * width));
    exchange(x + at, parts, part * width);
    add_parts(parts, ranks(), part, parts);
    gather(parts, out + at, part * width);
    at += ranks() * part;
  }
}

void HostCommunicator::do_all_gather(Backend& backend, ConstArray x, Array out) {
  HostCopy from(backend, x), to(backend, out);
  from.read();
  gather(from.data(), to.data(), from.bytes());
  to.write();
}

void HostCommunicator::do_all_reduce(Backend& backend, ConstArray x, Array out) {
  HostCopy from(backend, x), to(backend, out);
  from.read();
  with_any(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (!std::is_same_v<T, std::uint8_t>)
      sum(static_cast<const T*>(from.data()), static_cast<T*>(to.data()), x.size);
  });
  to.write();
}

void HostCommunicator::do_broadcast(Backend& backend, Array x, int root) {
  HostCopy copy(backend, x);
  if (rank() == root) copy.read();
  spread(copy.data(), copy.bytes(), root);
  if (rank() != root) copy.write();
}

}  // namespace vergence
