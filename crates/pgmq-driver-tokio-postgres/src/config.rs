//! The driver's configuration.

use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::SslMode;

use super::Tls;
use super::tls::TlsOptions;
use pgmq_core::{Error, ErrorKind, Settings};

/// The driver's configuration for these settings, and how it encrypts.
///
/// # Errors
///
/// [`ErrorKind::InvalidArgument`], when the driver does not take the URL, or TLS is required and not compiled in.
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

/// The driver's configuration for listening, which has a URL of its own if the settings say so.
///
/// # Errors
///
/// As for [`config`].
pub fn listen_config(settings: &Settings) -> Result<(Config, Tls), Error> {
    match &settings.listen_url {
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
    // The driver encrypts for hosts only. Where there is but an address, it is what a certificate has to be for.
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
        let text = "the connection string asks for an encrypted connection, and TLS is not compiled in; switch on the cargo \
                    feature \"rustls\" or \"native-tls\" of this crate";
        return Err(Error::new(ErrorKind::InvalidArgument, text));
    }
    config.ssl_mode(SslMode::Disable);
    Ok((config, Tls::disabled()))
}

/// How long connecting may take in all. The driver's time-out is for one address, and ends with the TCP connection: so there
/// is as much again for each further host, and for what comes after.
pub fn connect_limit(config: &Config) -> Duration {
    let per_host = config.get_connect_timeout().copied().unwrap_or_default();
    let hosts = config.get_hosts().len().max(config.get_hostaddrs().len()).max(1);
    per_host.saturating_mul(u32::try_from(hosts).unwrap_or(u32::MAX).saturating_add(1)).min(LONGEST)
}

/// No wait is longer: those who add it to a clock would overflow some day.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Reads a connection string: what it says of TLS here, and the rest by the driver's own parser.
fn parse(url: &str) -> Result<(Config, TlsOptions), Error> {
    let (rest, tls) = TlsOptions::take(url)?;
    let config = rest.parse().map_err(|error: tokio_postgres::Error| {
        let text = "the connection string is not one that the driver takes, such as postgres://user:password@host/database";
        let refused = Error::new(ErrorKind::InvalidArgument, text);
        // The cause repeats a word of it, which could be part of a password with a space in it.
        if url.contains("password") { refused } else { refused.because(error) }
    })?;
    Ok((config, tls))
}
