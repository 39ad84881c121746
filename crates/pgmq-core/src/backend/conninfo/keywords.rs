//! The names of parameters that a connection string may have.

/// The parameters of libpq, of all its versions since 9.0. The sorted list is part of the guide.
pub const LIBPQ: &[&str] = &[
    "application_name",
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "dbname",
    "fallback_application_name",
    "gssdelegation",
    "gssencmode",
    "gsslib",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "load_balance_hosts",
    "max_protocol_version",
    "min_protocol_version",
    "oauth_client_id",
    "oauth_client_secret",
    "oauth_issuer",
    "oauth_scope",
    "options",
    "passfile",
    "password",
    "port",
    "replication",
    "require_auth",
    "requirepeer",
    "scram_client_key",
    "scram_server_key",
    "service",
    "servicefile",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcert",
    "sslcertmode",
    "sslcompression",
    "sslcrl",
    "sslcrldir",
    "sslkey",
    "sslkeylogfile",
    "sslmode",
    "sslnegotiation",
    "sslpassword",
    "sslrootcert",
    "sslsni",
    "target_session_attrs",
    "tcp_user_timeout",
    "user",
];

/// Parameters that libpq has dropped.
const FORMER: &[&str] = &["authtype", "requiressl", "tty"];

/// The parameters of the other drivers, besides libpq's.
const DRIVERS: &[&str] = &[
    "keepalives_retries",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "statement-cache-capacity",
];

/// Parameters of other clients that are in the URLs of hosted providers, and what to set instead.
const OTHERS: &[(&str, &str)] = &[
    ("connection_limit", ", and set pool_size on the builder"),
    ("currentSchema", ", and set search_path in options for another schema"),
    ("pgbouncer", ", and set prepared_statements on the builder as the pooler requires"),
    ("pool_timeout", ", and set acquire_timeout on the builder"),
    ("schema", ", and set search_path in options for another schema"),
    ("search_path", ", and set search_path in options for another schema"),
    ("socket_timeout", ", and set statement_timeout in options to limit statements"),
    ("ssl", ", and set sslmode"),
    ("sslaccept", ", and set sslmode"),
    ("statement_cache_size", ", and set prepared_statements on the builder"),
    ("statement_timeout", ", and set statement_timeout in options to limit statements"),
];

/// The name of a parameter as the tables have it, which may be shown; `None` if the name is unknown, and
/// could be a part of a password.
pub fn known(name: &str) -> Option<&'static str> {
    let tables = LIBPQ.iter().chain(FORMER).chain(DRIVERS).copied();
    tables.chain(OTHERS.iter().map(|(other, _)| *other)).find(|known| *known == name)
}

/// The remedy for a parameter of another client; `None` if it is one of libpq or of a driver.
pub(crate) fn remedy(name: &str) -> Option<&'static str> {
    OTHERS.iter().find(|(other, _)| *other == name).map(|(_, remedy)| *remedy)
}
