//! Where a trial takes place: the servers, the network between, and the database.

use postgres::{Client, Config, NoTls};
use url::Url;

use crate::{
    conformance::{Failure, Outcome, Q, beside},
    proxy::Proxy,
    server::{Database, Server},
};

use super::model::{Found, Seen};

/// How the queue connects to the server.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Direct,
    /// Through the proxy.
    Proxied,
    /// To whichever of two servers takes writes.
    TwoHosts,
}

/// The servers of a trial, with a database, and the queue `q` in it.
pub(super) struct Stage {
    database: Database,
    url: String,
    /// Between the queue and the server, if the way leads through it.
    pub(super) proxy: Proxy,
    pub(super) server: Server,
    /// Where there is one, the two take turns in being the primary.
    standby: Option<Server>,
}

impl Stage {
    pub(super) fn set(way: Way) -> Result<Self, Failure> {
        let server = Server::durable()?.expect("the trials are only there where the programs are");
        let database = server.create_database()?;
        database.execute(&format!("SELECT pgmq.create('{Q}')"))?;
        let standby = if way == Way::TwoHosts { Some(server.standby()?) } else { None };
        let mut url = Url::parse(database.url())?;
        let port = url.port().expect("the URL of a server of our own has a port");
        let proxy = Proxy::start(([127, 0, 0, 1], port).into())?;
        let url = match &standby {
            None if way == Way::Proxied => {
                url.set_port(Some(proxy.addr().port())).expect("the URL has a host");
                url.into()
            }
            None => url.into(),
            Some(standby) => {
                let other = Url::parse(standby.url())?.port().expect("so has that of a standby");
                let one = format!("127.0.0.1:{port}");
                let url = String::from(url).replace(&one, &format!("{one},127.0.0.1:{other}"));
                format!("{url}?target_session_attrs=read-write")
            }
        };
        Ok(Self { database, url, proxy, server, standby })
    }

    /// By what the queue connects.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The primary and the standby, as they are before a fault of this number.
    pub(super) fn pair(&self, round: u32) -> (&Server, &Server) {
        let standby = self.standby.as_ref().expect("there are two servers if there are two hosts");
        if round.is_multiple_of(2) { (&self.server, standby) } else { (standby, &self.server) }
    }

    /// Connects beside the queue, to the first server.
    pub(super) fn connect(&self) -> Result<Client, Failure> {
        Ok(self.database.url().parse::<Config>()?.connect(NoTls)?)
    }

    /// Runs statements beside the queue.
    pub(super) fn execute(&self, sql: &str) -> Outcome {
        Ok(self.connect()?.batch_execute(sql)?)
    }

    /// The processes of the sessions of others in the database, in random order.
    pub(super) fn sessions(&self) -> Result<Vec<i32>, Failure> {
        let sql = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() \
                   AND backend_type = 'client backend' ORDER BY random()";
        beside(|| {
            let rows = self.connect()?.query(sql, &[])?;
            Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
        })
    }

    /// Looks at what lies in the tables.
    pub(super) fn find(&self) -> Result<Found, Failure> {
        beside(|| {
            let mut client = self.connect()?;
            Ok(Found { queue: table(&mut client, "q")?, archive: table(&mut client, "a")? })
        })
    }
}

fn table(client: &mut Client, kind: &str) -> Result<Vec<Seen>, Failure> {
    let sql = format!("SELECT message::bigint, msg_id, read_ct FROM pgmq.{kind}_{Q} ORDER BY msg_id");
    let seen = client.query(&sql, &[])?.into_iter().map(|row| {
        let number = u64::try_from(row.try_get::<_, i64>(0)?)?;
        Ok(Seen { number, id: row.try_get(1)?, read_ct: row.try_get(2)? })
    });
    seen.collect()
}
