//! The parameters of a connection.

use std::fmt;
use std::time::Duration;

use crate::backend::conninfo::checks::{check_counts, check_value};
use crate::backend::conninfo::dialect::Dialect;
use crate::backend::conninfo::encoding::{percent, quoted};
use crate::backend::conninfo::keywords::known;
use crate::backend::conninfo::pairs::{Keyword, Malformed, pairs};
use crate::backend::conninfo::uri::{Uri, after_scheme};
use crate::backend::settings::Settings;
use crate::error::Error;
use crate::error_kind::ErrorKind;

/// The parameters of a connection, with names that the driver takes, and decoded values. Each name occurs
/// once.
pub struct ConnInfo(Vec<(&'static str, String)>);

impl ConnInfo {
    /// The parameters for a pool: those of the URL, which the other settings override.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`], if the settings contradict each other, or the connection string is one
    /// that the driver does not take. The error shows no text of the string, except for the names of known
    /// parameters.
    pub fn from_settings(settings: &Settings, dialect: &Dialect) -> Result<Self, Error> {
        settings.check()?;
        let mut info = match &settings.url {
            Some(url) => Self::parse(url, dialect)?,
            None => Self(Vec::new()),
        };
        let port = settings.port.map(|port| port.to_string());
        for (name, value) in
            [("host", settings.host.as_deref()), ("port", port.as_deref())].into_iter().chain(parts(settings))
        {
            if let Some(value) = value {
                info.set(name, value);
            }
        }
        info.checked(dialect)
    }

    /// The parameters for listening: those of `listen_url` if there is one, with the settings for what the
    /// URL does not contain, and otherwise those of the pool.
    ///
    /// # Errors
    ///
    /// As for [`from_settings`](Self::from_settings).
    pub fn for_listening(
        settings: &Settings,
        listen_url: Option<&str>,
        dialect: &Dialect,
    ) -> Result<Self, Error> {
        let Some(url) = listen_url else { return Self::from_settings(settings, dialect) };
        let mut info = Self::parse(url, dialect)?;
        for (name, value) in parts(settings) {
            if let Some(value) = value {
                info.set_default(name, value);
            }
        }
        info.checked(dialect)
    }

    /// Parses a connection string, of which the driver takes the parameters of `dialect`.
    fn parse(text: &str, dialect: &Dialect) -> Result<Self, Error> {
        let text = text.trim();
        if text.is_empty() {
            return Err(invalid(format!("the connection string is empty; {EXAMPLES}")));
        }
        if text.contains('\0') {
            return Err(invalid("the connection string contains a NUL character; remove it"));
        }
        check_quotation_marks(text)?;
        let mut info = Self(Vec::new());
        if let Some(rest) = after_scheme(text) {
            check_single(rest)?;
            let uri = Uri::parse(rest)?;
            for (name, value) in uri.address {
                info.add(&name, value, None, URI, dialect)?;
            }
            let mut previous = None;
            for (name, value) in uri.query {
                let Some(value) = value else {
                    return Err(misplaced("a parameter without a value", previous, URI));
                };
                previous = Some(info.add(&name, value, previous, URI, dialect)?);
            }
        } else {
            let mut previous = None;
            for keyword in keywords_of(text)? {
                keyword.check_separators()?;
                check_single(&keyword.value)?;
                previous = Some(info.add(&keyword.name, keyword.value, previous, KEYWORDS, dialect)?);
            }
        }
        Ok(info)
    }

    /// Adds a parameter under the name by which the driver takes it. Returns the known name that is written
    /// in the string.
    fn add(
        &mut self,
        name: &str,
        value: String,
        previous: Option<&'static str>,
        form: &str,
        dialect: &Dialect,
    ) -> Result<&'static str, Error> {
        if let Some(setting) = name.strip_prefix("options[").and_then(|name| name.strip_suffix(']')) {
            self.add_option(setting, &value);
            return Ok("options");
        }
        let known = match known(name) {
            Some(known) => known,
            None => match known_in_lower_case(name) {
                Some(known) => {
                    return Err(invalid(format!("write the parameter \"{known}\" in lower case")));
                }
                None => return Err(misplaced("an unknown parameter", previous, form)),
            },
        };
        // As libpq does in URIs, for those of JDBC.
        let (taken, value) = match (known, value.as_str()) {
            ("ssl", "true") => ("sslmode", "require".to_owned()),
            _ => (known, value),
        };
        if let Some(taken) = dialect.resolve(taken, &value)? {
            self.set(taken, value);
        }
        Ok(known)
    }

    /// Adds a setting of the session to the `options`.
    fn add_option(&mut self, setting: &str, value: &str) {
        let escaped: String = format!("{setting}={value}")
            .chars()
            .flat_map(|character| {
                let is_special = character == '\\' || character.is_whitespace();
                is_special.then_some('\\').into_iter().chain([character])
            })
            .collect();
        let options = match self.get("options") {
            Some(options) if !options.is_empty() => format!("{options} -c {escaped}"),
            _ => format!("-c {escaped}"),
        };
        self.set("options", options);
    }

    fn checked(mut self, dialect: &Dialect) -> Result<Self, Error> {
        if let Some((_, host)) = self.0.iter_mut().find(|(name, _)| *name == "host") {
            // The drivers take an IPv6 address without brackets.
            let bare = |host: &str| match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
                Some(address) if address.contains(':') => address.to_owned(),
                _ => host.to_owned(),
            };
            *host = host.split(',').map(bare).collect::<Vec<_>>().join(",");
        }
        for (name, value) in &self.0 {
            check_value(name, value)?;
        }
        check_counts(self.get("host"), self.get("hostaddr"), self.get("port"))?;
        if !dialect.takes_empty {
            self.0.retain(|(_, value)| !value.is_empty());
        }
        Ok(self)
    }

    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// Removes a parameter, and returns its value.
    pub fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, _)| *known == name)?;
        Some(self.0.remove(at).1)
    }

    /// Sets a parameter.
    pub fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.0.retain(|(known, _)| *known != name);
        self.0.push((name, value.into()));
    }

    /// Sets a parameter that is missing.
    pub fn set_default(&mut self, name: &'static str, value: impl Into<String>) {
        if self.get(name).is_none() {
            self.set(name, value);
        }
    }

    /// Removes `connect_timeout`, and returns the limit; `None` if the parameter is missing, or asks for no
    /// limit. As in libpq, zero and negative numbers set no limit.
    pub fn take_connect_timeout(&mut self) -> Option<Duration> {
        let seconds: i32 = self.take("connect_timeout")?.parse().ok()?;
        u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs)
    }

    /// The parameters, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// The parameters as a string of keywords, with each value in quotation marks.
    pub fn to_keywords(&self) -> String {
        let pairs = self.iter().map(|(name, value)| format!("{name}={}", quoted(value)));
        pairs.collect::<Vec<_>>().join(" ")
    }

    /// The parameters as a URI that has them all after the question mark.
    pub fn to_uri(&self) -> String {
        let pairs = self.iter().map(|(name, value)| format!("{name}={}", percent(value)));
        format!("postgres:///?{}", pairs.collect::<Vec<_>>().join("&"))
    }
}

impl fmt::Debug for ConnInfo {
    /// Shows no value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// The settings, apart from the address, that may stand next to a URL.
fn parts(settings: &Settings) -> [(&'static str, Option<&str>); 4] {
    [
        ("dbname", settings.database.as_deref()),
        ("user", settings.username.as_deref()),
        ("password", settings.password.as_deref()),
        ("application_name", settings.application_name.as_deref()),
    ]
}

const EXAMPLES: &str =
    "give one such as postgres://user:password@host/database, or host=localhost user=app dbname=shop";

/// Remedies for a misplaced parameter, in the two forms of a string.
const URI: &str = "correct or remove it, and write & in a value as %26";
const KEYWORDS: &str = "correct or remove it, and put a value that contains spaces in single quotes";

/// The parameters of a string that is not a URI.
fn keywords_of(text: &str) -> Result<Vec<Keyword>, Error> {
    let word = text.split(|character: char| character.is_whitespace() || character == '=').next();
    if word.is_some_and(|word| word.contains("://")) {
        return Err(invalid(
            "the connection string has a scheme other than postgres:// and postgresql://; give the URL of a Postgres database",
        ));
    }
    let pairs = pairs(text).map_err(|Malformed(before)| match before.last() {
        None => {
            invalid(format!("the connection string is neither a URL nor a list of parameters; {EXAMPLES}"))
        }
        Some(last) => misplaced("a parameter without a value", known(&last.name), KEYWORDS),
    })?;
    match pairs.first() {
        Some(first) if known(&first.name).is_none() && after_scheme(&first.value).is_some() => {
            Err(invalid("the connection string begins with a name and =; give only the URL that follows"))
        }
        _ => Ok(pairs),
    }
}

/// Checks that a text, after its own scheme, contains no further URL. The second URL would become a part of a
/// name, with its password.
fn check_single(text: &str) -> Result<(), Error> {
    let lower = text.to_ascii_lowercase();
    if lower.contains("postgres://") || lower.contains("postgresql://") {
        return Err(invalid(
            "the connection string contains another URL; give one, and percent-encode a URL that is a value",
        ));
    }
    Ok(())
}

/// Checks that no quotation marks surround the string, as files of variables leave them.
fn check_quotation_marks(text: &str) -> Result<(), Error> {
    const MARKS: &[char] = &['"', '\'', '`', '“', '”', '„', '‟', '‘', '’', '‚', '«', '»', '‹', '›'];
    let is_uri = after_scheme(text).is_some();
    if text.starts_with(MARKS) || (is_uri && text.ends_with(MARKS)) {
        return Err(invalid(
            "the quotation marks around the connection string are a part of it; remove them",
        ));
    }
    Ok(())
}

fn known_in_lower_case(name: &str) -> Option<&'static str> {
    known(&name.to_ascii_lowercase())
}

/// The error for a parameter in a list. Its name is not shown, because it may be a part of a password.
fn misplaced(what: &str, previous: Option<&'static str>, remedy: &str) -> Error {
    invalid(match previous {
        Some(previous) => format!("the connection string has {what} after \"{previous}\"; {remedy}"),
        None => format!("the connection string has {what} as its first parameter; {remedy}"),
    })
}

fn invalid(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::conninfo::dialect::IMPLIED;

    const DIALECT: Dialect = Dialect {
        takes: &[
            "application_name",
            "connect_timeout",
            "dbname",
            "host",
            "hostaddr",
            "options",
            "password",
            "port",
            "sslmode",
            "user",
        ],
        spellings: &[("ssl-mode", "sslmode")],
        implied: IMPLIED,
        takes_empty: false,
    };

    fn info(text: &str) -> Result<ConnInfo, Error> {
        ConnInfo::from_settings(&Settings::from_url(text), &DIALECT)
    }

    fn keywords(text: &str) -> String {
        info(text).unwrap().to_keywords().replace('\'', "")
    }

    #[test]
    fn both_forms_mean_the_same_in_every_driver() {
        for (text, expected) in [
            (
                "postgres://u:p@h:5/d?sslmode=require",
                "user=u password=p host=h port=5 dbname=d sslmode=require",
            ),
            (" host=h port = 5 user=u\n", "host=h port=5 user=u"),
            ("postgres://h/d?host=%2Ftmp&dbname=e", "host=/tmp dbname=e"),
            ("postgres://h?ssl=true", "host=h sslmode=require"),
            ("postgres://h?ssl-mode=disable&keepalives_idle=5", "host=h sslmode=disable"),
            ("postgres://h?gssencmode=disable&options=", "host=h"),
            ("postgres://h?options=-c%20a%3D1&options[b]=x%20y", r"host=h options=-c a=1 -c b=x\\ y"),
            ("host=[::1],h", "host=::1,h"),
        ] {
            assert_eq!(keywords(text), expected, "{text}");
        }
        assert_eq!(info("host=h user='a b+c'").unwrap().to_uri(), "postgres:///?host=h&user=a%20b%2Bc");
    }

    #[test]
    fn errors_show_the_names_of_known_parameters_only() {
        for (text, shown) in [
            ("postgres://h?sslmode=disable&s3cret=1", "an unknown parameter after \"sslmode\""),
            ("postgres://h?s3cret=1", "an unknown parameter as its first parameter"),
            ("host=h s3cret", "a parameter without a value after \"host\""),
            ("host=h s3cret=1 t=2", "an unknown parameter after \"host\""),
            ("SSLMODE=s3cret", "\"sslmode\" in lower case"),
            ("host=h sslcrl=s3cret", "\"sslcrl\" is not supported by this driver; remove it"),
            ("host=h channel_binding=require", "\"channel_binding\" is not supported by this driver with"),
            ("postgres://h?pgbouncer=true", "\"pgbouncer\" is a parameter of another client; remove it"),
            ("host=h connect_timeout=s3cret", "the value of \"connect_timeout\" is not valid"),
            ("postgres://me:s3cret@h:1:2/d", "the value of \"port\" is not valid"),
        ] {
            let error = info(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            let text = format!("{error} {error:?}");
            assert!(text.contains(shown) && !text.contains("cret"), "{text}");
        }
    }

    #[test]
    fn zero_and_negative_limits_for_connecting_are_no_limits() {
        let limit =
            |seconds| info(&format!("host=h connect_timeout={seconds}")).unwrap().take_connect_timeout();
        assert_eq!(limit(7), Some(Duration::from_secs(7)));
        assert!(limit(0).is_none() && limit(-1).is_none());
    }

    #[test]
    fn listening_takes_from_the_settings_what_the_url_lacks() {
        let mut settings = Settings::from_url("host=pooler");
        settings.password = Some("p".to_owned());
        settings.application_name = Some("mine".to_owned());
        let listening = |url| ConnInfo::for_listening(&settings, url, &DIALECT).unwrap().to_uri();
        assert_eq!(listening(Some("host=h")), "postgres:///?host=h&password=p&application_name=mine");
        assert_eq!(
            listening(Some("host=h application_name=own password=q")),
            "postgres:///?host=h&application_name=own&password=q"
        );
        assert_eq!(listening(None), "postgres:///?host=pooler&password=p&application_name=mine");
    }

    #[test]
    fn debug_output_shows_no_value() {
        assert_eq!(
            format!("{:?}", info("postgres://u:s3cret@h").unwrap()),
            r#"{"user", "password", "host"}"#
        );
    }
}
