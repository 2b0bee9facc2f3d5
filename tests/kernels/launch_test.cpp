// What a launcher's environment says about this process.
#include "kernels/communicators/launch.h"

#include <gtest/gtest.h>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "tests/support/complaints.h"

namespace vergence::test {
namespace {

using By = Launch::By;
using Variables = std::map<std::string, std::string>;

Launch launch_of(const Variables& variables) {
  return launch_of_environment([&](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

auto all_of(const Launch& launch) {
  return std::tuple(launch.by, launch.rank, launch.ranks, launch.local_rank, launch.address, launch.port);
}

Variables with(Variables all, const Variables& more) {
  for (const auto& [name, value] : more) all[name] = value;
  return all;
}
Variables without(Variables all, const std::string& name) {
  all.erase(name);
  return all;
}

const Variables mpirun = {
    {"OMPI_COMM_WORLD_RANK", "5"}, {"OMPI_COMM_WORLD_SIZE", "8"}, {"OMPI_COMM_WORLD_LOCAL_RANK", "1"}};
const Variables hydra = {{"PMI_RANK", "2"}, {"PMI_SIZE", "4"}, {"MPI_LOCALRANKID", "0"}};
const Variables torchrun = {{"RANK", "3"},
                            {"WORLD_SIZE", "4"},
                            {"LOCAL_RANK", "1"},
                            {"MASTER_ADDR", "10.1.2.3"},
                            {"MASTER_PORT", "41000"},
                            {"TORCHELASTIC_USE_AGENT_STORE", "False"}};
const Variables srun = {{"SLURM_STEP_ID", "0"},
                        {"SLURM_PROCID", "6"},
                        {"SLURM_NTASKS", "8"},
                        {"SLURM_STEP_NUM_TASKS", "8"},
                        {"SLURM_LOCALID", "2"},
                        {"SLURM_NNODES", "2"},
                        {"SLURM_JOB_NODELIST", "gpu[03-05,9]"}};

TEST(Launch, ReadsEachLauncher) {
  const struct {
    Variables variables;
    Launch expected;
  } cases[] = {
      {{}, {}},
      {{{"MASTER_PORT", "29500"}, {"MASTER_ADDR", "here"}, {"LOCAL_RANK", "1"}}, {}},
      {{{"RANK", "1"}}, {}},
      {{{"WORLD_SIZE", "4"}}, {}},
      {mpirun, {.by = By::mpi, .rank = 5, .ranks = 8, .local_rank = 1}},
      {hydra, {.by = By::mpi, .rank = 2, .ranks = 4}},
      {with(with(mpirun, torchrun), srun), {.by = By::mpi, .rank = 5, .ranks = 8, .local_rank = 1}},
      {torchrun, {.by = By::torchrun, .rank = 3, .ranks = 4, .local_rank = 1, .address = "10.1.2.3", .port = 41000}},
      {with(with(torchrun, srun), {{"TORCHELASTIC_USE_AGENT_STORE", "True"}}),
       {.by = By::torchrun, .rank = 3, .ranks = 4, .local_rank = 1, .address = "10.1.2.3", .port = 41001}},
      {with(torchrun, {{"WORLD_SIZE", "1"}, {"RANK", "0"}}), {}},
      {srun, {.by = By::slurm, .rank = 6, .ranks = 8, .local_rank = 2, .address = "gpu03", .port = 29500}},
      {with(srun, {{"MASTER_ADDR", "fe80::1"}, {"MASTER_PORT", "7"}}),
       {.by = By::slurm, .rank = 6, .ranks = 8, .local_rank = 2, .address = "fe80::1", .port = 7}},
      {with(without(srun, "SLURM_JOB_NODELIST"), {{"SLURM_NNODES", "1"}}),
       {.by = By::slurm, .rank = 6, .ranks = 8, .local_rank = 2, .address = "127.0.0.1", .port = 29500}},
      {with(srun, {{"SLURM_STEP_NUM_TASKS", "1"}}), {}},
      {with(without(srun, "SLURM_STEP_ID"), {{"SLURM_JOB_ID", "17"}}), {}},  // an sbatch script of a job for eight
  };
  for (const auto& [variables, expected] : cases) {
    std::string shown;
    for (const auto& [name, value] : variables) shown += join(name, "=", value, " ");
    EXPECT_EQ(all_of(launch_of(variables)), all_of(expected)) << shown;
  }
}

TEST(Launch, FindsTheFirstHost) {
  const Variables unnamed = without(srun, "SLURM_JOB_NODELIST");
  for (const auto& [list, host] :
       std::vector<std::pair<std::string, std::string>>{{"alone", "alone"},
                                                        {"a,b", "a"},
                                                        {"n[7]", "n7"},
                                                        {"n[010,2-3],m1", "n010"},
                                                        {"rack[2-3]n[01-16]-ib,x", "rack2n01-ib"}})
    EXPECT_EQ(launch_of(with(unnamed, {{"SLURM_STEP_NODELIST", list}})).address, host) << list;
  EXPECT_EQ(launch_of(with(srun, {{"SLURM_STEP_NODELIST", "b[2-3]"}})).address, "b2");
}

TEST(Launch, NamesWhatIsWrong) {
  const struct {
    Variables variables;
    std::string complaint;
  } cases[] = {
      {without(torchrun, "LOCAL_RANK"),
       "LOCAL_RANK: not set; expected the rank of this process among those of its host"},
      {without(torchrun, "MASTER_ADDR"), "MASTER_ADDR: not set; expected the host of rank 0"},
      {without(torchrun, "MASTER_PORT"), "MASTER_PORT: not set; expected a port of rank 0's host"},
      {with(torchrun, {{"MASTER_PORT", "70000"}}), "MASTER_PORT=70000: expected a port of rank 0's host, 1 to 65535"},
      {with(torchrun, {{"MASTER_PORT", "65535"}, {"TORCHELASTIC_USE_AGENT_STORE", "True"}}),
       "MASTER_PORT=65535: expected less: the ranks use the next port"},
      {with(torchrun, {{"RANK", "4"}}), "RANK=4: expected the rank of this process, 0 to 3"},
      {with(torchrun, {{"RANK", "-1"}}), "RANK=-1: expected the rank of this process, 0 to 3"},
      {with(torchrun, {{"WORLD_SIZE", "four"}}), "WORLD_SIZE=four: expected the number of processes, 1 to 65536"},
      {with(torchrun, {{"WORLD_SIZE", "4 "}}), "WORLD_SIZE=4 : expected the number of processes, 1 to 65536"},
      {with(mpirun, {{"OMPI_COMM_WORLD_RANK", "8"}}),
       "OMPI_COMM_WORLD_RANK=8: expected the rank of this process, 0 to 7"},
      {without(srun, "SLURM_PROCID"), "SLURM_PROCID: not set; expected the rank of this process"},
      {with(srun, {{"SLURM_JOB_NODELIST", "gpu[03-05"}}),
       "SLURM_JOB_NODELIST=gpu[03-05: expected hosts like node[03-05,9]"},
      {with(srun, {{"SLURM_JOB_NODELIST", ",a"}}), "SLURM_JOB_NODELIST=,a: expected hosts like node[03-05,9]"},
      {without(srun, "SLURM_JOB_NODELIST"), "SLURM_JOB_NODELIST: not set; expected the hosts, since SLURM_NNODES=2"},
  };
  for (const auto& [variables, complaint] : cases)
    EXPECT_EQ(message_of([&, &variables = variables] { launch_of(variables); }), complaint);
}

}  // namespace
}  // namespace vergence::test
