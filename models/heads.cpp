#include "models/heads.h"

namespace vergence {

namespace {

bool has_norm(const MlpSettings& settings, bool last) {
  return last ? settings.last_norm != LastNorm::none : settings.hidden_norm;
}

}  // namespace

void Mlp::each(const Visit& visit, const std::string& prefix) {
  for (std::size_t i = 0; i < linears.size(); ++i) {
    linears[i].each(visit, prefix);
    norms[i].each(visit, prefix);
  }
}

Tensor Mlp::operator()(const Tensor& x, const ForwardMode& pass) const {
  Tensor y = x;
  for (std::size_t i = 0; i < linears.size(); ++i) {
    const bool last = i + 1 == linears.size();
    y = linears[i](y);
    if (has_norm(settings, last))
      y = batch_norm(y, norms[i], pass, !last);
    else if (!last)
      y = relu(y);
  }
  return y;
}

std::int64_t Mlp::parameters() const { return parameter_count(*this); }

double Mlp::flops(std::int64_t rows) const {
  double sum = 0;
  for (const Linear& layer : linears) sum += 2.0 * static_cast<double>(rows) * static_cast<double>(layer.w.size());
  return sum;
}

Mlp make_mlp(const MlpSettings& settings, const Init& init) {
  require_usage(settings.sizes.size() >= 2, "head '", settings.name, "': expected an input and an output size, got ",
                settings.sizes.size(), " sizes");
  for (std::int64_t size : settings.sizes)
    require_usage(size >= 1, "head '", settings.name, "': sizes must be at least 1, got ", size);
  Mlp head{settings, {}, {}};
  int number = 0;  // the index in a PyTorch Sequential
  for (std::size_t i = 0; i + 1 < settings.sizes.size(); ++i) {
    const bool last = i + 2 == settings.sizes.size();
    auto next_name = [&] { return settings.name + "." + std::to_string(number++); };
    head.linears.push_back(make_linear(init, next_name(), settings.sizes[i], settings.sizes[i + 1],
                                       last ? settings.last_bias : settings.hidden_bias));
    const bool affine = !last || settings.last_norm == LastNorm::affine;
    head.norms.push_back(has_norm(settings, last) ? make_batch_norm(init, next_name(), settings.sizes[i + 1], affine)
                                                  : BatchNorm{});
    ++number;  // the ReLU
  }
  return head;
}

}  // namespace vergence
