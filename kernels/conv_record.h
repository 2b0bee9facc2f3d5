// What computed the GPU's convolutions, kept for logs: the rule says what is tried first, this what came of it. Plain
// C++: part of every build.
#pragma once

#include <string>

#include "kernels/backend.h"

namespace vergence {

/// "128x32x32x64 -> 64, 3x3/1+1*1, groups 1, forward, f32". `type`: of the activations.
std::string text_of_conv(const ConvShape& shape, ConvPass pass, DType type);

/// Notes what computed a convolution just now; the last word on a shape, pass and type counts. For the whole process.
void note_conv(const ConvShape& shape, ConvPass pass, DType type, const char* by);
void forget_convs();

/// How many kinds of convolution (a shape, pass and type each) were computed by what: "30 by cuDNN, 2 by own plain
/// kernels". Empty where none was noted.
std::string convs_in_short();
/// A line for each kind, in the order in which they came.
std::string convs_in_full();

}  // namespace vergence
