//! The database of the bench, and its preparation between measurements.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use pgmq_core::Version;
use pgmq_test_server::{Database, Purpose, Server};
use postgres::config::Host;
use postgres::{Client, Config, NoTls};

use crate::client::QUEUE;
use crate::clients::raw::json::Jsonb;
use crate::payload::Order;

/// The most messages that one statement inserts.
const PORTION: u32 = 10_000;

/// A database with an empty queue, and a connection outside of the clients.
pub(crate) struct BenchDb {
    client: Client,
    database: Database,
    server: Server,
}

impl BenchDb {
    /// Starts a server that flushes to the disk, as one in use does.
    pub(crate) fn to_measure() -> Result<Self> {
        let server = Server::private_for(Purpose::Measurements)?;
        Self::on(server.context("the bench needs Postgres' server programs on this machine")?)
    }

    /// Obtains any server, for counts that do not depend on its speed.
    pub(crate) fn to_count() -> Result<Self> {
        Self::on(Server::obtain()?)
    }

    fn on(server: Server) -> Result<Self> {
        let database = server.create_database()?;
        let mut client = Client::connect(database.url(), NoTls)?;
        client.batch_execute(&format!(
            "SET synchronous_commit = off;
             SELECT pgmq.create('{QUEUE}');
             CREATE TABLE sales (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer text NOT NULL)"
        ))?;
        Ok(Self { client, database, server })
    }

    /// The URL for the clients.
    pub(crate) fn url(&self) -> &str {
        self.database.url()
    }

    /// The parsed URL.
    pub(crate) fn config(&self) -> Result<Config> {
        Ok(self.url().parse()?)
    }

    /// The address of the server.
    pub(crate) fn addr(&self) -> Result<SocketAddr> {
        let config = self.config()?;
        let (Some(Host::Tcp(host)), Some(port)) = (config.get_hosts().first(), config.get_ports().first())
        else {
            bail!("the server is not reached over TCP");
        };
        (host.as_str(), *port).to_socket_addrs()?.next().context("the server's host has no address")
    }

    /// The path of one of Postgres' programs, if this machine has it.
    pub(crate) fn program(&self, name: &str) -> Option<PathBuf> {
        self.server.program(name)
    }

    /// The version of PGMQ in the database.
    pub(crate) fn pgmq_version(&self) -> Version {
        self.server.pgmq_version()
    }

    /// The text value of a query, such as a setting.
    pub(crate) fn ask(&mut self, query: &str) -> Result<String> {
        Ok(self.client.query_one(query, &[])?.try_get(0)?)
    }

    /// Sets whether a commit waits for the disk, on connections that are opened from now on.
    pub(crate) fn set_synchronous_commit(&mut self, is_on: bool) -> Result<()> {
        let name = self.database.name();
        Ok(self
            .client
            .batch_execute(&format!("ALTER DATABASE \"{name}\" SET synchronous_commit = {is_on}"))?)
    }

    /// Empties the queue and the table of the application.
    pub(crate) fn clear(&mut self) -> Result<()> {
        Ok(self.client.batch_execute(&format!("TRUNCATE pgmq.q_{QUEUE}, sales"))?)
    }

    /// Sends `messages` messages, which stay hidden for `hidden_for` seconds.
    pub(crate) fn fill(&mut self, messages: u32, order: &Order, hidden_for: u32) -> Result<()> {
        self.fill_with_headers(messages, order, None, hidden_for)
    }

    /// Sends `messages` messages with these headers, which stay hidden for `hidden_for` seconds.
    pub(crate) fn fill_with_headers(
        &mut self,
        messages: u32,
        order: &Order,
        headers: Option<&serde_json::Value>,
        hidden_for: u32,
    ) -> Result<()> {
        let hidden_for = i32::try_from(hidden_for)?;
        let headers = headers.map(Jsonb);
        let mut left = messages;
        while left > 0 {
            let portion = left.min(PORTION);
            let count = i32::try_from(portion)?;
            let fill = "SELECT count(*) FROM \
                        pgmq.send_batch($1::text, array_fill($2::jsonb, ARRAY[$3::integer]), \
                        array_fill($5::jsonb, ARRAY[$3::integer]), delay => $4::integer)";
            self.client.query_one(fill, &[&QUEUE, &Jsonb(order), &count, &hidden_for, &headers])?;
            left -= portion;
        }
        Ok(())
    }

    /// Vacuums and analyzes the queue's table, as autovacuum would after a while.
    pub(crate) fn vacuum(&mut self) -> Result<()> {
        Ok(self.client.batch_execute(&format!("VACUUM (ANALYZE) pgmq.q_{QUEUE}"))?)
    }
}
