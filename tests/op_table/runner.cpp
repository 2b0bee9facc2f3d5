// How rows of the op table are run and differenced; see runner.h.
#include "tests/op_table/runner.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "engine/graph.h"
#include "kernels/communicators/threads.h"
#include "kernels/draws.h"

namespace vergence::test {

namespace {

Values rounded(const Values& values, DType dtype) {
  return from_values(cpu_backend(), {static_cast<std::int64_t>(values.size())}, values, dtype).values();
}

Values draw(const std::string& name, std::uint64_t number, const Input& input) {
  const std::int64_t count = input.shape.size();
  if (input.draw == Draw::normal) return normal_values(name, number, count);
  if (input.draw == Draw::offset) {
    Values values = normal_values(name, number, count);
    for (double& value : values) value += 100;
    return values;
  }
  Random random(hash_name(name), Purpose::test, 1, number);
  Values values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) {
    switch (input.draw) {
      case Draw::positive:
        values[i] = random.uniform(0.5f, 2.0f);
        break;
      case Draw::off_zero:
        values[i] = random.uniform(0.3f, 1.5f) * (random.chance(0.5f) ? 1 : -1);
        break;
      case Draw::index:
        values[i] = random.below(static_cast<std::uint32_t>(input.limit));
        break;
      default:
        values[i] = 0.05 * (static_cast<double>(i) - static_cast<double>(count) / 2);
        break;
    }
  }
  if (input.draw == Draw::distinct) shuffle(values, random);
  return values;
}

double inner(const Values& a, const Values& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

double norm(const Values& a) { return std::sqrt(inner(a, a)); }

/// A rank's part of a list in rank order, of equal parts.
template <class T>
std::vector<T> share(const std::vector<T>& all, const Communicator& ranks) {
  const auto count = static_cast<std::ptrdiff_t>(all.size()) / ranks.ranks();
  const auto begin = all.begin() + ranks.rank() * count;
  return {begin, begin + count};
}

/// Calls `call(own, ranks)` for each rank, with the row as that rank sees it; once if the row has no ranks.
template <class Call>
void on_ranks(const OpCase& row, const Call& call) {
  run_ranks(row.ranks, [&](Communicator& ranks) {
    if (row.ranks == 1 && !row.run_on_rank) return call(row, ranks);
    OpCase own = row;
    own.name += join("/rank", ranks.rank());
    own.inputs = share(row.inputs, ranks);
    own.run = [&](const Tensors& in) { return row.run_on_rank(in, ranks); };
    call(own, ranks);
  });
}

/// The sum of `own_part(own, ranks)` over ranks, in rank order.
template <class Call>
double sum_on_ranks(const OpCase& row, const Call& own_part) {
  Values parts(static_cast<std::size_t>(row.ranks));
  on_ranks(row, [&](const OpCase& own, const Communicator& ranks) {
    parts[static_cast<std::size_t>(ranks.rank())] = own_part(own, ranks);
  });
  return std::accumulate(parts.begin(), parts.end(), 0.0);
}

std::string cotangent_name(const OpCase& row) { return row.name + "/cotangent"; }
std::string direction_name(const OpCase& row) { return row.name + "/direction"; }

/// The row's inputs on a device: leaves where differentiable.
Tensors upload_inputs(const OpCase& row, Backend& device, const std::vector<Values>& inputs, DType dtype) {
  Tensors tensors;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const Input& input = row.inputs[i];
    const DType type = input.draw == Draw::index ? DType::i32 : input.master ? master_of(dtype) : dtype;
    const Tensor tensor = from_values(device, input.shape, inputs[i], type);
    tensors.push_back(input.differentiable && input.draw != Draw::index ? leaf(tensor) : tensor);
  }
  return tensors;
}

std::vector<std::size_t> differentiable_inputs(const OpCase& row) {
  std::vector<std::size_t> which;
  for (std::size_t i = 0; i < row.inputs.size(); ++i)
    if (row.inputs[i].differentiable && row.inputs[i].draw != Draw::index) which.push_back(i);
  return which;
}

/// Random cotangents of outputs, as leaves; `given` values where not empty.
Tensors make_cotangents(const OpCase& row, const Tensors& outputs, DType rounding, const std::vector<Values>& given) {
  Tensors cotangents;
  for (std::size_t k = 0; k < outputs.size(); ++k) {
    const Tensor& y = outputs[k];
    const Values values = given.empty() ? rounded(normal_values(cotangent_name(row), k, y.size()), rounding) : given[k];
    cotangents.push_back(leaf(from_values(y.backend(), y.shape, values, y.dtype)));
  }
  return cotangents;
}

struct Orders {
  Tensors inputs, wrt, outputs, differentiable, cotangents, first;
};

/// Forward and recorded first order.
Orders first_order(const OpCase& row, Backend& device, const std::vector<Values>& inputs, DType dtype, DType rounding,
                   const std::vector<Values>& cotangents = {}) {
  Orders o;
  o.inputs = upload_inputs(row, device, inputs, dtype);
  for (std::size_t i : differentiable_inputs(row)) o.wrt.push_back(o.inputs[i]);
  o.outputs = row.run(o.inputs);
  for (const Tensor& y : o.outputs)
    if (y.node) o.differentiable.push_back(y);
  o.cotangents = make_cotangents(row, o.differentiable, rounding, cotangents);
  if (!o.differentiable.empty())
    o.first = grad(o.differentiable, o.wrt, {.create = true, .keep = true, .seeds = o.cotangents});
  return o;
}

/// The scalar S(x, c) = sum <G_i, a_i> in f64 on the CPU, for differences.
double directional(const OpCase& row, const std::vector<Values>& inputs, const std::vector<Values>& cotangents) {
  return sum_on_ranks(row, [&](const OpCase& own, const Communicator& ranks) {
    double sum = 0;
    const Orders o =
        first_order(own, cpu_backend(), share(inputs, ranks), DType::f64, DType::f64, share(cotangents, ranks));
    for (std::size_t i = 0; i < o.first.size(); ++i)
      sum += inner(o.first[i].values(), normal_values(direction_name(own), i, o.first[i].size()));
    return sum;
  });
}

/// The scalar L(x) = sum <c_k, y_k>.
double projected(const OpCase& row, const std::vector<Values>& inputs, const std::vector<Values>& cotangents) {
  return sum_on_ranks(row, [&](const OpCase& own, const Communicator& ranks) {
    double sum = 0;
    const Tensors outputs = own.run(upload_inputs(own, cpu_backend(), share(inputs, ranks), DType::f64));
    const std::vector<Values> c = share(cotangents, ranks);
    std::size_t k = 0;
    for (const Tensor& y : outputs)
      if (y.node) sum += inner(y.values(), c[k++]);
    return sum;
  });
}

/// The cotangents of all ranks' outputs, in rank order.
std::vector<Values> cotangents_of(const OpCase& row, const std::vector<Values>& inputs) {
  std::vector<std::vector<Values>> of_rank(static_cast<std::size_t>(row.ranks));
  on_ranks(row, [&](const OpCase& own, const Communicator& ranks) {
    for (const Tensor& c : first_order(own, cpu_backend(), share(inputs, ranks), DType::f64, DType::f64).cotangents)
      of_rank[static_cast<std::size_t>(ranks.rank())].push_back(c.values());
  });
  std::vector<Values> all;
  for (const std::vector<Values>& cotangents : of_rank) all.insert(all.end(), cotangents.begin(), cotangents.end());
  return all;
}

/// The fourth-order central difference of f(point + t direction) at t = 0.
template <class F>
double difference(const Values& point, const Values& direction, double step, F&& f) {
  auto at = [&](double t) {
    Values moved = point;
    for (std::size_t i = 0; i < moved.size(); ++i) moved[i] += t * direction[i];
    return f(moved);
  };
  return (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step);
}

std::string disagreement(const std::string& what, double analytic, double numeric, double error, double limit) {
  return join(what, ": ", analytic, " against ", numeric, " by differences, relative error ", error, " over ", limit);
}

thread_local std::set<std::string>* names_seen = nullptr;

}  // namespace

Values normal_values(const std::string& name, std::uint64_t number, std::int64_t count) {
  Random random(hash_name(name), Purpose::test, 0, number);
  Values values(static_cast<std::size_t>(count));
  for (double& value : values) value = normal(random);
  return values;
}

std::vector<Values> draw_inputs(const OpCase& row, DType dtype) {
  std::vector<Values> inputs;
  for (std::size_t i = 0; i < row.inputs.size(); ++i) {
    const Input& input = row.inputs[i];
    const Values values = draw(row.name, i, input);
    const bool exact = input.draw == Draw::index;
    inputs.push_back(exact ? values : rounded(values, input.master ? master_of(dtype) : dtype));
  }
  return inputs;
}

namespace {

/// One rank's results, or those of a row without ranks.
Results evaluate_own(const OpCase& row, Backend& device, const std::vector<Values>& inputs, DType dtype,
                     DType rounding) {
  const Orders o = first_order(row, device, inputs, dtype, rounding);
  Results results;
  for (const Tensor& y : o.outputs) results.outputs.push_back(y.values());
  for (const Tensor& g : o.first) results.first.push_back(g.values());
  if (o.first.empty()) return results;
  Tensors recorded, directions, wrt = o.wrt;
  for (std::size_t i = 0; i < o.first.size(); ++i) {
    const Tensor& g = o.first[i];
    if (!g.node) continue;
    recorded.push_back(g);
    const Values values = rounded(normal_values(direction_name(row), i, g.size()), rounding);
    directions.push_back(from_values(device, g.shape, values, g.dtype));
  }
  wrt.insert(wrt.end(), o.cotangents.begin(), o.cotangents.end());
  for (const Tensor& h : grad(recorded, wrt, {.create = false, .keep = false, .seeds = directions}))
    results.second.push_back(h.values());
  return results;
}

/// The ranks' results as one: each list in rank order, and of the second order first all inputs, then all cotangents.
Results joined(const std::vector<Results>& of_rank) {
  Results all;
  const auto append = [](std::vector<Values>& to, auto begin, auto end) { to.insert(to.end(), begin, end); };
  for (const Results& one : of_rank) {
    append(all.outputs, one.outputs.begin(), one.outputs.end());
    append(all.first, one.first.begin(), one.first.end());
    append(all.second, one.second.begin(), one.second.begin() + static_cast<std::ptrdiff_t>(one.first.size()));
  }
  for (const Results& one : of_rank)
    append(all.second, one.second.begin() + static_cast<std::ptrdiff_t>(one.first.size()), one.second.end());
  return all;
}

}  // namespace

Results evaluate(const OpCase& row, Backend& device, const std::vector<Values>& inputs, DType dtype, DType rounding) {
  std::vector<Results> of_rank(static_cast<std::size_t>(row.ranks));
  on_ranks(row, [&](const OpCase& own, const Communicator& ranks) {
    of_rank[static_cast<std::size_t>(ranks.rank())] = evaluate_own(own, device, share(inputs, ranks), dtype, rounding);
  });
  return joined(of_rank);
}

std::vector<std::string> check_differences(const OpCase& row, const std::vector<Values>& inputs) {
  const Results exact = evaluate(row, cpu_backend(), inputs, DType::f64, DType::f64);
  std::vector<std::string> problems;
  if (exact.first.empty()) return problems;
  const double step = row.kinks ? 1e-6 : 3e-4;
  const std::vector<Values> cotangents = cotangents_of(row, inputs);
  auto compare = [&](const std::string& what, const Values& gradient, const Values& direction, double numeric,
                     double limit) {
    const double analytic = inner(gradient, direction);
    const double error = std::abs(analytic - numeric) / (norm(gradient) + 1e-3);
    if (!(error <= limit)) problems.push_back(disagreement(what, analytic, numeric, error, limit));
  };
  const std::vector<std::size_t> which = differentiable_inputs(row);
  for (std::size_t i = 0; i < which.size() + cotangents.size(); ++i) {
    const bool is_input = i < which.size();
    const Values& point = is_input ? inputs[which[i]] : cotangents[i - which.size()];
    const Values direction = normal_values(row.name + "/difference", i, static_cast<std::int64_t>(point.size()));
    std::vector<Values> moved_inputs = inputs, moved_cotangents = cotangents;
    Values& moving = is_input ? moved_inputs[which[i]] : moved_cotangents[i - which.size()];
    auto along = [&](auto&& scalar) {
      return difference(point, direction, step, [&](const Values& moved) {
        moving = moved;
        return scalar(row, moved_inputs, moved_cotangents);
      });
    };
    const std::string name = is_input ? join("input ", which[i]) : join("cotangent ", i - which.size());
    if (is_input) compare("order 1, " + name, exact.first[i], direction, along(projected), 1e-7);
    compare("order 2, " + name, exact.second[i], direction, along(directional), 1e-6);
  }
  return problems;
}

double relative_error(const Values& a, const Values& b) {
  if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
  double difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) difference += (a[i] - b[i]) * (a[i] - b[i]);
  const double floor = 1e-3 * std::sqrt(static_cast<double>(b.size()));
  const double error = b.empty() ? 0 : std::sqrt(difference) / std::max(norm(b), floor);
  return std::isfinite(error) ? error : std::numeric_limits<double>::infinity();
}

OpNames::OpNames() {
  names_seen = &seen_;
  op_observer = [](const char* name) { names_seen->insert(name); };
}

OpNames::~OpNames() {
  op_observer = nullptr;
  names_seen = nullptr;
}

}  // namespace vergence::test
