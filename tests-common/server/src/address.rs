//! The address of a server: a URL or a libpq `key=value` string.

use std::str::FromStr;

use postgres::Config;
use url::Url;

use crate::error::ServerError;

/// The address and credentials of a server, as text that every driver understands and as a parsed
/// configuration.
#[derive(Clone)]
pub(crate) struct Address {
    text: String,
    config: Config,
}

impl Address {
    /// Reads `postgres://..`, `postgresql://..` or `host=.. user=..`.
    pub(crate) fn parse(text: &str) -> Result<Self, ServerError> {
        // The text may hold a password, so no error repeats it.
        let config = Config::from_str(text)
            .map_err(|error| ServerError::because("the database URL cannot be read", error))?;
        if is_url(text) {
            Url::parse(text)
                .map_err(|error| ServerError::because("the database URL cannot be read", error))?;
        }
        Ok(Self { text: text.to_owned(), config })
    }

    /// Names a server on this machine.
    pub(crate) fn local(host: &str, port: u16, password: &str) -> Result<Self, ServerError> {
        Self::parse(&format!("postgres://postgres:{password}@{host}:{port}/postgres"))
    }

    /// Returns the same user, password and database at another host and port, as a URL.
    pub(crate) fn moved_to(&self, host: &str, port: u16) -> Result<Self, ServerError> {
        let failed = |error| ServerError::because("cannot make a URL", error);
        let mut url = Url::parse(&format!("postgres://{host}:{port}")).map_err(failed)?;
        let user = self.config.get_user().unwrap_or("postgres");
        let password = self.config.get_password().map(String::from_utf8_lossy);
        // Both fail for a URL without a host.
        let _ = url.set_username(user);
        let _ = url.set_password(password.as_deref());
        Self::parse(&Self::parse(url.as_str())?.text_of(self.config.get_dbname().unwrap_or(user)))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the same server and user with another database: a URL if the address is one, otherwise
    /// `key=value`.
    pub(crate) fn text_of(&self, database: &str) -> String {
        if is_url(&self.text)
            && let Ok(mut url) = Url::parse(&self.text)
        {
            // A `dbname` among the parameters would take precedence over the path.
            let rest: Vec<(String, String)> =
                url.query_pairs().filter(|(key, _)| key != "dbname").map(owned).collect();
            url.set_query(None);
            if !rest.is_empty() {
                url.query_pairs_mut().extend_pairs(rest);
            }
            if let Ok(mut path) = url.path_segments_mut() {
                path.clear().push(database);
            }
            return url.into();
        }
        // Of two values for a key, libpq uses the last one.
        let quoted = database.replace('\\', r"\\").replace('\'', r"\'");
        format!("{} dbname='{quoted}'", self.text)
    }

    /// Returns the parsed form for another database.
    pub(crate) fn config_of(&self, database: &str) -> Config {
        let mut config = self.config.clone();
        config.dbname(database);
        config
    }
}

fn is_url(text: &str) -> bool {
    text.starts_with("postgres://") || text.starts_with("postgresql://")
}

fn owned((key, value): (impl Into<String>, impl Into<String>)) -> (String, String) {
    (key.into(), value.into())
}

#[cfg(test)]
mod tests {
    use super::Address;

    fn text_of(address: &str) -> String {
        Address::parse(address).unwrap().text_of("other")
    }

    #[test]
    fn a_url_keeps_all_but_its_database() {
        assert_eq!(
            text_of("postgres://me:p%40ss@host:5433/mine?sslmode=disable&dbname=x"),
            "postgres://me:p%40ss@host:5433/other?sslmode=disable"
        );
        assert_eq!(text_of("postgresql://host"), "postgresql://host/other");
        assert_eq!(text_of("postgres:///mine?host=%2Ftmp"), "postgres:///other?host=%2Ftmp");
    }

    #[test]
    fn an_address_elsewhere_has_the_same_user_password_and_database() {
        let moved = |address: &str| Address::parse(address).unwrap().moved_to("127.0.0.1", 6432).unwrap();
        assert_eq!(
            moved("host=/tmp user=me password='p@ ss' dbname=mine").as_str(),
            "postgres://me:p%40%20ss@127.0.0.1:6432/mine"
        );
        assert_eq!(moved("postgresql://me@host:5433").as_str(), "postgres://me@127.0.0.1:6432/me");
    }

    #[test]
    fn a_key_value_string_gets_a_last_database() {
        let text = text_of("host=localhost user=me dbname=mine");
        assert_eq!(text, "host=localhost user=me dbname=mine dbname='other'");
        assert_eq!(Address::parse(&text).unwrap().config().get_dbname(), Some("other"));
    }
}
