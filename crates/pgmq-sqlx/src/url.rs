//! Connection strings.

use std::borrow::Cow;
use std::time::Duration;

use pgmq_core::backend::conninfo::{keywords, percent};
use pgmq_core::{Error, ErrorKind};

/// A URL for the driver's parser: the given one, or one with the settings of a libpq string.
pub(crate) fn to_url(text: &str) -> Result<Cow<'_, str>, Error> {
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        return Ok(Cow::Borrowed(text));
    }
    let settings = keywords(text).ok_or_else(refused)?;
    let mut url = "postgres:///?".to_owned();
    for (key, value) in settings {
        url.extend([&percent(&key), "=", &percent(&value), "&"]);
    }
    Ok(Cow::Owned(url))
}

/// The error for an invalid connection string. The text repeats nothing of the string, which could be part of
/// a password.
pub(crate) fn refused() -> Error {
    let text = "the connection string is not one that the driver accepts, such as postgres://user:password@host/database";
    Error::new(ErrorKind::InvalidArgument, text)
}

/// The limit for connecting that a URL sets. The driver ignores that setting.
pub(crate) fn connect_timeout(url: &str) -> Result<Option<Duration>, Error> {
    let Some((_, seconds)) = pairs(url).find(|(key, _)| *key == "connect_timeout") else { return Ok(None) };
    let seconds: i32 = seconds.parse().map_err(|error| {
        let text = "the connect_timeout of the connection string is not a number of seconds";
        Error::new(ErrorKind::InvalidArgument, text).because(error)
    })?;
    // As in libpq, zero and negative numbers set no limit.
    Ok(u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs))
}

/// The settings after the question mark of a URL, not decoded.
pub(crate) fn pairs(url: &str) -> impl Iterator<Item = (&str, &str)> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    query.split(['&', '#']).filter_map(|pair| pair.split_once('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_left_unchanged() {
        for url in ["postgres://a:b@c/d?e=f", "postgresql:///?host=%2Ftmp"] {
            assert_eq!(to_url(url).unwrap(), url);
        }
    }

    #[test]
    fn a_libpq_string_becomes_a_url_with_the_same_settings() {
        let error = to_url(r" host = 'h' port=5 password='it''s' ").err();
        assert!(error.is_some(), "a quote in quotes has a backslash before it");
        let text = r"host=/var/run  port = 5 password='a b\'c\\&%' options='' user=ä";
        let url = "postgres:///?host=%2Fvar%2Frun&port=5&password=a%20b%27c%5C%26%25&options=&user=%C3%A4&";
        assert_eq!(to_url(text).unwrap(), url);
        let options: sqlx::postgres::PgConnectOptions = url.parse().unwrap();
        assert_eq!((options.get_port(), options.get_username()), (5, "ä"));
        let url = to_url("host=h statement-cache-capacity=0").unwrap();
        assert!(pairs(&url).any(|pair| pair == ("statement-cache-capacity", "0")));
    }

    #[test]
    fn any_other_string_is_refused_without_repeating_it() {
        for text in
            ["", " ", "s3cret", "a s3cret=b", "=s3cret", "a='s3cret", "a=s3cret\\", "mysql://s3cret@h/d"]
        {
            let error = to_url(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        }
    }

    #[test]
    fn a_url_may_set_the_limit_for_connecting() {
        let of = |query| connect_timeout(&format!("postgres://h/d?{query}"));
        assert_eq!(of("sslmode=disable&connect_timeout=7").unwrap(), Some(Duration::from_secs(7)));
        assert!(of("").unwrap().is_none() && of("connect_timeout=0").unwrap().is_none());
        assert_eq!(of("connect_timeout=soon").unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
}
