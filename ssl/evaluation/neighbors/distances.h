// The f64 distances of feature vectors that define "near" for kNN. Features are f32, so differences of neighboring
// values and products of two values are exact; f64 rounding is about 1e-16 of the result.
#pragma once

#include <cstdint>

namespace vergence {

enum class Distance {
  cosine,    // neighbors by cosine similarity
  euclidean  // neighbors by Euclidean distance of the features as they are
};

/// |x|: the sum of squares adds back the rounding error of each addition, so only the last bit may be wrong.
double length_of(const float* x, std::int64_t dim);

/// |a - b|^2.
double squared_distance(const float* a, const float* b, std::int64_t dim);

/// |a / |a| - b / |b||^2 = 2 - 2 cos(a, b), from 0 to 4, given the lengths. Unlike 1 - cos it keeps its digits at small
/// angles; directions that f64 cannot tell apart (1e-15) count as one. A zero vector has cosine 0 with every vector.
double squared_chord(const float* a, double a_length, const float* b, double b_length, std::int64_t dim);

}  // namespace vergence
