//! URIs: `postgres://user:password@host:port/database?parameter=value`.

use crate::backend::conninfo::checks::is_ipv6;
use crate::backend::conninfo::encoding::decoded;
use crate::backend::conninfo::pairs::Pair;
use crate::error::Error;
use crate::error_kind::ErrorKind;

/// The parts of a URI.
#[derive(Debug, Default)]
pub(crate) struct Uri {
    /// The user, password, hosts, ports and database before the question mark, as parameters.
    pub(crate) address: Vec<Pair>,
    /// The parameters after the question mark. A parameter without an equals sign has no value.
    pub(crate) query: Vec<(String, Option<String>)>,
}

/// Returns the text after the scheme of a URI of Postgres; `None` if the text is not one.
pub(crate) fn after_scheme(text: &str) -> Option<&str> {
    ["postgresql://", "postgres://"].into_iter().find_map(|scheme| {
        let (given, rest) = text.split_at_checked(scheme.len())?;
        // Schemes are case-insensitive.
        given.eq_ignore_ascii_case(scheme).then_some(rest)
    })
}

impl Uri {
    /// Parses the text after the scheme, as libpq does. Refuses a text that libpq would take, but with a part
    /// of a password as the name of a host, a role or a database, which errors show.
    pub(crate) fn parse(rest: &str) -> Result<Self, Error> {
        let mut uri = Self::default();
        // As in libpq, the text up to the first @ is the user and password, if no slash comes before the @.
        let rest = match rest.find(['@', '/']) {
            Some(at) if rest.get(at..=at) == Some("@") => {
                let (credentials, rest) = split(rest, at);
                uri.credentials(credentials)?;
                rest.get(1..).unwrap_or_default()
            }
            _ => rest,
        };
        let (hosts, rest) = split(rest, rest.find(['/', '?']).unwrap_or(rest.len()));
        uri.hosts(hosts)?;
        let (path, query) = split(rest, rest.find('?').unwrap_or(rest.len()));
        uri.path(path.strip_prefix('/').unwrap_or_default())?;
        uri.query(query.strip_prefix('?').unwrap_or_default())?;
        Ok(uri)
    }

    fn credentials(&mut self, text: &str) -> Result<(), Error> {
        let (user, password) = match text.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (text, None),
        };
        // A password that a wrong separator has made a part of the user's name.
        if user.contains(|character| has_meaning(character) || character == ',') {
            return Err(invalid(
                "the user in the URL contains a special character; write : between user and password, and percent-encode \
                 special characters in the user's name",
            ));
        }
        self.add("user", user, "the user")?;
        self.add("password", password.unwrap_or_default(), "the password")
    }

    fn hosts(&mut self, text: &str) -> Result<(), Error> {
        if text.contains('@') {
            return Err(invalid(
                "there is more than one @ in the URL; write an @ in a name or password as %40",
            ));
        }
        let mut hosts = Vec::new();
        let mut ports = Vec::new();
        for part in text.split(',') {
            let (host, port) = split_host(part)?;
            hosts.push(decode(host, "the host")?);
            ports.push(decode(port, "the port")?);
        }
        if hosts.iter().any(|host| !host.is_empty()) {
            self.address.push(("host".to_owned(), hosts.join(",")));
        }
        if ports.iter().any(|port| !port.is_empty()) {
            self.address.push(("port".to_owned(), ports.join(",")));
        }
        Ok(())
    }

    fn path(&mut self, text: &str) -> Result<(), Error> {
        if text.contains(has_meaning) {
            return Err(invalid(
                "the database in the URL contains a special character; write / in a password as %2F, a ? before the \
                 parameters, and percent-encode special characters in the database's name",
            ));
        }
        self.add("dbname", text, "the database")
    }

    fn query(&mut self, text: &str) -> Result<(), Error> {
        for parameter in text.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = match parameter.split_once('=') {
                Some((name, value)) => (name, Some(decode(value, "the value of a parameter")?)),
                None => (parameter, None),
            };
            self.query.push((decode(name, "the name of a parameter")?, value));
        }
        Ok(())
    }

    fn add(&mut self, name: &str, value: &str, part: &str) -> Result<(), Error> {
        if !value.is_empty() {
            self.address.push((name.to_owned(), decode(value, part)?));
        }
        Ok(())
    }
}

/// Splits a host from its port, and removes the brackets around an IPv6 address.
fn split_host(text: &str) -> Result<(&str, &str), Error> {
    let Some(bracketed) = text.strip_prefix('[') else {
        return Ok(text.split_once(':').unwrap_or((text, "")));
    };
    let closed = bracketed.split_once(']').and_then(|(host, rest)| match rest.strip_prefix(':') {
        Some(port) => Some((host, port)),
        None => rest.is_empty().then_some((host, "")),
    });
    let is_address = |host| decoded(host).is_some_and(|host| is_ipv6(&host));
    closed
        .filter(|(host, _)| is_address(host))
        .ok_or_else(|| invalid("there is no IPv6 address between brackets in the URL; write one as [::1]"))
}

/// Returns `true` for a character that separates parts of a URL, or has no place in one.
fn has_meaning(character: char) -> bool {
    character.is_whitespace() || character.is_control() || "@;=?#&\"'<>`|\\".contains(character)
}

fn split(text: &str, at: usize) -> (&str, &str) {
    text.split_at_checked(at).unwrap_or((text, ""))
}

fn decode(value: &str, part: &str) -> Result<String, Error> {
    decoded(value).ok_or_else(|| {
        invalid(format!("{part} in the URL cannot be decoded; write a percent sign as %25, and encode UTF-8"))
    })
}

fn invalid(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> String {
        let uri = Uri::parse(after_scheme(text).unwrap()).unwrap();
        let address = uri.address.iter().map(|(name, value)| format!("{name}={value}"));
        let query = uri.query.iter().map(|(name, value)| match value {
            Some(value) => format!("{name}={value}"),
            None => name.clone(),
        });
        address.chain(query).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn uris_are_split_as_libpq_splits_them() {
        for (text, expected) in [
            ("postgres://", ""),
            ("postgresql:///d", "dbname=d"),
            ("POSTGRES://h", "host=h"),
            ("postgres://u:p@h:5/d?a=b&c=", "user=u|password=p|host=h|port=5|dbname=d|a=b|c="),
            ("postgres://u@h?a", "user=u|host=h|a"),
            ("postgres://u:a?b#c:d[e]@h", "user=u|password=a?b#c:d[e]|host=h"),
            ("postgres://u:p%40%2F%3A%25@h", "user=u|password=p@/:%|host=h"),
            ("postgres://[::1]:5,h,[fe80::1%25eth0]/d", "host=::1,h,fe80::1%eth0|port=5,,|dbname=d"),
            ("postgres://%2Frun%2Fpg/d", "host=/run/pg|dbname=d"),
            ("postgres://h?host=/tmp/a@b&&x=%3D", "host=h|host=/tmp/a@b|x=="),
        ] {
            assert_eq!(parsed(text), expected, "{text}");
        }
        assert!(after_scheme("postgres:/h").is_none() && after_scheme("mysql://h").is_none());
    }
}
