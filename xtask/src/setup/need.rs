//! The programs and libraries that a command needs and cargo cannot build.

/// A need of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// A C compiler, for dependencies with C in them, such as ring and libpq.
    CCompiler,
    /// A server: by URL, from programs on this machine, or in Docker.
    Postgres,
    /// Postgres' server programs, for servers that are measured.
    ServerPrograms,
    /// OpenSSL's headers and pkg-config, for native-tls and for libpq with TLS. Every command can do without
    /// them.
    OpenSsl,
}

impl Need {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::CCompiler => "a C compiler",
            Self::Postgres => "Postgres",
            Self::ServerPrograms => "Postgres' server programs",
            Self::OpenSsl => "the headers of OpenSSL",
        }
    }
}
