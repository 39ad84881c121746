//! The state that the clones of a queue share.

use crate::backend::last_connect_error::LastConnectError;
use crate::backend::settings::Settings;
use crate::server_version::ServerVersion;

/// The state that the clones of a queue share with each other, and with the queues that are bound to
/// connections. `E` is the pool's error, and `D` the state that only this driver needs. Each back end keeps
/// it behind one `Arc`.
#[derive(Debug)]
pub struct Shared<E, D> {
    /// The settings of the queue.
    pub settings: Settings,
    /// The server's version of PGMQ, as far as it is known.
    pub server: ServerVersion,
    /// The last error of the pool's attempts to connect.
    pub last_connect_error: LastConnectError<E>,
    /// The state that only this driver needs.
    pub driver: D,
}

impl<E, D> Shared<E, D> {
    /// The state of a queue with these settings, whose pool records its errors in `last_connect_error`.
    pub fn new(settings: Settings, last_connect_error: LastConnectError<E>, driver: D) -> Self {
        Self { settings, server: ServerVersion::default(), last_connect_error, driver }
    }

    /// The state of a queue over a pool of the user's, which has default settings and records no errors.
    pub fn for_users_pool(driver: D) -> Self {
        Self::new(Settings::default(), LastConnectError::default(), driver)
    }
}
