//! JSON texts as `jsonb` returns them.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use pgmq_core::RawJson;
use serde::Deserialize;

/// A key of an object. `jsonb` puts short keys before long ones.
#[derive(Deserialize, PartialEq, Eq)]
struct Key(String);

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.0.len(), &self.0).cmp(&(other.0.len(), &other.0))
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The text as `jsonb` returns it: with sorted keys, of which the last one of a name counts, and with a space
/// after each colon and comma. Numbers keep their digits.
pub(super) fn jsonb(text: &[u8]) -> Box<[u8]> {
    match std::str::from_utf8(text) {
        Ok(text) => formatted(text).into_bytes().into(),
        Err(_) => text.into(),
    }
}

fn formatted(text: &str) -> String {
    if let Ok(object) = serde_json::from_str::<BTreeMap<Key, RawJson>>(text) {
        let field = |(Key(key), value): (&Key, &RawJson)| {
            let key = serde_json::Value::from(key.as_str());
            format!("{key}: {}", formatted(value.get()))
        };
        return format!("{{{}}}", object.iter().map(field).collect::<Vec<_>>().join(", "));
    }
    if let Ok(array) = serde_json::from_str::<Vec<RawJson>>(text) {
        let elements: Vec<_> = array.iter().map(|element| formatted(element.get())).collect();
        return format!("[{}]", elements.join(", "));
    }
    match serde_json::from_str::<String>(text) {
        Ok(string) => serde_json::Value::from(string).to_string(),
        Err(_) => text.trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_of_jsonb() {
        let text = r#"{"bb":1,"a":[1.10,{"y":null , "x":"\u00e9\n"}],"bb":-2e0,"c":{}, "d":[]}"#;
        let formatted = String::from_utf8(jsonb(text.as_bytes()).into_vec()).unwrap();
        assert_eq!(formatted, r#"{"a": [1.10, {"x": "é\n", "y": null}], "c": {}, "d": [], "bb": -2e0}"#);
    }
}
