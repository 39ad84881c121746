//! What is said where client and server do not trust each other.

use crate::{Error, ErrorKind};

/// The error for a server that offers no encryption, or shows a certificate that is not trusted, where that was asked for.
pub fn untrusted(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    let text = "the connection cannot be encrypted as sslmode asks; if the server's certificate is signed by an authority of \
                your own, name the file of that by sslrootcert";
    Error::new(ErrorKind::InvalidArgument, text).because(cause)
}

/// Whether a library for TLS says in this text that the server does not take the client's certificate, or misses it.
pub fn refuses_client(text: &str) -> bool {
    let text = text.to_lowercase();
    let words = ["certificate", "unknown ca", "unknownca"];
    text.contains("alert") && words.iter().any(|words| text.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_libraries_words_for_a_refused_certificate_are_known() {
        for text in [
            "received fatal alert: UnknownCA",
            "received fatal alert: CertificateRequired",
            "error:0A000418:SSL routines:ssl3_read_bytes:tlsv1 alert unknown ca:ssl/record/rec_layer_s3.c:1590:",
            "error:0A00045C:SSL routines:ssl3_read_bytes:tlsv13 alert certificate required",
        ] {
            assert!(refuses_client(text), "{text}");
        }
        for text in ["received fatal alert: HandshakeFailure", "certificate verify failed", "unknown CA"] {
            assert!(!refuses_client(text), "{text}");
        }
    }
}
