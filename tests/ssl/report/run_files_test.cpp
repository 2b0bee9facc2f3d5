// Reading run folders, and what the report says of a run's history.
#include "ssl/report/run_files.h"

#include <filesystem>
#include <gtest/gtest.h>

#include "ssl/report/groups.h"
#include "ssl/report/page.h"
#include "tests/support/complaints.h"
#include "tests/support/run_folders.h"

namespace vergence {
namespace {

TEST(ReadRun, TakesMetricsOfEarlierVersionsToo) {
  Runs runs;
  const std::string path = runs.add("a", seeded(1),
                                    R"({"step":1,"epoch":1,"loss":5,"lr":0.1,"images_per_s":100})"
                                    "\n"
                                    R"({"step":2,"epoch":1,"loss":null,"clock":{"seconds":3,"images_per_s":300}})"
                                    "\n"
                                    R"({"step":3,"epoch":2,"loss":4,"std":0.5,"clock":{"images_per_s":200}})"
                                    "\n"
                                    R"({"step":4,"epoch":2,"lo)");
  const RunFiles run = read_run(path);
  EXPECT_EQ(run.name, "a");
  EXPECT_EQ(run.steps_per_epoch, 2);
  EXPECT_EQ(run.last_step, 3) << "the line that a kill cut off";
  ASSERT_NE(run.series("images_per_s"), nullptr);
  EXPECT_EQ(run.series("images_per_s")->points.size(), 3u);
  EXPECT_EQ(run.series("images_per_s")->points.back().value, 200);
  EXPECT_EQ(run.series("loss")->points.size(), 2u) << "null is no value";
  EXPECT_EQ(run.series("clock"), nullptr);
  EXPECT_EQ(run.unfinished, "step 3, epoch 2 of 2") << "there is no encoder";
}

TEST(ReadRun, NamesFileAndLineOfDamage) {
  Runs runs;
  const std::string good = R"({"step":1,"epoch":1,"loss":5})";
  const std::string metrics = runs.add("m", seeded(1), good + "\n{\"step\n" + good + "\n");
  EXPECT_EQ(message_of([&] { read_run(metrics); }),
            metrics + "/metrics.jsonl:2: is damaged, expected a JSON object with a step");
  const std::string results = runs.add("r", seeded(1), good + "\n", probe(50) + "{\"tool\":\"eva\n" + probe(60));
  EXPECT_EQ(read_run(results).notices, std::vector<std::string>{results + "/results.jsonl:2: is not JSON: skipped"});
  EXPECT_EQ(read_run(results).results.size(), 2u);
  const std::string odd = runs.add("o", seeded(1), "", "{\"tool\":\"evaluate\"}\n");
  EXPECT_EQ(message_of([&] { read_run(odd); }),
            odd + "/results.jsonl:1: is no result, expected an object with tool and figures");
  const std::string record = runs.add("j", seeded(1), "", "", "[1,");
  EXPECT_EQ(message_of([&] { read_run(record); }), record + "/run.json: is damaged, expected a JSON object with runs");
  const std::string none = runs.path("none");
  EXPECT_EQ(message_of([&] { read_run(none); }), none + ": is no run folder, expected one that pretrain made");
  std::filesystem::create_directories(none);
  EXPECT_EQ(message_of([&] { read_run(none); }),
            none + ": is no run folder: it has no config.toml, expected one that pretrain made");
  EXPECT_EQ(message_of([&] { read_runs({metrics + "/../r", results + "/."}); }), results + "/.: given twice");
}

TEST(ReadRun, SaysWhyARunIsUnfinished) {
  const auto why = [](const std::string& record, std::int64_t max_steps = 0, std::int64_t step = 2) {
    Runs runs;
    Options options = seeded(1);
    options.max_steps = max_steps;
    const std::string line = join("{\"step\":", step, ",\"epoch\":1,\"loss\":5}\n");
    return read_run(runs.add("a", options, line, "", record)).unfinished;
  };
  const auto record = [](const std::string& exit) {
    return R"({"commit":"c","runs":[{"start":"2026-01-31T23:59:50Z","end":"2026-02-01T00:01:00Z","to_step":3,"exit":)" +
           exit + "}]}";
  };
  EXPECT_EQ(why(record("null")), "step 2, epoch 1 of 2, no end recorded");
  EXPECT_EQ(why(record("130")), "step 2, epoch 1 of 2, stopped by a signal");
  EXPECT_EQ(why(record("1")), "step 2, epoch 1 of 2, ended with exit status 1");
  EXPECT_EQ(why(record("0"), 3), "step 2, epoch 1 of 2, stopped by --max-steps");
  EXPECT_EQ(why(record("0")), "step 2, epoch 1 of 2, no encoder.safetensors of the last epoch");
  EXPECT_EQ(why(record("0"), 0, 3), "") << "it has ended, and was copied without its encoder";
  EXPECT_EQ(why(record("0"), 3, 3), "step 3, epoch 1 of 2, stopped by --max-steps");
  Runs runs;
  EXPECT_EQ(read_run(runs.add("a", seeded(1), "", "", record("0"))).history.seconds, 70);
}

TEST(NumbersIn, GivesEachItsPath) {
  const std::vector<std::pair<std::string, double>> expected{
      {"knn.top1", 41.5}, {"m.rows full > back", 2}, {"list[0]", 1}, {"list[1].x", 3}};
  EXPECT_EQ(numbers_in(R"({"knn":{"top1":41.5,"k":200,"form":"cosine"},"none":null,
                           "m":{"train":["full"],"test":["fore","back"],"rows":[[null,2]]},"list":[1,{"x":3}]})"),
            expected);
}

TEST(ReadRun, SkipsALineOfManyBrackets) {
  Runs runs;
  const std::string deep = std::string(200000, '[') + std::string(200000, ']');
  const std::string path = runs.add("deep", seeded(1), "", join("{\"tool\":\"evaluate\",\"figures\":", deep, "}\n"));
  EXPECT_EQ(read_run(path).notices, std::vector<std::string>{path + "/results.jsonl:1: is not JSON: skipped"});
}

/// Lines of metrics.jsonl with the clock of this many seconds.
std::string clocked(double seconds) {
  return join(R"({"step":1,"epoch":1,"loss":5,"clock":{"seconds":)", seconds / 2, "}}\n",
              R"({"step":2,"epoch":1,"loss":4,"clock":{"seconds":)", seconds, ",\"images_per_s\":9}}\n");
}

/// A record with such starts.
std::string record_of(const std::string& starts) { return R"({"commit":"last","runs":[)" + starts + "]}"; }

TEST(ReadRun, NamesTheMachinesOfStartsThatMadeSteps) {
  const auto start = [](const char* host, const char* device, int from, int to, int exit = 0) {
    return join(R"({"host":")", host, R"(","device":")", device, R"(","from_step":)", from, R"(,"to_step":)", to,
                R"(,"exit":)", exit, "}");
  };
  Runs runs;
  const std::string record =
      record_of(join(start("c", "cuda", 0, 0, 143), ",", start("a", "cuda", 0, 5), ",", start("b", "cuda", 5, 9), ",",
                     start("a", "cuda", 9, 10), ",", start("login", "cpu", 10, 10)));
  const RunHistory history = read_run(runs.add("a", seeded(1), "", "", record)).history;
  EXPECT_EQ(history.hosts, "c, a, b") << "stopped before its first checkpoint, as in stage 1";
  EXPECT_EQ(history.devices, "cuda");
}

const char* const killed = R"({"start":"2026-01-31T01:00:00Z","end":null,"exit":null})";
const char* const half_an_hour = R"({"start":"2026-01-31T11:00:00Z","end":"2026-01-31T11:30:00Z","exit":0})";

TEST(RunHistory, CountsStartsThatWereKilled) {
  Runs runs;
  const std::string both = record_of(join(killed, ",", half_an_hour));
  const RunHistory resumed = read_run(runs.add("a", seeded(1), clocked(36'000), "", both)).history;
  EXPECT_EQ(resumed.seconds, 36'000);
  EXPECT_FALSE(resumed.seconds_lack);
  const std::string bare = "{\"step\":1,\"epoch\":1,\"loss\":5}\n";
  const RunHistory untold = read_run(runs.add("b", seeded(1), bare, "", both)).history;
  EXPECT_EQ(untold.seconds, 1800);
  EXPECT_TRUE(untold.seconds_lack);
  const RunHistory slow = read_run(runs.add("d", seeded(1), clocked(1700), "", both)).history;
  EXPECT_EQ(slow.seconds, 1800);
  EXPECT_TRUE(slow.seconds_lack) << "the killed start took some time too";
  const RunHistory whole = read_run(runs.add("c", seeded(1), clocked(1700), "", record_of(half_an_hour))).history;
  EXPECT_EQ(whole.seconds, 1800) << "with what came before the first step";
  EXPECT_FALSE(whole.seconds_lack);
}

TEST(RunHistory, AddsTheTwoStages) {
  Runs runs;
  const std::string path = runs.add("a", seeded(1, "dsa"), clocked(1000), "", record_of(join(killed, ",", killed)));
  std::filesystem::create_directories(path + "/stage1");
  runs.write("a/stage1/metrics.jsonl", clocked(500) + R"({"step":3,"ep)");
  EXPECT_EQ(read_run(path).history.seconds, 1500);
  EXPECT_FALSE(read_run(path).history.seconds_lack);
  runs.write("a/metrics.jsonl", "");
  EXPECT_EQ(read_run(path).history.seconds, 500) << "killed in stage 1";
  runs.write("a/metrics.jsonl", clocked(1000));
  runs.write("a/stage1/metrics.jsonl", "{\"step\":1,\"epoch\":1,\"loss\":5}\n");
  EXPECT_TRUE(read_run(path).history.seconds_lack) << "stage 1 does not tell";
}

TEST(RunHistory, HasTheCommitsOfAllStarts) {
  const auto commits = [](const std::string& starts) {
    Runs runs;
    return read_run(runs.add("a", seeded(1), "", "", record_of(starts))).history.commits;
  };
  using Commits = std::vector<std::string>;
  EXPECT_EQ(commits(R"({"commit":"first"},{"commit":"second"},{"commit":"first"},{})"),
            (Commits{"first", "second", "last"}));
  EXPECT_EQ(commits("{},{}"), Commits{"last"});
  EXPECT_EQ(commits(""), Commits{"last"});
}

TEST(ReportPage, ShowsTimeAndCommitsOfAllStarts) {
  const auto page = [](const std::string& metrics) {
    Runs runs;
    Options options = seeded(1);
    options.data = runs.path("none");
    const std::string first = R"({"start":"2026-01-31T01:00:00Z","end":null,"commit":"0123456789abcdef+changes"})";
    return report_page(read_runs({runs.add("a", options, metrics, "", record_of(join(first, ",", half_an_hour)))}), {});
  };
  const std::string told = page(clocked(36'000)), untold = page("");
  EXPECT_NE(told.find(">10 h 0 min<"), std::string::npos);
  EXPECT_NE(told.find(">0123456789ab+changes, last<"), std::string::npos);
  EXPECT_NE(untold.find(">at least 30 min 0 s<"), std::string::npos);
}

}  // namespace
}  // namespace vergence
