//! Encrypted connections, with the TLS library that is compiled in.

#[cfg(all(feature = "native-tls", not(feature = "rustls")))]
mod by_native_tls;
#[cfg(feature = "rustls")]
mod by_rustls;
mod options;
#[cfg(any(feature = "rustls", feature = "native-tls"))]
mod unusable;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use pgmq_core::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream as DriverStream};
use tokio_postgres::{CancelToken, NoTls, Socket};

pub(crate) use self::options::TlsOptions;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// The encryption of the connections that a queue opens by itself: with the library that is compiled in, or
/// none.
#[derive(Clone)]
pub struct Tls(Library);

#[derive(Clone)]
enum Library {
    None,
    #[cfg(feature = "rustls")]
    Rustls(tokio_postgres_rustls::MakeRustlsConnect),
    #[cfg(all(feature = "native-tls", not(feature = "rustls")))]
    Native(postgres_native_tls::MakeTlsConnector),
}

impl Tls {
    /// No encryption.
    pub fn disabled() -> Self {
        Self(Library::None)
    }

    /// Encryption with the library that is compiled in, which is `rustls` if both are; `None` if there is no
    /// library.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](pgmq_core::ErrorKind::InvalidArgument), if a file that the options name
    /// cannot be used, or the library cannot be set up.
    #[cfg(feature = "rustls")]
    pub(crate) fn compiled_in(options: &TlsOptions) -> Result<Option<Self>, Error> {
        Ok(Some(Self(Library::Rustls(by_rustls::connector(options)?))))
    }

    /// Encryption with the library that is compiled in.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](pgmq_core::ErrorKind::InvalidArgument), if a file that the options name
    /// cannot be used, or the library cannot be set up.
    #[cfg(all(feature = "native-tls", not(feature = "rustls")))]
    pub(crate) fn compiled_in(options: &TlsOptions) -> Result<Option<Self>, Error> {
        Ok(Some(Self(Library::Native(by_native_tls::connector(options)?))))
    }

    /// No encryption, since no library is compiled in: always `None`.
    ///
    /// # Errors
    ///
    /// Never returns an error.
    #[cfg(not(any(feature = "rustls", feature = "native-tls")))]
    pub(crate) fn compiled_in(_: &TlsOptions) -> Result<Option<Self>, Error> {
        Ok(None)
    }
}

impl Tls {
    /// Asks the server to cancel the statement in flight on a connection with this encryption.
    ///
    /// If the request does not reach the server, the statement runs to its end.
    pub async fn cancel(&self, token: &CancelToken) {
        // Only `NoTls` can tell the driver that it does not encrypt. With any other connector, the driver
        // would ask for encryption wherever the server offers it.
        let _ = match &self.0 {
            Library::None => token.cancel_query(NoTls).await,
            #[cfg(any(feature = "rustls", feature = "native-tls"))]
            _ => token.cancel_query(self.clone()).await,
        };
    }
}

impl MakeTlsConnect<Socket> for Tls {
    type Stream = TlsStream;
    type TlsConnect = Handshake;
    type Error = Cause;

    fn make_tls_connect(&mut self, domain: &str) -> Result<Handshake, Cause> {
        match &mut self.0 {
            Library::None => Ok(Handshake::none(domain)),
            #[cfg(feature = "rustls")]
            Library::Rustls(make) => {
                Handshake::new(<_ as MakeTlsConnect<Socket>>::make_tls_connect(make, domain))
            }
            #[cfg(all(feature = "native-tls", not(feature = "rustls")))]
            Library::Native(make) => {
                Handshake::new(<_ as MakeTlsConnect<Socket>>::make_tls_connect(make, domain))
            }
        }
    }
}

type Connecting = Pin<Box<dyn Future<Output = Result<TlsStream, Cause>> + Send>>;

/// A TLS handshake with a server of a known name.
pub struct Handshake(Box<dyn FnOnce(Socket) -> Connecting + Send>);

impl Handshake {
    fn none(_: &str) -> Self {
        Self(Box::new(|_| Box::pin(async { Err("the connection is set up without TLS".into()) })))
    }

    #[cfg(any(feature = "rustls", feature = "native-tls"))]
    fn new<C, E>(connect: Result<C, E>) -> Result<Self, Cause>
    where
        C: TlsConnect<Socket, Stream: Send + Sync + 'static, Future: Send + 'static> + Send + 'static,
        E: Into<Cause>,
    {
        let connect = connect.map_err(Into::into)?;
        Ok(Self(Box::new(move |socket| {
            let handshake = connect.connect(socket);
            Box::pin(async move {
                let stream = handshake.await.map_err(Into::into)?;
                Ok(TlsStream(Box::pin(stream)))
            })
        })))
    }
}

impl TlsConnect<Socket> for Handshake {
    type Stream = TlsStream;
    type Error = Cause;
    type Future = Connecting;

    fn connect(self, socket: Socket) -> Connecting {
        (self.0)(socket)
    }
}

/// An encrypted connection.
pub struct TlsStream(Pin<Box<dyn Encrypted>>);

trait Encrypted: AsyncRead + AsyncWrite + Send + Sync {
    fn binding(&self) -> ChannelBinding;
}

impl<S: DriverStream + Send + Sync> Encrypted for S {
    fn binding(&self) -> ChannelBinding {
        self.channel_binding()
    }
}

impl DriverStream for TlsStream {
    fn channel_binding(&self) -> ChannelBinding {
        self.0.binding()
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_read(cx, buf)
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.as_mut().poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_shutdown(cx)
    }
}
