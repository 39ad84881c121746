//! What test programs write, of the standard library and of `libtest_mimic` alike.

use pgmq_test_suite::faults::{self, Report as Tally};

/// How a test program went, by what it has written so far.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// The tests that were named, and whether they passed.
    pub(super) tests: Vec<(String, bool)>,
    pub(super) ignored: usize,
    /// The numbers of those that passed and failed, in closing lines.
    closed: Option<(usize, usize)>,
    /// All that is worth reading when something failed.
    pub(super) remarks: Vec<String>,
    /// What the trials of faults have counted.
    pub(super) tallies: Vec<Tally>,
}

impl Outcome {
    /// Reads the next line.
    pub(super) fn read(&mut self, line: &str) {
        if let Some((passed, failed)) = closing_line(line) {
            let (before, failed_before) = self.closed.unwrap_or_default();
            self.closed = Some((before + passed, failed_before + failed));
        } else if let Some((name, result)) = test_line(line) {
            match result {
                Result::Passed => self.tests.push((name.to_owned(), true)),
                Result::Failed => self.tests.push((name.to_owned(), false)),
                Result::Ignored => self.ignored += 1,
            }
        } else if let Some(tally) = faults::parse(line) {
            self.tallies.push(tally);
        } else if !is_opening_line(line) && (!line.is_empty() || !self.remarks.is_empty()) {
            self.remarks.push(line.to_owned());
        }
    }

    /// How many passed. A program that crashed before it could say so has named them.
    pub(super) fn passed(&self) -> usize {
        self.closed.map_or_else(|| self.named(true), |(passed, _)| passed)
    }

    /// How many failed.
    pub(super) fn failed(&self) -> usize {
        self.closed.map_or_else(|| self.named(false), |(_, failed)| failed)
    }

    /// Whether it came to its end.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.is_some()
    }

    fn named(&self, passed: bool) -> usize {
        self.tests.iter().filter(|(_, went_well)| *went_well == passed).count()
    }
}

enum Result {
    Passed,
    Failed,
    Ignored,
}

/// Reads `test some::name ... ok`.
fn test_line(line: &str) -> Option<(&str, Result)> {
    let (name, result) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
    let result = match result.split([',', ' ']).next()? {
        "ok" => Result::Passed,
        "FAILED" => Result::Failed,
        "ignored" => Result::Ignored,
        _ => return None,
    };
    Some((name.trim().trim_end_matches(" - should panic"), result))
}

/// Reads `test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s`.
fn closing_line(line: &str) -> Option<(usize, usize)> {
    let (_, numbers) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let number = |what: &str| {
        let number = numbers.split("; ").find_map(|part| part.strip_suffix(what))?;
        number.trim().parse().ok()
    };
    Some((number(" passed")?, number(" failed")?))
}

/// Tells `running 5 tests`.
fn is_opening_line(line: &str) -> bool {
    line.starts_with("running ") && (line.ends_with(" tests") || line.ends_with(" test"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Outcome {
        let mut outcome = Outcome::default();
        text.lines().for_each(|line| outcome.read(line));
        outcome
    }

    #[test]
    fn both_harnesses_are_understood() {
        let libtest = read(
            "\nrunning 3 tests\ntest a::b ... ok\ntest c - should panic ... ok\ntest d ... ignored, slow\n\n\
             test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 4 filtered out; finished in 0.00s\n",
        );
        assert_eq!((libtest.passed(), libtest.failed(), libtest.ignored), (2, 0, 1));
        assert_eq!(libtest.tests, [("a::b".to_owned(), true), ("c".to_owned(), true)]);
        assert!(libtest.is_closed() && libtest.remarks.is_empty());

        let mimic = read(
            "\nrunning 2 tests\ntest pool::short           ... ok\ntest pool::somewhat_longer ... FAILED\n\nfailures:\n\n\
             ---- pool::somewhat_longer ----\nit is too long\n\n\
             test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s\n\n",
        );
        assert_eq!((mimic.passed(), mimic.failed()), (1, 1));
        assert_eq!(mimic.tests[1], ("pool::somewhat_longer".to_owned(), false));
        assert_eq!(mimic.remarks[0], "failures:");
    }

    #[test]
    fn a_program_that_crashed_has_named_its_tests() {
        let crashed =
            read("running 3 tests\ntest a ... ok\ntest b ... FAILED\nthread 'c' has overflowed its stack\n");
        assert_eq!((crashed.passed(), crashed.failed(), crashed.is_closed()), (1, 1, false));
        assert_eq!(crashed.remarks, ["thread 'c' has overflowed its stack"]);
    }

    #[test]
    fn several_closing_lines_are_added_up() {
        let line =
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!(read(&format!("{line}\n{line}")).passed(), 6);
    }
}
