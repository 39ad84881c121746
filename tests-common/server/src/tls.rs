//! A server that speaks TLS, and the certificates of its clients.

use std::{env, fmt, fs, path::PathBuf, sync::Mutex};

use crate::{
    binaries,
    certificates::{Authority, Identity},
    cluster::Cluster,
    error::ServerError,
    purpose::Purpose,
    server::Server,
    shared::{Keeper, lock},
};

const LIBRARY: &str = "PGMQ_TEST_TLS";

/// The names in the server's certificates. The address 127.0.0.1 reaches the server too, but is another name.
const NAMES: [&str; 2] = ["localhost", "::1"];

/// The settings that switch TLS on.
const SETTINGS: &str = "\
ssl = on
ssl_cert_file = 'server.pem'
ssl_key_file = 'server.key'
ssl_ca_file = 'ca.pem'";

/// The TLS library of the back ends in this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsLibrary {
    /// rustls.
    Rustls,
    /// The system's library, through native-tls or libpq.
    Native,
}

impl TlsLibrary {
    /// The TLS library that the back ends were built with, according to `PGMQ_TEST_TLS`; `None` without TLS.
    ///
    /// # Panics
    ///
    /// If the variable `PGMQ_TEST_TLS` has an unknown value.
    #[must_use]
    pub fn compiled_in() -> Option<Self> {
        match env::var(LIBRARY).ok()?.as_str() {
            "rustls" => Some(Self::Rustls),
            "native-tls" => Some(Self::Native),
            other => panic!("{LIBRARY} is {other:?}; set it to rustls or native-tls"),
        }
    }
}

/// A server that speaks TLS as `localhost`, and another server whose certificate has expired.
///
/// The role `certified` logs in with a certificate, and any other role with a password.
pub struct TlsServer {
    server: Server,
    expired: Cluster,
    files: PathBuf,
}

impl TlsServer {
    /// Returns `true` if this machine has server programs to start one.
    #[must_use]
    pub fn is_possible() -> bool {
        binaries::find().is_ok_and(|found| found.is_some())
    }

    /// Starts both servers.
    ///
    /// # Errors
    ///
    /// If there are no server programs on this machine, or they do not work.
    pub fn start() -> Result<Self, ServerError> {
        let binaries = binaries::find()?.ok_or_else(|| {
            ServerError::new("the tests of TLS need Postgres' server programs on this machine; install them")
        })?;
        let failed = |error| ServerError::because("cannot make certificates", error);
        let authority = Authority::new("authority of the tests").map_err(failed)?;
        let stranger = Authority::new("untrusted authority").map_err(failed)?;

        let identity = authority.server(NAMES).map_err(failed)?;
        let cluster = Cluster::create_configured(binaries.clone(), Purpose::Tests, |cluster| {
            configure(cluster, &authority, &identity)
        })?;
        let identity = authority.expired_server(NAMES).map_err(failed)?;
        let expired = Cluster::create_configured(binaries, Purpose::Tests, |cluster| {
            configure(cluster, &authority, &identity)
        })?;

        // The name contains characters that are quoted in connection strings.
        let files = cluster.folder().join("client's files");
        let server = Server::new(cluster.address().clone(), Keeper::Local(Box::new(Mutex::new(cluster))))?;
        let tls = Self { server, expired, files };
        tls.write_files(&authority, &stranger)?;
        let create = "CREATE ROLE certified LOGIN SUPERUSER";
        tls.server
            .shared
            .admin
            .execute(create)
            .map_err(|error| ServerError::because("cannot create a role", error))?;
        Ok(tls)
    }

    fn write_files(&self, authority: &Authority, stranger: &Authority) -> Result<(), ServerError> {
        let failed = |error| ServerError::because("cannot make certificates", error);
        fs::create_dir(&self.files).map_err(|error| ServerError::because("cannot create a folder", error))?;
        self.write("ca.pem", &authority.certificate())?;
        self.write("stranger.pem", &stranger.certificate())?;
        self.write("garbage.pem", "no certificate, and s3cret\n")?;
        let clients = [
            ("certified", authority.client("certified")),
            ("somebody", authority.client("somebody")),
            ("foreign", stranger.client("certified")),
        ];
        for (name, identity) in clients {
            let Identity { certificate, key } = identity.map_err(failed)?;
            self.write(&format!("{name}.pem"), &certificate)?;
            self.write(&format!("{name}.key"), &key)?;
        }
        Ok(())
    }

    fn write(&self, name: &str, content: &str) -> Result<(), ServerError> {
        let Keeper::Local(cluster) = &self.server.shared.keeper else { return Ok(()) };
        lock(cluster).write(&self.files.join(name), content)
    }

    /// The server with a valid certificate.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The port of the server whose certificate has expired.
    #[must_use]
    pub fn expired_port(&self) -> u16 {
        self.expired.port()
    }

    /// The certificate of the authority that signed both servers' certificates.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.files.join("ca.pem")
    }

    /// The certificate of another authority, which signed neither server's certificate.
    #[must_use]
    pub fn stranger(&self) -> PathBuf {
        self.files.join("stranger.pem")
    }

    /// A file that is neither a certificate nor a key.
    #[must_use]
    pub fn garbage(&self) -> PathBuf {
        self.files.join("garbage.pem")
    }

    /// The files with the certificate and key of a client: `certified`; `somebody`, another name; or
    /// `foreign`, which claims the name `certified` but was signed by an untrusted authority.
    #[must_use]
    pub fn client(&self, name: &str) -> (PathBuf, PathBuf) {
        (self.files.join(format!("{name}.pem")), self.files.join(format!("{name}.key")))
    }
}

impl fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsServer").field("server", &self.server).finish_non_exhaustive()
    }
}

/// Configures TLS on a server before it starts.
fn configure(cluster: &Cluster, authority: &Authority, identity: &Identity) -> Result<(), ServerError> {
    let write = |name: &str, content: &str| cluster.write(&cluster.data().join(name), content);
    write("ca.pem", &authority.certificate())?;
    write("server.pem", &identity.certificate)?;
    write("server.key", &identity.key)?;
    let rules = cluster.data().join("pg_hba.conf");
    let others =
        fs::read_to_string(&rules).map_err(|error| ServerError::because("cannot read pg_hba.conf", error))?;
    write("pg_hba.conf", &format!("hostssl all certified all cert\n{others}"))?;
    cluster.set(SETTINGS)
}
