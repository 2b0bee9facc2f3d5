// Settings of the components that register themselves: objectives, encoders and data sets. Only a component's file
// knows the type of its settings.
#pragma once

#include <any>
#include <unordered_map>

namespace vergence {

/// Holds one value of each requested type, created with its defaults on first use. Copies are deep.
class ComponentSettings {
 public:
  template <class T>
  T& get() {
    std::any& value = values_[&key<T>];
    if (!value.has_value()) value = T{};
    return *std::any_cast<T>(&value);
  }
  template <class T>
  T get() const {
    const auto found = values_.find(&key<T>);
    return found == values_.end() ? T{} : *std::any_cast<T>(&found->second);
  }

 private:
  /// Its address stands for T. Types in anonymous namespaces may share a name, and with some compilers their typeid.
  template <class T>
  static inline char key = 0;

  std::unordered_map<const void*, std::any> values_;
};

}  // namespace vergence
