//! The connection string for libpq, which parses it: a URL, or keywords and values.

use std::time::Duration;

use diesel::ConnectionError;
use pgmq_core::backend::Settings;
use pgmq_core::backend::conninfo::{percent, quoted, split_uri};
use pgmq_core::{Error, ErrorKind};

/// The connection string for these settings.
///
/// # Errors
///
/// [`ErrorKind::InvalidArgument`], if the settings contradict each other, or have a value that libpq cannot
/// take.
pub(crate) fn conninfo(settings: &Settings) -> Result<String, Error> {
    settings.check()?;
    let port = settings.port.map(|port| port.to_string());
    let parts = [
        ("host", settings.host.as_deref()),
        ("port", port.as_deref()),
        ("dbname", settings.database.as_deref()),
        ("user", settings.username.as_deref()),
        ("password", settings.password.as_deref()),
        ("application_name", settings.application_name.as_deref()),
    ];
    let parts = parts.into_iter().filter_map(|(keyword, value)| Some((keyword, value?)));
    compose(settings.url.as_deref().unwrap_or_default(), settings.connect_timeout, parts)
}

/// The connection string for listening: by `listen_url` if there is one, and otherwise by the settings.
///
/// # Errors
///
/// Fails as [`conninfo`] does.
pub(crate) fn listen_conninfo(settings: &Settings, listen_url: Option<&str>) -> Result<String, Error> {
    match listen_url {
        Some(url) => compose(url, settings.connect_timeout, []),
        None => conninfo(settings),
    }
}

/// The options by which a silent server or network is noticed within about a minute, whatever an operation
/// waits for. libpq sets no such limit itself. In seconds, except for the last one, which is in milliseconds.
const SILENCE_LIMITS: [&str; 4] =
    ["keepalives_idle=30", "keepalives_interval=10", "keepalives_count=3", "tcp_user_timeout=60000"];

/// Puts the timeouts before the user's string, and the parts after it: of two values for an option, libpq
/// uses the last.
fn compose<'p>(
    given: &str,
    connect_timeout: Duration,
    parts: impl IntoIterator<Item = (&'p str, &'p str)>,
) -> Result<String, Error> {
    // libpq counts whole seconds, and rounds one up to two.
    let seconds = connect_timeout.as_secs() + u64::from(connect_timeout.subsec_nanos() > 0);
    let seconds = seconds.max(2);
    let mut text = match split_uri(given)? {
        Some((address, query)) => {
            let mut text = format!("{address}?{}&connect_timeout={seconds}", SILENCE_LIMITS.join("&"));
            let parts = parts.into_iter().map(|(keyword, value)| format!("{keyword}={}", percent(value)));
            for parameter in query.map(str::to_owned).into_iter().chain(parts) {
                text.push('&');
                text.push_str(&parameter);
            }
            text
        }
        None => {
            let parts = parts.into_iter().map(|(keyword, value)| format!(" {keyword}={}", quoted(value)));
            let limits = SILENCE_LIMITS.join(" ");
            format!("{limits} connect_timeout={seconds} {given}{}", parts.collect::<String>())
        }
    };
    if text.contains('\0') {
        text.clear();
        return Err(invalid("the connection string or another setting contains a NUL character; remove it"));
    }
    Ok(text)
}

/// The error for a connection string that libpq cannot use. `string` is that string, if it is known.
pub(crate) fn unusable(error: &ConnectionError, string: Option<&str>) -> Error {
    if error.to_string().contains("not compiled in") {
        return invalid(
            "the connection string asks for a feature that this libpq was built without, such as encryption; switch on the \
             cargo feature \"bundled\" instead of \"bundled_without_openssl\", or use the libpq of the system",
        );
    }
    let refused = invalid(
        "libpq does not accept the connection string; give one such as postgres://user:password@host/database",
    );
    // Quotation marks in the string could not be distinguished from those of the message.
    match (error, string) {
        (ConnectionError::BadConnection(message), Some(string)) if !string.contains('"') => {
            refused.because(without_values(message.trim_end()))
        }
        _ => refused,
    }
}

/// A message of libpq without the values that it repeats from the string, which may be parts of a password.
fn without_values(message: &str) -> String {
    const KEPT: [&str; 22] = [
        "=",
        ":",
        "/",
        "]",
        "host",
        "hostaddr",
        "port",
        "dbname",
        "user",
        "sslmode",
        "sslrootcert",
        "options",
        "connect_timeout",
        "keepalives",
        "keepalives_idle",
        "keepalives_interval",
        "keepalives_count",
        "tcp_user_timeout",
        "target_session_attrs",
        "channel_binding",
        "require",
        "gssencmode",
    ];
    let parts = message.split('"').enumerate().map(|(number, part)| match number % 2 {
        1 if !KEPT.contains(&part) => "...",
        _ => part,
    });
    parts.collect::<Vec<_>>().join("\"")
}

fn invalid(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Removes the options that precede each connection string.
    fn without_limits(text: &str) -> String {
        let [uri, keywords] = ["&", " "].map(|separator| {
            let options = ["keepalives_idle=30", "keepalives_interval=10", "keepalives_count=3"];
            format!("{}{separator}tcp_user_timeout=60000{separator}", options.join(separator))
        });
        let parts = text.split_once(&uri).or_else(|| text.strip_prefix(&keywords).map(|rest| ("", rest)));
        let (before, after) = parts.unwrap_or_else(|| panic!("{text}"));
        format!("{before}{after}")
    }

    fn with(url: &str, password: Option<&str>) -> Result<String, Error> {
        let mut settings = Settings::default();
        settings.url = Some(url.to_owned());
        settings.password = password.map(str::to_owned);
        settings.connect_timeout = Duration::from_millis(9_001);
        conninfo(&settings)
    }

    #[test]
    fn the_users_string_is_between_the_timeouts_and_the_parts() {
        for (url, expected) in [
            ("postgres://h/d", "postgres://h/d?connect_timeout=10&password=a%20%27%26%25"),
            ("postgresql://h/d?", "postgresql://h/d?connect_timeout=10&password=a%20%27%26%25"),
            (
                "postgres://me:a?b@h/d?sslmode=disable",
                "postgres://me:a?b@h/d?connect_timeout=10&sslmode=disable&password=a%20%27%26%25",
            ),
            (
                "postgres://h?host=/tmp/a@b",
                "postgres://h?connect_timeout=10&host=/tmp/a@b&password=a%20%27%26%25",
            ),
            ("host=h dbname=d", r"connect_timeout=10 host=h dbname=d password='a \'&%'"),
            ("", r"connect_timeout=10  password='a \'&%'"),
        ] {
            assert_eq!(without_limits(&with(url, Some("a '&%")).unwrap()), expected, "{url}");
        }
        let alone = with("postgres://me@h/d", None).unwrap();
        assert_eq!(without_limits(&alone), "postgres://me@h/d?connect_timeout=10");
    }

    #[test]
    fn parts_alone_are_quoted() {
        let mut settings = Settings::default();
        settings.host = Some("/run/my sockets".to_owned());
        settings.port = Some(5433);
        settings.username = Some(r"o'b\x".to_owned());
        settings.connect_timeout = Duration::from_millis(1);
        let expected = r"connect_timeout=2  host='/run/my sockets' port='5433' user='o\'b\\x'";
        assert_eq!(without_limits(&conninfo(&settings).unwrap()), expected);
    }

    #[test]
    fn a_string_that_is_refused_is_not_shown() {
        for url in [
            "postgres://me:s3@cret@h/d",
            "postgres://me:s3@cret@h",
            "postgres://me:s3@cret@h?a=b",
            "host=s3\0cret",
        ] {
            let error = with(url, None).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{url}");
            assert!(!format!("{error} {error:?}").contains("cret"), "{error:?}");
        }
    }

    #[test]
    fn messages_of_libpq_keep_their_words_and_lose_the_values() {
        for (message, kept) in [
            (
                "invalid integer value \"s3cret\" for connection option \"port\"",
                "invalid integer value \"...\" for connection option \"port\"",
            ),
            (
                "missing \"=\" after \"mysql://me:s3cret@h/d\" in connection info string",
                "missing \"=\" after \"...\" in connection info string",
            ),
        ] {
            assert_eq!(without_values(message), kept);
        }
    }
}
