// Helpers shared by the files that call oneDNN: engine, stream, types, the creation of primitives, which differs
// between oneDNN 2 and 3, and a bounded cache of them.
#pragma once

#include <cstring>
#include <dnnl.hpp>
#include <memory>
#include <mutex>
#include <omp.h>
#include <string>
#include <unordered_map>

#include "kernels/types.h"

namespace vergence::onednn {

inline dnnl::engine& engine() {
  static dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}

inline dnnl::stream& stream() {
  thread_local dnnl::stream queue(engine());
  return queue;
}

inline dnnl::memory::data_type type_of(DType type) {
  require(type == DType::f32 || type == DType::bf16, "onednn: expected f32 or bf16, got ", name_of(type));
  return type == DType::f32 ? dnnl::memory::data_type::f32 : dnnl::memory::data_type::bf16;
}

/// oneDNN takes pointers to mutable memory even for inputs.
inline dnnl::memory memory_at(const dnnl::memory::desc& desc, const void* data) {
  return {desc, engine(), const_cast<void*>(data)};
}

/// The attributes of every primitive here: the caller owns the scratch memory, so primitives may run concurrently.
inline dnnl::primitive_attr attributes() {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attr;
}

/// Describes a primitive; `rest` are the constructor's arguments, from the propagation or the first layout on.
template <class Primitive, class... Rest>
typename Primitive::primitive_desc describe(const Rest&... rest) {
#if DNNL_VERSION_MAJOR >= 3
  return {engine(), rest..., attributes()};
#else
  return {typename Primitive::desc(rest...), attributes(), engine()};
#endif
}

/// The same for a backward pass, which takes the forward pass as a hint.
template <class Primitive, class Forward, class... Rest>
typename Primitive::primitive_desc describe_backward(const Forward& forward, const Rest&... rest) {
#if DNNL_VERSION_MAJOR >= 3
  return {engine(), rest..., forward, attributes()};
#else
  return {typename Primitive::desc(rest...), attributes(), engine(), forward};
#endif
}

/// True for an implementation without tuning: our own plain loops beat it.
inline bool is_reference(const dnnl::primitive_desc_base& desc) {
  return std::string(desc.impl_info_str()).find("ref") != std::string::npos;
}

/// Plans (primitives with their layouts) by key. A plan may be null: "not supported" is remembered too. Primitives are
/// made for a number of threads, so the key must include it. Holds at most `capacity` plans; when full it is cleared.
template <class Key, class Plan, class Hash>
class Cache {
 public:
  template <class Make>
  std::shared_ptr<const Plan> get(const Key& key, const Make& make) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (auto found = plans_.find(key); found != plans_.end()) return found->second;
    if (plans_.size() >= capacity) plans_.clear();
    return plans_[key] = make();
  }

 private:
  static constexpr std::size_t capacity = 1024;
  std::mutex mutex_;
  std::unordered_map<Key, std::shared_ptr<const Plan>, Hash> plans_;
};

/// Mixes `value` into a running hash.
inline void mix(std::size_t& hash, std::int64_t value) {
  hash = (hash ^ static_cast<std::size_t>(value)) * 0x9e3779b97f4a7c15ull;
  hash ^= hash >> 29;
}

}  // namespace vergence::onednn
