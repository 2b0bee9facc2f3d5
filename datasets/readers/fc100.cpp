// Two tables: the super-class of each class, and the part of each super-class.
#include "datasets/readers/fc100.h"

#include <array>
#include <cstddef>

#include "kernels/error.h"

namespace vergence {
namespace {

constexpr std::int32_t fine_classes = 100;

// The coarse label of every record with this fine label.
constexpr std::array<std::uint8_t, fine_classes> superclasses{
    4,  1,  14, 8,  0,  6,  7,  7,  18, 3,  3,  14, 9,  18, 7,  11, 3,  9,  7,  11,   // apple ... cattle
    6,  11, 5,  10, 7,  6,  13, 15, 3,  15, 0,  11, 1,  10, 12, 14, 16, 9,  11, 5,    // chair ... keyboard
    5,  19, 8,  8,  15, 13, 14, 17, 18, 10, 16, 4,  17, 4,  2,  0,  17, 4,  18, 17,   // lamp ... pine_tree
    10, 3,  2,  12, 12, 16, 12, 1,  9,  19, 2,  10, 0,  1,  16, 12, 9,  13, 15, 13,   // plain ... spider
    16, 19, 2,  4,  6,  19, 5,  5,  8,  19, 18, 1,  2,  15, 6,  0,  17, 8,  14, 13};  // squirrel ... worm

Fc100 part_of(std::int32_t superclass) {
  switch (superclass) {
    case 0:   // aquatic_mammals
    case 7:   // insects
    case 12:  // medium_mammals
    case 14:  // people
      return Fc100::test;
    case 8:   // large_carnivores
    case 11:  // large_omnivores_and_herbivores
    case 13:  // non-insect_invertebrates
    case 16:  // small_mammals
      return Fc100::validation;
    default:
      return Fc100::base;
  }
}

}  // namespace

std::int32_t cifar100_superclass(std::int32_t fine) {
  require(fine >= 0 && fine < fine_classes, "cifar100: class ", fine, ", expected 0 to ", fine_classes - 1);
  return superclasses[static_cast<std::size_t>(fine)];
}

std::vector<std::int32_t> fc100_classes(Fc100 part) {
  std::vector<std::int32_t> classes;
  for (std::int32_t fine = 0; fine < fine_classes; ++fine)
    if (part_of(cifar100_superclass(fine)) == part) classes.push_back(fine);
  return classes;
}

}  // namespace vergence
