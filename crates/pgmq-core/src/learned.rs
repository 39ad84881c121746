//! What a pool knows of its server's version.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::Version;

/// What has been learned about the server's version of PGMQ: from looking at it, or from what worked and what did not.
///
/// A pool keeps one, and shares it with all that is bound to its connections. It decides between two forms of a call
/// that mean the same, so a race costs at most one call more.
#[derive(Debug, Default)]
pub struct Learned {
    /// The server has this version or a newer one. Zero: not known.
    at_least: AtomicU64,
    /// The server has an older version than this. Zero: not known.
    below: AtomicU64,
}

impl Learned {
    /// Notes that the server has `version`, or a newer one.
    pub fn has(&self, version: Version) {
        self.at_least.fetch_max(number(version), Ordering::Relaxed);
    }

    /// Notes that the server is older than `version`; it may have been newer before.
    pub fn lacks(&self, version: Version) {
        let below = number(version);
        self.at_least.fetch_min(below - 1, Ordering::Relaxed);
        let lower = |known| Some(if known == 0 { below } else { below.min(known) });
        // The closure always gives a value, so this cannot fail.
        let _ = self.below.fetch_update(Ordering::Relaxed, Ordering::Relaxed, lower);
    }

    /// Whether the server has `version`, if that is known.
    pub fn knows(&self, version: Version) -> Option<bool> {
        let (asked, below) = (number(version), self.below.load(Ordering::Relaxed));
        if self.at_least.load(Ordering::Relaxed) >= asked {
            Some(true)
        } else if below != 0 && asked >= below {
            Some(false)
        } else {
            None
        }
    }
}

fn number(version: Version) -> u64 {
    let Version { major, minor, patch } = version;
    (u64::from(major) << 32) | (u64::from(minor) << 16) | u64::from(patch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_worked_tells_of_older_versions_and_what_failed_of_newer_ones() {
        let learned = Learned::default();
        let [old, new] = [Version::new(1, 5, 0), Version::new(1, 13, 0)];
        assert_eq!(learned.knows(old), None);
        learned.has(old);
        assert_eq!((learned.knows(old), learned.knows(new)), (Some(true), None));
        learned.lacks(Version::new(1, 12, 0));
        assert_eq!((learned.knows(Version::new(1, 4, 4)), learned.knows(new)), (Some(true), Some(false)));
        learned.has(new);
        learned.lacks(old);
        assert_eq!(
            (learned.knows(old), learned.knows(new)),
            (Some(false), Some(false)),
            "an older one was put in its place"
        );
    }
}
