//! How to connect, told once for every back end.

use std::fmt;
use std::time::Duration;

use crate::{Error, ErrorKind};

/// How a queue connects, and how its pool behaves. A back end's builder fills this in.
#[derive(Clone)]
#[non_exhaustive]
pub struct Settings {
    /// A URL or libpq connection string, for the driver's own parser.
    pub url: Option<String>,
    /// The host, where there is no URL.
    pub host: Option<String>,
    /// The port, where there is no URL.
    pub port: Option<u16>,
    /// The database; instead of that of the URL.
    pub database: Option<String>,
    /// The role; instead of that of the URL.
    pub username: Option<String>,
    /// The password; instead of that of the URL.
    pub password: Option<String>,
    /// What the server shows the connections as; instead of that of the URL.
    pub application_name: Option<String>,
    /// A URL for `listen` alone, such as one that goes round a pooler.
    pub listen_url: Option<String>,
    /// How many connections the pool holds at most.
    pub pool_size: u32,
    /// How long an operation waits for a pooled connection.
    pub acquire_timeout: Duration,
    /// How long connecting to one address may take, unless the URL says.
    pub connect_timeout: Duration,
    /// After how long an idle connection is closed.
    pub idle_timeout: Option<Duration>,
    /// After how long a connection is closed when it is next idle.
    pub max_lifetime: Option<Duration>,
    /// Whether statements stay prepared on the connections; `None` leaves it to the back end.
    pub prepared_statements: Option<bool>,
    /// Whether `connect` makes sure that PGMQ is there.
    pub init: bool,
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
            prepared_statements: None,
            init: true,
        }
    }
}

impl Settings {
    /// Those of a URL or libpq connection string, and the defaults for the rest.
    pub fn from_url(url: impl Into<String>) -> Self {
        Self { url: Some(url.into()), ..Self::default() }
    }

    /// Reads `DATABASE_URL`, or else `PG_HOST`, `PG_PORT`, `PG_DATABASE`, `PG_USERNAME` and `PG_PASSWORD`, which default to
    /// `localhost`, 5432, and `postgres` for the others; and `PG_INIT_EXTENSION`.
    ///
    /// `var` gives a variable, usually by [`std::env::var`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`], when a variable is set to what cannot be read.
    pub fn from_vars(var: impl Fn(&str) -> Result<String, std::env::VarError>) -> Result<Self, Error> {
        let read = |name: &str| match var(name) {
            Ok(value) => Ok(Some(value)),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(error) => Err(invalid(format!("the variable {name} is not valid Unicode")).because(error)),
        };
        let mut settings = Self { url: read("DATABASE_URL")?, ..Self::default() };
        if let Some(init) = read("PG_INIT_EXTENSION")? {
            settings.init = match init.to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" | "on" => true,
                "false" | "0" | "no" | "off" => false,
                _ => return Err(invalid(format!("PG_INIT_EXTENSION is {init:?}; set it to true or false"))),
            };
        }
        if settings.url.is_none() {
            let or_postgres =
                |name| Ok::<_, Error>(Some(read(name)?.unwrap_or_else(|| "postgres".to_owned())));
            settings.host = Some(read("PG_HOST")?.unwrap_or_else(|| "localhost".to_owned()));
            settings.port = Some(match read("PG_PORT")? {
                None => 5432,
                Some(port) => port.parse().map_err(|error| {
                    invalid(format!("PG_PORT is {port:?}, which is no port")).because(error)
                })?,
            });
            settings.database = or_postgres("PG_DATABASE")?;
            settings.username = or_postgres("PG_USERNAME")?;
            settings.password = or_postgres("PG_PASSWORD")?;
        }
        Ok(settings)
    }

    /// Refuses what contradicts itself.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`], when there is both a URL and a host or port, neither, or a pool of no connections.
    pub fn check(&self) -> Result<(), Error> {
        if self.url.is_some() && (self.host.is_some() || self.port.is_some()) {
            return Err(invalid("there is a URL, and a host or port beside it; give one or the other"));
        }
        if self.url.is_none() && self.host.is_none() {
            return Err(invalid("there is nothing to connect to; give a URL or a host"));
        }
        if self.pool_size == 0 {
            return Err(invalid("the pool size is 0; give at least 1"));
        }
        let spans = [
            ("acquire_timeout", Some(self.acquire_timeout)),
            ("connect_timeout", Some(self.connect_timeout)),
            ("idle_timeout", self.idle_timeout),
            ("max_lifetime", self.max_lifetime),
        ];
        for (name, span) in spans {
            match span {
                Some(Duration::ZERO) => return Err(invalid(format!("the {name} is zero; give more"))),
                Some(span) if span > LONGEST => {
                    return Err(invalid(format!(
                        "the {name} is over ten years; give less, or none where that can be said"
                    )));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// No span of time is longer: those who add it to a clock would overflow some day.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

fn invalid(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, text)
}

impl fmt::Debug for Settings {
    /// Leaves out the URLs, which may hold a password, and the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("has_url", &self.url.is_some())
            .field("host", &self.host)
            .field("port", &self.port)
            .field("database", &self.database)
            .field("username", &self.username)
            .field("pool_size", &self.pool_size)
            .field("init", &self.init)
            .finish_non_exhaustive()
    }
}

/// The setters of a back end's builder, which holds `settings`. For back ends.
#[doc(hidden)]
#[macro_export]
macro_rules! settings_methods {
    () => {
        /// Connects by a URL or libpq connection string, which goes to the driver's own parser as it is.
        #[must_use]
        pub fn url(mut self, url: impl Into<String>) -> Self {
            self.settings.url = Some(url.into());
            self
        }

        /// Connects to this host, or to the Unix socket in this folder; instead of a URL.
        #[must_use]
        pub fn host(mut self, host: impl Into<String>) -> Self {
            self.settings.host = Some(host.into());
            self
        }

        /// Connects to this port; instead of a URL.
        #[must_use]
        pub fn port(mut self, port: u16) -> Self {
            self.settings.port = Some(port);
            self
        }

        /// Uses this database, whatever the URL says.
        #[must_use]
        pub fn database(mut self, database: impl Into<String>) -> Self {
            self.settings.database = Some(database.into());
            self
        }

        /// Connects as this role, whatever the URL says.
        #[must_use]
        pub fn username(mut self, username: impl Into<String>) -> Self {
            self.settings.username = Some(username.into());
            self
        }

        /// Connects with this password, whatever the URL says.
        #[must_use]
        pub fn password(mut self, password: impl Into<String>) -> Self {
            self.settings.password = Some(password.into());
            self
        }

        /// Has the server show the connections under this name.
        #[must_use]
        pub fn application_name(mut self, name: impl Into<String>) -> Self {
            self.settings.application_name = Some(name.into());
            self
        }

        /// Has `listen` connect by this URL instead, such as one that goes round a pooler.
        #[must_use]
        pub fn listen_url(mut self, url: impl Into<String>) -> Self {
            self.settings.listen_url = Some(url.into());
            self
        }

        /// Holds this many connections at most; 10 unless told. They are opened when they are needed.
        #[must_use]
        pub fn pool_size(mut self, connections: u32) -> Self {
            self.settings.pool_size = connections;
            self
        }

        /// Has an operation wait this long for a pooled connection; 30 seconds unless told.
        #[must_use]
        pub fn acquire_timeout(mut self, timeout: ::std::time::Duration) -> Self {
            self.settings.acquire_timeout = timeout;
            self
        }

        /// Gives up connecting to an address after this long; 10 seconds unless told, here or in the URL.
        #[must_use]
        pub fn connect_timeout(mut self, timeout: ::std::time::Duration) -> Self {
            self.settings.connect_timeout = timeout;
            self
        }

        /// Closes a connection that was idle for this long; 10 minutes unless told.
        #[must_use]
        pub fn idle_timeout(mut self, timeout: impl Into<Option<::std::time::Duration>>) -> Self {
            self.settings.idle_timeout = timeout.into();
            self
        }

        /// Closes a connection of this age, once it is idle; 30 minutes unless told.
        #[must_use]
        pub fn max_lifetime(mut self, lifetime: impl Into<Option<::std::time::Duration>>) -> Self {
            self.settings.max_lifetime = lifetime.into();
            self
        }

        /// Whether statements stay prepared on their connections, so that the server parses and plans an operation once per
        /// connection, and not each time.
        ///
        /// Unless told, the drivers do as they use to: `pgmq-postgres` and `pgmq-tokio` prepare nothing, and work behind any
        /// pooler; the others do, and behind a pooler in transaction mode that knows nothing of prepared statements they need
        /// `false` here. `pgmq-diesel-async` always prepares, and refuses `false`.
        #[must_use]
        pub fn prepared_statements(mut self, prepared: bool) -> Self {
            self.settings.prepared_statements = Some(prepared);
            self
        }

        /// Whether [`connect`](Self::connect) makes sure that PGMQ is there, and creates the extension where it is not; it
        /// does unless told.
        #[must_use]
        pub fn init(mut self, init: bool) -> Self {
            self.settings.init = init;
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
    fn a_database_url_stands_alone_and_parts_have_defaults() {
        let url = vars(&[("DATABASE_URL", "postgres://x"), ("PG_HOST", "ignored")]).unwrap();
        assert_eq!((url.url.as_deref(), url.host), (Some("postgres://x"), None));
        let parts = vars(&[("PG_PORT", "6543"), ("PG_INIT_EXTENSION", "False")]).unwrap();
        assert_eq!((parts.host.as_deref(), parts.port, parts.init), (Some("localhost"), Some(6543), false));
        assert_eq!(parts.database.as_deref(), Some("postgres"));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for set in [("PG_PORT", "many"), ("PG_PORT", "70000"), ("PG_INIT_EXTENSION", "maybe")] {
            let error = vars(&[set]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.to_string().contains(set.0), "{error}");
        }
        let both = Settings { url: Some("u".into()), port: Some(1), ..Settings::default() };
        assert!(both.check().is_err() && Settings::default().check().is_err());
        let spans = [Duration::ZERO, Duration::MAX];
        assert!(spans.into_iter().all(|span| {
            let settings = Settings { url: Some("u".into()), acquire_timeout: span, ..Settings::default() };
            settings.check().is_err()
        }));
    }

    #[test]
    fn no_password_is_shown() {
        let settings =
            Settings { password: Some("s3cret".into()), url: Some("x:s3cret".into()), ..Settings::default() };
        assert!(!format!("{settings:?}").contains("s3cret"));
    }
}
