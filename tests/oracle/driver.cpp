// The engine's side of the oracles in PyTorch (tests/oracle/oracle.py), NumPy (tests/oracle/evaluation.py) and Pillow
// (tests/oracle/images.py): reads inputs from one safetensors file, computes, and writes the results into another.
//   oracle_driver
//   resnet|losses|optimizer|encoder|weights|objective|finetune|views|episodes|lists|knn_sweep|corruptions|
//                 map|neighbors|jpegs|images IN OUT
#include <functional>
#include <iostream>
#include <utility>

#include "datasets/decoders/image_file.h"
#include "engine/graph.h"
#include "engine/optimizer.h"
#include "kernels/views.h"
#include "models/encoder_file.h"
#include "models/encoders/resnet.h"
#include "models/weights/encoder_weights.h"
#include "ssl/evaluation/finetune/finetune.h"
#include "ssl/evaluation/neighbors/by_cosine.h"
#include "ssl/evaluation/neighbors/knn_sweep.h"
#include "ssl/evaluation/probes/episodes.h"
#include "ssl/evaluation/robustness/corruptions.h"
#include "ssl/evaluation/sampling/subset.h"
#include "ssl/losses.h"
#include "ssl/objective.h"
#include "ssl/options/table.h"
#include "ssl/report/map.h"
#include "tests/support/image_files.h"

namespace vergence {
namespace {

/// A file's tensors as constants on the CPU.
Tensor read_tensor(const SafetensorsFile& file, const std::string& name) {
  const TensorEntry* entry = file.find(name);
  require_usage(entry && (entry->dtype == "F64" || entry->dtype == "F32"), file.path(), ": expected a tensor ", name);
  Tensor tensor = empty(cpu_backend(), Shape(entry->shape), entry->dtype == "F64" ? DType::f64 : DType::f32);
  cpu_backend().upload(tensor.data->data(), entry->data, entry->bytes);
  return tensor;
}

std::vector<std::int32_t> read_integers(const SafetensorsFile& file, const std::string& name) {
  const TensorEntry* entry = file.find(name);
  require_usage(entry && entry->dtype == "I32", file.path(), ": expected integers ", name);
  const auto* values = static_cast<const std::int32_t*>(entry->data);
  return {values, values + entry->bytes / 4};
}

/// Collects results and writes them.
class Results {
 public:
  void add(const std::string& name, const Tensor& tensor) {
    held_.push_back(to_host(tensor));
    std::vector<std::int64_t> shape;
    for (int axis = 0; axis < tensor.shape.rank(); ++axis) shape.push_back(tensor.shape[axis]);
    entries_.push_back({name, safetensors_name_of(tensor.dtype), shape, nullptr, 0});
  }
  void write(const std::string& path) {
    for (std::size_t i = 0; i < held_.size(); ++i)
      entries_[i].data = held_[i].data(), entries_[i].bytes = static_cast<std::int64_t>(held_[i].size());
    write_safetensors(path, entries_);
  }

 private:
  std::vector<std::vector<std::byte>> held_;
  std::vector<TensorEntry> entries_;
};

double number(const SafetensorsFile& file, const std::string& key) { return std::stod(file.meta(key)); }

/// Features and parameter gradients of <features, cotangent>, both views in one call, statistics per view.
void resnet(const SafetensorsFile& in, Results& out) {
  const EncoderSettings settings = EncoderSettings::from_metadata(in.metadata(), in.path());
  const Tensor images = read_tensor(in, "images");
  cpu_backend().set_choices({.cpu_conv = in.meta("cpu_conv") == "direct" ? CpuConv::direct : CpuConv::automatic});
  Encoder encoder = make_encoder(settings, {cpu_backend(), 0, images.dtype});
  Tensors weights;
  for (const NamedTensor& parameter : parameters_of(encoder)) {
    const Tensor given = read_tensor(in, parameter.name);
    require(given.shape == parameter.tensor->shape, parameter.name, ": ", given.shape, " for ",
            parameter.tensor->shape);
    *parameter.tensor = leaf(given);
    weights.push_back(*parameter.tensor);
  }
  Statistics statistics;
  const Tensor features = encoder(images, {.groups = 2, .running = &statistics, .activations = images.dtype});
  out.add("features", features.detached());
  const Tensors gradients =
      grad({features}, weights, {.create = false, .keep = false, .seeds = {read_tensor(in, "cotangent")}});
  std::size_t at = 0;
  for (const NamedTensor& parameter : parameters_of(encoder)) out.add("gradient." + parameter.name, gradients[at++]);
  for (const auto& [name, layer] : statistics.layers) {
    out.add(name + ".running_mean", layer.mean);
    out.add(name + ".running_var", layer.variance);
  }
}

/// A loss of z, its gradient, and the product of its Hessian with a direction.
void loss_results(const std::string& name, const std::function<Tensor(const Tensor&)>& loss, const Tensor& z,
                  const Tensor& direction, Results& out) {
  const Tensor x = leaf(z);
  const Tensor value = loss(x);
  const Tensor gradient = grad({value}, {x}, {.create = true, .keep = true, .seeds = {}})[0];
  const Tensor product = grad({dot(gradient, direction)}, {x})[0];
  out.add(name + ".loss", value.detached());
  out.add(name + ".gradient", gradient.detached());
  out.add(name + ".product", product);
}

void losses(const SafetensorsFile& in, Results& out) {
  const Tensor z = read_tensor(in, "z"), target = read_tensor(in, "target"), direction = read_tensor(in, "direction");
  const double temperature = number(in, "temperature"), lambda = number(in, "lambda"), scale = number(in, "scale");
  auto run = [&](const std::string& name, const std::function<Tensor(const Tensor&)>& loss) {
    loss_results(name, loss, z, direction, out);
  };
  run("nt_xent", [&](const Tensor& x) { return nt_xent(x, temperature); });
  run("barlow_biased",
      [&](const Tensor& x) { return barlow_twins(x, {.lambda = lambda, .scale = scale, .unbiased = false}); });
  run("barlow_unbiased", [&](const Tensor& x) {
    return barlow_twins(x, {.lambda = lambda, .scale = scale, .unbiased = true, .epsilon = 0});
  });
  run("byol", [&](const Tensor& x) { return byol(x, target); });
}

/// A trajectory: 20 steps over given gradients, with another learning rate each step.
void optimizer(const SafetensorsFile& in, Results& out) {
  OptimizerSettings settings;
  settings.kind = *Words(optimizer_words).value_of(in.meta("kind"));
  settings.momentum = number(in, "momentum"), settings.weight_decay = number(in, "weight_decay");
  settings.nesterov = number(in, "nesterov") != 0, settings.clip = number(in, "clip") != 0;
  settings.joint_norm = number(in, "joint_norm") != 0, settings.eta = number(in, "eta");
  std::vector<Tensor> tensors;
  std::vector<NamedTensor> named;
  for (int i = 0; i < static_cast<int>(number(in, "tensors")); ++i)
    tensors.push_back(read_tensor(in, join("parameter.", i)));
  for (std::size_t i = 0; i < tensors.size(); ++i) named.push_back({join("parameter.", i), &tensors[i]});
  const ParameterSet set(named);
  Optimizer optimizer(set, settings);
  const std::vector<double> rates = read_tensor(in, "learning_rates").values();
  for (std::size_t step = 0; step < rates.size(); ++step) {
    Tensors gradients;
    for (std::size_t i = 0; i < tensors.size(); ++i)
      gradients.push_back(read_tensor(in, join("gradient.", step, ".", i)));
    set.gather_gradients(gradients);
    optimizer.step(rates[step]);
    for (std::size_t i = 0; i < tensors.size(); ++i) out.add(join("parameter.", i, ".", step), clone(tensors[i]));
  }
}

/// An encoder with statistics of three batches, and batch norms unlike fresh ones: saves it as OUT.encoder with the
/// metadata of IN, and gives the features it has in evaluation.
void encoder(const SafetensorsFile& in, Results& out, const std::string& encoder_path) {
  const EncoderSettings settings = EncoderSettings::from_metadata(in.metadata(), in.path());
  const Tensor images = read_tensor(in, "images");
  Encoder encoder = make_encoder(settings, {cpu_backend(), 11});
  for (const NamedTensor& parameter : parameters_of(encoder))
    if (Tensor& tensor = *parameter.tensor; tensor.shape.rank() == 1)
      tensor = tensor + uniform_weights({cpu_backend(), 12}, parameter.name, tensor.shape, 9);
  Statistics statistics;
  for (int step = 0; step < 3; ++step) encoder((1.0 + step) * images, {.groups = 2, .running = &statistics});
  save_encoder(encoder_path, encoder, statistics, in.metadata());
  out.add("features", encoder(images, {.training = false, .running = &statistics}));
}

/// Features of another program's encoder.
void weights(const SafetensorsFile& in, Results& out) {
  const Tensor images = read_tensor(in, "images");
  EncoderSettings like{.encoder = "", .image_size = images.shape[1], .channels = 3, .components = {}};
  like.components.get<ResNetSettings>().stem = *Words<Stem>(stem_words).value_of(in.meta("stem"));
  TrainedEncoder trained = load_any_encoder(in.meta("file"), in.meta("prefix"), like, "choose one", cpu_backend());
  out.add("features", trained.encoder(images, {.training = false, .running = &trained.statistics}));
}

/// Training steps of an objective from given weights over given views; all parameters after the last one. Options stand
/// in the metadata as "option.NAME".
void objective(const SafetensorsFile& in, Results& out) {
  const DType type = read_tensor(in, "views.0").dtype;
  Options options;
  options.objective = in.meta("objective"),
  options.components.get<ResNetSettings>().width = static_cast<std::int64_t>(number(in, "width"));
  for (const auto& [key, value] : in.metadata())
    if (key.rfind("option.", 0) == 0) set_option(options, key.substr(7), value);
  const auto size = static_cast<std::int64_t>(number(in, "image_size"));
  const auto trained = make_objective({options, encoder_settings(options, size), cpu_backend(), type, type});
  const ObjectiveState state = trained->state();
  for (const auto& [set, parameters] : state.parameters)
    for (std::size_t i = 0; i < parameters.count(); ++i)
      if (in.find(set + "." + parameters.names()[i]))
        assign(parameters.tensors()[i], read_tensor(in, set + "." + parameters.names()[i]));
  const auto steps = static_cast<std::int64_t>(number(in, "steps"));
  for (std::int64_t step = 0; step < steps; ++step) {
    const Views views{read_tensor(in, join("views.", step)), {}};
    trained->step(views, {.lr = number(in, "lr"), .step = step, .steps = steps, .images = views.images()});
  }
  for (const auto& [set, parameters] : state.parameters)
    for (std::size_t i = 0; i < parameters.count(); ++i)
      out.add(set + "." + parameters.names()[i], clone(parameters.tensors()[i]));
}

/// Steps of fine-tuning from given weights over given batches: the loss of each, then weights and statistics.
void finetuning(const SafetensorsFile& in, Results& out) {
  const EncoderSettings shape = EncoderSettings::from_metadata(in.metadata(), in.path());
  Encoder encoder = make_encoder(shape, {cpu_backend(), 0});
  for (const NamedTensor& parameter : parameters_of(encoder)) *parameter.tensor = read_tensor(in, parameter.name);
  const Tensor weight = read_tensor(in, "head.weight");
  const LinearClassifier head{weight.shape[1], weight.shape[0], weight.floats(), read_tensor(in, "head.bias").floats()};
  FinetuneSettings settings;
  settings.epochs = static_cast<std::int64_t>(number(in, "steps"));  // one step each
  settings.batch = read_tensor(in, "images.0").shape[0];
  settings.lr = number(in, "lr"), settings.head_lr = number(in, "head_lr");
  settings.momentum = number(in, "momentum"), settings.weight_decay = number(in, "weight_decay");
  FinetuneSteps steps({encoder, {}}, head, settings, 1, cpu_backend());
  std::vector<double> losses;
  for (std::int64_t step = 0; step < settings.epochs; ++step)
    losses.push_back(steps.epoch(step, settings.batch, [&](const std::vector<std::int32_t>&) {
      return LabeledViews{read_tensor(in, join("images.", step)), read_integers(in, join("labels.", step))};
    }));
  out.add("losses", from_values(cpu_backend(), {settings.epochs}, losses));
  Finetuned tuned = steps.result();
  for (const NamedTensor& parameter : parameters_of(tuned.encoder)) out.add(parameter.name, *parameter.tensor);
  for (const auto& [name, layer] : tuned.statistics.layers) {
    out.add(name + ".running_mean", layer.mean);
    out.add(name + ".running_var", layer.variance);
  }
  out.add("head.weight", from_floats(cpu_backend(), weight.shape, tuned.head.weight));
  out.add("head.bias", from_floats(cpu_backend(), {weight.shape[0]}, tuned.head.bias));
}

/// The settings and the plan of case `n`, whose values stand in the metadata as "n.NAME"; what is not there is off.
std::pair<ViewSettings, ViewPlan> view_case(const Metadata& metadata, int n) {
  const auto text = [&](const char* name) {
    const auto found = metadata.find(join(n, ".", name));
    return found == metadata.end() ? std::string() : found->second;
  };
  const auto value = [&](const char* name) { return text(name).empty() ? 0.0f : std::stof(text(name)); };
  const auto integer = [&](const char* name) { return static_cast<std::int32_t>(value(name)); };
  ViewSettings settings = ViewSettings::identity(integer("size"));
  if (text("interpolation") == "bicubic") settings.interpolation = Interpolation::bicubic;
  settings.solarize_threshold = value("threshold");
  for (std::size_t c = 0; c < 3 && value("normalized") != 0; ++c)
    settings.mean[c] = value(join("mean", c).c_str()), settings.std[c] = value(join("std", c).c_str());
  ViewPlan plan;
  plan.crop = {integer("top"), integer("left"), integer("height"), integer("width")};
  plan.jitter = value("jitter") != 0, plan.gray = value("gray") != 0, plan.blur = value("blur") != 0;
  plan.solarize = value("solarize") != 0, plan.flip = value("flip") != 0;
  plan.brightness = value("brightness"), plan.contrast = value("contrast"), plan.saturation = value("saturation");
  plan.hue = value("hue"), plan.sigma = value("sigma");
  const std::string order = text("order");
  for (std::size_t i = 0; i < order.size(); ++i) plan.order.at(i) = static_cast<Jitter>(order[i] - '0');
  return {settings, plan};
}

/// Plans carried out, each on an image of its own.
void views(const SafetensorsFile& in, Results& out) {
  for (int n = 0; n < static_cast<int>(number(in, "cases")); ++n) {
    const auto [settings, plan] = view_case(in.metadata(), n);
    const TensorEntry* image = in.find(join("image.", n));
    require_usage(image && image->dtype == "U8" && image->shape.size() == 3, in.path(), ": expected image.", n);
    std::vector<float> view(static_cast<std::size_t>(settings.size * settings.size * 3));
    apply_view(static_cast<const std::uint8_t*>(image->data), image->shape[0], image->shape[1], settings, plan,
               view.data());
    out.add(join("view.", n), from_floats(cpu_backend(), {settings.size, settings.size, 3}, view));
  }
}

/// Accuracies and intervals of few-shot episodes, a row per number of shots.
void episodes(const SafetensorsFile& in, Results& out) {
  const Tensor values = read_tensor(in, "features");
  const Features features{values.shape[1], static_cast<std::int64_t>(number(in, "classes")), values.floats(),
                          read_integers(in, "labels")};
  EpisodeSettings settings;
  settings.ways = std::stoll(in.meta("ways"));
  settings.queries = std::stoll(in.meta("queries"));
  settings.episodes = std::stoll(in.meta("episodes"));
  settings.seed = std::stoull(in.meta("seed"));
  const std::vector<std::int32_t> shots = read_integers(in, "shots");
  settings.shots.assign(shots.begin(), shots.end());
  std::vector<float> means, intervals;
  for (const EpisodeAccuracy& each : episode_accuracy(features, {"some", read_integers(in, "classes")}, settings)) {
    means.push_back(static_cast<float>(each.mean));
    intervals.push_back(static_cast<float>(each.interval));
  }
  const auto rows = static_cast<std::int64_t>(means.size());
  out.add("mean", from_floats(cpu_backend(), {rows}, means));
  out.add("interval", from_floats(cpu_backend(), {rows}, intervals));
}

/// The principal components of features, a row per image, and their shares of the variance.
void map(const SafetensorsFile& in, Results& out) {
  const Tensor values = read_tensor(in, "features");
  const FeatureMap found = principal_map({values.shape[1], 0, values.floats(), {}});
  std::vector<float> points;
  for (std::size_t i = 0; i < found.x.size(); ++i)
    points.push_back(static_cast<float>(found.x[i])), points.push_back(static_cast<float>(found.y[i]));
  out.add("points", from_floats(cpu_backend(), {values.shape[0], 2}, points));
  out.add("shares",
          from_floats(cpu_backend(), {2}, {static_cast<float>(found.x_share), static_cast<float>(found.y_share)}));
}

/// The bank's rows with the largest cosines, and these cosines, a row per query.
void neighbors(const SafetensorsFile& in, Results& out) {
  const Tensor bank = read_tensor(in, "bank"), query = read_tensor(in, "query");
  const Features rows{bank.shape[1], 0, bank.floats(), {}}, queries{query.shape[1], 0, query.floats(), {}};
  const auto k = static_cast<std::int64_t>(number(in, "k"));
  std::vector<float> places, cosines;
  for (const std::vector<Neighbor>& each : nearest_by_cosine(rows, queries, k, cpu_backend()))
    for (const Neighbor& neighbor : each) {
      places.push_back(static_cast<float>(neighbor.row));
      cosines.push_back(static_cast<float>(cosine_of(neighbor)));
    }
  out.add("places", from_floats(cpu_backend(), {query.shape[0], k}, places));
  out.add("cosines", from_floats(cpu_backend(), {query.shape[0], k}, cosines));
}

/// Lists of labeled images: shares "share.PERCENT", and the held-out tenth.
void lists(const SafetensorsFile& in, Results& out) {
  const std::vector<std::int32_t> labels = read_integers(in, "labels");
  const auto add = [&](const std::string& name, const std::vector<std::int64_t>& list) {
    out.add(name, from_values(cpu_backend(), {static_cast<std::int64_t>(list.size())}, {list.begin(), list.end()}));
  };
  for (const std::int64_t percent : {1, 10, 100}) add(join("share.", percent), balanced_share(labels, percent));
  const HeldOutTenth tenth = hold_out_tenth(labels);
  add("kept", tenth.kept);
  add("held_out", tenth.held_out);
}

/// What kNN predicts in each form of the sweep, [forms, queries], with the forms' k and temperature.
void knn_forms(const SafetensorsFile& in, Results& out) {
  const auto classes = static_cast<std::int64_t>(number(in, "classes"));
  const auto features = [&](const std::string& name) {
    const Tensor values = read_tensor(in, name);
    return Features{values.shape[1], classes, values.floats(), read_integers(in, name + "_labels")};
  };
  const Features bank = features("bank"), query = features("query");
  std::vector<double> predicted, forms;
  const KnnSweep sweep = knn_sweep(bank, query, cpu_backend());
  for (std::size_t f = 0; f < sweep.forms.size(); ++f) {
    predicted.insert(predicted.end(), sweep.judged[f].predicted.begin(), sweep.judged[f].predicted.end());
    for (const double value : {static_cast<double>(sweep.judged[f].k), sweep.forms[f].temperature, sweep.held_out[f]})
      forms.push_back(value);
  }
  const auto rows = static_cast<std::int64_t>(sweep.forms.size());
  out.add("predicted", from_values(cpu_backend(), {rows, query.rows()}, predicted));
  out.add("forms", from_values(cpu_backend(), {rows, 3}, forms));
  out.add("best", from_values(cpu_backend(), {1}, {static_cast<double>(sweep.best)}));
}

/// Corrupted images, their bytes as numbers; no hue where there is no color.
void corrupted(const SafetensorsFile& in, Results& out) {
  const TensorEntry* entry = in.find("images");
  require_usage(entry && entry->dtype == "U8" && entry->shape.size() == 4, in.path(), ": expected images");
  Dataset images;
  images.name = "images";
  images.split = in.meta("split");
  images.count = entry->shape[0], images.height = entry->shape[1], images.width = entry->shape[2];
  images.channels = entry->shape[3];
  const auto* bytes = static_cast<const std::uint8_t*>(entry->data);
  images.pixels.assign(bytes, bytes + entry->bytes);
  for (Corruption each : corruptions) {
    if (!has_meaning(each, images)) continue;
    const Dataset changed = with_corruption(images, each, std::stoull(in.meta("seed")));
    out.add(name_of(each),
            from_floats(cpu_backend(), Shape(entry->shape), {changed.pixels.begin(), changed.pixels.end()}));
  }
}

/// Bytes as numbers, so that they are results like others.
void add_bytes(Results& out, const std::string& name, const Shape& shape, const std::uint8_t* bytes,
               std::size_t count) {
  out.add(name, from_floats(cpu_backend(), shape, {bytes, bytes + count}));
}

/// JPEG files of the pictures "picture.N", in the forms that the metadata "N.NAME" ask for.
void jpegs(const SafetensorsFile& in, Results& out) {
#ifdef VERGENCE_JPEG_TURBO
  for (int n = 0; n < static_cast<int>(number(in, "count")); ++n) {
    const TensorEntry* picture = in.find(join("picture.", n));
    require_usage(picture && picture->dtype == "U8" && picture->shape.size() == 3, in.path(), ": expected picture.", n);
    const auto integer = [&](const char* name) { return static_cast<int>(number(in, join(n, ".", name))); };
    JpegForm form{.channels = static_cast<int>(picture->shape[2])};
    form.progressive = integer("progressive") != 0;
    form.plain = integer("plain") != 0;
    form.marker = integer("marker");
    const std::string sampling = in.meta(join(n, ".sampling"));  // two digits for each component
    for (std::size_t i = 0; i < sampling.size(); i += 2)
      form.sampling.push_back({sampling.at(i) - '0', sampling.at(i + 1) - '0'});
    const auto* pixels = static_cast<const std::uint8_t*>(picture->data);
    const std::string file = jpeg_file({pixels, pixels + picture->bytes}, static_cast<int>(picture->shape[0]),
                                       static_cast<int>(picture->shape[1]), form);
    add_bytes(out, join("file.", n), {static_cast<std::int64_t>(file.size())},
              reinterpret_cast<const std::uint8_t*>(file.data()), file.size());
  }
#else
  static_cast<void>(out);
  throw UsageError(in.path() + ": this build has no libjpeg-turbo");
#endif
}

/// What is read of the files "file.N": "N.turbo.REDUCTION" and "N.stb.1", or nothing where a file is refused.
void images(const SafetensorsFile& in, Results& out) {
  for (int n = 0; n < static_cast<int>(number(in, "count")); ++n) {
    const TensorEntry* file = in.find(join("file.", n));
    require_usage(file && file->dtype == "U8", in.path(), ": expected file.", n);
    const std::string_view bytes(static_cast<const char*>(file->data), static_cast<std::size_t>(file->bytes));
    for (const JpegLibrary library : {JpegLibrary::turbo, JpegLibrary::stb})
      for (const int reduction : {1, 2, 4, 8}) {
        DecodedImage image;
        try {
          decode_image(bytes, join("file ", n), library, image, {.reduction = reduction});
        } catch (const UsageError& error) {
          std::cout << error.what() << "\n";
          break;
        }
        if (image.reduction != reduction) continue;
        add_bytes(out, join(n, library == JpegLibrary::turbo ? ".turbo." : ".stb.", reduction),
                  {image.height, image.width, 3}, image.pixels.data(), image.pixels.size());
      }
  }
}

void run(const std::string& what, const std::string& in_path, const std::string& out_path) {
  const SafetensorsFile in(in_path);
  Results out;
  if (what == "resnet")
    resnet(in, out);
  else if (what == "losses")
    losses(in, out);
  else if (what == "optimizer")
    optimizer(in, out);
  else if (what == "encoder")
    encoder(in, out, out_path + ".encoder");
  else if (what == "weights")
    weights(in, out);
  else if (what == "objective")
    objective(in, out);
  else if (what == "finetune")
    finetuning(in, out);
  else if (what == "views")
    views(in, out);
  else if (what == "episodes")
    episodes(in, out);
  else if (what == "knn_sweep")
    knn_forms(in, out);
  else if (what == "lists")
    lists(in, out);
  else if (what == "corruptions")
    corrupted(in, out);
  else if (what == "map")
    map(in, out);
  else if (what == "neighbors")
    neighbors(in, out);
  else if (what == "jpegs")
    jpegs(in, out);
  else if (what == "images")
    images(in, out);
  else
    throw UsageError(join("oracle_driver: no oracle is called ", what));
  out.write(out_path);
}

}  // namespace
}  // namespace vergence

int main(int count, char** arguments) {
  if (count != 4) {
    std::cerr
        << "usage: oracle_driver "
           "resnet|losses|optimizer|encoder|weights|objective|finetune|views|episodes|lists|knn_sweep|corruptions|"
           "map|neighbors|jpegs|images IN OUT\n";
    return 2;
  }
  try {
    vergence::run(arguments[1], arguments[2], arguments[3]);
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
  return 0;
}
