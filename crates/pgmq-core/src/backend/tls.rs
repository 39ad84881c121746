//! The errors of a client and a server that do not trust each other.

use crate::error::Error;
use crate::error_kind::ErrorKind;

/// The error for a server that offers no encryption, or whose certificate is not trusted, where the settings
/// require that.
pub fn untrusted(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    let text = "the connection cannot be encrypted as sslmode requires; if a private authority has signed the server's \
                certificate, name the authority's file in sslrootcert";
    Error::new(ErrorKind::InvalidArgument, text).because(cause)
}

/// Returns `true` if this text of a TLS library reports that the server refused the client's certificate, or
/// requires one.
pub fn refuses_client(text: &str) -> bool {
    let text = text.to_lowercase();
    let words = ["certificate", "unknown ca", "unknownca"];
    text.contains("alert") && words.iter().any(|words| text.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_certificates_are_recognized_in_the_texts_of_tls_libraries() {
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
