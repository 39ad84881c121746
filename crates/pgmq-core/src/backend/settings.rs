//! The settings of connections and pools, for every back end.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::error_kind::ErrorKind;
use crate::observer::Observer;

/// The settings of a queue's connections and of its pool. A back end's builder fills them in.
#[derive(Clone)]
#[non_exhaustive]
pub struct Settings {
    /// A URL or libpq connection string.
    pub url: Option<String>,
    /// The host, if there is no URL.
    pub host: Option<String>,
    /// The port, if there is no URL.
    pub port: Option<u16>,
    /// The database, which overrides the one in the URL.
    pub database: Option<String>,
    /// The role, which overrides the one in the URL.
    pub username: Option<String>,
    /// The password, which overrides the one in the URL.
    pub password: Option<String>,
    /// The `application_name` of the connections, which overrides the one in the URL.
    pub application_name: Option<String>,
    /// A URL for `listen` alone, such as one that bypasses a pooler.
    pub listen_url: Option<String>,
    /// The maximum number of connections in the pool.
    pub pool_size: u32,
    /// The longest wait of an operation for a pooled connection.
    pub acquire_timeout: Duration,
    /// The timeout for connecting to one address, unless the URL sets one.
    pub connect_timeout: Duration,
    /// The idle time after which a connection is closed; `None` sets no limit.
    pub idle_timeout: Option<Duration>,
    /// The age after which a connection is closed when it is next idle; `None` sets no limit.
    pub max_lifetime: Option<Duration>,
    /// The time without a notification after which a listener checks that the server still answers.
    pub listener_check_interval: Duration,
    /// `true` if statements stay prepared on the connections; `None` leaves the choice to the back end.
    pub prepared_statements: Option<bool>,
    /// `true` if `connect` checks that PGMQ is installed, and creates the extension if it is missing.
    pub install_extension: bool,
    /// The observer of the queue's operations.
    pub observer: Option<Arc<dyn Observer>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            url: None,
            host: None,
            port: None,
            database: None,
            username: None,
            password: None,
            application_name: None,
            listen_url: None,
            pool_size: 10,
            acquire_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Some(Duration::from_secs(600)),
            max_lifetime: Some(Duration::from_secs(1800)),
            listener_check_interval: Duration::from_secs(30),
            prepared_statements: None,
            install_extension: true,
            observer: None,
        }
    }
}

impl Settings {
    /// Creates settings with a URL or libpq connection string, and the defaults for the rest.
    pub fn from_url(url: impl Into<String>) -> Self {
        Self { url: Some(url.into()), ..Self::default() }
    }

    /// Reads the settings from variables of the environment.
    ///
    /// The variable `DATABASE_URL` is the URL. Without it, `PG_HOST`, `PG_PORT`, `PG_DATABASE`, `PG_USERNAME`
    /// and `PG_PASSWORD` are read, which default to `localhost`, 5432, and `postgres` for the others.
    /// `PG_INIT_EXTENSION` sets [`install_extension`](Self::install_extension) in either case. A variable
    /// that is empty, or blank, is as good as a missing one.
    ///
    /// `var` returns the value of a variable, usually by [`std::env::var`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`], if a variable has an invalid value.
    pub fn from_vars(var: impl Fn(&str) -> Result<String, std::env::VarError>) -> Result<Self, Error> {
        // The error of `var` is not the cause, because it shows the value, which may be a password.
        let read = |name: &str| match var(name) {
            Ok(value) => Ok(Some(value).filter(|value| !value.trim().is_empty())),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => {
                Err(invalid(format!("the variable {name} is not valid Unicode; correct or unset it")))
            }
        };
        let mut settings = Self { url: read("DATABASE_URL")?, ..Self::default() };
        if let Some(init) = read("PG_INIT_EXTENSION")? {
            settings.install_extension = match init.trim().to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" | "on" => true,
                "false" | "0" | "no" | "off" => false,
                _ => return Err(invalid("PG_INIT_EXTENSION is not valid; set it to true or false")),
            };
        }
        if settings.url.is_none() {
            // A password may begin or end with a space. The others may end with the line feed of a file.
            let or = |name, default: &str| {
                Ok::<_, Error>(Some(read(name)?.map_or(default.to_owned(), |value| value.trim().to_owned())))
            };
            settings.host = or("PG_HOST", "localhost")?;
            settings.port =
                Some(match read("PG_PORT")? {
                    None => 5432,
                    Some(port) => port.trim().parse().ok().filter(|port| *port > 0).ok_or_else(|| {
                        invalid("PG_PORT is not a port; set it to a number from 1 to 65535")
                    })?,
                });
            settings.database = or("PG_DATABASE", "postgres")?;
            settings.username = or("PG_USERNAME", "postgres")?;
            settings.password = Some(read("PG_PASSWORD")?.unwrap_or_else(|| "postgres".to_owned()));
        }
        Ok(settings)
    }

    /// Checks that the settings are complete and do not contradict each other.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`], if there is a URL and also a host or port, if there is neither a URL
    /// nor a host, if the pool size is zero or over 262143, or if a timeout or lifetime is zero or over ten
    /// years.
    pub fn check(&self) -> Result<(), Error> {
        if self.url.is_some() && (self.host.is_some() || self.port.is_some()) {
            return Err(invalid("there is a URL and also a host or port; give one or the other"));
        }
        if self.url.is_none() && self.host.is_none() {
            return Err(invalid("there is nothing to connect to; give a URL or a host"));
        }
        if self.pool_size == 0 {
            return Err(invalid("the pool size is 0; give at least 1"));
        }
        if self.pool_size > MOST_CONNECTIONS {
            // The pools reserve memory for all their connections at once.
            return Err(invalid(format!(
                "the pool size is over {MOST_CONNECTIONS}, the most connections that a server can have; give a few per core \
                 of the server"
            )));
        }
        let spans = [
            ("acquire_timeout", Some(self.acquire_timeout)),
            ("connect_timeout", Some(self.connect_timeout)),
            ("idle_timeout", self.idle_timeout),
            ("max_lifetime", self.max_lifetime),
            ("listener_check_interval", Some(self.listener_check_interval)),
        ];
        for (name, span) in spans {
            match span {
                Some(Duration::ZERO) => return Err(invalid(format!("the {name} is zero; give more"))),
                Some(span) if span > LONGEST => {
                    return Err(invalid(format!(
                        "the {name} is over ten years; give less, or None for no limit if the setting is optional"
                    )));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The largest value of a server's `max_connections`.
const MOST_CONNECTIONS: u32 = 262_143;

/// The longest span of time. A longer one could overflow when it is added to a clock.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

fn invalid(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, text)
}

impl fmt::Debug for Settings {
    /// Leaves out the password, and the URLs, which may contain one, also where a URL is in the wrong place.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |name: &Option<String>| name.clone().filter(|name| !name.contains(['@', '=', ':', '/']));
        f.debug_struct("Settings")
            .field("has_url", &self.url.is_some())
            .field("host", &shown(&self.host))
            .field("port", &self.port)
            .field("database", &shown(&self.database))
            .field("username", &shown(&self.username))
            .field("pool_size", &self.pool_size)
            .field("install_extension", &self.install_extension)
            .finish_non_exhaustive()
    }
}

/// The setters of a back end's builder, which has a field `settings`. For back ends.
#[doc(hidden)]
#[macro_export]
macro_rules! settings_methods {
    () => {
        /// A builder with the settings of environment variables: `DATABASE_URL`, or otherwise `PG_HOST`,
        /// `PG_PORT`, `PG_DATABASE`, `PG_USERNAME` and `PG_PASSWORD`, which default to `localhost`, 5432, and
        /// `postgres` for the others. `PG_INIT_EXTENSION=false` skips the creation of the extension.
        ///
        /// An empty variable is as good as a missing one. The other methods override what the variables set.
        ///
        /// # Errors
        ///
        /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument), if a variable is not valid. The
        /// error names the variable, and does not show its value.
        pub fn from_env() -> Result<Self, Error> {
            Ok(Self { settings: Settings::from_vars(|name| ::std::env::var(name))? })
        }

        /// Sets the URL or libpq connection string. Required, unless there is a [`host`](Self::host).
        ///
        /// The password is never shown. Nor is any other text of the string, except for the names of known
        /// parameters, in debug output, in a log, or in the error of a string that is refused. An error of
        /// connecting may name the host, the role or the database. The guide lists the parameters that the
        /// driver takes; any other is refused.
        #[must_use]
        pub fn url(mut self, url: impl Into<String>) -> Self {
            self.settings.url = Some(url.into());
            self
        }

        /// Sets the host, or the folder of a Unix socket. Required, unless there is a [`url`](Self::url),
        /// which excludes a host.
        #[must_use]
        pub fn host(mut self, host: impl Into<String>) -> Self {
            self.settings.host = Some(host.into());
            self
        }

        /// Sets the port of the [`host`](Self::host); the default is the driver's. A [`url`](Self::url)
        /// excludes a port.
        #[must_use]
        pub fn port(mut self, port: u16) -> Self {
            self.settings.port = Some(port);
            self
        }

        /// Sets the database; the default is the one in the URL, or the driver's.
        #[must_use]
        pub fn database(mut self, database: impl Into<String>) -> Self {
            self.settings.database = Some(database.into());
            self
        }

        /// Sets the role to connect as; the default is the one in the URL, or the driver's.
        #[must_use]
        pub fn username(mut self, username: impl Into<String>) -> Self {
            self.settings.username = Some(username.into());
            self
        }

        /// Sets the password; the default is the one in the URL, or the driver's.
        #[must_use]
        pub fn password(mut self, password: impl Into<String>) -> Self {
            self.settings.password = Some(password.into());
            self
        }

        /// Sets the `application_name` of the connections, as shown in `pg_stat_activity`; the default is the
        /// one in the URL, or the driver's.
        #[must_use]
        pub fn application_name(mut self, name: impl Into<String>) -> Self {
            self.settings.application_name = Some(name.into());
            self
        }

        /// Sets the URL with which `listen` connects, such as one that bypasses a pooler; the default is to
        /// connect as the pool does. The builder's database, username, password and application name are used
        /// where this URL has none.
        #[must_use]
        pub fn listen_url(mut self, url: impl Into<String>) -> Self {
            self.settings.listen_url = Some(url.into());
            self
        }

        /// Sets the maximum number of connections in the pool, from 1 to 262143; the default is 10. The pool
        /// opens connections when they are needed.
        #[must_use]
        pub fn pool_size(mut self, connections: u32) -> Self {
            self.settings.pool_size = connections;
            self
        }

        /// Sets how long an operation waits for a pooled connection; the default is 30 seconds.
        #[must_use]
        pub fn acquire_timeout(mut self, timeout: ::std::time::Duration) -> Self {
            self.settings.acquire_timeout = timeout;
            self
        }

        /// Sets the timeout for connecting to one address, unless the URL sets one; the default is 10
        /// seconds.
        #[must_use]
        pub fn connect_timeout(mut self, timeout: ::std::time::Duration) -> Self {
            self.settings.connect_timeout = timeout;
            self
        }

        /// Sets the idle time after which a connection is closed; the default is 10 minutes, and `None` sets
        /// no limit.
        #[must_use]
        pub fn idle_timeout(mut self, timeout: impl Into<Option<::std::time::Duration>>) -> Self {
            self.settings.idle_timeout = timeout.into();
            self
        }

        /// Sets the age after which a connection is closed when it is next idle; the default is 30 minutes,
        /// and `None` sets no limit.
        #[must_use]
        pub fn max_lifetime(mut self, lifetime: impl Into<Option<::std::time::Duration>>) -> Self {
            self.settings.max_lifetime = lifetime.into();
            self
        }

        /// Sets the time without a notification after which a listener checks that the server still answers;
        /// the default is 30 seconds.
        ///
        /// A connection that was lost without a word, such as by a firewall that forgot it, looks like one on
        /// which nothing happens. The check is one round trip on the listener's connection. A listener whose
        /// server does not answer within the connect timeout reconnects.
        #[must_use]
        pub fn listener_check_interval(mut self, interval: ::std::time::Duration) -> Self {
            self.settings.listener_check_interval = interval;
            self
        }

        /// Sets the observer of the queue's operations, such as one that makes traces and metrics of them;
        /// the default is none, which costs nothing. An [`Arc`](::std::sync::Arc) of an observer is one as
        /// well.
        #[must_use]
        pub fn observer(mut self, observer: impl $crate::Observer) -> Self {
            self.settings.observer = Some(::std::sync::Arc::new(observer));
            self
        }

        /// Sets whether statements stay prepared on their connections; the default depends on the driver.
        ///
        /// The server parses a prepared statement once per connection, and may reuse its plan. By default
        /// `pgmq-postgres` and `pgmq-tokio` prepare no statements, and work behind any pooler. The other back
        /// ends prepare them by default, and need `false` here behind a pooler in transaction mode that does
        /// not support prepared statements. `pgmq-diesel-async` always prepares: with `false`, its `connect`
        /// fails with `InvalidArgument`.
        #[must_use]
        pub fn prepared_statements(mut self, prepared: bool) -> Self {
            self.settings.prepared_statements = Some(prepared);
            self
        }

        /// Sets whether [`connect`](Self::connect) checks that PGMQ is installed, and creates the extension
        /// if it is missing; the default is `true`.
        #[must_use]
        pub fn install_extension(mut self, install: bool) -> Self {
            self.settings.install_extension = install;
            self
        }
    };
}

#[cfg(test)]
mod tests {
    use std::env::VarError;

    use super::*;

    fn vars(set: &[(&str, &str)]) -> Result<Settings, Error> {
        Settings::from_vars(|name| {
            let found = set.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned()).ok_or(VarError::NotPresent)
        })
    }

    #[test]
    fn a_database_url_excludes_the_parts_and_parts_have_defaults() {
        let url = vars(&[("DATABASE_URL", "postgres://x"), ("PG_HOST", "ignored")]).unwrap();
        assert_eq!((url.url.as_deref(), url.host), (Some("postgres://x"), None));
        let parts = vars(&[("PG_PORT", "6543"), ("PG_INIT_EXTENSION", "False")]).unwrap();
        assert_eq!(
            (parts.host.as_deref(), parts.port, parts.install_extension),
            (Some("localhost"), Some(6543), false)
        );
        assert_eq!(parts.database.as_deref(), Some("postgres"));
    }

    #[test]
    fn an_empty_variable_is_as_good_as_a_missing_one() {
        let parts = vars(&[
            ("DATABASE_URL", ""),
            ("PG_HOST", "db\n"),
            ("PG_PORT", " "),
            ("PG_PASSWORD", " p "),
            ("PG_INIT_EXTENSION", ""),
        ])
        .unwrap();
        assert_eq!((parts.url, parts.host.as_deref(), parts.port), (None, Some("db"), Some(5432)));
        assert_eq!((parts.password.as_deref(), parts.install_extension), (Some(" p "), true));
    }

    #[test]
    #[cfg(unix)]
    fn an_invalid_variable_is_not_shown() {
        use std::os::unix::ffi::OsStringExt;

        for name in ["DATABASE_URL", "PG_PASSWORD", "PG_PORT", "PG_INIT_EXTENSION"] {
            let garbled = || std::ffi::OsString::from_vec(b"s3cret\xff".to_vec());
            let error = Settings::from_vars(|asked| {
                Err(if asked == name { VarError::NotUnicode(garbled()) } else { VarError::NotPresent })
            });
            let error = error.unwrap_err();
            let text = format!("{error} {error:?}");
            assert!(text.contains(name) && !text.contains("s3cret"), "{text}");
        }
        for name in ["PG_PORT", "PG_INIT_EXTENSION"] {
            let error = vars(&[(name, "s3cret")]).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
        }
    }

    #[test]
    fn invalid_settings_are_refused() {
        for set in
            [("PG_PORT", "many"), ("PG_PORT", "70000"), ("PG_PORT", "0"), ("PG_INIT_EXTENSION", "maybe")]
        {
            let error = vars(&[set]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.to_string().contains(set.0), "{error}");
        }
        let both = Settings { url: Some("u".into()), port: Some(1), ..Settings::default() };
        assert!(both.check().is_err() && Settings::default().check().is_err());
        for size in [0, MOST_CONNECTIONS + 1, u32::MAX] {
            let settings = Settings { url: Some("u".into()), pool_size: size, ..Settings::default() };
            assert_eq!(settings.check().unwrap_err().kind(), ErrorKind::InvalidArgument);
        }
        let spans = [Duration::ZERO, Duration::MAX];
        assert!(spans.into_iter().all(|span| {
            let settings = Settings { url: Some("u".into()), acquire_timeout: span, ..Settings::default() };
            settings.check().is_err()
        }));
    }

    #[test]
    fn debug_output_shows_no_password() {
        let settings =
            Settings { password: Some("s3cret".into()), url: Some("x:s3cret".into()), ..Settings::default() };
        assert!(!format!("{settings:?}").contains("s3cret"));
        // A URL in the wrong place.
        let url = || Some("postgres://me:s3cret@h/d".to_owned());
        let settings = Settings { host: url(), database: url(), username: url(), ..Settings::default() };
        assert!(!format!("{settings:?}").contains("s3cret"));
    }
}
