//! Certificates, issued for one run.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, Error, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, date_time_ymd,
};

/// A certificate authority.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, as text.
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Result<Self, Error> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        CertifiedIssuer::self_signed(params, KeyPair::generate()?).map(Self)
    }

    /// The authority's own certificate, which clients have to trust.
    pub(crate) fn certificate(&self) -> String {
        self.0.pem()
    }

    /// Signs the certificate of a server.
    pub(crate) fn server(&self, hosts: [&str; 2]) -> Result<Identity, Error> {
        self.sign(server(hosts)?)
    }

    /// Signs the certificate of a server that was valid for one day and has expired.
    pub(crate) fn expired_server(&self, hosts: [&str; 2]) -> Result<Identity, Error> {
        let mut params = server(hosts)?;
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 2);
        self.sign(params)
    }

    /// Signs the certificate of a client that logs in as this role.
    pub(crate) fn client(&self, role: &str) -> Result<Identity, Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, role);
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> Result<Identity, Error> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.0)?.pem();
        Ok(Identity { certificate, key: key.serialize_pem() })
    }
}

fn server(hosts: [&str; 2]) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::new(hosts.map(str::to_owned))?;
    params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
    Ok(params)
}
