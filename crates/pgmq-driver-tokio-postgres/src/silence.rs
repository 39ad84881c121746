//! The limits by which a peer that has gone without a word is noticed.

use std::time::Duration;

use tokio_postgres::Config;

/// The driver's default for the idle time before the first probe: two hours, and so of no use.
const DRIVERS_IDLE: Duration = Duration::from_secs(2 * 60 * 60);

/// Makes the system notice a silent peer within about a minute, where the connection string sets no limit.
///
/// Nothing is lost on an idle connection of which a firewall has forgotten, or to a host without power: the
/// client would wait for hours.
pub(crate) fn limit_silence(config: &mut Config, has_user_timeout: bool) {
    if config.get_keepalives() {
        // The driver does not reveal if the connection string sets the default.
        if config.get_keepalives_idle() == DRIVERS_IDLE {
            config.keepalives_idle(Duration::from_secs(30));
        }
        if config.get_keepalives_interval().is_none() {
            config.keepalives_interval(Duration::from_secs(10));
        }
        if config.get_keepalives_retries().is_none() {
            config.keepalives_retries(3);
        }
    }
    // A limit of zero, which leaves it to the system, is not in the configuration.
    if !has_user_timeout && config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(Duration::from_secs(60));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_set_where_the_connection_string_sets_none() {
        let mut config = Config::new();
        assert_eq!(config.get_keepalives_idle(), DRIVERS_IDLE);
        limit_silence(&mut config, false);
        let seconds = |config: &Config| {
            (
                config.get_keepalives_idle().as_secs(),
                config.get_keepalives_interval().map(|interval| interval.as_secs()),
                config.get_keepalives_retries(),
                config.get_tcp_user_timeout().map(Duration::as_secs),
            )
        };
        assert_eq!(seconds(&config), (30, Some(10), Some(3), Some(60)));
        let given = "keepalives_idle=5 keepalives_interval=6 keepalives_retries=7 tcp_user_timeout=8";
        let mut config = given.parse().unwrap();
        limit_silence(&mut config, false);
        assert_eq!(seconds(&config), (5, Some(6), Some(7), Some(8)));
        let mut config = "keepalives=0".parse().unwrap();
        limit_silence(&mut config, false);
        assert!(!config.get_keepalives());
        assert_eq!(seconds(&config), (DRIVERS_IDLE.as_secs(), None, None, Some(60)));
    }
}
