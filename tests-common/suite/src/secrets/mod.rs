//! A search for secrets in what a client shows: a back end takes generated connection strings that contain a
//! marked secret, and none of its errors, debug outputs and log records may contain a part of it.

mod generator;
mod records;

use std::{env, error::Error, fmt, fmt::Write};

use self::generator::Generator;

/// The number of generated strings, unless the variable `PGMQ_TEST_STRINGS` sets another.
const STRINGS: u64 = 3_000;

/// The length of the parts of a secret that are searched for.
const PART: usize = 4;

/// The texts that a client has shown.
#[derive(Debug, Default)]
pub struct Shown(String);

impl Shown {
    /// Adds an error, with its texts, its debug outputs and its causes.
    pub fn error(&mut self, error: &(dyn Error + 'static)) {
        let mut next = Some(error);
        while let Some(error) = next {
            self.text(format_args!("{error} {error:#} {error:?} {error:#?}"));
            next = error.source();
        }
    }

    /// Adds a debug output.
    pub fn debug(&mut self, value: &dyn fmt::Debug) {
        self.text(format_args!("{value:?} {value:#?}"));
    }

    fn text(&mut self, text: fmt::Arguments<'_>) {
        writeln!(self.0, "{text}").expect("writing to a string does not fail");
    }
}

/// Calls `attempt` with generated connection strings, and asserts that nothing that it adds to [`Shown`], and
/// no log record meanwhile, contains a part of the secret in the string. Returns the number of strings that
/// `attempt` accepted.
///
/// # Panics
///
/// If a part of a secret is shown. The message contains the string, and the seed with which it is generated
/// again: `PGMQ_TEST_STRINGS_SEED`.
pub fn search(mut attempt: impl FnMut(&str, &mut Shown) -> bool) -> u64 {
    let number = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seed = number("PGMQ_TEST_STRINGS_SEED");
    let count = if seed.is_some() { 1 } else { number("PGMQ_TEST_STRINGS").unwrap_or(STRINGS) };
    let first = seed.unwrap_or(1);
    records::start();
    let mut accepted = 0;
    for seed in first..first + count {
        let case = Generator::new(seed).case();
        let mut shown = Shown::default();
        records::take();
        accepted += u64::from(attempt(&case.text, &mut shown));
        shown.0.push_str(&records::take());
        if let Some(part) = part_of(&case.secret, &shown.0) {
            panic!(
                "{part:?}, a part of the secret {:?} in the connection string {:?}, is shown \
                 (PGMQ_TEST_STRINGS_SEED={seed}): {}",
                case.secret, case.text, shown.0
            );
        }
    }
    accepted
}

/// A part of a secret that a text contains, in upper or lower case.
fn part_of<'s>(secret: &'s str, text: &str) -> Option<&'s str> {
    let text = text.to_ascii_lowercase();
    let parts = (0..=secret.len() - PART).map(|at| &secret[at..at + PART]);
    parts.into_iter().find(|part| text.contains(&part.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_secret_is_found_in_errors_debug_outputs_and_records() {
        type Attempt = fn(&str, &mut Shown);
        let leaks: [Attempt; 3] = [
            |text, shown| shown.error(&std::io::Error::other(text.to_owned())),
            |text, shown| shown.debug(&text),
            |text, _| log::warn!(target: "test", "{text}"),
        ];
        for leak in leaks {
            let found = std::panic::catch_unwind(|| {
                search(|text, shown| {
                    leak(text, shown);
                    true
                })
            });
            assert!(found.is_err());
        }
        assert_eq!(search(|_, _| false), 0);
    }

    #[test]
    fn most_strings_differ_and_contain_most_of_their_secret() {
        let cases: Vec<_> = (1..1_000).map(|seed| Generator::new(seed).case()).collect();
        let distinct: std::collections::HashSet<_> = cases.iter().map(|case| &case.text).collect();
        assert!(distinct.len() > 950, "{}", distinct.len());
        let containing = cases.iter().filter(|case| part_of(&case.secret, &case.text).is_some()).count();
        assert!(containing > 800, "{containing}");
    }
}
