//! The unprivileged user that a server runs as when root runs the tests.

use std::{fs, os::unix::process::CommandExt, path::Path, process::Command};

use crate::error::ServerError;

/// A user and its group, by number.
#[derive(Clone, Copy)]
pub(crate) struct Account {
    pub(crate) user: u32,
    pub(crate) group: u32,
}

impl Account {
    /// Finds `postgres`, otherwise `nobody`: Postgres refuses to run as root.
    pub(crate) fn unprivileged() -> Result<Self, ServerError> {
        let passwd = fs::read_to_string(Path::new("/etc/passwd"))
            .map_err(|error| ServerError::because("cannot read /etc/passwd", error))?;
        ["postgres", "nobody"].iter().find_map(|name| find(&passwd, name)).ok_or_else(|| {
            ServerError::new(
                "Postgres does not run as root, and there is no user postgres or nobody to run it as; create one of them",
            )
        })
    }

    /// Makes a command run as this user.
    pub(crate) fn apply(self, command: &mut Command) {
        command.uid(self.user).gid(self.group);
    }
}

fn find(passwd: &str, name: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next() != Some(name) {
            return None;
        }
        let user = fields.nth(1)?.parse().ok()?;
        let group = fields.next()?.parse().ok()?;
        Some(Account { user, group })
    })
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn an_account_is_found_by_its_whole_name() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\npostgres2:x:9:9::/:/bin/sh\npostgres:x:101:104::/:/bin/sh\n";
        let account = find(passwd, "postgres").unwrap();
        assert_eq!((account.user, account.group), (101, 104));
        assert!(find(passwd, "nobody").is_none());
    }
}
