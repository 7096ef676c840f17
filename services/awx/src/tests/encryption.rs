use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A controller with a certificate for a name, which answers one request a connection with who we are.
    async fn controller(&self, name: &str) -> SocketAddr {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.0).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let Ok(mut tls) = acceptor.accept(socket).await else { continue };
                let _read = tls.read(&mut [0; 4096]).await;
                let body = r#"{"results":[{"id":7,"username":"u"}]}"#;
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nx-api-product-name: AWX\r\nx-api-product-version: 1\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                );
                let _sent = tls.write_all(answer.as_bytes()).await;
                let _closed = tls.shutdown().await;
            }
        });
        address
    }

    fn client(&self, address: SocketAddr) -> Client {
        let target = Target {
            url: format!("https://localhost:{}", address.port()),
            ca_pem: self.0.pem(),
            ..target_for(address)
        };
        Client::new(&target, &Credential::bearer("t0ken"), quick()).unwrap()
    }
}

#[tokio::test]
async fn a_controller_is_trusted_by_its_own_authority_only() {
    let (ours, other) = (Authority::new(), Authority::new());
    let address = ours.controller("localhost").await;
    assert_eq!(ours.client(address).who_am_i().await.unwrap().id, 7);
    let error = other.client(address).who_am_i().await.unwrap_err();
    assert!(error.to_string().contains("certificate is not trusted"), "{error}");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_not_trusted_and_nothing_is_launched() {
    let ours = Authority::new();
    let address = ours.controller("elsewhere.example").await;
    let error = ours.client(address).launch(TemplateKind::Job, 9, &body(json!({}))).await.unwrap_err();
    assert!(matches!(&error, LaunchError::NotLaunched(AwxError::Unreachable { .. })), "{error:?}");
    let told = error.to_string();
    assert!(told.contains("certificate is not trusted: it is not for this host name"), "{told}");
    assert!(!told.contains("elsewhere"), "what answers there is not told: {told}");
}

#[tokio::test]
async fn speaking_tls_to_what_speaks_none_is_explained() {
    let stub = Stub::start(|_| html(200)).await;
    let target = Target { url: format!("https://localhost:{}", stub.address.port()), ..target_for(stub.address) };
    let client =
        Client::new(&Target { ca_pem: Authority::new().0.pem(), ..target }, &Credential::bearer("t"), quick()).unwrap();
    let error = client.who_am_i().await.unwrap_err();
    assert!(matches!(&error, AwxError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn only_a_controller_that_an_operator_names_is_not_verified() {
    let address = Authority::new().controller("elsewhere.example").await;
    let target = Target { url: format!("https://localhost:{}", address.port()), ..target_for(address) };
    let client = |unverified: &str| {
        let limits = ClientLimits { unverified: vec![unverified.to_owned()], ..quick() };
        Client::new(&target, &Credential::bearer("t0ken"), limits).unwrap()
    };
    assert_eq!(client(&format!("https://LOCALHOST:{}/", address.port())).who_am_i().await.unwrap().id, 7);
    for other in ["https://localhost", "https://other.example", ""] {
        assert!(client(other).who_am_i().await.is_err(), "{other}");
    }
}

#[tokio::test]
async fn authorities_that_an_operator_trusts_are_for_one_address_and_for_controllers_without_their_own() {
    let (ours, other) = (Authority::new(), Authority::new());
    let address = ours.controller("localhost").await;
    let url = format!("https://localhost:{}", address.port());
    // More than a controller may have of its own, and the right one last. They have one name here, and a hundred of one name
    // are not tried.
    let many: String = (0..60).map(|_| other.0.pem()).chain([ours.0.pem()]).collect();
    let client = |place: &str, ca_pem: &str| {
        let target = Target { url: url.clone(), ca_pem: ca_pem.to_owned(), ..target_for(address) };
        let limits = ClientLimits {
            trusted: vec![(place.to_owned(), many.clone())],
            unverified: if ca_pem.is_empty() { Vec::new() } else { vec![url.clone()] },
            ..quick()
        };
        Client::new(&target, &Credential::bearer("t0ken"), limits).unwrap()
    };
    assert_eq!(client(&url, "").who_am_i().await.unwrap().id, 7);
    assert!(client("https://other.example", "").who_am_i().await.is_err(), "another address");
    assert!(client(&url, &other.0.pem()).who_am_i().await.is_err(), "its own authority counts, verified or not");
}
