//! The classification of the errors that a server reports.

use crate::backend::failure_class::FailureClass;
use crate::call::Call;
use crate::error_kind::ErrorKind;

/// The server's report of an error, as far as a driver passes it on.
#[derive(Debug, Clone, Copy, Default)]
pub struct ServerReport<'r> {
    /// The five-character SQLSTATE.
    pub sqlstate: &'r str,
    /// The message, which a server may translate. Only names in it count, and messages that are never
    /// translated.
    pub message: &'r str,
    /// The function in the server's source code that reported the error, if the driver passes it on.
    pub routine: Option<&'r str>,
    /// `true` if the error happened inside a function, such as one that a trigger calls.
    pub has_context: bool,
    /// `true` if the driver passes on that the severity is FATAL or PANIC: the server ends the session.
    pub ends_session: bool,
}

impl<'r> ServerReport<'r> {
    /// A report of which the driver passes on the SQLSTATE and the message.
    pub fn new(sqlstate: &'r str, message: &'r str) -> Self {
        Self { sqlstate, message, ..Self::default() }
    }

    /// The kind of the error in a call; `None` for an error outside an operation, such as one of connecting.
    pub fn kind(&self, call: Option<Call>) -> ErrorKind {
        let message = self.message;
        match self.sqlstate {
            _ if self.is_stale_plan() => ErrorKind::Conflict,
            "42P01" if message.contains("pgmq.q_") || message.contains("pgmq.a_") => ErrorKind::QueueNotFound,
            "42P01" if message.contains("pgmq.meta") => ErrorKind::NotInstalled,
            "42P01" if message.contains("pgmq.") => ErrorKind::Unsupported,
            "3F000" => ErrorKind::NotInstalled,
            "42883" if self.names_function_of(call) => ErrorKind::Unsupported,
            // PGMQ formats the schema of `pg_partman` into SQL, and without `pg_partman` that schema is NULL.
            "22004" if call.is_none_or(|call| call.needs_partman) => ErrorKind::Unsupported,
            "42501" | "28000" | "28P01" => ErrorKind::PermissionDenied,
            "40001" | "40P01" => ErrorKind::Conflict,
            "25006" => ErrorKind::ReadOnly,
            "3D000" => ErrorKind::DatabaseNotFound,
            "55P03" | "57014" | "25P03" | "25P04" => ErrorKind::Timeout,
            "08P01" if self.is_wait_of_pgbouncer() => ErrorKind::Timeout,
            "53300" | "57P01" | "57P02" | "57P03" | "57P04" | "57P05" => ErrorKind::Connection,
            "22P02" | "22P05" | "22032" | "22003" | "22008" | "22021" => ErrorKind::InvalidArgument,
            // The JSON is nested too deeply for the server's stack, or is longer than `jsonb` can be.
            "54000" | "54001" => ErrorKind::InvalidArgument,
            // A statement that reads or writes a table directly names a column of a later PGMQ.
            "42703" if message.contains("\"headers\"") => ErrorKind::Unsupported,
            // Extensions raise their own exceptions in English, whatever the server's language.
            "P0001" => kind_of_exception(message),
            sqlstate if sqlstate.starts_with("08") => ErrorKind::Connection,
            _ => ErrorKind::Database,
        }
    }

    /// The effect of a failed query that ran outside a transaction. `is_complete` is `true` if the server had
    /// reported the command as complete before.
    pub fn failure_class(&self, is_complete: bool) -> FailureClass {
        match self.class_by_sqlstate(is_complete) {
            class @ (FailureClass::NotCommitted | FailureClass::ReadOnly) => class,
            // The server may have failed while it committed.
            _ if self.ends_session && is_complete => FailureClass::Lost,
            FailureClass::Lost => FailureClass::Lost,
            _ if self.ends_session => FailureClass::SessionEnded,
            class => class,
        }
    }

    fn class_by_sqlstate(&self, is_complete: bool) -> FailureClass {
        match self.sqlstate {
            // The server rolls back what it cannot serialize, also when that turns out at the commit.
            "40001" => FailureClass::NotSerializable,
            "57P01" | "57P02" | "57P05" if !is_complete => FailureClass::NotCommitted,
            "25006" if !is_complete => FailureClass::ReadOnly,
            "25P03" | "25P04" if !is_complete => FailureClass::SessionEnded,
            "08P01" if self.is_wait_of_pgbouncer() => FailureClass::SessionEnded,
            // The server ends the session, and may have committed before.
            "57P01" | "57P02" | "57P04" | "57P05" | "25P03" | "25P04" => FailureClass::Lost,
            sqlstate if sqlstate.starts_with("08") => FailureClass::Lost,
            _ if is_complete => FailureClass::Other,
            // A function that the user's own trigger calls is not named `pgmq.`.
            "42883" if !self.has_context && self.message.contains("pgmq.") => FailureClass::UnknownFunction,
            _ if self.is_stale_plan() => FailureClass::StalePlan,
            _ => FailureClass::Other,
        }
    }

    /// Returns `true` if the server refused a prepared statement, and not a function in it: the columns that
    /// the statement returns have changed since, or the server has forgotten it, or a pooler has given this
    /// client the server session of another.
    fn is_stale_plan(&self) -> bool {
        const ROUTINES: [&str; 3] =
            ["RevalidateCachedQuery", "FetchPreparedStatement", "StorePreparedStatement"];
        // A plan inside a function can be stale as well, and is not the client's to prepare again.
        if self.has_context || !["0A000", "26000", "42P05"].contains(&self.sqlstate) {
            return false;
        }
        match self.routine {
            Some(routine) => ROUTINES.contains(&routine),
            // Without the routine, the words remain. The server looks a named statement up before it executes
            // anything.
            None => self.sqlstate == "26000" || self.message.contains("cached plan"),
        }
    }

    /// Returns `true` if the message names the PGMQ function of the call, or any of PGMQ's if the call is
    /// unknown.
    fn names_function_of(&self, call: Option<Call>) -> bool {
        let named = call.map(|call| call.function).filter(|function| function.starts_with("pgmq."));
        let named = named.unwrap_or("pgmq.");
        // A poll without a timeout calls the function that reads once.
        let reads_once = named.strip_suffix("_with_poll");
        self.message.contains(named) || reads_once.is_some_and(|function| self.message.contains(function))
    }

    /// Returns `true` if PgBouncer has found no server session for the client in time, and closes the
    /// connection. Nothing reached a server.
    pub fn is_wait_of_pgbouncer(&self) -> bool {
        self.message.contains("query_wait_timeout")
    }
}

/// The kind of an exception that PGMQ or pg_partman raises.
fn kind_of_exception(message: &str) -> ErrorKind {
    const ARGUMENTS: [&str; 4] = ["queue name", "routing_key", "pattern", "premake"];
    if message.starts_with("pg_partman does not support") {
        ErrorKind::InvalidArgument
    } else if message.starts_with("pg_partman") {
        ErrorKind::Unsupported
    } else if message.starts_with("Queue \"") && message.contains("does not exist") {
        ErrorKind::QueueNotFound
    } else if ARGUMENTS.iter().any(|begin| message.starts_with(begin)) {
        ErrorKind::InvalidArgument
    } else {
        ErrorKind::Database
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::FailureClass as Class;
    use crate::error_kind::ErrorKind as Kind;

    fn kind(sqlstate: &str, message: &str) -> Kind {
        ServerReport::new(sqlstate, message).kind(None)
    }

    fn class(sqlstate: &str, message: &str) -> Class {
        ServerReport::new(sqlstate, message).failure_class(false)
    }

    #[test]
    fn reports_are_classified_by_sqlstate_and_by_names() {
        for (sqlstate, message, expected) in [
            ("42P01", "relation \"pgmq.q_x\" does not exist", Kind::QueueNotFound),
            ("42P01", "Relation »pgmq.a_x« existiert nicht", Kind::QueueNotFound),
            ("42P01", "relation \"pgmq.meta\" does not exist", Kind::NotInstalled),
            ("42P01", "relation \"pgmq.topic_bindings\" does not exist", Kind::Unsupported),
            ("42P01", "relation \"orders\" does not exist", Kind::Database),
            ("3F000", "schema \"pgmq\" does not exist", Kind::NotInstalled),
            ("42883", "function pgmq.read_grouped(...) does not exist", Kind::Unsupported),
            ("42883", "function lower(integer) does not exist", Kind::Database),
            ("P0001", "Queue \"x\" does not exist. Create it first using pgmq.create()", Kind::QueueNotFound),
            ("P0001", "routing_key cannot start with a dot", Kind::InvalidArgument),
            ("P0001", "pg_partman is required for partitioned queues", Kind::Unsupported),
            ("P0001", "pg_partman does not support objects with periods", Kind::InvalidArgument),
            ("P0001", "raised by the user's own trigger", Kind::Database),
            ("28P01", "password authentication failed", Kind::PermissionDenied),
            ("40P01", "deadlock detected", Kind::Conflict),
            ("0A000", "cached plan must not change result type", Kind::Conflict),
            ("0A000", "cannot insert multiple commands into a prepared statement", Kind::Database),
            ("26000", "prepared statement \"s1\" does not exist", Kind::Conflict),
            ("25006", "cannot execute INSERT in a read-only transaction", Kind::ReadOnly),
            ("3D000", "database \"x\" does not exist", Kind::DatabaseNotFound),
            ("57014", "canceling statement due to statement timeout", Kind::Timeout),
            ("25P04", "terminating connection due to transaction timeout", Kind::Timeout),
            ("08P01", "query_wait_timeout", Kind::Timeout),
            ("08P01", "server login has been failing", Kind::Connection),
            ("57P01", "terminating connection due to administrator command", Kind::Connection),
            ("08006", "connection failure", Kind::Connection),
            ("54001", "stack depth limit exceeded", Kind::InvalidArgument),
            ("23505", "duplicate key", Kind::Database),
        ] {
            assert_eq!(kind(sqlstate, message), expected, "{sqlstate} {message}");
        }
    }

    #[test]
    fn an_error_that_is_not_about_the_call_is_not_blamed_on_pgmq() {
        let send = Call::new("send", "pgmq.send");
        let of = |sqlstate, message| ServerReport::new(sqlstate, message).kind(Some(send));
        assert_eq!(of("42883", "function pgmq.send(queue_name => text) does not exist"), Kind::Unsupported);
        assert_eq!(of("42883", "function pgmq.users_own(text) does not exist"), Kind::Database);
        let poll = Call::new("read_grouped_with_poll", "pgmq.read_grouped_with_poll");
        let once = ServerReport::new("42883", "function pgmq.read_grouped(text, integer) does not exist");
        assert_eq!(once.kind(Some(poll)), Kind::Unsupported);
        let null = "null values cannot be formatted as an SQL identifier";
        assert_eq!(of("22004", null), Kind::Database);
        let partitioned = Call { needs_partman: true, ..send };
        assert_eq!(ServerReport::new("22004", null).kind(Some(partitioned)), Kind::Unsupported);
    }

    #[test]
    fn only_a_proof_counts_as_not_committed() {
        assert_eq!(class("25006", ""), Class::ReadOnly);
        for code in ["57P01", "57P02", "57P05"] {
            assert_eq!(class(code, ""), Class::NotCommitted);
            assert_ne!(ServerReport::new(code, "").failure_class(true), Class::NotCommitted);
        }
        assert_eq!(class("08006", ""), Class::Lost);
        assert_eq!(ServerReport::new("57P01", "").failure_class(true), Class::Lost);
    }

    #[test]
    fn a_session_that_a_limit_ends_is_discarded_without_a_retry() {
        for (code, message) in [("25P03", ""), ("25P04", ""), ("08P01", "query_wait_timeout")] {
            assert_eq!(class(code, message), Class::SessionEnded);
        }
    }

    #[test]
    fn a_session_that_ends_is_discarded_for_any_reason() {
        for code in ["40001", "58030", "XX000"] {
            let report = ServerReport { ends_session: true, ..ServerReport::new(code, "") };
            assert_eq!(report.failure_class(false), Class::SessionEnded);
            // A failure while the server commits leaves open if it has.
            assert_eq!(report.failure_class(true), Class::Lost);
        }
        let shutdown = ServerReport { ends_session: true, ..ServerReport::new("57P01", "") };
        assert_eq!(shutdown.failure_class(false), Class::NotCommitted);
    }

    #[test]
    fn only_a_missing_function_of_pgmq_is_an_unknown_function() {
        assert_eq!(class("42883", "function pgmq.send(text)"), Class::UnknownFunction);
        assert_eq!(class("42883", "function users_own()"), Class::Other);
        let in_trigger =
            ServerReport { has_context: true, ..ServerReport::new("42883", "function pgmq.send(text)") };
        assert_eq!(in_trigger.failure_class(false), Class::Other);
    }

    #[test]
    fn a_stale_plan_is_known_by_the_routine_in_every_language() {
        let german = "gecachter Plan darf den Ergebnistyp nicht ändern";
        let report =
            ServerReport { routine: Some("RevalidateCachedQuery"), ..ServerReport::new("0A000", german) };
        assert_eq!((report.failure_class(false), report.kind(None)), (Class::StalePlan, Kind::Conflict));
        // A plan inside a function, such as one that a trigger calls.
        let inside = ServerReport { has_context: true, ..report };
        assert_eq!((inside.failure_class(false), inside.kind(None)), (Class::Other, Kind::Database));
        let other = ServerReport { routine: Some("transformSetOperationTree"), ..report };
        assert_eq!(other.failure_class(false), Class::Other);
    }

    #[test]
    fn a_stale_plan_is_known_by_its_words_where_the_routine_is_missing() {
        assert_eq!(class("0A000", "cached plan must not change result type"), Class::StalePlan);
        assert_eq!(class("0A000", "cannot do this"), Class::Other);
        assert_eq!(class("26000", ""), Class::StalePlan);
    }

    #[test]
    fn what_cannot_be_serialized_is_rolled_back_at_the_commit_as_well() {
        for is_complete in [false, true] {
            let report = ServerReport::new("40001", "could not serialize access");
            assert_eq!(report.failure_class(is_complete), Class::NotSerializable);
        }
    }
}
