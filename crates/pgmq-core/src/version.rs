//! Versions of PGMQ.

use std::fmt;
use std::str::FromStr;

/// A version of PGMQ, such as 1.13.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The first number.
    pub major: u16,
    /// The second number.
    pub minor: u16,
    /// The third number.
    pub patch: u16,
}

impl Version {
    /// The version `major.minor.patch`.
    pub const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Self { major, minor, patch }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// The error for a text that is not a version such as `1.13.0`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseVersionError(String);

impl fmt::Display for ParseVersionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a version such as 1.13.0", self.0)
    }
}

impl std::error::Error for ParseVersionError {}

impl FromStr for Version {
    type Err = ParseVersionError;

    /// Parses a version such as `1.13.0`. Missing numbers are zero, so `1.13` is the same version.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || ParseVersionError(text.to_owned());
        let mut numbers = [0; 3];
        let mut parts = text.split('.');
        for number in &mut numbers {
            let Some(part) = parts.next() else { break };
            *number = part.parse().map_err(|_| bad())?;
        }
        match parts.next() {
            None => Ok(Self::new(numbers[0], numbers[1], numbers[2])),
            Some(_) => Err(bad()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_parsed_and_ordered_by_number() {
        let parse = |text: &str| text.parse::<Version>().unwrap();
        assert_eq!(parse("1.13.0"), Version::new(1, 13, 0));
        assert_eq!(parse("1.13"), parse("1.13.0"));
        assert!(parse("1.4.4") < parse("1.13.0"));
        assert_eq!(parse("1.11.1").to_string(), "1.11.1");
    }

    #[test]
    fn texts_that_are_not_versions_are_refused() {
        for text in ["", "1.x", "1.2.3.4", "one", "-1.0.0", "99999.0.0"] {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
    }
}
