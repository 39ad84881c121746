//! The connection string for libpq.

use std::time::Duration;

use diesel::ConnectionError;
use pgmq_core::backend::Settings;
use pgmq_core::backend::conninfo::{ConnInfo, Dialect, LIBPQ, known};
use pgmq_core::{Error, ErrorKind};

/// The parameters of a connection string: those of libpq, of any version.
const DIALECT: Dialect = Dialect {
    takes: LIBPQ,
    spellings: &[("keepalives_retries", "keepalives_count")],
    // libpq has dropped these.
    implied: &[("authtype", &[]), ("tty", &[])],
    takes_empty: true,
};

/// The connection string for these settings.
///
/// # Errors
///
/// [`ErrorKind::InvalidArgument`], if the settings contradict each other, or have a value that libpq cannot
/// take.
pub(crate) fn conninfo(settings: &Settings) -> Result<String, Error> {
    Ok(compose(ConnInfo::from_settings(settings, &DIALECT)?, settings.connect_timeout))
}

/// The connection string for listening: by `listen_url` if there is one, and otherwise by the settings.
///
/// # Errors
///
/// Fails as [`conninfo`] does.
pub(crate) fn listen_conninfo(settings: &Settings, listen_url: Option<&str>) -> Result<String, Error> {
    Ok(compose(ConnInfo::for_listening(settings, listen_url, &DIALECT)?, settings.connect_timeout))
}

/// The options by which a silent server or network is noticed within about a minute, whatever an operation
/// waits for. libpq sets no such limit itself. In seconds, except for the last one, which is in milliseconds.
const SILENCE_LIMITS: [(&str, &str); 4] = [
    ("keepalives_idle", "30"),
    ("keepalives_interval", "10"),
    ("keepalives_count", "3"),
    ("tcp_user_timeout", "60000"),
];

/// Adds the timeouts that the user has not set. libpq gets the string as keywords, in which it cannot mistake
/// a part of a password for something else.
fn compose(mut info: ConnInfo, connect_timeout: Duration) -> String {
    for (name, value) in SILENCE_LIMITS {
        info.set_default(name, value);
    }
    // libpq counts whole seconds, and rounds one up to two.
    let seconds = connect_timeout.as_secs() + u64::from(connect_timeout.subsec_nanos() > 0);
    info.set_default("connect_timeout", seconds.max(2).to_string());
    info.to_keywords()
}

/// The error for a connection string that libpq cannot use. It shows nothing of libpq's message except for
/// the names of known parameters, because the message repeats values.
pub(crate) fn unusable(error: &ConnectionError) -> Error {
    let message = error.to_string();
    if message.contains("not compiled in") {
        return invalid(
            "the connection string asks for a feature that this libpq was built without, such as encryption; switch on the \
             cargo feature \"bundled\" instead of \"bundled_without_openssl\", or use the libpq of the system",
        );
    }
    if let Some(name) = message.strip_prefix("invalid connection option \"").and_then(name_at_start) {
        return invalid(format!("\"{name}\" is not supported by this version of libpq; remove it"));
    }
    if ["definition of service", "service file", "syntax error in service"]
        .iter()
        .any(|words| message.starts_with(words))
    {
        return Dialect::refused_value("service");
    }
    let named = ["connection option \"", "invalid ", "weak "]
        .into_iter()
        .find_map(|words| message.split_once(words).and_then(|(_, rest)| name_at_start(rest)));
    match named {
        Some(name) => Dialect::refused_value(name),
        None => invalid(
            "libpq does not accept the connection string; give one such as postgres://user:password@host/database",
        ),
    }
}

/// Returns `true` if libpq refuses the connection string, before it tries to connect. Its messages then
/// repeat values of the string.
pub(crate) fn refuses(error: &ConnectionError) -> bool {
    let message = error.to_string();
    let begin =
        ["invalid ", "weak ", "require_auth ", "negative ", "definition of service", "service file", "\""];
    begin.iter().any(|words| message.starts_with(words))
}

/// The name of a known parameter at the start of a text.
fn name_at_start(text: &str) -> Option<&'static str> {
    let is_name = |character: char| character.is_ascii_lowercase() || character == '_';
    known(text.trim_start_matches('"').split(|character| !is_name(character)).next()?)
}

fn invalid(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Removes the options that are added to each connection string.
    fn without_limits(text: &str) -> String {
        let limits =
            "keepalives_idle='30' keepalives_interval='10' keepalives_count='3' tcp_user_timeout='60000'";
        assert!(text.contains(limits), "{text}");
        text.replace(limits, "").replace("  ", " ").trim().to_owned()
    }

    fn with(url: &str, password: Option<&str>) -> Result<String, Error> {
        let mut settings = Settings::default();
        settings.url = Some(url.to_owned());
        settings.password = password.map(str::to_owned);
        settings.connect_timeout = Duration::from_millis(9_001);
        conninfo(&settings)
    }

    #[test]
    fn libpq_gets_keywords_in_both_forms() {
        for (url, expected) in [
            ("postgres://h/d", r"host='h' dbname='d' password='a \'&%' connect_timeout='10'"),
            (
                "postgres://me:a?b@h/d?sslmode=disable&connect_timeout=3",
                r"user='me' host='h' dbname='d' sslmode='disable' connect_timeout='3' password='a \'&%'",
            ),
            ("host=h dbname=d", r"host='h' dbname='d' password='a \'&%' connect_timeout='10'"),
        ] {
            assert_eq!(without_limits(&with(url, Some("a '&%")).unwrap()), expected, "{url}");
        }
        assert_eq!(without_limits(&with("postgres://", None).unwrap()), "connect_timeout='10'");
        let own = with("host=h keepalives_idle=5 keepalives_retries=7", None).unwrap();
        assert!(own.contains("keepalives_idle='5' keepalives_count='7'") && !own.contains("'30'"), "{own}");
    }

    #[test]
    fn parts_alone_are_quoted() {
        let mut settings = Settings::default();
        settings.host = Some("/run/my sockets".to_owned());
        settings.port = Some(5433);
        settings.username = Some(r"o'b\x".to_owned());
        settings.connect_timeout = Duration::from_millis(1);
        let expected = r"host='/run/my sockets' port='5433' user='o\'b\\x' connect_timeout='2'";
        assert_eq!(without_limits(&conninfo(&settings).unwrap()), expected);
    }

    #[test]
    fn messages_of_libpq_leave_the_names_of_known_parameters() {
        for (message, shown) in [
            (
                "invalid integer value \"s3cret\" for connection option \"keepalives_idle\"\n",
                "\"keepalives_idle\"",
            ),
            ("invalid connection option \"gssdelegation\"\n", "\"gssdelegation\" is not supported"),
            ("invalid connection option \"s3cret\"\n", "libpq does not accept"),
            ("invalid sslmode value: \"s3cret\"\n", "\"sslmode\""),
            ("invalid channel_binding value: \"s3cret\"\n", "\"channel_binding\""),
            ("invalid \"ssl_min_protocol_version\" value: \"s3cret\"\n", "\"ssl_min_protocol_version\""),
            ("weak sslmode \"s3cret\" may not be used with sslrootcert=system", "\"sslmode\""),
            ("definition of service \"s3cret\" not found\n", "\"service\""),
            ("missing \"=\" after \"s3cret\" in connection info string", "libpq does not accept"),
        ] {
            let error = unusable(&ConnectionError::BadConnection(message.to_owned()));
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            let text = format!("{error} {error:?}");
            assert!(text.contains(shown) && !text.contains("s3cret"), "{text}");
        }
    }
}
