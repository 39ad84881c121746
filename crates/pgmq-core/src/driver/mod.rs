//! What several back ends share of a driver. For back ends; each module is behind a feature of its own.

#[cfg(feature = "tokio-postgres")]
#[cfg_attr(docsrs, doc(cfg(feature = "tokio-postgres")))]
pub mod tokio_postgres;
