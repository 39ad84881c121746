//! The alerts and the dashboard of `docker/observability`, compared with what this crate exports.
//!
//! The export has the names that a collector's exporter for Prometheus gives. `promtool` evaluates the
//! expressions; without it, those trials are ignored, and the others run.

#![allow(clippy::unwrap_used, reason = "a failed trial panics")]

#[path = "../worker/every_event.rs"]
mod every_event;

mod export;
mod expressions;
mod files;
mod names;
mod promtool;
mod series;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let trial = |name: &str, run: fn()| {
        Trial::test(name, move || {
            run();
            Ok(())
        })
    };
    let is_there = promtool::is_there();
    if !is_there {
        eprintln!("{}", promtool::MISSING);
    }
    let with_promtool = |name: &str, run: fn()| trial(name, run).with_ignored_flag(!is_there);
    let trials = vec![
        trial("names::the_scanner_finds_metrics_and_their_labels", names::find_metrics_and_labels),
        trial("names::every_name_in_an_expression_is_exported", names::are_exported),
        trial("names::every_metric_is_on_the_dashboard", names::are_on_the_dashboard),
        trial("files::the_containers_find_each_other_and_their_files", files::fit_together),
        trial("files::the_images_are_pinned", files::pin_their_images),
        with_promtool("promtool::the_configuration_is_valid", promtool::check_config),
        with_promtool("promtool::the_tests_of_the_alerts_pass", promtool::test_rules),
        with_promtool("promtool::every_expression_has_a_result", promtool::evaluate),
        with_promtool("promtool::the_metrics_follow_the_conventions", promtool::check_metrics),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
