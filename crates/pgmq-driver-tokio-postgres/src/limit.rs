//! The limit for connecting.

use std::net::{IpAddr, ToSocketAddrs};
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::Host;

/// The limit for connecting as a whole, if each name of a host has one address.
///
/// The driver's timeout covers only the TCP connection to one address. The limit therefore has the same time
/// again for each further address, and for the login.
pub fn connect_limit(config: &Config) -> Duration {
    limit(per_address(config), hosts(config))
}

/// The limit for connecting as a whole, with as much time as the addresses of the hosts' names need. The
/// names are looked up, which takes no longer than the timeout for one address.
///
/// The driver tries the addresses of a name in turn. With the time for one, a name whose first addresses do
/// not answer would never be connected to.
pub async fn resolved_limit(config: &Config) -> Duration {
    resolved(config, async |name| tokio::net::lookup_host((name, 0)).await.map_or(1, Iterator::count)).await
}

async fn resolved(config: &Config, count: impl AsyncFn(&str) -> usize) -> Duration {
    let per_address = per_address(config);
    let mut addresses = hosts(config);
    for name in names(config.get_hosts(), config.get_hostaddrs()) {
        // The driver reports a name that does not resolve.
        let counted = tokio::time::timeout(per_address, count(name)).await.unwrap_or(1);
        addresses = addresses.saturating_add(counted.saturating_sub(1));
    }
    limit(per_address, addresses)
}

/// As [`resolved_limit`], for a driver that blocks. Blocks the thread while names are looked up, for which
/// there is no limit. `unresolved` is the limit if each name has one address.
pub fn resolved_limit_blocking(
    hosts: &[Host],
    hostaddrs: &[IpAddr],
    per_address: Duration,
    unresolved: Duration,
) -> Duration {
    let addresses = |name| (name, 0).to_socket_addrs().map_or(1, Iterator::count);
    let further: usize = names(hosts, hostaddrs).map(|name| addresses(name).saturating_sub(1)).sum();
    let times = u32::try_from(further).unwrap_or(u32::MAX);
    unresolved.saturating_add(per_address.saturating_mul(times)).min(LONGEST)
}

/// The names of hosts that the driver looks up.
fn names<'h>(hosts: &'h [Host], hostaddrs: &[IpAddr]) -> impl Iterator<Item = &'h str> {
    let hosts = if hostaddrs.is_empty() { hosts } else { &[] };
    hosts.iter().filter_map(|host| match host {
        Host::Tcp(name) if name.parse::<IpAddr>().is_err() => Some(name.as_str()),
        _ => None,
    })
}

fn hosts(config: &Config) -> usize {
    config.get_hosts().len().max(config.get_hostaddrs().len()).max(1)
}

fn per_address(config: &Config) -> Duration {
    config.get_connect_timeout().copied().unwrap_or_default()
}

fn limit(per_address: Duration, addresses: usize) -> Duration {
    let times = u32::try_from(addresses).unwrap_or(u32::MAX).saturating_add(1);
    per_address.saturating_mul(times).min(LONGEST)
}

/// The longest limit. A longer one could overflow when it is added to a clock.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        format!("{text} connect_timeout=5").parse().unwrap()
    }

    fn resolve(config: &Config, count: impl AsyncFn(&str) -> usize) -> Duration {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(resolved(config, count))
    }

    #[test]
    fn each_address_of_a_name_and_the_login_have_their_time() {
        for (text, expected) in [
            ("host=one", 5 * 2),
            ("host=three", 5 * 4),
            ("host=three,one", 5 * 5),
            ("host=three,10.0.0.1,::1", 5 * 6),
            ("host=/run", 5 * 2),
            ("host=three hostaddr=10.0.0.1", 5 * 2),
        ] {
            let count = async |name: &str| match name {
                "one" => 1,
                "three" => 3,
                _ => panic!("{name} is looked up"),
            };
            assert_eq!(resolve(&config(text), count), Duration::from_secs(expected), "{text}");
        }
        assert_eq!(connect_limit(&config("host=three,one")), Duration::from_secs(15));
    }

    #[test]
    fn a_name_that_is_not_looked_up_in_time_counts_as_one_address() {
        let mut config = config("host=slow");
        assert_eq!(resolve(&config, async |_| usize::MAX), LONGEST);
        let short = Duration::from_millis(5);
        config.connect_timeout(short);
        assert_eq!(resolve(&config, async |_| std::future::pending().await), short * 2);
    }

    #[test]
    fn a_blocking_look_up_finds_the_addresses_of_a_name() {
        let addresses = ("localhost", 0).to_socket_addrs().unwrap().count();
        let found = |host: &str| {
            let second = Duration::from_secs(1);
            resolved_limit_blocking(&[Host::Tcp(host.to_owned())], &[], second, second * 2)
        };
        assert_eq!(found("localhost"), Duration::from_secs(1 + u64::try_from(addresses).unwrap()));
        assert_eq!(found("127.0.0.1"), Duration::from_secs(2));
    }
}
