//! The output of one back end while its story runs, and the results for the table at the end.

use anyhow::Result;

use crate::terminal::{bold, red, say, with_causes};

/// The steps of one back end so far, each with its result.
pub(super) struct Page {
    backend: &'static str,
    steps: Vec<(&'static str, bool)>,
}

impl Page {
    pub(super) fn new(backend: &'static str) -> Self {
        say(bold(&format!("pgmq-{backend}")));
        Self { backend, steps: Vec::new() }
    }

    /// Begins the next step. The previous step has succeeded.
    pub(super) fn step(&mut self, step: &'static str) {
        say(format!("  {step}"));
        self.steps.push((step, true));
    }

    /// Prints a detail of the current step.
    pub(super) fn note(&self, what: impl AsRef<str>) {
        say(format!("      {}", what.as_ref()));
    }

    /// Ends the story. An error counts as the failure of the last step.
    pub(super) fn end(&mut self, told: Result<()>) {
        if let Err(error) = told {
            let text = format!("{}: {}", red("failed"), with_causes(&error));
            self.note(text.replace('\n', "\n      "));
            match self.steps.last_mut() {
                Some((_, succeeded)) => *succeeded = false,
                None => self.steps.push(("begin", false)),
            }
        }
        say("");
    }

    pub(super) fn backend(&self) -> &'static str {
        self.backend
    }

    pub(super) fn steps(&self) -> &[(&'static str, bool)] {
        &self.steps
    }

    pub(super) fn failed(&self) -> bool {
        self.steps.iter().any(|(_, succeeded)| !succeeded)
    }
}
