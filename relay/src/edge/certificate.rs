//! Certificate and key files (PEM): read, checked against each other, shown to browsers, and read
//! again when they change. A file that is not right never replaces one that was.

use std::{
    fmt, fs,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use craftec_p2p::native::{Certificate, Tls};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

use super::settings::TlsFiles;
use crate::error::{RelayError, Result};

/// A chain is some KiB of text; more is a mistaken path.
const PEM_BYTES: u64 = 1 << 20;

/// The certificate that browsers are shown. Clones share it.
#[derive(Clone)]
pub(crate) struct Certificates {
    files: TlsFiles,
    config: Arc<Mutex<Arc<ServerConfig>>>,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificates({})", self.files.cert.display())
    }
}

impl Certificates {
    /// Shows what was loaded from `files`.
    pub(crate) fn new(files: TlsFiles, loaded: &Certificate) -> Result<Self> {
        let config = server_config(&files, loaded)?;
        Ok(Self { files, config: Arc::new(Mutex::new(config)) })
    }

    /// Whether a file is one of these.
    pub(crate) fn is_of(&self, file: &Path) -> bool {
        file == self.files.cert || file == self.files.key
    }

    /// Reads the files again, for browsers and for `peers`.
    pub(crate) fn reload(&self, peers: &Tls) -> Result<()> {
        let loaded = load(&self.files)?;
        let config = server_config(&self.files, &loaded)?;
        peers.replace(&loaded).map_err(|error| unusable(&self.files.cert, &error))?;
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    /// Meets a connection with what holds now.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.config.lock().unwrap_or_else(PoisonError::into_inner).clone().into()
    }
}

fn unusable(path: &Path, reason: &dyn fmt::Display) -> RelayError {
    RelayError::usage(
        format!("{} cannot be used for TLS: {reason}", path.display()),
        "`tls_cert` is a PEM file with the node's certificate first and then its chain, \
         `tls_key` a PEM file with the private key that belongs to it.",
    )
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let bytes = fs::metadata(path).map_err(RelayError::file("read", path))?.len();
    if bytes > PEM_BYTES {
        return Err(unusable(path, &format!("{bytes} bytes are too many for a PEM file")));
    }
    fs::read(path).map_err(RelayError::file("read", path))
}

fn chain(path: &Path) -> Result<Vec<Vec<u8>>> {
    let text = read(path)?;
    let chain: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text)
        .map(|certificate| certificate.map(|der| der.as_ref().to_vec()))
        .collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err(unusable(path, &"it holds no certificate")),
        Ok(chain) => Ok(chain),
        Err(error) => Err(unusable(path, &error)),
    }
}

/// Authorities to believe, from a PEM file.
pub(super) fn authorities(path: &Path) -> Result<Vec<Vec<u8>>> {
    chain(path)
}

/// Reads both files.
pub(super) fn load(files: &TlsFiles) -> Result<Certificate> {
    let key = PrivateKeyDer::from_pem_slice(&read(&files.key)?)
        .map_err(|error| unusable(&files.key, &error))?;
    Ok(Certificate { chain: chain(&files.cert)?, key: key.secret_der().to_vec() })
}

fn server_config(files: &TlsFiles, loaded: &Certificate) -> Result<Arc<ServerConfig>> {
    let chain = loaded.chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
    let key = PrivateKeyDer::try_from(loaded.key.clone())
        .map_err(|error| unusable(&files.key, &error))?;
    let mut config = ServerConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| unusable(&files.cert, &error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn pair(folder: &Path, name: &str) -> TlsFiles {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let files = TlsFiles { cert: folder.join("cert.pem"), key: folder.join("key.pem") };
        fs::write(&files.cert, made.cert.pem()).unwrap();
        fs::write(&files.key, made.key_pair.serialize_pem()).unwrap();
        files
    }

    #[test]
    fn what_is_wrong_is_said_and_what_was_right_stays() {
        let folder = tempfile::tempdir().unwrap();
        let files = pair(folder.path(), "a.example");
        let loaded = load(&files).unwrap();
        let peers = Tls::new(Some(&loaded), Vec::new()).unwrap();
        let shown = Certificates::new(files.clone(), &loaded).unwrap();
        let before = shown.config.lock().unwrap().clone();
        let key = fs::read(&files.key).unwrap();
        let says = |what: &str| {
            let said = shown.reload(&peers).unwrap_err().to_string();
            assert!(said.contains(what), "{said}");
            assert!(Arc::ptr_eq(&before, &shown.config.lock().unwrap()));
        };
        fs::write(&files.key, "nonsense").unwrap();
        says("key.pem cannot be used for TLS");
        fs::write(&files.key, &key).unwrap();
        fs::write(&files.cert, "").unwrap();
        says("no certificate");
        pair(folder.path(), "b.example");
        fs::write(&files.key, &key).unwrap();
        says("cert.pem cannot be used for TLS");
        fs::remove_file(&files.key).unwrap();
        says("cannot read");
        pair(folder.path(), "c.example");
        shown.reload(&peers).unwrap();
        assert!(!Arc::ptr_eq(&before, &shown.config.lock().unwrap()));
        let missing = TlsFiles { cert: PathBuf::from("/none"), key: files.key };
        assert_eq!(load(&missing).unwrap_err().exit_code(), 3);
    }
}
