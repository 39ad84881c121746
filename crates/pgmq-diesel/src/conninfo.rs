//! What libpq is told: a URL or a string of keywords and values, which it reads itself.

use std::time::Duration;

use diesel::ConnectionError;
use pgmq_core::backend::conninfo::{percent, quoted, split_uri};
use pgmq_core::{Error, ErrorKind, Settings};

/// The connection string for these settings.
///
/// # Errors
///
/// [`ErrorKind::InvalidArgument`], when they contradict themselves, or are not what libpq can be given.
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

/// The connection string for listening, which has a URL of its own if the settings say so.
///
/// # Errors
///
/// As for [`conninfo`].
pub(crate) fn listen_conninfo(settings: &Settings) -> Result<String, Error> {
    match &settings.listen_url {
        Some(url) => compose(url, settings.connect_timeout, []),
        None => conninfo(settings),
    }
}

/// By which a server, or a network, that has gone silent is noticed within about a minute, whatever an operation waits for. libpq
/// sets no limit of its own. In seconds, but the last one, which is in milliseconds.
const WATCH: [&str; 4] =
    ["keepalives_idle=30", "keepalives_interval=10", "keepalives_count=3", "tcp_user_timeout=60000"];

/// Puts time-outs in front of what the user gave, and parts behind it: for libpq, what comes last counts.
fn compose<'p>(
    given: &str,
    connect_timeout: Duration,
    parts: impl IntoIterator<Item = (&'p str, &'p str)>,
) -> Result<String, Error> {
    // libpq counts in whole seconds, and makes two of one.
    let seconds = connect_timeout.as_secs() + u64::from(connect_timeout.subsec_nanos() > 0);
    let seconds = seconds.max(2);
    let mut text = match split_uri(given)? {
        Some((address, query)) => {
            let mut text = format!("{address}?{}&connect_timeout={seconds}", WATCH.join("&"));
            let parts = parts.into_iter().map(|(keyword, value)| format!("{keyword}={}", percent(value)));
            for parameter in query.map(str::to_owned).into_iter().chain(parts) {
                text.push('&');
                text.push_str(&parameter);
            }
            text
        }
        None => {
            let parts = parts.into_iter().map(|(keyword, value)| format!(" {keyword}={}", quoted(value)));
            let watch = WATCH.join(" ");
            format!("{watch} connect_timeout={seconds} {given}{}", parts.collect::<String>())
        }
    };
    if text.contains('\0') {
        text.clear();
        return Err(invalid("there is a NUL character in what to connect to, which nothing there can have"));
    }
    Ok(text)
}

/// The error for a string that libpq cannot use. `string` is what it was, if that is known.
pub(crate) fn unusable(error: &ConnectionError, string: Option<&str>) -> Error {
    if error.to_string().contains("not compiled in") {
        return invalid(
            "the connection string asks for what this libpq was built without, such as an encrypted connection; switch on \
             the cargo feature \"bundled\" instead of \"bundled_without_openssl\", or use the libpq of the system",
        );
    }
    let refused = invalid(
        "the connection string is not one that libpq takes, such as postgres://user:password@host/database",
    );
    // With quotation marks in the string, it could not be told where those of the message are.
    match (error, string) {
        (ConnectionError::BadConnection(message), Some(string)) if !string.contains('"') => {
            refused.because(without_values(message.trim_end()))
        }
        _ => refused,
    }
}

/// A message of libpq without what it repeats of the string, which may be a part of a password.
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

    /// A connection string without what stands in front of each.
    fn without_watch(text: &str) -> String {
        let [uri, keywords] = ["&", " "].map(|between| {
            let options = ["keepalives_idle=30", "keepalives_interval=10", "keepalives_count=3"];
            format!("{}{between}tcp_user_timeout=60000{between}", options.join(between))
        });
        let parts = text.split_once(&uri).or_else(|| text.strip_prefix(&keywords).map(|rest| ("", rest)));
        let (before, behind) = parts.unwrap_or_else(|| panic!("{text}"));
        format!("{before}{behind}")
    }

    fn with(url: &str, password: Option<&str>) -> Result<String, Error> {
        let mut settings = Settings::default();
        settings.url = Some(url.to_owned());
        settings.password = password.map(str::to_owned);
        settings.connect_timeout = Duration::from_millis(9_001);
        conninfo(&settings)
    }

    #[test]
    fn what_is_given_stands_between_the_time_out_and_the_parts() {
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
            assert_eq!(without_watch(&with(url, Some("a '&%")).unwrap()), expected, "{url}");
        }
        let alone = with("postgres://me@h/d", None).unwrap();
        assert_eq!(without_watch(&alone), "postgres://me@h/d?connect_timeout=10");
    }

    #[test]
    fn parts_alone_are_quoted() {
        let mut settings = Settings::default();
        settings.host = Some("/run/my sockets".to_owned());
        settings.port = Some(5433);
        settings.username = Some(r"o'b\x".to_owned());
        settings.connect_timeout = Duration::from_millis(1);
        let expected = r"connect_timeout=2  host='/run/my sockets' port='5433' user='o\'b\\x'";
        assert_eq!(without_watch(&conninfo(&settings).unwrap()), expected);
    }

    #[test]
    fn what_would_be_taken_for_a_host_is_refused_and_not_shown() {
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
    fn a_message_of_libpq_keeps_its_words_and_loses_the_values() {
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
