//! Something that is measured, and its unit.

use anyhow::Result;

use crate::worker::setting::Setting;

/// Something that is measured.
#[derive(Clone, Copy)]
pub(super) struct Contestant {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) unit: Unit,
    pub(super) measure: fn(&mut Setting) -> Result<f64>,
}

/// The unit of a value.
#[derive(Clone, Copy)]
pub(super) enum Unit {
    PerSecond,
    Milliseconds,
    Statements,
}

/// A contestant that handles messages at a rate.
pub(super) const fn rate(
    name: &'static str,
    about: &'static str,
    measure: fn(&mut Setting) -> Result<f64>,
) -> Contestant {
    Contestant { name, about, unit: Unit::PerSecond, measure }
}

/// A contestant that takes a time for each message.
pub(super) const fn time(
    name: &'static str,
    about: &'static str,
    measure: fn(&mut Setting) -> Result<f64>,
) -> Contestant {
    Contestant { name, about, unit: Unit::Milliseconds, measure }
}
