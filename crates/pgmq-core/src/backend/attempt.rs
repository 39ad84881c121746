//! What may have become of a query that failed.

/// Whether a query that failed outside of a transaction may have had an effect.
///
/// The server works message by message: parse, bind, describe, execute, sync. It says that the command is complete when it
/// has executed it, and commits at *sync*, after that. So where the server's own report of its end (a FATAL error) comes
/// without "complete" before it, nothing was committed: that is proof, where a connection that just breaks leaves a doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// The server has no such function: an older form of the call may do.
    UnknownFunction,
    /// The server ended the session and committed nothing: another connection may do.
    NotCommitted,
    /// The statement was prepared on this connection before what it returns was changed, or the server has forgotten it since.
    /// It committed nothing: prepared anew, it may do.
    StalePlan,
    /// The query may have been committed, or would fail again.
    Failed,
}

impl Attempt {
    /// What the server's report of an error says; `is_complete` is whether the server had said before that the command is
    /// complete.
    pub fn of_report(sqlstate: &str, message: &str, is_complete: bool) -> Self {
        match sqlstate {
            _ if is_complete => Self::Failed,
            // A function that a trigger misses is none of PGMQ's.
            "42883" if message.contains("pgmq.") => Self::UnknownFunction,
            "57P01" | "57P02" | "57P05" => Self::NotCommitted,
            "0A000" if message.contains("cached plan") => Self::StalePlan,
            // Named statements are executed only once the server has found them.
            "26000" => Self::StalePlan,
            _ => Self::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_proven_is_said_not_to_be_committed() {
        for code in ["57P01", "57P02", "57P05"] {
            assert_eq!(Attempt::of_report(code, "", false), Attempt::NotCommitted);
            assert_eq!(Attempt::of_report(code, "", true), Attempt::Failed);
        }
        assert_eq!(Attempt::of_report("42883", "function pgmq.send(text)", false), Attempt::UnknownFunction);
        assert_eq!(Attempt::of_report("42883", "function users_own()", false), Attempt::Failed);
        assert_eq!(Attempt::of_report("08006", "", false), Attempt::Failed);
        let stale = "cached plan must not change result type";
        assert_eq!(Attempt::of_report("0A000", stale, false), Attempt::StalePlan);
        assert_eq!(Attempt::of_report("0A000", "cannot do this", false), Attempt::Failed);
        assert_eq!(Attempt::of_report("26000", "", false), Attempt::StalePlan);
    }
}
