//! The checks of promtool.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::export::EXPORT;
use crate::expressions;
use crate::files::folder;

const PROMTOOL: &str = "promtool";

pub(crate) const MISSING: &str = "promtool is missing, so its checks are ignored; it is part of Prometheus \
                                  (Debian, Ubuntu: the package prometheus; macOS: brew install prometheus)";

pub(crate) fn is_there() -> bool {
    let mut command = Command::new(PROMTOOL);
    command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Runs promtool in the folder of the files, with this input.
fn run(arguments: &[&OsStr], input: &str) {
    let mut command = Command::new(PROMTOOL);
    command.args(arguments).current_dir(folder());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(output.status.success(), "promtool {arguments:?} ends with {}:\n{text}", output.status);
}

/// Checks the configuration of Prometheus, and the rules that it names.
pub(crate) fn check_config() {
    run(&["check", "config", "prometheus.yaml"].map(OsStr::new), "");
}

pub(crate) fn test_rules() {
    run(&["test", "rules", "pgmq.rules.test.yaml"].map(OsStr::new), "");
}

/// Evaluates the expressions on the series that are exported, each of which grows by one a minute. A name
/// that is wrong finds no series.
pub(crate) fn evaluate() {
    let series: Vec<_> = EXPORT
        .series
        .iter()
        .map(|series| json!({"series": series.to_string(), "values": "0+1x30"}))
        .collect();
    let tests: Vec<_> = expressions::all()
        .iter()
        .map(|expression| {
            let has_result = format!("count({}) > bool 0", expression.text);
            let sample = json!([{"labels": "{}", "value": 1}]);
            json!({"expr": has_result, "eval_time": "20m", "exp_samples": sample})
        })
        .collect();
    let test = json!({"interval": "1m", "input_series": series, "promql_expr_test": tests});
    // JSON is YAML.
    let rules = json!({"evaluation_interval": "1m", "tests": [test]});
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("expressions.yaml");
    fs::write(&file, rules.to_string()).unwrap();
    run(&[OsStr::new("test"), OsStr::new("rules"), file.as_os_str()], "");
}

/// Checks the names, the types and the help of the metrics by Prometheus' conventions.
pub(crate) fn check_metrics() {
    run(&["check", "metrics"].map(OsStr::new), &EXPORT.text);
}
