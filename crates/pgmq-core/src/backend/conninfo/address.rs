//! The address that a connection string names, for observers.

use crate::backend::conninfo::pairs::pairs;
use crate::backend::conninfo::uri::{Uri, after_scheme};
use crate::backend::settings::Settings;
use crate::observer::ServerAddress;

/// The address of the server; `None` if the settings name none, or several.
///
/// Settings that the back end refuses are its concern. Here they have no address.
pub fn address(settings: &Settings) -> Option<ServerAddress> {
    let named = settings.url.as_deref().map_or(Some(Vec::new()), |url| named(url.trim()))?;
    let get = |name: &str| {
        let values = named.iter().rev().filter(|(known, value)| known == name && !value.is_empty());
        values.map(|(_, value)| value.clone()).next()
    };
    let host = settings.host.clone().or_else(|| get("host")).or_else(|| get("hostaddr"))?;
    let port = settings.port.or_else(|| get("port")?.parse().ok());
    let database = settings.database.clone().or_else(|| get("dbname"));
    (!host.contains(',')).then_some(ServerAddress { host, port, database })
}

/// The parameters of a connection string.
fn named(text: &str) -> Option<Vec<(String, String)>> {
    let Some(rest) = after_scheme(text) else {
        let keywords = pairs(text).ok()?;
        return Some(keywords.into_iter().map(|keyword| (keyword.name, keyword.value)).collect());
    };
    let Uri { mut address, query } = Uri::parse(rest).ok()?;
    address.extend(query.into_iter().filter_map(|(name, value)| Some((name, value?))));
    Some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(settings: &Settings) -> String {
        format!("{:?}", address(settings).map(|address| (address.host, address.port, address.database)))
    }

    #[test]
    fn the_address_is_that_of_the_only_host() {
        for (url, expected) in [
            ("postgres://me:secret@db:5433/shop", r#"Some(("db", Some(5433), Some("shop")))"#),
            ("postgres:///shop?host=/run/postgres", r#"Some(("/run/postgres", None, Some("shop")))"#),
            ("host=db dbname='my shop' password=secret", r#"Some(("db", None, Some("my shop")))"#),
            ("postgres://one,two/shop", "None"),
            ("postgres:///shop", "None"),
            ("not a string", "None"),
        ] {
            assert_eq!(shown(&Settings::from_url(url)), expected, "{url}");
        }
    }

    #[test]
    fn the_settings_override_the_string() {
        let settings =
            Settings { database: Some("other".into()), ..Settings::from_url("postgres://db/shop") };
        assert_eq!(shown(&settings), r#"Some(("db", None, Some("other")))"#);
        let settings = Settings { host: Some("db".into()), port: Some(1), ..Settings::default() };
        assert_eq!(shown(&settings), r#"Some(("db", Some(1), None))"#);
    }
}
