//! Connection strings.

use pgmq_core::Error;
use pgmq_core::backend::conninfo::{ConnInfo, Dialect, IMPLIED, percent};
use sqlx::postgres::PgConnectOptions;

/// The parameters of a connection string: those of the driver, and `connect_timeout`, which this crate reads.
pub(crate) const DIALECT: Dialect = Dialect {
    takes: &[
        "application_name",
        "connect_timeout",
        "dbname",
        "host",
        "hostaddr",
        "options",
        "password",
        "port",
        "sslcert",
        "sslkey",
        "sslmode",
        "sslrootcert",
        "statement-cache-capacity",
        "user",
    ],
    spellings: &[
        ("ssl-ca", "sslrootcert"),
        ("ssl-cert", "sslcert"),
        ("ssl-key", "sslkey"),
        ("ssl-mode", "sslmode"),
        ("ssl-root-cert", "sslrootcert"),
    ],
    implied: IMPLIED,
    takes_empty: false,
};

/// Passes the parameters to the driver's parser, one by one if it refuses them together.
///
/// The driver's error is not the cause, because it repeats parts of the string. The driver gets no parameter
/// that it does not know, because it would log the value.
pub(crate) fn driver_options(mut info: ConnInfo) -> Result<PgConnectOptions, Error> {
    if let Some(address) = info.take("hostaddr") {
        // Of the two, the driver uses the last.
        info.take("host");
        info.set("host", address);
    }
    info.to_uri().parse().map_err(|_| {
        let is_refused = |(name, value): &(&str, &str)| {
            format!("postgres:///?{name}={}", percent(value)).parse::<PgConnectOptions>().is_err()
        };
        Dialect::refused_value(info.iter().find(is_refused).map_or("", |(name, _)| name))
    })
}

#[cfg(test)]
mod tests {
    use pgmq_core::ErrorKind;
    use pgmq_core::backend::Settings;

    use super::*;

    fn options(text: &str) -> Result<PgConnectOptions, Error> {
        driver_options(ConnInfo::from_settings(&Settings::from_url(text), &DIALECT)?)
    }

    #[test]
    fn the_driver_gets_what_the_string_says() {
        // The driver's own parser would connect to the port 1234 of the host `me`.
        let parsed = options("postgres://me:1234#x@h:6543/d%20e").unwrap();
        assert_eq!((parsed.get_host(), parsed.get_port(), parsed.get_username()), ("h", 6543, "me"));
        assert_eq!(parsed.get_database(), Some("d e"));
        let parsed = options("host=h user='a+b' options[statement_timeout]=5s").unwrap();
        assert_eq!((parsed.get_username(), parsed.get_options()), ("a+b", Some("-c statement_timeout=5s")));
        let parsed = options("postgres://me@[::1]:5/d").unwrap();
        assert_eq!((parsed.get_host(), parsed.get_port()), ("::1", 5));
        for text in ["host=h hostaddr=10.0.0.1", "hostaddr=10.0.0.1 host=h"] {
            assert_eq!(options(text).unwrap().get_host(), "10.0.0.1", "{text}");
        }
        let parsed = options("postgres:///d?host=/run/my%20sockets").unwrap();
        assert_eq!(parsed.get_socket().and_then(|path| path.to_str()), Some("/run/my sockets"));
    }

    #[test]
    fn a_value_that_the_driver_refuses_is_named_and_not_shown() {
        for name in ["sslmode", "statement-cache-capacity"] {
            let error = options(&format!("postgres://h/d?application_name=a&{name}=s3cret")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            let text = format!("{error} {error:?}");
            assert!(text.contains(name) && !text.contains("s3cret"), "{text}");
        }
    }
}
