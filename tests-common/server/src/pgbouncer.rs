//! A throw-away PgBouncer that runs the program of this machine.

use std::{
    env,
    ffi::OsStr,
    fs::{self, File},
    io,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use postgres::config::Host;

use crate::{
    account::Account,
    address::Address,
    admin,
    cluster::{HOST, PORTS_TO_TRY, START_LIMIT, free_port},
    error::ServerError,
    folder,
    guardian::Guardian,
    purpose::Purpose,
    secret,
};

/// The settings for every server.
///
/// With `server_round_robin`, session state that a client leaves on a server connection is missing in its
/// next transaction. sqlx sets `extra_float_digits` when it connects, which PgBouncer would reject.
const SETTINGS: &str = "
pool_mode = transaction
server_round_robin = 1
ignore_startup_parameters = extra_float_digits
max_client_conn = 1000
default_pool_size = 40
listen_addr = 127.0.0.1
unix_socket_dir =
log_connections = 0
log_disconnections = 0
";

const GUARDIAN: &str = include_str!("pgbouncer.sh");

/// The folder that packages install to, which is often not in a user's `PATH`.
const FOLDER: &str = "/usr/sbin";

const MISSING: &str = "\
there is no PgBouncer on this machine; install it, or set PGMQ_TEST_PGBOUNCER to its path:
  Debian, Ubuntu:  apt-get install pgbouncer
  Fedora:          dnf install pgbouncer
  macOS:           brew install pgbouncer";

/// The path of the program.
pub(crate) struct Program(PathBuf);

impl Program {
    /// Finds the program by its path, or by its name in `PATH` and in `/usr/sbin`.
    pub(crate) fn find(name: &OsStr) -> Result<Self, ServerError> {
        let path = env::var_os("PATH").unwrap_or_default();
        let folders = env::split_paths(&path).chain([PathBuf::from(FOLDER)]);
        // Joining an absolute path yields that path.
        let found = folders.map(|folder| folder.join(name)).find(|program| program.is_file());
        found.map(Self).ok_or_else(|| ServerError::new(MISSING))
    }

    /// Asks the program for its version.
    pub(crate) fn version(&self) -> Result<(u32, u32), ServerError> {
        let output = Command::new(&self.0).arg("--version").output();
        let output = output.map_err(|error| ServerError::because("cannot run pgbouncer", error))?;
        let text = String::from_utf8_lossy(&output.stdout);
        version(&text)
            .ok_or_else(|| ServerError::new(format!("cannot read the version of pgbouncer: {text}")))
    }
}

/// Reads `PgBouncer 1.18.0`, which may be followed by other lines.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.strip_prefix("PgBouncer ")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// A PgBouncer that runs until it is dropped.
pub(crate) struct PgBouncer {
    folder: PathBuf,
    account: Option<Account>,
    process: Option<Child>,
    guardian: Guardian,
}

impl PgBouncer {
    /// Starts a PgBouncer for a server, on a free port, with one more setting. The returned address has the
    /// server's user and password.
    pub(crate) fn start(
        program: &Program,
        server: &Address,
        setting: &str,
    ) -> Result<(Self, Address), ServerError> {
        let (folder, account) = folder::create(Purpose::Tests)?;
        let guardian = Guardian::start(GUARDIAN, folder.as_os_str())
            .map_err(|error| ServerError::because("cannot start sh, which cleans up at the end", error))?;
        // From here on dropping the value cleans up.
        let mut started = Self { folder, account, process: None, guardian };
        for _ in 0..PORTS_TO_TRY {
            let port = free_port()?;
            started.configure(server, port, setting)?;
            let address = server.moved_to(HOST, port)?;
            if started.launch(program, &address)? {
                return Ok((started, address));
            }
        }
        Err(ServerError::new("every free port was taken before pgbouncer could use it; try again"))
    }

    fn configure(&self, server: &Address, port: u16, setting: &str) -> Result<(), ServerError> {
        let config = server.config();
        let user = config.get_user().unwrap_or("postgres");
        let password = String::from_utf8_lossy(config.get_password().unwrap_or_default());
        // Clients authenticate as they do to the server: without the usual thousands of iterations.
        let (auth_type, secret) = match &*password {
            "" => ("trust", String::new()),
            password => ("scram-sha-256", secret::scram_secret(password)),
        };
        let host = match config.get_hosts().first() {
            Some(Host::Tcp(host)) => host.clone(),
            Some(Host::Unix(folder)) => folder.display().to_string(),
            None => HOST.to_owned(),
        };
        let server_port = config.get_ports().first().copied().unwrap_or(5432);
        let folder = self.folder.display();
        let settings = format!(
            "[databases]\n\
             * = host={host} port={server_port} user={} password={}\n\
             [pgbouncer]{SETTINGS}{setting}\n\
             listen_port = {port}\n\
             auth_type = {auth_type}\n\
             auth_file = {folder}/users\n\
             pidfile = {folder}/pid\n",
            quoted(user, '\''),
            quoted(&password, '\''),
        );
        let users = format!("{} {}\n", quoted(user, '"'), quoted(&secret, '"'));
        self.write("users", &users)
            .and_then(|()| self.write("settings", &settings))
            .map_err(|error| ServerError::because("cannot write to the pooler's folder", error))
    }

    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let path = self.folder.join(name);
        fs::write(&path, text)?;
        self.account.map_or(Ok(()), |account| chown(&path, Some(account.user), Some(account.group)))
    }

    /// Starts the program and waits until the server answers through it. Returns `false` if its port is
    /// taken.
    fn launch(&mut self, program: &Program, address: &Address) -> Result<bool, ServerError> {
        let failed = |error| ServerError::because("cannot start pgbouncer", error);
        let log_file = self.folder.join("log");
        let log = File::create(&log_file).map_err(failed)?;
        let mut command = Command::new(&program.0);
        command
            .arg(self.folder.join("settings"))
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(failed)?)
            .stderr(log)
            .process_group(0);
        if let Some(account) = self.account {
            account.apply(&mut command);
        }
        let process = self.process.insert(command.spawn().map_err(failed)?);

        let started = Instant::now();
        loop {
            if process.try_wait().map_err(failed)?.is_some() {
                let log = fs::read_to_string(&log_file).unwrap_or_default();
                return if log.contains("in use") {
                    Ok(false)
                } else {
                    Err(ServerError::new(format!("pgbouncer does not start:\n{log}")))
                };
            }
            match admin::execute_once(address.config(), "SELECT") {
                Ok(()) => return Ok(true),
                Err(error) if started.elapsed() > START_LIMIT => {
                    return Err(ServerError::because("cannot reach the server through pgbouncer", error));
                }
                Err(_) => thread::sleep(Duration::from_millis(10)),
            }
        }
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let cleaned = self.guardian.finish().unwrap_or(false);
        if let Some(process) = &mut self.process {
            // The guardian may have been killed. As a child of this process, PgBouncer stays a zombie until
            // its status is read.
            let _ = process.kill();
            let _ = process.wait();
        }
        if !cleaned {
            remove(&self.folder);
        }
    }
}

fn remove(folder: &Path) {
    if let Err(error) = fs::remove_dir_all(folder)
        && error.kind() != io::ErrorKind::NotFound
    {
        eprintln!("cannot remove {}: {error}", folder.display());
    }
}

/// Puts a value between quotation marks, and doubles the marks in it.
fn quoted(value: &str, mark: char) -> String {
    let marks = format!("{mark}{mark}");
    format!("{mark}{}{mark}", value.replace(mark, &marks))
}

#[cfg(test)]
mod tests {
    use super::{quoted, version};

    #[test]
    fn the_version_is_read_from_the_first_line() {
        assert_eq!(version("PgBouncer 1.18.0\nlibevent 2.1.12-stable\n"), Some((1, 18)));
        assert_eq!(version("PgBouncer 1.21.0"), Some((1, 21)));
        assert_eq!(version("pgcat 1.2"), None);
    }

    #[test]
    fn a_quotation_mark_in_a_value_is_doubled() {
        assert_eq!(quoted("it's", '\''), "'it''s'");
    }
}
