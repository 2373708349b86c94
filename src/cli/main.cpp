// SPDX-License-Identifier: BSD-3-Clause
#include <CLI/CLI.hpp>

#include "cli/conform.hpp"
#include "cli/demo.hpp"
#include "cli/matrix.hpp"
#include "cli/nor_demo.hpp"
#include "cli/report.hpp"
#include "cli/run.hpp"
#include "cli/xip.hpp"
#include "daxsim/base/config.hpp"

#define DAXSIM_TEXT_INNER(x) #x
#define DAXSIM_TEXT(x) DAXSIM_TEXT_INNER(x)

int main(int argc, char** argv) {
  CLI::App app{
      "daxsim: Linux DAX in user space. Real loads and stores, simulated devices that you can pull out or power-cut.",
      "daxsim"};
  app.set_version_flag("--version", "daxsim " DAXSIM_TEXT(DAXSIM_VERSION_MAJOR) "." DAXSIM_TEXT(
                                        DAXSIM_VERSION_MINOR) "." DAXSIM_TEXT(DAXSIM_VERSION_PATCH));
  app.require_subcommand(1);
  app.footer("Exit status: 0 all well, 1 something did not behave, 2 bad usage.");

  daxsim::cli::DemoOptions demo;
  CLI::App* const demo_command = app.add_subcommand(
      "demo",
      "On a 64 MiB pmem file: mkfs, mount, map a file, store through a plain pointer, fsync, cut the power, reboot, "
      "and pull the device under a running writer. Counts come from the simulated machine.");
  demo_command->add_option("--media", demo.media, "media file to create and keep (default: a temporary one)");
  demo_command->add_option("--seed", demo.seed, "seed of the power cut: which lines survive")->capture_default_str();
  demo_command->add_flag("--json", demo.json, "print the same as one JSON document");
  demo_command->add_flag("--trace", demo.trace, "also print the first fault's events as the kernel would");

  daxsim::cli::NorDemoOptions nor_demo;
  CLI::App* const nor_demo_command = demo_command->add_subcommand(
      "nor",
      "Code that runs from a NOR flash is fetched while the flash is erased or programmed: what the load gets, what it "
      "waits, and how much later the writer is done, for each way that daxsim has.");
  nor_demo_command->add_flag("--json", nor_demo.json, "print the same as one JSON document");

  daxsim::cli::MatrixOptions matrix;
  CLI::App* const matrix_command = app.add_subcommand(
      "matrix",
      "Every index design of the thread, and every question: what is lost, refused or kept, what it costs, and whether "
      "that is what was expected before it first ran.");
  matrix_command->add_option("--design", matrix.design, "only this design (\"pfn\")");
  matrix_command->add_option("--question", matrix.question, "only this question (\"page-fsync\")");
  matrix_command->add_flag("--time", matrix.time, "also nanoseconds of fsync per dirty page, on this host");
  matrix_command->add_flag("--json", matrix.json, "print the same as one JSON document");
  matrix_command->add_flag("-v,--verbose", matrix.verbose, "also each cell's story, step by step, with its events");

  daxsim::cli::ReportOptions report;
  CLI::App* const report_command = app.add_subcommand(
      "report",
      "Make one page (HTML, no other files, nothing from the net) of what `daxsim matrix` finds: the table, what each "
      "question asks, and for every bad cell the steps and events that led there, device by device. With --bench also "
      "plots of what each design costs, against dirty pages and against fragmentation.");
  report_command->add_option("-o,--out", report.out, "the page; one that is there is replaced")->capture_default_str();
  report_command->add_option("--matrix", report.matrix,
                             "the output of `daxsim matrix --json -v`, instead of asking now (a few seconds)");
  report_command->add_option("--bench", report.bench,
                             "what `bench_designs --benchmark_out=FILE --benchmark_out_format=json` wrote");
  report_command->add_option("--plots", report.plots,
                             "also write the plots of --bench into this folder: ADAPTER.svg, one for each");
  report_command->footer("Example: daxsim report -o designs.html && xdg-open designs.html");

  daxsim::cli::MkxipOptions mkxip;
  CLI::App* const mkxip_command = app.add_subcommand(
      "mkxip",
      "Make an image of XipFs, to be executed in place, of the files below a folder: the pages of the profile as they "
      "are, "
      "the others compressed. Without a profile all are compressed, which is the image to record one with.");
  mkxip_command->add_option("DIR", mkxip.folder, "the folder")->required();
  mkxip_command->add_option("IMAGE", mkxip.image, "the image; must not exist")->required();
  mkxip_command->add_option("--profile", mkxip.profile,
                            "which pages programs touch: lines \"PAGE FAULTS NAME\", as XipProfile::text() has them");
  mkxip_command->add_flag("--json", mkxip.json, "print the same as one JSON document");

  daxsim::cli::XipReportOptions xip_report;
  CLI::App* const xip_report_command = app.add_subcommand(
      "xip-report",
      "What an image of XipFs takes of the flash and of RAM, against all compressed and all direct, and how long those "
      "who execute in place wait while the flash it is in (a P30) is updated, for each way that daxsim has.");
  xip_report_command->add_option("IMAGE", xip_report.image, "the image")->required();
  xip_report_command->add_option("--update", xip_report.update_bytes, "bytes of flash that are erased and programmed")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1} << 28))
      ->capture_default_str();
  xip_report_command
      ->add_option("--fetch-every", xip_report.fetch_every_us, "microseconds between two fetches of direct pages")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1'000'000}))
      ->capture_default_str();
  xip_report_command->add_flag("--json", xip_report.json, "print the same as one JSON document");

  daxsim::cli::RunOptions run;
  CLI::App* const run_command =
      app.add_subcommand("run",
                         "Run scenario files: commands in the words of xfs_io, with what must come back. Each is run "
                         "on every machine that "
                         "it declares (eras, designs, adapters, MMUs), or on the one named here.");
  run_command->add_option("FILE", run.files, "scenario files (*.scn)")->required();
  run_command->add_option("--era", run.era, "as this release of Linux (\"6.12\")");
  run_command->add_option("--design", run.design, "with this index design (\"pfn\")");
  run_command->add_option("--adapter", run.adapter, "on this file system (\"ext4\")");
  run_command->add_option("--mmu", run.mmu, "soft: simulated processes; live, segv: real loads and stores");
  run_command->add_option("-p,--parameter", run.parameters, "NAME=VALUE, of a parameter that the files have")
      ->expected(1)
      ->take_all();
  run_command->add_option("--trace", run.trace,
                          "write what happened to this file: *.json for https://ui.perfetto.dev, else text");
  run_command->add_flag("--json", run.json, "print one JSON document");
  run_command->add_flag("-v,--verbose", run.verbose, "also every step and its result");
  run_command->footer(
      "Exit status: 0 all passed, 1 one failed, 2 bad usage or no scenario, 77 this machine can do none of them.\n"
      "The language: docs/scenario-language.md; its names: `daxsim list verbs` and the like.");

  daxsim::cli::ConformOptions conform;
  CLI::App* const conform_command = app.add_subcommand(
      "conform",
      "Play the workloads that were recorded on real kernels (tests/conformance), and hold what comes out against the "
      "recordings, step by step: results, signals and DAX events. What differs on purpose is known: docs/fidelity.md.");
  conform_command->add_option("--workload", conform.workload, "only this workload (\"a\")");
  conform_command->add_option("--kernel", conform.kernel, "only this kernel (\"6.12\")");
  conform_command->add_option("--fs", conform.file_system, "only this file system (\"xfs\")");
  conform_command->add_option("--recordings", conform.recordings,
                              "recordings of your own: a folder of linux-KERNEL.tsv, as tests/oracle makes them");
  conform_command->add_flag("--json", conform.json, "print the same as one JSON document");
  conform_command->add_flag("-v,--verbose", conform.verbose, "also both sides of the known differences");
  conform_command->footer("Exit status: 0 every difference is known, 1 one is not, 2 bad usage.");

  daxsim::cli::ListOptions list;
  CLI::App* const list_command = app.add_subcommand("list", "What scenarios and options can name.");
  list_command->add_option("WHAT", list.what, "eras, designs, adapters, devices, mmus, verbs, findings, events")
      ->required()
      ->check(CLI::IsMember(daxsim::cli::listed_kinds()));
  list_command->add_flag("--json", list.json, "print one JSON document");

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (run_command->parsed()) {
    return daxsim::cli::run(run);
  }
  if (conform_command->parsed()) {
    return daxsim::cli::conform(conform);
  }
  if (list_command->parsed()) {
    return daxsim::cli::list(list);
  }
  if (nor_demo_command->parsed()) {
    return daxsim::cli::nor_demo(nor_demo);
  }
  if (report_command->parsed()) {
    return daxsim::cli::report(report);
  }
  if (mkxip_command->parsed()) {
    return daxsim::cli::mkxip(mkxip);
  }
  if (xip_report_command->parsed()) {
    return daxsim::cli::xip_report(xip_report);
  }
  return matrix_command->parsed() ? daxsim::cli::matrix(matrix) : daxsim::cli::demo(demo);
}
