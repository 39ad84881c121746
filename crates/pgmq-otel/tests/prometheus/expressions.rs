//! The expressions of the alerts and of the dashboard.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::files::{dashboard, yaml};

/// An expression of PromQL.
pub(crate) struct Expression {
    /// The alert or the panel that it belongs to.
    pub(crate) of: String,
    pub(crate) text: String,
    /// The names of labels that the text of a panel's legend shows.
    pub(crate) shown: BTreeSet<String>,
}

/// All expressions, with values for the dashboard's variables.
pub(crate) fn all() -> Vec<Expression> {
    let mut all = alerts();
    all.extend(panels());
    all.extend(variables());
    assert!(all.len() > 20, "there are too few expressions: {}", all.len());
    all
}

/// The alerts, whose last comparison becomes a value, so that each has a result.
fn alerts() -> Vec<Expression> {
    let rules = yaml("pgmq.rules.yaml");
    let groups = rules["groups"].as_array().unwrap().iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().unwrap());
    let alert = |rule: &Value| {
        let of = rule["alert"].as_str().unwrap().to_owned();
        let text = rule["expr"].as_str().unwrap().trim();
        let (left, limit) = text.rsplit_once(" > ").unwrap_or_else(|| panic!("{of} has no limit"));
        assert!(limit.parse::<f64>().is_ok(), "{of} ends with {limit}");
        let shown = labels_between(rule["annotations"]["summary"].as_str().unwrap(), "{{ $labels.", " }}");
        Expression { of, text: format!("{left} > bool {limit}"), shown }
    };
    rules.map(alert).collect()
}

/// The panels of the dashboard.
pub(crate) fn panels() -> Vec<Expression> {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let of_panel = |panel: &Value| {
        let of = panel["title"].as_str().unwrap().to_owned();
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        let expression = move |target: Value| {
            let shown = labels_between(target["legendFormat"].as_str().unwrap(), "{{", "}}");
            Expression { of: of.clone(), text: with_values(target["expr"].as_str().unwrap()), shown }
        };
        targets.into_iter().map(expression)
    };
    panels.iter().flat_map(of_panel).collect()
}

/// The variables of the dashboard that ask for the values of a label.
fn variables() -> Vec<Expression> {
    let dashboard = dashboard();
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let expression = |variable: &Value| {
        let query = variable["query"]["query"].as_str()?;
        let inner = query.strip_prefix("label_values(")?.strip_suffix(')')?;
        let (selector, label) = inner.rsplit_once(", ")?;
        let text = format!("count by ({label}) ({})", with_values(selector));
        let of = format!("the variable {}", variable["name"]);
        Some(Expression { of, text, shown: BTreeSet::from([label.to_owned()]) })
    };
    variables.iter().filter_map(expression).collect()
}

/// Replaces the variables of Grafana by values. A label has to be there to match.
fn with_values(text: &str) -> String {
    let text = [("$__rate_interval", "5m"), ("$job", ".+"), ("$queue", ".+")]
        .into_iter()
        .fold(text.to_owned(), |text, (variable, value)| text.replace(variable, value));
    assert!(!text.contains('$'), "{text} has a variable that has no value here");
    text
}

/// The names between two marks.
fn labels_between(text: &str, begin: &str, end: &str) -> BTreeSet<String> {
    let parts = text.split(begin).skip(1);
    parts.map(|part| part.split_once(end).unwrap().0.to_owned()).collect()
}
