// The elementwise functions of `Map`, one struct each: single source, compiled by the C++ compiler and by nvcc. They
// compute in Compute<T>: `Real` is float, or double for f64. A NaN input gives NaN wherever the function's value
// depends on it (a comparison with NaN is false).
#pragma once

#include <cmath>

#include "kernels/backend.h"

namespace vergence {

/// A value in another element type: what `Map::copy` does.
template <class To, class From>
VERGENCE_BOTH To convert(From value) {
  if constexpr (std::is_same_v<To, From>)
    return value;
  else if constexpr (std::is_same_v<To, bf16>)
    return bf16(static_cast<float>(value));
  else if constexpr (std::is_same_v<From, bf16>)
    return static_cast<To>(static_cast<float>(value));
  else
    return static_cast<To>(value);
}

/// A function of (a, b, alpha, beta). `inputs` is the number of arrays it reads: with 1, it never reads b.
namespace functors {

struct Affine {
  static constexpr int inputs = 1;
  template <class Real>
  VERGENCE_BOTH Real operator()(Real a, Real, Real alpha, Real beta) const {
    return alpha * a + beta;
  }
};
struct Add {
  static constexpr int inputs = 2;
  template <class Real>
  VERGENCE_BOTH Real operator()(Real a, Real b, Real alpha, Real beta) const {
    return alpha * a + beta * b;
  }
};
struct Mul {
  static constexpr int inputs = 2;
  template <class Real>
  VERGENCE_BOTH Real operator()(Real a, Real b, Real, Real) const {
    return a * b;
  }
};
struct Div {
  static constexpr int inputs = 2;
  template <class Real>
  VERGENCE_BOTH Real operator()(Real a, Real b, Real, Real) const {
    return a / b;
  }
};
struct Relu {
  static constexpr int inputs = 1;
  template <class Real>
  VERGENCE_BOTH Real operator()(Real a, Real, Real, Real) const {
    return a < Real(0) ? Real(0) : a;  // this order keeps NaN as NaN
  }
};
struct ReluMask {
  static constexpr int inputs = 2;
  template <class Real>
  VERGENCE_BOTH Real operator()(Real a, Real b, Real, Real) const {
    return b > Real(0) ? a : Real(0);
  }
};
struct Sigmoid {
  static constexpr int inputs = 1;
  template <class Real>
  VERGENCE_BOTH Real operator()(Real a, Real, Real, Real) const {
    return Real(1) / (Real(1) + std::exp(-a));
  }
};
struct Tanh {
  static constexpr int inputs = 1;
  template <class Real>
  VERGENCE_BOTH Real operator()(Real a, Real, Real, Real) const {
    return std::tanh(a);
  }
};
struct Exp {
  static constexpr int inputs = 1;
  template <class Real>
  VERGENCE_BOTH Real operator()(Real a, Real, Real, Real) const {
    return std::exp(a);
  }
};
struct Log {
  static constexpr int inputs = 1;
  template <class Real>
  VERGENCE_BOTH Real operator()(Real a, Real, Real, Real) const {
    return std::log(a);
  }
};
struct Sqrt {
  static constexpr int inputs = 1;
  template <class Real>
  VERGENCE_BOTH Real operator()(Real a, Real, Real, Real) const {
    return std::sqrt(a);
  }
};
struct Reciprocal {
  static constexpr int inputs = 1;
  template <class Real>
  VERGENCE_BOTH Real operator()(Real a, Real, Real, Real) const {
    return Real(1) / a;
  }
};
struct Abs {
  static constexpr int inputs = 1;
  template <class Real>
  VERGENCE_BOTH Real operator()(Real a, Real, Real, Real) const {
    return std::fabs(a);
  }
};
struct Sign {
  static constexpr int inputs = 1;
  template <class Real>
  VERGENCE_BOTH Real operator()(Real a, Real, Real, Real) const {
    return Real(a > Real(0)) - Real(a < Real(0));
  }
};
struct ClampMin {
  static constexpr int inputs = 1;
  template <class Real>
  VERGENCE_BOTH Real operator()(Real a, Real, Real alpha, Real) const {
    return a < alpha ? alpha : a;
  }
};
struct Greater {
  static constexpr int inputs = 1;
  template <class Real>
  VERGENCE_BOTH Real operator()(Real a, Real, Real alpha, Real) const {
    return Real(a > alpha);
  }
};

}  // namespace functors

/// Calls `f(functor)` with the functor of `op`. `Map::copy` has none: it is `convert`.
template <class F>
void with_functor(Map op, F&& f) {
  switch (op) {
    case Map::affine:
      return f(functors::Affine{});
    case Map::add:
      return f(functors::Add{});
    case Map::mul:
      return f(functors::Mul{});
    case Map::div:
      return f(functors::Div{});
    case Map::relu:
      return f(functors::Relu{});
    case Map::relu_mask:
      return f(functors::ReluMask{});
    case Map::sigmoid:
      return f(functors::Sigmoid{});
    case Map::tanh:
      return f(functors::Tanh{});
    case Map::exp:
      return f(functors::Exp{});
    case Map::log:
      return f(functors::Log{});
    case Map::sqrt:
      return f(functors::Sqrt{});
    case Map::reciprocal:
      return f(functors::Reciprocal{});
    case Map::abs:
      return f(functors::Abs{});
    case Map::sign:
      return f(functors::Sign{});
    case Map::clamp_min:
      return f(functors::ClampMin{});
    case Map::greater:
      return f(functors::Greater{});
    case Map::copy:
      break;
  }
  throw Error("kernel: this elementwise function has no functor");
}

}  // namespace vergence
