//! The test bed of an experiment: servers, network and database.

use pgmq_test_server::{Database, Server, outside_of_runtimes, proxy::Proxy};
use postgres::{Client, Config, NoTls};
use url::Url;

use crate::{
    faults::ledger::{QueueContents, Seen},
    kit::{
        context::QUEUE,
        failure::{Failure, Outcome},
    },
};

/// The way that the queue connects to the server.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectVia {
    /// Directly to the server.
    Server,
    /// Through the proxy.
    Proxy,
    /// To the one of two servers that accepts writes.
    TwoHosts,
}

/// The servers of an experiment, and a database with the queue [`QUEUE`].
pub(crate) struct TestBed {
    pub(crate) database: Database,
    url: String,
    /// The proxy between the queue and the server, unused unless the queue connects via
    /// [`ConnectVia::Proxy`].
    pub(crate) proxy: Proxy,
    pub(crate) server: Server,
    /// The other server, if there are two. They take turns as the primary.
    standby: Option<Server>,
}

impl TestBed {
    /// Starts the servers and creates the queue.
    pub(crate) fn create(via: ConnectVia) -> Result<Self, Failure> {
        let server = Server::durable()?.expect("experiments are only listed if there are server programs");
        let database = server.create_database()?;
        // A transaction whose client disappears holds its locks until this timeout: longer than the faults
        // that are temporary, shorter than the time limit of the workers.
        let timeout =
            format!("ALTER DATABASE \"{}\" SET idle_in_transaction_session_timeout = '4s'", database.name());
        database.execute(&format!("{timeout}; SELECT pgmq.create('{QUEUE}')"))?;
        let standby = if via == ConnectVia::TwoHosts { Some(server.standby()?) } else { None };
        let mut url = Url::parse(database.url())?;
        let port = url.port().expect("the URL of a server that was started here has a port");
        let proxy = Proxy::start(([127, 0, 0, 1], port).into())?;
        let url = match &standby {
            None if via == ConnectVia::Proxy => {
                url.set_port(Some(proxy.addr().port())).expect("the URL has a host");
                url.into()
            }
            None => url.into(),
            Some(standby) => {
                let other = Url::parse(standby.url())?.port().expect("the URL of a standby has a port");
                let one = format!("127.0.0.1:{port}");
                let url = String::from(url).replace(&one, &format!("{one},127.0.0.1:{other}"));
                format!("{url}?target_session_attrs=read-write")
            }
        };
        Ok(Self { database, url, proxy, server, standby })
    }

    /// The URL that the queue connects to.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The primary and the standby at the start of a round.
    pub(crate) fn pair(&self, round: u32) -> (&Server, &Server) {
        let standby = self.standby.as_ref().expect("there are two servers if there are two hosts");
        if round.is_multiple_of(2) { (&self.server, standby) } else { (standby, &self.server) }
    }

    /// Opens an independent connection to the first server.
    pub(crate) fn connect(&self) -> Result<Client, Failure> {
        Ok(self.database.url().parse::<Config>()?.connect(NoTls)?)
    }

    /// Runs statements on a new connection.
    pub(crate) fn execute(&self, sql: &str) -> Outcome {
        Ok(self.connect()?.batch_execute(sql)?)
    }

    /// The process ids of all other sessions in the database, in random order.
    pub(crate) fn sessions(&self) -> Result<Vec<i32>, Failure> {
        let sql = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() \
                   AND backend_type = 'client backend' ORDER BY random()";
        outside_of_runtimes(|| {
            let rows = self.connect()?.query(sql, &[])?;
            Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
        })
    }

    /// The last statement of each other session in the database.
    pub(crate) fn statements(&self) -> Result<Vec<String>, Failure> {
        let sql = "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() \
                   AND backend_type = 'client backend'";
        outside_of_runtimes(|| {
            let rows = self.connect()?.query(sql, &[])?;
            Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
        })
    }

    /// Reads the tables of the queue.
    pub(crate) fn queue_contents(&self) -> Result<QueueContents, Failure> {
        outside_of_runtimes(|| {
            let mut client = self.connect()?;
            Ok(QueueContents { queue: table(&mut client, "q")?, archive: table(&mut client, "a")? })
        })
    }
}

fn table(client: &mut Client, kind: &str) -> Result<Vec<Seen>, Failure> {
    let sql = format!("SELECT message::bigint, msg_id, read_ct FROM pgmq.{kind}_{QUEUE} ORDER BY msg_id");
    let seen = client.query(&sql, &[])?.into_iter().map(|row| {
        let number = u64::try_from(row.try_get::<_, i64>(0)?)?;
        Ok(Seen { number, id: row.try_get(1)?, read_ct: row.try_get(2)? })
    });
    seen.collect()
}
