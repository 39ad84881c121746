//! The address of the test's database in parts.

use postgres::config::Host;

use crate::kit::context::TestContext;

/// Host, port, user and password of the server.
pub(crate) struct Parts {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) password: String,
}

impl Parts {
    pub(crate) fn new(context: &TestContext<'_>) -> Self {
        let config = context.config();
        let host = match config.get_hosts().first() {
            Some(Host::Tcp(host)) => host.clone(),
            Some(Host::Unix(folder)) => folder.display().to_string(),
            None => "localhost".to_owned(),
        };
        let password = String::from_utf8_lossy(config.get_password().unwrap_or_default()).into_owned();
        let user = config.get_user().unwrap_or("postgres").to_owned();
        Self { host, port: config.get_ports().first().copied().unwrap_or(5432), user, password }
    }
}
