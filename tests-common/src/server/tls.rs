//! A server that speaks TLS, and what its clients need for it.

use std::{env, fmt, fs, path::PathBuf, sync::Mutex};

use super::{
    Cluster, Purpose, Server, ServerError, binaries,
    certificates::{Authority, Identity},
    shared::Keeper,
};

const LIBRARY: &str = "PGMQ_TEST_TLS";

/// The name that the server's certificates are for. Its address, which leads there as well, is another.
const NAME: &str = "localhost";

/// What is switched on for it.
const SETTINGS: &str = "\
ssl = on
ssl_cert_file = 'server.pem'
ssl_key_file = 'server.key'
ssl_ca_file = 'ca.pem'";

/// By which library the back ends encrypt in this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsLibrary {
    /// rustls.
    Rustls,
    /// That of the system, by native-tls or by libpq.
    Native,
}

impl TlsLibrary {
    /// Tells by which library the back ends were built to encrypt; `None` if by none.
    ///
    /// # Panics
    ///
    /// When the variable `PGMQ_TEST_TLS` names another.
    #[must_use]
    pub fn compiled_in() -> Option<Self> {
        match env::var(LIBRARY).ok()?.as_str() {
            "rustls" => Some(Self::Rustls),
            "native-tls" => Some(Self::Native),
            other => panic!("{LIBRARY} is {other:?}; set it to rustls or native-tls"),
        }
    }
}

/// A server that speaks TLS as `localhost`, and another one whose certificate has expired.
///
/// The role `certified` logs in by a certificate, and any other by a password.
pub struct TlsServer {
    server: Server,
    expired: Cluster,
    files: PathBuf,
}

impl TlsServer {
    /// Tells whether there are server programs on this machine to start one.
    #[must_use]
    pub fn is_possible() -> bool {
        binaries::find().is_ok_and(|found| found.is_some())
    }

    /// Starts one.
    ///
    /// # Errors
    ///
    /// When there are no server programs on this machine, or they do not work.
    pub fn start() -> Result<Self, ServerError> {
        let binaries = binaries::find()?.ok_or_else(|| {
            ServerError::new(
                "TLS is tested on a server of our own, and there are no server programs on this machine",
            )
        })?;
        let failed = |error| ServerError::because("cannot make certificates", error);
        let authority = Authority::new("authority of the tests").map_err(failed)?;
        let stranger = Authority::new("authority that nobody trusts").map_err(failed)?;

        let identity = authority.server(NAME).map_err(failed)?;
        let cluster = Cluster::create_configured(binaries.clone(), Purpose::Tests, |cluster| {
            configure(cluster, &authority, &identity)
        })?;
        let identity = authority.expired_server(NAME).map_err(failed)?;
        let expired = Cluster::create_configured(binaries, Purpose::Tests, |cluster| {
            configure(cluster, &authority, &identity)
        })?;

        // With what is quoted in connection strings.
        let files = cluster.folder().join("client's files");
        let server = Server::keep(cluster.address().clone(), Keeper::Local(Box::new(Mutex::new(cluster))))?;
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
        super::lock(cluster).write(&self.files.join(name), content)
    }

    /// The server that is to be trusted.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The port of the server whose certificate has expired.
    #[must_use]
    pub fn expired_port(&self) -> u16 {
        self.expired.port()
    }

    /// The certificate of the authority that signs for both.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.files.join("ca.pem")
    }

    /// The certificate of another one, which signs for neither.
    #[must_use]
    pub fn stranger(&self) -> PathBuf {
        self.files.join("stranger.pem")
    }

    /// A file that is no certificate and no key.
    #[must_use]
    pub fn garbage(&self) -> PathBuf {
        self.files.join("garbage.pem")
    }

    /// The certificate of a client, and its key: of `certified`, of `somebody` else, or of one who calls itself `certified` and is
    /// not known to the authority, `foreign`.
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

/// Has a server that is about to start speak TLS.
fn configure(cluster: &Cluster, authority: &Authority, identity: &Identity) -> Result<(), ServerError> {
    let write = |name: &str, content: &str| cluster.write(&cluster.data().join(name), content);
    write("ca.pem", &authority.certificate())?;
    write("server.pem", &identity.certificate)?;
    write("server.key", &identity.key)?;
    let rules = cluster.data().join("pg_hba.conf");
    let others = fs::read_to_string(&rules)
        .map_err(|error| ServerError::because("cannot read who may log in", error))?;
    write("pg_hba.conf", &format!("hostssl all certified all cert\n{others}"))?;
    cluster.set(SETTINGS)
}
