//! A device's word that a transport key is its own.
//!
//! It lets a reader tie the peer they talk to to an identity; it gives no other right, so that losing
//! a transport key loses nothing.

use serde::{Deserialize, Serialize};

use crate::{
    cbor::{self, CborError},
    identity::Identity,
    peer::PeerId,
    sign::{BadSignature, Domain, PublicKey, SecretKey, Signature},
};

/// Why a certificate is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// A version that this build does not know.
    #[error("certificates of version {0} are not known here, only 1")]
    Version(u16),
    /// Not valid any more.
    #[error("the certificate expired at {expires_ms} ms since 1970")]
    Expired {
        /// When.
        expires_ms: u64,
    },
    /// The device has no leave from the identity.
    #[error("the device does not belong to the identity")]
    NotAllowed,
    /// The signature does not match.
    #[error(transparent)]
    Signature(#[from] BadSignature),
    /// Not canonical DAG-CBOR.
    #[error(transparent)]
    Encoding(#[from] CborError),
}

/// Which transport key a device uses. Layout: canonical DAG-CBOR.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Version of this layout: 1.
    pub v: u16,
    /// The transport key.
    pub peer: PeerId,
    /// The wallet key or a delegated device.
    pub device: PublicKey,
    /// When it ends (ms since 1970).
    pub expires_ms: u64,
}

/// A certificate and its signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedCertificate {
    /// The certificate.
    pub certificate: Certificate,
    /// By the device.
    pub sig: Signature,
}

impl SignedCertificate {
    /// Signs; `certificate.device` must be the key's public side.
    pub fn sign(certificate: Certificate, key: &SecretKey) -> Result<Self, CertificateError> {
        let sig = key.sign(Domain::Certificate, &cbor::encode(&certificate)?);
        Ok(Self { certificate, sig })
    }

    /// Checks that `identity` stands behind the transport key at `now_ms`.
    pub fn verify(&self, identity: &Identity, now_ms: u64) -> Result<(), CertificateError> {
        let Certificate { v, device, expires_ms, .. } = &self.certificate;
        if *v != 1 {
            return Err(CertificateError::Version(*v));
        }
        if now_ms >= *expires_ms {
            return Err(CertificateError::Expired { expires_ms: *expires_ms });
        }
        if !identity.may_write(device, "", now_ms) {
            return Err(CertificateError::NotAllowed);
        }
        let body = cbor::encode(&self.certificate)?;
        Ok(device.verify(Domain::Certificate, &body, &self.sig)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{identity::IdentityLog, peer::TransportKey, wallet::Wallet};

    #[test]
    fn a_certificate_binds_one_transport_key_for_a_while() {
        let wallet = Wallet::from_entropy([1; 32]);
        let identity = IdentityLog::incept(&wallet).unwrap().verify().unwrap();
        let key = wallet.identity_key(0);
        let peer = TransportKey::from_seed([2; 32]).peer_id();
        let certificate = Certificate { v: 1, peer, device: key.public(), expires_ms: 10 };
        let signed = SignedCertificate::sign(certificate, &key).unwrap();
        assert_eq!(signed.verify(&identity, 9), Ok(()));
        let late = signed.verify(&identity, 10);
        assert_eq!(late, Err(CertificateError::Expired { expires_ms: 10 }));
        let mut stolen = signed;
        stolen.certificate.peer = TransportKey::from_seed([3; 32]).peer_id();
        assert_eq!(stolen.verify(&identity, 9), Err(BadSignature.into()));
    }
}
