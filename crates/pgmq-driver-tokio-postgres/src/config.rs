//! The driver's configuration.

use std::time::Duration;

use pgmq_core::backend::Settings;
use pgmq_core::{Error, ErrorKind};
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;

use crate::silence::limit_silence;
use crate::tls::{Tls, TlsOptions};

/// The driver's configuration for these settings, and the encryption of the connections.
///
/// # Errors
///
/// [`ErrorKind::InvalidArgument`], if the driver does not accept the URL, or TLS is required and not compiled
/// in.
pub fn config(settings: &Settings) -> Result<(Config, Tls), Error> {
    settings.check()?;
    let (mut config, tls) = match &settings.url {
        Some(url) => parse(url)?,
        None => (Config::new(), TlsOptions::default()),
    };
    if let Some(host) = &settings.host {
        config.host(host);
    }
    if let Some(port) = settings.port {
        config.port(port);
    }
    if let Some(database) = &settings.database {
        config.dbname(database);
    }
    if let Some(username) = &settings.username {
        config.user(username);
    }
    if let Some(password) = &settings.password {
        config.password(password);
    }
    if let Some(name) = &settings.application_name {
        config.application_name(name);
    }
    finish(config, &tls, settings)
}

/// The driver's configuration for listening, by `listen_url` if there is one.
///
/// # Errors
///
/// As for [`config`].
pub fn listen_config(settings: &Settings, listen_url: Option<&str>) -> Result<(Config, Tls), Error> {
    match listen_url {
        Some(url) => {
            let (config, tls) = parse(url)?;
            finish(config, &tls, settings)
        }
        None => config(settings),
    }
}

fn finish(mut config: Config, options: &TlsOptions, settings: &Settings) -> Result<(Config, Tls), Error> {
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(settings.connect_timeout);
    }
    limit_silence(&mut config);
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
        let text = "the connection string requires an encrypted connection, and TLS is not compiled in; enable the Cargo \
                    feature \"rustls\" or \"native-tls\" of this crate";
        return Err(Error::new(ErrorKind::InvalidArgument, text));
    }
    config.ssl_mode(SslMode::Disable);
    Ok((config, Tls::disabled()))
}

/// The limit for connecting as a whole.
///
/// The driver's timeout covers only the TCP connection to one address. The limit therefore has the same time
/// again for each further host, and for the login.
pub fn connect_limit(config: &Config) -> Duration {
    let per_host = config.get_connect_timeout().copied().unwrap_or_default();
    let hosts = config.get_hosts().len().max(config.get_hostaddrs().len()).max(1);
    per_host.saturating_mul(u32::try_from(hosts).unwrap_or(u32::MAX).saturating_add(1)).min(LONGEST)
}

/// The longest limit. A longer one could overflow when it is added to a clock.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Parses a connection string: the TLS settings here, and the rest with the driver's own parser.
fn parse(url: &str) -> Result<(Config, TlsOptions), Error> {
    let (rest, tls) = TlsOptions::take(url)?;
    let config = rest.parse().map_err(|error: tokio_postgres::Error| {
        let text = "the driver does not accept the connection string; give one such as postgres://user:password@host/database";
        let refused = Error::new(ErrorKind::InvalidArgument, text);
        // The cause repeats a word of the string, which could be part of a password with a space in it.
        if url.contains("password") { refused } else { refused.because(error) }
    })?;
    Ok((config, tls))
}
