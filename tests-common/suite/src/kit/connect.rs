//! Connects a back end to the database of a test.

use pgmq_test_server::Server;

use crate::kit::{
    backend::{Backend, Builder, Pooled},
    context::TestContext,
    failure::Failure,
};

impl<'s> TestContext<'s> {
    /// Creates a database for one case of a back end.
    pub(crate) fn new<B: Backend>(server: &'s Server) -> Result<Self, Failure> {
        Self::create(server, B::HIDDEN_SQLSTATES)
    }

    /// Connects to the database with the defaults; through a pooler, as the back end's documentation
    /// recommends.
    pub(crate) async fn connect<B: Backend>(&self) -> Result<B::Queue, Failure> {
        if self.is_pooled() { self.connect_with::<B>(10).await } else { Ok(B::connect(self.url()).await?) }
    }

    /// Connects like [`connect`](Self::connect), with a pool of this size.
    pub(crate) async fn connect_with<B: Backend>(&self, pool_size: u32) -> Result<B::Queue, Failure> {
        let builder = B::builder().url(self.url()).pool_size(pool_size);
        let builder = match B::BEHIND_POOLERS {
            Pooled::BySwitch if self.is_pooled() => builder.prepared_statements(false),
            _ => builder,
        };
        Ok(builder.connect().await?)
    }
}
