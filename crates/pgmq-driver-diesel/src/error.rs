//! The classification of Diesel's errors.
//!
//! Diesel passes on the server's message, and its SQLSTATE only for a few kinds of errors. There is no other
//! way to it: Diesel's error information lacks it, Diesel keeps libpq's result and connection to itself, and
//! a server cannot be asked for the SQLSTATE of a statement that has failed.
//!
//! This module therefore recovers the SQLSTATE from those kinds, from the names of PGMQ's objects, and from
//! the server's wording, where that belongs to one SQLSTATE only. It recognizes fewer errors of a server with
//! another language than English; the others are of kind `Database`.

use diesel::ConnectionError;
use diesel::result::{DatabaseErrorKind, Error};
use pgmq_core::backend::{FailureClass, ServerReport, refuses_client};
use pgmq_core::{Call, ErrorKind};

/// The kind of an error in a call; `None` for an error outside an operation.
pub fn kind_of(error: &Error, call: Option<Call>) -> ErrorKind {
    match error {
        Error::DatabaseError(kind, report) => match (sqlstate_of(error), kind) {
            (Some(sqlstate), _) => ServerReport::new(sqlstate, report.message()).kind(call),
            (None, DatabaseErrorKind::ClosedConnection) => ErrorKind::Connection,
            (None, DatabaseErrorKind::UnableToSendCommand) => unsent(report.message()),
            _ => ErrorKind::Database,
        },
        Error::RollbackErrorOnCommit { commit_error, .. } => kind_of(commit_error, call),
        Error::InvalidCString(_) => ErrorKind::InvalidArgument,
        Error::SerializationError(_) | Error::QueryBuilderError(_) => ErrorKind::Encode,
        Error::DeserializationError(_) => ErrorKind::Decode,
        // Diesel has lost track of the state of the connection.
        Error::BrokenTransactionManager => ErrorKind::Connection,
        _ => ErrorKind::Database,
    }
}

/// The kind of an error of connecting.
pub fn connecting_kind_of(error: &ConnectionError) -> ErrorKind {
    match error {
        ConnectionError::BadConnection(text) => match connecting_sqlstate_by_wording(text) {
            Some(sqlstate) => ServerReport::new(sqlstate, text).kind(None),
            None if refuses_client(text) => ErrorKind::PermissionDenied,
            None if is_unusable(text) => ErrorKind::InvalidArgument,
            None => ErrorKind::Connection,
        },
        ConnectionError::InvalidCString(_) | ConnectionError::InvalidConnectionUrl(_) => {
            ErrorKind::InvalidArgument
        }
        ConnectionError::CouldntSetupConfiguration(error) => kind_of(error, None),
        _ => ErrorKind::Connection,
    }
}

/// The SQLSTATE of an error, if Diesel passes it on, or the message belongs to one SQLSTATE only.
pub fn sqlstate_of(error: &Error) -> Option<&'static str> {
    let Error::DatabaseError(kind, report) = error else { return None };
    match kind {
        DatabaseErrorKind::UniqueViolation => Some("23505"),
        DatabaseErrorKind::ForeignKeyViolation => Some("23503"),
        DatabaseErrorKind::NotNullViolation => Some("23502"),
        DatabaseErrorKind::CheckViolation => Some("23514"),
        DatabaseErrorKind::RestrictViolation => Some("23001"),
        DatabaseErrorKind::ExclusionViolation => Some("23P01"),
        DatabaseErrorKind::SerializationFailure => Some("40001"),
        DatabaseErrorKind::ReadOnlyTransaction => Some("25006"),
        _ => sqlstate_by_wording(report.message()),
    }
}

/// The SQLSTATE of an error of connecting, if the message belongs to one SQLSTATE only.
pub fn connecting_sqlstate_of(error: &ConnectionError) -> Option<&'static str> {
    match error {
        ConnectionError::BadConnection(text) => connecting_sqlstate_by_wording(text),
        ConnectionError::CouldntSetupConfiguration(error) => sqlstate_of(error),
        _ => None,
    }
}

/// Classifies the failure of a query outside a transaction. `is_complete` is `true` if the server may have
/// reported the command as complete.
pub fn failure_class(error: &Error, is_complete: bool) -> FailureClass {
    match (error, sqlstate_of(error)) {
        (Error::DatabaseError(_, report), Some(sqlstate)) => {
            let message = report.message();
            let ends_session = ends_session(message);
            ServerReport { ends_session, ..ServerReport::new(sqlstate, message) }.failure_class(is_complete)
        }
        _ if kind_of(error, None) == ErrorKind::Connection => FailureClass::Lost,
        _ => FailureClass::Other,
    }
}

/// The beginnings of reports that have the severity FATAL, which Diesel hides. On a connection that was
/// logged in, a pooler passes on that the server refused the log-in of its own.
const FATAL: [&str; 9] = [
    "terminating connection",
    "the database system is",
    "remaining connection slots are reserved",
    "sorry, too many clients already",
    "too many connections for role \"",
    "too many connections for database \"",
    "password authentication failed for user \"",
    "no pg_hba.conf entry for",
    "pg_hba.conf rejects connection",
];

/// Returns `true` if a report is known to end the session. A user's own exception may have similar words.
fn ends_session(message: &str) -> bool {
    let report = unprefixed(message);
    FATAL.iter().any(|beginning| report.starts_with(beginning))
}

/// The messages that belong to one SQLSTATE, by their beginnings.
const BEGINNINGS: &[(&str, &str)] = &[
    ("current transaction is aborted", "25P02"),
    ("terminating connection due to administrator command", "57P01"),
    ("terminating connection because of crash", "57P02"),
    ("terminating connection due to idle-session timeout", "57P05"),
    ("terminating connection due to idle-in-transaction timeout", "25P03"),
    ("terminating connection due to transaction timeout", "25P04"),
    ("terminating connection due to unexpected postmaster exit", "57P01"),
    ("query_wait_timeout", "08P01"),
    // Other reports with which PgBouncer closes a connection.
    ("query_timeout", "08P01"),
    ("server conn crashed", "08P01"),
    ("client_idle_timeout", "08P01"),
    ("idle transaction timeout", "08P01"),
    ("server_login_retry", "08P01"),
    ("server login has been failing", "08P01"),
    ("the database system is", "57P03"),
    ("remaining connection slots are reserved", "53300"),
    ("too many connections for", "53300"),
    ("deadlock detected", "40P01"),
    ("cached plan must not change result type", "0A000"),
    ("canceling statement due to lock timeout", "55P03"),
    ("could not obtain lock on", "55P03"),
    ("canceling statement due to", "57014"),
    ("password authentication failed", "28P01"),
    ("no pg_hba.conf entry", "28000"),
    ("connection requires a valid client certificate", "28000"),
    ("certificate authentication failed", "28000"),
    ("permission denied", "42501"),
    ("must be owner of", "42501"),
    ("must be superuser", "42501"),
    ("new row violates row-level security policy", "42501"),
    ("query would be affected by row-level security policy", "42501"),
    ("invalid input syntax for type", "22P02"),
    ("unsupported Unicode escape sequence", "22P05"),
    ("integer out of range", "22003"),
    ("bigint out of range", "22003"),
    ("timestamp out of range", "22008"),
    ("invalid byte sequence for encoding", "22021"),
    ("character with byte sequence", "22P05"),
    ("string too long to represent as jsonb", "54000"),
    ("total size of jsonb", "54000"),
    ("number of jsonb", "54000"),
    ("stack depth limit exceeded", "54001"),
    ("null values cannot be formatted as an SQL identifier", "22004"),
];

/// The messages that belong to one SQLSTATE, by words in them.
const PARTS: &[(&str, &str)] = &[
    ("is not currently accepting connections", "55000"),
    ("too many clients already", "53300"),
    ("is not permitted to log in", "28000"),
    ("out of range for type", "22003"),
];

/// The messages with which a server refuses a log-in, by words in them.
const LOGIN_PARTS: &[(&str, &str)] = &[
    ("pg_hba.conf rejects connection", "28000"),
    // Other methods than passwords: peer, ident, LDAP, GSSAPI, and so on.
    ("authentication failed for user", "28000"),
    ("unrecognized configuration parameter", "42704"),
    ("invalid value for parameter", "22023"),
    ("cannot be changed without restart", "55P02"),
    ("cannot be changed now", "55P02"),
];

/// The SQLSTATE of a report. Only the beginning counts, since the user's own exceptions may have such words
/// in their middle.
fn sqlstate_by_wording(message: &str) -> Option<&'static str> {
    let report = unprefixed(message);
    sqlstate_by(message, |words| report.starts_with(words))
}

/// The report in a message. For a lost connection, libpq passes on the server's report in the form in which
/// it prints it.
fn unprefixed(message: &str) -> &str {
    message.strip_prefix("FATAL:  ").unwrap_or(message)
}

/// The SQLSTATE of an error of connecting, whose text has one report for each address, behind the address.
fn connecting_sqlstate_by_wording(text: &str) -> Option<&'static str> {
    sqlstate_by(text, |words| text.contains(words)).or_else(|| {
        let words = LOGIN_PARTS.iter().find(|(words, _)| text.contains(words));
        words.map(|&(_, sqlstate)| sqlstate)
    })
}

fn sqlstate_by(message: &str, begins: impl Fn(&str) -> bool) -> Option<&'static str> {
    let begins = BEGINNINGS.iter().find(|(words, _)| begins(words));
    let words = begins.or_else(|| PARTS.iter().find(|(words, _)| message.contains(words)));
    words.map(|&(_, sqlstate)| sqlstate).or_else(|| {
        // A function is named with the types of its arguments in every language.
        if names_a_function(message) {
            return Some("42883");
        }
        let is_missing = message.contains("does not exist");
        match () {
            () if is_missing && message.starts_with("function ") => Some("42883"),
            () if is_missing && message.starts_with("prepared statement \"") => Some("26000"),
            () if is_missing && message.contains("relation \"pgmq.") => Some("42P01"),
            () if is_missing && message.contains("schema \"pgmq\"") => Some("3F000"),
            () if is_missing && message.contains("column \"") => Some("42703"),
            () if is_missing && message.contains("FATAL:  role \"") => Some("28000"),
            () if is_missing && message.contains("database \"") => Some("3D000"),
            // PGMQ's own exceptions.
            () if ServerReport::new("P0001", message).kind(None) != ErrorKind::Database => Some("P0001"),
            () => None,
        }
    })
}

/// Returns `true` if a message contains `pgmq.`, a name, and the types of arguments. A call in PGMQ's own
/// hints has none.
fn names_a_function(message: &str) -> bool {
    message.split("pgmq.").skip(1).any(|rest| {
        let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        let arguments = end.filter(|end| *end > 0).and_then(|end| rest.get(end..)).unwrap_or_default();
        arguments.starts_with('(') && arguments != "()"
    })
}

/// The kind of an error of a command that the driver could not send, or got no answer to.
fn unsent(text: &str) -> ErrorKind {
    let is = |begins: &[&str]| begins.iter().any(|begin| text.starts_with(begin));
    if is(&["error serializing", "error encoding"]) {
        ErrorKind::Encode
    } else if is(&["error deserializing", "error parsing"]) {
        ErrorKind::Decode
    } else if is(&["invalid co"]) {
        ErrorKind::InvalidArgument
    } else if is(&["authentication"]) {
        ErrorKind::PermissionDenied
    } else if is(&["timeout"]) {
        ErrorKind::Timeout
    } else {
        ErrorKind::Connection
    }
}

/// Returns `true` if libpq reports that it cannot use the connection string, or cannot encrypt as it asks.
fn is_unusable(text: &str) -> bool {
    let words = [
        "invalid connection option",
        "missing \"=\"",
        "unterminated quoted string",
        "invalid URI",
        "invalid port number",
        "invalid integer value",
        "invalid percent-encoded token",
        "forbidden value",
        "extra key/value separator",
        "missing key/value separator",
        "invalid URI query parameter",
        "end of string reached",
        "unexpected character",
        "could not match",
        "is not compiled in",
        "not compiled in",
        "server does not support SSL",
        "certificate verify failed",
        "certificate file",
        // An IPv6 address, which a libpq without support for it cannot compare.
        "certificate contains IP address with invalid length",
        "private key file",
        "does not match host name",
        "host name must be specified",
    ];
    let is_bad_value = text.starts_with("invalid ") && text.contains(" value: ");
    is_bad_value || words.iter().any(|words| text.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(message: &str) -> Error {
        Error::DatabaseError(DatabaseErrorKind::Unknown, Box::new(message.to_owned()))
    }

    #[test]
    fn kinds_that_diesel_does_not_pass_on_are_found_in_the_message() {
        for (message, kind) in [
            ("relation \"pgmq.q_missing\" does not exist", ErrorKind::QueueNotFound),
            ("relation \"orders\" does not exist", ErrorKind::Database),
            ("schema \"pgmq\" does not exist", ErrorKind::NotInstalled),
            ("relation \"pgmq.meta\" does not exist", ErrorKind::NotInstalled),
            ("function pgmq.pop(queue_name => text, qty => integer) does not exist", ErrorKind::Unsupported),
            ("Funktion pgmq.pop(queue_name => text, qty => integer) existiert nicht", ErrorKind::Unsupported),
            ("function users_own() does not exist", ErrorKind::Database),
            ("function pgmq.list_queues() does not exist", ErrorKind::Unsupported),
            ("Queue \"q\" does not exist. Create it first using pgmq.create()", ErrorKind::QueueNotFound),
            (
                "Queue \"q\" does not have this. Do it first using pgmq.enable_notify_insert()",
                ErrorKind::Database,
            ),
            ("permission denied for schema pgmq", ErrorKind::PermissionDenied),
            ("deadlock detected", ErrorKind::Conflict),
            ("canceling statement due to statement timeout", ErrorKind::Timeout),
            ("canceling statement due to lock timeout", ErrorKind::Timeout),
            ("terminating connection due to administrator command", ErrorKind::Connection),
            ("value \"3000000000\" is out of range for type integer", ErrorKind::InvalidArgument),
            ("new row violates row-level security policy for table \"q_q\"", ErrorKind::PermissionDenied),
            ("must be superuser to do this", ErrorKind::PermissionDenied),
            (
                "character with byte sequence 0xe2 0x82 0xac in encoding \"UTF8\" has no equivalent in encoding \"LATIN1\"",
                ErrorKind::InvalidArgument,
            ),
            ("number of jsonb object pairs exceeds the maximum allowed", ErrorKind::InvalidArgument),
            ("the user's own exception", ErrorKind::Database),
            ("order 7 is refused: permission denied", ErrorKind::Database),
            ("order 7 waits: a deadlock detected by hand", ErrorKind::Database),
            ("FATAL:  terminating connection due to administrator command\n", ErrorKind::Connection),
        ] {
            assert_eq!(kind_of(&reported(message), None), kind, "{message}");
        }
    }

    #[test]
    fn sqlstates_come_from_kinds_and_from_wording() {
        let unique = Error::DatabaseError(DatabaseErrorKind::UniqueViolation, Box::new(String::new()));
        assert_eq!(sqlstate_of(&unique), Some("23505"));
        assert_eq!(sqlstate_of(&reported("deadlock detected")), Some("40P01"));
        assert_eq!(sqlstate_of(&reported("prepared statement \"s3\" does not exist")), Some("26000"));
        assert_eq!(sqlstate_of(&reported("something else")), None);
        assert_eq!(sqlstate_of(&Error::NotFound), None);
    }

    #[test]
    fn a_report_that_ends_the_session_is_known_by_its_words_or_by_its_sqlstate() {
        let conflict = |message: &str| {
            Error::DatabaseError(DatabaseErrorKind::SerializationFailure, Box::new(message.to_owned()))
        };
        let ended = conflict("terminating connection due to conflict with recovery");
        let canceled = conflict("canceling statement due to conflict with recovery");
        assert_eq!(failure_class(&ended, false), FailureClass::SessionEnded);
        assert_eq!(failure_class(&ended, true), FailureClass::Lost);
        assert_eq!(failure_class(&canceled, false), FailureClass::NotSerializable);
        for message in [
            "password authentication failed for user \"u\"",
            "FATAL:  too many connections for role \"u\"",
            "the database system is shutting down",
        ] {
            assert_eq!(failure_class(&reported(message), false), FailureClass::SessionEnded, "{message}");
        }
        let users = reported("too many connections for customer 7");
        assert_eq!(failure_class(&users, false), FailureClass::Other);
        let terminated = reported("terminating connection due to administrator command");
        assert_eq!(failure_class(&terminated, false), FailureClass::NotCommitted);
    }

    #[test]
    fn connecting_errors_of_diesel_async_are_classified() {
        for (text, kind) in [
            ("error connecting to server", ErrorKind::Connection),
            ("connection closed", ErrorKind::Connection),
            ("invalid connection string", ErrorKind::InvalidArgument),
            ("invalid configuration", ErrorKind::InvalidArgument),
            ("authentication error", ErrorKind::PermissionDenied),
            ("timeout waiting for server", ErrorKind::Timeout),
        ] {
            let kind_of_error = DatabaseErrorKind::UnableToSendCommand;
            let error = Error::DatabaseError(kind_of_error, Box::new(text.to_owned()));
            assert_eq!(
                connecting_kind_of(&ConnectionError::CouldntSetupConfiguration(error)),
                kind,
                "{text}"
            );
        }
    }

    #[test]
    fn connecting_errors_of_libpq_are_classified() {
        for (text, kind) in [
            ("connection to server at \"h\", port 1 failed: Connection refused", ErrorKind::Connection),
            (
                "connection to server failed: FATAL:  password authentication failed for user \"u\"",
                ErrorKind::PermissionDenied,
            ),
            ("connection to server failed: FATAL:  role \"u\" does not exist", ErrorKind::PermissionDenied),
            (
                "connection to server failed: FATAL:  database \"d\" does not exist",
                ErrorKind::DatabaseNotFound,
            ),
            ("invalid connection option \"hots\"\n", ErrorKind::InvalidArgument),
            ("invalid sslmode value: \"maybe\"\n", ErrorKind::InvalidArgument),
            (
                "connection to server failed: certificate contains IP address with invalid length 16\n",
                ErrorKind::InvalidArgument,
            ),
            (
                "connection to server failed: FATAL:  pg_hba.conf rejects connection for host \"::1\", user \"u\"",
                ErrorKind::PermissionDenied,
            ),
            (
                "connection to server on socket \"s\" failed: FATAL:  Peer authentication failed for user \"u\"",
                ErrorKind::PermissionDenied,
            ),
            (
                "connection to server failed: FATAL:  LDAP authentication failed for user \"u\"\n",
                ErrorKind::PermissionDenied,
            ),
            (
                "connection to server failed: FATAL:  unrecognized configuration parameter \"geqqo\"\n",
                ErrorKind::Database,
            ),
            (
                "connection to server failed: FATAL:  invalid value for parameter \"work_mem\": \"x\"\n",
                ErrorKind::Database,
            ),
            (
                "connection to server failed: FATAL:  parameter \"port\" cannot be changed without restart\n",
                ErrorKind::Database,
            ),
            (
                "connection to server failed: FATAL:  permission denied for database \"d\"\n",
                ErrorKind::PermissionDenied,
            ),
            (
                "connection to server failed: FATAL:  the database system is starting up\n",
                ErrorKind::Connection,
            ),
            (
                "connection to server failed: server does not support SSL, but SSL was required\n",
                ErrorKind::InvalidArgument,
            ),
            (
                "connection to server failed: SSL error: certificate verify failed\n",
                ErrorKind::InvalidArgument,
            ),
            (
                "connection to server failed: could not load private key file \"f\": unsupported\n",
                ErrorKind::InvalidArgument,
            ),
            (
                "connection to server failed: FATAL:  connection requires a valid client certificate\n",
                ErrorKind::PermissionDenied,
            ),
        ] {
            assert_eq!(connecting_kind_of(&ConnectionError::BadConnection(text.to_owned())), kind, "{text}");
        }
    }
}
