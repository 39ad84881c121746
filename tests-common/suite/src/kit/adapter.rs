//! The macro that adapts a back end's crate to the suite.

/// Implements [`Client`](crate::Client) for a type by a back end's crate: `client!(async pgmq_tokio for
/// Tokio)`, or `client!(blocking pgmq_postgres for Postgres)`.
///
/// A macro, since `PGMQueue::connect`, `Builder` and `Listener` have the same methods in all back ends, but
/// no common trait. The operations have one, so the suite calls them through `pgmq_core::AsyncQueue`.
///
/// Declares the local structs `Builder` and `Listener`. An async back end needs `futures_core` among its
/// dependencies.
#[macro_export]
macro_rules! client {
    (async $backend:ident for $client:ident) => {
        $crate::client! {
            @impl $backend for $client,
            runtime: $crate::TokioRuntime,
            queue: ::$backend::PGMQueue,
            wrap: [],
            unwrap: [],
            wait: [.await],
            next: listener => {
                ::std::future::poll_fn(|cx| ::futures_core::Stream::poll_next(::std::pin::Pin::new(listener), cx)).await
            },
        }
    };
    (blocking $backend:ident for $client:ident) => {
        $crate::client! {
            @impl $backend for $client,
            runtime: $crate::Threads,
            queue: $crate::Blocking<::$backend::PGMQueue>,
            wrap: [$crate::Blocking],
            unwrap: [.0],
            wait: [],
            next: listener => { listener.next() },
        }
    };
    (
        @impl $backend:ident for $client:ident,
        runtime: $runtime:ty,
        queue: $queue:ty,
        wrap: [$($wrap:tt)*],
        unwrap: [$($unwrap:tt)*],
        wait: [$($wait:tt)*],
        next: $listener:ident => $next:block,
    ) => {
        struct Builder(::$backend::Builder);

        impl $crate::Builder for Builder {
            type Queue = $queue;
            type Error = ::$backend::Error;

            $crate::client! {
                @setters
                url: &str, host: &str, port: u16, database: &str, username: &str, password: &str,
                application_name: &str, listen_url: &str, pool_size: u32,
                acquire_timeout: ::std::time::Duration, connect_timeout: ::std::time::Duration,
                idle_timeout: ::std::time::Duration, max_lifetime: ::std::time::Duration,
                listener_check_interval: ::std::time::Duration,
                prepared_statements: bool, install_extension: bool,
                observer: ::std::sync::Arc<dyn ::pgmq_core::Observer>
            }

            async fn connect(self) -> Result<$queue, Self::Error> {
                let queue = self.0.connect()$($wait)*?;
                Ok($($wrap)*(queue))
            }
        }

        /// The types of all back ends have the same auto traits, so that a program can change its back end.
        const _: fn() = || {
            fn shared_by_threads<T: Send + Sync + Unpin + 'static>() {}
            fn moved_to_a_thread<T: Send + 'static>() {}
            shared_by_threads::<::$backend::Builder>();
            shared_by_threads::<::$backend::PGMQueue>();
            shared_by_threads::<::$backend::Error>();
            moved_to_a_thread::<::$backend::Listener>();
            moved_to_a_thread::<::$backend::Session>();
        };

        struct Listener(::$backend::Listener);

        impl $crate::Listener for Listener {
            type Error = ::$backend::Error;

            async fn next_timeout(
                &mut self,
                limit: ::std::time::Duration,
            ) -> Result<Option<::pgmq_core::Notification>, Self::Error> {
                self.0.next_timeout(limit)$($wait)*
            }

            async fn next(&mut self) -> Option<Result<::pgmq_core::Notification, Self::Error>> {
                let $listener = &mut self.0;
                $next
            }
        }

        impl $crate::Client for $client {
            type Runtime = $runtime;
            type Error = ::$backend::Error;
            type Queue = $queue;
            type Builder = Builder;
            type Pool = ::$backend::Pool;
            type Session = ::$backend::Session;
            type Listener = Listener;

            fn builder() -> Builder {
                Builder(::$backend::PGMQueue::builder())
            }

            fn builder_from_env() -> Result<Builder, Self::Error> {
                ::$backend::Builder::from_env().map(Builder).map_err(Into::into)
            }

            async fn connect(url: &str) -> Result<$queue, Self::Error> {
                let queue = ::$backend::PGMQueue::connect(url)$($wait)*?;
                Ok($($wrap)*(queue))
            }

            async fn from_env() -> Result<$queue, Self::Error> {
                let queue = ::$backend::PGMQueue::from_env()$($wait)*?;
                Ok($($wrap)*(queue))
            }

            fn from_pool(pool: Self::Pool) -> $queue {
                $($wrap)*(::$backend::PGMQueue::from(pool))
            }

            fn with_listen_url(queue: $queue, url: &str) -> $queue {
                $($wrap)*(queue $($unwrap)*.with_listen_url(url))
            }

            fn with_observer(queue: $queue, observer: ::std::sync::Arc<dyn ::pgmq_core::Observer>) -> $queue {
                $($wrap)*(queue $($unwrap)*.with_observer(observer))
            }

            async fn init(queue: &$queue) -> Result<(), Self::Error> {
                queue $($unwrap)*.init()$($wait)*
            }

            async fn version(queue: &$queue) -> Result<::pgmq_core::Installation, Self::Error> {
                queue $($unwrap)*.version()$($wait)*
            }

            fn pool(queue: &$queue) -> &Self::Pool {
                queue $($unwrap)*.pool()
            }

            async fn session(queue: &$queue) -> Result<Self::Session, Self::Error> {
                queue $($unwrap)*.session()$($wait)*
            }

            async fn listen(queue: &$queue, to: &[&str]) -> Result<Listener, Self::Error> {
                queue $($unwrap)*.listen(to)$($wait)*.map(Listener)
            }

            async fn close(queue: $queue) {
                queue $($unwrap)*.close()$($wait)*;
            }

            async fn on_session(
                queue: &$queue,
                context: &$crate::TestContext<'_>,
                case: &impl $crate::QueueCase,
            ) -> $crate::Outcome {
                let mut session = queue $($unwrap)*.session()$($wait)*?;
                let bound = $($wrap)*(queue $($unwrap)*.with(&mut session));
                case.run(&$crate::QueueUnderTest::new(&bound, context)).await
            }
        }
    };
    (@setters $($name:ident: $type:ty),*) => {$(
        fn $name(self, value: $type) -> Self {
            Self(self.0.$name(value))
        }
    )*};
}
