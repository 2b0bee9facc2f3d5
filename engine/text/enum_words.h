// Words for enum values, as users write them. Each list of words is defined once; code that reads, writes or lists the
// words gets that list.
#pragma once

#include <cstddef>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/error.h"

namespace vergence {

/// T: an enum, or a std::optional of one, if one of the words ("auto") leaves the choice to something else.
template <class T>
struct Word {
  const char* text;
  T value;
};

/// Words in the order in which messages name them. An enum's list is a constant array declared beside it.
template <class T>
struct Words {
  std::vector<Word<T>> list;

  Words(std::initializer_list<Word<T>> words) : list(words) {}
  template <std::size_t count>
  Words(const Word<T> (&words)[count]) : list(words, words + count) {}

  /// The word of a value. Throws Error for a value without a word.
  const char* text_of(const T& value) const {
    for (const Word<T>& word : list)
      if (word.value == value) return word.text;
    throw Error(join("there is no word for this value beside ", list.front().text));
  }
  /// The value of a word, or null.
  const T* value_of(std::string_view text) const {
    for (const Word<T>& word : list)
      if (text == word.text) return &word.value;
    return nullptr;
  }
  std::vector<std::string> texts() const {
    std::vector<std::string> all;
    for (const Word<T>& word : list) all.emplace_back(word.text);
    return all;
  }
};

template <class T, std::size_t count>
const char* text_of(const Word<T> (&words)[count], const T& value) {
  return Words<T>(words).text_of(value);
}

/// The type to which an accessor returns a reference.
template <class Owner, class Get>
using Referred = std::remove_reference_t<std::invoke_result_t<Get, Owner&>>;

/// A field of an Owner whose values have words, independent of the field's type.
template <class Owner>
class WordField {
 public:
  /// `get(owner)` returns a reference to the field.
  template <class Get, class T = Referred<Owner, Get>>
  WordField(Get get, Words<T> list) {
    const auto words = std::make_shared<const Words<T>>(std::move(list));
    texts_ = words->texts();
    read_ = [get, words](Owner& owner) { return words->text_of(get(owner)); };
    write_ = [get, words](Owner& owner, std::string_view text) {
      const T* value = words->value_of(text);
      if (value) get(owner) = *value;
      return value != nullptr;
    };
  }

  /// The same field, reached from an outer struct; `inside(outer)` returns a reference to the owner.
  template <class Outer, class Inside>
  WordField<Outer> within(Inside inside) const {
    WordField<Outer> field;
    field.texts_ = texts_;
    field.read_ = [inside, read = read_](Outer& outer) { return read(inside(outer)); };
    field.write_ = [inside, write = write_](Outer& outer, std::string_view text) { return write(inside(outer), text); };
    return field;
  }

  /// The words that it accepts.
  const std::vector<std::string>& words() const { return texts_; }
  /// The word of its current value.
  std::string word(Owner& owner) const { return read_(owner); }
  /// Sets it to the value of a word; returns false for a word that it does not accept.
  bool set(Owner& owner, std::string_view word) const { return write_(owner, word); }

 private:
  template <class>
  friend class WordField;
  WordField() = default;

  std::vector<std::string> texts_;
  std::function<const char*(Owner&)> read_;
  std::function<bool(Owner&, std::string_view)> write_;
};

}  // namespace vergence
