//! The classification of a failed query by its effect on the server.

/// The effect of a failed query that ran outside a transaction, as far as the failure proves it.
///
/// The server works message by message: parse, bind, describe, execute, sync. It reports the command as
/// complete when it has executed it, and commits at *sync*, after that. A report of its end (a FATAL error)
/// without "complete" before it therefore proves that nothing was committed. A connection that just breaks
/// proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureClass {
    /// The server has no such function. An older variant of the call may work.
    UnknownFunction,
    /// The server ended the session and committed nothing. Another connection may work.
    NotCommitted,
    /// The prepared statement is stale: the columns that it returns have changed since, or the server has
    /// forgotten it. The server committed nothing, and the statement may work when it is prepared again.
    StalePlan,
    /// The query may have been committed, or would fail again.
    Other,
}

impl FailureClass {
    /// Classifies the server's report of an error. `is_complete` is `true` if the server had reported the
    /// command as complete before.
    pub fn of_report(sqlstate: &str, message: &str, is_complete: bool) -> Self {
        match sqlstate {
            _ if is_complete => Self::Other,
            // A function that the user's own trigger calls is not named `pgmq.`.
            "42883" if message.contains("pgmq.") => Self::UnknownFunction,
            "57P01" | "57P02" | "57P05" => Self::NotCommitted,
            "0A000" if message.contains("cached plan") => Self::StalePlan,
            // The server looks a named statement up before it executes anything.
            "26000" => Self::StalePlan,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_proof_counts_as_not_committed() {
        for code in ["57P01", "57P02", "57P05"] {
            assert_eq!(FailureClass::of_report(code, "", false), FailureClass::NotCommitted);
            assert_eq!(FailureClass::of_report(code, "", true), FailureClass::Other);
        }
        assert_eq!(FailureClass::of_report("08006", "", false), FailureClass::Other);
    }

    #[test]
    fn only_a_missing_function_of_pgmq_is_an_unknown_function() {
        let of = |message| FailureClass::of_report("42883", message, false);
        assert_eq!(of("function pgmq.send(text)"), FailureClass::UnknownFunction);
        assert_eq!(of("function users_own()"), FailureClass::Other);
    }

    #[test]
    fn a_changed_or_forgotten_statement_is_stale() {
        let stale = "cached plan must not change result type";
        assert_eq!(FailureClass::of_report("0A000", stale, false), FailureClass::StalePlan);
        assert_eq!(FailureClass::of_report("0A000", "cannot do this", false), FailureClass::Other);
        assert_eq!(FailureClass::of_report("26000", "", false), FailureClass::StalePlan);
    }
}
