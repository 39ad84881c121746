//! The traits for pointers to a queue, so that generic code accepts a reference, a `Box` or an `Arc` as well.

use std::future::Future;
use std::sync::Arc;

use crate::decode::Output;
use crate::operations::listen::{AsyncListen, Listen};
use crate::operations::queue::{AsyncQueue, Queue};
use crate::statement::Query;

macro_rules! pointers {
    ($($pointer:ty),*) => {$(
        impl<Q: Queue> Queue for $pointer {
            type Error = Q::Error;

            fn run_query<O: Output>(&self, query: Query<'_, O>) -> Result<O, Q::Error> {
                Q::run_query(self, query)
            }
        }

        impl<Q: Listen> Listen for $pointer {
            type Listener = Q::Listener;

            fn listen<S: AsRef<str>>(&self, queues: &[S]) -> Result<Q::Listener, Q::Error> {
                Q::listen(self, queues)
            }
        }

        impl<Q: AsyncQueue> AsyncQueue for $pointer {
            type Error = Q::Error;

            fn run_query<O: Output>(
                &self,
                query: Query<'_, O>,
            ) -> impl Future<Output = Result<O, Q::Error>> + Send {
                Q::run_query(self, query)
            }
        }

        impl<Q: AsyncListen> AsyncListen for $pointer {
            type Listener = Q::Listener;

            fn listen<S: AsRef<str>>(
                &self,
                queues: &[S],
            ) -> impl Future<Output = Result<Q::Listener, Q::Error>> + Send {
                Q::listen(self, queues)
            }
        }
    )*};
}

pointers!(&Q, Box<Q>, Arc<Q>);
