//! Connection strings.

use std::borrow::Cow;
use std::time::Duration;

use pgmq_core::backend::conninfo::{keywords, percent};
use pgmq_core::{Error, ErrorKind};

/// A URL that the driver takes: that which was given, or one that says the same as a libpq string.
pub(crate) fn url_of(text: &str) -> Result<Cow<'_, str>, Error> {
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

/// The error for what is no connection string. It repeats nothing, as that could be a part of a password.
pub(crate) fn refused() -> Error {
    let text = "the connection string is not one that the driver takes, such as postgres://user:password@host/database";
    Error::new(ErrorKind::InvalidArgument, text)
}

/// How long a URL says that connecting may take. The driver does not read it.
pub(crate) fn connect_timeout(url: &str) -> Result<Option<Duration>, Error> {
    let Some((_, seconds)) = pairs(url).find(|(key, _)| *key == "connect_timeout") else { return Ok(None) };
    let seconds: i32 = seconds.parse().map_err(|error| {
        let text = "the connect_timeout of the connection string is not a number of seconds";
        Error::new(ErrorKind::InvalidArgument, text).because(error)
    })?;
    // As in libpq, zero and less mean no limit of its own.
    Ok(u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs))
}

/// The settings after the question mark of a URL, as they stand there.
pub(crate) fn pairs(url: &str) -> impl Iterator<Item = (&str, &str)> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    query.split(['&', '#']).filter_map(|pair| pair.split_once('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_left_as_they_are() {
        for url in ["postgres://a:b@c/d?e=f", "postgresql:///?host=%2Ftmp"] {
            assert_eq!(url_of(url).unwrap(), url);
        }
    }

    #[test]
    fn a_libpq_string_becomes_a_url_that_says_the_same() {
        let url = url_of(r" host = 'h' port=5 password='it''s' ").err();
        assert!(url.is_some(), "a quote in quotes has a backslash before it");
        let text = r"host=/var/run  port = 5 password='a b\'c\\&%' options='' user=ä";
        let url = "postgres:///?host=%2Fvar%2Frun&port=5&password=a%20b%27c%5C%26%25&options=&user=%C3%A4&";
        assert_eq!(url_of(text).unwrap(), url);
        let options: sqlx::postgres::PgConnectOptions = url.parse().unwrap();
        assert_eq!((options.get_port(), options.get_username()), (5, "ä"));
        let url = url_of("host=h statement-cache-capacity=0").unwrap();
        assert!(pairs(&url).any(|pair| pair == ("statement-cache-capacity", "0")));
    }

    #[test]
    fn what_is_neither_is_refused_without_repeating_it() {
        for text in
            ["", " ", "s3cret", "a s3cret=b", "=s3cret", "a='s3cret", "a=s3cret\\", "mysql://s3cret@h/d"]
        {
            let error = url_of(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        }
    }

    #[test]
    fn a_url_may_say_how_long_connecting_may_take() {
        let of = |query| connect_timeout(&format!("postgres://h/d?{query}"));
        assert_eq!(of("sslmode=disable&connect_timeout=7").unwrap(), Some(Duration::from_secs(7)));
        assert!(of("").unwrap().is_none() && of("connect_timeout=0").unwrap().is_none());
        assert_eq!(of("connect_timeout=soon").unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
}
