// evaluate: judges a pretrained encoder without training anything. Writes evaluation.json.
#include <chrono>
#include <cstdio>

#include "engine/files.h"
#include "ssl/evaluation/knn.h"
#include "ssl/evaluation/subject.h"
#include "tools/common.h"

namespace vergence {
namespace {

const char* const description =
    "Judges a pretrained encoder: kNN on its features, the bank from the split 'probe', the queries from 'test'.\n"
    "Prints one line per figure and writes evaluation.json into the run folder.\n"
    "Example: evaluate --run runs/cifar10_simclr_s1";

void show(const char* name, const KnnResult& result, const char* form, nlohmann::ordered_json& json) {
  std::printf("%s top1 %.2f (k = %lld, %s)\n", name, result.top1, static_cast<long long>(result.k), form);
  json[name] = {{"top1", two_decimals(result.top1)}, {"k", result.k}, {"form", form}};
}

int evaluate(const SubjectOptions& options) {
  const auto begin = std::chrono::steady_clock::now();
  Subject subject = open_subject(options);
  const Encode encode = subject.encode();
  nlohmann::ordered_json json = subject.description();
  const auto features = [&](const char* split) {
    const Dataset dataset = open_dataset(subject.data, split);
    return extract_features(encode, dataset, subject.extract, *subject.backend);
  };
  const Features bank = features("probe"), query = features("test");
  const std::string step = json.contains("step") ? json["step"].dump() : "?";
  const std::string epoch = json.contains("epoch") ? json["epoch"].dump() : "?";
  std::printf("%s%s, epoch %s, step %s: %lld bank images, %lld queries of %s\n", subject.path.c_str(),
              options.untrained ? " (initial weights)" : "", epoch.c_str(), step.c_str(),
              static_cast<long long>(bank.rows()), static_cast<long long>(query.rows()), subject.data.name.c_str());

  const KnnAccuracy accuracy = knn_accuracy(bank, query, *subject.backend);
  json["bank_images"] = bank.rows();
  json["query_images"] = query.rows();
  json["feature_dim"] = bank.dim;
  nlohmann::ordered_json& knn = json["knn"] = nlohmann::ordered_json::object();
  show("knn_cosine_200", accuracy.cosine_200, "cosine, votes exp(similarity / 0.1)", knn);
  show("knn_euclidean_5", accuracy.euclidean_5, "Euclidean, majority", knn);
  json["seconds"] = two_decimals(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  write_atomically(subject.output("evaluation"), json.dump(2) + "\n");
  return 0;
}

}  // namespace
}  // namespace vergence

int main(int argc, char** argv) {
  CLI::App app(vergence::description, "evaluate");
  vergence::SubjectOptions options;
  vergence::add_subject_options(app, options);
  return vergence::run_tool(app, argc, argv, [&] { return vergence::evaluate(options); });
}
