//! The names of metrics and labels in expressions.

use std::collections::BTreeSet;

use crate::export::EXPORT;
use crate::expressions;
use crate::series::Series;

/// The functions and keywords of PromQL that expressions use. All other words are names.
const WORDS: [&str; 9] =
    ["bool", "by", "count", "histogram_quantile", "increase", "max", "on", "rate", "sum"];

/// The names in an expression.
#[derive(Debug, Default, PartialEq)]
struct Names {
    /// The metrics, each with the labels that it is selected by.
    metrics: Vec<(String, Vec<String>)>,
    /// The labels that results are grouped by.
    grouped: Vec<String>,
}

impl Names {
    fn of(expression: &str) -> Self {
        let mut names = Self::default();
        let (mut in_braces, mut groups) = (false, false);
        let mut rest = expression;
        while let Some(first) = rest.chars().next() {
            let length = match first {
                // A string, without escaped quotes.
                '"' => 2 + rest[1..].find('"').unwrap(),
                // A range, whose unit is no name.
                '[' => 1 + rest.find(']').unwrap(),
                _ if is_of_name(first) => rest.find(|letter| !is_of_name(letter)).unwrap_or(rest.len()),
                _ => first.len_utf8(),
            };
            let (token, after) = rest.split_at(length);
            rest = after;
            match token {
                "{" => in_braces = true,
                "}" => in_braces = false,
                ")" => groups = false,
                "by" => groups = true,
                word if !first.is_ascii_digit() && is_of_name(first) && !WORDS.contains(&word) => {
                    names.add(word, in_braces, groups);
                }
                _ => {}
            }
        }
        names
    }

    fn add(&mut self, name: &str, in_braces: bool, groups: bool) {
        match self.metrics.last_mut() {
            Some((_, labels)) if in_braces => labels.push(name.to_owned()),
            _ if groups => self.grouped.push(name.to_owned()),
            _ => self.metrics.push((name.to_owned(), Vec::new())),
        }
    }
}

fn is_of_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | ':' | '.')
}

/// The labels of the series of a metric; empty if it is not exported.
fn exported(metric: &str) -> BTreeSet<&'static str> {
    let series = EXPORT.series.iter().filter(|series| series.name == metric);
    series.flat_map(|series: &Series| series.labels.keys().map(String::as_str)).collect()
}

pub(crate) fn find_metrics_and_labels() {
    let text = "histogram_quantile(0.95, sum by (queue, le) (rate(a_bucket{b=\"c\", d=~\"e|f\"}[5m]))) / count(g) > bool 3e2";
    let strings = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let metrics = vec![("a_bucket".to_owned(), strings(&["b", "d"])), ("g".to_owned(), vec![])];
    assert_eq!(Names::of(text), Names { metrics, grouped: strings(&["queue", "le"]) });
}

pub(crate) fn are_exported() {
    let mut wrong = Vec::new();
    for expression in expressions::all() {
        let names = Names::of(&expression.text);
        assert!(!names.metrics.is_empty(), "{} has no metric", expression.of);
        let mut labels_of_all = BTreeSet::new();
        for (metric, labels) in &names.metrics {
            let exported = exported(metric);
            if exported.is_empty() {
                wrong.push(format!("{}: no metric {metric} is exported", expression.of));
                continue;
            }
            let missing = labels.iter().filter(|label| !exported.contains(label.as_str()));
            wrong.extend(missing.map(|label| format!("{}: {metric} has no label {label}", expression.of)));
            labels_of_all.extend(exported);
        }
        let missing = names.grouped.iter().filter(|label| !labels_of_all.contains(label.as_str()));
        wrong.extend(missing.map(|label| format!("{}: no metric has the label {label}", expression.of)));
        let missing = expression.shown.iter().filter(|label| !names.grouped.contains(label));
        wrong.extend(missing.map(|label| format!("{}: the result has no label {label}", expression.of)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

pub(crate) fn are_on_the_dashboard() {
    let panels = expressions::panels();
    let shown: BTreeSet<_> =
        panels.iter().flat_map(|panel| Names::of(&panel.text).metrics).map(|(metric, _)| metric).collect();
    let families: BTreeSet<_> = EXPORT.series.iter().map(|series| series.family.as_str()).collect();
    assert!(families.len() > 10, "{families:?}");
    for family in families.into_iter().filter(|family| *family != "target_info") {
        let is_shown =
            EXPORT.series.iter().any(|series| series.family == family && shown.contains(&series.name));
        assert!(is_shown, "no panel shows {family}");
    }
}
