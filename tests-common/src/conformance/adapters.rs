//! What the test of each back end says in the same words: its types as the suite takes them.

/// Adapters around the types of a back end's crate, as the local structs `Queue`, `Bound`, `Builder` and `Listener`.
///
/// The names of `pgmq_core::prelude` have to be in scope.
#[macro_export]
macro_rules! adapters {
    (async $backend:ident) => {
        $crate::adapters!(@queue $backend AsyncQueue async_methods [] Queue(::$backend::PGMQueue));
        $crate::adapters!(@queue $backend AsyncQueue async_methods [] Bound<'c>(::$backend::BoundQueue<'c>));
        $crate::adapters!(@rest $backend [await] listener => {
            ::std::future::poll_fn(|cx| ::futures_core::Stream::poll_next(::std::pin::Pin::new(listener), cx)).await
        });
    };
    (blocking $backend:ident) => {
        $crate::adapters!(@queue $backend Queue blocking_methods [::std::future::ready] Queue(::$backend::PGMQueue));
        $crate::adapters!(@queue $backend Queue blocking_methods [::std::future::ready] Bound<'c>(::$backend::BoundQueue<'c>));
        $crate::adapters!(@rest $backend [] listener => { listener.next() });
    };
    (@queue $backend:ident $trait:ident $methods:ident [$($ready:tt)*] $adapter:ident$(<$life:lifetime>)?($type:ty)) => {
        $crate::adapters!(@struct $adapter$(<$life>)?($type));

        impl$(<$life>)? ::pgmq_core::AsyncQueue for $adapter$(<$life>)? {
            type Error = ::$backend::Error;

            fn run<O: ::pgmq_core::Output>(
                &self,
                statement: ::pgmq_core::Statement<'_, O>,
            ) -> impl ::std::future::Future<Output = Result<O, Self::Error>> + Send {
                $($ready)*(::pgmq_core::$trait::run(&self.0, statement))
            }

            ::pgmq_core::operations!($crate::$methods);
        }
    };
    (@struct Queue($type:ty)) => {
        #[derive(Clone, Debug)]
        struct Queue($type);
    };
    (@struct $adapter:ident<$life:lifetime>($type:ty)) => {
        struct $adapter<$life>($type);
    };
    (@rest $backend:ident [$($await:tt)?] $listener:ident => $next:block) => {
        struct Builder(::$backend::Builder);

        impl $crate::conformance::Builder for Builder {
            type Queue = Queue;
            type Error = ::$backend::Error;

            $crate::builder_setters!();

            async fn connect(self) -> Result<Queue, Self::Error> {
                self.0.connect()$(.$await)?.map(Queue)
            }
        }

        struct Listener(::$backend::Listener);

        impl $crate::conformance::Listener for Listener {
            type Error = ::$backend::Error;

            async fn next_timeout(
                &mut self,
                limit: ::std::time::Duration,
            ) -> Result<Option<::pgmq_core::Notification>, Self::Error> {
                self.0.next_timeout(limit)$(.$await)?
            }

            async fn next(&mut self) -> Option<Result<::pgmq_core::Notification, Self::Error>> {
                let $listener = &mut self.0;
                $next
            }
        }
    };
}

/// The types of [`Backend`](crate::conformance::Backend), and its methods that call those of the same name, over the
/// [`adapters`](crate::adapters). What only the driver can say is left.
#[macro_export]
macro_rules! backend_methods {
    (async $backend:ident) => {
        fn block_on<T>(future: impl ::std::future::Future<Output = T>) -> T {
            // What it drives meanwhile goes on while a case blocks.
            let runtime = ::tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            runtime.expect("a runtime can be made").block_on(future)
        }

        async fn side_by_side<T: Send + 'static>(works: Vec<$crate::conformance::Work<T>>) -> Vec<T> {
            let tasks: Vec<_> = works.into_iter().map(::tokio::spawn).collect();
            let mut ends = Vec::with_capacity(tasks.len());
            for task in tasks {
                ends.push(task.await.unwrap_or_else(|error| ::std::panic::resume_unwind(error.into_panic())));
            }
            ends
        }

        async fn within<T: Send>(
            limit: ::std::time::Duration,
            call: impl ::std::future::Future<Output = T> + Send,
        ) -> Option<T> {
            ::tokio::time::timeout(limit, call).await.ok()
        }

        async fn pause(time: ::std::time::Duration) {
            ::tokio::time::sleep(time).await;
        }

        fn tasks() -> usize {
            ::tokio::runtime::Handle::current().metrics().num_alive_tasks()
        }

        $crate::backend_methods!(@ $backend await);
    };
    (blocking $backend:ident) => {
        const BLOCKS: bool = true;

        fn block_on<T>(future: impl ::std::future::Future<Output = T>) -> T {
            $crate::conformance::poll_once(future)
        }

        async fn side_by_side<T: Send + 'static>(works: Vec<$crate::conformance::Work<T>>) -> Vec<T> {
            let on_a_thread = |work| ::std::thread::spawn(|| $crate::conformance::poll_once(work));
            let threads: Vec<_> = works.into_iter().map(on_a_thread).collect();
            let end = |thread: ::std::thread::JoinHandle<T>| thread.join();
            threads.into_iter().map(end).map(|end| end.unwrap_or_else(|panic| ::std::panic::resume_unwind(panic))).collect()
        }

        async fn within<T: Send>(
            _: ::std::time::Duration,
            call: impl ::std::future::Future<Output = T> + Send,
        ) -> Option<T> {
            Some(call.await)
        }

        async fn pause(time: ::std::time::Duration) {
            ::std::thread::sleep(time);
        }

        fn tasks() -> usize {
            0
        }

        $crate::backend_methods!(@ $backend);
    };
    (@ $backend:ident $($await:tt)?) => {
        type Error = ::$backend::Error;
        type Queue = Queue;
        type Builder = Builder;
        type Pool = ::$backend::Pool;
        type Session = ::$backend::Session;
        type Listener = Listener;

        fn builder() -> Builder {
            Builder(::$backend::PGMQueue::builder())
        }

        async fn connect(url: &str) -> Result<Queue, Self::Error> {
            ::$backend::PGMQueue::connect(url)$(.$await)?.map(Queue)
        }

        async fn from_env() -> Result<Queue, Self::Error> {
            ::$backend::PGMQueue::from_env()$(.$await)?.map(Queue)
        }

        fn from_pool(pool: Self::Pool) -> Queue {
            Queue(::$backend::PGMQueue::from(pool))
        }

        fn listening_by(queue: Queue, url: &str) -> Queue {
            Queue(queue.0.listening_by(url))
        }

        async fn init(queue: &Queue) -> Result<(), Self::Error> {
            queue.0.init()$(.$await)?
        }

        async fn version(queue: &Queue) -> Result<::pgmq_core::Installation, Self::Error> {
            queue.0.version()$(.$await)?
        }

        fn pool(queue: &Queue) -> &Self::Pool {
            queue.0.pool()
        }

        async fn session(queue: &Queue) -> Result<Self::Session, Self::Error> {
            queue.0.session()$(.$await)?
        }

        async fn listen(queue: &Queue, to: &[&str]) -> Result<Listener, Self::Error> {
            queue.0.listen(to)$(.$await)?.map(Listener)
        }

        async fn close(queue: Queue) {
            queue.0.close()$(.$await)?;
        }

        async fn on_session(
            queue: &Queue,
            world: &$crate::conformance::World<'_>,
            case: &impl $crate::conformance::QueueCase,
        ) -> $crate::conformance::Outcome {
            let mut session = queue.0.session()$(.$await)? ?;
            case.run(&$crate::conformance::Subject::new(&Bound(queue.0.with(&mut session)), world)).await
        }
    };
}
