//! The driver's configuration.

use std::time::Duration;

use pgmq_core::backend::Settings;
use pgmq_core::backend::conninfo::{ConnInfo, Dialect, IMPLIED, quoted};
use pgmq_core::{Error, ErrorKind};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use crate::silence::limit_silence;
use crate::tls::{Tls, TlsOptions};

/// The parameters of a connection string: those of the driver, and of TLS, which [`TlsOptions`] reads.
const DIALECT: Dialect = Dialect {
    takes: &[
        "application_name",
        "channel_binding",
        "connect_timeout",
        "dbname",
        "host",
        "hostaddr",
        "keepalives",
        "keepalives_idle",
        "keepalives_interval",
        "keepalives_retries",
        "load_balance_hosts",
        "options",
        "password",
        "port",
        "sslcert",
        "sslkey",
        "sslmode",
        "sslrootcert",
        "target_session_attrs",
        "tcp_user_timeout",
        "user",
    ],
    spellings: &[("keepalives_count", "keepalives_retries")],
    implied: IMPLIED,
    takes_empty: false,
};

/// The driver's configuration for these settings, and the encryption of the connections.
///
/// # Errors
///
/// [`ErrorKind::InvalidArgument`], if the settings contradict each other, the driver does not take the
/// connection string, or TLS is required and not compiled in.
pub fn config(settings: &Settings) -> Result<(Config, Tls), Error> {
    build(ConnInfo::from_settings(settings, &DIALECT)?, settings)
}

/// The driver's configuration for listening, by `listen_url` if there is one.
///
/// # Errors
///
/// As for [`config`].
pub fn listen_config(settings: &Settings, listen_url: Option<&str>) -> Result<(Config, Tls), Error> {
    build(ConnInfo::for_listening(settings, listen_url, &DIALECT)?, settings)
}

fn build(mut info: ConnInfo, settings: &Settings) -> Result<(Config, Tls), Error> {
    let options = TlsOptions::take(&mut info)?;
    let connect_timeout = info.take_connect_timeout().unwrap_or(settings.connect_timeout);
    let user_timeout = info.take("tcp_user_timeout");
    let has_user_timeout = user_timeout.is_some();
    let mut config = parse(&info)?;
    config.connect_timeout(connect_timeout);
    if let Some(milliseconds) = user_timeout {
        // The driver's own parser takes seconds, unlike libpq.
        let milliseconds: i32 =
            milliseconds.parse().map_err(|_| Dialect::refused_value("tcp_user_timeout"))?;
        if let Some(milliseconds) = u64::try_from(milliseconds).ok().filter(|time| *time > 0) {
            config.tcp_user_timeout(Duration::from_millis(milliseconds));
        }
    }
    limit_silence(&mut config, has_user_timeout);
    let is_unusable =
        |host: &Host| matches!(host, Host::Tcp(name) if name.is_empty() || name.starts_with('@'));
    if config.get_hosts().iter().any(is_unusable) {
        return Err(invalid(
            "one of the hosts of the connection string is empty or an abstract socket, which this driver does not support",
        ));
    }
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return Err(invalid(
            "the connection string names no host; add one, because this driver has no default",
        ));
    }
    finish(config, &options)
}

/// Passes the parameters to the driver's parser, one by one if it refuses them together. The driver's error
/// is not the cause, because it repeats parts of the string.
fn parse(info: &ConnInfo) -> Result<Config, Error> {
    info.to_keywords().parse().map_err(|_| {
        let is_refused =
            |(name, value): &(&str, &str)| format!("{name}={}", quoted(value)).parse::<Config>().is_err();
        Dialect::refused_value(info.iter().find(is_refused).map_or("", |(name, _)| name))
    })
}

fn finish(mut config: Config, options: &TlsOptions) -> Result<(Config, Tls), Error> {
    // The driver encrypts connections to hosts only. Without a host, the certificate has to be for the
    // address.
    if config.get_hosts().is_empty() {
        for address in config.get_hostaddrs().to_vec() {
            config.host(address.to_string());
        }
    }
    config.ssl_mode(options.ssl_mode());
    if options.ssl_mode() == SslMode::Disable {
        return Ok((config, Tls::disabled()));
    }
    if let Some(tls) = Tls::compiled_in(options)? {
        return Ok((config, tls));
    }
    if options.asks_for_tls() {
        return Err(invalid(
            "the connection string requires an encrypted connection, and TLS is not compiled in; enable the Cargo \
             feature \"rustls\" or \"native-tls\" of this crate",
        ));
    }
    config.ssl_mode(SslMode::Disable);
    Ok((config, Tls::disabled()))
}

fn invalid(text: &str) -> Error {
    Error::new(ErrorKind::InvalidArgument, text)
}

#[cfg(test)]
mod tests {
    use tokio_postgres::config::Host;

    use super::*;

    fn of(url: &str) -> Result<Config, Error> {
        config(&Settings::from_url(url)).map(|(config, _)| config)
    }

    #[test]
    fn the_driver_gets_what_the_string_says() {
        let config =
            of("postgres://me:1234#x?y@[::1]:6543/d%20e?options=-c%20a%3D1&tcp_user_timeout=1500").unwrap();
        assert_eq!(config.get_hosts(), [Host::Tcp("::1".to_owned())]);
        assert_eq!((config.get_ports(), config.get_password()), (&[6543][..], Some(&b"1234#x?y"[..])));
        assert_eq!((config.get_dbname(), config.get_options()), (Some("d e"), Some("-c a=1")));
        assert_eq!(config.get_tcp_user_timeout(), Some(&Duration::from_millis(1500)));
        assert_eq!(config.get_connect_timeout(), Some(&Duration::from_secs(10)));
        let config = of("postgres://h,i:2/d?keepalives_count=4&connect_timeout=3").unwrap();
        assert_eq!((config.get_hosts().len(), config.get_ports()), (2, &[5432, 2][..]));
        assert_eq!(config.get_keepalives_retries(), Some(4));
        assert_eq!(config.get_connect_timeout(), Some(&Duration::from_secs(3)));
        let config = of("host='/run/my sockets' user='a\\'b'").unwrap();
        assert_eq!(config.get_hosts(), [Host::Unix("/run/my sockets".into())]);
        assert_eq!(config.get_user(), Some("a'b"));
    }

    #[test]
    fn a_value_that_the_driver_refuses_is_named_and_not_shown() {
        for name in ["target_session_attrs", "channel_binding", "load_balance_hosts", "keepalives_idle"] {
            let error = of(&format!("postgres://h/d?{name}=s3cret")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            let text = format!("{error} {error:?}");
            assert!(text.contains(name) && !text.contains("s3cret"), "{text}");
        }
        assert_eq!(of("postgres:///d").unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
}
