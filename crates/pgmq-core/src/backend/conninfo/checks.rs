//! Checks on the values of parameters, before a driver could show them.

use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;

use crate::error::Error;
use crate::error_kind::ErrorKind;

/// Checks the value of a parameter of this name.
pub(crate) fn check_value(name: &'static str, value: &str) -> Result<(), Error> {
    if value.contains('\0') {
        return Err(invalid(name, "remove the NUL character in it"));
    }
    match name {
        "host" if !value.split(',').all(is_host) => {
            Err(invalid(name, "give names or addresses of hosts, or the folder of a Unix socket"))
        }
        "hostaddr" if !value.split(',').all(is_address) => Err(invalid(name, "give IP addresses")),
        "port" if !value.split(',').all(is_port) => Err(invalid(name, "give a number from 1 to 65535")),
        "connect_timeout" if !value.is_empty() && value.parse::<i32>().is_err() => {
            Err(invalid(name, "give a number of seconds"))
        }
        "dbname" | "user" if value.contains("://") => Err(invalid(name, "give a name; a URL is given alone")),
        _ => Ok(()),
    }
}

/// Checks that hosts, addresses and ports belong to each other.
pub(crate) fn check_counts(
    host: Option<&str>,
    hostaddr: Option<&str>,
    port: Option<&str>,
) -> Result<(), Error> {
    let count = |list: Option<&str>| list.filter(|list| !list.is_empty()).map(|list| list.split(',').count());
    let (hosts, addresses) = (count(host), count(hostaddr));
    if let (Some(hosts), Some(addresses)) = (hosts, addresses)
        && hosts != addresses
    {
        return Err(invalid("hostaddr", "give as many addresses as hosts"));
    }
    match count(port) {
        Some(ports) if ports > 1 && Some(ports) != hosts.or(addresses) => {
            Err(invalid("port", "give one port, or as many as hosts"))
        }
        _ => Ok(()),
    }
}

/// The error for a value. The text shows nothing of the value.
pub(crate) fn invalid(name: &'static str, remedy: &str) -> Error {
    Error::new(ErrorKind::InvalidArgument, format!("the value of \"{name}\" is not valid; {remedy}"))
}

fn is_host(host: &str) -> bool {
    if Path::new(host).is_absolute() || host.starts_with('@') {
        // A password may have become a part of the path.
        return !host.contains([';', '=', '"', '\'', '?', '&']) && !host.contains(char::is_control);
    }
    let is_plain = |character: char| character.is_alphanumeric() || "-._".contains(character);
    // Resolvers take a number for an IPv4 address, where it is most likely a port in the wrong place.
    let is_number = !host.is_empty() && host.chars().all(|character| character.is_ascii_digit());
    is_ipv6(host) || (host.chars().all(is_plain) && !is_number)
}

/// Returns `true` for an IPv6 address, which may have a zone.
pub(crate) fn is_ipv6(host: &str) -> bool {
    let (address, zone) = host.split_once('%').unwrap_or((host, "0"));
    address.parse::<Ipv6Addr>().is_ok() && zone.chars().all(char::is_alphanumeric)
}

fn is_address(address: &str) -> bool {
    address.is_empty() || address.parse::<IpAddr>().is_ok()
}

fn is_port(port: &str) -> bool {
    port.is_empty() || port.parse::<u16>().is_ok_and(|port| port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_addresses_and_folders() {
        for host in ["", "h", "db-1.example.org", "bücher.example", "::1", "fe80::1%eth0", "10.0.0.1", "a_b"]
        {
            assert!(is_host(host), "{host}");
        }
        for host in ["/run/my sockets", "/cloudsql/project:region:instance", "/tmp/a@b", "@abstract"] {
            assert!(is_host(host), "{host}");
        }
        for host in
            ["a b", "a@b", "a;b=c", "a:1", "/tmp;password=s", "a?b", "postgres://h", "[::1]", "a\n", "5432"]
        {
            assert!(!is_host(host), "{host}");
        }
    }

    #[test]
    fn hosts_and_ports_belong_to_each_other() {
        let check = |host, hostaddr, port| check_counts(host, hostaddr, port).is_ok();
        assert!(check(Some("a,b"), None, Some("1")) && check(Some("a,b"), None, Some("1,2")));
        assert!(check(None, None, Some("1")) && check(Some("a"), Some("::1"), None));
        assert!(!check(Some("a,b"), None, Some("1,2,3")) && !check(None, None, Some("1,2")));
        assert!(!check(Some("a,b"), Some("::1"), None));
    }
}
